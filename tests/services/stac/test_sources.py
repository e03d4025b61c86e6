"""Files cut into batches: together they give every document once, wherever the cuts fall."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rustac
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.stac import sources
from earthlab.services.stac.sources import plan_batches, read_documents, show_state
from earthlab.testing.providers import item
from tests.services.stac.made import MADE


def _read(*paths: Path) -> list[Any]:
    return [found for batch in plan_batches(paths) for found in read_documents(batch)]


def _documents(*paths: Path) -> list[Any]:
    return [found.document for found in _read(*paths)]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40), max_size=20),
    step=st.integers(1, 60),
    ends=st.sampled_from(["", "\n"]),
)
def test_lines_come_once_and_in_order_wherever_the_file_is_cut(tmp_path, monkeypatch, lines, step, ends):
    path = tmp_path / "some.ndjson"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + ends, encoding="utf-8")
    monkeypatch.setattr(sources, "BATCH_BYTES", step)
    assert _documents(path) == lines


def test_a_line_that_is_not_json_is_named_and_the_others_come(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"id": 1}\n{"id": \n\nNaN\n{"id": 2}\n', encoding="utf-8")
    found = _read(path)
    assert [one.document for one in found if not one.fault] == [{"id": 1}, {"id": 2}]
    assert [one.where for one in found if one.fault] == ["some.jsonl, line at byte 10", "some.jsonl, line at byte 19"]
    assert all(one.fault.startswith("not JSON") for one in found if one.fault)


def test_json_is_one_document_or_the_features_of_a_collection(tmp_path):
    alone, several = tmp_path / "a.json", tmp_path / "b.geojson"
    alone.write_text(json.dumps(item("a")))
    several.write_text(json.dumps({"type": "FeatureCollection", "features": [item("b"), item("c")]}))
    assert [document["id"] for document in _documents(alone, several)] == ["a", "b", "c"]
    several.write_text(json.dumps({"type": "FeatureCollection"}))
    assert _read(several)[0].fault == "a FeatureCollection without a list of features"


def test_an_empty_file_has_no_documents(tmp_path):
    for name in ("a.ndjson", "a.json"):
        (tmp_path / name).touch()
    assert _read(tmp_path / "a.ndjson", tmp_path / "a.json") == []


def _write_with_rustac(path: Path, items: list[dict[str, Any]]) -> None:
    async def write() -> None:
        await rustac.write(str(path), items)

    asyncio.run(write())


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(document), parse_int=float)


def test_what_rustac_wrote_is_read_back_as_it_was(tmp_path):
    _write_with_rustac(tmp_path / "made.parquet", MADE)
    found = _documents(tmp_path / "made.parquet")
    # rustac leaves an empty list of extensions out.
    assert [{"stac_extensions": [], **_plain(one)} for one in found] == [_plain(one) for one in MADE]


@pytest.mark.parametrize("group", [7, 50, 1000])
def test_rows_come_once_and_in_order_wherever_the_table_is_cut(tmp_path, monkeypatch, group):
    _write_with_rustac(tmp_path / "made.parquet", MADE)
    pq.write_table(pq.read_table(tmp_path / "made.parquet"), tmp_path / "cut.parquet", row_group_size=group)
    monkeypatch.setattr(sources, "_ROWS_PER_BATCH", 11)
    monkeypatch.setattr(sources, "_ROWS_AT_ONCE", 4)
    found = _read(tmp_path / "cut.parquet")
    assert [one.document["id"] for one in found] == [document["id"] for document in MADE]
    assert [one.where for one in found] == [f"cut.parquet, row {at}" for at in range(len(MADE))]


def test_a_geometry_that_is_not_wkb_is_no_geometry_and_the_row_still_comes(tmp_path):
    rows = {"id": ["a"], "geometry": [b"nonsense"], "assets": [{"x": {"href": "https://x.example"}}]}
    pq.write_table(pa.table(rows), tmp_path / "bad.parquet")
    [document] = _documents(tmp_path / "bad.parquet")
    assert (document["id"], document["geometry"]) == ("a", None)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("items.csv", b"id", "is of no known kind"),
        ("items.parquet", b"PAR1", "cannot be read"),
        ("nothing.json", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_a_source_is_refused_by_name(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRequest, match=f"{name} {said}"):
        plan_batches([tmp_path / name])


def test_a_table_that_is_not_stac_is_refused(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(BadRequest, match="has no column assets, geometry: expected GeoParquet"):
        plan_batches([tmp_path / "other.parquet"])


def test_a_file_that_changed_is_another(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    before = show_state(path)
    assert show_state(path) == before
    path.write_text("{ }")
    assert show_state(path) != before
