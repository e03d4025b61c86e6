"""What a plan will take, in numbers a person can weigh before saying yes."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from earthlab.cube.globe import full_turn, turns_between
from earthlab.cube.plan import CubePlan
from earthlab.cube.shared import find_shared
from earthlab.cube.shared.levels import plan_levels, stored_bytes
from earthlab.errors import NotAllowed, SetupError
from earthlab.settings import NO_STORE, load_settings, named_store

# One core of an ordinary server, deflate-compressed COGs on a local disk; a remote source is slower.
# The estimate tells seconds from hours, and no more.
_BYTES_PER_SECOND = 150e6
_SECONDS_PER_READ = 0.003
_SECONDS_PER_TASK = 0.001


@dataclass(frozen=True, slots=True)
class Explanation:
    """The cost of a plan: counts, bytes, and an estimate of core seconds."""

    token: str
    collections: tuple[str, ...]
    items: int
    dates: int
    bands: tuple[str, ...]
    units: tuple[str, ...]
    grid: str
    mask: str
    missing: tuple[str, ...]
    """``item: band`` for each band an item lacks."""
    reads: int
    bytes: int
    tasks: int
    chunk: tuple[int, int, int]
    block_bytes: int
    peak_bytes: int
    """Bytes one worker thread needs at its peak."""
    core_seconds: float
    stored_bytes: int
    """What it takes in the store of shared cubes at most, overviews included."""
    levels: tuple[int, ...]
    """The overviews that are stored with it."""
    overview_bytes: int
    """What these take of it."""
    shared: str
    """Whether the store of shared cubes has it."""
    simulated: bool

    def rows(self) -> Iterator[tuple[str, str]]:
        """Label and value, in the order they are shown."""
        if self.simulated:
            yield "nature", "DONNÉES SIMULÉES / SIMULATED DATA"
        yield "collections", ", ".join(self.collections)
        yield "items, dates", f"{self.items}, {self.dates}"
        yield "bandes / bands", ", ".join(f"{b} [{u}]" for b, u in zip(self.bands, self.units, strict=True))
        yield "grille / grid", self.grid
        yield "masque / mask", self.mask
        yield "manquants / missing", _first(self.missing)
        yield "lectures / reads", f"{self.reads:,}"
        yield "taille / size", _size(self.bytes)
        yield "tâches / tasks", f"{self.tasks:,} × {_size(self.block_bytes)} (t, y, x = {self.chunk})"
        yield "mémoire / memory", f"≤ {_size(self.peak_bytes)} par fil / per thread"
        yield "cube partagé / shared", self.shared
        yield "taille partagé / size shared", self._stored()
        yield "durée / time", f"≈ {_duration(self.core_seconds)} d'un cœur / of one core (estimation)"

    def _stored(self) -> str:
        whole = f"≤ {_size(self.stored_bytes)}"
        if not self.levels:
            return whole
        factors = ", ".join(f"1/{factor}" for factor in self.levels)
        return f"{whole}, dont / of which {_size(self.overview_bytes)} d'aperçus / of overviews ({factors})"

    def __str__(self) -> str:
        wide = max(len(label) for label, _ in self.rows())
        lines = [f"{label:<{wide}}  {value}" for label, value in self.rows()]
        return "\n".join([f"Plan {self.token}", *lines])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for label, value in self.rows()
        )
        return f"<table><caption>Plan {self.token}</caption>{cells}</table>"


def explain(plan: CubePlan) -> Explanation:
    """The cost of opening and computing all of a plan; nothing is read."""
    reads = _count_reads(plan)
    tasks = len(plan.chunks[0]) * len(plan.chunks[1]) * len(plan.chunks[2])
    chunk = (plan.chunks[0][0], plan.chunks[1][0], plan.chunks[2][0])
    block = 4 * len(plan.bands) * chunk[0] * chunk[1] * chunk[2]
    return Explanation(
        token=plan.token,
        collections=plan.collections,
        items=sum(1 for _ in plan.layers()),
        dates=len(plan.steps),
        bands=plan.bands,
        units=plan.units,
        grid=_grid(plan),
        mask=f"{plan.mask.name} – {plan.mask.why}" if plan.mask else "aucun / none",
        missing=tuple(_missing(plan)),
        reads=reads,
        bytes=plan.nbytes,
        tasks=tasks,
        chunk=chunk,
        block_bytes=block,
        peak_bytes=3 * block + 3 * 4 * chunk[1] * chunk[2],
        core_seconds=plan.nbytes / _BYTES_PER_SECOND + reads * _SECONDS_PER_READ + tasks * _SECONDS_PER_TASK,
        stored_bytes=stored_bytes(plan),
        levels=plan_levels(plan),
        overview_bytes=stored_bytes(plan) - stored_bytes(plan, overviews=False),
        shared=_shared(plan),
        simulated=plan.simulated,
    )


def _shared(plan: CubePlan) -> str:
    if named_store(load_settings()) == NO_STORE:
        return "non, ce labo n’en garde pas / no, this lab keeps none"
    try:
        found = find_shared(plan, wait=False)
    except (NotAllowed, SetupError) as exc:
        return f"inconnu / unknown: {exc}"
    return f'oui / yes: el.open("cube:{plan.token}")' if found else "non / no"


def _count_reads(plan: CubePlan) -> int:
    total = 0
    for layer in plan.layers():
        files = sum(source is not None for source in layer.sources) + (layer.mask is not None)
        total += files * _count_tiles(plan, layer.bounds)
    return total


def _count_tiles(plan: CubePlan, bounds: tuple[float, float, float, float] | None) -> int:
    tiles = plan.chunks[1:]
    if bounds is None:
        return len(tiles[0]) * len(tiles[1])
    left, bottom, right, top = bounds
    box, turn = plan.geobox.boundingbox, full_turn(plan.geobox.crs)
    rows: set[int] = set()
    columns: set[int] = set()
    for times in turns_between((left, right), (box.left, box.right), turn):
        sides = (left + times * turn, right + times * turn)
        across, down = zip(*(~plan.geobox.transform * (x, y) for x in sides for y in (bottom, top)), strict=True)
        rows.update(_touched(tiles[0], min(down), max(down)))
        columns.update(_touched(tiles[1], min(across), max(across)))
    return len(rows) * len(columns)


def _touched(sizes: tuple[int, ...], first: float, last: float) -> Iterator[int]:
    edges = pairwise((0, *accumulate(sizes)))
    return (at for at, (start, stop) in enumerate(edges) if start < last and first < stop)


def _missing(plan: CubePlan) -> Iterator[str]:
    for layer in plan.layers():
        for name, source in zip(plan.bands, layer.sources, strict=True):
            if source is None:
                yield f"{layer.item}: {name}"


def _grid(plan: CubePlan) -> str:
    rows, columns = plan.shape
    crs = plan.geobox.crs
    assert crs is not None
    name = plan.crs if crs.epsg else str(crs.proj.name)
    return f"{columns} × {rows} px, {abs(plan.transform[0]):g} {crs.units[0]}, {name}"


def _first(missing: tuple[str, ...]) -> str:
    if not missing:
        return "aucun / none"
    rest = len(missing) - 3
    return ", ".join(missing[:3]) + (f" … +{rest}" if rest > 0 else "")


def _size(count: float) -> str:
    for unit in ("o/B", "kio/KiB", "Mio/MiB", "Gio/GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} Tio/TiB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"
