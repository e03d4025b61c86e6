"""Deformation from interferograms: PyRate's published stack over Sydney, numpy's pseudo-inverse, planted truths."""

import math
from functools import partial
from itertools import combinations
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress

from earthlab.analysis import insar, networks
from earthlab.errors import BadRequest

NAN = float("nan")
WAVELENGTH = 0.0562356424
OUTSIDE_THE_TREE = {"061002-070219", "061211-070813", "070115-070326", "070115-070917", "070219-070604"}
DAYS = pd.DatetimeIndex(["2020-01-01", "2020-01-13", "2020-02-20", "2020-03-03", "2020-05-01", "2020-05-25"])
PAIRS = list(combinations(range(6), 2))


@pytest.fixture(scope="module")
def sydney(shared_data) -> Path:
    return shared_data / "insar_pyrate" / "small_test"


def names_of(sydney: Path) -> list[str]:
    return sorted(path.stem[4:17] for path in (sydney / "tif").glob("*.tif"))


def day(text: str) -> str:
    return f"20{text[:2]}-{text[2:4]}-{text[4:]}"


@pytest.fixture(scope="module")
def phase(sydney) -> xr.DataArray:
    """The 17 unwrapped interferograms, in radians."""
    names, images = names_of(sydney), []
    for name in names:
        with rasterio.open(sydney / "tif" / f"geo_{name}_unw.tif") as source:
            images.append(source.read(1))
    pixels = np.array(images)
    pixels[pixels == 0] = NAN
    cube = xr.DataArray(pixels, dims=("time", "y", "x"), attrs={"units": "rad", "grid_mapping": "spatial_ref"})
    cube = cube.assign_coords(time=pd.DatetimeIndex([day(name[:6]) for name in names]), spatial_ref=0)
    return networks.interferograms(cube, secondary=[day(name[7:]) for name in names])


def published(sydney: Path, kind: str) -> np.ndarray:
    folder = sydney / "ref_phase_est"
    return np.array(
        [
            np.genfromtxt(folder / f"ifg_orb_and_ref_phase_corrected{kind}geo_{name}.unw.csv", delimiter=",")
            for name in names_of(sydney)
        ]
    )


def corrected(phase: xr.DataArray) -> xr.DataArray:
    flat = insar.remove_planes(insar.line_of_sight(phase, wavelength=WAVELENGTH, sign=1))
    return insar.subtract_reference(flat, flat.isel(y=slice(56, 61), x=slice(36, 41)))


def legacy_series(sydney: Path) -> np.ndarray:
    """Cumulative displacement on 12 dates, as the reference stores it: column by column."""
    stored = np.genfromtxt(sydney / "time_series" / "ts_cum_interp0_method2.csv")
    return np.moveaxis(stored.reshape((72, 47, 12), order="F"), -1, 0)


def test_the_tree_of_the_sydney_stack_is_the_published_one(phase):
    tree = networks.spanning_tree(phase)
    assert {f"{name[2:8]}-{name[11:]}" for name in tree.pair.values[~tree.values]} == OUTSIDE_THE_TREE


@pytest.mark.parametrize("kind", ["", "_method2"])
def test_planes_are_those_of_the_corrected_interferograms(sydney, phase, kind):
    flat = insar.remove_planes(insar.line_of_sight(phase, wavelength=WAVELENGTH, sign=1))
    left = published(sydney, kind) - flat.values
    spread = np.nanstd(left, axis=(1, 2))
    assert len(spread) == 17
    assert spread.max() < 1e-4


def test_the_reference_place_gives_the_corrected_interferograms(sydney, phase):
    expected = published(sydney, "_method2")
    found = corrected(phase)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, atol=6e-4)  # printed with five digits
    assert (found.attrs["units"], found.attrs["grid_mapping"], found.dtype) == ("mm", "spatial_ref", "float32")


