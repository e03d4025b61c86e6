"""STAC 1.1 documents for the images of the embedded catalogue."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import numpy.typing as npt
import pystac

from earthlab.services.stac.raster import BandKind, Grid, lonlat_polygon, polygon_bbox

_SCIENTIFIC = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    _SCIENTIFIC,
)
_CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
_TABLE = "https://stac-extensions.github.io/table/v1.2.0/schema.json"

EARTH = [(-180.0, -90.0), (180.0, -90.0), (180.0, 90.0), (-180.0, 90.0), (-180.0, -90.0)]
"""The ring around everywhere: the footprint of what has no place, or has them all over the world."""

EARTHLAB = pystac.Provider("EarthLab", roles=[pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR])
"""Who makes what is constructed, and gives it away."""
_UNKNOWN = pystac.Extent(
    pystac.SpatialExtent([[-180.0, -90.0, 180.0, 90.0]]),
    pystac.TemporalExtent([[datetime(1970, 1, 1, tzinfo=UTC), None]]),
)
"""The extent of a collection until its items are known."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One single-band image of a shot; its name is the asset's key."""

    kind: BandKind
    pixels: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of a shot, stored as GeoParquet; its name is the asset's key."""

    name: str
    frame: gpd.GeoDataFrame
    """With a CRS; a column ``time`` in UTC where rows have a moment. Rows without a place have no geometry."""
    units: Mapping[str, str] = field(default_factory=dict)
    """By column, as UDUNITS writes them."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Shot:
    """All images and tables of one moment or period: what becomes one STAC item."""

    id: str
    moment: datetime
    footprint: list[tuple[float, float]]
    """Closed ring around what was observed: in the grid's system, in longitude and latitude where there is no grid."""
    grid: Grid | None = None
    """Of the layers; None where there are tables alone."""
    layers: tuple[Layer, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    ends: datetime | None = None
    """The last moment of a period that begins with ``moment``."""
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A collection and its shots, made one after the other as they are asked for."""

    collection: pystac.Collection
    count: int
    shots: Iterable[Shot]
    shared: Mapping[str, Any] = field(default_factory=dict)
    """Properties that all its items have: ``constellation``, ``instruments``, ``gsd``."""


def describe_collection(  # noqa: PLR0913 - the members of a STAC Collection
    name: str,
    title: str,
    text: str,
    *,
    licence: str,
    citation: str,
    keywords: Sequence[str],
    providers: Sequence[pystac.Provider],
    kinds: Iterable[BandKind] = (),
    simulated: bool = False,
) -> pystac.Collection:
    """The document of a collection, before its extent is known.

    Parameters
    ----------
    name, title, text : str
        Identifier, title, and description in French and then English.
    licence : str
        SPDX identifier, or ``"other"``.
    citation : str
    keywords : sequence of str
    providers : sequence of pystac.Provider
    kinds : iterable of BandKind
        The images that each of its items has, for the collection's ``item_assets``.
    simulated : bool
        True for what was never observed; all its items say the same.
    """
    assets = _item_assets(kinds)
    return pystac.Collection(
        id=name,
        title=title,
        description=text,
        extent=_UNKNOWN,
        license=licence,
        keywords=list(keywords),
        providers=list(providers),
        stac_extensions=[_SCIENTIFIC],
        extra_fields={
            "earthlab:simulated": simulated,
            "sci:citation": citation,
            **({"item_assets": assets} if assets else {}),
        },
    )


def made_by(name: str, url: str | None = None) -> pystac.Provider:
    """Who made the data."""
    return pystac.Provider(name, roles=[pystac.ProviderRole.PRODUCER], url=url)


def licensed_by(name: str, url: str | None = None) -> pystac.Provider:
    """Who made the data and grants their licence."""
    return pystac.Provider(name, roles=[pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR], url=url)


def kept_by(name: str, url: str | None = None) -> pystac.Provider:
    """Who keeps the copy that we read."""
    return pystac.Provider(name, roles=[pystac.ProviderRole.HOST], url=url)


def write_item(shot: Shot, source: Source, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The STAC item of a shot.

    Parameters
    ----------
    shot : Shot
        The images and tables; only their descriptions are used.
    source : Source
        Whose licence, providers, citation and shared properties the item repeats.
    files : mapping
        For the name of each layer and sheet the ``href`` of its file, with size and checksum.
    """
    geometry = lonlat_polygon(shot.footprint, shot.grid.code if shot.grid else "EPSG:4326")
    collection = source.collection
    item = pystac.Item(
        id=shot.id,
        geometry=geometry,
        bbox=polygon_bbox(geometry),
        datetime=shot.moment,
        start_datetime=shot.moment if shot.ends else None,
        end_datetime=shot.ends,
        properties={
            **_credits(collection),
            **source.shared,
            **(_projection(shot.grid) if shot.grid else {}),
            **shot.properties,
        },
        collection=collection.id,
        stac_extensions=[
            *EXTENSIONS,
            *([_CLASSIFICATION] if _has_classes(shot) else []),
            *([_TABLE] if shot.sheets else []),
        ],
    )
    for layer in shot.layers:
        item.add_asset(layer.kind.name, _asset(layer.kind, files[layer.kind.name]))
    for sheet in shot.sheets:
        item.add_asset(sheet.name, _sheet_asset(sheet, files[sheet.name]))
    return item.to_dict(include_self_link=False)


def write_collection(collection: pystac.Collection, items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The document of a collection, its extent taken from its items."""
    documents = list(items)
    boxes = [item["bbox"] for item in documents]
    moments = sorted(datetime.fromisoformat(item["properties"]["datetime"]) for item in documents)
    west, south, east, north = zip(*boxes, strict=True)
    collection.extent = pystac.Extent(
        pystac.SpatialExtent([[min(west), min(south), max(east), max(north)]]),
        pystac.TemporalExtent([[moments[0], moments[-1]]]),
    )
    return collection.to_dict(include_self_link=False)


def _item_assets(kinds: Iterable[BandKind]) -> dict[str, dict[str, Any]]:
    assets = {kind.name: _asset(kind, {"href": ""}).to_dict() for kind in kinds}
    return {name: {key: value for key, value in asset.items() if key != "href"} for name, asset in assets.items()}


def _credits(collection: pystac.Collection) -> dict[str, Any]:
    return {
        "license": collection.license,
        "providers": [provider.to_dict() for provider in collection.providers or ()],
        "sci:citation": collection.extra_fields["sci:citation"],
        "earthlab:simulated": collection.extra_fields["earthlab:simulated"],
        "title": collection.title,
    }


def _projection(grid: Grid) -> dict[str, Any]:
    return {
        "proj:code": grid.code,
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform),
        "proj:bbox": list(grid.bounds),
    }


def _has_classes(shot: Shot) -> bool:
    return any(layer.kind.classes is not None for layer in shot.layers)


def _asset(kind: BandKind, facts: Mapping[str, Any]) -> pystac.Asset:
    extra = {key: value for key, value in facts.items() if key != "href"}
    meaning = "reflectance" if kind.common_name else None
    return pystac.Asset(
        href=facts["href"],
        title=kind.title or kind.name,
        media_type=pystac.MediaType.COG,
        roles=["data", *filter(None, ["classification" if kind.classes else meaning])],
        extra_fields={**extra, "bands": [_band(kind)], **_classes(kind)},
    )


def _band(kind: BandKind) -> dict[str, Any]:
    said = {
        "name": kind.name,
        "data_type": kind.dtype,
        "nodata": "nan" if kind.nodata is not None and math.isnan(kind.nodata) else kind.nodata,
        "unit": kind.unit,
        "raster:scale": kind.scale,
        "raster:offset": None if kind.scale is None else kind.offset or 0.0,
        "eo:common_name": kind.common_name,
        "eo:center_wavelength": kind.wavelength,
    }
    return {key: value for key, value in said.items() if value is not None}


def _classes(kind: BandKind) -> dict[str, Any]:
    if kind.classes is None:
        return {}
    told = [{"value": value, "name": name, "description": text} for value, (name, text) in kind.classes.items()]
    return {"classification:classes": told}


def _sheet_asset(sheet: Sheet, facts: Mapping[str, Any]) -> pystac.Asset:
    extra = {key: value for key, value in facts.items() if key != "href"}
    names = [str(name) for name in sheet.frame.columns]
    columns = [{"name": name, **({"unit": sheet.units[name]} if name in sheet.units else {})} for name in names]
    return pystac.Asset(
        href=facts["href"],
        title=sheet.title or sheet.name,
        media_type=pystac.MediaType.PARQUET,
        roles=["data"],
        extra_fields={**extra, "table:columns": columns, "table:row_count": len(sheet.frame)},
    )
