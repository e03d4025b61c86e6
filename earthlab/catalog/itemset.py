"""The answer, frozen: items in one form, whatever dialect their catalogue speaks."""

import html
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

from earthlab.catalog.facets import Facets, count_facets
from earthlab.catalog.query import Query
from earthlab.errors import BadRequest, did_you_mean
from earthlab.types import BBox, canonical_json, content_token, parse_moment

_DESCRIPTIVE = {"instruments", "properties", "thumbnail"}
"""What tells of an item without changing what is read of it: cubes of before it was known keep their tokens."""

_RASTER_RANK = {"image/tiff": 0, "image/vnd.stac.geotiff": 0, "image/jp2": 1}


@dataclass(frozen=True, slots=True)
class Band:
    """One band of one asset of one item.

    ``transform`` holds the six numbers of the affine transform in the order of ``rasterio`` (a, b, c, d, e, f), in
    units of ``crs``; ``shape`` is (rows, columns); ``index`` counts from 1 within the file. Physical value =
    DN · ``scale`` + ``offset``, in ``unit``; a DN equal to ``nodata`` is no observation. ``None``: not stated.
    ``kind`` names what reads it: ``"raster"``, ``"netcdf"``, ``"zarr"``, ``"zip"`` or ``"table"``; ``variable`` and
    ``at`` say which array within a NetCDF or Zarr, and where along its dimensions other than y and x.
    """

    asset: str
    name: str
    href: str
    index: int = 1
    of: int = 1
    common_name: str | None = None
    media_type: str = ""
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    shape: tuple[int, int] | None = None
    dtype: str | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    kind: str = "raster"
    variable: str = ""
    at: tuple[tuple[str, int], ...] = ()

    @property
    def pixel(self) -> float | None:
        """Pixel width in units of the CRS, where stated."""
        return abs(self.transform[0]) if self.transform else None

    def preference(self, asked: str) -> tuple[bool, bool, int, float, str]:
        """Sort key among bands that answer to the same name: the asked key, bands of their own file, COG, finest."""
        rank = _RASTER_RANK.get(self.media_type.partition(";")[0].strip(), 2)
        return (self.asset != asked, self.of > 1, rank, self.pixel or float("inf"), self.asset)


@dataclass(frozen=True, slots=True)
class Item:
    """One observation: when, where, and its bands. ``start`` and ``end`` enclose the time observed, UTC."""

    id: str
    collection: str
    start: datetime
    end: datetime
    bbox: BBox | None
    geometry: str | None
    """GeoJSON text, in degrees."""
    bands: tuple[Band, ...]
    cloud_cover: float | None = None
    platform: str | None = None
    licence: str | None = None
    title: str | None = None
    simulated: bool = False
    updated: str | None = None
    instruments: tuple[str, ...] = ()
    properties: tuple[tuple[str, str | float | bool], ...] = ()
    """Further properties that searches compare, as `earthlab.catalog.normalise` lists them, by name."""
    thumbnail: str | None = None
    """Address of a small picture on the web, where the catalogue gives one."""

    @property
    def moment(self) -> datetime:
        """The one date that stands for the observation: its nominal date, which is where ``start`` puts it."""
        return self.start

    def band_names(self) -> tuple[str, ...]:
        """Every name that `find_band` understands, common names first."""
        common = [b.common_name for b in self.bands if b.common_name]
        return tuple(dict.fromkeys([*common, *(b.asset for b in self.bands), *(b.name for b in self.bands)]))

    def find_band(self, name: str) -> Band | None:
        """The band that a common name, an asset key or a band name means, or ``None``.

        Where several answer, one asked by its asset key wins, then a file of its own, then a COG, then the finest.
        """
        found = [b for b in self.bands if name in {b.common_name, b.asset, b.name}]
        return min(found, key=lambda b: b.preference(name)) if found else None


State = Literal["answered", "slow", "failed", "refused"]

