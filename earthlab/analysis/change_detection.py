"""What changed between two images of very high resolution, object by object, for a first map after a crisis.

Single pixels of such images differ by shadows and a slight shift. Objects, which are neighbouring pixels that look
alike on both dates, average that out: an object has changed where it changed more than the ordinary ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import check_same_grid, flat, pixel_size, unpacked
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import nmad
from earthlab.analysis.terrain import placed
from earthlab.errors import BadRequest, did_you_mean

_REWEIGHTS = 40
_ROUNDING = 1e-6
"""Share of a band's level below which differences are those of rounding."""


def segment(
    before: xr.Dataset,
    after: xr.Dataset,
    *,
    bands: Sequence[str] | None = None,
    area: float = 100.0,
    compactness: float = 0.1,
) -> xr.DataArray:
    """Objects that look alike on both dates: superpixels (SLIC) of the two images taken together.

    Parameters
    ----------
    before, after : xarray.Dataset
        Reflectance or brightness with axes ``y`` and ``x`` on one projected grid; NaN is unknown, and what a band
        declares as no data. They are read into memory.
    bands : sequence of str, optional
        Bands to use. Default: those that both have.
    area : float
        Mean area of an object in m², about half of the smallest thing to find.
    compactness : float
        How much objects keep to squares rather than to colours, where colours are in NMAD of their band.

    Returns
    -------
    xarray.DataArray
        int32, numbers of objects from 1; 0 where a band is unknown on either date.

    Raises
    ------
    BadRequest
        For images on other grids, a grid in degrees, an unknown band, an area that is not positive, or no pixel that is
        known on both dates.

    References
    ----------
    Achanta et al. (2012), SLIC superpixels compared to state-of-the-art superpixel methods, doi:10.1109/TPAMI.2012.120.
    """
    from skimage.segmentation import slic

    names = _bands(before, after, bands)
    layers = _layers(before, after, names)
    height, width = pixel_size(before[names[0]], "segment")
    known = np.asarray(np.isfinite(layers).all(axis=-1))
    if not (area > 0 and known.any()):
        raise BadRequest(
            f"segment: area {area!r} m², {int(known.sum())} pixels known on both dates; expected more than 0 of both."
        )
    scaled = np.where(known[..., None], (layers - _middles(layers)) / _spreads(layers), 0.0)
    count = max(round(known.size * height * width / area), 1)
    # Not slic's own mask, whose starting points take a clustering of all pixels.
    labels = slic(scaled, n_segments=count, compactness=compactness, start_label=1, channel_axis=-1, convert2lab=False)
    labels = np.where(known, labels, 0)
    words = {"long_name": "objet / object", "units": "1", **placed(before[names[0]])}
    return _mapped(labels.astype("int32"), before[names[0]], "object", words)


