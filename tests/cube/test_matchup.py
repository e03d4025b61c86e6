"""Match-ups: the cube's value at each place and date of a table, as rasterio and numpy find it one by one."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from shapely.geometry import Point, box

import earthlab as el
from earthlab.cube.matchup import points
from earthlab.errors import BadRequest, ReadFault
from earthlab.testing.rasters import LATTICE, RasterFile, SceneBand, scene_items, write_scene
from earthlab.testing.stores import serve_files

DAYS = ["2018-05-05", "2018-06-04", "2018-07-04"]


def scenes(folder, shape=(300, 280), **options):
    rng = np.random.default_rng(4)
    documents = []
    for day in DAYS:
        bands = {}
        for name in ("red", "nir"):
            values = rng.integers(1, 10_000, shape).astype("uint16")
            values[rng.random(shape) < 0.1] = 0
            bands[name] = SceneBand(RasterFile(values, **options), name, nodata=0, scale=0.0001)
        documents.append(write_scene(folder, day, bands, time=f"{day}T10:00:00Z"))
    return scene_items(documents)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def cube(folder):
    return el.open(scenes(folder))


def stations(count=200, seed=0, margin=100, crs="EPSG:4326") -> gpd.GeoDataFrame:
    rng = np.random.default_rng(seed)
    x = LATTICE.c + rng.uniform(-margin, 2800 + margin, count)
    y = LATTICE.f - rng.uniform(-margin, 3000 + margin, count)
    times = pd.Timestamp("2018-04-01", tz="UTC") + pd.to_timedelta(rng.uniform(0, 120, count), "D")
    made = gpd.GeoDataFrame(
        {"time": times, "station": np.arange(count)}, geometry=gpd.points_from_xy(x, y, crs="EPSG:32631")
    )
    return made.to_crs(crs)


def nearest_day(time) -> str:
    return min(DAYS, key=lambda day: abs(pd.Timestamp(f"{day}T10:00Z") - time))


@pytest.mark.parametrize("way", ["as opened", "computed on", "in memory"])
def test_each_row_gets_the_pixel_that_rasterio_samples_at_its_place_and_date(cube, folder, way):
    table = stations()
    given = {"as opened": cube, "computed on": cube * 1.0, "in memory": cube.compute()}[way]
    found = points(given, table)
    metres = table.to_crs("EPSG:32631").geometry
    for name in ("red", "nir"):
        expected = []
        for place, time in zip(metres, table.time, strict=True):
            with rasterio.open(folder / f"{nearest_day(time)}-{name}.tif") as source:
                left, bottom, right, top = source.bounds
                inside = left <= place.x < right and bottom < place.y <= top
                dn = next(source.sample([(place.x, place.y)]))[0] if inside else 0
            expected.append(dn * 0.0001 if dn else np.nan)
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)
    assert (found.reason == "").equals(found.red.notna() | found.nir.notna())
    assert set(found.reason) <= {"", "outside the grid", "no observation"}
    assert 0 < (~found.inside).sum() < 40
    assert found.station.equals(table.station)


def test_a_point_on_an_edge_belongs_to_the_pixel_east_or_south_of_it(cube):
    corners = [Point(LATTICE @ (column, row)) for column, row in ((5, 7), (0, 0), (280, 3), (3, 300))]
    table = gpd.GeoDataFrame(
        {"time": pd.Timestamp("2018-05-05", tz="UTC")}, geometry=corners, crs="EPSG:32631", index=range(4)
    )
    found = points(cube, table)
    np.testing.assert_array_equal(found.nir[:2], [cube.nir[0, 7, 5], cube.nir[0, 0, 0]])
    assert found.inside.tolist() == [True, True, False, False]


def test_the_nearest_date_counts_the_earlier_of_two_and_only_within_the_tolerance(cube):
    moments = ["2018-05-20T10:00Z", "2018-05-20T10:01Z", "2018-01-01", "2019-01-01", None, "2018-06-05"]
    place = Point(LATTICE @ (50.5, 60.5))
    table = gpd.GeoDataFrame(
        {"time": pd.to_datetime(moments, utc=True, format="ISO8601")}, geometry=[place] * 6, crs="EPSG:32631"
    )
    found = points(cube, table)
    assert found.cube_time.dt.month.tolist()[:4] == [5, 6, 5, 7]
    assert found.reason.tolist()[4] == "no time"
    assert found.time_gap[0] == -pd.Timedelta("15D")
    near = points(cube, table, tolerance_time="2D")
    assert near.reason.tolist() == ["no date near enough"] * 4 + ["no time", ""]
    assert near.red.notna().sum() <= 1
    assert near.cube_time.notna().tolist() == [False] * 5 + [True]


def test_a_window_is_the_mean_of_what_is_known_in_it_and_says_of_how_many(cube):
    table = stations(150)
    found = points(cube, table, window=3)
    loaded = cube.red.compute().values
    metres = table.to_crs("EPSG:32631").geometry
    for at, (place, time) in enumerate(zip(metres, table.time, strict=True)):
        column, row = (int(np.floor(v)) for v in ~LATTICE * (place.x, place.y))
        if not (0 <= row < 300 and 0 <= column < 280):
            assert (np.isnan(found.red[at]), found.red_count[at]) == (True, 0)
            continue
        patch = loaded[DAYS.index(nearest_day(time)), max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert found.red_count[at] == np.isfinite(patch).sum()
        np.testing.assert_allclose(found.red[at], np.nanmean(patch) if np.isfinite(patch).any() else np.nan, rtol=1e-6)


def flat(values: np.ndarray, transform=LATTICE, crs="EPSG:32631") -> xr.DataArray:
    coords = xr_coords(GeoBox(values.shape, transform, crs))
    return xr.DataArray(values, dims=("y", "x"), coords=coords, name="height", attrs={"units": "m"})


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 18.5), st.floats(0.5, 13.5), st.booleans())
def test_linear_is_xarrays_interpolation_between_pixel_centres(column, row, lazy):
    values = np.random.default_rng(0).normal(size=(15, 20))
    field = flat(values)
    x, y = LATTICE * (column, row)
    table = gpd.GeoDataFrame(geometry=[Point(x, y)], crs="EPSG:32631")
    found = points(field.chunk(y=4, x=7) if lazy else field, table, method="linear")
    expected = field.drop_vars("spatial_ref").interp(y=y, x=x).item()
    if np.isfinite(expected):
        np.testing.assert_allclose(found.height, expected, atol=1e-6)
    assert found.attrs["units"] == {"height": "m"}


def test_linear_gives_nothing_beside_a_hole_or_on_the_outer_half_pixel():
    values = np.ones((6, 6))
    values[2, 2] = np.nan
    places = [Point(LATTICE * at) for at in ((2.2, 2.9), (0.2, 3), (4, 4), (3.5, 2.5))]
    found = points(flat(values), gpd.GeoDataFrame(geometry=places, crs="EPSG:32631"), method="linear")
    assert found.reason.tolist() == ["no observation", "edge of the grid", "", ""]
    assert found.inside.all()


def test_tables_in_any_crs_meet_cubes_in_any_crs(folder):
    cube = el.open(scenes(folder / "lambert"), crs="EPSG:2154", resolution=10)
    degrees, lambert = (points(cube, stations(100, crs=crs)) for crs in ("EPSG:4326", "EPSG:2154"))
    assert degrees.crs == "EPSG:4326"
    np.testing.assert_array_equal(degrees.red, lambert.red)
    assert degrees.red.notna().sum() > 50


def test_what_resampling_and_chunks_do_never_depends_on_the_places(folder):
    words = {"crs": "EPSG:2154", "resolution": 15, "resampling": "bilinear"}
    cube = el.open(scenes(folder / "bilinear"), **words, chunks={"time": 1, "y": 90, "x": 70})
    table = stations(60)
    np.testing.assert_array_equal(points(cube, table).red, points(cube.compute(), table).red)


def test_a_long_series_at_one_place_is_every_dates_own_value(tmp_path):
    days = [f"2018-{1 + at // 28:02d}-{1 + at % 28:02d}" for at in range(40)]
    written = {day: np.full((8, 9), at + 1, "uint16") for at, day in enumerate(days)}
    documents = [
        write_scene(tmp_path, day, {"red": values}, time=f"{day}T10:00:00Z") for day, values in written.items()
    ]
    chosen = [at for at in range(40) if at not in {7, 23}][::-1]
    times = pd.to_datetime([f"{days[at]}T12:00Z" for at in chosen], utc=True)
    table = gpd.GeoDataFrame({"time": times}, geometry=[Point(LATTICE * (4.5, 3.5))] * len(chosen), crs="EPSG:32631")
    assert points(el.open(scene_items(documents)), table).red.tolist() == [at + 1 for at in chosen]


def test_names_that_both_have_are_told_apart_and_rows_keep_their_index(cube):
    table = stations(20).rename(columns={"station": "red"}).set_index(np.arange(20) * 3)
    found = points(cube, table)
    assert {"red", "red_cube", "nir"} <= set(found.columns)
    assert found.index.equals(table.index)
    assert found.red.equals(table.red)


def test_rows_without_place_get_no_value_and_the_reason(cube):
    table = stations(3)
    table.loc[1, "geometry"] = None
    assert points(cube, table).reason[1] == "no place"


def test_citation_and_units_of_both_sides_are_kept(cube):
    table = stations(3)
    table.attrs = {"units": {"chl": "mg/m3"}, "citation": "REPHY."}
    found = points(cube[["red"]], table)
    assert found.attrs["units"] == {"chl": "mg/m3", "red": "1"}
    assert found.attrs["citation"].startswith("REPHY.\nCollection essai")


def test_only_the_bytes_around_the_places_are_fetched(tmp_path):
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    scenes(tmp_path, (2048, 2048), options=options)
    with serve_files(tmp_path) as store:
        document = write_scene(tmp_path, "x", {"red": np.ones((2048, 2048), "uint16")})
        document["assets"]["red"]["href"] = f"{store.url}2018-05-05-red.tif"
        table = gpd.GeoDataFrame(geometry=[Point(LATTICE * (1000.5, 1500.5))], crs="EPSG:32631")
        found = points(el.open(scene_items([document])), table)
        sent = sum(stop - start for _, start, stop in store.ranges())
    with rasterio.open(tmp_path / "2018-05-05-red.tif") as source:
        assert found.red[0] == source.read(1, window=((1500, 1501), (1000, 1001)))[0, 0]
    assert sent < 1_000_000


def test_a_strict_cube_stays_strict(tmp_path):
    cube = el.open(scenes(tmp_path), strict=True)
    (tmp_path / "2018-05-05-red.tif").unlink()
    table = stations(20)
    table["time"] = pd.Timestamp("2018-05-05", tz="UTC")
    with pytest.raises(ReadFault, match=r"Item '2018-05-05', band 'red'"):
        points(cube, table)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"method": "cubic"}, "method: found 'cubic'"),
        ({"window": 2}, "window: found 2, expected an odd number"),
        ({"window": 3, "method": "linear"}, "exclude each other"),
        ({"tolerance_time": "soon"}, "tolerance_time: found 'soon'"),
        ({"tolerance_time": "-3D"}, "is not negative"),
    ],
)
def test_words_that_make_no_sense_are_refused(cube, words, message):
    with pytest.raises(BadRequest, match=message):
        points(cube, stations(2), **words)


def test_tables_and_cubes_that_cannot_meet_are_refused(cube):
    table = stations(2)
    with pytest.raises(BadRequest, match="GeoDataFrame without CRS"):
        points(cube, table.set_crs(None, allow_override=True))
    with pytest.raises(BadRequest, match="found DataFrame, expected"):
        points(cube, pd.DataFrame(table.drop(columns="geometry")))
    with pytest.raises(BadRequest, match="holds Polygon, expected points"):
        points(cube, table.set_geometry([box(0, 0, 1, 1)] * 2))
    with pytest.raises(BadRequest, match="3 dates and the table no column 'time'"):
        points(cube, table.drop(columns="time"))
    with pytest.raises(BadRequest, match="the cube has no grid"):
        points(xr.Dataset({"a": ("y", [1.0])}), table)
    with pytest.raises(BadRequest, match="no variable with axes y and x"):
        points(cube[["red"]].drop_vars("red"), table)
    with pytest.raises(BadRequest, match="Select along the others"):
        points(cube.expand_dims(depth=2), table)


def test_an_empty_table_stays_empty(cube):
    found = points(cube, stations(3)[:0])
    assert len(found) == 0
    assert {"red", "reason"} <= set(found.columns)


def test_a_cube_turned_upside_down_gives_the_same(cube):
    loaded = cube.compute()
    table = stations(50)
    np.testing.assert_array_equal(points(loaded.isel(y=slice(None, None, -1)), table).red, points(loaded, table).red)


@pytest.mark.parametrize(("start", "turn"), [(178.0, 0), (178.0, 360), (-182.0, -360), (-182.0, 0)])
def test_places_on_both_sides_of_the_antimeridian_are_found(start, turn):
    values = np.arange(1600, dtype="float32").reshape(40, 40)
    grid = GeoBox((40, 40), Affine(0.1, 0, start, 0, -0.1, 2), "EPSG:4326")
    cube = xr.Dataset({"a": (("latitude", "longitude"), values)}, xr_coords(grid))
    rows, columns = np.indices(values.shape)
    x, y = start + 0.1 * (columns.ravel() + 0.5), 2 - 0.1 * (rows.ravel() + 0.5)
    table = gpd.GeoDataFrame(geometry=gpd.points_from_xy((x + 180) % 360 - 180 + turn, y, crs="EPSG:4326"))
    np.testing.assert_array_equal(points(cube, table).a, values.ravel())


def test_times_that_are_none_are_refused_with_one_of_them(cube):
    table = gpd.GeoDataFrame({"time": ["soon"]}, geometry=[Point(300_100, 4_899_000)], crs="EPSG:32631")
    with pytest.raises(BadRequest, match=r"'time' holds no dates .*soon"):
        points(cube, table)


def test_a_window_may_be_a_number_of_numpy(cube):
    table = gpd.GeoDataFrame(
        {"time": pd.to_datetime(["2018-05-05"])}, geometry=[Point(300_100, 4_899_000)], crs="EPSG:32631"
    )
    assert points(cube, table, window=np.int64(3)).red[0] == points(cube, table, window=3).red[0]
