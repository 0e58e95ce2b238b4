"""Autoregressive networks: each output depends on exactly the numbers before it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.networks import NetworkConfig, autoregressive

LEVELS = 3


def build(name, shape, *, num_levels=LEVELS, dropout=0.0, num_heads=2, **options):
    config = autoregressive.AutoregressiveConfig(dropout, num_heads)
    options = {"width": 8, "depth": 2, **options}
    network = NetworkConfig(name=name, **options)
    return autoregressive.network(config, network, shape=shape, num_levels=num_levels)


def drawn(network, bins, dtype):
    """Draw parameters of any size, since the output is 0 at the start; without compiling the start."""
    params, state = jax.eval_shape(network.init, jax.random.key(0), bins)
    assert state == {}
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.standard_normal(leaf.shape), dtype), params)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("pixelcnn", (8, 8, 1), {"depth": 4}),
        ("pixelcnn", (3, 2, 2), {}),
        ("image_gpt", (8, 8, 1), {}),
        ("image_gpt", (2, 2, 3), {}),
        ("image_gpt", (5,), {"activation": "relu"}),
    ],
)
def test_outputs_depend_on_exactly_the_numbers_before_their_own(name, shape, options):
    network = build(name, shape, **options)
    length = int(np.prod(shape))
    base = np.random.default_rng(0).integers(0, LEVELS, length)
    # row 0 is the example, row j + 1 the same with another number at j
    rows = np.stack([base, *((base + np.eye(length, dtype=int)[j]) % LEVELS for j in range(length))])
    with jax.enable_x64(True):
        bins = jnp.asarray(rows.reshape(-1, *shape), jnp.int32)
        logits, _ = jax.jit(network.apply)(drawn(network, bins, jnp.float64), {}, bins)
        logits = np.asarray(logits).reshape(-1, length, LEVELS)
    depends = np.max(np.abs(logits[1:] - logits[:1]), axis=-1) > 1e-12
    np.testing.assert_array_equal(depends, np.triu(np.ones((length, length), bool), 1))


@pytest.mark.parametrize("name", sorted(autoregressive.NETWORKS))
def test_dropout_acts_in_training_only(name):
    network = build(name, (2, 2, 1), dropout=0.5, depth=1)
    bins = jnp.zeros((3, 2, 2, 1), jnp.int32)
    params = drawn(network, bins, jnp.float32)

    @jax.jit
    def outputs(keys):
        in_training = [network.apply(params, {}, bins, train=True, key=key)[0] for key in keys[:2]]
        return *in_training, network.apply(params, {}, bins, key=keys[2])[0]

    first, second, evaluated = outputs(jax.random.split(jax.random.key(1), 3))
    assert np.any(first != second) and np.any(first != evaluated)
    np.testing.assert_allclose(evaluated[0], evaluated[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "pixelcn"}, "unknown autoregressive network 'pixelcn'; did you mean 'pixelcnn'"),
        ({"normalization": "batch"}, "unknown normalization of the network 'image_gpt' 'batch'"),
        ({"activation": "rel"}, "unknown activation 'rel'"),
        ({"num_levels": 1}, "num_levels must be at least 2, got 1"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
        ({"num_heads": 3}, "num_heads must be a divisor of the width 8, got 3"),
        ({"name": "pixelcnn", "convolution": "fast"}, "unknown convolution 'fast'"),
        ({"name": "pixelcnn", "shape": (4,)}, r"shape for a pixelcnn must be \(H, W, C\), got \(4,\)"),
    ],
)
def test_wrong_options_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**{"name": "image_gpt", "shape": (2, 2, 1), **changes})


def test_what_is_not_bins_of_the_shape_is_named():
    network = build("image_gpt", (2, 2, 1))
    with pytest.raises(ValueError, match=r"bins must be integers \[B, \(2, 2, 1\)\], got int32 \(3, 4\)"):
        network.init(jax.random.key(0), jnp.zeros((3, 4), jnp.int32))
    with pytest.raises(ValueError, match=r"bins must be integers .*, got float32 \(3, 2, 2, 1\)"):
        network.apply({}, {}, jnp.zeros((3, 2, 2, 1)))
