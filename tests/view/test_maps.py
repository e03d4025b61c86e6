"""Maps: the right colours at the right place, and what they refuse."""

import base64
import io

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import odc.geo.xr
import pandas as pd
import pytest
import shapely
import xarray as xr
from affine import Affine
from ipyleaflet import GeoJSON, ImageOverlay, TileLayer, WidgetControl
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from PIL import Image

from earthlab.errors import BadRequest
from earthlab.testing.rasters import LATTICE
from earthlab.view import show
from earthlab.view.colours import Stretch, paint, render_png, resolve_stretch


def pixels(uri: str) -> np.ndarray:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGBA"))


def layer(values, *, dates=None, crs="EPSG:32631", **attrs) -> xr.DataArray:
    values = np.asarray(values, "float32")
    geobox = GeoBox(values.shape[-2:], LATTICE, crs)
    coords = {**xr_coords(geobox), **({"time": pd.to_datetime(dates)} if dates else {})}
    dims = ("time", "y", "x") if dates else ("y", "x")
    return xr.DataArray(values, coords, dims, "ndvi", {"grid_mapping": "spatial_ref", **attrs})


def overlay(drawn) -> ImageOverlay:
    (found,) = [each for each in drawn.layers if isinstance(each, ImageOverlay)]
    return found


def legend(drawn) -> str:
    (found,) = [each.widget.value for each in drawn.controls if isinstance(each, WidgetControl)]
    return found


def test_a_png_has_the_colours_of_the_map_and_is_clear_where_nothing_was_seen():
    drawn = pixels(render_png(paint(np.array([[0.0, 0.5], [1.0, np.nan]], "float32"), Stretch(0, 1), "viridis")))
    for at, value in (((0, 0), 0.0), ((0, 1), 0.5), ((1, 0), 1.0)):
        np.testing.assert_array_equal(drawn[at], mpl.colormaps["viridis"](value, bytes=True))
    assert drawn[1, 1, 3] == 0


def test_natural_colours_are_stretched_and_clear_where_any_band_is_missing():
    values = np.array([[[0.0, 1.0, 2.0]], [[0.5, 0.0, -1.0]], [[1.0, np.nan, 0.5]]], "float32")
    drawn = pixels(render_png(paint(values, Stretch(0, 1), None)))
    assert drawn[0, 0].tolist() == [0, 128, 255, 255]
    assert drawn[0, 1, 3] == 0
    assert drawn[0, 2].tolist() == [255, 0, 128, 255]


def test_the_stretch_is_the_2nd_and_98th_percentile_or_as_given():
    values = np.append(np.arange(101.0), np.nan)
    assert resolve_stretch(values) == Stretch(2, 98)
    assert resolve_stretch(values, low=0) == Stretch(0, 98)
    assert resolve_stretch(np.full(3, 7.0)).high > 7
    with pytest.raises(BadRequest, match="vmin=2 is above vmax=1"):
        resolve_stretch(values, 2, 1)
    with pytest.raises(BadRequest, match="every pixel is without observation"):
        resolve_stretch(np.full(3, np.nan))


def test_a_picture_without_observation_is_refused_with_its_ends_given_too():
    with pytest.raises(BadRequest, match="every pixel is without observation"):
        show(layer(np.full((8, 8), np.nan)), vmin=0, vmax=1)


def test_the_picture_lies_where_the_layer_does():
    wide = layer(np.random.default_rng(0).random((300, 400)))
    drawn = overlay(show(wide))
    image = pixels(drawn.url)
    (south, west), (north, east) = drawn.bounds
    truth = wide.odc.geobox.to_crs("EPSG:3857").geographic_extent.boundingbox
    one = 10 / 70_000
    assert np.abs(np.array([south, west, north, east]) - [truth.bottom, truth.left, truth.top, truth.right]).max() < one
    assert 0.8 < (image[..., 3] > 0).mean() <= 1


def test_a_pixel_is_found_again_at_its_own_place():
    values = np.zeros((200, 200))
    values[40:44, 150:154] = 1
    drawn = overlay(show(layer(values), vmin=0, vmax=1, colormap="gray"))
    (south, west), (north, east) = drawn.bounds
    image = pixels(drawn.url)
    rows, columns = np.nonzero((image[..., 0] > 200) & (image[..., 3] > 0))
    lon = west + (columns.mean() + 0.5) / image.shape[1] * (east - west)
    lat = north - (rows.mean() + 0.5) / image.shape[0] * (north - south)
    spot = odc.geo.geom.point(*(LATTICE * (152, 42)), "EPSG:32631").to_crs("EPSG:4326").coords[0]
    assert abs(lon - spot[0]) < 20 / 70_000
    assert abs(lat - spot[1]) < 20 / 110_000


