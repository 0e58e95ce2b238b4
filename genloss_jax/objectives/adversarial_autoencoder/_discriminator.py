"""What the games of this family share: a discriminator's turn."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genloss_jax.losses import penalties
from genloss_jax.objectives._head import Head, chosen
from genloss_jax.objectives.objective import Hyper, Metrics, hyper_value, mean

DISCRIMINATOR = "discriminator"


def judge(loss: Head, real_logits: jax.Array, fake_logits: jax.Array, hyper: Hyper) -> tuple[jax.Array, Metrics]:
    """Give the discriminator's loss and what to report of its turn."""
    value = mean(chosen(loss, hyper).discriminator(real_logits, fake_logits))
    return value, {
        "adversarial": value,
        "real_logits": jnp.mean(real_logits),
        "fake_logits": jnp.mean(fake_logits),
    }


def penalise(
    used: bool, critic_fn: Callable[[jax.Array], jax.Array], real: jax.Array, hyper: Hyper
) -> tuple[jax.Array, Metrics]:
    """Give R1 on the real side, weighted by `hyper["r1_weight"]`, and its own value; 0 and nothing if unused."""
    if not used:
        return jnp.zeros(()), {}
    value = mean(penalties.r1_penalty(critic_fn, real))
    return hyper_value(hyper, "r1_weight") * value, {"r1": value}


def kept(aux: Any, moved: Any, *names: str) -> dict[str, Any]:
    """Keep the states of the networks whose turn it is: running statistics follow a network's own turns."""
    return {**aux, **{name: moved[name] for name in names}}
