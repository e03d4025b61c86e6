"""Diversity of species: how many were seen, how many more effort would show, and how much of nature that covers.

A sample is either counts of individuals by species, or in how many of ``units`` sampling units (plots, traps, visits)
each species was found. Estimates of what was not seen follow Chao and co-workers; they are lower bounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln, logsumexp, xlogy
from scipy.stats import norm

from earthlab.analysis.dissimilarity import sites_by_species
from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest

Chao1Form = Literal["chao", "bias-corrected"]

_ABUNDANCE_OF_RARE = 10
"""Species with at most so many individuals are rare to ACE."""
_MANY_TWICE, _E_FOLDS = 4, 40
_TAIL = 12
"""Standard deviations from its mean beyond which a number of individuals drawn has no chance."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and interval.

    Attributes
    ----------
    value, error, lower, upper : float
        The estimate, its standard error, and the ends of the interval at the confidence that was asked for.
    """

    value: float
    error: float
    lower: float
    upper: float


def indices(matrix: pd.DataFrame) -> pd.DataFrame:
    """What each row of a community matrix holds: individuals, richness, and indices of diversity.

    Parameters
    ----------
    matrix : pandas.DataFrame
        Sites in rows, species in columns; counts, cover or biomass, none negative.

    Returns
    -------
    pandas.DataFrame
        By site: ``total``, ``richness``, ``shannon`` (nat), ``simpson`` (1 - Σp²), ``inverse_simpson``, ``hill_1``
        (exp of Shannon) and ``evenness`` (Pielou; NaN for a single species). An empty site has NaN.

    Raises
    ------
    BadRequest
        For values that are negative or missing, or columns that are no numbers.

    References
    ----------
    Hill (1973), Diversity and evenness: a unifying notation and its consequences, Ecology 54, 427-432,
    doi:10.2307/1934352.
    """
    sites = sites_by_species(matrix, "indices")
    values = sites.to_numpy()
    total = values.sum(axis=1)
    shares = np.divide(values, total[:, None], out=np.full_like(values, np.nan), where=total[:, None] > 0)
    richness = (values > 0).sum(axis=1)
    shannon, concentration = -xlogy(shares, shares).sum(axis=1), (shares**2).sum(axis=1)
    return pd.DataFrame(
        {
            "total": total,
            "richness": richness,
            "shannon": shannon,
            "simpson": 1 - concentration,
            "inverse_simpson": 1 / concentration,
            "hill_1": np.exp(shannon),
            "evenness": np.divide(
                shannon, np.log(np.maximum(richness, 1)), out=np.full_like(shannon, np.nan), where=richness > 1
            ),
        },
        index=sites.index,
    )


def hill_number(counts: npt.ArrayLike, q: float) -> float:
    """The effective number of species of order q: 0 richness, 1 exp of Shannon's entropy, 2 inverse of Simpson's.

    Parameters
    ----------
    counts : array of float
        Abundance of each species; zeros do not count.
    q : float
        The order: the larger, the less the rare species weigh. Not negative; infinite: 1 over the largest share.

    Raises
    ------
    BadRequest
        For a negative order, negative counts, or none.
    """
    if not q >= 0:
        raise BadRequest(f"hill_number: q is {q!r}, expected 0 or more.")
    seen = _check_counts(counts, "hill_number", whole=False)
    shares = seen / seen.sum()
    if q == 1:
        return float(np.exp(-xlogy(shares, shares).sum()))
    if np.isinf(q):
        return float(1 / shares.max())
    beside = (shares * np.expm1((q - 1) * np.log(shares))).sum()  # exact where q is almost 1
    sums = np.log1p(beside) if abs(beside) < 0.5 else logsumexp(q * np.log(shares))
    return float(np.exp(sums / (1 - q)))


def rarefy(counts: npt.ArrayLike, size: int) -> tuple[float, float]:
    """Species expected in a random draw of individuals, without replacement, and the standard error (Hurlbert).

    ``E(S) = Σ [1 - C(N - N_i, m) / C(N, m)]``.

    Parameters
    ----------
    counts : array of int
        Individuals of each species.
    size : int
        How many individuals are drawn, from 1 to all.

    Returns
    -------
    tuple of float
        Expected richness, and the standard deviation of the richness of such draws, 0 when all are drawn.

    Raises
    ------
    BadRequest
        For counts that are no whole numbers, or a size outside the sample.

    References
    ----------
    Hurlbert (1971), The nonconcept of species diversity, Ecology 52, 577-586, doi:10.2307/1934145.
    Heck, van Belle and Simberloff (1975), Explicit calculation of the rarefaction diversity measurement and the
    determination of sufficient sample size, Ecology 56, 1459-1461, doi:10.2307/1934716.
    """
    seen = _check_counts(counts, "rarefy")
    if not 1 <= size <= seen.sum() or size % 1:
        raise BadRequest(
            f"rarefy: size is {size!r}, expected 1 to {int(seen.sum())}, a whole number of individuals of the sample."
        )
    values, species = np.unique(seen, return_counts=True)
    total = seen.sum()
    missed = _missed(values, total, size)
    both = _missed(values[:, None] + values, total, size)
    pairs = species[:, None] * species - np.diag(species)
    spread = (species * missed * (1 - missed)).sum() + (pairs * (both - missed[:, None] * missed)).sum()
    return float((species * (1 - missed)).sum()), float(np.sqrt(max(spread, 0.0)))


def chao_richness(
    counts: npt.ArrayLike, *, units: int | None = None, form: Chao1Form = "chao", confidence: float = 0.95
) -> Estimate:
    """How many species there are at least, from those seen once and twice: Chao1, or Chao2 for sampling units.

    ``form="chao"``: ``S + (n-1)/n · f1² / (2 f2)``, and ``S + (n-1)/n · f1 (f1-1) / 2`` without any doubleton (iNEXT;
    `specpool` of vegan). ``form="bias-corrected"``: ``S + f1 (f1-1) / (2 (f2+1))`` (`estimateR` of vegan), with the
    factor (n-1)/n where ``units`` is given.

    Parameters
    ----------
    counts : array of int
        Individuals of each species, or with ``units`` in how many units each was found.
    units : int, optional
        Number of sampling units.
    form : {"chao", "bias-corrected"}
        Which estimator.
    confidence : float
        Of the interval, which is log-normal about the species that were not seen (Chao 1987).

    Returns
    -------
    Estimate
        In species. Where no species was seen once, what was seen, with error 0. The interval is of the lower bound:
        among 200 samples it held the true richness in 88 to 95 % of cases where species were equally common and two or
        three individuals were seen of each, and in 64 to 76 % where many were rare (log-normal or broken-stick, three
        individuals a species). Where almost all were seen it may begin a fraction above the number seen.

    Raises
    ------
    BadRequest
        For counts that are no whole numbers or exceed ``units``, an unknown form, or a confidence outside ]0, 1[.

    References
    ----------
    Chao (1984), Nonparametric estimation of the number of classes in a population, Scandinavian Journal of Statistics
    11, 265-270. Chao (1987), Estimating the population size for capture-recapture data with unequal catchability,
    Biometrics 43, 783-791. Chiu, Wang, Walther and Chao (2014), An improved nonparametric lower bound of species
    richness via a modified Good-Turing frequency formula, Biometrics 70, 671-682, doi:10.1111/biom.12200 (variances).
    """
    sample = _sample(counts, units, "chao_richness")
    _check_confidence(confidence)
    if form not in ("chao", "bias-corrected"):
        raise BadRequest(f"chao_richness: form is {form!r}, expected 'chao' or 'bias-corrected'.")
    once, twice = sample.once, sample.twice
    factor = (sample.size - 1) / sample.size if form == "chao" or units is not None else 1.0
    if form == "chao" and twice > 0:
        ratio = once / twice
        unseen = factor * once**2 / (2 * twice)
        variance = twice * (factor * ratio**2 / 2 + factor**2 * ratio**3 + factor**2 * ratio**4 / 4)
    else:
        unseen = factor * once * (once - 1) / (2 * (twice + 1))
        variance = _variance_of_bias_corrected(once, twice, factor, sample.richness + unseen)
    return _above(sample.richness, unseen, variance, confidence)


def ace_richness(counts: npt.ArrayLike) -> float:
    """The abundance-based coverage estimator (ACE) of how many species there are; up to 10 individuals are rare.

    Parameters
    ----------
    counts : array of int
        Individuals of each species.

    Returns
    -------
    float
        In species; NaN where every rare individual is a singleton, for then the coverage of the rare is 0.

    Raises
    ------
    BadRequest
        For counts that are no whole numbers.

    References
    ----------
    O'Hara (2005), Species richness estimators: how many species can dance on the head of a pin?, Journal of Animal
    Ecology 74, 375-386, doi:10.1111/j.1365-2656.2005.00940.x.
    """
    seen = _check_counts(counts, "ace_richness")
    rare = seen[seen <= _ABUNDANCE_OF_RARE]
    abundant, once, individuals = int((seen > _ABUNDANCE_OF_RARE).sum()), int((seen == 1).sum()), rare.sum()
    if individuals == 0:
        return float(abundant)
    covered = 1 - once / individuals
    if covered == 0:
        return float("nan")
    twofold = (rare * (rare - 1)).sum()
    spread = max(rare.size / covered * twofold / (individuals * (individuals - 1)) - 1, 0)
    return float(abundant + rare.size / covered + once / covered * spread)


def species_pool(incidence: pd.DataFrame) -> "pd.Series[float]":
    """How many species a region holds, from in which of its sites each was found: Chao2, jackknives and bootstrap.

    Parameters
    ----------
    incidence : pandas.DataFrame
        Sites in rows, species in columns; what is above 0 is present.

    Returns
    -------
    pandas.Series
        ``richness`` seen, ``chao``, ``chao_error``, ``jackknife_1``, ``jackknife_1_error``, ``jackknife_2``,
        ``bootstrap``, ``bootstrap_error``, ``sites``. Errors are of the species added, as in vegan's `specpool`.

    Raises
    ------
    BadRequest
        For a matrix that is not of numbers, or of fewer than two sites.

    References
    ----------
    Smith and van Belle (1984), Nonparametric estimation of species richness, Biometrics 40, 119-129,
    doi:10.2307/2530750; Palmer (1990), The estimation of species richness by extrapolation, Ecology 71, 1195-1198,
    doi:10.2307/1937387; Chiu et al. (2014), doi:10.1111/biom.12200. The variance of the first jackknife is that of
    Smith and van Belle, with the square of the number of unique species; `specpool` of vegan has that number itself.
    """
    present = sites_by_species(incidence, "species_pool").to_numpy() > 0
    sites = len(present)
    if sites < 2:
        raise BadRequest(f"species_pool: found {sites} site, expected two or more, for the estimate compares sites.")
    present = present[:, present.any(axis=0)]
    found_in = present.sum(axis=0)
    once, twice, richness = int((found_in == 1).sum()), int((found_in == 2).sum()), present.shape[1]
    share = (sites - 1) / sites
    unique = (present & (found_in == 1)).sum(axis=1)
    absent = (1 - found_in / sites) ** sites
    neither = (~present).astype(float)
    together = (neither.T @ neither / sites) ** sites - np.outer(absent, absent)
    np.fill_diagonal(together, 0)
    chao = chao_richness(found_in, units=sites)
    return pd.Series(
        {
            "richness": richness,
            "chao": chao.value,
            "chao_error": chao.error,
            "jackknife_1": richness + once * share,
            "jackknife_1_error": np.sqrt(((unique**2).sum() - once**2 / sites) * share),
            "jackknife_2": richness + once * (2 * sites - 3) / sites - twice * (sites - 2) ** 2 / (sites * (sites - 1)),
            "bootstrap": richness + absent.sum(),
            "bootstrap_error": np.sqrt((absent * (1 - absent)).sum() + together.sum()),
            "sites": sites,
        }
    )


def coverage(counts: npt.ArrayLike, size: float | None = None, *, units: int | None = None) -> float:
    """Which share of all individuals of the community (of all occurrences) belongs to the species seen.

    Parameters
    ----------
    counts : array of int
        Individuals of each species, or with ``units`` in how many units each was found.
    size : float, optional
        Individuals (units) of a smaller or larger sample. Default: the sample itself.
    units : int, optional
        Number of sampling units.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    BadRequest
        For counts that are no whole numbers or exceed ``units``, or a size that is not positive.

    References
    ----------
    Chao and Jost (2012), Coverage-based rarefaction and extrapolation: standardizing samples by completeness rather
    than size, Ecology 93, 2533-2547, doi:10.1890/11-1952.1.
    """
    sample = _sample(counts, units, "coverage")
    wanted = sample.size if size is None else size
    if not wanted > 0:
        raise BadRequest(f"coverage: size is {size!r}, expected a positive number.")
    return _coverage(sample, float(wanted))


def asymptote(counts: npt.ArrayLike, q: int, *, units: int | None = None) -> float:
    """The Hill number of the whole community, unseen species included: Chao1 or Chao2, Shannon's and Simpson's.

    Parameters
    ----------
    counts : array of int
        Individuals of each species, or with ``units`` in how many units each was found.
    q : {0, 1, 2}
        The order.
    units : int, optional
        Number of sampling units.

    Returns
    -------
    float
        In effective species; a lower bound for q = 0.

    Raises
    ------
    BadRequest
        For another order, counts that are no whole numbers or exceed ``units``, or no species found twice for q = 2.

    References
    ----------
    Chao, Wang and Jost (2013), Entropy and the species accumulation curve, Methods in Ecology and Evolution 4,
    1091-1100, doi:10.1111/2041-210X.12108; Chao et al. (2014), Rarefaction and extrapolation with Hill numbers,
    Ecological Monographs 84, 45-67, doi:10.1890/13-0133.1.
    """
    return _asymptote(_sample(counts, units, "asymptote"), _check_order(q))


def accumulate(
    counts: npt.ArrayLike,
    sizes: Sequence[float],
    *,
    q: int = 0,
    units: int | None = None,
    resamples: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Diversity against effort: rarefied below the sample, extrapolated beyond it, with intervals.

    Parameters
    ----------
    counts : array of int
        Individuals of each species, or with ``units`` in how many units each was found.
    sizes : sequence of float
        Individuals (units). Beyond twice the sample a richness says little.
    q : {0, 1, 2}
        Order of the Hill number.
    units : int, optional
        Number of sampling units.
    resamples : int
        Bootstrap samples from the estimated community, unseen species included; 0 for no interval.
    confidence : float
        Of the interval, which is normal about the estimate.
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        One row a size: ``size``, ``method`` ("rarefaction", "observed", "extrapolation"), ``coverage``, ``diversity``,
        ``error``, ``lower``, ``upper``; NaN without resamples.

    Raises
    ------
    BadRequest
        For another order, sizes that are not positive, fewer than 0 resamples, or as `coverage` does.

    References
    ----------
    Chao et al. (2014), Rarefaction and extrapolation with Hill numbers: a framework for sampling and estimation in
    species diversity studies, Ecological Monographs 84, 45-67, doi:10.1890/13-0133.1.
    """
    sample, order = _sample(counts, units, "accumulate"), _check_order(q)
    _check_confidence(confidence)
    wanted = np.atleast_1d(np.asarray(sizes, float))
    if wanted.ndim != 1 or wanted.size == 0 or not (wanted > 0).all():
        raise BadRequest("accumulate: expected a list of sizes, all of them positive.")
    if resamples < 0:
        raise BadRequest(f"accumulate: resamples is {resamples!r}, expected 0 or more.")
    found = pd.DataFrame(
        {
            "size": wanted,
            "method": np.select(
                [wanted < sample.size, wanted > sample.size], ["rarefaction", "extrapolation"], "observed"
            ),
            "coverage": [_coverage(sample, size) for size in wanted],
            "diversity": _diversity(sample, order, wanted),
        }
    )
    draws = _resample(sample, resamples, np.random.default_rng(seed)) if resamples else []
    curves = [_diversity(draw, order, wanted) for draw in draws]
    error = np.std(curves, axis=0, ddof=1) if len(curves) > 1 else np.full(wanted.size, np.nan)
    reach = norm.ppf(0.5 + confidence / 2) * error
    return found.assign(error=error, lower=np.maximum(found["diversity"] - reach, 0), upper=found["diversity"] + reach)


def size_at_coverage(counts: npt.ArrayLike, level: float, *, units: int | None = None) -> float:
    """How large a sample would cover so much of the community: the fair common ground to compare samples at.

    Parameters
    ----------
    counts : array of int
        Individuals of each species, or with ``units`` in how many units each was found.
    level : float
        The coverage, in ]0, 1[.
    units : int, optional
        Number of sampling units.

    Returns
    -------
    float
        Individuals (units), not rounded, for `accumulate`.

    Raises
    ------
    BadRequest
        For a level outside ]0, 1[, or as `coverage` does.

    References
    ----------
    Chao and Jost (2012), Ecology 93, 2533-2547, doi:10.1890/11-1952.1.
    """
    sample = _sample(counts, units, "size_at_coverage")
    if not 0 < level < 1:
        raise BadRequest(f"size_at_coverage: level is {level!r}, expected a share between 0 and 1.")
    reached = _coverage(sample, sample.size)
    if level > reached:
        return float(sample.size + np.log((1 - level) / (1 - reached)) / np.log(_share_of_new(sample)))
    below, above = 1, sample.size  # coverage grows with size
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if _coverage(sample, float(middle)) < level else (below, middle)
    return float(np.interp(level, [_coverage(sample, float(size)) for size in (below, above)], [below, above]))


@dataclass(frozen=True)
class _Sample:
    seen: Array
    size: int
    """Individuals, or sampling units."""
    by_units: bool

    @property
    def total(self) -> float:
        return float(self.seen.sum())

    @property
    def richness(self) -> int:
        return self.seen.size

    @property
    def once(self) -> int:
        return int((self.seen == 1).sum())

    @property
    def twice(self) -> int:
        return int((self.seen == 2).sum())

    @property
    def unseen(self) -> float:
        share, once, twice = (self.size - 1) / self.size, self.once, self.twice
        return share * once**2 / (2 * twice) if twice else share * once * (once - 1) / 2


def _sample(counts: npt.ArrayLike, units: int | None, verb: str) -> _Sample:
    seen = _check_counts(counts, verb)
    if units is None:
        return _Sample(seen, int(seen.sum()), by_units=False)
    if units < seen.max() or units % 1:
        raise BadRequest(
            f"{verb}: a species was found in {int(seen.max())} units, and units is {units!r}. Give all units, a whole "
            "number."
        )
    return _Sample(seen, int(units), by_units=True)


def _check_counts(counts: npt.ArrayLike, verb: str, *, whole: bool = True) -> Array:
    if sum(length > 1 for length in np.shape(counts)) > 1:
        raise BadRequest(
            f"{verb}: found a table of {' by '.join(map(str, np.shape(counts)))}, expected the counts of one sample: a "
            "row, matrix.loc[site], or all sites together, matrix.sum()."
        )
    values = _as_floats(counts, verb).ravel()
    if not np.isfinite(values).all() or (values < 0).any() or (whole and (values % 1 != 0).any()):
        raise BadRequest(
            f"{verb}: expected counts, {'whole numbers' if whole else 'numbers'} of 0 or more, without gaps."
        )
    seen = values[values > 0]
    if seen.size == 0:
        raise BadRequest(f"{verb}: every count is 0. A sample without any species estimates nothing.")
    return seen


def _as_floats(counts: Any, verb: str) -> Array:
    try:
        if isinstance(counts, pd.Series | pd.DataFrame):
            return np.asarray(counts.to_numpy("float64", na_value=np.nan))
        return np.asarray(counts, float)
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"{verb}: expected the counts of one sample as numbers ({exc}).") from exc


