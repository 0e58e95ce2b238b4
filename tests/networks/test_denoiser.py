import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import networks
from genloss_jax.networks.layers import fourier_features

X = jnp.asarray(np.random.default_rng(0).standard_normal((5, 2)), jnp.float32)
LEVELS = jnp.linspace(-1.0, 1.0, 5)


def build(**changes):
    config = networks.NetworkConfig(width=16, depth=2)._replace(**changes)
    network = networks.denoiser(config, shape=(2,))
    params, state = network.init(jax.random.key(0), X, LEVELS)
    return network, params, state


def test_fourier_features_are_the_number_and_its_waves():
    level = jnp.array([0.5, 0.0])
    expected = np.array([[0.5, 1.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0, 1.0]])
    np.testing.assert_allclose(fourier_features([level], 2), expected, atol=1e-6)
    both = fourier_features([level, level[::-1]], 2)
    np.testing.assert_allclose(both, np.hstack([expected, expected[::-1]]), atol=1e-6)


def test_denoiser_starts_at_zero_has_no_state_and_counts_as_by_hand():
    network, params, state = build()
    assert state == {}
    output, _ = network.apply(params, state, X, LEVELS)
    assert output.shape == X.shape and np.all(output == 0.0)
    # embedding 17 -> 16; two layers of own kernel, bias and the embedding's kernel; output 16 -> 2
    expected = (17 * 16 + 16) + (2 * 16 + 16 + 16 * 16) + (16 * 16 + 16 + 16 * 16) + (16 * 2 + 2)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


def test_denoiser_treats_each_example_by_itself_and_sees_its_level():
    network, params, state = build()
    params = {**params, "output": jax.tree.map(jnp.ones_like, params["output"])}
    together, _ = network.apply(params, state, X, LEVELS)
    alone, _ = network.apply(params, state, X[2:3], LEVELS[2:3])
    np.testing.assert_allclose(together[2:3], alone, rtol=1e-5)
    other, _ = network.apply(params, state, X, LEVELS + 0.1)
    assert np.all(jnp.abs(together - other) > 1e-4)


# --- U-Net ---

IMAGES = jnp.asarray(np.random.default_rng(1).standard_normal((3, 8, 8, 2)), jnp.float32)


@functools.cache
def unet():
    config = networks.NetworkConfig(name="unet", width=8, depth=1, normalization="group")
    network = networks.denoiser(config, shape=(8, 8, 2))
    params, state = network.init(jax.random.key(0), IMAGES, LEVELS[:3])
    return jax.jit(network.apply), params, state


def without_zeros(params):
    """Give the kernels that start at zero other values, so that every layer speaks."""
    keys = iter(jax.random.split(jax.random.key(1), 100))

    def move(path, leaf):
        moves = path[-1].key == "kernel" and not np.any(leaf)
        return 0.1 * jax.random.normal(next(keys), leaf.shape) if moves else leaf

    return jax.tree.map_with_path(move, params)


def test_unet_starts_at_zero_has_no_state_and_counts_as_by_hand():
    apply, params, state = unet()
    assert state == {}
    output, _ = apply(params, state, IMAGES, LEVELS[:3])
    assert output.shape == IMAGES.shape and np.all(output == 0.0)

    def block(before, after):
        convolutions = 9 * before * after + after + 9 * after * after + after
        past = before * after + after if before != after else 0
        return convolutions + past + 2 * before + 2 * after + (32 * 2 * after + 2 * after)

    embedding = (17 * 32 + 32) + (32 * 32 + 32)
    ends = (9 * 2 * 8 + 8) + 2 * 8 + (9 * 8 * 2 + 2)
    expected = embedding + ends + block(8, 8) + block(8, 16) + block(16, 16) + block(24, 8)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


def test_unet_treats_each_image_by_itself_sees_its_level_and_every_pixel_sees_every_other():
    apply, params, state = unet()
    params = without_zeros(params)
    together, _ = apply(params, state, IMAGES, LEVELS[:3])
    alone, _ = apply(params, state, jnp.tile(IMAGES[1:2], (3, 1, 1, 1)), jnp.full(3, LEVELS[1]))
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)
    other, _ = apply(params, state, IMAGES, LEVELS[:3] + 0.3)
    assert np.all(jnp.max(jnp.abs(together - other), axis=(1, 2, 3)) > 1e-3)
    touched, _ = apply(params, state, IMAGES.at[:, 0, 0].add(1.0), LEVELS[:3])
    assert np.all(touched != together)


class TestErrors:
    def test_misspelt_name(self):
        with pytest.raises(ValueError, match="unknown network of a denoiser 'mpl'; did you mean 'mlp'"):
            build(name="mpl")

    def test_batch_norm_is_refused(self):
        with pytest.raises(ValueError, match="unknown normalization of an mlp denoiser 'batch'"):
            build(normalization="batch")

    def test_wrong_shape_names_both(self):
        network, params, state = build()
        with pytest.raises(ValueError, match=r"x must have shape \[B, \(2,\)\], got \(5, 3\)"):
            network.apply(params, state, jnp.zeros((5, 3)), LEVELS)

    def test_unet_of_points(self):
        with pytest.raises(ValueError, match=r"shape for 'unet' must be one of .*got \(2,\)"):
            build(name="unet")
