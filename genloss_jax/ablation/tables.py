"""Tables as a report shows them: numbers as text for people, in full for machines."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Number(NamedTuple):
    """A number on the page.

    Attributes:
        of: which quantity it is, such as "mean" or "low"; unique in its row.
        value: in full.
        text: rounded.
    """

    of: str
    value: float
    text: str


Real = float | int | np.integer
Cell = tuple[str | Number, ...]  # what stands in one cell, from left to right


class Row(NamedTuple):
    """A row: its first column, a cell for each further one, and a key where the first column is not unique."""

    label: str
    cells: tuple[Cell, ...]
    key: str = ""


class Table(NamedTuple):
    """A table with a name, unique on the page."""

    name: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]

    def numbers(self) -> Iterator[tuple[str, Number]]:
        """Walk over all numbers with their keys, `table/row/quantity`."""
        for row in self.rows:
            for cell in row.cells:
                for part in cell:
                    if isinstance(part, Number):
                        yield self.key(row, part), part

    def key(self, row: Row, number: Number) -> str:
        """Give the name under which a number is found on the page."""
        return f"{self.name}/{row.key or row.label}/{number.of}"

    def lines(self) -> Iterator[list[str]]:
        """Walk over the rows as text."""
        for row in self.rows:
            yield [row.label, *map(_plain, row.cells)]

    def markdown(self) -> str:
        """Lay the table out in Markdown."""
        lines = [self.header, ["---"] * len(self.header), *self.lines()]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(of: str, value: Real) -> Number:
    """Round to three significant digits."""
    return Number(of, float(value), rounded(float(value)))


def share(of: str, value: Real) -> Number:
    """Give a share in per cent."""
    return Number(of, float(value), "unknown" if np.isnan(value) else f"{100 * value:.0f} %")


def count(of: str, value: Real) -> Number:
    """Give a whole number."""
    return Number(of, float(value), f"{value:,.0f}")


def probability(of: str, value: Real) -> Number:
    """Give a p-value."""
    return Number(of, float(value), "< 0.0001" if value < 1e-4 else rounded(float(value)))


def interval(of: str, mean: float, low: float, high: float) -> Cell:
    """Give a number with its interval, to two digits of its half-width; an interval that is not known is left out."""
    if not np.isfinite([mean, low, high]).all():
        return (number(of, mean),)
    prefix = "" if of == "mean" else f"{of}_"
    bounds = {of: mean, f"{prefix}low": low, f"{prefix}high": high}
    if high > low:
        decimals = min(max(0, 1 - math.floor(math.log10((high - low) / 2))), 9)
        parts = [Number(name, float(x), _fixed(x, decimals)) for name, x in bounds.items()]
    else:
        parts = [number(name, x) for name, x in bounds.items()]
    return parts[0], " [", parts[1], ", ", parts[2], "]"


def rounded(value: float) -> str:
    """Write a number with three significant digits, whole ones and large ones without a decimal point."""
    if np.isnan(value):
        return "unknown"
    if 1e-4 <= abs(value) < 1e6 or value == 0:
        whole = abs(value) >= 1000 or value == int(value)
        return _fixed(value, 0) if whole else f"{value:.3g}".replace("-", "−")
    return f"{value:.3g}"


def _fixed(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace("-", "−")


def _plain(cell: Cell) -> str:
    return "".join(part.text if isinstance(part, Number) else part for part in cell)