def _check_order(q: int) -> int:
    if q not in (0, 1, 2):
        raise BadRequest(f"q is {q!r}, expected 0 (richness), 1 (Shannon) or 2 (Simpson).")
    return q


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise BadRequest(f"confidence is {confidence!r}, expected a share between 0 and 1, such as 0.95.")


def _above(richness: int, unseen: float, variance: float, confidence: float) -> Estimate:
    value, error = richness + unseen, float(np.sqrt(max(variance, 0.0)))
    if unseen <= 0 or error == 0:
        return Estimate(float(value), error, float(richness), float(value))
    stretch = float(np.exp(norm.ppf(0.5 + confidence / 2) * np.sqrt(np.log1p(variance / unseen**2))))
    return Estimate(value, error, richness + unseen / stretch, richness + unseen * stretch)


def _variance_of_bias_corrected(once: int, twice: int, factor: float, richness: float) -> float:
    if once == 0:
        return 0.0
    if twice == 0:
        bulk = factor * once * (once - 1) / 2 + factor**2 * once * (2 * once - 1) ** 2 / 4
        return float(bulk - factor**2 * once**4 / (4 * richness))
    more = twice + 1
    first = once * (once - 1) / (2 * more) + factor * once * (2 * once - 1) ** 2 / (4 * more**2)
    return factor * (first + factor * once**2 * twice * (once - 1) ** 2 / (4 * more**4))


