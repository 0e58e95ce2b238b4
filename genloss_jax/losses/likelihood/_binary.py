"""Likelihoods of targets in {0, 1} and in [0, 1], from logits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses.likelihood._shared import check_examples, log_mean_decay, sum_examples


def bernoulli_nll(
    logits: Float[Array, "batch *event"], targets: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Compute the negative log-likelihood of independent bits, the binary cross-entropy.

    -log p(x) = sum_d x_d log(1 + exp(-l_d)) + (1 - x_d) log(1 + exp(l_d)), summed over all axes of an example

    It is a likelihood for targets 0 and 1 only. Grey values between them are accepted: the value is then a
    cross-entropy whose minimum is not 0, and the likelihood for them is `continuous_bernoulli_nll`.

    Args:
        logits: `[B, ...]`, log p(1) - log p(0); never probabilities.
        targets: `[B, ...]` in [0, 1].

    Returns:
        `[B]` in nats.

    Raises:
        ValueError: if an array is not floating, has no batch axis, or the shapes differ.

    References:
        Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix C.1.
    """
    check_examples(logits=logits, targets=targets)
    return sum_examples(_bernoulli_terms, logits, targets)


def _bernoulli_terms(logits, targets):
    # x softplus(-l) + (1 - x) softplus(l): a sum of positive numbers. softplus(l) - x l is equal on paper, but at logit
    # 100 and target 1 it is 0 instead of exp(-100).
    return targets * jax.nn.softplus(-logits) + (1 - targets) * jax.nn.softplus(logits)


def continuous_bernoulli_nll(
    logits: Float[Array, "batch *event"], targets: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Compute the negative log-density of independent continuous Bernoulli variables on [0, 1].

    p(x) = C(λ) λ^x (1 - λ)^(1 - x), λ = sigmoid(l), C(λ) = 2 artanh(1 - 2λ) / (1 - 2λ), C(½) = 2
    -log p(x) = -l x + log ∫₀¹ exp(l t) dt, summed over all axes of an example

    The density is uniform at l = 0, where value and gradient are exact. λ is not the mean of x, except at ½.

    Args:
        logits: `[B, ...]`, the natural parameter l = log λ - log(1 - λ).
        targets: `[B, ...]` in [0, 1].

    Returns:
        `[B]` in nats; negative where the density exceeds 1.

    Raises:
        ValueError: if an array is not floating, has no batch axis, or the shapes differ.

    References:
        Loaiza-Ganem and Cunningham 2019, "The continuous Bernoulli: fixing a pervasive error in variational
        autoencoders", section 3.
    """
    check_examples(logits=logits, targets=targets)
    return sum_examples(_continuous_bernoulli_terms, logits, targets)


def _continuous_bernoulli_terms(logits, targets):
    # By the symmetry (l, x) -> (-l, 1 - x): (1 - x) l + log ∫₀¹ exp(-l t) dt for l >= 0. A `where` and not `abs`, whose
    # slope at 0 is 0.
    positive = logits >= 0
    size = jnp.where(positive, logits, -logits)
    return jnp.where(positive, 1 - targets, targets) * size + log_mean_decay(size)
