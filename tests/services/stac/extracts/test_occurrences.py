"""The occurrences are those of the Darwin Core archive."""

import io
import zipfile
from pathlib import Path, PurePath
from xml.etree import ElementTree as ET

import pandas as pd

from earthlab.catalog.profiles import find_profile
from earthlab.services.stac.extracts.occurrences import COLUMNS, EXTRACT, FILE, SAMPLE


def test_the_table_has_the_records_and_values_of_the_archive(shared_data):
    (source,) = EXTRACT.open_sources(shared_data / SAMPLE)
    (shot,) = source.shots
    frame = shot.sheets[0].frame
    with zipfile.ZipFile(shared_data / SAMPLE / FILE) as archive:
        text = io.BytesIO(archive.read("occurrence.txt"))
    original = pd.read_csv(text, sep="\t", quoting=3, low_memory=False)
    assert len(frame) == 470 == len(original)
    assert set(COLUMNS) <= set(frame.columns)
    assert frame.gbifID.tolist() == original.gbifID.tolist()
    for name in ("species", "issue", "locality", "rights"):
        assert frame[name].fillna("").tolist() == original[name].fillna("").tolist()
    assert frame.geometry.notna().sum() == original.decimalLatitude.notna().sum()
    assert frame.decimalLatitude.dropna().tolist() == original.decimalLatitude.dropna().tolist()
    assert frame.datasetKey.nunique() == 26


def test_the_collection_and_its_descriptor_count_the_rows_by_the_rights_of_their_dataset(shared_data):
    (source,) = EXTRACT.open_sources(shared_data / SAMPLE)
    (shot,) = source.shots
    frame = shot.sheets[0].frame
    told = frame.datasetKey.map(rights(shared_data / SAMPLE / FILE))
    open_rows, silent = told.str.contains("/by/4.0/").sum(), (told == "Not supplied").sum()
    counts = [open_rows, silent, len(frame) - open_rows - silent, frame.rights.notna().sum()]
    profile = find_profile(source.collection.id)
    for text in (source.collection.description, *profile.stock.values()):
        assert all(str(count) in text for count in counts), counts
    assert told.str.contains("redistributed").any()
    assert source.collection.license == profile.licence == "other"
    assert source.collection.extra_fields["earthlab:simulated"] is False


def rights(path: Path) -> dict[str, str]:
    """What the archive says of the rights of each dataset, by its key."""
    with zipfile.ZipFile(path) as archive:
        told = archive.read("rights.txt").decode().split("Dataset: ")[1:]
        names = {
            PurePath(name).stem: ET.fromstring(archive.read(name)).findtext("dataset/title")
            for name in archive.namelist()
            if name.startswith("dataset/")
        }
    by_name = dict(one.strip().split("\nRights as supplied: ", 1) for one in told)
    return {key: next(text for name, text in by_name.items() if name.startswith(title)) for key, title in names.items()}
