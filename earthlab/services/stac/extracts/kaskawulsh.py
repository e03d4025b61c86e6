"""Velocities of Kaskawulsh Glacier (Yukon) in spring 2018, and the outlines of the glacier and of rock beside it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pystac
import rasterio

from earthlab.services.stac.documents import Layer, Sheet, Shot, Source, item_assets, no_extent
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.raster import BandKind, Grid

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
    place, shared = folder / "kaskawulsh", {"earthlab:simulated": False}
    velocity = "Vitesses du glacier Kaskawulsh (Yukon), mars-avril 2018, Landsat 8"
    outlines = "Contours du glacier Kaskawulsh (Yukon) et du rocher voisin"
    return (
        Source(_describe(VELOCITY, velocity, _VELOCITIES, item_assets(KINDS)), 1, _velocities(place), shared),
        Source(_describe(OUTLINES, outlines, _SHAPES, None), 1, _outlines(place), shared),
    )


EXTRACT = Extract(SAMPLE, (VELOCITY, OUTLINES), open_sources)


def _velocities(place: Path) -> Iterator[Shot]:
    layers = []
    for kind in KINDS:
        with rasterio.open(place / f"20180304-20180405_velo-raw_{kind.name}.tif") as source:
            grid = Grid("EPSG:32607", tuple(source.transform)[:6], source.shape)
            layers.append(Layer(kind, source.read(1)))
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
    west, south, east, north = frame.to_crs(4326).total_bounds
    yield Shot(
        id=OUTLINES,
        moment=FIRST,
        footprint=[(west, south), (east, south), (east, north), (west, north), (west, south)],
        sheets=(Sheet("outlines", frame, title="Glacier et rocher / glacier and bedrock"),),
        properties={"title": "Kaskawulsh, contours du glacier et du rocher"},
    )


def _describe(name: str, title: str, description: str, assets: Mapping[str, Any] | None) -> pystac.Collection:
    return pystac.Collection(
        id=name,
        title=title,
        description=description,
        extent=no_extent(),
        license="MIT",
        keywords=["glacier", "vitesse", "Kaskawulsh", "Yukon", "Landsat 8", "Theia"],
        providers=[
            pystac.Provider(
                "GLAFT (W. Zheng)",
                roles=[pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR],
                url="https://github.com/whyjz/GLAFT",
            )
        ],
        stac_extensions=["https://stac-extensions.github.io/scientific/v1.0.0/schema.json"],
        extra_fields={
            "earthlab:simulated": False,
            "sci:citation": CITATION,
            **({"item_assets": assets} if assets else {}),
        },
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
