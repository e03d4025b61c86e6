"""The peers as engines: one contract, the same pixels, and an honest refusal where they cannot."""

import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

import earthlab as el
from earthlab.catalog import MaskRecipe
from earthlab.cube import CubePlan
from earthlab.cube.engines import ENGINES, open_with
from earthlab.errors import BadRequest, SetupError
from earthlab.testing.rasters import LATTICE, RasterFile, SceneBand, scene_items, write_scene

DAY, LATER = "2018-07-08T10:50:00Z", "2018-08-01T10:50:00Z"

peers = pytest.mark.parametrize("engine", sorted(ENGINES))


def band(seed, *, shift=(0, 0), nodata=0, offset=None, name="red", high=10_000) -> SceneBand:
    values = np.random.default_rng(seed).integers(1, high, (90, 70)).astype("uint16")
    values[:20, :30] = 0
    transform = LATTICE @ Affine.translation(*shift)
    return SceneBand(RasterFile(values, transform), name, nodata=nodata, scale=0.0001, offset=offset)


def assert_same(engine, plan):
    ours, theirs = el.open(plan).compute(), open_with(engine, plan).compute()
    assert theirs.attrs.pop("earthlab_engine").startswith(engine)
    xr.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=0)
    for name in plan.bands:
        assert theirs[name].attrs == ours[name].attrs
        assert theirs[name].dtype == "float32"
    assert theirs.attrs == ours.attrs
    return ours


@peers
def test_a_peer_gives_the_pixels_coordinates_and_attributes_of_our_cube(pair, engine):
    plan = el.plan(pair, chunks={"time": 2, "y": 128, "x": 100})
    opened = open_with(engine, plan)
    assert opened.red.data.chunks == plan.chunks
    assert_same(engine, plan)


@peers
def test_overlapping_items_of_one_date_are_scaled_each_by_itself_and_the_first_is_on_top(tmp_path, engine):
    documents = [
        write_scene(tmp_path, "a", {"red": band(0)}, time=DAY),
        write_scene(tmp_path, "b", {"red": band(1, shift=(40, -25), offset=-0.1)}, time=DAY),
        write_scene(tmp_path, "c", {"red": band(2, shift=(-9, 30))}, time=LATER),
        write_scene(tmp_path, "d", {"red": band(3, shift=(3, 10))}, time=LATER),
    ]
    red = assert_same(engine, el.plan(scene_items(documents), chunks={"y": 50, "x": 64})).red
    assert red.sizes["time"] == 2
    assert float(red[0].min()) < 0 < float(red[1].min())


def masked(tmp_path, name, seed, time=DAY):
    classes = np.random.default_rng(seed).choice([0, 4, 5, 8, 9], (45, 35)).astype("uint8")
    flags = SceneBand(RasterFile(classes, LATTICE @ Affine.scale(2)))
    about = {"collection": "simulation-s2-l2a", "earthlab:simulated": True}
    return write_scene(tmp_path, name, {"red": band(seed), "SCL": flags}, time=time, **about)


@peers
def test_clouds_are_masked_item_by_item_before_the_mosaic(tmp_path, engine):
    items = scene_items([masked(tmp_path, "a", 0), masked(tmp_path, "b", 1), masked(tmp_path, "c", 2, LATER)])
    plan = el.plan(items, ["red"])
    assert plan.mask
    red = assert_same(engine, plan).red
    assert 0.3 < float(red[1].isnull().mean()) < 0.9
    assert float(red[0].isnull().mean()) < float(red[1].isnull().mean())


@peers
def test_masks_made_of_bits_are_understood(tmp_path, engine):
    plan = el.plan(scene_items([masked(tmp_path, "a", 0)]), ["red"])
    recipe = MaskRecipe("clear", "bits", ("SCL",), bits=0b1001)
    assert_same(engine, replace(plan, mask=recipe))


@peers
def test_an_item_that_misses_the_grid_and_one_without_a_band_are_nan(tmp_path, engine):
    documents = [
        write_scene(tmp_path, "a", {"red": band(0), "nir": band(5, name="nir")}, time=DAY),
        write_scene(tmp_path, "b", {"red": band(1, shift=(5000, 0))}, time=LATER),
    ]
    grid = GeoBox((40, 30), LATTICE @ Affine.translation(10, 20), "EPSG:32631")
    cube = assert_same(engine, el.plan(scene_items(documents), like=grid))
    assert cube.nir[1].isnull().all()
    assert cube.red[1].isnull().all()


@peers
def test_where_nothing_touches_the_grid_all_is_nan(tmp_path, engine):
    items = scene_items([write_scene(tmp_path, "a", {"red": band(0)})])
    grid = GeoBox((20, 30), LATTICE @ Affine.translation(9000, 0), "EPSG:32631")
    assert assert_same(engine, el.plan(items, like=grid)).red.isnull().all()


