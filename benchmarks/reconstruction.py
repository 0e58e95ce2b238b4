"""What does a game cost an autoencoder in reconstruction, and what does it gain in samples?

    python -m benchmarks.reconstruction --seeds=3

Trains `configs/vae.py`, `configs/vae_gan.py`, and the same networks as the latter as a plain autoencoder: without the
game and the features, reconstructing pixels. Each member is the run that `experiments.train --config.seed=<seed>`
makes. Prints mean and standard error over seeds of the reconstruction of held-out digits, in pixels and in the features
of the evaluation's classifier, and of the samples, beside what real examples get. Adds a row per seed to the table.
"""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks import _measure, plane
from experiments import examine
from genloss_jax import metrics, training
from genloss_jax.metrics.statistics import mean_and_standard_error

# name -> config, and what is changed in its block
CONTESTANTS: dict[str, tuple[str, dict[str, float]]] = {
    "vae": ("vae", {}),
    "vae_gan without its game": (
        "vae_gan",
        {"adversarial_weight": 0.0, "feature_weight": 0.0, "pixel_weight": 1.0},
    ),
    "vae_gan": ("vae_gan", {}),
}


def contestant(name: str, variant: str = "") -> Any:
    """Give the config of a contestant."""
    config_name, overrides = CONTESTANTS[name]
    config = importlib.import_module(f"configs.{config_name}").get_config(variant)
    config.adversarial_autoencoder.update(overrides)
    return config


def run(
    configs: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    note: Callable[[str], object] = print,
    keep: Callable[[list[dict[str, Any]]], object] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Train and measure each config with each seed, all seeds of a config at once.

    Args:
        configs: contestant -> config, see `configs/base.py`. The configs' own `seed` is not used.
        seeds: one per member.
        note: takes a line of progress at a time.
        keep: takes the rows of each config as it ends.

    Returns:
        One row per config and seed.

    Raises:
        ValueError: if there are no seeds, or a config does not hold together.
    """
    if not seeds:
        raise ValueError("seeds must be at least 1, got 0")
    rows: list[dict[str, Any]] = []
    for name, config in configs.items():
        setup = training.from_config(config)
        evaluator = training.evaluator(setup, config)
        look = examine.examiner(setup, evaluator, config)
        total_steps = config.training.total_steps
        began = time.perf_counter()
        ((_, states),) = plane.train(setup, seeds, [total_steps], config.training.steps_per_dispatch)
        seconds = time.perf_counter() - began
        for index, seed in enumerate(seeds):
            values, _ = look(jax.tree.map(lambda leaf, index=index: leaf[index], states))
            rows.append(
                {
                    "contestant": name,
                    "seed": seed,
                    "total_steps": total_steps,
                    **{metric: f"{value:.6g}" for metric, value in values.items()},
                    "seconds": f"{seconds:.1f}",
                    "members": len(seeds),
                    "device": _measure.device(),
                    "jax": jax.__version__,
                }
            )
        keep(rows[-len(seeds) :])
        note(summary(rows[-len(seeds) :], evaluator))
    return rows


def summary(rows: Sequence[Mapping[str, Any]], evaluator: metrics.Evaluator) -> str:
    """Lay out one contestant's means over seeds with their standard errors, beside what real examples get."""
    values: dict[str, float] = {}
    for name in evaluator.directions:
        if rows[0].get(name):
            mean, error = mean_and_standard_error(np.array([float(row[name]) for row in rows]))
            values |= {name: mean, name + metrics.STANDARD_ERROR: error}
    return f"{rows[0]['contestant']}, {len(rows)} seeds\n{metrics.table(values, evaluator)}\n"


def main() -> None:
    """Train what the flags say, print a table for each contestant, and add to the file."""
    values = flags.FLAGS
    run(
        {name: contestant(name) for name in values.contestants},
        range(values.seeds),
        keep=lambda rows: _measure.append_table(values.output, rows),
    )
    print(values.output)


if __name__ == "__main__":
    from experiments import command

    flags.DEFINE_integer("seeds", 3, "How many seeds to train.", 1)
    flags.DEFINE_multi_enum("contestants", list(CONTESTANTS), list(CONTESTANTS), "What to train; may be repeated.")
    flags.DEFINE_string("output", "benchmarks/results/reconstruction.csv", "Path of the table that rows are added to.")
    command.start(lambda _: main())
