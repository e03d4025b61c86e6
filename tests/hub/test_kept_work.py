"""Copying a seat's work, first between two folders, then between two Unix accounts where the tests run as root."""

import io
import json
import os
import stat

import pytest

from earthlab.errors import AskLess, BadRequest, NothingFound
from earthlab.hub import kept_work
from earthlab.hub.accounts import resolve_account
from earthlab.hub.kept_work import Kept, give, keep_work, take
from earthlab.hub.layout import resolve_accounts
from earthlab.hub.prepare import make_folders
from earthlab.testing.accounts import remove_accounts
from tests.hub.conftest import root_only

SEAT, USER, MOST = "atelier-theia-001", "ada", 10**7


@pytest.fixture
def seat(tmp_path):
    home = tmp_path / "seat"
    (home / "notebooks" / "neige").mkdir(parents=True)
    (home / "notebooks" / "neige" / "Été.ipynb").write_text("{}")
    (home / "vide.txt").touch()
    (home / "carte.bin").write_bytes(bytes(range(256)) * 9000)
    return home


@pytest.fixture
def home(tmp_path):
    found = tmp_path / "ada"
    found.mkdir()
    return found


def carry(seat, home, most=MOST, folder="atelier-theia"):
    said = io.BytesIO()
    give(seat, most, said)
    return take(home, folder, most, io.BytesIO(said.getvalue()))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_work_arrives_whole_with_its_dates_in_a_folder_of_its_own(seat, home):
    os.utime(seat / "carte.bin", (10**9, 10**9))
    size = sum(path.stat().st_size for path in seat.rglob("*") if path.is_file())
    assert carry(seat, home) == {"folder": "atelier-theia", "files": 3, "bytes": size}
    arrived = home / "atelier-theia"
    assert names(arrived) == ["carte.bin", "notebooks/neige/Été.ipynb", "vide.txt"]
    assert (arrived / "carte.bin").read_bytes() == (seat / "carte.bin").read_bytes()
    assert (arrived / "carte.bin").stat().st_mtime == 10**9
    assert stat.S_IMODE(arrived.stat().st_mode) == 0o700


def test_what_is_there_already_stays(seat, home):
    (home / "atelier-theia").symlink_to("/nonexistent")
    assert [carry(seat, home)["folder"] for _ in range(2)] == ["atelier-theia-2", "atelier-theia-3"]
    assert len(list(home.iterdir())) == 3


def test_links_hidden_things_originals_and_what_is_no_file_stay_behind(seat, home, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (seat / "link").symlink_to(secret / "key")
    (seat / "linked").symlink_to(secret)
    (seat / ".ssh").mkdir()
    (seat / ".ssh" / "id").write_text("secret")
    (seat / ".bash_history").write_text("secret")
    (seat / "original.ipynb").write_text("{}")
    (seat / "original.ipynb").chmod(0o444)
    os.mkfifo(seat / "pipe")
    assert carry(seat, home)["files"] == 3
    assert names(home / "atelier-theia") == ["carte.bin", "notebooks/neige/Été.ipynb", "vide.txt"]


def test_too_much_is_refused_before_anything_is_written(seat, home, monkeypatch):
    assert carry(seat, home, most=1000) == {"refused": "much"}
    monkeypatch.setattr(kept_work, "MOST_FILES", 2)
    assert carry(seat, home) == {"refused": "much"}
    assert list(home.iterdir()) == []


def test_an_empty_seat_has_nothing_to_keep(tmp_path, home):
    (tmp_path / "empty").mkdir()
    assert carry(tmp_path / "empty", home) == {"refused": "nothing"}
    assert list(home.iterdir()) == []


def line(**words):
    return json.dumps({"size": 1, "mtime": 0} | words).encode() + b"\n"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"[]\n",
        line(path="x"),
        line(path="../x") + b"x",
        line(path="/etc/x") + b"x",
        line(path="a/../../x") + b"x",
        line(path=".bashrc") + b"x",
        line(path="a/.ssh/x") + b"x",
        line(path="") + b"x",
        line(path="a\0b") + b"x",
        line(path=["x"]) + b"x",
        line(path="x", size="many") + b"x",
        line(path="x" * 20_000) + b"x",
        line(path="x") + b"x" + line(path="x") + b"x",
        line(path="x") + b"x" + line(path="x/y") + b"x",
        line(path="x") + b"x",
    ],
)
def test_a_reader_that_is_not_ours_or_is_killed_leaves_nothing_behind(home, said):
    assert take(home, "atelier-theia", MOST, io.BytesIO(said)) == {"refused": "broken"}
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("size", [-1, MOST + 1])
def test_a_reader_cannot_make_the_writer_take_more_than_it_may(home, size):
    assert take(home, "x", MOST, io.BytesIO(line(path="x", size=size) + b"x")) == {"refused": "much"}
    assert list(home.iterdir()) == []


@pytest.fixture
def lab(layout, settings):
    make_folders(layout)
    yield layout, resolve_accounts(settings)
    remove_accounts(layout)


async def test_the_work_goes_from_one_account_to_the_other(lab):
    layout, mode = lab
    source, target = resolve_account(SEAT, layout, mode), resolve_account(USER, layout, mode)
    (source.home / "work").mkdir()
    (source.home / "work" / "one.ipynb").write_text("{}")
    (source.home / "not mine").write_text("of root's")
    for path in (source.home / "work", source.home / "work" / "one.ipynb"):
        os.chown(path, source.uid, source.gid)

    kept = await keep_work(layout, mode, SEAT, USER, "atelier-theia")
    arrived = target.home / "atelier-theia"
    if os.getuid() == 0:
        assert kept == Kept("atelier-theia", 1, 2)
    assert {path.lstat().st_uid for path in (arrived, *arrived.rglob("*"))} == {target.uid}
    assert (source.home / "work" / "one.ipynb").is_file(), "it stays in the seat, too"


@root_only
async def test_a_reader_has_no_more_rights_than_the_seat(lab, open_folder):
    layout, mode = lab
    source, _ = resolve_account(SEAT, layout, mode), resolve_account(USER, layout, mode)
    locked = source.home / "locked"
    locked.mkdir(mode=0o700)
    (locked / "root.txt").write_text("secret")
    (source.home / "mine.txt").write_text("x")
    os.chown(source.home / "mine.txt", source.uid, source.gid)
    # A second name of a file of somebody else's, as a racing user might make it appear.
    (layout.homes / "other.txt").write_text("secret")
    os.link(layout.homes / "other.txt", source.home / "hard.txt")
    assert await keep_work(layout, mode, SEAT, USER, "atelier-theia") == Kept("atelier-theia", 1, 1)


async def test_a_refusal_of_the_processes_is_said_in_words(lab, monkeypatch):
    layout, mode = lab
    with pytest.raises(NothingFound, match="aucun fichier"):
        await keep_work(layout, mode, SEAT, USER, "atelier-theia")
    source = resolve_account(SEAT, layout, mode)
    (source.home / "sparse").touch()
    os.truncate(source.home / "sparse", 3 * 1024**3)
    os.chown(source.home / "sparse", source.uid, source.gid)
    with pytest.raises(AskLess, match="more than 2 GiB"):
        await keep_work(layout, mode, SEAT, USER, "atelier-theia")
    monkeypatch.setattr(kept_work, "PATIENCE", 0.0)
    with pytest.raises(BadRequest, match="interrupted"):
        await keep_work(layout, mode, SEAT, USER, "atelier-theia")
    target = resolve_account(USER, layout, mode)
    assert not [path for path in target.home.iterdir() if "atelier" in path.name]
