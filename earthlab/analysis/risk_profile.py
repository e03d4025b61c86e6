"""Coastal risk as four components side by side: hazards, stakes, management, representations.

Indicators of unlike units become scores from 0 (favourable) to 1 (unfavourable), scores become a profile of components,
and a profile with weights an index. The weights are a choice of those who use it; how much the ranking owes to them
can be seen. No published reference is reproduced here: the scoring of the observatory's 58 indicators is its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.tables import check_columns, numbers_in
from earthlab.errors import BadRequest, did_you_mean

COMPONENTS = ("aléas", "enjeux", "gestion", "représentations")
"""Hazards, stakes, management, representations."""


@dataclass(frozen=True)
class Indicator:
    """One measure of one component, and the values between which it is scored.

    Parameters
    ----------
    column : str
        Where the table holds it.
    component : str
        One of `COMPONENTS`.
    favourable, unfavourable : float
        Values, in the column's unit, that score 0 and 1; either may be the greater. Values beyond them score the same.
    weight : float
        Within its component.

    Raises
    ------
    BadRequest
        For an unknown component, ends that are alike or not finite, or a weight that is not positive.
    """

    column: str
    component: str
    favourable: float
    unfavourable: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.component not in COMPONENTS:
            raise BadRequest(
                f"Indicator {self.column!r}: no component {self.component!r}. "
                f"{did_you_mean(self.component, COMPONENTS)}"
            )
        ends = (self.favourable, self.unfavourable)
        if not all(isinstance(end, int | float | np.number) and np.isfinite(end) for end in ends) or ends[0] == ends[1]:
            raise BadRequest(
                f"Indicator {self.column!r}: favourable {self.favourable!r}, unfavourable {self.unfavourable!r}: "
                "expected two numbers that differ."
            )
        if not 0 < self.weight < np.inf:
            raise BadRequest(f"Indicator {self.column!r}: weight is {self.weight!r}, expected a number above 0.")


def score_indicators(table: pd.DataFrame, indicators: Sequence[Indicator]) -> pd.DataFrame:
    """The score of each indicator in each place, from 0 (favourable) to 1 (unfavourable).

    Parameters
    ----------
    table : pandas.DataFrame
        One row a place, one column an indicator; NaN and what is infinite are not known.
    indicators : sequence of Indicator
        Those to use.

    Returns
    -------
    pandas.DataFrame
        float64, index as given, one column an indicator, no unit; NaN where not known.

    Raises
    ------
    BadRequest
        For no indicator, one that comes twice, a missing column, or one that holds no numbers.
    """
    if not isinstance(indicators, Sequence) or not all(isinstance(one, Indicator) for one in indicators):
        raise BadRequest(f"score_indicators: expected a list of Indicator, found {type(indicators).__name__}.")
    names = [indicator.column for indicator in indicators]
    if not names or len(set(names)) < len(names):
        raise BadRequest(f"score_indicators: expected indicators of different columns, found {names}.")
    check_columns(table, tuple(names), "score_indicators")
    scores = {}
    for one in indicators:
        values = numbers_in(table, one.column, "score_indicators")
        scores[one.column] = np.clip((values - one.favourable) / (one.unfavourable - one.favourable), 0.0, 1.0)
    return pd.DataFrame(scores, index=table.index)


def component_profile(table: pd.DataFrame, indicators: Sequence[Indicator]) -> pd.DataFrame:
    """The profile of each place: the weighted mean score of the known indicators of each component.

    Parameters
    ----------
    table, indicators
        As for `score_indicators`.

    Returns
    -------
    pandas.DataFrame
        float64, index as given, one column a component that has an indicator, in the order of `COMPONENTS`; NaN where
        none of its indicators is known. ``attrs["known"]`` has, for each component, the share of values that are known.

    Raises
    ------
    BadRequest
        As for `score_indicators`.

    References
    ----------
    Meur-Ferec et al. (2020), Une méthode de suivi de la vulnérabilité systémique à l'érosion et la submersion marines,
    Développement durable et territoires 11, no. 1, https://journals.openedition.org/developpementdurable/16731, for the
    four components; scores, means and weights are ours.
    """
    scores = score_indicators(table, indicators)
    profile, known = {}, {}
    for component in COMPONENTS:
        own = [one for one in indicators if one.component == component]
        if own:
            values = scores[[one.column for one in own]].to_numpy()
            profile[component] = _weighted(values, np.array([one.weight for one in own]))
            known[component] = float(np.isfinite(values).mean()) if values.size else 0.0
    found = pd.DataFrame(profile, index=table.index)
    found.attrs["known"] = known
    return found


def vulnerability_index(profile: pd.DataFrame, weights: Mapping[str, float] | pd.Series) -> pd.Series:
    """The weighted mean of the components of each place, from 0 to 1.

    Parameters
    ----------
    profile : pandas.DataFrame
        As `component_profile` gives it.
    weights : mapping or pandas.Series
        For every component of the profile a number from 0, not all 0; they are made to sum to 1.

    Returns
    -------
    pandas.Series
        float64; NaN where a component with a weight is not known.

    Raises
    ------
    BadRequest
        For weights that are missing, unknown, negative or all 0.
    """
    shares = _shares(profile, weights, "vulnerability_index")
    used = shares > 0
    index = profile.to_numpy("float64")[:, used] @ shares[used]
    return pd.Series(index, profile.index, name="index")


def rank_sensitivity(
    profile: pd.DataFrame,
    weights: Mapping[str, float] | pd.Series,
    *,
    concentration: float = 20.0,
    draws: int = 2000,
    level: float = 0.9,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the rank of each place depends on the weights.

    Weights are drawn around those given (a Dirichlet law of which they are the mean), and the places ranked each time.

    Parameters
    ----------
    profile, weights
        As for `vulnerability_index`; a weight of 0 stays 0.
    concentration : float
        How close the draws stay to the weights: a weight w varies by √(w (1 - w) / (concentration + 1)), which is 0.09
        for a quarter and 20. With equal weights and as many as there are components, all weights are equally likely.
    draws, seed : int
        Of the weights.
    level : float
        Share of the draws between ``rank_low`` and ``rank_high``.

    Returns
    -------
    pandas.DataFrame
        Index as given: ``index`` and ``rank`` (1 is the most vulnerable; equals share the better one) with the weights
        given, ``rank_low``, ``rank_high``, and ``first``, the share of draws in which the place is the most vulnerable.
        NaN where the index is not known, which takes no part in the ranking.

    Raises
    ------
    BadRequest
        As for `vulnerability_index`, or for words outside their range.

    References
    ----------
    Saisana, Saltelli and Tarantola (2005), Uncertainty and sensitivity analysis techniques as tools for the quality
    assessment of composite indicators, doi:10.1111/j.1467-985X.2005.00350.x.
    """
    if not (concentration > 0 and draws >= 100 and 0 < level < 1):
        raise BadRequest(
            f"rank_sensitivity: concentration {concentration!r}, draws {draws!r}, level {level!r}: expected a number "
            "above 0, 100 draws or more, and a share."
        )
    shares = _shares(profile, weights, "rank_sensitivity")
    index = vulnerability_index(profile, weights)
    seen = index.notna().to_numpy()
    used = shares > 0
    drawn = np.random.default_rng(seed).dirichlet(shares[used] * concentration, draws)
    ranks = _ranks(profile.to_numpy("float64")[seen][:, used] @ drawn.T)
    found = pd.DataFrame(np.nan, profile.index, ["index", "rank", "rank_low", "rank_high", "first"])
    found["index"] = index
    if seen.any():
        tails = (0.5 - level / 2, 0.5 + level / 2)
        low, high = np.quantile(ranks, tails, axis=1, method="inverted_cdf")
        now = _ranks(index.to_numpy()[seen][:, None])[:, 0]
        found.loc[seen, ["rank", "rank_low", "rank_high", "first"]] = np.column_stack(
            [now, low, high, (ranks == 1).mean(axis=1)]
        )
    return found


def _weighted(values: Array, weights: Array) -> Array:
    known = np.isfinite(values)
    total = (known * weights).sum(axis=1)
    return np.where(total > 0, (np.nan_to_num(values) * weights).sum(axis=1) / np.where(total > 0, total, 1.0), np.nan)


def _shares(profile: pd.DataFrame, weights: Mapping[str, float] | pd.Series, verb: str) -> Array:
    names, weights = list(map(str, profile.columns)), dict(weights)
    if set(names) != set(weights):
        raise BadRequest(
            f"{verb}: found weights of {', '.join(map(str, weights))}; expected one for each of {', '.join(names)}."
        )
    found = np.array([float(weights[name]) for name in names])
    if not (np.isfinite(found).all() and (found >= 0).all() and found.sum() > 0):
        raise BadRequest(f"{verb}: weights are {weights}, expected numbers from 0, not all 0.")
    return np.asarray(found / found.sum())


def _ranks(index: Array) -> Array:
    from scipy.stats import rankdata

    return np.asarray(rankdata(-np.round(index, 12), method="min", axis=0))
