"""Least-cost ways on planted ground, where the answer is known."""

import networkx as nx
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.corridors import corridor, cost_distance, friction
from earthlab.errors import BadRequest


def ground(values, pixel=10.0) -> xr.DataArray:
    values = np.asarray(values)
    coords = {"y": -pixel * np.arange(values.shape[0]), "x": pixel * np.arange(values.shape[1])}
    return xr.DataArray(values, dims=("y", "x"), coords=coords)


def start(like, *places) -> xr.DataArray:
    made = xr.zeros_like(like, dtype=bool)
    for row, column in places:
        made[row, column] = True
    return made


EVEN = ground(np.ones((21, 21)))


def test_on_even_ground_distance_is_that_of_straight_and_diagonal_steps():
    found = cost_distance(EVEN, start(EVEN, (10, 10)))
    down, across = (np.abs(np.arange(21) - 10),) * 2
    short, long = np.minimum.outer(down, across), np.maximum.outer(down, across)
    np.testing.assert_allclose(found, 10 * (short * np.sqrt(2) + long - short))
    assert found.attrs["units"] == "m"


def test_twice_the_friction_is_twice_the_effort_and_the_nearest_reservoir_counts():
    one = cost_distance(EVEN, start(EVEN, (0, 0), (20, 20)))
    two = cost_distance(EVEN * 2, start(EVEN, (0, 0), (20, 20)))
    np.testing.assert_allclose(two, 2 * one)
    np.testing.assert_allclose(one, np.minimum(*(cost_distance(EVEN, start(EVEN, p)) for p in ((0, 0), (20, 20)))))


def test_the_dispersal_maximum_ends_the_way():
    found = cost_distance(EVEN, start(EVEN, (10, 10)), most=50)
    assert float(found.max()) == 50
    assert int(found.notnull().sum()) == int((cost_distance(EVEN, start(EVEN, (10, 10))) <= 50).sum())


def wall() -> xr.DataArray:
    values = np.ones((21, 21))
    values[:, 10] = np.inf
    values[0, 10] = 1
    return ground(values)


def test_a_corridor_leads_through_the_only_gap_in_a_wall():
    west, east = (cost_distance(wall(), start(EVEN, (20, column))) for column in (0, 20))
    found = corridor(west, east, slack=0)
    assert found.attrs["least"] == pytest.approx(2 * 10 * (10 * np.sqrt(2) + 10))
    assert found.corridor.values[0, 10]
    assert not found.corridor.values[10, 10]
    wider = corridor(west, east, slack=0.1)
    assert wider.corridor.sum() > found.corridor.sum()
    assert np.isnan(found.effort.values[10, 10])


def test_a_closed_wall_and_nodata_let_nothing_pass():
    for barrier in (np.inf, np.nan):
        values = np.ones((5, 5))
        values[:, 2] = barrier
        west = cost_distance(ground(values), start(ground(values), (2, 0)))
        assert west[:, 2:].isnull().all()
        assert west[:, :2].notnull().all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_every_distance_is_that_of_dijkstra_on_the_graph_of_pixels(seed):
    random = np.random.default_rng(seed)
    costs = ground(random.uniform(0.5, 20, (7, 8)).astype("float32"), pixel=25.0)
    graph = nx.Graph()
    for row, column in np.ndindex(7, 8):
        for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
            if row + down < 7 and 0 <= column + across < 8:
                step = 25 * np.hypot(down, across) / 2
                pair = float(costs[row, column]), float(costs[row + down, column + across])
                graph.add_edge((row, column), (row + down, column + across), weight=step * sum(pair))
    expected = nx.single_source_dijkstra_path_length(graph, (3, 4))
    found = cost_distance(costs, start(costs, (3, 4)))
    for (row, column), length in expected.items():
        assert float(found[row, column]) == pytest.approx(length, rel=1e-6)


def test_friction_comes_from_classes_and_nodata_stays():
    classes = ground(np.array([[1, 2], [9, 255]], "uint8")).assign_attrs(nodata=255)
    found = friction(classes, {1: 1, 2: 10}, default=100)
    assert found.values[0].tolist() == [1, 10]
    assert found.values[1, 0] == 100
    assert np.isnan(found.values[1, 1])
    assert found.attrs["units"] == "1"


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: friction(ground([[1, 2]]), {1: 1}), r"no cost is given for the classes \[2\]"),
        (lambda: friction(ground([[1]]), {1: 0}), "not positive"),
        (lambda: cost_distance(EVEN, start(EVEN)), "no reservoir"),
        (lambda: cost_distance(EVEN * -1, start(EVEN, (0, 0))), "friction of 0 or less"),
        (lambda: cost_distance(EVEN, start(EVEN, (0, 0)), most=-1), "most is -1"),
        (lambda: cost_distance(EVEN, start(EVEN[:5], (0, 0))), "one grid"),
        (lambda: cost_distance(EVEN.drop_vars("x"), start(EVEN, (0, 0)).drop_vars("x")), "no coordinate 'x'"),
        (lambda: corridor(EVEN, EVEN * np.nan), "no way leads"),
        (lambda: corridor(EVEN, EVEN, slack=-1), "expected 0 or more"),
        (lambda: corridor(EVEN, EVEN[:5]), "one grid"),
    ],
)
def test_bad_input_ends_in_a_sentence(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()


def test_pixels_that_are_no_squares_are_as_long_as_they_are():
    land = ground(np.ones((5, 5))).assign_coords(y=-30.0 * np.arange(5), x=10.0 * np.arange(5))
    found = cost_distance(land, start(land, (0, 0)))
    assert found.values[0, 4] == pytest.approx(40)
    assert found.values[4, 0] == pytest.approx(120)
    assert found.values[1, 1] == pytest.approx(np.hypot(30, 10))


def test_nodata_is_no_ground_and_no_reservoir():
    land = ground(np.array([[1, 1, 255, 1]])).astype("uint8").assign_attrs(_FillValue=255)
    land.encoding = {"dtype": "uint8", "_FillValue": 255}
    home = ground(np.array([[1, 0, 0, 255]])).astype("uint8").assign_attrs(nodata=255)
    found = cost_distance(land.expand_dims(band=[1]), home, pixel=10)
    np.testing.assert_allclose(found, [[0, 10, np.nan, np.nan]])
    assert not found.encoding
    ways = corridor(found.fillna(0), found.fillna(0).transpose("x", "y"))
    np.testing.assert_allclose(ways["effort"], 2 * found.fillna(0))
