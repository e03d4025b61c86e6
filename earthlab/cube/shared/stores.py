"""Where shared cubes are kept: a folder, or a bucket of an S3-compatible server, behind one small protocol.

The protocol asks of a store what single flight needs and no more: a key is created by one writer only, and replaced
only while it still holds what its writer saw.
"""

import errno
import fcntl
import grp
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, Self

import zarr.abc.store
from zarr.storage import LocalStore

from earthlab.errors import AskLess, EarthlabError, SetupError
from earthlab.rights import OPEN

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_BUCKET = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[A-Za-z0-9._/-]*))?")


class CannotWrite(SetupError):
    """The store can be read and not written."""


PATIENCE = 120.0
"""Seconds: a server of objects that is restarted, or moved to another machine, is back before."""


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is. It may travel: keys of a bucket come from the environment of whoever opens it."""

    url: str
    """A folder, or ``s3://bucket/prefix``."""
    endpoint: str = ""
    region: str = ""
    group: str = ""
    patience: float = PATIENCE
    """Seconds for which reads and builds wait for a server that has answered before and is away."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a key holds, and the tag of just this content."""

    content: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a listing; ``modified`` is in seconds of the store's own clock."""

    key: str
    size: int
    modified: float


class Store(Protocol):
    """A flat space of keys such as ``open/ab12/head.json``; safe to use from threads and processes at once."""

    address: StoreAddress

    def get(self, key: str) -> Found | None:
        """What the key holds, whole, or ``None``."""
        ...

    def create(self, key: str, content: bytes) -> str | None:
        """The tag of the new content; ``None`` where the key exists: of several creators one wins."""
        ...

    def replace(self, key: str, content: bytes, tag: str) -> str | None:
        """The tag of the new content; ``None`` where the key does not hold ``tag`` any more."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Write, whatever the key held; what must outlive a power cut is settled after."""
        ...

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every key below a prefix that ends at a slash, in no order."""
        ...

    def delete(self, prefix: str) -> None:
        """Remove a key, or all below a prefix that ends with a slash; it need not exist."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes that the key holds, or ``None``."""
        ...

    def now(self) -> float:
        """The store's own clock, by which `Entry.modified` is set."""
        ...

    def open_zarr(self, prefix: str, *, read_only: bool) -> zarr.abc.store.Store:
        """The Zarr store below a prefix."""
        ...

    def explain(self, error: Exception, what: str, /) -> EarthlabError | None:
        """What it means that its Zarr store raised this, being ``read`` or ``changed``; ``None`` for anything else."""
        ...

    def impatient(self) -> Self:
        """The same store, for what must not wait while it is away."""
        ...

    def settle(self, prefix: str) -> None:
        """Make what lies below a prefix last through a power cut, with the rights of its namespace."""
        ...

    def locate(self, prefix: str) -> str:
        """The path or URL of a prefix, for other programs."""
        ...


def open_store(address: StoreAddress) -> Store:
    """The store at an address; one for each process, for connections do not survive a fork.

    Raises
    ------
    SetupError
        Where the address is neither a folder nor ``s3://bucket/prefix``.
    """
    return _open_store(address, os.getpid())


@lru_cache(maxsize=8)
def _open_store(address: StoreAddress, _process: int) -> Store:
    if "://" not in address.url:
        return FolderStore(address)
    found = _BUCKET.fullmatch(address.url)
    if not found:
        raise SetupError(f"cubes.store is {address.url!r}, expected a folder or s3://bucket/prefix.")
    from earthlab.cube.shared.objects import ObjectStore  # a folder needs no object store client

    return ObjectStore(address, found["bucket"], (found["prefix"] or "").strip("/"))


