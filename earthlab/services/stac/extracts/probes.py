"""Soil moisture of two probes of the International Soil Moisture Network: Narbonne and ARM-1."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pystac

from earthlab.services.stac.documents import Shot, Source, describe_collection, kept_by, made_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import observe, placed

COLLECTION = "theia-soil-moisture-ismn"
SAMPLE = "soil_moisture"
ITEMS = {
    "smosmania-narbonne": "SMOSMANIA_SMOSMANIA_Narbonne_sm_0.050000_0.050000_ThetaProbe-ML2X_20070101_20070131.stm",
    "cosmos-arm-1": "COSMOS_COSMOS_ARM-1_sm_0.000000_0.190000_Cosmic-ray-Probe_20170810_20180809.stm",
}
CITATION = (
    "International Soil Moisture Network (ISMN) ; réseaux SMOSMANIA (Météo-France) et COSMOS ; Dorigo et al. (2021), "
    "Hydrology and Earth System Sciences 25, 5749-5804, doi:10.5194/hess-25-5749-2021 ; fichiers du paquet ismn."
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The collection and one item a probe."""
    return (Source(_describe(), len(ITEMS), _read(folder)),)


EXTRACT = Extract(SAMPLE, (COLLECTION,), open_sources)


def _read(folder: Path) -> Iterator[Shot]:
    units = {"soil_moisture": "m3 m-3", "depth_from": "m", "depth_to": "m", "altitude": "m"}
    for item, name in ITEMS.items():
        header, *lines = (line for line in (folder / name).read_text(encoding="ascii").splitlines() if line.strip())
        network, _, station, latitude, longitude, altitude, top, bottom = header.split()[:8]
        rows = pd.DataFrame([line.split() for line in lines], columns=["day", "hour", "value", "flag", "original_flag"])
        frame = pd.DataFrame(
            {
                "time": pd.to_datetime(rows["day"] + " " + rows["hour"], format="%Y/%m/%d %H:%M", utc=True),
                "soil_moisture": rows["value"].astype("float64"),
                "flag": rows["flag"],
                "original_flag": rows["original_flag"],
                "network": network,
                "station": station,
                "altitude": float(altitude),
                "depth_from": float(top),
                "depth_to": float(bottom),
            }
        )
        yield observe(item, f"{network} – {station}", placed(frame, float(longitude), float(latitude)), units)


def _describe() -> pystac.Collection:
    return describe_collection(
        COLLECTION,
        "ISMN – humidité du sol in situ, Narbonne (SMOSMANIA) et ARM-1 (COSMOS)",
        _TEXT,
        licence="other",
        citation=CITATION,
        keywords=["humidité du sol", "in situ", "ISMN", "SMOSMANIA", "Narbonne", "COSMOS"],
        providers=[
            made_by("Météo-France (SMOSMANIA)", "https://www.umr-cnrm.fr"),
            made_by("International Soil Moisture Network", "https://ismn.earth"),
            kept_by("ismn (TU Wien)", "https://github.com/TUW-GEO/ismn"),
        ],
    )


_TEXT = """\
Humidité du sol mesurée toutes les heures : à Narbonne, à 5 cm, en janvier 2007 (réseau SMOSMANIA de Météo-France), et
par une sonde à rayons cosmiques à ARM-1 (Oklahoma), d'août 2017 à août 2018. Données réelles, avec les drapeaux de
qualité du réseau ; ceux de Narbonne sont « U », jamais « G ». Usage libre pour la recherche, à condition de citer.

Soil moisture measured every hour: in Narbonne (France), at 5 cm, in January 2007 (network SMOSMANIA of Météo-France),
and by a cosmic-ray probe at ARM-1 (Oklahoma), August 2017 to August 2018. Real data, with the quality flags of the
network; those of Narbonne are "U", never "G". Free for research if cited."""
