"""Densities on the line with a location and a scale: Gaussian, Laplace, Student's t, mixtures of Gaussians."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses.likelihood._shared import (
    LOG_2PI,
    Scalar,
    check_examples,
    check_mixture,
    inverse_scale,
    largest_exponent,
    mix,
    sum_examples,
)


def gaussian_nll(
    mean: Float[Array, "batch *event"], log_var: Float[Array, "batch *event"], targets: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Compute the negative log-density of independent Gaussian variables.

    -log p(x) = ½ sum_d [log 2π + log_var_d + (x_d - mean_d)² exp(-log_var_d)], summed over all axes of an example

    The constant ½ log 2π is there: without it the value is no likelihood. With log_var = 0 it is half the squared error
    plus that constant.

    Args:
        mean: `[B, ...]`.
        log_var: `[B, ...]`, log of the variance, not of the standard deviation.
        targets: `[B, ...]`.

    Returns:
        `[B]` in nats; negative where the density exceeds 1.

    Raises:
        ValueError: if an array is not floating, has no batch axis, or the shapes differ.

    References:
        Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix C.2.
    """
    check_examples(mean=mean, log_var=log_var, targets=targets)
    return sum_examples(_gaussian_terms, mean, log_var, targets)


def _gaussian_terms(mean, log_var, targets):
    residual = (targets - mean) * inverse_scale(log_var / 2)
    # Its square is held finite: to a mixture such a component has weight 0, and 0 times infinity would be NaN.
    limit = math.exp(largest_exponent(residual) / 2)
    residual = jnp.clip(residual, -limit, limit)
    return 0.5 * (LOG_2PI + log_var + residual**2)


def optimal_sigma_nll(
    mean: Float[Array, "batch *event"],
    targets: Float[Array, "batch *event"],
    *,
    min_variance: Scalar = 1e-6,
    shared: bool = True,
) -> Float[Array, " batch"]:
    """Compute the Gaussian negative log-density under the one variance that suits these targets best.

    -log p(x) = ½ sum_d [log 2π v + (x_d - mean_d)² / v], v = max(mean squared error, min_variance)

    v minimises the mean over the batch, which without the floor is D/2 (log 2π v + 1). Because v has looked at the
    targets, this is a lower bound of the Gaussian negative log-likelihood under every shared variance (from
    min_variance on), not a likelihood of its own: report test likelihoods with `gaussian_nll` and a v from training
    data. Its gradient with respect to the mean is that of `gaussian_nll` at fixed v.

    Args:
        mean: `[B, ...]`.
        targets: `[B, ...]`.
        min_variance: the least v, in the squared unit of the targets. At 0 a perfect reconstruction has value -∞.
        shared: one v for the whole batch, as in the paper; otherwise one for each example.

    Returns:
        `[B]` in nats.

    Raises:
        ValueError: if an array is not floating, has no batch axis, or the shapes differ.

    References:
        Rybkin et al. 2021, "Simple and effective VAE training with calibrated decoders", the optimal σ-VAE.
    """
    check_examples(mean=mean, targets=targets)

    def terms(mean, targets):
        squares = (targets - mean) ** 2
        axes = tuple(range(0 if shared else 1, squares.ndim))
        variance = jnp.maximum(jnp.mean(squares, axes, keepdims=True), min_variance)
        return 0.5 * (LOG_2PI + jnp.log(variance) + squares / variance)

    return sum_examples(terms, mean, targets)


