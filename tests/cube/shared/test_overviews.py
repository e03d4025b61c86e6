"""Overviews are the cube's own pixels, coarsened: complete with the cube, or absent. All scenes are constructed."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import earthlab as el
from earthlab.cube.plan import Encoding
from earthlab.cube.shared import find_shared, open_shared, share_cube
from earthlab.cube.shared.coarsening import coarsen_mean, coarsen_sample
from earthlab.cube.shared.layout import Marker
from earthlab.cube.shared.levels import level_of, plan_levels, plan_squares, stored_bytes
from earthlab.errors import BadRequest, ReadFault
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene

from .conftest import QUICK, scenes


def scene_plan(tmp_path, values, *, dates=1, chunks=None, band="red", **words):
    said = {"nodata": 0, "scale": 0.0001, **words}
    documents = [
        write_scene(
            tmp_path,
            f"s{at}",
            {band: SceneBand(RasterFile(np.roll(values, 7 * at, axis=1)), band, **said)},
            time=f"2018-{7 + at // 30:02d}-{at % 30 + 1:02d}T10:00:00Z",
        )
        for at in range(dates)
    ]
    return el.plan(scene_items(documents), chunks=chunks or {"y": 256, "x": 256})


def clouded(shape, *, dtype="uint16", low=1, high=10_000, seed=0):
    """Constructed numbers with holes of every size: single pixels, a corner, and a third of all."""
    rng = np.random.default_rng(seed)
    values = rng.integers(low, high, shape).astype(dtype)
    values[rng.random(shape) < 0.2] = 0
    values[: shape[0] // 2, : shape[1] // 3] = 0
    return values


def by_numpy(values, factor):
    """NaN-mean of each square; those at the edge are cut by it."""
    rows, columns = (-(-length // factor) * factor for length in values.shape[1:])
    beyond = ((0, 0), (0, rows - values.shape[1]), (0, columns - values.shape[2]))
    padded = np.pad(values.astype("float64"), beyond, constant_values=np.nan)
    squares = padded.reshape(len(values), rows // factor, factor, columns // factor, factor)
    seen = np.isfinite(squares).sum(axis=(2, 4))
    with np.errstate(invalid="ignore"):
        return np.nansum(squares, axis=(2, 4)) / np.where(seen, seen, np.nan)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([(2,), (2, 4, 8), (16, 32), (4, 8)]),
    st.sampled_from([("uint16", 0), ("int16", -10_000), ("uint8", 255), ("int8", -128), ("int32", -1), ("int16", 3)]),
    st.integers(0, 2**32 - 1),
)
def test_a_mean_of_integers_is_numpys_to_the_nearest_integer(shape, factors, kind, seed):
    dtype, fill = kind
    limits, rng = np.iinfo(dtype), np.random.default_rng(seed)
    stored = rng.integers(max(limits.min, -30_000), min(limits.max, 30_000), shape, endpoint=True).astype(dtype)
    stored[rng.random(shape) < 0.4] = fill
    for factor, made in zip(factors, coarsen_mean(stored, fill, factors), strict=True):
        expected = by_numpy(np.where(stored == fill, np.nan, stored), factor)
        assert made.dtype == dtype
        np.testing.assert_array_equal(made == fill, np.isnan(expected))
        seen = ~np.isnan(expected)
        nearest = np.rint(expected[seen])
        beside = nearest == fill
        np.testing.assert_array_equal(made[seen][~beside], nearest[~beside])
        assert (np.abs(made[seen][beside].astype("int64") - fill) == 1).all()


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 50), st.integers(1, 50)),
    st.sampled_from([(2, 4), (8,), (2, 4, 8)]),
    st.integers(0, 2**32 - 1),
)
def test_a_mean_of_floats_is_numpys(shape, factors, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(270, 30, shape).astype("float32")
    values[rng.random(shape) < 0.4] = np.nan
    for factor, made in zip(factors, coarsen_mean(values, np.nan, factors), strict=True):
        assert made.dtype == "float32"
        np.testing.assert_allclose(made, by_numpy(values, factor), rtol=1e-6)


@settings(max_examples=40)
@given(st.tuples(st.integers(1, 2), st.integers(1, 50), st.integers(1, 50)), st.sampled_from([2, 4, 8]))
def test_a_sample_is_the_pixel_at_the_middle_or_the_last_one(shape, factor):
    values = np.arange(np.prod(shape)).reshape(shape).astype("int32")
    (made,) = coarsen_sample(values, [factor])
    for y, x in np.ndindex(made.shape[1:]):
        row, column = min(y * factor + factor // 2, shape[1] - 1), min(x * factor + factor // 2, shape[2] - 1)
        np.testing.assert_array_equal(made[:, y, x], values[:, row, column])


@pytest.mark.parametrize(
    ("shape", "levels"),
    [
        ((300, 512), ()),
        ((300, 513), (2,)),
        ((1024, 1), (2,)),
        ((1025, 1), (2, 4)),
        ((10_980, 10_980), (2, 4, 8, 16, 32)),
        ((10**7, 10**7), (2, 4, 8, 16, 32, 64, 128, 256, 512)),
    ],
)
def test_levels_are_halved_until_the_longest_side_is_small(plan, shape, levels):
    assert plan_levels(replace(plan, shape=shape)) == levels


def test_a_band_that_is_called_as_their_folder_has_none(plan):
    assert plan_levels(replace(plan, shape=(2000, 2000), bands=("red", "overviews"))) == ()


@settings(max_examples=30)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 90))
def test_squares_make_each_shard_of_each_level_once(rows, columns, dates):
    plan = type("Shape", (), {"shape": (rows, columns), "steps": (0,) * dates, "bands": ("a", "b")})()
    made = [(f, square.band, square.place) for square in plan_squares(plan) for f in square.factors]
    assert len(made) == len(set(made))
    shards = [np.prod(level_of(plan, factor).grid) for factor in plan_levels(plan)]
    assert len(made) == 2 * sum(shards)


@pytest.mark.parametrize(
    ("shape", "dates", "chunks"),
    [((613, 1101), 2, {"y": 256, "x": 256}), ((1500, 530), 1, {"y": 100, "x": 130}), ((520, 520), 35, None)],
)
def test_each_level_of_a_shared_cube_is_the_mean_of_its_own_pixels(tmp_path, address, shape, dates, chunks):
    plan = scene_plan(tmp_path, clouded(shape), dates=dates, chunks=chunks)
    cube = share_cube(plan, store=address.url)
    assert cube.levels == plan_levels(plan) != ()
    whole, step = cube.open().red.values, plan.encodings[0].scale
    for factor in cube.levels:
        level = cube.open(factor)
        expected = by_numpy(whole, factor)
        np.testing.assert_array_equal(np.isnan(level.red.values), np.isnan(expected))
        np.testing.assert_allclose(level.red.values, expected, atol=0.5001 * step)
        assert level.red.attrs["cell_methods"] == "y: x: mean"
        assert "earthlab_plan" not in level.attrs
        np.testing.assert_array_equal(level.time, cube.open().time)


def test_a_level_lies_where_its_pixels_lie(tmp_path, folder):
    plan = scene_plan(tmp_path, clouded((613, 1101)))
    cube = share_cube(plan, store=folder)
    own, level = cube.open().odc.geobox, cube.open(2).odc.geobox
    assert level.crs == own.crs
    assert level.transform.a == 2 * own.transform.a
    assert (level.boundingbox.left, level.boundingbox.top) == (own.boundingbox.left, own.boundingbox.top)
    assert level.shape == (307, 551)
    assert 0 <= own.boundingbox.bottom - level.boundingbox.bottom < 2 * abs(own.transform.e)


def test_deep_levels_are_means_of_the_cubes_own_pixels_too(tmp_path, folder):
    """The fourth level is read from the cube itself again, in squares of 8192 pixels."""
    values = clouded((40, 5000))
    plan = scene_plan(tmp_path, values, chunks={"y": 40, "x": 1280})
    cube = share_cube(plan, store=folder)
    assert cube.levels == (2, 4, 8, 16)
    whole = cube.open().red.values
    np.testing.assert_allclose(cube.open(16).red.values, by_numpy(whole, 16), atol=0.5001e-4)


def test_what_may_be_classes_is_sampled_and_never_averaged(tmp_path, folder):
    classes = clouded((600, 530), dtype="uint8", high=5)
    plan = scene_plan(tmp_path, classes, band="scl", scale=None)
    cube = share_cube(plan, store=folder)
    whole, level = cube.open().scl.values, cube.open(2).scl
    np.testing.assert_array_equal(level.values, whole[:, 1::2, 1::2])
    assert level.attrs["cell_methods"] == "y: x: point"
    group = zarr.open_group(cube.href, mode="r")
    assert group.attrs["multiscales"]["resampling_method"] == "nearest"


def test_bands_without_integers_have_levels_of_floats(tmp_path, folder):
    plan = replace(scene_plan(tmp_path, clouded((600, 530))), encodings=(None,))
    cube = share_cube(plan, store=folder)
    np.testing.assert_allclose(cube.open(2).red.values, by_numpy(cube.open().red.values, 2), rtol=1e-6)


def test_values_that_are_not_those_of_the_integers_have_levels_of_floats_too(tmp_path, folder):
    plan = scene_plan(tmp_path, clouded((600, 530)))
    odd = replace(plan, encodings=(replace(plan.encodings[0], scale=0.0003),))
    cube = share_cube(odd, store=folder)
    assert cube.marker.encoded == (False,)
    np.testing.assert_allclose(cube.open(2).red.values, by_numpy(cube.open().red.values, 2), rtol=1e-6)


def test_workers_of_a_cluster_make_them_as_well(tmp_path, folder, crew):
    plan = scene_plan(tmp_path, clouded((613, 1101)), dates=2)
    cube = share_cube(plan, store=folder, patience=QUICK)
    np.testing.assert_allclose(cube.open(4).red.values, by_numpy(cube.open().red.values, 4), atol=0.5001e-4)


def test_plain_zarr_and_xarray_find_them_by_the_geozarr_convention(tmp_path, folder):
    plan = scene_plan(tmp_path, clouded((613, 1101)))
    cube = share_cube(plan, store=folder)
    group = zarr.open_group(cube.href, mode="r")
    assert {one["name"] for one in group.attrs["zarr_conventions"]} == {"proj", "spatial", "multiscales"}
    told = group.attrs["multiscales"]
    assert told["resampling_method"] == "average"
    assert [level["asset"] for level in told["layout"]] == [".", "overviews/2", "overviews/4"]
    jsonschema.validate(told, MULTISCALES)
    for level in told["layout"][1:]:
        plain = xr.open_zarr(cube.href, group=level["asset"], decode_coords="all")
        factor = int(level["transform"]["scale"][0])
        assert list(plain.odc.geobox.transform[:6]) == level["spatial:transform"]
        assert list(plain.odc.geobox.shape) == level["spatial:shape"] == list(plain.red.shape[1:])
        np.testing.assert_allclose(plain.red.values, cube.open(factor).red.values, rtol=1e-6)
        assert group[f"{level['asset']}/red"].metadata.dimension_names == ("time", "y", "x")
    told = json.loads(Path(cube.href, "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    assert {"red", "overviews", "overviews/2", "overviews/2/red", "overviews/4/spatial_ref"} <= set(told)
    assert set(xr.open_zarr(cube.href).data_vars) == {"red"}


MULTISCALES = {
    "type": "object",
    "required": ["layout"],
    "properties": {
        "layout": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["asset"],
                "properties": {
                    "asset": {"type": "string", "pattern": r"^(?!/)(?!.*(\.\.))([^/]+(/[^/]+)*)$"},
                    "transform": {"type": "object", "properties": {"scale": {"type": "array"}}},
                },
                "if": {"required": ["derived_from"]},
                "then": {"required": ["transform"]},
            },
        },
        "resampling_method": {"type": "string"},
    },
}
"""What the convention's own schema, v0.1, asks of the attribute."""


