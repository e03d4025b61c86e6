"""Composites against numpy, against vectors worked by hand, and lazy against eager."""

import subprocess
import sys
import warnings
from functools import partial

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from dask._task_spec import Alias
from dask.blockwise import Blockwise
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from earthlab.analysis import composite
from earthlab.analysis.vegetation import ndvi
from earthlab.errors import BadRequest

NAN, INF = float("nan"), float("inf")
PLAIN = [composite.mean, composite.median, composite.maximum, composite.minimum]
JOINT = [composite.max_ndvi, composite.min_ndvi, composite.medoid]
EVERY = [*PLAIN, *JOINT, composite.count, partial(composite.quantile, q=0.3), partial(composite.quantile, q=[0.1, 0.9])]


def cube(*bands, times=None, dtype="float32") -> xr.Dataset:
    """A cube of one row: each band a list of dates, each date a value or a list of pixels."""
    values = [np.array(band, dtype) for band in bands]
    values = [band if band.ndim > 1 else band[:, None] for band in values]
    times = pd.date_range("2018-01-05", periods=len(values[0]), freq="7D") if times is None else pd.DatetimeIndex(times)
    names = ("red", "nir", "swir", "blue")
    return xr.Dataset(
        {name: (("time", "x"), band) for name, band in zip(names, values, strict=False)}, coords={"time": times}
    )


def random_cube(dates=24, shape=(19, 23), *, holes=0.4, seed=0, dtype="float32", bands=("red", "nir", "swir")):
    random = np.random.default_rng(seed)

    def band():
        values = random.random((dates, *shape)).astype(dtype)
        return np.where(random.random(values.shape) < holes, np.array(NAN, dtype), values)

    coords = {
        "time": pd.date_range("2018-01-05", periods=dates, freq="8D"),
        "y": ("y", np.arange(shape[0]) * -10.0, {"units": "metre"}),
        "x": ("x", np.arange(shape[1]) * 10.0, {"units": "metre"}),
        "spatial_ref": ((), 32631, {"crs_wkt": "PROJCRS"}),
    }
    attrs = {"units": "1", "grid_mapping": "spatial_ref"}
    return xr.Dataset(
        {name: (("time", "y", "x"), band(), {**attrs, "long_name": name}) for name in bands},
        coords=coords,
        attrs={"title": "essai", "earthlab_token": "abc"},
    )


def by_column(reduction, values: np.ndarray) -> np.ndarray:
    """The oracle: numpy on what was observed in each column."""
    flat = values.reshape(len(values), -1)
    found = [reduction(column[~np.isnan(column)]) if not np.isnan(column).all() else NAN for column in flat.T]
    return np.array(found, values.dtype).reshape(values.shape[1:])


VALUES = st.one_of(st.sampled_from([NAN, NAN, 0.0, -0.0, 1.0, 0.5]), st.floats(-1e6, 1e6, width=32))
CUBES = arrays("float32", st.tuples(st.integers(1, 70), st.integers(1, 7)), elements=VALUES)
few = settings(max_examples=60, deadline=None)


@given(values=CUBES)
@few
def test_the_median_is_numpys_to_the_last_bit(values):
    found = composite.median(cube(values)).red
    np.testing.assert_array_equal(found, by_column(np.median, values))


@given(values=arrays("float64", st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.floats(-1e9, 1e9)))
@settings(max_examples=25, deadline=None)
def test_the_median_of_doubles_stays_double(values):
    found = composite.median(cube(values, dtype="float64")).red
    assert found.dtype == "float64"
    np.testing.assert_array_equal(found, by_column(np.median, values))


@given(values=CUBES, share=st.floats(0, 1))
@few
def test_quantiles_are_numpys(values, share):
    found = composite.quantile(cube(values), share).red
    expected = by_column(lambda column: np.quantile(column.astype("float64"), share), values)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5 * np.nanmax(np.abs([*values.ravel(), 1.0])))


