"""What a study says: means with intervals, fair scores of each entry, and how they change over the budget.

A *cell* is one setting of all axes but the seed; an *entry* is one value of the axis that the study compares. Members
with equal seeds saw the same data, so entries are compared seed by seed.

One rule holds everywhere: a failed member, whose value is not finite, counts as the worst value that any sound member
of the study has at that step. Failure rates stand beside it.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from genloss_jax._names import look_up, unknown
from genloss_jax.ablation.comparison import Verdict as Verdict
from genloss_jax.ablation.comparison import cost, verdict
from genloss_jax.ablation.comparison import win_rates as win_rates
from genloss_jax.ablation.results import SEED, Results
from genloss_jax.metrics.statistics import standard_error

_NUM_RESAMPLES = 2_000
_ROWS_AT_ONCE = 64  # bounds the memory of a bootstrap


class _Selected(NamedTuple):
    """The rows of one metric at one step: axes, `value` (failed members at the worst), `cost`, `failed`."""

    rows: pd.DataFrame
    axes: list[str]  # without the seed
    entry: str
    direction: str


def cells(
    results: Results, metric: str | None = None, step: int | None = None, *, confidence: float = 0.95
) -> pd.DataFrame:
    """Summarise every cell over its seeds.

    Args:
        results: of the study.
        metric: None for the study's own.
        step: None for the last.
        confidence: of the intervals.

    Returns:
        A row for each cell, in the order of the table: the axes, `num_seeds`, `num_failed`, `failure_rate`, `mean`,
        `standard_error`, `low` and `high` (bootstrap interval of the mean: BCa, percentiles where BCa does not exist),
        `best`, `worst`. What one seed cannot tell is NaN, and so is everything where no member of the study is sound.

    Raises:
        ValueError: if the metric or the step is not in the table.
    """
    selected = _select(results, metric, step)
    groups = selected.rows.groupby(selected.axes, sort=False)
    rows = [_summary(dict(zip(selected.axes, setting, strict=True)), group) for setting, group in groups]
    bounds = _intervals([group["value"].to_numpy() for _, group in groups], confidence)
    frame = pd.DataFrame(rows)
    at = frame.columns.get_loc("standard_error") + 1
    frame.insert(at, "low", bounds[:, 0])
    frame.insert(at + 1, "high", bounds[:, 1])
    return frame


def chosen(results: Results, metric: str | None = None, step: int | None = None) -> pd.DataFrame:
    """Choose for each entry the cell that is best over all seeds: the setting to use.

    Its mean flatters, because the seeds that chose it also measure it; `scores` does not.

    Args:
        results: of the study.
        metric: None for the study's own.
        step: None for the last.

    Returns:
        The rows of `cells` that were chosen, with the entry as index.

    Raises:
        ValueError: if the metric or the step is not in the table.
    """
    selected = _select(results, metric, step)
    costs = selected.rows.groupby(selected.axes, sort=False)["cost"].mean().to_numpy()
    frame = cells(results, metric, step)
    best = frame.assign(_cost=np.where(np.isnan(costs), np.inf, costs)).groupby(selected.entry, sort=False)["_cost"]
    return frame.loc[best.idxmin()].set_index(selected.entry)


def scores(
    results: Results, metric: str | None = None, step: int | None = None, *, held_out: bool = True
) -> pd.DataFrame:
    """Score each entry on each seed.

    An entry has many cells. With s the seed,

    score[s] = value[s, c(s)],    c(s) = the cell with the best mean over all seeds but s,

    so that choosing does not flatter: where cells differ by noise alone, the expected score is the noise's mean, while
    the best mean over all seeds is lower by about E[min over cells of the noise of a mean].

    Args:
        results: of the study.
        metric: None for the study's own.
        step: None for the last.
        held_out: whether the cell is chosen without the seed. False takes the cell of `chosen` for all seeds.

    Returns:
        Seeds as index, entries as columns in the order of the table. NaN where an entry has no member with that seed,
        or no member of the study is sound. With a single seed nothing else can choose: its best cell is taken, which
        flatters, and no verdict rests on it.

    Raises:
        ValueError: if the metric or the step is not in the table.
    """
    selected = _select(results, metric, step)
    rows = selected.rows.assign(_cell=selected.rows.groupby(selected.axes, sort=False).ngroup())
    values, costs = (rows.pivot(index=SEED, columns="_cell", values=what).to_numpy() for what in ("value", "cost"))
    entries = rows.drop_duplicates("_cell").sort_values("_cell")[selected.entry].to_numpy()
    choose = _held_out_choice if held_out else _choice
    columns = {}
    for entry in pd.unique(entries):
        own = entries == entry
        columns[entry] = np.take_along_axis(values[:, own], choose(costs[:, own])[:, None], axis=1)[:, 0]
    return pd.DataFrame(columns, index=pd.Index(np.sort(rows[SEED].unique()), name=SEED))


def verdict_of(results: Results, metric: str | None = None, step: int | None = None) -> Verdict:
    """Say which entry is best, and whether the data can tell.

    Held-out scores alone are not enough where entries have many cells: their values depend on each other through the
    shared choice, so that a t test on them claims a difference between equal entries in up to 37 of 100 studies. The
    verdict asks for both ways to score, see `comparison.verdict`.

    Args:
        results: of the study.
        metric: None for the study's own.
        step: None for the last.

    Returns:
        The verdict on `scores(results, metric, step)`.

    Raises:
        ValueError: if the metric or the step is not in the table.
    """
    metric = results.study["metric"] if metric is None else metric
    held_out = scores(results, metric, step)
    tuned = scores(results, metric, step, held_out=False)
    return verdict(held_out, results.study["directions"][metric], tuned=tuned, name_of_metric=metric)


def ranks(
    scores: pd.DataFrame,
    direction: str,
    *,
    confidence: float = 0.95,
    num_resamples: int = _NUM_RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank the entries within each seed, and average the ranks.

    Args:
        scores: of `scores`. Seeds that an entry lacks are left out.
        direction: "lower", "higher" or "1" is better.
        confidence: of the intervals.
        num_resamples: of the bootstrap over seeds.
        seed: of the bootstrap.

    Returns:
        Entries as index; `mean` rank (1 is best, ties share theirs), `low`, `high`. NaN where no seed has all entries,
        intervals also where one has.
    """
    ranked = cost(scores, direction).dropna().rank(axis=1)
    bounds = _intervals([ranked[entry].to_numpy() for entry in ranked], confidence, num_resamples, seed)
    return pd.DataFrame({"mean": ranked.mean(), "low": bounds[:, 0], "high": bounds[:, 1]}, index=scores.columns)


