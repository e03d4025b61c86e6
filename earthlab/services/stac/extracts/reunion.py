"""Piton de la Fournaise: the ground, what DOWNFLOWGO published for a vent, and an invented flow on the real ground."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pystac
import rasterio
from scipy.ndimage import map_coordinates

from earthlab.samples.simulated.noise import smooth_noise
from earthlab.services.stac.documents import Layer, Sheet, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import ring_around
from earthlab.services.stac.raster import BandKind, Grid, read_band

SAMPLE = "reunion_lava"
GROUND, PATHS, PROFILE, RUNOUTS, FLOW = (
    f"formater-reunion-{name}" for name in ("dem", "downflow", "profile", "runouts", "flow-simulated")
)
CODE = "EPSG:32740"
CITATION = (
    "Chevrel, M. O. et al. (2023), Volcanica 6(2), 391-404, doi:10.30909/vol.06.02.391404, données d'essai de "
    "DOWNFLOWGO ; DOWNFLOW : Favalli et al. (2005), doi:10.1029/2004GL021718 ; relief SRTM (NASA)."
)
THICKNESS, TRUE_SHIFT, TRUE_RISE = 9.0, (30.0, -20.0), 1.5
"""Of the invented flow: metres where it is thickest; metres that the second model is off to east and north, and up."""

_SRTM = datetime(2000, 2, 16, tzinfo=UTC)
_RUN = datetime(2026, 3, 22, tzinfo=UTC)
_BEFORE, _AFTER = (datetime(2022, month, 1, tzinfo=UTC) for month in (9, 11))
_HEIGHT = BandKind("elevation", "float32", float("nan"), unit="m", title="Altitude / elevation")
_LENGTH = BandKind("paths", "float32", float("nan"), unit="1", title="Passages de chemins / passages of paths")
_LAVA = BandKind("thickness", "float32", float("nan"), unit="m", title="Épaisseur vraie / true thickness")
_RUNS = "outputs/vent_1"
_FINE = 20.0
_ROOM = 12
"""Pixels of the ground beyond the flow on each side."""
_ERRORS = ((1.0, 7), (0.5, 3))
"""Of each invented model: half widths in metres and sizes in pixels of two fields of correlated errors."""


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The ground, the paths, the profile, the runouts, and the invented flow."""
    return (
        Source(_ground(), 1, _read_ground(folder)),
        Source(_paths(), 1, _read_paths(folder)),
        Source(_profile(), 1, _read_profile(folder)),
        Source(_runouts(), 1, _read_runouts(folder)),
        Source(_flow(), 3, _render_flow(folder)),
    )


EXTRACT = Extract(SAMPLE, (GROUND, PATHS, PROFILE, RUNOUTS, FLOW), open_sources)


def _heights(folder: Path) -> tuple[npt.NDArray[Any], Grid]:
    with rasterio.open(folder / "srtm_48_17_utm.asc") as source:
        counts = source.read(1)
        grid = Grid(CODE, tuple(source.transform)[:6], source.shape)
        return np.where(counts == source.nodata, np.nan, counts).astype("float32"), grid


def _read_ground(folder: Path) -> Iterator[Shot]:
    heights, grid = _heights(folder)
    yield _image("formater-reunion-dem-srtm", _SRTM, grid, Layer(_HEIGHT, heights), "Relief SRTM de La Réunion, 89 m")


def _published(folder: Path) -> tuple[npt.NDArray[Any], Grid]:
    return read_band(folder / _RUNS / "sim_vent_1.tif", CODE)


def _read_paths(folder: Path) -> Iterator[Shot]:
    passages, grid = _published(folder)
    title = "DOWNFLOW, 10 000 chemins depuis un évent, bruit de 2 m"
    yield _image("formater-reunion-downflow-vent-1", _RUN, grid, Layer(_LENGTH, passages), title)


def _read_profile(folder: Path) -> Iterator[Shot]:
    profile = pd.read_csv(folder / _RUNS / "map" / "losd_vent_1_profile_00000.txt", sep="\t")
    table = profile.rename(columns={"z": "height", "L": "distance"})
    frame = gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(table.x, table.y), crs=CODE)
    units = {"x": "m", "y": "m", "height": "m", "distance": "m", "slope": "degree"}
    yield _table(
        "formater-reunion-profile-vent-1", frame, units, "Ligne de plus grande pente depuis l'évent, tous les 10 m"
    )


