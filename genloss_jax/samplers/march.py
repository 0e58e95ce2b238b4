"""March a state through given times: what the solvers of differential equations share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


class MarchState(NamedTuple):
    """Where a march is.

    Attributes:
        x: array or pytree of arrays.
        position: index of the time that it stands at.
    """

    x: Any
    position: Int[Array, ""]


class MarchInfo(NamedTuple):
    """What a step tells of itself.

    Attributes:
        t: the time that it reached.
        change: root mean square of what it added to x.
    """

    t: Float[Array, ""]
    change: Float[Array, ""]


MarchStep = Callable[[PRNGKeyArray, MarchState], tuple[MarchState, MarchInfo]]
"""Goes to the next time; pure."""


def start(x: Any) -> MarchState:
    """Stand at the first time."""
    return MarchState(x, jnp.zeros((), jnp.int32))


def stepper(
    move: Callable[[PRNGKeyArray, Any, Float[Array, ""], Float[Array, ""]], Any], times: Float[Array, " times"]
) -> MarchStep:
    """Make a step of a rule that goes from any time to any other.

    Args:
        move: `(key, x, t, next_t) -> x at next_t`.
        times: `[N + 1]` for N steps, rising or falling.

    Returns:
        The step, to be taken at most N times.

    Raises:
        ValueError: if there are fewer than two times.
    """
    if times.ndim != 1 or times.shape[0] < 2:
        raise ValueError(f"times must be a vector of at least two times, got shape {times.shape}")

    def step(key: PRNGKeyArray, state: MarchState) -> tuple[MarchState, MarchInfo]:
        position = state.position + 1
        t, next_t = times[state.position], times[position]
        x = move(key, state.x, t, next_t)
        change = jax.tree.map(lambda new, old: new - old, x, state.x)
        return MarchState(x, position), MarchInfo(next_t, _root_mean_square(change))

    return step


def _root_mean_square(tree: Any) -> Float[Array, ""]:
    leaves = jax.tree.leaves(tree)
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in leaves) / sum(leaf.size for leaf in leaves))
