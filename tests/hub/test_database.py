"""How the hub's database is opened, by JupyterHub's own way to open it."""

import sqlite3
import subprocess
import sys
from contextlib import closing

OPEN = """
import sys
from jupyterhub.orm import User, new_session_factory
from sqlalchemy import text
from earthlab.hub.database import write_ahead
write_ahead(), write_ahead()
with new_session_factory(f"sqlite:///{sys.argv[1]}")() as db:
    db.add(User(name="ada"))
    db.commit()
    print(*(db.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "foreign_keys")))
    sys.stdout.flush()
    if sys.argv[2:]:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


def run(database, *words):
    return subprocess.run([sys.executable, "-c", OPEN, database, *words], capture_output=True, text=True, check=False)


def test_the_hubs_database_waits_for_the_disk_now_and_then_only(tmp_path):
    assert run(tmp_path / "hub.sqlite").stdout.split() == ["wal", "1", "1"]


def test_what_was_written_before_the_hub_was_killed_is_there(tmp_path):
    run(tmp_path / "hub.sqlite", "die")
    with closing(sqlite3.connect(tmp_path / "hub.sqlite")) as db:
        assert db.execute("select name from users").fetchall() == [("ada",)]
