"""Which pixels a cube has: the native lattice, crops, other grids, and every refusal."""

from dataclasses import replace

import numpy as np
import odc.geo.xr
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from earthlab.catalog import Band, Item, ItemSet, norm_item
from earthlab.cube.grid import resolve_grid
from earthlab.errors import AskLess, BadRequest
from earthlab.testing.providers import item as stac_item
from earthlab.types import BBox

HERE = BBox(0.4, 44.1, 0.6, 44.3)
UTM = (10.0, 0.0, 300_000.0, 0.0, -10.0, 4_900_000.0)


def band(transform=UTM, shape=(100, 120), crs="EPSG:32631", name="red") -> Band:
    return Band(name, name, "x.tif", common_name=name, crs=crs, transform=transform, shape=shape)


def items_of(*bands: Band, box: BBox | None = HERE) -> ItemSet:
    base = norm_item(stac_item("un"))
    return ItemSet(tuple(replace(base, id=f"i{at}", bands=(b,), bbox=box) for at, b in enumerate(bands)))


def test_one_items_grid_is_the_cubes_grid():
    assert resolve_grid(items_of(band()), ["red"]) == GeoBox((100, 120), Affine(*UTM), "EPSG:32631")


def test_a_lattice_that_is_not_a_multiple_of_its_pixel_is_kept():
    odd = (10.0, 0.0, 300_003.7, 0.0, -10.0, 4_900_001.2)
    assert resolve_grid(items_of(band(odd)), ["red"]).transform == Affine(*odd)


def test_pixels_that_are_not_square_stay_so():
    dem = (1 / 2400, 0.0, -115.0, 0.0, -1 / 3600, 54.0)
    found = resolve_grid(items_of(band(dem, (3600, 2400), "EPSG:4326")), ["red"])
    assert found.transform.almost_equals(Affine(*dem), 1e-12)
    assert found.shape == (3600, 2400)


def test_items_side_by_side_share_one_lattice():
    beside = (10.0, 0.0, 300_000.0 + 1200, 0.0, -10.0, 4_900_000.0 - 500)
    assert resolve_grid(items_of(band(), band(beside)), ["red"]).shape == (150, 240)


def test_the_finest_band_gives_the_resolution():
    coarse = (20.0, 0.0, 300_000.0, 0.0, -20.0, 4_900_000.0)
    items = items_of(band(coarse, (50, 60), name="swir16"), band(name="red"))
    assert resolve_grid(items, ["red", "swir16"]).resolution.x == 10
    assert resolve_grid(items, ["swir16"]).resolution.x == 20


BOXES = st.tuples(st.floats(0.55, 0.6), st.floats(0.001, 0.01), st.floats(44.12, 44.18), st.floats(0.001, 0.005))


@given(BOXES)
def test_a_crop_snaps_outwards_to_whole_native_pixels(box):
    west, wide, south, high = box
    native = GeoBox((2000, 2000), Affine(*UTM), "EPSG:32631")
    asked = BBox(west, south, west + wide, south + high)
    found = resolve_grid(items_of(band(shape=(2000, 2000))), ["red"], bbox=asked)
    step = ~native.transform @ found.transform
    assert step.almost_equals(Affine.translation(round(step.c), round(step.f)), 1e-6)
    inner = odc.geo.geom.box(*asked.as_tuple(), "EPSG:4326").to_crs("EPSG:32631", resolution="auto").boundingbox
    outer = found.boundingbox
    for ours, theirs in ((outer.left, inner.left), (outer.bottom, inner.bottom)):
        assert -1e-3 <= theirs - ours < 10.001
    for ours, theirs in ((outer.right, inner.right), (outer.top, inner.top)):
        assert -1e-3 <= ours - theirs < 10.001


@given(st.floats(-1e6, 1e6), st.floats(0.5, 100), st.integers(1, 500), st.integers(1, 500))
def test_any_native_lattice_comes_back_unchanged(corner, pixel, rows, columns):
    own = (pixel, 0.0, 500_000.0 + corner / 10, 0.0, -pixel, 4_900_000.0 + corner / 7)
    found = resolve_grid(items_of(band(own, (rows, columns))), ["red"])
    assert found.shape == (rows, columns)
    assert found.transform.almost_equals(Affine(*own), 1e-4)


def test_the_crs_most_items_have_wins_and_all_are_inside():
    west = (10.0, 0.0, 699_960.0, 0.0, -10.0, 4_900_020.0)
    items = items_of(band(), band(), band(west, (10, 10), "EPSG:32630"))
    found = resolve_grid(items, ["red"])
    assert found.crs == "EPSG:32631"
    other = GeoBox((10, 10), Affine(*west), "EPSG:32630").extent.to_crs("EPSG:32631").boundingbox
    assert found.boundingbox.left <= other.left
    assert found.boundingbox.bottom <= other.bottom


