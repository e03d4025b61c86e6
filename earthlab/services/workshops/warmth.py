"""What a warm-up has found, and what follows from it for the workshop: pure values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Cut = Literal["passed", "failed", "impossible"]

MOST_ITEMS = 2000
"""Items that are listed; of more the count tells."""

MOST_FAULTS = 20

_NO_MEMORY = {"KernelDied", "MemoryError"}


@dataclass(frozen=True, slots=True)
class CellRun:
    """One cell that was run: seconds, bytes of memory at the most, and the error that ended its notebook."""

    notebook: str
    cell: str
    seconds: float
    memory: int
    error: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class ItemUse:
    """An item that was opened, and which of its assets."""

    collection: str
    item: str
    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CubeUse:
    """A cube that was planned, and whether the store of shared cubes has it now."""

    token: str
    collections: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    dates: int = 0
    shape: tuple[int, ...] = ()
    bytes: int = 0
    """As float32 in memory."""
    state: str = "sources"
    """``built``, ``found``, ``faulty`` (some of its sources could not be read), ``large`` and ``refused`` (not kept);
    ``sources`` where it is read from files of the lab's own."""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Outside:
    """A host of the outside network that a notebook needed, and for what: ``catalogue``, ``pixels`` or ``table``."""

    host: str
    why: str
    notebook: str


@dataclass(frozen=True, slots=True)
class Warmth:
    """All that a warm-up has found."""

    cells: tuple[CellRun, ...] = ()
    items: tuple[ItemUse, ...] = ()
    more_items: int = 0
    cubes: tuple[CubeUse, ...] = ()
    read: int = 0
    """Bytes of pixels read from items, uncompressed, each block once."""
    outside: tuple[Outside, ...] = ()
    faults: tuple[str, ...] = ()
    """Reads that failed, whose pixels a notebook takes for missing: at most `MOST_FAULTS` of them."""
    cut: Cut = "impossible"
    """Whether the notebooks ran with the outside network cut off."""
    cut_failures: tuple[str, ...] = ()
    """Why not, in a few words each."""
    broken: str = ""

    @property
    def memory(self) -> int:
        """The most that a kernel took."""
        return max((cell.memory for cell in self.cells), default=0)

    @property
    def failures(self) -> tuple[CellRun, ...]:
        """Cells that ended their notebooks."""
        return tuple(cell for cell in self.cells if cell.error)

    @property
    def warmed(self) -> tuple[str, ...]:
        """Tokens of the cubes that notebooks find in the store."""
        return tuple(cube.token for cube in self.cubes if cube.state in {"built", "found", "faulty"})

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def parse_warmth(said: Mapping[str, Any]) -> Warmth:
    """What `Warmth.to_json` gave."""
    lists = {"bands", "collections", "shape", "assets"}

    def build(kind: type[Any], row: Mapping[str, Any]) -> Any:
        return kind(**{name: tuple(value) if name in lists else value for name, value in row.items()})

    kinds = {"cells": CellRun, "items": ItemUse, "cubes": CubeUse, "outside": Outside}
    rows = {name: tuple(build(kind, row) for row in said[name]) for name, kind in kinds.items()}
    texts = {name: tuple(said[name]) for name in ("faults", "cut_failures")}
    return Warmth(**{**said, **rows, **texts})


