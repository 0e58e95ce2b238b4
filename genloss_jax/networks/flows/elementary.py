"""The small layers between the others: normalisation, permutations, another shape."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from genloss_jax.networks.flows.flow import Flow, fixed


def activation_norm() -> Flow:
    """Shift and scale each number of the last axis, so that the first batch comes out with mean 0 and variance 1.

    z = (x - shift) exp(log_scale)

    Both are trained from there on. A number that is constant over the first batch keeps the scale 1.

    References:
        Kingma and Dhariwal 2018, "Glow", section 3.1.
    """

    def init(key, x):
        del key
        flat = x.reshape(-1, x.shape[-1])
        deviation = jnp.std(flat, axis=0)
        log_scale = -jnp.log(jnp.where(deviation > 0, deviation, 1.0))
        return {"shift": jnp.mean(flat, axis=0), "log_scale": log_scale}, {}

    def forward(params, state, x, train=False, key=None):
        del train, key
        shift, log_scale = _along_last(params["shift"], x), _along_last(params["log_scale"], x)
        repeats = math.prod(x.shape[1:-1])
        log_det = jnp.full(x.shape[0], repeats * jnp.sum(params["log_scale"]))
        return (x - shift) * jnp.exp(log_scale), log_det, state

    def inverse(params, state, z):
        del state
        return z * jnp.exp(-_along_last(params["log_scale"], z)) + _along_last(params["shift"], z)

    return Flow(init, forward, inverse)


def reverse() -> Flow:
    """Turn the order of the last axis round."""
    return fixed(lambda x: x[..., ::-1], lambda z: z[..., ::-1])


def permutation(order: Sequence[int]) -> Flow:
    """Put the numbers of the last axis into a fixed order, z_i = x_order[i].

    Args:
        order: each of 0, ..., C - 1 once.

    Returns:
        The flow.

    Raises:
        ValueError: if `order` is not a permutation, and while tracing, if the last axis has another length.
    """
    indices = np.asarray(order, dtype=int)
    if sorted(indices.tolist()) != list(range(len(indices))):
        raise ValueError(f"order must hold each of 0, ..., {len(indices) - 1} once, got {list(order)}")
    back = np.argsort(indices)

    def take(x, indices):
        if x.shape[-1] != len(indices):
            raise ValueError(f"order is a permutation of {len(indices)} numbers, but the last axis has {x.shape[-1]}")
        return x[..., indices]

    return fixed(lambda x: take(x, indices), lambda z: take(z, back))


def reshape(shape: Sequence[int], to: Sequence[int]) -> Flow:
    """Give each example another shape.

    Args:
        shape: of one example.
        to: its shape after the layer.

    Returns:
        The flow.

    Raises:
        ValueError: if the two do not hold equally many numbers.
    """
    if math.prod(shape) != math.prod(to):
        raise ValueError(f"to must hold as many numbers as shape {tuple(shape)}, got {tuple(to)}")
    return fixed(lambda x: x.reshape(-1, *to), lambda z: z.reshape(-1, *shape))


def _along_last(vector, x):
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))
