"""Losses that contrast data with noise, against quadrature and Gaussians on paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genloss_jax.losses import energy
from tests.reference import energy as reference

DATA, NOISE = stats.norm(1.0, 1.0), stats.norm(0.0, 2.0)


def pairs_of_nodes(first, second, num=150):
    """Pair the nodes of two Gaussians: two batches, and the weight of each pair."""
    (x, p), (y, q) = (reference.normal_nodes(each.mean(), each.std(), num) for each in (first, second))
    return np.repeat(x, num), np.tile(y, num), np.outer(p, q).ravel()


# --- Noise contrastive estimation ---


def expected_noise_contrastive(log_model, ratio):
    x, y, weights = pairs_of_nodes(DATA, NOISE)

    def log_ratio(points):
        return log_model(jnp.asarray(points)) - jnp.asarray(NOISE.logpdf(points))

    return jnp.sum(weights * energy.noise_contrastive_loss(log_ratio(x), log_ratio(y), noise_ratio=ratio))


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_noise_contrastive_loss_at_the_optimum_is_that_of_quadrature(ratio):
    with jax.enable_x64(True):
        value = expected_noise_contrastive(lambda x: jax.scipy.stats.norm.logpdf(x, 1.0, 1.0), ratio)
        np.testing.assert_allclose(value, reference.noise_contrastive_minimum(DATA, NOISE, ratio), rtol=1e-6)
        if ratio == 1:
            np.testing.assert_allclose(value, 2 * np.log(2) - 2 * reference.jensen_shannon(DATA, NOISE), rtol=1e-6)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_constant_learned_by_noise_contrastive_estimation_is_minus_the_log_normaliser(ratio):
    with jax.enable_x64(True):

        def gradient(constant):
            return jax.grad(lambda c: expected_noise_contrastive(lambda x: c - 0.5 * (x - 1) ** 2, ratio))(constant)

        minus_log_z = -0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(gradient(minus_log_z), 0, atol=1e-7)
        assert gradient(minus_log_z - 0.1) < -1e-3 < 1e-3 < gradient(minus_log_z + 0.1)


def test_noise_contrastive_gradient_becomes_that_of_maximum_likelihood_as_noise_grows():
    with jax.enable_x64(True):

        def log_model(precision):
            return lambda x: 0.5 * jnp.log(precision / (2 * np.pi)) - 0.5 * precision * (x - 1) ** 2

        gradient = jax.grad(lambda precision: expected_noise_contrastive(log_model(precision), 1e7))(1.6)
    # −log p has the mean λ s / 2 − ½ log λ with s = 1
    np.testing.assert_allclose(gradient, 0.5 - 0.5 / 1.6, rtol=1e-4)


def test_several_noise_draws_are_averaged_and_weighed_by_the_ratio():
    data, noise = jnp.array([0.3, -2.0]), jnp.array([[0.5, 1.0, -1.0], [2.0, 0.0, 0.1]])
    value = energy.noise_contrastive_loss(data, noise, noise_ratio=4.0)
    single = [energy.noise_contrastive_loss(data, noise[:, k], noise_ratio=4.0) for k in range(3)]
    np.testing.assert_allclose(value, np.mean(single, 0), rtol=1e-6)


def test_noise_contrastive_losses_are_finite_at_extreme_logits():
    extremes = jnp.array([1e4, -1e4, 1e4, -1e4])
    for loss in (energy.noise_contrastive_loss, energy.conditional_noise_contrastive_loss):
        value, pull_back = jax.vjp(loss, extremes, extremes[::-1])
        assert np.all(np.isfinite(value))
        assert all(np.all(np.isfinite(gradient)) for gradient in pull_back(jnp.ones(4)))


# --- Conditional noise contrastive estimation ---

STD, SIGMA = 1.2, 0.9


def expected_conditional(precision, shrink=1.0, correct=True, sigma=SIGMA):
    """Expected loss of E = precision x²/2 on N(0, STD²) with y = shrink x + sigma noise."""
    x, noise, weights = pairs_of_nodes(stats.norm(0, STD), stats.norm(0, 1))
    y = shrink * x + sigma * noise
    ratio = stats.norm(shrink * x, sigma).logpdf(y) - stats.norm(shrink * y, sigma).logpdf(x)
    energies = [0.5 * precision * jnp.asarray(points) ** 2 for points in (x, y)]
    loss = energy.conditional_noise_contrastive_loss(*energies, jnp.asarray(ratio) if correct else None)
    return jnp.sum(weights * loss)


@pytest.mark.parametrize("shrink", [1.0, 0.5])
def test_conditional_noise_contrastive_loss_at_the_optimum_is_that_of_quadrature(shrink):
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(expected_conditional)(1 / STD**2, shrink)
    divergence = reference.swapped_jensen_shannon(stats.norm(0, STD), lambda x: stats.norm(shrink * x, SIGMA))
    np.testing.assert_allclose(value, 2 * np.log(2) - 2 * divergence, rtol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)


def test_symmetric_noise_needs_no_transition_ratio_and_other_noise_does():
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            expected_conditional(0.7, 1.0, correct=False), expected_conditional(0.7, 1.0), rtol=1e-12
        )
        assert abs(jax.grad(expected_conditional)(1 / STD**2, 0.5, False)) > 0.01


def test_conditional_noise_contrastive_loss_with_little_noise_is_score_matching():
    precision, sigma = 0.9, 0.02
    with jax.enable_x64(True):
        value = float(expected_conditional(precision, sigma=sigma))
    score_matching = precision**2 * STD**2 / 2 - precision
    np.testing.assert_allclose(2 * (value - 2 * np.log(2)) / sigma**2, score_matching, rtol=2e-3)


# --- Energy discrepancy ---


def test_energy_discrepancy_of_a_gaussian_has_its_closed_form(key):
    precision, variance, sigma = 4.0, 1.5, 0.7
    x_key, noise_key = jax.random.split(key)
    x = np.sqrt(variance).astype(np.float32) * jax.random.normal(x_key, (4000, 1))

    @jax.jit
    def losses_and_gradients(precision):
        def loss(precision):
            return energy.energy_discrepancy_loss(
                lambda x: 0.5 * precision * x[:, 0] ** 2,
                jax.random.clone(noise_key),
                x,
                sigma=sigma,
                num_samples=1000,
                stabilisation=0.0,
            )

        return jax.jvp(loss, (precision,), (jnp.ones(()),))

    values, gradients = map(np.asarray, losses_and_gradients(jnp.asarray(precision)))
    expected = reference.gaussian_energy_discrepancy(precision, variance, sigma)
    (slope,) = reference.central_differences(
        lambda precision: reference.gaussian_energy_discrepancy(precision, variance, sigma), [np.asarray(precision)]
    )
    for draws, mean in ((values, expected), (gradients, slope)):
        assert abs(draws.mean() - mean) < 5 * draws.std() / np.sqrt(len(draws))


def test_energy_discrepancy_of_gaussians_is_least_at_the_precision_of_the_data():
    for sigma in (0.1, 1.0, 5.0):
        precisions = np.linspace(0.3, 2.0, 1701)
        values = reference.gaussian_energy_discrepancy(precisions, 1 / 0.8, sigma)
        np.testing.assert_allclose(precisions[values.argmin()], 0.8, atol=1.1e-3)


def test_stabilised_energy_discrepancy_stays_above_its_floor(key):
    x = jnp.zeros((5, 2))
    value = energy.energy_discrepancy_loss(
        lambda x: 1e4 * jnp.sum(x**2, axis=1), key, x, sigma=1.0, num_samples=4, stabilisation=2.0
    )
    np.testing.assert_allclose(value, np.full(5, np.log(2 / 4)), rtol=1e-6)
