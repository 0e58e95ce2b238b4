"""A study as a page, a Markdown file and a picture."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from genloss_jax.ablation.comparison import CONFIDENCE
from genloss_jax.ablation.measured import Measured, measure, members_of, unfinished, unranked
from genloss_jax.ablation.report import _contents, _figures, _samples, _svg
from genloss_jax.ablation.results import Results

_WIDE, _NARROW = 960, 360  # pixels
_SECTIONS = {
    "studied": "What was studied",
    "leaderboard": "Leaderboard",
    "comparisons": "Pairwise",
    "sensitivity": "Sensitivity",
    "curves": "Over the budget",
    "failures": "Failures",
    "samples": "Samples",
    "other_metrics": "Other metrics",
    "reproduce": "Reproduce",
}


class Pages(NamedTuple):
    """Where a report was written to."""

    html: Path
    markdown: Path
    png: Path
    svg: Path


def write(results: Results, out: str | Path) -> Pages:
    """Write the report of a study: `report.html`, which needs no other file, and `report.md` with `report.png`.

    Each number of the page is a `<data>` element with its full value and a key, `table/row/quantity`; those that are
    drawn stand in the JSON block `numbers`. All of them come from `genloss_jax.ablation.statistics`.

    Args:
        results: what the study left, finished or not.
        out: directory to write to; created where there is none.

    Returns:
        The files.
    """
    measured = measure(results)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    pages = Pages(*(out / name for name in ("report.html", "report.md", "report.png", "leaderboard.svg")))
    pages.html.write_text(_page(measured), encoding="utf-8")
    pages.markdown.write_text(_markdown(measured, pages.png.name), encoding="utf-8")
    board = _figures.leaderboard(measured, _WIDE)
    board.savefig(pages.png, dpi=144, facecolor=_svg.LIGHT["background"])
    pages.svg.write_text(_svg.standalone(board, "leaderboard"), encoding="utf-8")
    return pages


def _page(measured: Measured) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genloss_jax.ablation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    study = measured.results.study
    return environment.get_template("page.html").render(
        study=study,
        title=study["title"] or study["name"],
        unfinished=unfinished(measured.results),
        verdict=measured.verdict,
        sections=_SECTIONS.items(),
        entry=measured.entry,
        metric=measured.metric,
        confidence=f"{100 * CONFIDENCE:.0f} %",
        studied=_contents.studied(measured),
        leaderboard=_contents.leaderboard(measured),
        unranked=unranked(measured),
        comparisons=_contents.comparisons(measured),
        win_rates=_contents.win_rates(measured),
        budget=_contents.budget(measured),
        flips=_contents.flips(measured),
        failures=_contents.failures(measured),
        other_metrics=_contents.other_metrics(measured),
        figures=_drawn(measured),
        sensitivity=_panels(measured),
        samples=_samples.collect(measured),
        commands=_commands(measured),
        numbers=Markup(_numbers(measured)),
        light=_svg.LIGHT,
        dark=_svg.DARK,
    )


def _drawn(measured: Measured) -> dict[str, dict[str, Markup]]:
    """Draw each figure for wide and for narrow pages."""
    titles = {
        "leaderboard": f"Leaderboard by {measured.metric}: {measured.verdict.sentence}",
        "curves": f"{measured.metric} of each {measured.entry} over training steps",
    }
    if len(measured.verdict.comparisons):
        leader = measured.verdict.leader
        titles["differences"] = f"Differences of {leader} from each other {measured.entry}, with intervals"
    if len(measured.failures):
        titles["failures"] = f"Share of the members of each {measured.entry} that failed, by cause"
    return {
        name: {
            size: _inline(getattr(_figures, name)(measured, width), f"{name}-{size}", title)
            for size, width in (("wide", _WIDE), ("narrow", _NARROW))
        }
        for name, title in titles.items()
    }


def _panels(measured: Measured) -> dict[str, list[Markup]]:
    """Draw the sensitivity of each entry to each axis that was varied."""
    varied = [axis for axis in measured.axes if measured.cells[axis].nunique() > 1]
    shared = _figures.limits(measured)
    return {
        axis: [
            _inline(
                _figures.sensitivity(measured, entry, axis, shared),
                f"sensitivity-{number}-{place}",
                f"{measured.metric} of {entry} over {axis}",
            )
            for place, entry in enumerate(measured.entries)
        ]
        for number, axis in enumerate(varied)
    }


def _inline(figure: Figure, name: str, title: str) -> Markup:
    return Markup(_svg.inline(figure, name, title))


def _commands(measured: Measured) -> dict[str, list[str]]:
    return {str(entry): list(members_of(measured, entry)["command"]) for entry in measured.entries}


def _numbers(measured: Measured) -> str:
    """Give all numbers that are drawn, as JSON that can stand in a page."""
    frames = {
        "scores": measured.scores.reset_index(),
        "standings": measured.standings.reset_index(names="entry"),
        "curves": measured.curves,
        "cells": measured.cells,
        "failure_shares": _figures.failure_shares(measured).reset_index(),
    }
    text = json.dumps({name: _records(frame) for name, frame in frames.items()})
    return text.replace("<", "\\u003c")


def _records(frame: pd.DataFrame) -> dict[str, Any]:
    filled = frame.astype(object).where(frame.notna(), None)
    return {str(column): filled[column].tolist() for column in frame.columns}


def _markdown(measured: Measured, picture: str) -> str:
    """Give the verdict, the leaderboard, failures and commands in Markdown."""
    study = measured.results.study
    parts = [f"# {study['title'] or study['name']}", unfinished(measured.results), f"**{measured.verdict.sentence}**"]
    parts += [f"![Leaderboard by {measured.metric}, with intervals and floor]({picture})"]
    parts += [
        _contents.leaderboard(measured).markdown(),
        unranked(measured),
        next(_contents.flips(measured).lines())[1],
    ]
    parts += ["## What was studied", _contents.studied(measured).markdown()]
    metrics, failed = _contents.other_metrics(measured), _contents.failures(measured)
    if len(metrics.header) > 1:
        parts += ["## All other metrics", metrics.markdown()]
    parts += ["## Failures", failed.markdown() if failed.rows else "No member failed."]
    entry, commands = next(iter(_commands(measured).items()))
    parts += ["## Reproduce", f"The first seed of {entry}:", "\n".join(["```bash", *commands[:1], "```"])]
    return "\n\n".join(part for part in parts if part) + "\n"
