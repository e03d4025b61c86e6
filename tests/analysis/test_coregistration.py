"""The shift between two models: demcompare's published pair, xdem, and shifts planted in correlated noise."""

import json

import numpy as np
import pytest
import rioxarray
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as moved_by

from earthlab.analysis.coregistration import coregister, shifted
from earthlab.analysis.terrain import pixel_on_sphere
from earthlab.errors import BadRequest


def dem(values, left=700.0, top=5_000.0, step=10.0):
    rows, columns = (np.arange(size) * step for size in values.shape)
    return xr.DataArray(values, dims=("y", "x"), coords={"y": top - rows, "x": left + columns}, name="height")


def hills(size=72, seed=0):
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 5, mode="wrap")
    return rough / rough.std() * 40


@pytest.fixture(scope="module")
def pair(shared_data):
    folder = shared_data / "dem_coregistration"
    models = [
        rioxarray.open_rasterio(folder / "input" / name)[0].rename(y="latitude", x="longitude")
        for name in ("srtm_ref.tif", "srtm_blurred_and_shifted.tif")
    ]
    told = json.loads((folder / "ref_output/coregistration/coregistration_results.json").read_text())
    return *models, told["coregistration_results"]


def test_the_pair_of_demcompare_lies_3_columns_and_5_rows_apart(pair):
    reference, other, told = pair
    found = coregister(reference, other, pixel=pixel_on_sphere(reference))
    assert found.columns == pytest.approx(told["dx"]["total_offset"], abs=0.01)
    assert found.rows == pytest.approx(told["dy"]["total_offset"], abs=0.01)
    assert found.east == pytest.approx(3 * 0.000833333 * np.radians(6378137 * np.cos(np.radians(39.58))), abs=1)
    assert found.north < 0
    assert found.nmad_after < 4.5
    assert found.nmad_before > 80
    left = reference - shifted(other, found, like=reference)
    # demcompare loses the last rows and columns: its bias is over 990 rows of 993.
    assert float(left[5:995, 3:996].mean()) + found.up == pytest.approx(told["dz"]["total_bias_value"], abs=0.005)


def test_the_other_way_round_is_the_opposite_shift(pair):
    reference, other = (model[:400, :400] for model in pair[:2])
    there, back = (
        coregister(*models, pixel=pixel_on_sphere(models[0])) for models in ((reference, other), (other, reference))
    )
    np.testing.assert_allclose([there.columns, there.rows], [-back.columns, -back.rows], atol=0.01)


def test_the_shift_is_that_of_xdem():
    import geoutils as gu
    import xdem  # a second to import

    truth = hills(120)
    other = truth + np.random.default_rng(1).normal(0, 0.5, truth.shape)
    other = moved_by(other, (1.3, -0.7), order=1, mode="wrap") + 4
    models = [dem(values[4:-4, 4:-4]) for values in (truth, other)]
    found = coregister(*models)
    transform = (10.0, 0.0, 695.0, 0.0, -10.0, 5_005.0)
    rasters = [xdem.DEM(gu.Raster.from_array(model.values, transform=transform, crs=32740)) for model in models]
    fitted = xdem.coreg.NuthKaab(subsample=1.0).fit(*rasters, random_state=0).meta["outputs"]["affine"]
    assert found.east == pytest.approx(fitted["shift_x"], abs=0.3)
    assert found.north == pytest.approx(fitted["shift_y"], abs=0.3)
    np.testing.assert_allclose([found.columns, found.rows], [0.7, -1.3], atol=0.02)
    assert found.up == pytest.approx(-4, abs=0.1)


def test_intervals_of_planted_shifts_hold_the_truth():
    truth, generator = hills(), np.random.default_rng(2)
    off = []
    for _ in range(200):
        noise = gaussian_filter(generator.normal(size=truth.shape), 1.0, mode="wrap") * 2
        columns, rows = generator.integers(-2, 3, 2)
        other = np.roll(truth, (-rows, -columns), (0, 1)) + noise - 3
        found = coregister(dem(truth[6:-6, 6:-6]), dem(other[6:-6, 6:-6]))
        east, north = found.east - columns * 10, found.north + rows * 10
        off.append([east / found.east_error, north / found.north_error, (found.up - 3) / found.up_error, east, north])
    off = np.array(off)
    assert np.abs(off[:, 3:].mean(axis=0)).max() < 0.05
    held = (np.abs(off[:, :3]) <= 1.96).mean(axis=0)
    assert ((held >= 0.88) & (held <= 1)).all()


