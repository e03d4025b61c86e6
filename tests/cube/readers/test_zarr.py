"""Zarr of both formats: metadata however they are kept, chunks read once for many dates, stores far away."""

import json
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import xarray as xr
import zarr
from affine import Affine
from moto.server import ThreadedMotoServer
from odc.geo.geobox import GeoBox

from earthlab.cube.physical import lay
from earthlab.cube.plan import Source
from earthlab.cube.readers.netcdf import read_netcdf
from earthlab.cube.readers.zarr import open_zarr, read_zarr, split_root
from earthlab.errors import ReadFault
from earthlab.testing.formats import write_netcdf, write_zarr
from earthlab.testing.readers import Known, filled, numbered
from earthlab.testing.stores import Faults, serve_files

KEYS = {"AWS_ACCESS_KEY_ID": "essai", "AWS_SECRET_ACCESS_KEY": "topsecret", "AWS_REGION": "us-east-1"}


def read(sources: list[Source], tile: GeoBox, resampling: str = "nearest"):
    return read_zarr(sources, tile, resampling=resampling, anchor=(tile.transform.c, tile.transform.f))


def remote(url: str, name: str, known: Known) -> list[Source]:
    return [
        Source(f"{url}{name}", kind="zarr", variable="known", at=(("time", at),)) for at in range(len(known.values))
    ]


@pytest.mark.parametrize(
    ("href", "root", "within"),
    [
        ("https://h/a.zarr", "https://h/a.zarr", ""),
        ("https://h/a.zarr/", "https://h/a.zarr", ""),
        ("https://h/a.zarr/measurements/r10m/b04", "https://h/a.zarr", "measurements/r10m/b04"),
        ("https://h/a.zarr/inner?x=1", "https://h/a.zarr?x=1", "inner"),
        ("/data/era5", "/data/era5", ""),
        ("s3://bucket/x.zarr/a/b.zarr/c", "s3://bucket/x.zarr/a/b.zarr", "c"),
    ],
)
def test_the_root_of_a_store_is_found_in_the_address_of_a_part(href, root, within):
    assert split_root(href) == (root, within)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
def test_metadata_may_be_consolidated_or_not(tmp_path, version, consolidated):
    known = Known(numbered())
    sources = write_zarr(tmp_path / "a", known, version=version)
    if not consolidated:
        _scatter(tmp_path / "a.zarr", version)
    (window,) = read(sources, known.geobox)
    np.testing.assert_array_equal(window.values, known.values[0])


def _scatter(store: Path, version: int) -> None:
    if version == 2:
        (store / ".zmetadata").unlink()
        return
    root = json.loads((store / "zarr.json").read_text())
    del root["consolidated_metadata"]
    (store / "zarr.json").write_text(json.dumps(root))


def test_over_http_a_store_that_lists_nothing_says_so(tmp_path):
    known = Known(numbered())
    write_zarr(tmp_path / "a", known)
    _scatter(tmp_path / "a.zarr", 3)
    with serve_files(tmp_path) as store, pytest.raises(ReadFault, match="consolidated"):
        read(remote(store.url, "a.zarr", known), known.geobox)


@pytest.mark.parametrize("shards", [False, True])
def test_a_chunk_of_many_dates_is_fetched_once_for_all_of_them(tmp_path, shards):
    known = Known(numbered(dates=24), chunks=(12, 30, 40))
    write_zarr(tmp_path / "a", known, shards=shards)
    with serve_files(tmp_path) as store:
        sources = remote(store.url, "a.zarr", known)
        tile = GeoBox((30, 40), known.transform, known.crs)
        windows = read(sources, tile)
        for at, window in enumerate(windows):
            np.testing.assert_array_equal(window.values, known.values[at, :30, :40])
        fetched = [key for key in store.ranges().elements() if "/known/c/" in key[0]]
        assert len(fetched) == len(set(fetched)) <= 6


def test_of_many_chunks_only_those_of_the_tile_and_the_dates_are_fetched(tmp_path):
    known = Known(numbered(dates=10), chunks=(1, 20, 20))
    write_zarr(tmp_path / "a", known)
    with serve_files(tmp_path) as store:
        sources = remote(store.url, "a.zarr", known)
        read([sources[0], sources[9]], GeoBox((20, 20), known.transform @ Affine.translation(20, 20), known.crs))
        fetched = {path for path, _, _ in store.ranges() if "/known/c/" in path}
        assert fetched == {"a.zarr/known/c/0/1/1", "a.zarr/known/c/9/1/1"}


def test_metadata_are_fetched_once_for_many_reads(tmp_path):
    known = Known(numbered(dates=3))
    write_zarr(tmp_path / "a", known)
    with serve_files(tmp_path) as store:
        for source in remote(store.url, "a.zarr", known):
            read([source], known.geobox)
        fetched = [row.path for row in store.requests() if row.path.endswith(("zarr.json", "x/c/0", "y/c/0"))]
        assert len(fetched) == len(set(fetched))