def compile_warmth(lines: Iterable[Mapping[str, Any]]) -> Warmth:
    """What the lines of a trial say, in order.

    Parameters
    ----------
    lines : iterable of mapping
        As `earthlab.services.workshops.trial` writes them.
    """
    cells: list[CellRun] = []
    items: dict[tuple[str, str], set[str]] = {}
    cubes: dict[str, CubeUse] = {}
    outside: dict[Outside, None] = {}
    faults: dict[str, None] = {}
    read, broken = 0, ""
    for line in lines:
        match line["kind"]:
            case "cell":
                cells.append(CellRun(**{name: line[name] for name in CellRun.__slots__}))
            case "item":
                items.setdefault((line["collection"], line["item"]), set()).update(line["assets"])
            case "cube" | "shared" | "kept":
                cubes[line["token"]] = _follow_cube(cubes.get(line["token"], CubeUse(line["token"])), line)
            case "read":
                read += line["bytes"]
            case "fault":
                faults[f"{line['notebook']}: {line['words']}"] = None
            case "outside":
                outside[Outside(line["host"], line["why"], line["notebook"])] = None
            case "broken":
                broken = line["words"]
    listed = [ItemUse(*key, tuple(sorted(assets))) for key, assets in sorted(items.items())]
    return Warmth(
        cells=tuple(cells),
        items=tuple(listed[:MOST_ITEMS]),
        more_items=max(0, len(listed) - MOST_ITEMS),
        cubes=tuple(cubes.values()),
        read=read,
        outside=tuple(outside),
        faults=tuple(faults)[:MOST_FAULTS],
        broken=broken,
    )


def _follow_cube(known: CubeUse, line: Mapping[str, Any]) -> CubeUse:
    match line["kind"]:
        case "cube":
            collections, bands, shape = (tuple(line[name]) for name in ("collections", "bands", "shape"))
            return replace(
                known, collections=collections, bands=bands, shape=shape, dates=line["dates"], bytes=line["bytes"]
            )
        case "shared":
            return replace(known, state="built" if line["built"] or known.state == "built" else "found")
        case _:
            return replace(known, state=line["state"], words=line["words"])


