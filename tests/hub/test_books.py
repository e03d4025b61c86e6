import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.hub.books import open_book

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


def test_what_is_deleted_is_not_in_the_file(tmp_path):
    path = tmp_path / "book.sqlite"
    with open_book(path, TABLE) as db:
        db.executemany("INSERT INTO things VALUES (?)", [("kept" * 9,), ("forgotten" * 9,)])
    with open_book(path, TABLE) as db:
        db.execute("DELETE FROM things WHERE name LIKE 'forgotten%'")
    assert b"forgotten" not in path.read_bytes()
    assert b"kept" in path.read_bytes()
