"""The reader against rasterio's own windows, against an exact oracle of our own, and against odc-stac."""

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.windows import Window

from earthlab.cube.physical import fill_missing, lay
from earthlab.cube.plan import Source
from earthlab.cube.readers import raster as reader
from earthlab.cube.readers.raster import RESAMPLINGS, norm_resampling
from earthlab.errors import BadRequest, ReadFault
from earthlab.testing.rasters import LATTICE, RasterFile, SceneBand, write_raster, write_scene

ROWS, COLUMNS = 60, 80
SHIFTED = GeoBox((50, 60), LATTICE @ Affine.translation(3.3, 5.7), "EPSG:32631")
FINER = GeoBox((90, 110), LATTICE @ Affine.translation(4, 2) @ Affine.scale(0.4), "EPSG:32631")
LAMBERT = GeoBox.from_bbox((559_000, 6_340_000, 560_200, 6_341_000), "EPSG:2154", resolution=10)


def read_raster(
    href: str,
    index: int,
    geobox: GeoBox,
    *,
    nodata: float | None = None,
    resampling: str = "nearest",
    within: GeoBox | None = None,
) -> np.ndarray:
    """What the reader's window means on the whole tile: numbers, and NaN where there is no observation."""
    source = Source(href, index, nodata=nodata)
    corner = (within or geobox).transform * (0, 0)
    (window,) = reader.read_raster([source], geobox, resampling=resampling, anchor=corner)
    wide = window is not None and not np.can_cast(window.values.dtype, "float32")
    out, fresh = np.zeros(geobox.shape, "float64" if wide else "float32"), np.ones(1, bool)
    if window is None:
        fill_missing(out[None], fresh)
    else:
        lay(out, window, source, None, fresh=True)
    return out


