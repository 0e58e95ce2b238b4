"""Initialisers that draw flat and reshape.

Compiling a random draw of rank 4 costs XLA's CPU backend about a second; a flat draw of as many numbers is the same
bits and costs a sixth of it or less. Every initialiser here has the signature `(key, shape, dtype) -> array`, with the
output axis last and all other axes counted as the fan in.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]


def flat(draw: Initializer) -> Initializer:
    """Make an elementwise initialiser draw one axis and reshape: the same bits, compiled faster."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return draw(key, (math.prod(shape),), dtype).reshape(shape)

    return init


def normal(stddev: float = 0.02, *, mean: float = 0.0) -> Initializer:
    """Draw N(mean, stddev²); the default is DCGAN's for every kernel."""
    return flat(lambda key, shape, dtype: mean + stddev * jax.random.normal(key, shape, dtype))


def variance_scaling(scale: float, distribution: str = "normal", *, mode: str = "fan_in") -> Initializer:
    """Draw with mean 0 and variance `scale / fan`, untruncated.

    Args:
        scale: 2 is He's for ReLU, 1 is LeCun's for linear layers and (with `fan_avg`) Glorot's.
        distribution: "normal" or "uniform".
        mode: "fan_in" or "fan_avg", the mean of fan in and fan out.

    Returns:
        The initialiser.

    Raises:
        ValueError: for an unknown distribution or mode.
    """
    if distribution not in ("normal", "uniform"):
        raise ValueError(f"distribution must be 'normal' or 'uniform', got {distribution!r}")
    if mode not in ("fan_in", "fan_avg"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_avg', got {mode!r}")

    def init(key, shape, dtype=jnp.float32):
        receptive = math.prod(shape[:-2])
        fan_in, fan_out = receptive * shape[-2], receptive * shape[-1]
        stddev = math.sqrt(scale / (fan_in if mode == "fan_in" else (fan_in + fan_out) / 2))
        if distribution == "normal":
            return normal(stddev)(key, shape, dtype)
        bound = math.sqrt(3.0) * stddev
        return flat(lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound))(key, shape, dtype)

    return init


def he_normal(negative_slope: float = 0.0) -> Initializer:
    """Keep the variance through (leaky) ReLU: variance `2 / ((1 + slope²) fan_in)` (He et al. 2015)."""
    return variance_scaling(2.0 / (1.0 + negative_slope**2))


def lecun_normal() -> Initializer:
    """Keep the variance through a linear layer: variance `1 / fan_in`."""
    return variance_scaling(1.0)


def glorot_uniform(gain: float = 1.0) -> Initializer:
    """Draw uniformly with variance `2 gain² / (fan_in + fan_out)` (Glorot and Bengio 2010)."""
    return variance_scaling(gain**2, "uniform", mode="fan_avg")


def orthogonal(gain: float = 1.0) -> Initializer:
    """Draw `[fan_in, fan_out]` with orthonormal columns (or rows, where there are fewer), times `gain`."""

    def init(key, shape, dtype=jnp.float32):
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall, wide = max(rows, columns), min(rows, columns)
        gaussian = flat(jax.random.normal)(key, (tall, wide), dtype)
        q, r = jnp.linalg.qr(gaussian)
        # The signs make the distribution uniform over orthogonal matrices (Mezzadri 2007).
        q = q * jnp.sign(jnp.diagonal(r))[None, :]
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return init
