"""How a loop is compiled: at its first call, without the interpreter's lock, and kept on disk where possible."""

import functools
import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

Array = np.ndarray[Any, np.dtype[Any]]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, compiled for the types of its first call (about a second) and then cached.

    The cache lies beside the module, else in the user's cache folder, else where ``NUMBA_CACHE_DIR`` says. Where none
    of these can be written, or one of them fails later, the process compiles for itself.
    """
    kernel = _cached(function)

    @functools.wraps(function)
    def call(*args: P.args, **words: P.kwargs) -> R:
        nonlocal kernel
        try:
            return kernel(*args, **words)
        except OSError:  # of the cache: a full disk, a folder that went away
            kernel = _uncached(function)
            return kernel(*args, **words)

    return call


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A small function that becomes part of each kernel that calls it."""
    return cast("Callable[P, R]", numba.njit(inline="always", error_model="numpy")(function))


def called(function: Callable[P, R]) -> Callable[P, R]:
    """A larger function that kernels call: compiled once for its types, whichever those of the kernels are."""
    return cast("Callable[P, R]", numba.njit(nogil=True, error_model="numpy")(function))


def _cached(function: Callable[P, R]) -> Callable[P, R]:
    try:
        return cast("Callable[P, R]", numba.njit(nogil=True, cache=True, error_model="numpy")(function))
    except RuntimeError:  # no folder for a cache can be written
        return _uncached(function)


def _uncached(function: Callable[P, R]) -> Callable[P, R]:
    return cast("Callable[P, R]", numba.njit(nogil=True, error_model="numpy")(function))


def as_columns(values: Any) -> Array:
    """The array as floats (time, pixel) in one piece of memory, shared with the argument wherever it already is so.

    float32 stays so and small integers become it; float64 and large integers become float64. The result is read-only,
    so that a kernel is compiled once whether its input came from memory or from a worker's frames.
    """
    kept = np.require(values, dtype=floats_for(values.dtype), requirements=["C", "A"])
    columns = kept.reshape(kept.shape[0], math.prod(kept.shape[1:]))
    columns.flags.writeable = False
    return columns


def floats_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 where it holds every value of ``dtype``, else float64."""
    return np.dtype("float32") if np.result_type(dtype, "float32") == np.dtype("float32") else np.dtype("float64")
