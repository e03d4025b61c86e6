"""Jaeger's measures against FragScape's own expectations, figures worked by hand, and the whole of the Clermontais."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from earthlab.analysis.fragmentation import (
    barriers_of_lines,
    fragmentation,
    fragmentation_of_raster,
    jaeger,
    natural_patches,
)
from earthlab.errors import BadRequest

BASE = np.array([[2, 2, 2, 0, 2], [0, 1, 2, 0, 1], [0, 1, 1, 1, 0], [1, 0, 1, 2, 1], [0, 1, 1, 0, 0]])
"""The raster of FragScape's unit tests, pixels of 10 m."""
INSIDE = np.array([[0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]])
"""Pixels of its reporting unit."""
SQUARES, SQUARES_CBC = {0: 1500, 1: 5200, 2: 1800}, {0: 1000, 1: 5000, 2: 1300}
PIXELS, PIXELS_INSIDE = {None: 25, 0: 16, 1: 15, 2: 19}, {None: 18, 0: 12, 1: 10, 2: 14}
"""By the class that is nodata."""


def grid(values, pixel=10.0, **attrs) -> xr.DataArray:
    rows, columns = np.shape(values)
    coords = {"y": -pixel * (np.arange(rows) + 0.5), "x": pixel * (np.arange(columns) + 0.5)}
    return xr.DataArray(np.asarray(values), dims=("y", "x"), coords=coords, attrs=attrs)


def squares_of(values, mask=None) -> gpd.GeoDataFrame:
    rows, columns = np.nonzero(np.ones(values.shape, bool) if mask is None else mask)
    boxes = shapely.box(columns * 10.0, -rows * 10.0 - 10, columns * 10.0 + 10, -rows * 10.0)
    return gpd.GeoDataFrame({"pixelVal": values[rows, columns]}, geometry=boxes, crs=2154)


@pytest.mark.parametrize("missing", [None, 0, 1, 2])
@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_rasters_have_the_mesh_sizes_that_fragscape_expects(chosen, missing):
    values = np.where(missing == BASE, 255, BASE) if missing is not None else BASE
    raster = grid(values, nodata=255)
    squares, squares_cbc = (0, 0) if chosen == missing else (SQUARES[chosen], SQUARES_CBC[chosen])
    whole = fragmentation_of_raster(raster, classes=[chosen], unit="m2")
    assert whole.mesh_size[0] == pytest.approx(squares / PIXELS[missing])
    unit = fragmentation_of_raster(raster, classes=[chosen], zones=grid(INSIDE - 1), unit="m2")
    assert unit.mesh_size_cbc[0] == pytest.approx(squares_cbc / PIXELS_INSIDE[missing])


@pytest.mark.parametrize("chosen", [None, 0, 1, 2])
def test_polygons_have_the_mesh_sizes_that_fragscape_expects(chosen):
    codes = [0, 1, 2] if chosen is None else [chosen]
    parts = [natural_patches(squares_of(BASE), column="pixelVal", classes=[code], least=0) for code in codes]
    patches = pd.concat(parts, ignore_index=True)
    whole = fragmentation(patches, squares_of(BASE).dissolve(), unit="m2")
    unit = fragmentation(patches, squares_of(BASE, INSIDE == 1).dissolve(), unit="m2")
    assert whole.mesh_size[0] == pytest.approx(sum(SQUARES[code] for code in codes) / 25)
    assert unit.mesh_size_cbc[0] == pytest.approx(sum(SQUARES_CBC[code] for code in codes) / 18)


def test_the_measures_of_a_landscape_worked_by_hand():
    found = jaeger([3.0, 1.0], 10.0, complete=[6.0, 1.0])
    assert found == pytest.approx(
        {
            "coherence": 0.1,
            "splitting_index": 10.0,
            "mesh_size": 1.0,
            "mesh_density": 1.0,
            "division": 0.9,
            "net_product": 10.0,
            "mesh_size_cbc": 1.9,
        }
    )