def test_a_small_cube_has_none_and_says_so_where_one_is_asked_for(plan, folder):
    cube = share_cube(plan, store=folder)
    assert cube.levels == ()
    assert not Path(cube.href, "overviews").exists()
    with pytest.raises(BadRequest, match=r"has no overview of factor 2\. It has none, and 1"):
        cube.open(2)


def test_a_cube_of_before_there_were_any_opens_as_it_did(tmp_path, folder):
    plan = scene_plan(tmp_path, clouded((600, 530)))
    cube = share_cube(plan, store=folder)
    path = Path(cube.href, "cube.json")
    told = json.loads(path.read_text())
    del told["levels"], told["level_empty"]
    path.write_text(json.dumps(told))
    old = find_shared(plan, store=folder)
    assert old.levels == ()
    np.testing.assert_array_equal(open_shared(plan.token, store=folder).red.values, cube.open().red.values)
    with pytest.raises(BadRequest, match="no overview"):
        old.open(2)


def test_the_marker_tells_the_levels_and_their_empty_shards(tmp_path, folder):
    values = clouded((1500, 1500))
    values[:1024, :1024] = 0
    cube = share_cube(scene_plan(tmp_path, values), store=folder)
    assert cube.marker.levels == (2, 4)
    assert cube.marker.level_empty == ((2, "red", (0, 0, 0)), (4, "red", (0, 0, 0)))
    assert Marker.parse(cube.marker.render()) == cube.marker
    assert not Path(cube.href, "overviews/2/red/c/0/0/0").exists()
    assert np.isnan(cube.open(2).red.values[:, :512, :512]).all()
    assert cube.marker.size == sum(
        path.stat().st_size
        for path in Path(cube.href).rglob("*")
        if path.is_file() and path.name not in {"item.json", "cube.json"}
    )


