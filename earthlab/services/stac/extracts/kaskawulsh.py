"""Velocities of Kaskawulsh Glacier (Yukon) in spring 2018, and the outlines of the glacier and of rock beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pystac

from earthlab.services.stac.documents import Layer, Sheet, Shot, Source, describe_collection, licensed_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import ring_around
from earthlab.services.stac.raster import BandKind, read_band

SAMPLE = "glacier_velocity"
VELOCITY, OUTLINES = "theia-glacier-kaskawulsh", "theia-glacier-kaskawulsh-outlines"
FIRST, SECOND = datetime(2018, 3, 4, tzinfo=UTC), datetime(2018, 4, 5, tzinfo=UTC)
NODATA = -9999.0
CITATION = (
    "Zheng, W. et al. 2023, GLAFT (données de démonstration, licence MIT), doi:10.5194/tc-17-4063-2023 ; vitesses "
    "dérivées de Landsat 8 (USGS) ; contour : Randolph Glacier Inventory 6.0."
)
KINDS = (
    BandKind("vx", "float32", NODATA, unit="m d-1", title="Vitesse vers l'est / velocity along x"),
    BandKind("vy", "float32", NODATA, unit="m d-1", title="Vitesse vers le nord / velocity along y"),
)
_FILES = {"bedrock": "bedrock_V2.shp", "glacier": "glacier_V1_Kaskawulsh_s_inwardBuffer600m.shp"}


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The velocities, and the outlines."""
    place = folder / "kaskawulsh"
    velocity = "Vitesses du glacier Kaskawulsh (Yukon), mars-avril 2018, Landsat 8"
    outlines = "Contours du glacier Kaskawulsh (Yukon) et du rocher voisin"
    return (
        Source(_describe(VELOCITY, velocity, _VELOCITIES, KINDS), 1, _velocities(place)),
        Source(_describe(OUTLINES, outlines, _SHAPES), 1, _outlines(place)),
    )


EXTRACT = Extract(SAMPLE, (VELOCITY, OUTLINES), open_sources)


def _velocities(place: Path) -> Iterator[Shot]:
    layers = []
    for kind in KINDS:
        pixels, grid = read_band(place / f"20180304-20180405_velo-raw_{kind.name}.tif", "EPSG:32607")
        layers.append(Layer(kind, pixels))
    yield Shot(
        id=f"{VELOCITY}-20180304-20180405",
        moment=FIRST,
        ends=SECOND,
        grid=grid,
        footprint=grid.ring(),
        layers=tuple(layers),
        properties={"title": "Kaskawulsh, vitesses du 4 mars au 5 avril 2018", "gsd": 60},
    )


def _outlines(place: Path) -> Iterator[Shot]:
    parts = [gpd.read_file(place / file).assign(kind=kind) for kind, file in _FILES.items()]
    named = [part.reindex(columns=["kind", "Name", "RGIId", "geometry"]) for part in parts]
    frame = gpd.GeoDataFrame(pd.concat(named, ignore_index=True), crs=parts[0].crs)
    frame = frame.rename(columns={"Name": "name", "RGIId": "rgi_id"})
    yield Shot(
        id=OUTLINES,
        moment=FIRST,
        footprint=ring_around(frame),
        sheets=(Sheet("outlines", frame, title="Glacier et rocher / glacier and bedrock"),),
        properties={"title": "Kaskawulsh, contours du glacier et du rocher"},
    )


def _describe(name: str, title: str, description: str, kinds: tuple[BandKind, ...] = ()) -> pystac.Collection:
    return describe_collection(
        name,
        title,
        description,
        licence="MIT",
        keywords=["glacier", "vitesse", "Kaskawulsh", "Yukon", "Landsat 8", "Theia"],
        providers=[licensed_by("GLAFT (W. Zheng)", "https://github.com/whyjz/GLAFT")],
        citation=CITATION,
        kinds=kinds,
    )


_VELOCITIES = """\
Vitesses horizontales de surface en mètres par jour, grille de 60 m, par corrélation de deux images Landsat 8 du 4 mars
et du 5 avril 2018, sans filtre : les mauvais appariements y sont. Données réelles.

Horizontal surface velocities in metres a day on a grid of 60 m, from matching two Landsat 8 images of 4 March and 5
April 2018, unfiltered: wrong matches are in it. Real data."""
_SHAPES = """\
Neuf polygones de rocher (kind = bedrock), qui ne bouge pas, et le glacier, réduit de 600 m vers l'intérieur (kind =
glacier). Données réelles ; la date est celle des vitesses.

Nine polygons of bedrock, which does not move, and the glacier, drawn 600 m inside its edge. Real data; the date is that
of the velocities."""
