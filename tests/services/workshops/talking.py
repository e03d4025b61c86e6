"""What browsers, and the servers of seats, say to the workshops' service; and what a wall is told."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from earthlab.testing.streams import read_events
from tests.hub.small_hub import Visitor

HERE = "/services/workshops/"


def xsrf_of(page: str) -> str:
    """With what a page of ours keeps other pages from sending its forms."""
    found = re.search(r'data-xsrf="([^"]+)"', page)
    assert found, page
    return found[1]


@asynccontextmanager
async def open_wall(visitor: Visitor, slug: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """What a wall is sent while it stands open: kinds and contents."""
    page = await visitor.get(f"{HERE}w/{slug}/wall")
    params = {"_xsrf": xsrf_of(page.text)}
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    async with visitor.client.stream("GET", f"{HERE}w/{slug}/stream", params=params, headers=headers) as stream:
        assert stream.status_code == 200
        yield read_events(stream)


def read_server_tokens() -> dict[str, str]:
    """The token in the environment of each user's server on this machine: what the sender of events has."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            said = dict(word.split(b"=", 1) for word in words if b"=" in word)
            if b"JUPYTERHUB_USER" in said and b"JUPYTERHUB_API_TOKEN" in said:
                found[said[b"JUPYTERHUB_USER"].decode()] = said[b"JUPYTERHUB_API_TOKEN"].decode()
    return found


def server_token(user: str) -> str:
    """The token of a user's server."""
    found = read_server_tokens()
    assert user in found, f"no server of {user} runs"
    return found[user]
