"""What a decoder's outputs say of an example: a distribution over examples, whose parameters they are."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax.losses import likelihood

_SMALLEST_LOG_VAR = -14.0  # below it float32 cannot tell a variance from none; a decoder without a floor runs there


class Likelihood(NamedTuple):
    """What a decoder's outputs say of an example.

    Attributes:
        num_outputs: numbers per number of the example, on a last axis of the decoder's output.
        nll: `(outputs [B, ..., num_outputs], x [B, ...]) -> [B]` nats.
        sample: `(key, outputs) -> [B, ...]`.
        mean: `outputs -> [B, ...]`, without the noise of a sample.
        center: the mean as a differentiable function: that of discrete data is not rounded to its levels.
    """

    num_outputs: int
    nll: Callable[[jax.Array, jax.Array], jax.Array]
    sample: Callable[[jax.Array, jax.Array], jax.Array]
    mean: Callable[[jax.Array], jax.Array]
    center: Callable[[jax.Array], jax.Array]


def gaussian() -> Likelihood:
    """Give every number a Gaussian with a mean and a variance of its own, for continuous data."""

    def split(outputs):
        return outputs[..., 0], jnp.maximum(outputs[..., 1], _SMALLEST_LOG_VAR)

    def nll(outputs, x):
        center, log_var = split(outputs)
        return likelihood.gaussian_nll(center, log_var, x)

    def sample(key, outputs):
        center, log_var = split(outputs)
        return center + jnp.exp(0.5 * log_var) * parts.draw(jax.random.normal, key, center.shape, center.dtype)

    def mean(outputs):
        return outputs[..., 0]

    return Likelihood(2, nll, sample, mean, mean)


def fixed_gaussian(scale: float, *, bounded: bool = False) -> Likelihood:
    """Give every number a Gaussian of one standard deviation: a squared error, weighted by 1 / (2 scale²).

    Args:
        scale: the standard deviation, above 0.
        bounded: whether the mean is the tanh of the decoder's output, for data that end at -1 and 1.

    Raises:
        ValueError: if the scale is not above 0.
    """
    if scale <= 0:
        raise ValueError(f"scale must be above 0, got {scale}")

    def mean(outputs):
        return jnp.tanh(outputs[..., 0]) if bounded else outputs[..., 0]

    def nll(outputs, x):
        center = mean(outputs)
        return likelihood.gaussian_nll(center, jnp.full_like(center, 2 * math.log(scale)), x)

    def sample(key, outputs):
        center = mean(outputs)
        return center + scale * parts.draw(jax.random.normal, key, center.shape, center.dtype)

    return Likelihood(1, nll, sample, mean, mean)


def discretized_logistic(num_levels: int) -> Likelihood:
    """Give every number a logistic distribution over the levels from -1 to 1, for data with `num_levels`."""

    def nll(outputs, x):
        return likelihood.discretized_logistic_nll(outputs[..., 0], outputs[..., 1], x, num_bins=num_levels)

    def to_level(values):
        bins = jnp.clip(likelihood.to_bins(values, num_bins=num_levels), 0, num_levels - 1)
        return likelihood.from_bins(bins, num_bins=num_levels)

    def sample(key, outputs):
        noise = parts.draw(jax.random.logistic, key, outputs.shape[:-1], outputs.dtype)
        return to_level(outputs[..., 0] + jnp.exp(outputs[..., 1]) * noise)

    def mean(outputs):
        return to_level(outputs[..., 0])

    def center(outputs):
        return jnp.clip(outputs[..., 0], -1.0, 1.0)

    return Likelihood(2, nll, sample, mean, center)


def of_levels(num_levels: int | None) -> Likelihood:
    """Choose a logistic distribution over the levels that data lie on, or Gaussians for continuous data."""
    return discretized_logistic(num_levels) if num_levels else gaussian()
