"""Conversions: nats to bits per dimension, and sound to codes and back."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses.likelihood._shared import check_bins, check_floating, check_integer


def bits_per_dim(
    nll: Float[Array, "*shape"], num_dims: int, *, num_bins: int, width: float = 1.0
) -> Float[Array, "*shape"]:
    """Convert a negative log-likelihood in nats to bits per dimension of the discrete data.

    bits = nll / (num_dims log 2) + log2(num_bins / width)

    The second term is there because a density changes with the scale of its data and a probability does not: with it,
    the same model has the same bits whether its data are in [0, 1) or [0, 256).

    Args:
        nll: nats per example, of a density of dequantised data or of the probability of bins.
        num_dims: number of coordinates of an example, such as H W C.
        num_bins: number of bins that fill the interval of the data, such as 256. Of an nll that is a probability of
            bins already (`categorical_nll`, `discretized_logistic_nll`) it is 1.
        width: length of that interval: 1 for [0, 1), 2 for [-1, 1).

    Returns:
        In the shape of nll, bits per dimension.

    Raises:
        ValueError: if nll is not floating, or num_dims, num_bins or width is not positive.

    References:
        Theis et al. 2016, "A note on the evaluation of generative models", section 3.1.
    """
    check_floating(nll=nll)
    for name, value in (("num_dims", num_dims), ("num_bins", num_bins), ("width", width)):
        if not value > 0:
            raise ValueError(f"{name} must be positive; got {value}.")
    return nll / (num_dims * math.log(2)) + math.log2(num_bins / width)


def mu_law_encode(x: Float[Array, "*shape"], *, num_bins: int = 256) -> Int[Array, "*shape"]:
    """Quantise sound with steps that grow with its size.

    f(x) = sign(x) log(1 + μ |x|) / log(1 + μ), μ = num_bins - 1; the code is the nearest integer to μ (f(x) + 1) / 2

    Args:
        x: amplitudes in [-1, 1]; larger ones are clipped.
        num_bins: number of codes.

    Returns:
        int32 in the shape of x, from 0 to num_bins - 1. With an even number silence lies between the two middle codes
        and gets the upper one.

    Raises:
        ValueError: if x is not floating or num_bins is below 2.

    References:
        van den Oord et al. 2016, "WaveNet: a generative model for raw audio", section 2.2.
    """
    check_floating(x=x)
    check_bins(num_bins)
    x = jnp.clip(x.astype(jnp.promote_types(x.dtype, jnp.float32)), -1, 1)
    mu = num_bins - 1
    compressed = jnp.sign(x) * jnp.log1p(mu * jnp.abs(x)) / math.log1p(mu)
    return jnp.floor(mu * (compressed + 1) / 2 + 0.5).astype(jnp.int32)


def mu_law_decode(codes: Int[Array, "*shape"], *, num_bins: int = 256) -> Float[Array, "*shape"]:
    """Return the amplitude in the middle of each code: what `mu_law_encode` gives that code.

    x = sign(f) ((1 + μ)^|f| - 1) / μ, f = 2 code / μ - 1, μ = num_bins - 1

    Args:
        codes: integers from 0 to num_bins - 1.
        num_bins: number of codes.

    Returns:
        In the shape of codes, amplitudes in [-1, 1], in the default floating dtype.

    Raises:
        ValueError: if codes are not integers or num_bins is below 2.

    References:
        van den Oord et al. 2016, "WaveNet: a generative model for raw audio", section 2.2.
    """
    check_integer(codes=codes)
    check_bins(num_bins)
    mu = num_bins - 1
    compressed = 2 * codes.astype(jnp.result_type(float)) / mu - 1
    return jnp.sign(compressed) * jnp.expm1(jnp.abs(compressed) * math.log1p(mu)) / mu
