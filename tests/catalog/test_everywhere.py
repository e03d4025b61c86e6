"""One question to everyone: who answers is heard, and who does not is named."""

import time

import pytest

from earthlab.catalog import ask_everyone, make_query, run_query, search
from earthlab.errors import BadRequest, CatalogueUnavailable, NothingFound, SetupError
from earthlab.testing.dialects import geodes, geodes_item
from earthlab.testing.providers import (
    busy,
    catalogue,
    fixed,
    item,
    json_answer,
    provider,
    silent_provider,
    slow,
    unreachable_url,
)

POLE = """
id = "essai"
title = { fr = "Essai", en = "Trial" }
portal = "https://essai.example"
"""
ENDPOINT = """
[[endpoints]]
id = "{0}"
title = {{ fr = "{0}", en = "{0}" }}
url = "{1}"
dialect = "{2}"
"""
COLLECTION = """
[[collections]]
id = "{0}"
title = {{ fr = "T", en = "T" }}
licence = "etalab-2.0"
access = "open"
citation = "Essai."
endpoint = "{1}"
upstream = "{2}"
"""


@pytest.fixture
def everyone(bare_environment, monkeypatch):
    """Describe these endpoints, id → (address, dialect), and collections, id → (endpoint, id there); ask them alone."""
    for name, value in {"TIMEOUT": "1", "RETRIES": "1", "PATIENCE": "2"}.items():
        monkeypatch.setenv(f"EARTHLAB__CATALOGUE__{name}", value)

    def write(endpoints, collections=None):
        tables = [ENDPOINT.format(name, *words) for name, words in endpoints.items()]
        tables += [COLLECTION.format(name, *words) for name, words in (collections or {}).items()]
        folder = bare_environment / "descriptors"
        folder.mkdir()
        (folder / "essai.toml").write_text(POLE + "".join(tables))
        monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(folder))
        monkeypatch.setenv("EARTHLAB__CATALOGUE__EVERYONE", ",".join(endpoints))

    return write


def states(found):
    return {outcome.endpoint: (outcome.state, outcome.items) for outcome in found.report}


def test_where_there_is_no_way_out_the_labs_own_catalogue_alone_is_asked(everyone, monkeypatch):
    with provider(catalogue([item("un")])) as lab, provider(catalogue([item("deux")])) as stac:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", lab.url)
        everyone({"stac": (stac.url, "stac")})
        monkeypatch.setenv("EARTHLAB__CATALOGUE__EVERYONE", "none")
        found = search(time="2018-07", all_poles=True)
        assert stac.requests == []
    assert states(found) == {"lab": ("answered", 1)}


def test_everyone_is_asked_and_everyone_is_reported(everyone, monkeypatch):
    own = [item("un"), item("deux", collection="autre")]
    with (
        provider(catalogue(own)) as lab,
        provider(catalogue([item("trois", collection="ailleurs"), item("un")])) as stac,
        provider(geodes([geodes_item("S2B", "2018-07-08")])) as cnes,
        provider(fixed(json_answer({}, 500))) as broken,
        silent_provider() as silent,
    ):
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", lab.url)
        everyone(
            {
                "stac": (stac.url, "stac"),
                "cnes": (cnes.url, "geodes"),
                "broken": (broken.url, "stac"),
                "silent": (silent.url, "stac"),
                "down": (unreachable_url(), "csw"),
                "portail": ("https://portail.example", "portal"),
            }
        )
        began = time.monotonic()
        found = search(time="2018-07", all_poles=True)
    assert time.monotonic() - began < 60
    assert states(found)["lab"][0] == "answered", str(found.report)
    assert sorted(i.id for i in found) == ["URN:FEATURE:DATA:gdh:S2B:V1", "deux", "trois", "un"]
    told = states(found)
    assert sum(count for _, count in told.values()) == 4
    assert told.pop("silent")[0] in {"slow", "failed"}  # its own timeout and the patience end at about the same time
    assert {name: state for name, (state, _) in told.items()} == {
        "lab": "answered",
        "stac": "answered",
        "cnes": "answered",
        "broken": "failed",
        "down": "failed",
    }
    assert "500" in next(o.message for o in found.report if o.endpoint == "broken")
    assert type(found).from_json(found.to_json()).report == found.report


def test_items_arrive_while_others_still_think(everyone):
    with provider(catalogue([item("un")])) as quick, provider(slow(catalogue([item("deux")]), 0.4)) as late:
        everyone({"quick": (quick.url, "stac"), "late": (late.url, "stac")})
        began = time.monotonic()
        arrivals = [(a.endpoint, len(a.items), time.monotonic() - began) for a in ask_everyone(make_query())]
    first = next(a for a in arrivals if a[1])
    assert first[0] == "quick"
    assert first[2] < 0.8 * arrivals[-1][2]