@given(values=CUBES)
@few
def test_means_and_extremes_are_numpys(values):
    data = cube(values)
    np.testing.assert_array_equal(composite.maximum(data).red, by_column(np.max, values))
    np.testing.assert_array_equal(composite.minimum(data).red, by_column(np.min, values))
    mean = by_column(lambda column: column.astype("float64").mean(), values)
    np.testing.assert_allclose(composite.mean(data).red, mean, rtol=1e-6, atol=1e-3)


@given(values=CUBES)
@settings(max_examples=25, deadline=None)
def test_counts_are_numpys(values):
    np.testing.assert_array_equal(composite.count(cube(values)), (~np.isnan(values)).sum(axis=0))


@pytest.mark.parametrize("dates", [*range(1, 35), 63, 64, 65, 100, 131])
def test_every_number_of_dates_sorts(dates):
    values = np.random.default_rng(dates).permuted(np.tile(np.arange(dates, dtype="float32"), (7, 1)), axis=1).T
    shares = [0, 0.25, 0.5, 1]
    found = composite.quantile(cube(values), shares).red
    np.testing.assert_allclose(found, np.quantile(values, shares, axis=0), rtol=1e-6)


def test_numpys_own_nanmedian_agrees_on_a_block():
    data = random_cube(shape=(64, 80))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = np.nanmedian(data.red, axis=0)
    np.testing.assert_array_equal(composite.median(data).red, expected)


HAND = [
    # dates, median, mean, maximum, minimum, count
    ([0.25], 0.25, 0.25, 0.25, 0.25, 1),
    ([3, 1, 2], 2, 2, 3, 1, 3),
    ([4, 1, 2, 3], 2.5, 2.5, 4, 1, 4),
    ([NAN, 1, NAN, 3], 2, 2, 3, 1, 2),
    ([2, 2, 2, 1], 2, 1.75, 2, 1, 4),
    ([NAN, NAN], NAN, NAN, NAN, NAN, 0),
    ([INF, 1, NAN], INF, INF, INF, 1, 2),
    ([INF, 1, 2], 2, INF, INF, 1, 3),
    ([INF, INF, NAN, NAN], INF, INF, INF, INF, 2),
    ([-INF, 5, 7], 5, -INF, 7, -INF, 3),
    ([-0.0, 0.0, -0.0], 0, 0, 0, 0, 3),
]


@pytest.mark.parametrize(("values", "median", "mean", "most", "least", "count"), HAND)
def test_by_hand(values, median, mean, most, least, count):
    data = cube(values)
    for reduction, expected in zip(
        [composite.median, composite.mean, *PLAIN[2:]], (median, mean, most, least), strict=True
    ):
        np.testing.assert_array_equal(reduction(data).red, [expected])
    assert composite.count(data).item() == count


def test_a_quantile_between_two_ranks_by_hand():
    assert composite.quantile(cube([10, 20, 40, NAN]), 0.75).red.item() == 30
    assert composite.quantile(cube([1, INF]), 0).red.item() == 1  # a rank met exactly is that observation


def test_integers_are_read_as_float32_and_large_ones_as_doubles():
    small, large = cube([1, 2, 4, 7], dtype="int16"), cube([2**40, 2**40 + 2], dtype="int64")
    assert (composite.median(small).red.dtype, composite.median(small).red.item()) == ("float32", 3)
    assert (composite.mean(large).red.dtype, composite.mean(large).red.item()) == ("float64", 2**40 + 1)
    assert composite.count(small).item() == 4


@pytest.mark.parametrize("dtype", [">f4", ">i2", "float16", "bool"])
def test_other_ways_to_hold_numbers_are_understood(dtype):
    values = np.array([[0, 1], [1, 1], [1, 0]], dtype)
    found = composite.median(cube(values, dtype=dtype)).red
    assert found.dtype == np.dtype("float32")
    np.testing.assert_array_equal(found, [1, 1])


