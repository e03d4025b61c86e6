"""Snow from reflectance: where it lies (Let-it-snow), how much of a pixel it covers, and how long it stays.

Snow is bright in the green and dark in the short-wave infrared. Two passes find it: a careful one, which tells from the
relief how low the snow reaches, and a bolder one above that snowline. What a cloud mask took for thin, dark clouds is
looked at again, for over snow such masks err.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.columns import TIME, map_columns, pick
from earthlab.analysis.frames import norm_dates, own_values
from earthlab.analysis.grids import flat, on_grid_of, pixel_size
from earthlab.analysis.kernels.compiling import Array, as_columns
from earthlab.analysis.kernels.snow import snow_days
from earthlab.analysis.units import check_units, labelled
from earthlab.analysis.vegetation import check_bands, ndvi
from earthlab.errors import BadRequest, did_you_mean

NO_SNOW, SNOW, CLOUD, NO_DATA = 0, 100, 205, 254
"""The codes of Theia's snow product."""

_CODES = (NO_SNOW, SNOW, CLOUD, NO_DATA, 255)
"""255 is no data in older products."""
_LOWEST = -500.0
"""Metres: no land lies lower."""
_METHOD = "Let-it-snow, Gascoin et al. 2019, doi:10.5194/essd-11-493-2019"


@dataclass(frozen=True, slots=True)
class SnowSettings:
    """Thresholds of Let-it-snow; reflectance and NDSI have no unit, lengths are metres.

    The defaults are those of the published chain for Sentinel-2 (its early versions had ``red_second`` 0.12).
    """

    ndsi_first: float = 0.40
    red_first: float = 0.20
    ndsi_second: float = 0.15
    red_second: float = 0.04
    band: float = 100.0
    """Height of an elevation band."""
    snow_in_band: float = 0.10
    """Share of snow among the clear pixels of a band, from which it counts as snowy."""
    clear_in_band: float = 0.10
    """Share of clear pixels a band must have to be judged."""
    snow_in_scene: float = 0.001
    """Share of snow in the scene below which there is no second pass."""
    dark_cloud: float = 0.300
    """Red reflectance, averaged over ``dark_cloud_width``, below which a cloud is looked at again."""
    dark_cloud_width: float = 240.0
    back_to_cloud: float = 0.100
    """Red reflectance above which a cloud that turned out to hold no snow is a cloud again."""


DEFAULTS = SnowSettings()


def ndsi(cube: xr.Dataset, *, green: str = "green", swir: str = "swir16") -> xr.DataArray:
    """The normalised difference snow index, (green - swir) / (green + swir), without unit; lazy if the cube is.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance, best corrected for slopes.
    green, swir : str
        Names of the bands near 0.56 and 1.6 µm.

    Returns
    -------
    xarray.DataArray
        Float dtype of the bands (float32 for small integers); NaN where either is missing or their sum is not positive.

    Raises
    ------
    BadRequest
        Where the cube lacks one of the bands, or a band states another unit than 1.

    References
    ----------
    Dozier (1989), Spectral signature of alpine snow cover from the Landsat Thematic Mapper,
    doi:10.1016/0034-4257(89)90101-6.
    """
    check_bands(cube, (green, swir), "ndsi")
    for name in (green, swir):
        check_units(cube[name], "1", verb="ndsi", what=repr(name))
    return _named(ndvi(cube, red=swir, nir=green), "ndsi", "1", "indice de neige / snow index (NDSI)")


