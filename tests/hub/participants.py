"""People with a pass and a browser of their own, in front of a small hub."""

import asyncio
import re
import sqlite3
import time
from dataclasses import dataclass

import httpx

from earthlab.hub.links import entry_url
from tests.patience import PATIENCE


@dataclass
class Participant:
    """One browser."""

    client: httpx.AsyncClient

    async def open(self, code: str) -> httpx.Response:
        """Scan a printed code, or open a link."""
        return await self.client.get(entry_url("", code))

    async def enter(self, code: str) -> httpx.Response:
        """Scan a code and press the one button."""
        page = await self.open(code)
        return await self.press(page) if 'id="enter"' in page.text else page

    async def press(self, page: httpx.Response, **words: str) -> httpx.Response:
        """Send the first form of a page that has these hidden fields or takes these words."""
        action, fields = form_of(page.text, words)
        return await self.client.post(action, data=fields | words)

    async def ask(self, page: str, **words: str) -> httpx.Response:
        """Open a page of the hub and send its form."""
        return await self.press(await self.client.get(f"/hub/{page}"), **words)

    @property
    async def name(self) -> str | None:
        """As whom this browser is signed in."""
        page = await self.client.get("/hub/home")
        found = re.search(r'<span class="me-2">([^<]+)</span>', page.text)
        return found[1] if found else None

    def cookie(self, name: str) -> str | None:
        """The value of a cookie of the hub's own pages."""
        return next((c.value for c in self.client.cookies.jar if c.name == name), None)

    def lose(self, *names: str) -> None:
        """Forget cookies, as browsers do."""
        for cookie in list(self.client.cookies.jar):
            if cookie.name in names or not names:
                self.client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


def form_of(text: str, words: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Where a form goes, and its hidden fields."""
    for found in re.finditer(r'<form action="([^"]*)"[^>]*>(.*?)</form>', text, re.DOTALL):
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', found[2]))
        if all(hidden.get(name, word) == word and f'name="{name}"' in found[2] for name, word in words.items()):
            return found[1].replace("&amp;", "&"), hidden
    raise AssertionError(f"no form with {words}: {text}")


def code_on(page: httpx.Response) -> str:
    """The code that a page shows."""
    found = re.search(r"<code[^>]*>([0-9A-Z-]{19})</code>", page.text)
    assert found, page.text
    return found[1]


NEVER = 4e9
"""An instant after all tests."""


async def until(ask, good, seconds=PATIENCE):
    """Ask again until the answer is good."""
    end = time.monotonic() + seconds
    while not good(answer := await ask()):
        assert time.monotonic() < end, answer.text
        await asyncio.sleep(0.2)
    return answer


def servers(hub, user):
    """The servers that the hub has of a user."""
    with sqlite3.connect(hub.layout.database) as db:
        rows = db.execute(
            "SELECT spawners.id FROM spawners JOIN users ON users.id = user_id WHERE users.name = ?"
            " AND server_id IS NOT NULL",
            (user,),
        ).fetchall()
    db.close()
    return rows