def test_a_landscape_without_nature_is_wholly_divided():
    found = jaeger([], 10.0)
    assert (found["mesh_size"], found["division"], found["splitting_index"]) == (0, 1, np.inf)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(1, 10))
def test_to_cut_a_patch_never_makes_the_mesh_larger(areas, factor):
    total = sum(areas) * factor
    halves = [half for area in areas for half in (0.4 * area, 0.6 * area)]
    assert jaeger(halves, total)["mesh_size"] < jaeger(areas, total)["mesh_size"]
    assert 0 <= jaeger(areas, total)["division"] <= 1


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([4, 8]))
def test_the_cbc_of_zones_weighted_by_area_is_that_of_the_whole(seed, connectivity):
    random = np.random.default_rng(seed)
    raster = grid(random.random((30, 40)) < 0.55)
    zones = grid(random.integers(0, 3, (6, 8)).repeat(5, 0).repeat(5, 1))
    whole = fragmentation_of_raster(raster, connectivity=connectivity, block=18)
    parts = fragmentation_of_raster(raster, zones=zones, connectivity=connectivity, block=18)
    weighted = (parts.mesh_size_cbc * parts.total_area).sum() / parts.total_area.sum()
    assert weighted == pytest.approx(whole.mesh_size[0])
    assert (parts.mesh_size_cbc >= parts.mesh_size - 1e-12).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool"])
def test_numbers_of_any_kind_and_lazy_ones_have_the_same_mesh(dtype):
    raster = grid((np.random.default_rng(1).random((50, 60)) < 0.5).astype(dtype))
    expected = fragmentation_of_raster(grid(raster.values.astype(int)), unit="m2")
    pd.testing.assert_frame_equal(fragmentation_of_raster(raster, unit="m2"), expected)
    pd.testing.assert_frame_equal(fragmentation_of_raster(raster.chunk(y=21, x=17), unit="m2"), expected)


def test_pixels_without_data_are_no_part_of_the_landscape():
    values = np.ones((4, 4))
    values[:2] = np.nan
    found = fragmentation_of_raster(grid(values), unit="m2")
    assert (found.total_area[0], found.mesh_size[0]) == (800, 800)


def test_a_raster_s_mesh_is_that_of_scipy_s_patches():
    values = ndimage.gaussian_filter(np.random.default_rng(0).random((300, 260)), 2) > 0.5
    labels, _ = ndimage.label(values, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:] * 100.0
    found = fragmentation_of_raster(grid(values), connectivity=8, unit="m2", block=64)
    assert found.mesh_size[0] == pytest.approx((areas**2).sum() / values.size / 100)
    assert found.patches[0] == areas.size


def clermontais(shared_data):
    folder = shared_data / "fragscape" / "Clermontais"
    roads = gpd.read_file(folder / "BDROUTE" / "bdroute_troncon_route_20121123_herault_clipped.gpkg")
    return (
        gpd.read_file(folder / "CLC" / "CLC12_D034_RGF_clipped.gpkg"),
        roads[roads.ETAT == "Revêtu"],
        gpd.read_file(folder / "ZoneEtude" / "EPCIClermontaisCommunes.shp").to_crs(2154),
    )


NATURE = {"231", "243", *map(str, range(311, 325)), "331", "332", "333", "411", "421", "422", "511", "512", "521"}
HALF_WIDTHS = {"Liaison locale": 7.5, "Liaison régionale": 15, "Liaison principale": 22.5, "Type autoroutier": 30}


