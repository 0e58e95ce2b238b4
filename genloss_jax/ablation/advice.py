"""Which loss to use, by what studies have measured; and no advice where they cannot tell."""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from genloss_jax._names import unknown
from genloss_jax.ablation.comparison import listed
from genloss_jax.ablation.measured import Measured, failure_rates, measure, setting
from genloss_jax.ablation.results import Results
from genloss_jax.ablation.tables import Cell, Row, Table, interval, number, share

RULE = (
    "An entry is in the running in a study if it leads there, or if its paired difference from the leader, corrected "
    "for many comparisons, cannot be told from zero. Recommended is the one entry that is in the running in every "
    "study. If there are several, the data cannot tell them apart; if there is none, the studies disagree: then "
    "nothing is recommended. The ranking is by win rate, averaged over studies; at equal win rates the lower failure "
    "rate comes first, then the lower cost."
)


class Advice(NamedTuple):
    """What studies say about the choice.

    Attributes:
        sentence: the advice, or why there is none.
        recommended: the entry; None where the studies cannot tell or disagree.
        in_the_running: the entries that no study rules out.
        rule: how both were found.
        ranking: an entry a row, the best first: win rate, failure rate, seconds per member, averaged over studies.
        evidence: a study and entry a row: what the advice rests on.
    """

    sentence: str
    recommended: str | None
    in_the_running: tuple[str, ...]
    rule: str
    ranking: Table
    evidence: Table


def advise(studies: Mapping[str, Results], modality: str) -> Advice:
    """Rank entries over the studies of a modality, and recommend one where all of them allow it.

    Entries that are not in every one of these studies are named, and left out.

    Args:
        studies: where each study lies, or another name -> the study.
        modality: as in the studies' descriptions, such as "plane" or "image".

    Returns:
        The advice.

    Raises:
        ValueError: if there is no study, none has the modality, they compare different axes, or share no entry.
    """
    studies = _of_modality(studies, modality)
    compared = {name: results.study["compare"] for name, results in studies.items()}
    if len(set(compared.values())) > 1:
        raise ValueError(f"studies must compare values of the same axis, got {compared}; by_axis takes them apart")
    entries = {name: _entries(results) for name, results in studies.items()}
    shared = [entry for entry in next(iter(entries.values())) if all(entry in others for others in entries.values())]
    if not shared:
        raise ValueError(f"studies must share at least one entry, got {entries}")
    rows = pd.concat(
        [_rows(name, measure(_restricted(results, shared))) for name, results in studies.items()], ignore_index=True
    )
    means = rows.groupby("entry")[["win_rate", "failure_rate", "seconds"]].mean()
    order = means.sort_values(["win_rate", "failure_rate", "seconds"], ascending=[False, True, True], kind="stable")
    standing = rows.groupby("entry")["in_the_running"].all()
    running = tuple(entry for entry in order.index if standing[entry])
    return Advice(
        sentence=_sentence(rows, running, next(iter(studies.values())).study["compare"]) + _left_out(entries, shared),
        recommended=running[0] if len(running) == 1 and len(shared) > 1 else None,
        in_the_running=running,
        rule=RULE,
        ranking=_ranking(order),
        evidence=_evidence(rows, list(order.index)),
    )


def by_axis(studies: Mapping[str, Results], modality: str) -> dict[str, dict[str, Results]]:
    """Take studies of a modality apart by the axis that they compare: those of losses, those of families, and so on.

    Args:
        studies: where each study lies, or another name -> the study.
        modality: as in the studies' descriptions, such as "plane" or "image".

    Returns:
        Axis -> its studies, which `advise` can take together; all in the order of the studies.

    Raises:
        ValueError: if there is no study, or none has the modality.
    """
    parts: dict[str, dict[str, Results]] = {}
    for name, results in _of_modality(studies, modality).items():
        parts.setdefault(results.study["compare"], {})[name] = results
    return parts


def heading(axis: str, modality: str) -> str:
    """Name the choice that an advice is about."""
    return f"Choosing the {axis.replace('_', ' ')}: {modality}"


def text(advice: Advice) -> str:
    """Lay an advice out for a terminal."""
    parts = [advice.sentence, textwrap.fill(f"Rule: {advice.rule}", 100), _aligned(advice.ranking)]
    return "\n\n".join([*parts, f"It rests on:\n{_aligned(advice.evidence)}"])


def markdown(advice: Advice) -> str:
    """Lay an advice out in Markdown."""
    parts = [f"**{advice.sentence}**", f"Rule: {advice.rule}", advice.ranking.markdown(), "It rests on:"]
    return "\n\n".join([*parts, advice.evidence.markdown()])


