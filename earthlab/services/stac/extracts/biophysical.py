"""The test cases of INRAE's biophysical network for Sentinel-2, as a table."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pystac

from earthlab.errors import SetupError
from earthlab.services.stac.documents import EARTH, Sheet, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import placed

SAMPLE = "s2_biophysical"
COLLECTION = "theia-lai-cases"
CITATION = (
    "Weiss, M. et Baret, F. (2016), S2ToolBox Level 2 products: LAI, FAPAR, FCOVER, version 1.1, INRAE ; cas d'essai "
    "distribués avec la boîte à outils Sentinel-2 (SENBOX, s2tbx)."
)
COLUMNS = (
    "green",
    "red",
    "rededge071",
    "rededge075",
    "rededge078",
    "nir08",
    "swir16",
    "swir22",
    "cos_view_zenith",
    "cos_sun_zenith",
    "cos_relative_azimuth",
    "lai",
)
"""The columns of the table, in the order of the file."""


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its table."""
    return (Source(_describe(), 1, _shots(folder / "LAI" / "LAI_TestCases")),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def _shots(path: Path) -> Iterator[Shot]:
    with path.open(encoding="utf-8") as file:
        rows = [[float(cell) for cell in row] for row in csv.reader(file) if row]
    if {len(row) for row in rows} != {len(COLUMNS)}:
        raise SetupError(f"{path} has rows of other than {len(COLUMNS)} numbers. Fetch it again.")
    values = dict(zip(COLUMNS, np.array(rows).T, strict=True))
    cases = placed(pd.DataFrame({"case": np.arange(1, len(rows) + 1), **values}), None, None)
    yield Shot(
        id="theia-lai-cases-v2-1",
        moment=datetime(2016, 5, 2, tzinfo=UTC),
        footprint=EARTH,
        sheets=(Sheet("cases", cases, dict.fromkeys(COLUMNS, "1"), "cas d'essai du LAI / LAI test cases"),),
        properties={"title": "Cas d'essai du réseau LAI Sentinel-2, version 2.1"},
    )


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Cas d'essai du réseau biophysique Sentinel-2 : LAI (INRAE)",
        _DESCRIPTION,
        licence="GPL-3.0-or-later",
        keywords=["Sentinel-2", "LAI", "réseau de neurones", "végétation", "référence"],
        providers=[
            made_by("INRAE (UMR EMMAH)"),
            kept_by("SENBOX, s2tbx", "https://github.com/senbox-org/s2tbx"),
        ],
        citation=CITATION,
    )


_DESCRIPTION = """\
Cent cas d'essai du réseau de neurones LAI de Sentinel-2 (version 2.1) : huit réflectances et les cosinus de trois
angles en entrée, la surface foliaire attendue en sortie. Ce sont des calculs de référence sur des couverts modélisés,
publiés par les auteurs de l'algorithme ; ce ne sont pas des mesures de terrain.

A hundred test cases of Sentinel-2's LAI neural network (version 2.1): eight reflectances and the cosines of three
angles as input, the expected leaf area as output. They are reference computations on modelled canopies, published by
the algorithm's authors; they are no field measurements."""
