"""Methane: the inventory EDGAR over Europe as an image, and columns of TCCON and GOSAT with their averaging kernels."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pystac
import xarray as xr

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Layer, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed
from earthlab.services.stac.raster import BandKind, Grid

SAMPLE = "greenhouse_gas"
INVENTORY = "aeris-edgar-ch4"
TCCON = "aeris-tccon-harwell"
GOSAT = "aeris-gosat-ch4"
FLUX = BandKind("flux", "float32", None, unit="mol m-2 s-1", title="flux de méthane / methane flux")
INVENTORY_CITATION = (
    "Commission européenne, Centre commun de recherche, EDGAR v5.0 (émissions anthropiques de CH4, 2012), CC-BY 4.0, "
    "edgar.jrc.ec.europa.eu/overview.php?v=50_GHG ; remaillé par le groupe ACRG (université de Bristol), "
    "distribué avec OpenGHG."
)
TCCON_CITATION = (
    "Weidmann, D., Brownsword, R. et Doniki, S. (2023), TCCON data from Harwell, Oxfordshire (UK), Release GGG2020.R0, "
    "CaltechDATA, doi:10.14291/TCCON.GGG2020.HARWELL01.R0 ; extrait distribué avec OpenGHG."
)
GOSAT_CITATION = (
    "Parker, R. et al., GOSAT Proxy XCH4 v7.2, université de Leicester, ESA GHG-CCI, doi:10.1029/2011GL047871 ; "
    "extrait distribué avec OpenGHG."
)


@dataclass(frozen=True, slots=True)
class Columns:
    """What an instrument reported: a row a sounding, and a row a sounding and level."""

    soundings: pd.DataFrame
    levels: pd.DataFrame


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The inventory, and the two sets of columns with an item for soundings and one for levels."""
    return (
        Source(_describe_inventory(), 1, _inventory(folder / "ch4-anthro_EUROPE_2012.nc")),
        Source(_describe_tccon(), 2, _columns("tccon-harwell", read_tccon(folder / _HARWELL))),
        Source(_describe_gosat(), 2, _columns("gosat-ch4", read_gosat(folder / _SOUNDINGS))),
    )


EXTRACT = Extract(SAMPLE, (INVENTORY, TCCON, GOSAT), open_sources)
_HARWELL = "hw20230402_20230402.public.qc.nc"
_SOUNDINGS = "gosat-fts_gosat_20160101_ch4-column.nc"
_UNITS = {"xch4": "ppb", "xch4_error": "ppb", "prior_xch4": "ppb", "prior": "ppb", "kernel": "1", "weight": "1"}


def read_inventory(path: Path) -> tuple[npt.NDArray[np.float32], Grid]:
    """The flux of 2012, north first, and its grid.

    Raises
    ------
    SetupError
        Where the flux has another unit.
    """
    with xr.open_dataset(path) as source:
        flux = source["flux"].isel(time=0).sortby("lat", ascending=False)
        if flux.attrs.get("units") != "mol/m2/s":
            raise SetupError(f"{path} has fluxes in {flux.attrs.get('units')!r}, expected mol/m2/s. Fetch it again.")
        lat, lon = (flux[name].values.astype("float64") for name in ("lat", "lon"))
        pixels = flux.transpose("lat", "lon").values.astype("float32")
    height, width = (lat[0] - lat[-1]) / (lat.size - 1), (lon[-1] - lon[0]) / (lon.size - 1)
    west, north = float(lon[0] - width / 2), float(lat[0] + height / 2)
    return pixels, Grid("EPSG:4326", (float(width), 0.0, west, 0.0, -float(height), north), pixels.shape)


def read_tccon(path: Path) -> Columns:
    """The columns of Harwell in ppb, with kernel, prior and integration operator on the levels of the prior."""
    with xr.open_dataset(path) as source:
        place = {"longitude": source["long"].values, "latitude": source["lat"].values}
        ppb = {name: source[name].values * 1e3 for name in ("xch4", "xch4_error", "prior_xch4")}
        times = pd.DatetimeIndex(source["time"].values).tz_localize("UTC")
        altitude = source["prior_altitude"].values
        if not np.array_equal(altitude, source["ak_altitude"].values):
            raise SetupError(f"{path} has kernels on other levels than its prior. Fetch it again.")
        levels = _levels(
            times,
            prior=source["prior_ch4"].values,
            kernel=source["ak_xch4"].values,
            weight=source["integration_operator"].values,
            pressure=source["prior_pressure"].values * 1013.25,
        )
    return Columns(pd.DataFrame({"time": times, **ppb, **place}), levels)


def read_gosat(path: Path) -> Columns:
    """The soundings of GOSAT in ppb, with kernel, prior and pressure weights on their levels."""
    with xr.open_dataset(path) as source:
        place = {"longitude": source["lon"].values, "latitude": source["lat"].values}
        ppb = {"xch4": source["xch4"].values, "xch4_error": source["xch4_uncertainty"].values}
        times = pd.DatetimeIndex(source["time"].values).tz_localize("UTC")
        levels = _levels(
            times,
            prior=source["ch4_profile_apriori"].values,
            kernel=source["xch4_averaging_kernel"].values,
            weight=source["pressure_weights"].values,
            pressure=source["pressure_levels"].values,
        )
    return Columns(pd.DataFrame({"time": times, **ppb, **place}), levels)


