"""Searches over the table, against a plain loop in Python; and what the database cannot be made to do."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthlab.errors import CatalogueUnavailable, SetupError
from earthlab.services.stac.geoparquet import write_items
from earthlab.services.stac.search import Search, parse_search
from earthlab.services.stac.store import Store

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def _item(at: int) -> dict:
    """Items of many places and times: some with an interval, some across the antimeridian, some twins."""
    west, south = (at * 37) % 340 - 170.0, (at * 13) % 150 - 75.0
    box = shapely.box(west, south, west + 8, south + 8)
    bbox = list(box.bounds)
    if at % 9 == 0:
        box = shapely.union_all([shapely.box(176, south, 180, south + 8), shapely.box(-180, south, -176, south + 8)])
        bbox = [176.0, south, -176.0, south + 8]
    elif at % 4 == 0:
        box = shapely.Polygon([(west, south), (west + 8, south), (west, south + 8)])
    begins = _EPOCH + timedelta(days=at % 20)
    times = {"datetime": begins.isoformat()}
    if at % 5 == 0:
        ends = begins + timedelta(days=3)
        times = {"datetime": None, "start_datetime": begins.isoformat(), "end_datetime": ends.isoformat()}
    return {
        "type": "Feature",
        "id": f"item-{at // 2 if at % 6 == 0 else at}",
        "collection": ("one", "two", "l'autre")[at % 3],
        "geometry": json.loads(shapely.to_geojson(box)),
        "bbox": bbox,
        "properties": times,
        "assets": {"data": {"href": f"assets/{at}.tif"}},
    }


ITEMS = [_item(at) for at in range(120)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("many")
    write_items(folder / "items.parquet", ITEMS)
    (folder / "collections.json").write_text("[]")
    (folder / "COMPLETE").touch()
    return Store(folder)


def _times(item: dict) -> tuple[datetime, datetime]:
    said = item["properties"]
    begins = datetime.fromisoformat(said.get("start_datetime") or said["datetime"])
    return begins, datetime.fromisoformat(said.get("end_datetime") or said["datetime"])


def _matches(item: dict, search: Search) -> bool:
    begins, ends = _times(item)
    return (
        (not search.collections or item["collection"] in search.collections)
        and (not search.ids or item["id"] in search.ids)
        and (search.begins is None or ends >= search.begins)
        and (search.ends is None or begins <= search.ends)
        and (search.area is None or shapely.geometry.shape(item["geometry"]).intersects(search.area))
    )


def _expected(search: Search) -> list[tuple[str, str]]:
    found = [item for item in ITEMS if _matches(item, search)]
    found.sort(key=lambda i: (-_times(i)[0].timestamp(), i["id"], i["collection"]))
    return [(item["id"], item["collection"]) for item in found]


def _walk(store: Store, search: Search) -> list[tuple[str, str]]:
    names: list[tuple[str, str]] = []
    while True:
        page = store.find(search)
        assert len(page.items) <= search.limit
        assert page.matched == len(_expected(search))
        names += [(item["id"], item["collection"]) for item in page.items]
        if page.next is None:
            return names
        search = replace(search, after=page.next)


_numbers = st.floats(-180, 180, width=16)
_boxes = st.tuples(_numbers, st.floats(-90, 90, width=16), _numbers, st.floats(-90, 90, width=16)).map(
    lambda b: [b[0], min(b[1], b[3]), b[2], max(b[1], b[3])]
)
_days = st.integers(-2, 24).map(lambda day: _EPOCH + timedelta(days=day, hours=day % 3))
_intervals = st.tuples(_days, _days).map(lambda d: "/".join(t.isoformat() for t in sorted(d)))
_searches = st.fixed_dictionaries(
    {"limit": st.integers(1, 50)},
    optional={
        "bbox": _boxes,
        "datetime": st.one_of(
            _intervals, _days.map(datetime.isoformat), _days.map(lambda d: f"../{d.isoformat()}"),
            _days.map(lambda d: f"{d.isoformat()}/.."),
        ),
        "collections": st.lists(st.sampled_from(["one", "two", "l'autre", "none"]), min_size=1, unique=True),
        "ids": st.lists(st.integers(0, 130).map("item-{}".format), min_size=1, max_size=30, unique=True),
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=_searches)
def test_pages_together_are_what_a_plain_loop_finds_in_order_and_once(many, said):
    search = parse_search(said)
    assert _walk(many, search) == _expected(search)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.lists(st.tuples(_numbers, st.floats(-90, 90, width=16)), min_size=3, max_size=6), limit=st.integers(1, 9)
)
def test_a_geometry_is_compared_exactly_and_not_by_its_box(many, points, limit):
    shape = shapely.convex_hull(shapely.MultiPoint(points))
    search = parse_search({"intersects": json.loads(shapely.to_geojson(shape)), "limit": limit})
    assert _walk(many, search) == _expected(search)


def test_the_missing_corner_of_a_triangle_is_not_found(many):
    triangle = next(item for at, item in enumerate(ITEMS) if at % 4 == 0 and at % 9)
    west, south, east, north = triangle["bbox"]
    corner = {"type": "Point", "coordinates": [east - 0.1, north - 0.1]}
    inside = {"type": "Point", "coordinates": [west + 0.1, south + 0.1]}
    assert triangle["id"] not in [i["id"] for i in many.find(parse_search({"intersects": corner})).items]
    assert triangle["id"] in [i["id"] for i in many.find(parse_search({"intersects": inside})).items]


def test_hrefs_become_absolute_paths(store, catalogue):
    (item,) = store.find(Search(ids=("theia-n3a-bouconne-20180708",))).items
    for key, asset in item["assets"].items():
        assert asset["href"] == str(catalogue / "assets" / "theia-n3a" / item["id"] / f"{key}.tif")
        assert Path(asset["href"]).is_file()


@pytest.mark.parametrize("text", ["x' OR '1'='1", "'; DROP TABLE items; --", "$table", "%", "\x00", "é\u202e"])
def test_names_are_compared_as_they_are(store, text):
    assert store.find(Search(ids=(text,))).matched == 0
    assert store.find(Search(collections=(text,))).matched == 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')", "ATTACH '{folder}/new.db'", "COPY (SELECT 1) TO '{folder}/new.csv'",
        "INSTALL httpfs", "LOAD httpfs", "SET enable_external_access = true", "SELECT * FROM glob('/etc/*')",
    ],
)  # fmt: skip
def test_the_database_opens_nothing(store, tmp_path, sql):
    with pytest.raises(duckdb.Error):
        store._index._duck.cursor().execute(sql.format(folder=tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_folder_without_catalogue_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(SetupError, match="Run: earthlab catalogue build"):
        Store(tmp_path)


def test_a_folder_with_a_quote_in_its_name_is_served(tmp_path):
    folder = tmp_path / "l'atelier"
    folder.mkdir()
    write_items(folder / "items.parquet", ITEMS[:3])
    (folder / "COMPLETE").touch()
    assert Store(folder).find(Search()).matched == 3


def test_a_catalogue_that_goes_away_is_said_to_be_unavailable(tmp_path):
    write_items(tmp_path / "items.parquet", ITEMS[:3])
    (tmp_path / "COMPLETE").touch()
    store = Store(tmp_path)
    (tmp_path / "items.parquet").unlink()
    with pytest.raises(CatalogueUnavailable, match="earthlab catalogue build"):
        store.find(Search())
    with pytest.raises(CatalogueUnavailable, match="earthlab catalogue build"):
        store.collections()
