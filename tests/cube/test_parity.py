"""Pixel for pixel: our cubes against rasterio's windows, odc-stac, and positions computed one by one with PROJ."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.windows import Window

import earthlab as el
from earthlab.cube.engines import ENGINES, open_with
from earthlab.cube.globe import full_turn
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene

quick = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))

peers = pytest.mark.parametrize("engine", sorted(ENGINES))

EXACT, ROUGH = 2e-3, 0.13
"""Pixels by which a position may be rounded: by ours, and by GDAL as the peers run it (0.125)."""

UTM = Affine(10, 0, 300_000, 0, -10, 4_900_000)
PLACES = {
    "EPSG:32631": UTM,
    "EPSG:2154": Affine(10, 0, 400_000, 0, -10, 6_340_000),
    "EPSG:4326": Affine(1e-4, 0, 0.5, 0, -1e-4, 44.22),
    "EPSG:3035": Affine(10, 0, 3_560_000, 0, -10, 2_350_000),
}
"""CRSs and a corner of each, all in the same valley."""

NODATA = [(None, None), (0, None), (0, 0), (None, 0), (None, -9999), (None, float("nan"))]
"""What the file states, and what the catalogue states over it."""


@dataclass(frozen=True)
class Case:
    """One source and the grid it is wanted on."""

    file: RasterFile
    stated: float | None
    grid: GeoBox
    chunk: int


def values_of(seed: int, shape: tuple[int, int], dtype: str, nodata: float | None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 200, shape).astype(dtype)
    empty = rng.random(shape) < 0.1
    if nodata is not None and (np.dtype(dtype).kind == "f" or nodata >= 0):
        values[empty] = nodata
    if np.dtype(dtype).kind == "f":
        values[rng.random(shape) < 0.05] = np.nan
    return values


sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


@st.composite
def sources(draw, crs=None, overviews=()):
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "float32"]))
    nodata, stated = draw(st.sampled_from([*NODATA, *([(-9999, None)] if dtype in {"int16", "float32"} else [])]))
    place = crs or draw(st.sampled_from(sorted(PLACES)))
    shape = draw(sizes)
    known = nodata if stated is None else stated
    values = values_of(draw(st.integers(0, 2**20)), shape, dtype, known)
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16} if draw(st.booleans()) else {}
    return RasterFile(values, PLACES[place], place, nodata, overviews, options=blocks), stated


def opened(case: Case, engine: str | None = None) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        document = write_scene(Path(folder), "a", {"b": SceneBand(case.file, "b", nodata=case.stated)})
        del document["bbox"]
        plan = el.plan(scene_items([document]), ["b"], like=case.grid, chunks={"y": case.chunk, "x": case.chunk})
        cube = open_with(engine, plan) if engine else el.open(plan, strict=True)
        return cube.b.compute(scheduler="sync").values[0]


def known(case: Case) -> float | None:
    return case.file.nodata if case.stated is None else case.stated


def blank(values: np.ndarray, nodata: float | None) -> np.ndarray:
    out = values.astype("float32")
    if nodata is not None:
        out[values == nodata] = np.nan
    return out


@st.composite
def same_lattice(draw):
    file, stated = draw(sources())
    shift = draw(st.tuples(st.integers(-80, 80), st.integers(-80, 80)))
    grid = GeoBox(draw(sizes), file.transform @ Affine.translation(*shift), file.crs)
    return Case(file, stated, grid, draw(st.integers(7, 64)))


@quick
@given(same_lattice())
def test_on_its_own_lattice_a_source_is_what_rasterio_reads_in_that_window(case):
    offset = ~case.file.transform @ case.grid.transform
    rows, columns = case.grid.shape
    window = Window(round(offset.c), round(offset.f), columns, rows)
    with tempfile.TemporaryDirectory() as folder:
        document = write_scene(Path(folder), "a", {"b": SceneBand(case.file)})
        with rasterio.open(document["assets"]["b"]["href"]) as source:
            read = source.read(1, window=window, boundless=True, fill_value=0)
            inside = source.read_masks(1, window=window, boundless=True) if case.stated is None else None
    outside = np.ones(case.grid.shape, bool)
    height, width = case.file.values.shape
    top, left = max(-window.row_off, 0), max(-window.col_off, 0)
    outside[top : max(height - window.row_off, 0), left : max(width - window.col_off, 0)] = False
    expected = blank(read, known(case))
    expected[outside | (inside == 0 if inside is not None else False)] = np.nan
    np.testing.assert_array_equal(opened(case), expected)


@peers
@quick
@given(same_lattice())
def test_on_its_own_lattice_a_peer_reads_the_same(engine, case):
    np.testing.assert_array_equal(opened(case, engine), opened(case))


@st.composite
def other_grids(draw):
    file, stated = draw(sources())
    crs = draw(st.sampled_from(sorted(PLACES)))
    finer = draw(st.sampled_from([1.0, 0.37, 1.31]))
    shift = draw(st.tuples(st.floats(-40, 40), st.floats(-40, 40)))
    middle = GeoBox(file.values.shape, file.transform, file.crs).extent.to_crs(crs).centroid.coords[0]
    step = PLACES[crs].a * finer
    rows, columns = draw(sizes)
    west, north = middle[0] + step * (shift[0] - columns / 2), middle[1] - step * (shift[1] - rows / 2)
    grid = GeoBox((rows, columns), Affine(step, 0, west, 0, -step, north), crs)
    return Case(file, stated, grid, draw(st.integers(7, 64)))


def exact(case: Case, values: np.ndarray, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """The nearest pixel of each, and how far in pixels its position lies from where another would be nearest."""
    rows, columns = case.grid.shape
    column, row = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    x, y = case.grid.transform * (column, row)
    place = Transformer.from_crs(case.grid.crs.to_wkt(), case.file.crs, always_xy=True)
    u, v = ~transform * place.transform(x, y)
    height, width = values.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    at = np.clip(np.floor(v), 0, height - 1).astype(int), np.clip(np.floor(u), 0, width - 1).astype(int)
    expected = np.where(inside, blank(values, known(case))[at], np.nan)
    return expected, np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v)))


def assert_equal_where_sure(found, expected, margin, tolerance):
    sure = margin > tolerance
    np.testing.assert_array_equal(found[sure], expected[sure])


@quick
@given(other_grids())
def test_in_another_crs_each_pixel_is_the_one_its_centre_falls_in(case):
    expected, margin = exact(case, case.file.values, case.file.transform)
    assert_equal_where_sure(opened(case), expected, margin, EXACT)


@peers
@quick
@given(other_grids())
def test_in_another_crs_a_peer_agrees_wherever_its_rounding_cannot_matter(engine, case):
    if case.stated == -9999 and case.file.values.dtype.kind == "u":
        case = replace(case, stated=None)  # GDAL's warp, as odc-stac calls it, refuses what the type cannot hold
    _, margin = exact(case, case.file.values, case.file.transform)
    assert_equal_where_sure(opened(case, engine), opened(case), margin, ROUGH)


@pytest.mark.parametrize("factor", [2, 3, 4, 7, 9])
@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:2154"])
def test_a_coarser_grid_reads_the_overview_that_fits(tmp_path, factor, crs):
    values = np.random.default_rng(factor).integers(1, 9999, (403, 311)).astype("uint16")
    file = RasterFile(values, UTM, "EPSG:32631", 0, (2, 4, 8))
    corner = GeoBox(values.shape, UTM, "EPSG:32631").to_crs(crs).boundingbox if crs != "EPSG:32631" else None
    west, north = (corner.left, corner.top) if corner else (UTM.c, UTM.f)
    grid = GeoBox((420 // factor, 330 // factor), Affine(10 * factor, 0, west, 0, -10 * factor, north), crs)
    case = Case(file, None, grid, 32)
    document = write_scene(tmp_path, "a", {"b": SceneBand(file)})
    level = {2: 0, 3: 0, 4: 1, 7: 1, 9: 2}[factor]
    with rasterio.open(document["assets"]["b"]["href"], overview_level=level) as overview:
        expected, margin = exact(case, overview.read(1), overview.transform)
    found = opened(case)
    assert_equal_where_sure(found, expected, margin, EXACT)
    _, border = exact(case, values, UTM)
    assert_equal_where_sure(opened(case, "odc"), found, np.minimum(margin, border), ROUGH)


@st.composite
def seams(draw):
    """Two to four items of one date, each with a nodata, a scale and a place of its own."""
    pieces = []
    for _ in range(draw(st.integers(2, 4))):
        file, stated = draw(sources("EPSG:32631"))
        shift = draw(st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
        moved = replace(file, transform=UTM @ Affine.translation(*shift))
        pieces.append(
            SceneBand(moved, "b", stated, draw(st.sampled_from([None, 0.5])), draw(st.sampled_from([None, -3])))
        )
    grid = GeoBox(draw(sizes), UTM @ Affine.translation(*draw(st.tuples(*[st.integers(-30, 30)] * 2))), "EPSG:32631")
    return pieces, grid, draw(st.integers(7, 64))


@quick
@given(seams())
def test_at_seams_the_first_valid_pixel_is_on_top_each_in_its_own_scale(drawn):
    pieces, grid, chunk = drawn
    expected = np.full(grid.shape, np.nan, "float32")
    for piece in pieces:
        case = Case(piece.file, piece.nodata, grid, chunk)
        values, _ = exact(case, piece.file.values, piece.file.transform)
        physical = values * (1.0 if piece.scale is None else piece.scale) + (piece.offset or 0.0)
        expected = np.where(np.isnan(expected), physical, expected)
    with tempfile.TemporaryDirectory() as folder:
        named = enumerate(pieces)
        items = scene_items([write_scene(Path(folder), f"{at}", {"b": piece}) for at, piece in named])
        plan = el.plan(items, ["b"], like=grid, chunks={"y": chunk, "x": chunk})
        ours = el.open(plan, strict=True).b.compute(scheduler="sync").values[0]
        theirs = [open_with(peer, plan).b.compute(scheduler="sync").values[0] for peer in ENGINES]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    for found in theirs:
        np.testing.assert_allclose(found, ours, rtol=1e-6)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "lanczos", "average"])
@pytest.mark.parametrize("crs", ["EPSG:2154", "EPSG:4326", "EPSG:3035"])
def test_resampled_pixels_are_those_of_gdals_exact_warp(tmp_path, resampling, crs):
    rows, columns = np.mgrid[:210, :190]
    values = (np.sin(rows / 9) * np.cos(columns / 7)).astype("float32")
    file = RasterFile(values, UTM, "EPSG:32631")
    grid = GeoBox(values.shape, UTM, "EPSG:32631").to_crs(crs)
    case = Case(file, None, grid, 64)
    href = write_scene(tmp_path, "a", {"b": SceneBand(file)})["assets"]["b"]["href"]
    expected = np.full(grid.shape, np.nan, "float32")
    with rasterio.open(href) as source:
        rasterio.warp.reproject(
            rasterio.band(source, 1),
            expected,
            dst_transform=grid.transform,
            dst_crs=str(grid.crs),
            dst_nodata=np.nan,
            resampling=Resampling[resampling],
            tolerance=0,
            **scales(case),
        )
    document = write_scene(tmp_path, "b", {"b": SceneBand(file)})
    plan = el.plan(scene_items([document]), ["b"], like=grid, resampling=resampling, chunks={"y": 64, "x": 80})
    found = el.open(plan, strict=True).b.compute().values[0]
    _, margin = exact(case, values, UTM)
    sure = (margin > EXACT) & ~(slivers(expected) if resampling == "average" else False)
    np.testing.assert_array_equal(np.isnan(found[sure]), np.isnan(expected[sure]))
    np.testing.assert_allclose(found[sure], expected[sure], atol=2e-3)


def slivers(values: np.ndarray) -> np.ndarray:
    """Pixels beside the source's edge: an average counts them however little of them it covers."""
    known = np.isfinite(values)
    return np.logical_or.reduce([known != np.roll(known, way, axis) for way in (-1, 1) for axis in (0, 1)])


