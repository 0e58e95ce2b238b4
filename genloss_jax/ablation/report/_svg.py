"""Figures as SVG inside a page: they take its colours and its font, and each says what it shows."""

import html
import io
import re
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Roles of colours. Series are those of Okabe and Ito, darkened or lightened until each stands out from its background.
LIGHT = {
    "background": "#ffffff",
    "surface": "#f5f7f9",
    "ink": "#1c2128",
    "muted": "#59636e",
    "line": "#d1d9e0",
    "bad": "#b3261e",
    "series-0": "#0072b2",
    "series-1": "#c75000",
    "series-2": "#00805e",
    "series-3": "#a8437f",
    "series-4": "#856a00",
    "series-5": "#5a55c4",
}
DARK = {
    "background": "#14171c",
    "surface": "#1e2329",
    "ink": "#e6e9ec",
    "muted": "#9ea8b3",
    "line": "#373f49",
    "bad": "#ff8a80",
    "series-0": "#56b4e9",
    "series-1": "#ff9a52",
    "series-2": "#2fc79a",
    "series-3": "#ec90c4",
    "series-4": "#e6c84c",
    "series-5": "#a5a8ff",
}
SERIES = tuple(LIGHT[name] for name in LIGHT if name.startswith("series"))

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 12,
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.edgecolor": LIGHT["line"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LIGHT["line"],
    "ytick.color": LIGHT["line"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["ink"],
    "grid.color": LIGHT["line"],
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def new(width: int, height: int) -> Figure:
    """Open a figure of a size in pixels, outside pyplot: no global state, and no display."""
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def standalone(figure: Figure, name: str) -> str:
    """Write a figure as an SVG document in the light colours.

    Args:
        figure: drawn with `STYLE`.
        name: makes the same figure the same text, and its identifiers its own.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return buffer.getvalue()


def inline(figure: Figure, name: str, title: str) -> str:
    """Write a figure as an SVG element whose colours are the page's variables.

    Args:
        figure: drawn with `STYLE` and the colours of `LIGHT`.
        name: unique on the page.
        title: what the figure shows, for those who do not see it.
    """
    text = standalone(figure, name)
    text = re.sub(r"<!--.*?-->|<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    referenced = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in referenced else "", text)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text).replace("xlink:href", "href")
    text = re.sub(r' (?:d|x|y|transform|points)="[^"]*"', _shortened, text)
    for role, colour in LIGHT.items():
        text = text.replace(colour, f"var(--{role})")
    text = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif", "var(--font)", text)
    width, height = figure.bbox.size
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width: {width:g}px" role="img" '
        f'aria-labelledby="{name}-title"><title id="{name}-title">{html.escape(title)}</title>'
    )
    text = re.sub(r"<svg.*?>", lambda _: opening, text, count=1, flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", text)


def _shortened(attribute: re.Match) -> str:
    """Round the coordinates of an attribute to hundredths of a pixel."""
    return re.sub(r"\d+\.\d{3,}", lambda digits: f"{float(digits[0]):.2f}".rstrip("0").rstrip("."), attribute[0])
