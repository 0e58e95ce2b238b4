"""Autoregressive models on examples so small that all of them can be listed."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genloss_jax.networks import NetworkConfig, autoregressive, from_function
from genloss_jax.objectives.autoregressive import autoregressive as build

SHAPE, LEVELS = (2, 2, 1), 3
OUTCOMES = np.array(list(itertools.product(range(LEVELS), repeat=4)))  # all 81 examples
BATCH = {"x": jnp.asarray(OUTCOMES.reshape(-1, *SHAPE) - 1.0, jnp.float32)}  # levels -1, 0, 1

# A Markov chain: number i is `TRANSITIONS[k]` after k, and `TRANSITIONS[LEVELS]` at the beginning.
TRANSITIONS = np.array([[0.5, 0.25, 0.25], [0.1, 0.6, 0.3], [0.7, 0.1, 0.2], [0.2, 0.3, 0.5]])


def chain_probabilities(transitions):
    before = np.concatenate([np.full((len(OUTCOMES), 1), LEVELS), OUTCOMES[:, :-1]], axis=1)
    return np.prod(transitions[before, OUTCOMES], axis=1)


def chain():
    def apply(params, bins):
        tokens = bins.reshape(-1, 4)
        before = jnp.concatenate([jnp.full_like(tokens[:, :1], LEVELS), tokens[:, :-1]], axis=1)
        # Logits need not be normalised.
        return (params["logits"][before] + 3.0).reshape(*bins.shape, LEVELS)

    return from_function(lambda key, bins: {"logits": jnp.log(jnp.asarray(TRANSITIONS, jnp.float32))}, apply)


def network_of(name):
    config = NetworkConfig(name=name, width=8, depth=2)
    return autoregressive.network(autoregressive.AutoregressiveConfig(0.0, 2), config, shape=SHAPE, num_levels=LEVELS)


def assert_follow(samples, probabilities):
    """Compare how often each of the 81 examples came with how often it should (Pearson's test)."""
    bins = np.asarray(jnp.round(samples + 1.0), int).reshape(len(samples), 4)
    np.testing.assert_allclose(samples.reshape(-1, 4), bins - 1.0, atol=1e-6)
    counts = np.bincount(bins @ LEVELS ** np.arange(3, -1, -1), minlength=len(OUTCOMES))
    expected = len(samples) * probabilities / probabilities.sum()
    rare = expected < 5
    groups = [np.append(values[~rare], values[rare].sum()) for values in (counts, expected)]
    assert stats.chisquare(*(group[groups[1] > 0] for group in groups)).pvalue > 1e-3


@pytest.mark.parametrize("name", sorted(autoregressive.NETWORKS))
def test_probabilities_of_all_examples_sum_to_one_and_samples_follow_them(name):
    objective = build(network_of(name), shape=SHAPE, num_levels=LEVELS)
    params, aux = jax.jit(objective.init)(jax.random.key(0), BATCH)
    np.testing.assert_allclose(
        jax.jit(objective.log_prob)(params, aux, BATCH, jax.random.key(0)), -4 * np.log(LEVELS), rtol=1e-6
    )
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + jnp.asarray(0.3 * rng.standard_normal(leaf.shape), leaf.dtype), params)
    probabilities = np.exp(np.asarray(jax.jit(objective.log_prob)(params, aux, BATCH, jax.random.key(0)), np.float64))
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-5)
    assert probabilities.max() > 3 * probabilities.min()
    samples = jax.jit(partial(objective.sample, num=20_000))(params, aux, jax.random.key(1))
    assert samples.shape == (20_000, *SHAPE)
    assert_follow(samples, probabilities)


def test_log_prob_and_loss_of_a_markov_chain_are_those_of_its_table():
    objective = build(chain(), shape=SHAPE, num_levels=LEVELS)
    params, aux = objective.init(jax.random.key(0), BATCH)
    expected = np.log(chain_probabilities(TRANSITIONS))
    np.testing.assert_allclose(jax.jit(objective.log_prob)(params, aux, BATCH, jax.random.key(0)), expected, rtol=1e-5)
    value, (metrics, _) = objective.losses["model"](params, aux, BATCH, jax.random.key(0), {})
    np.testing.assert_allclose(value, -expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_dim"], -expected.mean() / (4 * np.log(2)), rtol=1e-5)
    assert objective.log_prob_kind == "exact"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_is_a_power_of_each_conditional(temperature):
    objective = build(chain(), shape=SHAPE, num_levels=LEVELS, temperature=temperature)
    params, aux = objective.init(jax.random.key(0), BATCH)
    powers = TRANSITIONS ** (1 / temperature)
    samples = jax.jit(partial(objective.sample, num=20_000))(params, aux, jax.random.key(2))
    assert_follow(samples, chain_probabilities(powers / powers.sum(axis=1, keepdims=True)))


def test_gradient_vanishes_where_the_table_holds_the_shares_of_the_data():
    objective = build(chain(), shape=SHAPE, num_levels=LEVELS)
    rng = np.random.default_rng(3)
    bins = rng.integers(0, LEVELS, (200, 4))
    before = np.concatenate([np.full((200, 1), LEVELS), bins[:, :-1]], axis=1)
    counts = np.zeros((LEVELS + 1, LEVELS))
    np.add.at(counts, (before, bins), 1)
    params = {"model": {"logits": jnp.asarray(np.log(counts / counts.sum(axis=1, keepdims=True)), jnp.float32)}}
    batch = {"x": jnp.asarray(bins.reshape(-1, *SHAPE) - 1.0, jnp.float32)}
    grads = jax.grad(lambda p: objective.losses["model"](p, {"model": {}}, batch, jax.random.key(0), {})[0])(params)
    assert np.max(np.abs(grads["model"]["logits"])) < 1e-6


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"num_levels must be at least 2, because only discrete data .*, got 0"):
        build(chain(), shape=SHAPE, num_levels=0)
    with pytest.raises(ValueError, match=r"temperature must be positive, got 0\.0"):
        build(chain(), shape=SHAPE, num_levels=LEVELS, temperature=0.0)
    objective = build(chain(), shape=(4,), num_levels=LEVELS)
    with pytest.raises(ValueError, match=r"batch must hold examples of shape \(4,\), got \(2, 2, 1\)"):
        objective.init(jax.random.key(0), BATCH)
    wrong = from_function(lambda key, bins: {}, lambda params, bins: bins)
    with pytest.raises(ValueError, match=r"network must give logits of shape \(81, 2, 2, 1, 3\), got \(81, 2, 2, 1\)"):
        build(wrong, shape=SHAPE, num_levels=LEVELS).init(jax.random.key(0), BATCH)
