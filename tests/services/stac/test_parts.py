"""Merging into the tables, against a plain dictionary; who reads meanwhile; what a killed merge leaves."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthlab.services.stac import parts
from earthlab.services.stac.geoparquet import (
    SCHEMA,
    Rows,
    find_parts,
    find_stamp,
    find_tables,
    sort_keys,
    write_items,
)
from earthlab.services.stac.parts import is_current, merge_runs, open_run_writer, renew_part, write_run
from earthlab.testing.providers import item


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_items(tmp_path / "items.parquet", [])
    (tmp_path / "work").mkdir()
    return tmp_path


def _document(name: str, collection: str, version: int) -> dict:
    day, west = 1 + version % 28, (hash(name) * 31 + version * 7) % 170
    square = [[west, 43], [west + 1, 43], [west + 1, 44], [west, 44], [west, 43]]
    return item(
        name,
        collection=collection,
        geometry={"type": "Polygon", "coordinates": [square]},
        bbox=[west, 43, west + 1, 44],
        properties={"datetime": f"20{10 + version % 9}-0{1 + version % 9}-{day:02d}T00:00:00Z", "gsd": version},
    )


def _merge(folder: Path, batches: list[list[dict]]) -> parts.Merged:
    files = []
    for at, batch in enumerate(batches):
        files.append(folder / "work" / f"{at}.arrow")
        with open_run_writer(files[-1]) as writer:
            rows = Rows()
            for document in batch:
                rows.add(document)
            if batch:
                write_run(writer, rows.make_table()[0])
    return merge_runs(folder, files, folder / "work", lambda *_: None)


def _stored(folder: Path) -> dict[tuple[str, str], dict]:
    rows = [row for path in find_parts(folder) for row in pq.read_table(path).to_pylist()]
    found = {(row["collection"], row["id"]): json.loads(row["item"]) for row in rows}
    assert len(found) == len(rows), "an item is stored twice"
    return found


_names = st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["one", "two"]))
_ingestions = st.lists(st.lists(st.lists(_names, max_size=9), max_size=3), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ingestions=_ingestions, most=st.integers(1, 6))
def test_after_any_ingestions_each_item_is_stored_once_as_it_came_last(tmp_path_factory, ingestions, most):
    folder = tmp_path_factory.mktemp("any")
    write_items(folder / "items.parquet", [])
    (folder / "work").mkdir()
    known: dict[tuple[str, str], dict] = {}
    version = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "MOST_ROWS", most)
        patch.setattr(parts, "_ROWS_AT_ONCE", 3)
        for batches in ingestions:
            came: dict[tuple[str, str], dict] = {}
            documents = []
            for batch in batches:
                documents.append([])
                for name, collection in dict.fromkeys(batch):  # of a run itself the order is the curve's
                    version += 1
                    documents[-1].append(_document(name, collection, version))
                    came[collection, name] = documents[-1][-1]
            merged = _merge(folder, documents)
            assert merged.stored == len(came)
            assert merged.replaced == len(came.keys() & known.keys())
            assert merged.repeated == sum(map(len, documents)) - len(came)
            known |= came
            assert _stored(folder) == known
    for path in find_parts(folder):
        table = pq.read_table(path)
        assert table.schema.equals(SCHEMA)
        assert len(table) <= most
        assert (np.diff(sort_keys(table).astype(np.int64)) >= 0).all()


def test_small_tables_are_merged_and_full_ones_left_alone(folder, monkeypatch):
    monkeypatch.setattr(parts, "MOST_ROWS", 8)
    _merge(folder, [[_document(f"a{at}", "one", at) for at in range(8)]])
    [full] = find_parts(folder)
    for at in range(12):
        _merge(folder, [[_document(f"b{at}", "one", at)]])
        assert len(find_parts(folder)) <= 6
    assert full.name in [path.name for path in find_parts(folder)]
    assert len(_stored(folder)) == 20


def test_who_has_the_old_tables_reads_them_to_the_end_and_a_later_merge_removes_them(folder):
    _merge(folder, [[_document("a", "one", 1)]])
    before = find_tables(folder)
    _merge(folder, [[_document("a", "one", 2)]])
    assert find_stamp(folder) != before.stamp
    assert [json.loads(text)["properties"]["gsd"] for text in _texts(before.paths[1])] == [1]
    for old in folder.glob(".parts-*"):
        os.utime(old, (time.time() - 61,) * 2)
    _merge(folder, [[_document("a", "one", 3)]])
    assert not before.paths[1].exists()
    assert len(list(folder.glob(".parts-*"))) == 2  # the one in force, and the one before it


def _texts(path: Path) -> list[str]:
    return pq.read_table(path, columns=["item"]).column(0).to_pylist()


def test_what_a_killed_merge_left_is_never_seen_and_is_removed(folder):
    _merge(folder, [[_document("a", "one", 1)]])
    left = folder / ".parts-0123456789ab"
    left.mkdir()
    write_items(left / "half.parquet", [_document("b", "one", 1)])
    (folder / ".parts-next").symlink_to("nowhere")
    os.utime(left, (time.time() - 61,) * 2)
    assert len(_stored(folder)) == 1
    _merge(folder, [[_document("c", "one", 1)]])
    assert sorted(name for _, name in _stored(folder)) == ["a", "c"]
    assert not left.exists()


def test_nothing_that_came_changes_nothing(folder):
    _merge(folder, [[_document("a", "one", 1)]])
    assert _merge(folder, []) == parts.Merged(0, 0, 0)
    assert len(_stored(folder)) == 1


def test_a_table_of_an_earlier_version_is_made_anew_from_its_items(folder):
    documents = [_document(name, "one", at) for at, name in enumerate("abcd")]
    _merge(folder, [documents])
    [part] = find_parts(folder)
    old = folder / "old.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["gsd", "bbox"]), old, row_group_size=3)
    assert is_current(part)
    assert not is_current(old)
    renew_part(old, folder / "new.parquet")
    assert pq.read_table(folder / "new.parquet").equals(pq.read_table(part))
