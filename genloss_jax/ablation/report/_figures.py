"""The figures of a report. Each takes what was measured and a width in pixels, and gives a figure."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from genloss_jax.ablation.comparison import cost
from genloss_jax.ablation.measured import Measured, difference_of, is_number, named, ordered
from genloss_jax.ablation.report import _svg

_INK, _MUTED, _LINE, _BAD = (_svg.LIGHT[role] for role in ("ink", "muted", "line", "bad"))
_LEADER, _OTHER = _svg.SERIES[0], _MUTED
_MARKERS = "osD^vP"
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)))
_HATCHES = ("", "//", "..", "xx")
_FLOOR: dict[str, Any] = {"color": _INK, "lw": 1, "ls": (0, (4, 3))}
_NARROW = 480  # pixels, below which labels stand above what they name


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    @wraps(draw)
    def styled(*args, **kwargs):
        with matplotlib.rc_context(_svg.STYLE):
            return draw(*args, **kwargs)

    return styled


@_styled
def leaderboard(measured: Measured, width: int) -> Figure:
    """Draw each entry's score with its interval, every seed behind it, and the floor."""
    standings = measured.standings
    handles = [*_roles(measured), Line2D([], [], marker="|", ls="", color=_MUTED, label="one seed"), *_real(measured)]
    figure, axes = _rows([str(entry) for entry in standings.index], width, handles, columns=2 if width < _NARROW else 5)
    for place, entry in enumerate(standings.index):
        axes.plot(measured.scores[entry], np.full(len(measured.scores), place), "|", color=_MUTED, alpha=0.7, ms=6)
        _whisker(axes, place, standings.loc[entry], _role(measured, entry))
    _floor(axes.axvline, measured)
    _scale(axes, "x", [measured.scores.to_numpy(), [measured.floor]])
    axes.set_xlabel(named(measured))
    return figure


@_styled
def differences(measured: Measured, width: int) -> Figure:
    """Draw by how much the leader differs from each other entry, with corrected intervals."""
    rows = measured.verdict.comparisons
    figure, axes = _rows([str(entry) for entry in rows["b"]], width)
    for place, (_, row) in enumerate(rows.iterrows()):
        _whisker(axes, place, row.rename({"difference": "mean"}), _role(measured, row["b"]))
    axes.axvline(0.0, color=_INK, lw=1, zorder=0)
    axes.set_xlabel(f"{measured.verdict.leader} minus the other, in {difference_of(measured)}")
    return figure


@_styled
def curves(measured: Measured, width: int) -> Figure:
    """Draw scores over the budget with bands, the floor, and below them who led when."""
    shown = highlighted(measured)
    lines = [Line2D([], [], ms=4, lw=1.6, label=str(entry), **style) for entry, style in shown.items()]
    others = [Line2D([], [], color=_LINE, label="others")] if len(shown) < len(measured.entries) else []
    figure, bottom = _with_legend(width, 400, [*lines, *others, *_real(measured)], columns=2 if width < _NARROW else 4)
    strip = _placed(figure, left=72, bottom=bottom + 40, height=20)
    axes = _placed(figure, left=72, bottom=bottom + 70, sharex=strip)
    by_entry = {entry: rows.sort_values("step") for entry, rows in measured.curves.groupby("entry")}
    for entry in [entry for entry in measured.entries if entry not in shown]:
        axes.plot(by_entry[entry]["step"], by_entry[entry]["mean"], color=_LINE, lw=1)
    for entry, style in shown.items():
        rows = by_entry[entry]
        axes.fill_between(rows["step"], rows["low"], rows["high"], color=style["color"], alpha=0.15, lw=0)
        axes.plot(rows["step"], rows["mean"], ms=4, lw=1.6, **style)
    _floor(axes.axhline, measured)
    _scale(axes, "y", [measured.curves["mean"].to_numpy(), [measured.floor]])
    axes.set_ylabel(named(measured))
    axes.tick_params(axis="x", labelbottom=False)
    _leaders(strip, measured, shown)
    return figure


def highlighted(measured: Measured) -> dict:
    """Choose the entries that curves show in colour, with their styles: who ever led, then the best."""
    names = list(dict.fromkeys([measured.verdict.leader, *measured.budget["leader"], *measured.entries]))
    kept = [entry for entry in measured.entries if entry in names[: len(_svg.SERIES)]]
    styles = zip(_svg.SERIES, _MARKERS, _DASHES, strict=True)
    return {
        entry: {"color": colour, "marker": marker, "ls": dashes}
        for entry, (colour, marker, dashes) in zip(kept, styles, strict=False)
    }


