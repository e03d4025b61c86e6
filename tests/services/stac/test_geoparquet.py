"""The rows: their columns, their covering boxes, and the order that keeps neighbours together."""

import json

import numpy as np
import pyarrow as pa
import pytest
import shapely

from earthlab.services.stac.geoparquet import QUERYABLES, SCHEMA, Rows, _hilbert, find_stamp, sort_keys, write_items
from earthlab.testing.providers import item


def _table(*items):
    rows = Rows()
    for one in items:
        rows.add(one)
    return rows.make_table()


def _square(west, south, size=1.0, **changes):
    box = shapely.box(west, south, west + size, south + size)
    return item("a", geometry=json.loads(shapely.to_geojson(box)), bbox=list(box.bounds), **changes)


def test_every_queryable_has_a_column():
    assert {queryable.column for queryable in QUERYABLES.values()} <= set(SCHEMA.names)


def test_a_row_has_what_the_item_says():
    said = {
        "datetime": "2018-07-08T12:50:00+02:00", "eo:cloud_cover": 20, "instruments": ["msi"], "proj:epsg": 32631,
        "sat:relative_orbit": 51, "created": None, "platform": "sentinel-2a",
    }  # fmt: skip
    document = item("a", properties=said)
    table, unfit = _table(document)
    row = table.to_pylist()[0]
    assert unfit == ()
    assert table.schema == SCHEMA
    assert json.loads(row["item"]) == document
    assert row["begins"] == row["ends"] == row["datetime"]
    assert row["datetime"].isoformat() == "2018-07-08T10:50:00+00:00"
    assert (row["eo:cloud_cover"], row["instruments"], row["proj:code"]) == (20.0, ["msi"], "EPSG:32631")
    assert (row["sat:relative_orbit"], row["created"], row["platform"]) == (51, None, "sentinel-2a")


def test_a_covering_box_is_the_geometrys_and_over_the_antimeridian_what_the_item_says():
    parts = shapely.union_all([shapely.box(178, 0, 180, 2), shapely.box(-180, 0, -178, 2)])
    across = item("a", geometry=json.loads(shapely.to_geojson(parts)), bbox=[178, 0, 5, -178, 2, 9])
    table, _ = _table(_square(3, 4) | {"bbox": [3, 4, 3.5, 4.5]}, across)
    boxes = [tuple(box.values()) for box in table.column("bbox").to_pylist()]
    assert boxes == [(3, 4, 4, 5), (178, 0, -178, 2)]


def test_a_footprint_that_crosses_itself_is_mended_for_searches_and_kept_in_the_item():
    bow = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}
    table, unfit = _table(item("a", geometry=bow, bbox=[0, 0, 2, 2]))
    row = table.to_pylist()[0]
    assert unfit == ()
    assert shapely.is_valid(shapely.from_wkb(row["geometry"]))
    assert json.loads(row["item"])["geometry"] == bow


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (None, "geometry is not GeoJSON"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "geometry is not GeoJSON"),
        ({"type": "Nothing"}, "geometry is not GeoJSON"),
        ({"type": "Polygon", "coordinates": []}, "geometry is empty"),
        ({"type": "Point", "coordinates": [600_000, 4_800_000]}, "beyond -180…180"),
    ],
)
def test_a_geometry_that_is_none_is_left_out_and_named_by_its_row(geometry, reason):
    table, unfit = _table(_square(0, 0), item("b", geometry=geometry), _square(1, 1))
    assert len(table) == 2
    assert [one.row for one in unfit] == [1]
    assert reason in unfit[0].reason


def test_the_curve_visits_every_cell_once_and_steps_to_a_neighbour():
    side = 1 << 16
    across, up = (part.ravel() for part in np.meshgrid(np.arange(64), np.arange(64)))
    distance = _hilbert((across + 0.5) / side, (up + 0.5) / side)
    order = np.argsort(distance)
    assert np.unique(distance).tolist() == list(range(64 * 64))
    steps = np.abs(np.diff(across[order])) + np.abs(np.diff(up[order]))
    assert (steps == 1).all()


def test_rows_go_by_month_and_then_by_place():
    months = ["1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z", "2018-07-01T00:00:00Z", "2018-07-31T23:59:59Z"]
    items = [_square(west, 10, properties={"datetime": moment}) for west in (-170.0, 5.0, 100.0) for moment in months]
    keys = sort_keys(_table(*items)[0]).reshape(3, 4)
    assert (keys[:, 2] == keys[:, 3]).all()
    assert keys[:, 0].max() < keys[:, 1].min() < keys[:, 1].max() < keys[:, 2].min()
    assert len(set(keys[:, 2].tolist())) == 3


def test_a_table_with_a_geometry_that_is_none_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="geometry is not GeoJSON: item 0 of 1"):
        write_items(tmp_path / "items.parquet", [item("a", geometry=None)])


def test_a_stamp_changes_with_the_tables(tmp_path):
    write_items(tmp_path / "items.parquet", [item("a")])
    before = find_stamp(tmp_path)
    assert find_stamp(tmp_path) == before
    (tmp_path / "parts").mkdir()
    assert find_stamp(tmp_path) != before
    with pytest.raises(OSError, match="items"):
        find_stamp(tmp_path / "nowhere")


def test_no_items_make_an_empty_table():
    assert _table() == (SCHEMA.empty_table(), ())
    assert isinstance(SCHEMA, pa.Schema)
