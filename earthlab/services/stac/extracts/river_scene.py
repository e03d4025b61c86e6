"""One Sentinel-2 scene of a river in the Amazon, with the offset of its reflectance still on it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rdata

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Layer, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.raster import BandKind, Grid
from earthlab.services.stac.sentinel2 import SHARED, reflectance

COLLECTION = "theia-s2-trombetas"
SAMPLE = "landsat5_thermal"
"""RStoolbox keeps this scene beside its Landsat one."""
FILE = "sen2.rds"
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
SCALE, OFFSET = 0.0001, -0.1
FIRST, LAST = datetime(2022, 1, 25, tzinfo=UTC), datetime(2024, 5, 29, tzinfo=UTC)
"""The file states no date: from the first day of products with this offset to the publication of RStoolbox 1.0."""
CITATION = (
    "Contient des données Copernicus Sentinel modifiées ; Sentinel-2 L2A, extrait « sen2 » distribué avec RStoolbox "
    "(Müller, Leutner et al.), https://github.com/bleutner/RStoolbox."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its one scene."""
    collection = describe_collection(
        COLLECTION,
        "Sentinel-2 L2A – une rivière d'Amazonie près de Trombetas",
        _TEXT,
        licence="LicenseRef-Copernicus-Sentinel-Data",
        citation=CITATION,
        keywords=["Sentinel-2", "couleur de l'eau", "turbidité", "rivière", "Amazonie"],
        providers=[
            made_by("Copernicus, ESA", "https://sentinels.copernicus.eu"),
            kept_by("RStoolbox (B. Leutner)", "https://github.com/bleutner/RStoolbox"),
        ],
        kinds=map(kind, BANDS),
    )
    return (Source(collection, 1, _read(folder / FILE), SHARED),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def kind(name: str) -> BandKind:
    """How a band is to be read: ten thousandths, a tenth too high."""
    return reflectance(name, "uint16", 0, SCALE, OFFSET)


def _read(path: Path) -> Iterator[Shot]:
    grid, pixels = read_packed(path)
    if len(pixels) != len(BANDS):
        raise SetupError(f"{path} has {len(pixels)} bands, expected {len(BANDS)}. Fetch it again.")
    yield Shot(
        id="s2-trombetas",
        moment=FIRST,
        ends=LAST,
        grid=grid,
        footprint=grid.ring(),
        layers=tuple(Layer(kind(name), band) for name, band in zip(BANDS, pixels, strict=True)),
        properties={"title": "Sentinel-2 L2A, Trombetas"},
    )


def read_packed(path: Path) -> tuple[Grid, npt.NDArray[np.uint16]]:
    """The grid and the bands, as ten thousandths, of a raster that R's terra packed (``PackedSpatRaster``).

    Raises
    ------
    SetupError
        Where the file is no such raster in degrees.
    """
    slots = _slots(rdata.parser.parse_file(path, extension=".rds").object.attributes)
    text = slots["definition"][0].value.decode()
    named = {name: float(value) for name, value in re.findall(r"(ncols|nrows|nlyrs|[xy]m(?:in|ax))=([-\d.e]+)", text)}
    if len(named) != 7 or "EPSG:4326" not in text:
        raise SetupError(f"{path} is no raster in EPSG:4326 as terra packs it: {text[:80]!r}. Fetch it again.")
    rows, columns, layers = (int(named[name]) for name in ("nrows", "ncols", "nlyrs"))
    across, down = (named["xmax"] - named["xmin"]) / columns, (named["ymin"] - named["ymax"]) / rows
    grid = Grid("EPSG:4326", (across, 0.0, named["xmin"], 0.0, down, named["ymax"]), (rows, columns))
    values = np.asarray(slots["values"]).reshape(layers, rows, columns)
    return grid, np.rint(values / SCALE).astype("uint16")


def _slots(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while pairs is not None and pairs.value is not None:
        tag = pairs.tag if pairs.tag.referenced_object is None else pairs.tag.referenced_object
        found[tag.value.value.decode()] = pairs.value[0].value
        pairs = pairs.value[1]
    return found


_TEXT = """\
Une scène Sentinel-2 de niveau 2A (réflectance de surface, douze bandes, pixels d'environ 10 m en degrés) : une rivière
et la forêt près de Trombetas, au Brésil. Données réelles. Les valeurs du fichier portent encore le décalage de +0,1 des
produits d'après janvier 2022 : elles sont gardées telles quelles, en dix-millièmes, et les métadonnées disent comment
les lire (échelle 0,0001, décalage -0,1). Le fichier ne dit pas sa date : la période est celle où la scène a pu être
prise.

A Sentinel-2 scene of level 2A (surface reflectance, twelve bands, pixels of about 10 m in degrees): a river and the
forest near Trombetas, Brazil. Real data. The values of the file still carry the offset of +0.1 of products after
January 2022: they are kept as they are, in ten thousandths, and the metadata say how to read them (scale 0.0001,
offset -0.1). The file does not state its date: the period is that in which the scene can have been taken."""
