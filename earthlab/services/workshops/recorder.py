"""In a kernel of a warm-up: what its cells open, read and take, added line by line to a file that the warm-up reads.

It is told by the library (`earthlab.witness`) and measures the kernel itself. Nothing of a cell's own words is noted.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from earthlab.cube.faults import listen_for_faults
from earthlab.cube.plan import CubePlan, Layer
from earthlab.cube.readers.opened import is_remote
from earthlab.cube.shared import share_cube
from earthlab.errors import EarthlabError
from earthlab.witness import Act, listen

LARGEST_KEPT = 2 * 2**30
"""Bytes, as float32, of the largest cube that is kept although its notebook does not ask for a shared one."""

_NEAR = {"127.0.0.1", "::1", "localhost", ""}
_ENCODED = 4


@dataclass(slots=True)
class Recorder:
    """Notes into a file, one JSON object a line.

    Parameters
    ----------
    file : Path
        Where; others may add to it, too.
    """

    file: Path
    _plans: dict[str, CubePlan] = field(default_factory=dict)
    _served: set[str] = field(default_factory=set)
    """Tokens of cubes whose values come from the store."""
    _blocks: set[tuple[Any, ...]] = field(default_factory=set)
    _begun: float = 0.0
    _private: int = 0
    _resident: int = 0

    def hear(self, act: Act, what: Mapping[str, Any]) -> None:
        """Note what the library tells."""
        match act:
            case "planned":
                self._note_plan(what["plan"], what["items"], share=what["share"])
            case "shared":
                self._note_shared(what["token"], built=what["built"])
            case "read":
                self._note_block(what["token"], what["bands"], what["spans"])
                for fault in what["faults"]:
                    self._write("fault", words=f"{fault.item}, {fault.band}: {fault.cause}"[:300])
            case "tabled":
                self._note_table(what["items"], what["hrefs"])
            case "clustered":
                # What was opened before has told nobody over there to tell us.
                for token in self._plans:
                    listen_for_faults(token)
            case "asked" if what["host"] not in _NEAR:
                self._write("outside", host=what["host"], why="catalogue")

    def begin_cell(self, *_: object) -> None:
        """A cell begins: from here on the most memory is looked for."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._begun, self._private, self._resident = time.monotonic(), _read_private(), _read_status("VmRSS")

    def end_cell(self, *_: object) -> None:
        """A cell has ended: what it took."""
        grown = max(0, _read_status("VmHWM") - self._resident)
        self._write("cell", seconds=round(time.monotonic() - self._begun, 3), memory=self._private + grown)

    def keep(self) -> None:
        """Build what notebooks read over the network and did not ask to share, so that they no longer have to."""
        for token, plan in self._plans.items():
            if token in self._served or not _remote_sources(plan):
                continue
            if plan.nbytes > LARGEST_KEPT:
                words = f"{plan.nbytes / 2**30:.1f} GiB > {LARGEST_KEPT / 2**30:.0f} GiB"
                self._write("kept", token=token, state="large", words=words)
                continue
            self._keep(plan)

    def _keep(self, plan: CubePlan) -> None:
        try:
            cube = share_cube(plan)
        except EarthlabError as exc:
            self._write("kept", token=plan.token, state="refused", words=str(exc)[:300])
            return
        state = "faulty" if cube.faults else "built" if cube.built else "found"
        self._write("kept", token=plan.token, state=state, words=str(cube.faults[0].cause)[:300] if cube.faults else "")

    def _note_plan(self, plan: CubePlan, items: Iterable[Any], *, share: bool) -> None:
        if plan.token in self._plans:
            return
        self._plans[plan.token] = plan
        assets = {band.href: band.asset for item in items for band in item.bands}
        rows: dict[tuple[str, str], set[str]] = {}
        for layer in plan.layers():
            found = rows.setdefault((plan.collection_of(layer), layer.item), set())
            for band, source in zip(plan.bands, layer.sources, strict=True):
                if source is not None:
                    found.add(assets.get(source.href, band))
        for (collection, item), names in rows.items():
            self._write("item", collection=collection, item=item, assets=sorted(names))
        for host in sorted(_remote_sources(plan)):
            self._write("outside", host=host, why="pixels", token=plan.token)
        self._write("cube", token=plan.token, collections=list(plan.collections), bands=list(plan.bands),
                    dates=len(plan.steps), shape=list(plan.shape), bytes=plan.nbytes, share=share)  # fmt: skip

    def _note_shared(self, token: str, *, built: bool) -> None:
        self._served.add(token)
        self._write("shared", token=token, built=built)
        if built and token in self._plans:
            plan = self._plans[token]
            whole = tuple(slice(0, length) for length in (len(plan.steps), *plan.shape))
            self._note_block(token, plan.bands, whole)

    def _note_block(self, token: str, bands: tuple[str, ...], spans: tuple[slice, ...]) -> None:
        plan = self._plans.get(token)
        key = (token, bands, *((span.start, span.stop) for span in spans))
        if plan is None or key in self._blocks:
            return
        self._blocks.add(key)
        self._write("read", bytes=_count_bytes(plan, bands, spans))

    def _note_table(self, items: Iterable[Any], hrefs: Iterable[str]) -> None:
        for item in items:
            assets = sorted({band.asset for band in item.bands})
            self._write("item", collection=item.collection, item=item.id, assets=assets)
        for host in sorted({_host(href) for href in hrefs if is_remote(href)}):
            self._write("outside", host=host, why="table")

    def _write(self, kind: str, **words: Any) -> None:
        line = json.dumps({"kind": kind, **words}, ensure_ascii=False) + "\n"
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def record(file: str) -> Recorder:
    """Record from now on, in the kernel that this is called in."""
    from IPython import get_ipython  # in a kernel only

    recorder = Recorder(Path(file))
    listen(recorder.hear)
    events = get_ipython().events
    events.register("pre_run_cell", recorder.begin_cell)
    events.register("post_run_cell", recorder.end_cell)
    return recorder


