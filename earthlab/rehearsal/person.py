"""One seat: a person who comes in by a link, opens the notebook, works through it and leaves the tab open."""

import asyncio
import json
import random
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from earthlab.errors import EarthlabError
from earthlab.rehearsal.behaviour import CLUSTER, Plan
from earthlab.rehearsal.browser import Browser, Page, Trouble
from earthlab.rehearsal.channel import Channel, Outcome
from earthlab.rehearsal.lesson import Cell, Lesson
from earthlab.rehearsal.story import Failure, Kind, Phase, Span, Story
from earthlab.rehearsal.traffic import Places, Recording, Step, parse_places

_EVENTS = re.compile(r"EventSource\(\s*[\"']([^\"']+)[\"']")
_REFRESH = re.compile(r"""http-equiv=["']?refresh["']?\s+content=["']?(\d+)""", re.IGNORECASE)
_TRIES = 6
_ABANDONED = "import earthlab as el\nabandoned = el.cluster()"
"""What somebody runs who forgets to stop."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a person waits, in seconds: for a page, for a seat in the queue, for a kernel, for a cell."""

    page: float = 120.0
    seat: float = 1800.0
    kernel: float = 120.0
    cell: float = 600.0
    save_every: float = 120.0


@dataclass(slots=True)
class Person:
    """A seat of the rehearsal, living in one event loop whose time ``began`` is the rehearsal's start.

    What goes wrong is noted in ``failures``; the person tries again where people do: by loading the page anew.
    """

    plan: Plan
    lesson: Lesson
    recording: Recording
    origin: str
    link: Callable[[], str]
    """Makes a one-time link, when the person arrives."""
    began: float
    ends: float
    failures: list[Failure]
    patience: Patience = field(default_factory=Patience)
    story: Story = field(init=False)
    phase: Phase = "thinking"
    present: bool = False
    thought: float = 0.0
    _browser: Browser = field(init=False)
    _places: Places = field(init=False)
    _channel: Channel = field(init=False)
    _habits: list[asyncio.Task[None]] = field(default_factory=list)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.story = Story(self.plan.user, self.plan.habit)
        self._browser = Browser(self.origin, self._note, self.patience.page)
        self._chance = random.Random(self.plan.user)  # noqa: S311 - no secrets

    async def live(self) -> None:
        """Everything from the click on the link to the closed window."""
        await asyncio.sleep(max(0.0, self.began + self.plan.arrives - self._clock()))
        self.story.arrived = self._now()
        self.present = True
        self._browser.open()
        try:
            await self._attend()
        except Trouble as exc:
            self._note(exc.kind, f"{self.phase}: {exc}")
        except EarthlabError as exc:
            self._note("rehearsal", f"{self.phase}: {exc}")
        finally:
            self.present = False
            self.story.requests, self.story.bytes_read = self._browser.requests, self._browser.bytes_read
            await self._rest()
            await self._browser.close()

    async def _attend(self) -> None:
        page = await self._come_in()
        await self._open_lab(page)
        self.story.lab_ready = self._now()
        await self._open_notebook()
        await self._open_kernel(await self._new_session())
        for cell, seconds in zip(self.lesson.cells, self.plan.thinking, strict=True):
            await self._think(seconds)
            if self.plan.habit == "reloads" and cell.number - 1 == self.plan.at:
                await self._reload()
            with self._in("cell"):
                outcome = await self._run(cell)
            if outcome is None:
                return
            self._judge(cell, outcome)
        self.story.finished = True
        await self._save()
        with self._in("open tab"):
            await asyncio.sleep(max(0.0, self.ends - self._clock()))

    # Coming in

    async def _come_in(self) -> Page:
        """From the link to JupyterLab's page, through whatever the hub shows in between."""
        with self._in("sign-in"):
            page = await self._browser.visit(await asyncio.to_thread(self.link))
        if page.status >= 400:
            raise Trouble("HTTP 4xx", f"the sign-in link was answered {page.status}")
        self.story.signed_in = self._now()
        with self._in("waiting"):
            for _ in range(_TRIES):
                if _is_lab(page):
                    return page
                # From the second time on they come from the cache, but for the few that are asked for anew.
                await asyncio.gather(*(self._fetch_file(url) for url in self.recording.hub))
                page = await self._wait_on(page)
        if _is_lab(page):
            return page
        raise Trouble("start failed", f"no JupyterLab after {_TRIES} pages; the last was {page.status} {_path(page)}")

    async def _wait_on(self, page: Page) -> Page:
        if page.status >= 400:
            await asyncio.sleep(page.retry_after or self._chance.uniform(3, 8))
            return await self._browser.visit("/hub/spawn")
        if stream := _EVENTS.search(page.text):
            await self._await_server(stream[1].replace("\\u0026", "&").replace("&amp;", "&"))
        elif refresh := _REFRESH.search(page.text):
            await asyncio.sleep(float(refresh[1]))
        else:
            return await self._browser.visit("/hub/spawn")
        return await self._browser.visit(page.url)

    async def _await_server(self, stream: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience.seat):
                async for data in self._browser.follow(stream):
                    event = json.loads(data)
                    if event.get("failed"):
                        raise Trouble("start failed", str(event.get("message", ""))[:300])
                    if event.get("ready"):
                        return
                return
        raise Trouble("timeout", f"no server after {self.patience.seat:.0f} s on the waiting page")

    async def _open_lab(self, page: Page) -> None:
        with self._in("page"):
            self._places = parse_places(page.text, self.lesson.path)
            await self._load(self.recording.page)
            events = await self._browser.connect(f"{self._places.base}api/events/subscribe")
            self._habits.append(asyncio.create_task(_drain(events)))
        self._habits += [asyncio.create_task(self._poll(url, period)) for url, period in self.recording.polls.items()]
        self._habits.append(asyncio.create_task(self._save_now_and_then()))

    async def _load(self, steps: Sequence[Step]) -> None:
        """Ask for all that a page needs, each request after the one that it waited for in the recording."""
        ended = [asyncio.Event() for _ in steps]

        async def ask(index: int, step: Step) -> None:
            if step.after >= 0:
                await ended[step.after].wait()
            await asyncio.sleep(step.delay)
            try:
                await self._browser.fetch(self._places.fill(step.url), step.status)
            except Trouble as exc:
                self._note(exc.kind, str(exc))
            finally:
                ended[index].set()

        async with asyncio.TaskGroup() as group:
            for index, step in enumerate(steps):
                group.create_task(ask(index, step))

    # The notebook and its kernel

    async def _open_notebook(self) -> None:
        with self._in("notebook"):
            if self.lesson.path.startswith("repetition/"):
                await self._bring_notebook()
            await self._keep_workspace()
            await self._load(self.recording.notebook)

    async def _bring_notebook(self) -> None:
        await self._call("PUT", "{base}api/contents/repetition", {"type": "directory", "path": "repetition"})
        await self._call("PUT", "{base}api/contents/{notebook}", self._document())

    def _document(self) -> dict[str, Any]:
        return {"type": "notebook", "format": "json", "content": json.loads(self.lesson.document)}

    async def _new_session(self) -> str:
        """Start the kernel; its id."""
        with self._in("kernel"):
            folder, name = _folder(self.lesson.path), self.lesson.path.rpartition("/")[2]
            wanted = {"type": "notebook", "name": name, "kernel": {"name": self.lesson.kernel}}
            # JupyterLab starts it under a passing name and renames it.
            made = await self._call("POST", "{base}api/sessions?{now}", wanted | {"path": f"{folder}/{uuid.uuid4()}"})
            for change in ({"path": self.lesson.path}, {"name": name}):
                await self._call("PATCH", f"{{base}}api/sessions/{made['id']}?{{now}}", change | {"id": made["id"]})
            return str(made["kernel"]["id"])

    async def _open_kernel(self, kernel: str) -> None:
        with self._in("kernel"):
            self._channel = Channel(self._browser, f"{self._places.base}api/kernels/{quote(kernel)}/channels")
            await self._channel.open()
            await asyncio.gather(*(self._fetch(url) for url in self.recording.session))
            await self._channel.greet(self.recording.frames, self.patience.kernel)

    async def _reload(self) -> None:
        """Load the page anew, as somebody does who comes back to a closed tab: the kernel is still there."""
        await self._channel.drop()
        await self._rest()
        page = await self._browser.visit(f"{self._places.base}lab/tree/{quote(self.lesson.path)}")
        await self._open_lab(page)
        with self._in("notebook"):
            await self._load(self.recording.notebook)
        sessions = await self._call("GET", "{base}api/sessions?{now}")
        kernels = [s["kernel"]["id"] for s in sessions if s["path"] == self.lesson.path]
        if not kernels:
            raise Trouble("kernel died", "the page was loaded anew, and the notebook's kernel was gone")
        await self._open_kernel(kernels[0])

    # Working

    async def _run(self, cell: Cell) -> Outcome | None:
        """One cell to its end; ``None`` for a person who left in the middle of it."""
        begun = self._clock()
        leaves = self.plan.habit == "leaves" and cell.number - 1 == self.plan.at
        sent = await self._channel.start(_ABANDONED if leaves and CLUSTER in cell.code else cell.code)
        here = asyncio.gather(*(self._fetch(url) for url in self.recording.cell), self._keep_workspace())
        try:
            if cell.number - 1 == self.plan.at and self.plan.habit in {"drops", "leaves"}:
                await self._channel.wait_for_begin(sent, self.patience.cell)
                await self._channel.drop()
                if leaves:
                    return None
                with self._in("away"):
                    await asyncio.sleep(self.plan.away)
                await self._channel.open()
            outcome = await self._channel.finish(sent, self.patience.cell)
        finally:
            await here
        self.story.cells_run += 1
        self.story.cell_seconds.append(round(self._clock() - begun, 3))
        return outcome

    def _judge(self, cell: Cell, outcome: Outcome) -> None:
        story = self.story
        if outcome.error and not cell.may_fail:
            self._note("cell error", f"cell {cell.number}: {outcome.error}")
        elif story.first_cell is None:
            story.first_cell, story.thought_before_cell = self._now(), self.thought
        if outcome.picture is not None and story.first_picture is None:
            story.first_picture = outcome.picture - self.began
            story.thought_before_picture = self.thought

    async def _think(self, seconds: float) -> None:
        with self._in("thinking"):
            await asyncio.sleep(seconds)
        self.thought += seconds

    async def _save(self) -> None:
        for method, url in self.recording.save:
            body = self._document() if method == "PUT" else None
            await self._call(method, url, body)

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.patience.save_every)
            with self._noting():
                await self._save()

    async def _poll(self, url: str, period: float) -> None:
        while True:
            await asyncio.sleep(period * self._chance.uniform(0.9, 1.1))
            await self._fetch(url)

    async def _keep_workspace(self) -> None:
        with self._noting():
            await self._call("PUT", "{base}lab/api/workspaces/default?{now}", self.recording.workspace)

    async def _fetch(self, url: str) -> None:
        await self._fetch_file(self._places.fill(url))

    async def _fetch_file(self, url: str) -> None:
        with self._noting():
            await self._browser.fetch(url)

    async def _call(self, method: str, url: str, body: Any = None) -> Any:
        return await self._browser.call(method, self._places.fill(url), body)

    async def _rest(self) -> None:
        """End what an open page does by itself."""
        for task in self._habits:
            task.cancel()
        await asyncio.gather(*self._habits, return_exceptions=True)
        self._habits.clear()

    # Keeping the story

    @contextmanager
    def _in(self, phase: Phase) -> Iterator[None]:
        before, self.phase, begun = self.phase, phase, self._now()
        try:
            yield
            self.phase = before
        finally:
            self.story.spans.append(Span(phase, round(begun, 3), round(self._now(), 3)))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Trouble as exc:
            self._note(exc.kind, str(exc))

    def _note(self, kind: Kind, what: str) -> None:
        self.failures.append(Failure(kind, self.plan.user, round(self._now(), 2), what))

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()

    def _now(self) -> float:
        return self._clock() - self.began


async def _drain(line: Any) -> None:
    async for _ in line:
        pass


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _is_lab(page: Page) -> bool:
    return page.status < 400 and "jupyter-config-data" in page.text


def _path(page: Page) -> str:
    return urlsplit(page.url).path
