"""A source on a tile, where its placement is known: read once, gathered by the compiled kernels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from earthlab.cube.readers.gather import Given, gather_bilinear, gather_nearest
from earthlab.cube.readers.placement import Piece, Placement
from earthlab.cube.readers.window import Array, Window
from earthlab.errors import ReadFault

Read = Callable[[slice, slice], Array]
"""Rows and columns of a source to what it has there, 2-D."""

_UNMASKED = np.ones((1, 1), bool)


@dataclass(frozen=True, slots=True)
class Marks:
    """How a source marks what is no observation: a value that its dtype holds, a mask, both, or neither."""

    nodata: float | None = None
    valid: Read | None = None


def can_gather(dtype: str) -> bool:
    """Whether the kernels take values of this dtype: all of GDAL's but complex and half floats."""
    return np.dtype(dtype).kind in "biu" or dtype in {"float32", "float64"}


def resample(read: Read, placement: Placement, *, dtype: str, resampling: str, marks: Marks) -> Window | None:
    """A source on the tile of a placement.

    Parameters
    ----------
    read : callable
        Gives raw values; called once for each of the placement's pieces, of which there is one but at poles and seams.
    placement : Placement
        Where the tile lies in the source.
    dtype : str
        Of the source; see `can_gather`.
    resampling : str
        "nearest" or "bilinear".
    marks : Marks
        What is no observation.

    Returns
    -------
    Window or None
        The box of the tile that the source covers: for nearest in the source's dtype, for bilinear in float32 (float64
        for dtypes that float32 cannot hold) with NaN where there is no observation. ``None`` where they do not touch.
        What ``read`` raises is passed on.

    Raises
    ------
    ReadFault
        Where ``read`` gives another shape than was asked for.
    """
    if not placement.pieces:
        return None
    kind, picking = np.dtype(dtype), resampling == "nearest"
    rows, columns = placement.box
    shape, origin = (rows.stop - rows.start, columns.stop - columns.start), (rows.start, columns.start)
    out = np.full(shape, _fill(kind, marks.nodata) if picking else np.nan, kind if picking else float_for(kind))
    seen = np.zeros(shape if picking else (1, 1), bool)
    for piece in placement.pieces:
        part = (piece.rows.start, piece.rows.stop, piece.columns.start, piece.columns.stop)
        given = _given(read, piece, kind, marks)
        if picking:
            gather_nearest(out, seen, placement.lattice, given, part, origin)
        else:
            gather_bilinear(out, placement.lattice, given, part, origin)
    if not picking:
        return Window(out, *origin)
    told = marks.valid is None and (placement.whole or marks.nodata is not None or kind.kind == "f")
    return Window(out, *origin, marks.nodata, None if told else seen)


def float_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 where it holds every value of the dtype, else float64."""
    return np.dtype("float32") if np.can_cast(dtype, "float32") else np.dtype("float64")


def _given(read: Read, piece: Piece, dtype: np.dtype[Any], marks: Marks) -> Given:
    rows, columns = piece.source_rows, piece.source_columns
    values = np.ascontiguousarray(read(rows, columns), dtype)
    valid = _UNMASKED if marks.valid is None else np.ascontiguousarray(marks.valid(rows, columns), bool)
    expected = (rows.stop - rows.start, columns.stop - columns.start)
    if values.shape != expected or (marks.valid is not None and valid.shape != expected):
        raise ReadFault(f"a read gave {values.shape} pixels (mask {valid.shape}) where {expected} were expected.")
    nodata, marked = (dtype.type(0), False) if _is_nan(marks.nodata) else (_as(dtype, marks.nodata), True)
    return Given(values, rows.start, columns.start, nodata, marked, valid, marks.valid is not None)


def _fill(dtype: np.dtype[Any], nodata: float | None) -> Any:
    if not _is_nan(nodata):
        return _as(dtype, nodata)
    return dtype.type(np.nan if dtype.kind == "f" else 0)


def _is_nan(nodata: float | None) -> bool:
    return nodata is None or math.isnan(nodata)


def _as(dtype: np.dtype[Any], nodata: float | None) -> Any:
    with np.errstate(over="ignore"):
        return np.float64(nodata).astype(dtype) if dtype.kind == "f" else dtype.type(int(nodata or 0))
