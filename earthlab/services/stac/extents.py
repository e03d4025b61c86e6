"""The documents of collections that items came into: made where there are none, and as wide as the items reach."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa

from earthlab.services.stac.folder import INGESTED
from earthlab.services.stac.intake import norm_collection
from earthlab.services.stac.parts import read_runs

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_EARTH = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far something reaches; an open side of its time is None."""

    box: tuple[float, ...]
    begins: datetime | None
    ends: datetime | None

    def with_other(self, other: "Reach") -> "Reach":
        """What holds both."""
        pairs = list(zip(self.box, other.box, strict=True))
        box = (*map(min, pairs[:2]), *map(max, pairs[2:]))
        begins = min(self.begins, other.begins) if self.begins and other.begins else None
        ends = max(self.ends, other.ends) if self.ends and other.ends else None
        return Reach(box, begins, ends)


def write_collections(folder: Path, files: Iterable[Path], documents: Iterable[Mapping[str, Any]]) -> None:
    """Write a document for each collection that has rows in run files or a document of its own.

    Parameters
    ----------
    folder : Path
        The catalogue.
    files : iterable of Path
        As `earthlab.services.stac.parts.open_run_writer` wrote them.
    documents : iterable of mapping
        Collections as `earthlab.services.stac.intake.norm_collection` gives them; each replaces the one before it.
    """
    given = {document["id"]: document for document in documents}
    reaches = _find_reaches(files)
    for name in sorted({*given, *reaches}):
        path = folder / INGESTED / f"{quote(name, safe='')}.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        _write(path, _widen(given.get(name) or known or norm_collection({"id": name}), known, reaches.get(name)))


def _widen(document: Mapping[str, Any], known: Mapping[str, Any], items: Reach | None) -> dict[str, Any]:
    told = [read_reach(document), read_reach(known), items]
    reach, *others = [one for one in told if one] or [Reach(_EARTH, None, None)]
    for other in others:
        reach = reach.with_other(other)
    interval = [moment and moment.isoformat().replace("+00:00", "Z") for moment in (reach.begins, reach.ends)]
    extent = {"spatial": {"bbox": [list(reach.box)]}, "temporal": {"interval": [interval]}}
    return {**document, "extent": extent}


def read_reach(document: Mapping[str, Any]) -> Reach | None:
    """How far a collection says that it reaches; None where it says nothing that can be understood."""
    try:
        box = document["extent"]["spatial"]["bbox"][0]
        begins, ends = document["extent"]["temporal"]["interval"][0]
        west, south, east, north = box if len(box) == 4 else (*box[:2], *box[3:5])
        flat = tuple(map(float, (west, south, east, north)))
        crosses = flat[0] > flat[2]
        return Reach((-180.0, flat[1], 180.0, flat[3]) if crosses else flat, _moment(begins), _moment(ends))
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _find_reaches(files: Iterable[Path]) -> dict[str, Reach]:
    found = pd.concat([*_reaches_of_runs(files)] or [pd.DataFrame({"collection": []})]).groupby("collection")
    return {str(name): _join(rows) for name, rows in found}


def _reaches_of_runs(files: Iterable[Path]) -> Iterator[pd.DataFrame]:
    for run in (run for file in files for run in read_runs(file)):
        yield (
            _flat(run)
            .groupby("collection", as_index=False)
            .agg({"xmin": "min", "ymin": "min", "xmax": "max", "ymax": "max", "begins": "min", "ends": "max"})
        )


def _flat(run: pa.RecordBatch) -> pd.DataFrame:
    box = run.column("bbox")
    frame = pd.DataFrame({side: np.asarray(box.field(side)) for side in _SIDES})
    crosses = frame.xmin > frame.xmax
    frame.loc[crosses, ["xmin", "xmax"]] = [-180.0, 180.0]
    return frame.assign(**{name: run.column(name).to_pandas() for name in ("collection", "begins", "ends")})


def _join(rows: pd.DataFrame) -> Reach:
    low, high = rows.min(numeric_only=False), rows.max(numeric_only=False)
    box = (low.xmin, low.ymin, high.xmax, high.ymax)
    return Reach(tuple(map(float, box)), low.begins.to_pydatetime(), high.ends.to_pydatetime())


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    making = path.with_suffix(".making")
    making.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    making.replace(path)
