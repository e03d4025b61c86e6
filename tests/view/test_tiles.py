"""Tiles: where they lie, which pixel each of theirs is, and what is transparent."""

import matplotlib as mpl
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.vrt import WarpedVRT

import earthlab as el
from earthlab.errors import AskLess, BadRequest, ReadFault
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_raster, write_scene
from earthlab.view.bands import open_bands
from earthlab.view.pixels import Cut, PlanPixels
from earthlab.view.tiles import Style, Tile, choose_stretch, render_nothing, render_tile
from tests.view.drawn import HALF_TURN, PLACES, expected_tile, lattice, layer, picture, tile_over


@given(st.integers(0, 24).flatmap(lambda z: st.tuples(st.just(z), *[st.integers(0, 2**z - 1)] * 2)))
def test_a_tile_lies_where_the_tile_matrix_set_says(place):
    z, x, y = place
    side = 2 * HALF_TURN / 2**z
    box = Tile(z, x, y).geobox.boundingbox
    expected = (x * side - HALF_TURN, HALF_TURN - (y + 1) * side, (x + 1) * side - HALF_TURN, HALF_TURN - y * side)
    np.testing.assert_allclose(box.bbox, expected, rtol=0, atol=1e-6)
    assert Tile(z, x, y).geobox.shape == (256, 256)
    assert str(Tile(z, x, y).geobox.crs) == "EPSG:3857"


@pytest.mark.parametrize("place", [(25, 0, 0), (-1, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0), (0, 0, 1)])
def test_tiles_that_are_not_there_are_refused(place):
    with pytest.raises(BadRequest, match=r"tile: .*(0 to 24 are there|go from 0 to)"):
        Tile(*place)


def test_a_style_is_read_from_the_words_of_an_address():
    assert Style.parse({"colormap": "magma", "low": "-0.5", "high": "1e3"}) == Style("magma", -0.5, 1000.0)
    assert Style.parse({"colormap": "", "low": ""}) == Style()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"colormap": "viridi"}, "Nearest: viridis"),
        ({"low": "un"}, "low: found 'un'"),
        ({"low": "nan"}, "expected numbers, low below high"),
        ({"high": "inf"}, "expected numbers, low below high"),
        ({"low": "2", "high": "1"}, "expected numbers, low below high"),
    ],
)
def test_styles_that_mean_nothing_are_refused(words, why):
    with pytest.raises(BadRequest, match=why):
        Style.parse(words)


@pytest.mark.parametrize("crs", PLACES)
@pytest.mark.parametrize("zoom", [12, 14, 17])
def test_each_pixel_is_the_nearest_of_the_array(crs, zoom):
    array = layer(np.random.default_rng(1).random((700, 600), "float32"), crs)
    for across in (0.02, 0.5, 0.98):
        tile = tile_over(array, zoom, across=across)
        found = open_bands(array).on_grid(0, tile.cut)
        truth, sure = expected_tile(array, tile)
        assert found.shape == (1, 256, 256)
        np.testing.assert_array_equal(found[0][sure], truth[sure].astype("float32"))
        assert sure.mean() > 0.97


@pytest.mark.parametrize("crs", PLACES)
def test_gdal_warps_to_the_same_pixels(crs, tmp_path):
    array = layer(np.random.default_rng(2).random((700, 600), "float32"), crs)
    tile = tile_over(array, 14)
    file = write_raster(tmp_path / "a.tif", RasterFile(array.values, lattice(crs), crs, nodata=np.nan))
    grid = {"crs": "EPSG:3857", "transform": tile.geobox.transform, "width": 256, "height": 256}
    with rasterio.open(file) as source, WarpedVRT(source, **grid, tolerance=1e-4) as warped:
        truth = warped.read(1)
    found = open_bands(array).on_grid(0, tile.cut)[0]
    _, sure = expected_tile(array, tile)
    np.testing.assert_array_equal(found[sure], truth[sure])


