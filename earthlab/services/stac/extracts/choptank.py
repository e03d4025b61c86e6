"""Discharge and nitrate of the Choptank River: the example of EGRET, as two items."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pystac

from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed

COLLECTION = "theia-river-choptank"
SAMPLE = "river_chemistry"
PLACE = (-75.786, 38.997)
"""Longitude and latitude of the gauge USGS 01491000, near Greensboro."""
CITATION = "U.S. Geological Survey, station 01491000 ; exemples du paquet EGRET (Hirsch et De Cicco), CC0."


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its two items: discharge every day, nitrate at times."""
    return (Source(_describe(), 2, _read(folder)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def _read(folder: Path) -> Iterator[Shot]:
    flow = pd.read_csv(folder / "ChoptankRiverFlow.txt", sep="\t")
    flow = pd.DataFrame(
        {"time": pd.to_datetime(flow["date"], format="%m/%d/%Y", utc=True), "discharge": flow["Qdaily"]}
    )
    title = "Débit journalier / daily discharge"
    yield observe("choptank-discharge", title, placed(flow, *PLACE), {"discharge": "m3 s-1"})
    samples = pd.read_csv(folder / "ChoptankRiverNitrate.csv", sep=";")
    samples = pd.DataFrame(
        {
            "time": pd.to_datetime(samples["cdate"], utc=True),
            "nitrate": samples["Nitrate"],
            "below_detection": samples["remarkCode"].eq("<"),
        }
    )
    title = "Nitrates, sept prélèvements / nitrate, seven samples"
    yield observe("choptank-nitrate", title, placed(samples, *PLACE), {"nitrate": "mg l-1"})


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Rivière Choptank (Maryland) – débits et nitrates (USGS)",
        _TEXT,
        licence="CC0-1.0",
        citation=CITATION,
        keywords=["débit", "nitrates", "cours d'eau", "Choptank", "USGS"],
        providers=[
            made_by("U.S. Geological Survey", "https://waterdata.usgs.gov"),
            kept_by("EGRET", "https://github.com/DOI-USGS/EGRET"),
        ],
    )


_TEXT = """\
Débits journaliers (1999-2011) et sept dosages de nitrates (hiver 1999-2000) de la rivière Choptank, aux États-Unis :
un exemple hors de France, faute de débits publics dans l'extrait français. Données réelles. Deux dosages sont sous leur
limite de détection (below_detection). Le fichier ne dit pas si le nitrate est exprimé en NO3 ou en azote.

Daily discharge (1999-2011) and seven nitrate samples (winter 1999-2000) of the Choptank River, USA: an example from
abroad, as the French extract has no discharge. Real data. Two samples lie below their limit of detection
(below_detection). The file does not say whether nitrate is given as NO3 or as nitrogen."""
