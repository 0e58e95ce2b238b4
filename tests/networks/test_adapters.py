import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genloss_jax import networks


class _LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.BatchNorm(not train)(nn.Dense(16)(x))
        return nn.Dropout(0.5, deterministic=not train)(x)


class _NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(4, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.inner(x)))


NETWORKS = {"linen": networks.from_linen(_LinenNet()), "nnx": networks.from_nnx(lambda rngs: _NNXNet(rngs))}


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).standard_normal((32, 4)) + 3.0, jnp.float32)


def _init(network, x):
    return jax.jit(network.init)(jax.random.key(0), x)


def _affine(params, x):
    """Dense layer of either library, by shape."""
    by_shape = {leaf.shape: leaf for leaf in jax.tree.leaves(params)}
    return np.asarray(x) @ np.asarray(by_shape[4, 16])


def test_state_holds_statistics_and_params_hold_the_rest(network, x):
    params, state = _init(network, x)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(params)) == [(4, 16), (16,), (16,), (16,)]
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(16,), (16,)]


def test_training_normalises_by_the_batch_drops_and_moves_the_averages(network, x):
    params, state = _init(network, x)
    out, new_state = jax.jit(lambda key: network.apply(params, state, x, train=True, key=key))(jax.random.key(1))
    hidden = _affine(params, x)
    normalized = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
    kept = np.asarray(out) != 0
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_allclose(np.asarray(out)[kept], 2 * normalized[kept], rtol=1e-3, atol=1e-3)
    mean, _ = jax.tree.leaves(new_state)
    np.testing.assert_allclose(mean, 0.01 * hidden.mean(0), rtol=1e-3, atol=1e-5)


def test_evaluation_uses_the_averages_and_changes_nothing(network, x):
    params, state = _init(network, x)
    out, same = network.apply(params, state, x)
    np.testing.assert_allclose(out, _affine(params, x) / np.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-4)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), state, same))
    alone, _ = network.apply(params, state, x[:1])
    np.testing.assert_allclose(alone, out[:1], rtol=1e-5, atol=1e-5)


def test_dropout_follows_the_key(network, x):
    params, state = _init(network, x)

    def draw(seed):
        return np.asarray(network.apply(params, state, x, train=True, key=jax.random.key(seed))[0])

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


def test_members_under_vmap_equal_single_runs(network, x):
    keys = jax.random.split(jax.random.key(0), 3)
    params, state = jax.jit(jax.vmap(lambda key: network.init(key, x)))(keys)
    out, _ = jax.vmap(lambda p, s, key: network.apply(p, s, x, train=True, key=key))(params, state, keys)
    own = jax.tree.map(lambda leaf: leaf[1], (params, state))
    single, _ = network.apply(*own, x, train=True, key=jax.random.split(jax.random.key(0), 3)[1])
    np.testing.assert_allclose(out[1], single, rtol=1e-4, atol=1e-4)
    leaves = jax.tree.leaves(params)
    assert any((np.asarray(leaf[0]) != np.asarray(leaf[1])).any() for leaf in leaves)


def test_first_apply_inside_a_trace_leaks_nothing(x):
    network = networks.from_nnx(lambda rngs: _NNXNet(rngs))
    params, state = jax.jit(lambda key: network.init(key, x))(jax.random.key(0))
    first = jax.jit(lambda p: network.apply(p, state, x)[0])(params)
    second, _ = network.apply(params, state, x)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


def test_gradients_reach_all_nnx_parameters(x):
    network = NETWORKS["nnx"]
    params, state = _init(network, x)

    def loss(params, key):
        return jnp.sum(jnp.sin(network.apply(params, state, x, train=True, key=key)[0]))

    grads = jax.grad(loss)(params, jax.random.key(1))
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    assert float(jnp.abs(grads["inner"]["kernel"]).max()) > 1e-3
    assert float(jnp.abs(grads["norm"]["scale"]).max()) > 1e-3


def test_nnx_module_that_draws_needs_a_key_in_training(x):
    network = NETWORKS["nnx"]
    params, state = _init(network, x)
    with pytest.raises(ValueError, match="key must be given where train=True"):
        network.apply(params, state, x, train=True)
