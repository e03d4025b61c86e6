"""The rules of licensed collections: every way to be refused, and the one way in."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import SetupError
from earthlab.rights import Person, find_rules, judge, load_rules, norm_address, parse_rule

TODAY = date(2026, 11, 21)
SCOPE = "custom:earthlab:dinamis:read"
MINE = {"dinamis-science": {}, "org-laboratoire": {"dinamis-charter": "2025-03-01"}}


def dinamis():
    (rule,) = find_rules("dinamis")
    return rule


def person(groups=None, *, scopes=(SCOPE,), shared=False):
    return Person("ana", MINE if groups is None else groups, frozenset(scopes), shared)


def test_a_scientist_whose_organisation_signed_the_charter_may_read():
    verdict = judge(dinamis(), person(), TODAY)
    assert verdict.allowed
    assert verdict.category is not None
    assert verdict.category.group == "dinamis-science"


@pytest.mark.parametrize(
    ("who", "says"),
    [
        (person({}), "aucune catégorie"),
        (person({"dinamis-science": {}}), "charte signée"),
        (person({"org-laboratoire": MINE["org-laboratoire"]}), "aucune catégorie"),
        (person({"dinamis-private": {}, "org-x": {"dinamis-charter": "2025-03-01"}}), "commander"),
        (person({"dinamis-science": {}, "org-x": {"dinamis-charter": "2027-01-01"}}), "en vigueur"),
        (person({"dinamis-science": {}, "org-x": {"dinamis-charter": "2020-01-01/2026-11-20"}}), "en vigueur"),
        (person({"dinamis-science": {}, "org-x": {"dinamis-charter": "soon"}}), "ne peut être lue"),
        (person(scopes=()), "redémarrez"),
        (person(shared=True), "partagé"),
    ],
)
def test_what_is_missing_is_named_with_the_way_to_get_it(who, says):
    verdict = judge(dinamis(), who, TODAY)
    assert not verdict.allowed
    assert says in verdict.reason["fr"]
    assert "https://dinamis.data-terra.org" in verdict.how["fr"]
    assert " / " in verdict.sentence()


def test_a_charter_counts_on_its_first_and_last_day():
    groups = {"dinamis-public": {}, "org-x": {"dinamis-charter": "2026-11-21/2026-11-21"}}
    assert judge(dinamis(), person(groups), TODAY).allowed


@pytest.mark.parametrize(
    "written",
    [
        "15/01/2026",
        "2026/01/15",
        "2026-01-15/",
        "2026-01-15/..",
        "2026-01-15 ",
        "20260115",
        "2026-W03-4",
        "2026-02-30",
        "2026-01-15/2025-01-15",
        "2026-01-15/2028-12-31/2030-01-01",
        "oui",
        "\u0662\u0660\u0662\u0666-01-15",
    ],
)
def test_a_charter_date_that_was_mistyped_opens_nothing_and_says_how_to_write_it(written):
    verdict = judge(dinamis(), person({"dinamis-science": {}, "org-x": {"dinamis-charter": written}}), TODAY)
    assert not verdict.allowed
    assert "2026-01-15/2028-12-31" in verdict.reason["fr"]
    assert "cannot be read" in verdict.reason["en"]


def test_a_mistyped_charter_of_one_organisation_takes_nothing_from_another():
    groups = {"dinamis-science": {}, "org-x": {"dinamis-charter": "soon"}, "org-y": {"dinamis-charter": "2026-01-15"}}
    assert judge(dinamis(), person(groups), TODAY).allowed


@given(
    st.dictionaries(
        st.sampled_from(["dinamis-science", "dinamis-private", "org-x", "staff", ""]),
        st.dictionaries(st.sampled_from(["dinamis-charter", "other"]), st.text(max_size=22)),
    ),
    st.booleans(),
    st.booleans(),
)
def test_nobody_is_allowed_without_category_charter_and_scope(groups, scoped, shared):
    verdict = judge(dinamis(), person(groups, scopes=(SCOPE,) if scoped else (), shared=shared), TODAY)
    if verdict.allowed:
        assert "dinamis-science" in groups
        assert any("dinamis-charter" in properties for properties in groups.values())
        assert scoped
        assert not shared


def test_what_is_open_has_no_rule_and_a_class_of_several_has_all_of_theirs():
    assert find_rules("open") == ()
    assert find_rules("dinamis--other") == find_rules("dinamis") == (dinamis(),)


def test_every_rule_says_its_source_and_both_languages():
    for rule in load_rules():
        assert rule.source
        for words in (rule.title, rule.reason, rule.how, *(c.title for c in rule.categories)):
            assert set(words) == {"fr", "en"}


@pytest.mark.parametrize(
    "table", [{}, {"id": "x"}, {"id": "x", "categories": [{"group": "g"}]}, {"id": "x", "categories": [], "extra": 1}]
)
def test_a_rule_with_missing_or_unknown_words_is_refused(table):
    with pytest.raises(SetupError, match="cannot be understood"):
        parse_rule(table)


WORDS = {"fr": "mot", "en": "word"}
TABLE = {
    "id": "images",
    "title": WORDS,
    "scope": "custom:earthlab:images:read",
    "charter": "images-charter",
    "reason": WORDS,
    "how": WORDS,
    "source": "a test",
    "categories": [{"group": "readers", "title": WORDS, "reads": True}],
}


@pytest.mark.parametrize("name", ["open", "", "../x", "Images", "a--b", "-a", "a_b", "a" * 15, "é", "a\n"])
def test_a_rule_is_called_so_that_a_group_and_a_folder_can_be(name):
    with pytest.raises(SetupError, match="cannot name a rule"):
        parse_rule({**TABLE, "id": name})


@pytest.mark.parametrize(
    "href",
    [
        "https://store.example.org",
        "https://store.example.org/bucket",
        "https://Store.example.org/bucket/",
        "https://store.example.org:443/bucket/",
        "https://store.example.org/Pléiades/",
        "https://store.example.org/%70leiades/",
        "https://store.example.org/a b/",
        "https://store.example.org/a/../b/",
        "http://store.example.org/a/",
        "https://store.example.org/a/?b",
        "ftp://store.example.org/a/",
    ],
)
def test_a_rule_that_would_guard_nothing_is_refused(href):
    with pytest.raises(SetupError, match="which no address would be found to begin with"):
        parse_rule({**TABLE, "hrefs": [href]})


def test_a_guarded_folder_is_guarded_itself_and_what_only_begins_alike_is_not():
    rule = parse_rule({**TABLE, "hrefs": ["https://store.example.org/bucket/", "s3://images/"]})
    for href in (
        "https://store.example.org/bucket",
        "https://store.example.org/bucket/a",
        "s3://images",
        "s3://images/a",
    ):
        assert rule.guards(href)
    for href in ("https://store.example.org/buckets/a", "https://store.example.org/", "s3://images2/a"):
        assert not rule.guards(href)


@given(
    st.text(max_size=40), st.sampled_from(["", "https://", "https://h/", "https://h:", "s3://", "http://localhost:9/"])
)
def test_the_form_of_an_address_is_its_own_form_and_plain_ascii(text, start):
    found = norm_address(start + text)
    assert found is None or (found.isascii() and norm_address(found) == found)


def test_an_operators_own_rule_takes_the_place_of_the_shipped_one(tmp_path, monkeypatch):
    shipped = dinamis()
    (tmp_path / "mine.toml").write_text(
        """
        [[rules]]
        id = "dinamis"
        title = { fr = "Charte", en = "Charter" }
        scope = "custom:earthlab:dinamis:read"
        charter = "dinamis-charter"
        reason = { fr = "Réservé.", en = "Reserved." }
        how = { fr = "Signez.", en = "Sign." }
        source = "the operator"
        hrefs = ["https://store.example.org/thr/"]
        categories = [{ group = "dinamis-science", title = { fr = "a", en = "a" }, reads = true }]
        """
    )
    monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(tmp_path))
    assert dinamis().guards("https://store.example.org/thr/a.tif")
    assert not shipped.guards("https://store.example.org/thr/a.tif")


def test_an_operators_descriptor_that_is_not_toml_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken.toml").write_text("[[rules]")
    monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(tmp_path))
    with pytest.raises(SetupError, match=r"broken\.toml is not valid TOML"):
        load_rules()
