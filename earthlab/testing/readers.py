"""The contract of a reader, as checks that every one passes.

A reader is what `earthlab.cube.readers.Reader` says. To check one, say in a `Format` how an array of known values gets
into a file of its kind, and run every check of `CHECKS` on it, each in a folder of its own::

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_the_contract(check, tmp_path):
        check(MY_FORMAT, tmp_path)

The oracles are indexing with numpy, positions from pyproj, and GDAL's own warp of the array in memory.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject

from earthlab.cube.plan import Source
from earthlab.cube.readers import Reader, Window
from earthlab.errors import ReadFault
from earthlab.testing.rasters import LATTICE

Array = np.ndarray[Any, np.dtype[Any]]

SECRET = "topsecret"  # noqa: S105 - what must not be found again
_ROWS, _COLUMNS = 60, 80
_UTM = "EPSG:32631"


@dataclass(frozen=True, eq=False)
class Known:
    """An array whose every value is known. ``values`` are the stored numbers; axes date, row (north first), column.

    ``chunks`` are dates, rows and columns stored together. With ``south_first`` the file shall hold its rows the other
    way round, where its format can.
    """

    values: Array
    transform: Affine = LATTICE
    crs: str = _UTM
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    chunks: tuple[int, int, int] = (1, 32, 32)
    south_first: bool = False

    @property
    def geobox(self) -> GeoBox:
        """Where the array lies."""
        return GeoBox(self.values.shape[1:], self.transform, self.crs)


@dataclass(frozen=True)
class Format:
    """A reader and how arrays get into files of its kind.

    ``write`` makes a file in a folder, under a name without suffix, and gives one source a date. ``address`` gives the
    href of a path, where files are not read from the disk. A format may be without some abilities: several ``dates`` in
    one file, ``packing`` or ``nodata`` stated by the file, ``south_first`` rows, a ``globe`` of longitudes from 0 to
    360. ``dtypes`` are those it can hold; the first of them serves where any does.
    """

    name: str
    reader: Reader
    write: Callable[[Path, Known], Sequence[Source]]
    address: Callable[[Path], str] = str
    dates: bool = True
    packing: bool = True
    nodata: bool = True
    south_first: bool = True
    globe: bool = True
    dtypes: tuple[str, ...] = ("uint16", "uint8", "int16", "int32", "float32", "float64")

    @property
    def real(self) -> str:
        """float32 where the format can hold it, else its first dtype."""
        return "float32" if "float32" in self.dtypes else self.dtypes[0]

    def numbered(self, **sizes: int) -> Array:
        """`numbered` values of its first dtype."""
        return numbered(self.dtypes[0], **sizes)

    def store(self, path: Path, known: Known) -> list[Source]:
        """The sources of a file written now, with the addresses that the reader shall use."""
        nodata = known.nodata if not self.nodata else None
        return [
            replace(source, href=self.address(Path(source.href)), nodata=nodata) for source in self.write(path, known)
        ]

    def read(self, sources: Sequence[Source], tile: GeoBox, resampling: str = "nearest", **words: Any) -> list[Any]:
        """The reader's windows; the anchor is the tile's own corner unless it is given."""
        corner = (tile.transform.c, tile.transform.f)
        return self.reader(sources, tile, resampling=resampling, anchor=words.get("anchor", corner))


def numbered(dtype: str = "uint16", *, dates: int = 1, rows: int = _ROWS, columns: int = _COLUMNS) -> Array:
    """Values from 1 to 120 that differ between neighbours and dates."""
    flat = np.arange(dates * rows * columns).reshape(dates, rows, columns)
    return ((flat * 7) % 120 + 1).astype(dtype)


def filled(window: Window | None, tile: GeoBox) -> Array:
    """The whole tile as float64, NaN where the window has no observation, not scaled."""
    whole = np.full(tile.shape, np.nan)
    if window is not None:
        rows, columns = window.values.shape
        spot = (slice(window.row, window.row + rows), slice(window.column, window.column + columns))
        whole[spot] = np.where(observed(window), window.values.astype("float64"), np.nan)
    return whole


def observed(window: Window) -> Array:
    """Whether each value of a window is an observation, as the cube takes it."""
    good = ~np.isnan(window.values) if window.values.dtype.kind == "f" else np.ones(window.values.shape, bool)
    if window.nodata is not None and not np.isnan(window.nodata):
        good &= window.values != window.nodata
    return good if window.valid is None else good & window.valid


def check_that_a_tile_on_the_lattice_is_pasted(format_: Format, folder: Path) -> None:
    """Inside, over each side and corner, and larger than the file: the file's own numbers at their places."""
    known = Known(format_.numbered())
    sources = format_.store(folder / "known", known)
    for row, column, rows, columns in _places(known):
        tile = GeoBox((rows, columns), known.transform @ Affine.translation(column, row), known.crs)
        (window,) = format_.read(sources, tile)
        assert window is not None
        assert window.values.dtype == known.values.dtype
        np.testing.assert_array_equal(filled(window, tile), _cut(known.values[0], row, column, (rows, columns)))


