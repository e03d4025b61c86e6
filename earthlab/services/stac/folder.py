"""The folder of the embedded catalogue: where things lie in it, what its marker says, and who may change it."""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from earthlab.errors import SetupError

MARKER = "COMPLETE"
"""Written last: a folder without it is no catalogue."""
COLLECTIONS = "collections.json"
"""The documents of the collections that the lab makes itself."""
INGESTED = "collections"
"""The folder of the documents of collections that were ingested."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the steps done and the steps in all."""


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """What the catalogue in a folder holds."""

    version: str
    items: Mapping[str, int]
    """Number of items of each collection."""
    left_out: Mapping[str, str]
    """Collections that could not be built, each with its reason."""
    built: bool
    """False where the folder was complete already."""


def read_report(folder: Path) -> CatalogueReport | None:
    """What a complete catalogue holds; None where the folder has none."""
    try:
        marker = json.loads((Path(folder) / MARKER).read_text(encoding="utf-8"))
        return CatalogueReport(marker["version"], marker["items"], marker["left_out"], built=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def no_catalogue(folder: Path) -> SetupError:
    """The refusal of a folder that has no complete catalogue."""
    return SetupError(f"There is no complete catalogue in {folder}. Run: earthlab catalogue build")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else builds or changes the catalogue in a folder meanwhile; waits until that is so."""
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