@_styled
def sensitivity(measured: Measured, entry, axis: str, limits: tuple[float, float]) -> Figure:
    """Draw an entry's cells along an axis: the best at each value with its interval, cells with failures crossed."""
    cells = measured.cells[measured.cells[measured.entry] == entry]
    values = ordered(measured.cells[axis].unique())
    places, scale = _places(values)
    figure = _svg.new(190, 150)
    axes = _placed(figure, left=46, bottom=24, top=21, right=8)
    for failed, marker, colour in ((False, "o", _MUTED), (True, "x", _BAD)):
        some = cells[(cells["num_failed"] > 0) == failed]
        axes.plot([places[value] for value in some[axis]], some["mean"], marker, color=colour, ms=3.5, alpha=0.8)
    best = profile(measured, entry, axis)
    at = [places[value] for value in best[axis]]
    axes.vlines(at, best["low"], best["high"], color=_LEADER, lw=2)
    joined = scale != "categories" and is_crossed(measured, entry, axis)
    axes.plot(at, best["mean"], "o-" if joined else "o", color=_LEADER, ms=5, lw=1.5)
    _floor(axes.axhline, measured)
    if scale == "log":
        axes.set_xscale("log")
    _ticks(axes, values, places, scale)
    axes.margins(x=0.3 if scale == "categories" else 0.12)
    axes.set_ylim(*limits)
    _scale(axes, "y", [measured.cells["mean"].to_numpy(), [measured.floor]])
    axes.tick_params(axis="y", labelcolor=_MUTED)
    figure.text(4 / 190, 0.97, str(entry), va="top", fontsize=min(12, 310 / len(str(entry))))
    return figure


