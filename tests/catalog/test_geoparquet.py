"""An answer frozen as GeoParquet: nothing is lost, and rustac and geopandas read the same items."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import geopandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rustac
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.catalog import Band, ItemSet, make_query, norm_item
from earthlab.catalog.itemset import Outcome
from earthlab.errors import BadRequest
from earthlab.testing.providers import item as stac_item

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "stac_samples"
ONE = norm_item(stac_item("un"))


def answer(*items) -> ItemSet:
    report = (Outcome("geodes", "slow", 3, 2.5, "trop long"), Outcome("lab", "answered", 1, 0.1))
    return ItemSet(items, make_query("essai", place="Bouconne", where={"gsd": ("<", 10)}), "https://h/stac", report)


def frozen(found: ItemSet, folder: Path) -> Path:
    return found.to_geoparquet(folder / "answer.parquet")


TEXTS = st.text(max_size=10)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
BANDS = st.builds(
    Band, TEXTS, TEXTS, TEXTS, common_name=st.none() | TEXTS, media_type=TEXTS, crs=st.none() | TEXTS,
    transform=st.none() | st.just((10.0, 0.0, 1.5, 0.0, -10.0, 2.5)), shape=st.none() | st.just((3, 4)),
    dtype=st.none() | TEXTS, nodata=NUMBERS, scale=NUMBERS, offset=NUMBERS, unit=st.none() | TEXTS,
    kind=st.sampled_from(["raster", "zarr"]), variable=TEXTS, at=st.just(()) | st.just((("time", 3),)),
)  # fmt: skip
MOMENTS = st.integers(0, 2**51).map(lambda moment: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moment))
FURTHER = st.dictionaries(
    st.sampled_from(["gsd", "created", "constellation", "sat:relative_orbit"]), TEXTS | st.booleans() | st.floats(0, 1)
).map(lambda found: tuple(sorted(found.items())))


@st.composite
def items(draw):
    first, last = sorted([draw(MOMENTS), draw(MOMENTS)])
    return replace(
        ONE,
        id=draw(TEXTS),
        collection=draw(TEXTS),
        start=first,
        end=last,
        bands=tuple(draw(st.lists(BANDS, max_size=3))),
        cloud_cover=draw(NUMBERS),
        platform=draw(st.none() | TEXTS),
        title=draw(st.none() | TEXTS),
        simulated=draw(st.booleans()),
        updated=draw(st.none() | TEXTS),
        instruments=tuple(draw(st.lists(TEXTS, max_size=2))),
        properties=draw(FURTHER),
        geometry=draw(st.none() | st.just(ONE.geometry)),
        bbox=draw(st.none() | st.just(ONE.bbox)),
    )


@settings(max_examples=60, deadline=None)
@given(found=st.lists(items(), max_size=3))
def test_nothing_is_lost(found, tmp_path_factory):
    before = answer(*found)
    after = ItemSet.from_geoparquet(frozen(before, tmp_path_factory.mktemp("frozen")))
    assert after == before
    assert after.token == before.token


def test_real_documents_survive(tmp_path):
    if not SAMPLES.is_dir():
        pytest.skip("the shared STAC documents are not beside this checkout; the constructed ones above remain")
    documents = [json.loads(path.read_text()) for path in sorted(SAMPLES.glob("*.json"))]
    found = answer(*(norm_item(one) for one in documents if one.get("type") == "Feature"))
    path = frozen(found, tmp_path)
    assert ItemSet.from_geoparquet(path) == found
    features = rustac.read_sync(str(path))["features"]
    assert [feature["id"] for feature in features] == [item.id for item in found]
    by_id = {feature["id"]: feature for feature in features}
    for document in documents:
        if document.get("type") == "Feature" and document.get("geometry"):
            assert by_id[document["id"]]["geometry"]["type"] == document["geometry"]["type"]
    assert len(geopandas.read_parquet(path)) == len(found)


def test_rustac_reads_stac_items(tmp_path):
    band = Band(
        "B4", "red", "https://h/b4.tif", common_name="red", media_type="image/tiff", crs="EPSG:32631", scale=0.0001,
        transform=(10.0, 0.0, 0.0, 0.0, -10.0, 0.0), shape=(5, 6), nodata=-1.0,
    )  # fmt: skip
    month = replace(
        ONE, id="mois", end=ONE.start.replace(day=28), bands=(band,), cloud_cover=12.0, instruments=("msi",)
    )
    read = rustac.read_sync(str(frozen(answer(ONE, month), tmp_path)))
    assert read["type"] == "FeatureCollection"
    first, second = read["features"]
    assert (first["collection"], tuple(first["bbox"])) == (ONE.collection, ONE.bbox.as_tuple())
    assert datetime.fromisoformat(first["properties"]["datetime"]) == ONE.start
    assert second["properties"].get("datetime") is None
    assert datetime.fromisoformat(second["properties"]["start_datetime"]) == month.start
    assert second["properties"]["eo:cloud_cover"] == 12
    assert second["properties"]["instruments"] == ["msi"]
    asset = second["assets"]["B4"]
    assert (asset["href"], asset["type"], asset["proj:code"]) == ("https://h/b4.tif", "image/tiff", "EPSG:32631")
    assert asset["bands"][0]["raster:scale"] == 0.0001
    assert asset["proj:shape"] == [5, 6]


def test_geopandas_reads_the_outlines(tmp_path):
    frame = geopandas.read_parquet(frozen(answer(ONE), tmp_path))
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry[0].bounds == pytest.approx(ONE.bbox.as_tuple())
    assert frame["datetime"][0].to_pydatetime() == ONE.start


def test_assets_called_by_their_paths_are_not_a_column_each(tmp_path):
    many = [replace(ONE, id=f"i{n}", bands=(Band(f"/p/{n}.zip", "z", f"https://h/{n}.zip"),)) for n in range(300)]
    path = frozen(answer(*many), tmp_path)
    assert ItemSet.from_geoparquet(path).items == tuple(many)
    assert [f.name for f in pq.read_schema(path).field("assets").type] == ["asset1"]
    assert rustac.read_sync(str(path))["features"][7]["assets"]["asset1"]["title"] == "/p/7.zip"


def test_a_file_is_replaced_in_one_step_and_nothing_else_stays(tmp_path):
    path = frozen(answer(ONE), tmp_path)
    assert frozen(answer(ONE, ONE), tmp_path) == path
    assert len(ItemSet.from_geoparquet(str(path))) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["answer.parquet"]


def test_a_folder_that_is_not_there_leaves_nothing_behind(tmp_path):
    with pytest.raises(FileNotFoundError):
        answer(ONE).to_geoparquet(tmp_path / "none" / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(BadRequest, match=r"there is no file .*none\.parquet"):
        ItemSet.from_geoparquet(tmp_path / "none.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("PAR?")
    with pytest.raises(BadRequest, match="is not Parquet"):
        ItemSet.from_geoparquet(text)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": ["a"]}), other)
    with pytest.raises(BadRequest, match="earthlab catalog ingest"):
        ItemSet.from_geoparquet(other)