def test_the_clermontais_has_its_mesh_with_and_without_its_border(shared_data):
    landcover, roads, communes = clermontais(shared_data)
    barriers = barriers_of_lines(roads, column="VOCATION", half_widths=HALF_WIDTHS)
    patches = natural_patches(landcover, column="CODE_12", classes=NATURE, barriers=barriers)
    assert patches["area"].min() >= 1000
    whole = fragmentation(patches, communes.dissolve(), unit="km2")
    by_commune = fragmentation(patches, communes, by="NOM_COM", unit="km2")
    assert whole.mesh_size[0] == pytest.approx(5.0997, abs=1e-4)
    assert whole.mesh_size_cbc[0] == pytest.approx(7.5390, abs=1e-4)
    assert len(by_commune) == 20
    weighted = (by_commune.mesh_size_cbc * by_commune.total_area).sum() / by_commune.total_area.sum()
    assert weighted == pytest.approx(whole.mesh_size_cbc[0])
    assert by_commune.attrs["units"]["mesh_size"] == "km2"
    cut = natural_patches(landcover, column="CODE_12", classes=NATURE, barriers=barriers, within=communes)
    assert fragmentation(cut, communes.dissolve(), unit="km2").mesh_size[0] == pytest.approx(5.0997, abs=1e-4)


def test_a_wider_road_never_leaves_more_nature():
    forest = gpd.GeoDataFrame({"code": ["f"]}, geometry=[shapely.box(0, 0, 1000, 1000)], crs=2154)
    road = gpd.GeoDataFrame({"kind": ["a"]}, geometry=[shapely.LineString([(500, -50), (500, 1050)])], crs=2154)
    for half_width in (5.0, 10.0):
        barriers = barriers_of_lines(road, column="kind", half_widths={"a": half_width})
        patches = natural_patches(forest, column="code", classes=["f"], barriers=barriers)
        assert patches["area"].tolist() == pytest.approx([1000 * (500 - half_width)] * 2)
    assert natural_patches(forest, column="code", classes=["f"], least=2e6).empty


