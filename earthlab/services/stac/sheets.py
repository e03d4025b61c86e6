"""Tables rendered as GeoParquet, with the units of their columns."""

import io
from collections.abc import Mapping

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq

from earthlab.services.stac.documents import Sheet


def render_sheet(sheet: Sheet) -> bytes:
    """The table as GeoParquet: longitude and latitude, a covering box where every row has a place, units by column."""
    placed: gpd.GeoDataFrame = sheet.frame.to_crs("EPSG:4326")
    buffer = io.BytesIO()
    # geopandas alone knows how to write GeoParquet, and writes no metadata of columns: its table is read back for them.
    placed.to_parquet(buffer, index=False, compression="zstd", write_covering_bbox=bool(placed.geometry.notna().all()))
    table = _with_units(pq.read_table(buffer), sheet.units)
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()


def _with_units(table: pa.Table, units: Mapping[str, str]) -> pa.Table:
    fields = [
        field.with_metadata({b"units": units[field.name].encode()}) if field.name in units else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))
