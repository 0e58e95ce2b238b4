"""Distributions of counts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses.likelihood._shared import check_examples, sum_examples


def poisson_nll(
    log_rate: Float[Array, "batch *event"], targets: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Compute the negative log-likelihood of counts under Poisson distributions.

    sum_d [exp(log_rate_d) - x_d log_rate_d + log x_d!]

    Args:
        log_rate: `[B, ...]`, logarithms of the means.
        targets: `[B, ...]`, counts as floats.

    Returns:
        `[B]` in nats.

    Raises:
        ValueError: if an array is not floating, has no batch axis, or the shapes differ.
    """
    check_examples(log_rate=log_rate, targets=targets)
    return sum_examples(lambda log_rate, x: jnp.exp(log_rate) - x * log_rate + jax.lax.lgamma(x + 1), log_rate, targets)
