"""The hundred test cases as they are shipped."""

import csv

import numpy as np
import pytest

from earthlab.errors import SetupError
from earthlab.services.stac.extracts import biophysical


def test_the_table_holds_the_shipped_numbers(shared_data):
    (source,) = biophysical.open_sources(shared_data / biophysical.SAMPLE)
    (shot,) = source.shots
    (sheet,) = shot.sheets
    with (shared_data / biophysical.SAMPLE / "LAI" / "LAI_TestCases").open() as file:
        stored = np.array([[float(cell) for cell in row] for row in csv.reader(file) if row])
    np.testing.assert_array_equal(sheet.frame[list(biophysical.COLUMNS)].to_numpy(), stored)
    assert list(sheet.frame["case"]) == list(range(1, 101))
    assert source.count == 1
    assert source.collection.license == "GPL-3.0-or-later"
    assert source.collection.extra_fields["earthlab:simulated"] is False


def test_a_table_of_other_columns_is_refused(tmp_path):
    (tmp_path / "LAI").mkdir()
    (tmp_path / "LAI" / "LAI_TestCases").write_text("1,2,3\n")
    with pytest.raises(SetupError, match="other than 12 numbers"):
        list(biophysical.open_sources(tmp_path)[0].shots)
