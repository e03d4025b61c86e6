"""Differences of models: demcompare's published table, holes by hand, and volumes planted in correlated noise."""

import numpy as np
import odc.geo.xr  # noqa: F401 - it registers `.odc`
import pandas as pd
import pytest
import rioxarray
import xarray as xr
from scipy.ndimage import gaussian_filter

from earthlab.analysis.elevation import difference, error_table, void_table, voids, volume
from earthlab.analysis.robust import fit_correlation, nmad, variogram
from earthlab.analysis.terrain import pixel_on_sphere, slope
from earthlab.errors import BadRequest

NAN = float("nan")


def dem(values, step=5.0, **attrs):
    values = np.asarray(values, "float64")
    rows, columns = (np.arange(size) * step for size in values.shape)
    return xr.DataArray(values, dims=("y", "x"), coords={"y": 900 - rows, "x": 300 + columns}, attrs=attrs, name="z")


@pytest.fixture(scope="module")
def laid(shared_data):
    """The pair of demcompare, 3 columns and 5 rows moved, on the grid of the second as it does."""
    folder = shared_data / "dem_coregistration" / "input"
    reference, other = (
        rioxarray.open_rasterio(folder / name)[0].astype("float64").rename(y="latitude", x="longitude")
        for name in ("srtm_ref.tif", "srtm_blurred_and_shifted.tif")
    )
    other = other[:990, :993]
    reference = reference[5:995, 3:996].assign_coords(latitude=other.latitude, longitude=other.longitude)
    return reference, other


def test_the_table_of_demcompare_is_reproduced(laid, shared_data):
    reference, other = laid
    path = shared_data / "dem_coregistration/ref_output/stats/alti-diff/Slope0/stats_results.csv"
    told = pd.read_csv(path)
    edge = np.pad(reference.values, 1, mode="symmetric")
    rim = xr.DataArray(edge, dims=reference.dims)
    height, widths = pixel_on_sphere(reference)
    steep = slope(rim, pixel=(height, np.pad(widths, 1, mode="edge")), unit="rad")[1:-1, 1:-1] * 100
    steep = reference.copy(data=steep.values)
    found = error_table(difference(reference, other), steep)[:-1]
    np.testing.assert_allclose(found["nmad"], told["nmad"], atol=1e-9)
    np.testing.assert_allclose(found["number"], told["nbpts"], atol=3)
    np.testing.assert_allclose(found["mean"], told["mean"], atol=5e-4)
    np.testing.assert_allclose(found["std"], told["std"], atol=5e-4)
    np.testing.assert_allclose(found["rmse"], told["rmse"], atol=5e-4)
    np.testing.assert_allclose(found["median"], told["median"], atol=1e-9)
    np.testing.assert_allclose(found["share"] * 100, told["percent_valid_points"], atol=5e-4)
    assert list(np.round(found["nmad"], 2)) == [1.48, 2.97, 2.97, 5.93, 5.93]


def test_percent_that_is_percent_moves_pixels_to_steeper_classes(laid):
    reference, other = laid
    steep = slope(reference, pixel=pixel_on_sphere(reference), unit="%")
    found = error_table(difference(reference, other), steep)
    assert found["number"].iloc[4] > 100_000
    assert found["nmad"].iloc[0] < found["nmad"].iloc[2] < found["nmad"].iloc[4]
    assert found["number"].iloc[-1] == found["number"][:-1].sum()


def test_a_table_by_hand():
    errors = dem([[1.0, 3.0, 100.0], [NAN, -1.0, -3.0]], units="m")
    steep = dem([[0.0, 4.9, 5.0], [1.0, 12.0, NAN]], units="degree")
    found = error_table(errors, steep, classes=(0, 5, 10, 40), outliers=None)
    assert list(found["number"]) == [2, 1, 1, 0, 4]
    assert list(found.index) == ["0 – 5", "5 – 10", "10 – 40", "≥ 40", "tout / all"]
    assert found["mean"].tolist()[:3] == [2.0, 100.0, -1.0]
    assert np.isnan(found["nmad"].iloc[3])
    assert found["rmse"].iloc[0] == pytest.approx(np.sqrt(5))
    assert found.attrs["slope_units"] == "degree"
    many = dem(np.r_[np.zeros((9, 20)), np.full((1, 20), 50.0)])
    assert error_table(many, dem(np.zeros((10, 20))), outliers=2.0)["maximum"].iloc[-1] == 0


