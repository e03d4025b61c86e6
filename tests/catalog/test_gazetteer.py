"""The gazetteer's file: complete, consistent, small, quick, and as its maker writes it."""

import subprocess
import sys
from collections import Counter
from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from earthlab.catalog.gazetteer import KINDS, Place, fold, largest_beginning, parse_line, place_of_code, write_line
from earthlab.catalog.gazetteer import _lines as lines
from earthlab.types import BBox

FILE = files("earthlab.catalog") / "gazetteer.tsv.gz"


@pytest.fixture(scope="module")
def places() -> list[Place]:
    return [parse_line(line) for line in lines()]


def test_france_is_complete(places):
    """INSEE, Code officiel géographique 2026: 18 regions, 101 departments, 34,875 communes of them."""
    counts = Counter(place.kind for place in places)
    assert counts["region"] == 18
    assert counts["department"] == 101
    assert counts["commune"] >= 34_870


def test_the_file_is_small_and_states_its_sources():
    import gzip

    packed = FILE.read_bytes()
    assert len(packed) < 2_000_000
    header = "".join(line for line in gzip.decompress(packed).decode().splitlines(keepends=True) if line[0] == "#")
    for word in (
        "INSEE",
        "2026-01-01",
        "IGN ADMIN EXPRESS",
        "Licence Ouverte",
        "GeoNames",
        "CC BY 4.0",
        "Natural Earth",
    ):
        assert word in header


def test_lines_are_in_order_and_survive_writing(places):
    assert lines() == sorted(lines())
    assert [write_line(place) for place in places[::50]] == lines()[::50]


def test_every_commune_lies_in_its_department_and_that_in_its_region(places):
    for place in places:
        if place.kind not in {"commune", "department"}:
            continue
        around = place_of_code(place.within)
        assert around is not None
        inner, outer = place.bbox, around.bbox
        # outlines of two levels are simplified apart, by some hundred metres
        assert inner.west >= outer.west - 0.02, place
        assert inner.east <= outer.east + 0.02, place
        assert inner.south >= outer.south - 0.02, place
        assert inner.north <= outer.north + 0.02, place


def test_the_people_of_departments_are_those_of_the_regions(places):
    people = Counter()
    for place in places:
        if place.kind == "department":
            people[place.within] += place.population
    assert people == {place.code: place.population for place in places if place.kind == "region"}


# Population de référence of 2023, INSEE; extreme points of the territory of the commune, IGN, to a kilometre
FIGURES = [
    ("34172", "Montpellier", 43.61, 3.88, 300_000),
    ("75056", "Paris", 48.86, 2.35, 2_100_000),
    ("97411", "Saint-Denis", -20.93, 55.45, 150_000),
    ("2A004", "Ajaccio", 41.93, 8.74, 75_000),
    ("97302", "Cayenne", 4.93, -52.33, 60_000),
    ("97611", "Mamoudzou", -12.78, 45.23, 70_000),
]


@pytest.mark.parametrize(("code", "name", "latitude", "longitude", "people"), FIGURES)
def test_known_communes_are_where_they_are(code, name, latitude, longitude, people):
    place = place_of_code(code)
    assert place is not None
    assert place.name == name
    assert place.bbox.west < longitude < place.bbox.east
    assert place.bbox.south < latitude < place.bbox.north
    assert place.population == pytest.approx(people, rel=0.15)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("L’Isle-Adam", "l isle adam"),
        ("ST-ÉTIENNE", "saint etienne"),
        ("Ste Marie", "sainte marie"),
        ("Chalon s/ Saône", "chalon sur saone"),
        ("Œting", "oeting"),
        ("  Aÿ   Champagne", "ay champagne"),
        ("Straße", "strasse"),
        ("-", ""),
    ],
)
def test_names_are_folded_to_what_people_type(name, folded):
    assert fold(name) == folded


@given(st.text(max_size=30))
@example("\N{MODIFIER LETTER CAPITAL A}")
@example("\N{SQUARED LATIN CAPITAL LETTER A}in")
def test_folding_folds_once(name):
    assert fold(fold(name)) == fold(name)


NAMES = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(NAMES, st.sampled_from(sorted(KINDS.values())), st.integers(0, 10**9), st.booleans())
def test_any_place_survives_its_line(name, kind, people, alias):
    place = Place(name, kind, "X1", "", "X", people, BBox(-1.5, 2, 3.125, 4), alias=alias)
    assert parse_line(write_line(place)) == place


def test_suggestions_put_the_largest_first_and_france_before_the_world():
    assert [place.name for place in largest_beginning("montpel", 2)] == ["Montpellier", "Montpellier-de-Médillan"]
    assert largest_beginning("paris", 1)[0].country == "FR"
    assert largest_beginning(" - ", 5) == ()


def test_a_look_up_is_quick_and_needs_no_table_library():
    """The first opens the file; the bounds leave room for a machine that is busy with other tests."""
    code = (
        "import time\n"
        "from earthlab.catalog import gazetteer as g\n"
        "began = time.process_time()\n"
        "g.places_named('Montpellier'), g.place_of_code('34172')\n"
        "opened = time.process_time()\n"
        "[g.places_named(name) for name in ('Lyon', 'Brest', 'Vannes', 'Nantes')]\n"
        "print(opened - began, (time.process_time() - opened) / 4)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    first, later = map(float, shown.split())
    assert first < 0.2
    assert later < 0.001


def test_importing_the_library_does_not_load_the_table():
    code = "import sys, earthlab; print('pandas' in sys.modules, 'earthlab.catalog.gazetteer' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False"]
