"""Emissions: the sphere closes, shares are exact, the published total of EDGAR, and what a column kernel must obey."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from earthlab.analysis.emissions import (
    EARTH_RADIUS,
    MOLAR_MASSES,
    SECONDS_A_YEAR,
    by_region,
    cell_areas,
    cell_shares,
    smoothed_column,
    total,
)
from earthlab.analysis.units import convert
from earthlab.errors import BadRequest
from earthlab.types import BBox


def grid(
    lat=(-87.5, 87.5, 36), lon=(-177.5, 177.5, 72), value=1e-9, units="mol m-2 s-1", dtype="float64"
) -> xr.DataArray:
    coords = {"y": np.linspace(*lat), "x": np.linspace(*lon)}
    values = np.full((lat[2], lon[2]), value, dtype)
    return xr.DataArray(values, coords, ("y", "x"), attrs={"units": units} if units else {})


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(2, 60))
def test_the_cells_of_a_globe_are_the_sphere(rows, columns):
    half = (90 / rows, 180 / columns)
    globe = grid((-90 + half[0], 90 - half[0], rows), (-180 + half[1], 180 - half[1], columns))
    assert float(cell_areas(globe).sum()) == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-12)
    assert float(cell_areas(globe[::-1]).sum()) == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-12)


BOXES = st.tuples(st.floats(-170, 150), st.floats(-80, 70), st.floats(0.5, 20), st.floats(0.5, 10))


@settings(max_examples=50, deadline=None)
@given(BOXES)
@example((5e-324, 1.125, 1.0, 4.0))
def test_shares_of_a_box_give_its_area_on_the_sphere(box):
    west, south, width, height = box
    north, east = south + height, west + width
    areas = cell_areas(grid()) * cell_shares(grid(), (west, south, east, north))
    wanted = EARTH_RADIUS**2 * np.radians(width) * (np.sin(np.radians(north)) - np.sin(np.radians(south)))
    assert float(areas.sum()) == pytest.approx(wanted, rel=1e-9)


def test_neighbours_share_each_cell_without_gap_or_overlap():
    west = shapely.Polygon([(0, 40), (7.3, 40), (3.1, 52.2), (0, 50)])
    whole = shapely.box(-4, 38, 11, 55)
    parts = cell_shares(grid(), west) + cell_shares(grid(), whole.difference(west))
    np.testing.assert_allclose(parts, cell_shares(grid(), whole), atol=1e-9)


def test_edgar_total_of_the_box_around_france(shared_data):
    with xr.open_dataset(shared_data / "greenhouse_gas" / "ch4-anthro_EUROPE_2012.nc") as edgar:
        flux = edgar["flux"].isel(time=0).rename(lat="y", lon="x").load()
    box = (-5, 42, 8.3, 51)
    by_centres = total(flux, box, gas="ch4", rule="centre")
    assert float(by_centres["total"]) == pytest.approx(4.42, abs=0.005)
    by_areas = total(flux, BBox(*box), gas="ch4")
    assert float(by_areas["total"]) == pytest.approx(4.244, abs=0.002)
    named = total(flux.rename(y="lat", x="lon"), box, gas="ch4", lat="lat", lon="lon")
    assert float(named["total"]) == float(by_areas["total"])
    assert by_areas["total"].attrs.keys() == {"units", "long_name"}
    exact = EARTH_RADIUS**2 * np.radians(13.3) * (np.sin(np.radians(51)) - np.sin(np.radians(42))) / 1e6
    assert float(by_areas["area"]) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("gas", "mass"), [("ch4", MOLAR_MASSES["ch4"]), ("co2", 44.0095), (10.0, 10.0)])
def test_a_planted_flux_comes_back_in_both_units(gas, mass):
    moles = total(grid(value=1e-9), gas=gas)
    sphere = 4 * np.pi * EARTH_RADIUS**2
    assert float(moles["total"]) == pytest.approx(1e-9 * sphere * mass / 1e3 * SECONDS_A_YEAR / 1e9)
    kilograms = total(grid(value=1e-9 * mass / 1e3, units="kg/m2/s"), gas=gas)
    assert float(kilograms["total"]) == pytest.approx(float(moles["total"]))
    assert moles["total"].attrs["units"] == "Tg year-1"
    assert float(moles["mean_flux"]) == pytest.approx(1e-9)


def test_uncertainty_is_what_the_source_says_and_gaps_emit_nothing():
    flux = grid(dtype="float32")
    half = flux.where(flux["y"] > 0)
    assert float(total(half, gas="ch4")["total"]) == pytest.approx(float(total(flux, gas="ch4")["total"]) / 2, rel=1e-6)
    found = total(flux, gas="ch4", uncertainty=0.25)
    np.testing.assert_allclose(found["total_low"] / found["total"], 0.75)
    np.testing.assert_allclose(found["total_high"] / found["total"], 1.25)
    assert np.isnan(float(total(flux.where(False), gas="ch4")["total"]))


def test_lazy_fluxes_with_sectors_stay_lazy_and_agree():
    sectors = xr.concat([grid(), grid(value=3e-9)], "sector").assign_attrs(units="mol m-2 s-1")
    lazy = total(sectors.chunk(y=10), (0, 0, 20, 20), gas="ch4")
    assert lazy["total"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(scheduler="sync"), total(sectors, (0, 0, 20, 20), gas="ch4"))
    assert float(lazy["total"][1] / lazy["total"][0]) == pytest.approx(3)


def test_regions_in_metres_are_taken_to_degrees_and_named():
    boxes = gpd.GeoDataFrame(
        {"who": ["a", "b"]}, geometry=[shapely.box(0, 40, 5, 45), shapely.box(5, 40, 10, 45)], crs=4326
    )
    table = by_region(grid(), boxes.to_crs(3035), name="who", gas="ch4")
    assert list(table.index) == ["a", "b"]
    assert table["total"].sum() == pytest.approx(
        1e3 * float(total(grid(), (0, 40, 10, 45), gas="ch4")["total"]), rel=1e-3
    )
    assert table["density"]["a"] == pytest.approx(1e-9 * 16.0425e-6 * 1e6 * SECONDS_A_YEAR, rel=1e-9)


LEVELS = st.lists(st.floats(0.1, 3), min_size=4, max_size=4)


@settings(max_examples=50, deadline=None)
@given(LEVELS, LEVELS, LEVELS)
def test_kernel_identities(truth, prior, kernel):
    x, xa, a = (xr.DataArray(values, dims="level") for values in (truth, prior, kernel))
    h = xr.DataArray([0.4, 0.3, 0.2, 0.1], dims="level")
    seen = smoothed_column(x, xa, xr.ones_like(a), h, level="level")
    assert float(seen) == pytest.approx(float((h * x).sum()))
    assert float(smoothed_column(xa, xa, a, h, level="level")) == pytest.approx(float((h * xa).sum()))
    blind = smoothed_column(x, xa, xr.zeros_like(a), h, level="level", prior_column=1.8)
    assert float(blind) == 1.8
    both = smoothed_column(2 * x, 2 * xa, a, h, level="level")
    assert float(both) == pytest.approx(2 * float(smoothed_column(x, xa, a, h, level="level")))


def test_gosat_weights_are_whole_and_its_own_prior_gives_its_column(shared_data):
    with xr.open_dataset(shared_data / "greenhouse_gas" / "gosat-fts_gosat_20160101_ch4-column.nc") as gosat:
        prior, kernel, weights = (
            gosat[name].load() for name in ("ch4_profile_apriori", "xch4_averaging_kernel", "pressure_weights")
        )
    np.testing.assert_allclose(weights.sum("lev"), 1, atol=2e-3)
    raised = smoothed_column(prior + 10.0, prior, kernel, weights, level="lev")
    plain = smoothed_column(prior, prior, kernel, weights, level="lev")
    np.testing.assert_allclose(raised - plain, 10 * (weights * kernel).sum("lev"), rtol=1e-3)


UNEVEN = grid().isel(y=[0, 1, 3, 7])
LEVEL = xr.DataArray(np.ones(4), dims="level", attrs={"units": "ppb"})
REFUSED = [
    (lambda: cell_areas(grid().rename(y="rows")), "Name the axes"),
    (lambda: cell_areas(UNEVEN), "even steps"),
    (lambda: cell_areas(grid().isel(y=slice(1))), "two degrees"),
    (lambda: cell_areas(grid((0.0, 5e5, 4), (0.0, 5e5, 4))), "within ±90"),
    (lambda: cell_shares(grid(), (10, 40, 5, 45)), "west < east"),
    (lambda: cell_shares(grid((40, 50, 5)), (10, -40, 15, -35)), "outside the grid"),
    (lambda: cell_shares(grid(), shapely.Point(0, 0)), "without area"),
    (lambda: cell_shares(grid(), shapely.box(6e5, 6e6, 7e5, 7e6)), "degrees"),
    (lambda: cell_shares(grid(), gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)])), "reference system"),
    (lambda: cell_shares(grid(), (0, 0, 10, 10), rule="touch"), "'area' or 'centre'"),
    (lambda: total(grid(units=None), gas="ch4"), "does not state its units"),
    (lambda: total(grid(units="kg/year"), gas="ch4"), "expected 'mol m-2 s-1'"),
    (lambda: total(grid(), gas="methane"), "molar mass"),
    (lambda: total(grid(), gas="ch4", uncertainty=-0.1), "share of the total"),
    (lambda: by_region(grid(), gpd.GeoDataFrame({"a": [1]}), name="b", gas="ch4"), "no column 'b'"),
    (lambda: smoothed_column(LEVEL[:3], LEVEL, LEVEL, LEVEL, level="level"), "3 levels"),
    (lambda: smoothed_column(LEVEL, LEVEL, LEVEL, LEVEL, level="lev"), "none levels"),
    (lambda: smoothed_column(LEVEL.assign_attrs(units="ppm"), LEVEL, LEVEL, LEVEL, level="level"), "units"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_what_is_no_emission_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_longitudes_from_zero_and_names_of_models_hold_the_same_region():
    flux = grid()
    turned = flux.assign_coords(x=flux["x"] % 360).sortby("x").rename(y="lat", x="lon")
    for region in ((-10, 40, 8, 52), (170, -20, 190, -10), BBox(170, -20, -170, -10), (-180, -90, 180, 90)):
        for rule in ("area", "centre"):
            found, plain = (float(total(each, region, gas="CH4", rule=rule)["total"]) for each in (turned, flux))
            assert found == pytest.approx(plain, rel=1e-9)
    box = gpd.GeoSeries([shapely.box(-10, 40, 8, 52)], crs=4326).total_bounds
    assert float(cell_areas(turned).dot(cell_shares(turned, box))) == pytest.approx(
        EARTH_RADIUS**2 * np.radians(18) * (np.sin(np.radians(52)) - np.sin(np.radians(40))), rel=1e-9
    )


def test_fluxes_by_the_year_can_be_converted():
    yearly = grid(value=1.0, units="g m-2 yr-1")
    found = total(convert(yearly, "kg m-2 s-1"), gas="ch4")
    assert float(found["total"]) == pytest.approx(float(found["area"]) * 1e6 / 1e12)


def test_fine_grids_of_float32_are_even():
    rows, columns = (np.arange(start, start + 5, 0.01, dtype="float32") for start in (40, 170))
    fine = xr.DataArray(np.ones((rows.size, columns.size)), {"lat": rows, "lon": columns}, ("lat", "lon"))
    assert cell_areas(fine).sum() > 0


def test_regions_partly_or_wholly_beyond_the_grid_say_so():
    flux = grid((0, 50, 50), (0, 50, 50))
    shapes = [shapely.box(10, 10, 20, 20), shapely.box(45, 10, 55, 20), shapely.box(-60, -30, -50, -20)]
    regions = gpd.GeoDataFrame({"who": pd.Categorical(list("abc"), list("abcd"))}, geometry=shapes, crs=4326)
    found = by_region(flux, regions, name="who", gas="ch4")
    assert found["covered"].tolist() == pytest.approx([1, 0.551, 0], rel=2e-3)
    assert found["total"].isna().tolist() == [False, False, True]
    alone = total(flux, shapes[0], gas="ch4")
    assert found["total"]["a"] == pytest.approx(1e3 * float(alone["total"]), rel=1e-9)
    with pytest.raises(BadRequest, match="expected two"):
        by_region(flux.expand_dims("time"), regions, name="who", gas="ch4")


def test_levels_are_matched_by_place_and_a_missing_one_is_no_zero():
    pressure = np.array([1000.0, 700.0, 400.0, 100.0])
    prior, kernel = (xr.DataArray(v, {"p": pressure}, ["p"]) for v in (np.full(4, 1800.0), np.ones(4)))
    weights = xr.DataArray([0.4, 0.3, 0.3, 0.0], {"p": pressure}, ["p"])
    profile = (prior + 10).assign_coords(p=pressure * (1 + 1e-9))
    assert float(smoothed_column(profile, prior, kernel, weights, level="p")) == pytest.approx(1810)
    assert float(smoothed_column(profile.where(profile["p"] > 200), prior, kernel, weights, level="p")) == 1810
    assert np.isnan(float(smoothed_column(profile.where(profile["p"] < 900), prior, kernel, weights, level="p")))
    with pytest.raises(BadRequest, match="another order"):
        smoothed_column(profile.isel(p=slice(None, None, -1)), prior, kernel, weights, level="p")
    with pytest.raises(BadRequest, match="or polygons"):
        cell_shares(grid(), "France")
    with pytest.raises(BadRequest, match="2 numbers"):
        cell_shares(grid(), [0, 40])