def _read_runouts(folder: Path) -> Iterator[Shot]:
    table = pd.read_csv(folder / _RUNS / "results_flowgo" / "run_outs_vent_1.csv").rename(columns=str.lower)
    places = gpd.points_from_xy(table.x_run_out, table.y_run_out)
    frame = gpd.GeoDataFrame(table, geometry=places, crs=CODE)
    units = {"effusion_rate": "m3 s-1", "depth": "m", "width_init": "m", "distance_run_out": "m"}
    yield _table("formater-reunion-runouts-vent-1", frame, units, "Distances atteintes selon FLOWGO, de 5 à 30 m³/s")


def _render_flow(folder: Path) -> Iterator[Shot]:
    rough, grid, share = _crop(folder)
    errors = [
        sum(2 * half * (smooth_noise((1, at, size), grid.shape, size) - 0.5) for half, size in _ERRORS) for at in (0, 1)
    ]
    lava = (THICKNESS * np.clip(share, 0, 0.5) * 2).astype("float32")
    columns, rows = TRUE_SHIFT[0] / _FINE, -TRUE_SHIFT[1] / _FINE
    after = _moved(rough + lava, columns, rows) + TRUE_RISE + errors[1]
    pieces = (
        ("before", _BEFORE, Layer(_HEIGHT, (rough + errors[0]).astype("float32")), "modèle avant"),
        ("after", _AFTER, Layer(_HEIGHT, after.astype("float32")), "modèle après, décalé"),
        ("truth", _AFTER, Layer(_LAVA, np.where(lava > 0, lava, 0).astype("float32")), "épaisseur vraie"),
    )
    for name, moment, layer, title in pieces:
        yield _image(f"{FLOW}-{name}", moment, grid, layer, f"SIMULÉ – coulée inventée, {title}")


def _crop(folder: Path) -> tuple[npt.NDArray[Any], Grid, npt.NDArray[Any]]:
    """The ground about the published paths at 20 m with invented roughness, and how often lava passed, from 0 to 1."""
    heights, whole = _heights(folder)
    passages, part = _published(folder)
    size = whole.transform[0]
    first = [round((part.transform[at] - whole.transform[at]) / step) for at, step in ((5, -size), (2, size))]
    shape = [int((length + 2 * _ROOM) * size / _FINE) for length in part.shape]
    left = whole.transform[2] + size * (first[1] - _ROOM)
    top = whole.transform[5] - size * (first[0] - _ROOM)
    grid = Grid(CODE, (_FINE, 0.0, left, 0.0, -_FINE, top), (shape[0], shape[1]))
    rows, columns = ((np.arange(length) + 0.5) * _FINE / size - 0.5 - _ROOM for length in shape)
    places = np.meshgrid(rows, columns, indexing="ij")
    ground = map_coordinates(heights, [places[0] + first[0], places[1] + first[1]], order=1, mode="nearest")
    share = map_coordinates(passages / passages.max(), places, order=1, mode="constant")
    texture = 3.0 * (smooth_noise((2, 0), grid.shape, 6, 2) - 0.5)
    return ground + texture, grid, np.where(np.isfinite(ground), share, 0.0)


def _moved(values: npt.NDArray[Any], columns: float, rows: float) -> npt.NDArray[Any]:
    places = np.meshgrid(*(np.arange(length, dtype="float64") for length in values.shape), indexing="ij")
    return np.asarray(map_coordinates(values, [places[0] - rows, places[1] - columns], order=1, mode="nearest"))


def _image(item: str, moment: datetime, grid: Grid, layer: Layer, title: str) -> Shot:
    return Shot(item, moment, grid.ring(), grid=grid, layers=(layer,), properties={"title": title})


def _table(item: str, frame: gpd.GeoDataFrame, units: dict[str, str], title: str) -> Shot:
    return Shot(
        item, _RUN, ring_around(frame), sheets=(Sheet("points", frame, units, title),), properties={"title": title}
    )


