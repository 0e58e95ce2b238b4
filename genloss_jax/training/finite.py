"""Which step, and which term of it, was the first that is not a finite number."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genloss_jax.objectives.objective import Metrics
from genloss_jax.training.step import TrainState


class Fault(NamedTuple):
    """What broke.

    Attributes:
        term: the metric that was not finite; or, where all metrics were, the array of the state.
        step: the step that computed it, counted from 1; for an array of the state the step at which it was found.
    """

    term: str
    step: int


class NonFiniteError(ArithmeticError):
    """A run stopped because a number was not finite, and its policy did not let it go on.

    Attributes:
        term: as in `Fault`.
        step: as in `Fault`.
        checkpoint: step of the last good checkpoint, or None where there is none.
    """

    def __init__(self, fault: Fault, checkpoint: int | None, why: str = ""):
        self.term, self.step = fault
        self.checkpoint = checkpoint
        good = "there is no checkpoint" if checkpoint is None else f"the last good checkpoint is of step {checkpoint}"
        super().__init__(f"{self.term} is not finite at step {self.step}{why}; {good}")


class Watch(NamedTuple):
    """What a dispatch of several steps remembers about its metrics: int32 scalars, carried on the device.

    Attributes:
        now: steps taken.
        step: the first step at which metrics had been non-finite `patience` times in a row; 0 while there is none.
        term: index of the first non-finite metric of that step, in the order in which the step computed them.
        bad: how many steps had a non-finite metric.
        in_a_row: how many of them were the newest steps.
    """

    now: jax.Array
    step: jax.Array
    term: jax.Array
    bad: jax.Array
    in_a_row: jax.Array

    @classmethod
    def start(cls, now: int, bad: int = 0, in_a_row: int = 0) -> "Watch":
        """Begin to watch after `now` steps."""
        return cls(*(jnp.asarray(value, jnp.int32) for value in (now, 0, 0, bad, in_a_row)))

    def look(self, metrics: Metrics, patience: int) -> "Watch":
        """Take note of the metrics of the next step."""
        finite = jnp.stack([jnp.all(jnp.isfinite(value)) for value in metrics.values()])
        bad = ~jnp.all(finite)
        in_a_row = jnp.where(bad, self.in_a_row + 1, 0)
        now = self.now + 1
        first = (in_a_row >= patience) & (self.step == 0)
        return Watch(
            now=now,
            step=jnp.where(first, now, self.step),
            # Terms of a loss are computed before the loss, and the loss before its gradient: the first is the cause.
            term=jnp.where(first, jnp.argmin(finite).astype(jnp.int32), self.term),
            bad=self.bad + bad,
            in_a_row=in_a_row,
        )


def broken_leaf(state: TrainState) -> str | None:
    """Name the first array of a state that is broken.

    Parameters and averages must be finite. Optimiser state and `aux` must not hold NaN: infinity is a usual start of
    a running minimum.

    Args:
        state: the state of one run, or of several.

    Returns:
        The path of an array, such as `.params['model']['kernel']`, or None where the state is sound.
    """
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    sound = jax.device_get(_sound(state))
    return next((path for path, ok in zip(paths, sound, strict=True) if not ok), None)


@jax.jit
def _sound(state: TrainState) -> list[jax.Array]:
    def finite(leaf: Any) -> jax.Array:
        return jnp.all(jnp.isfinite(leaf)) if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.array(True)

    def number(leaf: Any) -> jax.Array:
        return ~jnp.any(jnp.isnan(leaf)) if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.array(True)

    checked = {
        name: jax.tree.map(finite if name in ("params", "ema") else number, field)
        for name, field in state._asdict().items()
    }
    return jax.tree.leaves(TrainState(**checked))


def broken_members(states: TrainState) -> list[str | None]:
    """Name for each of several vmapped members the first array of its state that is broken, as `broken_leaf` does.

    Args:
        states: leaves `[members, ...]`; `hyper` is not looked at.
    """
    states = states._replace(hyper={})
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(states)]
    sound = np.stack(jax.device_get(_sound_members(states)))
    return [None if own.all() else paths[int(np.argmin(own))] for own in sound.T]


_sound_members = jax.jit(jax.vmap(lambda states: _sound(states)))
