"""NetCDF and HDF5: what CF says of numbers and places, against xarray, scipy and PROJ; hostile files; remote reads."""

import http.server
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from odc.geo.geobox import GeoBox
from pyproj import CRS

from earthlab.cube.plan import Source
from earthlab.cube.readers import cf
from earthlab.cube.readers.cf_times import parse_times
from earthlab.cube.readers.netcdf import open_netcdf, open_swath, read_netcdf
from earthlab.errors import ReadFault
from earthlab.testing.formats import write_netcdf
from earthlab.testing.readers import Known, filled, numbered
from earthlab.testing.stores import Faults, serve_files

LAT = ("lat", np.arange(50, 46, -0.5), {"units": "degrees_north"})
LON = ("lon", np.arange(0, 5, 0.5), {"units": "degrees_east"})
TILE = GeoBox((8, 10), Affine(0.5, 0, -0.25, 0, -0.5, 50.25), "EPSG:4326")


def written(path: Path, values: np.ndarray, dims: tuple[str, ...] = ("lat", "lon"), **attrs) -> Source:
    others = {dim: np.arange(size) for dim, size in zip(dims, values.shape, strict=True) if dim not in {"lat", "lon"}}
    dataset = xr.Dataset({"v": (dims, values, attrs)}, {"lat": LAT, "lon": LON, **others})
    dataset.to_netcdf(path, engine="h5netcdf", encoding={} if "_FillValue" in attrs else {"v": {"_FillValue": None}})
    return Source(str(path), kind="netcdf", variable="v")


def read(source: Source, tile: GeoBox = TILE, resampling: str = "nearest"):
    (window,) = read_netcdf([source], tile, resampling=resampling, anchor=(tile.transform.c, tile.transform.f))
    return window


def physical(source: Source, tile: GeoBox = TILE) -> np.ndarray:
    window = read(source, tile)
    one, zero = (1.0, 0.0)
    return filled(window, tile) * (window.scale or one) + (window.offset or zero)


def grid_of(source: Source):
    with open_netcdf(source.href) as file:
        return file.grid(source.variable)


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"scale_factor": 0.01, "add_offset": 273.15},
        {"_FillValue": np.int16(7)},
        {"missing_value": np.int16(7)},
        {"_FillValue": np.int16(7), "missing_value": np.int16(7), "scale_factor": np.float32(0.5)},
        {"_Unsigned": "true", "_FillValue": np.int16(-1), "scale_factor": 0.1},
    ],
)
def test_numbers_mean_what_xarray_says(tmp_path, attrs):
    values = np.arange(-40, 40).astype("int16").reshape(8, 10)
    source = written(tmp_path / "a.nc", values, **attrs)
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as expected:
        np.testing.assert_allclose(physical(source), expected.v.values, rtol=1e-6)


@pytest.mark.parametrize(
    ("attrs", "kept"),
    [
        ({"valid_min": np.int16(0), "valid_max": np.int16(20)}, (0, 20)),
        ({"valid_range": np.array([0, 20], "int16")}, (0, 20)),
        ({"valid_range": np.array([0, 20], "int16"), "scale_factor": 0.1}, (0, 20)),
        ({"valid_range": np.array([0.0, 2.0]), "scale_factor": 0.1}, (0, 20)),
        ({"valid_range": np.array([-2.0, 0.0]), "scale_factor": -0.1}, (0, 20)),
        ({"valid_min": np.int16(5)}, (5, 39)),
        ({"missing_value": np.array([0, 1], "int16")}, None),
    ],
)
def test_what_is_out_of_the_valid_range_is_no_observation(tmp_path, attrs, kept):
    values = np.arange(-40, 40).astype("int16").reshape(8, 10)
    window = read(written(tmp_path / "a.nc", values, **attrs))
    good = np.isfinite(filled(window, TILE))
    expected = (values >= kept[0]) & (values <= kept[1]) if kept else ~np.isin(values, [0, 1])
    np.testing.assert_array_equal(good, expected)


def test_limits_of_unsigned_bytes_may_be_stated_as_signed_ones(tmp_path):
    values = np.arange(80).astype("int8").reshape(8, 10)
    values[0, :3] = (-1, -2, -3)
    stated = {"_Unsigned": "true", "_FillValue": np.int8(-1), "valid_range": np.array([0, -3], "int8")}
    whole = filled(read(written(tmp_path / "a.nc", values, **stated)), TILE)
    np.testing.assert_array_equal(whole[0, :4], [np.nan, np.nan, 253, 3])


