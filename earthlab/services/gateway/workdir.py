"""The folder of one cluster: keys, temporary files and spilled blocks, gone when the cluster is."""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from earthlab.hub.accounts import Account


@dataclass(frozen=True, slots=True)
class Workdir:
    """Where the files of one cluster are; pure paths.

    The logs lie apart: the gateway writes them, so no user may put a link in their place.
    """

    folder: Path
    logs: Path
    token: Path
    """The hub's token of its workers; in a folder of ours, so that no user may put a link in its place."""

    @property
    def certificate(self) -> Path:
        """Certificate of the cluster."""
        return self.folder / ".certs" / "dask.crt"

    @property
    def key(self) -> Path:
        """Private key of the cluster."""
        return self.folder / ".certs" / "dask.pem"

    @property
    def spill(self) -> Path:
        """Where workers put blocks that do not fit into their memory."""
        return self.folder / "spill"

    @property
    def temporary(self) -> Path:
        """Temporary files of tasks."""
        return self.folder / "tmp"

    def started(self, worker: str) -> Path:
        """The file that is there once a worker could start."""
        return self.folder / f".started-{worker[:12]}"


def resolve_workdir(base: Path, cluster: str) -> Workdir:
    """The paths of a cluster under `base`."""
    return Workdir(base / cluster[:12], base / ".logs" / cluster[:12], base / ".tokens" / cluster[:12])


def open_base(base: Path) -> None:
    """Make the folder of all clusters anew: others may pass through it, not list it; what an earlier run left goes."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    base.chmod(0o711)
    (base / ".logs").mkdir(mode=0o700)
    (base / ".tokens").mkdir()
    (base / ".tokens").chmod(0o711)


def open_workdir(paths: Workdir, *, certificate: bytes, key: bytes, account: Account) -> None:
    """Write the folder of a new cluster, 0700 and the account's own."""
    paths.logs.mkdir(mode=0o700)
    folders = [paths.folder, paths.certificate.parent, paths.spill, paths.temporary]
    for folder in folders:
        folder.mkdir(mode=0o700)
    _write_private(paths.certificate, certificate)
    _write_private(paths.key, key)
    # The outermost folder is given away last: until then its new owner cannot reach in and swap a path.
    for path in [paths.certificate, paths.key, *reversed(folders)]:
        _give(path, account)


def write_token(paths: Workdir, token: str, account: Account) -> None:
    """Put the workers' token where only their account reads it; it takes the place of the last one at once."""
    fresh = paths.token.with_name(f"{paths.token.name}.next")
    fresh.unlink(missing_ok=True)
    _write_private(fresh, token.encode())
    _give(fresh, account)
    fresh.replace(paths.token)


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _give(path: Path, account: Account) -> None:
    if account.uid != os.getuid():
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def remove_workdir(paths: Workdir) -> None:
    """Remove all files of a cluster; what is already gone is no fault."""
    for folder in (paths.folder, paths.logs):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
    paths.token.unlink(missing_ok=True)


def read_log_end(paths: Workdir, name: str, *, most: int = 2000) -> str:
    """The last characters of one process's log."""
    path = paths.logs / f"{name}.log"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read().decode(errors="replace")