@pytest.mark.parametrize("reduction", EVERY)
def test_memory_in_any_order_gives_the_same(reduction):
    data = random_cube(dates=7)
    expected = reduction(data)
    axes = getattr(expected, "red", expected).dims
    turned = data.transpose("x", "y", "time").copy(deep=True)
    strided = xr.concat([data, data * 9], "z").isel(z=0)
    read_only = data.copy(deep=True)
    for array in read_only.data_vars.values():
        array.data.flags.writeable = False
    for variant in (turned, strided.transpose("time", "y", "x"), read_only):
        xr.testing.assert_equal(reduction(variant).transpose(*axes), expected)


def test_the_input_is_never_written_to():
    data = random_cube(dates=5)
    before = data.copy(deep=True)
    for reduction in EVERY:
        reduction(data, period="month")
    xr.testing.assert_identical(data, before)


def spectra_by_loop(data: xr.Dataset, choose) -> xr.Dataset:
    columns = np.stack([data[name].values for name in data], axis=-1)
    out = np.full(columns.shape[1:], NAN, "float32")
    for place in np.ndindex(columns.shape[1:-1]):
        date = choose(columns[(slice(None), *place)].astype("float64"))
        if date is not None:
            out[place] = columns[(date, *place)]
    return xr.Dataset({name: (data[name].dims[1:], out[..., at]) for at, name in enumerate(data)})


def greenest(sign, spectra):
    red, nir = spectra[:, 0], spectra[:, 1]
    with np.errstate(all="ignore"):
        index = np.where(red + nir > 0, (nir - red) / (red + nir), NAN)
    return None if np.isnan(index).all() else int(np.nanargmax(sign * index))


def distances(spectra):
    seen = ~np.isnan(spectra).any(axis=1)
    sums = np.array(
        [sum(np.linalg.norm(s - o) for o in spectra[seen]) if k else INF for s, k in zip(spectra, seen, strict=True)]
    )
    return sums if seen.any() else None


def nearest(spectra):
    sums = distances(spectra)
    return None if sums is None else int(sums.argmin())


def test_the_greenest_and_barest_spectra_are_those_of_a_plain_loop():
    data = random_cube(dates=9, shape=(6, 11))
    for reduction, sign in ((composite.max_ndvi, 1), (composite.min_ndvi, -1)):
        xr.testing.assert_equal(
            reduction(data).drop_vars(["spatial_ref", "y", "x"]), spectra_by_loop(data, partial(greenest, sign))
        )


def test_an_index_beyond_one_comes_last():
    # dark water or shade after atmospheric correction: NDVI 5 and -5
    data = cube([-0.002, 0.05, 0.1, 0.006], [0.003, 0.4, 0.2, -0.004])
    assert composite.max_ndvi(data).nir.item() == pytest.approx(0.4)
    assert composite.min_ndvi(data).nir.item() == pytest.approx(0.2)
    assert composite.max_ndvi(data.isel(time=[0])).nir.item() == pytest.approx(0.003)


@pytest.mark.parametrize("dates", [1, 2, 3, 8])
def test_the_medoid_is_that_of_a_plain_loop(dates):
    data = random_cube(dates=dates, shape=(9, 15), holes=0.15, seed=dates)
    xr.testing.assert_equal(composite.medoid(data).drop_vars(["spatial_ref", "y", "x"]), spectra_by_loop(data, nearest))


def test_the_spectrum_of_a_date_is_whole_and_its_index_needs_both_bands():
    data = cube([0.1, 0.3, NAN, -0.2], [0.3, 0.4, 0.9, 0.1], [5, 6, 7, 8])
    assert [composite.max_ndvi(data)[name].item() for name in data] == pytest.approx([0.1, 0.3, 5])
    assert [composite.min_ndvi(data)[name].item() for name in data] == pytest.approx([0.3, 0.4, 6])


def test_of_equal_dates_the_first_is_taken_whatever_their_order_in_the_cube():
    late_first = ["2018-03-01", "2018-01-01", "2018-02-01"]
    data = cube([0.1, 0.1, 0.1], [0.3, 0.3, 0.3], [3, 1, 2], times=late_first)
    assert composite.max_ndvi(data).swir.item() == 1
    assert composite.min_ndvi(data, period="year").swir.item() == 1
    assert composite.medoid(cube([0.1, 0.2], [0.3, 0.4], times=late_first[:2])).red.item() == pytest.approx(0.2)


