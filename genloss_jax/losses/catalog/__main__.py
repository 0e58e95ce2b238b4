"""Print the catalog: `python -m genloss_jax.losses.catalog [--name hinge | --markdown]`."""

import argparse
import sys
from collections.abc import Sequence

from genloss_jax.losses import catalog
from genloss_jax.losses.catalog import _text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table of all losses, one card whole, or the catalog page; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m genloss_jax.losses.catalog", description="Print the loss catalog.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--name", help="print this loss's card whole")
    choice.add_argument("--markdown", action="store_true", help="print the page docs/catalog.md")
    options = parser.parse_args(arguments)
    if options.name is not None:
        try:
            print(_text.whole(catalog.card(options.name)))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    elif options.markdown:
        print(_text.page(catalog.cards()), end="")
    else:
        print(_text.table(catalog.cards()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
