"""Nitrate in the rivers of Côte-d'Or, from Hub'Eau: one row a result, at its station."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pystac

from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed, read_frames

COLLECTION = "theia-nitrates-cote-dor"
SAMPLE = "river_chemistry_fr"
FILE = "data_extraction_naiades.RData"
COLUMNS = ["code_station", "libelle_station", "libelle_fraction", "resultat", "symbole_unite"]
CITATION = "Hub'Eau et Naïades (eaufrance, OFB), nitrates des cours d'eau de Côte-d'Or ; extrait du paquet hubeau."


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its one item."""
    return (Source(_describe(), 1, _read(folder / FILE)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def _read(path: Path) -> Iterator[Shot]:
    tables = read_frames(path)
    samples = tables["nitrates_21"]
    stations = tables["station_21"].drop_duplicates("code_station").set_index("code_station")
    where = stations.loc[samples["code_station"], ["longitude", "latitude"]].to_numpy("float64")
    frame = samples[COLUMNS].astype({name: "object" for name in COLUMNS if name != "resultat"})
    frame.insert(0, "time", pd.to_datetime(samples["date_prelevement"].astype("object"), utc=True))
    title = "Nitrates, cours d'eau de Côte-d'Or / nitrate, rivers of Côte-d'Or"
    yield observe("hubeau-nitrates-21", title, placed(frame.reset_index(drop=True), *where.T), {})


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Nitrates des cours d'eau de Côte-d'Or, 2000-2022 (Hub'Eau)",
        _TEXT,
        licence="etalab-2.0",
        citation=CITATION,
        keywords=["nitrates", "qualité de l'eau", "cours d'eau", "Côte-d'Or", "Hub'Eau", "Naïades"],
        providers=[
            made_by("Hub'Eau, Naïades (eaufrance)", "https://hubeau.eaufrance.fr"),
            kept_by("hubeau (paquet R)", "https://github.com/cran/hubeau"),
        ],
    )


_TEXT = """\
13 314 résultats d'analyse de nitrates dans les cours d'eau de Côte-d'Or, de 2000 à 2022, à leurs stations. Données
réelles, valeurs et colonnes inchangées : l'unité de chaque résultat est dans sa ligne (symbole_unite). 13 261 sont en
mg(NO3)/L, 33 disent seulement mg/L et 20 mg(CO3)/L ; 911 lignes en répètent une autre.

13,314 results of nitrate in the rivers of Côte-d'Or (France), 2000 to 2022, at their stations. Real data, values and
columns unchanged: the unit of each result is in its row (symbole_unite). 13,261 are in mg(NO3)/L, 33 just say mg/L and
20 mg(CO3)/L; 911 rows repeat another."""
