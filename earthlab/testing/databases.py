"""A real PostgreSQL for tests, of the programs that Debian brings: on a free loopback port, gone with the context."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.testing.ports import free_row

_ACCOUNT = "postgres"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server, which can be stopped and started."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """For SQLAlchemy, without the password, which clients take from ``PGPASSWORD``."""
        return f"postgresql+psycopg2://{_ACCOUNT}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """End it at once, as a node that fails does."""
        self._control("stop", "-m", "immediate")

    def _control(self, *words: str) -> None:
        _as_owner([_program("pg_ctl"), "-D", str(self.folder / "data"), "-w", *words])


@contextmanager
def serve_postgres() -> Iterator[Postgres]:
    """A new PostgreSQL with one database.

    Raises
    ------
    SetupError
        Where Debian's package ``postgresql`` is not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="earthlab-postgres-", dir="/var/tmp"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, _ACCOUNT)
        password = secrets.token_hex(16)
        secret = folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)
        _as_owner(
            [
                _program("initdb"),
                "-D",
                str(folder / "data"),
                "-U",
                _ACCOUNT,
                f"--pwfile={secret}",
                "-A",
                "scram-sha-256",
            ]
        )
        found = Postgres(folder, free_row(1), password)
        found.start()
        try:
            yield found
        finally:
            subprocess.run(
                _line([_program("pg_ctl"), "-D", str(folder / "data"), "stop", "-m", "immediate"]), check=False
            )
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str:
    places = [shutil.which(name), *sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    found = next((place for place in places if place), None)
    if found is None:
        raise SetupError(f"{name} is not here: install Debian's package postgresql (apt-get install postgresql).")
    return found


def _line(command: list[str]) -> list[str]:
    # PostgreSQL does not run as root.
    return (
        ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={pwd.getpwnam(_ACCOUNT).pw_gid}", "--clear-groups", *command]
        if (os.getuid() == 0)
        else command
    )


def _as_owner(command: list[str]) -> None:
    done = subprocess.run(
        _line(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SetupError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr.strip()}")
