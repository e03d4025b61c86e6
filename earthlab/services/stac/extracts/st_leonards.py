"""The beach of St Leonards (Australia): six surveys by drone, transects, and what is water and what is shore."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pystac

from earthlab.services.stac.documents import Layer, Sheet, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import ring_around
from earthlab.services.stac.raster import BandKind, read_band

SAMPLE = "beach_uav_dsm"
SURVEYS, TRANSECTS, MASKS = "odatis-st-leonards-dsm", "odatis-st-leonards-transects", "odatis-st-leonards-masks"
DATES = ("20180606", "20180713", "20180920", "20190211", "20190328", "20190731")
CITATION = (
    "Pucino, N., Kennedy, D. M., Carvalho, R. C., Allan, B. et Ierodiaconou, D. (2021), Citizen science for monitoring "
    "seasonal-scale beach erosion and behaviour with aerial drones, Scientific Reports 11, "
    "doi:10.1038/s41598-021-83477-6 ; données d'exemple de sandpyper (N. Pucino), MIT."
)
_DSM = BandKind("dsm", "float32", -10000, unit="m", title="Modèle de surface / surface model")
_SITE = "leo"
_MOMENTS = tuple(datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC) for date in DATES)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The surveys, an item each, the transects and the masks, one item each."""
    return (
        Source(_surveys(), len(DATES), _read_surveys(folder / "dsm_1m")),
        Source(_lines(), 1, _read_transects(folder)),
        Source(_masks(), 1, _read_masks(folder / "clean")),
    )


EXTRACT = Extract(SAMPLE, (SURVEYS, TRANSECTS, MASKS), open_sources)


def _read_surveys(folder: Path) -> Iterator[Shot]:
    for date, moment in zip(DATES, _MOMENTS, strict=True):
        pixels, grid = read_band(folder / f"{_SITE}_{date}_dsm_resampled_1m.tif")
        yield Shot(
            id=f"st-leonards-dsm-{date}",
            moment=moment,
            grid=grid,
            footprint=grid.ring(),
            layers=(Layer(_DSM, pixels),),
            properties={"title": f"St Leonards, modèle de surface par drone, {moment:%Y-%m-%d}"},
        )


def _read_transects(folder: Path) -> Iterator[Shot]:
    parts = [
        gpd.read_file(folder / name)[["tr_id", "geometry"]].assign(kind=kind)
        for name, kind in (
            ("transects/leo_transects.gpkg", "transect"),
            ("lod_transects/leo_lod_transects.gpkg", "calibration"),
        )
    ]
    frame = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=parts[0].crs)
    yield _shot("st-leonards-transects", "Transects et transects d'étalonnage, St Leonards", frame)


def _read_masks(folder: Path) -> Iterator[Shot]:
    water, shore = (gpd.read_file(folder / f"{name}.gpkg").query("location == @_SITE") for name in _FILES)
    seen = pd.to_datetime(water["raw_date"].astype(str)).dt.strftime("%Y-%m-%d")
    parts = [
        water[["geometry"]].assign(kind="water", survey=seen),
        shore[["geometry"]].assign(kind="shore", survey=None),
    ]
    frame = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=water.crs)
    yield _shot("st-leonards-masks", "Eau à chaque levé, et bande étudiée, St Leonards", frame)


_FILES = ("watermasks", "shoremasks")


def _shot(item: str, title: str, frame: gpd.GeoDataFrame) -> Shot:
    return Shot(
        id=item,
        moment=_MOMENTS[0],
        ends=_MOMENTS[-1],
        footprint=ring_around(frame),
        sheets=(Sheet(item.rpartition("-")[2], frame, {}, title),),
        properties={"title": title},
    )


def _describe(
    collection: str, title: str, text: str, keywords: list[str], kinds: tuple[BandKind, ...] = ()
) -> pystac.Collection:
    return describe_collection(
        collection,
        title,
        text,
        licence="MIT",
        citation=CITATION,
        keywords=["ODATIS", "plage", "drone", "St Leonards", *keywords],
        providers=[
            made_by("Deakin University (N. Pucino)", "https://www.marinemapping.org"),
            kept_by("sandpyper", "https://github.com/npucino/sandpyper"),
        ],
        kinds=kinds,
    )


def _surveys() -> pystac.Collection:
    title = "St Leonards (Australie) – six modèles de surface de plage par drone, 2018-2019"
    return _describe(SURVEYS, title, _TEXT, ["modèle de surface", "bilan sableux"], (_DSM,))


def _lines() -> pystac.Collection:
    title = "St Leonards (Australie) – transects de plage et transects d'étalonnage"
    return _describe(TRANSECTS, title, _TRANSECTS_TEXT, ["transects"])


def _masks() -> pystac.Collection:
    title = "St Leonards (Australie) – eau à chaque levé, et bande de plage étudiée"
    return _describe(MASKS, title, _MASKS_TEXT, ["masques"])


_TEXT = """\
Six modèles numériques de surface d'une plage de la baie de Port Phillip (Victoria, Australie), faits de photographies
prises par drone entre juin 2018 et juillet 2019, ramenés à des pixels d'environ 1 m. Données réelles. Altitudes en
mètres ; -10000 : sans donnée. Chaque levé a sa propre grille. L'heure des levés n'est pas indiquée.

Six surface models of a beach in Port Phillip Bay (Victoria, Australia), made of photographs taken by drone between June
2018 and July 2019, resampled to pixels of about 1 m. Real data. Elevations in metres; -10000: no data. Each survey has
its own grid. The hour of the surveys is not stated."""
_TRANSECTS_TEXT = """\
59 transects de 50 m en travers de la plage, tous les 20 m (kind : transect), et 7 transects sur un sol qui ne bouge pas
(kind : calibration), pour mesurer l'erreur des levés. Données réelles.

59 transects of 50 m across the beach, every 20 m (kind: transect), and 7 transects on ground that does not move (kind:
calibration), to measure the error of the surveys. Real data."""
_MASKS_TEXT = """\
Les polygones d'eau et de jet de rive dessinés pour chaque levé (kind : water, survey : sa date), et la bande de plage
étudiée (kind : shore). Données réelles, dessinées à l'écran par les auteurs.

The polygons of water and swash drawn for each survey (kind: water, survey: its date), and the strip of beach that is
studied (kind: shore). Real data, drawn on screen by the authors."""