@peers
def test_nodata_that_only_the_catalogue_states_is_applied(tmp_path, engine):
    plan = el.plan(scene_items([write_scene(tmp_path, "a", {"red": band(0, nodata=7, high=9)})]))
    assert assert_same(engine, plan).red.isnull().mean() > 0.05


@peers
def test_no_file_cache_is_left_behind_in_the_thread_that_read(pair, engine):
    open_with(engine, el.plan(pair, crs="EPSG:2154", resolution=20)).compute(scheduler="sync")
    left = rasterio.env.getenv() if rasterio.env.hasenv() else {}
    assert not left.get("VSI_CACHE")


@peers
def test_a_failed_read_stops_the_computation(pair, engine, tmp_path):
    (tmp_path / "b-red.tif").unlink()
    with pytest.raises(Exception, match=r"b-red\.tif"):
        open_with(engine, el.plan(pair)).red.compute()


def test_odc_reads_one_band_of_a_file_of_several_and_stackstac_refuses_it(pair, tmp_path):
    stack = np.random.default_rng(0).integers(1, 9, (3, 50, 40)).astype("uint16")
    items = scene_items([write_scene(tmp_path, "s", {"stack": SceneBand(RasterFile(stack))})])
    plan = el.plan(items, ["s-stack-1"])
    assert_same("odc", plan)
    with pytest.raises(BadRequest, match=r"files of one band only; band 2 of .*s-stack\.tif"):
        open_with("stackstac", plan)


def test_stackstac_refuses_grids_it_cannot_name_or_turn(pair):
    local = "+proj=laea +lat_0=44 +lon_0=1 +ellps=GRS80 +units=m"
    with pytest.raises(BadRequest, match="knows a CRS by its EPSG code only"):
        open_with("stackstac", el.plan(pair, crs=local, resolution=20))
    grid = GeoBox((30, 30), LATTICE @ Affine.rotation(30), "EPSG:32631")
    with pytest.raises(BadRequest, match="north up only"):
        open_with("stackstac", el.plan(pair, like=grid))


@peers
def test_what_is_no_raster_is_refused_by_item_and_kind(pair, engine):
    plan = el.plan(pair)
    first = plan.steps[0].layers[0]
    other = replace(first, sources=(replace(first.sources[0], kind="netcdf"), *first.sources[1:]))
    changed = replace(plan, steps=(replace(plan.steps[0], layers=(other,)), *plan.steps[1:]))
    with pytest.raises(BadRequest, match=r"reads rasters only; item 'a' has a source of kind 'netcdf'"):
        open_with(engine, changed)


def test_an_unknown_engine_is_refused_with_the_known_ones(pair):
    with pytest.raises(BadRequest, match=r"engine: found .odc-stac.\. Nearest: odc"):
        open_with("odc-stac", el.plan(pair))


@peers
def test_a_peer_that_is_not_installed_is_said_so(pair, engine, monkeypatch):
    monkeypatch.setitem(sys.modules, {"odc": "odc.loader", "stackstac": "stackstac"}[engine], None)
    monkeypatch.delitem(sys.modules, f"earthlab.cube.engines.{engine}", raising=False)
    with pytest.raises(SetupError, match=r"not installed here .*earthlab\[peers\]"):
        open_with(engine, el.plan(pair))


@peers
def test_no_secret_of_this_process_enters_the_graph(pair, engine, monkeypatch):
    from odc.loader import configure_rio  # the peer's own way to hand it credentials
    from odc.loader._rio import _CFG

    monkeypatch.setattr(_CFG, "_configured", _CFG._configured)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-in-the-environment")
    configure_rio(aws={"aws_access_key_id": "planted-id", "aws_secret_access_key": "planted-key"})
    with rasterio.Env(GDAL_HTTP_HEADERS="Authorization: Bearer planted-token"):
        cube = open_with(engine, el.plan(pair))
        assert b"planted" not in pickle.dumps(dict(cube.__dask_graph__()))
        assert "planted" not in repr(cube)


@peers
def test_sources_behind_a_signer_are_refused(pair, engine, monkeypatch, tmp_path):
    (tmp_path / "signer_of_engines.py").write_text(
        "from earthlab.catalog.signing import Signed\n"
        "class Signer:\n"
        "    def match(self, href): return href.startswith('https://licensed.example.org/')\n"
        "    def sign(self, href): return Signed(href + '?sig=planted')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "signer_of_engines:Signer")
    text = el.plan(pair).to_json().replace(str(tmp_path), "https://licensed.example.org")
    with pytest.raises(BadRequest, match=r"signed addresses of licensed\.example\.org") as refused:
        open_with(engine, CubePlan.from_json(text))
    assert "planted" not in str(refused.value)