def test_the_cumulative_series_is_the_legacy_one_wherever_that_has_a_value(sydney, phase):
    reference = legacy_series(sydney)
    stack = xr.DataArray(published(sydney, "_method2"), dims=phase.dims, coords=phase.coords, attrs={"units": "mm"})
    whole = np.isfinite(stack.values).all(axis=0)
    found = insar.time_series(stack, weights=networks.nan_fraction(phase)).displacement[1:].values
    assert whole.sum() == 2212
    assert np.abs(found - reference)[:, whole].max() < 1e-3
    stated = np.isfinite(reference)
    assert stated.sum() == 32190
    assert np.abs(found - reference)[stated].max() < 1e-3


def test_from_raw_phase_to_the_series_nothing_is_lost(sydney, phase):
    series = insar.time_series(corrected(phase))
    reference = legacy_series(sydney)
    assert np.nanmax(np.abs(series.displacement[1:].values - reference)) < 1e-3
    assert series.displacement.dtype == "float32"


def test_all_interferograms_together_give_another_series_which_is_why_the_tree(sydney, phase):
    stack = corrected(phase)
    whole = np.isfinite(stack.values).all(axis=0)
    found = insar.time_series(stack, solution="all").displacement[1:].values
    assert np.median(np.abs(found - legacy_series(sydney))[:, whole]) == pytest.approx(0.51, abs=0.01)


def test_the_linear_rate_is_the_published_one(sydney, phase):
    cumulative = np.moveaxis(np.load(sydney / "linrate" / "tscuml_0.npy"), -1, 0)
    dates = networks.network_of(phase).dates
    values = np.concatenate([np.zeros((1, 72, 47)), cumulative])
    series = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": dates}, attrs={"units": "mm"})
    found = insar.linear_rate(series)
    files = {"standard_error": "error", "r_squared": "rsquared"}
    for name in ("rate", "standard_error", "intercept", "r_squared", "samples"):
        reference = np.load(sydney / "linrate" / f"linear_{files.get(name, name)}.npy")
        known = np.isfinite(reference)
        assert known.sum() == 2683
        assert np.abs(found[name].values - reference)[known].max() < 1e-6
    assert int(np.isfinite(found.rate).sum()) == 2683


def test_phase_becomes_millimetres_with_the_sign_asked_for():
    stack = stack_of([(0, 1)], [4 * math.pi], units="rad")
    assert insar.line_of_sight(stack, wavelength=0.056, sign=1)[0, 0, 0].item() == pytest.approx(56)
    assert insar.line_of_sight(stack, wavelength=0.056, sign=-1)[0, 0, 0].item() == pytest.approx(-56)


def stack_of(pairs, values, **attrs) -> xr.DataArray:
    """Interferograms between places of DAYS, one value each, or pixels (pair, y, x)."""
    filled = np.asarray(values)
    images = np.broadcast_to(filled[:, None, None], (len(pairs), 2, 3)) if filled.ndim == 1 else filled
    coords = {"time": DAYS[[pair[0] for pair in pairs]], "lat": ("y", np.arange(images.shape[1]))}
    cube = xr.DataArray(images, dims=("time", "y", "x"), coords=coords, attrs=attrs)
    return networks.interferograms(cube, secondary=DAYS[[pair[1] for pair in pairs]])


def moved(pairs, *, seed=0, shape=(7, 11), noise=0.0, missing=0.0, dtype="float64") -> tuple[xr.DataArray, np.ndarray]:
    """A stack of pixels that moved at random, and their true displacement (date, y, x)."""
    random = np.random.default_rng(seed)
    truth = random.normal(0, 10, (6, *shape)).cumsum(axis=0)
    truth -= truth[0]
    values = np.array([truth[b] - truth[a] for a, b in pairs]) + random.normal(0, 1, (len(pairs), *shape)) * noise
    values[random.random(values.shape) < missing] = NAN
    return stack_of(pairs, values.astype(dtype), units="mm"), truth


