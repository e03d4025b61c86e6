"""A year of daily weather at Holyoke, Colorado, with the reference evapotranspiration its network publishes."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pystac

from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed

COLLECTION = "theia-weather-holyoke"
SAMPLE = "evapotranspiration"
LATITUDE, ALTITUDE = 40.49, 1138.0
"""As in pyet's example; the longitude is not stated there."""
UNITS = {
    "tavg": "degC",
    "tmax": "degC",
    "tmin": "degC",
    "rhmax": "1",
    "rhmin": "1",
    "solar": "W m-2",
    "windrun": "km day-1",
    "et_asce": "mm day-1",
    "et_pk": "mm day-1",
    "et_asce0": "mm day-1",
    "latitude": "degree",
    "altitude": "m",
}
CITATION = "CoAgMET (Colorado State University), station hyk02 (Holyoke) ; fichier distribué avec pyet (Vremec et al.)."


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its one item."""
    return (Source(_describe(), 1, _read(folder / "et_coagmet.txt")),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def _read(path: Path) -> Iterator[Shot]:
    table = pd.read_csv(path)
    table.insert(0, "time", pd.to_datetime(table.pop("date"), utc=True))
    table = table.rename(columns={"name": "station"}).assign(latitude=LATITUDE, altitude=ALTITUDE)
    title = "Holyoke (Colorado), 2020"
    yield observe("coagmet-hyk02-2020", title, placed(table, None, None), UNITS)


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Holyoke (Colorado) – météo journalière et évapotranspiration de référence, 2020",
        _TEXT,
        licence="other",
        citation=CITATION,
        keywords=["évapotranspiration", "météorologie", "station", "CoAgMET"],
        providers=[
            made_by("CoAgMET (Colorado State University)", "https://coagmet.colostate.edu"),
            kept_by("pyet", "https://github.com/pyet-org/pyet"),
        ],
    )


_TEXT = """\
Une année de météo journalière d'une station agricole du Colorado, avec l'évapotranspiration de référence que publie
son réseau (et_asce0 : gazon court, la définition de la FAO-56). Données réelles, colonnes d'origine ; le rayonnement
est une moyenne en W/m², l'humidité une fraction, windrun le chemin du vent. Un exemple hors de France : la valeur
publiée y permet de vérifier le calcul. Le fichier ne donne pas la longitude.

One year of daily weather of an agricultural station in Colorado, with the reference evapotranspiration its network
publishes (et_asce0: short grass, the definition of FAO-56). Real data, original columns; radiation is a mean in W/m²,
humidity a fraction, windrun the run of the wind. An example from abroad: the published value lets the computation be
checked. The file does not state the longitude."""
