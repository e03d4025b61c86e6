"""The simulated pair of an invented village before and after a cyclone as a source of the embedded catalogue."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import pystac

from earthlab.samples.simulated.village import (
    AFTER,
    BEFORE,
    ROOF_LOST,
    TREES_LOST,
    UNCHANGED,
    VILLAGE_BANDS,
    VILLAGE_CODE,
    VILLAGE_SCALE,
    VILLAGE_SHAPE,
    VILLAGE_TRANSFORM,
    render_village,
)
from earthlab.services.stac.documents import EARTHLAB, Layer, Shot, Source, describe_collection
from earthlab.services.stac.raster import BandKind, Grid

COLLECTION = "simulation-village"
CITATION = "EarthLab, couple d'images simulé d'un village inventé, changements connus ; aucune observation."
_GRID = Grid(VILLAGE_CODE, VILLAGE_TRANSFORM, VILLAGE_SHAPE)
_LOST = BandKind(
    "lost",
    "uint8",
    255,
    title="Ce qui a été perdu / what was lost",
    classes={
        UNCHANGED: ("unchanged", "Inchangé / unchanged"),
        ROOF_LOST: ("roof_lost", "Toit perdu / roof lost"),
        TREES_LOST: ("trees_lost", "Arbres perdus / trees lost"),
    },
)


def open_source() -> Source:
    """The collection and its two shots."""
    return Source(describe(), 2, _render_shots(), {"gsd": 0.5})


def describe() -> pystac.Collection:
    """The collection's document, before its extent is known."""
    return describe_collection(
        COLLECTION,
        "SIMULÉ – un village inventé à 0,5 m, avant et après un cyclone, changements connus",
        _DESCRIPTION,
        licence="CC0-1.0",
        keywords=["simulation", "SIMULÉ", "très haute résolution", "cyclone", "changement", "apprentissage"],
        providers=[EARTHLAB],
        citation=CITATION,
        kinds=[*_bands(), _LOST],
        simulated=True,
    )


def _bands() -> list[BandKind]:
    return [
        BandKind(name, "uint16", 0, VILLAGE_SCALE, 0.0, "1", f"Réflectance {name} / {name} reflectance", name)
        for name in VILLAGE_BANDS
    ]


def _render_shots() -> Iterator[Shot]:
    for day in (BEFORE, AFTER):
        yield _shot(day)


def _shot(day: date) -> Shot:
    scene = render_village(day)
    bands = [Layer(kind, scene.counts[kind.name]) for kind in _bands()]
    return Shot(
        id=f"{COLLECTION}-{day:%Y%m%d}",
        moment=datetime(day.year, day.month, day.day, 7, 30, tzinfo=UTC),
        grid=_GRID,
        footprint=_GRID.ring(),
        layers=(*bands, Layer(_LOST, np.asarray(scene.lost))),
        properties={"title": f"SIMULÉ – village inventé, {day:%Y-%m-%d}"},
    )


_DESCRIPTION = """\
SIMULÉ : aucun pixel n'a été observé. Deux images à 0,5 m d'un village tropical inventé, 240 × 240 m, avant et après
un cyclone inventé : des toits et des arbres ont disparu, la lumière est autre. La vérité est dans la bande `lost`
de la seconde image.

SIMULATED: no pixel was ever observed. Two images at 0.5 m of an invented tropical village, 240 × 240 m, before and
after an invented cyclone: roofs and trees are gone, and the light is another. The truth is in the band `lost` of
the second image."""
