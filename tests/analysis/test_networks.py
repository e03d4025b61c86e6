"""Networks of interferograms against scipy's spanning tree and planted cycles."""

from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from earthlab.analysis import networks
from earthlab.errors import BadRequest

NAN = float("nan")
DAYS = pd.date_range("2020-01-01", periods=8, freq="12D")


def stack_of(pairs, values=None, **attrs) -> xr.DataArray:
    """Interferograms between places of DAYS, of one value each or of arrays (pair, y, x)."""
    filled = np.zeros(len(pairs)) if values is None else np.asarray(values)
    images = np.broadcast_to(filled[:, None, None], (len(pairs), 1, 2)) if filled.ndim == 1 else filled
    cube = xr.DataArray(
        images.astype("float32"),
        dims=("time", "y", "x"),
        coords={"time": DAYS[[pair[0] for pair in pairs]], "y": np.arange(images.shape[1])},
        attrs=attrs,
    )
    return networks.interferograms(cube, secondary=DAYS[[pair[1] for pair in pairs]])


def test_a_stack_knows_the_dates_of_its_interferograms():
    found = stack_of([(0, 2), (2, 1)], units="rad")
    assert found.dims == ("pair", "y", "x")
    assert list(found.pair.values) == ["20200101-20200125", "20200125-20200113"]
    assert "time" not in found.coords
    network = networks.network_of(found)
    np.testing.assert_array_equal([network.first, network.second], [[0, 2], [2, 1]])
    np.testing.assert_allclose(network.years, np.array([0, 12, 24]) / 365.25)


def test_dates_may_have_hours_and_time_zones():
    cube = xr.DataArray(
        np.zeros((1, 1, 1)), dims=("time", "y", "x"), coords={"time": [np.datetime64("2020-01-01T06:10")]}
    )
    found = networks.interferograms(cube, secondary=["2020-01-13T06:10:07Z"])
    assert found.secondary_date.values[0] == np.datetime64("2020-01-13")


def test_a_lazy_stack_stays_lazy():
    cube = xr.DataArray(np.zeros((1, 4, 4)), dims=("time", "y", "x"), coords={"time": DAYS[:1]}).chunk(x=2)
    assert networks.interferograms(cube, secondary=DAYS[1:2]).chunks is not None


@pytest.mark.parametrize("written", [str, int, str.encode])
def test_dates_may_be_eight_digits_as_texts_numbers_or_bytes_of_hdf5(written):
    cube = xr.DataArray(np.zeros((2, 1, 1)), dims=("pair", "y", "x"))
    found = networks.interferograms(
        cube,
        reference=[written(day) for day in ("20200101", "20200113")],
        secondary=[written(day) for day in ("20200113", "20200125")],
    )
    assert list(found.pair.values) == ["20200101-20200113", "20200113-20200125"]


def test_what_the_attributes_mark_as_missing_is_missing():
    cube = xr.DataArray(np.array([[[-9999, 5]]], "int16"), dims=("pair", "y", "x"), attrs={"_FillValue": -9999})
    found = networks.interferograms(cube, reference=DAYS[:1], secondary=DAYS[1:2])
    assert found.values.tolist() == [[[pytest.approx(np.nan, nan_ok=True), 5]]]


def test_an_axis_of_one_band_goes():
    cube = xr.DataArray(np.zeros((2, 1, 3, 4)), dims=("pair", "band", "y", "x"), coords={"band": [1]})
    found = networks.interferograms(cube, reference=DAYS[:2], secondary=DAYS[1:3])
    assert found.dims == ("pair", "y", "x")
    assert "band" not in found.coords


PAIRS = list(combinations(range(6), 2))


@given(
    weights=st.lists(st.integers(0, 5), min_size=len(PAIRS), max_size=len(PAIRS)),
    kept=st.lists(st.booleans(), min_size=len(PAIRS), max_size=len(PAIRS)).filter(any),
)
@settings(max_examples=60, deadline=None)
def test_the_tree_is_scipys_minimum_spanning_tree(weights, kept):
    pairs = [pair for pair, keep in zip(PAIRS, kept, strict=True) if keep]
    cost = [weight + 1 for weight, keep in zip(weights, kept, strict=True) if keep]  # a weight of 0 is no edge to scipy
    tree = networks.spanning_tree(stack_of(pairs), weights=cost).values
    ends = ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    expected = minimum_spanning_tree(coo_array((np.array(cost, float), ends), shape=(8, 8)))
    assert tree.sum() == expected.nnz
    assert np.array(cost)[tree].sum() == expected.sum()


def test_of_two_interferograms_between_the_same_dates_the_better_is_taken():
    tree = networks.spanning_tree(stack_of([(0, 1), (0, 1), (1, 2)]), weights=[2, 1, 9])
    assert tree.values.tolist() == [False, True, True]


def test_the_tree_weighs_missing_pixels_by_default():
    values = np.zeros((3, 1, 2))
    values[0, 0, 0] = NAN
    table = networks.network_table(stack_of([(0, 1), (1, 2), (0, 2)], values))
    assert table.weight.tolist() == [0.5, 0, 0]
    assert table.in_tree.tolist() == [False, True, True]
    assert table.days.tolist() == [12, 12, 24]