@given(seed=st.integers(0, 10_000), number=st.integers(3, 30), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=25, deadline=None)
def test_planted_planes_are_removed_whatever_is_missing(seed, number, dtype):
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:9, :12]
    sizes = random.normal(0, 5, (3, 3, 1, 1))
    planes = sizes[:, 0] + sizes[:, 1] * rows + sizes[:, 2] * columns
    kept = np.zeros(108, bool)
    kept[[0, 11, 107]] = True
    kept[random.choice(108, number, replace=False)] = True
    values = np.where(kept.reshape(9, 12), planes, NAN).astype(dtype)
    found = insar.remove_planes(stack_of([(0, 1), (1, 2), (0, 2)], values))
    np.testing.assert_allclose(found.values[:, kept.reshape(9, 12)], 0, atol=1e-10 if dtype == "float64" else 2e-4)
    assert found.dtype == dtype
    assert np.isnan(found.values[:, ~kept.reshape(9, 12)]).all()


def test_an_interferogram_in_which_no_plane_is_determined_is_missing():
    values = np.full((3, 4, 5), NAN)
    values[0, 1, :] = 1
    values[1, 2, 3] = 1
    assert insar.remove_planes(stack_of([(0, 1), (1, 2), (0, 2)], values)).isnull().all()


@pytest.mark.parametrize("chunks", [{"y": 3, "x": 4}, {"pair": 4}, {"pair": 5, "y": 2}])
@pytest.mark.parametrize("solution", ["tree", "all"])
def test_lazy_is_the_same_as_eager(chunks, solution):
    stack, _ = moved(PAIRS, noise=1, missing=0.3)
    lazy = stack.chunk(chunks)
    flat = insar.remove_planes(lazy)
    assert isinstance(flat.data, da.Array)
    xr.testing.assert_allclose(flat.compute(), insar.remove_planes(stack), atol=1e-9)
    words = {"solution": solution, "wavelength": WAVELENGTH}
    series = insar.time_series(lazy, **words)
    assert isinstance(series.displacement.data, da.Array)
    xr.testing.assert_identical(series.compute(), insar.time_series(stack, **words))
    rate = insar.linear_rate(series.displacement)
    assert isinstance(rate.rate.data, da.Array)
    xr.testing.assert_identical(rate.compute(), insar.linear_rate(series.displacement.compute()))
    part = flat.isel(y=slice(0, 3), x=slice(0, 4))
    assert isinstance(insar.subtract_reference(flat, part, least=0.1).data, da.Array)


@given(
    seed=st.integers(0, 10_000),
    chosen=st.lists(st.sampled_from(PAIRS), min_size=1, max_size=15),
    missing=st.sampled_from([0.0, 0.4, 0.8]),
)
@settings(max_examples=60, deadline=None)
def test_the_minimum_norm_series_is_that_of_the_pseudo_inverse(seed, chosen, missing):
    pairs = [pair[::-1] if at % 3 == 0 else pair for at, pair in enumerate(chosen)]
    stack, _ = moved(pairs, seed=seed, shape=(2, 3), noise=2, missing=missing)
    found = insar.time_series(stack, solution="all", gaps="minimum_norm").displacement
    network = networks.network_of(stack)
    steps = np.diff(network.years)
    for row, column in np.ndindex(2, 3):
        values = stack.values[:, row, column]
        seen = np.isfinite(values)
        design = np.array([
            np.where(np.arange(len(steps)) >= min(a, b), 1, 0) * np.where(np.arange(len(steps)) < max(a, b), 1, 0)
            * steps * (1 if b > a else -1)
            for a, b in zip(network.first, network.second, strict=True)
        ])[seen]  # fmt: skip
        expected = np.concatenate([[0], np.cumsum(np.linalg.pinv(design) @ values[seen] * steps)])
        here = found.values[:, row, column]
        np.testing.assert_allclose(here, expected if seen.any() else np.full(len(here), NAN), atol=1e-8)


