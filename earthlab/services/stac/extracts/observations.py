"""What tables of observations have in common when they become collections: their documents, places and periods."""

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pystac
import rdata
from rdata.conversion import DEFAULT_CLASS_MAP

from earthlab.services.stac.documents import EARTH, Sheet, Shot, no_extent

_ROOM = 0.01
"""Degrees that the footprint of one station reaches on each side."""
# Tibbles are data frames with manners of their own, and moments are seconds: rdata knows neither.
_R_CLASSES = {
    **DEFAULT_CLASS_MAP,
    "tbl_df": DEFAULT_CLASS_MAP["data.frame"],
    "tbl": DEFAULT_CLASS_MAP["data.frame"],
    "POSIXct": lambda seconds, _: pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", utc=True)),
}


def describe(
    collection: str,
    title: str,
    text: str,
    *,
    licence: str,
    citation: str,
    keywords: list[str],
    providers: Mapping[str, str],
) -> pystac.Collection:
    """The document of a collection of real observations, before its extent is known.

    Parameters
    ----------
    collection, title, text : str
        Identifier, title, and description in French and then English.
    licence : str
        SPDX identifier, or ``"other"``.
    citation : str
    keywords : list of str
    providers : mapping
        Name and address: the first made the data, the last keeps this copy.
    """
    roles = pystac.ProviderRole
    last = len(providers) - 1
    made = [
        pystac.Provider(name, roles=[roles.HOST if at == last and at else roles.PRODUCER], url=url)
        for at, (name, url) in enumerate(providers.items())
    ]
    return pystac.Collection(
        id=collection,
        title=title,
        description=text,
        extent=no_extent(),
        license=licence,
        keywords=keywords,
        providers=made,
        stac_extensions=["https://stac-extensions.github.io/scientific/v1.0.0/schema.json"],
        extra_fields={"earthlab:simulated": False, "sci:citation": citation},
    )


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
        footprint=_footprint(frame),
        sheets=(Sheet("observations", frame, units, title),),
        properties={"title": title, "earthlab:simulated": False},
    )


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


def _footprint(frame: gpd.GeoDataFrame) -> list[tuple[float, float]]:
    if frame.geometry.isna().all():
        return list(EARTH)
    west, south, east, north = frame.total_bounds
    left, bottom, right, top = west - _ROOM, south - _ROOM, east + _ROOM, north + _ROOM
    return [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
