"""Networks from Flax modules, Linen and NNX."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

from genloss_jax.networks.network import Network, in_precision


def from_linen(module: nn.Module, precision: str = "float32") -> Network:
    """Take a Linen module whose `__call__` is `(*inputs, train=...)`.

    The collection "params" is what gradients train; all others (batch statistics, power-iteration vectors) are the
    state. `key` becomes the stream "dropout".

    Args:
        module: the module, not bound.
        precision: of what it computes, see `in_precision`.

    Returns:
        The pair of pure functions.
    """

    def init(key, *inputs):
        params_key, dropout_key = jax.random.split(key)
        variables = module.init({"params": params_key, "dropout": dropout_key}, *inputs, train=True)
        return variables.get("params", {}), {name: value for name, value in variables.items() if name != "params"}

    def apply(params, state, *inputs, train=False, key=None):
        rngs = None if key is None else {"dropout": key}
        variables = {"params": params, **state}
        if not train or not state:
            return module.apply(variables, *inputs, train=train, rngs=rngs), state
        return module.apply(variables, *inputs, train=train, rngs=rngs, mutable=list(state))

    return in_precision(Network(init, apply), precision)


def from_nnx(constructor: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Take an NNX module as the function that builds it, `lambda rngs: MyModule(..., rngs=rngs)`.

    `nnx.Param` is what gradients train; all other variables but random streams are the state. Streams are not kept:
    `apply` seeds them from its `key`. `train` sets the attributes `deterministic` and `use_running_average` that
    dropout and batch norm read. Parameters and state are plain nested dicts of arrays.

    Args:
        constructor: maps `nnx.Rngs` to the module.

    Returns:
        The pair of pure functions.
    """

    @functools.cache
    def template():
        # Shapes and structure only. Without a trace around it, so that nothing of one trace is kept for the next.
        with jax.ensure_compile_time_eval():
            return _split(nnx.eval_shape(lambda: constructor(nnx.Rngs(0))))

    def init(key, *inputs):
        del inputs
        _, params, _, state = _split(constructor(nnx.Rngs(key)))
        return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

    def apply(params, state, *inputs, train=False, key=None):
        graph, params_like, streams_like, state_like = template()
        streams = jax.tree.leaves(streams_like)
        if train and streams and key is None:
            raise ValueError("key must be given where train=True, because the module draws random numbers; got None")
        base = jax.random.key(0) if key is None else key
        seeded = [_seeded(leaf, base, index) for index, leaf in enumerate(streams)]
        module = nnx.merge(
            graph,
            _filled(params_like, params),
            jax.tree.unflatten(jax.tree.structure(streams_like), seeded),
            _filled(state_like, state),
        )
        module.set_attributes(deterministic=not train, use_running_average=not train, raise_if_not_found=False)
        outputs = module(*inputs)
        if not train:
            return outputs, state
        _, _, _, state = _split(module)
        return outputs, nnx.to_pure_dict(state)

    return Network(init, apply)


def _split(module: nnx.Module) -> Any:
    """Take a module apart: (structure, parameters, random streams, all other variables)."""
    return nnx.split(module, nnx.Param, nnx.RngState, ...)


def _seeded(leaf, base, index):
    """Restart a random stream: its key from the base key, its counter from zero."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.fold_in(base, index)
    return jnp.zeros((), leaf.dtype)


def _filled(like, values):
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(values))
