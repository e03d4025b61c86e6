"""Collections are found by theme, in the words of either language and by the concepts of the thesauri."""

import pytest

import earthlab as el
from earthlab.catalog.profiles import find_profile, load_poles
from earthlab.catalog.themes import has_theme, load_themes, norm_word, resolve_theme
from earthlab.errors import BadRequest

SNOW = "THEIA_SNOW_SENTINEL2_L2B"


@pytest.mark.parametrize("word", ["neige", "Neiges", "NEIGE", "snow", "snow cover", "manteau neigeux", "enneigement"])
def test_words_and_synonyms_of_either_language_find_the_same(word):
    assert resolve_theme(word) == resolve_theme("neige")
    assert SNOW in resolve_theme(word)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Humidité des sols", "humidite du sol"),
        ("les rivières", "rivière"),
        ("eaux", "l'eau"),
        ("animaux", "animal"),
        ("niveaux", "niveau"),
        ("forests", "Forest"),
        ("cities", "city"),
        ("phénologie", "phenology"),
        ("biomass", "BIOMASS"),
    ],
)
def test_case_accents_number_and_little_words_do_not_matter(one, other):
    assert norm_word(one) == norm_word(other)


@pytest.mark.parametrize(("one", "other"), [("mer", "mère nature"), ("sol", "solaire"), ("lac", "glace")])
def test_a_theme_is_a_word_and_not_a_part_of_one(one, other):
    assert norm_word(one) != norm_word(other)


def test_a_theme_has_its_narrower_ones_too():
    water = set(resolve_theme("eau"))
    assert set(resolve_theme("lacs")) | set(resolve_theme("rivers")) | set(resolve_theme("soil moisture")) <= water
    assert not set(resolve_theme("lacs")) >= water


@pytest.mark.parametrize(
    ("concept", "collection"),
    [
        ("http://inspire.ec.europa.eu/theme/el", "cop-dem-glo-30"),
        ("https://inspire.ec.europa.eu/theme/el/", "cop-dem-glo-30"),
        (
            "https://vocab.nerc.ac.uk/standard_name/sea_surface_temperature/",
            "SST_GLO_SST_L4_REP_OBSERVATIONS_010_011",
        ),
        ("http://vocab.nerc.ac.uk/standard_name/sea_water_turbidity", "OCEANCOLOUR_MED_BGC_HR_L4_NRT_009_211"),
        ("https://w3id.org/ozcar-theia/c_7742e5f0", "theia-ozcar"),
    ],
)
def test_the_address_of_a_concept_finds_what_has_it(concept, collection):
    assert collection in resolve_theme(concept)


def test_a_word_that_no_theme_has_is_refused_with_the_nearest():
    with pytest.raises(BadRequest, match=r"found 'nege', expected a word such as 'neige'.*Nearest: neige"):
        resolve_theme("nege")
    with pytest.raises(BadRequest, match=r"theme: found 'http://inspire\.ec\.europa\.eu/theme/zz'"):
        resolve_theme("http://inspire.ec.europa.eu/theme/zz")


def test_every_word_of_the_table_and_of_the_descriptors_finds_something():
    words = [word for theme in load_themes().values() for word in (*theme.words, *theme.concepts)]
    profiles = [profile for pole in load_poles() for profile in pole.collections]
    words += [word for profile in profiles for each in profile.themes.values() for word in each]
    words += [concept for profile in profiles for concept in profile.concepts]
    for word in dict.fromkeys(words):
        assert resolve_theme(word), word


def test_every_word_of_a_descriptor_is_in_the_table_and_has_the_other_language():
    known = {norm_word(word) for theme in load_themes().values() for word in theme.words}
    for pole in load_poles():
        for profile in pole.collections:
            assert {bool(words) for words in profile.themes.values()} == {True}, profile.id
            strange = {word for words in profile.themes.values() for word in words if norm_word(word) not in known}
            assert profile.pole == "simulation" or not strange, (profile.id, strange)


def test_a_theme_of_a_descriptor_of_the_labs_own_is_found(bare_environment, monkeypatch):
    (bare_environment / "poles").mkdir()
    (bare_environment / "poles" / "essai.toml").write_text(
        'id = "essai"\ntitle = { fr = "Essai", en = "Trial" }\nportal = ""\n'
        '[[collections]]\nid = "essai-tourbe"\ntitle = { fr = "Tourbe", en = "Peat" }\n'
        'themes = { fr = ["tourbières"], en = ["peatlands"] }\nlicence = "CC0-1.0"\n'
        'access = "open"\ncitation = "Essai."\n'
    )
    monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(bare_environment / "poles"))
    assert resolve_theme("Tourbière") == resolve_theme("peatland") == ("essai-tourbe",)


def test_the_table_of_collections_is_filtered_by_the_words_of_descriptors(bare_environment):
    table = el.collections(theme="neige")
    assert SNOW in table.index
    assert set(table.index) <= set(resolve_theme("neige"))
    assert all(find_profile(name) for name in table.index)


def test_a_synonym_a_narrower_theme_and_the_beginning_of_a_word_find_a_collection():
    assert has_theme("enneigement", ["neige"])
    assert has_theme("Végét", ["végétation"])
    assert not has_theme("scorbut", ["végétation", "neige"])
