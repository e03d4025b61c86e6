"""What an analysis asks of a table."""

import pandas as pd

from earthlab.errors import BadRequest, did_you_mean


def check_columns(frame: pd.DataFrame, names: tuple[str, ...], verb: str) -> None:
    """Nothing, where the table has all the columns.

    Raises
    ------
    BadRequest
        Where it lacks one.
    """
    for name in names:
        if name not in frame.columns:
            raise BadRequest(f"{verb}: the table has no column {name!r}. {did_you_mean(name, map(str, frame.columns))}")
