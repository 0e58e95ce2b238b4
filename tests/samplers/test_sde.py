"""Stochastic solvers on linear equations: their means and variances are recursions of a line."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import samplers

NUM = 40_000
RATE, NOISE = 1.5, 0.7  # of the Ornstein-Uhlenbeck process dx = -RATE x dt + NOISE dW


def finish(step, x, times, seed=0):
    return samplers.run(step, jax.random.key(seed), samplers.start(x), times.shape[0] - 1)[0].x


def test_ornstein_uhlenbeck_keeps_to_the_recursion_of_its_steps_and_comes_near_the_process():
    times = jnp.linspace(0.0, 1.0, 51)
    x = finish(samplers.euler_maruyama(lambda x, t: -RATE * x, lambda t: NOISE, times), jnp.full(NUM, 2.0), times)
    factor, mean, variance = 1 - RATE / 50, 2.0, 0.0
    for _ in range(50):
        mean, variance = factor * mean, factor**2 * variance + NOISE**2 / 50
    assert float(jnp.mean(x)) == pytest.approx(mean, abs=4 * np.sqrt(variance / NUM))
    assert float(jnp.var(x)) == pytest.approx(variance, rel=4 * np.sqrt(2 / NUM))
    # The process itself, from which the steps differ by order 1 / 50.
    assert mean == pytest.approx(2 * np.exp(-RATE), rel=0.03)
    assert variance == pytest.approx(NOISE**2 / (2 * RATE) * (1 - np.exp(-2 * RATE)), rel=0.03)


def test_reversed_ornstein_uhlenbeck_takes_the_end_back_to_the_start():
    # From N(0, v(1)) backwards, drift -RATE x - NOISE² score = (-RATE + NOISE² / v(t)) x, to N(0, v(0)).
    start_variance = 0.3

    def variance(t):
        decay = jnp.exp(-2 * RATE * t)
        return start_variance * decay + NOISE**2 / (2 * RATE) * (1 - decay)

    times = jnp.linspace(1.0, 0.0, 401)
    step = samplers.euler_maruyama(lambda x, t: (-RATE + NOISE**2 / variance(t)) * x, lambda t: NOISE, times)
    x = jnp.sqrt(variance(jnp.array(1.0))) * jax.random.normal(jax.random.key(1), (NUM,))
    assert float(jnp.var(finish(step, x, times))) == pytest.approx(start_variance, rel=0.04)


def test_fresh_noise_of_every_step_is_its_own():
    times = jnp.linspace(0.0, 1.0, 3)
    step = samplers.euler_maruyama(lambda x, t: jnp.zeros_like(x), lambda t: 1.0, times)
    first, _ = samplers.run(step, jax.random.key(0), samplers.start(jnp.zeros(NUM)), 1)
    last, _ = samplers.run(step, jax.random.key(0), samplers.start(jnp.zeros(NUM)), 2)
    moves = np.stack([first.x, last.x - first.x])
    assert abs(np.corrcoef(moves)[0, 1]) < 4 / np.sqrt(NUM)
    assert moves.var(axis=1) == pytest.approx([0.5, 0.5], rel=0.04)


def linear_path(t):
    return t, 1 - t


def oracle(std):
    """Denoise data from N(0, std²) as well as can be."""

    def denoise(x, t):
        alpha, sigma = linear_path(t)
        total = alpha**2 * std**2 + sigma**2
        return alpha * std**2 / total * x, sigma / total * x

    return denoise


def variance_after(std, times, stochasticity):
    """Follow the variance through the steps by hand: each is x -> c x + sqrt(v) noise."""
    variance = 1.0
    for t, s in itertools.pairwise(times):
        total = t**2 * std**2 + (1 - t) ** 2
        fresh = stochasticity**2 * (1 - s) ** 2 * (1 - (t * (1 - s) / (s * (1 - t))) ** 2)
        factor = s * t * std**2 / total + np.sqrt((1 - s) ** 2 - fresh) * (1 - t) / total
        variance = factor**2 * variance + fresh
    return variance


@pytest.mark.parametrize("stochasticity", [0.0, 0.5, 1.0])
def test_ancestral_steps_of_gaussian_data_keep_to_their_recursion(stochasticity):
    times = np.linspace(0.0, 1.0, 9)
    step = samplers.ancestral(oracle(0.6), linear_path, jnp.asarray(times), stochasticity=stochasticity)
    x = finish(step, jax.random.normal(jax.random.key(1), (NUM,)), times)
    assert float(jnp.var(x)) == pytest.approx(variance_after(0.6, times, stochasticity), rel=4 * np.sqrt(2 / NUM))


@pytest.mark.parametrize("stochasticity", [0.0, 1.0])
def test_many_ancestral_steps_arrive_at_the_data(stochasticity):
    assert variance_after(0.6, np.linspace(0.0, 1.0, 4001), stochasticity) == pytest.approx(0.36, rel=2e-3)


def test_ancestral_steps_with_the_datum_known_are_exactly_distributed_at_every_level():
    # x_s given the datum is N(α_s datum, σ_s²), however few steps led there.
    times = jnp.array([0.1, 0.4, 0.7])
    datum = 2.0

    def known(x, t):
        alpha, sigma = linear_path(t)
        return jnp.full_like(x, datum), (x - alpha * datum) / sigma

    x = 0.1 * datum + 0.9 * jax.random.normal(jax.random.key(1), (NUM,))
    x = finish(samplers.ancestral(known, linear_path, times), x, times)
    assert float(jnp.mean(x)) == pytest.approx(0.7 * datum, abs=4 * 0.3 / np.sqrt(NUM))
    assert float(jnp.var(x)) == pytest.approx(0.09, rel=4 * np.sqrt(2 / NUM))


def test_stochasticity_out_of_range():
    with pytest.raises(ValueError, match=r"stochasticity must be between 0 and 1, got 1\.5"):
        samplers.ancestral(oracle(1.0), linear_path, jnp.linspace(0.0, 1.0, 3), stochasticity=1.5)
