"""Coastal hydrology of the Mediterranean by the network SOMLIT: one item a site."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pystac

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed

COLLECTION = "odatis-somlit"
SAMPLE = "somlit"
FILE = "HYDRO.csv"
SITES = {"Frioul": "somlit-frioul", "Point B": "somlit-point-b", "Sola": "somlit-sola"}
UNITS = {"depth": "m", "temperature": "degC", "salinity": "1", "oxygen": "ml l-1", "chla": "mg m-3"}
COLUMNS = {"temperature": "T", "salinity": "S", "oxygen": "O", "chla": "CHLA"}
"""What this table calls the measurements, and what the file does: ``q`` and that name is the flag."""
CITATION = (
    "SOMLIT – Service d'Observation en Milieu Littoral (INSU-CNRS), doi:10.17882/100323 ; table distribuée avec "
    "2022_SOMLIT_MED (A. Marie)."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection, with an item a site."""
    return (Source(_describe(), len(SITES), _shots(folder / FILE)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def read_samples(path: Path) -> pd.DataFrame:
    """One row a sample: ``time`` (UTC day), ``site``, ``level`` (S, I, F), ``depth``, measurements and their flags.

    Raises
    ------
    SetupError
        Where the file holds other sites.
    """
    raw = pd.read_csv(path, low_memory=False)
    if set(raw["nomSite*"]) != set(SITES):
        raise SetupError(f"{path} has the sites {', '.join(sorted(set(raw['nomSite*'])))}. Fetch it again.")
    columns = {
        "time": pd.to_datetime(raw["DATE"], utc=True),
        "site": raw["nomSite*"],
        "level": raw["PROF_TEXT"],
        "depth": raw["PROF_NUM"].astype("float64"),
        "longitude": raw["gpsLong*"].astype("float64"),
        "latitude": raw["gpsLat*"].astype("float64"),
    }
    for name, column in COLUMNS.items():
        columns |= {name: raw[column].astype("float64"), f"{name}_flag": raw[f"q{column}"].astype("int64")}
    return pd.DataFrame(columns)


def _shots(path: Path) -> Iterator[Shot]:
    for site, samples in read_samples(path).groupby("site", sort=True):
        name = str(site)
        rows = placed(
            samples.drop(columns=["longitude", "latitude"]).reset_index(drop=True),
            samples["longitude"].to_numpy(),
            samples["latitude"].to_numpy(),
        )
        yield observe(SITES[name], f"SOMLIT, {name}", rows, UNITS)


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "SOMLIT – hydrologie côtière de Méditerranée, 1995-2021",
        _TEXT,
        licence="CC-BY-4.0",
        citation=CITATION,
        keywords=["température de la mer", "salinité", "oxygène dissous", "chlorophylle", "eaux littorales", "SOMLIT"],
        providers=[
            made_by("SOMLIT (INSU-CNRS)", "https://www.somlit.fr"),
            kept_by("2022_SOMLIT_MED", "https://github.com/Ambremari/2022_SOMLIT_MED"),
        ],
    )


_TEXT = """\
6 393 prélèvements à trois sites de Méditerranée (Banyuls-Sola, Marseille-Frioul, Villefranche-Point B), 1995-2021 :
température, salinité, oxygène dissous en ml/l et chlorophylle-a, avec les codes de qualité du réseau, gardés tels
quels. Niveaux : S surface, I intermédiaire, F fond. Données réelles ; l'heure du prélèvement, dont le fichier ne
dit pas le fuseau, n'est pas reprise.

6,393 samples at three Mediterranean sites (Banyuls-Sola, Marseille-Frioul, Villefranche-Point B), 1995-2021:
temperature, salinity, dissolved oxygen in ml/l and chlorophyll-a, with the network's quality codes as they are. Levels:
S surface, I intermediate, F bottom. Real data; the hour of sampling, whose time zone the file does not state, is left
out."""
