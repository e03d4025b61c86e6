"""Vegetation over time: a real Sentinel-2 series of NDVI in Slovenia, and beside it an invented stand of spruce."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pystac

from earthlab.errors import SetupError
from earthlab.samples.simulated import SPRUCE_DATES, planted_days, planted_kinds, render_spruce
from earthlab.samples.simulated.spruce import (
    SPRUCE_BANDS,
    SPRUCE_CODE,
    SPRUCE_SCALE,
    SPRUCE_SHAPE,
    SPRUCE_TRANSFORM,
)
from earthlab.services.stac.documents import EARTHLAB, Layer, Shot, Source, describe_collection, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.raster import BandKind, Grid
from earthlab.services.stac.sentinel2 import SHARED, reflectance

SAMPLE = "eopatch_s2_ndvi"
SERIES, SUMMARY = "theia-s2-ndvi-series", "theia-s2-ndvi-summary"
SPRUCE, SPRUCE_TRUTH = "theia-dieback-simulated", "theia-dieback-truth"
CITATION = (
    "Sentinel Hub (Sinergise), eo-learn, jeu d'essai TestEOPatch ; contient des données Copernicus Sentinel modifiées "
    "(2015-2017)."
)
SPRUCE_CITATION = "EarthLab, pessière simulée de type Sentinel-2, dépérissement planté ; aucune observation."

_CLOUDS = {0: ("clear", "clair / clear"), 1: ("cloud", "nuage / cloud")}
_VALID = {0: ("not_valid", "non valide / not valid"), 1: ("valid", "valide / valid")}
_SERIES = {
    "NDVI": BandKind("NDVI", "float32", np.nan, unit="1", title="NDVI"),
    "CLP": BandKind("CLP", "float32", np.nan, unit="1", title="probabilité de nuage / cloud probability"),
    "CLM": BandKind("CLM", "uint8", None, title="masque de nuages / cloud mask", classes=_CLOUDS),
    "IS_VALID": BandKind("IS_VALID", "uint8", None, title="observation valide / valid observation", classes=_VALID),
}
_SUMMARY = {
    "MAX_NDVI": BandKind("MAX_NDVI", "float64", np.nan, unit="1", title="NDVI maximum / maximum NDVI"),
    "VALID_COUNT": BandKind("VALID_COUNT", "int32", None, unit="1", title="dates valides / valid dates"),
    "DEM": BandKind("DEM", "float32", np.nan, unit="m", title="altitude / elevation"),
    "LULC": BandKind(
        "LULC", "uint16", None, title="occupation du sol, codes d'eo-learn / land cover, codes of eo-learn"
    ),
}
_FOLDERS = {"NDVI": "data", "CLP": "data", "CLM": "mask", "IS_VALID": "mask"} | {
    "MAX_NDVI": "data_timeless",
    "DEM": "data_timeless",
    "VALID_COUNT": "mask_timeless",
    "LULC": "mask_timeless",
}
_KINDS = {
    0: ("healthy", "sain / healthy"),
    1: ("weak", "dépérissement faible / weak dieback"),
    2: ("strong", "dépérissement fort / strong dieback"),
    3: ("felled", "dépéri puis coupé / dead, then felled"),
    4: ("recovered", "stress passager / passing stress"),
}
_TRUTH = {
    "BEGINS": BandKind("BEGINS", "int32", -1, unit="days since 2015-01-01", title="début planté / planted beginning"),
    "KIND": BandKind("KIND", "uint8", None, title="ce qui a été planté / what was planted", classes=_KINDS),
}


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The real series and its summary, and the invented stand with its truth.

    Raises
    ------
    SetupError
        Where the files do not hold as many dates as they name.
    """
    moments = _moments(folder)
    return (
        Source(_describe_series(), len(moments), _series(folder, moments), SHARED),
        Source(_describe_summary(), 1, _summary(folder, moments), SHARED),
        Source(_describe_spruce(), len(SPRUCE_DATES), _stand(), SHARED),
        Source(_describe_truth(), 1, _truth()),
    )


EXTRACT = Extract(SAMPLE, (SERIES, SUMMARY, SPRUCE, SPRUCE_TRUTH), open_sources)


