"""An invertible map as pure functions, and maps in a row."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Params = Any
State = Any


class Flow(NamedTuple):
    """An invertible map f from examples to a base space, which makes a density of a base density.

    log p(x) = log p_z(f(x)) + log |det ∂f(x)/∂x|

    Attributes:
        init: `(key, x) -> (params, state)`. `x` are examples `[B, ...]`, for layers that start from statistics of the
            data. `params` is what gradients train; `state` is what `forward` changes by itself, `{}` where there is
            none.
        forward: `(params, state, x, train=False, key=None) -> (z, log_det [B], state)`, from data to base. With
            `train=False` the state comes back unchanged and every example is treated by itself. `key` feeds dropout
            and the like.
        inverse: `(params, state, z) -> x`, from base to data: undoes `forward` with `train=False`.
    """

    init: Callable[..., tuple[Params, State]]
    forward: Callable[..., tuple[jax.Array, jax.Array, State]]
    inverse: Callable[[Params, State, jax.Array], jax.Array]


def fixed(forward: Callable[[jax.Array], jax.Array], inverse: Callable[[jax.Array], jax.Array]) -> Flow:
    """Make a flow of a map that moves numbers to other places and changes none: nothing to train, log_det 0."""

    def init(key, x):
        del key, x
        return {}, {}

    def apply(params, state, x, train=False, key=None):
        del params, train, key
        return forward(x), jnp.zeros(x.shape[0], x.dtype), state

    return Flow(init, apply, lambda params, state, z: inverse(z))


def chain(layers: Sequence[Flow]) -> Flow:
    """Run flows one after another, the first next to the data.

    log |det ∂f/∂x| = Σ_i log |det ∂f_i/∂x_i|

    Each layer's `init` sees the examples as the layers before it, already initialised, leave them.

    Args:
        layers: at least one.

    Returns:
        The flow; its parameters are those of layer i under the name `str(i)`.

    Raises:
        ValueError: if there is no layer.
    """
    if not layers:
        raise ValueError("layers must name at least one flow, got none")
    named = {str(index): layer for index, layer in enumerate(layers)}

    def init(key, x):
        params, state = {}, {}
        keys = jax.random.split(key, len(named))
        for own, (name, layer) in zip(keys, named.items(), strict=True):
            params[name], state[name] = layer.init(own, x)
            x, _, _ = layer.forward(params[name], state[name], x)
        return params, state

    def forward(params, state, x, train=False, key=None):
        log_det = jnp.zeros(x.shape[0], x.dtype)
        states = {}
        for index, (name, layer) in enumerate(named.items()):
            own = None if key is None else jax.random.fold_in(key, index)
            x, change, states[name] = layer.forward(params[name], state[name], x, train=train, key=own)
            log_det += change
        return x, log_det, states

    def inverse(params, state, z):
        for name, layer in reversed(named.items()):
            z = layer.inverse(params[name], state[name], z)
        return z

    return Flow(init, forward, inverse)


def per_example(values: jax.Array) -> jax.Array:
    """Sum over all axes but the first: `[B, ...] -> [B]`."""
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))
