"""STAC documents of every version and dialect become `Item` values, once, at the door.

Understood: STAC 0.9 to 1.1; ``proj:code``, ``proj:epsg``, ``proj:wkt2`` and ``proj:projjson``, on the item or on the
asset; ``bands`` of STAC 1.1, ``eo:bands`` with ``raster:bands`` of STAC 1.0, and plain assets. What the catalogue does
not state is taken from the collection's profile, and common names always: several providers call every red edge band
"rededge". Sources: STAC 1.1.0 common metadata, Projection Extension 2.0, Raster
Extension 1.1 and 2.0, Electro-Optical Extension 1.1 and 2.0.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any
from urllib.parse import urljoin, urlsplit

from earthlab.catalog.itemset import Band, Item
from earthlab.catalog.profiles import CollectionProfile, Radiometry, find_profile
from earthlab.errors import BadRequest, CatalogueUnavailable
from earthlab.types import BBox, canonical_json, parse_moment

_REFLECTIVE = ("coastal", "blue", "green", "yellow", "red", "nir", "swir")

_NOT_DATA = {"thumbnail", "overview", "metadata"}

_KINDS = {
    "netcdf": ("nc", "nc4", "cdf", "h5", "hdf5", "he5", "hdf"),
    "zarr": ("zarr",),
    "zip": ("zip",),
    "table": ("parquet", "geoparquet", "csv"),
    "raster": ("tif", "tiff", "jp2", "vrt", "img"),
}
_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _KINDS.items() for suffix in suffixes}
_KIND_OF_WORD = {
    "netcdf": "netcdf",
    "hdf": "netcdf",
    "hdf5": "netcdf",
    "zarr": "zarr",
    "zip": "zip",
    "parquet": "table",
    "csv": "table",
}
"""Words of a media type, which is spelt in many ways: ``application/x-netcdf``, ``application/vnd+zarr``."""


def norm_item(document: Mapping[str, Any]) -> Item:
    """The item for a STAC document of any version.

    Parameters
    ----------
    document : mapping
        The GeoJSON Feature as the catalogue sent it.

    Returns
    -------
    Item
        With one `Band` for each band of each data asset; hrefs absolute where the document has a self link.

    Raises
    ------
    CatalogueUnavailable
        Where the document is not a STAC Item; the message says what is missing.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("properties"), Mapping):
        raise CatalogueUnavailable("The catalogue sent something that is not a STAC Item: it has no properties.")
    name = document.get("id")
    if not isinstance(name, str) or not name:
        raise CatalogueUnavailable(f"The catalogue sent a STAC Item without an id (found {name!r}).")
    try:
        return _norm_item(name, document)
    except (AttributeError, KeyError, TypeError, ValueError, BadRequest) as exc:
        raise CatalogueUnavailable(
            f"Item {name!r}: the catalogue's document cannot be understood ({exc}). "
            "Leave it out with ids=, or report it to the catalogue."
        ) from exc


def _norm_item(name: str, document: Mapping[str, Any]) -> Item:
    properties: Mapping[str, Any] = document["properties"]
    collection = document.get("collection") or properties.get("collection") or ""
    start, end = _norm_times(properties)
    return Item(
        id=name,
        collection=collection,
        start=start,
        end=end,
        bbox=_norm_box(document.get("bbox")),
        geometry=canonical_json(document["geometry"]) if document.get("geometry") else None,
        bands=tuple(_all_bands(document, find_profile(collection))),
        cloud_cover=_number(properties.get("eo:cloud_cover")),
        platform=properties.get("platform"),
        licence=properties.get("license"),
        title=properties.get("title"),
        simulated=bool(properties.get("earthlab:simulated", False)),
        updated=properties.get("updated"),
    )


def _norm_times(properties: Mapping[str, Any]) -> tuple[datetime, datetime]:
    instant, first, last = (properties.get(k) for k in ("datetime", "start_datetime", "end_datetime"))
    if instant is not None:
        moment = parse_moment(instant)
        return moment, max(moment, parse_moment(last)) if last else moment
    if first is None or last is None:
        raise ValueError("it states neither datetime nor start_datetime and end_datetime")
    return parse_moment(first), parse_moment(last)


def _norm_box(value: object) -> BBox | None:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, Sequence) or len(value) not in {4, 6}:
        return None
    west, south, east, north = value if len(value) == 4 else (value[0], value[1], value[3], value[4])
    return BBox(float(west), float(south), float(east), float(north))


def _all_bands(document: Mapping[str, Any], profile: CollectionProfile | None) -> Iterator[Band]:
    properties = document["properties"]
    base = next((ln.get("href") for ln in document.get("links", []) if ln.get("rel") == "self"), None)
    for key, asset in document.get("assets", {}).items():
        if _NOT_DATA.isdisjoint(asset.get("roles") or ()) and asset.get("href"):
            yield from _asset_bands(key, asset, properties, profile, base)


