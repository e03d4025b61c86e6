"""Small SQLite files of the hub's own, and keys beside them: only its account reads them, many processes at a time."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock

PATIENCE = 30.0
"""Seconds to wait for others who write: a class of 150 arrives at once."""

_GLANCE = 0.25
"""Seconds to wait for the moment in which what somebody has written becomes final."""

_MAKING = Lock()
_TURNS: dict[Path, Lock] = {}


def make_book(path: Path) -> None:
    """Make an empty file for a database, which only its owner can read, where there is none.

    One that is there is not even opened: by POSIX, a process that closes any descriptor of a file gives up all of its
    locks on it (fcntl(2)), those of a transaction in another of its threads too.
    """
    with _MAKING, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


@contextmanager
def open_book(path: Path, *tables: str) -> Iterator[sqlite3.Connection]:
    """One transaction that nobody else writes in between; an exception undoes it.

    Parameters
    ----------
    path : Path
        The file; made with mode 0600 where there is none.
    *tables : str
        ``CREATE TABLE IF NOT EXISTS …`` of what it holds.
    """
    make_book(path)
    with _turn(path):
        db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        db.row_factory = sqlite3.Row
        # What is deleted is not to be found in the file.
        db.execute("PRAGMA secure_delete = ON")
        try:
            db.execute("BEGIN IMMEDIATE")
            for table in tables:
                db.execute(table)
            yield db
            db.execute("COMMIT")
        finally:
            db.close()


@contextmanager
def read_book(path: Path) -> Iterator[sqlite3.Connection]:
    """What was last written, for whoever must not wait: others go on writing meanwhile, and nobody waits for them.

    Raises
    ------
    sqlite3.OperationalError
        Where there is no such file or table, or what is being written takes longer than a glance to become final.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_GLANCE, isolation_level=None)
    db.row_factory = sqlite3.Row
    try:
        yield db
    finally:
        db.close()


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """One thread of ours at a time: SQLite looks ten times a second, and who comes just then goes before who waits."""
    with _MAKING:
        turn = _TURNS.setdefault(path, Lock())
    if not turn.acquire(timeout=PATIENCE):
        raise sqlite3.OperationalError("database is locked")
    try:
        yield
    finally:
        turn.release()


def keep_key(path: Path) -> bytes:
    """32 random bytes in a file that only its owner can read, made once and the same ever after.

    The file is there whole or not at all. Of several who make it at a time one wins, and all get that one's.
    """
    with suppress(FileNotFoundError):
        return path.read_bytes()
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as draft:
        draft.write(secrets.token_bytes(32))
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, path)
    return path.read_bytes()