def curves(results: Results, metric: str | None = None) -> pd.DataFrame:
    """Follow the mean score of each entry over the budget.

    Args:
        results: of the study.
        metric: None for the study's own.

    Returns:
        A row for each entry and step: `entry, step, mean, low, high`, with 95 % bootstrap intervals. At each step an
        entry's cell is chosen anew: the curve is what could be had with that budget.

    Raises:
        ValueError: if the metric is not in the table.
    """
    rows, values = [], []
    for step in _steps(results, metric):
        for entry, column in scores(results, metric, step).items():
            present = column.dropna().to_numpy()
            rows.append({"entry": entry, "step": step, "mean": present.mean() if len(present) else np.nan})
            values.append(present)
    bounds = _intervals(values, 0.95)
    return pd.DataFrame(rows).assign(low=bounds[:, 0], high=bounds[:, 1])


def budget(results: Results, metric: str | None = None) -> pd.DataFrame:
    """Say at each evaluation what the verdict would have been.

    Args:
        results: of the study.
        metric: None for the study's own.

    Returns:
        A row for each step: `step, leader, apart, sentence, flips`; `flips` where the leader is another than at the
        evaluation before, or can be told apart where it could not, or the other way round. Each verdict is judged by
        itself: with many evaluations one of them may be wrong.

    Raises:
        ValueError: if the metric is not in the table.
    """
    rows: list[dict[str, Any]] = []
    for step in _steps(results, metric):
        found = verdict_of(results, metric, step)
        state = {"leader": found.leader, "apart": found.apart}
        flips = bool(rows) and any(rows[-1][name] != state[name] for name in state)
        rows.append({"step": step, **state, "sentence": found.sentence, "flips": flips})
    return pd.DataFrame(rows)


def failures(results: Results) -> pd.DataFrame:
    """Count the failures of each cell by the term that was not finite first.

    Args:
        results: of the study.

    Returns:
        A row for each cell and term that failed: the entry, the other axes, `term`, `count`, `share` of the cell's
        members, `first_step`. Empty where nothing failed.
    """
    entry = results.study["compare"]
    axes = [entry, *(axis for axis in results.study["axes"] if axis not in (entry, SEED))]
    members = results.members
    sizes = members.groupby(axes, sort=False)["member"].size().rename("_size").reset_index()
    failed = members[members["failed_step"].notna()].rename(columns={"failed_term": "term"})
    counted = failed.groupby([*axes, "term"], sort=False).agg(
        count=("member", "size"), first_step=("failed_step", "min")
    )
    frame = counted.reset_index().merge(sizes, on=axes, how="left")
    frame = frame.assign(share=frame["count"] / frame["_size"], first_step=frame["first_step"].astype(int))
    return frame[[*axes, "term", "count", "share", "first_step"]]