def scales(case: Case) -> dict[str, float]:
    """Pixels of the grid per pixel of the source in the middle: GDAL else chooses them anew for each of its blocks."""
    place = Transformer.from_crs(case.grid.crs.to_wkt(), case.file.crs, always_xy=True)
    rows, columns = case.grid.shape

    def pixel(column: float, row: float) -> np.ndarray:
        x, y = place.transform(*(case.grid.transform * (columns / 2 + column, rows / 2 + row)))
        return np.array(~case.file.transform * (x, y))

    middle = pixel(0, 0)
    lengths = (np.hypot(*(pixel(*way) - middle)) for way in ((1, 0), (0, 1)))
    return dict(zip(("XSCALE", "YSCALE"), (1 / length for length in lengths), strict=True))


def turned(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """As `exact`, with longitudes that go round the globe."""
    rows, columns = case.grid.shape
    column, row = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    x, y = case.grid.transform * (column, row)
    lon, lat = Transformer.from_crs(case.grid.crs.to_wkt(), case.file.crs, always_xy=True).transform(x, y)
    west = case.file.transform.c
    u, v = ~case.file.transform * ((lon - west) % 360 + west, lat)
    height, width = case.file.values.shape
    inside = (u < width) & (v >= 0) & (v < height)
    at = np.clip(np.floor(v), 0, height - 1).astype(int), np.clip(np.floor(u), 0, width - 1).astype(int)
    expected = np.where(inside, case.file.values.astype("float32")[at], np.nan)
    return expected, np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v)))


