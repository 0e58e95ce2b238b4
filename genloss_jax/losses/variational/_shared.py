"""What all losses of latent-variable models share: checks, sums over latents, means of exponentials."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses._shared import Scalar as Scalar
from genloss_jax.losses._shared import at_least_float32 as at_least_float32
from genloss_jax.losses._shared import check_examples as check_examples
from genloss_jax.losses._shared import check_positive as check_positive
from genloss_jax.losses._shared import per_example as per_example


def check_axes(axes: str, **arrays: Array) -> None:
    """Raise unless all arrays have one axis for each of the comma-separated `axes`, and one shape."""
    rank = len(axes.split(","))
    for name, array in arrays.items():
        if jnp.ndim(array) != rank:
            raise ValueError(f"{name} must have shape [{axes}]; got shape {jnp.shape(array)}.")
        if 0 in jnp.shape(array):
            raise ValueError(f"{name} must have no empty axis of [{axes}]; got shape {jnp.shape(array)}.")
    check_examples(**arrays)


def sum_latents(values: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    """Sum each example over all its axes."""
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))


def straight_through(value: Array, surrogate: Array) -> Array:
    """Return `value` with the gradient of `surrogate`."""
    return jax.lax.stop_gradient(value) + (surrogate - jax.lax.stop_gradient(surrogate))


def bounded_exp(exponent: Float[Array, "..."], fraction: float = 1.0) -> Float[Array, "..."]:
    """Exponentiate, held just below the largest finite number to the power `fraction`, so that 0 times it is 0."""
    limit = 0.99 * fraction * math.log(jnp.finfo(exponent.dtype).max)
    return jnp.exp(jnp.minimum(exponent, limit))


def log_normal(z: Float[Array, "..."], mean: Float[Array, "..."], log_var: Float[Array, "..."]) -> Float[Array, "..."]:
    """Compute the log-density of each entry under its own Gaussian; the arrays broadcast."""
    # Precisions are held where the square of their largest is finite: far entries would else bring 0 · ∞ into the
    # gradient of a sum of exponentials.
    squares = jnp.square(z - mean) * bounded_exp(-log_var, 0.5)
    return -0.5 * (squares + log_var + math.log(2 * math.pi))


def log_mean_exp(log_values: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """Take the logarithm of the mean of exponentials, as exact for nearly equal values as for far ones."""
    largest = jax.lax.stop_gradient(jnp.max(log_values, axis=axis, keepdims=True))
    largest = jnp.where(jnp.isfinite(largest), largest, 0)
    below = log_values - largest
    excess = jnp.mean(jnp.expm1(below), axis=axis)  # in [1 / K - 1, 0]
    near = jnp.log1p(jnp.maximum(excess, -0.5))
    far = jnp.log(jnp.mean(jnp.exp(below), axis=axis))
    return jnp.squeeze(largest, axis) + jnp.where(excess > -0.5, near, far)


def log_power_mean(log_values: Float[Array, "samples batch"], power: Scalar) -> Float[Array, " batch"]:
    """Compute (1 / power) log mean_k exp(power · log_values_k), at power 0 its limit, the mean."""
    power = jnp.asarray(power, log_values.dtype)
    is_mean = power == 0
    nonzero = jnp.where(is_mean, 1, power)
    return jnp.where(is_mean, jnp.mean(log_values, axis=0), log_mean_exp(nonzero * log_values) / nonzero)
