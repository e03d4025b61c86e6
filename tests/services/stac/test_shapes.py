"""Boxes and geometries: what is understood, and how what is not is refused."""

import pytest
import shapely

from earthlab.errors import BadRequest
from earthlab.services.stac.shapes import parse_box, parse_geometry


def test_six_numbers_are_a_box_with_heights():
    flat, high = parse_box([1, 43, 2, 44]), parse_box([1, 43, 0, 2, 44, 900])
    assert shapely.equals(flat, high)


def test_a_box_whose_west_is_east_of_its_east_crosses_the_antimeridian():
    area = parse_box([170, -20, -170, -10])
    assert shapely.get_num_geometries(area) == 2
    assert area.bounds == (-180, -20, 180, -10)


@pytest.mark.parametrize(
    "bbox",
    [
        [1, 2, 3], [1, 2, 3, 4, 5], ["1", 2, 3, 4], [True, 2, 3, 4], [float("nan"), 1, 2, 3], [float("inf"), 1, 2, 3],
        [0, 50, 1, 40], [0, 0, 400, 1], [356040, 4833220, 358310, 4835680], [0, 0, 9, 1, 1, 0], "1,2,3,4", {}, [],
    ],
)  # fmt: skip
def test_what_is_no_box_is_refused(bbox):
    with pytest.raises(BadRequest, match="bbox"):
        parse_box(bbox)


@pytest.mark.parametrize(
    "geometry",
    [
        {}, [], 7, "POINT (1 2)", {"type": "Feature", "geometry": None}, {"type": "Point"}, {"type": "Circle"},
        {"type": "Point", "coordinates": ["a", "b"]}, {"type": "Point", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]},
        {"type": "Point", "coordinates": [356040, 4833220]},
        {"type": "LineString", "coordinates": [[0, 0]]},
        {"type": "MultiPoint", "coordinates": [[i / 1000, 0] for i in range(20_001)]},
    ],
)  # fmt: skip
def test_what_is_no_geometry_is_refused(geometry):
    with pytest.raises(BadRequest, match="intersects: "):
        parse_geometry(geometry)
