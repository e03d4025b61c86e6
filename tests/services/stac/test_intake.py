"""What may come into the catalogue, and the reason for each document that may not."""

import pytest

from earthlab.services.stac.intake import Unfit, norm_collection, norm_item
from earthlab.testing.providers import item


def _with(**said):
    return item("a", properties={"datetime": "2018-07-08T10:50:00Z", **said})


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "the document is '\\[\\]', expected an object"),
        ({"type": "Catalog"}, "type is 'Catalog', expected 'Feature'"),
        (item(""), "id is '', expected a text"),
        (item(3), "id is '3', expected a text"),
        (item("a", collection=None), "collection is missing"),
        (item("a", collection="é" * 40), "longer than 200"),
        (item("a", collection="ours"), "collection 'ours' is the lab's own"),
        (item("a", properties=None), "properties is missing"),
        (item("a", properties={}), "datetime is null, and start_datetime and end_datetime are not both given"),
        (_with(datetime="2018-07-08"), "datetime is '2018-07-08', expected an RFC 3339 instant with a zone"),
        (_with(datetime="yesterday"), "datetime is 'yesterday'"),
        (_with(datetime=20180708), "datetime is '20180708'"),
        (_with(datetime="0001-01-01T00:00:00+09:00"), "datetime is '0001"),
        (_with(created="2018-07-08T10:50:00"), "created is .* with a zone"),
        (_with(datetime=None, start_datetime="2018-07-08T00:00:00Z"), "not both given"),
        (_with(start_datetime="2019-01-01T00:00:00Z", end_datetime="2018-01-01T00:00:00Z"), "after end_datetime"),
        (_with(**{"eo:cloud_cover": "n/a"}), "eo:cloud_cover is 'n/a', expected a number"),
        (_with(**{"eo:cloud_cover": True}), "eo:cloud_cover is 'True', expected a number"),
        (_with(gsd=10**400), "gsd is .*, expected a number"),
        (_with(gsd=float("nan")), "gsd is 'nan', expected a number"),
        (_with(platform=["a"]), "platform is .*, expected a text"),
        (_with(instruments="msi"), "instruments is 'msi', expected a list of texts"),
        (_with(**{"sat:relative_orbit": 1.5}), "sat:relative_orbit is '1.5', expected a whole number"),
        (_with(**{"sat:relative_orbit": 2**63}), "expected a whole number"),
        (_with(**{"proj:epsg": "32631"}), "proj:epsg is '32631', expected a whole number"),
        (item("a", bbox=[1, 2, 3]), "bbox is .*, expected four numbers, or six"),
        (item("a", bbox=[1, 2, 3, None]), "expected four numbers, or six"),
        (item("a", bbox=[300000, 4.8e6, 409800, 4.9e6]), "expected west, south, east and north in degrees"),
        (item("a", bbox=[1, 44, 2, 43]), "expected west, south, east and north in degrees"),
        (item("a", bbox=None, geometry=None), "geometry is not GeoJSON"),
        (item("a", bbox=None, geometry={"type": "Polygon", "coordinates": []}), "geometry is empty"),
        (item("a", assets=None), "assets is missing"),
        (item("a", assets={"B4": "b4.tif"}), "asset 'B4' is 'b4.tif', expected an object"),
        (item("a", assets={"B4": {}}), "asset 'B4' has href missing"),
        (
            item("a", assets={"B4": {"href": "b4.tif"}}),
            "relative href 'b4.tif', and the item no absolute link",
        ),
        (item("a", assets={"B4": {"href": "/etc/passwd"}}), "relative href '/etc/passwd'"),
        (item("a", links="self"), "links is not a list"),
        (item("a", links=[{"rel": "self"}]), "links is not a list of objects with rel and href"),
    ],
)
def test_a_document_that_is_not_fit_is_refused_with_what_was_found_and_what_is_expected(document, reason):
    with pytest.raises(Unfit, match=reason):
        norm_item(document, None, {"ours"})


@pytest.mark.parametrize("fit", [
    item("a"),
    _with(**{"eo:cloud_cover": None, "platform": None}),
    _with(datetime=None, start_datetime="2018-07-08T00:00:00+02:00", end_datetime="2018-07-09T00:00:00.123456789Z"),
    item("a", bbox=[1.0, 43.0, 0.0, 2.0, 44.0, 900.0]),
    item("a", bbox=[179.0, 43.0, -179.0, 44.0]),
])  # fmt: skip
def test_what_is_fit_is_kept_as_it_came(fit):
    assert norm_item(fit, None) == fit


def test_a_missing_bbox_is_that_of_the_geometry():
    assert norm_item(item("a", bbox=None), None)["bbox"] == [1, 43, 2, 44]


@pytest.mark.parametrize(
    ("links", "base", "href"),
    [
        ([{"rel": "self", "href": "https://x.example/stac/a.json"}], None, "https://x.example/stac/data/b4.tif"),
        ([{"rel": "self", "href": "./a.json"}], "/archive/items.ndjson", "/archive/data/b4.tif"),
        ([], "/archive/items.ndjson", "/archive/data/b4.tif"),
    ],
)
def test_relative_hrefs_start_from_the_items_own_address_or_else_from_its_file(links, base, href):
    found = norm_item(item("a", links=links, assets={"B4": {"href": "data/b4.tif", "roles": ["data"]}}), base)
    assert found["assets"] == {"B4": {"href": href, "roles": ["data"]}}


def test_a_collection_gets_what_every_answer_about_it_needs():
    found = norm_collection({"type": "Collection", "id": "new", "license": "CC-BY-4.0", "title": None})
    assert found == {
        "type": "Collection", "stac_version": "1.1.0", "id": "new", "title": "new", "description": "new",
        "license": "CC-BY-4.0", "links": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "id is missing"),
        ({"id": "ours"}, "the lab's own"),
        ({"id": "a", "title": 3}, "title is '3'"),
        ({"id": "a", "links": [3]}, "links is not a list"),
    ],
)
def test_a_collection_that_is_not_fit_is_refused(document, reason):
    with pytest.raises(Unfit, match=reason):
        norm_collection(document, {"ours"})