@pytest.mark.parametrize(("version", "chunk"), [(2, "known/0.0.0"), (3, "known/c/0/0/0")])
def test_a_chunk_that_was_never_written_is_no_observation(tmp_path, version, chunk):
    known = Known(numbered("int16"), nodata=-1.0)
    sources = write_zarr(tmp_path / "a", known, version=version)
    (tmp_path / "a.zarr" / chunk).unlink()
    metadata = tmp_path / "a.zarr" / ("known/.zarray" if version == 2 else "known/zarr.json")
    assert json.loads(metadata.read_text())["fill_value"] in {-1, 0}
    (window,) = read(sources, known.geobox)
    whole = filled(window, known.geobox)
    np.testing.assert_array_equal(whole[32:], known.values[0, 32:])
    if version == 2:
        assert np.isnan(whole[:32, :32]).all()


@pytest.mark.parametrize("empty", [np.nan, -9999.0, 1e20])
def test_nodata_of_floats_is_understood_as_xarray_writes_it(tmp_path, empty):
    values = numbered("float32")
    values[0, 5, 5:9] = empty
    whole = xr.decode_cf(
        xr.Dataset(
            {"known": (("y", "x"), values[0], {"_FillValue": np.float32(empty), "grid_mapping": "spatial_ref"})},
            {
                "y": ("y", 4_900_000 - 10.0 * np.arange(60), {"standard_name": "projection_y_coordinate"}),
                "x": ("x", 300_000 + 10.0 * np.arange(80), {"standard_name": "projection_x_coordinate"}),
                "spatial_ref": ((), 0, {"crs_wkt": Known(values).geobox.crs.to_wkt()}),
            },
        )
    )
    for version in (2, 3):
        name = tmp_path / f"{version}.zarr"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
            whole.to_zarr(name, zarr_format=version)
        tile = GeoBox((60, 80), Affine(10, 0, 299_995, 0, -10, 4_900_005), "EPSG:32631")
        (window,) = read([Source(str(name), kind="zarr", variable="known")], tile)
        np.testing.assert_array_equal(np.isnan(filled(window, tile)), np.isnan(whole.known.values))


def test_a_broken_chunk_is_a_fault_and_not_zeros(tmp_path):
    known = Known(numbered())
    sources = write_zarr(tmp_path / "a", known)
    (tmp_path / "a.zarr/known/c/0/0/0").write_bytes(b"no chunk")
    with pytest.raises(ReadFault, match=r"a\.zarr, variable 'known'"):
        read(sources, known.geobox)


def test_a_server_that_refuses_a_chunk_is_a_fault_and_one_that_stumbles_is_asked_again(tmp_path):
    known = Known(numbered())
    write_zarr(tmp_path / "a", known)
    chunks = ("*/known/c/*",)
    with serve_files(tmp_path, fail=Faults(share=1.0, kinds=("503",), times=1, paths=chunks)) as store:
        (window,) = read(remote(store.url, "a.zarr", known), known.geobox)
        np.testing.assert_array_equal(window.values, known.values[0])


def test_a_store_that_claims_huge_pieces_or_coordinates_is_refused_before_they_are_held(tmp_path):
    root = zarr.create_group(tmp_path / "a.zarr")
    axes = {"y": (10, np.arange(10.0)), "x": (10, np.arange(10.0)), "long": (2**40, None)}
    for name, (size, values) in axes.items():
        made = root.create_array(name, shape=(size,), dtype="f8", dimension_names=[name], chunks=(min(size, 10),))
        made.attrs["standard_name"] = "projection_x_coordinate" if name == "long" else f"projection_{name}_coordinate"
        if values is not None:
            made[:] = values
    shape = {"dtype": "f8", "attributes": {"proj:code": "EPSG:32631"}}
    root.create_array("v", shape=(10, 10), chunks=(2**20, 2**20), dimension_names=["y", "x"], **shape)
    root.create_array("w", shape=(10, 2**40), chunks=(10, 10), dimension_names=["y", "long"], **shape)
    tile = GeoBox((9, 9), Affine(1, 0, 0, 0, -1, 9), "EPSG:32631")
    for name, why in (("v", "stored in pieces of 8192.0 GiB"), ("w", "1,099,511,627,776 values")):
        with pytest.raises(ReadFault, match=why):
            read([Source(str(tmp_path / "a.zarr"), kind="zarr", variable=name)], tile)


def test_metadata_that_are_nonsense_are_a_fault(tmp_path):
    known = Known(numbered())
    (source,) = write_zarr(tmp_path / "a", known)
    for content in ("[]", "no json", '{"zarr_format": 3, "node_type": "group", "attributes": 7}'):
        (tmp_path / "a.zarr/zarr.json").write_text(content)
        with pytest.raises(ReadFault, match=r"a\.zarr"):
            read([source], known.geobox)


