"""The beach of Truc Vert (Gironde): shoreline positions by four algorithms, and the lines they are measured along."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pystac

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Sheet, Shot, Source, describe_collection, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed, ring_around

SAMPLE = "shoreline_trucvert"
POSITIONS, LINES = "odatis-truc-vert-shorelines", "odatis-truc-vert-lines"
CITATION = (
    "Vos, K. et al. (2023), Benchmarking satellite-derived shoreline mapping algorithms, Communications Earth & "
    "Environment 4, doi:10.1038/s43247-023-01001-2 ; séries soumises par les équipes CoastSat (K. Vos), SHOREX (UPV), "
    "CASSIE (D. Pais, L. P. Almeida) et HighTide-SDS (Y. Mao), dépôt SDS_Benchmark, GPL-3.0."
)
TRANSECTS = ("-400", "-300", "-200", "-100")
_TEAMS = ("CoastSat", "SHOREX", "CASSIE")
_UNITS = {"raw": "m", "corrected": "m"}
_FIRST, _LAST = datetime(1984, 5, 7, tzinfo=UTC), datetime(2022, 11, 7, tzinfo=UTC)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The positions, an item an algorithm, and the lines, one item."""
    return (
        Source(_positions(), len(_TEAMS) + 1, _read_positions(folder)),
        Source(_lines(), 1, _read_lines(folder)),
    )


EXTRACT = Extract(SAMPLE, (POSITIONS, LINES), open_sources)


def read_team(folder: Path, team: str) -> pd.DataFrame:
    """The series of one team: ``time``, ``transect``, ``satellite``, ``raw`` and ``corrected`` (m), as submitted.

    Raises
    ------
    SetupError
        Where positions and their corrections have other dates.
    """
    parts = []
    for name in TRANSECTS:
        raw = _read_series(folder / team / "raw_timeseries" / f"{name}_timeseries_raw.csv")
        path = folder / team / "tidally_corrected_timeseries_MSL" / f"{name}_timeseries_tidally_corrected.csv"
        corrected = _read_series(path)
        if not raw["time"].equals(corrected["time"]):
            raise SetupError(f"{path} has other dates than the positions it corrects. Fetch it again.")
        parts.append(raw.rename(columns={"position": "raw"}).assign(corrected=corrected["position"], transect=name))
    return pd.concat(parts, ignore_index=True)


def read_annual(folder: Path) -> pd.DataFrame:
    """The series of HighTide-SDS, one position a year, in the columns of `read_team`; none is corrected."""
    parts = [pd.read_csv(folder / "UQMAO" / f"PF{name}.csv").assign(transect=name) for name in TRANSECTS]
    table = pd.concat(parts, ignore_index=True)
    time = pd.to_datetime(table["Date"], utc=True)
    return pd.DataFrame(
        {
            "time": time,
            "raw": table["Distance"],
            "satellite": "",
            "corrected": float("nan"),
            "transect": table["transect"],
        }
    )


def _read_series(path: Path) -> pd.DataFrame:
    # One team's files have each whole line in quotation marks.
    lines = [line.strip().strip('"') for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [[word.strip() for word in line.split(",")] for line in lines[1:]]
    return pd.DataFrame(
        {
            "time": pd.to_datetime([row[0] for row in rows], utc=True),
            "position": [float(row[1] or "nan") for row in rows],
            "satellite": [row[2] for row in rows],
        }
    )


def _read_positions(folder: Path) -> Iterator[Shot]:
    starts = gpd.read_file(folder / "TRUCVERT_transects.geojson").set_index("name").geometry
    tables = {team: read_team(folder, team) for team in _TEAMS} | {"HighTide-SDS": read_annual(folder)}
    for team, table in tables.items():
        begin = [starts[name].coords[0] for name in table["transect"]]
        frame = table.assign(algorithm=team)[["time", "algorithm", "transect", "satellite", "raw", "corrected"]]
        shown = placed(frame, [place[0] for place in begin], [place[1] for place in begin])
        yield observe(f"truc-vert-{team.lower()}", f"{team}, plage du Truc Vert / Truc Vert beach", shown, _UNITS)


def _read_lines(folder: Path) -> Iterator[Shot]:
    parts = [
        gpd.read_file(folder / f"TRUCVERT_{name}.geojson")[["name", "geometry"]].assign(kind=kind).to_crs(4326)
        for name, kind in (("transects", "transect"), ("reference_shoreline", "reference"))
    ]
    frame = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=4326)
    yield Shot(
        id="truc-vert-lines",
        moment=_FIRST,
        ends=_LAST,
        footprint=ring_around(frame),
        sheets=(Sheet("lines", frame, {}, "transects et ligne de référence / transects and reference line"),),
        properties={"title": "Transects et ligne de référence, plage du Truc Vert"},
    )


_MAKER = made_by("SDS_Benchmark (K. Vos et al.)", "https://github.com/SatelliteShorelines/SDS_Benchmark")


def _positions() -> pystac.Collection:
    return describe_collection(
        POSITIONS,
        "Truc Vert (Gironde) – trait de côte par satellite, quatre algorithmes, 1984-2022",
        _TEXT,
        licence="other",
        citation=CITATION,
        keywords=["ODATIS", "trait de côte", "Truc Vert", "CoastSat", "SHOREX", "CASSIE", "HighTide-SDS", "Landsat"],
        providers=[_MAKER],
    )


def _lines() -> pystac.Collection:
    return describe_collection(
        LINES,
        "Truc Vert (Gironde) – transects et ligne de référence du trait de côte",
        _LINES_TEXT,
        licence="other",
        citation=CITATION,
        keywords=["ODATIS", "trait de côte", "Truc Vert", "transects"],
        providers=[_MAKER],
    )


_TEXT = """\
Positions du trait de côte de la plage du Truc Vert, en mètres vers la mer depuis le début de quatre transects, vues
par satellite et soumises par quatre équipes au banc d'essai de 2023. Données réelles. « raw » : position dans l'image
; « corrected » : ramenée au niveau moyen de la mer avec une pente de plage de 0,05, sauf pour les images prises à
moins de 0,2 m d'eau, que le banc d'essai a écartées (valeur manquante). HighTide-SDS donne une position par an, à
marée haute, sans correction, datée du premier janvier. Le point de chaque ligne est le début du transect. Dépôt sous
licence GPL-3.0.

Shoreline positions of Truc Vert beach, in metres seawards from the start of four transects, seen by satellite and
submitted by four teams to the benchmark of 2023. Real data. "raw": position in the image; "corrected": brought to
mean sea level with a beach slope of 0.05, but for images taken below 0.2 m of water, which the benchmark left out
(missing value). HighTide-SDS gives one position a year, at high tide, uncorrected, dated the first of January. Each
row's point is the start of its transect. The repository's licence is GPL-3.0."""
_LINES_TEXT = """\
Les 176 transects de la plage du Truc Vert, tous les 20 m, tracés de la terre vers la mer, et la ligne de référence
près de laquelle le trait de côte est cherché. Données réelles, fournies à toutes les équipes du banc d'essai. Licence
du dépôt : GPL-3.0.

The 176 transects of Truc Vert beach, every 20 m, drawn from land to sea, and the reference line near which the
shoreline is looked for. Real data, given to all teams of the benchmark. The repository's licence is GPL-3.0."""