FIJI = {
    "utm-60": RasterFile(
        np.arange(3600).reshape(60, 60).astype("uint16"), Affine(9000, 0, 600_000, 0, -9000, 8.2e6), "EPSG:32760"
    ),
    "utm-1": RasterFile(
        np.arange(3600).reshape(60, 60).astype("uint16"), Affine(9000, 0, 0, 0, -9000, 8.2e6), "EPSG:32701"
    ),
}


@pytest.mark.parametrize("name", sorted(FIJI))
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:3460", Affine(9000, 0, 1_700_000, 0, -9000, 4_300_000)),
        ("EPSG:3832", Affine(9000, 0, 3_000_000, 0, -9000, -1_700_000)),
        ("EPSG:4326", Affine(0.08, 0, 178, 0, -0.08, -16)),
    ],
)
def test_a_grid_across_the_antimeridian_is_whole(name, crs, transform):
    case = Case(FIJI[name], None, GeoBox((50, 60), transform, crs), 25)
    expected, margin = exact(case, case.file.values, case.file.transform)
    assert np.isfinite(expected).mean() > 0.1
    assert_equal_where_sure(opened(case), expected, margin, EXACT)


@pytest.mark.parametrize("west", [177.0, 180.0, -180.0, -182.0])
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:3460", Affine(9000, 0, 1_700_000, 0, -9000, 4_300_000)),
        ("EPSG:3832", Affine(9000, 0, 3_000_000, 0, -9000, -1_700_000)),
        ("EPSG:32760", Affine(9000, 0, 600_000, 0, -9000, 8_200_000)),
    ],
)
def test_a_source_in_degrees_on_either_side_is_found(west, crs, transform):
    values = np.arange(2500).reshape(50, 50).astype("uint16")
    file = RasterFile(values, Affine(0.1, 0, west, 0, -0.1, -15), "EPSG:4326")
    case = Case(file, None, GeoBox((50, 60), transform, crs), 25)
    expected, margin = turned(case)
    assert np.isfinite(expected).mean() > 0.02
    assert_equal_where_sure(opened(case), expected, margin, EXACT)