def check_that_what_the_source_does_not_touch_is_none(format_: Format, folder: Path) -> None:
    """On each side of the file, on its lattice."""
    known = Known(format_.numbered())
    sources = format_.store(folder / "known", known)
    for row, column in ((-9, 0), (_ROWS, 0), (0, -9), (0, _COLUMNS), (500, 500)):
        tile = GeoBox((9, 9), known.transform @ Affine.translation(column, row), known.crs)
        assert format_.read(sources, tile) == [None]


def check_that_every_dtype_is_kept(format_: Format, folder: Path) -> None:
    """The numbers come as they are stored."""
    for dtype in format_.dtypes:
        known = Known(numbered(dtype))
        (window,) = format_.read(format_.store(folder / dtype, known), known.geobox)
        assert window.values.dtype == np.dtype(dtype), dtype
        np.testing.assert_array_equal(filled(window, known.geobox), known.values[0])


def check_that_rows_come_north_first(format_: Format, folder: Path) -> None:
    """Whatever their order in the file."""
    if not format_.south_first:
        return
    known = Known(format_.numbered(), south_first=True)
    sources = format_.store(folder / "known", known)
    tile = GeoBox((20, 30), known.transform @ Affine.translation(11, 7), known.crs)
    (window,) = format_.read(sources, tile)
    np.testing.assert_array_equal(filled(window, tile), known.values[0, 7:27, 11:41])


def check_that_no_data_is_no_observation(format_: Format, folder: Path) -> None:
    """The file's own nodata, the catalogue's in its place, and NaN; pasted and warped."""
    for name, dtype, empty in (("integer", format_.dtypes[0], 0.0), ("float", format_.real, float("nan"))):
        if name == "float" and np.dtype(dtype).kind != "f":
            continue
        values = numbered(dtype)
        values[0, 10:20, 15:40] = empty
        known = Known(values, nodata=empty)
        sources = format_.store(folder / name, known)
        (window,) = format_.read(sources, known.geobox)
        expected = values[0] != empty if name == "integer" else ~np.isnan(values[0])
        np.testing.assert_array_equal(observed(window), expected)
        finer = _finer(known)
        (window,) = format_.read(sources, finer)
        assert np.isnan(filled(window, finer))[30:50, 45:105].all()
        assert np.isfinite(filled(window, finer)[:20]).all()
    known = Known(format_.numbered())
    sources = [replace(source, nodata=5.0) for source in format_.store(folder / "said", known)]
    (window,) = format_.read(sources, known.geobox)
    np.testing.assert_array_equal(observed(window), known.values[0] != 5)


def check_that_packing_is_given_back(format_: Format, folder: Path) -> None:
    """Scale and offset of the file come with the window; its numbers stay packed."""
    if not format_.packing:
        return
    known = Known(numbered("int16"), scale=0.01, offset=-5.0, nodata=-1.0)
    (window,) = format_.read(format_.store(folder / "known", known), known.geobox)
    assert (window.scale, window.offset) == (0.01, -5.0)
    np.testing.assert_array_equal(window.values, known.values[0])


