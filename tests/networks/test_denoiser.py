import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import networks
from genloss_jax.networks.denoiser import fourier_features

X = jnp.asarray(np.random.default_rng(0).standard_normal((5, 2)), jnp.float32)
LEVELS = jnp.linspace(-1.0, 1.0, 5)


def build(**changes):
    config = networks.NetworkConfig(width=16, depth=2)._replace(**changes)
    network = networks.denoiser(config, shape=(2,))
    params, state = network.init(jax.random.key(0), X, LEVELS)
    return network, params, state


def test_fourier_features_are_the_number_and_its_waves():
    features = fourier_features(jnp.array([0.5, 0.0]), 2)
    expected = [[0.5, 1.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0, 1.0]]
    np.testing.assert_allclose(features, expected, atol=1e-6)


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


class TestErrors:
    def test_misspelt_name(self):
        with pytest.raises(ValueError, match="unknown network of a denoiser 'mpl'; did you mean 'mlp'"):
            build(name="mpl")

    def test_batch_norm_is_refused(self):
        with pytest.raises(ValueError, match="unknown normalization of a denoiser 'batch'"):
            build(normalization="batch")

    def test_wrong_shape_names_both(self):
        network, params, state = build()
        with pytest.raises(ValueError, match=r"x must have shape \[B, \(2,\)\], got \(5, 3\)"):
            network.apply(params, state, jnp.zeros((5, 3)), LEVELS)
