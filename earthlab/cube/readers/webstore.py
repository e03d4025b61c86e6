"""A Zarr store behind a web server: each object is fetched by its own address, and a query string goes with all."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from urllib.parse import quote, urlsplit, urlunsplit

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from earthlab.catalog.signing import Signed
from earthlab.cube.readers.ranged import fetch_object, http_headers


class WebStore(Store):
    """Read-only. It lists nothing, as web servers do not; unlike obstore it survives a fork and keeps query strings."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, signed: Signed) -> None:
        super().__init__(read_only=True)
        self._parts = urlsplit(signed.href)
        self._headers = http_headers(signed.options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WebStore) and (self._parts, self._headers) == (other._parts, other._headers)

    def __hash__(self) -> int:
        return hash(self._parts)

    def __str__(self) -> str:
        return f"{self._parts.scheme}://{self._parts.hostname}{self._parts.path}"

    def __repr__(self) -> str:
        return f"WebStore({str(self)!r})"

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The object of a key, or a part of it; None where there is none."""
        data = await asyncio.to_thread(fetch_object, self._address(key), self._headers, _span(byte_range))
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Several parts, side by side."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Whether the server has the object."""
        return await asyncio.to_thread(fetch_object, self._address(key), self._headers, "0-0") is not None

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002 - the interface's signature
        """Refused: the store is read."""
        raise PermissionError(f"{self} is only read; {key} is not written")

    async def delete(self, key: str) -> None:
        """Refused: the store is read."""
        raise PermissionError(f"{self} is only read; {key} is not deleted")

    def list(self) -> AsyncIterator[str]:
        """Refused: a web server lists nothing."""
        raise NotImplementedError(_UNLISTED)

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refused: a web server lists nothing."""
        raise NotImplementedError(_UNLISTED)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refused: a web server lists nothing."""
        raise NotImplementedError(_UNLISTED)

    def _address(self, key: str) -> str:
        return urlunsplit(self._parts._replace(path=f"{self._parts.path.rstrip('/')}/{quote(key)}", fragment=""))


_UNLISTED = "its metadata are not consolidated, and its server does not list what there is"


def _span(part: ByteRequest | None) -> str:
    match part:
        case RangeByteRequest(start, end):
            return f"{start}-{end - 1}"
        case OffsetByteRequest(offset):
            return f"{offset}-"
        case SuffixByteRequest(suffix):
            return f"-{suffix}"
    return ""
