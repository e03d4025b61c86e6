"""Columns that an analysis needs."""

import pandas as pd
import pytest

from earthlab.analysis.tables import check_columns
from earthlab.errors import BadRequest


def test_columns_that_are_there_pass():
    check_columns(pd.DataFrame({"a": [1], "b": [2]}), ("a", "b"), "verb")


def test_a_missing_column_is_named_with_the_nearest_one():
    with pytest.raises(BadRequest, match=r"verb: the table has no column 'transect'\. Nearest: transects"):
        check_columns(pd.DataFrame({"transects": [1]}), ("transect",), "verb")
