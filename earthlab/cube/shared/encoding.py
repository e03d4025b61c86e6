"""Bands as the integers they came from, and back to the very same float32 values."""

from functools import lru_cache

import numpy as np

from earthlab.cube.physical import lay
from earthlab.cube.plan import Encoding, Source
from earthlab.cube.readers.window import Array, Window


def encode(values: Array, encoding: Encoding) -> Array | None:
    """Integers for physical values, the fill for NaN; ``None`` where `decode` would not give the values back.

    Parameters
    ----------
    values : ndarray of float32
        Physical values; the first axis is gone through one by one, to take little memory.
    encoding : Encoding
        The integers' type, scale, offset and fill.
    """
    stored = np.empty(values.shape, encoding.dtype)
    for layer, out in zip(values, stored, strict=True):
        if not _encode_layer(layer, encoding, out):
            return None
    return stored


def _encode_layer(values: Array, encoding: Encoding, out: Array) -> bool:
    limits = np.iinfo(out.dtype)
    missing = np.isnan(values)
    counts = np.rint((values.astype("float64") - encoding.offset) / encoding.scale)
    if not ((counts >= limits.min) & (counts <= limits.max) | missing).all():
        return False
    out[...] = np.where(missing, encoding.fill, counts)
    return np.array_equal(decode(out, encoding), values, equal_nan=True)


def decode(stored: Array, encoding: Encoding) -> Array:
    """Physical float32 values, NaN for the fill: rounded once, from float64, as blocks are read."""
    if stored.size >= _MANY or stored.dtype.itemsize > 2:
        return _by_the_reader_of_blocks(stored, encoding)
    unsigned = np.ascontiguousarray(stored).view(f"uint{8 * stored.dtype.itemsize}")
    return np.asarray(_table(encoding)[unsigned])


_MANY = 2**18
"""Pixels from which the compiled code of the reader of blocks pays: it is eight times faster, once it is loaded."""


def _by_the_reader_of_blocks(stored: Array, encoding: Encoding) -> Array:
    flat = np.ascontiguousarray(stored).reshape(1, -1)
    out = np.empty(flat.shape, "float32")
    source = Source("", scale=encoding.scale, offset=encoding.offset)
    lay(out, Window(flat, nodata=encoding.fill), source, None, fresh=True)
    return out.reshape(stored.shape)


@lru_cache(maxsize=16)
def _table(encoding: Encoding) -> Array:
    """The value of every integer there is: no arithmetic is left to do, and no code to load for a pixel's series."""
    dtype = np.dtype(encoding.dtype)
    every = np.arange(2 ** (8 * dtype.itemsize), dtype=f"uint{8 * dtype.itemsize}").view(dtype)
    values = (every * np.float64(encoding.scale) + encoding.offset).astype("float32")
    values[every == encoding.fill] = np.nan
    return values
