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
from earthlab.cube.globe import full_turn
from earthlab.cube.grid import norm_crs, resolve_grid
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


def degrees(west: float, east: float, *, pixel: float = 0.25, south: float = -10, crs: str = "EPSG:4326") -> Band:
    """A band from one longitude to another, 10 degrees high."""
    shape = (round(10 / pixel), round((east - west) / pixel))
    return band((pixel, 0.0, west, 0.0, -pixel, south + 10), shape, crs)


def sides(found: GeoBox) -> tuple[float, float]:
    return found.boundingbox.left, found.boundingbox.right


@pytest.mark.parametrize(
    ("spans", "box", "expected"),
    [
        pytest.param([(-180, -175), (170, 180)], (178, -178), (178, 182), id="both-sides"),
        pytest.param([(-180, -175)], (178, -178), (180, 182), id="beyond"),
        pytest.param([(170, 180)], (178, -178), (178, 180), id="before"),
        pytest.param([(170, 190)], (178, -178), (178, 182), id="already-across"),
        pytest.param([(-190, -170)], (178, -178), (178, 182), id="across-from-the-west"),
        pytest.param([(-180, 180)], (178, -178), (178, 182), id="the-globe"),
        pytest.param([(0, 360)], (178, -178), (178, 182), id="the-globe-from-0"),
        pytest.param([(0, 360)], (-10, 10), (-10, 10), id="from-0-west-of-greenwich"),
        pytest.param([(350, 355)], (-20, 20), (-10, -5), id="a-part-of-0-360"),
        pytest.param([(0, 360)], (-180, 180), (-180, 180), id="all-of-it"),
        pytest.param([(-180, 180)], (-170, -160), (-170, -160), id="nothing-special"),
        pytest.param([(-180, -179), (179, 180)], (-180, 180), (-180, 180), id="as-asked-not-shorter"),
    ],
)
def test_a_box_in_degrees_is_found_in_whatever_turn_the_items_lie(spans, box, expected):
    items = items_of(*(degrees(*span) for span in spans))
    found = resolve_grid(items, ["red"], bbox=BBox(box[0], -5, box[1], -2))
    assert sides(found) == pytest.approx(expected)
    assert (found.boundingbox.bottom, found.boundingbox.top) == (-5, -2)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        pytest.param([(-180, -175), (170, 180)], (170, 185), id="the-short-way"),
        pytest.param([(-180, -175), (170, 180), (160, 165)], (160, 185), id="three"),
        pytest.param([(-170, 170)], (-170, 170), id="one-wide-item"),
        pytest.param([(0, 360)], (0, 360), id="from-0-as-it-is"),
        pytest.param([(-180.25, 180.25)], (-180.25, 180.25), id="a-column-twice"),
        pytest.param([(-180, 180), (0, 360)], (-180, 180), id="two-globes"),
        pytest.param([(-180, 0), (0, 180)], (-180, 180), id="halves"),
        pytest.param([(-180, -90), (-90, 0), (0, 90), (90, 180)], (-180, 180), id="quarters"),
        pytest.param([(-5, 5), (355, 365)], (-5, 5), id="the-same-place-twice"),
        pytest.param([(-60, -50), (50, 60)], (-60, 60), id="the-near-side"),
    ],
)
def test_without_a_box_a_grid_goes_the_shortest_way_round(spans, expected):
    assert sides(resolve_grid(items_of(*(degrees(*span) for span in spans)), ["red"])) == pytest.approx(expected)


lefts = st.integers(-1440, 1440).map(lambda at: at / 4)
widths = st.integers(1, 400).map(lambda at: at / 4)


@given(st.lists(st.tuples(lefts, widths), min_size=1, max_size=6))
def test_the_shortest_way_covers_every_item_and_no_way_is_shorter(spans):
    found = resolve_grid(items_of(*(degrees(west, west + wide) for west, wide in spans)), ["red"])
    west, east = sides(found)
    assert all((left - west) % 360 + wide <= east - west or east - west == 360 for left, wide in spans)
    ways = [max((left - start) % 360 + wide for left, wide in spans) for start, _ in spans]
    assert east - west == pytest.approx(min(*ways, 360) if len(spans) > 1 else spans[0][1])


@given(st.lists(st.tuples(lefts, widths), min_size=1, max_size=4), st.integers(-180, 180), st.integers(1, 300))
def test_a_box_has_every_longitude_that_was_asked_for_and_that_an_item_has(spans, west, wide):
    east = west + wide if west + wide <= 180 else west + wide - 360
    items = items_of(*(degrees(left, left + width) for left, width in spans))
    middles = np.arange(west, west + wide, 0.25) + 0.125
    covered = [at for at in middles if any((at - left) % 360 < width for left, width in spans)]
    if not covered:
        with pytest.raises(BadRequest, match="misses every item"):
            resolve_grid(items, ["red"], bbox=BBox(west, -5, east, -2))
        return
    found = resolve_grid(items, ["red"], bbox=BBox(west, -5, east, -2))
    assert sides(found) == pytest.approx((min(covered) - 0.125, max(covered) + 0.125))


def test_projected_items_at_180_degrees_are_cut_to_a_box_across_it():
    zones = [(10.0, 0.0, 99_960.0, 0.0, -10.0, 8_100_040.0), (10.0, 0.0, 799_980.0, 0.0, -10.0, 8_100_040.0)]
    one, sixty = (band(zone, (10_980, 10_980), f"EPSG:327{at}") for zone, at in zip(zones, ("01", "60"), strict=True))
    whole = resolve_grid(items_of(one, one, sixty), ["red"])
    found = resolve_grid(items_of(one, one, sixty), ["red"], bbox=BBox(179.9, -17.6, -179.9, -17.4))
    assert found.crs == whole.crs == "EPSG:32701"
    assert whole.shape.x < 25_000
    assert 2_000 < found.shape.x < 2_300
    middle = found.extent.centroid.to_crs("EPSG:4326").coords[0]
    assert abs(middle[0]) == pytest.approx(180, abs=0.01)
    for crs, pixel in (("EPSG:4326", 1e-4), ("EPSG:3857", 10)):
        turned = resolve_grid(items_of(one, sixty), ["red"], crs=crs, resolution=pixel)
        cut = resolve_grid(
            items_of(one, sixty), ["red"], crs=crs, resolution=pixel, bbox=BBox(179.9, -17.6, -179.9, -17.4)
        )
        half = full_turn(cut.crs) / 2
        assert cut.boundingbox.left < half < cut.boundingbox.right
        assert cut.boundingbox.right - cut.boundingbox.left == pytest.approx(half / 900, rel=0.01)
        assert half / 900 < turned.boundingbox.right - turned.boundingbox.left < half / 50


def test_a_globe_that_mercator_cannot_hold_is_cut_to_the_box():
    bare = replace(band(crs="EPSG:4326"), transform=None, shape=None)
    items = items_of(bare, box=BBox(-180, -90, 180, 90))
    found = resolve_grid(items, ["red"], crs="EPSG:3857", resolution=1000, bbox=BBox(178, -18, -178, -17))
    half = full_turn(found.crs) / 2
    assert sides(found) == pytest.approx((178 / 180 * half, 182 / 180 * half), abs=1000)


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
    pytest.param(items_of(band()), {"bbox": BBox(179, 0, -179, 1)}, BadRequest, "misses every item", id="misses-there"),
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


def test_a_crs_without_map_axes_is_refused():
    with pytest.raises(BadRequest, match="no map axes"):
        norm_crs("EPSG:4978")