def test_a_difference_is_later_less_earlier_and_lazy_where_its_models_are():
    earlier, later = dem(np.zeros((4, 5)), units="m"), dem(np.full((4, 5), 2.0))
    earlier[1, 1] = NAN
    nudged = earlier.assign_coords(x=earlier.x + 1e-9)
    found = difference(later, nudged)
    assert found.shape == (4, 5)
    assert float(found.sum()) == 38
    assert found.attrs["units"] == "m"
    lazy = difference(later.astype("float32").chunk(y=2), earlier.astype("float32"))
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), found)


def test_holes_are_numbered_measured_and_sorted():
    values = np.zeros((9, 9))
    values[0, 0] = values[3:6, 3:8] = NAN
    values[6, 8] = NAN  # touches the large one by a corner only
    found = void_table(dem(values))
    assert list(found["pixels"]) == [15, 1, 1]
    assert list(found["area"]) == [375.0, 25.0, 25.0]
    assert found["reach"].iloc[0] == pytest.approx(10)
    assert found.attrs["share"] == pytest.approx(17 / 81)
    assert int(voids(dem(values)).max()) == 3
    assert void_table(dem(np.zeros((4, 4)))).empty
    assert np.isinf(void_table(dem(np.full((4, 4), NAN)))["reach"].iloc[0])


def test_a_volume_by_hand():
    dod = dem([[2.0, 0.1, -1.0], [NAN, 0.5, 9.0], [0.0, 0.0, 0.0]])
    inside = dem([[1, 1, 1], [1, 1, 0], [0, 0, 0]])
    found = volume(dod, inside, sigma=0.2, correlation=0.1, detection=0.2)
    assert (found.gained, found.lost, found.net) == pytest.approx((62.5, -25.0, 37.5))
    assert found.area == 100
    assert found.unknown == pytest.approx(0.2)
    assert found.mean == pytest.approx(0.4)
    assert found.effective == pytest.approx(4)
    assert found.sigma == pytest.approx(100 * 0.2 / 2)
    low, high = found.interval()
    assert (low, high) == pytest.approx((37.5 - 19.6, 37.5 + 19.6), abs=0.01)
    assert volume(dod, inside, sigma=0.2, correlation=0.1, systematic=0.1).sigma == pytest.approx(np.hypot(10, 10))
    assert volume(dod, sigma=0.2, correlation=1e6).effective == pytest.approx(1, abs=1e-3)


def test_intervals_of_planted_volumes_hold_the_truth_where_errors_are_correlated():
    lava = np.zeros((60, 60))
    lava[22:40, 18:46] = 3.0
    noise = gaussian_filter(np.random.default_rng(3).normal(size=(200, 60, 60)), (0, 2, 2), mode="wrap")
    noise *= 1.2 / noise.std()
    truth, found = lava.sum() * 25, []
    for errors in noise:
        dod = dem(lava + errors)
        calm = dod.where(dem(lava) == 0)
        fitted = fit_correlation(variogram(calm, pixel=5.0), model="gaussian")
        found.append(volume(dod, dem(lava) > 0, sigma=float(nmad(calm)), correlation=fitted))
    net = np.array([one.net for one in found])
    ends = np.array([one.interval() for one in found])
    assert net.mean() == pytest.approx(truth, rel=0.01)
    assert 0.88 <= ((ends[:, 0] <= truth) & (ends[:, 1] >= truth)).mean() <= 0.99
    naive = [volume(dem(lava), dem(lava) > 0, sigma=1.2, correlation=0.1).sigma]
    assert np.median([one.sigma for one in found]) > 4 * naive[0]


def test_a_grid_in_degrees_has_volumes_once_its_pixel_is_known():
    rows, columns = 45 - np.arange(4) * 0.01, np.arange(5) * 0.01
    dod = xr.DataArray(np.ones((4, 5)), dims=("latitude", "longitude"), coords={"latitude": rows, "longitude": columns})
    pixel = pixel_on_sphere(dod)
    found = volume(dod, sigma=0.1, correlation=100.0, pixel=pixel)
    assert found.net == pytest.approx(pixel.height * pixel.width.sum() * 5)
    with pytest.raises(BadRequest, match="in degrees"):
        volume(dod, sigma=0.1, correlation=100.0)