def check_that_the_nearest_pixel_is_taken(format_: Format, folder: Path) -> None:
    """On a finer lattice of the same CRS and in another CRS: against positions from pyproj."""
    known = Known(format_.numbered())
    sources = format_.store(folder / "known", known)
    for tile in (_finer(known), _shifted(known), _coarser(known), _elsewhere(known)):
        (window,) = format_.read(sources, tile)
        expected, sure = _nearest_by_hand(known, tile)
        np.testing.assert_array_equal(filled(window, tile)[sure], expected[sure])


def check_that_kernels_are_gdals(format_: Format, folder: Path) -> None:
    """Bilinear and cubic in another CRS: against GDAL's own warp of the array, within its rounding of positions."""
    smooth = np.cumsum(np.random.default_rng(5).normal(size=(1, _ROWS, _COLUMNS)), axis=2) + 100
    values = smooth.astype(format_.real)
    known = Known(values, nodata=float("nan") if values.dtype.kind == "f" else None)
    sources = format_.store(folder / "known", known)
    for resampling in ("bilinear", "cubic"):
        tile = _elsewhere(known)
        (window,) = format_.read(sources, tile, resampling)
        expected = np.full(tile.shape, np.nan, "float32")
        with rasterio.Env():
            reproject(
                values[0].astype("float32"),
                expected,
                src_transform=known.transform,
                src_crs=known.crs,
                src_nodata=np.nan,
                dst_transform=tile.transform,
                dst_crs=str(tile.crs),
                dst_nodata=np.nan,
                resampling=Resampling[resampling],
                tolerance=0.0,
            )
        np.testing.assert_allclose(filled(window, tile), expected, atol=0.02)


def check_that_tiling_changes_no_pixel(format_: Format, folder: Path) -> None:
    """However a cube is cut into tiles, its pixels are the same to the last bit."""
    known = Known(numbered(format_.real))
    sources = format_.store(folder / "known", known)
    for whole in (_elsewhere(known), _finer(known)):
        anchor = (whole.transform.c, whole.transform.f)
        for resampling in ("nearest", "bilinear", "cubic"):
            (window,) = format_.read(sources, whole, resampling, anchor=anchor)
            together = np.full(whole.shape, np.nan)
            for rows, columns, tile in _tiles(whole, 29):
                (part,) = format_.read(sources, tile, resampling, anchor=anchor)
                together[rows, columns] = filled(part, tile)
            np.testing.assert_array_equal(together, filled(window, whole), resampling)


def check_that_many_dates_at_once_are_each_alone(format_: Format, folder: Path) -> None:
    """In any order, some twice; on the lattice and off it."""
    if not format_.dates:
        return
    for name, chunks in (("maps", (1, 32, 32)), ("series", (12, 10, 10))):
        known = Known(format_.numbered(dates=12), chunks=chunks, nodata=3.0)
        sources = format_.store(folder / name, known)
        some = [sources[at] for at in (11, 0, 4, 5, 5, 1)]
        for tile in (known.geobox, _finer(known)):
            together = format_.read(some, tile)
            alone = [format_.read([source], tile)[0] for source in some]
            for window, single in zip(together, alone, strict=True):
                np.testing.assert_array_equal(filled(window, tile), filled(single, tile))
        np.testing.assert_array_equal(
            filled(format_.read(some, known.geobox)[0], known.geobox),
            np.where(known.values[11] == 3, np.nan, known.values[11]),
        )