@st.composite
def round_the_globe(draw):
    """A source and a grid in degrees, each counted from anywhere, on one lattice or between its lines."""
    pixel = draw(st.sampled_from([0.5, 1.0]))
    turn = int(360 / pixel)
    columns = draw(st.one_of(st.just(turn), st.integers(1, 90)))
    west, start = (draw(st.integers(-turn, turn)) for _ in range(2))
    away = draw(st.sampled_from([0, 0.3]))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(1, 200, (30, columns)).astype("uint8")
    near = draw(st.integers(-20, columns + 20)) + turn * draw(st.integers(-1, 1)) if draw(st.booleans()) else start
    file = RasterFile(values, Affine(pixel, 0, west * pixel, 0, -pixel, 15), "EPSG:4326")
    grid = Affine(pixel, 0, (west + near + away) * pixel, 0, -pixel, 15 - 2 * pixel)
    return Case(file, None, GeoBox(draw(sizes), grid, "EPSG:4326"), draw(st.integers(7, 64)))


@quick
@given(round_the_globe())
def test_longitudes_are_the_same_whole_turns_away(case):
    expected, margin = turned(case)
    assert_equal_where_sure(opened(case), expected, margin, EXACT)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:4269"])
@pytest.mark.parametrize("west", [-180.0, 176.0, 180.0, 357.0 - 180])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
def test_every_kernel_reads_a_source_whichever_turn_its_degrees_are_counted_in(tmp_path, crs, west, resampling):
    """The same numbers as of a source that lies in the grid's own turn."""
    rows, columns = np.mgrid[:80, :90]
    values = (100 + np.sin(rows / 9) * 20 + np.cos(columns / 7) * 30).astype("float32")
    turn = full_turn(CRS(crs))
    pixel = 0.1 * turn / 360
    grid = GeoBox((60, 70), Affine(pixel * 1.25, 0, 178 / 360 * turn, 0, -pixel * 1.25, 3 * turn / 360), crs)
    found = []
    for turns in (0, -1, 1):
        corner = Affine(pixel, 0, west / 360 * turn + turns * turn, 0, -pixel, 4 * turn / 360)
        document = write_scene(tmp_path, f"a{turns}", {"b": SceneBand(RasterFile(values, corner, crs))})
        document["bbox"] = [170, -10, -170, 10]
        plan = el.plan(scene_items([document]), ["b"], like=grid, resampling=resampling, chunks={"y": 33, "x": 40})
        found.append(el.open(plan, strict=True).b.compute().values[0])
    assert np.isfinite(found[0]).any()
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-2)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_a_source_whose_middle_lies_at_180_degrees_is_read_from_its_overview(tmp_path, crs):
    values = np.random.default_rng(0).integers(1, 9999, (400, 400)).astype("uint16")
    file = RasterFile(values, Affine(0.01, 0, 178, 0, -0.01, 2), "EPSG:4326", overviews=(2, 4))
    turn = full_turn(CRS(crs)) / 360
    grid = GeoBox((90, 90), Affine(0.04 * turn, 0, 178.1 * turn, 0, -0.04 * turn, 1.9 * turn), crs)
    document = write_scene(tmp_path, "a", {"b": SceneBand(file)})
    del document["bbox"]
    with rasterio.open(document["assets"]["b"]["href"], overview_level=1) as overview:
        case = Case(replace(file, values=overview.read(1), transform=overview.transform), None, grid, 33)
    expected, margin = turned(case)
    plan = el.plan(scene_items([document]), ["b"], like=grid, chunks={"y": 33, "x": 33})
    assert_equal_where_sure(el.open(plan, strict=True).b.compute().values[0], expected, margin, EXACT)
