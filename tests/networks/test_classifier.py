from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import networks

CONFIGS = {
    "mlp": (networks.NetworkConfig(width=8, depth=2, spectral_norm=True), (2,)),
    "dcgan": (networks.NetworkConfig("dcgan", width=4, spectral_norm=True), (8, 8, 1)),
}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_classifier_is_the_projection_critic_asked_for_every_label(name):
    config, shape = CONFIGS[name]
    classifier = networks.classifier(config, shape=shape, num_classes=3)
    critic = networks.critic(config, shape=shape, num_classes=3)
    x = jax.random.normal(jax.random.key(1), (5, *shape))
    params, state = jax.jit(classifier.init)(jax.random.key(0), x)
    logits, same = jax.jit(classifier.apply)(params, state, x)
    assert logits.shape == (5, 3)
    jax.tree.map(np.testing.assert_array_equal, same, state)
    apply = jax.jit(critic.apply)
    for label in range(3):
        expected, _ = apply(params, state, x, jnp.full(5, label))
        np.testing.assert_allclose(logits[:, label], expected, rtol=1e-5, atol=1e-6)
    _, moved = jax.jit(partial(classifier.apply, train=True))(params, state, x)
    _, expected_state = jax.jit(partial(critic.apply, train=True))(params, state, x, jnp.zeros(5, int))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), moved, expected_state)


def test_features_are_computed_once_and_not_for_each_label():
    config, shape = CONFIGS["mlp"]
    x = jnp.ones((4, *shape))

    def matrix_products(num_classes):
        classifier = networks.classifier(config._replace(spectral_norm=False), shape=shape, num_classes=num_classes)
        params, state = classifier.init(jax.random.key(0), x)
        jaxpr = jax.make_jaxpr(lambda params: classifier.apply(params, state, x)[0])(params)
        return [eqn.outvars[0].aval.shape for eqn in jaxpr.eqns if eqn.primitive.name == "dot_general"]

    assert matrix_products(2) == matrix_products(50)


def test_too_few_classes():
    with pytest.raises(ValueError, match="num_classes of a classifier must be at least 2, got 1"):
        networks.classifier(networks.NetworkConfig(), shape=(2,), num_classes=1)
