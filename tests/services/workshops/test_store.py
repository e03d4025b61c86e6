"""The book keeps what was said through a kill, and forgets it on the day announced: from the file, too."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from earthlab.errors import BadRequest, NothingFound
from earthlab.services.workshops.events import Event, count_room, fold
from earthlab.services.workshops.store import Store
from earthlab.services.workshops.text import parse_workshop
from tests.services.workshops.conftest import LESSONS, TEXT


@pytest.fixture
def opened(store, workshop):
    store.add(workshop)
    store.open("neige", LESSONS)
    return store


def step(seq, cell="c1", state="done", error=""):
    return Event("0123abcd", seq, 1_796_000_000.0 + seq, "theia/neige.ipynb", cell, state, error)


def test_a_workshop_comes_back_as_it_was_made(store, workshop):
    store.add(workshop)
    entry = store.find("neige")
    assert entry.workshop == workshop
    assert entry.stage == "draft"
    assert entry.closes == workshop.closes.timestamp()
    assert entry.forgotten - entry.closes == 7 * 86400
    assert [each.slug for each in store.entries()] == ["neige"]


def test_only_the_operator_reads_the_book(store, tmp_path):
    assert stat.S_IMODE((tmp_path / "workshops.sqlite").stat().st_mode) == 0o600


def test_a_name_is_taken_once_and_an_unknown_one_is_refused(store, workshop):
    store.add(workshop)
    with pytest.raises(BadRequest, match="neige"):
        store.add(workshop)
    with pytest.raises(NothingFound, match="brume"):
        store.find("brume")


def test_a_draft_changes_and_what_is_open_does_not(store, workshop):
    store.add(workshop)
    more = parse_workshop(TEXT.replace("seats = 3", "seats = 5"))
    store.replace(more)
    assert store.find("neige").workshop.seats == 5
    store.open("neige", LESSONS)
    with pytest.raises(BadRequest, match="open"):
        store.replace(workshop)
    with pytest.raises(BadRequest, match="before"):
        store.open("neige", LESSONS)


def test_the_order_of_cells_is_the_workshops(opened):
    entry = opened.find("neige")
    assert entry.order[2:4] == (("theia/neige.ipynb", "c3"), ("theia/glacier.ipynb", "c1"))
    assert entry.syllabus["theia/glacier.ipynb"] == {"c1", "c2"}


def test_events_are_kept_once_whatever_is_repeated(opened):
    assert len(opened.take("neige", 1, [step(1), step(2, "c2", "failed", "KeyError")])) == 2
    assert opened.take("neige", 1, [step(2, "c2"), step(3, "c3")]) == [step(3, "c3")]
    found = dict(opened.events("neige"))
    assert set(found) == {1}
    assert [e.seq for _, e in sorted(opened.events("neige"), key=lambda row: row[1].seq)] == [1, 2, 3]
    assert fold(e for _, e in opened.events("neige")).find(("theia/neige.ipynb", "c2")).error == "KeyError"


def test_the_pages_hand_is_numbered_by_the_book(opened, clock):
    assert opened.say("neige", 2, "page", hand=True).seq == 1
    clock.now += 1
    assert opened.say("neige", 2, "page", hand=False).seq == 2
    assert [e.hand for seat, e in opened.events("neige") if seat == 2] == [True, False]


def test_acts_are_numbered_and_belong_to_all_or_to_one(opened):
    first = opened.act("neige", "message", {"text": "Pause de 10 min"})
    second = opened.act("neige", "reset", {"notebook": "theia/neige.ipynb", "cell": "c1"}, seat=2)
    assert second.number > first.number
    assert [act.seat for act in opened.acts("neige")] == [None, 2]


def test_help_is_asked_answered_and_ended(opened, clock):
    asked = opened.ask_help("neige", 1, "ben")
    assert opened.ask_help("neige", 1, "ben") == asked
    opened.answer_help(asked.number, "yes", until=clock.now + 600, code="secret")
    opened.answer_help(asked.number, "no")
    assert opened.help(asked.number).answer == "yes"
    assert opened.overdue() == []
    clock.now += 601
    assert [it.number for it in opened.overdue()] == [asked.number]
    opened.end_help(asked.number)
    assert opened.overdue() == opened.helps("neige") == []
    assert opened.help(asked.number).code is None
    with pytest.raises(NothingFound):
        opened.help(99)


def test_a_no_ends_the_request(opened):
    opened.answer_help(opened.ask_help("neige", 1, "ben").number, "no")
    assert opened.helps("neige") == []


def test_more_time_moves_the_day_of_deletion_too(opened):
    before = opened.find("neige")
    after = opened.extend("neige", before.closes + 3600)
    assert after.forgotten == before.forgotten + 3600
    opened.end("neige")
    with pytest.raises(BadRequest, match="closed"):
        opened.extend("neige", before.closes)


def test_it_is_due_on_the_day_announced_or_when_it_is_hastened(opened, clock):
    clock.now = opened.find("neige").forgotten - 1
    assert opened.due() == []
    clock.now += 2
    assert [entry.slug for entry in opened.due()] == ["neige"]
    clock.now -= 3600
    opened.hasten("neige")
    assert [entry.slug for entry in opened.due()] == ["neige"]


def test_what_is_forgotten_is_gone_from_the_file_and_counts_remain(opened, tmp_path):
    opened.take("neige", 1, [step(n, "c2", "failed", "VerySpecialError") for n in range(1, 300)])
    opened.act("neige", "message", {"text": "une phrase très particulière"})
    counts = count_room({1: fold(e for _, e in opened.events("neige"))}, 3, opened.find("neige").order)
    opened.forget("neige", counts)
    entry = opened.find("neige")
    assert (entry.stage, entry.counts) == ("forgotten", counts)
    assert list(opened.events("neige")) == opened.acts("neige") == opened.due() == []
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert b"VerySpecialError" not in content
        assert "particulière".encode() not in content


def test_nothing_is_called_forgotten_while_it_is_still_in_a_file(opened, tmp_path):
    """Somebody else reads the book at an earlier moment: until then SQLite keeps what it was."""
    opened.take("neige", 1, [step(n, "c2", "failed", "VerySpecialError") for n in range(1, 300)])
    counts = count_room({1: fold(e for _, e in opened.events("neige"))}, 3, opened.find("neige").order)
    opened.hasten("neige")
    opened._db.execute("PRAGMA busy_timeout = 100")
    with closing(sqlite3.connect(opened.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (299,)
        opened.forget("neige", counts)
        assert opened.find("neige").stage == "closed"
        assert [entry.slug for entry in opened.due()] == ["neige"]
        reader.execute("COMMIT")
    opened.forget("neige", None)
    entry = opened.find("neige")
    assert (entry.stage, entry.counts) == ("forgotten", counts)
    assert not any(b"VerySpecialError" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_killed_process_loses_nothing_that_it_has_answered(tmp_path, store, workshop):
    store.add(workshop)
    script = (
        "import sys, os\nfrom pathlib import Path\n"
        "from earthlab.services.workshops.store import Store\nfrom earthlab.services.workshops.events import Event\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for n in range(1, 10_000):\n"
        "    store.take('neige', 1, [Event('0123abcd', n, float(n), 'a.ipynb', 'c1', 'done')])\n"
        "    print(n, flush=True)\n"
    )
    path = str(tmp_path / "workshops.sqlite")
    with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True) as child:
        said = [int(child.stdout.readline()) for _ in range(50)]
        os.kill(child.pid, signal.SIGKILL)
        said += [int(line) for line in child.stdout.read().splitlines() if line.strip()]
    kept = {event.seq for _, event in store.events("neige")}
    assert set(said) <= kept


def test_a_day_of_a_full_room_fits(opened, tmp_path):
    opened._db.execute("BEGIN")
    rows = [
        ("neige", seat, "0123abcd", n, float(n), "theia/neige.ipynb", "c1", "done", "", None)
        for seat in range(1, 151) for n in range(1, 40 * 2 * 3)
    ]  # fmt: skip
    opened._db.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
    opened._db.execute("COMMIT")
    assert len({seat for seat, _ in opened.events("neige")}) == 150
    assert (tmp_path / "workshops.sqlite").stat().st_size < 20 * 2**20


def test_two_processes_may_write(opened, tmp_path):
    other = Store(tmp_path / "workshops.sqlite")
    other.take("neige", 1, [step(1)])
    opened.take("neige", 2, [step(1)])
    other.close()
    assert len(list(opened.events("neige"))) == 2
    with sqlite3.connect(tmp_path / "workshops.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.close()
