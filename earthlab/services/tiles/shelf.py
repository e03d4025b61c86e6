"""Where the service reads shared cubes: their store, as bytes, and nothing beside it.

Everybody builds in a store, and the service may be root's. In a folder no link is followed, nothing but plain files is
read, and no more of them than was asked for; what is there otherwise is as if it were not.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from earthlab.errors import ReadFault, SetupError

if TYPE_CHECKING:
    from earthlab.cube.shared.objects import ObjectStore

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG}
_UP_OR_HERE = {"", ".", ".."}


class Volume(Protocol):
    """A key that is open, of which parts are read."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Some of them; fewer where it is shorter."""
        ...


class Shelf(Protocol):
    """A store to read from. Safe for several threads."""

    def open(self, key: str) -> AbstractContextManager[Volume | None]:
        """The volume of a key, within a ``with``; None where there is none."""
        ...

    def note_use(self, key: str) -> None:
        """Change the time of a key, which tells the store that its cube is used."""
        ...


def read_whole(shelf: Shelf, key: str, most: int) -> bytes | None:
    """What a key holds; None where there is none, or more than ``most`` bytes of it."""
    with shelf.open(key) as volume:
        if volume is None or volume.size > most:
            return None
        return volume.read(0, volume.size)


def split_key(key: str) -> list[str]:
    """The parts of a key, each of which names something in the one before.

    Raises
    ------
    ReadFault
        Where one would lead elsewhere.
    """
    parts = key.split("/")
    if _UP_OR_HERE.intersection(parts) or "\0" in key:
        raise ReadFault(
            "A shared cube names what cannot be a part of a store. Build it again with el.open(share=True)."
        )
    return parts


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """A folder."""

    root: Path

    @contextmanager
    def open(self, key: str) -> Iterator[Volume | None]:
        """The file of a key, where it is one.

        Raises
        ------
        SetupError
            Where the folder may not be read.
        """
        with ExitStack() as opened:
            try:
                file = self._enter(opened, split_key(key))
                found = os.fstat(file)
            except OSError as exc:
                if exc.errno not in _ABSENT:
                    raise SetupError(f"The store of shared cubes cannot be read: {exc.strerror}.") from exc
                yield None
                return
            yield _File(file, found.st_size) if stat.S_ISREG(found.st_mode) else None

    def note_use(self, key: str) -> None:
        """Change the time of a file; made, and empty, where there is none. Who may only read changes nothing."""
        *folders, name = split_key(key)
        with ExitStack() as opened, suppress(OSError):
            within = self._enter(opened, folders, os.O_DIRECTORY)
            with suppress(FileExistsError):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o664, dir_fd=within))
            os.utime(name, dir_fd=within, follow_symlinks=False)

    def _enter(self, opened: ExitStack, parts: list[str], last: int = 0) -> int:
        def enter(name: str | Path, flags: int, within: int | None = None) -> int:
            handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=within)
            opened.callback(os.close, handle)
            return handle

        at = enter(self.root, os.O_DIRECTORY)
        for part in parts[:-1]:
            at = enter(part, os.O_DIRECTORY | os.O_NOFOLLOW, at)
        return enter(parts[-1], os.O_NOFOLLOW | os.O_NONBLOCK | last, at)


@dataclass(frozen=True, slots=True)
class _File:
    handle: int
    size: int

    def read(self, start: int, length: int) -> bytes:
        return os.pread(self.handle, length, start)


@dataclass(frozen=True, slots=True)
class BucketShelf:
    """A bucket, opened with the keys of the environment."""

    store: "ObjectStore"

    @contextmanager
    def open(self, key: str) -> Iterator[Volume | None]:
        """The object of a key."""
        split_key(key)
        size = self.store.size(key)
        yield None if size is None else _Object(self.store, key, size)

    def note_use(self, key: str) -> None:
        """Write the key anew."""
        from earthlab.cube.shared.stores import CannotWrite  # loads zarr, as the store has

        with suppress(CannotWrite):
            self.store.put("/".join(split_key(key)), b"{}")


@dataclass(frozen=True, slots=True)
class _Object:
    store: "ObjectStore"
    key: str
    size: int

    def read(self, start: int, length: int) -> bytes:
        return self.store.get_part(self.key, start, length) or b""
