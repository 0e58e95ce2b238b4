"""Which entry is best, and whether the data can tell: paired comparisons over seeds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from genloss_jax._names import look_up
from genloss_jax.metrics.statistics import standard_error

CONFIDENCE = 0.96
"""Of verdicts: the level at which ten seeds keep both promises of docs/statistics.md with a margin."""
_AGREEMENT = 5.0  # held-out scores must agree at this multiple of the level
_MOST_NAMES = 4  # in a sentence
_COSTS = {"lower": lambda x: x, "higher": lambda x: -x, "1": lambda x: (x - 1.0).abs()}


class Verdict(NamedTuple):
    """What the data say about the best entry.

    Attributes:
        sentence: in words, with numbers.
        leader: the entry with the best mean score; "" where there is nothing to compare.
        apart: whether the leader can be told from every other entry.
        rivals: the entries that cannot be told from the leader, the nearest first.
        comparisons: a row for each other entry, the nearest first: `a` (the leader), `b`, `difference` (mean of a - b
            over seeds, of distances to 1 where that is the direction), `low`, `high`, `p`, `p_adjusted`, `num_seeds`
            (that both have), `a_wins` (share of them in which a is better, ties half). The interval is at the level at
            which p was judged: it holds 0 exactly where `p_adjusted` exceeds 1 - confidence. NaN where seeds are
            lacking.
    """

    sentence: str
    leader: Any
    apart: bool
    rivals: tuple
    comparisons: pd.DataFrame


def cost(values, direction: str):
    """Turn values into costs: lower is better.

    Args:
        values: a Series or a DataFrame.
        direction: "lower", "higher", or "1" for values that should be near 1.

    Raises:
        ValueError: if the direction is none of these.
    """
    return look_up("direction", direction, _COSTS)(values)


def win_rates(scores: pd.DataFrame, direction: str) -> pd.DataFrame:
    """Say in which share of the seeds one entry beats another.

    Args:
        scores: seeds as index, entries as columns.
        direction: "lower", "higher" or "1" is better.

    Returns:
        Entries as index and columns: the share of the seeds that both have in which the row's entry is better, ties
        half; ½ on the diagonal, NaN where no seed is shared.
    """
    costs = cost(scores, direction)
    wins = {b: [_wins(_paired(costs, a, b)) for a in costs] for b in costs}
    return pd.DataFrame(wins, index=scores.columns).rename_axis(index=None)


def verdict(
    scores: pd.DataFrame,
    direction: str,
    *,
    tuned: pd.DataFrame | None = None,
    name_of_metric: str = "",
    confidence: float = CONFIDENCE,
) -> Verdict:
    """Compare the entry with the best mean score with all others, seed by seed.

    Each comparison is a paired t test; where all n seeds agree who is better, p is at most that of the sign test,
    2^(1-n), which no outlier can spoil. Two corrections make up for having looked at many entries:

    - The leader is apart from all others where every p is at most 1 - confidence. No correction is needed for that
      claim, although the data chose the leader: it is wrong only if some other entry is as good, and the leader then
      has to beat that one at this level (rank verification).
    - For the claim that it is better than one particular entry, p is multiplied by half the number of entries, which
      pays for having chosen the leader (one-sided p, times the number of possible leaders), and then corrected by
      Holm's method over the others.

    `p_adjusted` is the smaller of the two.

    With `tuned` a claim must hold twice: at its level on `tuned`, whose values are those of one fixed cell, and at
    five times the level on `scores`, which do not flatter an entry that had more cells to choose from.

    Args:
        scores: seeds as index, entries as columns; NaN where there is no member.
        direction: "lower", "higher" or "1" is better.
        tuned: scores of the cells that are best over all seeds, where entries have more than one.
        name_of_metric: for the sentence.
        confidence: in being right about every claim at once.

    Returns:
        The verdict.

    Raises:
        ValueError: if the direction is unknown, the confidence is not between 0 and 1, or `tuned` lacks an entry.

    References:
        S. Gutmann, Z. Maymin, Is the selected population the best?, Annals of Statistics 15, 1987.
        K. Hung, W. Fithian, Rank verification for exponential families, Annals of Statistics 47, 2019.
        S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1.")
    costs = cost(scores, direction).dropna(axis=1, how="all")
    tuned_costs = costs if tuned is None else cost(tuned, direction)
    if not set(costs) <= set(tuned_costs):
        raise ValueError(f"tuned has entries {list(tuned_costs)}, expected those of scores, {list(costs)}.")
    if costs.empty:
        return Verdict("No member has a finite value: there is nothing to compare.", "", False, (), _rows([]))
    leader, *others = _ordered(costs)
    if not others:
        return Verdict(f"{leader} is the only entry: there is nothing to compare.", leader, False, (), _rows([]))
    pairs = [_Pair(_paired(costs, leader, b), _paired(tuned_costs, leader, b)) for b in others]
    p = np.array([pair.p_value() for pair in pairs])
    adjusted = _adjusted(p)
    # The level at which each p is judged: p_adjusted <= 1 - confidence where p <= level.
    levels = (1.0 - confidence) * np.divide(p, adjusted, out=np.ones_like(p), where=adjusted > 0.0)
    sign = -1.0 if direction == "higher" else 1.0
    comparisons = _rows(
        [
            (leader, b, *_signed(sign, pair, level), p_value, p_adjusted, len(pair.scores), _wins(pair.scores))
            for b, pair, level, p_value, p_adjusted in zip(others, pairs, levels, p, adjusted, strict=True)
        ]
    )
    rivals = tuple(b for b, p_adjusted in zip(others, adjusted, strict=True) if p_adjusted > 1.0 - confidence)
    sentence = _sentence(comparisons, rivals, name_of_metric, confidence)
    return Verdict(sentence, leader, not rivals, rivals, comparisons)


