"""A real download of GBIF as one table of occurrences, read from its Darwin Core archive."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pystac

from earthlab.cube.tables.darwin_core import read_zipped
from earthlab.cube.tables.selection import Selection
from earthlab.cube.tables.stated import Stated
from earthlab.services.stac.documents import EARTH, Sheet, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract

COLLECTION = "pndb-gbif-occurrences"
SAMPLE = "gbif"
FILE = "0000066-140928181241064.zip"
DOWNLOADED = datetime(2014, 9, 29, tzinfo=UTC)
COLUMNS = (
    "gbifID", "datasetKey", "institutionCode", "catalogNumber", "basisOfRecord", "rights", "kingdom", "class", "order",
    "family", "genus", "species", "scientificName", "taxonRank", "countryCode", "locality", "decimalLatitude",
    "decimalLongitude", "eventDate", "year", "month", "recordedBy", "issue", "hasGeospatialIssues",
)  # fmt: skip
CITATION = (
    "GBIF.org (29 septembre 2014), téléchargement d'occurrences 0000066-140928181241064, 26 jeux de données ; archive "
    "distribuée avec rgbif (rOpenSci). Citer chaque jeu de données (datasetKey)."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its one table."""
    return (Source(_describe(), 1, _read_shot(folder / FILE)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def _read_shot(archive: Path) -> Iterator[Shot]:
    with archive.open("rb") as stream:
        frame = read_zipped(stream, Selection(), Stated())
    kept = frame[[*(name for name in COLUMNS if name in frame), *({"time"} & set(frame)), "geometry"]]
    for name in kept.columns.difference(["geometry", "time", "decimalLatitude", "decimalLongitude"]):
        kept = kept.assign(**{name: _plain(kept[name])})
    yield Shot(
        id=COLLECTION,
        moment=DOWNLOADED,
        footprint=EARTH,
        sheets=(Sheet("occurrences", kept, {}, "Occurrences (Darwin Core)"),),
        properties={"title": "GBIF, 470 occurrences"},
    )


def _plain(column: "pd.Series[Any]") -> "pd.Series[Any]":
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().sum() == column.notna().sum() else column.astype("string")


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "GBIF – 470 occurrences de spécimens, Amérique et Pacifique",
        _DESCRIPTION,
        licence="other",
        keywords=["GBIF", "Darwin Core", "occurrences", "biodiversité", "PNDB"],
        providers=[
            made_by("GBIF", "https://www.gbif.org"),
            kept_by("rgbif (rOpenSci)", "https://github.com/ropensci/rgbif"),
        ],
        citation=CITATION,
    )


_DESCRIPTION = """\
Téléchargement de GBIF du 29 septembre 2014 : 470 spécimens de 26 collections, surtout des abeilles récoltées au Mexique
et aux États-Unis. Données réelles, une partie des colonnes Darwin Core. Chaque jeu de données (datasetKey) a ses
droits : 326 lignes sont sous CC BY 4.0, 89 viennent de jeux qui n'en disent rien, 55 de jeux qui ont leurs conditions,
dont plusieurs interdisent de redistribuer sans accord. La colonne rights ne les dit que pour 329 lignes. À vérifier jeu
par jeu avant de publier.

A GBIF download of 29 September 2014: 470 specimens of 26 collections, mostly bees from Mexico and the United States.
Real data, some of the Darwin Core columns. Each dataset (datasetKey) has rights of its own: 326 rows are under CC BY
4.0, 89 come from datasets that say nothing, 55 from datasets with their own terms, several of which forbid passing them
on without consent. The column rights states them for 329 rows alone. To be checked dataset by dataset before
publishing."""
