"""All that a report says about a study, computed once: what tables and figures draw on."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from genloss_jax.ablation import statistics
from genloss_jax.ablation.comparison import cost
from genloss_jax.ablation.results import Results


class Measured(NamedTuple):
    """A study and its statistics.

    Attributes:
        results: the study.
        entry: the axis whose values, the entries, are compared.
        axes: the other axes but the seed, in order.
        metric: by which entries are compared.
        direction: "lower", "higher" or "1", whichever is better.
        standings: entry -> mean, low, high of its scores at the last step; the best first.
        scores: `statistics.scores`, and so on.
    """

    results: Results
    entry: str
    axes: tuple[str, ...]
    metric: str
    direction: str
    standings: pd.DataFrame
    scores: pd.DataFrame
    verdict: statistics.Verdict
    cells: pd.DataFrame
    chosen: pd.DataFrame
    curves: pd.DataFrame
    budget: pd.DataFrame
    ranks: pd.DataFrame
    win_rates: pd.DataFrame
    failures: pd.DataFrame

    @property
    def entries(self) -> list:
        """The entries, the best first."""
        return list(self.standings.index)

    @property
    def floor(self) -> float:
        """What real examples get for the metric; NaN where it is not known."""
        return float(self.results.study["floors"].get(self.metric, np.nan))

    @property
    def steps(self) -> list[int]:
        """The steps at which members were evaluated."""
        return sorted(int(step) for step in self.results.table["step"].unique())


def measure(results: Results) -> Measured:
    """Compute the statistics of a study by its own metric."""
    study = results.study
    metric = study["metric"]
    direction = study["directions"][metric]
    scores = statistics.scores(results)
    verdict = statistics.verdict_of(results)
    curves = statistics.curves(results)
    last = curves[curves["step"] == curves["step"].max()].set_index("entry")[["mean", "low", "high"]]
    costs = cost(last["mean"], direction).sort_values(kind="stable")
    # Where seeds are missing, means over all seeds can be in another order than those over shared seeds.
    order = sorted(costs.index, key=lambda entry: entry != verdict.leader)
    return Measured(
        results=results,
        entry=study["compare"],
        axes=tuple(axis for axis in study["axes"] if axis not in (study["compare"], "seed")),
        metric=metric,
        direction=direction,
        standings=last.loc[order],
        scores=scores,
        verdict=verdict,
        cells=statistics.cells(results),
        chosen=statistics.chosen(results).loc[order],
        curves=curves,
        budget=statistics.budget(results),
        ranks=statistics.ranks(scores, direction),
        win_rates=statistics.win_rates(scores, direction),
        failures=statistics.failures(results),
    )


def members_of(measured: Measured, entry) -> pd.DataFrame:
    """Give the members of an entry's chosen cell, by seed."""
    members = measured.results.members
    cell = members[members[measured.entry] == entry]
    for axis in measured.axes:
        cell = cell[cell[axis] == measured.chosen.loc[entry, axis]]
    return cell.sort_values("seed")


def setting(measured: Measured, cell: pd.Series) -> str:
    """Write the setting of a cell: its values of all axes but the entry and the seed."""
    return ", ".join(f"{axis} {short(cell[axis])}" for axis in measured.axes) or "as given"


def failure_rates(measured: Measured) -> pd.Series:
    """Give the share of an entry's members that failed, over all of its cells."""
    totals = measured.cells.groupby(measured.entry)[["num_failed", "num_seeds"]].sum()
    return totals["num_failed"] / totals["num_seeds"]


def unranked(measured: Measured) -> str:
    """Name the entries that have no score; nothing where all have one."""
    entries = set(measured.results.members[measured.entry]) - set(measured.entries)
    names = ", ".join(map(str, ordered(entries)))
    return f"Not ranked, because they have no {measured.metric} at the last step: {names}." if names else ""


def unfinished(results: Results) -> str:
    """Say what a study still lacks; nothing where it is complete."""
    study, table = results.study, results.table
    last = table.groupby("member")["step"].max()
    planned, short = int(study["num_members"]), int((last < study["total_steps"]).sum())
    axis = study["compare"]
    absent = set(results.members[axis]) - set(table.loc[table["step"] == table["step"].max(), axis])
    lacks = []
    if len(last) < planned:
        lacks.append(f"{len(last)} of {planned} members are in the table")
    if short:
        lacks.append(f"{short} of them end before step {study['total_steps']:,}")
    if absent:
        lacks.append(f"no member of {', '.join(map(str, ordered(absent)))} has reached step {table['step'].max():,}")
    return f"This study is not finished: {'; '.join(lacks)}." if lacks else ""


def named(measured: Measured) -> str:
    """Name the metric, and what is wished of it."""
    better = {"lower": "lower is better", "higher": "higher is better", "1": "1 is best"}[measured.direction]
    return f"{measured.metric} ({better})"


def difference_of(measured: Measured) -> str:
    """Name what differences are taken of."""
    return f"distance of {measured.metric} from 1" if measured.direction == "1" else measured.metric


def ordered(values: Iterable) -> list:
    """Sort the values of an axis: numbers first, then texts."""
    return sorted(values, key=lambda value: (0, value, "") if is_number(value) else (1, 0, str(value)))


def short(value) -> str:
    """Write the value of an axis."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_number(value) -> bool:
    """Say whether the value of an axis is a quantity."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
