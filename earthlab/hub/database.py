"""The hub's SQLite database, spared the wait for the disk.

The hub writes some fifty times for each person who comes in, in the one thread that answers everybody. By SQLite's
defaults each write waits for the disk, 5 ms here: a quarter of a second a person, in which nobody is answered.
"""

import sqlite3
from functools import cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine


@cache
def write_ahead() -> None:
    """From now on this process's SQLite connections write to a log, which waits for the disk now and then.

    A killed hub loses nothing, and a machine without power no more than the last seconds; the database stays whole
    (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """

    @event.listens_for(Engine, "connect")
    def set_log(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
