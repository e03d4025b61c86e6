"""The order of answers: total, with the missing last, and stable from page to page."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.sorting import LATEST_FIRST, parse_sortby, read_sortby
from earthlab.services.stac.store import Store
from tests.services.stac.made import MADE, write_made

SORTABLE = (
    "id", "collection", "datetime", "created", "start_datetime", "platform", "eo:cloud_cover", "gsd",
    "sat:relative_orbit", "grid:code", "view:off_nadir",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Store:
    return Store(write_made(tmp_path_factory.mktemp("sorting")))


def value_of(item, name):
    said = item["properties"]
    if name == "datetime":
        return said["datetime"] or said["start_datetime"]
    return item[name] if name in {"id", "collection"} else said.get(name)


def in_order(keys) -> list[str]:
    ordered = sorted(MADE, key=lambda item: (item["id"], item["collection"]))
    for key in reversed(keys):
        name, falling = key["field"].removeprefix("properties."), key["direction"] == "desc"
        known = [item for item in ordered if value_of(item, name) is not None]
        known.sort(key=lambda item: value_of(item, name), reverse=falling)
        if falling:
            known = stable_falling(ordered, name)
        ordered = known + [item for item in ordered if value_of(item, name) is None]
    return [item["id"] for item in ordered]


def stable_falling(ordered, name):
    """Largest first, and equals in the order they have: reversing twice keeps it."""
    known = [item for item in reversed(ordered) if value_of(item, name) is not None]
    return sorted(known, key=lambda item: value_of(item, name))[::-1]


_keys = st.lists(
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(SORTABLE).flatmap(lambda name: st.sampled_from([name, f"properties.{name}"])),
            "direction": st.sampled_from(["asc", "desc"]),
        }
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda key: key["field"].removeprefix("properties."),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_keys, st.integers(20, 150))
def test_pages_in_any_order_give_everything_once(made, keys, limit):
    search = parse_search({"sortby": keys, "limit": limit})
    seen = []
    while True:
        page = made.find(search)
        assert page.matched == len(MADE)
        seen += [item["id"] for item in page.items]
        if page.next is None:
            break
        search = replace(search, after=page.next)
    assert seen == in_order(keys)


def test_signs_tell_the_direction_and_rising_is_the_default():
    assert parse_sortby(read_sortby("+gsd,-properties.eo:cloud_cover,id")) == parse_sortby(
        [
            {"field": "properties.gsd", "direction": "asc"},
            {"field": "eo:cloud_cover", "direction": "desc"},
            {"field": "id"},
        ]
    )


def test_without_a_wish_the_latest_come_first():
    assert parse_sortby(None) == LATEST_FIRST


@pytest.mark.parametrize(
    ("sortby", "named"),
    [
        ([{"field": "colour"}], "'colour'"),
        ([{"field": "instruments"}], "'instruments' is a list"),
        ([{"field": "geometry"}], "'geometry'"),
        ([{"field": "gsd", "direction": "up"}], "direction is 'up'"),
        ([{"field": "gsd", "direction": []}], "direction"),
        ([{"field": "gsd", "colour": 1}], "expected one to"),
        ([{"field": ["gsd"]}], "no queryable"),
        ([{}], "expected one to"),
        ([], "expected one to"),
        ("gsd", "expected one to"),
        ([{"field": "gsd"}] * 9, "expected one to"),
        ([{"field": 'gsd" DESC; --'}], "no queryable"),
    ],
)
def test_what_cannot_be_sorted_by_is_refused_by_name(sortby, named):
    with pytest.raises(BadRequest, match=r"^sortby: ") as refusal:
        parse_sortby(sortby)
    assert named in str(refusal.value)
