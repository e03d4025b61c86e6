"""CORINE Land Cover 2006 and 2012 of the canton of Vaud, at 250 m on one grid and at 100 m on two."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pystac

from earthlab.analysis.land_cover import find_nomenclature
from earthlab.services.stac.documents import Layer, Shot, Source, describe_collection, kept_by, licensed_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.raster import BandKind, read_band

SAMPLE = "landcover_change_vaud"
COLLECTIONS = {250: "theia-corine-vaud", 100: "theia-corine-vaud-100m"}
"""By size of pixel in metres."""
YEARS = (2006, 2012)
CITATION = (
    "Union européenne, Copernicus Land Monitoring Service, CORINE Land Cover 2006 et 2012 ; extrait du canton de Vaud "
    "distribué avec PyLandStats (M. Bosch)."
)
KIND = BandKind(
    "clc",
    "uint8",
    255,
    title="Poste CORINE Land Cover / CORINE Land Cover class",
    classes={
        land.value: (f"clc_{land.code}", f"{land.fr} / {land.en}") for land in find_nomenclature("corine").classes
    },
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """A collection a size of pixel, with an item a year."""
    return tuple(Source(_describe(metres), len(YEARS), _shots(folder, metres)) for metres in COLLECTIONS)


EXTRACT = Extract(SAMPLE, tuple(COLLECTIONS.values()), open_sources)


def _shots(folder: Path, metres: int) -> Iterator[Shot]:
    for year in YEARS:
        pixels, grid = read_band(folder / f"ls{metres}_{year % 100:02d}.tif", "EPSG:2056")
        yield Shot(
            id=f"{COLLECTIONS[metres]}-{year}",
            moment=datetime(year, 1, 1, tzinfo=UTC),
            ends=datetime(year, 12, 31, tzinfo=UTC),
            grid=grid,
            footprint=grid.ring(),
            layers=(Layer(KIND, pixels),),
            properties={"title": f"CORINE Land Cover {year}, Lausanne (Vaud), {metres} m"},
        )


def _describe(metres: int) -> pystac.Collection:
    return describe_collection(
        COLLECTIONS[metres],
        f"CORINE Land Cover 2006 et 2012 autour de Lausanne (Vaud), {metres} m",
        _DESCRIPTION + _GRIDS[metres],
        licence="other",
        keywords=["CORINE Land Cover", "occupation du sol", "changement", "Vaud", "Theia"],
        providers=[
            licensed_by("Copernicus Land Monitoring Service (EEA)", "https://land.copernicus.eu"),
            kept_by("PyLandStats (M. Bosch)", "https://github.com/martibosch/pylandstats"),
        ],
        citation=CITATION,
        kinds=[KIND],
    )


_DESCRIPTION = """\
Occupation du sol CORINE, 44 postes (valeurs 1 à 44), autour de Lausanne (canton de Vaud), 770 km². Données réelles.
Licence : Copernicus, accès libre et gratuit avec mention de la source. La date d'un item est l'année de référence du
millésime.

CORINE land cover, 44 classes (values 1 to 44), around Lausanne (canton of Vaud). Real data. Licence: Copernicus, free
and open with attribution. An item's date is the reference year.

"""
_GRIDS = {
    250: "Les deux années ont la même grille. / Both years have the same grid.",
    100: (
        "Les deux années n'ont pas la même grille : leurs coins diffèrent de 61 m et 144 m. Ne pas les comparer ligne "
        "à ligne. / The two years have different grids, 61 m and 144 m apart: do not compare them row by row."
    ),
}
