"""Integers give back the very values that were read from them, or are not used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.cube.physical import lay
from earthlab.cube.plan import Encoding, Source
from earthlab.cube.readers.window import Window
from earthlab.cube.shared.encoding import decode, encode

SCALES = [(1e-4, 0.0), (1e-4, -0.1), (0.01, 273.15), (2e-5, -1 / 3), (1.0, 0.0), (-0.5, 7.0)]


def as_blocks_read(stored, encoding):
    out = np.empty((1, stored.size), "float32")
    source = Source("", scale=encoding.scale, offset=encoding.offset)
    lay(out, Window(stored.reshape(1, -1), nodata=encoding.fill), source, None, fresh=True)
    return out.reshape(stored.shape)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32"])
@pytest.mark.parametrize(("scale", "offset"), SCALES)
def test_every_integer_is_what_the_reader_of_blocks_makes_of_it(dtype, scale, offset):
    limits = np.iinfo(dtype)
    stored = np.linspace(limits.min, limits.max, 65_537).astype("int64").clip(limits.min, limits.max).astype(dtype)
    encoding = Encoding(dtype, scale, offset, int(limits.max))
    expected = as_blocks_read(stored, encoding)
    np.testing.assert_array_equal(decode(stored, encoding).view("uint32"), expected.view("uint32"))
    many = decode(np.tile(stored, 5), encoding)
    np.testing.assert_array_equal(many.view("uint32"), np.tile(expected, 5).view("uint32"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=50), st.sampled_from(SCALES))
def test_what_was_read_from_integers_becomes_those_integers(counts, words):
    encoding = Encoding("uint16", *words, fill=0)
    stored = np.array([[counts]], "uint16")
    values = as_blocks_read(stored, encoding)
    again = encode(values, encoding)
    assert again is not None
    np.testing.assert_array_equal(again, stored)


@pytest.mark.parametrize("value", [0.12345, -0.5, 7.0, np.inf, -np.inf])
def test_a_value_of_no_integer_is_not_rounded_to_one(value):
    encoding = Encoding("uint16", 1e-4, 0.0, 0)
    assert encode(np.array([[[0.5, value]]], "float32"), encoding) is None


def test_a_value_that_would_read_as_the_fill_is_not_stored():
    assert encode(np.zeros((1, 1, 1), "float32"), Encoding("uint16", 1e-4, 0.0, 0)) is None