FLAT = dem(np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: difference(FLAT, dem(np.zeros((4, 5)))), "5 pixels along|4 and 5"),
        (lambda: difference(FLAT, FLAT.assign_coords(x=FLAT.x + 2)), "pixels apart along 'x'"),
        (lambda: difference(FLAT, FLAT.rename(x="longitude", y="latitude")), "have axes"),
        (lambda: difference(FLAT, FLAT.assign_attrs(units="ft")), "'ft'"),
        (lambda: difference(FLAT.odc.assign_crs("EPSG:32740"), FLAT.odc.assign_crs("EPSG:2154")), "one system"),
        (lambda: error_table(FLAT, FLAT, classes=(0, 5, 5)), "ascending"),
        (lambda: error_table(FLAT, FLAT[:3]), "other grids"),
        (lambda: error_table(FLAT * NAN, FLAT), "Do the models overlap"),
        (lambda: error_table(FLAT, FLAT.assign_attrs(units="rad")), "slope is in radians"),
        (lambda: voids(FLAT.expand_dims(time=2)), "two axes"),
        (lambda: volume(FLAT.expand_dims(time=2), sigma=1, correlation=5), "two axes"),
        (lambda: volume(FLAT, FLAT, sigma=1, correlation=5), "no difference is known within the outline"),
        (lambda: volume(FLAT, FLAT[:3], sigma=1, correlation=5), "4 and 3 pixels along 'y'"),
        (lambda: volume(FLAT, np.ones((2, 2)), sigma=1, correlation=5), "true and false on the grid"),
        (lambda: volume(FLAT, FLAT.assign_coords(x=FLAT.x + 5), sigma=1, correlation=5), "pixels apart along 'x'"),
        (lambda: error_table(FLAT, FLAT.assign_coords(y=FLAT.y + 5)), "pixels apart along 'y'"),
        (lambda: volume(FLAT, sigma=-1, correlation=5), "metres from 0"),
        (lambda: volume(FLAT, sigma=1, correlation=-5), "positive lengths"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_holes_that_a_model_declares_or_not_never_count_as_ground():
    values = np.full((6, 6), 250.0)
    values[2, 2:4] = -9999
    silent, plain = dem(values), dem(np.full((6, 6), 240.0))
    declared = dem(np.where(values < 0, -500, values), _FillValue=-500)
    for model in (silent, declared, dem(np.where(values < 0, -3.4e38, values)).astype("float32")):
        assert list(void_table(model)["pixels"]) == [2]
        gone = difference(model, plain)
        assert float(gone.min()) == float(gone.max()) == 10
        assert volume(gone, sigma=1, correlation=5).net == pytest.approx(34 * 25 * 10)
        assert "_FillValue" not in gone.attrs


def test_a_file_with_one_band_and_axes_in_another_order_are_the_same_model():
    rough = dem(np.random.default_rng(3).normal(0, 5, (7, 6)))
    file, turned = rough.expand_dims(band=[1]), rough.transpose("x", "y")
    assert float(abs(difference(file, turned)).max()) == 0
    assert voids(file).dims == ("y", "x")
    straight = error_table(rough, slope(rough))
    pd.testing.assert_frame_equal(error_table(file, slope(turned).transpose("x", "y")), straight)


def test_an_outline_is_a_mask_with_holes_or_polygons():
    from geopandas import GeoDataFrame
    from shapely.geometry import box

    rise = dem(np.arange(30.0).reshape(5, 6))
    mask = rise.where(rise > 20)  # NaN is outside
    expected = volume(rise, rise > 20, sigma=1, correlation=5)
    assert volume(rise, mask, sigma=1, correlation=5) == expected
    assert volume(rise, (rise > 20).transpose("x", "y"), sigma=1, correlation=5) == expected
    assert volume(rise, (rise > 20).to_numpy(), sigma=1, correlation=5) == expected
    assert volume(rise, rise.y < 890, sigma=1, correlation=5).area == 2 * 6 * 25
    square = GeoDataFrame(geometry=[box(297, 893, 308, 903)])
    assert volume(rise, square, sigma=1, correlation=5).area == 4 * 25


def test_a_hole_of_a_grid_in_degrees_is_as_large_as_its_rows_are_wide():
    axes = {"latitude": 60 - np.arange(400) * 0.05, "longitude": np.arange(6) * 0.05}
    model = xr.DataArray(np.zeros((400, 6)), dims=("latitude", "longitude"), coords=axes)
    model[2, 2] = model[395, 2] = NAN
    pixel = pixel_on_sphere(model)
    found = void_table(model, pixel=pixel)["area"]
    np.testing.assert_allclose(found, pixel.height * pixel.width[[2, 395]], rtol=1e-9)
