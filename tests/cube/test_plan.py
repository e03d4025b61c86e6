"""Plans: what they decide, what they refuse, and that their numbers are true."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

import earthlab as el
from earthlab.catalog import ItemSet, make_query
from earthlab.cube import CubePlan
from earthlab.cube.chunks import plan_chunks
from earthlab.cube.readers import raster
from earthlab.errors import AskLess, BadRequest
from earthlab.rights import Rule
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from earthlab.types import BBox


def test_a_plan_decides_bands_units_times_and_grid(pair):
    plan = el.plan(pair)
    assert (plan.bands, plan.units, plan.shape) == (("red", "nir"), ("1", "1"), (300, 280))
    assert [t.day for t in plan.times] == [1, 11]
    assert plan.geobox == plan.geobox
    assert el.plan(pair, "red").bands == el.plan(pair, ["red", "red"]).bands == ("red",)


def test_missing_bands_are_listed(pair):
    assert el.plan(pair).explain().missing == ("b: nir",)
    assert "b: nir" in str(el.plan(pair).explain())


def test_bands_without_any_radiometry_are_dn(tmp_path):
    items = scene_items([write_scene(tmp_path, "a", {"red": np.ones((4, 4), "uint8")})])
    assert el.plan(items).units == ("DN",)


@pytest.mark.parametrize(
    ("href", "access"),
    [
        ("https://store.example.org/licensed/a.tif", "images"),
        ("https://STORE.example.org:443/%6cicensed/a.tif", "images"),
        ("https://store.example.org/licensed/table.csv?time%3E=2024", "images"),
        ("https://store.example.org/open/a.tif", "open"),
        ("/data/licensed/a.tif", "open"),
    ],
)
def test_what_lies_at_a_guarded_address_is_licensed_whatever_its_collection_is_called(pair, monkeypatch, href, access):
    words = {"fr": "mot", "en": "word"}
    guard = ("https://store.example.org/licensed/",)
    rule = Rule("images", words, "custom:images", "charter", words, words, "a test", (), guard)
    monkeypatch.setattr("earthlab.cube.planning.load_rules", lambda: (rule,))
    first, *others = pair
    moved = replace(first, collection="harmless", bands=tuple(replace(band, href=href) for band in first.bands))
    assert el.plan(replace(pair, items=(moved, *others))).access == access


def test_a_plan_survives_json_and_pickle(pair):
    plan = el.plan(pair, mask=None)
    for again in (CubePlan.from_json(plan.to_json()), pickle.loads(pickle.dumps(plan))):
        assert again == plan
        assert again.token == plan.token
        assert again.geobox == plan.geobox
        assert hash(again) == hash(plan)
    with pytest.raises(BadRequest, match=r"not a document of CubePlan\.to_json"):
        CubePlan.from_json('{"steps": 3}')


def test_an_item_whose_nodata_is_nan_can_be_planned_and_named(tmp_path):
    values = np.ones((4, 4), "float32")
    document = write_scene(tmp_path, "a", {"red": SceneBand(RasterFile(values), "red")})
    document["assets"]["red"]["nodata"] = "nan"
    items = scene_items([document])
    assert len(items.token) == len(el.plan(items).token) == 20
    assert el.open(items).red.notnull().all()


def tokens(plans) -> int:
    return len({plan.token for plan in plans})


def test_a_token_is_stable_and_forgets_the_chunks(pair, monkeypatch):
    plan = el.plan(pair)
    assert el.plan(pair).token == plan.token
    monkeypatch.setenv("EARTHLAB__COMPUTE__WORKER_MEMORY", "8 MiB")
    smaller = el.plan(pair)
    assert smaller.chunks != plan.chunks
    assert smaller.token == plan.token


def test_a_token_changes_with_anything_that_changes_pixels(pair):
    base = el.plan(pair)
    layer = base.steps[0].layers[0]
    source = layer.sources[0]
    others = [
        replace(source, **{k: v})
        for k, v in {"scale": 2.0, "offset": 1.0, "nodata": 5.0, "href": "x", "index": 2}.items()
    ]
    changed = [
        replace(
            base, steps=(replace(base.steps[0], layers=(replace(layer, sources=(s, layer.sources[1])),)), base.steps[1])
        )
        for s in others
    ]
    plans = [
        base,
        el.plan(pair, ["red"]),
        el.plan(pair, ["nir", "red"]),
        el.plan(pair, resolution=20),
        el.plan(pair, crs=2154, resolution=10),
        el.plan(pair, resampling="bilinear"),
        el.plan(pair, resampling={"red": "bilinear"}),
        el.plan(pair[:1]),
        el.plan(pair, bbox=(0.5, 44.20, 0.51, 44.21)),
        *changed,
    ]
    assert tokens(plans) == len(plans)


def test_open_takes_a_plan_or_its_words_but_not_both(pair):
    assert el.open(pair, ["red"], resolution=20).attrs["earthlab_token"] == el.plan(pair, ["red"], resolution=20).token
    with pytest.raises(BadRequest, match="a plan is complete"):
        el.open(el.plan(pair), resolution=20)


REFUSED = [
    ({"bands": ["rouge"]}, "no item of essai has 'rouge'.*All bands: red, nir"),
    ({"bands": []}, "the list is empty. All bands: red, nir"),
    ({"bands": [3]}, "has 3"),
    ({"mask": "clear"}, "collection 'essai' has no recipe 'clear'.*Or give mask=None"),
    ({"mask": 3}, "has no recipe 3"),
    ({"group_by": "day"}, "group_by: found 'day'. Nearest: solar_day|Known"),
    ({"group_by": None}, "group_by: found None"),
    ({"resampling": "cubique"}, "expected one of nearest"),
    ({"resampling": None}, "resampling: found None"),
    ({"resampling": {"rouge": "bilinear"}}, "resampling: .*'rouge'"),
    ({"bbox": (1, 2, 3)}, "expected four finite numbers"),
    ({"bbox": (5, 45, 6, 46)}, "misses every item"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_plan_that_cannot_be_meant_is_refused(pair, words, message):
    with pytest.raises(BadRequest, match=message):
        el.plan(pair, **words)


def test_items_that_are_none_are_refused(pair):
    for wrong in (None, "theia-n3a", [1, 2]):
        with pytest.raises(BadRequest, match=r"expected what el\.search"):
            el.plan(wrong)
    with pytest.raises(BadRequest, match="the selection is empty"):
        el.plan(ItemSet(()))
    bare = ItemSet(tuple(replace(i, bands=tuple(replace(b, common_name=None) for b in i.bands)) for i in pair))
    with pytest.raises(BadRequest, match=r"say which ones\. All bands: red, nir"):
        el.plan(bare)


def test_the_box_of_the_search_crops_the_cube(pair):
    asked = replace(pair, query=make_query(bbox=(0.5, 44.20, 0.51, 44.21)))
    assert el.plan(asked).shape == el.plan(pair, bbox=(0.5, 44.20, 0.51, 44.21)).shape != el.plan(pair).shape


def on_day(tmp_path, name: str, time: str):
    return write_scene(tmp_path, name, {"red": np.ones((4, 4), "uint8")}, time=time)


def test_the_geometry_of_the_search_crops_the_cube_to_its_box(pair):
    west, south, east, north = pair[0].bbox.as_tuple()
    corner = (west, south, (west + east) / 2, (south + north) / 2)
    found = replace(pair, query=make_query(geometry=shapely.box(*corner)))
    assert el.plan(found).geobox == el.plan(pair, bbox=corner).geobox
    at_a_point = replace(pair, query=make_query(geometry=shapely.Point(corner[2:])))
    assert el.plan(at_a_point).geobox == el.plan(pair).geobox


def test_items_of_one_moment_or_of_one_solar_day_are_one_date(tmp_path):
    documents = [
        on_day(tmp_path, f"i{at}", t)
        for at, t in enumerate(
            ("2018-07-01T10:00:00Z", "2018-07-01T10:00:00.5Z", "2018-07-01T10:00:20Z", "2018-07-02T10:00:00Z")
        )
    ]
    items = scene_items(documents)
    assert [len(step.layers) for step in el.plan(items).steps] == [2, 1, 1]
    assert [len(step.layers) for step in el.plan(items, group_by="solar_day").steps] == [3, 1]


def test_the_solar_day_follows_the_longitude_also_across_the_antimeridian(tmp_path):
    items = scene_items([on_day(tmp_path, "a", "2018-07-01T22:00:00Z")])
    moved = {180: BBox(179, -1, -179, 1), 0: BBox(-1, -1, 1, 1), -180: BBox(-180, -1, -178, 1)}
    days = {
        where: el.plan(
            replace(items, items=(replace(items[0], bbox=box),)), group_by="solar_day", like=el.plan(items).geobox
        )
        .times[0]
        .day
        for where, box in moved.items()
    }
    assert days == {180: 2, 0: 1, -180: 1}
    with pytest.raises(BadRequest, match="states no bbox, so no longitude"):
        el.plan(replace(items, items=(replace(items[0], bbox=None),)), group_by="solar_day")


def test_the_numbers_of_explain_are_those_of_the_cube(pair, monkeypatch):
    monkeypatch.setenv("EARTHLAB__COMPUTE__WORKER_MEMORY", "8 MiB")
    plan = el.plan(pair)
    told, cube, reads = plan.explain(), el.open(plan), []
    read = raster.read_raster
    monkeypatch.setattr(raster, "read_raster", lambda *a, **k: reads.append(a) or read(*a, **k))
    cube.compute(scheduler="sync")
    assert told.bytes == plan.nbytes == sum(v.nbytes for v in cube.data_vars.values())
    assert told.tasks == int(np.prod([len(c) for c in cube.red.data.chunks])) == 4
    assert told.reads == len(reads) == 12
    assert (told.items, told.dates, told.bands) == (2, 2, ("red", "nir"))
    assert told.chunk == (2, 256, 256)
    assert told.block_bytes == 2 * 2 * 256 * 256 * 4
    assert "Plan " + plan.token in str(told)


def test_explain_escapes_what_catalogues_say(pair):
    hostile = ItemSet(tuple(replace(i, id="<script>", collection="<script>") for i in pair))
    assert "<script>" not in el.plan(hostile)._repr_html_()


@given(
    st.integers(1, 500), st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 12),
    st.integers(2**20, 2**36),
)  # fmt: skip
def test_chunks_cover_the_cube_and_fit_the_memory_or_less_is_asked(steps, rows, columns, bands, memory):
    try:
        chunks = plan_chunks(steps, rows, columns, bands=bands, itemsize=4, memory=memory)
    except AskLess:
        assert 6 * 256 * 256 * bands * 4 > memory
        return
    assert [sum(c) for c in chunks] == [steps, rows, columns]
    assert all(c > 0 for axis in chunks for c in axis)
    assert 6 * chunks[0][0] * chunks[1][0] * chunks[2][0] * bands * 4 <= memory
    assert all(c % 256 == 0 for axis in chunks[1:] for c in axis[:-1])


def test_a_memory_too_small_for_one_tile_is_refused(pair, monkeypatch):
    monkeypatch.setenv("EARTHLAB__COMPUTE__WORKER_MEMORY", "1 MiB")
    with pytest.raises(AskLess, match="Ask for fewer bands, or raise EARTHLAB__COMPUTE__WORKER_MEMORY"):
        el.plan(pair)


def test_a_plan_is_json_through_and_through(pair):
    assert json.loads(el.plan(pair).to_json())["bands"] == ["red", "nir"]


def dated(folder, name, time, **properties):
    return write_scene(folder, name, {"red": np.ones((8, 8), "uint8")}, time=time, **properties)


def test_the_items_of_a_month_become_one_date_and_granules_stay_apart(tmp_path):
    times = ["2018-07-01T10:00:00Z", "2018-07-01T10:00:00Z", "2018-07-31T23:59:59Z", "2018-08-01T00:00:00Z"]
    items = scene_items([dated(tmp_path, f"i{at}", time) for at, time in enumerate(times)])
    months = el.plan(items, group_by="month")
    assert [(t.month, t.day) for t in months.times] == [(7, 1), (8, 1)]
    assert [len(step.layers) for step in months.steps] == [3, 1]
    assert len(el.plan(items, group_by="granule").steps) == 4
    assert len(el.plan(items, group_by="time").steps) == 3


def test_a_map_has_one_date_a_block_and_a_series_all_of_them(pair):
    assert el.plan(pair, chunks="map").chunks == ((1, 1), (300,), (280,))
    assert el.plan(pair, chunks="series").chunks == ((2,), (300,), (280,))
    assert el.plan(pair, chunks={"time": 1, "y": 100, "x": -1}).chunks == ((1, 1), (100, 100, 100), (280,))
    assert el.plan(pair, chunks="map").token == el.plan(pair).token


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ("tiles", r"chunks: found 'tiles'.*series.*a mapping"),
        ({"band": 1}, r"chunks: 'band' is not an axis"),
        ({"y": 0}, r"chunks: y is 0, expected a whole number"),
        ({"y": True}, r"chunks: y is True, expected a whole number"),
    ],
)
def test_chunks_that_cannot_be_are_refused(pair, chunks, words):
    with pytest.raises(BadRequest, match=words):
        el.plan(pair, chunks=chunks)


def test_chunks_that_do_not_fit_a_worker_are_refused_with_numbers(pair, monkeypatch):
    monkeypatch.setenv("EARTHLAB__COMPUTE__WORKER_MEMORY", "4 MiB")
    with pytest.raises(AskLess, match=r"blocks of 2 × 300 × 280 take 1,344,000 bytes each.*room for 699,050"):
        el.plan(pair, chunks={})


def integers(folder, name, day, *, scale=0.0001, offset=None, nodata=0.0, dtype="uint16"):
    file = RasterFile(np.full((8, 8), 100, dtype))
    band = SceneBand(file, "red", nodata=nodata, scale=scale, offset=offset)
    return write_scene(folder, name, {"red": band}, time=f"2018-07-{day:02d}T10:00:00Z")


def test_integers_are_kept_for_writing_where_all_items_agree(tmp_path):
    items = scene_items([integers(tmp_path, "a", 1), integers(tmp_path, "b", 2)])
    (stored,) = el.plan(items).encodings
    assert (stored.dtype, stored.scale, stored.offset, stored.fill) == ("uint16", 0.0001, 0.0, 0)
    assert el.plan(items, resampling="bilinear").encodings == (None,)


def test_items_that_disagree_are_stored_as_floats_and_come_out_right(tmp_path):
    items = scene_items([integers(tmp_path, "a", 1), integers(tmp_path, "b", 2, offset=-0.1)])
    assert el.plan(items).encodings == (None,)
    np.testing.assert_allclose(el.open(items).red.max(("y", "x")), [0.01, -0.09], atol=1e-7)


def test_radiometry_is_applied_to_each_item_before_they_are_mosaicked(tmp_path):
    left, right = np.full((8, 8), 1100, "uint16"), np.full((8, 8), 2100, "uint16")
    left[:, 4:], right[:, :4] = 0, 0
    bands = [
        SceneBand(RasterFile(left), "red", nodata=0, scale=1e-4),
        SceneBand(RasterFile(right), "red", nodata=0, scale=1e-4, offset=-0.1),
    ]
    items = scene_items([write_scene(tmp_path, name, {"red": band}) for name, band in zip("ab", bands, strict=True)])
    np.testing.assert_allclose(el.open(items).red[0], np.full((8, 8), 0.11), atol=1e-7)


@pytest.mark.parametrize(("dtype", "nodata", "stored", "fill"), [
    ("uint8", None, "int16", -32768), ("uint16", None, "int32", -(2**31)), ("int16", -9999.0, "int16", -9999),
    ("uint16", -9999.0, "int32", -(2**31)),
])  # fmt: skip
def test_a_fill_that_the_dtype_cannot_hold_widens_it(tmp_path, dtype, nodata, stored, fill):
    items = scene_items([integers(tmp_path, "a", 1, dtype=dtype, nodata=nodata)])
    found = el.plan(items).encodings[0]
    assert (found.dtype, found.fill) == (stored, fill)


def test_an_item_that_changed_in_its_catalogue_makes_another_cube(tmp_path):
    document = dated(tmp_path, "a", "2018-07-01T10:00:00Z", updated="2020-01-01T00:00:00Z")
    later = {**document, "properties": {**document["properties"], "updated": "2021-01-01T00:00:00Z"}}
    assert el.plan(scene_items([document])).token != el.plan(scene_items([later])).token


def test_a_plan_of_many_items_counts_its_reads_without_looking_at_each_tile(tmp_path):
    document = dated(tmp_path, "a", "2018-07-01T10:00:00Z")
    document["assets"]["red"]["proj:shape"] = [10_980, 10_980]
    told = el.plan(scene_items([document]), chunks={"time": 1, "y": 1098, "x": 1098}).explain()
    assert told.reads == told.tasks == 100


def test_reads_are_counted_on_both_sides_of_the_antimeridian(tmp_path, monkeypatch):
    """Four tiles of a grid from 178 to 182 degrees; each of two items touches two of them."""
    documents = []
    for name, west in (("a", 178), ("b", -180)):
        file = RasterFile(np.ones((40, 20), "uint8"), Affine(0.1, 0, west, 0, -0.1, 2), "EPSG:4326")
        documents.append(write_scene(tmp_path, name, {"red": SceneBand(file)}))
    items = scene_items(documents)
    plan = el.plan(items, ["red"], bbox=BBox(178, -2, -178, 2), group_by="month", chunks={"y": 40, "x": 10})
    assert plan.shape == (40, 40)
    read, reads = raster.read_raster, []
    monkeypatch.setattr(raster, "read_raster", lambda *a, **k: reads.append(a) or read(*a, **k))
    assert el.open(plan).red.notnull().all()
    assert plan.explain().reads == len(reads) == 4


def test_items_of_two_collections_may_share_an_id(tmp_path):
    documents = [
        write_scene(
            tmp_path / name, "same", {"red": np.full((4, 4), dn, "uint8")}, collection=name, time=f"2018-07-0{dn}"
        )
        for dn, name in enumerate(("here", "there"), 1)
    ]
    assert el.open(scene_items(documents)).red.values[:, 0, 0].tolist() == [1, 2]


def test_duplicates_of_an_item_are_one_date_of_its_values(tmp_path):
    document = write_scene(tmp_path, "a", {"red": np.full((4, 4), 3, "uint8")})
    cube = el.open(scene_items([document, document]))
    assert cube.sizes["time"] == 1
    assert (cube.red == 3).all()


@pytest.mark.parametrize("name", ["time", "x", "y", "spatial_ref"])
def test_a_band_called_like_a_coordinate_is_refused_with_its_other_names(tmp_path, name):
    items = scene_items([write_scene(tmp_path, "a", {name: SceneBand(RasterFile(np.ones((4, 4), "uint8")))})])
    with pytest.raises(BadRequest, match=f"{name!r} is the name of a coordinate of the cube.*'a-{name}-0'"):
        el.plan(items, [name])
    assert float(el.open(items, [f"a-{name}-0"])[f"a-{name}-0"].mean()) == 1


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "1500-06-01T00:00:00Z", "2262-05-01T00:00:00Z"])
def test_a_date_that_xarray_would_turn_into_another_is_refused(tmp_path, time):
    items = scene_items([write_scene(tmp_path, "a", {"red": np.ones((4, 4), "uint8")}, time=time)])
    with pytest.raises(BadRequest, match="a cube holds dates from 1678 to 2261"):
        el.plan(items)


def test_numbers_of_numpy_are_numbers(pair):
    plan = el.plan(pair, crs=np.int64(2154), resolution=np.float32(20), chunks={"x": np.int64(64), "y": np.int16(-1)})
    assert plan == el.plan(pair, crs=2154, resolution=20, chunks={"x": 64})
    assert CubePlan.from_json(plan.to_json()) == plan


def test_a_plan_has_the_same_hash_in_every_process(pair):
    plan = el.plan(pair)
    assert hash(plan) == hash(int(plan.token, 16))


@pytest.mark.parametrize("half", [(178.5, -1, 180, 1), (179, -1, 180, 1)])
def test_a_shape_cut_in_two_at_the_antimeridian_gives_one_grid_across_it(tmp_path, half):
    file = RasterFile(np.ones((40, 60), "uint8"), Affine(0.1, 0, 177, 0, -0.1, 2), "EPSG:4326")
    document = write_scene(tmp_path, "a", {"red": SceneBand(file)})
    document["bbox"] = [177, -2, -177, 2]
    shape = shapely.MultiPolygon([shapely.box(*half), shapely.box(-180, -1.5, -178, 1)])
    plan = el.plan(replace(scene_items([document]), query=make_query(geometry=shape)), ["red"])
    assert plan.geobox.boundingbox.bbox == pytest.approx((half[0], -1.5, 182, 1))
    assert el.open(plan).red.notnull().mean() == 1


def test_a_plan_of_several_collections_says_which_one_each_item_is_of(tmp_path):
    values = np.ones((8, 8), "uint16")
    one = write_scene(tmp_path, "a", {"red": values})
    alone, both = (el.plan(scene_items(some)) for some in ([one], [one, {**one, "collection": "autre"}]))
    assert {alone.collection_of(layer) for layer in alone.layers()} == {"essai"}
    assert '"collection"' not in alone.to_json()
    assert {both.collection_of(layer) for layer in both.layers()} == {"essai", "autre"}
    again = CubePlan.from_json(both.to_json())
    assert (again, hash(again)) == (both, hash(both))
