"""What requests may name: every queryable, of a kind, and described as JSON Schema."""

import jsonschema
import pytest

from earthlab.errors import BadRequest
from earthlab.services.stac.geoparquet import QUERYABLES
from earthlab.services.stac.queryables import describe_queryables, kind_of, resolve_property
from earthlab.services.stac.store import Store
from tests.services.stac.made import MADE, write_made


def test_names_may_have_properties_before_them():
    assert resolve_property("properties.gsd", "filter") == resolve_property("gsd", "filter") == "gsd"


@pytest.mark.parametrize("name", ["colour", "properties.", "", "gsd ", "GSD", 7, None, ["gsd"]])
def test_what_is_not_queryable_is_refused_with_what_is(name):
    with pytest.raises(BadRequest, match=r"^query: there is no queryable property"):
        resolve_property(name, "query")


def test_every_queryable_is_of_a_kind():
    kinds = {name: kind_of(name) for name in QUERYABLES}
    assert kinds["eo:cloud_cover"] == kinds["sat:relative_orbit"] == "number"
    assert kinds["created"] == kinds["datetime"] == "moment"
    assert (kinds["instruments"], kinds["platform"]) == ("list", "text")


def test_the_description_is_a_schema_of_what_there_is(tmp_path):
    store = Store(write_made(tmp_path))
    names = store.queryables(None)
    present = {name for item in MADE for name in item["properties"] if item["properties"][name] is not None}
    assert names == (present & set(QUERYABLES)) | {"id", "collection"}
    assert store.queryables("none") == frozenset()
    schema = describe_queryables("https://lab.example/queryables", "t", names)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == names | {"geometry"}
    assert schema["additionalProperties"] is False
