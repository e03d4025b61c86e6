"""Fragmentation of a landscape: how large is the piece of nature in which two animals, set down at random, can meet.

The measures are those of Jaeger (2000). Where a reporting unit (a commune) cuts a patch, its border can be taken for a
barrier (CUT), or the patch can keep the connection beyond it (CBC, cross-boundary connections, Moser et al. 2007).
"""

import math
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import (
    WEB_MERCATOR,
    check_same_grid,
    has_data,
    is_web_mercator,
    nodata_of,
    pixel_size,
)
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.patches import BLOCK, Connectivity, checked_raster, tally_patches
from earthlab.analysis.tables import check_columns
from earthlab.errors import BadRequest, did_you_mean

AreaUnit = Literal["m2", "ha", "km2"]

_SQUARE_METRES: dict[AreaUnit, float] = {"m2": 1.0, "ha": 1e4, "km2": 1e6}
_METRES = ("metre", "meter")
_OVERLAP = 1e-3
"""Share by which patches may cover more than the landscape, from slivers along their borders."""
_LONG_NAMES = {
    "patches": "taches / patches",
    "natural_area": "surface des taches / area of patches",
    "total_area": "surface de l'unité / area of the unit",
    "coherence": "cohérence C / coherence C",
    "splitting_index": "indice de séparation S / splitting index S",
    "mesh_size": "taille effective de maille, CUT / effective mesh size, CUT",
    "mesh_density": "densité effective de maille s / effective mesh density s",
    "division": "degré de division D / degree of landscape division D",
    "net_product": "produit net NP / net product NP",
    "mesh_size_cbc": "taille effective de maille, CBC / effective mesh size, CBC",
}


def jaeger(areas: npt.ArrayLike, total: float, *, complete: npt.ArrayLike | None = None) -> dict[str, float]:
    """Jaeger's measures of one landscape from the areas of its patches.

    ``C = Σ (A_i / A_t)²`` (coherence: the chance that two random points lie in one patch), ``S = 1 / C``,
    ``m = Σ A_i² / A_t`` (effective mesh size), ``s = 1 / m``, ``D = 1 - C``, ``NP = Σ A_i²``.

    Parameters
    ----------
    areas : array of float
        Area of each patch within the landscape, in any one unit.
    total : float
        Area of the whole landscape, what is not natural included, in the same unit.
    complete : array of float, optional
        Area of the whole of each patch, what lies beyond the landscape's border included. Default: ``areas``.

    Returns
    -------
    dict of str to float
        ``coherence``, ``splitting_index``, ``division`` (no unit); ``mesh_size`` and, where ``complete`` is given,
        ``mesh_size_cbc`` = Σ A_i A_i^cmpl / A_t in the unit of area; ``mesh_density`` in its inverse; ``net_product``
        in its square. Without any patch C is 0 and S and s are infinite.

    Raises
    ------
    BadRequest
        For areas that are negative, not finite, or add up to more than the total, or a total that is not positive.

    References
    ----------
    Jaeger (2000), Landscape division, splitting index, and effective mesh size: new measures of landscape
    fragmentation, Landscape Ecology 15, 115-130, doi:10.1023/A:1008129329289.
    Moser, Jaeger, Tappeiner, Tasser and Eiselt (2007), Modification of the effective mesh size for measuring landscape
    fragmentation to solve the boundary problem, Landscape Ecology 22, 447-459, doi:10.1007/s10980-006-9023-0.
    """
    sizes = np.asarray(areas, float)
    if sizes.size and not (np.isfinite(sizes).all() and sizes.min() >= 0):
        raise BadRequest("jaeger: found areas that are negative or no number, expected areas of patches.")
    if not 0 < total < np.inf:
        raise BadRequest(f"jaeger: the total area is {total!r}, expected a positive number.")
    if sizes.sum() > total * (1 + _OVERLAP):
        raise BadRequest(
            f"jaeger: the patches add up to {sizes.sum():g}, more than the whole landscape, {total:g}. Give both in "
            "one unit, and no ground twice: natural_patches makes one of patches that overlap."
        )
    found = _measures(float((sizes**2).sum()), total)
    if complete is None:
        return found
    whole = np.asarray(complete, float)
    if whole.shape != sizes.shape or not (whole >= sizes * (1 - 1e-9)).all():
        raise BadRequest("jaeger: expected one complete area for each area, none of them smaller than it.")
    return found | {"mesh_size_cbc": float((sizes * whole).sum()) / total}


