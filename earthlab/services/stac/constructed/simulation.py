"""The simulated scenes as a source of the embedded catalogue, marked as simulated wherever they are named."""

from collections.abc import Iterator
from datetime import date

import pystac

from earthlab.samples import simulated
from earthlab.services.stac.documents import EARTHLAB, Layer, Shot, Source, describe_collection
from earthlab.services.stac.raster import BandKind, Grid
from earthlab.services.stac.sentinel2 import SHARED, reflectance, scene_classes

COLLECTION = "simulation-s2-l2a"
CITATION = "EarthLab, archive simulée de type Sentinel-2 L2A, vérité connue ; aucune observation."
_GRID = Grid(simulated.CODE, simulated.TRANSFORM, simulated.SHAPE)
_CLASSES = scene_classes(simulated.NODATA)


def open_source() -> Source:
    """The collection and a shot a date."""
    return Source(describe(), len(simulated.DATES), _render_shots(), SHARED)


def describe() -> pystac.Collection:
    """The collection's document, before its extent is known."""
    return describe_collection(
        COLLECTION,
        "SIMULÉ – réflectance de surface de type Sentinel-2 L2A, vérité connue",
        _DESCRIPTION,
        licence="CC0-1.0",
        keywords=["simulation", "SIMULÉ", "apprentissage", "réflectance de surface", "phénologie", "coupe rase", "lac"],
        providers=[EARTHLAB],
        citation=CITATION,
        kinds=[*_kinds(offset=0.0), _CLASSES],
        simulated=True,
    )


def _kinds(offset: float) -> list[BandKind]:
    return [reflectance(name, "uint16", simulated.NODATA, simulated.SCALE, offset) for name in simulated.BANDS]


def _render_shots() -> Iterator[Shot]:
    for day in simulated.DATES:
        yield _shot(day)


def _shot(day: date) -> Shot:
    scene = simulated.render_scene(day)
    bands = [Layer(kind, scene.counts[kind.name]) for kind in _kinds(scene.offset)]
    return Shot(
        id=f"simulation-s2-l2a-{day:%Y%m%d}",
        moment=scene.moment,
        grid=_GRID,
        footprint=scene.footprint,
        layers=(*bands, Layer(_CLASSES, scene.classes)),
        properties={
            "title": f"SIMULÉ – type Sentinel-2 L2A, {day:%Y-%m-%d}",
            "eo:cloud_cover": scene.cloud_cover,
            "earthlab:processing_baseline": scene.baseline,
            "earthlab:nodata_percentage": scene.missing,
        },
    )


_DESCRIPTION = """\
SIMULÉ : aucun pixel n'a été observé. Archive d'apprentissage de type Sentinel-2 L2A, 2021-2022, 28 dates, 512 × 512
pixels de 10 m, à l'emplacement de Bouconne mais inventée. La vérité est connue (`earthlab.samples.simulated.truth()`) :
sept occupations du sol et leurs phénologies, une coupe rase datée, un dépérissement progressif, un lac qui rétrécit.
Comme dans l'archive Sentinel-2, les comptes portent un décalage de +1000 depuis le 25 janvier 2022 : l'échelle et le
décalage se lisent item par item. La classification SCL est exacte.

SIMULATED: no pixel was ever observed. Sentinel-2-like L2A training archive, 2021-2022, 28 dates, 512 × 512 pixels of
10 m, placed at Bouconne but invented. The truth is known (`earthlab.samples.simulated.truth()`): seven land covers and
their phenologies, a dated clear-cut, a progressive dieback, a shrinking lake. As in the Sentinel-2 archive, counts
carry an offset of +1000 since 25 January 2022: scale and offset are to be read item by item. The SCL is exact."""
