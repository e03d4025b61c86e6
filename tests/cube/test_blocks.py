"""Blocks: what is read, in what order it is laid, and what is left alone."""

import numpy as np
import pytest

import earthlab as el
from earthlab.cube.blocks import read_block
from earthlab.cube.readers import raster
from earthlab.errors import BadRequest
from earthlab.testing.rasters import LATTICE, RasterFile, SceneBand, scene_items, write_scene

SHAPE = (64, 64)


@pytest.fixture
def reads(monkeypatch):
    read, seen = raster.read_raster, []

    def counted(sources, geobox, **words):
        seen.append(sources[0].href.rsplit("/", 1)[1])
        return read(sources, geobox, **words)

    monkeypatch.setattr(raster, "read_raster", counted)
    return seen


def scene(folder, name, day, scl, **bands):
    found = {key: SceneBand(RasterFile(values), key, nodata=0, scale=1.0) for key, values in bands.items()}
    flags = {"SCL": SceneBand(RasterFile(scl))}
    return write_scene(folder, name, found | flags, time=f"2020-01-{day:02d}T10:00:00Z", collection="sentinel-2-l2a")


def full(value, dtype="uint16"):
    return np.full(SHAPE, value, dtype)


@pytest.fixture
def half_cloudy(tmp_path):
    flags = full(4, "uint8")
    flags[:, 32:] = 9
    return scene_items(
        [
            scene(tmp_path, "a", 1, flags, red=full(1), nir=full(2)),
            scene(tmp_path, "b", 2, full(9, "uint8"), red=full(3), nir=full(4)),
        ]
    )


def test_clouds_are_nodata_and_a_cloudy_date_is_not_read_beyond_its_mask(half_cloudy, reads):
    cube = el.open(half_cloudy, bands=["red", "nir"]).compute(scheduler="sync")
    assert (cube.red[0, :, :32] == 1).all()
    assert cube.red[0, :, 32:].isnull().all()
    assert cube.nir[1].isnull().all()
    assert sorted(reads) == ["a-SCL.tif", "a-nir.tif", "a-red.tif", "b-SCL.tif"]


def test_a_band_that_is_not_needed_is_not_read(half_cloudy, reads):
    el.open(half_cloudy).red.compute(scheduler="sync")
    assert not any("nir" in href for href in reads)


def test_what_the_first_item_covers_is_not_read_from_the_next(tmp_path, reads):
    items = scene_items(
        [scene(tmp_path, name, 1, full(4, "uint8"), red=full(value)) for name, value in (("a", 1), ("b", 2))]
    )
    cube = el.open(items, bands=["red"]).compute(scheduler="sync")
    assert (cube.red == 1).all()
    assert sorted(reads) == ["a-SCL.tif", "a-red.tif"]


def test_a_mask_of_bits_keeps_what_has_none_of_them(half_cloudy):
    plan = el.plan(half_cloudy, bands=["red"])
    from dataclasses import replace

    recipe = replace(plan.mask, kind="bits", bits=0b1001)
    read = read_block(replace(plan, mask=recipe), (0,), (0, 0, 0))
    assert (read[0, 0, :, :32] == 1).all()
    assert np.isnan(read[0, 0, :, 32:]).all()


def test_where_the_mask_does_not_reach_nothing_is_clear(tmp_path):
    document = scene(tmp_path, "a", 1, np.full((32, 64), 4, "uint8"), red=full(5))
    cube = el.open(scene_items([document]), bands=["red"]).compute(scheduler="sync")
    assert (cube.red[0, :32] == 5).all()
    assert cube.red[0, 32:].isnull().all()


def test_a_coarser_mask_is_spread_over_the_pixels_it_holds(tmp_path):
    flags = np.array([[4, 9], [9, 4]], "uint8").repeat(16, 0).repeat(16, 1)
    coarse = RasterFile(flags, transform=LATTICE @ LATTICE.scale(2))
    document = scene(tmp_path, "a", 1, full(4, "uint8"), red=full(5))
    other = write_scene(tmp_path, "c", {"SCL": SceneBand(coarse)})
    document["assets"]["SCL"] = other["assets"]["SCL"]
    red = el.open(scene_items([document]), bands=["red"]).red.compute(scheduler="sync")[0]
    np.testing.assert_array_equal(np.isfinite(red), flags.repeat(2, 0).repeat(2, 1) == 4)


def test_a_pixel_says_which_item_it_comes_from_and_how_many_saw_it(tmp_path):
    left, both = full(1), full(2)
    left[:, 32:] = 0
    items = scene_items(
        [
            scene(tmp_path, "a", 1, full(4, "uint8"), red=left),
            scene(tmp_path, "b", 1, full(4, "uint8"), red=both),
        ]
    )
    traced = el.open(items, bands=["red"]).earthlab.source("red").compute(scheduler="sync")
    assert traced.attrs["items"] == ["a", "b"]
    assert (traced.source[0, :, :32] == 0).all()
    assert (traced.source[0, :, 32:] == 1).all()
    assert (traced["count"][0, :, :32] == 2).all()
    assert (traced["count"][0, :, 32:] == 1).all()
    with pytest.raises(BadRequest, match=r"source: the cube has no band 'rde'.*red"):
        el.open(items, bands=["red"]).earthlab.source("rde")


def test_a_band_may_be_called_mask_beside_the_mask_that_clears_it(tmp_path):
    flags = full(4, "uint8")
    flags[:, 32:] = 9
    items = scene_items([scene(tmp_path, "a", 1, flags, mask=full(7), red=full(1))])
    bare = el.open(items, ["mask", "red"], mask=None)["mask"]
    np.testing.assert_array_equal(bare, full(7)[None])
    cleared = el.open(items, ["mask", "red"], mask="clear")["mask"].values[0]
    assert (cleared[:, :32] == 7).all()
    assert np.isnan(cleared[:, 32:]).all()
