"""What readers give: nodata as a dtype holds it."""

import numpy as np
import pytest

from earthlab.cube.readers.window import norm_nodata


@pytest.mark.parametrize(
    ("nodata", "dtype", "held"),
    [
        (None, "uint8", None),
        (0.0, "uint8", 0),
        (255.0, "uint8", 255),
        (256.0, "uint8", None),
        (-1.0, "uint8", None),
        (0.5, "int16", None),
        (float("nan"), "int16", None),
        (float("-inf"), "int64", None),
        (-9999.0, "float32", -9999.0),
        (float(-(2**63)), "int64", -(2**63)),
        (float(2**63), "int64", 2**63 - 1),
        (float(2**64), "uint64", 2**64 - 1),
        (float(2**64), "int64", None),
    ],
)
def test_a_dtype_holds_a_nodata_value_exactly_or_not_at_all(nodata, dtype, held):
    assert norm_nodata(nodata, np.dtype(dtype)) == held
