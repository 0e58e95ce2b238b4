"""A network as a pair of pure functions, whatever library it was written in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax._names import look_up

PRECISIONS = ("float32", "bfloat16")

Params = Any
State = Any


class Network(NamedTuple):
    """What objectives ask of a network.

    Attributes:
        init: `(key, *inputs) -> (params, state)`. `params` is what gradients train; `state` is what `apply` changes by
            itself (batch statistics, power-iteration vectors), `{}` where there is none.
        apply: `(params, state, *inputs, train=False, key=None) -> (outputs, state)`. With `train=False` the state
            comes back unchanged and every example is treated by itself. `key` feeds dropout and the like.
    """

    init: Callable[..., tuple[Params, State]]
    apply: Callable[..., tuple[Any, State]]


def from_function(init: Callable[..., Params], apply: Callable[..., Any]) -> Network:
    """Wrap a stateless pair: `init(key, *inputs) -> params` and `apply(params, *inputs) -> outputs`."""

    def stateless_init(key, *inputs):
        return init(key, *inputs), {}

    def stateless_apply(params, state, *inputs, train=False, key=None):
        del train, key
        return apply(params, *inputs), state

    return Network(stateless_init, stateless_apply)


def in_precision(network: Network, precision: str) -> Network:
    """Let a network compute in another precision than that of its parameters, inputs and outputs.

    "bfloat16" rounds parameters and examples on their way in, and widens outputs on their way out. Parameters and
    state stay float32, and so do their gradients and all that is made of outputs: losses, metrics, optimisers. Inputs
    of one number per example, such as noise levels, are not rounded: there is but a handful of them, and three digits
    do not tell neighbouring levels apart. bfloat16 has the range of float32, so that no loss needs to be scaled.

    Args:
        network: whose layers compute in the precision of what they are given, as those of this library do.
        precision: "float32", which leaves the network as it is, or "bfloat16".

    Returns:
        The network.

    Raises:
        ValueError: if the precision is unknown.
    """
    look_up("networks.precision", precision, dict.fromkeys(PRECISIONS))
    if precision == "float32":
        return network

    def narrowed(leaf):
        return leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    def apply(params, state, *inputs, train=False, key=None):
        params = jax.tree.map(narrowed, params)
        inputs = tuple(narrowed(array) if jnp.ndim(array) > 1 else array for array in inputs)
        outputs, moved = network.apply(params, state, *inputs, train=train, key=key)
        outputs = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf, outputs)
        return outputs, jax.tree.map(lambda new, old: new.astype(old.dtype), moved, state)

    return Network(network.init, apply)
