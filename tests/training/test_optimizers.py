"""Optimisers from a config: their rates are traced, their bounds hold."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import base
from genloss_jax.training.optimizers import RULES, clip_weights, from_config

PARAMS = {"w": jnp.array([0.5, -2.0])}
GRADS = {"w": jnp.array([1.0, -1.0])}


def one_update(config, player="generator", **changes):
    optimizers, hyper = from_config(config)
    rule = optimizers[player]({**hyper, **changes})
    updates, _ = rule.update(GRADS, rule.init(PARAMS), PARAMS)
    return optax.apply_updates(PARAMS, updates)["w"]


def test_learning_rate_is_scaled_by_player():
    config = base.get_config()
    config.optimizer.name = "sgd"
    config.optimizer.b1 = 0.0
    config.optimizer.learning_rate = 0.5
    config.players.generator.learning_rate_scale = 0.5
    np.testing.assert_allclose(one_update(config), [0.25, -1.75])
    np.testing.assert_allclose(one_update(config, "discriminator"), [0.0, -1.5])


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_descends_and_takes_a_traced_rate(name):
    config = base.get_config()
    config.optimizer.name = name
    moved = jax.jit(lambda rate: one_update(config, learning_rate=rate))(0.1)
    assert moved[0] < PARAMS["w"][0]
    assert moved[1] > PARAMS["w"][1]
    np.testing.assert_array_equal(jax.jit(lambda rate: one_update(config, learning_rate=rate))(0.0), PARAMS["w"])


def test_clipped_weights_end_within_the_bound():
    config = base.get_config()
    config.players.generator.clip_weights = 0.01
    np.testing.assert_allclose(one_update(config), [0.01, -0.01], atol=1e-7)


def test_gradient_norm_is_bounded():
    config = base.get_config()
    config.optimizer.name = "sgd"
    config.optimizer.b1 = 0.0
    config.optimizer.learning_rate = 1.0
    config.optimizer.clip_gradient_norm = 1.0
    np.testing.assert_allclose(jnp.linalg.norm(one_update(config) - PARAMS["w"]), 1.0, rtol=1e-5)


def test_clipping_without_parameters_says_what_it_needs():
    with pytest.raises(ValueError, match="needs the parameters"):
        clip_weights(1.0).update(GRADS, optax.EmptyState())


def test_misspelt_optimizer_is_named():
    config = base.get_config()
    config.optimizer.name = "adamm"
    with pytest.raises(ValueError, match="unknown optimizer 'adamm'; did you mean 'adam'"):
        from_config(config)
