"""The embedded catalogue, made on the first run: COGs, tables, STAC documents and a GeoParquet index in one folder.

The folder appears whole or not at all: it is built beside its place and moved there when its marker is written. What a
killed build left is removed by the next one, and of two builds at once the second finds the first one's work.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pystac

from earthlab.errors import SetupError
from earthlab.samples.fetching import Places, fetch_sample, find_folder, resolve_places
from earthlab.samples.registry import find_sample
from earthlab.services.stac.constructed import CONSTRUCTED, Construction
from earthlab.services.stac.documents import Layer, Shot, Source, write_collection, write_item
from earthlab.services.stac.extracts import EXTRACTS, Extract
from earthlab.services.stac.folder import (
    COLLECTIONS,
    INGESTED,
    MARKER,
    CatalogueReport,
    Progress,
    alone,
    read_report,
)
from earthlab.services.stac.geoparquet import ITEMS, PARTS, find_parts, write_items
from earthlab.services.stac.parts import is_current, renew_part
from earthlab.services.stac.raster import Grid, file_facts, render_cog
from earthlab.services.stac.sheets import render_sheet
from earthlab.types import content_token

ASSETS = "assets"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an embedded catalogue is made of."""

    extracts: tuple[Extract, ...] = EXTRACTS
    constructed: tuple[Construction, ...] = CONSTRUCTED


EVERYTHING = Holdings()


def build_catalogue(
    folder: Path, progress: Progress, *, places: Places | None = None, holdings: Holdings = EVERYTHING
) -> CatalogueReport:
    """Build the embedded catalogue in ``folder``, unless a complete one of this version is there.

    Takes under a minute on two cores and some 150 MB of disk. Readable by every account of the machine. The collections
    of a real sample that can be found nowhere are left out; the report and the first messages say so.

    Parameters
    ----------
    folder : Path
        Where the catalogue is to be; replaced where it holds another version.
    progress : callable
        Called with what is being done, the steps done and the steps in all.
    places : Places, optional
        Where to look for the real samples; where `earthlab.samples.fetch` looks, by default.
    holdings : Holdings
        What is to be in it; all that this program knows, by default.

    Returns
    -------
    CatalogueReport
        What the folder holds now.

    Raises
    ------
    SetupError
        Where the folder cannot be written or the disk is full, in one line.
    """
    folder = Path(folder).absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            places = places or resolve_places()
            return _current(folder, places, holdings) or _build(folder, progress, places, holdings)
    except OSError as exc:
        raise SetupError(
            f"The catalogue cannot be built in {folder}: {exc.strerror or exc}. "
            "Free some disk (it needs 200 MB) or mend the permissions, or choose another folder with lab.state."
        ) from exc


def catalogue_version(holdings: Holdings = EVERYTHING) -> str:
    """The token of what this program would build; it changes with the program and with the samples it reads."""
    here = Path(__file__).parent
    names = ("archive", "documents", "folder", "geoparquet", "raster", "sentinel2", "sheets")
    folders = (here.parents[1] / "samples" / "simulated", here / "constructed", here / "extracts")
    sources = [here / f"{name}.py" for name in names] + [path for each in folders for path in sorted(each.glob("*.py"))]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    files = [file.sha256 for extract in holdings.extracts for file in find_sample(extract.sample).files]
    return content_token([*digests, *files, *(made.collection for made in holdings.constructed)])


def _current(folder: Path, places: Places, holdings: Holdings) -> CatalogueReport | None:
    found = read_report(folder)
    if found is None or found.version != catalogue_version(holdings):
        return None
    left_out = [extract for extract in holdings.extracts if not found.left_out.keys().isdisjoint(extract.collections)]
    return None if any(_is_here(extract.sample, places) for extract in left_out) else found


def _is_here(name: str, places: Places) -> bool:
    sample = find_sample(name)
    try:
        return find_folder(sample, places) is not None and fetch_sample(sample, places).is_dir()
    except SetupError:
        return False


