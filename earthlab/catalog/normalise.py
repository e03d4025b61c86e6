"""STAC documents of every version and dialect become `Item` values, once, at the door.

Understood: STAC 0.9 to 1.1; ``proj:code``, ``proj:epsg``, ``proj:wkt2`` and ``proj:projjson``, on the item or on the
asset; ``bands`` of STAC 1.1, ``eo:bands`` with ``raster:bands`` of STAC 1.0, and plain assets. What the catalogue does
not state is taken from the collection's profile, and common names always: several providers call every red edge band
"rededge". Sources: STAC 1.1.0 common metadata, Projection Extension 2.0, Raster
Extension 1.1 and 2.0, Electro-Optical Extension 1.1 and 2.0.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import zip_longest
from typing import Any
from urllib.parse import urljoin, urlsplit

from earthlab.catalog.itemset import Band, Item
from earthlab.catalog.licences import norm_licence
from earthlab.catalog.profiles import CollectionProfile, Radiometry, find_profile
from earthlab.catalog.statements import norm_box, norm_collection, norm_instruments, norm_times
from earthlab.catalog.tabular import PROFILES, profile_of
from earthlab.errors import BadRequest, CatalogueUnavailable
from earthlab.types import canonical_json

_REFLECTIVE = ("coastal", "blue", "green", "yellow", "red", "nir", "swir")

FURTHER = (
    "constellation",
    "created",
    "grid:code",
    "gsd",
    "processing:level",
    "s2:mgrs_tile",
    "sar:instrument_mode",
    "sat:orbit_state",
    "sat:relative_orbit",
    "sci:doi",
    "view:incidence_angle",
    "view:off_nadir",
    "view:sun_azimuth",
    "view:sun_elevation",
)
"""Properties that an `Item` carries besides its own fields, since searches compare them and citations name them."""

_NOT_DATA = {"thumbnail", "overview", "metadata"}

_PICTURES = {"image/png", "image/jpeg", "image/webp"}
_LONGEST_ADDRESS = 2000

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

_UNKNOWN = Radiometry()
_KEPT = 1024
"""Answers remembered: catalogues have few media types, and say them with each asset."""

_GDAL_NAME = re.compile(r"/vsi|[A-Z0-9_]+:\"|(NETCDF|HDF5):")
_DARWIN_CORE = re.compile(r"\bdarwin[-_ ]?core|\bdwc[-_ ]?a(rchive)?\b", re.IGNORECASE)


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
    collection = norm_collection(document)
    profile = find_profile(collection)
    start, end = norm_times(properties, profile)
    return Item(
        id=name,
        collection=collection,
        start=start,
        end=end,
        bbox=norm_box(document),
        geometry=canonical_json(document["geometry"]) if document.get("geometry") else None,
        bands=tuple(_all_bands(document, profile)),
        cloud_cover=_number(properties.get("eo:cloud_cover")),
        platform=properties.get("platform"),
        licence=_norm_licence(properties.get("license"), profile),
        title=properties.get("title"),
        simulated=bool(properties.get("earthlab:simulated", False)),
        updated=properties.get("updated"),
        instruments=norm_instruments(document),
        properties=tuple(sorted(_norm_further(properties))),
        thumbnail=_find_thumbnail(document),
    )


def _find_thumbnail(document: Mapping[str, Any]) -> str | None:
    """The address of a picture that a browser can show; none but of the web, for whoever lists it opens it."""
    base = _self_of(document)
    for asset in document.get("assets", {}).values():
        roles, kind = asset.get("roles") or (), str(asset.get("type") or "").partition(";")[0]
        if asset.get("href") and "thumbnail" in roles and kind in _PICTURES:
            address = _absolute(str(asset["href"]), base)
            if urlsplit(address).scheme in {"http", "https"} and len(address) <= _LONGEST_ADDRESS:
                return address
    return None


def _norm_licence(stated: Any, profile: CollectionProfile | None) -> str | None:
    """In the lab's spelling; where it is the placeholder that the descriptor knows, the descriptor's own."""
    if profile and stated and stated == profile.licence_stated:
        return profile.licence
    return norm_licence(stated) or None


def _norm_further(properties: Mapping[str, Any]) -> Iterator[tuple[str, str | float | bool]]:
    for name in FURTHER:
        value = properties.get(name)
        if isinstance(value, str | bool):
            yield name, value
        elif isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)


def _all_bands(document: Mapping[str, Any], profile: CollectionProfile | None) -> Iterator[Band]:
    properties = document["properties"]
    base = _self_of(document)
    for key, asset in document.get("assets", {}).items():
        if _NOT_DATA.isdisjoint(asset.get("roles") or ()) and asset.get("href"):
            yield from _asset_bands(key, asset, properties, profile, base)


def _self_of(document: Mapping[str, Any]) -> str | None:
    return next((ln.get("href") for ln in document.get("links", []) if ln.get("rel") == "self"), None)


def _asset_bands(
    key: str,
    asset: Mapping[str, Any],
    properties: Mapping[str, Any],
    profile: CollectionProfile | None,
    base: str | None,
) -> Iterator[Band]:
    tables = _band_tables(asset)
    alone = len(tables) == 1
    media_type = str(asset.get("type") or "")
    href = _absolute(asset["href"], base)
    crs = _norm_crs(asset, properties)
    transform = _norm_transform(_either("proj:transform", asset, properties))
    shape = _norm_shape(_either("proj:shape", asset, properties))
    kind = norm_kind(media_type, asset["href"], asset.get("roles") or ())
    for index, table in enumerate(tables, start=1):
        said = {**asset, **table}
        common = _common_name(key, said, profile, alone=alone)
        reflects = profile is not None and _is_reflectance(key, common, profile, alone=alone)
        known = profile.radiometry if profile and reflects else _UNKNOWN
        stated = _first_number(said.get("raster:offset"), said.get("offset"), known.offset)
        if profile and profile.offset_rule and reflects:
            stated = profile.offset_rule.resolve(properties, stated)
        yield Band(
            asset=key,
            name=str(table.get("name") or key),
            href=href,
            index=index,
            of=len(tables),
            common_name=common,
            media_type=media_type,
            crs=crs,
            transform=transform,
            shape=shape,
            dtype=said.get("data_type"),
            nodata=_norm_nodata(_first_number(said.get("nodata"), known.nodata)),
            scale=_finite(_first_number(said.get("raster:scale"), said.get("scale"), known.scale)),
            offset=_finite(stated),
            unit=said.get("unit") or known.unit,
            kind=kind,
        )


def _is_reflectance(key: str, common: str | None, profile: CollectionProfile, *, alone: bool) -> bool:
    """Pictures for the eye also have bands called red, but several to a file."""
    return key in profile.bands or (alone and (common or "").startswith(_REFLECTIVE))


def norm_kind(media_type: str, href: str, roles: Iterable[str] = ()) -> str:
    """What reads an asset: ``"raster"``, ``"netcdf"``, ``"zarr"``, ``"zip"`` or ``"table"``.

    The suffix of the file counts where it is a known one, since media types are often wrong; else the media type; else
    it is a raster. Within a Zarr store every address is the store's: ``….zarr/measurements/reflectance``. What the
    media type or a role calls a Darwin Core archive, or another profile of `earthlab.catalog.tabular`, is a table.
    """
    if _is_known_table(media_type, " ".join(map(str, roles))):
        return "table"
    path = urlsplit(href).path if "://" in href else href.partition("?")[0]
    if _GDAL_NAME.match(href):
        return "raster"
    parts = path.lower().rstrip("/").split("/")
    if any(part.endswith(".zarr") for part in parts):
        return "zarr"
    suffix = parts[-1].rpartition(".")[2]
    return _KIND_OF_SUFFIX.get(suffix) or _kind_of_type(media_type)


@lru_cache(_KEPT)
def _is_known_table(media_type: str, roles: str) -> bool:
    return profile_of(media_type) in PROFILES or bool(_DARWIN_CORE.search(f"{media_type} {roles}"))


@lru_cache(_KEPT)
def _kind_of_type(media_type: str) -> str:
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
