"""The files of a user's server, which can be opened and saved as far as a full home allows."""

import sqlite3
from collections.abc import Callable

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from nbformat.sign import NotebookNotary, SQLiteSignatureStore
from traitlets import default


class HomeSignatures(SQLiteSignatureStore):
    """Which notebooks are trusted; where that cannot be written down, notebooks open and are saved all the same."""

    def check_signature(self, digest: str, algorithm: str) -> bool:
        """Whether a notebook is known. nbformat notes each look, and would refuse to open one on a full disk."""
        try:
            return bool(super().check_signature(digest, algorithm))  # type: ignore[no-untyped-call]
        except sqlite3.OperationalError as exc:
            self._give_way(exc)
            return False

    def store_signature(self, digest: str, algorithm: str) -> None:
        """Note a notebook; one that could not be noted is not trusted when it is opened again."""
        try:
            super().store_signature(digest, algorithm)  # type: ignore[no-untyped-call]
        except sqlite3.OperationalError as exc:
            self._give_way(exc)

    def _give_way(self, exc: sqlite3.OperationalError) -> None:
        self.log.warning("The signatures of notebooks cannot be written (%s): is the home full?", exc)
        self.db.rollback()


class HomeNotary(NotebookNotary):
    """Signs by the key of the home."""

    @default("store_factory")
    def _default_store_factory(self) -> Callable[[], HomeSignatures]:
        return lambda: HomeSignatures(self.db_file)  # type: ignore[no-untyped-call]


class HomeContents(AsyncLargeFileManager):
    """Jupyter's own, with those signatures."""

    @default("notary")
    def _default_notary(self) -> HomeNotary:
        return HomeNotary(parent=self)  # type: ignore[no-untyped-call]