def laplace_nll(
    mean: Float[Array, "batch *event"], log_scale: Float[Array, "batch *event"], targets: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Compute the negative log-density of independent Laplace variables.

    -log p(x) = sum_d [log 2 + log_scale_d + |x_d - mean_d| exp(-log_scale_d)], summed over all axes of an example

    Args:
        mean: `[B, ...]`, also the median.
        log_scale: `[B, ...]`, log of the mean absolute deviation; the standard deviation is √2 times as large.
        targets: `[B, ...]`.

    Returns:
        `[B]` in nats; negative where the density exceeds 1. The gradient is 0 at the kink x = mean.

    Raises:
        ValueError: if an array is not floating, has no batch axis, or the shapes differ.

    References:
        Laplace 1774, "Mémoire sur la probabilité des causes par les évènemens".
    """
    check_examples(mean=mean, log_scale=log_scale, targets=targets)
    return sum_examples(_laplace_terms, mean, log_scale, targets)


def _laplace_terms(mean, log_scale, targets):
    residual = targets - mean
    # |x| as x sign(x), whose slope at 0 is 0; JAX's abs has slope 1 there.
    return math.log(2) + log_scale + residual * jnp.sign(residual) * inverse_scale(log_scale)


def student_t_nll(
    mean: Float[Array, "batch *event"],
    log_scale: Float[Array, "batch *event"],
    targets: Float[Array, "batch *event"],
    *,
    df: Scalar,
) -> Float[Array, " batch"]:
    """Compute the negative log-density of independent variables with Student's t distribution.

    -log p(x) = sum_d [log B(½, df/2) + ½ log df + log_scale_d + (df + 1)/2 log(1 + z_d² / df)],
    z_d = (x_d - mean_d) exp(-log_scale_d), B the beta function, summed over all axes of an example

    It grows with the logarithm of the residual only, and tends to `gaussian_nll` as df grows.

    Args:
        mean: `[B, ...]`, the location; the mean if df > 1.
        log_scale: `[B, ...]`; the variance is exp(2 log_scale) df / (df - 2) if df > 2.
        targets: `[B, ...]`.
        df: degrees of freedom, positive; 1 is the Cauchy distribution.

    Returns:
        `[B]` in nats; negative where the density exceeds 1.

    Raises:
        ValueError: if an array is not floating, has no batch axis, the shapes differ, or df is a plain number that is
            not positive.

    References:
        Student 1908, "The probable error of a mean".
    """
    check_examples(mean=mean, log_scale=log_scale, targets=targets)
    if isinstance(df, int | float) and not df > 0:
        raise ValueError(f"df must be positive; got {df}.")

    def terms(mean, log_scale, targets):
        freedom = jnp.asarray(df, mean.dtype)
        log_norm = jax.scipy.special.betaln(0.5, freedom / 2) + 0.5 * jnp.log(freedom) + log_scale
        log_width = log_scale + 0.5 * jnp.log(freedom)
        return log_norm + (freedom + 1) / 2 * _log_one_plus_square(targets - mean, log_width)

    return sum_examples(terms, mean, log_scale, targets)


def _log_one_plus_square(residual, log_width):
    """Compute log(1 + w²), w = residual / exp(log_width), also where w² overflows."""
    log_ratio = jnp.log(jnp.abs(jnp.where(residual == 0, 1.0, residual))) - log_width
    large = (residual != 0) & (log_ratio > 0)
    ratio = jnp.where(large, 0.0, residual) * inverse_scale(log_width)
    # log(1 + w²) = log(1 + w^-2) + 2 log |w|
    log_ratio = jnp.where(large, log_ratio, 0.0)
    return jnp.where(large, jnp.log1p(jnp.exp(-2 * log_ratio)) + 2 * log_ratio, jnp.log1p(ratio**2))


def gaussian_mixture_nll(
    mixture_logits: Float[Array, "batch *place K"],
    means: Float[Array, "batch *place K D"],
    log_vars: Float[Array, "batch *place K D"],
    targets: Float[Array, "batch *place D"],
) -> Float[Array, " batch"]:
    """Compute the negative log-density of mixtures of diagonal Gaussians.

    -log p(x) = -log sum_k π_k prod_d N(x_d; means_kd, exp(log_vars_kd)), π = softmax(mixture_logits)

    Each place has a mixture of its own, joint over its D coordinates; the places of an example are summed over. A
    vector is one place, targets `[B, D]`; numbers that are independent are places with D = 1.

    Args:
        mixture_logits: `[B, ..., K]`, need not be normalised.
        means: `[B, ..., K, D]`.
        log_vars: `[B, ..., K, D]`, logs of the variances.
        targets: `[B, ..., D]`.

    Returns:
        `[B]` in nats; negative where the density exceeds 1. It has no minimum: a component on a target may shrink.

    Raises:
        ValueError: if an array is not floating or its shape does not fit the others'.

    References:
        Bishop 1994, "Mixture density networks".
    """
    check_mixture(mixture_logits, targets, means=means, log_vars=log_vars)

    def terms(mixture_logits, means, log_vars, targets):
        return mix(mixture_logits, jnp.sum(_gaussian_terms(means, log_vars, targets[..., None, :]), -1))

    return sum_examples(terms, mixture_logits, means, log_vars, targets)
