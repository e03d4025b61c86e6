import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from earthlab.hub.books import keep_key, open_book, read_book

TABLE = "CREATE TABLE IF NOT EXISTS things (name TEXT)"


def names(path):
    with open_book(path, TABLE) as db:
        return [row["name"] for row in db.execute("SELECT name FROM things")]


def test_what_is_written_stays_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "book.sqlite"
    with open_book(path, TABLE) as db:
        db.execute("INSERT INTO things VALUES ('a')")
    assert names(path) == ["a"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def write_and_fail(path):
    with open_book(path, TABLE) as db:
        db.execute("INSERT INTO things VALUES ('a')")
        db.execute("SELECT * FROM missing")


def test_an_exception_undoes_all_of_it(tmp_path):
    path = tmp_path / "book.sqlite"
    with pytest.raises(sqlite3.OperationalError, match="missing"):
        write_and_fail(path)
    assert names(path) == []


def test_nobody_writes_in_between(tmp_path):
    path = tmp_path / "book.sqlite"

    def count_up(_):
        with open_book(path, TABLE) as db:
            (seen,) = db.execute("SELECT count(*) FROM things").fetchone()
            db.execute("INSERT INTO things VALUES (?)", (str(seen),))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, range(40)))
    assert names(path) == [str(number) for number in range(40)]


def test_who_only_reads_waits_for_nobody_who_writes_and_sees_what_is_final(tmp_path):
    path = tmp_path / "book.sqlite"
    names(path)
    with open_book(path) as db:
        db.execute("INSERT INTO things VALUES ('a')")
        with read_book(path) as seen:
            assert seen.execute("SELECT name FROM things").fetchall() == []
    with read_book(path) as seen:
        assert [row["name"] for row in seen.execute("SELECT name FROM things")] == ["a"]


def test_who_only_reads_makes_no_file(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="unable to open"), read_book(tmp_path / "book.sqlite"):
        pass
    assert not any(tmp_path.iterdir())


def test_what_is_deleted_is_not_in_the_file(tmp_path):
    path = tmp_path / "book.sqlite"
    with open_book(path, TABLE) as db:
        db.executemany("INSERT INTO things VALUES (?)", [("kept" * 9,), ("forgotten" * 9,)])
    with open_book(path, TABLE) as db:
        db.execute("DELETE FROM things WHERE name LIKE 'forgotten%'")
    assert b"forgotten" not in path.read_bytes()
    assert b"kept" in path.read_bytes()


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "book.key"
    key = keep_key(path)
    assert len(key) == 32
    assert keep_key(path) == path.read_bytes() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["book.key"]
    assert keep_key(tmp_path / "other.key") != key


def test_of_many_who_make_a_key_at_once_all_get_the_same_whole_one(tmp_path):
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        start = Barrier(8)

        def make(path=folder / "book.key", start=start):
            start.wait()
            return keep_key(path)

        with ThreadPoolExecutor(8) as pool:
            (key,) = {made.result() for made in [pool.submit(make) for _ in range(8)]}
        assert len(key) == 32
        assert [file.name for file in folder.iterdir()] == ["book.key"]


KEY_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from earthlab.hub.books import keep_key
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
keep_key(Path(sys.argv[1]))
"""


def test_a_key_that_cannot_be_written_whole_is_not_there_at_all(tmp_path):
    path = tmp_path / "book.key"
    command = [sys.executable, "-c", KEY_ON_A_FULL_DISK, path]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "File too large" in ended.stderr
    assert list(tmp_path.iterdir()) == []
    assert len(keep_key(path)) == 32
