"""What the samplers of energies share. Energies are low where the density is high: p(x) ∝ exp(-E(x))."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from genloss_jax import _parts as parts

EnergyFn = Callable[[Float[Array, "chains ..."]], Float[Array, " chains"]]
"""Maps a batch of points, one for each chain, to the energy of each."""


class TransitionInfo(NamedTuple):
    """What a step of several chains tells of itself.

    Attributes:
        acceptance: `[B]`, the probability with which each chain's move was accepted; 1 where none is ever rejected.
    """

    acceptance: Float[Array, " chains"]


def energy_and_gradient(energy_fn: EnergyFn, x: Array) -> tuple[Array, Array]:
    """Evaluate the energies `[B]` and the gradient of each at its own point, in the shape of `x`."""
    energy, pullback = jax.vjp(energy_fn, x)
    if energy.shape != x.shape[:1]:
        raise ValueError(
            f"energy_fn must map points of shape {x.shape} to one energy per chain, shape {x.shape[:1]}; "
            f"it returned {energy.shape}"
        )
    # Chains do not see each other, so that one pullback of ones gives every chain its own gradient.
    (gradient,) = pullback(jnp.ones_like(energy))
    return energy, gradient


def normal_like(key: PRNGKeyArray, x: Array) -> Array:
    """Draw standard normal noise in the shape of `x`."""
    # A flat draw is bitwise the same as a draw of rank 4, and compiles several times faster on CPU.
    return parts.draw(jax.random.normal, key, (x.size,), x.dtype).reshape(x.shape)


def squared_norm(x: Float[Array, "chains ..."]) -> Float[Array, " chains"]:
    """Sum the squares of each chain over all its axes."""
    return jnp.sum(jnp.square(x), axis=tuple(range(1, x.ndim)))


def for_each_chain(values: Shaped[Array, " chains"], x: Array) -> Array:
    """Give one value per chain as many axes as `x` has."""
    return values.reshape(values.shape + (1,) * (x.ndim - 1))


def check_positive(name: str, value: object) -> None:
    """Raise if `value` is a plain number that is not above zero; a traced value passes."""
    if isinstance(value, int | float) and not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
