"""Optimisers whose rates and betas are traced, so that they may differ between members of one program."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genloss_jax._names import look_up
from genloss_jax.objectives.objective import Hyper, hyper_value
from genloss_jax.training.step import Optimizers

# (learning_rate, b1, b2) -> GradientTransformation
RULES: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": lambda rate, b1, b2: optax.adam(rate, b1=b1, b2=b2),
    "rmsprop": lambda rate, b1, b2: optax.rmsprop(rate, decay=b2),
    "sgd": lambda rate, b1, b2: optax.sgd(rate, momentum=b1),
    "optimistic_adam": lambda rate, b1, b2: optax.optimistic_adam_v2(rate, b1=b1, b2=b2),
}


def clip_weights(bound: float | jax.Array) -> optax.GradientTransformation:
    """Keep every parameter within [-bound, bound] after the update (Arjovsky et al. 2017, algorithm 1).

    Args:
        bound: the largest absolute value.

    Returns:
        A transformation to chain last: it needs the final updates and the parameters.
    """

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("clip_weights needs the parameters: call update(updates, state, params)")
        return jax.tree.map(lambda u, p: jnp.clip(p + u, -bound, bound) - p, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def from_config(config: Any) -> tuple[Optimizers, dict[str, float]]:
    """Build each player's optimiser.

    Args:
        config: an experiment's config; `config.optimizer` and `config.players` are read.

    Returns:
        The optimisers, and the traced scalars that they read from `hyper`.

    Raises:
        ValueError: if `config.optimizer.name` is not in `RULES`.
    """
    rule = look_up("optimizer", config.optimizer.name, RULES)
    hyper = {
        "learning_rate": config.optimizer.learning_rate,
        "b1": config.optimizer.b1,
        "b2": config.optimizer.b2,
    }
    optimizers = {}
    for name, player in config.players.items():
        hyper[f"{name}_learning_rate_scale"] = player.learning_rate_scale
        optimizers[name] = _player(rule, name, player.clip_weights, config.optimizer.clip_gradient_norm)
    return optimizers, hyper


def _player(rule, name: str, weight_bound: float, gradient_bound: float) -> Callable[[Hyper], Any]:
    def optimizer(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        rate = hyper_value(hyper, "learning_rate") * hyper_value(hyper, f"{name}_learning_rate_scale")
        parts = [rule(rate, hyper_value(hyper, "b1"), hyper_value(hyper, "b2"))]
        if gradient_bound:
            parts.insert(0, optax.clip_by_global_norm(gradient_bound))
        if weight_bound:
            parts.append(clip_weights(weight_bound))
        return optax.chain(*parts)

    return optimizer