def test_an_item_without_shape_still_counts_by_its_box():
    here, bare = band(), Band("red", "red", "y.tif", common_name="red", crs="EPSG:32631")
    found = resolve_grid(items_of(here, bare, box=BBox(0.4, 44.1, 0.6, 44.3)), ["red"])
    assert found.shape.x > 1000


def test_a_box_across_the_antimeridian_does_not_go_round_the_world():
    bare = replace(band(crs="EPSG:3832"), transform=None, shape=None)
    items = items_of(bare, box=BBox(179, -18, -179, -17))
    found = resolve_grid(items, ["red"], crs="EPSG:3832", resolution=1000)
    assert found.shape.x < 300


def test_proj_epsg_and_proj_code_give_the_same_grid():
    asset = {"href": "x.tif", "proj:shape": [100, 120], "proj:transform": list(UTM)}
    grids = [
        resolve_grid(ItemSet((norm_item(stac_item("un", assets={"red": {**asset, **crs}})),)), ["red"])
        for crs in ({"proj:epsg": 32631}, {"proj:code": "EPSG:32631"})
    ]
    assert grids[0] == grids[1]


def test_like_takes_a_grid_as_it_is():
    grid = GeoBox((7, 9), Affine(3, 0, 1, 0, -3, 2), "EPSG:2154")
    cube = odc.geo.xr.xr_zeros(grid, dtype="float32", chunks=(7, 9))
    assert resolve_grid(items_of(band()), ["red"], like=grid) is grid
    assert resolve_grid(items_of(band()), ["red"], like=cube) == grid


def without(*names: str) -> ItemSet:
    return items_of(
        replace(band(), **dict.fromkeys(names)), box=None if "bbox" in names else BBox(0.4, 44.1, 0.6, 44.3)
    )


REFUSED = [
    pytest.param(
        without("crs"), {}, BadRequest, "'i0' states no projection.*crs= and resolution=, or like=", id="no-crs"
    ),
    pytest.param(without("transform"), {}, BadRequest, "No item states a pixel size.*Give resolution=", id="no-pixel"),
    pytest.param(items_of(band()), {"crs": "EPSG:2154"}, BadRequest, "pixel size in EPSG:2154", id="other-crs-alone"),
    pytest.param(
        items_of(band(), box=None), {"crs": "Lambert"}, BadRequest, "not a CRS that PROJ knows", id="crs-word"
    ),
    pytest.param(items_of(band()), {"crs": object()}, BadRequest, "not a CRS", id="crs-object"),
    pytest.param(
        items_of(band(crs="EPSG:999999")), {}, BadRequest, "'i0', asset 'red': 'EPSG:999999' is not", id="item"
    ),
    pytest.param(items_of(band(), band(crs="x")), {}, BadRequest, "Item 'i1', asset 'red': 'x' is not", id="one-item"),
    *(
        pytest.param(
            items_of(band()), {"resolution": value}, BadRequest, "expected a positive number", id=f"res-{value}"
        )
        for value in (0, -10, float("nan"), float("inf"), True, "10")
    ),
    pytest.param(items_of(band()), {"bbox": BBox(5, 45, 6, 46)}, BadRequest, "misses every item", id="misses"),
    pytest.param(items_of(band()), {"bbox": BBox(179, 0, -179, 1)}, BadRequest, "antimeridian", id="antimeridian"),
    pytest.param(items_of(band()), {"resolution": 1e-4}, AskLess, "pixels; the most is.*coarser", id="huge"),
    pytest.param(items_of(band()), {"like": 3}, BadRequest, "like: int has no grid", id="like-int"),
    pytest.param(items_of(band()), {"like": np.zeros((3, 3))}, BadRequest, "ndarray has no grid", id="like-array"),
    pytest.param(
        items_of(band()), {"like": GeoBox((9, 9), Affine(*UTM), None)}, BadRequest, "no grid", id="like-no-crs"
    ),
    pytest.param(
        items_of(band()),
        {"like": GeoBox((9, 9), Affine(*UTM), "EPSG:32631"), "crs": 2154, "resolution": 3},
        BadRequest,
        "leave out crs, resolution",
        id="like-and-more",
    ),
    pytest.param(
        items_of(band()),
        {"like": GeoBox((2**20, 2**20), Affine(*UTM), "EPSG:32631")},
        AskLess,
        "coarser",
        id="like-huge",
    ),
]


@pytest.mark.parametrize(("items", "words", "kind", "message"), REFUSED)
def test_a_grid_that_cannot_be_meant_is_refused(items, words, kind, message):
    with pytest.raises(kind, match=message):
        resolve_grid(items, ["red"], **words)


def test_items_with_neither_shape_nor_box_need_like():
    bare = items_of(replace(band(), shape=None), box=None)
    with pytest.raises(BadRequest, match=r"neither shape nor box\. Give the grid with like="):
        resolve_grid(bare, ["red"])
    assert isinstance(bare[0], Item)