# --- Rows ---


def _select(results, metric, step) -> _Selected:
    study, table = results.study, results.table
    metric = study["metric"] if metric is None else metric
    if metric not in set(table["metric"]):
        raise unknown("metric", metric, table["metric"].unique())
    direction = look_up("metric", metric, study["directions"])
    rows = table[table["metric"] == metric]
    step = rows["step"].max() if step is None else step
    if step not in set(rows["step"]):
        valid = ", ".join(map(str, sorted(rows["step"].unique())))
        raise ValueError(f"step {step} has no {metric!r}, expected one of {valid}.")
    rows = rows[rows["step"] == step]
    if rows.duplicated(study["axes"]).any():
        raise ValueError(f"table has two members with equal {', '.join(study['axes'])}, expected one for each setting.")
    failed = ~np.isfinite(rows["value"].to_numpy(float))
    values = rows["value"].where(~failed)
    if not failed.all():
        values = values.where(~failed, values[cost(values, direction).idxmax()])
    rows = rows.assign(value=values, cost=cost(values, direction), failed=failed)
    return _Selected(rows, [axis for axis in study["axes"] if axis != SEED], study["compare"], direction)


def _steps(results, metric):
    metric = results.study["metric"] if metric is None else metric
    return sorted(results.table.loc[results.table["metric"] == metric, "step"].unique().tolist()) or [None]


def _summary(setting, group):
    values = group["value"].to_numpy()
    order = np.argsort(group["cost"].to_numpy(), kind="stable")
    return {
        **setting,
        "num_seeds": len(values),
        "num_failed": int(group["failed"].sum()),
        "failure_rate": float(group["failed"].mean()),
        "mean": float(values.mean()),
        "standard_error": standard_error(values),
        "best": values[order[0]],
        "worst": values[order[-1]],
    }


# --- Choice of a cell; costs [seeds, cells], NaN where there is no member ---


def _choice(costs):
    present = ~np.isnan(costs)
    totals, counts = np.where(present, costs, 0.0).sum(axis=0), present.sum(axis=0)
    means = totals / np.maximum(counts, 1)
    return np.where(present, means, np.inf).argmin(axis=1)  # of the cells that have the seed


def _held_out_choice(costs):
    if len(costs) == 1:
        return _choice(costs)
    present = ~np.isnan(costs)
    # Sums without each seed, not the total minus it: one diverged value would swallow the digits of all others.
    others = 1.0 - np.eye(len(costs))
    totals, counts = others @ np.where(present, costs, 0.0), others @ present
    # Cells that no other seed has come after those that one has, before those without a member.
    means = np.where(counts > 0, totals / np.maximum(counts, 1.0), np.finfo(float).max)
    return np.where(present, means, np.inf).argmin(axis=1)


# --- Bootstrap ---


def _intervals(
    samples: Sequence[np.ndarray], confidence: float, num_resamples: int = _NUM_RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Bootstrap the means of samples: `[num, 2]`; NaN for fewer than two values, a point for equal ones."""
    bounds = np.full((len(samples), 2), np.nan)
    by_size: dict[int, list[int]] = {}
    for index, values in enumerate(samples):
        if len(values) > 1 and np.ptp(values) > 0:
            by_size.setdefault(len(values), []).append(index)
        elif len(values) > 1:
            bounds[index] = values[0]
    for indices in by_size.values():
        for start in range(0, len(indices), _ROWS_AT_ONCE):
            some = indices[start : start + _ROWS_AT_ONCE]
            bounds[some] = _bootstrap(np.stack([samples[i] for i in some]), confidence, num_resamples, seed)
    return bounds


def _bootstrap(values, confidence, num_resamples, seed):
    def interval(method, rows):
        found = stats.bootstrap(
            (rows,),
            np.mean,
            axis=-1,
            vectorized=True,
            confidence_level=confidence,
            n_resamples=num_resamples,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return np.stack([found.low, found.high], axis=-1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        bounds = interval("BCa", values)
    lacking = np.isnan(bounds).any(axis=-1)
    if lacking.any():
        bounds[lacking] = interval("percentile", values[lacking])
    return bounds
