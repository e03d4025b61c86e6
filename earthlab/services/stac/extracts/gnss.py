"""Real GNSS stations as tables of positions in millimetres: one item a station."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pystac

from earthlab.services.stac.documents import Sheet, Shot, Source, describe_collection, made_by
from earthlab.services.stac.extracts.extract import Extract

STATIONS, GEONET = "formater-gnss-stations", "formater-gnss-geonet"
SAMPLE = "gnss"
JAPAN = [(128.0, 30.0), (146.0, 30.0), (146.0, 46.0), (128.0, 46.0), (128.0, 30.0)]
"""Of the four stations of Japan no coordinates are given."""

_COMPONENTS = ("east", "north", "up")
_UNITS = {name: "mm" for component in _COMPONENTS for name in (component, f"sigma_{component}")}
_MILLIMETRES = 1000.0
_FIRST_LINE = "*YYYYMMDD"


@dataclass(frozen=True, slots=True)
class _Station:
    """Where a station's file is, and how it is read: rows of time, the components and their errors."""

    name: str
    file: str
    read: Callable[[Path], pd.DataFrame]
    place: tuple[float, float] | None = None
    """Longitude and latitude."""


@dataclass(frozen=True, slots=True)
class _About:
    collection: str
    title: str
    description: str
    licence: str
    citation: str
    providers: tuple[str, ...]
    stations: tuple[_Station, ...]


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The stations of the world, and those of Japan."""
    return tuple(
        Source(_describe(about), len(about.stations), _read_shots(about, folder), {"instruments": ["gnss"]})
        for about in (_ABOUT_STATIONS, _ABOUT_GEONET)
    )


EXTRACT = Extract(SAMPLE, (STATIONS, GEONET), open_sources)


def read_tenv3(path: Path) -> pd.DataFrame:
    """A series of the Nevada Geodetic Laboratory: fractions of metres from a fixed point, in mm here."""
    stored = pd.read_csv(path, sep=r"\s+")
    stated = ("__east(m)", "_north(m)", "____up(m)"), ("sig_e(m)", "sig_n(m)", "sig_u(m)")
    days = pd.to_datetime(stored["__MJD"], unit="D", origin=pd.Timestamp("1858-11-17"))
    return _rows(days, stored, *stated, scale=_MILLIMETRES)


def read_pos(path: Path) -> pd.DataFrame:
    """A series of the Plate Boundary Observatory: metres from a reference position, in mm here."""
    lines = path.read_text(encoding="ascii").splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith(_FIRST_LINE))
    stored = pd.read_csv(path, sep=r"\s+", skiprows=head + 1, header=None, dtype={0: str, 1: str})
    days = pd.to_datetime(stored[0] + stored[1], format="%Y%m%d%H%M%S")
    return _rows(days, stored, (16, 15, 17), (19, 18, 20), scale=_MILLIMETRES)


def read_geonet(path: Path) -> pd.DataFrame:
    """A series of GEONET, in the order north, east, up that the file's name says; in mm as it is.

    The header calls the first two columns ``lon`` and ``lat``. It is the second that jumps by 24 cm at Usuda on
    11 March 2011, when the stations west of the rupture moved east.
    """
    stored = pd.read_csv(path, parse_dates=["time"])
    return _rows(stored["time"], stored, ("lat", "lon", "ver"), None, scale=1.0)


def _rows(
    days: pd.Series,
    stored: pd.DataFrame,
    values: tuple[object, ...],
    sigmas: tuple[object, ...] | None,
    *,
    scale: float,
) -> pd.DataFrame:
    rows = pd.DataFrame({"time": days.dt.tz_localize("UTC")})
    for component, column in zip(_COMPONENTS, values, strict=True):
        rows[component] = stored[column] * scale
    for component, column in zip(_COMPONENTS, sigmas or (), strict=bool(sigmas)):
        rows[f"sigma_{component}"] = stored[column] * scale
    return rows


def _read_shots(about: _About, folder: Path) -> Iterator[Shot]:
    for station in about.stations:
        rows = station.read(folder / station.file)
        rows.insert(0, "station", station.name)
        point = [None if station.place is None else _point(station.place)] * len(rows)
        frame = gpd.GeoDataFrame(rows, geometry=gpd.GeoSeries(point, index=rows.index, crs="EPSG:4326"))
        yield Shot(
            id=f"{about.collection}-{station.name.casefold()}",
            moment=_moment(rows["time"].iloc[0]),
            ends=_moment(rows["time"].iloc[-1]),
            footprint=JAPAN if station.place is None else _around(station.place),
            sheets=(Sheet("positions", frame, {name: _UNITS[name] for name in rows if name in _UNITS}),),
            properties={"title": f"GNSS, {station.name}"},
        )


def _point(place: tuple[float, float]) -> object:
    return gpd.points_from_xy([place[0]], [place[1]])[0]


def _around(place: tuple[float, float]) -> list[tuple[float, float]]:
    east, north = place
    reach = 0.01
    corners = [(-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach), (-reach, -reach)]
    return [(east + across, north + along) for across, along in corners]


def _moment(time: pd.Timestamp) -> datetime:
    return time.to_pydatetime().astimezone(UTC)


def _describe(about: _About) -> pystac.Collection:
    return describe_collection(
        about.collection,
        about.title,
        about.description,
        licence=about.licence,
        keywords=["ForM@Ter", "GNSS", "GPS", "géodésie", "déformation du sol", "vitesse", "séisme"],
        providers=[made_by(name) for name in about.providers],
        citation=about.citation,
    )


_ABOUT_STATIONS = _About(
    STATIONS,
    "Stations GNSS : Lhassa (1995-2007) et Gibson Ridge, Californie (2006-2015)",
    """\
