"""Places by name, offline: accents, case and hyphens do not matter."""

import tomllib
import unicodedata
from functools import lru_cache
from importlib.resources import files

from earthlab.errors import BadRequest, did_you_mean
from earthlab.types import BBox


def resolve_place(name: str) -> BBox:
    """The box of a named place.

    Raises
    ------
    BadRequest
        Where no place is called so; the message lists the nearest names and the way without a name.
    """
    box = find_place(name) if isinstance(name, str) else None
    if box is None:
        raise BadRequest(
            f"place: {name!r} is not in the lab's gazetteer. {did_you_mean(name, _names())} "
            "Or give bbox=(west, south, east, north) in degrees."
        )
    return box


def find_place(name: str) -> BBox | None:
    """The box of a named place, or ``None`` where none is called so."""
    return _places().get(_fold(name))


@lru_cache(maxsize=1)
def _table() -> dict[str, BBox]:
    text = (files("earthlab.catalog") / "places.toml").read_text("utf-8")
    return {name: BBox(*box) for name, box in tomllib.loads(text)["places"].items()}


def _names() -> tuple[str, ...]:
    return tuple(_table())


@lru_cache(maxsize=1)
def _places() -> dict[str, BBox]:
    return {_fold(name): box for name, box in _table().items()}


def _fold(name: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    return " ".join(bare.casefold().replace("-", " ").split())
