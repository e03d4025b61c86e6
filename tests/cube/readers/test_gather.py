"""The kernels against GDAL's own, warping exactly, and against what no tiling may change."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from earthlab.cube.plan import Source
from earthlab.cube.readers import placement as placing
from earthlab.cube.readers.gather import locate
from earthlab.cube.readers.placed import Marks, can_gather, resample
from earthlab.cube.readers.placement import TOLERANCE, place, serves
from earthlab.cube.readers.raster import read_raster
from earthlab.cube.readers.window import Window
from earthlab.errors import ReadFault
from earthlab.testing.rasters import RasterFile, write_raster

UTM = GeoBox((300, 340), Affine(10, 0, 300_000, 0, -10, 4_900_020), "EPSG:32631")
DEGREES = GeoBox((200, 240), Affine(0.1, 0, -20, 0, -0.1, 55), "EPSG:4326")
SEAM = GeoBox((150, 300), Affine(0.1, 0, 165, 0, -0.1, 10), "EPSG:4326")
POLAR = GeoBox((200, 200), Affine(12_500, 0, -500_000, 0, -12_500, 800_000), "EPSG:3413")


def near(native: GeoBox, crs: str, pixel: float, shape: tuple[int, int] = (160, 170), shift: int = 0) -> GeoBox:
    x, y = (round(at / pixel) * pixel for at in native.extent.to_crs(crs).centroid.coords[0])
    corner = Affine.translation(x - (shape[1] // 2 - shift) * pixel, y + shape[0] // 2 * pixel)
    return GeoBox(shape, corner @ Affine.scale(pixel, -pixel), crs)


PAIRS = {
    "utm-lambert": (UTM, near(UTM, "EPSG:2154", 10)),
    "partly-outside": (UTM, near(UTM, "EPSG:2154", 10, shift=160)),
    "all-around": (UTM, near(UTM, "EPSG:2154", 10, shape=(450, 460))),
    "utm-next-zone": (UTM, near(UTM, "EPSG:32630", 10)),
    "utm-degrees": (UTM, near(UTM, "EPSG:4326", 8e-5)),
    "degrees-mercator": (DEGREES, near(DEGREES, "EPSG:3857", 10_000)),
    "polar-degrees": (POLAR, near(POLAR, "EPSG:4326", 0.1)),
    "degrees-polar": (DEGREES, near(DEGREES, "EPSG:3413", 4_000)),
    "antimeridian": (SEAM, GeoBox((160, 170), Affine(9_000, 0, 18.6e6, 0, -9_000, 9e5), "EPSG:3857")),
    "same-crs-shifted": (UTM, GeoBox((160, 170), UTM.transform @ Affine.translation(-3.3, 5.7), UTM.crs)),
    "same-crs-finer": (UTM, GeoBox((160, 170), UTM.transform @ Affine.translation(4, 2) @ Affine.scale(0.4), UTM.crs)),
}
pairs = pytest.mark.parametrize("pair", list(PAIRS))


def numbers(native: GeoBox, dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    top = 200 if np.dtype(dtype).itemsize == 1 and dtype == "uint8" else 100 if dtype == "int8" else 5000
    return np.random.default_rng(seed).integers(1, top, native.shape).astype(dtype)


@contextmanager
def opened(values: np.ndarray, native: GeoBox, nodata: float | None, mask: np.ndarray | None) -> Iterator:
    rows, columns = values.shape
    words = {"count": 1, "height": rows, "width": columns, "dtype": values.dtype, "nodata": nodata}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        with memory.open(driver="GTiff", crs=str(native.crs), transform=native.transform, **words) as out:
            out.write(values, 1)
            if mask is not None:
                out.write_mask(mask.astype("uint8") * 255)
        with memory.open() as source:
            yield source


def by_gdal(values, native, tile, resampling, *, nodata=None, mask=None) -> np.ndarray:
    """GDAL with next to no tolerance: float64, NaN where there is no observation.

    Its scales are set: left alone it takes the outline of a turned tile for a coarser scale, and blurs.
    """
    floating = "float64" if values.dtype in ("float64", "int32", "uint32") else "float32"
    marks = {"add_alpha": True} if nodata is None else {"src_nodata": nodata, "nodata": np.nan}
    with (
        opened(values, native, nodata, mask) as source,
        WarpedVRT(
            source,
            crs=str(tile.crs),
            transform=tile.transform,
            width=tile.shape.x,
            height=tile.shape.y,
            resampling=Resampling[resampling],
            dtype=floating,
            tolerance=1e-9,
            UNIFIED_SRC_NODATA="NO",
            XSCALE=1,
            YSCALE=1,
            **marks,
        ) as view,
    ):
        out = view.read(1).astype("float64")
        return out if nodata is not None else np.where(view.read(2) > 0, out, np.nan)


def by_us(values, native, tile, resampling, *, nodata=None, mask=None, anchor=None) -> np.ndarray:
    marks = Marks(nodata, None if mask is None else lambda rows, columns: mask[rows, columns])
    placement = place(native, tile, anchor or tile.transform * (0, 0))
    window = resample(
        lambda rows, columns: values[rows, columns],
        placement,
        dtype=str(values.dtype),
        resampling=resampling,
        marks=marks,
    )
    return meant(window, tile)


def meant(window: Window | None, tile: GeoBox) -> np.ndarray:
    out = np.full(tile.shape, np.nan)
    if window is not None:
        rows, columns = window.values.shape
        values = window.values.astype("float64")
        if window.nodata is not None:
            values[window.values == window.nodata] = np.nan
        if window.valid is not None:
            values[~window.valid] = np.nan
        out[window.row : window.row + rows, window.column : window.column + columns] = values
    return out


def sure(native: GeoBox, tile: GeoBox) -> np.ndarray:
    """Where a position is further from the edges of source pixels than it may stray."""
    lattice = place(native, tile, tile.transform * (0, 0)).lattice
    rows, columns = np.empty((2, *tile.shape))
    for i in range(tile.shape.y):
        locate(rows[i], columns[i], lattice, i, 0)
    return np.logical_and(*(np.abs(at - np.round(at)) > 2 * TOLERANCE for at in (rows, columns)))


@pairs
@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_values_are_gdals(pair, resampling):
    native, tile = PAIRS[pair]
    values = numbers(native)
    assert serves(native, tile, resampling)
    certain = sure(native, tile)
    ours, theirs = by_us(values, native, tile, resampling), by_gdal(values, native, tile, resampling)
    if pair == "antimeridian":
        certain &= np.isfinite(theirs)  # GDAL gives nothing on the far side
    assert certain.mean() > (0.5 if pair in {"same-crs-finer", "antimeridian"} else 0.97)
    assert np.isfinite(theirs).mean() > 0.1
    slack = 0 if resampling == "nearest" else 4 * TOLERANCE * values.max()
    np.testing.assert_allclose(ours[certain], theirs[certain], rtol=0, atol=slack)


@pytest.mark.parametrize("pair", ["same-crs-shifted", "same-crs-finer"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_in_one_crs_values_are_gdals_to_the_last_digits_everywhere(pair, resampling):
    native, tile = PAIRS[pair]
    values = numbers(native, "float32")
    ours, theirs = by_us(values, native, tile, resampling), by_gdal(values, native, tile, resampling)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def spoilt(values: np.ndarray, dn: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    good = rng.random(values.shape) > 0.25
    good[40:80, 50:90] = False
    return np.where(good, values, np.array(dn).astype(values.dtype)), good


KINDS = [("uint8", 0), ("int16", -9999), ("uint16", 65535), ("int32", -(2**31)), ("float32", -9999.0)]
KINDS += [("float64", -1e300), ("float32", float("nan")), ("float32", -3.4028234663852886e38)]


@pytest.mark.parametrize("pair", ["utm-lambert", "all-around", "same-crs-shifted"])
@pytest.mark.parametrize(("dtype", "nodata"), KINDS)
@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_nodata_takes_no_part_and_stays_nodata_where_it_is_the_nearest(pair, dtype, nodata, resampling):
    native, tile = PAIRS[pair]
    values, good = spoilt(numbers(native, dtype), nodata)
    certain = sure(native, tile)
    ours = by_us(values, native, tile, resampling, nodata=nodata)
    theirs = by_gdal(values, native, tile, resampling, nodata=nodata)
    slack = 0 if resampling == "nearest" else 8 * TOLERANCE * values[good].max()
    np.testing.assert_allclose(ours[certain], theirs[certain], rtol=0, atol=slack)


@pytest.mark.parametrize("pair", ["utm-lambert", "all-around", "same-crs-shifted"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_a_mask_counts_as_nodata_does(pair, resampling):
    native, tile = PAIRS[pair]
    values, (_, good) = numbers(native), spoilt(numbers(native), 0)
    certain = sure(native, tile)
    ours = by_us(values, native, tile, resampling, mask=good)
    theirs = by_gdal(values, native, tile, resampling, mask=good)
    slack = 0 if resampling == "nearest" else 8 * TOLERANCE * values.max()
    np.testing.assert_allclose(ours[certain], theirs[certain], rtol=0, atol=slack)
    both = by_us(np.where(good, values, 0).astype("uint16"), native, tile, resampling, nodata=0)
    np.testing.assert_array_equal(ours, both)


def test_a_nan_that_nothing_announces_is_no_observation_either():
    native, tile = PAIRS["utm-lambert"]
    values, _ = spoilt(numbers(native, "float32"), np.nan)
    announced = by_us(values, native, tile, "bilinear", nodata=np.nan)
    np.testing.assert_array_equal(by_us(values, native, tile, "bilinear"), announced)
    np.testing.assert_array_equal(by_us(values, native, tile, "bilinear", nodata=-9999.0), announced)
    assert np.isfinite(announced).any()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_nearest_keeps_the_dtype_and_bilinear_is_wide_enough(dtype):
    native, tile = PAIRS["utm-lambert"]
    values = numbers(native, dtype)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1.5
    values[:] = top
    for resampling, expected in (
        ("nearest", dtype),
        ("bilinear", "float32" if np.can_cast(dtype, "float32") else "float64"),
    ):
        placement = place(native, tile, (0.0, 0.0))
        window = resample(
            lambda rows, columns: values[rows, columns],
            placement,
            dtype=dtype,
            resampling=resampling,
            marks=Marks(),
        )
        assert window is not None
        assert window.values.dtype == expected
        assert (window.values == top).all()


@pytest.mark.parametrize("dtype", ["complex64", "float16"])
def test_kinds_the_kernels_do_not_take_are_refused(dtype):
    assert can_gather("int16")
    assert not can_gather(dtype)


def test_a_source_that_is_not_touched_is_never_read():
    tile = GeoBox((50, 50), Affine(10, 0, 900_000, 0, -10, 6_900_000), "EPSG:2154")

    def read(_rows: slice, _columns: slice) -> np.ndarray:
        raise AssertionError("read")

    placement = place(UTM, tile, tile.transform * (0, 0))
    assert resample(read, placement, dtype="uint8", resampling="nearest", marks=Marks()) is None


@pytest.mark.parametrize("masked", [False, True])
def test_a_read_of_another_shape_is_a_fault_before_a_kernel_sees_it(masked):
    native, tile = PAIRS["utm-lambert"]
    values = numbers(native)
    marks = Marks(None, lambda rows, columns: values[rows, columns][1:] > 0) if masked else Marks()

    def read(rows: slice, columns: slice) -> np.ndarray:
        return values[rows, columns] if masked else values[rows, columns][:, 1:]

    with pytest.raises(ReadFault, match="were expected"):
        resample(read, place(native, tile, (0.0, 0.0)), dtype="uint16", resampling="nearest", marks=marks)


def test_only_what_the_tile_needs_is_read():
    native, tile = PAIRS["utm-lambert"]
    asked = []

    def read(rows: slice, columns: slice) -> np.ndarray:
        asked.append((rows, columns))
        return numbers(native)[rows, columns]

    resample(read, place(native, tile, (0.0, 0.0)), dtype="uint16", resampling="bilinear", marks=Marks())
    ((rows, columns),) = asked
    assert rows.stop - rows.start < 185
    assert columns.stop - columns.start < 185


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_pieces_make_the_same_tile(monkeypatch, resampling):
    native, tile = PAIRS["all-around"]
    values, _ = spoilt(numbers(native), 0)
    whole = by_us(values, native, tile, resampling, nodata=0)
    monkeypatch.setattr(placing, "MOST_READ", 5_000)
    monkeypatch.setattr(placing, "_kept", placing._Kept())
    np.testing.assert_array_equal(by_us(values, native, tile, resampling, nodata=0), whole)


@settings(max_examples=40, deadline=None)
@given(
    pair=st.sampled_from(["all-around", "antimeridian", "degrees-polar", "utm-degrees"]),
    resampling=st.sampled_from(["nearest", "bilinear"]),
    row=st.integers(0, 70),
    column=st.integers(0, 80),
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
)
def test_tiling_never_changes_a_pixel_not_by_a_bit(pair, resampling, row, column, rows, columns):
    native, tile = PAIRS[pair]
    values, _ = spoilt(numbers(native), 0)
    anchor = tile.transform * (0, 0)
    whole = by_us(values, native, tile, resampling, nodata=0)
    part = by_us(values, native, tile[row : row + rows, column : column + columns], resampling, nodata=0, anchor=anchor)
    np.testing.assert_array_equal(part, whole[row : row + rows, column : column + columns])


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_a_tile_over_the_pole_joins_where_the_source_ends(resampling):
    native = GeoBox((360, 720), Affine(0.5, 0, 0, 0, -0.5, 90), "EPSG:4326")
    latitude = np.repeat(90 - 0.25 - 0.5 * np.arange(360, dtype="float32"), 720).reshape(360, 720)
    tile = GeoBox((120, 130), Affine(8_000, 0, -500_000, 0, -8_000, 450_000), "EPSG:3413")
    found = by_us(latitude, native, tile, resampling)
    x, y = tile.transform * tuple(np.indices(tile.shape)[::-1] + 0.5)
    expected = rasterio.warp.transform("EPSG:3413", "EPSG:4326", x.ravel(), y.ravel())[1]
    assert np.isfinite(found).all()
    assert np.abs(found.ravel() - expected).max() <= 0.26


def test_longitudes_from_0_to_360_are_read_west_of_greenwich():
    native = GeoBox((180, 360), Affine(1, 0, 0, 0, -1, 90), "EPSG:4326")
    values = np.broadcast_to(np.arange(360, dtype="int16"), native.shape)
    tile = GeoBox((40, 40), Affine(0.5, 0, -10.1, 0, -0.5, 50), "EPSG:4326")
    found = by_us(values, native, tile, "nearest")
    expected = np.floor((-10.1 + 0.5 * (np.arange(40) + 0.5)) % 360)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, tile.shape))


def test_the_reader_believes_a_files_own_mask_when_it_blends(tmp_path: Path):
    native, tile = PAIRS["utm-lambert"]
    values, (_, good) = numbers(native), spoilt(numbers(native), 0)
    raster = RasterFile(values, transform=native.transform, crs=str(native.crs), mask=good.astype("uint8") * 255)
    href = str(write_raster(tmp_path / "un.tif", raster))
    (window,) = read_raster([Source(href)], tile, resampling="bilinear", anchor=tile.transform * (0, 0))
    expected = by_us(values, native, tile, "bilinear", mask=good)
    np.testing.assert_array_equal(meant(window, tile), expected)
