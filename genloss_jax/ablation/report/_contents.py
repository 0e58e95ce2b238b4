"""The tables of a report."""

import numpy as np
import pandas as pd

from genloss_jax.ablation import statistics
from genloss_jax.ablation.measured import Measured, difference_of, failure_rates, named, ordered, setting, short
from genloss_jax.ablation.tables import (
    Cell,
    Number,
    Row,
    Table,
    count,
    interval,
    number,
    probability,
    rounded,
    share,
)
from genloss_jax.metrics.statistics import STANDARD_ERROR


def studied(measured: Measured) -> Table:
    """Say what was studied, and what it cost."""
    study, table = measured.results.study, measured.results.table
    seconds = sum(group.get("seconds", 0.0) for group in study["groups"].values())
    num = table["member"].nunique()
    facts: dict[str, Cell] = {
        "data": (str(study["data"]),),
        "entries": (count("num_entries", len(measured.entries)), f" of {measured.entry}"),
        **{
            axis: (
                count("num_values", table[axis].nunique()),
                " values",
                f" ({_listed(ordered(table[axis].unique()))})",
            )
            for axis in measured.axes
        },
        "seeds": (count("num_seeds", table["seed"].nunique()), ": members with equal seeds saw the same data"),
        "members": (count("num_members", num), " of ", count("num_planned", study["num_members"]), " planned"),
        "budget": (
            count("total_steps", study["total_steps"]),
            " steps, evaluated ",
            count("num_evaluations", len(measured.steps)),
            " time" if len(measured.steps) == 1 else " times",
        ),
        "metric": (named(measured),),
        "samples": (count("num_samples", study["num_samples"]), " for each evaluation of a member"),
        "device": (str(study["device"]),),
        "time": (
            Number("seconds", float(seconds), duration(float(seconds))),
            " in ",
            count("num_groups", len(study["groups"])),
            " programs, ",
            number("seconds_per_member", seconds / num),
            " seconds for a member",
        ),
        "versions": (", ".join(f"{name} {version}" for name, version in study["versions"].items() if version),),
    }
    return Table("studied", ("", ""), tuple(Row(name, (cell,)) for name, cell in facts.items()))


def leaderboard(measured: Measured) -> Table:
    """Rank the entries, each with the cell that did best for it; the last row is what real data gets."""
    rates = failure_rates(measured)
    rows = []
    for entry, standing in measured.standings.iterrows():
        cell, rank = measured.chosen.loc[entry], measured.ranks.loc[entry]
        wins = measured.win_rates.loc[entry].drop(entry)
        cells: tuple[Cell, ...] = (
            interval("mean", standing["mean"], standing["low"], standing["high"]),
            interval("rank", rank["mean"], rank["low"], rank["high"]),
            (share("win_rate", wins.mean() if len(wins) else np.nan),),
            (share("failure_rate", rates[entry]),),
            (share("chosen_failure_rate", cell["failure_rate"]),),
            (setting(measured, cell),),
        )
        rows.append(Row(str(entry), cells))
    blank: tuple[Cell, ...] = (("",),) * 5
    rows.append(Row("real data", (floor(measured, measured.metric), *blank)))
    header = (
        measured.entry,
        measured.metric,
        "mean rank",
        "win rate",
        "failed, all settings",
        "failed, chosen setting",
        "chosen setting",
    )
    return Table("leaderboard", header, tuple(rows))


def comparisons(measured: Measured) -> Table:
    """Compare the leader with every other entry, the nearest first."""
    rows = []
    for _, row in measured.verdict.comparisons.iterrows():
        apart = "cannot be told from it" if row["b"] in measured.verdict.rivals else "behind it"
        cells: tuple[Cell, ...] = (
            interval("difference", row["difference"], row["low"], row["high"]),
            (probability("p", row["p"]),),
            (probability("p_adjusted", row["p_adjusted"]),),
            (share("leader_wins", row["a_wins"]),),
            (count("num_seeds", row["num_seeds"]),),
            (apart,),
        )
        rows.append(Row(str(row["b"]), cells))
    leader = measured.verdict.leader
    header = (
        measured.entry,
        f"{leader} minus it, in {difference_of(measured)}",
        "p",
        "p, corrected",
        f"{leader} wins",
        "shared seeds",
        "is",
    )
    return Table("comparisons", header, tuple(rows))


