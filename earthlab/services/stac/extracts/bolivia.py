"""One pixel of dry forest in Bolivia, cleared early in 2016, as radar and optical satellites saw it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pystac
import rdata

from earthlab.services.stac.documents import EARTH, Sheet, Shot, Source, describe_collection, licensed_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import placed

SAMPLE = "deforestation_sar"
COLLECTION = "theia-forest-pixel-bolivia"
FILE = "s1vv_lndvi_pixel.rda"
CITATION = (
    "Reiche, J. et al. 2018, bayts, CC-BY 4.0 ; contient des données Copernicus Sentinel modifiées (2014-2016) et des "
    "données Landsat (USGS)."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection, with an item a sensor."""
    return (Source(_describe(), 2, _shots(folder / FILE)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def read_series(path: Path) -> dict[str, pd.DataFrame]:
    """Backscatter ``vv`` (dB) and ``ndvi`` (1) by sensor, with their dates in UTC; missing observations are NaN."""
    raw = rdata.read_rda(path, constructor_dict={**rdata.conversion.DEFAULT_CLASS_MAP, "Date": _dates})
    radar = pd.DataFrame({"time": pd.to_datetime(raw["s1vv_date"], utc=True), "vv": raw["s1vv_obs"]})
    optical = pd.DataFrame({"time": raw["lndvi_date"], "ndvi": raw["lndvi_obs"]})
    return {"sentinel-1-vv": radar, "landsat-ndvi": optical}


def _dates(days: Any, _attributes: Any) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(days, unit="D", utc=True))


def _shots(path: Path) -> Iterator[Shot]:
    titles = {"sentinel-1-vv": "Sentinel-1, rétrodiffusion VV", "landsat-ndvi": "Landsat, NDVI"}
    for name, table in read_series(path).items():
        title = f"{titles[name]}, un pixel de forêt, Bolivie"
        yield Shot(
            id=f"{COLLECTION}-{name}",
            moment=table.time.min().to_pydatetime(),
            ends=table.time.max().to_pydatetime(),
            footprint=EARTH,
            sheets=(Sheet(name, placed(table, None, None), {"vv": "dB", "ndvi": "1"}, title),),
            properties={"title": title},
        )


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Un pixel de forêt sèche défriché début 2016, Bolivie : Sentinel-1 VV et NDVI Landsat",
        _DESCRIPTION,
        licence="CC-BY-4.0",
        keywords=["déforestation", "radar", "Sentinel-1", "Landsat", "Bolivie", "Theia"],
        providers=[licensed_by("bayts (J. Reiche)", "https://github.com/jreiche/bayts")],
        citation=CITATION,
    )


_DESCRIPTION = """\
Deux séries d'un même pixel, données réelles : rétrodiffusion radar Sentinel-1 VV (85 dates, en décibels, octobre 2014 à
mai 2016) et NDVI Landsat (57 dates). Le fichier d'origine ne dit pas où le pixel se trouve. NaN : pas d'observation.

Two series of one pixel, real data: Sentinel-1 VV backscatter (85 dates, decibels, October 2014 to May 2016) and Landsat
NDVI (57 dates). The original file does not say where the pixel lies. NaN: no observation."""
