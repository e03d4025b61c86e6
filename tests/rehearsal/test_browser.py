"""Against a real server: the cache asks as a browser's does, and every refusal a person would see is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from earthlab.rehearsal.browser import Browser, Trouble


@dataclass
class Site:
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((str(request.rel_url), dict(request.headers)))
        kinds: dict[str, Callable[[web.Request], web.StreamResponse]] = {
            "/for-ever.js": lambda _: web.Response(text="x", headers={"Cache-Control": "public, immutable"}),
            "/asked.js": self._asked_anew,
            "/never.js": lambda _: web.Response(text="x", headers={"Cache-Control": "no-store", "ETag": '"e"'}),
            "/api/thing": lambda _: web.json_response({"seen": request.method}),
            "/empty": lambda _: web.Response(status=204),
            "/busy": lambda _: web.Response(status=429, headers={"Retry-After": "7"}),
            "/broken": lambda _: web.Response(status=502),
            "/odd": lambda _: web.Response(status=404),
        }
        if request.path not in kinds:
            answer = web.Response(text="page")
            for token, path in (("hub", "/hub/"), ("mine", "/user/a/")):
                answer.headers.add("Set-Cookie", f"_xsrf={token}; Path={path}")
            return answer
        return kinds[request.path](request)

    def _asked_anew(self, request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"e1"':
            return web.Response(status=304)
        return web.Response(text="x", headers={"Cache-Control": "no-cache", "ETag": '"e1"'})


@dataclass
class Visit:
    browser: Browser
    site: Site
    noted: list[tuple[str, str]]


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    site, noted = Site(), []
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    async with TestServer(app) as server:
        browser = Browser(
            str(server.make_url("")).rstrip("/"), lambda kind, what: noted.append((kind, what)), patience=5
        )
        browser.open()
        yield Visit(browser, site, noted)
        await browser.close()


async def test_what_is_kept_for_ever_is_asked_for_once(visit: Visit) -> None:
    for _ in range(3):
        await visit.browser.fetch("/for-ever.js")
    assert len(visit.site.asked) == 1


async def test_what_must_be_asked_for_anew_is_asked_with_its_mark(visit: Visit) -> None:
    for _ in range(2):
        await visit.browser.fetch("/asked.js")
    assert [headers.get("If-None-Match") for _, headers in visit.site.asked] == [None, '"e1"']
    assert not visit.noted


async def test_what_must_not_be_kept_and_what_has_a_moment_in_its_address_is_asked_for_whole(visit: Visit) -> None:
    for url in ("/never.js", "/asked.js?1795280302549"):
        await visit.browser.fetch(url)
        await visit.browser.fetch(url)
    assert len(visit.site.asked) == 4
    assert not any("If-None-Match" in headers for _, headers in visit.site.asked)


async def test_a_page_s_own_token_goes_along_and_no_other_page_s(visit: Visit) -> None:
    await visit.browser.visit("/")
    await visit.browser.call("GET", "/api/thing")
    await visit.browser.fetch("/user/a/api/x")
    tokens = [headers.get("X-XSRFToken") for _, headers in visit.site.asked]
    assert tokens == [None, None, "mine"]


async def test_answers_are_json_or_nothing(visit: Visit) -> None:
    assert await visit.browser.call("POST", "/api/thing", {"a": 1}) == {"seen": "POST"}
    assert await visit.browser.call("PUT", "/empty", {}) is None


@pytest.mark.parametrize(("url", "kind"), [("/busy", "HTTP 429"), ("/broken", "HTTP 5xx"), ("/odd", "HTTP 4xx")])
async def test_every_refusal_is_told_by_its_kind(visit: Visit, url: str, kind: str) -> None:
    page = await visit.browser.visit(f"{url}?token=secret")
    assert page.status in {429, 502, 404}
    await visit.browser.fetch(url)
    with pytest.raises(Trouble, match=url) as refused:
        await visit.browser.call("GET", url)
    assert refused.value.kind == kind
    assert [found for found, _ in visit.noted] == [kind, kind]
    assert not any("secret" in what for _, what in visit.noted)


async def test_a_busy_hub_says_when_to_come_back(visit: Visit) -> None:
    assert (await visit.browser.visit("/busy")).retry_after == 7


async def test_what_a_real_browser_was_refused_too_is_no_failure(visit: Visit) -> None:
    await visit.browser.fetch("/odd", expected=404)
    assert not visit.noted


async def test_a_server_that_is_gone_is_told(visit: Visit) -> None:
    visit.browser.origin = "http://127.0.0.1:9"
    with pytest.raises(Trouble) as gone:
        await visit.browser.visit("/")
    assert gone.value.kind == "connection"
    with pytest.raises(Trouble) as gone:
        await visit.browser.connect("/socket")
    assert gone.value.kind == "connection"


async def test_connections_that_the_server_has_closed_meanwhile_are_no_failure():
    served = 0

    async def serve(reader, writer):
        nonlocal served
        # One answer a connection, which then seems to stay open.
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((line.split(":")[1] for line in head.splitlines() if line.startswith("Content-Length")), "0")
        await reader.readexactly(int(length))
        served += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    told = []
    browser = Browser(
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lambda *trouble: told.append(trouble), 5
    )
    browser.open()
    await asyncio.gather(*(browser.fetch(f"/first/{number}") for number in range(4)))
    await browser.fetch("/again")
    for method in ("PATCH", "POST", "DELETE"):
        await asyncio.gather(*(browser.fetch(f"/more/{method}/{number}") for number in range(4)))
        await browser.call(method, "/again", {"words": "x"})
    assert (told, served) == ([], 20)
    await browser.close()
    server.close()
    await server.wait_closed()
