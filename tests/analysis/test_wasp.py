"""The weighted synthesis against its formulas worked by hand, a plain loop, and scipy."""

from functools import partial

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from earthlab.analysis.composite import count, maximum, wasp
from earthlab.analysis.wasp import aot_weight, cloud_weights
from earthlab.errors import BadRequest

NAN = float("nan")
NO_DATA, CLOUD, SNOW, WATER, LAND = range(5)


def pixel_cube(red, dates, **layers) -> xr.Dataset:
    """One pixel of 240 m seen on some dates: no cloud but its own is near."""
    columns = {"red": red, **layers}
    return xr.Dataset(
        {name: (("time", "y", "x"), np.array(v, "float32")[:, None, None]) for name, v in columns.items()},
        coords={"time": pd.DatetimeIndex(dates)},
    )


def one(cube, **words) -> dict[str, float]:
    found = wasp(cube, pixel=240, **words)
    return {name: found[name].item() for name in ("red", "date", "weight", "flag")}


def scene(dates=6, shape=(70, 90), *, seed=0, clouds=0.5) -> xr.Dataset:
    random = np.random.default_rng(seed)
    coarse = random.random((dates, shape[0] // 10, shape[1] // 10)) < clouds
    cloud = coarse.repeat(10, axis=1).repeat(10, axis=2)
    axes = ("time", "y", "x")
    bands = {name: (axes, random.random((dates, *shape)).astype("float32"), {"units": "1"}) for name in ("red", "nir")}
    masks = {name: (axes, (random.random((dates, *shape)) < 0.1).astype("uint8")) for name in ("snow", "water")}
    return xr.Dataset(
        {
            **bands,
            "cloud": (axes, cloud.astype("uint8")),
            "aot": (axes, random.random((dates, *shape)).astype("float32")),
            **masks,
        },
        coords={
            "time": pd.date_range("2018-07-01", periods=dates, freq="6D"),
            "y": ("y", np.arange(shape[0]) * -20.0, {"units": "metre"}),
            "x": ("x", np.arange(shape[1]) * 20.0, {"units": "metre"}),
        },
        attrs={"title": "essai"},
    )


LAYERS = {"cloud": "cloud", "aot": "aot", "snow": "snow", "water": "water"}


def test_the_weight_of_aerosols_is_the_published_one():
    np.testing.assert_allclose(
        aot_weight([0, 0.1, 0.4, 0.8, 2.0, NAN]), [1, 0.91625, 0.665, 0.33, 0.33, 0.33], rtol=1e-6
    )


def test_the_weight_of_a_date_falls_to_one_half_at_the_end_of_the_window():
    dates = ["2018-07-15", "2018-08-07"]
    assert one(pixel_cube([0.1, 0.4], dates), date="2018-07-15")["red"] == pytest.approx((0.1 + 0.5 * 0.4) / 1.5)
    half_way = one(pixel_cube([0.1, 0.4], ["2018-07-15", "2018-07-25"]), date="2018-07-15", half_window=20)
    assert half_way["weight"] == pytest.approx(1.75)


def test_the_public_codes_division_of_whole_numbers_may_be_asked_for():
    dates = ["2018-07-15", "2018-07-25", "2018-08-07"]
    found = one(pixel_cube([0.1, 0.4, 0.7], dates), date="2018-07-15", date_weight="integer")
    assert found["weight"] == pytest.approx(1 + 1 + 0.5)
    assert found["red"] == pytest.approx((0.1 + 0.4 + 0.35) / 2.5)


def test_the_hour_of_an_overpass_does_not_matter():
    early, late = (pixel_cube([0.1, 0.4], ["2018-07-15T00:10", f"2018-07-20T{hour}"]) for hour in ("00:01", "23:59"))
    assert one(early, date="2018-07-15") == one(late, date="2018-07-15")


def test_the_date_of_a_pixel_is_the_weighted_mean_of_its_dates():
    found = wasp(pixel_cube([0.1, 0.4], ["2018-07-15", "2018-07-27"]), pixel=240, date="2018-07-15", half_window=12)
    assert found.date.item() == pytest.approx(0.5 * 12 / 1.5)
    assert found.date.attrs["units"] == "days since 2018-07-15"
    decoded = xr.decode_cf(found.reset_coords(drop=True)[["date"]])
    assert decoded.date.item() == pd.Timestamp("2018-07-19").value


def test_dates_outside_the_window_do_not_count():
    cube = pixel_cube([0.1, 9.0], ["2018-07-15", "2018-08-08"])
    assert one(cube, date="2018-07-15")["red"] == pytest.approx(0.1)


KINDS = [
    # cloud, snow, water on three dates: value, date, weight is 0, flag
    ([1, 1, 1], [0, 0, 0], [0, 0, 0], NAN, NAN, True, CLOUD),
    ([0, 1, 1], [0, 0, 0], [0, 0, 0], 1, 0, False, LAND),
    ([1, 0, 0], [1, 1, 0], [0, 0, 1], 3, 12, True, WATER),
    ([1, 0, 0], [0, 1, 1], [1, 0, 0], 3, 12, True, SNOW),
    ([0, 0, 1], [1, 0, 0], [0, 0, 0], 2, 6, False, LAND),
    ([0, 0, 0], [0, 1, 0], [0, 1, 1], 1, 0, False, LAND),
    ([0, 1, 1], [1, 0, 0], [1, 0, 0], 1, 0, True, WATER),
]


@pytest.mark.parametrize(("cloud", "snow", "water", "value", "date", "no_weight", "flag"), KINDS)
def test_snow_and_water_only_fill_what_land_left_open(cloud, snow, water, value, date, no_weight, flag):
    cube = pixel_cube([1, 2, 3], ["2018-07-01", "2018-07-07", "2018-07-13"], cloud=cloud, snow=snow, water=water)
    found = one(cube, cloud="cloud", snow="snow", water="water")
    np.testing.assert_allclose([found["red"], found["date"]], [value, date])
    assert ((found["weight"] == 0), found["flag"]) == (no_weight, flag)


def test_without_a_cloud_layer_what_was_not_observed_is_no_data():
    found = one(pixel_cube([NAN, NAN], ["2018-07-01", "2018-07-07"]))
    assert np.isnan(found["red"])
    assert (found["weight"], found["flag"]) == (0, NO_DATA)


def test_a_band_missing_on_a_date_is_averaged_over_the_others():
    cube = pixel_cube([1, 3], ["2018-07-01", "2018-07-07"]).assign(nir=lambda c: c.red.where(c.red > 2))
    found = wasp(cube, pixel=240)
    assert (found.red.item(), found.nir.item()) == (pytest.approx(2), 3)


def test_an_optical_thickness_that_is_unknown_weighs_least():
    cube = pixel_cube([1, 2], ["2018-07-01", "2018-07-01T12"], aot=[0, NAN])
    assert one(cube, aot="aot")["red"] == pytest.approx((1 + 0.33 * 2) / 1.33)


def test_the_only_clear_pixel_under_a_sky_of_clouds_is_still_taken():
    cloud = np.ones((1, 2400, 2400), "uint8")
    cloud[0, 1200, 1200] = 0
    axes = ("time", "y", "x")
    times = pd.DatetimeIndex(["2018-07-01"])
    cube = xr.Dataset({"red": (axes, np.full(cloud.shape, 0.25, "float32")), "cloud": (axes, cloud)}, {"time": times})
    found = wasp(cube, cloud="cloud", pixel=10)
    assert found.red[1200, 1200].item() == pytest.approx(0.25)
    assert 0 < found.weight[1200, 1200].item() < 1e-5
    assert int(np.isfinite(found.red).sum()) == 1


def cloud_weight_by_scipy(cloud: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (-(-size // factor) for size in cloud.shape)
    coarse = np.array(
        [
            [cloud[r * factor : (r + 1) * factor, c * factor : (c + 1) * factor].mean() > 0.5 for c in range(columns)]
            for r in range(rows)
        ],
        "float64",
    )
    weight = (1 - gaussian_filter(coarse, 2, mode="nearest")) * (1 - gaussian_filter(coarse, 10, mode="nearest"))
    places = np.meshgrid(*((np.arange(size) + 0.5) / factor - 0.5 for size in cloud.shape), indexing="ij")
    return map_coordinates(weight, places, order=1, mode="nearest")


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    factor=st.sampled_from([1, 4, 12]),
    seed=st.integers(0, 99),
    tile=st.integers(7, 40),
)
@settings(max_examples=25, deadline=None)
def test_the_weight_of_clouds_is_scipys_blur_whatever_the_tiles(shape, factor, seed, tile):
    cloud = np.random.default_rng(seed).random(shape) < 0.5
    axes = ("time", "y", "x")
    cube = xr.Dataset(
        {"red": (axes, np.ones((1, *shape), "float32")), "cloud": (axes, cloud[None])},
        coords={"time": pd.DatetimeIndex(["2018-07-01"])},
    )
    expected = np.where(cloud, 0, np.maximum(cloud_weight_by_scipy(cloud, factor), 1e-6))
    for variant in (cube, cube.chunk(y=tile, x=tile)):
        found = wasp(variant, cloud="cloud", pixel=240 / factor).weight.compute(scheduler="sync")
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_weight_beside_a_cloud_is_smaller_and_far_from_it_one():
    shares = np.zeros((1, 120, 120))
    shares[0, :5, :5] = 1
    weights = cloud_weights(shares)[0]
    assert weights[0, 0] < 0.1
    assert weights[8, 8] < weights[20, 20]
    assert weights[100, 100] == 1


def synthesis_by_loop(data: xr.Dataset, factor: int, centre: np.datetime64) -> xr.Dataset:
    clouds = np.stack([cloud_weight_by_scipy(mask != 0, factor) for mask in data.cloud.values])
    apart = np.abs((data.time.values - centre) / np.timedelta64(1, "D"))
    near = 1 - 0.5 * apart / 23
    weights = near[:, None, None] * np.maximum(clouds, 1e-6) * aot_weight(data.aot.values)
    land = (data.cloud.values + data.snow.values + data.water.values == 0) & (apart <= 23)[:, None, None]
    weights = np.where(land, weights, 0).astype("float64")
    with np.errstate(invalid="ignore"):
        return xr.Dataset(
            {
                name: (
                    ("y", "x"),
                    np.where(land.any(axis=0), (weights * data[name].values).sum(0) / weights.sum(0), NAN),
                )
                for name in ("red", "nir")
            }
        )


def test_a_scene_is_that_of_a_plain_loop_on_land():
    data = scene(dates=9)
    centre = np.datetime64("2018-07-25")
    found = wasp(data, date=str(centre), **LAYERS)
    expected = synthesis_by_loop(data, 12, centre)
    land = found.flag.values == LAND
    assert 0.5 < land.mean() < 1
    for name in expected:
        np.testing.assert_allclose(found[name].values[land], expected[name].values[land], rtol=1e-4)
        np.testing.assert_array_equal(np.isfinite(expected[name].values), land)


@pytest.mark.parametrize("words", [{}, {"period": "month"}, {"period": "dekad", "half_window": 11}])
@pytest.mark.parametrize("layers", [LAYERS, {}])
def test_lazy_is_the_same_as_eager_and_computes_nothing_before(words, layers):
    data = scene()
    if not layers:
        data = data[["red", "nir"]].where(data.cloud == 0)
    expected = wasp(data, **words, **layers)
    variants = [data.chunk(chunks) for chunks in ({"y": 32, "x": 31}, {"time": 2, "y": 70, "x": 40}, {"time": 1})]
    variants += [data.chunk(time=4, y=30).chunk(time=-1, x=45), data.assign(red=data.red.chunk(y=11))]
    for variant in variants:
        found = wasp(variant, **words, **layers)
        assert dask.is_dask_collection(found.red.data)
        xr.testing.assert_identical(found.compute(scheduler="sync"), expected)


def never(block_id=None):
    raise AssertionError(f"block {block_id} was read")


def test_the_blur_reads_the_mask_by_itself_so_that_no_block_waits_for_it():
    meta = np.empty((0,) * 3, "float32")
    red = da.map_blocks(never, chunks=((6,), (8, 8), (8, 8)), dtype="float32", meta=meta, name="read-red")
    cube = xr.Dataset({"red": (("time", "y", "x"), red)}, {"time": pd.date_range("2018-07-01", periods=6)})
    graph = wasp(cube, pixel=10).red.data.dask
    readers = [name for name in graph.layers if name.startswith("read")]
    assert len(readers) == 2
    assert all(len(graph.dependents[name]) == 1 for name in readers)


def test_a_synthesis_of_months_is_dated_the_fifteenth_and_reaches_into_their_neighbours():
    dates = ["2018-06-20", "2018-06-28", "2018-07-15", "2018-08-05"]
    found = wasp(pixel_cube([1, 2, 4, 8], dates), pixel=240, period="month")
    np.testing.assert_array_equal(found.synthesis_date, np.array(["2018-06-15", "2018-07-15", "2018-08-15"], "M8[ns]"))
    np.testing.assert_array_equal(found.time, np.array(["2018-06-01", "2018-07-01", "2018-08-01"], "M8[ns]"))
    assert found.weight[1].item() == pytest.approx(1 + (1 - 0.5 * 17 / 23) + (1 - 0.5 * 21 / 23), rel=1e-6)
    assert (found.red[0].item() < 2, found.red[2].item()) == (True, 8)


def test_attributes_say_what_the_layers_are():
    found = wasp(scene(), **LAYERS)
    assert list(found) == ["red", "nir", "date", "weight", "flag"]
    assert (found.flag.dtype, found.flag.attrs["flag_meanings"]) == (np.dtype("uint8"), "no_data cloud snow water land")
    assert found.red.attrs == {"units": "1", "cell_methods": "time: mean (comment: weighted synthesis)"}
    assert (found.attrs["title"], found.red.dtype, found.weight.dtype) == (
        "essai",
        np.dtype("float32"),
        np.dtype("float32"),
    )


def ask(**words):
    return partial(wasp, scene(), **words)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (ask(cloud="clouds"), r"cloud='clouds' is no variable with time\. Nearest: cloud"),
        (ask(aot="tau"), "aot='tau' is no variable with time"),
        (ask(date_weight="cubic"), "date_weight is 'cubic', expected 'linear' or 'integer'"),
        (ask(half_window=0), "half_window is 0, expected a positive number of days"),
        (ask(half_window=NAN), "half_window is nan"),
        (ask(date="2020-01-01"), "no date lies within 23 days of 2020-01-01; the cube has 2018-07-01 to 2018-07-31"),
        (ask(date="someday"), "date='someday' is not understood"),
        (ask(date="2018-07-15", period="month"), "give period= or date=, not both"),
        (ask(pixel=-10), "pixel is -10, expected its size in metres"),
        (lambda: wasp(scene()[["cloud"]], cloud="cloud"), "expected at least one band"),
        (lambda: wasp(scene().rename(nir="date")), "variables of its own called date"),
        (lambda: wasp(scene().red), "expected a Dataset with one variable a band"),
        (
            lambda: wasp(scene().drop_vars("x")),
            r"size of a pixel is not known in metres \(axis 'x' of 90, units 'none'\)",
        ),
        (lambda: wasp(scene().assign_coords(x=scene().x.assign_attrs(units="degrees_east"))), "units 'degrees_east'"),
        (lambda: wasp(scene().assign_coords(time=np.arange(6))), "expected dates along 'time'"),
        (lambda: wasp(scene().isel(y=0)), "expected axes time, y, x, found time, x"),
        (lambda: wasp(scene().assign(nir=scene().nir.isel(y=0))), "'nir' has axes time, x"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


@pytest.fixture(scope="module")
def slovenia(shared_data) -> xr.Dataset:
    """The real series of 68 dates: NDVI, clouds and validity, with what upstream computed of them."""
    folder = shared_data / "eopatch_s2_ndvi"
    stamps = pd.read_json(folder / "timestamps.json", typ="series", convert_dates=True)
    read = {
        name: np.load(folder / place / f"{name}.npy")[..., 0]
        for name, place in (
            ("NDVI", "data"),
            ("CLM", "mask"),
            ("IS_VALID", "mask"),
            ("MAX_NDVI", "data_timeless"),
            ("VALID_COUNT", "mask_timeless"),
        )
    }
    axes = {3: ("time", "y", "x"), 2: ("y", "x")}
    return xr.Dataset(
        {name: (axes[stack.ndim], stack) for name, stack in read.items()}, coords={"time": pd.DatetimeIndex(stamps)}
    )


def test_the_maximum_and_the_count_of_the_real_series_are_upstreams(slovenia):
    np.testing.assert_array_equal(maximum(slovenia[["NDVI"]]).NDVI, slovenia.MAX_NDVI.astype("float32"))
    clear = slovenia[["NDVI"]].where(slovenia.IS_VALID)
    np.testing.assert_array_equal(count(clear), slovenia.VALID_COUNT)


@pytest.mark.parametrize("date_weight", ["linear", "integer"])
def test_the_synthesis_of_the_real_series_is_the_weighted_sum_by_hand(slovenia, date_weight):
    scene = slovenia[["NDVI", "CLM"]]
    found = wasp(scene, date="2016-08-15", cloud="CLM", pixel=10, date_weight=date_weight)
    days = abs((slovenia.indexes["time"].normalize() - pd.Timestamp("2016-08-15")).days.to_numpy())
    near = np.where(days <= 23, 1 - 0.5 * (days / 23 if date_weight == "linear" else days // 23), 0)
    cloud = slovenia.CLM.values.astype("float32")
    coarse = np.stack([by_squares(image, 24) for image in cloud])
    far = cloud_weights(coarse)
    rows, columns = ((np.arange(size) + 0.5) / 24 - 0.5 for size in cloud.shape[1:])
    places = np.meshgrid(rows, columns, indexing="ij")
    spread = np.stack([map_coordinates(one, places, order=1, mode="nearest") for one in far])
    weight = np.where(cloud == 0, near[:, None, None] * np.maximum(spread, 1e-6), 0)
    with np.errstate(invalid="ignore"):
        expected = (weight * slovenia.NDVI.values).sum(0) / weight.sum(0)
    land = (found.flag == LAND).values
    assert land.mean() > 0.95
    np.testing.assert_allclose(found.NDVI.values[land], expected[land], rtol=2e-4)
    np.testing.assert_allclose(found.weight.values, weight.sum(0), atol=2e-4)


def by_squares(image, size) -> np.ndarray:
    rows, columns = (range(0, length, size) for length in image.shape)
    return np.array([[image[r : r + size, c : c + size].mean() for c in columns] for r in rows], "float32")


def test_the_pixel_is_known_from_the_reference_system():
    data = scene()
    bare = data.assign_coords(y=data.y.values, x=data.x.values)
    placed = bare.odc.assign_crs("EPSG:32740")
    expected = wasp(data, **LAYERS)
    np.testing.assert_array_equal(wasp(placed, **LAYERS).red, expected.red)
    with pytest.raises(BadRequest, match="not known in metres"):
        wasp(bare.odc.assign_crs("EPSG:4326"), **LAYERS)


def test_an_optical_thickness_in_counts_of_a_file_is_refused():
    data = scene()
    data["aot"] = (data.aot * 200).astype("uint8")
    with pytest.raises(BadRequest, match="aot='aot' holds uint8 values, expected a thickness"):
        wasp(data, **LAYERS)
