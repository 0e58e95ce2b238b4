"""Cards as text: a table, one card whole, the catalog page."""

from collections.abc import Iterable

from genloss_jax.losses.catalog._card import LossCard

_FIELDS = ("equation", "unit", "kind", "conventions", "minimised_by", "reference", "proof")
_PAGE_HEAD = """# Catalog of losses

Generated from the cards in `genloss_jax/losses/catalog/` by `python -m genloss_jax.losses.catalog --markdown >
docs/catalog.md`; do not edit. Each card names the test that fails when the loss's sign is flipped or a factor 2 is put
on its value; `python tests/mutation.py` tries both on every one of them. Conventions: [conventions.md](conventions.md).
"""


def table(cards: Iterable[LossCard]) -> str:
    """Lay out name, family, what the loss is minimised by, and kind, one card per line."""
    rows = [("name", "family", "kind", "minimised by")]
    rows += [(card.name, card.family, card.kind, " ".join(card.minimised_by.split())) for card in cards]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[3]]) for row in rows)


def whole(card: LossCard) -> str:
    """Lay out one card with all its fields."""
    width = max(map(len, _FIELDS))
    fields = (f"  {field.replace('_', ' ').ljust(width)}  {_one_line(card, field)}" for field in _FIELDS)
    return "\n".join([f"{card.family}.{card.name}", *fields])


def page(cards: Iterable[LossCard]) -> str:
    """Lay out the catalog page in Markdown: a table per family, then each card whole."""
    cards = tuple(cards)
    parts = [_PAGE_HEAD]
    for family in dict.fromkeys(card.family for card in cards):
        members = [card for card in cards if card.family == family]
        parts.append(f"## {family}\n")
        parts.append("| loss | minimised by | kind | unit |\n| --- | --- | --- | --- |")
        for card in members:
            texts = (_cell(card, field) for field in ("minimised_by", "kind", "unit"))
            parts.append(f"| [{card.name}](#{card.name}) | {' | '.join(texts)} |")
        parts.append("")
        for card in members:
            parts.append(f"### {card.name}\n\n```\n{_one_line(card, 'equation')}\n```\n")
            parts += [f"- {field.replace('_', ' ')}: {_one_line(card, field)}" for field in _FIELDS[1:-1]]
            parts.append(f"- proof: `{card.proof}`\n")
    return "\n".join(parts)


def _one_line(card, field):
    return " ".join(getattr(card, field).split())


def _cell(card, field):
    return _one_line(card, field).replace("|", "\\|")
