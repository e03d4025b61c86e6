"""What a real Chromium asks of the lab when somebody opens a notebook and works: `earthlab/rehearsal/jupyterlab.json`.

Run it against a running lab after a change of JupyterLab, JupyterHub or an extension::

    python -m tests.rehearsal.recorder LINK earthlab/rehearsal/jupyterlab.json

It waits a minute with the tab left open, to see what the page asks by itself.
"""

import base64
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from earthlab.rehearsal.messages import unpack
from earthlab.rehearsal.traffic import Places, parse_places

BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PACKAGES = ("jupyterhub", "jupyterlab", "jupyter_server", "jupyterlab_widgets", "ipyleaflet", "pyviz_comms")
IDLE = ".jp-Notebook-ExecutionIndicator[data-status='idle']"
_EVENTS = ("requestWillBeSent", "responseReceived", "loadingFinished", "loadingFailed", "webSocketFrameSent")


@dataclass
class Asked:
    """One request as the browser saw it; times in seconds of the browser's own clock."""

    phase: str
    method: str
    url: str
    body: str | None
    begun: float
    ended: float = float("inf")
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Recorder:
    """Listens to one page; ``phase`` names what the person is doing."""

    phase: str = "hub"
    asked: dict[str, Asked] = field(default_factory=dict)
    frames: list[tuple[str, bytes]] = field(default_factory=list)
    redirected: Iterable[int] = field(default_factory=itertools.count)

    def listen(self, page: Page) -> None:
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        hearers: tuple[Callable[[Any], None], ...] = (self._sent, self._answered, self._ended, self._ended, self._frame)
        for name, hear in zip(_EVENTS, hearers, strict=True):
            session.on(f"Network.{name}", hear)

    def _sent(self, event: Any) -> None:
        mark, request = event["requestId"], event["request"]
        if mark in self.asked:  # a redirect keeps its mark
            self.asked[f"{mark}-{next(iter(self.redirected))}"] = self.asked.pop(mark)
        if request["url"].startswith("http"):
            self.asked[mark] = Asked(
                self.phase, request["method"], request["url"], request.get("postData"), event["timestamp"]
            )

    def _answered(self, event: Any) -> None:
        if event["requestId"] in self.asked:
            found = self.asked[event["requestId"]]
            found.status = event["response"]["status"]
            found.headers = {name.lower(): value for name, value in event["response"]["headers"].items()}

    def _ended(self, event: Any) -> None:
        if event["requestId"] in self.asked:
            self.asked[event["requestId"]].ended = event["timestamp"]

    def _frame(self, event: Any) -> None:
        if event["response"]["opcode"] == 2:
            self.frames.append((self.phase, base64.b64decode(event["response"]["payloadData"])))


def record(link: str, chromium: str = "/usr/bin/chromium", *, watch: float = 65.0) -> dict[str, Any]:
    """Open the lab by a sign-in link, run the first two cells, leave the tab open; what was asked, as data."""
    recorder = Recorder()
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=BROWSER)
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, locale="fr-FR")
        page = context.new_page()
        recorder.listen(page)
        page.on("framenavigated", lambda frame: _navigated(recorder, frame.url))
        page.goto(link)
        page.wait_for_selector("#jp-main-dock-panel", timeout=120_000)
        recorder.phase = "notebook"
        page.wait_for_selector(IDLE, timeout=120_000)
        page.wait_for_timeout(5_000)
        recorder.phase = "cells"
        page.locator(".jp-Cell").first.click()
        for _ in range(4):
            page.keyboard.press("Shift+Enter")
            page.wait_for_timeout(4_000)
        recorder.phase = "save"
        page.keyboard.press("Control+s")
        page.wait_for_timeout(3_000)
        recorder.phase = "open tab"
        page.wait_for_timeout(watch * 1_000)
        recorder.phase = "end"
        name, places = browser.version, parse_places(page.content(), "")
        browser.close()
    return describe(recorder, places, name, watch)


def _navigated(recorder: Recorder, url: str) -> None:
    if recorder.phase == "hub" and "/lab/" in url:
        recorder.phase = "page"