def detect_snow(  # noqa: PLR0913 - the one public door of a method with many inputs
    cube: xr.Dataset,
    elevation: xr.DataArray,
    *,
    green: str = "green",
    red: str = "red",
    swir: str = "swir16",
    cloud: str | None = None,
    shadow: str | None = None,
    high_cloud: str | None = None,
    settings: SnowSettings = DEFAULTS,
) -> xr.Dataset:
    """Snow, no snow and cloud in each pixel of each date, and the snowline, by the method of Let-it-snow.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance without cloud mask (0 to 1), axes ``y``, ``x`` and perhaps ``time``, and the masks below.
    elevation : xarray.DataArray
        Metres, on the grid of the cube; NaN is no ground.
    green, red, swir : str
        Names of the bands near 0.56, 0.66 and 1.6 µm.
    cloud, shadow, high_cloud : str, optional
        Variables of the cube, not 0 where there is any cloud, a cloud's shadow, a high cloud (cirrus). Only what is
        ``cloud`` and neither of the others is looked at again.
    settings : SnowSettings
        The thresholds.

    Returns
    -------
    xarray.Dataset
        ``snow``, uint8: 0 no snow, 100 snow, 205 cloud, 254 no data; ``snowline`` of each date in metres, NaN where
        none was found: the lower edge of the band two below the lowest snowy one, never below the lowest band. Lazy if
        the cube is: each date is one task that holds the whole scene.

    Raises
    ------
    BadRequest
        For a missing band or mask, another unit, another grid of the elevation, a grid in degrees, or (when it is
        computed) reflectance that is not between 0 and 1 or elevations that stand for no data.

    References
    ----------
    Gascoin, Grizonnet, Bouchet, Salgues and Hagolle (2019), Theia Snow collection: high-resolution operational snow
    cover maps from Sentinel-2 and Landsat-8 data, doi:10.5194/essd-11-493-2019; algorithm theoretical basis document,
    doi:10.5281/zenodo.1414452.
    """
    bands, masks = (green, red, swir), {"cloud": cloud, "shadow": shadow, "high_cloud": high_cloud}
    check_bands(cube, bands, "detect_snow")
    for word, name in masks.items():
        if name is not None and name not in cube.data_vars:
            raise BadRequest(
                f"detect_snow: {word}={name!r} is no variable. {did_you_mean(name, map(str, cube.data_vars))}"
            )
    for name in bands:
        check_units(cube[name], "1", verb="detect_snow", what=repr(name))
    check_units(elevation, "m", verb="detect_snow", what="elevation")
    relief = on_grid_of(cube[red], own_values(flat(elevation), "detect_snow"), "detect_snow")
    factor = max(round(settings.dark_cloud_width / max(pixel_size(cube[red], "detect_snow"))), 1)
    layers = [own_values(cube[name], "detect_snow") for name in bands]
    layers += [cube[name] != 0 if name else xr.zeros_like(cube[red], dtype=bool) for name in masks.values()]
    whole = [_one_scene(layer) for layer in (*layers, relief.astype("float64"))]
    codes, line = xr.apply_ufunc(
        _detect,
        *whole,
        kwargs={"factor": factor, "settings": settings},
        input_core_dims=[["y", "x"]] * len(whole),
        output_core_dims=[["y", "x"], []],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.dtype("uint8"), np.dtype("float64")],
    )
    places = {name: cube[red][name] for name in ("y", "x") if name in cube[red].coords}
    return _described(codes.transpose(*cube[red].dims).assign_coords(places), line)


def _one_scene(layer: xr.DataArray) -> xr.DataArray:
    # Without coordinates that only some layers have: what is compared is the grid, which was checked.
    plain = layer.drop_vars([name for name in layer.coords if name not in {TIME, "spatial_ref"}])
    if layer.chunks is None:
        return plain
    return plain.chunk({name: -1 if name in ("y", "x") else 1 for name in plain.dims})


def _described(codes: xr.DataArray, line: xr.DataArray) -> xr.Dataset:
    flags = {"flag_values": [NO_SNOW, SNOW, CLOUD, NO_DATA], "flag_meanings": "no_snow snow cloud no_data"}
    return xr.Dataset(
        {
            "snow": codes.assign_attrs(
                long_name="neige / snow", **flags, references=_METHOD, grid_mapping="spatial_ref"
            ),
            "snowline": line.assign_attrs(long_name="ligne de neige / snowline", units="m", references=_METHOD),
        }
    )


