"""STAC documents of the embedded catalogue: an item says of itself what its collection says of all."""

from datetime import UTC, datetime

import numpy as np
import pystac

from earthlab.services.stac.documents import (
    EARTHLAB,
    Layer,
    Shot,
    Source,
    describe_collection,
    kept_by,
    licensed_by,
    made_by,
    write_collection,
    write_item,
)
from earthlab.services.stac.raster import BandKind, Grid

RING = [(3.0, 43.0), (4.0, 43.0), (4.0, 44.0), (3.0, 44.0), (3.0, 43.0)]
BEGINS, ENDS = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 12, 31, tzinfo=UTC)
LOS = BandKind("los", "float32", float("nan"), unit="mm", title="déplacement / displacement")


def describe(**more) -> pystac.Collection:
    said = {"licence": "CC0-1.0", "citation": "Made for a test.", "keywords": ["essai"], "providers": [EARTHLAB]}
    return describe_collection("essai", "Essai", "Un essai.", **{**said, **more})


def test_an_item_repeats_the_credits_of_its_collection_and_whether_it_is_simulated():
    for simulated in (True, False):
        collection = describe(simulated=simulated)
        said = write_item(Shot("an", BEGINS, RING), Source(collection, 1, ()), {})["properties"]
        assert said["earthlab:simulated"] is collection.extra_fields["earthlab:simulated"] is simulated
        assert (said["license"], said["sci:citation"]) == ("CC0-1.0", "Made for a test.")
        assert said["providers"] == [{"name": "EarthLab", "roles": ["producer", "licensor"]}]
        assert said["title"] == "Essai"


def test_an_item_of_a_period_states_its_ends_and_what_its_source_shares():
    document = write_item(Shot("an", BEGINS, RING, ends=ENDS), Source(describe(), 1, (), {"platform": "jason-2"}), {})
    said = document["properties"]
    assert (said["start_datetime"], said["end_datetime"]) == ("2020-01-01T00:00:00Z", "2020-12-31T00:00:00Z")
    assert said["platform"] == "jason-2"
    extent = write_collection(describe(), [document])["extent"]
    assert extent["spatial"]["bbox"] == [[3.0, 43.0, 4.0, 44.0]]


def test_a_float_layer_states_its_unit_and_that_nan_is_no_value():
    grid = Grid("EPSG:4326", (0.1, 0, 3.0, 0, -0.1, 44.0), (10, 10))
    shot = Shot("an", BEGINS, grid.ring(), grid, (Layer(LOS, np.zeros((10, 10), "float32")),))
    asset = write_item(shot, Source(describe(), 1, ()), {"los": {"href": "los.tif"}})["assets"]["los"]
    assert asset["bands"] == [{"name": "los", "data_type": "float32", "nodata": "nan", "unit": "mm"}]
    assert asset["roles"] == ["data"]


def test_a_collection_lists_the_images_of_its_items_where_they_have_any():
    assert "item_assets" not in describe().to_dict()
    assets = describe(kinds=[LOS]).to_dict()["item_assets"]
    assert assets["los"]["title"] == "déplacement / displacement"
    assert "href" not in assets["los"]


def test_providers_have_the_roles_that_their_names_say():
    roles = [one.to_dict()["roles"] for one in (made_by("a"), licensed_by("b"), kept_by("c", "https://c.example"))]
    assert roles == [["producer"], ["producer", "licensor"], ["host"]]
    assert kept_by("c", "https://c.example").url == "https://c.example"
