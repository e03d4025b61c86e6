"""A Landsat 5 scene of 1988 in Pará (Brazil) with its thermal band, as radiance."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pystac

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Layer, Shot, Source, describe_collection, kept_by, licensed_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.raster import BandKind, read_band

SAMPLE = "landsat5_thermal"
COLLECTION = "theia-landsat5-para"
SCENE = "LT52240631988227CUB02"
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
MOMENT = datetime(1988, 8, 14, 13, 0, 47, tzinfo=UTC)
NODATA = 255
UNIT = "W m-2 sr-1 um-1"
CITATION = (
    "U.S. Geological Survey, Landsat 5 Thematic Mapper, scène LT52240631988227CUB02 du 14 août 1988 ; extrait "
    "distribué avec RStoolbox (B. Leutner)."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its one scene."""
    return (Source(_describe(), 1, _shots(folder / "landsat"), {"gsd": 30}),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def read_gain(metadata: str, band: str) -> tuple[float, float]:
    """Radiance of one count and of count 0, from the least and most radiance that the metadata state.

    Their own RADIANCE_MULT is rounded to three decimals, which makes the thermal band 0.4 K too cold.

    Raises
    ------
    SetupError
        Where the metadata lack one of the four numbers.
    """
    names = ("RADIANCE_MINIMUM", "RADIANCE_MAXIMUM", "QUANTIZE_CAL_MIN", "QUANTIZE_CAL_MAX")
    found = [re.search(rf"{name}_BAND_{band[1:]} = ([-\d.]+)", metadata) for name in names]
    if not all(found):
        raise SetupError(f"The metadata of {SCENE} state no gain of band {band}. Fetch the sample again.")
    least, most, first, last = (float(one[1]) for one in found if one)
    gain = (most - least) / (last - first)
    return gain, least - gain * first


def _shots(folder: Path) -> Iterator[Shot]:
    metadata = (folder / f"{SCENE}_MTL.txt").read_text("utf-8", errors="ignore")
    layers = []
    for band in BANDS:
        gain, offset = read_gain(metadata, band)
        pixels, grid = read_band(folder / f"{SCENE}_{band}.TIF", "EPSG:32622")
        layers.append(Layer(BandKind(band, "uint8", NODATA, gain, offset, UNIT, f"{band} – radiance"), pixels))
    yield Shot(
        id="theia-landsat5-para-19880814",
        moment=MOMENT,
        grid=grid,
        footprint=grid.ring(),
        layers=tuple(layers),
        properties={
            "title": "Landsat 5 TM, Pará, 1988-08-14",
            "platform": "landsat-5",
            "instruments": ["tm"],
            "eo:cloud_cover": 0.0,
            "view:sun_azimuth": 61.96724978,
            "view:sun_elevation": 49.75588889,
        },
    )


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Landsat 5 TM, 14 août 1988, Pará (Brésil), avec la bande thermique",
        _DESCRIPTION,
        licence="LicenseRef-USGS-Landsat-Data-Policy",
        keywords=["Landsat 5", "température de surface", "infrarouge thermique", "déforestation", "Pará", "Theia"],
        providers=[
            licensed_by("U.S. Geological Survey", "https://www.usgs.gov/landsat-missions"),
            kept_by("RStoolbox (B. Leutner)", "https://github.com/bleutner/RStoolbox"),
        ],
        citation=CITATION,
    )


_DESCRIPTION = """\
Extrait de 310 × 287 pixels de 30 m d'une scène Landsat 5 TM (niveau 1T), sept bandes dont l'infrarouge thermique (B6).
Données réelles, du domaine public. Les nombres deviennent des luminances par les bornes RADIANCE_MINIMUM et
RADIANCE_MAXIMUM des métadonnées ; le gain RADIANCE_MULT qu'elles impriment est arrondi.

310 × 287 pixels of 30 m of a Landsat 5 TM scene (level 1T), seven bands with the thermal one (B6). Real data, in the
public domain. Counts become radiance by the limits the metadata state; the gain they print is rounded."""
