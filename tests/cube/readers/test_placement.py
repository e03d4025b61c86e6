"""Positions against PROJ itself, and that nothing but the cube's own lattice decides them."""

import threading
from functools import lru_cache

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import ProjError

from earthlab.cube.readers import placement as placing
from earthlab.cube.readers.gather import CELL, locate
from earthlab.cube.readers.placement import TOLERANCE, Placement, place, serves

UTM = GeoBox((700, 800), Affine(10, 0, 300_000, 0, -10, 4_900_020), "EPSG:32631")
GLOBE = GeoBox((720, 1440), Affine(0.25, 0, -180, 0, -0.25, 90), "EPSG:4326")
PACIFIC = GeoBox((720, 1440), Affine(0.25, 0, 0, 0, -0.25, 90), "EPSG:4326")


def around(native: GeoBox, crs: str, pixel: float, shape: tuple[int, int] = (230, 260)) -> GeoBox:
    """A grid of round numbers about the middle of another."""
    x, y = (round(at / pixel) * pixel for at in native.extent.to_crs(crs).centroid.coords[0])
    corner = Affine.translation(x - shape[1] // 2 * pixel, y + shape[0] // 2 * pixel)
    return GeoBox(shape, corner @ Affine.scale(pixel, -pixel), crs)


POLE = GeoBox((200, 240), Affine(25_000, 0, -3_000_000, 0, -25_000, 2_500_000), "EPSG:3413")
SEAM = GeoBox((150, 300), Affine(0.1, 0, 165, 0, -0.1, 10), "EPSG:4326")
"""From 165 to 195 degrees east."""
FIJI = GeoBox((200, 260), Affine(5_000, 0, -20_037_508 - 600_000, 0, -5_000, 1_000_000), "EPSG:3857")

PAIRS = [
    pytest.param(UTM, around(UTM, "EPSG:2154", 10), id="utm-lambert"),
    pytest.param(UTM, around(UTM, "EPSG:32630", 10), id="utm-next-zone"),
    pytest.param(UTM, around(UTM, "EPSG:4326", 1e-4), id="utm-degrees"),
    pytest.param(GLOBE, GeoBox((300, 300), Affine(20_000, 0, 0, 0, -20_000, 6e6), "EPSG:3857"), id="degrees-mercator"),
    pytest.param(GLOBE, POLE, id="degrees-over-the-pole"),
    pytest.param(PACIFIC, POLE, id="0-360-over-the-pole"),
    pytest.param(SEAM, FIJI, id="across-the-antimeridian"),
]


def positions(placement: Placement) -> np.ndarray:
    rows, columns = np.empty(placement.shape), np.empty(placement.shape)
    for i in range(placement.shape[0]):
        locate(rows[i], columns[i], placement.lattice, i, 0)
    return np.stack([rows, columns])


def by_proj(native: GeoBox, tile: GeoBox) -> np.ndarray:
    rows, columns = np.indices(tile.shape) + 0.5
    x, y = tile.transform * (columns, rows)
    if native.crs != tile.crs:
        x, y = Transformer.from_crs(str(tile.crs), str(native.crs), always_xy=True).transform(x, y)
    middle = (native.transform * (native.shape.x / 2, 0))[0]
    if native.crs.geographic:
        x = middle + (x - middle + 180) % 360 - 180
    column, row = ~native.transform * (x, y)
    return np.stack([row, column])


def corner(box: GeoBox) -> tuple[float, float]:
    return box.transform * (0, 0)


@lru_cache
def whole_of(at: int) -> tuple[GeoBox, GeoBox, np.ndarray]:
    native, tile = PAIRS[at].values
    return native, tile, positions(place(native, tile, corner(tile)))


@pytest.mark.parametrize(("native", "tile"), PAIRS)
def test_positions_are_projs_within_a_thousandth_of_a_pixel(native, tile):
    found, expected = positions(place(native, tile, corner(tile))), by_proj(native, tile)
    stray = np.abs(found - expected)
    turn = 360 / abs(native.transform.a) if native.crs.geographic else np.inf
    stray[1] = np.minimum(stray[1], np.abs(turn - stray[1]))  # a longitude and the same one, a turn on
    assert np.nanmax(stray) <= 1.5 * TOLERANCE
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


def test_in_one_crs_positions_are_exact():
    tile = GeoBox((90, 70), UTM.transform @ Affine.translation(3.25, 7.5) @ Affine.rotation(30), UTM.crs)
    np.testing.assert_allclose(positions(place(UTM, tile, corner(tile))), by_proj(UTM, tile), rtol=0, atol=1e-8)


def test_cells_are_as_fine_as_the_way_between_the_crs_bends():
    smooth = place(UTM, around(UTM, "EPSG:2154", 10), corner(around(UTM, "EPSG:2154", 10)))
    assert set(smooth.lattice.steps.ravel()) == {CELL}
    polar = place(GLOBE, POLE, corner(POLE))
    assert set(polar.lattice.steps.ravel()) == {1}
    coarse = GeoBox((300, 300), Affine(20_000, 0, 0, 0, -20_000, 6e6), "EPSG:3857")
    assert {2, 4} <= set(place(GLOBE, coarse, corner(coarse)).lattice.steps.ravel())


@settings(max_examples=40, deadline=None)
@given(
    which=st.integers(0, len(PAIRS) - 1),
    row=st.integers(0, 110),
    column=st.integers(0, 150),
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
)
def test_tiling_never_changes_a_position_not_by_a_bit(which, row, column, rows, columns):
    native, tile, expected = whole_of(which)
    part = tile[row : row + rows, column : column + columns]
    found = positions(place(native, part, corner(tile)))
    np.testing.assert_array_equal(found, expected[:, row : row + rows, column : column + columns])


@pytest.mark.parametrize("move", [(-40, -70), (-33, 5), (1, -1)])
def test_a_tile_left_of_or_above_the_anchor_is_placed_too(move):
    tile = around(UTM, "EPSG:2154", 10)
    moved = GeoBox(tile.shape, tile.transform @ Affine.translation(*move), tile.crs)
    found = positions(place(UTM, moved, corner(tile)))
    assert np.abs(found - by_proj(UTM, moved)).max() <= 1.5 * TOLERANCE


def test_an_anchor_off_the_lattice_is_put_on_it():
    tile = around(UTM, "EPSG:2154", 10)
    x, y = corner(tile)
    found = positions(place(UTM, tile, (x - 1003.0, y + 2004.0)))
    assert np.abs(found - by_proj(UTM, tile)).max() <= 1.5 * TOLERANCE


@pytest.mark.parametrize(("native", "tile"), PAIRS)
def test_what_is_read_of_the_source_holds_every_neighbour_and_little_more(native, tile):
    placement = place(native, tile, corner(tile))
    row, column = positions(placement)
    inside = (row >= 0) & (row < native.shape.y) & (column >= 0) & (column < native.shape.x)
    (piece,) = placement.pieces
    assert placement.whole == inside[placement.box].all()
    assert not np.delete(np.delete(inside, np.r_[piece.rows], 0), np.r_[piece.columns], 1).any()
    for at, span, length in ((row, piece.source_rows, native.shape.y), (column, piece.source_columns, native.shape.x)):
        assert span.start == max(np.floor(at[inside].min() - 0.5), 0)
        assert span.stop == min(np.floor(at[inside].max() - 0.5) + 2, length)


def test_a_tile_that_needs_too_much_at_once_is_cut_into_pieces(monkeypatch):
    monkeypatch.setattr(placing, "MOST_READ", 100_000)
    tile = POLE[:150]
    placement = place(GLOBE, tile, corner(POLE))
    covered = np.zeros(tile.shape, int)
    for piece in placement.pieces:
        covered[piece.rows, piece.columns] += 1
    assert len(placement.pieces) > 1
    assert (covered == 1).all()
    assert max(piece.pixels for piece in placement.pieces) <= 100_000


def test_where_they_do_not_touch_there_are_no_pieces():
    tile = GeoBox((50, 50), Affine(10, 0, 900_000, 0, -10, 6_900_000), "EPSG:2154")
    assert place(UTM, tile, corner(tile)).pieces == ()


def test_what_proj_cannot_place_is_outside():
    native = GeoBox((100, 100), Affine(1_000_000, 0, -5e7, 0, -1_000_000, 5e7), "EPSG:3857")
    tile = GeoBox((40, 40), Affine(9, 0, -180, 0, -9, 180), "EPSG:4326")
    assert not np.isfinite(positions(place(native, tile, corner(tile)))[:, :10]).any()


def test_ways_without_end_are_refused_by_proj():
    nowhere = GeoBox((10, 10), Affine(10, 0, 0, 0, -10, 0), 'LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(ProjError):
        serves(nowhere, UTM, "nearest")


def scaled(times: float) -> GeoBox:
    return GeoBox((50, 50), UTM.transform @ Affine.translation(0.3, 0.3) @ Affine.scale(times), UTM.crs)


@pytest.mark.parametrize(
    ("tile", "resampling", "served"),
    [
        (scaled(0.1), "bilinear", True),
        (scaled(1), "bilinear", True),
        (scaled(1.05), "bilinear", True),
        (scaled(1.06), "bilinear", False),
        (scaled(1.9), "nearest", True),
        (scaled(2.1), "nearest", False),
        (around(UTM, "EPSG:2154", 10), "bilinear", True),
        (around(UTM, "EPSG:2154", 12), "bilinear", False),
        (around(UTM, "EPSG:2154", 10), "cubic", False),
        (around(UTM, "EPSG:2154", 10), "average", False),
        (around(UTM, "EPSG:2154", 10), "mode", False),
    ],
)
def test_what_gdal_would_do_with_a_wider_kernel_or_another_is_left_to_it(tile, resampling, served):
    assert serves(UTM, tile, resampling) is served


def test_all_the_tiles_of_a_cube_are_served_or_none():
    tile = around(UTM, "EPSG:2154", 10)
    assert {serves(UTM, tile[i : i + 20, i : i + 30], "bilinear") for i in (0, 50, 200)} == {True}


def test_a_source_that_shrinks_towards_a_pole_is_left_to_gdal():
    mercator = GeoBox((400, 400), Affine(100_000, 0, -2e7, 0, -100_000, 2e7), "EPSG:3857")
    degrees = GeoBox((200, 400), Affine(0.9, 0, -180, 0, -0.9, 90), "EPSG:4326")
    assert not serves(mercator, degrees, "bilinear")
    assert serves(degrees, mercator, "bilinear")


def test_threads_that_ask_at_once_share_one_placement():
    tile = around(UTM, "EPSG:2154", 9.5)
    gate, found = threading.Barrier(6), []

    def ask() -> None:
        gate.wait()
        found.append(place(UTM, tile, corner(tile)))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(placement) for placement in found}) == 1
    again = GeoBox(tuple(UTM.shape), Affine(*tuple(UTM.transform)[:6]), "EPSG:32631")
    assert place(again, tile, corner(tile)) is found[0]


def test_no_more_placements_are_kept_than_fit(monkeypatch):
    tile = around(UTM, "EPSG:2154", 9.25)
    first = place(UTM, tile[:100], corner(tile))
    monkeypatch.setattr(placing, "MOST_KEPT", 2 * first.nbytes)
    for at in range(4):
        place(UTM, tile[at : at + 100], corner(tile))
    assert place(UTM, tile[3:103], corner(tile)) is place(UTM, tile[3:103], corner(tile))
    assert place(UTM, tile[:100], corner(tile)) is not first


def test_a_placement_that_fails_is_asked_for_again():
    nowhere = GeoBox((10, 10), Affine(10, 0, 0, 0, -10, 0), 'LOCAL_CS["site",UNIT["metre",1]]')
    for _ in range(2):
        with pytest.raises(ProjError):
            place(nowhere, UTM, corner(UTM))
