"""Diversity against what vegan and iNEXT document, against draws of individuals, and on communities that are known."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import rdata
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.dissimilarity import bray_curtis, principal_coordinates
from earthlab.analysis.diversity import (
    accumulate,
    ace_richness,
    asymptote,
    chao_richness,
    coverage,
    hill_number,
    indices,
    rarefy,
    size_at_coverage,
    species_pool,
)
from earthlab.errors import BadRequest

COUNTS = st.lists(st.integers(0, 30), min_size=2, max_size=25).filter(lambda counts: sum(counts) > 2)


@pytest.fixture(scope="module")
def read(shared_data):
    def one(name):
        return next(iter(rdata.read_rda(shared_data / f"{name}.rda", default_encoding="utf-8").values()))

    return one


@pytest.fixture(scope="module")
def dune(read):
    return read("vegan/dune"), read("vegan/dune.env")["Management"].astype(str).to_numpy()


@pytest.fixture(scope="module")
def ciliates(read):
    return {str(name): np.asarray(table) for name, table in read("inext/ciliates").items()}


@pytest.mark.parametrize(
    ("group", "documented"),
    [
        ("BF", (16, 17.19048, 1.5895675, 19.33333, 19.83333, 17.74074, 1.646379, 3)),
        ("HF", (21, 21.51429, 0.9511693, 23.40000, 22.05000, 22.56864, 1.821518, 5)),
        ("NM", (21, 22.87500, 2.1582871, 26.00000, 25.73333, 23.77696, 2.300982, 6)),
        ("SF", (21, 29.88889, 8.6447967, 27.66667, 31.40000, 23.99496, 1.850288, 6)),
    ],
)
def test_the_pool_of_meadow_species_is_that_of_vegan(dune, group, documented):
    matrix, management = dune
    found = species_pool(matrix[management == group])
    names = ["richness", "chao", "chao_error", "jackknife_1", "jackknife_2", "bootstrap", "bootstrap_error", "sites"]
    np.testing.assert_allclose(found[names].astype(float), documented, rtol=4e-7)


def test_the_jackknife_s_error_is_that_of_leaving_sites_out(dune):
    matrix, management = dune
    present = matrix[management == "SF"].to_numpy() > 0
    sites = len(present)
    without = [np.delete(present, at, axis=0).any(axis=0).sum() for at in range(sites)]
    by_hand = np.sqrt((sites - 1) / sites * ((without - np.mean(without)) ** 2).sum())
    error = species_pool(matrix[management == "SF"]).jackknife_1_error
    assert error == pytest.approx(by_hand)
    unique = (present & (present.sum(axis=0) == 1)).sum(axis=1)
    documented = np.sqrt(((unique**2).sum() - unique.sum() / sites) * (sites - 1) / sites)
    assert documented == pytest.approx(3.496029, abs=1e-6)
    assert error < documented


def test_the_dissimilarities_of_meadows_are_those_of_vegan(dune):
    matrix, management = dune
    apart = bray_curtis(matrix)
    groups = ["BF", "HF", "NM", "SF"]
    documented = [
        [0.4159972, 0.4736637, 0.7296979, 0.6247169],
        [0.4736637, 0.4418115, 0.7217933, 0.5673664],
        [0.7296979, 0.7217933, 0.6882438, 0.7723367],
        [0.6247169, 0.5673664, 0.7723367, 0.5813015],
    ]
    others = ~np.eye(len(apart), dtype=bool)
    for row, one in enumerate(groups):
        for column, other in enumerate(groups):
            pairs = np.outer(management == one, management == other) & others
            assert apart.to_numpy()[pairs].mean() == pytest.approx(documented[row][column], abs=5e-8)


def test_principal_coordinates_have_the_eigenvalues_and_dispersions_of_vegan(read):
    distances = bray_curtis(read("vegan/varespec"))
    places, values = principal_coordinates(distances, axes=24)
    np.testing.assert_allclose(
        values[:8], [1.7552, 1.1334, 0.4429, 0.3698, 0.2454, 0.1961, 0.1751, 0.1284], atol=5.1e-5
    )
    assert ((values > 1e-10).sum(), (values < -1e-10).sum()) == (15, 8)
    assert (places.abs().max() == places.max()).all()


def test_mites_have_the_richness_of_vegan(read):
    mite = read("vegan/mite")
    assert indices(mite).richness.mean() == pytest.approx(15.114, abs=5e-4)
    assert (mite.sum() > 0).sum() == 35


@pytest.mark.parametrize(
    ("region", "units", "total", "richness", "covered", "hill"),
    [
        ("EtoshaPan", 19, 516, 216, 0.8017, (339.255, 222.936, 142.833)),
        ("CentralNamibDesert", 17, 379, 130, 0.8425, (196.706, 106.480, 59.556)),
        ("SouthernNamibDesert", 15, 358, 150, 0.7816, (262.067, 149.910, 84.597)),
    ],
)
def test_ciliates_have_the_estimates_of_inext(ciliates, region, units, total, richness, covered, hill):
    found_in = ciliates[region].sum(axis=1)
    assert (ciliates[region].shape[1], found_in.sum(), (found_in > 0).sum()) == (units, total, richness)
    assert coverage(found_in, units=units) == pytest.approx(covered, abs=5e-5)
    np.testing.assert_allclose([asymptote(found_in, q, units=units) for q in (0, 1, 2)], hill, atol=5.1e-4)
    assert chao_richness(found_in, units=units).value == pytest.approx(hill[0], abs=5e-4)


@pytest.mark.parametrize(
    ("region", "units", "sizes", "documented", "covered"),
    [
        ("EtoshaPan", 19, [1, 10, 20, 88, 150], [27.158, 153.260, 221.386, 333.606, 338.901],
         [0.1901402, 0.6799226, 0.8103610, 0.9909111, 0.9994305]),
        ("CentralNamibDesert", 17, [1, 10, 24, 87, 150], [22.294, 98.993, 151.018, 195.191, 196.656],
         [0.3743404, 0.7635124, 0.8921419, 0.9964228, 0.9998814]),
        ("SouthernNamibDesert", 15, [1, 9, 30, 93, 150], [23.867, 112.485, 207.213, 259.337, 261.886],
         [0.2821229, 0.6993084, 0.8931001, 0.9946808, 0.9996478]),
    ],
)  # fmt: skip
def test_curves_of_ciliates_are_those_of_inext(ciliates, region, units, sizes, documented, covered):
    found = accumulate(ciliates[region].sum(axis=1), sizes, units=units, resamples=0)
    np.testing.assert_allclose(found.diversity, documented, atol=5.1e-4)
    np.testing.assert_allclose(found.coverage, covered, atol=3e-5)
    assert found.method.tolist()[:2] == ["rarefaction"] * 2
    assert found.method.iloc[-1] == "extrapolation"
    assert found.error.isna().all()


@pytest.mark.parametrize(
    ("place", "size", "documented"),
    [
        ("h50m", 327.165, (197.488, 78.053, 50.461)),
        ("h500m", 342.859, (268.726, 103.847, 64.758)),
        ("h1070m", 158.951, (123.609, 59.592, 41.775)),
        ("h1500m", 125.959, (50.479, 26.249, 18.649)),
        ("h2000m", 104.631, (12.910, 7.711, 5.795)),
    ],
)
def test_ants_at_equal_coverage_have_the_diversities_of_inext(read, place, size, documented):
    values = np.asarray(read("inext/ant")[place])
    units, found_in = int(values[0]), values[1:]
    reached = size_at_coverage(found_in, 0.985, units=units)
    assert reached == pytest.approx(size, abs=2e-3)
    found = [accumulate(found_in, [reached], q=q, units=units, resamples=0).diversity[0] for q in (0, 1, 2)]
    np.testing.assert_allclose(found, documented, atol=6e-4)
    assert coverage(found_in, reached, units=units) == pytest.approx(0.985, abs=1e-6)


def test_birds_have_chao_1_in_both_forms(read):
    south = np.asarray(read("inext/bird")["South.site"], int)
    individuals, once, twice = south.sum(), (south == 1).sum(), (south == 2).sum()
    share = (individuals - 1) / individuals
    assert chao_richness(south).value == pytest.approx(38 + share * once**2 / (2 * twice))
    corrected = chao_richness(south, form="bias-corrected")
    assert corrected.value == pytest.approx(38 + once * (once - 1) / (2 * (twice + 1)))
    assert 38 < ace_richness(south) < 45


def test_chao_1_of_a_tropical_forest_plot_is_that_of_vegan():
    plot = np.repeat(
        [1, 2, 5], [31, 18, 44]
    )  # as many singletons and doubletons among 93 species as the first BCI plot
    found = chao_richness(plot, form="bias-corrected")
    assert found.value == pytest.approx(117.473684, abs=1e-6)
    assert found.error == pytest.approx(11.5854, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(COUNTS)
def test_hill_numbers_fall_with_their_order_and_meet_at_evenness(counts):
    found = [hill_number(counts, q) for q in (0, 0.5, 1, 2, 5)]
    assert all(above >= below - 1e-9 for above, below in pairwise(found))
    assert hill_number([7] * 5, 1) == pytest.approx(5)
    assert hill_number([7] * 5, 3) == pytest.approx(5)


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.integers(0, 2))
def test_a_curve_passes_through_the_sample_and_a_draw_of_one_is_one_species(counts, q):
    individuals = sum(counts)
    found = accumulate(counts, [1, individuals], q=q, resamples=0)
    assert found.diversity.tolist() == pytest.approx([1.0, hill_number(counts, q) if q < 2 else found.diversity[1]])
    assert accumulate(counts, [individuals], q=0, resamples=0).coverage[0] == pytest.approx(coverage(counts))


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.data())
def test_rarefied_richness_rises_with_effort_and_has_no_error_at_the_whole(counts, data):
    individuals = sum(counts)
    size = data.draw(st.integers(1, individuals - 1))
    (less, _), (more, _) = rarefy(counts, size), rarefy(counts, size + 1)
    assert 1 - 1e-9 <= less <= more + 1e-9
    whole, error = rarefy(counts, individuals)
    assert (whole, error) == (pytest.approx(sum(c > 0 for c in counts)), pytest.approx(0, abs=1e-6))
    assert less == pytest.approx(accumulate(counts, [size], resamples=0).diversity[0])


def test_rarefaction_is_the_mean_of_draws_and_its_error_their_deviation():
    counts = np.array([40, 20, 10, 5, 2, 1, 1, 1])
    random = np.random.default_rng(0)
    drawn = (random.multivariate_hypergeometric(counts, 25, 20_000) > 0).sum(axis=1)
    expected, error = rarefy(counts, 25)
    assert expected == pytest.approx(drawn.mean(), abs=0.03)
    assert error == pytest.approx(drawn.std(), rel=0.03)


def draws(community, size, times, seed=0):
    return np.random.default_rng(seed).multinomial(size, community / community.sum(), times)


def test_chao_is_a_lower_bound_with_little_bias_where_species_are_even():
    community = np.ones(100)
    samples = draws(community, 300, 200)
    estimates = [chao_richness(sample) for sample in samples]
    values = np.array([estimate.value for estimate in estimates])
    assert abs(values.mean() - 100) < 2
    held = np.mean([estimate.lower <= 100 <= estimate.upper for estimate in estimates])
    assert held >= 0.90
    assert np.mean([estimate.error for estimate in estimates]) == pytest.approx(values.std(), rel=0.35)


def test_chao_stays_below_a_very_uneven_truth_and_above_what_was_seen():
    community = 1 / np.arange(1, 201) ** 1.2
    samples = draws(community, 500, 200)
    values = np.array([chao_richness(sample).value for sample in samples])
    seen = (samples > 0).sum(axis=1)
    assert (values >= seen).all()
    assert seen.mean() < values.mean() < 205


def test_coverage_and_entropy_are_unbiased_and_their_intervals_hold():
    community = np.random.default_rng(5).lognormal(0, 1, 80)
    shares = community / community.sum()
    samples = draws(community, 250, 200, seed=2)
    true_coverage = np.array([(shares * (sample > 0)).sum() for sample in samples])
    found = np.array([coverage(sample) for sample in samples])
    assert abs((found - true_coverage).mean()) < 0.005
    truth = np.exp(-(shares * np.log(shares)).sum())
    estimated = np.array([asymptote(sample, 1) for sample in samples])
    observed = np.array([hill_number(sample, 1) for sample in samples])
    assert abs(estimated.mean() - truth) < 0.03 * truth < abs(observed.mean() - truth)
    assert asymptote(samples[0], 2) == pytest.approx(1 / (shares**2).sum(), rel=0.25)


def test_the_interval_of_a_curve_holds_the_truth():
    community = np.random.default_rng(7).lognormal(0, 1, 60)
    shares = community / community.sum()
    truth = (1 - (1 - shares) ** 100).sum()
    held = 0
    for seed, sample in enumerate(draws(community, 200, 200, seed=3)):
        found = accumulate(sample, [100], resamples=40, seed=seed).iloc[0]
        held += found.lower <= truth <= found.upper
    assert held / 200 >= 0.90


def test_the_entropy_of_the_unseen_keeps_its_digits_where_few_are_seen_once():
    for twice in (3, 4, 5, 8, 60):
        counts = [1] + [2] * twice + [9] * 10
        size, rare = sum(counts), 2 * twice / ((sum(counts) - 1) + 2 * twice)
        steps = np.arange(200_000)
        unseen = ((1 - rare) ** (steps + 1) / (size + steps)).sum() / size
        seen = sum(c / size * sum(1 / k for k in range(c, size)) for c in counts)
        assert asymptote(counts, 1) == pytest.approx(np.exp(seen + unseen), rel=1e-9)


def test_a_seed_gives_the_same_interval_and_units_another():
    counts = [9, 5, 3, 2, 1, 1, 1]
    one, two = (accumulate(counts, [10, 40], q=1, resamples=30, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    by_units = accumulate(counts, [5, 20], units=10, resamples=30)
    assert (by_units.lower <= by_units.diversity).all()
    assert not by_units.error.isna().any()


def test_where_nothing_is_rare_nothing_is_missing():
    found = chao_richness([10, 20, 30])
    assert (found.value, found.error, found.lower, found.upper) == (3, 0, 3, 3)
    assert coverage([10, 20, 30]) == 1
    assert ace_richness([11, 20]) == 2
    assert np.isnan(ace_richness([1, 1, 20]))
    assert size_at_coverage([10, 20, 30], 0.5) < 3
    assert size_at_coverage([1, 2, 20], 0.999) > 23
    assert chao_richness([1, 1, 1]).value == pytest.approx(3 + 2 / 3 * 3)


def test_indices_of_sites_and_their_dissimilarity_worked_by_hand():
    matrix = pd.DataFrame({"a": [1, 3, 0], "b": [1, 1, 0]}, index=["s", "t", "u"], dtype="float32")
    found = indices(matrix)
    assert found.loc["s", ["richness", "shannon", "simpson", "inverse_simpson", "evenness"]].tolist() == pytest.approx(
        [2, np.log(2), 0.5, 2, 1]
    )
    assert found.loc["u", ["shannon", "simpson"]].isna().all()
    apart = bray_curtis(matrix)
    assert apart.loc["s", "t"] == pytest.approx(2 / 6)
    assert apart.loc["s", "u"] == 1
    assert (np.diag(apart)[:2] == 0).all()


def test_principal_coordinates_keep_euclidean_distances():
    places = np.random.default_rng(0).normal(size=(12, 2))
    apart = pd.DataFrame(np.linalg.norm(places[:, None] - places, axis=-1))
    found, values = principal_coordinates(apart, axes=2)
    again = np.linalg.norm(found.to_numpy()[:, None] - found.to_numpy(), axis=-1)
    np.testing.assert_allclose(again, apart, atol=1e-9)
    assert (values[2:] < 1e-9).all()


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: rarefy([1.5, 2], 1), "whole numbers"),
        (lambda: rarefy([1, 2], 4), "expected 1 to 3"),
        (lambda: chao_richness([0, 0]), "every count is 0"),
        (lambda: chao_richness([1, -2]), "0 or more"),
        (lambda: chao_richness([1, np.nan]), "without gaps"),
        (lambda: chao_richness([5], units=3), "units is 3"),
        (lambda: chao_richness([5], form="chao2"), "'chao' or 'bias-corrected'"),
        (lambda: chao_richness([5], confidence=95), "between 0 and 1"),
        (lambda: hill_number([1, 2], -1), "expected 0 or more"),
        (lambda: asymptote([1, 2], 3), "expected 0"),
        (lambda: asymptote([1, 1], 2), "no species was found twice"),
        (lambda: accumulate([1, 2], []), "list of sizes"),
        (lambda: accumulate([1, 2], [0]), "all of them positive"),
        (lambda: accumulate([1, 2], [1], resamples=-1), "expected 0 or more"),
        (lambda: coverage([1, 2], -1), "expected a positive number"),
        (lambda: size_at_coverage([1, 2], 1.0), "between 0 and 1"),
        (lambda: indices(pd.DataFrame({"a": [-1.0]})), "0 or more"),
        (lambda: indices(pd.DataFrame({"a": ["x"]})), "column of numbers"),
        (lambda: species_pool(pd.DataFrame({"a": [1]})), "expected two or more"),
        (lambda: bray_curtis(pd.DataFrame({"a": [np.nan, 1]})), "without gaps"),
        (lambda: principal_coordinates(pd.DataFrame([[0, 1], [2, 0]])), "symmetric"),
    ],
)
def test_bad_input_ends_in_a_sentence(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()


def test_tables_of_other_tools_are_taken_as_they_are():
    table = pd.DataFrame({"a": [5, 0, 1], "b": [1, 2, 1]})
    plain = indices(table)
    for other in (table.to_numpy(), table.to_numpy().tolist(), table.astype("Int64"), table.astype("float32")):
        np.testing.assert_allclose(indices(other), plain)
        np.testing.assert_allclose(bray_curtis(other), bray_curtis(table))
    places, _ = principal_coordinates(bray_curtis(table).to_numpy())
    np.testing.assert_allclose(places, principal_coordinates(bray_curtis(table))[0])
    row = table.astype("Int64").loc[0]
    assert chao_richness(row) == chao_richness([5, 1])
    assert chao_richness(np.array([[5, 1]])) == chao_richness([5, 1])


def test_hill_numbers_are_right_for_every_order():
    counts = [50, 30, 15, 4, 1]
    shares = np.array(counts) / 100
    assert hill_number(counts, np.inf) == pytest.approx(2)
    assert hill_number(counts, 2000) == pytest.approx(0.5 ** (2000 / -1999), rel=1e-12)
    for q in (0.3, 1.7, 3.0):
        assert hill_number(counts, q) == pytest.approx((shares**q).sum() ** (1 / (1 - q)), rel=1e-12)
    assert hill_number(counts, 1 + 1e-11) == pytest.approx(hill_number(counts, 1), rel=1e-9)


def test_a_hundred_million_cells_a_litre_are_counted_at_once():
    cells = [100_000_000, 2_000_000, 3]
    expected = 3 - np.exp(1000 * np.log1p(-2 / 102)) - np.exp(1000 * np.log1p(-3 / 102e6))
    assert rarefy(cells, 1000)[0] == pytest.approx(expected, rel=1e-5)
    assert accumulate(cells, 1000, q=1, resamples=2)["diversity"][0] == pytest.approx(1.1017, abs=2e-3)
    assert size_at_coverage([10_000_000, 1_000_000, 1, 1, 1, 2], 0.95) < 30


def test_the_size_for_a_coverage_gives_this_coverage():
    counts = np.random.default_rng(3).integers(0, 40, 30)
    for level in (0.2, 0.5, 0.9, 0.97):
        assert coverage(counts, size_at_coverage(counts, level)) == pytest.approx(level, abs=1e-9)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: chao_richness(pd.DataFrame({"a": [1, 2], "b": [3, 4]})), "table of 2 by 2"),
        (lambda: chao_richness(["x"]), "as numbers"),
        (lambda: chao_richness([1, 2], units=5.5), "a whole number"),
        (lambda: rarefy([5, 3], 2.5), "a whole number"),
        (lambda: indices([1, 2]), "found 1 axis"),
        (lambda: indices(pd.DataFrame({"a": [1, None]}, dtype="Int64")), "without gaps"),
        (lambda: principal_coordinates(np.array([[1, 0.5], [0.5, 1]])), "1 - likeness"),
    ],
)
def test_what_is_no_single_sample_is_refused(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()