def _log_choose(n: npt.ArrayLike, k: npt.ArrayLike) -> Array:
    above, below = np.broadcast_arrays(np.asarray(n, float), np.asarray(k, float))
    fits = (below >= 0) & (above >= below)
    above, below = np.where(fits, above, 0), np.where(fits, below, 0)
    return np.where(fits, gammaln(above + 1) - gammaln(below + 1) - gammaln(above - below + 1), -np.inf)


def _missed(values: Array, total: float, size: float) -> Array:
    return np.asarray(np.exp(_log_choose(total - values, size) - _log_choose(total, size)))


def _share_of_new(sample: _Sample) -> float:
    """Of the chance to meet something new, what is left after one more individual or unit."""
    more = sample.size * sample.unseen
    return more / (more + sample.once) if sample.once else 1.0


def _coverage(sample: _Sample, size: float) -> float:
    if size >= sample.size:
        left = sample.once / sample.total * _share_of_new(sample) ** (size - sample.size + 1)
        return float(1 - left)
    below = np.floor(size)
    if below != size:
        return float(np.interp(size, [below, below + 1], [_coverage(sample, below), _coverage(sample, below + 1)]))
    values, species = np.unique(sample.seen, return_counts=True)
    ways = _log_choose(sample.size - values, size) - _log_choose(sample.size - 1, size)
    return float(1 - (species * values / sample.total * np.exp(ways)).sum())


