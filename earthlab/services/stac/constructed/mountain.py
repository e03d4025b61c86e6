"""The simulated snow of an invented mountain as a source of the embedded catalogue, marked as simulated."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pystac

from earthlab.samples import simulated
from earthlab.samples.simulated.mountain import (
    MOUNTAIN_BANDS,
    MOUNTAIN_CODE,
    MOUNTAIN_SCALE,
    MOUNTAIN_SHAPE,
    MOUNTAIN_TRANSFORM,
)
from earthlab.services.stac.documents import EARTHLAB, Layer, Shot, Source, describe_collection
from earthlab.services.stac.raster import BandKind, Grid
from earthlab.services.stac.sentinel2 import reflectance

COLLECTION = "simulation-snow"
CITATION = "EarthLab, neige simulée d'une montagne inventée, limite de la neige connue ; aucune observation."
_GRID = Grid(MOUNTAIN_CODE, MOUNTAIN_TRANSFORM, MOUNTAIN_SHAPE)
_MASK = BandKind(
    "CLM",
    "uint8",
    255,
    title="Nuages / clouds",
    classes={
        0: ("clear", "Dégagé / clear"),
        1: ("suspected", "Soupçon de nuage / suspected cloud"),
        2: ("thick", "Nuage épais / thick cloud"),
        3: ("shadow", "Ombre de nuage / cloud shadow"),
        4: ("high", "Nuage d'altitude / high cloud"),
    },
)
_RELIEF = BandKind("DEM", "int16", -32768, unit="m", title="Altitude / elevation")
_TREES = BandKind("TCD", "uint8", 255, unit="%", title="Couvert arboré / tree cover")


def open_source() -> Source:
    """The collection and a shot a date."""
    return Source(describe(), len(simulated.SNOW_LIMITS), _render_shots(), {"gsd": 20})


def describe() -> pystac.Collection:
    """The collection's document, before its extent is known."""
    return describe_collection(
        COLLECTION,
        "SIMULÉ – neige sur une montagne inventée, limite connue",
        _DESCRIPTION,
        licence="CC0-1.0",
        keywords=["simulation", "SIMULÉ", "neige", "ligne de neige", "apprentissage"],
        providers=[EARTHLAB],
        citation=CITATION,
        kinds=[*_bands(), _MASK, _RELIEF, _TREES],
        simulated=True,
    )


def _bands() -> list[BandKind]:
    return [reflectance(name, "uint16", 0, MOUNTAIN_SCALE, 0.0) for name in MOUNTAIN_BANDS]


def _render_shots() -> Iterator[Shot]:
    for day in simulated.SNOW_LIMITS:
        yield _shot(day)


def _shot(day: date) -> Shot:
    scene = simulated.render_mountain(day)
    bands = [Layer(kind, scene.counts[kind.name]) for kind in _bands()]
    ground = (Layer(_MASK, scene.mask), Layer(_RELIEF, scene.elevation), Layer(_TREES, scene.tree_cover))
    return Shot(
        id=f"simulation-snow-{day:%Y%m%d}",
        moment=datetime(day.year, day.month, day.day, 10, 30, tzinfo=UTC),
        grid=_GRID,
        footprint=_GRID.ring(),
        layers=(*bands, *ground),
        properties={
            "title": f"SIMULÉ – neige, {day:%Y-%m-%d}",
            "earthlab:snow_limit": scene.limit,
        },
    )


_DESCRIPTION = """\
SIMULÉ : aucun pixel n'a été observé. Six dates d'un hiver sur une montagne inventée, posée dans les Alpes, 240 × 240
pixels de 20 m : réflectances verte, rouge et infrarouge, masque de nuages, altitude, couvert arboré. À chaque date la
neige couvre tout ce qui est au-dessus d'une altitude connue (propriété earthlab:snow_limit, en mètres) ; sous les
arbres elle est sombre. Le masque signale comme nuages des forêts qui n'en ont pas.

SIMULATED: no pixel was ever observed. Six dates of one winter on an invented mountain placed in the Alps, 240 × 240
pixels of 20 m: green, red and infrared reflectance, cloud mask, elevation, tree cover. On each date snow covers all
that lies above a known elevation (property earthlab:snow_limit, metres); under trees it is dark. The mask takes some
forest for clouds that are not there."""
