"""Surveys within strata: intervals against statsmodels and Newcombe's own figures, and their coverage."""

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from earthlab.analysis.stratified import Interval, estimate, intervals, summed, wilson
from earthlab.errors import BadRequest

LARGE = np.array([[0.85, 0.15], [0.004, 0.996]]), np.array([0.02, 0.98]), [75, 500]
SCARCE = np.array([[0.85, 0.15], [0.002, 0.998]]), np.array([0.02, 0.98]), [25, 200]
FOUR = (
    np.array(
        [[0.88, 0, 0.07, 0.05], [0, 0.73, 0.11, 0.16], [0.006, 0.0005, 0.927, 0.0665], [0.006, 0.003, 0.028, 0.963]]
    ),
    np.array([0.02, 0.015, 0.32, 0.645]),
    [75, 75, 165, 325],
)
UNSEEN = np.array([[0.7, 0.3, 0], [0.0005, 0.95, 0.0495], [0.0, 0.1, 0.9]]), np.array([0.01, 0.6, 0.39]), [50, 150, 100]


def drawn(truth, places, number=2000, seed=5):
    rng = np.random.default_rng(seed)
    return np.stack([rng.multinomial(n, p, size=number) for n, p in zip(places, truth, strict=True)], 1).astype(float)


def truths(truth, weight):
    joint = truth * weight[:, None]
    share = joint.sum(axis=0)
    return {"share": share, "user": np.diag(truth), "producer": np.diag(joint) / share, "overall": np.trace(joint)}


@pytest.mark.parametrize(("truth", "weight", "places"), [LARGE, SCARCE, FOUR, UNSEEN])
@pytest.mark.parametrize("name", ["share", "user", "producer", "overall"])
def test_intervals_hold_what_they_say_for_rare_classes_and_few_places(truth, weight, places, name):
    low, high = getattr(intervals(drawn(truth, places), weight), name)
    true = truths(truth, weight)[name]
    covered = ((low <= true + 1e-12) & (true <= high + 1e-12)).mean(axis=0)
    assert np.min(covered) >= 0.92
    assert np.max(covered) <= 0.995


def test_a_normal_law_is_far_too_narrow_where_a_large_stratum_hides_a_rare_class():
    truth, weight, places = FOUR
    found, true = estimate(drawn(truth, places), weight), truths(truth, weight)
    covered = [
        (np.abs(value - true[name])[:, 1] <= 1.96 * error[:, 1]).mean()
        for name, value, error in (
            ("share", found.share, found.share_se),
            ("producer", found.producer, found.producer_se),
        )
    ]
    assert covered[0] < 0.8
    assert covered[1] < 0.7


def test_one_stratum_has_the_interval_of_wilson():
    for count, places in ((0, 10), (3, 10), (10, 10), (81, 263)):
        expected = proportion_confint(count, places, 0.05, "wilson")
        found = wilson(np.array(count / places), np.array(float(places)), 0.95)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert wilson(np.array(0.0), np.array(0.0), 0.95) == (0, 1)


def test_the_sum_of_two_strata_is_newcombe_s_interval_of_a_difference():
    # p1 - p2 is p1 + (1 - p2) less 1.
    low, high = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    rate, places = np.array([[56 / 70], [32 / 80]]), np.array([[70.0], [80.0]])
    found = summed(rate, wilson(rate, places, 0.95), np.array([[1.0], [1.0]]))
    np.testing.assert_allclose([end.item() - 1 for end in found], [low, high], atol=1e-12)


def test_a_perfect_survey_is_not_certain_and_a_class_never_seen_may_exist():
    found = intervals(np.array([[30.0, 0, 0], [0, 40, 0], [0, 0, 0]]), np.array([100.0, 900, 0]))
    assert 0.85 < found.overall.low < found.overall.high == 1
    assert found.share.low[2] == 0 < found.share.high[2] < 0.15
    assert found.producer.low[0] < 0.7
    assert found.producer.high[0] == 1
    assert np.isnan(found.producer.low[2])
    assert np.isnan(found.user.low[2])
    missed = intervals(np.array([[0.0, 30], [2, 98]]), np.array([100.0, 900])).producer
    assert missed.low[0] == 0 < missed.high[0] < 1


def test_estimates_lie_within_their_intervals():
    counts, pixels = drawn(FOUR[0], FOUR[2], 300), FOUR[1]
    found, ends = estimate(counts, pixels), intervals(counts, pixels)
    for name in ("share", "user", "producer", "overall"):
        both: Interval = getattr(ends, name)
        value = getattr(found, name)
        seen = np.isfinite(value)
        assert (both.low[seen] <= value[seen] + 1e-9).all()
        assert (value[seen] <= both.high[seen] + 1e-9).all()


def test_a_level_that_cannot_be_is_refused():
    with pytest.raises(BadRequest, match="level"):
        intervals(np.ones((2, 2)), np.ones(2), level=95)
