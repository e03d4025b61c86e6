"""Least squares under white and flicker noise: scipy, the definition of flicker noise, planted noise."""

import math

import numpy as np
import pytest
from scipy.optimize import curve_fit

from earthlab.analysis.noise import fit_flicker, fit_white, flicker_covariance
from earthlab.errors import BadRequest


def line(number: int) -> tuple[np.ndarray, np.ndarray]:
    days = np.arange(number) * 7.0
    return days, np.stack([np.ones(number), days / 365.25], axis=1)


def test_weighted_least_squares_are_scipys():
    random = np.random.default_rng(1)
    days, design = line(40)
    sigmas = random.uniform(1, 3, 40)
    values = design @ [5, -2] + random.normal(0, sigmas)
    found = fit_white(design, values, sigmas**-2)
    estimates, covariance = curve_fit(lambda t, a, b: a + b * t / 365.25, days, values, sigma=sigmas)
    np.testing.assert_allclose(found.estimates, estimates, rtol=1e-6)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-5)
    assert found.freedom == 38


def test_the_units_of_weights_do_not_matter():
    random = np.random.default_rng(2)
    _, design = line(60)
    values, weights = random.normal(0, 3, 60), random.uniform(1, 2, 60)
    one, other = (fit_white(design, values, scale * weights) for scale in (1, 1e-6))
    np.testing.assert_allclose(one.covariance, other.covariance)
    assert one.noise["white"] == pytest.approx(other.noise["white"])


def test_flicker_noise_has_a_spectrum_of_one_over_f():
    number = 2048
    covariance = flicker_covariance(number)
    waves = np.exp(-2j * math.pi * np.outer([8, 16, 32, 64, 128], np.arange(number)) / number)
    power = np.einsum("ki,ij,kj->k", waves, covariance, waves.conj()).real
    np.testing.assert_allclose(power[:-1] / power[1:], 2, atol=0.1)


def test_flicker_noise_is_the_same_noise_at_any_step_of_time():
    daily, weekly = flicker_covariance(7 * 150), flicker_covariance(150)
    averaged = daily.reshape(150, 7, 150, 7).mean(axis=(1, 3))
    slopes = np.linspace(-1, 1, 150) / (np.linspace(-1, 1, 150) ** 2).sum()
    assert slopes @ averaged @ slopes == pytest.approx(slopes @ weekly @ slopes, rel=0.05)


@pytest.mark.parametrize(("white", "flicker"), [(2.0, 0.0), (1.0, 4.0), (0.0, 3.0)])
def test_planted_noise_is_found_and_the_interval_of_the_slope_holds(white, flicker):
    random = np.random.default_rng(7)
    days, design = line(150)
    root = (7 / 365.25) ** 0.25 * np.linalg.cholesky(flicker_covariance(150))
    cases = [flicker * root @ random.normal(size=150) + random.normal(0, white, 150) for _ in range(200)]
    fits = [fit_flicker(days, design, design @ [5, -2] + noise, np.ones(150)) for noise in cases]
    off = np.array([fit.estimates[1] + 2 for fit in fits])
    errors = np.array([math.sqrt(fit.covariance[1, 1]) for fit in fits])
    assert abs(off.mean()) < 3.5 * off.std() / math.sqrt(200)
    assert np.mean(np.abs(off) < 1.976 * errors) == pytest.approx(0.95, abs=0.045)
    assert np.median([fit.noise["white"] for fit in fits]) == pytest.approx(white, abs=0.25)
    assert np.median([fit.noise["flicker"] for fit in fits]) == pytest.approx(flicker, abs=0.5)


def test_white_errors_are_far_too_small_under_flicker_noise():
    random = np.random.default_rng(8)
    _, design = line(150)
    root = (7 / 365.25) ** 0.25 * np.linalg.cholesky(flicker_covariance(150))
    values = [4 * root @ random.normal(size=150) for _ in range(200)]
    fits = [fit_white(design, each, np.ones(150)) for each in values]
    covered = np.mean([abs(fit.estimates[1]) < 1.976 * math.sqrt(fit.covariance[1, 1]) for fit in fits])
    assert covered < 0.6


def test_averages_leave_the_model_exact():
    days = np.sort(np.random.default_rng(3).choice(4000, 2500, replace=False)).astype(float)
    design = np.stack([np.ones(2500), days, days > 1234, np.sin(days / 20)], axis=1)
    found = fit_flicker(days, design, design @ [1, 2, 3, 4], np.ones(2500))
    np.testing.assert_allclose(found.estimates, [1, 2, 3, 4], rtol=1e-8)
    assert found.freedom <= 601 - 4


def test_visits_of_a_few_days_are_too_few_for_flicker_noise():
    days = np.array([0.0, 1, 2, 4990, 4991, 4992, 9998, 9999, 10000])
    design = np.stack([np.ones(9), days], axis=1)
    with pytest.raises(BadRequest, match=r"lie at 4 separate times for 2 terms.*noise='white'"):
        fit_flicker(days, design, days, np.ones(9))
