"""A month of the flux tower of Puéchabon: water, heat and carbon between a holm oak forest and the air."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pystac

from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed, read_frames

COLLECTION = "theia-flux-puechabon"
SAMPLE = "flux_fr_pue"
PLACE = (3.5957, 43.7413)
"""Longitude and latitude of FR-Pue in FLUXNET's list of sites."""
UNITS = {
    "Tair": "degC",
    "PPFD": "umol m-2 s-1",
    "VPD": "kPa",
    "pressure": "kPa",
    "precip": "mm",
    "ustar": "m s-1",
    "wind": "m s-1",
    "Ca": "umol mol-1",
    "LW_up": "W m-2",
    "Rn": "W m-2",
    "LE": "W m-2",
    "H": "W m-2",
    "NEE": "umol m-2 s-1",
    "GPP": "umol m-2 s-1",
    "Reco": "umol m-2 s-1",
}
CITATION = (
    "FLUXNET2015, site FR-Pue (Puéchabon, CEFE/CNRS), CC-BY 4.0, Pastorello et al. (2020), Scientific Data 7, 225 ; "
    "extrait de mai 2012 du paquet bigleaf (Knauer et al. 2018)."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its one item."""
    return (Source(_describe(), 1, _read(folder / "FR_Pue_May_2012.rda")),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def _read(path: Path) -> Iterator[Shot]:
    table = read_frames(path)["FR_Pue_May_2012"].astype("float64").reset_index(drop=True)
    # The clock of the site is an hour ahead of UTC all year.
    start = pd.to_timedelta(table["doy"] - 1, "D") + pd.to_timedelta(table["hour"] - 1, "h")
    table.insert(0, "time", pd.Timestamp("2012-01-01", tz="UTC") + start)
    title = "Puéchabon, mai 2012 / Puéchabon, May 2012"
    yield observe("fr-pue-2012-05", title, placed(table, *PLACE), UNITS)


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Puéchabon (Hérault) – flux d'eau, de chaleur et de carbone, mai 2012",
        _TEXT,
        licence="CC-BY-4.0",
        citation=CITATION,
        keywords=["évapotranspiration", "flux", "eddy covariance", "forêt", "Puéchabon", "FLUXNET"],
        providers=[
            made_by("FR-Pue (CEFE, CNRS)", "https://fluxnet.org"),
            kept_by("bigleaf (paquet R)", "https://github.com/cran/bigleaf"),
        ],
    )


_TEXT = """\
Un mois de mesures toutes les demi-heures de la tour à flux de Puéchabon, dans une forêt de chênes verts au nord de
Montpellier : chaleur latente et sensible, rayonnement net, échanges de carbone, météo. Données réelles, colonnes
d'origine ; year, month, doy et hour sont à l'heure du site (UTC+1), time en temps universel. Le flux de chaleur dans le
sol n'y est pas.

One month of half-hourly measurements of the flux tower of Puéchabon, in a forest of holm oaks north of Montpellier:
latent and sensible heat, net radiation, exchange of carbon, weather. Real data, original columns; year, month, doy and
hour are in the time of the site (UTC+1), time in universal time. The heat flux into the ground is not in it."""
