"""A replay buffer: chains that go on where they stopped, and now and then begin anew."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.samplers._chains import for_each_chain
from genloss_jax.samplers.loop import Step, run


class ReplayInfo(NamedTuple):
    """What a visit to the buffer gives.

    Attributes:
        x: `[num, ...]`, the chains that were chosen, after their steps.
        fresh: `[num]`, which of them began anew.
        steps: information of the steps, stacked: `[num_steps, ...]`.
    """

    x: Array
    fresh: Bool[Array, " num"]
    steps: Any


def replay(
    step: Step,
    fresh_fn: Callable[[PRNGKeyArray, int], Array],
    *,
    num: int,
    num_steps: int,
    reinitialise: float | Array,
) -> Step:
    """Make a sampler of persistent chains: its state is the buffer, all chains `[N, ...]`.

    A visit chooses `num` different chains, lets each begin anew with a small probability, takes some steps with them,
    and puts them back.

    Args:
        step: `(key, x) -> (x, info)` of several chains at once.
        fresh_fn: `(key, num) -> [num, ...]`, where chains begin.
        num: chains per visit, at most N.
        num_steps: per visit.
        reinitialise: probability with which a chosen chain begins anew.

    Returns:
        `(key, buffer [N, ...]) -> (buffer, info)`. A first buffer is `fresh_fn(key, N)`.

    Raises:
        ValueError: if `num_steps` is not positive, or a plain `reinitialise` outside [0, 1]; and while tracing, if the
            buffer holds fewer than `num` chains.

    References:
        Tieleman 2008, Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient; Du and
        Mordatch 2019, Implicit Generation and Modeling with Energy-Based Models, section 3.2.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if isinstance(reinitialise, int | float) and not 0 <= reinitialise <= 1:
        raise ValueError(f"reinitialise must be a probability between 0 and 1, got {reinitialise}")

    def visit(key: PRNGKeyArray, buffer: Array) -> tuple[Array, ReplayInfo]:
        if buffer.shape[0] < num * parts.num_parts():
            raise ValueError(f"buffer must hold at least num={num * parts.num_parts()} chains, got {buffer.shape[0]}")
        choice_key, coin_key, fresh_key, run_key = jax.random.split(key, 4)

        def choose(key, shape):
            # Without replacement, so that no chain is put back twice.
            return jax.random.choice(key, buffer.shape[0], shape, replace=False)

        def toss(key, shape):
            return jax.random.bernoulli(key, reinitialise, shape)

        chosen = parts.draw(choose, choice_key, (num,))
        fresh = parts.draw(toss, coin_key, (num,))
        x = jnp.where(for_each_chain(fresh, buffer), fresh_fn(fresh_key, num), buffer[chosen])
        x, steps = run(step, run_key, x, num_steps)
        moved, places = (parts.whole(values, "a replay buffer") for values in (x, chosen))
        return buffer.at[places].set(moved), ReplayInfo(x, fresh, steps)

    return visit
