"""Where place= is: names as people write them, codes, and names that several places share."""

import warnings

import pytest

from earthlab.catalog.gazetteer import _lines as lines
from earthlab.catalog.gazetteer import parse_line, place_of_code
from earthlab.catalog.places import find_place, match_places, resolve_place, suggest_places
from earthlab.errors import BadRequest, EarthlabWarning
from earthlab.types import BBox


def box(code: str) -> BBox:
    place = place_of_code(code)
    assert place is not None
    return place.bbox


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Montpellier", "34172"),
        ("  MONTPELLIER ", "34172"),
        ("34172", "34172"),
        ("2a004", "2A004"),
        ("Hérault", "D34"),
        ("l'Hérault", "D34"),
        ("herault", "D34"),
        ("34", "D34"),
        ("D34", "D34"),
        ("d2A", "D2A"),
        ("971", "D971"),
        ("R76", "R76"),
        ("Occitanie", "R76"),
        ("Réunion", "D974"),
        ("La Réunion", "D974"),
        ("Ile de France", "R11"),
        ("St-Étienne", "42218"),
        ("saint etienne", "42218"),
        ("L’Isle-Adam", "95313"),
        ("Chalon s/ Saône", "71076"),
        ("Havre", "76351"),
        ("Saint-Denis (93)", "93066"),
        ("Saint-Denis (D93)", "93066"),
        ("Saint-Denis (Réunion)", "97411"),
        ("saint denis, la reunion", "97411"),
        ("Saint-Denis (R76)", None),
        ("Saint-Denis (Aude)", "11339"),
        ("Saint-Denis (97411)", "97411"),
        ("Vienne (86)", "D86"),
        ("Vienne (Isère)", "38544"),
        ("Paris", "75056"),
        ("Lyon", "69123"),
        ("Corse", "R94"),
    ],
)
def test_names_and_codes_are_understood_as_people_write_them(name, code):
    if code is None:
        assert len(match_places(name)) > 1
        return
    assert resolve_place(name) == box(code)


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("Londres", (-0.13, 51.5)),
        ("London", (-0.13, 51.5)),
        ("Vienne (Autriche)", (16.37, 48.21)),
        ("Vienne, Austria", (16.37, 48.21)),
        ("Cologne (DE)", (6.96, 50.94)),
        ("New York", (-74.0, 40.7)),
        ("Nouméa", (166.45, -22.27)),
        ("Papeete", (-149.57, -17.54)),
        ("Allemagne", (10, 51)),
        ("Germany", (10, 51)),
        ("France", (2, 47)),
        ("Midi-Pyrénées", (1.4, 43.6)),
    ],
)
def test_the_world_is_found_in_french_and_english(name, around):
    found, (longitude, latitude) = resolve_place(name), around
    assert found.west < longitude < found.east
    assert found.south < latitude < found.north


def test_a_country_on_both_sides_of_the_antimeridian_has_a_narrow_box():
    found = resolve_place("Fidji")
    assert found.west > found.east
    assert found.parts()[0].east - found.parts()[0].west < 5


@pytest.mark.parametrize("name", ["Bouconne", "toulouse"])
def test_places_of_the_lab_go_before_the_gazetteer(name):
    assert resolve_place(name).as_tuple() in {(1.17, 43.60, 1.30, 43.69), (1.35, 43.53, 1.52, 43.67)}


def test_a_name_of_several_places_is_refused_with_each_in_a_form_that_is_understood():
    with pytest.raises(BadRequest, match=r'is the name of 4 places\. Say which: "Saint-Denis \(974\)"') as refusal:
        resolve_place("Saint-Denis")
    offered = [part.strip('"') for part in str(refusal.value).split("Say which: ")[1].rstrip(".").split(", ")]
    assert [resolve_place(one) for one in offered] == [box(c) for c in ("97411", "93066", "11339", "30247")]
    assert find_place("Saint-Denis") is None


def test_a_foreign_city_ten_times_as_large_is_not_passed_over():
    with pytest.raises(BadRequest, match=r'"Cologne \(DE\)", "Cologne \(32\)"'):
        resolve_place("Cologne")


def test_the_largest_by_far_is_taken_and_the_others_are_named():
    with pytest.warns(EarthlabWarning, match=r"'Châtillon' is taken as \"Châtillon \(92\)\".*\(69\)"):
        assert resolve_place("Châtillon") == box("92020")
    with pytest.warns(EarthlabWarning, match=r'Others: "Brest \(BY\)"'):
        assert resolve_place("Brest") == box("29019")


def test_very_small_namesakes_are_not_worth_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_place("Bretagne") == box("R53")
        assert resolve_place("Paris") == box("75056")


def test_what_is_nowhere_is_refused_with_the_nearest_names():
    with pytest.raises(BadRequest, match=r"'Montpelier' is not in the lab's gazetteer\. Nearest: Montpellier"):
        resolve_place("Montpelier")
    for nowhere in ("99999", "", "()", "Nowhere (34)", "Montpellier (Oise)", "R99", "\t", "(" * 9999, "a, " * 999):
        with pytest.raises(BadRequest, match="is not in the lab's gazetteer"):
            resolve_place(nowhere)


def test_every_label_means_its_own_place():
    wrong = [p.label for p in map(parse_line, lines()[::11]) if find_place(p.label) != p.bbox]
    assert wrong == []


def test_most_of_the_large_communes_need_no_more_than_their_name():
    communes = sorted((p for p in map(parse_line, lines()) if p.kind == "commune"), key=lambda p: -p.population)
    found = [find_place(place.name) is not None for place in communes[:300]]
    assert sum(found) > 285


def test_suggestions_are_what_place_understands():
    found = suggest_places("bou")
    assert found[0].label == "Bouconne"
    assert len(found) == 10
    assert [resolve_place(place.label) for place in found] == [place.bbox for place in found]
    assert suggest_places("saint-den", most=1)[0].label == "Saint-Denis (974)"
    assert suggest_places("") == suggest_places("'") == ()