DEGREES = gpd.GeoDataFrame({"c": [1]}, geometry=[shapely.box(3, 43, 4, 44)], crs=4326)
METRES = gpd.GeoDataFrame({"c": [1]}, geometry=[shapely.box(0, 0, 100, 100)], crs=2154)
FEET = METRES.set_crs(2263, allow_override=True)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: jaeger([-1.0], 2.0), "negative or no number"),
        (lambda: jaeger([1.0], 0.0), "expected a positive number"),
        (lambda: jaeger([1.0], 2.0, complete=[0.5]), "none of them smaller"),
        (lambda: natural_patches(DEGREES, column="c", classes=[1]), "in degrees, expected a projected CRS"),
        (lambda: natural_patches(METRES.set_crs(None, allow_override=True), column="c", classes=[1]), "found no CRS"),
        (lambda: natural_patches(FEET, column="c", classes=[1]), "expected metres"),
        (lambda: natural_patches(METRES, column="d", classes=[1]), "no column 'd'"),
        (lambda: natural_patches(METRES, column="c", classes=[7]), "no polygon has one of the classes"),
        (lambda: natural_patches(METRES, column="c", classes=[1], barriers=DEGREES), "two CRSs"),
        (lambda: barriers_of_lines(METRES, column="c", half_widths={1: 0}), "positive metres"),
        (lambda: barriers_of_lines(METRES, column="c", half_widths={2: 1}), "no line has one of the classes"),
        (lambda: fragmentation(METRES, DEGREES), "two CRSs"),
        (lambda: fragmentation(METRES, METRES, unit="acre"), "expected one of m2, ha, km2"),
        (lambda: fragmentation(METRES, METRES, by="nom"), "no column 'nom'"),
        (lambda: fragmentation_of_raster(grid(BASE), connectivity=6), "expected 8"),
        (lambda: fragmentation_of_raster(grid(np.full((3, 3), np.nan))), "every pixel is nodata"),
        (lambda: fragmentation_of_raster(xr.DataArray(BASE, dims=("y", "x"))), "no coordinate"),
        (lambda: fragmentation_of_raster(grid(BASE), zones=grid(BASE[:3])), "one grid"),
        (lambda: fragmentation_of_raster(xr.concat([grid(BASE)] * 2, "time")), "Choose one date"),
    ],
)
def test_bad_input_ends_in_a_sentence(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()


def test_true_and_false_made_from_classes_do_not_take_their_nodata():
    landcover = grid(BASE).astype("uint8").assign_attrs(_FillValue=0)
    nature = (landcover == 1).assign_attrs(_FillValue=0)
    plain = fragmentation_of_raster((grid(BASE) == 1).drop_attrs())
    assert fragmentation_of_raster(nature)["mesh_size"].tolist() == plain["mesh_size"].tolist()


def test_zones_are_counted_without_their_nodata_and_a_single_class_needs_no_list():
    zones = grid(np.where(np.arange(BASE.shape[1]) < 2, 255, 1) + 0 * BASE).astype("uint8")
    found = fragmentation_of_raster(grid(BASE), zones=zones.assign_attrs(_FillValue=255), classes=1)
    assert found.index.tolist() == [1]
    listed = fragmentation_of_raster(grid(BASE).expand_dims(band=[1]), zones=zones.where(zones == 1), classes=[1])
    pd.testing.assert_frame_equal(found, listed)


def squares(count, side=90.0) -> gpd.GeoDataFrame:
    boxes = [shapely.box(at * 100, 0, at * 100 + side, side) for at in range(count)]
    return gpd.GeoDataFrame({"code": ["311", "312"] * (count // 2)}, geometry=boxes, crs=2154)


def communes() -> gpd.GeoDataFrame:
    boxes = [shapely.box(0, 0, 500, 100), shapely.box(500, 0, 1000, 100)]
    return gpd.GeoDataFrame({"patches": [7, 8]}, geometry=boxes, crs=2154)


def test_the_frames_of_other_tools_are_taken_as_they_are():
    plain = fragmentation(squares(10), communes()[["geometry"]])
    assert plain["patches"].tolist() == [5, 5]
    again = fragmentation(squares(10).rename_geometry("the_geom"), communes().rename_geometry("shape"))
    np.testing.assert_allclose(again["mesh_size"], plain["mesh_size"])
    assert again["patches"].tolist() == [5, 5]
    holes = gpd.GeoDataFrame(geometry=[None, *shapely.force_3d(squares(10).geometry.values, 5.0)], crs=2154)
    series = fragmentation(holes.geometry, communes().geometry)
    np.testing.assert_allclose(series["mesh_size"], plain["mesh_size"])
    bow = gpd.GeoDataFrame(geometry=[shapely.Polygon([(0, 0), (900, 100), (900, 0), (0, 100)])], crs=2154)
    assert fragmentation(squares(10, 20.0), bow)["total_area"].tolist() == pytest.approx([4.5])
    assert fragmentation(squares(10), communes().iloc[:0]).empty


def test_codes_that_are_text_are_found_by_their_numbers():
    found = natural_patches(squares(4), column="code", classes=[311], least=0)
    assert len(found) == 2
    assert len(natural_patches(squares(4), column="code", classes="311", least=0)) == 2


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: jaeger([1e5, 2e5], 50.0), "more than the whole landscape"),
        (lambda: jaeger([1.0], 2.0, complete=[np.nan]), "complete area"),
        (lambda: fragmentation(pd.concat([squares(10), squares(10)]), communes()), "no ground twice"),
        (lambda: fragmentation(squares(2).to_crs(3857), communes().to_crs(3857)), "no metres on the ground"),
        (lambda: fragmentation_of_raster(grid(BASE).odc.assign_crs("EPSG:3857")), "no metres on the ground"),
        (lambda: fragmentation_of_raster(grid(BASE), pixel_area=0), "pixel_area is 0"),
        (lambda: fragmentation_of_raster(grid(BASE), classes=["1"]), "the raster's numbers"),
        (lambda: fragmentation_of_raster(grid(BASE).to_dataset(name="lc")), r"cube\['lc'\]"),
    ],
)
def test_areas_that_cannot_be_right_are_refused(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()
