"""The sand budget: the figures of St Leonards, planted volumes and errors, and every refusal."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.xr import assign_crs
from scipy.ndimage import gaussian_filter
from scipy.stats import false_discovery_control
from shapely import LineString, Point, box

from earthlab.analysis.beach import (
    elevation_changes,
    hotspots,
    limit_of_detection,
    sample_transects,
    volume_changes,
    volumes_of_cells,
)
from earthlab.analysis.grids import polygon_mask
from earthlab.errors import BadRequest

METRES = "EPSG:32755"
WEST, NORTH = 299_800.0, 5_773_700.0
DATES = ("2018-06-06", "2018-07-13", "2018-09-20", "2019-02-11", "2019-03-28", "2019-07-31")
SHIFTED = (0.101219, 0.111155, 0.071532, 0.111180, 0.098167)
RIGHT = (0.0800745, 0.1108377, 0.0484289, 0.1552526, 0.0671709)


def surface(values, *, pixel=1.0, units="m", crs=METRES) -> xr.DataArray:
    values = np.asarray(values, "float64")
    rows, columns = values.shape
    y = NORTH - pixel * (np.arange(rows) + 0.5)
    x = WEST + pixel * (np.arange(columns) + 0.5)
    return assign_crs(xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), "z", {"units": units}), crs)


def across(*rows, length=20.0, start=0.5) -> gpd.GeoDataFrame:
    lines = [
        LineString([(WEST + start, NORTH - row - 0.5), (WEST + start + length, NORTH - row - 0.5)]) for row in rows
    ]
    return gpd.GeoDataFrame({"transect": [f"t{row}" for row in rows]}, geometry=lines, crs=METRES)


@pytest.fixture(scope="module")
def st_leonards(shared_data) -> dict[str, xr.DataArray]:
    surveys = {}
    for date in DATES:
        name = f"leo_{date.replace('-', '')}_dsm_resampled_1m.tif"
        with rasterio.open(shared_data / "beach_uav_dsm" / "dsm_1m" / name) as source:
            values, affine = source.read(1), source.transform
        columns, rows = (np.arange(size) + 0.5 for size in values.shape[::-1])
        axes = {"y": affine.f + affine.e * rows, "x": affine.c + affine.a * columns}
        elevation = xr.DataArray(np.where(values == -10000, np.nan, values), axes, ("y", "x"), attrs={"units": "m"})
        surveys[date] = assign_crs(elevation, METRES)
    return surveys


@pytest.fixture(scope="module")
def calibration(shared_data) -> gpd.GeoDataFrame:
    return gpd.read_file(shared_data / "beach_uav_dsm" / "lod_transects" / "leo_lod_transects.gpkg")


@pytest.mark.parametrize(("pixel", "expected"), [("shifted", SHIFTED), ("containing", RIGHT)])
def test_limits_of_st_leonards_with_the_shift_of_the_published_code_and_without(
    st_leonards, calibration, pixel, expected
):
    stable = elevation_changes(sample_transects(st_leonards, calibration, name="tr_id", pixel=pixel))
    limits = limit_of_detection(stable)
    np.testing.assert_allclose(limits.lod, expected, atol=1e-5)
    assert limits.n.tolist() == [93] * 5
    assert limits.start.astype(str).tolist() == list(DATES[:-1])
    assert ((limits.lod_low < limits.lod) & (limits.lod < limits.lod_high)).all()
    assert limits.attrs["units"]["lod"] == "m"


def test_transects_in_degrees_read_the_same_pixels(st_leonards, calibration):
    known = sample_transects(st_leonards, calibration, name="tr_id")
    there_and_back = sample_transects(st_leonards, calibration.to_crs(4326).to_crs(METRES), name="tr_id")
    np.testing.assert_array_equal(there_and_back.z, known.z)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 8), st.floats(0, 8))
def test_a_point_reads_the_pixel_it_lies_in(seed, east, south):
    values = np.random.default_rng(seed).normal(size=(10, 10))
    line = LineString([(WEST + east, NORTH - south), (WEST + east + 1, NORTH - south)])
    transect = gpd.GeoDataFrame({"transect": [0]}, geometry=[line], crs=METRES)
    found = sample_transects({"2020": surface(values)}, transect)
    # Northings of millions round what lies a hair from the edge of a pixel onto it.
    rows, columns = NORTH - (NORTH - south), (WEST + east) - WEST
    assert found.z[0] == values[int(rows), int(columns)]


def test_the_published_shift_reads_half_a_pixel_right_and_below():
    values = np.arange(16.0).reshape(4, 4)
    point = across(1, length=1.0, start=0.75)
    point = point.set_geometry([LineString([(WEST + 0.75, NORTH - 1.75), (WEST + 1.75, NORTH - 1.75)])])
    read = {
        how: sample_transects({"2020": surface(values)}, point, pixel=how).z[0] for how in ("containing", "shifted")
    }
    assert read == {"containing": values[1, 0], "shifted": values[2, 1]}


def test_surveys_may_have_their_own_grids_systems_and_gaps_and_be_lazy():
    truth = np.add.outer(np.zeros(40), np.arange(40.0))
    fine = surface(truth)
    coarse = surface(truth[::2, ::2] + 0.5, pixel=2.0).astype("float32").chunk(x=7)
    holed = fine.where(fine.x > WEST + 5).sortby("y")
    found = sample_transects({"2020-03": coarse, "2020-01": fine, "2020-02": holed}, across(3, 9))
    wide = found.pivot(index=["transect", "distance"], columns="time", values="z")
    assert list(wide.columns) == sorted(wide.columns)
    np.testing.assert_allclose(wide.iloc[:, 0], np.tile(np.arange(20.0), 2))
    assert wide.iloc[:, 1].isna().sum() == 10
    assert np.abs(wide.iloc[:, 2] - wide.iloc[:, 0]).max() <= 0.5
    assert wide.iloc[:, 2].dtype == "float64"


def test_outside_a_survey_there_is_no_elevation():
    found = sample_transects({"2020": surface(np.ones((5, 5)))}, across(2, length=8, start=-1.5))
    assert found.z.notna().tolist() == [False, False, True, True, True, True, True, False]


def profiles(*surveys, transects=1, start="2020-01-01") -> gpd.GeoDataFrame:
    rows = [
        {"time": time, "transect": name, "distance": float(at), "z": z, "geometry": Point(WEST + at, NORTH - 20 * name)}
        for time, values in zip(pd.date_range(start, periods=len(surveys), freq="30D"), surveys, strict=True)
        for name in range(transects)
        for at, z in enumerate(values)
    ]
    return gpd.GeoDataFrame(rows, geometry="geometry", crs=METRES)


def test_changes_are_later_minus_earlier_where_both_saw_the_ground():
    table = profiles([0, 1, np.nan], [0.5, np.nan, 2], [1, 1, 1])
    found = elevation_changes(table.sample(frac=1, random_state=1))
    assert sorted(zip(found.start.dt.dayofyear, found["distance"], found.dh, strict=True)) == [
        (1, 0, 0.5), (31, 0, 0.5), (31, 2, -1)
    ]  # fmt: skip
    assert found.crs == METRES


def test_a_survey_without_any_elevation_makes_no_period():
    assert len(elevation_changes(profiles([np.nan, np.nan], [1, 2]))) == 0


def test_the_limit_is_the_nmad_and_the_offset_the_median():
    found = limit_of_detection(elevation_changes(profiles([0] * 5, [0.1, 0.2, 0.3, 0.4, 9])))
    assert found.lod[0] == pytest.approx(1.4826 * 0.1)
    assert found.offset[0] == pytest.approx(0.3)
    assert found.n[0] == 5


def changes(values, *, transects=1) -> gpd.GeoDataFrame:
    values = np.asarray(values, "float64").reshape(transects, -1)
    table = elevation_changes(profiles(np.zeros(values.shape[1]), np.ones(values.shape[1]), transects=transects))
    return table.assign(dh=values.ravel())


def test_two_hundred_planted_surveys_have_their_error_of_detection_and_their_volume_within_two_sigma():
    random = np.random.default_rng(0)
    truth = np.where(np.arange(600) < 300, -0.9, 0.6)
    limits, nets, inside = [], [], []
    for _ in range(200):
        stable = changes(random.normal(0, 0.08, 93))
        limit = limit_of_detection(stable)
        seen = changes(truth + random.normal(0, 0.08, 600), transects=6)
        found = volume_changes(seen, limit, step=1, spacing=20).iloc[0]
        expected = truth.sum() * 20
        limits.append(limit.lod[0])
        nets.append(found.net - expected)
        inside.append((abs(found.net - expected) <= 1.96 * found.sigma, limit.lod_low[0] <= 0.08 <= limit.lod_high[0]))
    assert np.mean(limits) == pytest.approx(0.08, rel=0.02)
    assert abs(np.mean(nets)) < 3 * 0.08 * np.sqrt(600) * 20 / np.sqrt(200)
    assert 0.9 < np.mean([volume for volume, _ in inside]) < 0.99
    assert 0.91 < np.mean([limit for _, limit in inside]) < 0.99


def test_errors_that_neighbours_share_are_counted():
    random = np.random.default_rng(1)
    places = np.arange(400.0)
    share = np.clip(
        1 - 1.5 * np.abs(places[:, None] - places) / 15 + 0.5 * (np.abs(places[:, None] - places) / 15) ** 3, 0, 1
    )
    share[np.abs(places[:, None] - places) > 15] = 0
    root = np.linalg.cholesky(share + 1e-9 * np.eye(400))
    inside = {None: [], 15.0: []}
    for _ in range(200):
        seen = changes(-0.9 + 0.08 * (root @ random.normal(size=400)))
        for correlation, found in inside.items():
            volume = volume_changes(seen, 0.08, step=1, spacing=20, correlation=correlation).iloc[0]
            found.append(abs(volume.net + 0.9 * 400 * 20) <= 1.96 * volume.sigma)
    assert np.mean(inside[None]) < 0.6
    assert 0.9 < np.mean(inside[15.0]) < 0.99


def test_a_shared_error_grows_with_the_area():
    seen = changes(np.full(100, -1.0))
    plain, shifted = (volume_changes(seen, 0.1, step=1, spacing=20, systematic=s).sigma[0] for s in (0, 0.05))
    assert plain == pytest.approx(0.1 * 100 * 20 / 10)
    assert shifted == pytest.approx(np.hypot(plain, 0.05 * 2000))


def test_what_lies_within_the_limit_counts_as_none():
    seen = changes([0.1, -0.1, 0.3, -0.5, np.nextafter(0.2, 1), 0.2])
    found = volume_changes(seen, 0.2, step=0.5, spacing=10).iloc[0]
    assert found.deposition == pytest.approx(0.5 * 5)
    assert found.erosion == pytest.approx(-0.5 * 5)
    assert (found.points, found.changed) == (6, 3)
    all_of_it = volume_changes(seen, 0.2, step=0.5, spacing=10, threshold=0).iloc[0]
    assert all_of_it.net == pytest.approx(seen.dh.sum() * 5)
    assert all_of_it.changed == 6
    assert volume_changes(seen, 9.0, step=1, spacing=1).net[0] == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=12, max_size=12), st.floats(0, 0.5))
def test_transects_add_up_to_their_period(values, limit):
    seen = changes(values, transects=3)
    whole = volume_changes(seen, limit, step=1, spacing=20).iloc[0]
    parts = volume_changes(seen, limit, step=1, spacing=20, per="transect")
    assert len(parts) == 3
    for name in ("erosion", "deposition", "net", "points", "changed"):
        assert parts[name].sum() == pytest.approx(whole[name], abs=1e-9)
    assert np.sqrt((parts.sigma**2).sum()) == pytest.approx(whole.sigma, abs=1e-9)


def test_each_period_has_its_own_limit():
    table = elevation_changes(profiles([0] * 30, [0.5] * 30, [0.8] * 30))
    limits = pd.DataFrame({"start": table.start.unique(), "end": table.end.unique(), "lod": [0.6, 0.1]})
    assert volume_changes(table, limits, step=1, spacing=1).net.tolist() == pytest.approx([0, 9])
    with pytest.raises(BadRequest, match="found 0 limits for 2020-01-01"):
        volume_changes(table, limits.iloc[1:], step=1, spacing=1)


def test_cells_add_up_over_the_part_that_is_asked_for():
    before = surface(np.zeros((20, 30)), pixel=2.0)
    after = before.copy(data=np.zeros((20, 30)))
    after[:5, :10] = -1.0
    after[10:12, 20:] = 0.5
    after[15, :] = 0.05
    after[0, 0] = np.nan
    found = volumes_of_cells(before, after, 0.1)
    assert found.erosion == pytest.approx(-49 * 4)
    assert found.deposition == pytest.approx(20 * 0.5 * 4)
    assert found.net == pytest.approx(found.erosion + found.deposition)
    assert found.area == pytest.approx(69 * 4)
    # Of 599 cells, 69 count whole; the noise of the others adds what normal errors hold beyond one deviation.
    beyond = 0.8012519569
    assert found.sigma == pytest.approx(0.1 * 4 * np.sqrt(69 + 530 * beyond))
    west = gpd.GeoSeries([box(WEST, NORTH - 40, WEST + 30, NORTH)], crs=METRES)
    part = volumes_of_cells(before, after, 0.1, where=polygon_mask(west, before))
    assert (part.erosion, part.deposition) == (pytest.approx(-49 * 4), 0)
    assert volumes_of_cells(before, before, 0.1).sigma == pytest.approx(0.1 * 4 * np.sqrt(600 * beyond))
    assert volumes_of_cells(before, before * np.nan, 0.1).sigma == 0


def test_cells_are_the_same_in_float32_on_dask_and_in_any_order_of_axes():
    random = np.random.default_rng(0)
    before, after = (surface(gaussian_filter(random.normal(size=(40, 50)), 3)) for _ in range(2))
    known = volumes_of_cells(before, after, 0.05)
    again = volumes_of_cells(before.astype("float32").chunk(x=10), after.transpose("x", "y").astype("float32"), 0.05)
    for name in ("erosion", "deposition", "net", "sigma", "area"):
        assert getattr(again, name) == pytest.approx(getattr(known, name), rel=1e-3)


def test_two_hundred_planted_surfaces_with_correlated_errors_have_their_volume_within_two_sigma():
    random = np.random.default_rng(3)
    inside = []
    before = surface(np.zeros((60, 60)))
    flat = gaussian_filter(random.normal(size=(200, 60, 60)), (0, 2.5, 2.5), mode="wrap")
    flat *= 0.1 / flat.std()
    for errors in flat:
        found = volumes_of_cells(before, surface(errors + 1.0), 0.1, correlation=10.0)
        inside.append(abs(found.net - 3600) <= 1.96 * found.sigma)
    # A spherical model of ten metres stands for errors smoothed over 2.5: not the same law, and much the same range.
    assert 0.9 < np.mean(inside) <= 1.0


def field(seed=0, *, size=30, smooth=0.0) -> gpd.GeoDataFrame:
    random = np.random.default_rng(seed)
    values = random.normal(size=(size, size))
    if smooth:
        values = gaussian_filter(values, smooth)
    y, x = np.mgrid[:size, :size]
    places = gpd.points_from_xy(WEST + x.ravel(), NORTH - y.ravel())
    return gpd.GeoDataFrame({"dh": values.ravel()}, geometry=places, crs=METRES)


def test_a_planted_hotspot_and_coldspot_are_found():
    seen = field()
    x, y = seen.geometry.x - WEST, NORTH - seen.geometry.y
    gain, loss = (np.hypot(x - at, y - at) < 5 for at in (7, 22))
    seen["dh"] += 3 * gain - 3 * loss
    found = hotspots(seen, radius=2.5)
    assert (found.cluster[gain] == "high").mean() > 0.9
    assert (found.cluster[loss] == "low").mean() > 0.9
    elsewhere = ~gain & ~loss & (np.hypot(x - 7, y - 7) > 9) & (np.hypot(x - 22, y - 22) > 9)
    assert (found.cluster[elsewhere] == "none").mean() > 0.97


def test_where_there_is_nothing_hardly_anything_is_found():
    found = [(hotspots(field(seed, size=15), radius=2.5).cluster != "none").any() for seed in range(200)]
    assert np.mean(found) < 0.12


def test_local_moran_is_that_of_its_definition_and_its_chance_that_of_shuffling():
    seen = field(4, size=12, smooth=1.0)
    found = hotspots(seen, radius=2.1)
    values = seen.dh.to_numpy()
    standard = (values - values.mean()) / values.std()
    xy = np.column_stack([seen.geometry.x, seen.geometry.y])
    near = np.hypot(*(xy[:, None] - xy).transpose(2, 0, 1)) <= 2.1
    np.fill_diagonal(near, val=False)
    np.testing.assert_allclose(found.moran, standard * (near @ standard) / near.sum(axis=1))
    random = np.random.default_rng(0)
    for at in (0, 40, 77):
        others, number = np.delete(standard, at), int(near[at].sum())
        means = np.array([random.permutation(others)[:number].mean() for _ in range(4000)])
        lag = (near @ standard)[at] / number
        two_sided = 2 * min((means >= lag).mean(), (means <= lag).mean())
        assert found.p_value[at] == pytest.approx(two_sided, abs=0.04)
    kept = false_discovery_control(found.p_value) <= 0.05
    assert ((found.cluster != "none") == kept).all()


def test_a_lone_point_is_in_no_cluster():
    seen = pd.concat([field(0, size=5), field(0, size=1).set_geometry([Point(WEST + 900, NORTH)], crs=METRES)])
    found = hotspots(seen, radius=2)
    assert np.isnan(found.moran.iloc[-1])
    assert found.cluster.iloc[-1] == "none"


LINE = across(1)
DSM = surface(np.ones((10, 30)))
CHANGE = changes([0.1, -0.5, 0.3])
BAD = [
    (lambda: sample_transects({}, LINE), "expected surveys by date"),
    (lambda: sample_transects([DSM], LINE), "expected surveys by date"),
    (lambda: sample_transects({"2020": DSM}, LINE, pixel="round"), "pixel is 'round'"),
    (lambda: sample_transects({"2020": DSM}, LINE.to_crs(4326)), "EPSG:4326, expected metres"),
    (lambda: sample_transects({"2020": surface(np.ones((9, 9)), units="cm")}, LINE), "model has units 'cm'"),
    (lambda: sample_transects({"2020": xr.concat([DSM, DSM], "band")}, LINE), "expected two axes, found 3"),
    (lambda: sample_transects({"2020": DSM}, LINE, name="id"), "no column 'id'"),
    (lambda: elevation_changes(profiles([1, 2])), "found 1 survey"),
    (lambda: elevation_changes(pd.concat([profiles([1], [2])] * 2)), "comes twice"),
    (lambda: elevation_changes(profiles([1], [2]).drop(columns="z")), "no column 'z'"),
    (lambda: limit_of_detection(pd.DataFrame({"dh": [1.0]})), "no column 'start'"),
    (lambda: limit_of_detection(CHANGE, confidence=2), "level of confidence is 2"),
    (lambda: limit_of_detection(CHANGE, effective=0), "effective is 0"),
    (lambda: volume_changes(CHANGE, 0.1, step=0, spacing=1), "step 0"),
    (lambda: volume_changes(CHANGE, 0.1, step=1, spacing=1, systematic=-1), "systematic -1"),
    (lambda: volume_changes(CHANGE, -0.1, step=1, spacing=1), "limit of detection is -0.1"),
    (lambda: volume_changes(CHANGE, np.nan, step=1, spacing=1), "limit of detection is nan"),
    (lambda: volume_changes(CHANGE, 0.1, step=1, spacing=1, per="beach"), "per is 'beach'"),
    (lambda: volume_changes(CHANGE.to_crs(4326), 0.1, step=1, spacing=1), "expected metres"),
    (lambda: volumes_of_cells(DSM, DSM.isel(x=slice(9)), 0.1), "pixels along 'x'"),
    (lambda: volumes_of_cells(DSM, surface(np.ones((10, 30)), units="cm"), 0.1), "model has units 'cm'"),
    (lambda: volumes_of_cells(DSM, DSM, -1), "limit -1"),
    (lambda: volumes_of_cells(DSM, DSM, 0.1, where=(DSM > 0).isel(y=slice(3))), "pixels along 'y'"),
    (lambda: hotspots(field(), radius=0), "radius 0"),
    (lambda: hotspots(field(), radius=2, level=1), "level 1"),
    (lambda: hotspots(field().iloc[:5], radius=2), "ten values or more"),
    (lambda: hotspots(field().assign(dh=1.0), radius=2), "not all alike"),
    (lambda: hotspots(field().assign(dh=np.nan), radius=2), "none of them NaN"),
    (lambda: hotspots(field(), radius=2, column="dz"), "no column 'dz'"),
    (lambda: hotspots(field().to_crs(4326), radius=2), "expected metres"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD, ids=[f"{at}-{message}" for at, (_, message) in enumerate(BAD)])
def test_bad_input_ends_in_a_sentence(call, message):
    with pytest.raises(BadRequest, match=message):
        call()


def test_what_a_model_marks_as_no_data_is_no_elevation():
    holed = DSM.where(DSM.x < DSM.x[10], -9999.0).expand_dims(band=[1])
    holed.attrs |= {"_FillValue": -9999.0}
    found = sample_transects({"2020": holed, "2021": DSM}, LINE)
    assert found.z.min() == 1
    assert 0 < found.z.isna().sum() < len(found) / 2
    volumes = volumes_of_cells(holed, DSM + 0.5, 0.1, threshold=0)
    assert volumes.net == pytest.approx(0.5 * 10 * 10)
    endless = volumes_of_cells(DSM.where(DSM.x < DSM.x[10], np.inf), DSM + 0.5, 0.1, threshold=0)
    assert endless == volumes


def test_a_mask_with_holes_and_coordinates_a_rounding_apart_counts_what_it_says():
    where = xr.ones_like(DSM).where(DSM.x < DSM.x[10]).assign_coords(x=DSM.x + 1e-6)
    assert volumes_of_cells(DSM, DSM + 0.5, 0.1, where=where).net == pytest.approx(0.5 * 10 * 10)


def test_changes_that_are_not_known_count_neither_as_seen_nor_as_still():
    known = volume_changes(CHANGE.iloc[:2], 0.05, step=1, spacing=1)
    holed = CHANGE.assign(dh=CHANGE["dh"].where(CHANGE["dh"] < 0.2))
    pd.testing.assert_frame_equal(volume_changes(holed, 0.05, step=1, spacing=1), known)
    assert limit_of_detection(holed)["n"].tolist() == [2]
    assert np.isfinite(limit_of_detection(holed)["offset"]).all()


@pytest.mark.parametrize("key", [20200101, 2020, "leo_2020", "03/04/2020"])
def test_what_is_no_date_of_a_survey_is_refused(key):
    with pytest.raises(BadRequest, match=r"the surveys' dates holds .* expected dates"):
        sample_transects({key: DSM}, LINE)


def test_dates_of_surveys_may_have_a_time_zone_or_be_days():
    keys = (pd.Timestamp("2020-06-01", tz="UTC"), pd.Timestamp("2019-01-01").date(), "2021")
    found = sample_transects(dict.fromkeys(keys, DSM), LINE)
    assert found["time"].drop_duplicates().dt.year.tolist() == [2019, 2020, 2021]


def test_transects_that_miss_every_survey_are_told():
    away = LINE.set_geometry(LINE.translate(5000))
    with pytest.raises(BadRequest, match="no point of the 1 transects has an elevation in any survey"):
        sample_transects({"2020": DSM}, away)


def test_profiles_keep_their_own_name_of_geometry_and_words_as_dates():
    seen = profiles([1, 2], [3, 5])
    known = elevation_changes(seen)
    worded = seen.assign(time=pd.to_datetime(seen["time"]).dt.strftime("%Y-%m-%d")).rename_geometry("geom")
    pd.testing.assert_frame_equal(pd.DataFrame(elevation_changes(worded)), pd.DataFrame(known))
    with pytest.raises(BadRequest, match="expected dates"):
        elevation_changes(seen.assign(time=pd.to_datetime(seen["time"]).dt.strftime("%d/%m/%Y")))
    limits = limit_of_detection(known).assign(start=lambda table: table["start"].astype(str))
    assert len(volume_changes(known, limits, step=1, spacing=1)) == 1


@pytest.mark.parametrize(("moved", "threshold"), [(0.0, 1.0), (0.0, 0.0), (0.05, 0.0), (0.5, 0.0)])
def test_two_sigma_hold_the_volume_of_a_beach_that_hardly_moved(moved, threshold):
    random, inside = np.random.default_rng(3), 0
    true = np.where(np.arange(30) < 15, -moved, moved / 2) * np.ones((30, 1))
    for _ in range(200):
        after = surface(true + random.normal(0, 0.1, (30, 30)))
        found = volumes_of_cells(surface(np.zeros((30, 30))), after, 0.1, threshold=threshold)
        inside += abs(found.net - true.sum()) <= 2 * found.sigma
    assert inside / 200 > 0.91


@pytest.mark.parametrize("law", ["standard_t", "lognormal"])
def test_heavy_tails_and_few_neighbours_make_no_hotspots(law):
    found = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        values = random.standard_t(3, 144) if law == "standard_t" else random.lognormal(0, 1.2, 144)
        found.append((hotspots(field(0, size=12).assign(dh=values), radius=1.1).cluster != "none").any())
    assert np.mean(found) < 0.13


def test_several_periods_or_other_shapes_make_no_hotspots():
    seen = field().assign(start=1, end=2)
    with pytest.raises(BadRequest, match="found 2 periods"):
        hotspots(pd.concat([seen, seen.assign(start=2, end=3)]), radius=2)
    with pytest.raises(BadRequest, match="expected a point in every row"):
        hotspots(seen.set_geometry(seen.buffer(1)), radius=2)


def test_a_mask_that_is_no_map_is_refused():
    with pytest.raises(BadRequest, match="where is ndarray"):
        volumes_of_cells(DSM, DSM, 0.1, where=np.ones((10, 30)))
    with pytest.raises(BadRequest, match="expected an xarray DataArray"):
        volumes_of_cells(DSM.values, DSM.values, 0.1)