# --- One pair ---


class _Pair(NamedTuple):
    """Cost of the leader minus that of another entry, for each seed that both have: negative is better."""

    scores: np.ndarray
    tuned: np.ndarray

    def p_value(self) -> float:
        if not (self.tuned.sum() < 0.0 and self.scores.sum() < 0.0):
            return 1.0
        return max(_p_value(self.tuned), _p_value(self.scores) / _AGREEMENT)

    def interval(self, level: float) -> tuple[float, float]:
        """Give the hull of both intervals: it holds 0 exactly where `p_value` exceeds the level."""
        bounds = [
            *_interval(self.tuned, level),
            *_interval(self.scores, min(1.0, _AGREEMENT * level)),
        ]
        return min(bounds), max(bounds)


def _p_value(differences: np.ndarray) -> float:
    if len(differences) < 2 or not differences.any():
        return 1.0
    p_values = []
    if not _equal(differences):
        t = differences.mean() / standard_error(differences)
        p_values.append(2.0 * stats.t.sf(abs(t), len(differences) - 1))
    if _unanimous(differences):
        p_values.append(_sign_test(differences))
    return float(min(p_values))


def _interval(differences: np.ndarray, level: float) -> tuple[float, float]:
    """Give an interval that holds 0 exactly where `_p_value` exceeds the level."""
    if len(differences) < 2:
        return float("nan"), float("nan")
    mean = float(differences.mean())
    reach = 0.0 if _equal(differences) else stats.t.isf(level / 2, len(differences) - 1) * standard_error(differences)
    low, high = sorted((mean - reach, mean + reach))
    if not _unanimous(differences):
        return low, high
    if _sign_test(differences) <= level:
        # The interval of the median that belongs to the sign test: from the least to the greatest.
        return (low, min(high, differences.max())) if mean < 0 else (max(low, differences.min()), high)
    return (min(low, 0.0), max(high, 0.0)) if _equal(differences) else (low, high)


def _sign_test(differences):
    return 2.0 ** (1 - len(differences))  # two-sided, of seeds that all agree


def _unanimous(differences):
    return (differences < 0).all() or (differences > 0).all()


def _equal(differences):
    # Up to rounding, of which no spread can be made.
    return np.ptp(differences) <= 1e-12 * np.abs(differences).max()


def _paired(costs, a, b):
    differences = (costs[a] - costs[b]).to_numpy()
    return differences[~np.isnan(differences)]


def _wins(differences):
    return float(((differences < 0) + 0.5 * (differences == 0)).mean()) if len(differences) else float("nan")


# --- All of them ---


def _ordered(costs):
    """Order the entries by their means over the seeds that they share, best first; those with one seed come last."""
    repeated = costs.loc[:, costs.count() > 1]
    shared = repeated.dropna()
    means = (shared if len(shared) > 1 else repeated).mean().sort_values(kind="stable")
    rest = costs.drop(columns=repeated.columns).mean().sort_values(kind="stable")
    return [*means.index, *rest.index]


def _signed(sign, pair, level):
    low, high = sorted(sign * bound for bound in pair.interval(level))
    return sign * pair.scores.mean() if len(pair.scores) else np.nan, low, high


def _adjusted(p):
    num_entries = len(p) + 1
    return np.minimum(holm(np.minimum(1.0, p * num_entries / 2)), p.max())


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for their number by Holm's method.

    With p sorted, p_adjusted[i] = max over j <= i of (n - j + 1) p[j], at most 1

    statsmodels' `multipletests` gives the same numbers, and collects garbage at each call: 0.2 s beside JAX.

    Args:
        p: `[n]`.

    Returns:
        `[n]`, in the order of `p`.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def _rows(rows):
    columns = ["a", "b", "difference", "low", "high", "p", "p_adjusted", "num_seeds", "a_wins"]
    return pd.DataFrame(rows, columns=columns)


# --- In words ---


def _sentence(comparisons, rivals, metric, confidence):
    first = next(comparisons.itertuples())
    leader = first.a
    by = f" by {metric}" if metric else ""
    seeds = int(comparisons["num_seeds"].max())
    if seeds < 2:
        return f"One seed cannot tell entries apart: {leader} leads{by}, and nothing says by how much it does."
    over = f"{seeds} paired seeds"
    numbers = f"{first.difference:.3g} ({confidence:.0%} interval {first.low:.3g} to {first.high:.3g}, {over})"
    if not rivals:
        return f"{leader} is the best{by}: it differs from the next, {first.b}, by {numbers}."
    tied = comparisons[comparisons["b"].isin(rivals)]
    if (tied["difference"] == 0.0).all() and (tied["a_wins"] == 0.5).all():
        numbers = f"0 ({over}): they have equal scores"
    told = len(comparisons) - len(rivals)
    rest = f" {leader} is better than the other {told}." if told else ""
    names = listed((leader, *rivals))
    return f"The data cannot tell these apart{by}: {names}. The first two differ by {numbers}.{rest}"


def listed(names: Sequence[Any]) -> str:
    """Write names as part of a sentence: the first few, and how many others there are."""
    shown = [str(name) for name in names]
    if len(shown) > _MOST_NAMES + 1:
        shown = [*shown[:_MOST_NAMES], f"{len(shown) - _MOST_NAMES} others"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