_STATES = {
    "answered": "a répondu / answered",
    "slow": "trop lent / too slow",
    "failed": "en panne / failed",
    "refused": "a refusé / refused",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question at one endpoint.

    Attributes
    ----------
    endpoint : str
        Its id in the descriptors, or its address without credentials.
    state : str
        ``"answered"``; ``"slow"`` where it was not waited for to the end; ``"failed"``; ``"refused"`` where it does not
        take such a question or such a user.
    items : int
        How many items it gave, also before it failed.
    seconds : float
        How long it took.
    message : str
        Why, where it did not answer; nothing secret.
    """

    endpoint: str
    state: State
    items: int = 0
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class ItemSet:
    """The items a search found, in order of time, with the question and the catalogue that answered it.

    Nothing here is lazy: what the catalogue said is frozen, and no pixel has been read. ``report`` says what became of
    the question at each endpoint, where several were asked.
    """

    items: tuple[Item, ...]
    query: Query = field(default_factory=Query)
    catalogue: str = ""
    report: tuple[Outcome, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, index: int | slice) -> "Item | ItemSet":
        if isinstance(index, slice):
            return replace(self, items=self.items[index])
        return self.items[index]

    @property
    def token(self) -> str:
        """A name for the answer that depends on the items alone, not on when or how they were found."""
        return content_token([_token_dict(item) for item in self.items])

    @property
    def collections(self) -> tuple[str, ...]:
        """Ids of the collections that the items belong to."""
        return tuple(sorted({item.collection for item in self.items}))

    @property
    def dates(self) -> tuple[datetime, ...]:
        """The distinct moments of the items, in order."""
        return tuple(sorted({item.moment for item in self.items}))

    def band_names(self) -> tuple[str, ...]:
        """Every band name that at least one item knows."""
        return tuple(dict.fromkeys(name for item in self.items for name in item.band_names()))

    def require_band(self, name: str) -> None:
        """Check that at least one item has the band.

        Raises
        ------
        BadRequest
            Where none has; the message lists those that there are.
        """
        if not any(item.find_band(name) for item in self.items):
            known = self.band_names()
            raise BadRequest(
                f"bands: no item of {', '.join(self.collections) or 'the selection'} has {name!r}. "
                f"{did_you_mean(name, known)} All bands: {', '.join(known) or 'none'}."
            )

    def facets(self) -> Facets:
        """How the items are made up: counts by collection, satellite, instrument, month, clouds, and over time."""
        return count_facets(self.items)

    def to_geoparquet(self, path: str | PathLike[str]) -> Path:
        """Freeze the answer into a file that rustac, stac-geoparquet and geopandas read too.

        Parameters
        ----------
        path : path
            Of the file to write, ``….parquet``; one that is there is replaced in one step.

        Returns
        -------
        Path
            Of the file: GeoParquet 1.1 in the conventions of stac-geoparquet 1.0, one row an item; addresses unsigned.
        """
        from earthlab.catalog.geoparquet import write_geoparquet  # loads pyarrow

        return write_geoparquet(self, Path(path))

    @classmethod
    def from_geoparquet(cls, path: str | PathLike[str]) -> Self:
        """The answer that `to_geoparquet` froze, equal in all its parts.

        Raises
        ------
        BadRequest
            Where there is no such file, or it is of another origin.
        """
        from earthlab.catalog.geoparquet import read_geoparquet_text  # loads pyarrow

        return cls.from_json(read_geoparquet_text(Path(path)))

    def to_json(self) -> str:
        """The answer as canonical JSON text."""
        return canonical_json({"items": [item_dict(item) for item in self.items], **self.provenance()})

    def provenance(self) -> dict[str, Any]:
        """Where the items come from, as plain JSON values: question, catalogue, and the report if there is one."""
        told = {"report": [asdict(outcome) for outcome in self.report]} if self.report else {}
        return {"query": self.query.to_dict(), "catalogue": self.catalogue, **told}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The answer that ``to_json`` wrote.

        Raises
        ------
        BadRequest
            For text that is not such a document.
        """
        try:
            values = json.loads(text)
            items = tuple(_parse_item_dict(item) for item in values["items"])
            report = tuple(Outcome(**outcome) for outcome in values.get("report", ()))
            return cls(items, Query.from_json(json.dumps(values["query"])), values["catalogue"], report)
        except (json.JSONDecodeError, KeyError, TypeError) as exc:
            raise BadRequest(f"ItemSet: not a document of ItemSet.to_json() ({exc!r}).") from exc

    def __repr__(self) -> str:
        return f"<ItemSet {len(self)} items of {', '.join(self.collections) or 'no collection'}, {self._span()}>"

    def _span(self) -> str:
        if not self.items:
            return "no dates"
        return f"{self.dates[0]:%Y-%m-%d} to {self.dates[-1]:%Y-%m-%d}"

    def _repr_html_(self) -> str:
        counts = Counter(item.collection for item in self.items)
        head = " · ".join(f"{html.escape(c)} : {n}" for c, n in counts.items())
        simulated = any(item.simulated for item in self.items)
        warning = "<p><b>Données simulées / simulated data</b></p>" if simulated else ""
        rows = "".join(_item_row(item) for item in self.items[:20])
        more = f"<tr><td colspan=4>… {len(self) - 20} de plus / more</td></tr>" if len(self) > 20 else ""
        return (
            f"{warning}<table><caption>{head} ({self._span()})</caption>"
            "<tr><th>item</th><th>date</th><th>nuages / cloud (%)</th><th>bandes / bands</th></tr>"
            f"{rows}{more}</table>{_report_html(self.report)}"
        )


def _item_row(item: Item) -> str:
    cloud = "–" if item.cloud_cover is None else f"{item.cloud_cover:.0f}"
    cells = (item.id, f"{item.moment:%Y-%m-%d}", cloud, ", ".join(b.common_name or b.asset for b in item.bands))
    return "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>"


def _report_html(report: tuple[Outcome, ...]) -> str:
    lines = "".join(
        f"<li>{html.escape(one.endpoint)} : {_STATES[one.state]}, {one.items} ({one.seconds:.1f} s)"
        f"{' – ' + html.escape(one.message) if one.message else ''}</li>"
        for one in report
    )
    return f"<ul>{lines}</ul>" if lines else ""


def item_dict(item: Item) -> dict[str, Any]:
    """An item as plain JSON values; what it does not state of instruments and further properties is left out."""
    values = asdict(item)
    values["start"], values["end"] = item.start.isoformat(), item.end.isoformat()
    values["bbox"] = list(item.bbox.as_tuple()) if item.bbox else None
    values["instruments"], values["properties"] = list(item.instruments), dict(item.properties)
    return {key: value for key, value in values.items() if value or key not in _DESCRIPTIVE}


def _token_dict(item: Item) -> dict[str, Any]:
    return {key: value for key, value in item_dict(item).items() if key not in _DESCRIPTIVE}


def _parse_item_dict(values: dict[str, Any]) -> Item:
    bands = tuple(Band(**{**band, **_tuples(band)}) for band in values["bands"])
    moments = {side: parse_moment(values[side]) for side in ("start", "end")}
    box = BBox(*values["bbox"]) if values["bbox"] else None
    told = {
        "instruments": tuple(values.get("instruments", ())),
        "properties": tuple(values.get("properties", {}).items()),
    }
    return Item(**{**values, **moments, **told, "bands": bands, "bbox": box})


def _tuples(band: dict[str, Any]) -> dict[str, Any]:
    plain = {key: tuple(band[key]) for key in ("transform", "shape") if band.get(key) is not None}
    return {**plain, "at": tuple((dimension, place) for dimension, place in band.get("at", ()))}