@given(seed=st.integers(0, 10_000), solution=st.sampled_from(["tree", "all"]), missing=st.sampled_from([0.0, 0.5, 0.7]))
@settings(max_examples=40, deadline=None)
def test_what_moved_is_found_exactly_wherever_a_chain_of_interferograms_leads(seed, solution, missing):
    stack, truth = moved(PAIRS, seed=seed, missing=missing)
    series = insar.time_series(stack, solution=solution, wavelength=WAVELENGTH)
    found = series.displacement.values
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], truth[known], atol=1e-8)
    np.testing.assert_allclose(series.rms.values[series.rms.notnull()], 0, atol=1e-8)
    np.testing.assert_allclose(series.temporal_coherence.values[series.rms.notnull()], 1, atol=1e-8)
    np.testing.assert_array_equal(series.pairs, np.isfinite(stack.values).sum(axis=0))
    first = np.isfinite(stack.values[networks.network_of(stack).first == 0]).any(axis=0)
    np.testing.assert_array_equal(known[0], first)


def test_the_tree_does_not_listen_to_the_worse_interferogram():
    stack = stack_of([(0, 1), (1, 2), (0, 2)], [1.0, 1.0, 8.0], units="mm")
    tree = insar.time_series(stack, weights=[0, 0, 1])
    np.testing.assert_allclose(tree.displacement[:, 0, 0], [0, 1, 2])
    np.testing.assert_allclose(tree.rms, math.sqrt(36 / 3))
    everything = insar.time_series(stack, solution="all")
    np.testing.assert_allclose(everything.displacement[:, 0, 0], [0, 3, 6])
    np.testing.assert_allclose(everything.rms, 2)
    assert "temporal_coherence" not in everything


def test_a_stack_in_radians_needs_no_wavelength_for_its_coherence():
    stack = stack_of([(0, 1), (1, 2), (0, 2)], [0.0, 0.0, math.pi], units="rad")
    found = insar.time_series(stack, weights=[0, 0, 1]).temporal_coherence
    np.testing.assert_allclose(found, 1 / 3, atol=1e-12)
    same = stack_of([(0, 1), (1, 2), (0, 2)], [0.0, 0.0, 14.0], units="mm")
    np.testing.assert_allclose(insar.time_series(same, weights=[0, 0, 1], wavelength=0.056).temporal_coherence, 1 / 3)


def test_where_no_interferogram_is_redundant_there_is_no_rms():
    series = insar.time_series(stack_of([(0, 1), (1, 2)], [1.0, 1.0], units="mm"), wavelength=0.05)
    assert series.rms.isnull().all()
    assert series.temporal_coherence.isnull().all()


def test_a_network_in_pieces_is_refused_and_bridged_when_asked():
    stack = stack_of([(0, 1), (3, 4)], [2.0, 5.0], units="mm")
    with pytest.raises(
        BadRequest, match=r"joins the 2 parts of the network: 2020-01-01 … 2020-01-13 \(2 dates\); 2020-03-03"
    ):
        insar.time_series(stack)
    bridged = insar.time_series(stack, gaps="minimum_norm").displacement[:, 0, 0]
    np.testing.assert_allclose(bridged, [0, 2, 2, 7])


def test_a_pixel_without_the_first_date_is_missing_and_one_without_anything_too():
    values = np.ones((3, 1, 3))
    values[0, 0, 1] = NAN
    values[:, 0, 2] = NAN
    stack = stack_of([(0, 1), (1, 2), (2, 3)], values, units="mm")
    found = insar.time_series(stack)
    np.testing.assert_allclose(
        found.displacement.values[:, 0], [[0, NAN, NAN], [1, NAN, NAN], [2, NAN, NAN], [3, NAN, NAN]]
    )
    assert found.pairs.values.tolist() == [[3, 2, 0]]


def test_coordinates_and_attributes_stay():
    stack, _ = moved(PAIRS)
    stack = stack.assign_coords(spatial_ref=0).assign_attrs(grid_mapping="spatial_ref")
    series = insar.time_series(stack)
    assert {"lat", "spatial_ref", "time"} <= set(series.coords)
    assert series.displacement.attrs["units"] == "mm"
    assert all(variable.attrs["grid_mapping"] == "spatial_ref" for variable in series.data_vars.values())
    rate = insar.linear_rate(series.displacement)
    assert (rate.rate.attrs["units"], rate.rate.attrs["grid_mapping"]) == ("mm year-1", "spatial_ref")
    assert "time" not in rate.coords