def test_a_large_layer_is_sent_at_the_size_of_the_screen():
    assert max(pixels(overlay(show(layer(np.ones((3000, 5000)), crs="EPSG:32631"))).url).shape) <= 1024


def test_no_outside_map_is_loaded():
    assert not [each for each in show(layer(np.eye(8))).layers if isinstance(each, TileLayer)]


def test_a_date_is_chosen_by_place_or_by_text():
    dates = layer(np.stack([np.zeros((8, 8)), np.ones((8, 8))]), dates=["2018-06-15", "2018-07-15"])
    assert "2018-07-15" in legend(show(dates))
    assert "2018-06-15" in legend(show(dates, time=0))
    assert "2018-06-15" in legend(show(dates, time="2018-06"))
    for wrong in (5, "hier"):
        with pytest.raises(BadRequest, match="is not a date of the layer"):
            show(dates, time=wrong)


def test_a_simulated_layer_says_so_also_as_a_single_band():
    band = layer(np.eye(8), comment="DONNÉES SIMULÉES – aucune observation")
    assert "SIMULÉ" in legend(show(band))
    assert "SIMULÉ" in legend(show(xr.Dataset({"red": band})))
    assert "SIMULÉ" not in legend(show(layer(np.eye(8))))


def test_the_legend_has_units_and_escapes_names():
    drawn = legend(show(layer(np.eye(8), units="m<2", long_name="<b>x</b>")))
    assert "m&lt;2" in drawn
    assert "<b>x</b>" not in drawn