def win_rates(measured: Measured) -> Table:
    """Say in which share of the seeds the entry of the row beats that of the column."""
    entries = measured.entries
    rows = tuple(
        Row(str(a), tuple((share(str(b), measured.win_rates.loc[a, b]),) if a != b else ("",) for b in entries))
        for a in entries
    )
    return Table("win_rates", ("wins of … against", *map(str, entries)), rows)


def budget(measured: Measured) -> Table:
    """Say who led at each evaluation, and whether that was sure."""
    rows = tuple(
        Row(
            f"{row['step']:,}",
            (
                (str(row["leader"]),),
                ("apart from all others" if row["apart"] else "cannot be told from others",),
                ("flips" if row["flips"] else "",),
            ),
        )
        for _, row in measured.budget.iterrows()
    )
    return Table("budget", ("step", "leader", "is", "verdict"), rows)


def flips(measured: Measured) -> Table:
    """Say where over the budget the verdict would have been another."""
    flipped = measured.budget.loc[measured.budget["flips"].astype(bool), "step"]
    if not len(flipped):
        once = len(measured.budget) == 1
        said = "There was one evaluation." if once else "The verdict is the same at every evaluation."
        return Table("flips", (), (Row("verdict", ((said,),)),))
    sentence: list[str | Number] = []
    for place, step in enumerate(flipped):
        sentence += [", " if place else "The verdict flips at step ", count(f"flip_{place}", step)]
    return Table("flips", (), (Row("verdict", ((*sentence, "."),)),))


def failures(measured: Measured) -> Table:
    """Say which cells failed, from which term, and when first."""
    frame = measured.failures.sort_values("share", ascending=False, kind="stable")
    rows = []
    for _, row in frame.iterrows():
        entry, term, where = str(row[measured.entry]), str(row["term"]), setting(measured, row)
        cells: tuple[Cell, ...] = (
            (where,),
            (term,),
            (count("count", row["count"]),),
            (share("share", row["share"]),),
            (count("first_step", row["first_step"]),),
        )
        rows.append(Row(entry, cells, key=f"{entry}, {where}, {term}"))
    header = (measured.entry, "setting", "first not finite", "members", "of the setting", "first at step")
    return Table("failures", header, tuple(rows))


def other_metrics(measured: Measured) -> Table:
    """Give all other metrics of each entry at its chosen setting, beside what real data gets."""
    study = measured.results.study
    present = set(measured.results.table["metric"])
    names = [name for name in study["directions"] if name != measured.metric and name in present]
    means = {name: _at_chosen(measured, statistics.cells(measured.results, name)) for name in names}

    def mean(entry, name) -> Cell:
        # Families may have metrics of their own.
        if entry not in means[name].index:
            return ("",)
        return interval(name, *means[name].loc[entry, ["mean", "low", "high"]])

    rows = [Row(str(entry), tuple(mean(entry, name) for name in names)) for entry in measured.entries]
    rows.append(Row("real data", tuple(floor(measured, name) for name in names)))
    rows.append(Row("better is", tuple((study["directions"][name],) for name in names)))
    return Table("other_metrics", (measured.entry, *names), tuple(rows))


def floor(measured: Measured, metric: str) -> Cell:
    """Give what real data gets for a metric, with its standard error where that is known."""
    floors = measured.results.study["floors"]
    if metric not in floors:
        return ("unknown",)
    error = float(floors.get(metric + STANDARD_ERROR, np.nan))
    value = number(metric, floors[metric])
    return (value,) if np.isnan(error) else (value, " ± ", Number(metric + STANDARD_ERROR, error, f"{error:.2g}"))


def duration(seconds: float) -> str:
    """Write a time in its usual unit."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{rounded(seconds)} seconds"


def _at_chosen(measured: Measured, cells: pd.DataFrame) -> pd.DataFrame:
    chosen = measured.chosen.reset_index()[[measured.entry, *measured.axes]]
    return chosen.merge(cells, on=[measured.entry, *measured.axes]).set_index(measured.entry)


def _listed(values: list) -> str:
    """List values, or the first and the last where there are many."""
    return ", ".join(map(short, values)) if len(values) <= 6 else f"{short(values[0])} to {short(values[-1])}"
