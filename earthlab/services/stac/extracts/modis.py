"""Eighteen years of MODIS vegetation indices at ten flux tower sites, as a table."""

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pystac
import rdata
from rdata.conversion import DEFAULT_CLASS_MAP

from earthlab.services.stac.documents import EARTH, Sheet, Shot, Source, describe_collection, kept_by, licensed_by
from earthlab.services.stac.extracts.extract import Extract

SAMPLE = "phenology"
COLLECTION = "theia-modis-sites"
CITATION = (
    "Didan, K., MOD13A1 MODIS/Terra Vegetation Indices 16-Day L3 Global 500m, NASA LP DAAC ; extrait de dix sites de "
    "tours à flux (2000-2018) distribué avec phenofit (D. Kong)."
)
SCALE = 0.0001


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its table."""
    return (Source(_describe(), 1, _shots(folder / "MOD13A1.rda")),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def read_sites(path: Path) -> gpd.GeoDataFrame:
    """One row a site and period of 16 days: ``time``, ``site``, ``land``, ``ndvi``, ``evi``, ``quality``.

    The indices are without unit, NaN where upstream has none; ``quality`` is MODIS' summary: 0 good, 1 marginal, 2 snow
    or ice, 3 cloud.
    """
    constructors = {**DEFAULT_CLASS_MAP, "data.table": DEFAULT_CLASS_MAP["data.frame"], "Date": _days}
    stored = rdata.read_rda(path, constructor_dict=constructors)["MOD13A1"]
    rows, sites = stored["dt"], stored["st"].set_index("site")
    placed = sites.loc[rows["site"]]
    frame = {
        "time": pd.to_datetime(rows["date"].to_numpy("float64"), unit="D", origin="unix").tz_localize("UTC"),
        "site": rows["site"].astype(str).to_numpy(),
        "land": placed["IGBPname"].astype(str).to_numpy(),
        "ndvi": rows["NDVI"].to_numpy("float64", na_value=np.nan) * SCALE,
        "evi": rows["EVI"].to_numpy("float64", na_value=np.nan) * SCALE,
        "quality": rows["SummaryQA"].to_numpy("float64", na_value=np.nan),
    }
    points = gpd.points_from_xy(placed["lon"].to_numpy("float64"), placed["lat"].to_numpy("float64"))
    return gpd.GeoDataFrame(frame, geometry=points, crs="EPSG:4326")


def _days(days: Any, _attributes: Any) -> Any:
    return days


def _shots(path: Path) -> Iterator[Shot]:
    frame = read_sites(path)
    title = "indices de végétation MOD13A1 / vegetation indices MOD13A1"
    yield Shot(
        id="theia-modis-sites-2000-2018",
        moment=frame["time"].min().to_pydatetime().astimezone(UTC),
        ends=frame["time"].max().to_pydatetime().astimezone(UTC),
        footprint=EARTH,
        sheets=(Sheet("indices", frame, {"ndvi": "1", "evi": "1", "quality": "1"}, title),),
        properties={"title": "MOD13A1, dix sites, 2000-2018"},
    )


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "MODIS MOD13A1 – NDVI et EVI à dix sites de tours à flux, 2000-2018",
        _DESCRIPTION,
        licence="other",
        keywords=["MODIS", "NDVI", "EVI", "végétation", "phénologie", "tendance"],
        providers=[
            licensed_by("NASA LP DAAC", "https://lpdaac.usgs.gov"),
            kept_by("phenofit (D. Kong)", "https://github.com/cran/phenofit"),
        ],
        citation=CITATION,
    )


_DESCRIPTION = """\
NDVI et EVI de MODIS (Terra, composites de 16 jours, 500 m) à dix sites de tours à flux du monde, de février 2000 à juin
2018, avec la qualité de chaque composite. Données réelles ; indices ramenés à leur échelle physique (× 0,0001).

NDVI and EVI of MODIS (Terra, 16-day composites, 500 m) at ten flux tower sites of the world from February 2000 to June
2018, with the quality of each composite. Real data; indices brought to their physical scale (× 0.0001)."""
