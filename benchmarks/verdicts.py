"""How often is the verdict of a study right? Simulated studies whose truth is known.

    python -m benchmarks.verdicts

A verdict is right

- `same`, of entries that are one loss under many names, with noise of its own in every seed: if it claims nothing;
- `planted`, where one entry is better than every other by four standard errors of the paired mean difference: if it
  says so, and of all others;
- `ladder`, where each further entry is another standard error behind, as entries usually are: likewise;
- `uneven`, as `same`, but only the first entry has cells to choose from: if it claims nothing.

With more than one cell, an entry chooses among settings that differ by less than the noise of a seed, which is where
choosing flatters most. Noise is Gaussian, or has the heavy tails of Student's t with three degrees of freedom.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from absl import flags

from benchmarks import _measure
from genloss_jax.ablation import Results, statistics

PLANTED = 4.0  # standard errors of a paired mean difference
NOISES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": lambda rng, shape: rng.normal(size=shape),
    "heavy": lambda rng, shape: rng.standard_t(3, size=shape) / np.sqrt(3.0),  # of variance 1
}
TRUTHS = ("same", "planted", "ladder", "uneven")


def run(
    seeds: Iterable[int] = (5, 10, 20),
    entries: Iterable[int] = (2, 5, 15),
    cells: Iterable[int] = (3, 12),
    *,
    repetitions: int = 4000,
    spread: float = 0.3,
) -> list[dict[str, Any]]:
    """Simulate and print.

    Args:
        seeds: numbers of seeds.
        entries: numbers of entries, with one cell each.
        cells: numbers of cells of two entries.
        repetitions: studies for each row with two entries of one cell; for the others, which take longer, fewer.
        spread: of the means of an entry's cells, in standard deviations of the noise of a seed.

    Returns:
        A row for each kind of study: the share of right verdicts, with its standard error.
    """
    rows = []
    for num_seeds in seeds:
        for noise in NOISES:
            for num_entries in entries:
                num = repetitions if num_entries == 2 else -(-repetitions // 4)
                truths = ("same", "planted", "ladder") if num_entries > 2 else ("same", "planted")
                rows += [_row(truth, num_seeds, num_entries, 1, noise, spread, num) for truth in truths]
        for num_cells in cells:
            truths = ("same", "planted", "uneven")
            num = -(-repetitions // 8)
            rows += [_row(truth, num_seeds, 2, num_cells, "gaussian", spread, num) for truth in truths]
    return rows


def right(
    truth: str,
    num_seeds: int,
    num_entries: int,
    num_cells: int,
    noise: str,
    spread: float,
    rng: np.random.Generator,
) -> bool:
    """Simulate one study, and say whether its verdict is right."""
    behind = np.arange(num_entries)
    better = {"planted": PLANTED * (behind > 0), "ladder": (behind > 0) * (PLANTED - 1.0 + behind)}
    settings = np.sort(spread * rng.normal(size=num_cells))
    means = np.sqrt(2.0 / num_seeds) * better.get(truth, 0.0 * behind)[:, None] + settings - settings[0]
    values = means + NOISES[noise](rng, (num_seeds, num_entries, num_cells))
    if truth == "uneven":
        values[:, 1:, 1:] = np.nan
    found = (
        statistics.verdict(pd.DataFrame(values[..., 0]), "lower")
        if num_cells == 1
        else statistics.verdict_of(study(values))
    )
    if truth in better:
        return found.apart and found.leader == 0
    return len(found.rivals) == num_entries - 1


def study(values: np.ndarray) -> Results:
    """Make the results of a study with one evaluation from values `[seeds, entries, cells]`; NaN is left out."""
    places = dict(zip(("seed", "entry", "cell"), np.nonzero(~np.isnan(values)), strict=True))
    table = pd.DataFrame(places).assign(step=1, metric="distance", value=values[~np.isnan(values)])
    description = {
        "axes": ["entry", "cell", "seed"],
        "compare": "entry",
        "metric": "distance",
        "directions": {"distance": "lower"},
    }
    return Results(description, table, pd.DataFrame(), {})


def _row(truth, num_seeds, num_entries, num_cells, noise, spread, repetitions):
    rng = np.random.default_rng([TRUTHS.index(truth), num_seeds, num_entries, num_cells, list(NOISES).index(noise)])
    case = (truth, num_seeds, num_entries, num_cells, noise, spread, rng)
    share = np.mean([right(*case) for _ in range(repetitions)])
    row = {
        "truth": truth,
        "noise": noise,
        "seeds": num_seeds,
        "entries": num_entries,
        "cells": num_cells,
        "spread": spread if num_cells > 1 else "",
        "right": f"{share:.4f}",
        "standard_error": f"{np.sqrt(share * (1.0 - share) / repetitions):.4f}",
        "repetitions": repetitions,
    }
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def main() -> None:
    """Simulate what the flags say, and write the table."""
    values = flags.FLAGS
    rows = run([int(num) for num in values.seeds], repetitions=values.repetitions, spread=values.spread)
    _measure.write_table(values.output, [{**row, "device": _measure.device()} for row in rows])
    print(values.output)


if __name__ == "__main__":
    from experiments import command

    flags.DEFINE_list("seeds", ["5", "10", "20"], "Numbers of seeds, with commas between them.")
    flags.DEFINE_integer("repetitions", 4000, "Simulated studies of the quickest kind.", 1)
    flags.DEFINE_float("spread", 0.3, "Of the means of an entry's cells, in standard deviations of the noise.", 0.0)
    flags.DEFINE_string("output", "benchmarks/results/verdicts.csv", "Path of the table.")
    command.start(lambda _: main())