def _build(folder: Path, progress: Progress, places: Places, holdings: Holdings) -> CatalogueReport:
    _clear_leftovers(folder)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.building-", dir=folder.parent))
    try:
        report = _fill(work, progress, places, holdings)
        _keep_ingested(folder, work)
        _open_to_all(work)
        _put_in_place(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report


def _clear_leftovers(folder: Path) -> None:
    """Remove what killed builds left; a catalogue that one of them had moved out of the way comes back first."""
    for leftover in folder.parent.glob(f".{folder.name}.building-*"):
        moved = leftover / folder.name
        if not folder.exists() and (moved / MARKER).is_file():
            moved.rename(folder)
        shutil.rmtree(leftover)


def _keep_ingested(folder: Path, work: Path) -> None:
    """Take over what was ingested into the catalogue that was here before: nobody could build that again."""
    for part in find_parts(folder):
        path = work / part.parent.name / part.name
        path.parent.mkdir(exist_ok=True)
        if is_current(part):
            path.hardlink_to(part)
        else:
            renew_part(part, path)
        if not (work / PARTS).is_symlink():
            (work / PARTS).symlink_to(path.parent.name)
    if (folder / INGESTED).is_dir():
        shutil.copytree(folder / INGESTED, work / INGESTED)


def _fill(work: Path, progress: Progress, places: Places, holdings: Holdings) -> CatalogueReport:
    sources, left_out = _find_sources(places, holdings)
    total = sum(source.count for source in sources)
    for name, why in left_out.items():
        progress(f"{name} is left out: {why}", 0, total)
    items: list[dict[str, Any]] = []
    for source in sources:
        for shot in source.shots:
            items.append(_write_shot(work, source, shot))
            progress(shot.id, len(items), total)
    write_items(work / ITEMS, items)
    _write_json(work / COLLECTIONS, [_document(source.collection, items) for source in sources])
    counts = {source.collection.id: source.count for source in sources}
    version = catalogue_version(holdings)
    _write_json(work / MARKER, {"version": version, "items": counts, "left_out": left_out})
    return CatalogueReport(version, counts, left_out, built=True)


def _find_sources(places: Places, holdings: Holdings) -> tuple[list[Source], dict[str, str]]:
    sources: list[Source] = []
    left_out: dict[str, str] = {}
    away: set[str] = set()
    for extract in holdings.extracts:
        try:
            sources += extract.open_sources(fetch_sample(find_sample(extract.sample), places, away))
        except SetupError as exc:
            left_out |= dict.fromkeys(extract.collections, str(exc))
    return [*sources, *(made.open_source() for made in holdings.constructed)], left_out


def _write_shot(work: Path, source: Source, shot: Shot) -> dict[str, Any]:
    folder = work / ASSETS / source.collection.id / shot.id
    folder.mkdir(parents=True)
    files = {}
    if shot.grid:
        render = partial(_render_layer, grid=shot.grid)
        with ThreadPoolExecutor(max_workers=2) as pool:
            for layer, cog in zip(shot.layers, pool.map(render, shot.layers), strict=True):
                files[layer.kind.name] = _write_file(work, folder / f"{layer.kind.name}.tif", cog)
    for sheet in shot.sheets:
        files[sheet.name] = _write_file(work, folder / f"{sheet.name}.parquet", render_sheet(sheet))
    return write_item(shot, source, files)


def _render_layer(layer: Layer, grid: Grid) -> bytes:
    return render_cog(layer.pixels, grid, layer.kind)


def _write_file(work: Path, path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content)
    return {"href": str(path.relative_to(work)), **file_facts(content)}


def _document(collection: pystac.Collection, items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return write_collection(collection, [item for item in items if item["collection"] == collection.id])


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def _open_to_all(work: Path) -> None:
    for folder, _, names in os.walk(work):
        Path(folder).chmod(0o755)
        for name in names:
            (Path(folder) / name).chmod(0o644)


def _put_in_place(work: Path, folder: Path) -> None:
    if not folder.exists():
        work.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.building-", dir=folder.parent))
    folder.rename(old / folder.name)
    work.rename(folder)
    shutil.rmtree(old)