def test_what_was_never_written_is_no_observation(tmp_path):
    values = np.full((8, 10), 9.969209968386869e36, "float32")
    values[3] = 1
    assert np.isfinite(filled(read(written(tmp_path / "a.nc", values)), TILE)).sum() == 10


@pytest.mark.parametrize(
    "dims", [("lat", "lon", "time"), ("lon", "time", "lat"), ("time", "lat", "lon"), ("lon", "lat")]
)
def test_axes_may_stand_in_any_order(tmp_path, dims):
    sizes = {"lat": 8, "lon": 10, "time": 4}
    whole = xr.DataArray(np.random.default_rng(0).normal(size=[sizes[d] for d in dims]), dims=dims)
    source = written(tmp_path / "a.nc", whole.values, dims)
    for at in range(sizes["time"] if "time" in dims else 1):
        chosen = Source(source.href, kind="netcdf", variable="v", at=(("time", at),) if "time" in dims else ())
        expected = whole.isel(time=at) if "time" in dims else whole
        np.testing.assert_array_equal(filled(read(chosen), TILE), expected.transpose("lat", "lon").values)


def test_a_dimension_that_is_not_chosen_is_a_fault(tmp_path):
    source = written(tmp_path / "a.nc", np.zeros((3, 8, 10)), ("depth", "lat", "lon"))
    with pytest.raises(ReadFault, match="a dimension 'depth' of 3: which of them is not said"):
        read(source)


def test_columns_may_go_west(tmp_path):
    values = np.arange(80.0).reshape(8, 10)
    lon = ("lon", LON[1][::-1], LON[2])
    xr.Dataset({"v": (("lat", "lon"), values)}, {"lat": LAT, "lon": lon}).to_netcdf(
        tmp_path / "a.nc", engine="h5netcdf"
    )
    whole = filled(read(Source(str(tmp_path / "a.nc"), kind="netcdf", variable="v")), TILE)
    np.testing.assert_array_equal(whole, values[:, ::-1])


def projected(path: Path, mapping: dict, *, units: str = "m", step: float = 25_000.0, x0: float = -100_000.0) -> Source:
    x = ("x", x0 + step * np.arange(6), {"units": units, "standard_name": "projection_x_coordinate"})
    y = ("y", -x0 - step * np.arange(5), {"units": units, "standard_name": "projection_y_coordinate"})
    values = np.arange(30.0).reshape(5, 6)
    dataset = xr.Dataset({"ice": (("y", "x"), values, {"grid_mapping": "crs"})}, {"x": x, "y": y})
    dataset["crs"] = ((), 0, mapping)
    dataset.to_netcdf(path, engine="h5netcdf")
    return Source(str(path), kind="netcdf", variable="ice")


@pytest.mark.parametrize("code", [3413, 3995, 3031, 6931, 2154, 3035, 32631])
def test_grid_mappings_are_the_crs_that_proj_wrote(tmp_path, code):
    for name, mapping in (("wkt", {"crs_wkt": CRS(code).to_wkt()}), ("cf", CRS(code).to_cf())):
        grid = grid_of(projected(tmp_path / f"{name}.nc", mapping))
        assert CRS(str(grid.geobox.crs)).is_exact_same(CRS(code)) or CRS(str(grid.geobox.crs)).to_epsg() == code
        assert grid.geobox.transform.c == -112_500


def test_parameters_alone_make_a_crs_too(tmp_path):
    stereographic = {
        "grid_mapping_name": "polar_stereographic",
        "straight_vertical_longitude_from_pole": -45.0,
        "latitude_of_projection_origin": 90.0,
        "standard_parallel": 70.0,
        "semi_major_axis": 6378273.0,
        "semi_minor_axis": 6356889.44891,
    }
    source = projected(tmp_path / "a.nc", stereographic, units="km", step=25.0, x0=-100.0)
    grid = grid_of(source)
    assert grid.geobox.transform.a == 25_000
    place = CRS(str(grid.geobox.crs)).to_cf()
    assert (place["straight_vertical_longitude_from_pole"], place["standard_parallel"]) == (-45, 70)


def test_angles_of_a_geostationary_view_become_metres(tmp_path):
    view = {
        "grid_mapping_name": "geostationary",
        "perspective_point_height": 35_786_023.0,
        "longitude_of_projection_origin": 0.0,
        "semi_major_axis": 6378137.0,
        "semi_minor_axis": 6356752.31414,
        "sweep_angle_axis": "y",
    }
    grid = grid_of(projected(tmp_path / "a.nc", view, units="rad", step=1e-4, x0=-3e-4))
    assert grid.geobox.transform.a == pytest.approx(3578.6023)


