"""The air of cities, hour by hour: nitrogen dioxide in Paris, Antwerp and London in 2019, a London street 1998-2005."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pystac

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed, read_frames

SAMPLE = "air_quality"
CITIES = "aeris-no2-cities"
STREET = "aeris-london-marylebone"
UNITS_OF_STREET = {
    "ws": "m s-1",
    "wd": "degree",
    "nox": "ppb",
    "no2": "ppb",
    "o3": "ppb",
    "pm10": "ug m-3",
    "so2": "ppb",
    "co": "ppm",
    "pm25": "ug m-3",
}
CITIES_CITATION = (
    "OpenAQ (stations FR04014 Paris, BETR801 Anvers, London Westminster ; réseaux nationaux par l'Agence européenne "
    "pour l'environnement), CC-BY 4.0 ; table distribuée avec la documentation de pandas."
)
STREET_CITATION = (
    "Defra, UK-AIR, London Marylebone Road, Open Government Licence ; table distribuée avec openair (D. Carslaw et "
    "K. Ropkins, Environmental Modelling & Software 27-28, 2012, 52-61)."
)


@dataclass(frozen=True, slots=True)
class Station:
    """Where a city's column of the file was measured."""

    city: str
    name: str
    longitude: float
    latitude: float
    zone: str


STATIONS = {
    "station_antwerp": Station("Anvers / Antwerp", "BETR801", 4.43182, 51.20966, "Europe/Brussels"),
    "station_paris": Station("Paris", "FR04014", 2.3939, 48.83724, "Europe/Paris"),
    "station_london": Station("Londres / London", "London Westminster", -0.13193, 51.49467, "Europe/London"),
}
"""Coordinates as in the table of stations of pandas's documentation."""
MARYLEBONE = (-0.154611, 51.52253)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """Both collections: an item a city, and one for the street."""
    return (
        Source(_describe_cities(), len(STATIONS), _cities(folder / "air_quality_no2.csv")),
        Source(_describe_street(), 1, _street(folder / "mydata.rda")),
    )


EXTRACT = Extract(SAMPLE, (CITIES, STREET), open_sources)


def read_city(path: Path, column: str) -> pd.DataFrame:
    """The hours that a city measured: ``time`` in UTC, ``city``, ``station`` and ``no2``.

    The file's times are the legal ones of each city, which it does not say: the same values stand in another table of
    the sample with their UTC, two hours before Paris and Antwerp and one before London.

    Raises
    ------
    SetupError
        Where the file has no such column.
    """
    raw = pd.read_csv(path, index_col=0, parse_dates=True)
    if column not in raw:
        raise SetupError(f"{path} has no column {column}. Fetch it again.")
    station = STATIONS[column]
    known = raw[column].dropna()
    times = pd.DatetimeIndex(known.index).tz_localize(station.zone).tz_convert("UTC")
    return pd.DataFrame({"time": times, "city": station.city, "station": station.name, "no2": known.to_numpy()})


def read_street(path: Path) -> pd.DataFrame:
    """The street's hours: ``time`` in UTC, wind and pollutants, missing values NaN."""
    (raw,) = read_frames(path).values()
    values = {name: raw[name].astype("Float64").to_numpy("float64", na_value=float("nan")) for name in UNITS_OF_STREET}
    return pd.DataFrame({"time": pd.to_datetime(raw["date"].to_numpy(), utc=True), **values})


def _cities(path: Path) -> Iterator[Shot]:
    for column, station in STATIONS.items():
        rows = placed(read_city(path, column), station.longitude, station.latitude)
        title = f"NO2, {station.city}, {station.name}"
        yield observe(f"no2-{column.removeprefix('station_')}-2019", title, rows, {"no2": "ug m-3"})


def _street(path: Path) -> Iterator[Shot]:
    rows = placed(read_street(path), *MARYLEBONE)
    yield observe("london-marylebone-1998-2005", "London Marylebone Road, 1998-2005", rows, UNITS_OF_STREET)


def _describe_cities() -> pystac.Collection:
    return describe_collection(
        CITIES,
        "Dioxyde d'azote heure par heure : Paris, Anvers, Londres, mai-juin 2019",
        _CITIES_TEXT,
        licence="CC-BY-4.0",
        citation=CITIES_CITATION,
        keywords=["qualité de l'air", "dioxyde d'azote", "NO2", "Paris", "Anvers", "Londres"],
        providers=[
            made_by("OpenAQ", "https://openaq.org"),
            kept_by("pandas", "https://github.com/pandas-dev/pandas"),
        ],
    )


def _describe_street() -> pystac.Collection:
    return describe_collection(
        STREET,
        "Londres, Marylebone Road : air et vent heure par heure, 1998-2005",
        _STREET_TEXT,
        licence="OGL-UK-3.0",
        citation=STREET_CITATION,
        keywords=["qualité de l'air", "dioxyde d'azote", "ozone", "particules", "vent", "Londres"],
        providers=[
            made_by("Defra, UK-AIR", "https://uk-air.defra.gov.uk"),
            kept_by("openair", "https://github.com/openair-project/openair"),
        ],
    )


_CITIES_TEXT = """\
Dioxyde d'azote mesuré chaque heure par une station de Paris (1 004 heures), d'Anvers (95) et de Londres (969), du 7 mai
au 21 juin 2019, en µg/m³. Données réelles, non validées a posteriori. Les heures, légales dans le fichier d'origine,
sont ici en temps universel. Quarante-cinq jours ne font pas une année.

Nitrogen dioxide measured hourly by a station of Paris (1,004 hours), of Antwerp (95) and of London (969), 7 May to 21
June 2019, in µg/m³. Real data, not validated afterwards. Hours, local in the original file, are universal time here.
Forty-five days are not a year."""
_STREET_TEXT = """\
65 533 heures d'une des rues les plus mesurées d'Europe : oxydes d'azote, ozone, dioxyde de soufre (ppb), monoxyde de
carbone (ppm), particules (µg/m³), vitesse et direction du vent, du 1er janvier 1998 au 23 juin 2005. Données réelles.

65,533 hours of one of the most measured streets of Europe: nitrogen oxides, ozone, sulphur dioxide (ppb), carbon
monoxide (ppm), particles (µg/m³), wind speed and direction, 1 January 1998 to 23 June 2005. Real data."""