def _describe(collection: str, title: str, text: str, kinds: tuple[BandKind, ...] = ()) -> pystac.Collection:
    return describe_collection(
        collection,
        title,
        text,
        licence="other",
        citation=CITATION,
        keywords=["ForM@Ter", "volcan", "lave", "Piton de la Fournaise", "La Réunion"],
        providers=[
            made_by("NASA (SRTM)", "https://www.earthdata.nasa.gov"),
            kept_by("DOWNFLOWGO (M. O. Chevrel)", "https://github.com/oryalava/DOWNFLOWGO"),
        ],
        kinds=kinds,
        simulated=collection == FLOW,
    )


def _ground() -> pystac.Collection:
    return _describe(GROUND, "La Réunion – relief SRTM à 89 m", _GROUND_TEXT, (_HEIGHT,))


def _paths() -> pystac.Collection:
    return _describe(PATHS, "Piton de la Fournaise – chemins de lave de DOWNFLOW, un évent", _PATHS_TEXT, (_LENGTH,))


def _profile() -> pystac.Collection:
    return _describe(PROFILE, "Piton de la Fournaise – profil de plus grande pente de DOWNFLOW", _PROFILE_TEXT)


def _runouts() -> pystac.Collection:
    return _describe(RUNOUTS, "Piton de la Fournaise – distances atteintes selon FLOWGO", _RUNOUTS_TEXT)


def _flow() -> pystac.Collection:
    title = "SIMULÉ – une coulée inventée sur le relief de La Réunion"
    return _describe(FLOW, title, _FLOW_TEXT, (_HEIGHT, _LAVA))


_GROUND_TEXT = """\
Relief SRTM de La Réunion, 484 × 456 pixels de 89 m, UTM 40 S, tel que DOWNFLOWGO le distribue. Donnée réelle,
domaine public ; la mer est sans valeur.

SRTM relief of La Réunion, 484 × 456 pixels of 89 m, UTM 40 S, as distributed with DOWNFLOWGO. Real, in the public
domain; the sea has no value."""
_PATHS_TEXT = """\
Résultat publié de DOWNFLOW : combien de chemins, sur 10 000, sont passés dans chaque maille (en longueur de
maille), depuis un évent du flanc est. Résultat de modèle sur un relief réel. Le géoréférencement d'origine est
gardé : il met les altitudes aux coins des mailles, une demi-maille à côté. Distribué avec DOWNFLOWGO, licence
GPL-3.0.

Published result of DOWNFLOW: how many of 10,000 paths passed each cell (in cell lengths), from a vent on the
eastern flank. A model's result on a real relief. The original georeferencing is kept: it puts heights at the
corners of cells, half a cell off. Distributed with DOWNFLOWGO under GPL-3.0."""
_PROFILE_TEXT = """\
Profil publié de la ligne de plus grande pente, un point tous les 10 m. La pente y est fausse après 1 470 m : la
même valeur est répétée 538 fois. Résultat de modèle, gardé tel quel. Distribué avec DOWNFLOWGO, licence GPL-3.0.

Published profile of the line of steepest descent, a point every 10 m. Its slope is wrong beyond 1,470 m: one value
is repeated 538 times. A model's result, kept as it is. Distributed with DOWNFLOWGO under GPL-3.0."""
_RUNOUTS_TEXT = """\
Distances atteintes par la lave selon FLOWGO pour six débits, publiées avec DOWNFLOWGO. Résultat de modèle.
Distribué avec DOWNFLOWGO, licence GPL-3.0.

Distances that lava reaches according to FLOWGO for six effusion rates, published with DOWNFLOWGO. A model's result.
Distributed with DOWNFLOWGO under GPL-3.0."""
_FLOW_TEXT = """\
SIMULÉ : aucune coulée n'a été observée. Deux modèles de surface inventés à 20 m, avant et après, sur le relief réel
de La Réunion avec une rugosité inventée ; le second est décalé de 30 m vers l'est, 20 m vers le sud et 1,5 m vers
le haut, et les deux ont des erreurs corrélées. L'épaisseur vraie de la lave est donnée.

SIMULATED: no such flow was observed. Two invented surface models at 20 m, before and after, on the real relief of
La Réunion with invented roughness; the second is shifted by 30 m to the east, 20 m to the south and 1.5 m up, and
both have correlated errors. The true thickness of the lava is given."""
