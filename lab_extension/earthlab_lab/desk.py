"""What the routes of one server share: threads for what waits, and the answers that were found last."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from earthlab.catalog import ItemSet, Query

_Found = TypeVar("_Found")

MOST_KEPT = 20_000
"""Items that are kept in memory over all answers."""


@dataclass(slots=True)
class Desk:
    """One for a server. Nothing here waits in the server's own loop."""

    asking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "earthlab-asking"))
    """For what waits for others: catalogues, the hub's services."""
    working: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "earthlab-working"))
    """For what takes the processor: of that, one at a time."""
    _answers: "OrderedDict[tuple[str, str], ItemSet]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def ask(self, work: Callable[[], _Found]) -> _Found:
        """Have something asked of others, beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self.asking, work)

    async def work(self, work: Callable[[], _Found]) -> _Found:
        """Have something worked out, beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self.working, work)

    def find_items(self, query: "Query", catalogue: str | None) -> "ItemSet":
        """The items of a question, asked for again only where they are not among the last answers. Waits.

        Raises
        ------
        EarthlabError
            As `earthlab.search` does.
        """
        from earthlab.catalog import run_query  # a second of imports, where no template has made them

        key = (query.token, catalogue or "")
        with self._lock:
            if (kept := self._answers.get(key)) is not None:
                self._answers.move_to_end(key)
                return kept
        found = run_query(query, catalog=catalogue)
        with self._lock:
            self._answers[key] = found
            while len(self._answers) > 1 and sum(map(len, self._answers.values())) > MOST_KEPT:
                self._answers.popitem(last=False)
        return found

    def close(self) -> None:
        """Give the threads back; what they still wait for is not awaited."""
        self.asking.shutdown(wait=False, cancel_futures=True)
        self.working.shutdown(wait=False, cancel_futures=True)
