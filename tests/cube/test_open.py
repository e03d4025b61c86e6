"""Opened cubes: the right values from the right files, whatever the chunks, and never a silent zero or NaN."""

import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers .rio
import xarray as xr
from affine import Affine
from distributed import Client, LocalCluster
from odc.geo.geobox import GeoBox

import earthlab as el
from earthlab.cube.blocks import read_block
from earthlab.cube.plan import Source
from earthlab.cube.readers.raster import read_raster
from earthlab.errors import BadRequest, FaultWarning, ReadFault
from earthlab.testing.rasters import LATTICE, RasterFile, SceneBand, scene_items, write_scene


def one_band(values, *, nodata=0, scale=0.0001, offset=None, shift=(0, 0), crs="EPSG:32631") -> dict:
    transform = LATTICE @ Affine.translation(*shift)
    return {"red": SceneBand(RasterFile(values, transform, crs), "red", nodata=nodata, scale=scale, offset=offset)}


def full(dn: int, shape=(40, 50)) -> np.ndarray:
    return np.full(shape, dn, "uint16")


def rechunked(plan, *sizes):
    """The same plan cut otherwise; sizes along time, y and x."""

    def cut(length: int, step: int) -> tuple[int, ...]:
        return (step,) * (length // step) + ((length % step,) if length % step else ())

    return replace(plan, chunks=tuple(cut(n, s) for n, s in zip((len(plan.steps), *plan.shape), sizes, strict=True)))


def test_values_are_physical_and_nodata_and_missing_bands_are_nan(pair):
    cube = el.open(pair)
    assert cube.red.dims == ("time", "y", "x")
    assert cube.red.dtype == "float32"
    assert np.isnan(cube.red[0, :20, :30]).all()
    assert 0 < float(cube.red.min()) < float(cube.red.max()) <= 1
    assert np.isnan(cube.nir[1]).all()
    assert not np.isnan(cube.nir[0, 20:]).any()


def test_each_item_is_scaled_by_itself_before_it_is_mosaicked(tmp_path):
    """Sentinel-2 baseline 04.00: the same reflectance is 2000 before it, and 3000 with an offset of -0.1 after it."""
    left, right = full(2000), full(3000)
    left[:, 25:] = 0
    documents = [
        write_scene(tmp_path, "avant", one_band(left)),
        write_scene(tmp_path, "apres", one_band(right, offset=-0.1)),
    ]
    cube = el.open(scene_items(documents)).red.compute()
    assert cube.sizes["time"] == 1
    np.testing.assert_allclose(cube.values, 0.2, rtol=1e-5)


def test_the_first_valid_pixel_wins_in_the_order_of_moment_and_id(tmp_path):
    low, high = full(1000), full(5000)
    low[:10] = 0
    documents = [write_scene(tmp_path, "b", one_band(high)), write_scene(tmp_path, "a", one_band(low))]
    red = el.open(scene_items(documents)).red.compute()[0]
    np.testing.assert_allclose(red[:10], 0.5)
    np.testing.assert_allclose(red[10:], 0.1)


def test_a_solar_day_is_one_date_made_of_neighbours(tmp_path):
    documents = [
        write_scene(tmp_path, "a", one_band(full(1000)), time="2018-07-01T10:00:00Z"),
        write_scene(tmp_path, "b", one_band(full(5000), shift=(50, 0)), time="2018-07-01T10:00:14Z"),
    ]
    red = el.open(scene_items(documents), group_by="solar_day").red.compute()
    assert red.shape == (1, 40, 100)
    np.testing.assert_allclose(red[0, :, :50], 0.1)
    np.testing.assert_allclose(red[0, :, 50:], 0.5)


def masked_scene(tmp_path, name="a", counts=2000, cloudy=5):
    classes = np.full((20, 25), 4, "uint8")
    classes[:cloudy], classes[5:7] = 9, 0
    coarse = RasterFile(classes, LATTICE @ Affine.scale(2))
    bands = {**one_band(full(counts)), "SCL": SceneBand(coarse)}
    return write_scene(tmp_path, name, bands, collection="simulation-s2-l2a", **{"earthlab:simulated": True})


def test_clouds_are_masked_by_the_collections_recipe_unless_it_is_declined(tmp_path):
    items = scene_items([masked_scene(tmp_path)])
    clear, raw = el.open(items, ["red"]), el.open(items, ["red"], mask=None)
    assert np.isnan(clear.red[0, :14]).all()
    np.testing.assert_allclose(clear.red[0, 14:], 0.2)
    np.testing.assert_allclose(raw.red, 0.2)
    assert el.plan(items, ["red"]).token != el.plan(items, ["red"], mask=None).token
    np.testing.assert_array_equal(clear.earthlab.mask()[0, :, 0], np.arange(40) >= 14)


def test_under_a_masked_pixel_lies_the_next_items_clear_one(tmp_path):
    items = scene_items([masked_scene(tmp_path), masked_scene(tmp_path, "b", counts=5000, cloudy=2)])
    red = el.open(items, ["red"]).red.compute()[0]
    assert np.isnan(red[:4]).all()
    np.testing.assert_allclose(red[4:10], 0.5)
    assert np.isnan(red[10:14]).all()
    np.testing.assert_allclose(red[14:], 0.2)


def test_an_item_without_the_classes_is_refused_by_name(tmp_path):
    items = scene_items([masked_scene(tmp_path), masked_scene(tmp_path, "b")])
    sources = [replace(i, bands=tuple(b for b in i.bands if b.asset != "SCL" or i.id == "a")) for i in items]
    with pytest.raises(BadRequest, match="item 'b' has no asset 'SCL'"):
        el.plan(replace(items, items=tuple(sources)), ["red"])


def test_a_simulated_cube_says_so_in_itself_and_in_each_band(tmp_path):
    cube = el.open(scene_items([masked_scene(tmp_path)]), ["red"])
    assert "SIMUL" in cube.attrs["comment"]
    assert "SIMUL" in cube.red.attrs["comment"]
    assert "SIMUL" in str(el.plan(scene_items([masked_scene(tmp_path)]), ["red"]).explain())


@pytest.fixture
def wide(tmp_path):
    """Three dates of 600 × 500 pixels with gaps; every pixel differs from its neighbours."""
    rng = np.random.default_rng(5)
    documents = []
    for month in (5, 6, 7):
        values = rng.integers(1, 10_000, (600, 500)).astype("uint16")
        values[rng.random(values.shape) < 0.05] = 0
        time = f"2018-0{month}-01T10:00:00Z"
        documents.append(write_scene(tmp_path, f"m{month}", one_band(values), time=time))
    return scene_items(documents)


GRIDS = [
    pytest.param({}, id="native"),
    pytest.param({"resolution": 15}, id="other-resolution"),
    pytest.param({"resolution": 15, "resampling": "bilinear"}, id="bilinear"),
    pytest.param({"crs": "EPSG:2154", "resolution": 10}, id="lambert"),
    pytest.param({"crs": "EPSG:2154", "resolution": 10, "resampling": "bilinear"}, id="lambert-bilinear"),
    pytest.param({"crs": "EPSG:2154", "resolution": 10, "resampling": "cubic"}, id="lambert-cubic"),
    pytest.param({"crs": "EPSG:2154", "resolution": 35, "resampling": "average"}, id="lambert-average"),
    pytest.param({"crs": "EPSG:4326", "resolution": 0.0002}, id="degrees"),
]


@pytest.mark.parametrize("words", GRIDS)
def test_the_chunks_never_change_a_pixel(wide, words):
    plan = el.plan(wide, **words)
    rows, columns = plan.shape
    whole = el.open(rechunked(plan, 3, rows, columns)).red.compute(scheduler="sync").values
    assert np.isfinite(whole).mean() > 0.5
    for sizes in ((1, 256, 256), (2, 97, 131), (3, rows, 64)):
        part = el.open(rechunked(plan, *sizes)).red.compute(scheduler="threads").values
        np.testing.assert_array_equal(part, whole)


def test_two_chunkings_of_one_plan_can_be_computed_together(pair):
    plan = el.plan(pair)
    one, other = (el.open(rechunked(plan, *sizes)).red.data for sizes in ((2, 300, 280), (1, 100, 100)))
    first, second = dask.compute(one, other)
    np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def cluster():
    with (
        dask.config.set({"distributed.worker.memory.terminate": False}),
        LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0") as running,
        Client(running) as client,
    ):
        yield client


def test_threads_one_thread_and_a_cluster_agree(wide, cluster):
    plan = rechunked(el.plan(wide, crs="EPSG:2154", resolution=20), 3, 200, 200)
    red = el.open(plan).red.data
    one = red.compute(scheduler="sync")
    np.testing.assert_array_equal(red.compute(scheduler="threads"), one)
    np.testing.assert_array_equal(cluster.compute(red).result(), one)


def broken(tmp_path):
    items = scene_items(
        [
            write_scene(tmp_path, "a", one_band(full(2000))),
            write_scene(tmp_path, "b", one_band(full(1)), time="2018-08-01T00:00:00Z"),
        ]
    )
    (tmp_path / "b-red.tif").unlink()
    return items


def test_a_strict_cube_stops_at_a_failed_read_and_names_item_band_and_cause(tmp_path, cluster):
    red = el.open(broken(tmp_path), strict=True).red
    words = r"Item 'b', band 'red': .*b-red\.tif cannot be read: .*No such file.*Leave the item out"
    for scheduler in ("sync", "threads"):
        with pytest.raises(ReadFault, match=words):
            red.compute(scheduler=scheduler)
    with pytest.raises(ReadFault, match=words):
        cluster.compute(red.data).result()
    assert el.open(broken(tmp_path)[:1]).red.notnull().all()


def dated_copy(document: dict, name: str, day: str) -> dict:
    root = f"https://objects.example.org/sentinel-2-l2a/tiles/31/T/CJ/{name}"
    assets = {key: {**asset, "href": f"{root}/{key}.tif"} for key, asset in document["assets"].items()}
    return {**document, "id": name, "properties": {"datetime": day}, "assets": assets}


def test_the_graph_of_a_hundred_large_items_is_small(tmp_path):
    document = write_scene(tmp_path, "a", {name: np.ones((4, 4), "uint16") for name in ("red", "nir", "blue", "green")})
    for asset in document["assets"].values():
        asset["proj:shape"] = [10_980, 10_980]
    days = [f"2018-{1 + at // 28:02d}-{1 + at % 28:02d}T10:00:00Z" for at in range(100)]
    items = scene_items([dated_copy(document, f"S2A_T31TCJ_{at:03d}", day) for at, day in enumerate(days)])
    cube = el.open(items)
    assert cube.sizes == {"time": 100, "y": 10_980, "x": 10_980}
    assert len(pickle.dumps(cube.red.data.dask)) <= 300_000


def test_one_block_takes_no_more_memory_than_the_plan_says(tmp_path):
    rng = np.random.default_rng(0)
    documents = [
        write_scene(
            tmp_path,
            f"i{at}",
            one_band(rng.integers(1, 9, (512, 512)).astype("uint16")),
            time="2018-07-01T10:00:00Z" if at < 12 else f"2018-08-{at:02d}T10:00:00Z",
        )
        for at in range(24)
    ]
    plan = el.plan(scene_items(documents))
    read_block(plan, (0,), (0, 0, 0))
    tracemalloc.start()
    read_block(plan, (0,), (0, 0, 0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 6 * plan.explain().block_bytes
    assert peak <= plan.explain().peak_bytes


def test_a_cube_has_plain_attributes_and_reopens_from_zarr_with_its_place(pair, tmp_path):
    cube = el.open(pair)
    assert all(isinstance(v, str | int | float) for v in {**cube.attrs, **cube.red.attrs}.values())
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False, decode_coords="all")
    assert again.odc.geobox == el.plan(pair).geobox
    assert again.rio.crs.to_epsg() == 32631
    xr.testing.assert_equal(again.red.compute().astype("float32"), cube.red.compute())
    assert again.earthlab.plan == el.plan(pair)


def test_a_cube_reopens_from_netcdf_with_its_place(pair, tmp_path):
    cube = el.open(pair)
    cube.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "cube.nc", engine="h5netcdf", decode_coords="all") as again:
        assert again.odc.geobox == el.plan(pair).geobox
        xr.testing.assert_equal(again.red.load().astype("float32"), cube.red.compute())
        assert again.earthlab.plan == el.plan(pair)


def test_the_real_stack_of_bouconne_is_read_as_rasterio_reads_it(shared_data):
    stack = shared_data / "theia_n3a" / "2018_3A_Theia_Bouconne.tif"
    with rasterio.open(stack) as source:
        window, grid = source.read(3), GeoBox((source.height, source.width), source.transform, str(source.crs))
    (found,) = read_raster([Source(str(stack), 3)], grid, resampling="nearest", anchor=grid.transform * (0, 0))
    np.testing.assert_array_equal(found.values, window)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint32", "int16", "uint8"])
def test_the_largest_integer_may_be_nodata(tmp_path, dtype):
    values = np.full((4, 4), 3, dtype)
    values[0] = np.iinfo(dtype).max
    cube = el.open(scene_items([write_scene(tmp_path, "a", one_band(values, nodata=int(values[0, 0]), scale=None))]))
    np.testing.assert_array_equal(cube.red.values[0], np.where(np.arange(4)[:, None] == 0, np.nan, np.full((4, 4), 3)))


def test_complex_numbers_are_a_fault_and_no_value(tmp_path):
    cube = el.open(scene_items([write_scene(tmp_path, "a", one_band(np.ones((4, 4), "complex64"), nodata=None))]))
    with pytest.warns(FaultWarning, match="complex64"):
        assert cube.red.isnull().all()
    assert not cube.earthlab.faults.transient.any()


def test_a_cube_states_its_licences(tmp_path):
    document = write_scene(tmp_path, "a", one_band(full(1)), license="etalab-2.0")
    assert el.open(scene_items([document])).attrs["license"] == "etalab-2.0"


def test_a_cube_that_was_warmed_needs_its_sources_no_more(pair, monkeypatch, tmp_path):
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", str(tmp_path / "store"))
    plan = el.plan(pair, ["red"])
    monkeypatch.setenv("EARTHLAB__CUBES__WARMED", f"0123456789abcdef,{plan.token}")
    first = el.open(plan).red.load()  # nobody has built it yet: from the sources
    el.open(plan, share=True)
    for band in {band.href for item in pair for band in item.bands}:
        Path(band).unlink()
    np.testing.assert_array_equal(el.open(plan, strict=True).red.values, first)
    monkeypatch.setenv("EARTHLAB__CUBES__WARMED", "")
    with pytest.raises(ReadFault):
        el.open(plan, strict=True).red.load()
