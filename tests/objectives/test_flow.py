"""The flow objective against densities that are known exactly."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genloss_jax.networks import NetworkConfig, flows
from genloss_jax.networks.flows import Flow
from genloss_jax.objectives import flow
from genloss_jax.training import Schedule, make_step, sampling_params

MEAN, SCALE = np.array([1.0, -2.0]), np.array([2.0, 0.5])
HYPER = {"step": 0}


def affine_map() -> Flow:
    """z = (x - MEAN) / SCALE with its parameters at the truth: p = N(MEAN, diag(SCALE²))."""
    norm = flows.activation_norm()
    params = {"shift": jnp.asarray(MEAN, jnp.float32), "log_scale": -jnp.log(jnp.asarray(SCALE, jnp.float32))}
    return Flow(lambda key, x: (params, {}), norm.forward, norm.inverse)


def gaussian_log_prob(x):
    z = (x - MEAN) / SCALE
    return -0.5 * np.sum(z**2, -1) - np.sum(np.log(SCALE)) - np.log(2 * np.pi)


def data(num, seed=0):
    return jnp.asarray(MEAN + SCALE * np.random.default_rng(seed).standard_normal((num, 2)), jnp.float32)


def test_log_prob_and_loss_of_a_gaussian_are_those_of_its_formula():
    objective = flow(affine_map(), shape=(2,))
    batch = {"x": data(50)}
    params, aux = objective.init(jax.random.key(0), batch)
    expected = gaussian_log_prob(np.asarray(batch["x"], np.float64))
    np.testing.assert_allclose(objective.log_prob(params, aux, batch, jax.random.key(1)), expected, rtol=1e-5)
    value, (metrics, _) = objective.losses["model"](params, aux, batch, jax.random.key(1), HYPER)
    assert value == pytest.approx(-expected.mean(), rel=1e-5)
    assert metrics["log_det"] == pytest.approx(-np.log(SCALE).sum(), abs=1e-6)
    assert metrics["base_log_prob"] + metrics["log_det"] == pytest.approx(-float(value), rel=1e-5)
    assert objective.log_prob_kind == "exact"


def test_gradient_vanishes_at_the_maximum_of_the_likelihood():
    batch = {"x": data(200)}
    objective = flow(flows.activation_norm(), shape=(2,))
    # An activation norm starts from the mean and deviation of its batch: the Gaussian of highest likelihood.
    params, aux = objective.init(jax.random.key(0), batch)
    grads = jax.grad(lambda p: objective.losses["model"](p, aux, batch, jax.random.key(1), HYPER)[0])(params)
    assert all(np.max(np.abs(grad)) < 1e-5 for grad in jax.tree.leaves(grads))


def test_samples_follow_the_density():
    objective = flow(affine_map(), shape=(2,))
    params, aux = objective.init(jax.random.key(0), {"x": data(4)})
    samples = np.asarray(objective.sample(params, aux, jax.random.key(2), 20_000))
    np.testing.assert_allclose(samples.mean(axis=0), MEAN, atol=4 * SCALE.max() / np.sqrt(20_000))
    np.testing.assert_allclose(samples.std(axis=0), SCALE, rtol=0.02)


class TestLevels:
    """Discrete data under densities whose mass over each bin is known."""

    def test_bound_of_a_density_that_is_uniform_over_the_unit_interval_is_exact(self):
        # Φ maps N(0, 1) to U(0, 1): z = Φ⁻¹(y), so that p(y) = 1 and P of each of 5 levels is 1/5.
        normal = jax.scipy.stats.norm

        def forward(params, state, y, train=False, key=None):
            z = normal.ppf(y)
            return z, -jnp.sum(normal.logpdf(z), axis=-1), state

        uniform = Flow(lambda key, x: ({}, {}), forward, lambda params, state, z: normal.cdf(z))
        objective = flow(uniform, shape=(3,), num_levels=5)
        x = jnp.asarray(np.random.default_rng(0).integers(0, 5, (40, 3)) / 2 - 1, jnp.float32)
        params, aux = objective.init(jax.random.key(0), {"x": x})
        log_prob = jax.jit(objective.log_prob)(params, aux, {"x": x}, jax.random.key(1))
        np.testing.assert_allclose(log_prob, np.full(40, -3 * np.log(5)), rtol=1e-4)
        loss, _ = jax.jit(objective.losses["model"])(params, aux, {"x": x}, jax.random.key(1), HYPER)
        assert loss == pytest.approx(3 * np.log(5), rel=1e-4)
        assert objective.log_prob_kind == "lower bound"
        sample = jax.jit(partial(objective.sample, num=4000))
        values, counts = np.unique(sample(params, aux, jax.random.key(2)), return_counts=True)
        np.testing.assert_allclose(values, [-1.0, -0.5, 0.0, 0.5, 1.0])
        np.testing.assert_allclose(counts, np.full(5, 2400), rtol=0.1)

    def test_bound_lies_below_the_probability_of_the_level(self):
        # y ~ N(0.5, 0.3²): P of level k of 2 is the mass of [k/2, (k+1)/2], known by the error function.
        norm = flows.activation_norm()
        params = {"shift": jnp.array([0.4]), "log_scale": -jnp.log(jnp.array([0.3]))}
        objective = flow(Flow(lambda key, x: (params, {}), norm.forward, norm.inverse), shape=(1,), num_levels=2)
        x = jnp.repeat(jnp.array([[-1.0], [1.0]]), 4000, axis=0)
        own, aux = objective.init(jax.random.key(0), {"x": x})
        bound = np.asarray(jax.jit(objective.log_prob)(own, aux, {"x": x}, jax.random.key(1))).reshape(2, -1)
        edges = jax.scipy.stats.norm.cdf((jnp.array([0.0, 0.5, 1.0]) - 0.4) / 0.3)
        truth = np.log(np.diff(edges))
        assert np.all(bound.mean(axis=1) < truth)
        # E_u log p(y) over a bin in closed form
        low, high = (np.array([0.0, 0.5]) - 0.4) / 0.3, (np.array([0.5, 1.0]) - 0.4) / 0.3
        second_moment = (high**3 - low**3) / (3 * (high - low))
        expected = -0.5 * second_moment - 0.5 * np.log(2 * np.pi) - np.log(0.3) - np.log(2)
        np.testing.assert_allclose(bound.mean(axis=1), expected, atol=0.03)


@pytest.fixture(scope="module")
def trained():
    """A small spline flow after a short training on an even mixture of N((-1, -1), ¼) and N((1, 1), ¼)."""
    config = flows.FlowConfig(num_layers=2, num_bins=8)
    network = NetworkConfig(name="mlp", width=32, depth=2)
    objective = flow(flows.flow(config, network, shape=(2,)), shape=(2,))
    rule = {"model": lambda hyper: optax.adam(hyper["learning_rate"])}
    init, step = make_step(objective, rule, Schedule(averaged=("model",)))

    def draw(key, num):
        side_key, noise_key = jax.random.split(key)
        side = 2.0 * jax.random.bernoulli(side_key, shape=(num, 1)).astype(jnp.float32) - 1.0
        return side + 0.5 * jax.random.normal(noise_key, (num, 2))

    def train(keys):
        state = init(keys[0], {"x": draw(keys[1], 256)}, {"learning_rate": 5e-3, "ema_decay": 0.99})
        batches = draw(keys[2], 400 * 256).reshape(400, 256, 2)
        return jax.lax.scan(lambda state, x: (step(state, {"x": x})[0], None), state, batches)[0]

    state = jax.jit(train)(jax.random.split(jax.random.key(0), 3))
    held_out = np.asarray(draw(jax.random.key(7), 5000), np.float64)
    log_prob = jax.jit(objective.log_prob)
    return (
        lambda x: log_prob(sampling_params(state), state.aux, {"x": x}, jax.random.key(0)),
        held_out,
        objective,
        state,
    )


def mixture_log_prob(x):
    squares = [np.sum((x - side) ** 2, -1) / (2 * 0.25) for side in (-1.0, 1.0)]
    return np.logaddexp(-squares[0], -squares[1]) - np.log(2 * 2 * np.pi * 0.25)


def test_training_reaches_the_entropy_of_the_data_and_not_more(trained):
    log_prob, x, _, _ = trained
    gaps = mixture_log_prob(x) - np.asarray(log_prob(jnp.asarray(x, jnp.float32)))
    error = gaps.std() / np.sqrt(len(gaps))
    assert -4 * error < gaps.mean() < 0.03


def test_a_trained_density_integrates_to_one(trained):
    axis = np.linspace(-5.0, 5.0, 401)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(np.asarray(trained[0](jnp.asarray(points, jnp.float32)), np.float64))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=2e-3)


def test_samples_of_the_averaged_parameters_lie_where_the_data_are(trained):
    _, x, objective, state = trained
    sample = jax.jit(partial(objective.sample, num=5000))
    samples = np.asarray(sample(sampling_params(state), state.aux, jax.random.key(3)))
    np.testing.assert_allclose(samples.mean(axis=0), x.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(x.T), atol=0.12)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match=r"num_levels must be 0 .* or at least 2, got 1"):
        flow(affine_map(), shape=(2,), num_levels=1)
    with pytest.raises(ValueError, match=r"batch must hold examples of shape \(2,\), got \(3,\)"):
        flow(affine_map(), shape=(2,)).init(jax.random.key(0), {"x": jnp.zeros((4, 3))})