def _diversity(sample: _Sample, q: int, sizes: Array) -> Array:
    if q == 2:
        return _simpson(sample, sizes)
    within = sizes[sizes <= sample.size]
    whole = np.unique(np.concatenate([np.maximum(np.floor(within), 1), np.ceil(within)]))
    rarefied = [_rarefied(sample, q, size) for size in whole]
    found = _extrapolate(sample, q, np.maximum(sizes - sample.size, 0))
    found[sizes <= sample.size] = np.interp(within, whole, rarefied) if within.size else 0
    return found


def _rarefied(sample: _Sample, q: int, size: float) -> float:
    values, species = np.unique(sample.seen, return_counts=True)
    if q == 0:
        return float((species * (1 - _missed(values, sample.size, size))).sum())
    mean = values * size / sample.size
    reach = _TAIL * (1 + np.sqrt(mean))  # what is drawn of a species spreads less than this
    fewest, most = np.maximum(np.floor(mean - reach), 1), np.minimum(np.ceil(mean + reach), np.minimum(values, size))
    times = np.concatenate([np.arange(low, high + 1) for low, high in zip(fewest, most, strict=True)])
    owners = np.repeat(np.arange(values.size), np.maximum(most - fewest + 1, 0).astype(int))
    chosen, left = values[owners], sample.size - values[owners]
    chance = np.exp(_log_choose(chosen, times) + _log_choose(left, size - times) - _log_choose(sample.size, size))
    shares = times / (size * sample.total / sample.size)
    return float(np.exp(-(species[owners] * chance * xlogy(shares, shares)).sum()))


