"""Look a name up in a table, with an error that helps."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

OR = "|"
"""Joins names of which a traced index chooses one."""


def hint(name: object, names: Iterable[str]) -> str:
    """Suggest the nearest of `names`, or say nothing where none is near."""
    near = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown(what: str, name: object, names: Iterable[str]) -> ValueError:
    """Make the error for a name that is not among `names`, with the nearest one that is."""
    names = sorted(names)
    return ValueError(f"unknown {what} {name!r}{hint(name, names) or ';'} valid: {', '.join(map(repr, names))}")


def look_up(what: str, name: str, table: Mapping[str, T]) -> T:
    """Return `table[name]`.

    Raises:
        ValueError: naming `what`, the name that came, the nearest valid one, and all of them.
    """
    if name not in table:
        raise unknown(what, name, table)
    return table[name]
