"""Whose data it is: by collection, with the DOIs and licences that its items state."""

from datetime import UTC, datetime

import pytest

from earthlab.catalog import Item, ItemSet, norm_item
from earthlab.catalog.citation import cite, licences_of
from earthlab.errors import BadRequest

DAY = datetime(2020, 1, 6, tzinfo=UTC)
FLATSIM = "FLATSIM_TIMESERIE"


def item(name, collection="essai", licence=None, doi=None):
    properties = (("sci:doi", doi),) if doi else ()
    return Item(name, collection, DAY, DAY, None, None, (), licence=licence, properties=properties)


def test_a_collection_is_cited_with_its_doi_and_licence():
    line = cite(FLATSIM)
    assert line.startswith("ForM@Ter (2020): FLATSIM Data Products.")
    assert line.endswith(" https://doi.org/10.24400/253171/FLATSIM2020. Licence : CC-BY-NC-4.0.")


def test_items_have_a_line_a_collection_with_their_number():
    items = ItemSet((item("a", FLATSIM), item("b", FLATSIM), item("c", licence="etalab-2.0")))
    lines = cite(items).splitlines()
    assert lines[0].endswith("Licence : CC-BY-NC-4.0. 2 items.")
    assert lines[1] == "Collection essai. Licence : etalab-2.0. 1 items."


def test_what_nobody_states_is_said_not_to_be_stated():
    assert cite("inconnue") == "Collection inconnue. Licence : non précisée / not stated."


@pytest.mark.parametrize(
    ("licences", "said"),
    [
        (["CC BY 4.0", "cc-by-nc"], "CC-BY-4.0, CC-BY-NC-4.0"),
        (["CC BY 4.0", "proprietary", None], "CC-BY-4.0"),
        (["proprietary", "various"], "other"),
    ],
)
def test_items_of_a_collection_without_a_licence_state_their_own(licences, said):
    items = [item(str(at), "gbif-france", licence) for at, licence in enumerate(licences)]
    assert cite(ItemSet(tuple(items))).endswith(f" Licence : {said}. {len(items)} items.")


def test_an_item_under_another_licence_than_its_collection_is_named_too():
    items = (item("a", FLATSIM), item("b", FLATSIM, "CC BY-NC-ND 4.0"))
    assert "Licence : CC-BY-NC-4.0, CC-BY-NC-ND-4.0." in cite(ItemSet(items))
    assert licences_of(items) == ("CC-BY-NC-4.0", "CC-BY-NC-ND-4.0")


def test_the_licences_of_items_are_those_of_all_their_collections():
    items = [item("a", FLATSIM), item("b", "sentinel-2-l2a", "proprietary"), item("c", licence="Licence Ouverte")]
    assert licences_of(items) == ("CC-BY-NC-4.0", "LicenseRef-Copernicus-Sentinel-Data", "etalab-2.0")
    assert licences_of([]) == ()


def test_the_placeholder_of_a_provider_is_no_licence():
    document = {
        "type": "Feature",
        "id": "a",
        "collection": "PEPS_S2_L1C",
        "geometry": None,
        "properties": {
            "start_datetime": "2020-01-06T10:00:00Z",
            "end_datetime": "2020-01-06T10:00:00Z",
            "datetime": "2025-04-03T09:00:00Z",
            "license": "Apache-2.0",
            "sci:doi": "[]",
        },
        "assets": {},
        "links": [],
    }
    line = cite(ItemSet((norm_item(document),)))
    assert line.endswith("Licence : LicenseRef-Copernicus-Sentinel-Data. 1 items.")
    assert "doi" not in line


def test_each_doi_is_named_once_that_of_the_collection_first():
    other = "10.15468/abcdef"
    stated = {"a": other, "b": "10.24400/253171/flatsim2020", "c": other}
    line = cite(ItemSet(tuple(item(name, FLATSIM, doi=doi) for name, doi in stated.items())))
    assert f" https://doi.org/10.24400/253171/FLATSIM2020, https://doi.org/{other}. Licence" in line


def test_of_very_many_dois_the_first_are_named_and_the_others_counted():
    items = tuple(item(str(at), "gbif-france", doi=f"10.15468/jeu{at}") for at in range(9))
    line = cite(ItemSet(items))
    assert line.count("https://doi.org/") == 5
    assert "… 4 de plus / more." in line


def test_what_cannot_be_cited_is_refused():
    with pytest.raises(BadRequest, match="found dict without a citation"):
        cite({})
