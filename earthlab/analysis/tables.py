"""What an analysis asks of a table: its columns, dates that are dates, numbers that are numbers."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from earthlab.analysis.frames import as_dates
from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest, did_you_mean


def check_columns(frame: pd.DataFrame, names: tuple[str, ...], verb: str) -> None:
    """Nothing, where the table has all the columns.

    Raises
    ------
    BadRequest
        Where it lacks one.
    """
    if not isinstance(frame, pd.DataFrame):
        raise BadRequest(f"{verb}: expected a table (DataFrame), found {type(frame).__name__}.")
    for name in names:
        if name not in frame.columns:
            raise BadRequest(f"{verb}: the table has no column {name!r}. {did_you_mean(name, map(str, frame.columns))}")


def moments_in(frame: pd.DataFrame, name: str, verb: str) -> pd.DatetimeIndex:
    """The dates of a column in UTC and without saying so, NaT where there is none.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row an observation.
    name : str
        Of its column of dates, of any time zone, of days of Python, or of ISO 8601 words.
    verb : str
        Who asks, for the message.

    Raises
    ------
    BadRequest
        Without the column, or for anything else in it: a number is no date, and of "03/04/2020" nobody knows the month.
    """
    check_columns(frame, (name,), verb)
    return dates_of_labels(frame[name], f"column {name!r}", verb)


def dates_of_labels(labels: Iterable[Any], what: str, verb: str) -> pd.DatetimeIndex:
    """Labels as dates, as `moments_in` has them.

    Raises
    ------
    BadRequest
        As `moments_in`; the message names ``what``.
    """
    given: pd.Series[Any] = pd.Series(pd.Index(labels))
    if isinstance(given.dtype, pd.PeriodDtype):
        given = pd.Series(given.dt.to_timestamp())
    if pd.api.types.is_datetime64_any_dtype(given.dtype):
        return pd.DatetimeIndex(as_dates(pd.DatetimeIndex(given))).as_unit("ns")
    known = given.notna().to_numpy()
    dates = as_dates(pd.Index(given[known].astype("object").infer_objects()))
    if known.any() and not isinstance(dates, pd.DatetimeIndex):
        shown = str(given[known].iloc[0])
        raise BadRequest(
            f"{verb}: {what} holds {shown!r:.40}, expected dates. Convert: pandas.to_datetime(…, dayfirst=True) for "
            "French dates, format='%Y' for years."
        )
    found = np.full(len(given), np.datetime64("NaT", "ns"))
    found[known] = dates.to_numpy("datetime64[ns]")
    return pd.DatetimeIndex(found)


def numbers_in(frame: pd.DataFrame, name: str, verb: str) -> Array:
    """The numbers of a column as float64, NaN where there is none or an infinite one.

    Raises
    ------
    BadRequest
        Without the column, or for text that is no number, such as ``"<0.1"`` or ``"1,5"``.
    """
    check_columns(frame, (name,), verb)
    column = frame[name]
    plain = column if pd.api.types.is_numeric_dtype(column.dtype) else column.astype("object")
    try:
        values = pd.to_numeric(plain).to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError) as exc:
        raise BadRequest(
            f"{verb}: column {name!r} holds {column.dtype}, expected numbers: {exc}. Read it with decimal=',', or say "
            "what a value below a limit counts for."
        ) from exc
    return np.where(np.isfinite(values), values, np.nan)