def object_changes(
    before: xr.Dataset,
    after: xr.Dataset,
    objects: xr.DataArray,
    *,
    bands: Sequence[str] | None = None,
    level: float = 0.999,
    least: float = 0.0,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """How much each object changed, and whether that is more than chance.

    In each band the straight line of least absolute deviations through the medians of all objects, before and after,
    takes out another light or season, as long as most objects of each brightness did not change. What is left of an
    object, times the root of its pixels, is compared with the NMAD of all. The squares, summed over bands, have a
    chi-square distribution where nothing changed.

    Parameters
    ----------
    before, after, bands
        As for `segment`.
    objects : xarray.DataArray
        Numbers of objects on the same grid, 0 for none, as `segment` gives them.
    level : float
        Probability that an object without change is below the threshold of chance.
    least : float
        Smallest change that matters, in the unit of the bands (root of the mean square over them): below it an object
        is unchanged, however sure its change is.

    Returns
    -------
    tuple of xarray.Dataset and pandas.DataFrame
        On the grid, ``change`` (uint8: 0 none, 1 changed, 255 unknown) and ``score`` (float32, the root of the mean
        square over bands, in NMAD). By number of the object, ``area`` in m², ``score``, ``changed``, and for each band
        what is left of the difference in its unit.

    Raises
    ------
    BadRequest
        As `segment`; for objects on another grid, fewer than 20 of them, or a level outside ]0, 1[.

    References
    ----------
    Nielsen (2007), The regularized iteratively reweighted MAD method for change detection,
    doi:10.1109/TIP.2006.888195, for the chi-square of standardised differences.
    """
    from scipy.ndimage import median
    from scipy.special import gammaincinv

    if not (0 < level < 1 and least >= 0):
        raise BadRequest(
            f"object_changes: level is {level!r}, expected a probability between 0 and 1, such as 0.999; "
            f"least is {least!r}, expected from 0."
        )
    names = _bands(before, after, bands)
    layers = _layers(before, after, names)
    check_same_grid(before[names[0]], objects, "object_changes")
    labels = np.nan_to_num(flat(objects).values, nan=0.0).astype("int64")
    known = np.isfinite(layers).all(axis=-1) & (labels > 0)
    numbers = np.unique(labels[known])
    if numbers.size < 20:
        raise BadRequest(f"object_changes: {numbers.size} objects, expected 20 or more. Give segment a smaller area=.")
    where = np.where(known, labels, 0)
    middles = np.stack([median(layers[..., at], where, numbers) for at in range(2 * len(names))], 1)
    left = np.stack([_unexplained(middles[:, at], middles[:, at + len(names)]) for at in range(len(names))], 1)
    pixels = np.bincount(where.ravel(), minlength=int(numbers.max()) + 1)[numbers]
    weighted = left * np.sqrt(pixels)[:, None]
    rounding = _ROUNDING * np.abs(middles).max(axis=0).reshape(2, -1).max(axis=0) * np.sqrt(np.median(pixels))
    spreads = np.maximum(nmad(weighted, dim=0), np.maximum(rounding, np.finfo("float32").tiny))
    score = np.sqrt((((weighted - _middles(weighted)) / spreads) ** 2).mean(axis=1))
    size = np.sqrt((left**2).mean(axis=1))
    threshold = np.sqrt(2 * gammaincinv(len(names) / 2, level) / len(names))
    height, width = pixel_size(before[names[0]], "object_changes")
    columns = {"area": pixels * height * width, "score": score, "changed": (score > threshold) & (size >= least)}
    table = pd.DataFrame(columns, index=numbers)
    table = table.rename_axis("object").assign(**{name: left[:, at] for at, name in enumerate(names)})
    table.attrs = {"units": {"area": "m2", "score": "1"}, "threshold": float(threshold)}
    return _change_maps(before[names[0]], where, table), table


def _unexplained(before: Array, after: Array) -> Array:
    # Least absolute deviations, by reweighting: what changed does not bend the line, however bright it is.
    design = np.stack([before, np.ones_like(before)], 1)
    left = after - before
    least = max(1e-3 * float(nmad(after)), _ROUNDING * float(np.abs(after).max()), float(np.finfo("float32").tiny))
    for _ in range(_REWEIGHTS):
        weights = 1 / np.sqrt(np.maximum(np.abs(left), least))
        line = np.linalg.lstsq(design * weights[:, None], after * weights, rcond=None)[0]
        left = after - design @ line
    return np.asarray(left)


def _change_maps(like: xr.DataArray, labels: Array, table: pd.DataFrame) -> xr.Dataset:
    size = int(table.index.max()) + 1
    scores, states = np.full(size, np.nan, "float32"), np.full(size, 255, "uint8")
    scores[table.index], states[table.index] = table["score"], table["changed"]
    words = {"long_name": "changement / change", "units": "1", "flag_values": np.array([0, 1], "uint8")}
    meaning = {"flag_meanings": "unchanged changed", "_FillValue": np.uint8(255), **placed(like)}
    far = {"long_name": "écart à l'ordinaire / distance from the ordinary", "units": "1", **placed(like)}
    return xr.Dataset(
        {
            "change": _mapped(states[labels], like, "change", {**words, **meaning}),
            "score": _mapped(scores[labels], like, "score", far),
        }
    )


def _bands(before: xr.Dataset, after: xr.Dataset, bands: Sequence[str] | None) -> list[str]:
    if not (isinstance(before, xr.Dataset) and isinstance(after, xr.Dataset)):
        raise BadRequest("change: expected two Datasets with a variable a band. Convert with to_dataset(name=…).")
    shared = [str(name) for name in before.data_vars if name in after.data_vars]
    names = shared if bands is None else [bands] if isinstance(bands, str) else list(bands)
    absent = [name for name in names if name not in shared]
    if absent or not names:
        raise BadRequest(
            f"change: no band {', '.join(absent) or 'at all'} on both dates. {did_you_mean(absent, shared)}"
        )
    for name in names:
        check_same_grid(before[name], after[name], "change")
        for image in (before, after):
            if flat(image[name]).dims != ("y", "x"):
                raise BadRequest(f"change: {name!r} has axes {image[name].dims}, expected y and x: cube.isel(time=0).")
    return names


def _layers(before: xr.Dataset, after: xr.Dataset, names: Sequence[str]) -> Array:
    images = [unpacked(flat(image[name])) for image in (before, after) for name in names]
    return np.stack([np.asarray(image.values, "float64") for image in images], axis=-1)


def _middles(values: Array) -> Any:
    return np.nanmedian(values.reshape(-1, values.shape[-1]), axis=0)


def _spreads(values: Array) -> Any:
    # Most of a band may be the same number, and all of it.
    flat_values = values.reshape(-1, values.shape[-1])
    robust, plain = nmad(flat_values, dim=0), np.nanstd(flat_values, axis=0)
    return np.where(robust > 0, robust, np.where(plain > 0, plain, 1.0))


def _mapped(values: Array, like: xr.DataArray, name: str, words: dict[str, Any]) -> xr.DataArray:
    kept = {axis: like[axis] for axis in ("y", "x", "spatial_ref") if axis in like.coords}
    return xr.DataArray(values, dims=("y", "x"), coords=kept, attrs=words, name=name)
