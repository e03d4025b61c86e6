"""STAC 1.1 documents for the images of the embedded catalogue."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy.typing as npt
import pystac

from earthlab.services.stac.raster import BandKind, Grid, lonlat_polygon, polygon_bbox

EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "raster/v2.0.0", "eo/v2.0.0", "file/v2.1.0", "scientific/v1.0.0")
)
_CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"

# Common name and centre wavelength in micrometres (Sentinel-2A).
_OPTICAL = {
    "B02": ("blue", 0.4924),
    "B03": ("green", 0.5598),
    "B04": ("red", 0.6646),
    "B05": ("rededge071", 0.7041),
    "B06": ("rededge075", 0.7405),
    "B07": ("rededge078", 0.7828),
    "B08": ("nir", 0.8328),
    "B8A": ("nir08", 0.8647),
    "B11": ("swir16", 1.6137),
    "B12": ("swir22", 2.2024),
}
SCENE_CLASSES = {
    0: ("no_data", "Sans donnée / no data"),
    3: ("cloud_shadow", "Ombre de nuage / cloud shadow"),
    4: ("vegetation", "Végétation / vegetation"),
    5: ("not_vegetated", "Sol nu, bâti / bare soil, built"),
    6: ("water", "Eau / water"),
    8: ("cloud_medium_probability", "Nuage, probabilité moyenne / cloud, medium probability"),
    9: ("cloud_high_probability", "Nuage, probabilité haute / cloud, high probability"),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One single-band image of a shot; its key names the asset."""

    kind: BandKind
    pixels: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Shot:
    """All images of one moment: what becomes one STAC item."""

    id: str
    moment: datetime
    grid: Grid
    footprint: list[tuple[float, float]]
    """Closed ring, in the grid's system, around the pixels that were observed."""
    layers: tuple[Layer, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A collection and its shots, made one after the other as they are asked for."""

    collection: pystac.Collection
    count: int
    shots: Iterable[Shot]


def write_item(shot: Shot, collection: pystac.Collection, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The STAC item of a shot.

    Parameters
    ----------
    shot : Shot
        The images; only their descriptions are used.
    collection : pystac.Collection
        Whose licence, providers and citation the item repeats.
    files : mapping
        For each band's name the ``href`` of its file, with size and checksum.
    """
    geometry = lonlat_polygon(shot.footprint, shot.grid.code)
    item = pystac.Item(
        id=shot.id,
        geometry=geometry,
        bbox=polygon_bbox(geometry),
        datetime=shot.moment,
        properties={**_shared_properties(collection), **_projection(shot.grid), **shot.properties},
        collection=collection.id,
        stac_extensions=[*EXTENSIONS, _CLASSIFICATION] if _has_classes(shot) else [*EXTENSIONS],
    )
    for layer in shot.layers:
        item.add_asset(layer.kind.name, _asset(layer.kind, files[layer.kind.name]))
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


def no_extent() -> pystac.Extent:
    """An extent to be replaced when the items are known."""
    return pystac.Extent(
        pystac.SpatialExtent([[-180.0, -90.0, 180.0, 90.0]]),
        pystac.TemporalExtent([[datetime(1970, 1, 1, tzinfo=UTC), None]]),
    )


def item_assets(kinds: Iterable[BandKind]) -> dict[str, dict[str, Any]]:
    """What every item of a collection offers, for the collection's ``item_assets``."""
    assets = {kind.name: _asset(kind, {"href": ""}).to_dict() for kind in kinds}
    return {name: {key: value for key, value in asset.items() if key != "href"} for name, asset in assets.items()}


def _shared_properties(collection: pystac.Collection) -> dict[str, Any]:
    return {
        "license": collection.license,
        "providers": [provider.to_dict() for provider in collection.providers or ()],
        "sci:citation": collection.extra_fields["sci:citation"],
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": 10,
    }


def _projection(grid: Grid) -> dict[str, Any]:
    return {
        "proj:code": grid.code,
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform),
        "proj:bbox": list(grid.bounds),
    }


def _has_classes(shot: Shot) -> bool:
    return any(layer.kind.scale is None for layer in shot.layers)


def _asset(kind: BandKind, facts: Mapping[str, Any]) -> pystac.Asset:
    extra = {key: value for key, value in facts.items() if key != "href"}
    measures = kind.scale is not None
    return pystac.Asset(
        href=facts["href"],
        title=kind.name if measures else f"{kind.name} – classification de la scène / scene classification",
        media_type=pystac.MediaType.COG,
        roles=["data", "reflectance"] if measures else ["data", "classification"],
        extra_fields={**extra, "bands": [_band(kind)], **({} if measures else {"classification:classes": _classes()})},
    )


def _band(kind: BandKind) -> dict[str, Any]:
    said: dict[str, Any] = {"name": kind.name, "data_type": kind.dtype, "nodata": kind.nodata}
    if kind.scale is None:
        return said
    common_name, centre = _OPTICAL[kind.name if len(kind.name) == 3 else kind.name.replace("B", "B0")]
    return said | {
        "unit": "1",
        "raster:scale": kind.scale,
        "raster:offset": kind.offset or 0.0,
        "eo:common_name": common_name,
        "eo:center_wavelength": centre,
    }


def _classes() -> list[dict[str, Any]]:
    return [{"value": value, "name": name, "description": text} for value, (name, text) in SCENE_CLASSES.items()]