def _ticks(axes: Axes, values: Sequence, places: dict, scale: str) -> None:
    """Label a few values, or round numbers between many of them."""
    if len(values) <= 4 or scale == "categories":
        shown = values if len(values) <= 4 else values[:: -(-len(values) // 3)]
        room = 21 // len(shown)  # letters that fit side by side
        labels = [f"{value:.2g}" if isinstance(value, float) else _cut(str(value), room) for value in shown]
        axes.set_xticks([places[value] for value in shown], labels)
    else:
        subs = (1,) if max(values) >= 100 * min(values) else (1, 5)
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=4) if scale == "log" else MaxNLocator(3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-")))
    axes.xaxis.set_minor_locator(NullLocator())


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def profile(measured: Measured, entry, axis: str) -> pd.DataFrame:
    """Take, at each value of an axis, the entry's best cell over the other axes."""
    cells = measured.cells[measured.cells[measured.entry] == entry]
    best = cost(cells["mean"], measured.direction).groupby(cells[axis]).idxmin()
    return cells.loc[best].sort_values(axis, key=lambda values: values.map(ordered(values.unique()).index))


def is_crossed(measured: Measured, entry, axis: str) -> bool:
    """Tell whether all values of an axis were tried with the same of the others, so that a line says something."""
    cells = measured.cells[measured.cells[measured.entry] == entry]
    others = [name for name in measured.axes if name not in (axis, measured.entry)]
    settings = cells[others].astype(str).apply(tuple, axis=1) if others else pd.Series("", index=cells.index)
    return settings.groupby(cells[axis]).agg(frozenset).nunique() == 1


def limits(measured: Measured) -> tuple[float, float]:
    """Give the range that panels share: all cells, and the floor."""
    values = np.append(measured.cells["mean"].to_numpy(), measured.floor)
    low, high = np.nanmin(values), np.nanmax(values)
    if _spans_magnitudes(values):
        return low / 1.3, high * 1.3
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


@_styled
def failures(measured: Measured, width: int) -> Figure:
    """Draw the share of each entry's members that failed, by the term that was first not finite."""
    shares = failure_shares(measured)
    shares = shares[shares.sum(axis=1) > 0]
    looks: list[dict[str, Any]] = [
        {"facecolor": colour, "hatch": hatch, "edgecolor": _svg.LIGHT["background"], "lw": 0, "label": str(term)}
        for term, colour, hatch in zip(shares.columns, cycle(_svg.SERIES[1:]), cycle(_HATCHES), strict=False)
    ]
    handles = [Patch(**look) for look in looks]
    figure, axes = _rows([str(entry) for entry in shares.index], width, handles, columns=1 if width < _NARROW else 3)
    left = np.zeros(len(shares))
    for term, look in zip(shares.columns, looks, strict=True):
        share = 100 * shares[term].to_numpy()
        axes.barh(range(len(shares)), share, 0.4 if width < _NARROW else 0.6, left, **look)
        left = left + share
    axes.set_xlabel("members that failed, %")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def failure_shares(measured: Measured) -> pd.DataFrame:
    """Give the share of each entry's members that each term ended: entries down, terms across."""
    sizes = measured.cells.groupby(measured.entry)["num_seeds"].sum()
    counts = measured.failures.pivot_table(
        index=measured.entry, columns="term", values="count", aggfunc="sum", fill_value=0
    )
    return counts.reindex(measured.entries, fill_value=0).div(sizes.reindex(measured.entries), axis=0)


def _rows(labels: Sequence[str], width: int, handles: Sequence = (), columns: int = 1) -> tuple[Figure, Axes]:
    """Open axes with a labelled row for each name, the first on top, and a legend below."""
    narrow = width < _NARROW
    figure, bottom = _with_legend(width, (34 if narrow else 24) * len(labels) + 54, handles, columns)
    axes = _placed(figure, left=8 if narrow else 16 + 6.8 * max(map(len, labels)), bottom=bottom + 42)
    axes.set_ylim(len(labels) - 0.4, -0.8)
    axes.set_yticks(range(len(labels)), [] if narrow else labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    halo = {"facecolor": _svg.LIGHT["background"], "lw": 0, "pad": 1}
    for place, label in enumerate(labels if narrow else []):
        axes.text(0.0, place - 0.42, label, transform=axes.get_yaxis_transform(), va="center", fontsize=11, bbox=halo)
    axes.grid(axis="x", lw=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _with_legend(width: int, height: int, handles: Sequence, columns: int) -> tuple[Figure, int]:
    """Open a figure with a legend below the height; give the legend's own height as well."""
    below = 19 * -(-len(handles) // columns) + 8 if handles else 0
    figure = _svg.new(width, height + below)
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=min(columns, len(handles)), fontsize=11)
    return figure, below


def _placed(figure: Figure, *, left, bottom, top=6, right=14, height=None, sharex=None) -> Axes:
    """Add axes with margins in pixels: to measure texts and fit margins to them would take most of the time."""
    width, full = figure.bbox.size
    height = full - bottom - top if height is None else height
    place = (left / width, bottom / full, (width - left - right) / width, height / full)
    return figure.add_axes(place, sharex=sharex)


def _whisker(axes: Axes, place: int, row: pd.Series, role: dict) -> None:
    axes.plot([row["low"], row["high"]], [place, place], color=role["color"], lw=2, solid_capstyle="round")
    axes.plot([row["mean"]], [place], ms=7, ls="", mew=1.6, **role)


def _role(measured: Measured, entry) -> dict:
    """Style an entry: the leader, one that cannot be told from it, or another."""
    if entry == measured.verdict.leader:
        return {"color": _LEADER, "marker": "D"}
    if entry in measured.verdict.rivals:
        return {"color": _LEADER, "marker": "o", "markerfacecolor": _svg.LIGHT["background"]}
    return {"color": _OTHER, "marker": "o"}


def _roles(measured: Measured) -> list[Line2D]:
    named = {"leader": measured.verdict.leader}
    if measured.verdict.rivals:
        named["cannot be told from it"] = measured.verdict.rivals[0]
    behind = [e for e in measured.entries if e not in (measured.verdict.leader, *measured.verdict.rivals)]
    if behind:
        named["behind it"] = behind[0]
    return [Line2D([], [], ls="", ms=6, label=label, **_role(measured, entry)) for label, entry in named.items()]


def _leaders(strip: Axes, measured: Measured, shown: dict) -> None:
    """Colour the time until each evaluation by who leads there: solid where it stands apart from all others."""
    rows = measured.budget
    runs = (rows[["leader", "apart"]] != rows[["leader", "apart"]].shift()).any(axis=1).cumsum()
    start = 0
    for _, run in rows.groupby(runs):
        leader, apart, end = run["leader"].iloc[-1], run["apart"].iloc[-1], run["step"].iloc[-1]
        colour = shown.get(leader, {"color": _MUTED})["color"]
        strip.barh(0, end - start, 1.0, start, color=colour, alpha=1.0 if apart else 0.35, lw=0)
        start = end
    for step in rows.loc[rows["flips"].astype(bool), "step"]:
        strip.axvline(step, color=_INK, lw=1)
    strip.set_yticks([0], ["leader"])
    strip.tick_params(axis="y", length=0)
    strip.spines[:].set_visible(False)
    strip.set_xlabel("step")
    strip.xaxis.set_major_locator(MaxNLocator(5))
    strip.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _floor(line: Callable, measured: Measured) -> None:
    if np.isfinite(measured.floor):
        line(measured.floor, zorder=0, **_FLOOR)


def _real(measured: Measured) -> list[Line2D]:
    return [Line2D([], [], label="real data", **_FLOOR)] if np.isfinite(measured.floor) else []


def _scale(axes: Axes, name: str, values: Iterable) -> None:
    """Make an axis logarithmic where its values span magnitudes, with plain numbers at its ticks."""
    values = np.concatenate([np.ravel(part) for part in values])
    if not _spans_magnitudes(values):
        return
    axes.set(**{f"{name}scale": "log"})
    axis = getattr(axes, f"{name}axis")
    decades = np.log10(np.nanmax(values) / np.nanmin(values))
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _spans_magnitudes(values: np.ndarray) -> bool:
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > 20 * values.min())


def _places(values: Sequence) -> tuple[dict, str]:
    """Give each value of an axis its place, and the scale of the places: "linear", "log" or "categories"."""
    if not all(map(is_number, values)):
        return {value: float(place) for place, value in enumerate(values)}, "categories"
    magnitudes = min(values) > 0 and max(values) >= 10 * min(values)
    # Two values lie equally well on both scales.
    logarithmic = magnitudes and _skew(np.log(values)) <= _skew(np.array(values, float)) + 1e-6
    return {value: float(value) for value in values}, "log" if logarithmic else "linear"


def _skew(values: np.ndarray) -> float:
    """Say how far the median lies from the middle of the range, as a share of it."""
    low, middle, high = np.quantile(values, (0.0, 0.5, 1.0))
    return abs((middle - low) / (high - low) - 0.5)