def test_models_of_other_extents_with_holes_and_outliers_on_unstable_ground():
    truth = hills()
    other = truth.astype("float32") + 2
    other[10:14, 30:34] = np.nan
    other[40:55, 40:55] += 60
    stable = dem(np.ones_like(truth))
    stable[38:57, 38:57] = 0
    part = dem(other)[3:, 5:].assign_coords(x=dem(other).x[5:] + 20, y=dem(other).y[3:] + 10)
    found = coregister(dem(truth), part, stable=stable)
    np.testing.assert_allclose([found.east, found.north, found.up], [-20, -10, -2], atol=1e-3)
    np.testing.assert_allclose([found.columns, found.rows], [-2, 1], atol=1e-4)
    laid = shifted(part, found, like=dem(truth))
    assert laid.dtype == "float32"
    np.testing.assert_allclose(laid[20:30, 10:20], truth[20:30, 10:20], atol=1e-3)
    assert np.isnan(laid[12, 32])


def test_identical_models_do_not_move():
    found = coregister(dem(hills()), dem(hills()))
    assert (found.east, found.north, found.up, found.nmad_after) == pytest.approx((0, 0, 0, 0), abs=1e-9)


def in_degrees():
    return dem(hills()).rename(y="latitude", x="longitude")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: coregister(in_degrees(), in_degrees()), "in degrees"),
        (lambda: coregister(dem(hills()), dem(hills(), left=5_000.0)), "do not overlap along 'x'"),
        (lambda: coregister(dem(hills()), dem(hills(), step=20.0)), "pixels of -10 and -20"),
        (lambda: coregister(dem(hills()), dem(hills()).drop_vars("x")), "no coordinates along 'x'"),
        (lambda: coregister(dem(hills()), dem(hills()).expand_dims(time=2)), "two axes"),
        (lambda: coregister(dem(hills()), dem(hills()).assign_attrs(units="ft")), "'ft'"),
        (lambda: coregister(dem(hills()), dem(hills()), stable=dem(np.ones((4, 4)))), "72 and 4 pixels"),
        (lambda: coregister(dem(hills()), dem(hills()), stable=dem(np.zeros((72, 72)))), "share 0 pixels"),
        (lambda: coregister(dem(np.ones((72, 72))), dem(np.ones((72, 72)))), "no slopes in two directions"),
        (
            lambda: coregister(*(dem(hills()).odc.assign_crs(crs) for crs in ("EPSG:32740", "EPSG:2154"))),
            "are in EPSG:32740 and EPSG:2154",
        ),
    ],
)
def test_models_that_cannot_be_laid_over_each_other_are_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_the_direction_and_order_of_the_axes_do_not_change_the_shift():
    ground = hills(80)
    reference = dem(ground[4:76, 4:76])
    other = dem(moved_by(ground, (1.5, -2.0), order=3)[4:76, 4:76] + 3)
    straight = coregister(reference, other)
    assert (straight.columns, straight.rows) == pytest.approx((2.0, -1.5), abs=0.02)
    file = reference.expand_dims(band=[1])
    for models in (
        (reference, other[::-1]),
        (reference, other[:, ::-1]),
        (reference, other.transpose("x", "y")),
        (reference.transpose("x", "y"), other.transpose("x", "y")),
        (file, other.expand_dims(band=[1])),
    ):
        found = coregister(*models)
        assert (found.east, found.north) == pytest.approx((straight.east, straight.north), abs=1e-6)
        laid = shifted(models[1], found, like=models[0])
        assert laid.dims == ("y", "x")
        assert float(abs(laid - reference)[8:-8, 8:-8].max()) < 2


def test_holes_of_minus_9999_are_no_ground():
    ground = hills(80)
    reference = dem(ground[4:76, 4:76])
    other = dem(moved_by(ground, (1.5, -2.0), order=3)[4:76, 4:76] + 3)
    other[20:30, 20:40] = -9999
    found = coregister(reference, other)
    assert found.used < 72 * 72 - 200
    laid = shifted(other.assign_attrs(_FillValue=-9999.0), found, like=reference)
    assert float(laid.min()) > -500
    assert "_FillValue" not in laid.attrs


def test_stable_ground_is_where_its_coordinates_say():
    from geopandas import GeoDataFrame
    from shapely.geometry import box

    ground = hills(80)
    reference = dem(ground[4:76, 4:76])
    other = dem(moved_by(ground, (1.5, -2.0), order=3)[4:76, 4:76] + 3)
    other[:, :30] += 50
    mask = reference.x > 1_000
    expected = coregister(reference, other, stable=mask.broadcast_like(reference))
    assert expected.up == pytest.approx(-3, abs=0.2)
    assert coregister(reference, other, stable=mask) == expected
    east = GeoDataFrame(geometry=[box(1_001, 0, 9_999, 9_999)])
    assert coregister(reference, other, stable=east) == expected
    with pytest.raises(BadRequest, match="pixels apart along 'x'"):
        coregister(reference, other, stable=mask.broadcast_like(reference).assign_coords(x=reference.x + 300))
