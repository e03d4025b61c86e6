"""What is asked of the service, checked: nothing else than these words, each of its kind and within its bounds."""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request

from earthlab.errors import BadRequest
from earthlab.services import bodies
from earthlab.services.tiles.links import LONGEST_DAYS

_LONGEST = 300
_ORIGIN = re.compile(
    r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII
)
_STYLE = ("colormap", "low", "high")


async def read_object(request: Request, words: Collection[str]) -> Mapping[str, Any]:
    """The JSON object of a body, with some of these words and no others.

    Raises
    ------
    BadRequest
        For anything else.
    AskLess
        For a long one.
    """
    if request.query_params:
        raise BadRequest(f"This address takes no parameters: send an object with {', '.join(words)}.")
    return await bodies.read_object(request, words, less="Draw the area with fewer corners.")


def read_query(request: Request, words: Collection[str]) -> Mapping[str, str]:
    """The parameters of an address: some of these words, each once.

    Raises
    ------
    BadRequest
        For others, or one that comes twice.
    """
    pairs = request.query_params.multi_items()
    said = dict(pairs)
    if len(said) != len(pairs) or set(said) - set(words):
        raise BadRequest(f"Known parameters are {', '.join(words)}, each once.")
    return said


def text_of(said: Mapping[str, Any], name: str) -> str:
    """A short text that must be given.

    Raises
    ------
    BadRequest
        Where it is missing, or is none.
    """
    value = said.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise BadRequest(f"{name}: expected a text of at most {_LONGEST} characters.")
    return value


def number_of(said: Mapping[str, Any], name: str) -> float:
    """A finite number that must be given.

    Raises
    ------
    BadRequest
        Where it is missing, or is none.
    """
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequest(f"{name}: expected a number.")
    return float(value)


def days_of(said: Mapping[str, Any]) -> float:
    """For how long a layer is asked for.

    Raises
    ------
    BadRequest
        Beyond 90 days.
    """
    days = number_of({"days": LONGEST_DAYS, **said}, "days")
    if not 0 < days <= LONGEST_DAYS:
        raise BadRequest(f"days: found {days:g}, expected more than 0 and at most {LONGEST_DAYS}.")
    return days


def style_of(said: Mapping[str, Any]) -> Mapping[str, str]:
    """The words of a style, as texts; `earthlab.view.tiles.Style.parse` reads them.

    Raises
    ------
    BadRequest
        For other words, or other values than texts and numbers.
    """
    style = said.get("style") or {}
    if not isinstance(style, Mapping) or set(style) - set(_STYLE):
        raise BadRequest(f"style: expected an object with nothing but {', '.join(_STYLE)}.")
    given = {name: value for name, value in style.items() if value is not None}
    if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in given.values()):
        raise BadRequest("style: expected a name for colormap, and numbers for low and high.")
    return {name: str(value)[:_LONGEST] for name, value in given.items()}


def origin_of(said: Mapping[str, Any]) -> str | None:
    """Where the page that asks is, as ``https://lab.example``; None where it is not said.

    Raises
    ------
    BadRequest
        For anything else.
    """
    origin = said.get("origin")
    if origin is None:
        return None
    if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
        raise BadRequest("origin: expected the origin of the page, as https://lab.example or http://127.0.0.1:8000.")
    return origin


def geometry_of(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The geometry that must be given; what it is, `earthlab.view.series` says.

    Raises
    ------
    BadRequest
        Where it is no object.
    """
    geometry = said.get("geometry")
    if not isinstance(geometry, Mapping):
        raise BadRequest("geometry: expected a GeoJSON Polygon or MultiPolygon in degrees.")
    return geometry