def _simpson(sample: _Sample, sizes: Array) -> Array:
    pairs = (
        (sample.seen * (sample.seen - 1)).sum() / (sample.total**2 * (1 - 1 / sample.size)) if sample.size > 1 else 0.0
    )
    per_unit = sample.total / sample.size
    return np.asarray(1 / (1 / (sizes * per_unit) + (sizes - 1) / sizes * pairs))


def _extrapolate(sample: _Sample, q: int, more: Array) -> Array:
    if q == 0:
        share = sample.once / (sample.size * sample.unseen + sample.once) if sample.unseen > 0 else 0.0
        return np.asarray(sample.richness + sample.unseen * (1 - (1 - share) ** more))
    now, end = _rarefied(sample, 1, sample.size), _asymptote(sample, 1)
    before = _rarefied(sample, 1, sample.size - 1) if sample.size > 1 else now
    share = (now - before) / (end - before) if end > before else 0.0
    return np.asarray(now + (end - now) * (1 - (1 - share) ** more))


def _asymptote(sample: _Sample, q: int) -> float:
    if q == 0:
        return sample.richness + sample.unseen
    if q == 2:
        pairs = (sample.seen * (sample.seen - 1)).sum()
        if pairs == 0:
            raise BadRequest("asymptote: no species was found twice, so that Simpson's diversity has no estimate.")
        return float(sample.total**2 * (1 - 1 / sample.size) / pairs)
    size = sample.size
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, size))])
    seen = sample.seen[sample.seen < size].astype(int)
    entropy = float((seen / size * (harmonic[size - 1] - harmonic[seen - 1])).sum()) + _entropy_of_unseen(sample)
    per_unit = sample.total / size
    return float(np.exp(entropy / per_unit + np.log(per_unit)))


