"""Shorelines whose place is known to a fraction of a pixel."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.xr import assign_crs
from shapely import LineString

from earthlab.analysis.shoreline import extract_shorelines, locate_shorelines, sand_water_threshold
from earthlab.analysis.water_colour import mndwi
from earthlab.errors import BadRequest

METRES = "EPSG:32630"
WEST, NORTH = 630_000.0, 4_950_000.0
SAND = {"green": 0.20, "swir16": 0.36}
WATER = {"green": 0.08, "swir16": 0.02}
TIMES = pd.to_datetime(["2020-01-05", "2020-02-05", "2020-03-05"])


def scene(shore, *, pixel=10.0, size=(80, 60), noise=0.0, seed=0) -> xr.Dataset:
    """Sand east of the easting `shore(northing)`, water west of it; pixels on the line mix both by area."""
    rows, columns = size
    y = NORTH - pixel * (np.arange(rows) + 0.5)
    x = WEST + pixel * (np.arange(columns) + 0.5)
    # Ten bands across each row's height make the share of a pixel exact enough for an oblique line.
    parts = (np.arange(10) + 0.5) / 10 - 0.5
    at = shore(y[:, None, None] + pixel * parts)
    sand = np.clip((x[:, None] + pixel / 2 - at) / pixel, 0, 1).mean(axis=-1)
    random = np.random.default_rng(seed)
    bands = {
        name: (("y", "x"), WATER[name] + (SAND[name] - WATER[name]) * sand + random.normal(0, noise, sand.shape))
        for name in SAND
    }
    cube = xr.Dataset(bands, {"y": y, "x": x})
    return assign_crs(cube, METRES)


def straight(offset=253.7, slant=0.0):
    return lambda northing: WEST + offset + slant * (NORTH - northing)


def water_share(cube: xr.Dataset) -> xr.DataArray:
    """An index that is a straight mean of what a pixel holds: 0 sand, 1 water."""
    share = (cube.swir16 - SAND["swir16"]) / (WATER["swir16"] - SAND["swir16"])
    return assign_crs(share.rename("water"), METRES)


def transect(northing: float, name="t", length=500.0) -> gpd.GeoDataFrame:
    line = LineString([(WEST + 550, northing), (WEST + 550 - length, northing)])
    return gpd.GeoDataFrame({"name": [name]}, geometry=[line], crs=METRES)


def test_water_is_positive_and_sand_negative():
    index = mndwi(scene(straight()))
    assert float(index[40, 0]) == pytest.approx((0.08 - 0.02) / (0.08 + 0.02))
    assert float(index[40, -1]) == pytest.approx((0.20 - 0.36) / (0.20 + 0.36))
    assert index.name == "mndwi"
    assert index.attrs["units"] == "1"
    assert index.odc.crs == METRES


def test_bands_have_the_names_the_cube_gives_them():
    cube = scene(straight())
    renamed = cube.rename(green="B3", swir16="B11")
    xr.testing.assert_equal(mndwi(renamed, green="B3", swir="B11"), mndwi(cube))
    with pytest.raises(BadRequest, match="mndwi: the cube has no band 'green'"):
        mndwi(renamed)


@settings(max_examples=25, deadline=None)
@given(offset=st.floats(150, 450), slant=st.floats(-0.3, 0.3))
def test_a_straight_shore_is_found_to_a_tenth_of_a_pixel(offset, slant):
    shore = straight(offset, slant)
    cube = scene(shore)
    line = extract_shorelines(water_share(cube), threshold=0.5, min_length=300)
    assert len(line) == 1
    vertices = np.asarray(line.geometry[0].coords)
    assert np.abs(vertices[:, 0] - shore(vertices[:, 1])).max() < 1.1


@settings(max_examples=25, deadline=None)
@given(offset=st.floats(150, 450), slant=st.floats(-0.3, 0.3), seed=st.integers(0, 1000))
def test_mndwi_with_the_threshold_of_otsu_finds_it_within_three_quarters_of_a_pixel(offset, slant, seed):
    shore = straight(offset, slant)
    lines = extract_shorelines(mndwi(scene(shore, noise=0.005, seed=seed)))
    found = locate_shorelines(lines, transect(NORTH - 400))
    assert found.position[0] == pytest.approx(WEST + 550 - shore(NORTH - 400), abs=7.5)


def test_two_hundred_planted_shores_have_no_bias_and_errors_below_a_tenth_of_a_pixel():
    errors = []
    for seed in range(200):
        offset = 200 + 0.731 * seed
        cube = scene(straight(offset), size=(40, 60), noise=0.01, seed=seed)
        lines = extract_shorelines(water_share(cube), threshold=0.5, min_length=200)
        found = locate_shorelines(lines, transect(NORTH - 200), along=60)
        errors.append(float(found.position[0]) - (550 - offset))
    assert abs(np.mean(errors)) < 0.1
    assert np.std(errors) < 0.8


def test_otsu_is_that_of_sand_and_water_where_they_are_known():
    index = mndwi(scene(straight(), noise=0.01))
    forest = xr.zeros_like(index, dtype=bool)
    forest[:, 40:] = True
    spoiled = index.where(~forest, -0.75)
    sand, water = (index < -0.1) & ~forest, (index > 0.3) & ~forest
    alone, all_of_it = (float(sand_water_threshold(spoiled, **masks)) for masks in ({"sand": sand, "water": water}, {}))
    expected = float(sand_water_threshold(index.isel(x=slice(0, 40))))
    assert alone == pytest.approx(expected, abs=0.05)
    assert all_of_it != pytest.approx(expected, abs=0.01)


def test_each_date_has_its_threshold_and_its_line():
    shores = [straight(240), straight(260), straight(280)]
    index = xr.concat([mndwi(scene(shore)) for shore in shores], pd.Index(TIMES, name="time"))
    levels = sand_water_threshold(index)
    assert levels.dims == ("time",)
    lines = extract_shorelines(index, threshold=levels, min_length=100)
    assert lines.time.tolist() == list(TIMES)
    assert lines.crs == METRES
    assert lines.attrs["units"] == {"threshold": "1", "length": "m"}
    found = locate_shorelines(lines, transect(NORTH - 300)).set_index("time").position
    np.testing.assert_allclose(found, [310, 290, 270], atol=1)


def test_dates_in_any_order_float32_and_dask_give_the_same_lines():
    index = xr.concat([mndwi(scene(straight(at))) for at in (240, 260, 280)], pd.Index(TIMES, name="time"))
    index = assign_crs(index, METRES)
    known = extract_shorelines(index)
    shuffled = extract_shorelines(index.isel(time=[2, 0, 1]).astype("float32").chunk(x=20, time=1))
    assert shuffled.time.tolist() == [TIMES[2], TIMES[0], TIMES[1]]
    again = shuffled.sort_values("time").reset_index(drop=True)
    np.testing.assert_allclose(again.length, known.length, rtol=1e-3)
    np.testing.assert_allclose(again.threshold, known.threshold, atol=1e-4)


def test_an_image_without_a_value_has_no_line_and_spoils_no_other():
    index = xr.concat([mndwi(scene(straight())), mndwi(scene(straight()))], pd.Index(TIMES[:2], name="time"))
    index = assign_crs(index.where(index.time > TIMES[0]), METRES)
    lines = extract_shorelines(index)
    assert lines.time.tolist() == [TIMES[1]]
    assert np.isnan(sand_water_threshold(index)[0])
    empty = extract_shorelines(index.isel(time=[0]))
    assert len(empty) == 0
    assert empty.crs == METRES


def test_a_cloud_breaks_the_line():
    index = mndwi(scene(straight()))
    clouded = assign_crs(index.where((index.y > NORTH - 300) | (index.y < NORTH - 400)), METRES)
    assert len(extract_shorelines(clouded, min_length=100)) == 2


def test_an_image_may_have_a_date_without_an_axis_of_time():
    index = mndwi(scene(straight())).assign_coords(time=TIMES[1])
    assert extract_shorelines(index).time.tolist() == [TIMES[1]]
    assert extract_shorelines(index.drop_vars("time")).time.isna().all()


def test_a_lagoon_far_from_the_reference_line_is_left_out():
    index = mndwi(scene(straight(200)))
    index[10:70, 50:55] = 0.6
    reference = gpd.GeoDataFrame(geometry=[LineString([(WEST + 230, NORTH), (WEST + 230, NORTH - 800)])], crs=METRES)
    assert len(extract_shorelines(index, min_length=100)) == 2
    near = extract_shorelines(index, reference=reference, min_length=100)
    assert len(near) == 1
    assert near.total_bounds[2] < WEST + 330
    again = extract_shorelines(index, reference=reference.to_crs(4326), min_length=100)
    np.testing.assert_allclose(again.length, near.length, atol=0.01)
    assert len(extract_shorelines(index, reference=reference, max_distance=5, min_length=100)) == 0


def points(*chainages, off=0.0) -> gpd.GeoDataFrame:
    line = LineString([(WEST + 550 - at, NORTH - 100 + off + shift) for shift, at in enumerate(chainages)])
    return gpd.GeoDataFrame({"time": [TIMES[0]]}, geometry=[line], crs=METRES)


def test_a_position_is_the_median_of_the_points_beside_the_transect():
    found = locate_shorelines(points(10, 12, 20), transect(NORTH - 100))
    assert found.to_dict("records") == [
        {
            "time": TIMES[0],
            "transect": "t",
            "position": pytest.approx(12),
            "std": pytest.approx(4.3205, abs=1e-4),
            "points": 3,
        }
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (points(10, 12), {}),
        (points(0, 40, 80), {}),
        (points(10, 12, 14, off=40), {}),
        (points(-120, -125, -130), {}),
        (points(10, 12, 14), {"min_points": 4}),
        (points(10, 12, 14), {"max_std": 1}),
        (points(10, 12, 14), {"reach": (20, 30)}),
    ],
    ids=["few", "scattered", "beside", "inland", "fewer than asked", "wider than asked", "out of reach"],
)
def test_a_position_that_cannot_be_trusted_is_nan(lines, words):
    assert locate_shorelines(lines, transect(NORTH - 100), **words).position.isna().all()


def test_transects_in_degrees_are_projected_to_the_lines():
    known = locate_shorelines(points(10, 12, 20), transect(NORTH - 100))
    again = locate_shorelines(points(10, 12, 20), transect(NORTH - 100).to_crs(4326))
    np.testing.assert_allclose(again.position, known.position, atol=1e-6)


def test_the_index_has_to_be_on_a_grid_in_metres():
    index = mndwi(scene(straight()))
    with pytest.raises(BadRequest, match="states no reference system"):
        extract_shorelines(index.drop_vars("spatial_ref").drop_attrs())
    degrees = assign_crs(
        index.drop_vars("spatial_ref").assign_coords(x=index.x * 1e-5 - 7, y=index.y * 1e-5 - 5), "EPSG:4326"
    )
    with pytest.raises(BadRequest, match="metres"):
        extract_shorelines(degrees)
    with pytest.raises(BadRequest, match="found band, y, x"):
        extract_shorelines(assign_crs(xr.concat([index, index], "band"), METRES))


def test_other_bad_input_ends_in_a_sentence():
    index = mndwi(scene(straight()))
    with pytest.raises(BadRequest, match="expected both or none"):
        sand_water_threshold(index, sand=index < 0)
    with pytest.raises(BadRequest, match="pixels along"):
        sand_water_threshold(index, sand=index < 0, water=(index > 0).isel(x=slice(5)))
    with pytest.raises(BadRequest, match="max_distance 0"):
        extract_shorelines(index, max_distance=0)
    with pytest.raises(BadRequest, match="the reference line states no reference system"):
        extract_shorelines(index, reference=gpd.GeoDataFrame(geometry=[LineString([(0, 0), (1, 1)])]))
    with pytest.raises(BadRequest, match="along -1"):
        locate_shorelines(points(1, 2, 3), transect(NORTH), along=-1)
    with pytest.raises(BadRequest, match="no column 'date'"):
        locate_shorelines(points(1, 2, 3), transect(NORTH), time="date")
    with pytest.raises(BadRequest, match="EPSG:4326, expected metres"):
        locate_shorelines(points(1, 2, 3).to_crs(4326), transect(NORTH))


def stack(*offsets) -> xr.DataArray:
    images = [water_share(scene(straight(offset))) for offset in offsets]
    return assign_crs(xr.concat(images, pd.Index(TIMES[: len(images)], name="time")), METRES)


def westings(lines) -> list[float]:
    return [float(np.median(np.asarray(line.coords)[:, 0])) for line in lines.geometry]


def test_the_threshold_of_a_date_goes_to_that_date_whatever_their_order():
    index = stack(250, 250)
    levels = xr.DataArray([0.3, 0.7], {"time": index.time}, ["time"])
    known = extract_shorelines(index, threshold=levels)
    turned = extract_shorelines(index, threshold=levels[::-1])
    assert turned.threshold.tolist() == known.threshold.tolist() == [0.3, 0.7]
    with pytest.raises(BadRequest, match="of other dates than the images"):
        extract_shorelines(index, threshold=levels.assign_coords(time=TIMES[1:]))
    with pytest.raises(BadRequest, match=r"thresholds of shape \(3,\) for 2 images"):
        extract_shorelines(index, threshold=[0.1, 0.2, 0.3])


def test_a_mask_with_holes_counts_them_neither_as_sand_nor_as_water():
    index = mndwi(scene(straight(), noise=0.005))
    sand, water = (index < 0).where(index < 0.3), (index > 0) & (index < 0.3)
    known = sand_water_threshold(index, sand=index < 0, water=water)
    assert float(sand_water_threshold(index, sand=sand, water=water)) == float(known)


def test_coordinates_a_rounding_apart_do_not_empty_a_mask():
    index = mndwi(scene(straight(), noise=0.005))
    near = (index < 0).assign_coords(x=index.x + 1e-6)
    known = sand_water_threshold(index, sand=index < 0, water=index > 0)
    assert float(sand_water_threshold(index, sand=near, water=index > 0)) == float(known)


def test_a_handful_of_wild_pixels_is_no_class_of_its_own():
    index = mndwi(scene(straight(), noise=0.005))
    wild = index.copy()
    wild[0, :5] = [50.0, -300.0, 7.0, np.inf, -np.inf]
    assert float(sand_water_threshold(wild)) == pytest.approx(float(sand_water_threshold(index)), abs=0.01)


def test_stored_integers_are_read_as_what_they_stand_for():
    index = water_share(scene(straight()))
    stored = (index * 10_000).round().astype("int16")
    stored[:3] = -9999
    stored.attrs = {"scale_factor": 1e-4, "_FillValue": -9999}
    known = extract_shorelines(index.where(index.y < index.y[2]), threshold=0.5)
    found = extract_shorelines(stored, threshold=0.5)
    np.testing.assert_allclose(westings(found), westings(known), atol=0.01)
    assert found.total_bounds[3] == pytest.approx(known.total_bounds[3])


def test_years_are_no_dates():
    with pytest.raises(BadRequest, match="expected dates along 'time', found int64"):
        extract_shorelines(stack(250, 260).assign_coords(time=[2019, 2020]), threshold=0.5)


def test_dates_in_words_and_a_band_of_one_are_understood():
    index = stack(250, 260)
    known = extract_shorelines(index, threshold=0.5)
    worded = index.assign_coords(time=index.time.dt.strftime("%Y-%m-%d").values).expand_dims(band=[1])
    assert extract_shorelines(worded, threshold=0.5).time.tolist() == known.time.tolist()


def test_what_is_no_index_is_refused():
    index = water_share(scene(straight()))
    for wrong, found in ((index.values, "ndarray"), (index.to_dataset(name="w"), "Dataset")):
        with pytest.raises(BadRequest, match=f"expected a DataArray, found {found}"):
            extract_shorelines(wrong)
    with pytest.raises(BadRequest, match="a mask is ndarray"):
        sand_water_threshold(index, sand=(index < 0.5).values, water=index > 0.5)
    with pytest.raises(BadRequest, match="the reference line is empty"):
        extract_shorelines(index, reference=gpd.GeoDataFrame(geometry=[], crs=METRES))
    with pytest.raises(BadRequest, match="max_distance inf"):
        extract_shorelines(index, max_distance=np.inf)


def test_a_shoreline_of_two_points_is_found_as_one_of_many():
    drawn = gpd.GeoDataFrame(
        {"time": ["1950-01-01"]},
        geometry=[LineString([(WEST + 300, NORTH + 900), (WEST + 300, NORTH - 900)])],
        crs=METRES,
    )
    found = locate_shorelines(drawn, transect(NORTH - 100))
    assert found.position[0] == pytest.approx(250)
    assert found.points[0] >= 3


def test_a_transect_longer_than_a_kilometre_is_followed_to_its_end():
    far = gpd.GeoDataFrame(
        {"time": ["1950-01-01"]},
        geometry=[LineString([(WEST - 900, NORTH + 90), (WEST - 900, NORTH - 90)])],
        crs=METRES,
    )
    assert locate_shorelines(far, transect(NORTH, length=2000.0)).position[0] == pytest.approx(1450)
    assert np.isnan(locate_shorelines(far, transect(NORTH, length=2000.0), reach=(-100, 1000)).position[0])


def test_transects_without_a_reference_system_are_refused():
    bare = transect(NORTH).set_crs(None, allow_override=True)
    with pytest.raises(BadRequest, match="transects states no reference system"):
        locate_shorelines(points(1, 2, 3), bare)
