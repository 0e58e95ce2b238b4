"""How well does a config learn a plane distribution, over many seeds?

    python -m benchmarks.plane --config=configs/r3gan_ring.py --seeds=10

Trains one member per seed, several at once by `vmap`. Each is the run that `experiments.train --config.seed=<seed>`
makes: its own parameters, its own batches, the same schedule, sampled with the averaged parameters. Prints the mean of
every metric with its standard error over seeds, beside what real examples get, and adds a row per seed to the table.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import _measure
from genloss_jax import metrics, training
from genloss_jax.metrics.statistics import mean_and_standard_error
from genloss_jax.training import loop

# Apart from the keys of training, which are made of the same seeds.
_SAMPLES = 0x706C616E


def run(
    config: Any,
    seeds: Sequence[int],
    *,
    members: int = 5,
    evaluations: int = 1,
    label: str = "",
    overrides: str = "",
    note: Callable[[str], object] = print,
    keep: Callable[[list[dict[str, Any]]], object] = lambda rows: None,
    advance: Callable[[int], object] = lambda steps: None,
) -> list[dict[str, Any]]:
    """Train and evaluate a config with many seeds.

    Args:
        config: see `configs/base.py`. Its own `seed` is not used.
        seeds: one per member.
        members: how many are trained at once. More share the cost of a dispatch until they fall out of cache.
        evaluations: how often each member is evaluated, at equal distances; the last time at the end.
        label: the config's name, for the table.
        overrides: what was changed in it, for the table.
        note: takes a line of progress at a time.
        keep: takes the rows of each group of members as it ends, so that a long study loses nothing if it is killed.
        advance: takes how many steps a group has just taken; each group takes `total_steps`.

    Returns:
        One row per seed and evaluation.

    Raises:
        ValueError: if the config does not hold together, or a count is out of range.
    """
    for name, value in (("seeds", len(seeds)), ("members", members), ("evaluations", evaluations)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    setup = training.from_config(config)
    total_steps = config.training.total_steps
    if evaluations > total_steps:
        raise ValueError(f"evaluations must be at most total_steps={total_steps}, got {evaluations}")
    evaluator = metrics.evaluator(setup.dataset, config)
    per_dispatch = config.training.steps_per_dispatch or loop.AUTOMATIC_STEPS
    stops = [round(total_steps * (index + 1) / evaluations) for index in range(evaluations)]
    rows: list[dict[str, Any]] = []
    for first in range(0, len(seeds), members):
        group = list(seeds[first : first + members])
        began = time.perf_counter()
        for step, states in train(setup, group, stops, per_dispatch, advance):
            seconds = time.perf_counter() - began
            values = evaluate(setup, evaluator, states, group)
            for seed, own in zip(group, values, strict=True):
                rows.append(
                    {
                        "config": label,
                        "overrides": overrides,
                        "loss": config.loss,
                        "total_steps": total_steps,
                        "step": step,
                        "seed": seed,
                        **{name: f"{value:.6g}" for name, value in own.items()},
                        "seconds": f"{seconds:.1f}",
                        "members": len(group),
                        "device": _measure.device(),
                        "jax": jax.__version__,
                    }
                )
            means = {name: np.mean([own[name] for own in values]) for name in evaluator.directions}
            text = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
            keep(rows[-len(group) :])
            note(f"seeds {group[0]}..{group[-1]} step {step}/{total_steps}, {seconds:.0f} s: {text}")
    return rows


def train(
    setup: training.Setup,
    seeds: Sequence[int],
    stops: Sequence[int],
    steps_per_dispatch: int,
    advance: Callable[[int], object] = lambda steps: None,
) -> Iterator[tuple[int, training.TrainState]]:
    """Train one member per seed, together.

    Args:
        setup: what to train.
        seeds: one per member: of its parameters, as in `Setup.state`, and of its batches, as in `Setup.stream`.
        stops: when to hand over, ascending.
        steps_per_dispatch: steps in one call of the program.
        advance: takes the number of steps of each call as it ends.

    Yields:
        `(step, states)` at each stop, the leaves of the states with a leading axis of members. They are consumed by
        what follows: use them before asking for the next.
    """
    streams = [setup.stream(seed) for seed in seeds]
    # As `Setup.state`: the shapes come from one fixed batch, so that parameters depend on the seed alone.
    example = jax.tree.map(lambda leaf: leaf[0], setup.stream(0).read(1))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    states = jax.jit(jax.vmap(setup.init, (0, None, None)))(keys, example, setup.hyper)
    one = jax.vmap(setup.step)

    @partial(jax.jit, donate_argnums=0)
    def several(states, batches):
        return jax.lax.scan(lambda states, batch: (one(states, batch)[0], None), states, batches)[0]

    step = 0
    for stop in stops:
        while step < stop:
            length = min(steps_per_dispatch, stop - step)
            own = [stream.read(length) for stream in streams]
            states = several(states, jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *own))
            jax.block_until_ready(states)
            step += length
            advance(length)
        yield step, states


def evaluate(
    setup: training.Setup, evaluator: metrics.Evaluator, states: training.TrainState, seeds: Sequence[int]
) -> list[dict[str, float]]:
    """Measure each member's samples, which are drawn from its averaged parameters and from latents of its own."""
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(_SAMPLES), seed))(jnp.asarray(seeds, jnp.uint32))
    sample = partial(setup.objective.sample, num=evaluator.num_samples)
    samples = jax.jit(jax.vmap(sample))(training.sampling_params(states), states.aux, keys)
    return [evaluator.evaluate(own) for own in np.asarray(samples)]


