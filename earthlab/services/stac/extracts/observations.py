"""What tables of observations have in common when they become collections: their documents, places and periods."""

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import rdata
from rdata.conversion import DEFAULT_CLASS_MAP

from earthlab.services.stac.documents import EARTH, Sheet, Shot

_ROOM = 0.01
"""Degrees that the footprint of one station reaches on each side."""
# Tibbles are data frames with manners of their own, and moments are seconds: rdata knows neither.
_R_CLASSES = {
    **DEFAULT_CLASS_MAP,
    "tbl_df": DEFAULT_CLASS_MAP["data.frame"],
    "tbl": DEFAULT_CLASS_MAP["data.frame"],
    "POSIXct": lambda seconds, _: pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", utc=True)),
}


def observe(item: str, title: str, frame: gpd.GeoDataFrame, units: Mapping[str, str]) -> Shot:
    """One table as an item, whose period and footprint are those of its rows.

    Parameters
    ----------
    item, title : str
    frame : geopandas.GeoDataFrame
        With a column ``time`` in UTC; rows may lack a place.
    units : mapping
        By column.
    """
    # STAC and Python know microseconds alone.
    ends = frame.time.min().floor("us"), frame.time.max().ceil("us")
    first, last = (moment.to_pydatetime().astimezone(UTC) for moment in ends)
    return Shot(
        id=item,
        moment=first,
        ends=last,
        footprint=list(EARTH) if frame.geometry.isna().all() else ring_around(frame, _ROOM),
        sheets=(Sheet("observations", frame, units, title),),
        properties={"title": title},
    )


def ring_around(frame: gpd.GeoDataFrame, room: float = 0.0) -> list[tuple[float, float]]:
    """The closed ring in longitude and latitude around all places of a table, with so many degrees on each side."""
    west, south, east, north = frame.to_crs("EPSG:4326").total_bounds
    left, bottom, right, top = west - room, south - room, east + room, north + room
    return [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]


def placed(frame: pd.DataFrame, longitude: Any, latitude: Any) -> gpd.GeoDataFrame:
    """The table with a point a row, or none where the place is None."""
    if longitude is None:
        return gpd.GeoDataFrame(frame, geometry=[None] * len(frame), crs="EPSG:4326")
    east, north = (pd.Series(value, frame.index, dtype="float64") for value in (longitude, latitude))
    return gpd.GeoDataFrame(frame, geometry=gpd.points_from_xy(east, north), crs="EPSG:4326")


def read_frames(path: Path) -> dict[str, pd.DataFrame]:
    """The data frames of an R file, by name, tibbles among them; moments are UTC."""
    frames = rdata.read_rda(path, constructor_dict=_R_CLASSES)
    return {name: frame.rename(columns=str) for name, frame in frames.items()}
