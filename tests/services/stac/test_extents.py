"""How far collections reach."""

from datetime import UTC, datetime

import pytest

from earthlab.services.stac.extents import Reach, read_reach


def _extent(box, interval):
    return {"extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [interval]}}}


@pytest.mark.parametrize(
    ("document", "reach"),
    [
        (
            _extent([1, 43, 2, 44], ["2018-01-01T00:00:00Z", None]),
            Reach((1, 43, 2, 44), datetime(2018, 1, 1, tzinfo=UTC), None),
        ),
        (_extent([1, 43, 0, 2, 44, 9], [None, None]), Reach((1, 43, 2, 44), None, None)),
        (_extent([170, 43, -170, 44], [None, None]), Reach((-180, 43, 180, 44), None, None)),
        (_extent([1, 43], [None, None]), None),
        (_extent(["a", 0, 1, 1], [None, None]), None),
        (_extent([1, 43, 2, 44], ["soon", None]), None),
        ({"extent": None}, None),
        ({}, None),
    ],
)
def test_an_extent_is_read_or_says_nothing(document, reach):
    assert read_reach(document) == reach


def test_two_together_hold_both_and_an_open_side_stays_open():
    early, late = datetime(2018, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    found = Reach((0, 0, 1, 1), late, None).with_other(Reach((-1, 0.5, 0.5, 2), early, late))
    assert found == Reach((-1, 0, 1, 2), early, None)