def test_the_medoid_is_an_observation_and_not_swayed_by_an_outlier():
    data = cube([0.1, 0.12, 0.11, 0.9, NAN], [0.4, 0.42, 0.41, 0.9, 0.4])
    assert composite.medoid(data).red.item() == pytest.approx(0.11)
    assert np.isnan(composite.medoid(cube([NAN, 1], [1, NAN])).red.item())


def test_a_date_counts_where_any_band_was_observed():
    data = cube([NAN, 1, NAN], [2, NAN, NAN])
    assert composite.count(data).item() == 2
    assert composite.count(data.red).item() == 1
    assert (composite.count(data).dtype, composite.count(data).attrs["units"]) == (np.dtype("int32"), "1")


def test_months_start_on_their_first_day_and_have_bounds():
    times = ["2018-03-31T23:59", "2018-01-02", "2018-01-31T10:30"]
    found = composite.mean(cube([8, 1, 2], times=times), period="month")
    np.testing.assert_array_equal(found.time, np.array(["2018-01-01", "2018-02-01", "2018-03-01"], "datetime64[ns]"))
    np.testing.assert_array_equal(found.red[:, 0], [1.5, NAN, 8])
    assert found.time.attrs["bounds"] == "time_bnds"
    assert found.time_bnds.dims == ("time", "bnds")
    np.testing.assert_array_equal(found.time_bnds[:, 0], found.time)
    assert found.time_bnds[-1, 1] == np.datetime64("2018-04-01")


@pytest.mark.parametrize("reduction", PLAIN)
@pytest.mark.parametrize("period", ["month", "season", "10D"])
def test_a_composite_of_periods_is_that_of_each_period_alone(reduction, period):
    data = random_cube(dates=20, shape=(5, 6))
    found = reduction(data, period=period)
    for at, (start, end) in enumerate(found.time_bnds.values):
        dates = data.isel(time=(data.time >= start).values & (data.time < end).values)
        if dates.sizes["time"]:
            np.testing.assert_array_equal(found.red[at], reduction(dates).red)
        else:
            assert np.isnan(found.red[at]).all()


def test_a_cube_with_bounds_goes_to_netcdf_and_back(tmp_path):
    found = composite.median(random_cube(), period="dekad")
    found.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "c.nc", decode_coords="all", engine="h5netcdf") as back:
        np.testing.assert_array_equal(back.time_bnds, found.time_bnds)
        np.testing.assert_array_equal(back.red, found.red)


@pytest.mark.parametrize("reduction", EVERY)
@pytest.mark.parametrize("period", [None, "month"])
def test_lazy_is_the_same_as_eager_and_computes_nothing_before(reduction, period):
    data = random_cube()
    expected = reduction(data, period=period)
    for chunks in ({"time": -1, "y": 8, "x": 10}, {"time": 5, "y": 19, "x": 9}, {"time": 1}):
        found = reduction(data.chunk(chunks), period=period)
        assert dask.is_dask_collection(found)
        if reduction is composite.mean:
            xr.testing.assert_allclose(found.compute(scheduler="sync"), expected)
        else:
            xr.testing.assert_identical(found.compute(scheduler="sync"), expected)


def never(block_id=None):
    raise AssertionError(f"block {block_id} was read")


def part(block, band):
    while isinstance(block, list):
        block = block[0]
    return block[band]


def lazy_cube(read, *, bands=3, dates=6, tiles=4) -> xr.Dataset:
    """As a reader makes it: one task reads all bands and dates of a block, and each band is a symbolic part of it."""
    sizes = (4,) * tiles
    meta = np.empty((0,) * 4, "float32")
    blocks = da.map_blocks(read, chunks=((bands,), (dates,), sizes, sizes), dtype="float32", meta=meta)
    arrays = [
        da.blockwise(
            partial(part, band=band), "tyx", blocks, "btyx", dtype="float32", meta=np.empty((0,) * 3, "float32")
        )
        for band in range(bands)
    ]
    names = ("red", "nir", "swir")
    times = pd.date_range("2018-01-05", periods=dates, freq="15D")
    return xr.Dataset({name: (("time", "y", "x"), a) for name, a in zip(names, arrays, strict=False)}, {"time": times})