def _asset_bands(
    key: str,
    asset: Mapping[str, Any],
    properties: Mapping[str, Any],
    profile: CollectionProfile | None,
    base: str | None,
) -> Iterator[Band]:
    tables = _band_tables(asset)
    for index, table in enumerate(tables, start=1):
        said = {**asset, **table}
        alone = len(tables) == 1
        common = _common_name(key, said, profile, alone=alone)
        reflects = profile is not None and _is_reflectance(key, common, profile, alone=alone)
        known = profile.radiometry if profile and reflects else Radiometry()
        stated = _first_number(said.get("raster:offset"), said.get("offset"), known.offset)
        if profile and profile.offset_rule and reflects:
            stated = profile.offset_rule.resolve(properties, stated)
        yield Band(
            asset=key,
            name=str(table.get("name") or key),
            href=_absolute(asset["href"], base),
            index=index,
            of=len(tables),
            common_name=common,
            media_type=str(asset.get("type") or ""),
            crs=_norm_crs(asset, properties),
            transform=_norm_transform(_either("proj:transform", asset, properties)),
            shape=_norm_shape(_either("proj:shape", asset, properties)),
            dtype=said.get("data_type"),
            nodata=_norm_nodata(_first_number(said.get("nodata"), known.nodata)),
            scale=_finite(_first_number(said.get("raster:scale"), said.get("scale"), known.scale)),
            offset=_finite(stated),
            unit=said.get("unit") or known.unit,
            kind=norm_kind(str(asset.get("type") or ""), asset["href"]),
        )


def _is_reflectance(key: str, common: str | None, profile: CollectionProfile, *, alone: bool) -> bool:
    """Pictures for the eye also have bands called red, but several to a file."""
    return key in profile.bands or (alone and (common or "").startswith(_REFLECTIVE))


def norm_kind(media_type: str, href: str) -> str:
    """What reads an asset: ``"raster"``, ``"netcdf"``, ``"zarr"``, ``"zip"`` or ``"table"``.

    The suffix of the file counts where it is a known one, since media types are often wrong; else the media type; else
    it is a raster. Within a Zarr store every address is the store's: ``….zarr/measurements/reflectance``.
    """
    path = urlsplit(href).path if "://" in href else href.partition("?")[0]
    if re.match(r"/vsi|[A-Z0-9_]+:\"|(NETCDF|HDF5):", href):
        return "raster"
    parts = path.lower().rstrip("/").split("/")
    if any(part.endswith(".zarr") for part in parts):
        return "zarr"
    suffix = parts[-1].rpartition(".")[2]
    if suffix in _KIND_OF_SUFFIX:
        return _KIND_OF_SUFFIX[suffix]
    words = re.split(r"[^a-z0-9]+", media_type.partition(";")[0].lower())
    return next((_KIND_OF_WORD[word] for word in words if word in _KIND_OF_WORD), "raster")


def _band_tables(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    if asset.get("bands"):
        return [dict(band) for band in asset["bands"]]
    empty: dict[str, Any] = {}
    pairs = zip_longest(asset.get("eo:bands") or (), asset.get("raster:bands") or (), fillvalue=empty)
    return [{**eo, **raster} for eo, raster in pairs] or [{}]


def _common_name(key: str, said: Mapping[str, Any], profile: CollectionProfile | None, *, alone: bool) -> str | None:
    if profile and alone and key in profile.bands:
        return profile.bands[key]
    name = said.get("eo:common_name") or said.get("common_name")
    return str(name) if name else None


def _either(field: str, asset: Mapping[str, Any], properties: Mapping[str, Any]) -> Any:
    return asset[field] if field in asset else properties.get(field)


def _norm_crs(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    for source in (asset, properties):
        if source.get("proj:code"):
            return str(source["proj:code"])
        if source.get("proj:epsg"):
            return f"EPSG:{int(source['proj:epsg'])}"
        if source.get("proj:wkt2"):
            return str(source["proj:wkt2"])
        if source.get("proj:projjson"):
            return canonical_json(source["proj:projjson"])
    return None


def _norm_transform(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = tuple(float(v) for v in value)[:6]
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"proj:transform {value!r} is not six finite numbers")
    return numbers


def _norm_shape(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    rows, columns = (int(v) for v in value)
    return rows, columns


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    return float(value)


def _first_number(*values: Any) -> float | None:
    return next((_number(v) for v in values if v is not None), None)


def _norm_nodata(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ValueError(f"a scale or offset of {value}")
    return value


def _absolute(href: str, base: str | None) -> str:
    if urlsplit(href).scheme or href.startswith("/") or base is None:
        return href
    return urljoin(base, href)