def _levels(times: pd.DatetimeIndex, **profiles: npt.NDArray[Any]) -> pd.DataFrame:
    number = next(iter(profiles.values())).shape[1]
    where = {"time": times.repeat(number), "level": np.tile(np.arange(number), len(times))}
    return pd.DataFrame({**where, **{name: values.ravel() for name, values in profiles.items()}})


def _inventory(path: Path) -> Iterator[Shot]:
    pixels, grid = read_inventory(path)
    yield Shot(
        id="edgar-v5-ch4-2012-europe",
        moment=datetime(2012, 1, 1, tzinfo=UTC),
        ends=datetime(2012, 12, 31, 23, 59, 59, tzinfo=UTC),
        grid=grid,
        footprint=grid.ring(),
        layers=(Layer(FLUX, pixels),),
        properties={"title": "EDGAR v5.0, CH4, 2012"},
    )


def _columns(name: str, columns: Columns) -> Iterator[Shot]:
    soundings = columns.soundings
    places = soundings.set_index("time")[["longitude", "latitude"]]
    rows = placed(soundings.drop(columns=["longitude", "latitude"]), soundings["longitude"], soundings["latitude"])
    yield observe(f"{name}-columns", f"{name}, colonnes / columns", rows, _UNITS)
    there = places.loc[columns.levels["time"]]
    levels = placed(columns.levels, there["longitude"].to_numpy(), there["latitude"].to_numpy())
    yield observe(f"{name}-levels", f"{name}, niveaux / levels", levels, {**_UNITS, "pressure": "hPa"})


def _describe_inventory() -> pystac.Collection:
    return describe_collection(
        INVENTORY,
        "EDGAR v5.0 – émissions anthropiques de méthane, Europe, 2012",
        _INVENTORY_TEXT,
        licence="CC-BY-4.0",
        citation=INVENTORY_CITATION,
        keywords=["méthane", "CH4", "émissions", "inventaire", "EDGAR", "gaz à effet de serre"],
        providers=[
            made_by("Commission européenne, JRC (EDGAR)", "https://edgar.jrc.ec.europa.eu"),
            kept_by("OpenGHG", "https://github.com/openghg/openghg"),
        ],
        kinds=[FLUX],
    )


def _describe_tccon() -> pystac.Collection:
    return describe_collection(
        TCCON,
        "TCCON – colonnes de méthane au-dessus de Harwell (Angleterre), 2 avril 2023",
        _TCCON_TEXT,
        licence="other",
        citation=TCCON_CITATION,
        keywords=["méthane", "CH4", "colonne", "TCCON", "noyau de moyenne"],
        providers=[
            made_by("TCCON, Harwell (RAL Space)", "https://doi.org/10.14291/TCCON.GGG2020.HARWELL01.R0"),
            kept_by("OpenGHG", "https://github.com/openghg/openghg"),
        ],
    )


def _describe_gosat() -> pystac.Collection:
    return describe_collection(
        GOSAT,
        "GOSAT – colonnes de méthane, Amérique du Sud, 1er janvier 2016",
        _GOSAT_TEXT,
        licence="other",
        citation=GOSAT_CITATION,
        keywords=["méthane", "CH4", "colonne", "GOSAT", "satellite", "noyau de moyenne"],
        providers=[
            made_by("Université de Leicester, ESA GHG-CCI", "https://www.leos.le.ac.uk/GHG"),
            kept_by("OpenGHG", "https://github.com/openghg/openghg"),
        ],
    )


_INVENTORY_TEXT = """\
Flux de méthane dû aux activités humaines en 2012 (mol m⁻² s⁻¹), sur une grille de 0,352° × 0,234° de l'Atlantique à
l'Europe orientale : l'inventaire EDGAR v5.0 (0,1°), remaillé par la source. Données réelles, c'est-à-dire un calcul
publié à partir de statistiques d'activité et de facteurs d'émission ; rien n'y est mesuré dans l'air.

Flux of methane due to human activities in 2012 (mol m⁻² s⁻¹), on a grid of 0.352° × 0.234° from the Atlantic to eastern
Europe: the inventory EDGAR v5.0 (0.1°), regridded by the source. Real data, that is a published computation from
activity statistics and emission factors; nothing in it is measured in the air."""
_TCCON_TEXT = """\
Soixante-quatre colonnes de méthane (XCH4, ppb) mesurées au sol par un spectromètre visant le Soleil, avec le noyau de
moyenne, l'a priori (fraction molaire humide) et l'opérateur d'intégration sur 51 niveaux. Données réelles. Usage : la
politique de données de TCCON, qui demande la citation.

Sixty-four columns of methane (XCH4, ppb) measured from the ground by a spectrometer that follows the Sun, with the
averaging kernel, the prior (wet mole fraction) and the integration operator on 51 levels. Real data. Use: the data
policy of TCCON, which asks to be cited."""
_GOSAT_TEXT = """\
Quarante-neuf colonnes de méthane (XCH4, ppb) au-dessus de l'Amérique du Sud, avec noyau de moyenne, a priori et poids
de pression sur 20 niveaux. Données réelles, filtrées et groupées par la source (qualité 0). Politique de données ESA
CCI : accès libre.

Forty-nine columns of methane (XCH4, ppb) over South America, with averaging kernel, prior and pressure weights on 20
levels. Real data, filtered and binned by the source (quality 0). ESA CCI data policy: free and open."""
