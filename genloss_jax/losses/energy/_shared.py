"""What the losses of energies share: how an energy is evaluated, and checks of what comes in and out."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses._shared import Scalar

EnergyFn = Callable[[Float[Array, "batch ..."]], Float[Array, " batch"]]
"""Maps a batch of points to one energy per example, low on data."""

ScoreFn = Callable[[Float[Array, "batch ..."]], Float[Array, "batch ..."]]
"""Maps a batch of points to ∇ log p of each; for an energy it is -∇E."""

PerExample = Scalar | Float[Array, " batch"]
"""A hyperparameter for all examples, or one for each."""


def evaluate(energy_fn: EnergyFn, x: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Return the energies of a batch, and raise unless they are one per example."""
    energies = energy_fn(x)
    if jnp.shape(energies) != x.shape[:1]:
        raise ValueError(
            f"energy_fn must map points of shape {x.shape} to one energy per example, shape {x.shape[:1]}; "
            f"it returned {jnp.shape(energies)}."
        )
    return energies


def evaluate_draws(energy_fn: EnergyFn, x: Float[Array, "draws batch *event"]) -> Float[Array, "draws batch"]:
    """Return the energies of several draws for each example, all from one call."""
    return evaluate(energy_fn, x.reshape(-1, *x.shape[2:])).reshape(x.shape[:2])


def for_each_example(value: PerExample, x: Float[Array, "batch *event"], name: str) -> Float[Array, "..."]:
    """Give a hyperparameter the axes of `x`, so that it multiplies each example by its own value."""
    value = jnp.asarray(value, x.dtype)
    if value.shape not in ((), x.shape[:1]):
        raise ValueError(f"{name} must be a scalar or of shape {x.shape[:1]}; got shape {value.shape}.")
    return value.reshape(value.shape + (1,) * (x.ndim - 1) if value.ndim else (1,) * x.ndim)