def test_who_is_too_slow_is_left_with_what_it_gave(everyone):
    stock = [item(f"i{n:02d}") for n in range(60)]
    with provider(slow(catalogue(stock, page=30), 5, after=2)) as late, provider(catalogue([item("un")])) as quick:
        everyone({"late": (late.url, "stac"), "quick": (quick.url, "stac")})
        found = search(time="2018", all_poles=True)
    state, count = states(found)["late"]
    assert (state, count) in {("slow", 25), ("failed", 25)}
    assert len(found) == 26


def test_a_busy_catalogue_is_waited_for(everyone):
    with provider(busy(catalogue([item("un")]), retry_after="0")) as running:
        everyone({"busy": (running.url, "stac")})
        assert states(search(all_poles=True)) == {"busy": ("answered", 1)}


def test_each_gives_as_many_as_the_limit_says_and_says_that_there_are_more(everyone):
    with provider(catalogue([item(f"i{n}") for n in range(5)])) as running:
        everyone({"stac": (running.url, "stac")})
        found = search(all_poles=True, limit=3)
    assert states(found) == {"stac": ("answered", 3)}
    assert "more than these 3" in found.report[0].message


def test_an_item_that_cannot_be_understood_takes_nothing_else_away(everyone):
    bad = item("mal", properties={"datetime": "2018-07-08T10:50:00Z", "proj:epsg": "x"})
    with provider(catalogue([bad, item("un")])) as running:
        everyone({"stac": (running.url, "stac")})
        found = search(all_poles=True)
    assert [i.id for i in found] == ["un"]
    assert "1 items could not be understood, for one: Item 'mal'" in found.report[0].message


def test_a_collection_is_asked_for_only_where_it_is(everyone):
    with provider(catalogue([item("un")])) as one, provider(catalogue([item("deux", collection="b")])) as two:
        everyone(
            {"one": (one.url, "stac"), "two": (two.url, "stac")}, {"lab-a": ("one", "essai"), "lab-b": ("two", "b")}
        )
        found = search("lab-a", all_poles=True)
    assert states(found) == {"one": ("answered", 1)}
    assert [(i.id, i.collection, i.licence) for i in found] == [("un", "lab-a", "etalab-2.0")]
    assert not two.requests


def test_where_nobody_answers_everyone_is_named(everyone):
    with provider(fixed(json_answer({}, 500))) as broken:
        everyone({"broken": (broken.url, "stac"), "down": (unreachable_url(), "stac")})
        with pytest.raises(CatalogueUnavailable, match=r"None of 2 catalogues answered.*broken.*down"):
            search(all_poles=True)


def test_where_nobody_has_anything_those_not_heard_are_named(everyone):
    with provider(catalogue([item("un")])) as running:
        everyone({"stac": (running.url, "stac"), "down": (unreachable_url(), "stac")})
        with pytest.raises(NothingFound, match=r"Nothing found in 2 catalogues.*Not heard: down"):
            search(time="1990", all_poles=True)


def test_a_fault_of_the_labs_own_is_one_catalogues_outcome(everyone, monkeypatch):
    with provider(catalogue([item("un")])) as running:
        everyone({"stac": (running.url, "stac"), "cnes": (running.url + "x", "geodes")})

        def fail(*_):
            raise ZeroDivisionError

        monkeypatch.setattr("earthlab.catalog.dialects.open_geodes", fail)
        found = search(all_poles=True)
    assert states(found)["cnes"] == ("failed", 0)
    assert len(found) == 1


def test_nobody_to_ask_is_said(everyone):
    everyone({"portail": ("https://portail.example", "portal")})
    with pytest.raises(CatalogueUnavailable, match="can be asked by machine"):
        run_query(make_query(), all_poles=True)


def test_words_that_both_say_whom_to_ask_are_refused():
    with pytest.raises(BadRequest, match="catalog and all_poles"):
        search(catalog="http://x/", all_poles=True)


def test_an_unknown_endpoint_in_the_setting_is_refused(everyone, monkeypatch):
    everyone({"stac": ("http://127.0.0.1:9/", "stac")})
    monkeypatch.setenv("EARTHLAB__CATALOGUE__EVERYONE", "stak")
    with pytest.raises(SetupError, match=r"names 'stak', which is no endpoint. Nearest: stac"):
        search(all_poles=True)