def _detect(  # noqa: PLR0913 - one array an input
    green: Array,
    red: Array,
    swir: Array,
    cloud: Array,
    shadow: Array,
    high: Array,
    elevation: Array,
    *,
    factor: int,
    settings: SnowSettings,
) -> tuple[Array, float]:
    seen = np.isfinite(green) & np.isfinite(red) & np.isfinite(swir) & np.isfinite(elevation)
    if seen.any() and float(np.median(red[seen])) > 2:
        raise BadRequest(
            f"detect_snow: the red reflectance has a median of {np.median(red[seen]):g}, expected 0 to 1. Divide "
            "counts by their scale first, such as 10 000."
        )
    if seen.any() and float(elevation[seen].min()) < _LOWEST:
        raise BadRequest(
            f"detect_snow: the elevation goes down to {elevation[seen].min():g} m, expected metres above the sea. Mask "
            "what stands for no data: elevation.where(elevation > -500)."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where(green + swir > 0, (green - swir) / (green + swir), np.nan)
    clouds = cloud | shadow | high
    dark = _coarse_mean(red, factor) < settings.dark_cloud
    kept = clouds & (shadow | high | ~dark)
    judged = seen & ~kept
    first = judged & (index > settings.ndsi_first) & (red > settings.red_first)
    bright = clouds & ~kept & (red > settings.back_to_cloud)
    line = np.nan
    if seen.any() and first.sum() / seen.sum() > settings.snow_in_scene:
        line = _find_snowline(elevation, first, seen, kept | (bright & ~first), settings)
    second = judged & (elevation > line) & (index > settings.ndsi_second) & (red > settings.red_second)
    snow = first | second
    codes = np.full(red.shape, NO_SNOW, "uint8")
    codes[snow] = SNOW
    codes[kept | (bright & ~snow)] = CLOUD
    codes[~seen] = NO_DATA
    return codes, line


def _coarse_mean(values: Array, factor: int) -> Array:
    rows, columns = (-(-size // factor) * factor for size in values.shape)
    padded = np.full((rows, columns), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(rows // factor, factor, columns // factor, factor)
    number = np.isfinite(blocks).sum(axis=(1, 3))
    mean = np.where(number > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(number, 1), np.nan)
    whole = np.repeat(np.repeat(mean, factor, axis=0), factor, axis=1)
    return np.asarray(whole[: values.shape[0], : values.shape[1]])


def _find_snowline(elevation: Array, snow: Array, seen: Array, cloud: Array, settings: SnowSettings) -> float:
    lowest = float(elevation[seen].min())
    band = ((elevation[seen] - lowest) // settings.band).astype("int64")
    clear = ~cloud[seen]
    everything = np.bincount(band)
    number = np.bincount(band, weights=clear, minlength=everything.size)
    snowy = np.bincount(band, weights=snow[seen] & clear, minlength=everything.size)
    judged = number > settings.clear_in_band * everything
    found = np.flatnonzero(judged & (snowy > settings.snow_in_band * number))
    return lowest + max(int(found[0]) - 2, 0) * settings.band if found.size else np.nan


def snow_fraction(index: xr.DataArray, snow: xr.DataArray | None = None) -> xr.DataArray:
    """Share of each pixel that snow covers, as seen from above: ``0.5 · tanh(2.65 · NDSI - 1.42) + 0.5``.

    Parameters
    ----------
    index : xarray.DataArray
        NDSI, as `ndsi` gives it.
    snow : xarray.DataArray, optional
        Codes of `detect_snow`: the share is 0 where there is none and NaN under clouds.

    Returns
    -------
    xarray.DataArray
        0 to 1; its root mean square error against fine images was 0.25. Lazy if the index is.

    Raises
    ------
    BadRequest
        For an index in another unit than 1, or codes on another grid or at other dates.

    References
    ----------
    Gascoin, Barrou Dumont, Deschamps-Berger et al. (2020), Estimating fractional snow cover in open terrain from
    Sentinel-2 using the normalized difference snow index, doi:10.3390/rs12182904.
    """
    check_units(index, "1", verb="snow_fraction", what="index")
    if snow is not None:
        snow = on_grid_of(index, snow, "snow_fraction")
    share: xr.DataArray = xr.ufuncs.tanh(2.65 * index - 1.42) * 0.5 + 0.5
    if snow is not None:
        share = share.where(snow != NO_SNOW, 0.0).where(snow.isin((NO_SNOW, SNOW)))
    words = "part enneigée vue du ciel / snow cover fraction seen from above"
    return _named(share, "snow_fraction", "1", words)


def snow_fraction_on_ground(fraction: xr.DataArray, tree_cover: xr.DataArray) -> xr.DataArray:
    """Share of the ground that snow covers, under trees as beside them: ``fraction / (1 - tree cover)``, at most 1.

    Parameters
    ----------
    fraction : xarray.DataArray
        As `snow_fraction` gives it, 0 to 1.
    tree_cover : xarray.DataArray
        Share of the pixel that crowns hide, 0 to 1 (``units`` ``"1"``) or in percent (``"%"``).

    Returns
    -------
    xarray.DataArray
        NaN where trees hide the whole pixel.

    Raises
    ------
    BadRequest
        For a fraction in another unit than 1, a tree cover in another than 1 or %, or (unless lazy) beyond 1 without
        saying so, or for another grid.

    References
    ----------
    Theia snow collection, on-ground fractional snow cover; Gascoin et al. (2020), doi:10.3390/rs12182904.
    """
    check_units(fraction, "1", verb="snow_fraction_on_ground", what="fraction")
    unit = check_units(tree_cover, "1", "%", verb="snow_fraction_on_ground", what="tree_cover")
    cover = on_grid_of(fraction, tree_cover, "snow_fraction_on_ground")
    if unit != "%" and cover.chunks is None and float(cover.max()) > 1:
        raise BadRequest(
            f"snow_fraction_on_ground: the tree cover reaches {float(cover.max()):g}, expected 0 to 1. Say so where "
            "it is in percent: tree_cover.assign_attrs(units='%')."
        )
    hidden = cover / 100.0 if unit == "%" else cover
    ground = (fraction / (1 - hidden).where(hidden < 1)).clip(max=1.0)
    words = "part enneigée du sol / snow cover fraction on the ground"
    return _named(ground, "snow_fraction_on_ground", "1", words)


def _named(values: xr.DataArray, name: str, units: str, words: str) -> xr.DataArray:
    return labelled(values, name, units, words, grid_mapping="spatial_ref")


def snow_season(snow: xr.DataArray, *, start: Any = None, end: Any = None) -> xr.Dataset:
    """Duration, onset and melt of the snow in each pixel over a season.

    Parameters
    ----------
    snow : xarray.DataArray
        Codes of `detect_snow` along ``time``, in any order, at any dates, NaN where unknown; or true where there is
        snow. Of several observations of one day the last clear one counts.
    start, end : date, optional
        First and last day of the season, both included. Default: the first and last observation. Observations outside
        are left out.

    Returns
    -------
    xarray.Dataset
        ``scd``, days with snow; ``sod`` and ``smod``, first and last day of the longest spell, as days since ``start``
        (CF units, NaN where it never snowed); ``nsp``, number of spells; ``nobs``, number of clear observations.
        Between two clear observations the share of snow goes straight from one to the other and a day has snow from
        one half; before the first and after the last it stays. NaN, and 0 observations, where the sky was never clear.
        Lazy if the codes are.

    Raises
    ------
    BadRequest
        Without dates along ``time``, without any in the season, for an end before the start, or (when it is computed)
        for numbers that are no codes.

    References
    ----------
    Theia snow collection, annual snow synthesis (L3B), doi:10.24400/329360/f7q52mnk.
    """
    snow = norm_dates(snow)
    dates = snow.indexes.get(TIME)
    if not isinstance(dates, pd.DatetimeIndex) or dates.hasnans or not len(dates):
        raise BadRequest("snow_season: expected dates along an axis 'time'.")
    if snow.dtype.kind == "b":
        snow = snow.astype("uint8") * np.uint8(SNOW)
    first, last = _day(start, dates.min()), _day(end, dates.max())
    if last < first:
        raise BadRequest(f"snow_season: the end {last:%Y-%m-%d} is before the start {first:%Y-%m-%d}. Turn them round.")
    order = np.argsort(dates.values, kind="stable")
    days = (dates[order].normalize() - first).days.to_numpy()
    length = (last - first).days + 1
    within = (days >= 0) & (days < length)
    if not within.any():
        raise BadRequest(f"snow_season: no observation lies between {first:%Y-%m-%d} and {last:%Y-%m-%d}. Widen it.")
    chosen = snow.transpose(TIME, ...).isel({TIME: order[within]})
    stacked = map_columns(
        partial(_season, days=days[within], length=length),
        [chosen], layers=5, periods=1, dtype=np.dtype("float32"),
    )  # fmt: skip
    return _season_frame(chosen, stacked, first)


def _day(given: Any, otherwise: pd.Timestamp) -> pd.Timestamp:
    try:
        day = pd.Timestamp(otherwise if given is None else given)
    except ValueError as exc:
        raise BadRequest(f"snow_season: {given!r} is no date ({exc}). Write '2023-11-01'.") from exc
    return day.tz_localize(None).normalize()


def _season(codes: Array, *, days: Array, length: int) -> Array:
    unknown = ~np.isin(codes, _CODES) & np.isfinite(codes)
    if unknown.any():
        raise BadRequest(
            f"snow_season: found the value {codes[unknown][0]:g}, expected the codes 0, 100, 205 and 254 of "
            "detect_snow. Give true and false for other masks, such as snow == 1."
        )
    covered = np.where(codes == SNOW, 1.0, np.where(codes == NO_SNOW, 0.0, np.nan)).astype("float32")
    columns = as_columns(covered)
    out = np.empty((5, columns.shape[1]), "float32")
    snow_days(columns, np.asarray(days, "int64"), length, out)
    return out.reshape(5, 1, *codes.shape[1:])


def _season_frame(chosen: xr.DataArray, stacked: Any, first: pd.Timestamp) -> xr.Dataset:
    since = f"days since {first:%Y-%m-%d}"
    words = {
        "scd": ("durée d'enneigement / snow cover duration", "days"),
        "sod": ("début de la plus longue période / onset of the longest spell", since),
        "smod": ("fin de la plus longue période / melt-out of the longest spell", since),
        "nsp": ("nombre de périodes / number of spells", "1"),
        "nobs": ("nombre d'observations claires / number of clear observations", "1"),
    }
    axes = chosen.dims[1:]
    coords = {name: array for name, array in chosen.coords.items() if TIME not in array.dims}
    return xr.Dataset(
        {
            name: (axes, pick(stacked, at, drop_time=True), {"long_name": title, "units": units,
                                                             "grid_mapping": "spatial_ref"})
            for at, (name, (title, units)) in enumerate(words.items())
        },
        coords,
    )  # fmt: skip