def natural_patches(
    landcover: gpd.GeoDataFrame,
    *,
    column: str,
    classes: Collection[Any] | int,
    barriers: gpd.GeoDataFrame | None = None,
    within: gpd.GeoDataFrame | None = None,
    least: float = 1000.0,
) -> gpd.GeoDataFrame:
    """The patches of nature: polygons of the chosen classes, grown together, less the barriers.

    Parameters
    ----------
    landcover : geopandas.GeoDataFrame
        Polygons in a projected CRS.
    column : str
        Its column of class codes.
    classes : collection, or one code
        Codes of what counts as habitat; where none occurs as it is, as text: 311 for ``"311"``.
    barriers : geopandas.GeoDataFrame, optional
        Polygons that cut patches, such as what `barriers_of_lines` gives.
    within : geopandas.GeoDataFrame, optional
        Polygons outside of which nothing is kept, so that their border is a barrier (CUT). Leave it away for CBC.
    least : float
        Area in m² below which a patch is left out (FragScape's example: 1 000).

    Returns
    -------
    geopandas.GeoDataFrame
        One polygon a patch with ``area`` in m², largest first, in the CRS of ``landcover``. Polygons that touch along a
        line are one patch, at a single point two.

    Raises
    ------
    BadRequest
        For an unknown column, classes that do not occur, frames without a CRS, in degrees, or in different ones.
    """
    _check_projected(landcover, "landcover")
    check_columns(landcover, (column,), "natural_patches")
    wanted = _listed(classes)
    chosen = landcover[landcover[column].isin(wanted)]
    if chosen.empty:
        chosen = landcover[landcover[column].astype(str).isin([str(code) for code in wanted])]
    if chosen.empty:
        known = did_you_mean(str(next(iter(wanted), "")), landcover[column].astype(str).unique())
        raise BadRequest(f"natural_patches: no polygon has one of the classes in {column!r}. {known}")
    shape = chosen.geometry.make_valid().union_all()
    for others, keep in ((barriers, False), (within, True)):
        if others is not None:
            _check_same_crs(landcover, others)
            other = others.geometry.make_valid().union_all()
            shape = shape.intersection(other) if keep else shape.difference(other)
    parts = gpd.GeoSeries([shape], crs=landcover.crs).explode(index_parts=False)
    patches = gpd.GeoDataFrame({"area": parts.area}, geometry=parts)
    kept = patches[(patches["area"] >= least) & (patches["area"] > 0)].sort_values("area", ascending=False)
    return _with_units(kept.reset_index(drop=True), {"area": "m2"})


def barriers_of_lines(lines: gpd.GeoDataFrame, *, column: str, half_widths: Mapping[Any, float]) -> gpd.GeoDataFrame:
    """Roads and other lines as barriers with a width: each class is buffered by its own half-width.

    Parameters
    ----------
    lines : geopandas.GeoDataFrame
        Lines in a projected CRS.
    column : str
        Its column of classes, such as the vocation of a road.
    half_widths : mapping
        From class to metres on each side; other classes are no barrier. FragScape's example for ROUTE 500: 7.5 for
        local roads, 15 for regional, 22.5 for main ones and 30 for motorways.

    Returns
    -------
    geopandas.GeoDataFrame
        One polygon a line, with ``column`` and ``half_width`` in metres.

    Raises
    ------
    BadRequest
        For an unknown column, classes none of which occurs, a half-width that is not positive, or a CRS in degrees.
    """
    _check_projected(lines, "lines")
    check_columns(lines, (column,), "barriers_of_lines")
    wrong = {name: width for name, width in half_widths.items() if not width > 0}
    if wrong:
        raise BadRequest(f"barriers_of_lines: half-widths are {wrong}, expected positive metres.")
    chosen = lines[lines[column].isin(list(half_widths))]
    if chosen.empty:
        known = did_you_mean(str(next(iter(half_widths), "")), lines[column].astype(str).unique())
        raise BadRequest(f"barriers_of_lines: no line has one of the classes in {column!r}. {known}")
    widths = chosen[column].map(half_widths).astype(float)
    frame = gpd.GeoDataFrame({column: chosen[column], "half_width": widths}, geometry=chosen.geometry.buffer(widths))
    return _with_units(frame.set_crs(lines.crs, allow_override=True), {"half_width": "m"})


