"""The pair of elevation models with which CNES tests demcompare: one of SRTM, and a copy made worse."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pystac

from earthlab.services.stac.documents import Layer, Sheet, Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import placed
from earthlab.services.stac.raster import BandKind, read_band

SAMPLE = "dem_coregistration"
REFERENCE, SHIFTED, TABLE = "dinamis-dem-srtm", "dinamis-dem-srtm-shifted", "dinamis-dem-errors"
CITATION = "CNES, demcompare, données d'essai (Apache-2.0) ; relief SRTM (NASA)."

_SRTM = datetime(2000, 2, 16, tzinfo=UTC)
_HEIGHT = BandKind("elevation", "int16", -32768, unit="m", title="Altitude / elevation")
_ERRORS = "ref_output/stats/alti-diff/Slope0/stats_results.csv"
_UNITS = dict.fromkeys(("mean", "median", "max", "min", "nmad", "rmse", "std"), "m")


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The reference, the copy, and demcompare's table of their differences."""
    models = folder / "input"
    return (
        Source(_reference(), 1, _read(models / "srtm_ref.tif", REFERENCE)),
        Source(_shifted(), 1, _read(models / "srtm_blurred_and_shifted.tif", SHIFTED)),
        Source(_table(), 1, _read_table(folder)),
    )


EXTRACT = Extract(SAMPLE, (REFERENCE, SHIFTED, TABLE), open_sources)


def _read(path: Path, name: str) -> Iterator[Shot]:
    pixels, grid = read_band(path, "EPSG:4326")
    title = "SRTM, 1 000 × 1 000 pixels" if name == REFERENCE else "SIMULÉ – copie floue et décalée du relief SRTM"
    yield Shot(
        f"{name}-n39-e40", _SRTM, grid.ring(), grid=grid, layers=(Layer(_HEIGHT, pixels),), properties={"title": title}
    )


def _read_table(folder: Path) -> Iterator[Shot]:
    table = pd.read_csv(folder / _ERRORS).rename(columns={"Set Name": "slope_class", "percentil_90": "percentile_90"})
    table["slope_class"] = table["slope_class"].str.rpartition(":")[0]
    table["lower"] = table["slope_class"].str.extract(r"(\d+)%", expand=False).astype("float64")
    title = "Erreurs d'altitude par classe de pente, selon demcompare"
    corners = np.array([[40, 39.1667], [40.8333, 39.1667], [40.8333, 40], [40, 40], [40, 39.1667]], "float64")
    ring = [(float(east), float(north)) for east, north in corners]
    yield Shot(
        f"{TABLE}-slope",
        _SRTM,
        ring,
        sheets=(Sheet("errors", placed(table, None, None), _UNITS, title),),
        properties={"title": title},
    )


def _describe(collection: str, title: str, text: str, kinds: tuple[BandKind, ...] = ()) -> pystac.Collection:
    return describe_collection(
        collection,
        title,
        text,
        licence="Apache-2.0",
        citation=CITATION,
        keywords=["DINAMIS", "modèle de surface", "contrôle qualité", "recalage"],
        providers=[
            made_by("NASA (SRTM)", "https://www.earthdata.nasa.gov"),
            kept_by("CNES", "https://github.com/CNES/demcompare"),
        ],
        kinds=kinds,
        simulated=collection == SHIFTED,
    )


def _reference() -> pystac.Collection:
    return _describe(REFERENCE, "Relief SRTM de 3 secondes d'arc, Anatolie orientale", _REFERENCE_TEXT, (_HEIGHT,))


def _shifted() -> pystac.Collection:
    title = "SIMULÉ – le même relief, rendu flou et décalé par le CNES"
    return _describe(SHIFTED, title, _SHIFTED_TEXT, (_HEIGHT,))


def _table() -> pystac.Collection:
    return _describe(TABLE, "Erreurs d'altitude par classe de pente, publiées par demcompare", _TABLE_TEXT)


_REFERENCE_TEXT = """\
Modèle d'élévation SRTM, 1 000 × 1 000 pixels de 3 secondes d'arc (environ 93 × 71 m), entre 39,2° et 40° N, 40° et
40,8° E. Donnée réelle.

SRTM elevation model, 1,000 × 1,000 pixels of 3 arc seconds (about 93 × 71 m), between 39.2° and 40° N, 40° and
40.8° E. Real data."""
_SHIFTED_TEXT = """\
SIMULÉ : le CNES a rendu flou le modèle SRTM et l'a décalé de 3 colonnes et 5 lignes pour essayer demcompare. Ce
n'est pas une seconde mesure.

SIMULATED: CNES blurred the SRTM model and shifted it by 3 columns and 5 rows to test demcompare. It is no second
measurement."""
_TABLE_TEXT = """\
Ce que demcompare publie des différences entre les deux modèles recalés, par classe de pente. Ses pentes « en pour
cent » sont 100 fois l'angle en radians.

What demcompare publishes of the differences of the two models once laid over each other, by class of slope. Its
slopes "in percent" are 100 times the angle in radians."""