def prove(warmth: Warmth, cut: Sequence[Mapping[str, Any]] | None) -> Warmth:
    """With what a second run has shown for which the outside network was cut off; ``None`` where none was possible."""
    if cut is None:
        return warmth
    seen = compile_warmth(cut)
    ended = any(line["kind"] == "end" for line in cut)
    failures = (*(f"{it.notebook} [{it.cell}] {it.error}" for it in seen.failures), *seen.faults)
    passed = ended and not failures and not seen.broken
    return replace(warmth, cut="passed" if passed else "failed", cut_failures=failures)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that was judged, in French and English; ``holds`` is ``None`` where it could not be looked at."""

    holds: bool | None
    french: str
    english: str


def judge_warmth(warmth: Warmth, seat: int) -> tuple[Reason, ...]:
    """What an organiser has to know. Nothing stands in the way where no reason is False.

    Parameters
    ----------
    seat : int
        Bytes of memory that the workshop plans for each seat.
    """
    return (
        *_broken(warmth),
        *_ran(warmth, seat),
        *_read_whole(warmth),
        *_fits(warmth, seat),
        *_kept(warmth),
        *_alone(warmth),
    )


def goes(reasons: Iterable[Reason]) -> bool:
    """Whether nothing stands in the way."""
    return all(reason.holds is not False for reason in reasons)


def _yes(french: str, english: str) -> Reason:
    return Reason(holds=True, french=french, english=english)


def _no(french: str, english: str) -> Reason:
    return Reason(holds=False, french=french, english=english)


def _broken(warmth: Warmth) -> Iterable[Reason]:
    if warmth.broken:
        yield _no(f"L’échauffement s’est interrompu : {warmth.broken}", f"The warm-up broke off: {warmth.broken}")


def _ran(warmth: Warmth, seat: int) -> Iterable[Reason]:
    if not warmth.failures and warmth.cells and not warmth.broken:
        many, took = len(warmth.cells), sum(cell.seconds for cell in warmth.cells)
        yield _yes(f"Les {many} cellules ont tourné, en {took:.0f} s.", f"All {many} cells ran, in {took:.0f} s.")
    for cell in warmth.failures:
        where, size = f"{cell.notebook} [{cell.cell}]", render_size(seat)
        if cell.error in _NO_MEMORY:
            yield _no(
                f"{where} : la mémoire n’a sans doute pas suffi ({cell.error}). Une place a {size} : prévoyez-en "
                "davantage, ou allégez cette cellule.",
                f"{where}: there was probably not enough memory ({cell.error}). A seat has {size}: plan more, or have "
                "this cell do less.",
            )
        else:
            yield _no(
                f"{where} échoue : {cell.error}: {cell.words} Corrigez cette cellule.",
                f"{where} fails: {cell.error}: {cell.words} Mend this cell.",
            )


def _read_whole(warmth: Warmth) -> Iterable[Reason]:
    if warmth.faults:
        first = warmth.faults[0]
        yield _no(
            f"Des fichiers n’ont pas pu être lus, leurs pixels manquent : {first}",
            f"Files could not be read, their pixels are missing: {first}",
        )


def _fits(warmth: Warmth, seat: int) -> Iterable[Reason]:
    most = max(warmth.cells, key=lambda cell: cell.memory, default=None)
    if most is None or any(cell.error in _NO_MEMORY for cell in warmth.failures):
        return
    where, took, size = f"{most.notebook} [{most.cell}]", render_size(most.memory), render_size(seat)
    say = _yes if most.memory <= seat else _no
    yield say(
        f"Un noyau a pris au plus {took} de mémoire ({where}) ; une place a {size}.",
        f"A kernel took at most {took} of memory ({where}); a seat has {size}.",
    )


def _kept(warmth: Warmth) -> Iterable[Reason]:
    for cube in warmth.cubes:
        name = f"{', '.join(cube.collections) or 'cube'} [{cube.token[:8]}]"
        if cube.state in {"large", "refused"}:
            yield _no(
                f"Le cube {name} n’a pas pu être gardé : {cube.words}",
                f"The cube {name} could not be kept: {cube.words}",
            )
        elif cube.state == "faulty":
            yield _no(f"Le cube {name} a des trous : {cube.words}", f"The cube {name} has holes: {cube.words}")


def _alone(warmth: Warmth) -> Iterable[Reason]:
    hosts = ", ".join(sorted({f"{it.host} ({it.why})" for it in warmth.outside})) or "–"
    if warmth.cut == "passed":
        yield _yes(
            "Les carnets tournent aussi quand le réseau extérieur est coupé : vérifié.",
            "The notebooks also run with the outside network cut off: this was tried.",
        )
    elif warmth.cut == "failed":
        cells = "; ".join(warmth.cut_failures[:5]) or "–"
        yield _no(
            f"Sans réseau extérieur, il manque quelque chose : {cells}. Demandé au-dehors : {hosts}.",
            f"Without the outside network something is missing: {cells}. Asked of the outside: {hosts}.",
        )
    else:
        yield Reason(
            None,
            "Sans réseau extérieur : pas vérifié (il y faut root, et des cellules qui réussissent).",
            "Without the outside network: not tried (it takes root, and cells that succeed).",
        )


def list_warmth(warmth: Warmth) -> list[str]:
    """What was run, opened and built, a line each, for a terminal."""
    cells = [
        f"  {it.notebook} [{it.cell}]: {it.seconds:.1f} s, {render_size(it.memory)}{' ✗ ' * bool(it.error)}{it.error}"
        for it in warmth.cells
    ]
    items = [f"  {it.collection} / {it.item}: {', '.join(it.assets)}" for it in warmth.items]
    cubes = [
        f"  {', '.join(it.collections)} {it.token}: {', '.join(it.bands)}, {render_size(it.bytes)}, {it.state}"
        for it in warmth.cubes
    ]
    return [
        f"cellules · cells ({len(cells)}):",
        *cells,
        f"items ({len(items) + warmth.more_items}):",
        *items,
        f"cubes ({len(cubes)}):",
        *cubes,
        f"lus · read: {render_size(warmth.read)}",
    ]


def render_size(amount: int) -> str:
    """Bytes, rounded, in the unit that people compare them in."""
    return f"{amount / 2**20:.0f} MiB" if amount < 2**30 else f"{amount / 2**30:.1f} GiB"
