"""Six invented sectors of a coast and what a risk observatory would know of them, marked as simulated."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import pystac
from shapely import Point

from earthlab.services.stac.documents import EARTHLAB, Sheet, Shot, Source, describe_collection

COLLECTION = "simulation-coastal-sectors"
CITATION = "EarthLab, secteurs de côte inventés pour l'apprentissage, valeurs construites ; aucune observation."
SECTORS: dict[str, list[Any]] = {
    "sector": ["Anse-Nord", "La Jetée", "Les Dunes", "Le Port", "La Pointe", "Grève-Sud"],
    "retreat": [0.2, 1.4, 0.9, 0.0, 0.5, 1.8],
    "low_land": [10.0, 35.0, 60.0, 45.0, 5.0, 25.0],
    "dwellings": [40, 310, 15, 420, 60, 120],
    "services": [0, 3, 0, 6, 1, 2],
    "plan": [0.5, 1.0, 0.0, 1.0, 0.5, 0.0],
    "works": [0.0, 0.7, 0.1, 0.9, 0.2, 0.0],
    "aware": [35.0, 70.0, 25.0, 80.0, 45.0, 20.0],
}
"""Invented values, by column."""
UNITS = {
    "retreat": "m year-1",
    "low_land": "%",
    "dwellings": "1",
    "services": "1",
    "plan": "1",
    "works": "1",
    "aware": "%",
}


def open_source() -> Source:
    """The collection and its table."""
    return Source(_describe(), 1, _shots())


def _shots() -> Iterator[Shot]:
    # Along a line in the Gulf of Guinea where there is no coast: nobody can take the places for real ones.
    places = [Point(0.0, 0.01 * at) for at in range(len(SECTORS["sector"]))]
    frame = gpd.GeoDataFrame(SECTORS, geometry=places, crs=4326)
    title = "SIMULÉ – six secteurs de côte inventés"
    yield Shot(
        id="simulation-coastal-sectors-1",
        moment=datetime(2026, 1, 1, tzinfo=UTC),
        footprint=[(-0.01, -0.01), (0.01, -0.01), (0.01, 0.06), (-0.01, 0.06), (-0.01, -0.01)],
        sheets=(Sheet("sectors", frame, UNITS, title),),
        properties={"title": title},
    )


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "SIMULÉ – six secteurs de côte inventés, sept indicateurs de risque",
        _TEXT,
        licence="CC0-1.0",
        keywords=["SIMULÉ", "littoral", "risque", "vulnérabilité", "apprentissage"],
        providers=[EARTHLAB],
        citation=CITATION,
        simulated=True,
    )


_TEXT = """\
SIMULÉ : aucune de ces valeurs n'a été observée, aucun de ces lieux n'existe. Six secteurs de côte et sept indicateurs
des quatre composantes de la vulnérabilité : recul du trait de côte (retreat), part de terrain bas (low_land),
logements (dwellings) et services (services) exposés, plan de prévention (plan : 0 aucun, 0,5 en cours, 1 approuvé),
part de côte protégée (works), part des habitants qui connaissent le risque (aware).

SIMULATED: none of these values was observed, none of these places exists. Six sectors of a coast and seven indicators
of the four components of vulnerability: retreat of the shoreline, share of low land, dwellings and services exposed,
prevention plan (0 none, 0.5 under way, 1 approved), share of protected coast (works), share of inhabitants who know
of the risk (aware)."""