def test_an_array_without_names_of_dimensions_is_refused_with_its_shape(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("known", shape=(4, 5), dtype="uint8")
    with pytest.raises(ReadFault, match=r"no two dimensions that are known as y and x \(axis_0 4 × axis_1 5\)"):
        read([Source(str(tmp_path / "a.zarr"), kind="zarr", variable="known")], Known(numbered()).geobox)


def test_a_signature_goes_with_every_object_and_into_no_message(tmp_path):
    known = Known(numbered())
    write_zarr(tmp_path / "a", known)
    with serve_files(tmp_path) as store:
        (source,) = remote(store.url, "a.zarr?sig=topsecret", known)
        (window,) = read([source], known.geobox)
        np.testing.assert_array_equal(window.values, known.values[0])
        assert {row.query for row in store.requests()} == {"sig=topsecret"}
        (absent,) = remote(store.url, "absent.zarr?sig=topsecret", known)
        with pytest.raises(ReadFault, match="absent") as told:
            read([absent], known.geobox)
    assert "topsecret" not in str(told.value)


def test_a_forked_process_reads_from_the_web_too(tmp_path):
    known = Known(numbered())
    write_zarr(tmp_path / "a", known)
    with serve_files(tmp_path) as store:
        (source,) = remote(store.url, "a.zarr", known)
        read([source], known.geobox)
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            same = np.array_equal(read([source], known.geobox)[0].values, known.values[0])
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_lies_in_groups_around_counts(tmp_path):
    """Coordinates and the CRS may stand in the group of the array or in one around it."""
    known = Known(numbered())
    (source,) = write_zarr(tmp_path / "a", known, group="measurements/r10m")
    with open_zarr(source.href) as store:
        assert store.grid("measurements/r10m/known").geobox == known.geobox


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    words = {"aws_access_key_id": "essai", "aws_secret_access_key": "topsecret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **words).create_bucket(Bucket="cubes")
    yield address
    server.stop()


def test_stores_and_files_in_s3_are_read_with_the_keys_of_the_environment(tmp_path, bucket, monkeypatch):
    known = Known(numbered(dates=2), nodata=5.0)
    write_zarr(tmp_path / "a", known)
    write_netcdf(tmp_path / "a", known)
    words = {"aws_access_key_id": "essai", "aws_secret_access_key": "topsecret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=bucket, **words)
    for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
        client.upload_file(str(path), "cubes", f"essai/{path.relative_to(tmp_path)}")
    for name, value in {**KEYS, "AWS_S3_ENDPOINT": bucket.removeprefix("http://"), "AWS_HTTPS": "NO"}.items():
        monkeypatch.setenv(name, value)
    for kind, reader, name in (("zarr", read_zarr, "a.zarr"), ("netcdf", read_netcdf, "a.nc")):
        source = Source(f"s3://cubes/essai/{name}", kind=kind, variable="known", at=(("time", 1),))
        (window,) = reader([source], known.geobox, resampling="nearest", anchor=(300_000, 4_900_000))
        np.testing.assert_array_equal(window.values, known.values[1])
        absent = Source(f"s3://cubes/essai/absent.{name[2:]}", kind=kind, variable="known")
        with pytest.raises(ReadFault, match="absent") as told:
            reader([absent], known.geobox, resampling="nearest", anchor=(0, 0))
        assert "topsecret" not in str(told.value)


@pytest.mark.parametrize("stated", [False, True], ids=["file", "catalogue"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize(("dtype", "end"), [("int64", "min"), ("int64", "max"), ("uint64", "max")])
def test_the_least_and_the_largest_of_64_bits_can_be_nodata(tmp_path, dtype, end, resampling, stated):
    mark = getattr(np.iinfo(dtype), end)
    values = np.arange(1, 13, dtype=dtype).reshape(3, 4)
    values[0, 0] = mark
    lat = ("lat", 44 - 0.1 * np.arange(3), {"units": "degrees_north"})
    lon = ("lon", 1 + 0.1 * np.arange(4), {"units": "degrees_east"})
    said = {} if stated else {"_FillValue": values.dtype.type(mark)}
    xr.Dataset({"a": (("lat", "lon"), values, said)}, {"lat": lat, "lon": lon}).to_zarr(
        tmp_path / "a.zarr", zarr_format=2
    )
    source = Source(str(tmp_path / "a.zarr"), kind="zarr", variable="a", nodata=float(mark) if stated else None)
    for pixel in (0.1, 0.05):
        grid = GeoBox((round(0.3 / pixel), round(0.4 / pixel)), Affine(pixel, 0, 0.95, 0, -pixel, 44.05), "EPSG:4326")
        (window,) = read_zarr([source], grid, resampling=resampling, anchor=(0.95, 44.05))
        out = np.zeros(grid.shape, "float32")
        lay(out, window, source, None, fresh=True)
        assert np.isnan(out[0, 0])
        assert np.nanmax(out) <= 12