def check_that_longitudes_go_round(format_: Format, folder: Path) -> None:
    """A globe from 0 to 360 answers for -10 to 10, pasted and warped, without a seam; a region at 180 on both sides."""
    if not format_.globe:
        return
    known = Known(numbered("int16", rows=180, columns=360), Affine(1, 0, 0, 0, -1, 90), "EPSG:4326", chunks=(1, 90, 90))
    sources = format_.store(folder / "globe", known)
    tile = GeoBox((6, 20), Affine(1, 0, -10, 0, -1, 50), "EPSG:4326")
    expected = np.concatenate([known.values[0, 40:46, 350:], known.values[0, 40:46, :10]], axis=1)
    (window,) = format_.read(sources, tile)
    np.testing.assert_array_equal(filled(window, tile), expected)
    fine = GeoBox((6, 400), Affine(0.05, 0, -10.01, 0, -1, 50.02), "EPSG:4326")
    for resampling in ("nearest", "bilinear"):
        (window,) = format_.read(sources, fine, resampling)
        assert np.isfinite(filled(window, fine)).all()
    region = Known(known.values[:, :, 170:190].copy(), Affine(1, 0, 170, 0, -1, 90), "EPSG:4326", chunks=(1, 90, 20))
    sources = format_.store(folder / "fiji", region)
    for west, there in ((170, 0), (-180, 10), (175, 5), (-185, 5), (535, 5)):
        tile = GeoBox((6, 10), Affine(1, 0, west, 0, -1, 50), "EPSG:4326")
        (window,) = format_.read(sources, tile)
        np.testing.assert_array_equal(filled(window, tile), region.values[0, 40:46, there : there + 10])
        for resampling in ("nearest", "bilinear", "cubic"):
            fine = GeoBox((12, 20), Affine(0.5, 0, west, 0, -0.5, 50), "EPSG:4326")
            (window,) = format_.read(sources, fine, resampling)
            assert np.isfinite(filled(window, fine)).all(), (west, resampling)
            if resampling == "nearest":
                expected = region.values[0, 40:46, there : there + 10].repeat(2, 0).repeat(2, 1)
                np.testing.assert_array_equal(filled(window, fine), expected)


def check_that_what_cannot_be_read_is_a_fault(format_: Format, folder: Path) -> None:
    """A file that is missing, broken or cut, an array or a date that it does not have: named, and nothing secret."""
    known = Known(format_.numbered(dates=2 if format_.dates else 1))
    (source, *_) = format_.store(folder / "known", known)
    for wrong in _wrong_sources(format_, folder, source):
        told = _told(format_, wrong, known.geobox)
        assert told, f"{wrong} was read"
        assert SECRET not in told, told
        assert "known" in told or "absent" in told, told


def check_that_threads_do_not_disturb_each_other(format_: Format, folder: Path) -> None:
    """Eight at a time, over the same files."""
    known = [Known((format_.numbered() + at).astype(format_.dtypes[0])) for at in range(3)]
    stored = [format_.store(folder / f"known{at}", one) for at, one in enumerate(known)]
    tiles = [GeoBox((20, 20), LATTICE @ Affine.translation(column, row), _UTM) for row in (0, 30) for column in (5, 50)]
    work = [(at, tile) for at in range(3) for tile in (*tiles, _elsewhere(known[0]))] * 4

    def read(at: int, tile: GeoBox) -> Array:
        return filled(format_.read(stored[at], tile)[0], tile)

    alone = [read(*one) for one in work[:15]] * 4
    with ThreadPoolExecutor(8) as pool:
        for once, together in zip(alone, pool.map(lambda one: read(*one), work), strict=True):
            np.testing.assert_array_equal(once, together)


def check_that_files_are_let_go(format_: Format, folder: Path) -> None:
    """Three hundred reads of fifty files leave no more files open than there are, and a changed file is read anew."""
    known = Known(format_.numbered(rows=8, columns=8), chunks=(1, 8, 8))
    stored = list(_copies(format_, folder, known, 50))
    before = _open_files()
    for source in stored * 6:
        format_.read([source], known.geobox)
    assert _open_files() <= before + 64
    if format_.address is str:
        changed = replace(known, values=(known.values + 1).astype(known.values.dtype))
        (window,) = format_.read(format_.store(folder / "known0", changed), known.geobox)
        np.testing.assert_array_equal(window.values, changed.values[0])


CHECKS: dict[str, Callable[[Format, Path], None]] = {
    name.removeprefix("check_that_").replace("_", " "): check
    for name, check in list(globals().items())
    if name.startswith("check_that_")
}
"""Every check by what it says."""


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _copies(format_: Format, folder: Path, known: Known, count: int) -> Iterator[Source]:
    (source,) = format_.write(folder / "known0", known)
    (written,) = folder.iterdir()
    for at in range(count):
        copy = written.with_name(written.name.replace("known0", f"known{at}"))
        if at and written.is_dir():
            shutil.copytree(written, copy)
        elif at:
            shutil.copy(written, copy)
        href = source.href.replace(str(written), str(copy))
        yield replace(source, href=format_.address(Path(href)))