def describe(recorder: Recorder, places: Places, chromium: str, watch: float) -> dict[str, Any]:
    """The recording as the file holds it: places and names are left open, in braces."""
    asked = sorted(recorder.asked.values(), key=lambda request: request.begun)
    user = next(found[1] for request in asked if (found := re.search(r"/user/([^/]+)/lab/", request.url)))
    name = next(found[1] for r in asked if (found := re.search(r"/lab/tree/([^?]+\.ipynb)", r.url)))
    fill = _Blanks(user, name, places)
    # A document belongs to what it leads to; requests that only followed the page's own redirects stay out.
    page = [r for r in asked if r.phase == "page" and not r.url.split("?")[0].endswith(f"/lab/tree/{name}")]
    notebook = [r for r in asked if r.phase == "notebook" and r.begun < _session_begun(asked)]
    opened = [r for r in asked if r.phase in {"page", "notebook"}]
    watched = Counter(fill(r.url) for r in asked if r.phase == "open tab" and r.method == "GET")
    workspace = next(r.body for r in reversed(asked) if r.method == "PUT" and "/lab/api/workspaces/" in r.url)
    return {
        "recorded": {"chromium": chromium, **{package: version(package) for package in PACKAGES}},
        "hub": [fill(r.url) for r in asked if r.phase == "hub" and "/hub/static/" in r.url],
        "page": _ordered(page, fill),
        "notebook": _ordered(notebook, fill),
        "session": [fill(r.url) for r in opened if r.begun > _session_begun(asked) and _is_plain(r)],
        "cell": ["{base}static/favicons/favicon-busy-1.ico", "{base}static/favicons/favicon.ico"],
        "save": [[r.method, fill(r.url)] for r in asked if r.phase == "save" and "/api/contents/" in r.url],
        "polls": {url: round(watch / many, 1) for url, many in sorted(watched.items()) if "api/" in url},
        "workspace": json.loads(fill(workspace or "{}")),
        "frames": [_frame(raw) for phase, raw in recorder.frames if phase == "notebook"],
    }


def _session_begun(asked: list[Asked]) -> float:
    return next(r.begun for r in asked if r.method == "POST" and "/api/sessions" in r.url)


def _is_plain(request: Asked) -> bool:
    return request.method == "GET" and "/static/" not in request.url and "/sessions/" not in request.url


def _ordered(asked: list[Asked], fill: "_Blanks") -> list[dict[str, Any]]:
    """Each request with the one that ended last before it began (-1: the page itself) and the seconds between."""
    rows = []
    plain = [r for r in asked if r.method == "GET"]
    first = min((r.begun for r in plain), default=0.0)
    for request in plain:
        before = [(r.ended, index) for index, r in enumerate(plain) if r.ended <= request.begun]
        ended, after = max(before, default=(first, -1))
        row = {"url": fill(request.url), "after": after, "delay": round(max(0.0, request.begun - ended), 3)}
        rows.append(row | ({"status": request.status} if request.status != 200 else {}))
    return rows


def _frame(raw: bytes) -> dict[str, Any]:
    message = unpack(raw)
    return {"channel": message.channel, "msg_type": message.msg_type, "content": message.content}


@dataclass
class _Blanks:
    user: str
    notebook: str
    places: Places

    def __call__(self, text: str) -> str:
        folder = self.notebook.rpartition("/")[0]
        parts = urlsplit(text)
        if parts.scheme in {"http", "https"}:
            text = text.removeprefix(f"{parts.scheme}://{parts.netloc}")
        for found, blank in (
            (self.places.static, "{static}"),
            (self.places.extensions, "{extensions}"),
            (f"/user/{self.user}/", "{base}"),
            (self.notebook, "{notebook}"),
            (folder, "{folder}"),
        ):
            text = text.replace(found, blank)
        text = re.sub(r'"root": ?"[^"]*"', '"root":"{home}"', text)
        return re.sub(r"(?<=[?&])1\d{12}(?=&|$)", "{now}", text)


if __name__ == "__main__":
    found = record(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