def _moments(folder: Path) -> list[datetime]:
    stamps = json.loads((folder / "timestamps.json").read_text(encoding="utf-8"))
    return [datetime.fromisoformat(stamp).replace(tzinfo=UTC) for stamp in stamps]


def _grid(folder: Path, shape: tuple[int, int]) -> Grid:
    box = json.loads((folder / "bbox.geojson").read_text(encoding="utf-8"))
    code = "EPSG:" + box["crs"]["properties"]["name"].rsplit(":", 1)[1]
    xs, ys = zip(*box["coordinates"][0], strict=True)
    rows, columns = shape
    across, down = (max(xs) - min(xs)) / columns, (max(ys) - min(ys)) / rows
    return Grid(code, (across, 0.0, min(xs), 0.0, -down, max(ys)), shape)


def _load(folder: Path, name: str) -> npt.NDArray[Any]:
    stored = np.load(folder / _FOLDERS[name] / f"{name}.npy", allow_pickle=False)[..., 0]
    kind = (_SERIES | _SUMMARY)[name]
    return np.asarray(stored.astype(kind.dtype, casting="unsafe"))


def _series(folder: Path, moments: list[datetime]) -> Iterator[Shot]:
    stacks = {name: _load(folder, name) for name in _SERIES}
    if any(len(stack) != len(moments) for stack in stacks.values()):
        found = ", ".join(f"{name} {len(stack)}" for name, stack in stacks.items())
        raise SetupError(f"{folder} names {len(moments)} dates and holds {found}. Fetch it again.")
    grid = _grid(folder, stacks["NDVI"].shape[1:])
    for place, moment in enumerate(moments):
        cloudy = round(100.0 * float(stacks["CLM"][place].mean()), 2)
        yield Shot(
            id=f"{SERIES}-{moment:%Y%m%dT%H%M%S}",
            moment=moment,
            grid=grid,
            footprint=grid.ring(),
            layers=tuple(Layer(kind, stacks[name][place]) for name, kind in _SERIES.items()),
            properties={
                "title": f"NDVI Sentinel-2, Slovénie, {moment:%Y-%m-%d}",
                "eo:cloud_cover": cloudy,
            },
        )


def _summary(folder: Path, moments: list[datetime]) -> Iterator[Shot]:
    layers = {name: _load(folder, name) for name in _SUMMARY}
    grid = _grid(folder, layers["DEM"].shape)
    yield Shot(
        id=SUMMARY,
        moment=moments[0],
        ends=moments[-1],
        grid=grid,
        footprint=grid.ring(),
        layers=tuple(Layer(kind, layers[name]) for name, kind in _SUMMARY.items()),
        properties={"title": "Résumé de la série NDVI, Slovénie 2015-2017"},
    )


def _stand() -> Iterator[Shot]:
    grid = Grid(SPRUCE_CODE, SPRUCE_TRANSFORM, SPRUCE_SHAPE)
    for day in SPRUCE_DATES:
        scene = render_spruce(day)
        yield Shot(
            id=f"{SPRUCE}-{day:%Y%m%d}",
            moment=_noon(day),
            grid=grid,
            footprint=grid.ring(),
            layers=tuple(Layer(kind, scene.counts[kind.name]) for kind in _bands()),
            properties={
                "title": f"SIMULÉ – pessière, {day:%Y-%m-%d}",
                "eo:cloud_cover": scene.cloud_cover,
            },
        )


def _truth() -> Iterator[Shot]:
    grid = Grid(SPRUCE_CODE, SPRUCE_TRANSFORM, SPRUCE_SHAPE)
    planted: dict[str, npt.NDArray[Any]] = {"BEGINS": planted_days(), "KIND": planted_kinds()}
    yield Shot(
        id=SPRUCE_TRUTH,
        moment=_noon(SPRUCE_DATES[0]),
        ends=_noon(SPRUCE_DATES[-1]),
        grid=grid,
        footprint=grid.ring(),
        layers=tuple(Layer(kind, planted[name]) for name, kind in _TRUTH.items()),
        properties={"title": "SIMULÉ – vérité plantée de la pessière"},
    )


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(10, 40), UTC)


def _bands() -> tuple[BandKind, ...]:
    return tuple(reflectance(name, "uint16", 0, SPRUCE_SCALE, 0.0) for name in SPRUCE_BANDS)


