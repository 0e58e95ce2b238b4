"""From a config to everything that a run needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from genloss_jax import data, objectives
from genloss_jax.training import anneal, optimizers, parallel
from genloss_jax.training.step import TrainState, make_step


class Setup(NamedTuple):
    """What a config describes.

    Attributes:
        dataset: the data.
        objective: the family, its networks and losses.
        init: `(key, batch, hyper) -> TrainState`.
        step: `(state, batch) -> (state, metrics)`.
        hyper: the traced scalars.
        batch_size: examples per step: those of one move, times the moves of the busiest player.
        placement: on which devices a run lies.
    """

    dataset: data.Dataset
    objective: objectives.Objective
    init: Callable[..., TrainState]
    step: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
    hyper: dict[str, float]
    batch_size: int
    placement: parallel.Placement

    def stream(self, seed: int) -> data.BatchStream:
        """Open the training batches at their beginning; of several processes each reads its own rows of them."""
        rows = self.placement.rows(self.batch_size)
        return data.stream(self.dataset.train, batch_size=self.batch_size, seed=seed, rows=rows)

    def state(self, seed: int) -> TrainState:
        """Start a run. The parameters depend on the seed alone, not on the data's order."""
        batches = data.stream(self.dataset.train, batch_size=self.batch_size, seed=0)
        example = jax.tree.map(lambda leaf: leaf[0], batches.read(1))
        return self.placement.start(self.init)(jax.random.key(seed), example, self.hyper)


def from_config(
    config: Any, dataset: data.Dataset | None = None, *, placement: parallel.Placement | None = None
) -> Setup:
    """Build what a config describes.

    Args:
        config: see `configs/base.py`.
        dataset: that of `config.data`, where it is at hand already.
        placement: where a run lies; None for what `config.parallel` says.

    Raises:
        ValueError: if a name is unknown, or options do not fit each other or the data.
    """
    dataset = data.load(config.data) if dataset is None else dataset
    objective, hyper = objectives.from_config(config, dataset)
    if set(config.players) != set(objective.losses):
        raise ValueError(
            f"config.players names {sorted(config.players)}, but the players of family {config.family!r} "
            f"are {list(objective.losses)}"
        )
    rules, optimizer_hyper = optimizers.from_config(config)
    schedule, schedule_hyper = anneal.from_config(config, hyper | optimizer_hyper)
    placement = placement or parallel.from_config(config)
    init, step = make_step(objective, rules, schedule, micro_batches=config.parallel.micro_batches)
    moves = max(player.moves for player in config.players.values())
    return Setup(
        dataset=dataset,
        objective=objective,
        init=init,
        step=step,
        hyper=hyper | optimizer_hyper | schedule_hyper,
        batch_size=config.data.batch_size * moves,
        placement=placement,
    )
