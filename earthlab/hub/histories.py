"""The history of a notebook that two write: it begins with what is in the file, and ends with the server."""

from collections.abc import AsyncIterator
from typing import Any

from pycrdt.store import BaseYStore, YDocNotFound


class NoHistory(BaseYStore):
    """A store that keeps nothing, whatever stores are given."""

    _kept: tuple[tuple[bytes, bytes, float], ...] = ()

    def __init__(self, *_args: Any, **_words: Any) -> None:
        self.metadata_callback = None

    async def write(self, data: bytes) -> None:
        """Keep nothing."""

    async def read(self) -> AsyncIterator[tuple[bytes, bytes, float]]:
        """Find nothing.

        Raises
        ------
        YDocNotFound
            Always.
        """
        for each in self._kept:
            yield each
        raise YDocNotFound