class FolderStore:
    """A folder of a POSIX file system, local or shared among hosts.

    Keys are created by a hard link, which one of several wins on every such file system, and replaced under a lock
    that the kernel drops when its holder dies. Everyone may read what is below ``open``, and the group may build there.
    What is below any other access class is its owner's alone, or its licensees', where the folder of the class was made
    for a group (setgid, group may write), as the hub does.
    """

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        self._root = Path(address.url).expanduser().absolute()
        self._group = _group_id(address.group) if address.group else None

    def get(self, key: str) -> Found | None:
        """What the key holds, whole, or ``None``."""
        try:
            content = self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise self._refusal(exc, "read") from exc
        return Found(content, _tag(content))

    def create(self, key: str, content: bytes) -> str | None:
        """The tag of the new content; ``None`` where the key exists."""
        with self._prepared(key, content) as fresh:
            try:
                os.link(fresh, self._path(key))
            except FileExistsError:
                return None
            _sync(self._path(key).parent)
        return _tag(content)

    def replace(self, key: str, content: bytes, tag: str) -> str | None:
        """The tag of the new content; ``None`` where the key does not hold ``tag`` any more."""
        with self._prepared(key, content) as fresh, self._alone(self._path(key)):
            held = self.get(key)
            if held is None or held.tag != tag:
                return None
            fresh.replace(self._path(key))
            _sync(self._path(key).parent)
        return _tag(content)

    def put(self, key: str, content: bytes) -> None:
        """Write, whatever the key held."""
        with self._prepared(key, content, lasting=False) as fresh:
            fresh.replace(self._path(key))

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every key below a prefix, in no order."""
        for folder, _, names in os.walk(self._path(prefix)):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if not name.startswith("."):
                        yield Entry(path.relative_to(self._root).as_posix(), found.st_size, found.st_mtime)

    def delete(self, prefix: str) -> None:
        """Remove a key or all below a prefix; what others remove at the same time is removed all the same."""
        path = self._path(prefix)
        try:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
                if path.exists():
                    shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise self._refusal(exc, "changed") from exc

    def size(self, key: str) -> int | None:
        """Bytes that the key holds, or ``None``."""
        try:
            return self._path(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def now(self) -> float:
        """The clock of the file system, which may be another host's."""
        key = f"{OPEN}/.clock-{uuid.uuid4().hex}"
        with self._prepared(key, b"", lasting=False) as fresh:
            return fresh.stat().st_mtime

    def open_zarr(self, prefix: str, *, read_only: bool) -> zarr.abc.store.Store:
        """The Zarr store below a prefix."""
        path = self._path(prefix)
        if not read_only:
            with self._refusing("changed"):
                self._make_folder(path)
        return LocalStore(path, read_only=read_only)

    def explain(self, _error: Exception, _what: str, /) -> EarthlabError | None:
        """Nothing is known of what a folder raised: it is there, or it is not."""
        return None

    def impatient(self) -> Self:
        """Itself: a folder is never waited for."""
        return self

    def settle(self, prefix: str) -> None:
        """Flush all below a prefix to the disk, with the rights of its namespace."""
        with self._refusing("changed"):
            for folder, _, names in os.walk(self._path(prefix), topdown=False):
                for name in names:
                    self._own(Path(folder, name), prefix)
                    _sync(Path(folder, name))
                self._own(Path(folder), prefix)
                _sync(Path(folder))

    def locate(self, prefix: str) -> str:
        """The path of a prefix."""
        return str(self._path(prefix))

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Among all who replace this key: the lock goes with the process that holds it, however that ends.

        Who may only read the store may not hold it.
        """
        mode = 0o660 if self._group is not None else 0o600
        descriptor = os.open(path.parent / f".{path.name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, mode)
        try:
            with suppress(PermissionError):
                os.fchmod(descriptor, mode)
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _path(self, key: str) -> Path:
        return self._root / key

    @contextmanager
    def _prepared(self, key: str, content: bytes, *, lasting: bool = True) -> Iterator[Path]:
        """The content in a file beside its place: what appears under the key is never half of it."""
        path = self._path(key)
        fresh = path.parent / f".{uuid.uuid4().hex}"
        with self._refusing("changed"):
            self._make_folder(path.parent)
            try:
                with fresh.open("xb") as file:
                    file.write(content)
                    file.flush()
                    if lasting:
                        os.fsync(file.fileno())
                self._own(fresh, key)
                yield fresh
            finally:
                fresh.unlink(missing_ok=True)

    def _make_folder(self, path: Path) -> None:
        if path.is_dir():
            self._require_trusted(path)
            return
        if path != self._root:
            self._make_folder(path.parent)
        path.mkdir(mode=0o700, parents=path == self._root, exist_ok=True)
        self._require_trusted(path)
        self._own(path, path.relative_to(self._root).as_posix())

    def _own(self, path: Path, key: str) -> None:
        access = key.split("/", 1)[0]
        everyones = access in {OPEN, ".", ""}
        ours = self._group is not None if everyones else self._is_for_licensees(access)
        mode = (0o775 if ours else 0o755) if everyones else (0o770 if ours else 0o700)
        mode = mode | (0o2000 if ours else 0) if path.is_dir() else mode & 0o664
        # Of a folder or file that another account of the group made, the rights are set already.
        with suppress(PermissionError):
            if self._group is not None and everyones:
                os.chown(path, -1, self._group)
            path.chmod(mode)

    def _require_trusted(self, path: Path) -> None:
        """Not into a licensed class that a stranger made: by an access list its owner could read all that is in it."""
        access = next(iter(path.relative_to(self._root).parts), OPEN)
        folder = self._root / access
        if access == OPEN or not os.path.lexists(folder):
            return
        if folder.lstat().st_uid not in {0, os.geteuid(), self._root.stat().st_uid}:
            raise SetupError(
                f"{folder} is for cubes of a licensed class and was made by {_owner(folder)}, who could read them "
                "there. Tell the operator, who moves it away; or name another store by the setting cubes.store."
            )

    def _is_for_licensees(self, access: str) -> bool:
        folder, both = self._root / access, stat.S_ISGID | stat.S_IWGRP
        return folder.is_dir() and folder.stat().st_mode & both == both

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self._refusal(exc, what) from exc

    def _refusal(self, exc: OSError, what: str) -> EarthlabError:
        words = f"The store of shared cubes {self._root} cannot be {what}: {exc.strerror or exc}."
        if exc.errno in FULL:
            return AskLess(f"{words} Free some disk, evict cubes (earthlab cubes evict --to SIZE), or ask for less.")
        if exc.errno in _CLOSED and what == "changed":
            return CannotWrite(f"{words} Its owner is {_owner(self._root)}. Name another folder by cubes.store.")
        return SetupError(f"{words} Mend it, or name another store by the setting cubes.store.")


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as exc:
        if exc.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        raise SetupError(
            "The file system of cubes.store has no locks, which a store of shared cubes needs. "
            "Name a folder of another one, or a bucket."
        ) from exc


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as exc:
        raise SetupError(f"cubes.group is {name!r}, which is no group of this machine. Make it, or unset it.") from exc


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "unknown"