def fragmentation(
    patches: gpd.GeoDataFrame, units: gpd.GeoDataFrame, *, by: str | None = None, unit: AreaUnit = "ha"
) -> gpd.GeoDataFrame:
    """Jaeger's measures of each reporting unit, with its border as a barrier (CUT) and without (CBC).

    Parameters
    ----------
    patches : geopandas.GeoDataFrame
        Polygons, one a patch, in a projected CRS, as `natural_patches` gives them without ``within``.
    units : geopandas.GeoDataFrame
        Polygons of the communes, in the same CRS.
    by : str, optional
        Column of ``units``: rows with the same value are one unit. Default: each row is one.
    unit : {"ha", "m2", "km2"}
        Unit of area of the result.

    Returns
    -------
    geopandas.GeoDataFrame
        Columns of ``units`` and, for each, in place of columns of these names: ``patches``, ``natural_area``,
        ``total_area``, ``coherence``, ``splitting_index``, ``mesh_size`` (CUT), ``mesh_density``, ``division``,
        ``net_product``, ``mesh_size_cbc``. Units in ``attrs["units"]``, names in ``attrs["long_name"]``. Pieces into
        which a border cuts a patch are patches of their own in CUT; in CBC each counts with the whole patch.

    Raises
    ------
    BadRequest
        For frames without a CRS, in degrees, in Web Mercator or in different ones, patches that cover ground twice, an
        unknown column or unit.
    """
    scale = _scale(unit)
    _check_projected(patches, "patches")
    _check_same_crs(patches, units)
    if by is not None:
        check_columns(units, (by,), "fragmentation")
    merged = _framed(units) if by is None else units.dissolve(by=by, observed=True).reset_index()
    merged = merged.set_geometry(merged.geometry.make_valid())
    pieces = _pieces(_framed(patches), merged)
    starts = np.searchsorted(pieces["unit"], merged.index[1:])
    parts = zip(*(np.split(pieces[name].to_numpy(), starts) for name in ("area", "complete")), strict=True)
    rows = [
        _of_unit(sizes / scale, complete / scale, area / scale)
        for (sizes, complete), area in zip(parts, merged.geometry.area, strict=bool(len(merged)))
    ]
    names = [name for name in _LONG_NAMES if name in merged.columns]
    found = merged.drop(columns=names).join(pd.DataFrame(rows, index=merged.index))
    return _with_units(found, _units(unit))


def fragmentation_of_raster(
    raster: xr.DataArray,
    *,
    classes: Collection[int] | int | None = None,
    zones: xr.DataArray | None = None,
    connectivity: Connectivity = 4,
    unit: AreaUnit = "ha",
    pixel_area: float | None = None,
    block: int = BLOCK,
) -> pd.DataFrame:
    """Jaeger's measures of a raster of any size, as a whole or by zone, with the memory of a few blocks.

    Parameters
    ----------
    raster : xarray.DataArray
        Axes y, x. Land cover classes, or true (not 0) where nature is; nodata by the attribute or encoding
        ``_FillValue`` or ``nodata``, or NaN. May be lazy.
    classes : collection of int, or one, optional
        Classes that count as habitat. Default: every value that is not 0.
    zones : xarray.DataArray, optional
        Number of the reporting unit of each pixel, from 0; negative, NaN or nodata outside; on the grid of ``raster``.
    connectivity : {4, 8}
        Whether pixels that only touch at a corner are one patch: 4 as in FragScape, 8 as in FRAGSTATS.
    unit : {"ha", "m2", "km2"}
        Unit of area of the result.
    pixel_area : float, optional
        Area of a pixel in m². Default: from the coordinates, which must then be in metres.
    block : int
        Pixels along a side of a block, for rasters that are not lazy.

    Returns
    -------
    pandas.DataFrame
        By ``zone`` (0 for the whole) what `fragmentation` gives. The total area is that of the pixels with data.

    Raises
    ------
    BadRequest
        For other axes, classes that are no numbers, no data at all, zones on another grid, a grid in degrees, or an
        unknown unit or connectivity.
    """
    scale = _scale(unit)
    raster = checked_raster(raster, "fragmentation_of_raster")
    area = math.prod(pixel_size(raster, "fragmentation_of_raster")) if pixel_area is None else pixel_area
    if not area > 0:
        raise BadRequest(f"fragmentation_of_raster: pixel_area is {pixel_area!r}, expected a positive number of m².")
    keying = partial(_keys_and_zones, classes=_codes(classes), nodata=nodata_of(raster))
    rasters = [raster]
    if zones is not None:
        zones = checked_raster(zones, "fragmentation_of_raster: zones")
        check_same_grid(raster, zones, "fragmentation_of_raster")
        keying = partial(keying, outside=nodata_of(zones))
        rasters.append(zones.transpose(*raster.dims))
    whole = tally_patches(partial(keying, cut=False), rasters, connectivity=connectivity, block=block)
    if whole.empty:
        raise BadRequest("fragmentation_of_raster: every pixel is nodata or outside the zones. Choose another place.")
    cut = whole
    if zones is not None:
        cut = tally_patches(partial(keying, cut=True), rasters, connectivity=connectivity, block=block)
    factor = area / scale
    rows = [
        {"patches": row["patches"], "natural_area": row["cells"] * factor, "total_area": row["total"] * factor}
        | _measures(row["squares"] * factor**2, row["total"] * factor)
        | {"mesh_size_cbc": products * factor / row["total"]}
        for row, products in zip(cut.to_dict("records"), whole["products"].loc[cut.index], strict=True)
    ]
    found = pd.DataFrame(rows, index=cut.index.rename("zone")).astype({"patches": int})
    found.attrs = {"units": _units(unit), "long_name": _LONG_NAMES}
    return found