def _places(known: Known) -> Iterator[tuple[int, int, int, int]]:
    rows, columns = known.values.shape[1:]
    yield 0, 0, rows, columns
    yield -5, -7, rows + 11, columns + 13
    yield 33, 31, 1, 1
    for row in (-6, 20, rows - 6):
        for column in (-8, 30, columns - 8):
            yield row, column, 14, 17


def _cut(values: Array, row: int, column: int, shape: tuple[int, int]) -> Array:
    around = np.pad(values.astype("float64"), 600, constant_values=np.nan)
    return around[600 + row : 600 + row + shape[0], 600 + column : 600 + column + shape[1]]


def _finer(known: Known) -> GeoBox:
    return GeoBox((90, 120), known.transform @ Affine.translation(0.13, 0.21) @ Affine.scale(0.37), known.crs)


def _shifted(known: Known) -> GeoBox:
    return GeoBox((50, 60), known.transform @ Affine.translation(33.3, -5.3), known.crs)


def _coarser(known: Known) -> GeoBox:
    return GeoBox((20, 25), known.transform @ Affine.translation(-2.2, 1.3) @ Affine.scale(3.1), known.crs)


def _elsewhere(known: Known) -> GeoBox:
    left, bottom, right, top = known.geobox.to_crs("EPSG:2154").boundingbox.bbox
    return GeoBox(
        (round((top - bottom) / 9) + 6, round((right - left) / 9) + 6),
        Affine(9, 0, left - 30, 0, -9, top + 30),
        "EPSG:2154",
    )


def _nearest_by_hand(known: Known, tile: GeoBox) -> tuple[Array, Array]:
    """The pixel under each centre, and where the centre is well inside it."""
    assert tile.crs is not None
    rows, columns = np.indices(tile.shape)
    place = pyproj.Transformer.from_crs(str(tile.crs), known.crs, always_xy=True)
    column, row = _moved(~known.transform, *place.transform(*_moved(tile.transform, columns + 0.5, rows + 0.5)))
    _, height, width = known.values.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = (np.clip(row.astype(int), 0, height - 1), np.clip(column.astype(int), 0, width - 1))
    sure = (np.abs(column - np.round(column)) > 5e-3) & (np.abs(row - np.round(row)) > 5e-3)
    return np.where(inside, known.values[0][at].astype("float64"), np.nan), sure


def _moved(transform: Affine, x: Array, y: Array) -> tuple[Array, Array]:
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * x + b * y + c, d * x + e * y + f


def _tiles(whole: GeoBox, size: int) -> Iterator[tuple[slice, slice, GeoBox]]:
    for top in range(0, whole.shape.y, size):
        for left in range(0, whole.shape.x, size):
            rows = slice(top, min(top + size, whole.shape.y))
            columns = slice(left, min(left + size, whole.shape.x))
            corner = whole.transform @ Affine.translation(left, top)
            yield rows, columns, GeoBox((rows.stop - top, columns.stop - left), corner, whole.crs)


def _told(format_: Format, source: Source, tile: GeoBox) -> str:
    try:
        format_.read([source], tile)
    except ReadFault as fault:
        return str(fault)
    return ""


def _wrong_sources(format_: Format, folder: Path, source: Source) -> Iterator[Source]:
    suffix = Path(source.href.partition("?")[0]).suffix
    absent = format_.address(folder / f"absent{suffix}")
    yield replace(source, href=absent)
    if "://" in absent:
        yield replace(source, href=f"{absent}?X-Amz-Signature={SECRET}")
    noise = folder / f"known-noise{suffix}"
    noise.write_bytes(b"this is no data" * 40)
    yield replace(source, href=format_.address(noise))
    if source.variable:
        yield replace(source, variable="absent")
    if source.at:
        yield replace(source, at=((source.at[0][0], 99),))
        yield replace(source, at=((source.at[0][0], -1),))
        yield replace(source, at=(("absent", 0),))
    if source.kind == "raster":
        yield replace(source, index=99)
        yield replace(source, index=0)
