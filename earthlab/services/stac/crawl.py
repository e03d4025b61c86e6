"""Another catalogue's items come into the embedded one, asked for window by window of time so that answers are whole.

Any catalogue that `earthlab.catalog` can ask will do, whatever its dialect: documents come dated by what was observed.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from earthlab.catalog.dialects import Catalogue
from earthlab.catalog.query import Query
from earthlab.errors import AskLess, BadRequest, did_you_mean
from earthlab.services.stac.extents import read_reach
from earthlab.services.stac.folder import Progress
from earthlab.services.stac.ingest import IngestReport, commit, find_reserved, open_work
from earthlab.services.stac.sources import Found
from earthlab.services.stac.staging import stage
from earthlab.types import Period

_TICK = timedelta(microseconds=1)
_SHORTEST = timedelta(seconds=1)
_DECADE = timedelta(days=3652)


def ingest_crawl(
    folder: Path, catalogue: Catalogue, progress: Progress, *, collections: Sequence[str] = ()
) -> IngestReport:
    """Bring the items of another catalogue into ours, where searches see them at once.

    Each collection is asked for year by year, and in halves wherever an answer would be too long. Ask again after an
    interruption: the windows that were read are kept.

    Parameters
    ----------
    folder : Path
        A complete catalogue.
    catalogue : Catalogue
        As `earthlab.catalog.dialects.open_catalogue` opens it.
    progress : callable
        Called with what is being done, the steps done and the steps in all.
    collections : sequence of str
        Which; all by default.

    Raises
    ------
    BadRequest
        For a collection that the catalogue does not have.
    AskLess
        Where one second holds more items than the catalogue can be asked for at once.
    SetupError
        Where the folder has no complete catalogue or cannot be written, and where the same is being ingested.
    CatalogueUnavailable, NotAllowed
        Where the catalogue fails or refuses.
    """
    reserved = find_reserved(folder)
    documents = _choose(catalogue, collections)
    windows = [(name, window) for name in documents for window in _plan_windows(documents[name])]
    with open_work(folder, [catalogue.url, sorted(documents)]) as work:
        told = (Found(f"{catalogue.url}, collection {name}", document) for name, document in documents.items())
        stage(told, work / "0.arrow", None, reserved)
        crawl = _Crawl(catalogue, work, reserved)
        for done, (name, window) in enumerate(windows):
            progress(f"{name}, {crawl.items:,} items (years)", done, len(windows))
            crawl.read(name, window)
        progress(f"read {crawl.items:,} items (years)", len(windows), len(windows))
        return commit(folder, work, progress)


class _Crawl:
    def __init__(self, catalogue: Catalogue, work: Path, reserved: frozenset[str]) -> None:
        self._catalogue = catalogue
        self._work = work
        self._reserved = reserved
        self.items = 0

    def read(self, name: str, window: Period) -> None:
        query = Query(collections=(name,), period=window)
        path = self._work / f"{query.token}.arrow"
        halved = path.with_suffix(".halved")
        if path.exists():
            return
        if not halved.exists():
            try:
                self.items += stage(self._documents(query), path, None, self._reserved).items
            except AskLess:
                if _is_short(window):
                    raise
                halved.touch()
            else:
                return
        for half in _halve(window):
            self.read(name, half)

    def _documents(self, query: Query) -> Iterator[Found]:
        for document in self._catalogue.documents(query, None):
            yield Found(f"{self._catalogue.url}, {query.collections[0]}", document)


def _choose(catalogue: Catalogue, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = {str(document["id"]): document for document in catalogue.collections()}
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise BadRequest(f"{catalogue.url} has no collection {unknown[0]!r}. {did_you_mean(unknown[0], found)}")
    return {name: found[name] for name in wanted or found}


def _plan_windows(collection: dict[str, Any]) -> list[Period]:
    """The years that a collection says it has, and all time before and after, for extents are often wrong."""
    reach = read_reach(collection)
    this_year = datetime.now(UTC).year
    first = reach.begins.year if reach and reach.begins else this_year
    last = reach.ends.year if reach and reach.ends else this_year
    starts = [datetime(year, 1, 1, tzinfo=UTC) for year in range(first, max(first, last) + 2)]
    inner = [Period(start, end - _TICK) for start, end in pairwise(starts)]
    return [Period(None, starts[0] - _TICK), *inner, Period(starts[-1], None)]


def _is_short(window: Period) -> bool:
    return bool(window.start and window.end and window.end - window.start < _SHORTEST)


def _halve(window: Period) -> tuple[Period, Period]:
    if window.start and window.end:
        middle = window.start + (window.end - window.start) / 2
    elif window.start:
        middle = window.start + _DECADE
    else:
        middle = (window.end or datetime.now(UTC)) - _DECADE
    return Period(window.start, middle), Period(middle + _TICK, window.end)
