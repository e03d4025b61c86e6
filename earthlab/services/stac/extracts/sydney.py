"""Unwrapped ENVISAT interferograms over Sydney with the results that PyRate publishes for them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pystac

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Layer, Shot, Source, describe_collection, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.raster import BandKind, Grid, read_band

INTERFEROGRAMS = "formater-insar-sydney"
SERIES = "formater-insar-sydney-series"
RATE = "formater-insar-sydney-rate"
SAMPLE = "insar_pyrate"
CITATION = "Geoscience Australia, PyRate, jeu d'essai small_test ; ENVISAT ASAR (ESA)."
SHARED = {"constellation": "envisat", "platform": "envisat", "instruments": ["asar"]}
RATES = ("rate", "error", "intercept", "rsquared", "samples")

_FOLDER = "small_test"
_NAN = float("nan")
_NO_VALUE = 0.0
"""What the interferograms hold where they were not unwrapped."""


def open_sources(folder: Path) -> tuple[Source, ...]:
    """Interferograms, reference series and reference rate."""
    stack = folder / _FOLDER
    pairs = sorted(
        path.stem.removeprefix("geo_").removesuffix("_unw") for path in (stack / "tif").glob("geo_*_unw.tif")
    )
    if not pairs:
        raise SetupError(f"{stack / 'tif'} has no interferograms geo_*_unw.tif. Fetch the sample {SAMPLE} again.")
    _, grid = _read_pair(stack, pairs[0])
    dates = sorted({date for pair in pairs for date in pair.split("-")})
    return (
        Source(_describe(_ABOUT_INTERFEROGRAMS), len(pairs), _read_pairs(stack, pairs, grid), SHARED),
        Source(_describe(_ABOUT_SERIES), len(dates) - 1, _read_series(stack, dates, grid), SHARED),
        Source(_describe(_ABOUT_RATE), 1, _read_rate(stack, dates, grid), SHARED),
    )


EXTRACT = Extract(SAMPLE, (INTERFEROGRAMS, SERIES, RATE), open_sources)


@dataclass(frozen=True, slots=True)
class _About:
    collection: str
    title: str
    description: str
    kinds: tuple[BandKind, ...]


def _read_pair(stack: Path, pair: str) -> tuple[npt.NDArray[Any], Grid]:
    return read_band(stack / "tif" / f"geo_{pair}_unw.tif", "EPSG:4326")


def _read_pairs(stack: Path, pairs: Iterable[str], grid: Grid) -> Iterator[Shot]:
    for pair in pairs:
        phase, _ = _read_pair(stack, pair)
        phase[phase == _NO_VALUE] = np.nan
        name = f"ifg_orb_and_ref_phase_corrected_method2geo_{pair}.unw.csv"
        corrected = np.genfromtxt(stack / "ref_phase_est" / name, delimiter=",")
        first, second = map(_moment, pair.split("-"))
        names = f"{first:%Y%m%d}-{second:%Y%m%d}"
        yield Shot(
            id=f"{INTERFEROGRAMS}-{names}",
            moment=first,
            ends=second,
            grid=grid,
            footprint=grid.ring(),
            layers=_layers(_ABOUT_INTERFEROGRAMS, (phase, corrected)),
            properties={"title": f"ENVISAT, Sydney, {names}"},
        )


def _read_series(stack: Path, dates: list[str], grid: Grid) -> Iterator[Shot]:
    size = (*grid.shape, len(dates) - 1)
    stored = np.genfromtxt(stack / "time_series" / "ts_cum_interp0_method2.csv").reshape(size, order="F")
    regressed = np.load(stack / "linrate" / "tscuml_0.npy")
    for at, date in enumerate(dates[1:]):
        yield Shot(
            id=f"{SERIES}-{_moment(date):%Y%m%d}",
            moment=_moment(date),
            grid=grid,
            footprint=grid.ring(),
            layers=_layers(_ABOUT_SERIES, (stored[..., at], regressed[..., at])),
            properties={"title": f"PyRate, Sydney, {_moment(date):%Y-%m-%d}"},
        )


def _read_rate(stack: Path, dates: list[str], grid: Grid) -> Iterator[Shot]:
    yield Shot(
        id=RATE,
        moment=_moment(dates[0]),
        ends=_moment(dates[-1]),
        grid=grid,
        footprint=grid.ring(),
        layers=_layers(_ABOUT_RATE, [np.load(stack / "linrate" / f"linear_{name}.npy") for name in RATES]),
        properties={"title": "PyRate, Sydney, vitesse linéaire / linear rate"},
    )


def _layers(about: _About, pixels: Iterable[npt.NDArray[Any]]) -> tuple[Layer, ...]:
    return tuple(Layer(kind, image.astype("float32")) for kind, image in zip(about.kinds, pixels, strict=True))


def _moment(date: str) -> datetime:
    return datetime.strptime(date, "%y%m%d").replace(tzinfo=UTC)


def _kind(name: str, unit: str, title: str) -> BandKind:
    return BandKind(name, "float32", _NAN, unit=unit, title=title)


def _describe(about: _About) -> pystac.Collection:
    roles = pystac.ProviderRole
    return describe_collection(
        about.collection,
        about.title,
        about.description,
        licence="Apache-2.0",
        keywords=["ForM@Ter", "InSAR", "ENVISAT", "interférogramme", "SBAS", "déformation du sol", "Sydney"],
        providers=[
            pystac.Provider(
                "Geoscience Australia",
                roles=[roles.PROCESSOR, roles.LICENSOR, roles.HOST],
                url="https://github.com/GeoscienceAustralia/PyRate",
            ),
            made_by("ESA (ENVISAT ASAR)", "https://earth.esa.int"),
        ],
        citation=CITATION,
        kinds=about.kinds,
    )


_ABOUT_INTERFEROGRAMS = _About(
    INTERFEROGRAMS,
    "Interférogrammes ENVISAT déroulés, sud-ouest de Sydney, 2006-2007",
    """\