@pytest.mark.parametrize("reduction", EVERY)
def test_nothing_is_read_while_a_composite_is_planned(reduction):
    reduction(lazy_cube(never), period="month")
    reduction(lazy_cube(never).chunk(time=2))


@pytest.mark.parametrize("period", [None, "month"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda data, period: composite.median(data.red, period=period),
        lambda data, period: composite.median(ndvi(data), period=period),
        lambda data, period: composite.max_ndvi(data, period=period).swir,
        lambda data, period: composite.medoid(data, period=period).red,
        lambda data, period: composite.count(data, period=period),
        lambda data, period: composite.quantile(data.nir, [0.1, 0.9], period=period),
        lambda data, period: composite.mean(data.nir, period=period),
    ],
)
def test_reading_and_reducing_a_block_are_one_task(ask, period):
    found = ask(lazy_cube(never), period)
    layers = found.__dask_graph__().layers.values()
    assert all(isinstance(layer, Blockwise) for layer in layers)
    (optimised,) = dask.optimize(found)
    tasks = [task for task in dict(optimised.__dask_graph__()).values() if not isinstance(task, Alias)]
    assert len(tasks) == 16


def test_the_bands_of_a_chosen_date_come_from_one_task_a_block():
    found = composite.max_ndvi(lazy_cube(never))
    names = {layer.rsplit("-", 1)[0] for layer in found.__dask_graph__().layers}
    assert [name for name in names if "spectra" in name] == ["spectra_of"]
    assert len({layer for layer in found.__dask_graph__().layers if "spectra" in layer}) == 1


def test_bands_that_are_not_asked_for_are_not_read():
    mixed = random_cube(shape=(16, 16))
    del mixed["swir"]
    mixed["swir"] = lazy_cube(never, dates=24).swir.variable
    assert np.isfinite(composite.median(mixed).red).any()


def test_attributes_and_grid_stay_and_say_what_was_done():
    data = random_cube().assign(height=(("y", "x"), np.ones((19, 23), "float32")))
    data.red.encoding["grid_mapping"] = "spatial_ref"
    data.red.encoding["scale_factor"] = 1e-4
    found = composite.median(data, period="month")
    assert list(found) == ["red", "nir", "swir", "height"]
    assert found.red.attrs == {**data.red.attrs, "cell_methods": "time: median"}
    assert found.red.encoding == {"grid_mapping": "spatial_ref"}
    xr.testing.assert_identical(found.spatial_ref, data.spatial_ref)
    assert (found.attrs["title"], found.attrs["earthlab_token"]) == ("essai", "abc")
    assert found.attrs["time_coverage_start"] == "2018-01-05T00:00:00"
    xr.testing.assert_identical(found.height.drop_vars("spatial_ref"), data.height.drop_vars("spatial_ref"))
    assert (
        composite.max_ndvi(data[["red", "nir"]]).red.attrs["cell_methods"]
        == "time: point (comment: date of highest NDVI)"
    )
    twice = composite.maximum(composite.median(data, period="month"))
    assert twice.red.attrs["cell_methods"] == "time: median time: maximum"


def test_labels_of_dates_are_dropped_and_those_of_pixels_kept():
    data = random_cube().assign_coords(orbit=("time", np.arange(24)), zone=(("y", "x"), np.ones((19, 23))))
    found = composite.mean(data)
    assert "orbit" not in found.coords
    assert "zone" in found.coords
    assert "time" not in found.coords


def test_an_array_stays_an_array_with_its_name():
    data = random_cube()
    found = composite.median(data.nir, period="month")
    assert isinstance(found, xr.DataArray)
    assert found.name == "nir"
    assert "bounds" not in found.time.attrs
    np.testing.assert_array_equal(found, composite.median(data, period="month").nir)
    assert composite.median(data.nir.rename(None)).name is None


