"""Community matrices that the packages vegan and iNEXT document, as long tables: one row a site and species."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pystac
import rdata

from earthlab.services.stac.documents import EARTH, Sheet, Shot, Source, describe_collection, kept_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import placed

VEGAN, INEXT = "pndb-communities-vegan", "pndb-communities-inext"
_STATED = datetime(2014, 1, 1, tzinfo=UTC)
"""The packages do not say when each was observed: the year of the paper the reference values come from."""


@dataclass(frozen=True, slots=True)
class _Set:
    collection: str
    title: str
    description: str
    licence: str
    citation: str
    provider: str
    read: Callable[[Path], pd.DataFrame]


def open_vegan(folder: Path) -> tuple[Source, ...]:
    """The matrices of vegan."""
    return (_source(_VEGAN, folder),)


def open_inext(folder: Path) -> tuple[Source, ...]:
    """The matrices of iNEXT."""
    return (_source(_INEXT, folder),)


def _source(one: _Set, folder: Path) -> Source:
    return Source(_describe(one), 1, _shots(one, folder))


def _shots(one: _Set, folder: Path) -> Iterator[Shot]:
    rows = one.read(folder)
    frame = placed(rows, None, None)
    yield Shot(
        id=one.collection,
        moment=_STATED,
        footprint=EARTH,
        sheets=(Sheet("communities", frame, {"abundance": "1"}, one.title),),
        properties={"title": one.title},
    )


def _read_vegan(folder: Path) -> pd.DataFrame:
    management = _read(folder / "dune.env.rda")["Management"].astype(str)
    parts = [_long(name, _read(folder / f"{name}.rda")) for name in ("dune", "mite", "varespec")]
    rows = pd.concat(parts, ignore_index=True)
    by_site = {str(site): group for site, group in management.items()}
    return rows.assign(group=rows["site"].map(by_site).where(rows["dataset"] == "dune").astype("string"))


def _read_inext(folder: Path) -> pd.DataFrame:
    bird, ant, ciliates = (_read(folder / f"{name}.rda") for name in ("bird", "ant", "ciliates"))
    parts = [_long("bird", bird.T)]
    for site, values in ant.items():
        units, found_in = int(values[0]), pd.Series(values[1:], [f"ant{at + 1}" for at in range(len(values) - 1)])
        parts.append(_long("ant", found_in.to_frame(str(site)).T).assign(units=units))
    for region, matrix in ciliates.items():
        table = pd.DataFrame(matrix.values, matrix.coords["dim_0"].values, matrix.coords["dim_1"].values)
        parts.append(_long("ciliates", table.T).assign(group=str(region)))
    rows = pd.concat(
        [part.reindex(columns=[*part.columns.union(["units", "group"])]) for part in parts], ignore_index=True
    )
    return rows.astype({"units": "Int64", "group": "string"})[
        ["dataset", "site", "species", "abundance", "units", "group"]
    ]


def _read(path: Path) -> Any:
    return next(iter(rdata.read_rda(path, default_encoding="utf-8").values()))


def _long(dataset: str, matrix: pd.DataFrame) -> pd.DataFrame:
    named = matrix.set_axis(matrix.index.astype(str).rename("site")).set_axis(matrix.columns.astype(str), axis=1)
    rows = named.astype(float).reset_index().melt("site", var_name="species", value_name="abundance")
    return rows[rows["abundance"] > 0].assign(dataset=dataset)[["dataset", "site", "species", "abundance"]]


def _describe(one: _Set) -> pystac.Collection:
    return describe_collection(
        one.collection,
        one.title,
        one.description,
        licence=one.licence,
        keywords=["communautés", "diversité", "raréfaction", "PNDB"],
        providers=[kept_by(one.provider)],
        citation=one.citation,
    )


_VEGAN = _Set(
    VEGAN,
    "Communautés de vegan : prairies dunaires, oribates, lichens",
    (
        "Trois matrices réelles en lignes (dataset, site, espèce, abondance) : dune (20 prairies, group = gestion), "
        "mite "
        "(70 carottes de sphaigne), varespec (24 sites de pâture à rennes, couverture). Sans lieu ni date. / Three "
        "real "
        "matrices as rows: dune (20 meadows, group = management), mite (70 cores), varespec (24 sites, cover)."
    ),
    "GPL-2.0-only",
    "Oksanen, J. et al., vegan: Community Ecology Package ; données : Jongman et al. 1987 (dune), Borcard et al. 1992 "
    "(mite), Väre et al. 1995 (varespec).",
    "vegan (J. Oksanen et al.)",
    _read_vegan,
)
_INEXT = _Set(
    INEXT,
    "Communautés de iNEXT : oiseaux, fourmis, ciliés",
    (
        "Trois jeux réels en lignes : bird (oiseaux de deux sites d'Australie, abondances), ant (fourmis à cinq "
        "altitudes, "
        "Costa Rica ; abundance = nombre d'unités où l'espèce a été trouvée, units = unités échantillonnées), ciliates "
        "(ciliés du sol de Namibie, group = région, présence par prélèvement). Sans lieu ni date. / Three real sets: "
        "birds (abundance), ants (incidence frequencies in so many units), soil ciliates (presence a sample)."
    ),
    "GPL-3.0-or-later",
    "Hsieh, T. C., Ma, K. H. et Chao, A., iNEXT ; données : Chao et al. 2014, 2015 ; Longino et Colwell 2011 "
    "(fourmis) ; "
    "Foissner et al. 2002 (ciliés).",
    "iNEXT (T. C. Hsieh et al.)",
    _read_inext,
)

EXTRACTS = (Extract("vegan", (VEGAN,), open_vegan), Extract("inext", (INEXT,), open_inext))