def _measures(squares: float, total: float) -> dict[str, float]:
    coherence = squares / total**2
    mesh = squares / total
    return {
        "coherence": coherence,
        "splitting_index": 1 / coherence if coherence > 0 else np.inf,
        "mesh_size": mesh,
        "mesh_density": 1 / mesh if mesh > 0 else np.inf,
        "division": 1 - coherence,
        "net_product": squares,
    }


def _pieces(patches: gpd.GeoDataFrame, units: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    shapes = patches.geometry[patches.geometry.notna()].make_valid()
    one = gpd.GeoDataFrame({"complete": shapes.area}, geometry=shapes)
    other = gpd.GeoDataFrame({"unit": units.index}, geometry=units.geometry)
    pieces = one.overlay(other, how="intersection", keep_geom_type=True).explode(index_parts=False)
    return pieces.assign(area=pieces.geometry.area).sort_values("unit", kind="stable")


def _of_unit(sizes: Array, complete: Array, area: float) -> dict[str, float]:
    counted = {"patches": len(sizes), "natural_area": sizes.sum(), "total_area": area}
    return counted | jaeger(sizes, area, complete=np.maximum(sizes, complete))


def _framed(shapes: gpd.GeoDataFrame | gpd.GeoSeries) -> gpd.GeoDataFrame:
    frame = gpd.GeoDataFrame(geometry=shapes) if isinstance(shapes, gpd.GeoSeries) else shapes
    return frame.reset_index(drop=True)


def _listed(classes: Any) -> list[Any]:
    return [classes] if isinstance(classes, str) or not isinstance(classes, Iterable) else list(classes)


def _codes(classes: Collection[int] | int | None) -> Array | None:
    if classes is None:
        return None
    codes = np.unique(np.asarray(_listed(classes)))
    if codes.dtype.kind not in "iufb":
        raise BadRequest(f"fragmentation_of_raster: classes are {_listed(classes)}, expected the raster's numbers.")
    return codes


def _keys_and_zones(
    raster: Array,
    zones: Array | None = None,
    *,
    classes: Array | None,
    nodata: float | None,
    cut: bool,
    outside: float | None = None,
) -> tuple[Array, Array]:
    valid = has_data(raster, nodata)
    natural = valid & (raster != 0 if classes is None else np.isin(raster, classes))
    if zones is None:
        return natural, np.where(valid, np.int32(0), np.int32(-1))
    inside = has_data(zones, outside) & (zones >= 0)
    zone = np.where(inside, np.where(inside, zones, 0).astype(np.int64), -1)  # -1 does not fit bytes without a sign
    keys = np.where(natural & inside, zone + 1, 0) if cut else natural
    return keys, np.where(valid, zone, -1)


def _scale(unit: AreaUnit) -> float:
    if unit not in _SQUARE_METRES:
        raise BadRequest(f"unit is {unit!r}, expected one of {', '.join(_SQUARE_METRES)}.")
    return _SQUARE_METRES[unit]


def _units(unit: AreaUnit) -> dict[str, str]:
    none = dict.fromkeys(_LONG_NAMES, "1")
    areas = dict.fromkeys(("natural_area", "total_area", "mesh_size", "mesh_size_cbc"), unit)
    return none | areas | {"mesh_density": f"({unit})-1", "net_product": f"({unit})2"}


def _with_units(frame: gpd.GeoDataFrame, units: dict[str, str]) -> gpd.GeoDataFrame:
    frame.attrs = {"units": units, "long_name": {name: _LONG_NAMES.get(name, name) for name in units}}
    return frame


def _check_projected(frame: gpd.GeoDataFrame, what: str) -> None:
    if frame.crs is None or frame.crs.is_geographic:
        found = "no CRS" if frame.crs is None else f"{frame.crs.name}, in degrees"
        raise BadRequest(f"{what}: found {found}, expected a projected CRS in metres: frame.to_crs(2154) in France.")
    if is_web_mercator(frame.crs):
        raise BadRequest(f"{what}: {WEB_MERCATOR} Write frame.to_crs(2154) in France.")
    unit = frame.crs.axis_info[0].unit_name
    if unit not in _METRES:
        raise BadRequest(f"{what}: the CRS {frame.crs.name} is in {unit}, expected metres. Write frame.to_crs(…).")


def _check_same_crs(one: gpd.GeoDataFrame, other: gpd.GeoDataFrame) -> None:
    if other.crs is None or not one.crs.equals(other.crs, ignore_axis_order=True):
        found = "none" if other.crs is None else other.crs.name
        raise BadRequest(f"Found two CRSs, {one.crs.name} and {found}, expected one. Write other.to_crs(frame.crs).")
