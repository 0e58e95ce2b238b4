"""What one way of diffusion is to the objective: how data become noise, what is learned, and the way back."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

from genloss_jax import _parts as parts
from genloss_jax.objectives.objective import Hyper

NetworkFn = Callable[..., jax.Array]
"""`(x [B, ...], level [B], ...) -> [B, ...]`."""


class Process(NamedTuple):
    """How data become noise, what a network learns of it, and what its output says.

    Time runs from noise at t = 0 to data at t = 1, at the pace of the solver: x_t = α(t) data + σ(t) noise.

    Attributes:
        loss: `(network_fn, key, data [B, ...], hyper) -> [B]`, where `network_fn(x [B, ...], level [B], ...)`.
        coefficients: `t -> (α, σ)`, entry by entry, differentiable.
        predict: `(network_fn, x_t [B, ...], t [B]) -> (data, noise)`, each `[B, ...]`, what both are expected to be;
            None where the network leaps instead.
        leap: `(network_fn, key, x_t, t [B], next_t [B]) -> x at next_t`, however far that is; None where there is an
            ODE to be solved.
        bound: `(network_fn, key, data [B, ...]) -> [B]`, an upper bound on -log p(data) in nats, in its mean over the
            key; None where the likelihood is the ODE's, or there is none.
        hyper: the traced scalars that `loss` reads, and their values where nothing else is said.
        num_levels: how many numbers tell the network where an example is.
        gaussian: whether the noise is independent of the data, so that the process can be run back with fresh noise.
    """

    loss: Callable[[NetworkFn, jax.Array, jax.Array, Hyper], jax.Array]
    coefficients: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    predict: Callable[[NetworkFn, jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None
    leap: Callable[[NetworkFn, jax.Array, jax.Array, jax.Array, jax.Array], jax.Array] | None = None
    bound: Callable[[NetworkFn, jax.Array, jax.Array], jax.Array] | None = None
    hyper: Mapping[str, float] = {}
    num_levels: int = 1
    gaussian: bool = True


def normal(key: jax.Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike) -> jax.Array:
    """Draw standard normal noise for examples."""
    return parts.draw(flat_normal, key, shape, dtype)


def flat_normal(key: jax.Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike) -> jax.Array:
    """Draw standard normal noise."""
    # A flat draw is bitwise the same, and compiles several times faster on CPU.
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def scale(numbers: jax.Array, examples: jax.Array) -> jax.Array:
    """Multiply each example by a number of its own."""
    return numbers.reshape(numbers.shape + (1,) * (examples.ndim - 1)) * examples