def numbered(dtype: str = "uint16", rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    return (np.arange(rows * columns).reshape(rows, columns) % 251 + 1).astype(dtype)


def over(raster: RasterFile, *, crs: str, pixel: float, grow: float = 0.0) -> GeoBox:
    rows, columns = raster.layers.shape[1:]
    there = GeoBox((rows, columns), raster.transform, raster.crs).extent.to_crs(crs).boundingbox
    box = (there.left - grow, there.bottom - grow, there.right + grow, there.top + grow)
    return GeoBox.from_bbox(box, crs, resolution=pixel)


def by_hand(values: np.ndarray, raster: RasterFile, geobox: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Nearest pixel for each centre, with pyproj and indexing alone, and where the centre is well inside a pixel."""
    rows, columns = np.indices(geobox.shape)
    x, y = geobox.transform * (columns + 0.5, rows + 0.5)
    east, north = Transformer.from_crs(str(geobox.crs), raster.crs, always_xy=True).transform(x, y)
    column, row = ~raster.transform * (east, north)
    inside = (column >= 0) & (column < values.shape[1]) & (row >= 0) & (row < values.shape[0])
    at = (
        np.clip(np.floor(row).astype(int), 0, values.shape[0] - 1),
        np.clip(np.floor(column).astype(int), 0, values.shape[1] - 1),
    )
    sure = (np.abs(column - np.round(column)) > 1e-3) & (np.abs(row - np.round(row)) > 1e-3)
    return np.where(inside, values[at].astype("float64"), np.nan), sure


def odc_band(document: dict, geobox: GeoBox, resampling: str) -> np.ndarray:
    item = pystac.Item.from_dict({**document, "geometry": {"type": "Polygon", "coordinates": [ring(document["bbox"])]}})
    loaded = odc.stac.load([item], bands=["red"], geobox=geobox, resampling=resampling, fail_on_error=True)
    return loaded["red"].isel(time=0).values


def ring(box: list[float]) -> list[list[float]]:
    west, south, east, north = box
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raster(tmp_path_factory.mktemp("numbers") / "numbers.tif", RasterFile(numbered()))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        return


@settings(max_examples=60, deadline=None)
@given(row=st.integers(-70, 70), column=st.integers(-90, 90), rows=st.integers(1, 70), columns=st.integers(1, 90))
def test_a_block_on_the_files_lattice_is_the_files_window_and_nan_outside(numbers, row, column, rows, columns):
    geobox = GeoBox((rows, columns), LATTICE @ Affine.translation(column, row), "EPSG:32631")
    read = read_raster(str(numbers), 1, geobox)
    with rasterio.open(numbers) as source:
        window = Window(column, row, columns, rows)
        expected = source.read(1, window=window, boundless=True, fill_value=0).astype("float32")
    expected[expected == 0] = np.nan
    np.testing.assert_array_equal(read, expected)


def stated(raster: RasterFile, folder: Path) -> dict:
    return write_scene(folder, "un", {"red": SceneBand(raster, "red", nodata=raster.nodata)})


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("geobox", [SHIFTED, FINER], ids=["shifted", "finer"])
def test_in_the_same_crs_every_pixel_is_odc_stacs(tmp_path, geobox, resampling):
    values = np.random.default_rng(3).integers(1, 5000, (ROWS, COLUMNS)).astype("float32")
    values[10:14, 20:26] = np.nan
    document = stated(RasterFile(values, nodata=float("nan")), tmp_path)
    del document["assets"]["red"]["nodata"]
    ours = read_raster(document["assets"]["red"]["href"], 1, geobox, resampling=resampling)
    np.testing.assert_array_equal(ours, odc_band(document, geobox, resampling))


def test_in_the_same_crs_integers_with_nodata_are_odc_stacs(tmp_path):
    values = numbered("int16")
    values[5:9, 30:40] = -1
    document = stated(RasterFile(values, nodata=-1), tmp_path)
    theirs = odc_band(document, SHIFTED, "nearest").astype("float32")
    theirs[theirs == -1] = np.nan
    np.testing.assert_array_equal(read_raster(document["assets"]["red"]["href"], 1, SHIFTED), theirs)


@pytest.mark.parametrize("crs", ["EPSG:2154", "EPSG:32630", "EPSG:3035", "EPSG:4326"])
def test_in_another_crs_every_pixel_is_the_nearest_one_exactly(tmp_path, crs):
    values = numbered()
    raster = RasterFile(values)
    href = write_raster(tmp_path / "un.tif", raster)
    geobox = over(
        raster, crs=crs, pixel=0.0001 if crs == "EPSG:4326" else 10, grow=0.0002 if crs == "EPSG:4326" else 30
    )
    expected, sure = by_hand(values, raster, geobox)
    read = read_raster(str(href), 1, geobox)
    assert sure.mean() > 0.99
    assert np.isnan(read).any()
    np.testing.assert_array_equal(read[sure], expected[sure].astype("float32"))


def test_in_another_crs_odc_stac_agrees_but_for_gdals_tolerance(tmp_path):
    raster = RasterFile(np.random.default_rng(1).integers(1, 5000, (300, 300)).astype("int16"), nodata=-1)
    document = stated(raster, tmp_path)
    geobox = over(raster, crs="EPSG:2154", pixel=10)
    theirs = odc_band(document, geobox, "nearest").astype("float32")
    theirs[theirs == -1] = np.nan
    ours = read_raster(document["assets"]["red"]["href"], 1, geobox)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    assert same.mean() >= 0.99


NODATA = [
    pytest.param("int16", -10000, None, -10000, id="stated-in-the-item"),
    pytest.param("int16", None, -10000, -10000, id="stated-in-the-file"),
    pytest.param("int16", -9999, 0, -9999, id="the-item-wins-over-the-file"),
    pytest.param("uint16", 0, None, 0, id="zero-in-the-item"),
    pytest.param("uint8", None, 0, 0, id="zero-in-the-file"),
    pytest.param("float32", None, float("nan"), np.nan, id="nan-in-the-file"),
    pytest.param("float32", float("nan"), None, np.nan, id="nan-in-the-item"),
    pytest.param("float32", None, None, np.nan, id="nan-and-stated-nowhere"),
    pytest.param("float32", -3.4028234663852886e38, None, np.finfo("float32").min, id="lowest-float32"),
    pytest.param("float64", -1e300, None, -1e300, id="a-float64-only"),
    pytest.param("int32", None, -(2**31), -(2**31), id="lowest-int32"),
]


@pytest.mark.parametrize(("dtype", "in_item", "in_file", "dn"), NODATA)
@pytest.mark.parametrize(
    "geobox",
    [GeoBox((80, 100), LATTICE @ Affine.translation(-5, -5), "EPSG:32631"), SHIFTED, LAMBERT],
    ids=["own-lattice", "shifted", "other-crs"],
)
def test_nodata_becomes_nan_and_nothing_else_does(tmp_path, geobox, dtype, in_item, in_file, dn):
    values = numbered(dtype)
    values[20:30, 20:50] = dn
    raster = RasterFile(values, nodata=in_file)
    href = write_raster(tmp_path / "un.tif", raster)
    if geobox is LAMBERT:
        geobox = over(raster, crs="EPSG:2154", pixel=10, grow=50)
    truth = values.astype("float64")
    truth[20:30, 20:50] = np.nan
    expected, sure = by_hand(truth, raster, geobox)
    read = read_raster(str(href), 1, geobox, nodata=in_item)
    assert np.isnan(expected[sure]).any()
    np.testing.assert_array_equal(read[sure], expected[sure].astype(read.dtype))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", "int32"])
@pytest.mark.parametrize("geobox", [GeoBox((60, 80), LATTICE, "EPSG:32631"), SHIFTED], ids=["pasted", "warped"])
def test_every_dtype_keeps_its_values(tmp_path, dtype, geobox):
    values = numbered(dtype)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1234.5678
    values[25, 25], values[26, 26] = top, top - 1
    raster = RasterFile(values)
    read = read_raster(str(write_raster(tmp_path / "un.tif", raster)), 1, geobox)
    expected, sure = by_hand(values, raster, geobox)
    assert read.dtype == (np.float64 if dtype in {"float64", "int32"} else np.float32)
    np.testing.assert_array_equal(read[sure], expected[sure].astype(read.dtype))


@pytest.mark.parametrize("geobox", [GeoBox((60, 80), LATTICE, "EPSG:32631"), SHIFTED], ids=["pasted", "warped"])
@pytest.mark.parametrize("nodata", [-9999, 300, 1.5])
def test_a_nodata_value_that_the_dtype_cannot_hold_marks_nothing(tmp_path, geobox, nodata):
    href = write_raster(tmp_path / "un.tif", RasterFile(numbered("uint8")))
    plain, marked = read_raster(str(href), 1, geobox), read_raster(str(href), 1, geobox, nodata=nodata)
    np.testing.assert_array_equal(plain, marked)


@pytest.mark.parametrize("geobox", [GeoBox((60, 80), LATTICE, "EPSG:32631"), SHIFTED], ids=["pasted", "warped"])
@pytest.mark.parametrize("nodata", [0, None])
def test_the_bands_of_one_file_are_kept_apart_their_nodata_too(tmp_path, geobox, nodata):
    values = np.stack([numbered(), numbered() + 500, numbered() + 1000])
    values[1, 20:30, 20:50] = 0
    raster = RasterFile(values, nodata=nodata)
    href = str(write_raster(tmp_path / "un.tif", raster))
    for index in (1, 2, 3):
        truth = values[index - 1].astype("float64")
        if nodata is not None:
            truth[truth == 0] = np.nan
        expected, sure = by_hand(truth, raster, geobox)
        np.testing.assert_array_equal(read_raster(href, index, geobox)[sure], expected[sure].astype("float32"))


@pytest.mark.parametrize("geobox", [GeoBox((60, 80), LATTICE, "EPSG:32631"), SHIFTED], ids=["pasted", "warped"])
def test_a_files_own_mask_is_believed_where_no_nodata_is_stated(tmp_path, geobox):
    values, valid = numbered(), np.full((ROWS, COLUMNS), 255, "uint8")
    valid[20:30, 20:50] = 0
    raster = RasterFile(values, mask=valid)
    truth = np.where(valid > 0, values.astype("float64"), np.nan)
    expected, sure = by_hand(truth, raster, geobox)
    read = read_raster(str(write_raster(tmp_path / "un.tif", raster)), 1, geobox)
    np.testing.assert_array_equal(read[sure], expected[sure].astype("float32"))


def test_a_picture_with_an_alpha_band_can_be_read_on_any_grid(tmp_path):
    values = np.stack([numbered("uint8")] * 3 + [np.full((ROWS, COLUMNS), 255, "uint8")])
    raster = RasterFile(values, options={"photometric": "RGB", "alpha": "YES"})
    href = str(write_raster(tmp_path / "un.tif", raster))
    expected, sure = by_hand(values[1], raster, SHIFTED)
    np.testing.assert_array_equal(read_raster(href, 2, SHIFTED)[sure], expected[sure].astype("float32"))


def test_a_grid_four_times_coarser_is_read_from_the_overview(tmp_path):
    href = write_raster(tmp_path / "un.tif", RasterFile(numbered("float32", 256, 256), overviews=(2, 4)))
    geobox = GeoBox((60, 60), LATTICE @ Affine.translation(4, 8) @ Affine.scale(4), "EPSG:32631")
    with rasterio.open(href, overview_level=1) as overview:
        expected = overview.read(1, window=Window(1, 2, 60, 60))
    np.testing.assert_array_equal(read_raster(str(href), 1, geobox), expected)


def test_without_overviews_a_coarser_grid_takes_pixels_of_the_file(tmp_path):
    values = numbered("uint16", 128, 128)
    raster = RasterFile(values)
    href = write_raster(tmp_path / "un.tif", raster)
    geobox = GeoBox((30, 30), LATTICE @ Affine.translation(2.3, 1.4) @ Affine.scale(4), "EPSG:32631")
    expected, sure = by_hand(values, raster, geobox)
    np.testing.assert_array_equal(read_raster(str(href), 1, geobox)[sure], expected[sure].astype("float32"))


def test_a_file_with_south_up_is_read_the_right_way_round(tmp_path):
    values = numbered()
    upside_down = RasterFile(values[::-1].copy(), Affine(10, 0, LATTICE.c, 0, 10, LATTICE.f - 10 * ROWS))
    read = read_raster(
        str(write_raster(tmp_path / "un.tif", upside_down)), 1, GeoBox((ROWS, COLUMNS), LATTICE, "EPSG:32631")
    )
    np.testing.assert_array_equal(read, values.astype("float32"))


@pytest.mark.parametrize("geobox", [LAMBERT, GeoBox((9, 9), LATTICE @ Affine.translation(500, 500), "EPSG:32631")])
def test_a_grid_that_the_file_does_not_touch_is_all_nan(tmp_path, geobox):
    elsewhere = RasterFile(numbered(), Affine(10, 0, 700_000, 0, -10, 4_000_000))
    assert np.isnan(read_raster(str(write_raster(tmp_path / "un.tif", elsewhere)), 1, geobox)).all()


def test_a_local_file_that_is_missing_is_a_fault(tmp_path):
    with pytest.raises(ReadFault, match=r"absent\.tif cannot be read: .*No such file"):
        read_raster(str(tmp_path / "absent.tif"), 1, SHIFTED)


def test_a_served_file_that_is_missing_is_a_fault(served):
    with pytest.raises(ReadFault, match=r"absent\.tif cannot be read: .*404"):
        read_raster(f"{served}/absent.tif", 1, SHIFTED)


def test_a_served_file_reads_as_a_local_one(served, tmp_path):
    write_raster(tmp_path / "un.tif", RasterFile(numbered()))
    local = read_raster(str(tmp_path / "un.tif"), 1, SHIFTED)
    np.testing.assert_array_equal(read_raster(f"{served}/un.tif", 1, SHIFTED), local)


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("geobox", [GeoBox((256, 256), LATTICE, "EPSG:32631"), SHIFTED], ids=["pasted", "warped"])
def test_a_truncated_file_is_a_fault_and_never_values(tmp_path, keep, geobox):
    whole = write_raster(tmp_path / "un.tif", RasterFile(np.random.default_rng(0).random((256, 256)).astype("float32")))
    content = whole.read_bytes()
    whole.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ReadFault, match=r"un\.tif cannot be read"):
        read_raster(str(whole), 1, geobox)


def test_a_file_that_is_no_raster_is_a_fault(tmp_path):
    (tmp_path / "un.tif").write_text("<html>403 Forbidden</html>")
    with pytest.raises(ReadFault, match="not recognized"):
        read_raster(str(tmp_path / "un.tif"), 1, SHIFTED)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_without_crs_is_a_fault(tmp_path):
    href = write_raster(tmp_path / "un.tif", RasterFile(numbered(), crs=None))
    with pytest.raises(ReadFault, match="states no CRS"):
        read_raster(str(href), 1, SHIFTED)


def test_a_crs_that_leads_nowhere_is_a_fault(tmp_path):
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    href = write_raster(tmp_path / "un.tif", RasterFile(numbered(), crs=local))
    with pytest.raises(ReadFault, match=r"un\.tif cannot be read"):
        read_raster(str(href), 1, SHIFTED)


@pytest.mark.parametrize("index", [2, 0, -1])
def test_a_band_the_file_does_not_have_is_a_fault(numbers, index):
    with pytest.raises(ReadFault, match=r"has 1 bands?, band -?\d was expected"):
        read_raster(str(numbers), index, SHIFTED)


def test_a_signed_address_never_shows_its_signature(tmp_path):
    with pytest.raises(ReadFault) as caught:
        read_raster("http://127.0.0.1:1/un.tif?sig=TOPSECRET", 1, SHIFTED)
    assert "TOPSECRET" not in str(caught.value)
    with pytest.raises(ReadFault) as caught:
        read_raster("http://user:TOPSECRET@127.0.0.1:1/un.tif", 1, SHIFTED)
    assert "TOPSECRET" not in str(caught.value)


def test_resamplings_are_gdals_and_others_are_refused():
    assert norm_resampling("bilinear") == "bilinear"
    assert "gauss" not in RESAMPLINGS
    for name in ("billinear", "", None, 3):
        with pytest.raises(BadRequest, match="expected one of nearest, bilinear"):
            norm_resampling(name)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(row=st.integers(0, 50), column=st.integers(0, 90), rows=st.integers(1, 60), columns=st.integers(1, 60))
def test_a_part_of_a_warped_grid_has_the_pixels_of_the_whole(numbers, row, column, rows, columns):
    whole = over(RasterFile(numbered()), crs="EPSG:2154", pixel=7)[:160, :160]
    part = whole[row : row + rows, column : column + columns]
    for resampling in ("nearest", "bilinear"):
        read = read_raster(str(numbers), 1, whole, resampling=resampling)[row : row + rows, column : column + columns]
        np.testing.assert_array_equal(read_raster(str(numbers), 1, part, resampling=resampling, within=whole), read)


def test_what_gdal_keeps_of_decoded_blocks_is_bounded_however_many_threads_read(tmp_path):
    write_raster(tmp_path / "a.tif", RasterFile(numbered()))
    done = subprocess.run(
        [sys.executable, "-c", CACHE_AFTER_READS, str(tmp_path / "a.tif")],
        env={k: v for k, v in os.environ.items() if k != "GDAL_CACHEMAX"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {int(line) for line in done.stdout.split()} == {64 * 2**20}


CACHE_AFTER_READS = """
import ctypes, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from odc.geo.geobox import GeoBox
from earthlab.cube.plan import Source
from earthlab.cube.readers.raster import read_raster
import rasterio
import rasterio.shutil

with rasterio.open(sys.argv[1]) as source:
    box = GeoBox(source.shape, source.transform, str(source.crs))
libraries = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libgdal" in line}
gdal = ctypes.CDLL(libraries.pop())
gdal.GDALGetCacheMax64.restype = ctypes.c_longlong

def read(_):
    read_raster([Source(sys.argv[1], 1)], box, resampling="nearest", anchor=(box.transform.c, box.transform.f))
    return gdal.GDALGetCacheMax64()

with ThreadPoolExecutor(8) as pool:
    print(*pool.map(read, range(64)))
"""


NATIVE = GeoBox((ROWS, COLUMNS), LATTICE, "EPSG:32631")
TURNED = over(RasterFile(numbered()), crs="EPSG:2154", pixel=10)


def scattered(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((ROWS, COLUMNS)) > 0.1


@pytest.mark.parametrize("stated", [0, None], ids=["catalogue", "file"])
@pytest.mark.parametrize("geobox", [NATIVE, FINER, SHIFTED, TURNED], ids=["native", "finer", "shifted", "turned"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average", "mode"])
def test_a_mask_of_the_files_own_and_a_nodata_value_both_count(tmp_path, geobox, resampling, stated):
    valid, observed = scattered(), scattered(2)
    values = np.where(observed, numbered(), 0).astype("uint16")
    masked = RasterFile(values, mask=valid, nodata=None if stated is not None else 0)
    filled = RasterFile(np.where(valid, values, 0).astype("uint16"), nodata=0)
    paths = [write_raster(tmp_path / f"{at}.tif", raster) for at, raster in enumerate((masked, filled))]
    found, expected = (read_raster(str(p), 1, geobox, nodata=stated, resampling=resampling) for p in paths)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if geobox is NATIVE:
        np.testing.assert_array_equal(np.isnan(found), ~(valid & observed))


@pytest.mark.parametrize("geobox", [NATIVE, TURNED], ids=["native", "turned"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average", "mode"])
def test_an_alpha_band_and_a_nodata_value_both_count(tmp_path, geobox, resampling):
    valid, observed = scattered(), scattered(2)
    values = np.where(observed, numbered("uint8"), 0).astype("uint8")
    alpha = np.where(valid, 255, 0).astype("uint8")
    seen = RasterFile(np.stack([values] * 3 + [alpha]), options={"photometric": "RGB", "alpha": "YES"})
    filled = RasterFile(np.where(valid, values, 0).astype("uint8"), nodata=0)
    paths = [write_raster(tmp_path / f"{at}.tif", raster) for at, raster in enumerate((seen, filled))]
    found, expected = (read_raster(str(p), 1, geobox, nodata=0, resampling=resampling) for p in paths)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("geobox", [NATIVE, TURNED], ids=["native", "turned"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize("own", [float(np.finfo("float32").min), -3.40282306074e38, None])
def test_a_nodata_value_at_the_limit_of_floats_counts_though_the_catalogue_has_rounded_it(
    tmp_path, geobox, resampling, own
):
    mark = np.float32(float(np.finfo("float32").min) if own is None else own)
    values = np.where(scattered(), numbered("float32"), mark)
    path = write_raster(tmp_path / "f.tif", RasterFile(values, nodata=own))
    found = read_raster(str(path), 1, geobox, nodata=-3.4e38, resampling=resampling)
    exact = write_raster(tmp_path / "e.tif", RasterFile(values, nodata=float(mark)))
    np.testing.assert_array_equal(found, read_raster(str(exact), 1, geobox, resampling=resampling))
    assert np.nanmin(found) > -100


def test_a_nodata_value_of_everyday_size_is_taken_as_the_catalogue_states_it(tmp_path):
    values = numbered("float32")
    values[0, :3] = -32768, -32767, -9999
    path = write_raster(tmp_path / "f.tif", RasterFile(values, nodata=-32767))
    found = read_raster(str(path), 1, NATIVE, nodata=-32768)
    assert np.isnan(found[0, 0])
    assert found[0, 1:3].tolist() == [-32767, -9999]


@pytest.mark.parametrize("stated", [True, False], ids=["catalogue", "file"])
@pytest.mark.parametrize("geobox", [NATIVE, TURNED], ids=["native", "turned"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "mode"])
@pytest.mark.parametrize(("dtype", "end"), [("int64", "min"), ("int64", "max"), ("uint64", "max")])
def test_the_least_and_the_largest_of_64_bits_can_be_nodata(tmp_path, dtype, end, resampling, geobox, stated):
    mark = int(getattr(np.iinfo(dtype), end))
    values, valid = numbered(dtype), scattered()
    plain = write_raster(tmp_path / "plain.tif", RasterFile(np.where(valid, values, mark).astype(dtype)))
    path = plain if stated else _marked(plain, tmp_path / "marked.vrt", mark)
    oracle = write_raster(tmp_path / "oracle.tif", RasterFile(np.where(valid, values, 0).astype("uint16"), nodata=0))
    found = read_raster(str(path), 1, geobox, nodata=float(mark) if stated else None, resampling=resampling)
    expected = read_raster(str(oracle), 1, geobox, resampling=resampling)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def _marked(path: Path, vrt: Path, mark: int) -> Path:
    """The file with a nodata value of 64 bits, which rasterio cannot write."""
    rasterio.shutil.copy(path, vrt, driver="VRT")
    vrt.write_text(re.sub("(<VRTRasterBand[^>]*>)", rf"\1<NoDataValue>{mark}</NoDataValue>", vrt.read_text()))
    return vrt


@pytest.mark.parametrize("geobox", [NATIVE, TURNED], ids=["native", "turned"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize("stated", [float("nan"), -9999.0, 0.5])
def test_what_the_dtype_cannot_hold_leaves_the_files_own_nodata_value(tmp_path, geobox, resampling, stated):
    values = np.where(scattered(), numbered("uint8"), 255).astype("uint8")
    path = str(write_raster(tmp_path / "f.tif", RasterFile(values, nodata=255)))
    found, expected = (read_raster(path, 1, geobox, nodata=said, resampling=resampling) for said in (stated, None))
    np.testing.assert_array_equal(found, expected)
    assert np.nanmax(found) <= 251


def test_a_nodata_value_that_a_dtype_cannot_hold_marks_nothing(tmp_path):
    values = numbered("uint8")
    values[0, 0] = 255
    plain = write_raster(tmp_path / "plain.tif", RasterFile(values))
    found = read_raster(str(_marked(plain, tmp_path / "marked.vrt", -9999)), 1, NATIVE)
    np.testing.assert_array_equal(found, values)