Positions journalières réelles de deux stations GNSS, en mm vers l'est, le nord et le haut, avec leurs écarts types :
LHAS (Lhassa, Tibet ; série du Nevada Geodetic Laboratory, parties fractionnaires des coordonnées) et P156 (Gibson
Ridge, Californie ; série PBO finale, ITRF2008, écarts à la position de référence). Converties de mètres en mm.

Real daily positions of two GNSS stations, in mm to the east, north and up, with their standard deviations: LHAS (Lhasa,
Tibet; series of the Nevada Geodetic Laboratory, fractional parts of the coordinates) and P156 (Gibson Ridge,
California; final PBO series, ITRF2008, differences from the reference position). Converted from metres.""",
    "other",
    "Nevada Geodetic Laboratory (LHAS) ; Plate Boundary Observatory, EarthScope (P156, CC-BY) ; fichiers distribués "
    "avec iGPS.",
    ("Nevada Geodetic Laboratory", "Plate Boundary Observatory (EarthScope)"),
    (
        _Station("LHAS", "LHAS.tenv3", read_tenv3, (91.1039857, 29.6573392)),
        _Station("P156", "P156.pbo.final_igs08.pos", read_pos, (-123.9061171, 40.0244430)),
    ),
)
_ABOUT_GEONET = _About(
    GEONET,
    "Stations GNSS du Japon autour du séisme de Tohoku (2011)",
    """\
Positions journalières réelles de quatre stations GNSS du Japon, en mm : USUD (Usuda), G001, J089 et Z101, autour du
séisme de Tohoku du 11 mars 2011 et jusqu'en 2016 ou 2018. Les coordonnées des stations ne sont pas données. Dans les
fichiers d'origine les deux premières colonnes s'appellent `lon` et `lat` ; leur nom (`neu`), la notice du dépôt et le
sens du saut de 2011 (vers l'est) disent qu'elles sont le nord puis l'est : elles s'appellent ainsi ici.

Real daily positions of four GNSS stations of Japan, in mm: USUD (Usuda), G001, J089 and Z101, around the Tohoku
earthquake of 11 March 2011 and until 2016 or 2018. The coordinates of the stations are not given. In the original
files the first two columns are called `lon` and `lat`; the name of the files (`neu`), the repository's notice and the
direction of the jump of 2011 (to the east) say that they are north and then east: they are called so here.""",
    "CC-BY-4.0",
    "GEONET (GSI, Japon) ; séries NEU distribuées avec gnss-station-neu-timeseries (helmsman-sun), CC-BY-4.0.",
    ("GEONET (Geospatial Information Authority of Japan)",),
    tuple(_Station(name, f"{name}neu9818.csv", read_geonet) for name in ("USUD", "G001", "J089", "Z101")),
)
