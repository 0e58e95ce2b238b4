"""Write the page on stability and its picture: `python -m genloss_jax.ablation.stability --out=docs`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from genloss_jax.ablation.stability._page import page
from genloss_jax.ablation.stability._picture import picture
from genloss_jax.training import pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """Write stability.md and stability.png; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m genloss_jax.ablation.stability", description="Write the page on stability and its picture."
    )
    parser.add_argument("--out", default="docs", help="directory to write to")
    out = Path(parser.parse_args(arguments).out)
    pictures.save_png(out / "stability.png", picture())
    (out / "stability.md").write_text(page(), encoding="utf-8")
    print(f"page: {out / 'stability.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