def test_latitudes_without_a_mapping_are_wgs84_and_metres_without_one_are_refused(tmp_path):
    assert grid_of(written(tmp_path / "a.nc", np.zeros((8, 10)))).geobox.crs.epsg == 4326
    with pytest.raises(ReadFault, match="states no CRS"):
        read(projected(tmp_path / "b.nc", {}))
    with pytest.raises(ReadFault, match="a CRS that PROJ does not understand"):
        read(projected(tmp_path / "c.nc", {"crs_wkt": "PROJCRS[nonsense"}))
    plain = {
        "grid_mapping_name": "latitude_longitude",
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
    }
    assert cf._mapped_crs(plain).to_epsg() == 4326


@pytest.mark.parametrize(
    ("values", "units", "calendar", "dates"),
    [
        ([0, 1.5], "days since 1950-01-01", "standard", ["1950-01-01", "1950-01-02T12"]),
        ([24], "hours since 1900-1-1 0:0:0", "gregorian", ["1900-01-02"]),
        ([60], "minutes since 2015-01-01", "standard", ["2015-01-01T01"]),
        ([1], "seconds since 2016-01-01 14:59:12.500000", "proleptic_gregorian", ["2016-01-01T14:59:13.5"]),
        ([0], "seconds since 1981-01-01T00:00:00Z", "standard", ["1981-01-01"]),
        ([0], "hours since 2000-01-01 00:00:00 +02:00", "standard", ["1999-12-31T22"]),
        ([59, 60, 365], "days since 2020-01-01", "noleap", ["2020-03-01", "2020-03-02", "2021-01-01"]),
    ],
)
def test_dates_of_time_axes(values, units, calendar, dates):
    found = parse_times(np.array(values), units, calendar)
    np.testing.assert_array_equal(found, np.array(dates, "datetime64[us]"))


@settings(max_examples=40, deadline=None)
@given(
    values=hnp.arrays("float64", st.integers(1, 5), elements=st.floats(-50_000, 50_000)),
    unit=st.sampled_from(["days", "hours", "seconds"]),
)
def test_dates_are_those_of_xarray(values, unit):
    units = f"{unit} since 1970-01-01 06:30:00"
    expected = xr.coding.times.decode_cf_datetime(values, units, "proleptic_gregorian", use_cftime=False)
    found = parse_times(values, units)
    np.testing.assert_allclose((found - expected.astype("datetime64[us]")).astype("int64"), 0, atol=20)


@pytest.mark.parametrize(
    ("units", "calendar", "why"),
    [
        ("months since 2000-01-01", "standard", "seconds, minutes, hours or days"),
        ("days since yesterday", "standard", "not a date"),
        ("days since 2000-01-01", "360_day", "cftime"),
        ("days since 2000-01-01", "julian", "cftime"),
        ("days since 2000-02-29", "noleap", "no leap days"),
        ("days since 9999-01-01", "standard", "years 1 to 9999"),
    ],
)
def test_dates_that_are_none_are_refused_with_the_reason(units, calendar, why):
    with pytest.raises(ValueError, match=why):
        parse_times(np.array([800]), units, calendar)