def _collection(
    name: str, title: str, text: str, licence: str, citation: str, *, simulated: bool, kinds: tuple[BandKind, ...]
) -> pystac.Collection:
    return describe_collection(
        name,
        title,
        text,
        licence=licence,
        keywords=["Sentinel-2", "végétation", "phénologie", *(["SIMULÉ", "dépérissement"] if simulated else ["NDVI"])],
        providers=[EARTHLAB] if simulated else [_COPERNICUS, _SENTINEL_HUB],
        citation=citation,
        kinds=kinds,
        simulated=simulated,
    )


def _describe_series() -> pystac.Collection:
    title = "Série NDVI Sentinel-2 et nuages, Slovénie 2015-2017 (eo-learn)"
    kinds = tuple(_SERIES.values())
    return _collection(SERIES, title, _SERIES_TEXT, "MIT", CITATION, simulated=False, kinds=kinds)


def _describe_summary() -> pystac.Collection:
    title = "Résumé de la série NDVI Sentinel-2, Slovénie 2015-2017 (eo-learn)"
    kinds = tuple(_SUMMARY.values())
    return _collection(SUMMARY, title, _SUMMARY_TEXT, "MIT", CITATION, simulated=False, kinds=kinds)


def _describe_spruce() -> pystac.Collection:
    title = "SIMULÉ – pessière de type Sentinel-2 avec dépérissement planté, 2015-2019"
    return _collection(SPRUCE, title, _SPRUCE_TEXT, "CC0-1.0", SPRUCE_CITATION, simulated=True, kinds=_bands())


def _describe_truth() -> pystac.Collection:
    title = "SIMULÉ – vérité plantée de la pessière"
    kinds = tuple(_TRUTH.values())
    return _collection(SPRUCE_TRUTH, title, _TRUTH_TEXT, "CC0-1.0", SPRUCE_CITATION, simulated=True, kinds=kinds)


_COPERNICUS = made_by("Copernicus, ESA", "https://sentinels.copernicus.eu")
_SENTINEL_HUB = pystac.Provider(
    "Sentinel Hub (Sinergise), eo-learn",
    roles=[pystac.ProviderRole.PROCESSOR, pystac.ProviderRole.HOST],
    url="https://github.com/sentinel-hub/eo-learn",
)
_SERIES_TEXT = """\
NDVI de 68 dates Sentinel-2, de juillet 2015 à décembre 2017, 101 × 100 pixels d'environ 10 m en Slovénie, avec la
probabilité et le masque de nuages et la validité de chaque observation. Données réelles ; le NDVI est donné aussi sous
les nuages. Le NDVI vient du jeu d'essai d'eo-learn : les bandes d'origine n'y sont pas.

NDVI on 68 Sentinel-2 dates from July 2015 to December 2017, 101 × 100 pixels of about 10 m in Slovenia, with the
probability and mask of clouds and the validity of each observation. Real data; NDVI is given under clouds too. It comes
from eo-learn's test set, which does not hold the original bands."""
_SUMMARY_TEXT = """\
Ce qu'eo-learn a calculé de la série : NDVI maximum de toutes les dates, nombre de dates valides ; et l'altitude et
l'occupation du sol. Données réelles.

What eo-learn computed from the series: the maximum NDVI of all dates and the number of valid dates; and elevation and
land cover. Real data."""
_SPRUCE_TEXT = """\
SIMULÉ : aucun pixel n'a été observé. Réflectance de six bandes de type Sentinel-2 d'une pessière inventée, 90 dates de
juillet 2015 à juin 2019, 64 × 48 pixels de 20 m, avec des nuages, cinq placettes abîmées à des dates connues, dont
une coupée et une qui se remet. La vérité est dans la collection theia-dieback-truth.

SIMULATED: no pixel was ever observed. Sentinel-2-like reflectance of six bands of an invented stand of spruce, 90 dates
from July 2015 to June 2019, 64 × 48 pixels of 20 m, with clouds and five patches damaged on known days, one of them
felled and one that recovers. The truth is in the collection theia-dieback-truth."""
_TRUTH_TEXT = """\
SIMULÉ : le jour où le dépérissement a été planté dans chaque pixel, et ce qui a été planté.

SIMULATED: the day on which dieback was planted in each pixel, and what was planted."""
