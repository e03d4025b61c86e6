"""The two rasters whose metrics FRAGSTATS v4.2 published: a small neutral landscape, and the real one of Augusta."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
import rdata
from rdata.conversion import DEFAULT_CLASS_MAP

from earthlab.services.stac.documents import EARTH, Layer, Sheet, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import placed
from earthlab.services.stac.raster import BandKind, Grid

SAMPLE = "landscapemetrics_fragstats"
REAL, NEUTRAL = "pndb-nlcd-augusta", "pndb-fragstats-landscape"
_CITATION = (
    "Hesselbarth et al. (2019), landscapemetrics: an open-source R tool to calculate landscape metrics, Ecography 42, "
    "1648-1657 ; "
)
_BAND = BandKind("landcover", "uint8", nodata=0, title="Occupation du sol / land cover (NLCD)")
_GRID = Grid("EPSG:5070", (30.0, 0.0, 1249665.0, 0.0, -30.0, 1260015.0), (440, 678))


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The real raster, and the small one as a table of its pixels."""
    return (
        Source(_describe_real(), 1, _read_real(folder / "augusta_nlcd.rda")),
        Source(_describe_neutral(), 1, _read_neutral(folder / "landscape_30x30.csv")),
    )


EXTRACT = Extract(SAMPLE, (REAL, NEUTRAL), open_sources)


def _read_real(path: Path) -> Iterator[Shot]:
    read = rdata.read_rda(path, constructor_dict={**DEFAULT_CLASS_MAP, "PackedSpatRaster": _values_of})
    pixels = np.asarray(read["augusta_nlcd"]).reshape(_GRID.shape).astype("uint8")
    yield Shot(
        id=f"{REAL}-2011",
        moment=datetime(2011, 1, 1, tzinfo=UTC),
        footprint=_GRID.ring(),
        grid=_GRID,
        layers=(Layer(_BAND, pixels),),
        properties={"title": "NLCD 2011, Augusta (Géorgie)"},
    )


def _values_of(_value: Any, attributes: Mapping[str, Any]) -> Any:
    return attributes["values"]


def _read_neutral(path: Path) -> Iterator[Shot]:
    pixels = np.loadtxt(path, delimiter=",").astype("int64")
    rows, columns = np.indices(pixels.shape)
    table = pd.DataFrame({"row": rows.ravel(), "column": columns.ravel(), "class": pixels.ravel()})
    yield Shot(
        id=NEUTRAL,
        moment=datetime(2019, 1, 1, tzinfo=UTC),
        footprint=EARTH,
        sheets=(Sheet("pixels", placed(table, None, None), {}, "Pixels de 1 m / pixels of 1 m"),),
        properties={"title": "SIMULÉ – paysage neutre 30 × 30"},
    )


def _describe_real() -> pystac.Collection:
    return describe_collection(
        REAL,
        "NLCD 2011, Augusta (Géorgie) : occupation du sol, 30 m",
        (
            "Occupation du sol réelle autour d'Augusta (États-Unis), NLCD 2011, 15 classes, 440 × 678 pixels de 30 "
            "m, dont "
            "FRAGSTATS v4.2 a publié les métriques. Le système d'origine est l'Albers du NLCD sur WGS 84, donné ici "
            "comme "
            "EPSG:5070. / Real land cover around Augusta (USA), whose metrics FRAGSTATS v4.2 has published."
        ),
        licence="other",
        keywords=["NLCD", "FRAGSTATS", "fragmentation", "paysage", "PNDB"],
        providers=[made_by("USGS, MRLC"), _HOST],
        citation=_CITATION + "NLCD 2011 : Homer et al. (2015), USGS, domaine public.",
        kinds=[_BAND],
    )


def _describe_neutral() -> pystac.Collection:
    return describe_collection(
        NEUTRAL,
        "SIMULÉ – paysage neutre de 30 × 30 pixels",
        (
            "Paysage construit par un modèle neutre (random cluster), trois classes, une ligne par pixel de 1 m, "
            "sans lieu, "
            "dont FRAGSTATS v4.2 a publié les métriques. / A constructed neutral landscape, one row a pixel, without "
            "a place."
        ),
        licence="other",
        keywords=["FRAGSTATS", "paysage neutre", "simulé", "PNDB"],
        providers=[_HOST],
        citation=_CITATION + "paysage simulé avec NLMR.",
        simulated=True,
    )


_HOST = kept_by("landscapemetrics (M. Hesselbarth et al.)", "https://github.com/r-spatialecology/landscapemetrics")