def test_weights_that_name_their_pairs_may_have_another_order():
    stack = stack_of([(0, 1), (1, 2), (0, 2)])
    weights = xr.DataArray([1.0, 2.0, 3.0], {"pair": stack.pair.values}, ("pair",))
    assert networks.spanning_tree(stack, weights=weights[::-1]).values.tolist() == [True, True, False]
    with pytest.raises(BadRequest, match="weights has other pairs than the stack"):
        networks.spanning_tree(stack, weights=weights.assign_coords(pair=["a", "b", "c"]))


def test_infinite_pixels_are_missing_and_whole_numbers_close():
    values = np.ones((3, 1, 2)) * np.array([20000, 20000, 0])[:, None, None]
    values[0, 0, 1] = np.inf
    stack = stack_of([(0, 1), (1, 2), (0, 2)], values)
    assert networks.nan_fraction(stack).values.tolist() == [0.5, 0, 0]
    whole = stack.where(np.isfinite(stack), 0).astype("int16")
    assert float(networks.closure(whole)[0, 0, 0]) == 40000


def test_the_parts_of_a_network_are_told():
    parts = networks.network_of(stack_of([(0, 1), (2, 4), (3, 4)])).subsets
    assert [len(part) for part in parts] == [2, 3]
    assert parts[1].tolist() == DAYS[[2, 3, 4]].tolist()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_loops_of_what_really_moved_close(seed):
    random = np.random.default_rng(seed)
    pairs = [pair[::-1] if random.random() < 0.3 else pair for pair in PAIRS if random.random() < 0.8]
    position = random.normal(size=(8, 2, 3))
    closed = networks.closure(
        stack_of(pairs, np.array([position[b] - position[a] for a, b in pairs]).reshape(-1, 2, 3))
    )
    np.testing.assert_allclose(closed, 0, atol=1e-5)
    assert (closed.first < closed.middle).all()
    assert (closed.middle < closed.last).all()


def test_all_loops_are_found():
    closed = networks.closure(stack_of(PAIRS))
    assert closed.sizes["triplet"] == 20
    assert networks.closure(stack_of([(0, 1), (1, 2)])).sizes["triplet"] == 0


@pytest.mark.parametrize("chunks", [None, {"x": 3}])
def test_a_planted_cycle_is_told_from_a_shift_of_the_whole_image(chunks):
    random = np.random.default_rng(3)
    values = random.normal(0, 0.1, (4, 5, 8))
    values[2] += 1.0
    values[2, 0, :4] += 2 * np.pi
    stack = stack_of([(0, 1), (1, 2), (0, 2), (2, 3)], values, units="rad")
    table = networks.closure_table(stack if chunks is None else stack.chunk(chunks))
    assert len(table) == 1
    assert table.slips[0] == pytest.approx(4 / 40)
    assert table["median"][0] == pytest.approx(-1, abs=0.1)
    assert table.pixels[0] == 40


def test_the_worst_loop_comes_first_and_one_without_pixels_last():
    values = np.zeros((5, 1, 2))
    values[1], values[4] = 1, NAN
    table = networks.closure_table(stack_of([(0, 1), (1, 2), (0, 2), (2, 3), (1, 3)], values))
    assert table.rms.tolist()[:1] == [1]
    assert np.isnan(table.rms[1])
    assert table.pixels.tolist() == [2, 0]


CUBE = xr.DataArray(np.zeros((2, 1, 1)), dims=("time", "y", "x"), coords={"time": DAYS[:2]})
make = networks.interferograms


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(networks.interferograms, np.zeros((1, 2, 2)), secondary=DAYS[:1]), "expected a DataArray, found nd"),
        (partial(networks.interferograms, CUBE.rename(time="ifg"), secondary=DAYS[:1]), "Rename the axis of the inter"),
        (partial(make, CUBE.isel(x=0), secondary=DAYS[2:4]), r"expected axes time \(or pair\), y, x, found time, y"),
        (partial(make, CUBE, secondary=DAYS[2:3]), "2 interferograms, 2 reference and 1 secondary dates"),
        (partial(make, CUBE, secondary=["2020-02-01", None]), "secondary= has no date for pair 1"),
        (partial(make, CUBE, secondary=["2020-02-01", "soon"]), "secondary= is not understood as dates"),
        (partial(make, CUBE, secondary=DAYS[[2, 1]]), "pair 1 has 2020-01-13 as both dates"),
        (partial(make, CUBE, reference=DAYS[[1, 0]], secondary=DAYS[2:4]), "has 2020-01-01 at place 0 along 'time'"),
        (
            partial(make, CUBE, reference=DAYS[[1, 2]], secondary=DAYS[3:5]),
            "2020-01-01 along 'time', which is a date of no",
        ),
        (partial(make, CUBE.drop_vars("time"), secondary=DAYS[2:4]), "no dates along 'time'. Give reference="),
        (partial(networks.spanning_tree, CUBE), "expected interferograms with axis 'pair' and their two dates"),
        (partial(networks.closure, CUBE), "closure: expected interferograms"),
        (partial(networks.nan_fraction, CUBE), "nan_fraction: expected interferograms"),
        (partial(networks.spanning_tree, stack_of([(0, 1)]), weights=[1, 2]), r"weights has shape \(2,\)"),
        (partial(networks.spanning_tree, stack_of([(0, 1)]), weights=[NAN]), "one finite number"),
        (partial(networks.closure_table, stack_of([(0, 1)]), cycle=0), "cycle is 0, expected a positive number"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
