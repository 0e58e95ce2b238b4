"""Models of few steps on Gaussian data, where the map from noise to data is known: straight, and in one leap."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import diffusion as losses
from genloss_jax.networks.network import from_function
from genloss_jax.objectives import consistency, diffusion, mean_flow, rectified_flow

MEAN, STD = 0.7, 0.5
SIGMA_MIN, SIGMA_MAX = 0.01, 20.0
HYPER = {"step": 0, "log_sigma_mean": -1.1, "log_sigma_std": 2.0, "adaptive_power": 0.0}


def data(num):
    return MEAN + STD * jax.random.normal(jax.random.key(5), (num, 2))


def oracle(of):
    """What a network says that knows the data to be N(MEAN, STD²)."""
    return from_function(
        lambda key, x, *levels: {"unused": jnp.zeros(())},
        lambda params, x, *levels: of(x, *(level[:, None] for level in levels)),
    )


def build(network, process, **options):
    objective = diffusion(network, process, shape=(2,), **options)
    return objective, *objective.init(jax.random.key(0), {"x": data(4)})


# --- Consistency ---


def end_of_path(x_t, sigma):
    """Follow the ODE of N(m, s² + σ²) from σ to SIGMA_MIN: standard scores stay what they are."""
    return MEAN + (x_t - MEAN) * jnp.sqrt((STD**2 + SIGMA_MIN**2) / (STD**2 + sigma**2))


def network_that_knows(end_fn):
    def output(scaled, level):
        # At SIGMA_MIN the network is multiplied by zero, and may say anything.
        sigma = jnp.maximum(jnp.exp(4.0 * level), SIGMA_MIN * 1.0001)
        c_skip, c_out, c_in, _ = losses.consistency_preconditioning(sigma, sigma_data=STD, sigma_min=SIGMA_MIN)
        x_t = scaled / c_in
        return (end_fn(x_t, sigma) - c_skip * x_t) / c_out

    return oracle(output)


CONSISTENCY = functools.partial(consistency, STD, SIGMA_MIN, SIGMA_MAX)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_consistency_of_the_true_map_leaps_to_the_data(num_steps):
    objective, params, aux = build(network_that_knows(end_of_path), CONSISTENCY(), num_steps=num_steps)
    assert objective.log_prob is None
    samples = objective.sample(params, aux, jax.random.key(1), 20_000)
    # From N(0, SIGMA_MAX²) and not N(m, s² + SIGMA_MAX²); four standard errors.
    shrunk = MEAN * (1 - STD / SIGMA_MAX) if num_steps == 1 else MEAN
    np.testing.assert_allclose(samples.mean(axis=0), shrunk, atol=4 * STD / math.sqrt(20_000))
    np.testing.assert_allclose(samples.std(axis=0), STD, rtol=0.02)


def test_consistency_loss_is_lower_for_the_true_map_than_for_two_others():
    def value(end_fn):
        objective, params, aux = build(network_that_knows(end_fn), CONSISTENCY(num_intervals=256))
        return float(objective.losses["model"](params, aux, {"x": data(4_000)}, jax.random.key(0), HYPER)[0])

    assert value(end_of_path) < value(lambda x, sigma: 0.5 * (x + end_of_path(x, sigma)))
    assert value(end_of_path) < value(lambda x, sigma: end_of_path(x, 0.5 * sigma))


# --- Mean flow ---


def mean_velocity(x_t, t, ahead):
    """u = (x_r − x_t) / (r − t) of the map x_r = r m + sqrt(V_r / V_t) (x_t − t m), V_t = t² s² + (1 − t)²."""
    r = t + ahead
    variance = t**2 * STD**2 + (1 - t) ** 2
    centered = x_t - t * MEAN
    leap = ((jnp.sqrt((r**2 * STD**2 + (1 - r) ** 2) / variance) - 1) * centered) / jnp.where(ahead > 0, ahead, 1.0)
    instant = (t * STD**2 - (1 - t)) / variance * centered
    return MEAN + jnp.where(ahead > 1e-3, leap, instant)


@pytest.mark.parametrize("num_steps", [1, 4])
def test_mean_flow_of_the_true_velocity_takes_noise_to_the_mean_plus_the_scaled_noise(num_steps):
    objective, params, aux = build(oracle(mean_velocity), mean_flow(), num_steps=num_steps)
    assert objective.log_prob is None
    samples = objective.sample(params, aux, jax.random.key(1), 64)
    noise_key, _ = jax.random.split(jax.random.key(1))
    noise = jax.random.normal(noise_key, (128,)).reshape(64, 2)
    np.testing.assert_allclose(samples, MEAN + STD * noise, atol=1e-5)


def test_mean_flow_loss_at_one_time_is_that_of_flow_matching():
    objective, params, aux = build(oracle(mean_velocity), mean_flow(instant_share=1.0))
    value, _ = objective.losses["model"](params, aux, {"x": data(20_000)}, jax.random.key(0), HYPER)
    assert float(value) == pytest.approx(2 * math.pi * STD / 2, rel=0.02)


def test_mean_flow_divides_the_error_by_a_traced_power_of_itself():
    objective, params, aux = build(oracle(mean_velocity), mean_flow())

    def value(power):
        hyper = HYPER | {"adaptive_power": power}
        return objective.losses["model"](params, aux, {"x": data(512)}, jax.random.key(0), hyper)[0]

    plain, whole = jax.vmap(value)(jnp.array([0.0, 1.0]))
    assert plain > 1.0
    assert 0.9 < float(whole) < 1.0  # error / (error + 0.001)


# --- Rectified flow ---


def test_second_flow_finds_straight_paths_that_cost_nothing_and_sample_in_one_step():
    def velocity(x, t):
        t = jnp.minimum(t, 1 - 1e-5)
        best = MEAN + t * STD**2 / (t**2 * STD**2 + (1 - t) ** 2) * (x - t * MEAN)
        return best - (x - t * best) / (1 - t)

    def straight(x, t):
        return MEAN + (STD - 1) * (x - t * MEAN) / (1 - t + t * STD)

    # Which of the two a player is stands in its parameters.
    network = from_function(
        lambda key, x, t: {"straight": jnp.zeros(())},
        lambda params, x, t: jnp.where(params["straight"] > 0, straight(x, t[:, None]), velocity(x, t[:, None])),
    )
    objective = rectified_flow(network, shape=(2,), sampler="euler", num_steps=1, num_pair_steps=40)
    params, aux = objective.init(jax.random.key(0), {"x": data(4)})
    params = {"flow": params["flow"], "model": {"straight": jnp.ones(())}}

    def value(player, params):
        batch = {"x": data(20_000)}
        return float(objective.losses[player](params, aux, batch, jax.random.key(0), HYPER)[0])

    assert value("flow", params) == pytest.approx(2 * math.pi * STD / 2, rel=0.02)
    assert value("model", params) < 1e-4
    assert value("model", {"flow": params["flow"], "model": params["flow"]}) > 0.1
    samples = objective.sample(params, aux, jax.random.key(1), 64)
    noise_key, _ = jax.random.split(jax.random.key(1))
    np.testing.assert_allclose(samples, MEAN + STD * jax.random.normal(noise_key, (128,)).reshape(64, 2), atol=1e-5)
    x = data(3)
    exact = np.sum(-0.5 * ((x - MEAN) / STD) ** 2 - np.log(STD * math.sqrt(2 * math.pi)), axis=-1)
    np.testing.assert_allclose(objective.log_prob(params, aux, {"x": x}, jax.random.key(0)), exact, atol=2e-3)


class TestErrors:
    def test_numbers_out_of_range(self):
        with pytest.raises(ValueError, match="num_intervals must be at least 2, got 1"):
            CONSISTENCY(num_intervals=1)
        with pytest.raises(ValueError, match=r"instant_share must be between 0 and 1, got 1\.5"):
            mean_flow(instant_share=1.5)
        with pytest.raises(ValueError, match="num_pair_steps must be at least 1, got 0"):
            rectified_flow(oracle(mean_velocity), shape=(2,), num_pair_steps=0)

    def test_misspelt_path(self):
        with pytest.raises(ValueError, match="unknown path 'liner'; did you mean 'linear'"):
            mean_flow("liner")