@pytest.mark.parametrize("solution", ["tree", "all"])
def test_the_series_is_not_biased(solution):
    random = np.random.default_rng(5)
    truth = np.array([0, 3, -2, 8, 9, 4.0])
    values = np.array([truth[b] - truth[a] for a, b in PAIRS])[:, None, None] + random.normal(0, 2, (15, 1, 200))
    found = insar.time_series(stack_of(PAIRS, values, units="mm"), solution=solution, weights=np.zeros(15)).displacement
    off = found.mean(("y", "x")).values - truth
    assert (np.abs(off) < 3.5 * 2 * math.sqrt(5 / 200)).all()
    error = found.std(("y", "x")).values[1:].mean()
    assert error < 1.3 if solution == "all" else error > 1.9  # σ √(2/n), against σ and more


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_the_rate_is_not_biased_and_its_interval_holds_in_95_of_100(dtype, missing):
    random = np.random.default_rng(11)
    times = pd.DatetimeIndex(random.permutation(pd.date_range("2015-01-01", periods=400, freq="5D"))[:25])
    years = ((times - times.min()) / pd.Timedelta(days=365.25)).to_numpy()
    values = 1000 - 7.5 * years[:, None, None] + random.normal(0, 4, (25, 10, 200))
    values[random.random(values.shape) < missing] = NAN
    series = xr.DataArray(values.astype(dtype), dims=("time", "y", "x"), coords={"time": times}, attrs={"units": "mm"})
    found = insar.linear_rate(series)
    off = found.rate + 7.5
    assert abs(float(off.mean())) < 3.5 * float(off.std()) / math.sqrt(off.size)
    assert float((abs(off) <= found.half_width).mean()) == pytest.approx(0.95, abs=0.015)
    assert float(off.std() / found.standard_error.mean()) == pytest.approx(1, abs=0.1)
    assert found.rate.dtype == dtype


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_rate_is_scipys_regression(seed):
    random = np.random.default_rng(seed)
    times = pd.DatetimeIndex(random.permutation(pd.date_range("2000-01-01", periods=40, freq="37D"))[:12])
    values = random.normal(0, 1, (12, 5)) * 10.0 ** random.integers(-3, 4) + 50
    values[random.random((12, 5)) < 0.4] = NAN
    found = insar.linear_rate(xr.DataArray(values, dims=("time", "x"), coords={"time": times}))
    years = ((times - times.min()) / pd.Timedelta(days=365.25)).to_numpy()
    for pixel in range(5):
        seen = np.isfinite(values[:, pixel])
        if seen.sum() < 3:
            assert np.isnan(found.rate[pixel])
            continue
        line = linregress(years[seen], values[seen, pixel])
        np.testing.assert_allclose(
            [found[name][pixel] for name in ("rate", "intercept", "standard_error", "r_squared")],
            [line.slope, line.intercept, line.stderr, line.rvalue**2], rtol=1e-6, atol=1e-9,
        )  # fmt: skip
        assert found.samples[pixel] == seen.sum()


def test_whole_numbers_lose_nothing_to_rounding():
    stack = stack_of([(0, 1)], np.arange(12.0).reshape(1, 3, 4) ** 2)
    whole = stack.astype("int16")
    for change in (insar.remove_planes, lambda each: insar.subtract_reference(each, each[:, :2, :2])):
        np.testing.assert_allclose(change(whole), change(stack), atol=1e-4)


def test_infinite_pixels_of_the_reference_place_do_not_count():
    stack = stack_of([(0, 1)], np.array([[[1.0, 3.0, np.inf], [5.0, 6.0, 7.0]]]))
    assert float(insar.subtract_reference(stack, stack[:, :1])[0, 1, 0]) == 3