@pytest.mark.parametrize("version", ["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
@pytest.mark.parametrize("records", [1, 2])
def test_classic_files_are_read_as_scipy_reads_them(tmp_path, version, records):
    rng = np.random.default_rng(0)
    many = {
        f"v{at}": (("time", "lat", "lon"), rng.integers(-9, 9, (3, 8, 10)).astype(dtype))
        for at, dtype in zip(range(records), ("int8", "int16"), strict=False)
    }
    dataset = xr.Dataset(
        many, {"lat": LAT, "lon": LON, "time": [0, 1, 2]} if records == 2 else {"lat": LAT, "lon": LON}
    )
    dataset.to_netcdf(tmp_path / "a.nc", engine="scipy", format=version, unlimited_dims=["time"])
    with scipy.io.netcdf_file(tmp_path / "a.nc", mmap=False) as expected:
        for name in many:
            for at in range(3):
                source = Source(str(tmp_path / "a.nc"), kind="netcdf", variable=name, at=(("time", at),))
                small = GeoBox((3, 4), TILE.transform @ Affine.translation(5, 2), TILE.crs)
                np.testing.assert_array_equal(read(source, small).values, expected.variables[name][at, 2:5, 5:9])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_classic_file_is_a_fault_or_read_and_never_anything_else(tmp_path, data):
    (source,) = write_netcdf(tmp_path / "whole", Known(numbered("int16", rows=8, columns=8)), classic=True)
    content = bytearray(Path(source.href).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(3, min(len(content), 900) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.nc"
    damaged.write_bytes(content[: data.draw(st.integers(4, len(content)))])
    tile = Known(numbered(rows=8, columns=8)).geobox
    source = Source(str(damaged), kind="netcdf", variable="known", at=source.at)
    with warnings.catch_warnings(), suppress(ReadFault):
        warnings.simplefilter("ignore", RuntimeWarning)
        read(source, tile)


def test_a_cut_hdf5_file_is_a_fault(tmp_path):
    (source,) = write_netcdf(tmp_path / "whole", Known(numbered(rows=64, columns=64)))
    content = Path(source.href).read_bytes()
    for share in (0.1, 0.5, 0.9):
        Path(source.href).write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ReadFault, match=r"whole\.nc"):
            read(source, Known(numbered()).geobox)


def test_a_forked_process_reads_too(tmp_path):
    known = Known(numbered())
    (source,) = write_netcdf(tmp_path / "a", known)
    read(source, known.geobox)
    child = os.fork()
    if child == 0:
        same = np.array_equal(read(source, known.geobox).values, known.values[0])
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_python_ends_well_with_a_remote_file_open(tmp_path):
    (source,) = write_netcdf(tmp_path / "a", Known(numbered()))
    program = (
        "import sys\n"
        "from earthlab.cube.readers.netcdf import open_netcdf\n"
        "with open_netcdf(sys.argv[1]) as file: print(sorted(file.heads()))\n"
    )
    with serve_files(tmp_path) as store:
        done = subprocess.run(
            [sys.executable, "-c", program, f"{store.url}a.nc"], capture_output=True, text=True, check=False
        )
    assert (done.returncode, "known" in done.stdout) == (0, True), done.stderr
    assert source.variable == "known"


def test_of_a_remote_file_only_the_chunks_of_the_tile_are_fetched_side_by_side(tmp_path):
    noise = np.random.default_rng(0).integers(0, 60_000, (1, 1024, 1024)).astype("uint16")
    known = Known(noise, chunks=(1, 128, 128))
    write_netcdf(tmp_path / "a", known)
    size = (tmp_path / "a.nc").stat().st_size
    tile = GeoBox((128, 1024), known.transform @ Affine.translation(0, 512), known.crs)
    with serve_files(tmp_path) as store:
        source = Source(f"{store.url}a.nc", kind="netcdf", variable="known")
        window = read(source, tile)
        sent = sum(row.stop - row.start for row in store.requests())
        np.testing.assert_array_equal(window.values, noise[0, 512:640])
        assert sent < 0.6 * size
        assert len(store.requests()) < 12


def test_a_server_that_stumbles_is_asked_again(tmp_path):
    known = Known(numbered())
    write_netcdf(tmp_path / "a", known)
    for kind in ("503", "truncated"):
        with serve_files(tmp_path, fail=Faults(share=1.0, kinds=(kind,), times=1)) as store:
            window = read(Source(f"{store.url}a.nc", kind="netcdf", variable="known"), known.geobox)
            np.testing.assert_array_equal(window.values, known.values[0])


def test_a_server_that_breaks_off_for_good_is_a_fault(tmp_path):
    write_netcdf(tmp_path / "a", Known(numbered()))
    known = Known(numbered())
    fail = Faults(share=1.0, kinds=("truncated",))
    with serve_files(tmp_path, fail=fail) as store, pytest.raises(ReadFault, match="bytes where"):
        read(Source(f"{store.url}a.nc", kind="netcdf", variable="known"), known.geobox)


class _NoRanges(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, *_):
        return


@pytest.fixture
def without_ranges() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NoRanges)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_without_ranges_is_said_to_be_one(without_ranges):
    with pytest.raises(ReadFault, match="no byte ranges"):
        read(Source(f"{without_ranges}/a.nc", kind="netcdf", variable="v"))


def test_a_swath_opens_as_xarray_has_it(tmp_path):
    rows, columns = np.indices((6, 5), "float32")
    dims = ("scanline", "ground_pixel")
    swath = xr.Dataset(
        {"no2": (dims, rows, {"scale_factor": 2.0}), "latitude": (dims, rows), "longitude": (dims, columns)}
    )
    swath.to_netcdf(tmp_path / "s5p.nc", engine="h5netcdf", group="PRODUCT")
    with serve_files(tmp_path) as store:
        for href in (str(tmp_path / "s5p.nc"), f"{store.url}s5p.nc"):
            with open_swath(href, "PRODUCT") as opened:
                assert {"latitude", "longitude"} <= set(opened.coords)
                np.testing.assert_array_equal(opened.no2.values, rows * 2)
    with pytest.raises(ReadFault, match=r"s5p\.nc"):
        open_swath(str(tmp_path / "s5p.nc"), "ABSENT")