def test_a_missing_shard_of_a_level_is_refused_and_never_read_as_nodata(tmp_path, folder):
    cube = share_cube(scene_plan(tmp_path, clouded((600, 530))), store=folder)
    Path(cube.href, "overviews/2/red/c/0/0/0").unlink()
    with pytest.raises(ReadFault, match=r"shard \(0, 0, 0\) of band 'red' is missing"):
        cube.open(2).red.compute()
    cube.open().red.compute()


def test_progress_counts_them(tmp_path, folder):
    told = []
    plan = scene_plan(tmp_path, clouded((600, 530)))
    share_cube(plan, store=folder, on_progress=told.append)
    blocks, squares = 9, len(plan_squares(plan))
    assert [p.done for p in told if p.of] == sorted(p.done for p in told)
    assert {p.of for p in told} == {blocks + squares}
    assert told[-1].done == blocks + squares


def test_a_plan_says_what_they_take(tmp_path):
    plan = scene_plan(tmp_path, clouded((613, 1101)))
    told = plan.explain()
    assert told.levels == (2, 4)
    own = 2 * 613 * 1101
    assert told.stored_bytes == own + 2 * (307 * 551 + 154 * 276) == stored_bytes(plan)
    assert told.overview_bytes == told.stored_bytes - own
    assert told.overview_bytes < 0.34 * own
    assert "d'aperçus / of overviews (1/2, 1/4)" in str(told)


def test_one_who_gave_up_leaves_no_level_behind(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__QUOTA", "100 KiB")
    plan = scene_plan(tmp_path, clouded((600, 530)))
    with pytest.raises(el.errors.AskLess, match="quota"):
        share_cube(plan, store=folder)
    assert [path.name for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith(".")] == [
        "head.json"
    ]


def test_scenes_of_several_dates_have_levels_of_each(tmp_path, folder):
    plan = el.plan(scene_items(scenes(tmp_path, size=530, dates=3)), chunks={"time": 1, "y": 256, "x": 256})
    cube = share_cube(plan, store=folder)
    for name in ("red", "nir"):
        np.testing.assert_allclose(cube.open(2)[name].values, by_numpy(cube.open()[name].values, 2), atol=0.5001e-4)
    assert isinstance(plan.encodings[0], Encoding)
