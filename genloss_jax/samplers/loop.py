"""What a sampler is: a pure step `(key, state) -> (state, info)`, and the loop that takes many."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

State = TypeVar("State")
Info = TypeVar("Info")

Step = Callable[[PRNGKeyArray, Any], tuple[Any, Any]]
"""Maps a key and a state to the next state and what there is to tell of the step; pure."""


def run(
    step: Callable[[PRNGKeyArray, State], tuple[State, Info]], key: PRNGKeyArray, state: State, num_steps: int
) -> tuple[State, Info]:
    """Take several steps in one compiled loop.

    Args:
        step: `(key, state) -> (state, info)`.
        key: step i uses `fold_in(key, i)`.
        state: where to begin.
        num_steps: how many steps.

    Returns:
        The last state, and the information of all steps, stacked: `[num_steps, ...]`.
    """

    def body(state, index):
        return step(jax.random.fold_in(key, index), state)

    return jax.lax.scan(body, state, jnp.arange(num_steps))
