"""Which rows and columns of a table are wanted: pushed down into every reader."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from earthlab.errors import BadRequest, did_you_mean
from earthlab.types import BBox, Period

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Selection:
    """A box in degrees, a period and the columns wanted; ``None``: all."""

    bbox: BBox | None = None
    period: Period | None = None
    columns: tuple[str, ...] | None = None

    def inside(self, longitude: Array, latitude: Array) -> Array:
        """Which places lie in the box; those without place only where there is no box."""
        if self.bbox is None:
            return np.ones(len(longitude), bool)
        found = np.zeros(len(longitude), bool)
        for part in self.bbox.parts():
            west, south, east, north = part.as_tuple()
            found |= (longitude >= west) & (longitude <= east) & (latitude >= south) & (latitude <= north)
        return found

    def during(self, times: "pd.Series[Any]") -> Array:
        """Which times (UTC) lie in the period; those without time only where there is no period."""
        found = np.ones(len(times), bool)
        if self.period is None:
            return found
        if self.period.start:
            found &= (times >= self.period.start).to_numpy()
        if self.period.end:
            found &= (times <= self.period.end).to_numpy()
        return found & times.notna().to_numpy()

    def wanted(self, names: list[str]) -> list[str]:
        """The names that were asked for, all of them where none was.

        Raises
        ------
        BadRequest
            For a column that is not there; the message offers the nearest.
        """
        if self.columns is None:
            return names
        missing = next((name for name in self.columns if name not in names), None)
        if missing is not None:
            raise BadRequest(f"columns: there is no {missing!r}. {did_you_mean(missing, names)}")
        return [name for name in names if name in self.columns]

    def describe(self) -> str:
        """The filters in words, for a refusal."""
        box = f"bbox={self.bbox.as_tuple()}" if self.bbox else ""
        time = f"time={self.period.as_stac()!r}" if self.period else ""
        return " and ".join(word for word in (box, time) if word)


def norm_longitude(values: Array) -> Array:
    """Longitudes from -180 to 180, whatever turn they were counted from."""
    beyond = (values < -180) | (values > 180)
    return np.where(beyond, (values + 180) % 360 - 180, values)


def require_degrees(longitude: Array, latitude: Array, names: tuple[str, str]) -> None:
    """Nothing, where the numbers can be degrees.

    Raises
    ------
    BadRequest
        Where they cannot: the message says which value is out of range.
    """
    for values, name, most in ((longitude, names[0], 360), (latitude, names[1], 90)):
        known = values[np.isfinite(values)]
        worst = known[np.argmax(np.abs(known))] if known.size else 0
        if abs(worst) > most:
            raise BadRequest(
                f"table: column {name!r} holds {worst:g}, expected degrees within ±{most}. It is not a place on Earth "
                "in EPSG:4326: convert projected coordinates first, or rename the column if it is something else."
            )
