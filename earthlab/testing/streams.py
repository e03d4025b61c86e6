"""Streams of events as a browser reads them (``EventSource``)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx


async def read_events(stream: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """The kind of each event, ``""`` where it says none, and its data, read as JSON.

    Parameters
    ----------
    stream : httpx.Response
        The open answer, see `httpx.AsyncClient.stream`.
    """
    kind = ""
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))
        elif not line:
            kind = ""
