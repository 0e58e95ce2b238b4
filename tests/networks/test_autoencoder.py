"""Encoders and decoders of every architecture, and critics of examples and latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import networks
from genloss_jax.networks.network import from_function

LATENT = 6
WIDTHS = {"mlp": 16, "dcgan": 4, "resnet": 8, "r3gan": 8}


def config_of(name, **changes):
    return networks.NetworkConfig(name=name, width=WIDTHS[name])._replace(**changes)


def shapes(network, *inputs):
    params, state = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    outputs, _ = jax.eval_shape(lambda p, s, *i: network.apply(p, s, *i, train=True), params, state, *inputs)
    return outputs, params, state


@pytest.mark.parametrize("size, channels", [(8, 1), (16, 3), (32, 3), (64, 1)])
@pytest.mark.parametrize("name", WIDTHS)
def test_decoder_answers_encoder_in_numbers_per_number_of_the_example(name, size, channels):
    shape = (size, size, channels)
    encoder, decoder = networks.autoencoder(config_of(name), shape=shape, latent_dim=LATENT, num_outputs=2)
    code, params, _ = shapes(encoder, jnp.zeros((5, *shape)))
    assert code.shape == (5, 2 * LATENT)
    assert params["logit"]["kernel"].shape[1] == 2 * LATENT
    assert shapes(decoder, jnp.zeros((5, LATENT)))[0].shape == (5, *shape, 2)


def test_what_a_config_asks_of_critics_is_not_asked_of_encoders():
    config = config_of("dcgan", spectral_norm=True, minibatch_stddev=True)
    encoder, _ = networks.autoencoder(config, shape=(8, 8, 1), latent_dim=LATENT, num_outputs=1)
    _, plain, state = shapes(encoder, jnp.zeros((2, 8, 8, 1)))
    _, critic, critic_state = shapes(networks.critic(config, shape=(8, 8, 1)), jnp.zeros((2, 8, 8, 1)))
    assert state == {} and set(critic_state) == {"spectral", "batch_stats"}
    assert critic["logit"]["kernel"].shape[0] == plain["logit"]["kernel"].shape[0] + 2 * 2


def generator_and_decoder(name, shape):
    latents = jnp.asarray(np.random.default_rng(0).standard_normal((3, LATENT)), jnp.float32)
    generator = networks.generator(config_of(name), shape=shape)
    decoder = networks.decoder(config_of(name), shape=shape, num_outputs=1)
    params, state = jax.jit(generator.init)(jax.random.key(0), latents)
    apply = jax.jit(lambda network: network.apply(params, state, latents)[0], static_argnums=0)
    return apply(generator), apply(decoder)[..., 0]


@pytest.mark.parametrize("name", ["dcgan", "resnet", "mlp"])
def test_a_decoder_of_images_is_the_generator_without_its_tanh(name):
    images, outputs = generator_and_decoder(name, (8, 8, 1))
    np.testing.assert_allclose(images, jnp.tanh(outputs), rtol=1e-5, atol=1e-6)


def test_a_decoder_of_points_is_the_generator():
    points, outputs = generator_and_decoder("mlp", (2,))
    np.testing.assert_allclose(points, outputs, rtol=1e-5, atol=1e-6)


def test_feature_critic_gives_logits_of_rectified_features_and_latents_and_the_features_themselves():
    body = from_function(lambda key, x: jnp.array([1.0, -1.0]), lambda w, x: x @ jnp.stack([w, w], 1))
    head = from_function(lambda key, x: jnp.arange(1.0, 1.0 + x.shape[1]), lambda w, x: x @ w)
    critic = networks.feature_critic(body, head)
    x, z = jnp.array([[3.0, 1.0], [0.0, 5.0]]), jnp.array([[10.0], [20.0]])
    params, state = critic.init(jax.random.key(0), x, z)
    (logits, features), _ = critic.apply(params, state, x, z)
    np.testing.assert_allclose(features, [[2.0, 2.0], [-5.0, -5.0]])
    np.testing.assert_allclose(logits, [2 + 4 + 30, -1 - 2 + 60])
    params, state = critic.init(jax.random.key(0), x)
    np.testing.assert_allclose(critic.apply(params, state, x)[0][0], [6.0, -3.0])
