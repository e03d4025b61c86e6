"""Variables as bands: which way to their values, what their steps are called, where a place is."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

import earthlab as el
from earthlab.cube import PLAN_ATTRIBUTE
from earthlab.errors import BadRequest, NothingFound
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from earthlab.view.bands import find_grid, label_steps, open_bands, unrolled
from earthlab.view.live import list_layers
from earthlab.view.pixels import LazyPixels, PlanPixels, SharedPixels, SlicedPixels
from tests.view.drawn import layer, tile_over


@pytest.fixture
def cube(bare_environment, tmp_path):
    rng = np.random.default_rng(0)
    dates = [
        write_scene(
            tmp_path,
            f"d{at}",
            {name: rng.integers(1, 200, (300, 280)).astype("uint8") for name in ("red", "nir")},
            time=f"2018-07-0{at}T10:00:00Z",
        )
        for at in (1, 2, 3)
    ]
    return el.open(scene_items(dates))


def way(variable, *names):
    return [type(part) for part in open_bands(variable, names).parts]


def test_bands_of_a_plan_are_read_from_their_files_together(cube):
    (part,) = open_bands(cube, ["red", "nir"]).parts
    assert isinstance(part, PlanPixels)
    assert part.bands == (cube.earthlab.plan.bands.index("red"), cube.earthlab.plan.bands.index("nir"))


@pytest.mark.parametrize(
    "part",
    [
        lambda cube: cube,
        lambda cube: cube.isel(time=1),
        lambda cube: cube.isel(time=[2, 0]),
        lambda cube: cube.sel(time=slice("2018-07-02", None)).isel(x=slice(10, 200), y=slice(5, 60)),
        lambda cube: cube.chunk(x=100),
    ],
)
def test_a_part_of_a_cube_is_still_its_plan_and_has_its_own_steps(cube, part):
    found = part(cube)
    assert way(found, "red") == way(found.red) == [PlanPixels]
    bands, computed = open_bands(found, ["red"]), open_bands(found.compute(), ["red"])
    everything = [slice(0, length) for length in (len(bands.labels), *bands.grid.shape)]
    np.testing.assert_array_equal(bands.within(*everything), computed.within(*everything))


@pytest.mark.parametrize(
    "change",
    [
        lambda cube: cube * 1,
        lambda cube: cube.where(cube.red > 10),
        lambda cube: cube.fillna(0),
        lambda cube: cube.isel(x=slice(None, None, 2)),
        lambda cube: cube.isel(x=slice(None, None, -1)),
        lambda cube: cube.assign_coords(x=cube.x + 10),
        lambda cube: cube.assign_coords(x=cube.x + 3),
        lambda cube: cube.assign_coords(time=cube.time + np.timedelta64(1, "D")),
        lambda cube: cube.rename(time="when"),
    ],
)
def test_what_was_made_of_a_cube_is_computed_whatever_its_attributes_say(cube, change):
    changed = change(cube).assign_attrs({PLAN_ATTRIBUTE: cube.attrs[PLAN_ATTRIBUTE]})
    assert way(changed, "red") == [LazyPixels]
    tile = tile_over(changed.red, 15)
    read, computed = (open_bands(each, ["red"]).on_grid(-1, tile.cut) for each in (changed, changed.compute()))
    np.testing.assert_array_equal(read, computed)


def test_two_bands_of_one_name_in_turn_are_not_each_other(cube):
    swapped = cube.assign(red=cube.nir, nir=cube.red)
    tile = tile_over(cube.red, 15)
    read = open_bands(swapped, ["red"]).on_grid(0, tile.cut)
    np.testing.assert_array_equal(read, open_bands(cube.compute(), ["nir"]).on_grid(0, tile.cut))


def test_what_is_in_memory_is_sliced(cube):
    assert way(cube.compute(), "red", "nir") == [SlicedPixels, SlicedPixels]
    assert way(cube.persist(scheduler="sync"), "red") == [LazyPixels]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", str(tmp_path / "cubes"))


def test_a_shared_cube_comes_from_its_store_and_a_small_one_from_afar_from_its_plan(cube, store, tmp_path):
    shared = el.open(cube.earthlab.plan, share=True)
    assert way(shared, "red") == way(shared.red) == [SharedPixels]
    near, far = (tile_over(cube.red, zoom).cut for zoom in (15, 10))
    for variable, cut in ((shared, near), (shared.red, near), (shared, far)):
        read = open_bands(variable, ["red"]).on_grid(1, cut)
        np.testing.assert_array_equal(read, open_bands(cube, ["red"]).on_grid(1, cut))
    everything = (slice(0, 3), slice(0, 300), slice(0, 280))
    np.testing.assert_array_equal(open_bands(shared.red).within(*everything)[0], shared.red.values)
    (tmp_path / "d2-red.tif").unlink()
    outlived = open_bands(shared, ["red"]).on_grid(1, far)
    assert np.isfinite(outlived).any()


def test_a_large_shared_cube_comes_from_afar_from_its_overviews(bare_environment, store, tmp_path):
    board = (np.indices((1200, 1100)).sum(axis=0) % 2 * 100 + 50).astype("uint8")
    band = SceneBand(RasterFile(board), "red", scale=0.01)
    shared = el.open(scene_items([write_scene(tmp_path, "d", {"red": band})]), share=True)
    (tmp_path / "d-red.tif").unlink()
    for variable in (shared, shared.red):
        near, far = (open_bands(variable).on_grid(0, tile_over(shared.red, zoom).cut) for zoom in (15, 12))
        np.testing.assert_allclose(np.unique(near[np.isfinite(near)]), [0.5, 1.5])
        np.testing.assert_allclose(np.unique(far[np.isfinite(far)]), [1.0])


def test_a_zarr_of_ones_own_is_sliced_too(tmp_path):
    array = layer(np.random.default_rng(0).random((3, 200, 150)), dates=["2018-07-01", "2018-07-02", "2018-07-03"])
    array.chunk(x=50).to_dataset(name="v").drop_encoding().to_zarr(tmp_path / "a.zarr", consolidated=False)
    stored = xr.open_zarr(tmp_path / "a.zarr", consolidated=False).set_coords("spatial_ref")
    assert way(stored, "v") == [SlicedPixels]
    tile = tile_over(array, 15)
    read, truth = (open_bands(each).on_grid(1, tile.cut) for each in (stored, array))
    np.testing.assert_array_equal(read, truth)


def test_what_lies_in_a_file_is_read_only_where_it_is_looked_at(tmp_path):
    array = layer(np.random.default_rng(0).random((3, 200, 150)), dates=["2018-07-01", "2018-07-02", "2018-07-03"])
    array.to_dataset(name="v").drop_encoding().to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", decode_coords="all", cache=False) as opened:
        assert way(opened, "v") == [SlicedPixels]
        assert [each["name"] for each in list_layers({"opened": opened})] == ["opened"]
        tile = tile_over(array, 15)
        read, truth = (open_bands(each).on_grid(1, tile.cut) for each in (opened, array))
        np.testing.assert_array_equal(read, truth)
        parts = (slice(0, 3), slice(4, 5), slice(6, 7))
        np.testing.assert_array_equal(open_bands(opened).within(*parts), open_bands(array).within(*parts))
        assert not opened.v.variable._in_memory


def test_steps_are_called_by_their_times_their_words_or_their_place():
    dates = layer(np.zeros((2, 5, 5)), dates=["2018-07-01T10:00", "2018-07-01T10:00"])
    assert label_steps(dates, "time") == ("2018-07-01T10:00:00", "2018-07-01T10:00:00 (2)")
    assert label_steps(dates.rename(time="m").assign_coords(m=["jan", "fév"]), "m") == ("jan", "fév")
    assert label_steps(dates.drop_vars("time"), "time") == ("0", "1")
    assert label_steps(dates[0], None) == ("",)


def test_a_step_is_found_by_what_it_is_called():
    bands = open_bands(layer(np.zeros((2, 5, 5)), dates=["2018-07-01", "2018-07-02"]))
    assert bands.find_step(None) == 1
    assert bands.find_step("2018-07-01T00:00:00") == 0
    with pytest.raises(BadRequest, match=r"time: no step is called '2018-07-03'. Nearest: 2018-07-0"):
        bands.find_step("2018-07-03")
    with pytest.raises(BadRequest, match="There are no steps, as '2018'"):
        open_bands(layer(np.zeros((5, 5)))).find_step("2018")


@given(st.integers(0, 39), st.integers(0, 29))
def test_the_pixel_of_a_place_is_the_one_whose_square_has_it(row, column):
    array = layer(np.zeros((40, 30)), "EPSG:2154")
    x, y = array.odc.geobox.transform @ (column + 0.5, row + 0.5)
    place = Transformer.from_crs("EPSG:2154", "EPSG:4326", always_xy=True).transform(x, y)
    assert open_bands(array).find_pixel(*place) == (row, column)


def test_a_place_outside_is_said_to_be_outside():
    with pytest.raises(NothingFound, match=r"10.00000, 10.00000 \(longitude, latitude\) is outside of essai"):
        open_bands(layer(np.zeros((5, 5)))).find_pixel(10, 10)


def test_longitudes_go_round():
    from affine import Affine
    from odc.geo.geobox import GeoBox

    pacific = GeoBox((10, 360), Affine(1, 0, 0, 0, -1, 5), "EPSG:4326")
    assert unrolled(-150.0, pacific) == 210.0
    assert unrolled(150.0, pacific) == 150.0


@pytest.mark.parametrize(
    ("made", "names", "why"),
    [
        (lambda a: a.to_dataset(name="v").assign(w=a), (), r"band: there are several. Say which: Known: v, w"),
        (lambda a: a.to_dataset(name="v"), ("x",), "band: found 'x'"),
        (lambda a: a, ("rouge",), "this array is one band"),
        (lambda a: a.expand_dims(level=2), (), "at most one axis more were expected"),
        (lambda a: a.drop_vars("spatial_ref").drop_attrs(), (), "a CRS and at most one axis"),
        (lambda a: a.astype("complex64"), (), "holds complex64; numbers were expected"),
        (lambda a: a[:, :0], (), "rows, columns, a CRS"),
        (lambda a: a.to_dataset(name="v").assign(w=a[0]), ("v", "w"), "lie on two grids"),
    ],
)
def test_what_cannot_be_drawn_is_refused(made, names, why):
    array = layer(np.zeros((2, 20, 20)), dates=["2018-07-01", "2018-07-02"])
    with pytest.raises(BadRequest, match=why):
        open_bands(made(array), names)


def test_what_has_no_place_has_no_grid():
    assert find_grid(xr.DataArray(np.zeros((3, 3)), dims=("a", "b"))) is None
    assert find_grid(layer(np.zeros((3, 3))).astype("datetime64[ns]")) is None


def test_numbers_of_any_kind_are_drawn():
    for kind in ("bool", "int8", "uint64", "float16", "float64"):
        array = layer(np.ones((50, 50), kind))
        assert (open_bands(array).on_grid(0, tile_over(array, 18).cut) == 1).all()
