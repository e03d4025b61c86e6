"""Tables of the embedded catalogue: what is written is what `earthlab.table` reads."""

from datetime import UTC, datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from earthlab.catalog import ItemSet, norm_item
from earthlab.cube.tables import table
from earthlab.services.stac.documents import (
    EARTHLAB,
    Sheet,
    Shot,
    Source,
    describe_collection,
    write_item,
)
from earthlab.services.stac.sheets import render_sheet

RING = [(3.0, 43.0), (4.0, 43.0), (4.0, 44.0), (3.0, 44.0), (3.0, 43.0)]
BEGINS, ENDS = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 12, 31, tzinfo=UTC)


def _frame(points) -> gpd.GeoDataFrame:
    times = pd.date_range("2020-01-01", periods=len(points), freq="D", tz="UTC")
    return gpd.GeoDataFrame(
        {"time": times, "height": np.arange(len(points), dtype="float32"), "station": "une"},
        geometry=points,
        crs="EPSG:4326",
    )


def _source(**shared) -> Source:
    collection = describe_collection(
        "essai",
        "Essai",
        "Un essai.",
        licence="CC0-1.0",
        citation="Constructed for this test.",
        keywords=["essai"],
        providers=[EARTHLAB],
        simulated=True,
    )
    return Source(collection, 1, (), shared)


def _document(shot: Shot, hrefs, **shared) -> dict:
    return write_item(shot, _source(**shared), {name: {"href": str(path)} for name, path in hrefs.items()})


def test_a_table_is_read_back_with_its_rows_and_units(tmp_path):
    sheet = Sheet("heights", _frame(shapely.points([[3.1, 43.1], [3.2, 43.2], [3.3, 43.9]])), {"height": "m"})
    path = tmp_path / "heights.parquet"
    path.write_bytes(render_sheet(sheet))
    document = _document(Shot("an", BEGINS, RING, sheets=(sheet,), ends=ENDS), {"heights": path})
    found = table(ItemSet((norm_item(document),)), bbox=(3.0, 43.0, 3.25, 44.0))
    assert list(found["height"]) == [0.0, 1.0]
    assert found["height"].dtype == np.float32
    assert found.attrs["units"] == {"height": "m"}


def test_rows_without_a_place_keep_their_values(tmp_path):
    sheet = Sheet("cases", _frame([None, None]), {"height": "1"})
    path = tmp_path / "cases.parquet"
    path.write_bytes(render_sheet(sheet))
    document = _document(Shot("cases", BEGINS, RING, sheets=(sheet,)), {"cases": path})
    found = table(ItemSet((norm_item(document),)))
    assert list(found["height"]) == [0.0, 1.0]
    assert found.geometry.isna().all()


def test_polygons_in_another_system_come_out_in_degrees(tmp_path):
    square = gpd.GeoDataFrame({"name": ["carré"]}, geometry=[shapely.box(7e5, 6.2e6, 7.1e5, 6.3e6)], crs="EPSG:2154")
    path = tmp_path / "places.parquet"
    path.write_bytes(render_sheet(Sheet("places", square)))
    found = table(path)
    assert found.crs == "EPSG:4326"
    assert abs(found.to_crs(2154).area.iloc[0] - 1e9) < 1


def test_the_boxes_that_cover_rows_are_no_column_of_the_table(tmp_path):
    path = tmp_path / "heights.parquet"
    path.write_bytes(render_sheet(Sheet("heights", _frame(shapely.points([[3.1, 43.1]])), {"height": "m"})))
    assert list(table(path).columns) == ["time", "height", "station", "geometry"]