def test_quantiles_carry_their_coordinate():
    data = random_cube()
    several = composite.quantile(data, [0.1, 0.9], period="month")
    assert several.red.dims == ("quantile", "time", "y", "x")
    np.testing.assert_array_equal(several.sel(quantile=0.9).red, composite.quantile(data, 0.9, period="month").red)
    assert composite.quantile(data.red, 0.5)["quantile"].item() == 0.5


@given(shape=array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
@settings(max_examples=20, deadline=None)
def test_any_axes_beside_time_are_kept(shape):
    dims = ("time", "z", "y", "x")[: len(shape)]
    values = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    found = composite.median(xr.DataArray(values, dims=dims))
    np.testing.assert_allclose(found, np.median(values, axis=0), rtol=1e-6)
    assert found.dims == dims[1:]


def test_dates_that_are_only_numbers_need_no_calendar_without_periods():
    data = cube([1, 2, 3]).assign_coords(time=[1, 2, 3])
    assert composite.median(data).red.item() == 2
    with pytest.raises(BadRequest, match=r"period='month' needs dates along 'time', found int64"):
        composite.median(data, period="month")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: composite.median(cube([1]).isel(time=0)), r"median: expected variables with an axis 'time', found x"),
        (lambda: composite.mean(xr.Dataset()), "mean: expected variables with an axis 'time', found no axis"),
        (lambda: composite.mean(np.ones(3)), "mean: expected an xarray Dataset or DataArray, found ndarray"),
        (lambda: composite.count(cube([1]).isel(time=[])), "count: the cube is empty along time"),
        (lambda: composite.medoid(cube([1], [2]).isel(x=[])), "medoid: the cube is empty along x"),
        (
            lambda: composite.medoid(cube([1]).red),
            "medoid: expected a Dataset with one variable a band, found DataArray",
        ),
        (lambda: composite.max_ndvi(cube([1])), r"max_ndvi: the cube has no band 'nir'"),
        (lambda: composite.min_ndvi(cube([1], [2]), red="rouge"), r"min_ndvi: the cube has no band 'rouge'"),
        (
            lambda: composite.max_ndvi(cube([1], [2]).assign(red=2.0)),
            "max_ndvi: expected 'red' with an axis 'time', found no axis",
        ),
        (
            lambda: composite.medoid(cube([1], [2]).assign(nir=cube([1], [2]).nir.rename(x="y"))),
            "'nir' has axes time, y",
        ),
        (lambda: composite.median(cube([1]).assign(red=("time", ["a"]))), "'red' holds .* values, expected numbers"),
        (lambda: composite.quantile(cube([1]), 1.5), "quantile: q is 1.5, expected numbers between 0 and 1"),
        (lambda: composite.quantile(cube([1]), -0.1), "between 0 and 1"),
        (lambda: composite.quantile(cube([1]), NAN), "between 0 and 1"),
        (lambda: composite.quantile(cube([1]), []), "between 0 and 1"),
        (lambda: composite.quantile(cube([1]), "half"), "q is 'half'"),
        (lambda: composite.median(cube([1]), period="fortnight"), "period='fortnight' is not known"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(ask, words):
    with pytest.raises(BadRequest, match=words):
        ask()


def test_without_any_folder_for_a_cache_kernels_are_compiled_in_memory(tmp_path):
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "import numpy as np, xarray as xr; from earthlab.analysis import composite\n"
        "print(composite.maximum(xr.DataArray(np.ones((2, 3), 'f4'), dims=('time', 'x'))).values.sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "3.0", done.stderr


def test_a_cache_that_cannot_be_written_any_more_costs_no_result(tmp_path):
    code = (
        "import os, shutil; import numpy as np, xarray as xr; from earthlab.analysis import composite\n"
        f"folder = {str(tmp_path / 'cache')!r}; shutil.rmtree(folder); open(folder, 'w').close()\n"
        "print(composite.maximum(xr.DataArray(np.ones((2, 3), 'f4'), dims=('time', 'x'))).values.sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin"},
    )
    assert done.stdout.strip() == "3.0", done.stderr
