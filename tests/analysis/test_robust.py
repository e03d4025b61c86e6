"""Robust statistics and effective samples: against scipy, xdem, sums over all pairs, and simulated fields."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import gaussian_filter

from earthlab.analysis.robust import (
    Correlation,
    clipped_mean,
    effective_samples,
    effective_samples_of_area,
    fit_correlation,
    median,
    nmad,
    nmad_interval,
    quantile_of_normal,
    sigma_of_mean,
    sigma_of_volume,
    variogram,
    without_outliers,
)
from earthlab.errors import BadRequest

NAN = float("nan")
VALUES = arrays("float64", array_shapes(max_dims=3, max_side=6), elements=st.sampled_from([NAN, -3.0, 0.0, 0.25, 7.0]))


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_nmad_and_median_are_those_of_scipy_and_numpy(values):
    seen = values[np.isfinite(values)]
    expected = 1.4826 * scipy.stats.median_abs_deviation(seen) if seen.size else NAN
    np.testing.assert_allclose(nmad(values), expected)
    np.testing.assert_allclose(median(values), np.median(seen) if seen.size else NAN)
    np.testing.assert_allclose(float(nmad(xr.DataArray(values))), expected)


@given(VALUES)
@settings(max_examples=50, deadline=None)
def test_one_axis_of_a_lazy_array_is_that_of_numpy(values):
    lazy = xr.DataArray(values.astype("float32")).chunk(1)
    found = nmad(lazy, dim=lazy.dims[0])
    assert found.chunks is not None
    assert found.dtype == "float32"
    np.testing.assert_allclose(found.compute(scheduler="sync"), nmad(values, dim=0), rtol=1e-6)


def test_half_of_the_values_may_be_outliers_and_the_unit_is_kept():
    values = np.concatenate([np.random.default_rng(0).normal(2, 0.5, 6_000), np.full(1_000, 1e6), [np.inf, NAN]])
    cube = xr.DataArray(values, dims="x", attrs={"units": "m", "standard_name": "height"})
    assert float(nmad(cube)) == pytest.approx(0.5, rel=0.35)
    assert nmad(cube).attrs["units"] == "m"
    assert "standard_name" not in nmad(cube).attrs
    kept = clipped_mean(values)
    assert kept.mean == pytest.approx(2, abs=0.03)
    assert kept.std == pytest.approx(0.5, rel=0.05)
    assert kept.number == without_outliers(values).size <= 6_000


def test_nothing_observed_is_nan():
    empty = np.full(4, NAN)
    assert np.isnan(nmad(empty))
    assert np.isnan(nmad_interval(empty)).all()
    assert clipped_mean(empty).number == 0
    assert clipped_mean([3.0])[::2] == (3.0, 1)
    assert effective_samples(np.zeros((3, 3)), 10, pixel=1) == 0


def test_the_interval_of_the_nmad_holds_the_truth_as_often_as_it_says():
    samples = np.random.default_rng(1).normal(0, 1.7, (200, 400))
    found = np.array([nmad(sample) for sample in samples])
    ends = np.array([nmad_interval(sample) for sample in samples])
    assert found.mean() == pytest.approx(1.7, rel=0.02)
    assert 0.90 <= ((ends[:, 0] <= 1.7) & (ends[:, 1] >= 1.7)).mean() <= 0.99
    wider = nmad_interval(samples[0], effective=25)
    assert wider[0] < ends[0, 0] < ends[0, 1] < wider[1]


@pytest.mark.parametrize("number", [5, 12, 60])
@pytest.mark.parametrize("law", ["normal", "laplace", "student", "contaminated"])
def test_the_interval_of_the_nmad_holds_for_few_values_and_heavy_tails(law, number):
    rng = np.random.default_rng(4)
    shape = (400, number)
    drawn, true = {
        "normal": (rng.normal(size=shape), 1.0),
        "laplace": (rng.laplace(size=shape), 1.4826 * np.log(2)),
        "student": (rng.standard_t(3, size=shape), 1.4826 * scipy.stats.t(3).ppf(0.75)),
        "contaminated": (rng.normal(size=shape) * np.where(rng.random(shape) < 0.1, 8, 1), 1.1132),
    }[law]
    ends = np.array([nmad_interval(sample) for sample in drawn])
    assert ((ends[:, 0] <= true) & (true <= ends[:, 1])).mean() >= 0.93


def test_the_interval_of_whole_numbers_is_not_a_point():
    low, high = nmad_interval(np.random.default_rng(1).integers(-2, 3, 50))
    assert low < high


def by_pairs(inside, correlation, height, width):
    places = np.argwhere(inside) * [height, width]
    shared = sum(float(correlation.at(np.hypot(*(a - b)))) for a, b in itertools.product(places, places))
    return len(places) ** 2 / shared


@given(
    arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 5))),
    st.floats(0.5, 20),
    st.floats(0.5, 3),
    st.sampled_from(["spherical", "exponential", "gaussian"]),
)
@settings(max_examples=60, deadline=None)
def test_effective_samples_are_the_sum_over_all_pairs(inside, reach, width, model):
    correlation = Correlation((reach, 2 * reach), (1.0, 0.5), 0.2, model)
    found = effective_samples(inside, correlation, pixel=(1.5, width))
    if not inside.any():
        assert found == 0
        return
    assert found == pytest.approx(by_pairs(inside, correlation, 1.5, width), rel=1e-9)
    assert 1 - 1e-9 <= found <= inside.sum() + 1e-9


@pytest.mark.parametrize("area", [1e4, 1e6, 4e7])
@pytest.mark.parametrize("model", ["spherical", "exponential", "gaussian"])
def test_effective_samples_of_an_area_are_the_integral_over_a_disc(area, model):
    correlation = Correlation((150.0, 900.0), (2.0, 1.0), model=model)
    radius = np.sqrt(area / np.pi)
    shared, _ = scipy.integrate.quad(lambda h: h * float(correlation.at(h)), 0, radius, points=[150, 900], limit=400)
    assert effective_samples_of_area(area, correlation) == pytest.approx(radius**2 / 2 / shared, rel=1e-6)


def test_effective_samples_of_a_small_disc_are_rolstads():
    radius, reach = 40.0, 100.0
    expected = 1 / (1 - radius / reach + (radius / reach) ** 3 / 5)
    assert effective_samples_of_area(np.pi * radius**2, reach) == pytest.approx(expected)


def test_effective_samples_of_a_large_area_are_rolstads_and_near_those_of_its_form():
    assert effective_samples_of_area(1e6, 100.0) == pytest.approx(1e6 / (np.pi * 100**2 / 5))
    disc = np.hypot(*np.mgrid[-60:61, -60:61]) <= 60
    whole = effective_samples(disc, 120.0, pixel=10)
    assert effective_samples_of_area(disc.sum() * 100, 120.0) == pytest.approx(whole, rel=0.12)
    assert effective_samples_of_area(1.0, 1e6) == pytest.approx(1, abs=1e-3)


FIELDS = 200


def smooth_fields(size, blur, seed):
    noise = np.random.default_rng(seed).normal(size=(FIELDS, size, size))
    return gaussian_filter(noise, (0, blur, blur), mode="wrap") * (2 * np.sqrt(np.pi) * blur)


def test_the_error_of_a_mean_of_correlated_errors_is_as_told():
    # A blur of white noise with σ_b has the correlation exp(-d² / 4σ_b²): a Gaussian model of range sqrt(12) σ_b.
    blur, part = 2.0, (slice(10, 34), slice(10, 40))
    fields = smooth_fields(48, blur, 2)
    inside = np.zeros((48, 48))
    inside[part] = 1
    reach = np.sqrt(12) * blur * 5
    effective = effective_samples(inside, Correlation((reach,), model="gaussian"), pixel=5)
    told = sigma_of_mean(1.0, effective)
    means = fields[:, *part].mean(axis=(1, 2))
    assert means.std() == pytest.approx(told, rel=0.15)
    assert told > 3 / np.sqrt(inside.sum())
    assert 0.90 <= (np.abs(means) <= 1.96 * told).mean() <= 0.99


def test_a_fitted_correlation_gives_the_error_of_the_mean_it_was_fitted_without():
    fields = smooth_fields(48, 2.0, 3)
    fields[:, 30:36, :20] = NAN
    fits = [fit_correlation(variogram(field, pixel=5), model="gaussian") for field in fields[:40]]
    assert np.median([fit.ranges[0] for fit in fits]) == pytest.approx(np.sqrt(12) * 10, rel=0.15)
    assert np.median([fit.variance for fit in fits]) == pytest.approx(1, rel=0.1)
    inside = np.isfinite(fields[0])
    told = np.median([sigma_of_mean(1.0, effective_samples(inside, fit, pixel=5)) for fit in fits])
    assert np.nanmean(fields, axis=(1, 2)).std() == pytest.approx(told, rel=0.25)


def test_the_variogram_is_half_the_mean_square_of_differences():
    values = np.random.default_rng(4).normal(size=(7, 8))
    values[2, 3] = NAN
    found = variogram(values, pixel=(2.0, 3.0), longest=9.0, classes=5)
    kept = np.argwhere(np.isfinite(values) & (np.abs(values - np.nanmedian(values)) <= 3 * nmad(values)))
    pairs = [(a, b) for a, b in itertools.permutations(map(tuple, kept), 2)]
    away = np.array([np.hypot((a[0] - b[0]) * 2, (a[1] - b[1]) * 3) for a, b in pairs])
    half = np.array([(values[a] - values[b]) ** 2 / 2 for a, b in pairs])
    assert found.pairs.sum() == (away <= 9).sum()
    total = (found.semivariance * found.pairs).sum()
    assert total == pytest.approx(half[away <= 9].sum())
    assert (np.diff(found.distance) > 0).all()


def test_independent_errors_have_a_nugget_only_and_two_scales_are_told_apart():
    white = np.random.default_rng(5).normal(size=(80, 80))
    found = fit_correlation(variogram(white, pixel=1.0))
    assert effective_samples(np.ones((20, 20)), found, pixel=1) > 200
    truth = Correlation((4.0, 30.0), (1.0, 2.0), 0.5)
    away = np.geomspace(1, 60, 24)
    exact = type(variogram(white, pixel=1.0))(away, truth.variance * (1 - truth.at(away)), np.ones(24))
    twice = fit_correlation(exact, scales=2)
    np.testing.assert_allclose(twice.at(away), truth.at(away), atol=0.02)


def test_the_volume_of_a_patch_carries_the_area_and_what_all_pixels_share():
    assert sigma_of_volume(2.0, 1_000.0, 16.0) == pytest.approx(500.0)
    assert sigma_of_volume(2.0, 1_000.0, 16.0, systematic=1.2) == pytest.approx(1_300.0)
    assert quantile_of_normal(0.95) == pytest.approx(1.959964)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nmad(xr.DataArray([1.0], dims="x"), dim="y"), "No axis y .*there are x"),
        (lambda: clipped_mean([1.0], limit=0), "limit is 0"),
        (lambda: nmad_interval([1.0, 2.0], effective=0.5), "at least 1"),
        (lambda: nmad_interval([1.0, 2.0], level=95), "between 0 and 1"),
        (lambda: Correlation(()), "expected as many"),
        (lambda: Correlation((5.0,), (1.0, 2.0)), "expected as many"),
        (lambda: Correlation((-5.0,)), "positive lengths"),
        (lambda: Correlation((5.0,), (0.0,)), "not all 0"),
        (lambda: Correlation((5.0,), model="cubic"), "spherical"),
        (lambda: effective_samples(np.ones(3), 5.0, pixel=1), "two axes"),
        (lambda: effective_samples(np.ones((3, 3)), 5.0, pixel=0), "above 0"),
        (lambda: effective_samples_of_area(0, 5.0), "positive number"),
        (lambda: sigma_of_mean(-1, 4), "deviations from 0"),
        (lambda: sigma_of_mean(1, 0), "positive number of samples"),
        (lambda: sigma_of_volume(1, -4, 2), "area is -4"),
        (lambda: variogram(np.ones(40), pixel=1), "two axes"),
        (lambda: variogram(np.ones((4, 4)), pixel=1), "30 or more"),
        (lambda: variogram(np.ones((8, 8)), pixel=1, longest=0.5), "beyond one pixel"),
        (lambda: fit_correlation(variogram(np.ones((8, 8)), pixel=1)), "do not vary"),
        (lambda: fit_correlation(variogram(np.eye(8), pixel=1, classes=2), scales=2), "unknowns"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_what_a_mask_hides_is_no_observation():
    values = np.r_[np.random.default_rng(1).normal(size=99), -9999.0]
    hidden, plain = np.ma.masked_equal(values, -9999), values[:-1]
    assert nmad(hidden) == nmad(plain)
    assert median(hidden) == median(plain)
    assert nmad_interval(hidden) == nmad_interval(plain)
    assert clipped_mean(hidden, limit=1e9) == clipped_mean(plain, limit=1e9)
    assert nmad(np.ma.masked_equal(np.array([1, 2, 3, -9999], "int16"), -9999)) == pytest.approx(1.4826)
    field = np.ma.masked_equal(values.reshape(10, 10), -9999)
    np.testing.assert_allclose(
        variogram(field, pixel=1.0).semivariance, variogram(field.filled(np.nan), pixel=1.0).semivariance
    )
    patch = np.ma.masked_array(np.ones((5, 5)), np.arange(25).reshape(5, 5) < 5)
    assert effective_samples(patch, 0.5, pixel=1.0) == 20


def test_pixels_and_ranges_may_be_numbers_of_numpy_or_lists():
    expected = effective_samples(np.ones((5, 5)), 100.0, pixel=10.0)
    for pixel in (np.int64(10), np.float32(10), [10, 10], (10.0, 10.0)):
        assert effective_samples(np.ones((5, 5)), Correlation(100.0), pixel=pixel) == expected
    assert Correlation([100, 200], [1, 2]) == Correlation((100.0, 200.0), (1.0, 2.0))