def test_three_bands_are_natural_colours():
    cube = xr.Dataset({name: layer(np.full((8, 8), v)) for name, v in (("red", 1), ("green", 0), ("blue", 0))})
    image = pixels(overlay(show(cube, vmin=0, vmax=1)).url)
    assert image[image[..., 3] > 0][:, :3].tolist()[0] == [255, 0, 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_a_layer_of_one_row_or_column_can_be_shown(shape):
    assert overlay(show(layer(np.ones(shape))))


@pytest.mark.parametrize(
    ("subject", "words", "message"),
    [
        (xr.Dataset({"a": layer(np.eye(4)), "b": layer(np.eye(4))}), {}, "band: found None"),
        (xr.Dataset({"ndvi": layer(np.eye(4))}), {"band": "ndvy"}, "Nearest: ndvi"),
        (layer(np.eye(4)), {"colormap": "viridos"}, "Nearest: viridis"),
        (layer(np.full((4, 4), np.nan)), {}, "nothing to show"),
        (xr.DataArray(np.eye(4), dims=("y", "x")), {}, "no y, x and CRS"),
        (xr.DataArray(np.ones(4), dims="t"), {}, "no y, x and CRS"),
        (layer(np.eye(4)).expand_dims(depth=2), {}, "no axis depth"),
    ],
)
def test_a_layer_that_has_no_picture_is_refused(subject, words, message):
    with pytest.raises(BadRequest, match=message):
        show(subject, **words)


def test_affine_is_the_lattice_of_the_scenes():
    assert Affine(10, 0, 300_000, 0, -10, 4_900_000) == LATTICE


def places(**columns) -> gpd.GeoDataFrame:
    points = shapely.points([[1.0, 43.0], [1.1, 43.1], [1.2, 43.05]])
    return gpd.GeoDataFrame(columns, geometry=points, crs="EPSG:4326")


def features(drawn) -> list[dict]:
    (found,) = [each for each in drawn.layers if isinstance(each, GeoJSON)]
    return found.data["features"]


def test_rows_of_a_table_are_coloured_by_their_numbers():
    table = places(height=[0.0, 1.0, np.nan])
    table.attrs["units"] = {"height": "m"}
    drawn = show(table, column="height", vmin=0, vmax=1, colormap="gray", title="Hauteur / height")
    assert [each["properties"]["style"]["color"] for each in features(drawn)] == ["#000000", "#ffffff", "#BBBBBB"]
    assert "1 m" in legend(drawn)


def test_names_have_a_colour_each_and_stand_in_the_legend():
    drawn = show(places(kind=["plage", "dune", "<b>"]), column="kind")
    assert len({each["properties"]["style"]["color"] for each in features(drawn)}) == 3
    assert "plage" in legend(drawn)
    assert "<b>&" not in legend(drawn)
    assert "&lt;b&gt;" in legend(drawn)


def test_places_in_metres_lie_where_they_are():
    drawn = show(places().to_crs("EPSG:2154"))
    np.testing.assert_allclose(features(drawn)[1]["geometry"]["coordinates"], [1.1, 43.1], atol=1e-6)


def test_a_table_lies_over_a_layer_on_the_same_map():
    below = show(layer(np.eye(8), long_name="NDVI"))
    assert show(places(), over=below, title="stations") is below
    assert len(below.layers) == 2
    assert [each.caption for each in below.drawn] == ["NDVI", "stations"]


def test_a_map_is_also_a_picture_and_a_line_of_text():
    drawn = show(layer(np.eye(8), long_name="NDVI", units="1"))
    show(places(kind=["a", "b", "a"]), column="kind", over=drawn)
    bundle = drawn._repr_mimebundle_()
    assert bundle["text/plain"] == "Carte / map · NDVI · 0 … 1 1\nCarte / map · kind · 3 · a, b"
    image = Image.open(io.BytesIO(bundle["image/png"]))
    assert image.size[0] > 600
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_natural_colours_and_areas_have_a_picture_too():
    cube = xr.Dataset({name: layer(np.full((8, 8), v)) for name, v in (("red", 1), ("green", 0), ("blue", 0))})
    assert Image.open(io.BytesIO(show(cube, vmin=0, vmax=1)._repr_mimebundle_()["image/png"]))
    areas = places(rate=[1.0, 2.0, 3.0]).to_crs(2154)
    areas.geometry = areas.buffer(1000)
    assert Image.open(io.BytesIO(show(areas, column="rate")._repr_mimebundle_()["image/png"]))


@pytest.mark.parametrize(
    ("table", "words", "message"),
    [
        (places().set_crs(None, allow_override=True), {}, "no CRS"),
        (places(a=[1, 2, 3]), {"column": "b"}, "no column 'b'"),
        (places(a=[1, 2, 3]), {"column": "a", "colormap": "virids"}, "Nearest: viridis"),
        (places().iloc[:0], {}, "none of 0 rows has a place"),
        (gpd.GeoDataFrame(geometry=[None], crs="EPSG:4326"), {}, "none of 1 rows has a place"),
    ],
)
def test_a_table_without_a_place_on_the_map_is_refused(table, words, message):
    with pytest.raises(BadRequest, match=message):
        show(table, **words)


def test_more_names_than_colours_are_refused():
    many = gpd.GeoDataFrame({"n": list("abcdefghi")}, geometry=shapely.points(np.ones((9, 2))), crs="EPSG:4326")
    with pytest.raises(BadRequest, match="at most 8 can be told apart"):
        show(many, column="n")


@pytest.mark.parametrize("side", [2e-4, 0.01, 1.0, 40.0])
@pytest.mark.parametrize("latitude", [0.0, 45.0, -72.0])
def test_the_first_view_holds_the_whole_layer_and_little_else(side, latitude):
    square = shapely.box(5, latitude, 5 + side, latitude + min(side, 12))
    drawn = show(gpd.GeoDataFrame({"name": ["a"]}, geometry=[square], crs="EPSG:4326"))
    left, low, right, high = gpd.GeoSeries([square], crs="EPSG:4326").to_crs("EPSG:3857").total_bounds
    pixel = 2 * np.pi * 6378137 / 256 / 2**drawn.zoom
    wide, tall = (right - left) / pixel, (high - low) / pixel
    assert wide <= 641
    assert tall <= 441
    assert wide > 300 or tall > 200 or drawn.zoom == 20


def test_the_wheel_is_the_page_s_until_the_map_is_clicked():
    drawn = show(places())
    assert not drawn.scroll_wheel_zoom
    for kind, zooms in (("mousemove", False), ("click", True), ("mousemove", True), ("mouseout", False)):
        drawn._handle_leaflet_event(None, {"event": "interaction", "type": kind, "coordinates": [43, 1]}, [])
        assert drawn.scroll_wheel_zoom is zooms, kind
