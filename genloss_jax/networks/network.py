"""A network as a pair of pure functions, whatever library it was written in."""

from collections.abc import Callable
from typing import Any, NamedTuple

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
