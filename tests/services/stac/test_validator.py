"""stac-api-validator, over every conformance class of it that the service declares."""

import json
from pathlib import Path

import pystac.validation.jsonschemas
import pytest
import stac_validator.utilities
from stac_api_validator.validations import QueryConfig, validate_api

from earthlab.services.stac.store import Store
from tests.services.stac.made import MADE, write_made
from tests.services.stac.serving import serve_open

pytestmark = pytest.mark.lab

CLASSES = [
    "core", "collections", "features", "item-search", "filter", "item-search#sort", "item-search#fields",
    "item-search#query", "features#sort", "features#fields", "features#query",
]  # fmt: skip
AREA = {"type": "Polygon", "coordinates": [[[-170, -80], [170, -80], [170, 80], [-170, 80], [-170, -80]]]}
KNOWN = (
    # Of documents, and the made ones are bare on purpose.
    "stac-check recommendations",
    # What tells an item from others always comes, as the extension allows; with less, the validator finds errors.
    "response contained extra fields ['",
    # The validator's own box has none of the made items.
    "bbox=20,20,21,21",
)
"""Warnings that are meant."""


@pytest.fixture
def schemas_at_hand(monkeypatch):
    """The schemas of STAC 1.1 as pystac ships them, in place of those at schemas.stacspec.org."""
    folder = Path(pystac.validation.jsonschemas.__file__).parent
    known = {path.name: str(path) for path in folder.rglob("*.json")}
    monkeypatch.setattr(
        stac_validator.utilities, "_map_extension_url_to_local", lambda url: known.get(url.rsplit("/", 1)[-1], url)
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_validator_finds_nothing_to_say(tmp_path, schemas_at_hand):
    words = ("platform", "Sen", "2B", "inel", "instruments", "hrg,none")
    config = QueryConfig("eo:cloud_cover", 17, 17, 50, 50, 10, 10, *words)
    # The validator sorts the values of datetime, and fails by itself where one is null.
    dated = [item for item in MADE if item["properties"]["datetime"]]
    with serve_open(Store(write_made(tmp_path / "catalogue", dated))) as url:
        warnings, errors = validate_api(
            root_url=url,
            ccs_to_validate=CLASSES,
            collection="two",
            geometry=json.dumps(AREA),
            auth_bearer_token=None,
            auth_query_parameter=None,
            fields_nested_property="properties.eo:cloud_cover",
            validate_pagination=True,
            query_config=config,
            transaction_collection=None,
            headers={},
        )
    assert list(errors) == []
    assert [said for said in map(str, warnings) if not any(known in said for known in KNOWN)] == []
