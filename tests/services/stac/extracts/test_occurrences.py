"""The occurrences are those of the Darwin Core archive."""

import io
import zipfile

import pandas as pd

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


def test_the_collection_says_that_each_dataset_has_its_rights(shared_data):
    (source,) = EXTRACT.open_sources(shared_data / SAMPLE)
    assert source.collection.license == "other"
    assert "rights" in source.collection.description
    assert source.collection.extra_fields["earthlab:simulated"] is False
