"""Volumes of lakes: Hydroweb's published ones, planted bowls, and curves whose intervals hold."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from earthlab.analysis.lakes import fit_hypsometry, storage_change, storage_error
from earthlab.errors import BadRequest

NAN = float("nan")


@pytest.fixture(scope="module")
def tana(shared_data) -> pd.DataFrame:
    table = pd.read_csv(shared_data / "hydroweb_lakes" / "hydroprd_L_tana.csv")
    return table[table.Area < 9999]


def test_the_published_volumes_of_lake_tana_come_out(tana):
    found = storage_change(tana.Height, tana.Area)
    away = found - tana.Volume
    assert len(away) == 682
    assert float((away**2).mean() ** 0.5) == pytest.approx(0.008, abs=0.002)
    assert float(away.abs().max()) == pytest.approx(0.021, abs=0.001)
    assert (found.name, found.attrs["units"]) == ("storage_change", "km3")


def test_the_integral_of_the_fitted_area_gives_the_same_volumes(tana):
    curve = fit_hypsometry(tana.Height, tana.Area)
    found = curve.volume(tana.Height.to_numpy(), reference=float(tana.Height.iloc[0]))
    away = found.volume.to_numpy() - tana.Volume.to_numpy()
    assert np.abs(away).max() < 0.05
    assert curve.number == 682
    assert (found.volume.attrs["units"], float(found.lower.max()) < float(found.upper.max())) == ("km3", True)


def bowl(height):
    return 100 + 8 * height + 0.5 * height**2


@given(top=st.floats(0.1, 20), bottom=st.floats(0, 0.09))
def test_in_a_planted_bowl_the_pyramid_and_the_integral_agree(top, bottom):
    # A cone: A = (5 + h)², of which the frustum's formula is exact.
    heights = np.array([bottom, top])
    areas = (5 + heights) ** 2
    exact = ((5 + top) ** 3 - (5 + bottom) ** 3) / 3 / 1000
    assert storage_change(heights, areas, method="pyramid")[1] == pytest.approx(exact, rel=1e-9)
    assert storage_change(heights, areas)[1] >= exact * (1 - 1e-9)
    many = np.linspace(bottom, top, 9)
    curve = fit_hypsometry(many, (5 + many) ** 2)
    found = curve.volume(np.array([top]), reference=float(bottom))
    assert float(found.volume[0]) == pytest.approx(exact, rel=1e-6)


@given(st.lists(st.floats(0, 30), min_size=2, max_size=8), st.floats(-5, 5))
def test_a_change_there_and_back_is_nothing(heights, shift):
    level = np.array(heights) + shift
    area = np.full(level.shape, 12.0)
    np.testing.assert_allclose(storage_change(level, area), (level - level[0]) * 0.012, atol=1e-12)


def test_over_200_simulated_lakes_the_curve_has_no_bias_and_its_intervals_hold():
    rng = np.random.default_rng(7)
    level = np.linspace(0, 10, 25)
    hits = {"area": 0, "volume": 0}
    errors = []
    truth = 100 * 8 + 8 * (8**2) / 2 + 0.5 * 8**3 / 3
    for _ in range(200):
        curve = fit_hypsometry(level, bowl(level) + rng.normal(0, 3, level.size))
        area, volume = curve.area(np.array([8.0])), curve.volume(np.array([8.0]), reference=0.0)
        hits["area"] += float(area.lower[0]) <= bowl(8.0) <= float(area.upper[0])
        hits["volume"] += float(volume.lower[0]) <= truth / 1000 <= float(volume.upper[0])
        errors.append(float(volume.volume[0]) - truth / 1000)
    assert 180 <= min(hits.values()) <= 199
    assert abs(np.mean(errors)) < 3 * np.std(errors) / 200**0.5


def test_the_reference_is_the_earliest_date_with_both():
    dates = pd.to_datetime(["2020-03-01", "2020-01-01", "2020-02-01"])
    height = pd.Series([3.0, 1.0, 2.0], dates)
    area = pd.Series([10.0, NAN, 10.0], dates)
    np.testing.assert_allclose(storage_change(height, area), [0.01, NAN, 0.0])
    array = xr.DataArray(height.to_numpy(), dims="time", coords={"time": dates}, attrs={"units": "m"})
    lazy = storage_change(array.chunk(time=1), xr.full_like(array, 10).assign_attrs(units="km2"))
    np.testing.assert_allclose(lazy, [0.02, 0.0, 0.01])
    assert lazy.attrs["units"] == "km3"


def test_float32_and_missing_values_pass():
    found = storage_change(np.array([1, NAN, 3], "float32"), np.array([5, 5, 5], "float32"))
    np.testing.assert_allclose(found, [0, NAN, 0.01], rtol=1e-6)


def test_errors_of_heights_grow_with_the_area():
    error = storage_error(np.array([0.1, 0.3]), np.array([1000.0, 2000.0]), reference_error=0.4)
    np.testing.assert_allclose(error, [np.hypot(0.1, 0.4), 1.0])
    assert storage_error(pd.Series([0.1]), pd.Series([1000.0])).attrs["units"] == "km3"


def test_beyond_the_heights_that_were_seen_nothing_is_known():
    curve = fit_hypsometry(np.arange(10.0), bowl(np.arange(10.0)))
    assert np.isnan(curve.area(np.array([9.5])).area[0])
    np.testing.assert_allclose(curve.area(np.array([3.0])).area, bowl(3.0))
    with pytest.raises(BadRequest, match="reference 12 m lies outside the heights"):
        curve.volume(np.array([3.0]), reference=12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: storage_change([1, 2], [1, 2], method="cube"), "method is 'cube', expected 'trapezoid'"),
        (lambda: storage_change([1, 2], [1, -9]), "areas go from -9 to 1, expected km² up to 400000"),
        (lambda: storage_change([1, 2], [0, 0]), "table.area is the area of each place and not its column"),
        (lambda: storage_change([1, NAN], [NAN, 2]), "no date has both"),
        (lambda: storage_change([1, 2], [1]), "two series of one length"),
        (lambda: storage_change([[1, 2]], [[1, 2]]), "two series of one length"),
        (lambda: storage_change(xr.DataArray([1.0], attrs={"units": "cm"}), [1]), "height has units 'cm'"),
        (lambda: storage_change([1], xr.DataArray([1.0], attrs={"units": "m2"})), "area has units 'm2'"),
        (lambda: storage_error([0.1], [5], reference_error=-1), "reference_error is -1"),
        (lambda: fit_hypsometry([1, 2, 3, 4], [1, 2, 3, 4]), "4 pairs at 4 heights, expected at least 5"),
        (lambda: fit_hypsometry([1, 1, 2, 2, 1, 2], [1] * 6), "6 pairs at 2 heights"),
        (lambda: fit_hypsometry([1, 2], [1, 2], degree=0), "degree is 0"),
        (lambda: fit_hypsometry(np.arange(9), np.arange(9)).area([3], level=1), "level is 1, expected"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


DAYS = pd.date_range("2023-12-30", periods=4)
HEIGHT = pd.Series([10.0, 11.0, 12.0, 13.0], DAYS)
AREA = pd.Series([100.0, 110.0, 120.0, 130.0], DAYS)


def test_heights_and_areas_meet_by_their_dates():
    expected = storage_change(HEIGHT, AREA)
    pd.testing.assert_series_equal(storage_change(HEIGHT, AREA.iloc[[2, 0, 3, 1]]), expected)
    later = storage_change(HEIGHT, AREA.iloc[1:])
    assert np.isnan(later.iloc[0])
    assert later.iloc[1] == 0
    cubes = [xr.DataArray(series.rename_axis("date")) for series in (HEIGHT, AREA.iloc[[2, 0, 3, 1]])]
    np.testing.assert_allclose(storage_change(*cubes), expected)
    with pytest.raises(BadRequest, match="the areas have a date twice"):
        storage_change(HEIGHT, pd.concat([AREA, AREA]))


def test_columns_of_pandas_own_types_pass():
    found = storage_change(HEIGHT.astype("Float64").where(HEIGHT > 10), AREA.round().astype("Int64"))
    np.testing.assert_allclose(found, [NAN, 0, 0.115, 0.24])


@pytest.mark.parametrize("nothing", [9999.0, 9999.99, 9999.999])
def test_what_hydroweb_writes_for_nothing_is_no_area(nothing):
    with pytest.raises(BadRequest, match="1 heights or areas are 9999"):
        storage_change(HEIGHT, AREA.replace(100.0, nothing))
    with pytest.raises(BadRequest, match="heights or areas are 9999"):
        fit_hypsometry([*HEIGHT, 14.0], [*AREA, nothing])


def test_square_metres_are_no_lake():
    with pytest.raises(BadRequest, match="expected km² up to 400000"):
        storage_change(HEIGHT, AREA * 1e6)


def test_a_curve_keeps_the_dates_of_its_heights():
    curve = fit_hypsometry(np.linspace(0, 10, 20), 100 + 8 * np.linspace(0, 10, 20))
    found = curve.area(pd.Series([1.0, 2.0], DAYS[:2].rename("time")))
    assert list(found.time.values) == list(DAYS[:2].values)