def _of_modality(studies: Mapping[str, Results], modality: str) -> dict[str, Results]:
    if not studies:
        raise ValueError("studies must hold at least one study, got none")
    there = {name: str(results.study.get("modality", "")) for name, results in studies.items()}
    if modality not in there.values():
        raise unknown("modality", modality, set(there.values()))
    return {name: results for name, results in studies.items() if there[name] == modality}


def _entries(results: Results) -> list:
    return list(results.table[results.study["compare"]].unique())


def _restricted(results: Results, entries: list) -> Results:
    """Keep some entries of a study, at the end of its budget."""
    table, members, axis = results.table, results.members, results.study["compare"]
    table = table[table[axis].isin(entries) & (table["step"] == table["step"].max())]
    return results._replace(table=table, members=members[members[axis].isin(entries)])


def _rows(name: str, measured: Measured) -> pd.DataFrame:
    """Give a study's numbers, an entry a row."""
    rates, seconds = failure_rates(measured), _seconds(measured)
    rows = []
    for entry, standing in measured.standings.iterrows():
        rank = measured.ranks.loc[entry]
        leads = entry == measured.verdict.leader
        wins = measured.win_rates.loc[entry].drop(entry)
        rows.append(
            {
                "study": name,
                "metric": measured.metric,
                "entry": str(entry),
                **{key: standing[key] for key in ("mean", "low", "high")},
                **{f"rank_{key}".removesuffix("_mean"): rank[key] for key in ("mean", "low", "high")},
                "win_rate": wins.mean() if len(wins) else np.nan,
                "failure_rate": rates[entry],
                "seconds": seconds[entry],
                "leads": leads,
                "in_the_running": leads or entry in measured.verdict.rivals,
                "setting": setting(measured, measured.chosen.loc[entry]),
            }
        )
    return pd.DataFrame(rows)


def _seconds(measured: Measured) -> pd.Series:
    """Give the time that an entry's members took, per member: a group's time is shared by its members."""
    groups = measured.results.study["groups"]
    members = measured.results.members
    each = members["group"].map(lambda group: groups[group].get("seconds", np.nan) / groups[group]["members"])
    return each.groupby(members[measured.entry]).mean()


def _sentence(rows: pd.DataFrame, running: tuple[str, ...], axis: str) -> str:
    studies = rows["study"].nunique()
    where = "the study" if studies == 1 else f"each of the {studies} studies"
    if rows["entry"].nunique() == 1:
        return f"No advice: {rows['entry'][0]} is the only {axis} that every study has."
    if len(running) == 1:
        return f"Use {running[0]}: in {where} it leads or cannot be told from the leader; no other {axis} does."
    if running:
        return f"No advice: the data cannot tell these apart: {listed(running)}."
    led = rows[rows["leads"]]
    leaders = ", ".join(f"{entry} leads in {study}" for study, entry in zip(led["study"], led["entry"], strict=True))
    return f"No advice: the studies disagree: {leaders}, and no {axis} is in the running in all of them."


def _left_out(entries: Mapping[str, list], shared: list) -> str:
    names = sorted({str(entry) for some in entries.values() for entry in some if entry not in shared})
    return f" Not in every study, and left out: {', '.join(names)}." if names else ""


def _ranking(means: pd.DataFrame) -> Table:
    rows = [
        Row(
            str(entry),
            (
                (share("win_rate", row["win_rate"]),),
                (share("failure_rate", row["failure_rate"]),),
                (number("seconds", row["seconds"]),),
            ),
        )
        for entry, row in means.iterrows()
    ]
    return Table("ranking", ("entry", "win rate", "failed", "seconds per member"), tuple(rows))


def _evidence(rows: pd.DataFrame, order: list[str]) -> Table:
    made = []
    for _, row in rows.sort_values("entry", key=lambda names: names.map(order.index), kind="stable").iterrows():
        role = "leads" if row["leads"] else "cannot be told from the leader" if row["in_the_running"] else "behind"
        cells: tuple[Cell, ...] = (
            (row["entry"],),
            (row["metric"],),
            interval("mean", row["mean"], row["low"], row["high"]),
            interval("rank", row["rank"], row["rank_low"], row["rank_high"]),
            (share("win_rate", row["win_rate"]),),
            (share("failure_rate", row["failure_rate"]),),
            (number("seconds", row["seconds"]),),
            (role,),
            (row["setting"],),
        )
        made.append(Row(row["study"], cells, key=f"{row['study']}, {row['entry']}"))
    header = ("study", "entry", "metric", "value", "mean rank", "win rate", "failed", "seconds per member", "is", "at")
    return Table("evidence", header, tuple(made))


def _aligned(table: Table) -> str:
    lines = [list(table.header), *table.lines()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
