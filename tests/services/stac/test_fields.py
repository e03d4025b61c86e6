"""Which parts of an item are sent."""

import pytest

from earthlab.errors import BadRequest
from earthlab.services.stac.fields import parse_fields, read_fields, write_fields

ITEM = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "stac_extensions": ["x"],
    "id": "a",
    "collection": "one",
    "geometry": None,
    "bbox": [0, 0, 1, 1],
    "properties": {"datetime": "2020-01-01T00:00:00Z", "gsd": 10, "eo:cloud_cover": 5, "providers": [{"name": "x"}]},
    "links": [],
    "assets": {"B4": {"href": "b4", "title": "red"}, "B8": {"href": "b8", "title": "nir"}},
}
ALWAYS = {"type", "stac_version", "id", "collection"}
VALID = {"geometry", "bbox", "links", "assets", "properties"}


def picked(**said):
    return parse_fields(said).pick(ITEM)


def test_nothing_named_is_what_makes_an_item_valid():
    for item in (picked(), picked(include=None, exclude=None), picked(include=[], exclude=[])):
        assert set(item) == ALWAYS | VALID
        assert item["properties"] == {"datetime": "2020-01-01T00:00:00Z"}
        assert item["assets"] == ITEM["assets"]


def test_what_is_included_comes_alone_with_what_tells_an_item_from_others():
    assert set(picked(include=["geometry"])) == ALWAYS | {"geometry"}
    assert picked(include=["properties.gsd"])["properties"] == {"gsd": 10}
    assert picked(include=["eo:cloud_cover"])["properties"] == {"eo:cloud_cover": 5}
    assert picked(include=["properties"])["properties"] == ITEM["properties"]
    assert picked(include=["stac_extensions"])["stac_extensions"] == ["x"]
    assert set(picked(include=["properties.nothing"])) == ALWAYS


def test_what_is_excluded_goes_and_all_else_comes():
    assert set(picked(exclude=["assets", "geometry"])) == set(ITEM) - {"assets", "geometry"}
    item = picked(exclude=["properties.gsd", "properties.providers", "assets.B4", "assets.B8.href"])
    assert set(item["properties"]) == {"datetime", "eo:cloud_cover"}
    assert item["assets"] == {"B8": {"title": "nir"}}
    assert "id" not in picked(exclude=["id"])


def test_beside_an_empty_list_of_what_to_include_the_necessary_comes():
    assert set(picked(include=[], exclude=["geometry"])) == ALWAYS | VALID - {"geometry"}
    assert set(picked(include=None, exclude=["id"])) == (ALWAYS | VALID) - {"id"}


def test_the_longer_name_counts_and_of_equals_the_included():
    assert picked(include=["properties.gsd"], exclude=["properties"])["properties"] == {"gsd": 10}
    assert "gsd" not in picked(include=["properties"], exclude=["properties.gsd"])["properties"]
    assert "geometry" in picked(include=["geometry"], exclude=["geometry"])
    assert "id" not in picked(include=["geometry"], exclude=["id"])


def test_the_words_of_a_get_are_those_of_a_post():
    assert read_fields("id,+properties.gsd, -assets") == {"include": ["id", "properties.gsd"], "exclude": ["assets"]}
    assert read_fields(" id") == {"include": ["id"]}
    assert read_fields("") == {}
    assert read_fields("-geometry") == {"exclude": ["geometry"]}
    for text in ("", "id,properties.gsd,-assets", "-geometry"):
        assert write_fields(read_fields(text)) == text


@pytest.mark.parametrize(
    "said", [[], "id", {"include": "id"}, {"include": [1]}, None, {"only": []}, {"include": ["x"] * 201}]
)
def test_what_is_not_understood_is_refused(said):
    with pytest.raises(BadRequest, match=r"^fields: found"):
        parse_fields(said)
