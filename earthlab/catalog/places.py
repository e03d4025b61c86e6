"""Where ``place=`` is: names and codes, offline; accents, case, hyphens, apostrophes and "St" do not matter.

A name that several places have means the one with the most inhabitants, where it has ten times as many as any other of
its country; a place in France goes before one abroad, unless that has ten times as many. A warning names the others,
unless they are very small beside it. Where none is clearly meant the name is refused with the candidates, each in a
form that means it alone: ``"Saint-Denis (93)"``. In brackets, or after a comma, stands a code or a name of the place
or of what it lies in: ``"Saint-Denis (Réunion)"``, ``"Vienne, Autriche"``.
"""

import re
import tomllib
import warnings
from functools import lru_cache
from importlib.resources import files

from earthlab.catalog.gazetteer import (
    Place,
    fold,
    largest_beginning,
    names_around,
    place_of_code,
    places_named,
)
from earthlab.errors import BadRequest, EarthlabWarning, did_you_mean
from earthlab.types import BBox

CLEARLY = 10
"""A place is meant without more words where it has so many times the inhabitants of its namesakes."""

_SILENTLY = 20
_LONGEST = 200
_MOST_LISTED = 8
_QUALIFIED = re.compile(r"(?P<name>.+)(?:\((?P<inside>[^()]+)\)|,(?P<after>[^(),]+))\s*")


def resolve_place(name: str) -> BBox:
    """The box of a named place.

    Parameters
    ----------
    name : str
        A place of the lab, a commune, department or region of France, a country or a city, or a code of INSEE:
        ``"34172"``, ``"34"`` or ``"D34"``, ``"R76"``.

    Returns
    -------
    BBox
        Around the outline, to thousandths of a degree; of a city outside France around its centre.

    Warns
    -----
    EarthlabWarning
        Where the largest of several places was taken; the message names the others.

    Raises
    ------
    BadRequest
        Where no place is called so, with the nearest names; where several are and none is clearly meant, with all.
    """
    found = match_places(name) if isinstance(name, str) else ()
    if not found:
        raise BadRequest(
            f"place: {name!r} is not in the lab's gazetteer. {did_you_mean(name, _near(name))} "
            "Or give bbox=(west, south, east, north) in degrees."
        )
    chosen = _clear_choice(found)
    if chosen is None:
        raise BadRequest(f"place: {name!r} is the name of {len(found)} places. Say which: {_listed(found)}.")
    rivals = [place for place in found if _is_rival(place, chosen)]
    if rivals:
        warnings.warn(
            f'place: {name!r} is taken as "{chosen.label}". Others: {_listed(rivals)}.',
            EarthlabWarning,
            stacklevel=4,  # the caller of el.search
        )
    return chosen.bbox


def find_place(name: str) -> BBox | None:
    """The box of a named place as `resolve_place` gives it, or ``None`` where it refuses the name."""
    chosen = _clear_choice(match_places(name))
    return chosen.bbox if chosen else None


def suggest_places(prefix: str, *, most: int = 10) -> tuple[Place, ...]:
    """The places whose names begin so, for a panel that completes what is typed.

    Parameters
    ----------
    prefix : str
        What was typed so far; accents and case do not matter.
    most : int
        The longest answer.

    Returns
    -------
    tuple of Place
        Places of the lab first, then most inhabitants first. The ``label`` of each is understood by ``place=``.
    """
    key = fold(prefix)
    own = [place for folded, place in _own_places().items() if key and folded.startswith(key)]
    return (*own, *largest_beginning(prefix, most))[:most]


@lru_cache(maxsize=1024)
def match_places(name: str) -> tuple[Place, ...]:
    """Every place that a name or code can mean, most inhabitants first; empty where there is none."""
    own = _own_places().get(fold(name))
    coded = own or place_of_code(name)
    return (coded,) if coded else places_named(name) or _qualified(name)


def _qualified(name: str) -> tuple[Place, ...]:
    found = _QUALIFIED.fullmatch(name) if len(name) <= _LONGEST else None
    if not found:
        return ()
    asked = fold(found["inside"] or found["after"])
    places = places_named(found["name"])
    exact = [place for place in places if fold(place.mark) == asked]
    return tuple(exact or [place for place in places if _says(asked, place)])


def _says(asked: str, place: Place) -> bool:
    around = names_around(place)
    return asked in around or any(f"{article} {asked}" in around for article in ("le", "la", "les", "l"))


def _clear_choice(found: tuple[Place, ...]) -> Place | None:
    if not found:
        return None
    chosen = next((place for place in found if place.country == "FR"), found[0])
    return chosen if all(_is_clear(chosen, other) for other in found) else None


def _is_clear(chosen: Place, other: Place) -> bool:
    if other is chosen or _same(chosen, other):
        return True
    if chosen.country != "FR" or other.country == "FR":
        return chosen.population >= CLEARLY * other.population
    return other.population < CLEARLY * chosen.population


def _is_rival(other: Place, chosen: Place) -> bool:
    near = 1 if chosen.country == "FR" != other.country else _SILENTLY
    return not (other is chosen or _same(other, chosen)) and other.population * near > chosen.population


def _same(one: Place, other: Place) -> bool:
    """A region of one department, and a city that is one, are the same place twice."""
    return one.population == other.population and one.country == other.country == "FR"


def _listed(found: "tuple[Place, ...] | list[Place]") -> str:
    shown = [f'"{place.label}"' for place in found[:_MOST_LISTED]]
    rest = len(found) - len(shown)
    return ", ".join(shown) + (f" and {rest} more, by their codes" if rest > 0 else "")


def _near(name: object) -> list[str]:
    own = [place.name for place in _own_places().values()]
    return own + [place.name for place in largest_beginning(str(name)[:3], 3000)]


@lru_cache(maxsize=1)
def _own_places() -> dict[str, Place]:
    text = (files("earthlab.catalog") / "places.toml").read_text("utf-8")
    table = tomllib.loads(text)["places"]
    return {fold(name): Place(name, "lab", "", "", "", 0, BBox(*box)) for name, box in table.items()}