Dix-sept interférogrammes radar ENVISAT déroulés (bande C, longueur d'onde 0,0562356424 m, traités par ROI_PAC) au
sud-ouest de Sydney, entre treize dates de juin 2006 à septembre 2007 : 72 × 47 pixels d'environ 80 m. Données réelles,
jeu d'essai du logiciel PyRate. Un item par interférogramme : son début est la première date, sa fin la seconde.
`unwrapped` est la phase en radians (0 dans le fichier d'origine, sans valeur ici) ; `corrected` est le résultat de
PyRate en mm, orbite et référence corrigées.

Seventeen unwrapped ENVISAT interferograms (C band, wavelength 0.0562356424 m, processed by ROI_PAC) south-west of
Sydney, between thirteen dates from June 2006 to September 2007: 72 × 47 pixels of about 80 m. Real data, the test set
of the software PyRate. One item an interferogram: it begins at the first date and ends at the second. `unwrapped` is
the phase in radians (0 in the original file, no value here); `corrected` is PyRate's result in mm, corrected for orbit
and reference.""",
    (
        _kind("unwrapped", "rad", "phase déroulée / unwrapped phase"),
        _kind("corrected", "mm", "interférogramme corrigé par PyRate / interferogram corrected by PyRate"),
    ),
)
_ABOUT_SERIES = _About(
    SERIES,
    "Séries cumulées de référence de PyRate, sud-ouest de Sydney, 2006-2007",
    """\
Résultats de référence publiés avec PyRate, une image par date après la première : `cumulative`, le déplacement cumulé
en mm par la méthode SVD sur l'arbre couvrant minimal ; `regressed`, une autre série cumulée en mm, celle dont
la collection formater-insar-sydney-rate donne la vitesse linéaire. Calculés à partir de données réelles.

Reference results published with PyRate, one image a date after the first: `cumulative`, the cumulative displacement in
mm by the SVD method on the minimum spanning tree; `regressed`, another cumulative series in mm, whose linear rate is
the collection formater-insar-sydney-rate. Computed from real data.""",
    (
        _kind("cumulative", "mm", "déplacement cumulé, SVD / cumulative displacement, SVD"),
        _kind("regressed", "mm", "série de la vitesse linéaire / series of the linear rate"),
    ),
)
_ABOUT_RATE = _About(
    RATE,
    "Vitesse linéaire de référence de PyRate, sud-ouest de Sydney, 2006-2007",
    """\
Vitesse linéaire de la série `regressed` de la collection formater-insar-sydney-series, publiée avec PyRate, avec son
erreur type, l'ordonnée à l'origine, le coefficient de détermination et le nombre de dates.

Linear rate of the series `regressed` of the collection formater-insar-sydney-series, as published with PyRate, with its
standard error, intercept, coefficient of determination and number of dates.""",
    (
        _kind("rate", "mm year-1", "vitesse / velocity"),
        _kind("error", "mm year-1", "erreur type / standard error"),
        _kind("intercept", "mm", "ordonnée à la première date / value on the first date"),
        _kind("rsquared", "1", "coefficient de détermination / coefficient of determination"),
        _kind("samples", "1", "nombre de dates / number of dates"),
    ),
)