def summary(rows: Sequence[dict[str, Any]], evaluator: metrics.Evaluator) -> str:
    """Lay out means over seeds with their standard errors, at the last step, beside what real examples get."""
    last = [row for row in rows if row["step"] == max(row["step"] for row in rows)]
    values: dict[str, float] = {}
    for name in evaluator.directions:
        mean, error = mean_and_standard_error([float(row[name]) for row in last])
        values |= {name: mean, name + metrics.STANDARD_ERROR: error}
    return f"{len(last)} seeds, {last[0]['step']} steps\n{metrics.table(values, evaluator)}"


def main() -> None:
    """Train what the flags say, print the table, and add to the file."""
    values = flags.FLAGS
    if values.config is None:
        raise ValueError("--config is missing; try --config=configs/r3gan_ring.py")
    config = values.config
    overrides = config_flags.get_override_values(values["config"])
    groups = math.ceil(values.seeds / values.members)
    with Progress(TextColumn("steps"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("steps", total=groups * config.training.total_steps)
        rows = run(
            config,
            range(values.first_seed, values.first_seed + values.seeds),
            members=values.members,
            evaluations=values.evaluations,
            label=config_flags.get_config_filename(values["config"]),
            overrides=json.dumps(overrides, sort_keys=True) if overrides else "",
            note=partial(progress.console.print, markup=False, highlight=False, soft_wrap=True),
            keep=partial(_measure.append_table, values.output),
            advance=partial(progress.advance, task),
        )
    print(summary(rows, metrics.evaluator(training.from_config(config).dataset, config)))
    print(values.output)


if __name__ == "__main__":
    from experiments import command

    config_flags.DEFINE_config_file("config", None, "What to train, such as configs/r3gan_ring.py.")
    flags.DEFINE_integer("seeds", 10, "How many seeds to train.", 1)
    flags.DEFINE_integer("first_seed", 0, "The first of them; the others follow.", 0)
    flags.DEFINE_integer("members", 5, "How many are trained at once.", 1)
    flags.DEFINE_integer(
        "evaluations", 1, "How often each is evaluated, at equal distances, the last time at the end.", 1
    )
    flags.DEFINE_string("output", "benchmarks/results/plane.csv", "Path of the table that rows are added to.")
    command.start(lambda _: main())
