"""The rows in memory: they follow the folder, and every search sees one state of it."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow.parquet as pq
import pytest

from earthlab.errors import CatalogueUnavailable
from earthlab.services.stac.geoparquet import write_items
from earthlab.services.stac.index import ParquetTable
from earthlab.services.stac.search import Search, parse_search
from earthlab.services.stac.store import Store
from tests.services.stac.made import MADE, collection, made_item, write_made


def add_part(folder, name, items):
    """As ingestion does it: written beside, then put in place in one step."""
    (folder / "parts").mkdir(exist_ok=True)
    write_items(folder / f".{name}", items)
    (folder / f".{name}").rename(folder / "parts" / name)


def further(count, start=1000):
    return [{**made_item(at), "collection": "new"} for at in range(start, start + count)]


def test_a_new_part_is_seen_by_the_next_search(tmp_path):
    folder = write_made(tmp_path)
    store = Store(folder)
    assert store.find(Search()).matched == len(MADE)
    add_part(folder, "1.parquet", further(7))
    page = store.find(Search(collections=("new",), limit=100))
    assert [item["collection"] for item in page.items] == ["new"] * 7 == ["new"] * page.matched
    assert store.find(Search()).matched == len(MADE) + 7
    assert "view:off_nadir" not in store.queryables(None)
    (folder / "parts" / "1.parquet").unlink()
    assert store.find(Search()).matched == len(MADE)


def test_a_part_that_only_moved_is_not_read_again(tmp_path, monkeypatch):
    folder = write_made(tmp_path)
    add_part(folder, "1.parquet", further(3))
    store = Store(folder)
    read = []
    monkeypatch.setattr(ParquetTable, "keys", _noting(ParquetTable.keys, read))
    (folder / "next").mkdir()
    (folder / "next" / "2.parquet").hardlink_to(folder / "parts" / "1.parquet")
    shutil.rmtree(folder / "parts")
    (folder / "next").rename(folder / "parts")
    assert {item["collection"] for item in store.find(Search(collections=("new",))).items} == {"new"}
    assert read == []


def _noting(keys, read):
    def noted(self):
        read.append(self.path)
        return keys(self)

    return noted


def test_a_new_collection_is_known_at_once(tmp_path):
    folder = write_made(tmp_path)
    store = Store(folder)
    (folder / "collections").mkdir()
    assert list(store.collections()) == ["one", "two", "l'autre"]
    (folder / "collections" / "new.json").write_text(json.dumps(collection("new")))
    assert list(store.collections()) == ["one", "two", "l'autre", "new"]
    (folder / "collections" / "new.json").write_text("{")
    with pytest.raises(CatalogueUnavailable):
        store.collections()


def test_items_are_read_from_many_groups_in_the_order_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("earthlab.services.stac.geoparquet.ROWS_PER_GROUP", 7)
    store = Store(write_made(tmp_path))
    add_part(tmp_path, "1.parquet", further(20))
    page = store.find(parse_search({"sortby": [{"field": "id", "direction": "desc"}], "limit": 1000}))
    names = [item["id"] for item in page.items]
    assert names == sorted(names, reverse=True)
    assert len(set(names)) == len(MADE) + 20


def test_a_table_that_is_none_is_said_to_be_unavailable(tmp_path):
    folder = write_made(tmp_path)
    store = Store(folder)
    (folder / "parts").mkdir()
    (folder / "parts" / "x.parquet").write_text("nothing")
    with pytest.raises(CatalogueUnavailable, match="earthlab catalogue build"):
        store.find(Search())
    (folder / "parts" / "x.parquet").unlink()
    assert store.find(Search()).matched == len(MADE)


def test_a_table_older_than_a_queryable_has_none_of_it(tmp_path):
    folder = write_made(tmp_path)
    items = folder / "items.parquet"
    pq.write_table(pq.read_table(items).drop_columns(["platform", "gsd"]), items)
    store = Store(folder)
    assert store.find(parse_search({"query": {"platform": {"contains": "-2"}}})).matched == 0
    assert store.find(Search()).matched == len(MADE)
    assert not {"platform", "gsd"} & store.queryables(None)


def test_a_table_without_what_every_item_has_is_refused(tmp_path):
    folder = write_made(tmp_path)
    items = folder / "items.parquet"
    pq.write_table(pq.read_table(items).drop_columns(["begins"]), items)
    with pytest.raises(CatalogueUnavailable):
        Store(folder)


def test_searches_and_changes_at_once_see_whole_states(tmp_path):
    folder = write_made(tmp_path)
    store = Store(folder)

    def change():
        for at in range(12):
            add_part(folder, "1.parquet", further(10 + at % 3 * 10))

    def search(_):
        page = store.find(Search(limit=1000))
        assert page.matched == len(page.items)
        return page.matched - len(MADE)

    with ThreadPoolExecutor(6) as people:
        changes = people.submit(change)
        sizes = set(people.map(search, range(60)))
        changes.result()
    assert sizes <= {0, 10, 20, 30}
    assert search(0) in {10, 20, 30}


def test_what_is_let_go_is_forgotten(tmp_path):
    folder = write_made(tmp_path)
    store = Store(folder)
    for at in range(5):
        add_part(folder, "1.parquet", further(10, 1000 + at))
        store.find(Search())
    with store._index.view() as view:
        tables = view.select("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'part_%'", {})
    assert tables == [(2,)]


def test_a_search_ends_what_it_began(tmp_path):
    store = Store(write_made(tmp_path))
    with suppress(ZeroDivisionError), store._index.view():
        raise ZeroDivisionError
    assert store.find(Search()).matched == len(MADE)
