"""An answer as it arrives: rows, and what became of the question at each catalogue that was asked."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from earthlab_lab.desk import Desk
from earthlab_lab.questions import MOST_ITEMS, QUESTION, parse_question, render_row
from earthlab_lab.routes import Asked
from earthlab_lab.schemas import FLAG, Schema, shape

SEARCH_ASKED: Schema = shape({"question": QUESTION}, {"everywhere": FLAG})
"""``everywhere``: every catalogue, not only the lab's own."""

_END = object()


async def search(desk: Desk, asked: Asked) -> AsyncIterator[dict[str, Any]]:
    """The lines of an answer, of the form `SEARCHED`.

    Raises
    ------
    EarthlabError
        Where the question cannot be understood, or nobody can be asked.
    """
    query = await desk.ask(lambda: parse_question(asked.words["question"]))
    count = 0
    async for line in _beside(desk.asking, _lines(query, everywhere=bool(asked.words.get("everywhere")))):
        count += len(line.get("rows", ()))
        yield line
    yield {"done": count}


def _lines(query: Any, *, everywhere: bool) -> Iterator[dict[str, Any]]:
    from earthlab.catalog import ask_everyone
    from earthlab.catalog.everywhere import LAB

    limited = replace(query, limit=min(query.limit or MOST_ITEMS, MOST_ITEMS))
    for arrival in ask_everyone(query if everywhere else limited, of=None if everywhere else {LAB}):
        if arrival.items:
            yield {"rows": [render_row(item, arrival.endpoint) for item in arrival.items]}
        if arrival.outcome is not None:
            yield {"outcome": asdict(arrival.outcome)}


async def _beside(pool: ThreadPoolExecutor, lines: Iterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """An iterator that waits, taken step by step in a thread; left where the page has gone."""
    loop = asyncio.get_running_loop()
    while (line := await loop.run_in_executor(pool, next, lines, _END)) is not _END:
        assert isinstance(line, dict)
        yield line