@pytest.mark.parametrize(("units", "scale"), [("metres", 1e-3), ("millimeters", 1), ("cm", 0.1)])
def test_coherence_knows_the_spellings_of_lengths(units, scale):
    loop = stack_of([(0, 1), (1, 2), (0, 2)], np.array([0.0, 0.0, 14.0]) * scale, units=units)
    found = insar.time_series(loop, weights=[0, 0, 1], wavelength=0.056)
    np.testing.assert_allclose(found.temporal_coherence, 1 / 3, atol=1e-6)


def test_dates_that_are_all_the_same_have_no_rate():
    times = DAYS[[1, 1, 1, 2]]
    values = np.array([[1.0], [2.0], [4.0], [NAN]])
    series = xr.DataArray(values, dims=("time", "x"), coords={"time": times})
    more = xr.concat([series, series[-1:].assign_coords(time=DAYS[3:4])], "time")
    assert np.isnan(insar.linear_rate(more).rate.item())


def test_a_pixel_that_does_not_move_has_no_share_of_variance():
    series = xr.DataArray(np.ones((4, 1)), dims=("time", "x"), coords={"time": DAYS[:4]})
    found = insar.linear_rate(series)
    assert (found.rate.item(), found.standard_error.item()) == (0, 0)
    assert np.isnan(found.r_squared.item())


STACK = moved(PAIRS)[0]
UNITLESS = STACK.drop_attrs()
SERIES = insar.time_series(STACK).displacement
HOLED = STACK.where(STACK.pair != "20200101-20200113")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(insar.line_of_sight, STACK, wavelength=0.056, sign=1), "the phase has units 'mm', expected 'rad'"),
        (partial(insar.line_of_sight, UNITLESS, wavelength=5.6, sign=1), "wavelength is 5.6, expected metres"),
        (partial(insar.line_of_sight, UNITLESS, wavelength=0.056, sign=0), "sign is 0, expected 1 or -1"),
        (partial(insar.remove_planes, SERIES), "expected interferograms with axes pair, y, x, found time, y, x"),
        (partial(insar.subtract_reference, STACK, STACK[:3]), "no pixels or other interferograms"),
        (partial(insar.subtract_reference, STACK, STACK[:, :0]), "no pixels or other interferograms"),
        (
            partial(insar.subtract_reference, HOLED, HOLED[:, :2, :2]),
            "20200101-20200113 has values in 0% of the 4 pixels",
        ),
        (partial(insar.time_series, SERIES), "time_series: expected interferograms"),
        (partial(insar.time_series, STACK.drop_vars("reference_date")), "axis 'pair' and their two dates"),
        (partial(insar.time_series, STACK, solution="some"), "solution is 'some', expected 'tree' or 'all'"),
        (partial(insar.time_series, STACK, gaps="zero"), "gaps is 'zero', expected 'nan' or 'minimum_norm'"),
        (partial(insar.time_series, STACK, weights=[1.0]), r"weights has shape \(1,\)"),
        (partial(insar.time_series, STACK, wavelength=56), "wavelength is 56, expected metres"),
        (partial(insar.time_series, UNITLESS, wavelength=0.056), "a unit of length, found units None"),
        (
            partial(insar.line_of_sight, STACK.to_dataset(name="a"), wavelength=0.056, sign=1),
            "found Dataset. Choose one",
        ),
        (partial(insar.linear_rate, insar.time_series(STACK)), "expected a DataArray, found Dataset"),
        (partial(insar.linear_rate, STACK), "expected dates along 'time', found axes pair"),
        (partial(insar.linear_rate, SERIES[:1]), "found 1 dates, expected least=3"),
        (partial(insar.linear_rate, SERIES, least=2), "which is 3 at the least"),
        (partial(insar.linear_rate, SERIES, least=9), "found 6 dates, expected least=9"),
        (partial(insar.linear_rate, SERIES, level=95), "level is 95"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
