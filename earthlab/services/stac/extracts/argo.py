"""Three Argo floats: profiles of pressure, temperature, salinity and oxygen with their flags, one item a float."""

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import pystac

from earthlab.cube import tables
from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe

COLLECTION = "odatis-argo-floats"
SAMPLE = "argo_bgc"
FLOATS = {"2902746": "2902746_Sprof.nc", "5903586": "SD5903586_001.nc", "6900388": "6900388_prof.nc"}
PARAMETERS = ("PRES", "TEMP", "PSAL", "DOXY")
UNITS = {"PRES": "decibar", "TEMP": "degree_Celsius", "PSAL": "1", "DOXY": "micromole/kg"}
_PROFILE = ("PLATFORM_NUMBER", "CYCLE_NUMBER", "LONGITUDE", "LATITUDE", "POSITION_QC")
_KINDS = ("", "_QC", "_ADJUSTED", "_ADJUSTED_QC", "_ADJUSTED_ERROR")
CITATION = (
    "Argo : données de flotteurs et métadonnées du Global Data Assembly Centre (Argo GDAC), SEANOE, "
    "doi:10.17882/42182. Ces données ont été collectées et rendues librement accessibles par le programme "
    "international Argo et les programmes nationaux qui y contribuent."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection, with an item a float."""
    return (Source(_describe(), len(FLOATS), _shots(folder)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def read_levels(path: Path) -> gpd.GeoDataFrame:
    """One row a level that was measured, under Argo's own names; parameters a float does not have are left out."""
    table = tables.table(path)
    wanted = [*_PROFILE, *(f"{name}{kind}" for name in PARAMETERS for kind in _KINDS)]
    kept = table[["time", *(name for name in wanted if name in table.columns), "geometry"]]
    exact = {"time": kept["time"].dt.round("s"), "CYCLE_NUMBER": kept["CYCLE_NUMBER"].astype("int64")}
    return gpd.GeoDataFrame(kept.assign(**exact), crs=table.crs)


def _shots(folder: Path) -> Iterator[Shot]:
    for number, file in FLOATS.items():
        levels = read_levels(folder / file)
        units = {
            f"{name}{kind}": unit
            for name, unit in UNITS.items()
            for kind in ("", "_ADJUSTED", "_ADJUSTED_ERROR")
            if f"{name}{kind}" in levels.columns
        }
        yield observe(f"argo-{number}", f"Argo, flotteur / float {number}", levels, units)


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "Argo – trois flotteurs : Pacifique Ouest, mer d'Arabie, mer d'Irminger",
        _TEXT,
        licence="CC-BY-4.0",
        citation=CITATION,
        keywords=["Argo", "oxygène dissous", "température de la mer", "salinité", "flotteur profileur"],
        providers=[
            made_by("Argo (Global Data Assembly Centre)", "https://doi.org/10.17882/42182"),
            kept_by("ArgoCanada, D. Kelley", "https://github.com/ArgoCanada"),
        ],
    )


_TEXT = """\
Profils de trois flotteurs Argo, sous les noms d'Argo, avec les valeurs brutes, ajustées, leurs erreurs et leurs codes
de qualité, gardés tels quels : 2902746 (Pacifique Ouest, 2018-2020, 91 profils avec oxygène), 5903586 (mer d'Arabie, un
profil avec oxygène en 2011), 6900388 (mer d'Irminger, 2005-2011, sans oxygène, avec des valeurs aberrantes signalées
mauvaises). Données réelles.

Profiles of three Argo floats, under Argo's names, with raw and adjusted values, their errors and quality flags as they
are: 2902746 (western Pacific, 2018-2020, 91 profiles with oxygen), 5903586 (Arabian Sea, one profile with oxygen in
2011), 6900388 (Irminger Sea, 2005-2011, without oxygen, with wild values that are flagged bad). Real data."""