def test_from_afar_each_pixel_is_of_its_own_place():
    rows, columns = np.mgrid[:3000, :2500]
    array = layer((rows * 10_000.0 + columns).astype("float64"))
    tile = tile_over(array, 9)
    found = open_bands(array).on_grid(0, tile.cut)[0]
    truth, _ = expected_tile(array, tile)
    both = np.isfinite(found) & np.isfinite(truth)
    pixels = 2 * HALF_TURN / 2**9 / 256 / 10
    assert both.sum() > 5000
    assert (np.isfinite(found) != np.isfinite(truth)).sum() < 400
    assert np.abs(found[both] // 10_000 - truth[both] // 10_000).max() < pixels
    assert np.abs(found[both] % 10_000 - truth[both] % 10_000).max() < pixels


def test_tiles_side_by_side_are_one_picture():
    array = layer(np.random.default_rng(3).random((900, 900), "float32"))
    tile = tile_over(array, 14)
    grid, (top, left) = tile.cut.whole, (tile.cut.rows.start, tile.cut.columns.start)
    assert top + 512 <= 4096
    assert left + 512 <= 4096
    whole = open_bands(array).on_grid(0, Cut(grid, slice(top, top + 512), slice(left, left + 512)))
    for down in (0, 1):
        for across in (0, 1):
            part = open_bands(array).on_grid(0, Tile(tile.z, tile.x + across, tile.y + down).cut)
            beside = whole[:, down * 256 : down * 256 + 256, across * 256 : across * 256 + 256]
            np.testing.assert_array_equal(part, beside)


def test_what_was_not_observed_is_transparent_and_so_is_what_lies_outside():
    values = np.full((600, 600), 0.5, "float32")
    values[:, 300:] = np.nan
    array = layer(values)
    tile = tile_over(array, 13)
    truth, sure = expected_tile(array, tile)
    drawn = picture(render_tile(open_bands(array), tile, Style("viridis", 0, 1)))
    np.testing.assert_array_equal(drawn[..., 3][sure] == 255, np.isfinite(truth)[sure])
    seen = sure & np.isfinite(truth)
    assert (drawn[seen] == mpl.colormaps["viridis"](0.5, bytes=True)).all()
    assert 0 < np.isfinite(truth).mean() < 0.6


def test_integers_have_their_nodata_transparent():
    values = np.full((400, 400), 7, "int16")
    values[:200] = -99
    array = layer(values, nodata=-99)
    truth, sure = expected_tile(array, tile := tile_over(array, 14))
    found = open_bands(array).on_grid(0, tile.cut)[0]
    np.testing.assert_array_equal(np.isfinite(found[sure]), truth[sure] == 7)


def test_a_tile_without_anything_is_always_the_same():
    array = layer(np.ones((50, 50)))
    away = render_tile(open_bands(array), Tile(10, 5, 5), Style(low=0, high=1))
    empty = layer(np.full((50, 50), np.nan))
    assert away == render_nothing() == render_tile(open_bands(empty), tile_over(empty, 12))
    assert (picture(away)[..., 3] == 0).all()
    assert picture(away).shape == (256, 256, 4)


def test_three_bands_are_red_green_and_blue():
    shades = {
        name: layer(np.full((400, 400), value), name=name) for name, value in zip("abc", (0.0, 0.5, 1.0), strict=True)
    }
    cube = next(iter(shades.values())).to_dataset(name="a").assign(shades)
    tile = tile_over(shades["a"], 15)
    drawn = picture(render_tile(open_bands(cube, ["a", "b", "c"]), tile, Style(low=0, high=1)))
    assert (drawn == (0, 128, 255, 255)).all()
    with pytest.raises(BadRequest, match="2 bands were named, expected one, or three"):
        render_tile(open_bands(cube, ["a", "b"]), tile)


def test_the_colours_of_a_step_are_the_same_on_all_its_tiles():
    array = layer(np.linspace(0, 100, 500 * 500).reshape(500, 500))
    chosen = choose_stretch(open_bands(array), 0, Style())
    assert chosen.low == pytest.approx(2, abs=0.5)
    assert chosen.high == pytest.approx(98, abs=0.5)
    tile = tile_over(array, 15, down=0.1)
    named = Style(low=chosen.low, high=chosen.high)
    assert render_tile(open_bands(array), tile) == render_tile(open_bands(array), tile, named)


def test_a_step_is_drawn_by_its_place():
    steps = layer(np.stack([np.zeros((300, 300)), np.ones((300, 300))]), dates=["2018-07-01", "2018-08-01"])
    tile = tile_over(steps, 15)
    first, last = (
        picture(render_tile(open_bands(steps), tile, Style("gray", 0, 1), step=step))[..., 0] for step in (0, -1)
    )
    assert (first == 0).all()
    assert (last == 255).all()


def date(folder, at, red, *, clear=None, **words):
    """A constructed date of red, and of classes of which 4 is clear."""
    clear = np.full(red.shape, 4, "uint8") if clear is None else clear
    bands = {
        "red": SceneBand(RasterFile(red, nodata=0, overviews=(2, 4), **words), "red", scale=1e-4),
        "SCL": SceneBand(RasterFile(clear, overviews=(2, 4), **words)),
    }
    return write_scene(folder, f"date-{at}", bands, time=f"2018-07-0{at}T10:50:00Z", collection="sentinel-2-l2a")


def noisy(seed, shape=(1100, 1000)):
    red = np.random.default_rng(seed).integers(1, 9000, shape).astype("uint16")
    red[:100] = 0
    return red


@pytest.mark.parametrize("crs", PLACES)
def test_a_band_read_from_its_files_is_what_the_cube_computes(bare_environment, tmp_path, crs):
    cloudy = np.where(np.random.default_rng(5).random((1100, 1000)) > 0.7, 9, 4).astype("uint8")
    place = {"transform": lattice(crs), "crs": crs}
    cube = el.open(scene_items([date(tmp_path, at, noisy(at), clear=cloudy, **place) for at in (1, 2)]), bands=["red"])
    assert isinstance(open_bands(cube).parts[0], PlanPixels)
    computed = cube.compute()
    for zoom in (14, 16):
        for step in (0, 1):
            tile = tile_over(cube.red, zoom, down=0.1)
            read = open_bands(cube).on_grid(step, tile.cut)
            np.testing.assert_array_equal(read, open_bands(computed).on_grid(step, tile.cut))
            assert 0.05 < np.isfinite(read).mean() < 0.95


def test_items_lie_over_each_other_as_in_the_cube(bare_environment, tmp_path):
    left, right = noisy(1), noisy(2)
    left[:, 500:] = 0
    items = scene_items([date(tmp_path, 1, left), date(tmp_path / "b", 1, right)])
    cube = el.open(items, bands=["red"])
    assert len(cube.time) == 1
    tile = tile_over(cube.red, 14)
    read = open_bands(cube).on_grid(0, tile.cut)
    np.testing.assert_array_equal(read, open_bands(cube.compute()).on_grid(0, tile.cut))


def test_from_afar_overviews_are_read(bare_environment, tmp_path):
    board = np.indices((2048, 2048)).sum(axis=0) % 2 * 2000 + 1000
    cube = el.open(scene_items([date(tmp_path, 1, board.astype("uint16"))]), bands=["red"])
    near, far = (open_bands(cube).on_grid(0, tile_over(cube.red, zoom).cut) for zoom in (15, 11))
    np.testing.assert_allclose(np.unique(near[np.isfinite(near)]), [0.1, 0.3], atol=1e-6)
    np.testing.assert_allclose(np.unique(far[np.isfinite(far)]), [0.2], atol=1e-6)


def test_a_part_of_a_cube_shows_no_more_than_its_part(bare_environment, tmp_path):
    cube = el.open(scene_items([date(tmp_path, at, noisy(at)) for at in (1, 2)]), bands=["red"])
    part = cube.isel(x=slice(300, 420), y=slice(500, 640)).sel(time="2018-07-02")
    assert isinstance(open_bands(part).parts[0], PlanPixels)
    for zoom in (12, 14):
        tile = tile_over(part.red, zoom)
        read = open_bands(part).on_grid(0, tile.cut)
        np.testing.assert_array_equal(np.isfinite(read), np.isfinite(open_bands(part.compute()).on_grid(0, tile.cut)))
    near = tile_over(part.red, 15)
    computed = open_bands(part.compute()).on_grid(0, near.cut)
    np.testing.assert_array_equal(open_bands(part).on_grid(0, near.cut), computed)


def test_a_file_that_is_gone_is_a_refusal_and_no_picture(bare_environment, tmp_path):
    cube = el.open(scene_items([date(tmp_path, 1, noisy(1))]), bands=["red"])
    (tmp_path / "date-1-red.tif").unlink()
    with pytest.raises(ReadFault, match=r"Item 'date-1', band 'red'.*date-1-red.tif"):
        render_tile(open_bands(cube), tile_over(cube.red, 14), Style(low=0, high=1))


def test_a_picture_warns_of_nothing_and_enters_nothing(bare_environment, tmp_path):
    cube = el.open(scene_items([date(tmp_path, 1, np.full((500, 500), 60_000, "uint16"))]), bands=["red"])
    assert render_tile(open_bands(cube), tile_over(cube.red, 14), Style(low=0, high=1)) != render_nothing()
    assert len(cube.earthlab.faults) == 0


def test_too_many_items_at_once_are_refused(bare_environment, tmp_path, monkeypatch):
    monkeypatch.setattr("earthlab.view.pixels.MOST_LAYERS", 1)
    cube = el.open(scene_items([date(tmp_path, 1, noisy(1)), date(tmp_path / "b", 1, noisy(2))]), bands=["red"])
    with pytest.raises(AskLess, match=r"2 items of one date lie here, at most 1 are drawn at once\. Zoom in"):
        render_tile(open_bands(cube), tile_over(cube.red, 14))
