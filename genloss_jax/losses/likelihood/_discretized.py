"""Probabilities of bins: data with finitely many levels under logistic densities."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses.likelihood._shared import (
    check_bins,
    check_examples,
    check_floating,
    check_integer,
    check_mixture,
    largest_exponent,
    log_one_minus_exp,
    mix,
    sum_examples,
)


def discretized_logistic_nll(
    mean: Float[Array, "batch *event"],
    log_scale: Float[Array, "batch *event"],
    targets: Float[Array, "batch *event"],
    *,
    num_bins: int,
) -> Float[Array, " batch"]:
    """Compute the negative log-probability of bins under logistic densities.

    P(k) = σ((b_k - mean) / s) - σ((a_k - mean) / s), s = exp(log_scale), summed as -log P over all axes of an example

    The levels -1 + 2k / (num_bins - 1), k = 0 ... num_bins - 1, fill [-1, 1] with both ends; a_k and b_k lie half a
    level below and above, except that the first bin begins at -∞ and the last one ends at ∞. So the probabilities of
    all bins sum to 1, at every scale: log P is computed without a difference of σ's, and nothing is replaced by a
    density.

    Args:
        mean: `[B, ...]`, in the unit of the targets.
        log_scale: `[B, ...]`; the standard deviation of the logistic density is exp(log_scale) π / √3.
        targets: `[B, ...]`, data scaled to [-1, 1]; each is counted to its nearest level. Half precision holds up to
            256 levels.
        num_bins: number of levels, such as 256.

    Returns:
        `[B]` in nats, never negative; ∞ for a target that is more than half a level outside [-1, 1], which has
        probability 0.

    Raises:
        ValueError: if an array is not floating, has no batch axis, the shapes differ, or num_bins is below 2.

    References:
        Salimans et al. 2017, "PixelCNN++", equation 2 (for one component); Kingma et al. 2016, "Improved variational
        inference with inverse autoregressive flow".
    """
    check_examples(mean=mean, log_scale=log_scale, targets=targets)
    check_bins(num_bins)
    terms = functools.partial(_discretized_logistic_terms, num_bins=num_bins)
    return sum_examples(terms, mean, log_scale, targets)


def discretized_logistic_mixture_nll(
    mixture_logits: Float[Array, "batch *place K"],
    means: Float[Array, "batch *place K D"],
    log_scales: Float[Array, "batch *place K D"],
    targets: Float[Array, "batch *place D"],
    *,
    num_bins: int,
) -> Float[Array, " batch"]:
    """Compute the negative log-probability of bins under mixtures of logistic densities.

    P(x) = sum_k π_k prod_d P_kd(x_d), π = softmax(mixture_logits), P_kd as in `discretized_logistic_nll`

    Each place has a mixture of its own, joint over its D coordinates; the places of an example are summed over. For
    images `[B, H, W, C]` a pixel is a place and D is C, as in PixelCNN++, whose means of the later channels depend on
    the targets of the earlier ones: that dependence is the network's to make.

    Args:
        mixture_logits: `[B, ..., K]`, need not be normalised.
        means: `[B, ..., K, D]`.
        log_scales: `[B, ..., K, D]`.
        targets: `[B, ..., D]`, data scaled to [-1, 1].
        num_bins: number of levels, such as 256.

    Returns:
        `[B]` in nats, never negative.

    Raises:
        ValueError: if an array is not floating, its shape does not fit the others', or num_bins is below 2.

    References:
        Salimans et al. 2017, "PixelCNN++", equation 2.
    """
    check_mixture(mixture_logits, targets, means=means, log_scales=log_scales)
    check_bins(num_bins)

    def terms(mixture_logits, means, log_scales, targets):
        components = _discretized_logistic_terms(means, log_scales, targets[..., None, :], num_bins=num_bins)
        return mix(mixture_logits, jnp.sum(components, -1))

    return sum_examples(terms, mixture_logits, means, log_scales, targets)


def _discretized_logistic_terms(mean, log_scale, targets, *, num_bins):
    last = num_bins - 1
    bins = _nearest_bin(targets, num_bins)
    # Lengths in half levels from -1: bin k reaches from 2k - 1 to 2k + 1, all of them exact numbers.
    centre = last * (mean + 1)
    log_rate = jnp.minimum(-log_scale - math.log(last), largest_exponent(log_scale))
    upper = (2 * bins + 1 - centre) * jnp.exp(log_rate)
    lower = (2 * bins - 1 - centre) * jnp.exp(log_rate)
    # σ(u) - σ(l) = σ(u) σ(-l) (1 - exp(l - u)); an end of the range has only one of the two factors
    has_upper, has_lower = bins < last, bins > 0
    nll = jnp.where(has_upper, jax.nn.softplus(-upper), 0.0) + jnp.where(has_lower, jax.nn.softplus(lower), 0.0)
    nll = nll - jnp.where(has_upper & has_lower, log_one_minus_exp(math.log(2) + log_rate), 0.0)
    return jnp.where((bins >= 0) & (bins <= last), nll, jnp.inf)


def _nearest_bin(x, num_bins):
    return jnp.round((x + 1) / 2 * (num_bins - 1))


def to_bins(x: Float[Array, "*shape"], *, num_bins: int) -> Int[Array, "*shape"]:
    """Count data scaled to [-1, 1] to the nearest of its levels, -1 + 2k / (num_bins - 1).

    The integers are what `categorical_nll` takes as labels and `flows.uniform_dequantize` as bins.

    Args:
        x: data scaled to [-1, 1].
        num_bins: number of levels.

    Returns:
        int32 in the shape of x, from 0 to num_bins - 1 for data in [-1, 1], not clipped for others.

    Raises:
        ValueError: if x is not floating or num_bins is below 2.
    """
    check_floating(x=x)
    check_bins(num_bins)
    return _nearest_bin(x.astype(jnp.promote_types(x.dtype, jnp.float32)), num_bins).astype(jnp.int32)


def from_bins(bins: Int[Array, "*shape"], *, num_bins: int) -> Float[Array, "*shape"]:
    """Return the level of each bin, -1 + 2k / (num_bins - 1): the inverse of `to_bins`.

    Args:
        bins: integers from 0 to num_bins - 1.
        num_bins: number of levels.

    Returns:
        In the shape of bins, from -1 to 1, in the default floating dtype.

    Raises:
        ValueError: if bins are not integers or num_bins is below 2.
    """
    check_integer(bins=bins)
    check_bins(num_bins)
    return 2 * bins.astype(jnp.result_type(float)) / (num_bins - 1) - 1