def open_named(cube: str) -> None:
    """Have a cube that a workshop names at hand: a shared one by its token, or all items of a collection.

    Raises
    ------
    EarthlabError
        Where it is not there, or too large.
    """
    from earthlab.catalog import search
    from earthlab.cube import open as open_cube

    token = cube.removeprefix("cube:")
    if token != cube or re.fullmatch(r"[0-9a-f]{16,64}", cube):
        open_cube(f"cube:{token}")
    else:
        open_cube(search(cube), share=True)


def _remote_sources(plan: CubePlan) -> set[str]:
    layers: Iterable[Layer] = plan.layers()
    sources = (source for layer in layers for source in (*layer.sources, layer.mask) if source is not None)
    return {_host(source.href) for source in sources if is_remote(source.href)}


def _host(href: str) -> str:
    address = re.sub(r"^/vsi(?:zip/\{?/?vsi)?(?:curl|s3|gs|az)/", "", href)
    return urlsplit(address).hostname or urlsplit(address).path.split("/")[0] or "?"


def _count_bytes(plan: CubePlan, bands: tuple[str, ...], spans: tuple[slice, ...]) -> int:
    """Of the stored pixels that were asked of each source, before any compression."""
    time_, rows, columns = spans
    tile = plan.geobox[rows, columns]
    encodings = plan.encodings or (None,) * len(plan.bands)
    total = 0
    for step in plan.steps[time_]:
        for layer in step.layers:
            if layer.overlaps(tile):
                for at, band in enumerate(plan.bands):
                    if band in bands and layer.sources[at] is not None:
                        total += tile.shape[0] * tile.shape[1] * _itemsize(encodings[at])
    return total


def _itemsize(encoding: Any) -> int:
    found = re.search(r"\d+", encoding.dtype) if encoding else None
    return int(found[0]) // 8 if found else _ENCODED


def _read_private() -> int:
    """Bytes of memory that are this process's alone: a forked kernel shares the rest with the template."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return 1024 * sum(int(kilobytes) for kilobytes in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE))


def _read_status(name: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
