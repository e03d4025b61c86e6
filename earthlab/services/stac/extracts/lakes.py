"""Lake Tana seen by altimeters: Hydroweb's heights, areas and volumes, and the heights of two other processings."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pystac

from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed

HYDROWEB, HEIGHTS = "theia-hydroweb-tana", "theia-lake-heights"
SAMPLE = "hydroweb_lakes"
PLACE = (37.41, 12.09)
"""Longitude and latitude of the lake's middle, as the file of G-REALM states them."""
MISSING = 9999
"""Heights, areas and volumes from here on stand for no value."""
CITATION = (
    "Hydroweb (LEGOS/CNES, Theia), niveaux, surfaces et volumes du lac Tana, https://hydroweb.next.theia-land.fr ; "
    "Crétaux et al. (2011), SOLS, Advances in Space Research 47, 1497-1507 ; fichier distribué avec NFC (hosamn)."
)
HEIGHTS_CITATION = (
    "DAHITI (DGFI-TUM), lac Tana, CC-BY 4.0, Schwatke et al. (2015), Hydrology and Earth System Sciences 19, "
    "4345-4364 ; G-REALM (USDA/NASA), lac Tana, domaine public ; fichiers distribués avec NFC (hosamn)."
)
_KEEPER = kept_by("NFC (hosamn)", "https://github.com/hosamn/NFC")


def open_sources(folder: Path) -> tuple[Source, ...]:
    """Hydroweb's table, and those of DAHITI and G-REALM, one item each."""
    return (
        Source(_hydroweb(), 1, _read_hydroweb(folder / "hydroprd_L_tana.csv")),
        Source(_heights(), 2, _read_heights(folder)),
    )


EXTRACT = Extract(SAMPLE, (HYDROWEB, HEIGHTS), open_sources)


def _read_hydroweb(path: Path) -> Iterator[Shot]:
    table = pd.read_csv(path)
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime(table["Date"] + " " + table["Time"], format="%Y/%m/%d %H:%M", utc=True),
            "height": table["Height"],
            "height_error": table["Standard deviation"],
            "surface_area": table["Area"],
            "volume": table["Volume"],
        }
    )
    values = ["height", "height_error", "surface_area", "volume"]
    frame[values] = frame[values].mask(frame[values] >= MISSING)
    units = {"height": "m", "height_error": "m", "surface_area": "km2", "volume": "km3"}
    yield observe("hydroweb-tana", "Hydroweb, lac Tana / Lake Tana", placed(frame, *PLACE), units)


def _read_heights(folder: Path) -> Iterator[Shot]:
    units = {"height": "m", "height_error": "m"}
    dahiti = pd.read_csv(folder / "110_water_level_altimetry.csv")
    dahiti.columns = pd.Index(["time", "height", "height_error"])
    dahiti["time"] = pd.to_datetime(dahiti["time"], utc=True)
    title = "DAHITI, lac Tana / Lake Tana"
    yield observe("dahiti-tana", title, placed(dahiti.assign(product="DAHITI"), *PLACE), units)
    realm = _read_realm(folder / "lake000402.10d.2.txt")
    title = "G-REALM, lac Tana / Lake Tana"
    yield observe("grealm-tana", title, placed(realm.assign(product="G-REALM"), *PLACE), units)


def _read_realm(path: Path) -> pd.DataFrame:
    # Sixteen columns after a header of words; the 15th is the height above EGM2008, 9999.99 where there is none.
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    rows = [line.split() for line in lines if len(line.split()) == 16 and line.split()[2].isdigit()]
    day, hour, minute = (pd.Series([row[at] for row in rows]) for at in (2, 3, 4))
    height, error = (np.array([float(row[at]) for row in rows]) for at in (14, 6))
    seen = height < MISSING
    clock = day[seen] + hour[seen].str.zfill(2) + minute[seen].str.zfill(2)
    times = pd.to_datetime(clock, format="%Y%m%d%H%M", utc=True)
    return pd.DataFrame({"time": times, "height": height[seen], "height_error": error[seen]})


def _hydroweb() -> pystac.Collection:
    return describe_collection(
        HYDROWEB,
        "Hydroweb – niveaux, surfaces et volumes du lac Tana (Éthiopie)",
        _TEXT,
        licence="other",
        citation=CITATION,
        keywords=["Theia", "Hydroweb", "lac", "altimétrie", "niveau", "volume", "Tana"],
        providers=[
            made_by("Hydroweb (LEGOS/CNES, Theia)", "https://hydroweb.next.theia-land.fr"),
            _KEEPER,
        ],
    )


def _heights() -> pystac.Collection:
    return describe_collection(
        HEIGHTS,
        "DAHITI et G-REALM – niveaux du lac Tana (Éthiopie)",
        _HEIGHTS_TEXT,
        licence="other",
        citation=HEIGHTS_CITATION,
        keywords=["lac", "altimétrie", "niveau", "DAHITI", "G-REALM", "Tana"],
        providers=[
            made_by("DAHITI (DGFI-TUM)", "https://dahiti.dgfi.tum.de"),
            made_by("G-REALM (USDA, NASA)", "https://ipad.fas.usda.gov/cropexplorer/global_reservoir"),
            _KEEPER,
        ],
    )


_TEXT = """\
Niveaux du lac Tana (source du Nil Bleu) par altimétrie satellitaire de 1992 à 2022, avec la superficie et le volume
d'eau depuis la première date, tels que Hydroweb les publie. Données réelles. Les valeurs 9999,999 du fichier sont
devenues des valeurs manquantes. Le dépôt d'où vient le fichier n'a pas de licence ; Hydroweb laisse ses séries libres
d'usage à condition de les citer.

Levels of Lake Tana (source of the Blue Nile) from satellite altimetry, 1992 to 2022, with the area and the volume of
water since the first date, as Hydroweb publishes them. Real data. Values of 9999.999 in the file became missing ones.
The repository the file comes from states no licence; Hydroweb's series are free to use if cited."""
_HEIGHTS_TEXT = """\
Les niveaux du même lac par deux autres chaînes, un item chacune : DAHITI (CC-BY 4.0) et G-REALM (domaine public,
hauteurs au-dessus du géoïde EGM2008). Données réelles. Les références verticales diffèrent de celle de Hydroweb.

Levels of the same lake by two other processings, one item each: DAHITI (CC-BY 4.0) and G-REALM (public domain, heights
above the geoid EGM2008). Real data. Vertical references differ from Hydroweb's."""