def _entropy_of_unseen(sample: _Sample) -> float:
    size, once, twice = sample.size, sample.once, sample.twice
    if once == 0:
        return 0.0
    rare = 2 * twice / ((size - 1) * once + 2 * twice) if twice else 2 / ((size - 1) * (once - 1) + 2)
    if rare == 1:
        return 0.0
    if twice > _MANY_TWICE * once:  # the difference below would lose its digits; what it leaves is summed instead
        steps = np.arange(np.ceil(_E_FOLDS / rare))
        return float(once / size * ((1 - rare) ** (steps + 1) / (size + steps)).sum())
    steps = np.arange(1, size)
    left = -np.log(rare) - ((1 - rare) ** steps / steps).sum()
    return float(once / size * (1 - rare) ** (1 - size) * left)


def _resample(sample: _Sample, resamples: int, random: np.random.Generator) -> list[_Sample]:
    """Samples of the community that the sample tells of: seen species less what the unseen ones take, and those."""
    missing = 1 - _coverage(sample, sample.size)
    unseen = int(np.ceil(sample.unseen))
    shares = sample.seen / sample.size
    weight = (shares * (1 - shares) ** sample.size).sum()
    per_unit = sample.total / sample.size
    shrink = missing * per_unit / weight if weight > 0 else 0.0
    seen = shares * (1 - shrink * (1 - shares) ** sample.size)
    community = np.concatenate([seen, np.full(unseen, missing * per_unit / max(unseen, 1))])
    if sample.by_units:
        draws = random.binomial(sample.size, np.clip(community, 0, 1), (resamples, community.size))
    else:
        draws = random.multinomial(sample.size, community / community.sum(), resamples)
    return [_Sample(draw[draw > 0].astype(float), sample.size, sample.by_units) for draw in draws if draw.any()]
