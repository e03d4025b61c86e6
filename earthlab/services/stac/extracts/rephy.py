"""Chlorophyll-a of the French coasts, as the network REPHY measures it: one item with every sample."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pystac

from earthlab.errors import SetupError
from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed

COLLECTION = "odatis-rephy"
SAMPLE = "rephy_quadrige"
FILE = "OCEAN_PH2_REPHY_Ready_version.csv"
METHODS = {
    "chla_trichromatic": "Chlorophyll a trichroma CPHLSSP1",
    "chla_monochromatic": "Chlorophyll a monochroma CPHLSXP1",
    "chla_hplc": "Chlorophyll a HPLC CPHLHPP1",
    "chla_fluorometric": "Chlorophyll a fluo CPHLFLP1",
}
"""The columns of the four methods, and what the file calls them."""
CITATION = (
    "REPHY – French Observation and Monitoring program for Phytoplankton and Hydrology in coastal waters, SEANOE, "
    "doi:10.17882/47248 ; table distribuée avec OSPAR_FR_Data_Pelagic_Habitats (J.-Y. Dias), CC0."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and its table."""
    return (Source(_describe(), 1, _shots(folder / FILE)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def read_samples(path: Path) -> pd.DataFrame:
    """One row a sample: ``time`` (UTC), ``station``, ``sample`` (number at the station), ``depth`` and the methods.

    Raises
    ------
    SetupError
        Where the file lacks one of its columns.
    """
    raw = pd.read_csv(path, comment="/", low_memory=False)
    lacking = {*METHODS.values(), "Station", "Depth [m]"} - set(raw.columns)
    if lacking:
        raise SetupError(f"{path} lacks the columns {', '.join(sorted(lacking))}. Fetch it again.")
    named = raw["Station"].str.extract(r"^(?P<station>.*)_(?P<sample>\d+)$")
    columns = {
        "time": pd.to_datetime(raw["yyyy-mm-ddThh:mm:ss.sss"], utc=True),
        "station": named["station"],
        "sample": named["sample"].astype("int64"),
        "depth": raw["Depth [m]"].astype("float64"),
        "longitude": raw["Longitude [degrees_east]"],
        "latitude": raw["Latitude [degrees_north]"],
    }
    return pd.DataFrame({**columns, **{name: raw[column] for name, column in METHODS.items()}})


def _shots(path: Path) -> Iterator[Shot]:
    samples = read_samples(path)
    units = {**dict.fromkeys(METHODS, "mg m-3"), "depth": "m"}
    rows = placed(samples.drop(columns=["longitude", "latitude"]), samples["longitude"], samples["latitude"])
    yield observe("rephy-chlorophyll", "REPHY, chlorophylle-a / chlorophyll-a", rows, units)


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "REPHY – chlorophylle-a des côtes françaises, 1989-2025",
        _TEXT,
        licence="CC-BY-4.0",
        citation=CITATION,
        keywords=["chlorophylle", "phytoplancton", "eaux littorales", "DCE", "REPHY", "Quadrige"],
        providers=[
            made_by("Ifremer (REPHY, Quadrige)", "https://doi.org/10.17882/47248"),
            kept_by("OSPAR_FR_Data_Pelagic_Habitats", "https://github.com/J-YDi/OSPAR_FR_Data_Pelagic_Habitats"),
        ],
    )


_TEXT = """\
20 650 prélèvements de surface à 78 stations de la Manche et de l'Atlantique, 1989-2025 : chlorophylle-a en mg/m³ (les
mêmes nombres qu'en µg/l), une colonne par méthode d'analyse. Données réelles, telles que le réseau les a préparées pour
l'évaluation OSPAR. La profondeur est arrondie au mètre par la source.

20,650 surface samples at 78 stations of the Channel and the Atlantic coast, 1989-2025: chlorophyll-a in mg/m³ (the same
numbers as in µg/l), one column a method. Real data, as the network prepared them for the OSPAR assessment. Depths are
rounded to the metre by the source."""
