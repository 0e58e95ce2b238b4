"""Optimal transport of batches: linear programs, Gaussians in closed form, translates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

from genloss_jax.losses import divergences
from tests.reference import divergences as reference

SHIFT = np.array([[0.7, -0.4]])  # |SHIFT|² = 0.65


def points(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def sinkhorn(x, y, **options):
    compiled = jax.jit(divergences.sinkhorn_divergence, static_argnames=("max_iterations", "tolerance"))
    return compiled(x, y, **options)


# --- Sinkhorn ---


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 20.0])
def test_sinkhorn_divergence_of_a_translate_is_its_squared_length_at_every_epsilon(epsilon):
    with jax.enable_x64(True):
        x = jnp.asarray(points(0, 20, 2))
        value = float(sinkhorn(x, x + SHIFT, epsilon=epsilon, max_iterations=20_000, tolerance=1e-8))
    np.testing.assert_allclose(value, 0.65, rtol=1e-6)


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
@pytest.mark.parametrize("num_x, num_y", [(9, 9), (9, 5)])
def test_sinkhorn_divergence_is_the_primal_value_of_plain_iterations(epsilon, num_x, num_y):
    x, y = points(1, num_x, 2), 0.5 * points(2, num_y, 2) + 1
    cross, within_x, within_y = (reference.entropic_cost(*pair, epsilon) for pair in ((x, y), (x, x), (y, y)))
    with jax.enable_x64(True):
        value = float(sinkhorn(jnp.asarray(x), jnp.asarray(y), epsilon=epsilon, max_iterations=5000, tolerance=1e-8))
    np.testing.assert_allclose(value, cross - 0.5 * (within_x + within_y), rtol=1e-8)


def test_sinkhorn_divergence_of_fine_quantiles_is_that_of_gaussians():
    quantiles = stats.norm.ppf((np.arange(400) + 0.5) / 400)[:, None]
    x, y = jnp.asarray(0.3 + quantiles, jnp.float32), jnp.asarray(-0.5 + 0.4 * quantiles, jnp.float32)
    expected = reference.gaussian_sinkhorn_divergence(0.3, 1.0, -0.5, 0.4, 2.0)
    np.testing.assert_allclose(sinkhorn(x, y, epsilon=2.0), expected, rtol=3e-3)


def test_sinkhorn_divergence_lies_between_the_means_and_wasserstein():
    x, y = (jnp.asarray(batch, jnp.float32) for batch in (points(3, 12, 2), 2 * points(4, 12, 2) + 0.5))
    wide, narrow = sinkhorn(x, y, epsilon=1e4), sinkhorn(x, y, epsilon=1e-2, max_iterations=5000)
    np.testing.assert_allclose(wide, np.sum((x.mean(0) - y.mean(0)) ** 2), rtol=1e-2)
    np.testing.assert_allclose(narrow, reference.transport_cost(np.asarray(x), np.asarray(y)), rtol=1e-2)


def test_sinkhorn_divergence_is_zero_with_zero_gradient_between_equal_batches_in_another_order():
    x = jnp.asarray(points(5, 10, 3), jnp.float32)
    value, slope = jax.jit(jax.value_and_grad(lambda y: divergences.sinkhorn_divergence(x, y, epsilon=0.5)))(x[::-1])
    np.testing.assert_allclose(value, 0, atol=1e-4)
    np.testing.assert_allclose(slope, 0, atol=1e-3)


def test_sinkhorn_divergence_has_the_gradient_of_its_value():
    with jax.enable_x64(True):
        x, y = jnp.asarray(points(6, 4, 2)), jnp.asarray(points(7, 3, 2))

        def converged(x, y):
            return sinkhorn(x, y, epsilon=4.0, max_iterations=5000, tolerance=1e-12)

        check_grads(converged, (x, y), order=1, modes=["rev"], rtol=1e-6, atol=1e-6)
        slope = jax.grad(converged, 1)(x, x + SHIFT)
        # |mean shift|²: each example carries 1 / N of 2 SHIFT
        np.testing.assert_allclose(slope, np.tile(2 * SHIFT / 4, (4, 1)), rtol=1e-6)


def test_sinkhorn_divergence_before_convergence_is_not_above_its_limit():
    x, y = (jnp.asarray(batch, jnp.float32) for batch in (points(8, 30, 2), points(9, 30, 2) + 1))
    few, many = (sinkhorn(x, y, epsilon=0.05, max_iterations=num) for num in (20, 5000))
    assert few < many


@pytest.mark.parametrize("epsilon", [0, -1.0])
def test_sinkhorn_divergence_names_an_epsilon_that_is_not_positive(epsilon):
    with pytest.raises(ValueError, match="expected a positive number"):
        divergences.sinkhorn_divergence(jnp.ones((2, 1)), jnp.ones((2, 1)), epsilon=epsilon)


# --- Exact transport ---


@pytest.mark.parametrize("num, dim", [(1, 2), (6, 1), (20, 3)])
def test_wasserstein_squared_distance_is_the_linear_program(num, dim):
    x, y = points(10, num, dim), 2 * points(11, num, dim) + 1
    value = jax.jit(divergences.wasserstein_squared_distance)(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    np.testing.assert_allclose(value, reference.transport_cost(x, y), rtol=1e-5)


def test_wasserstein_squared_distance_of_a_translate_is_its_squared_length_with_the_gradient_of_the_means():
    x = jnp.asarray(points(12, 15, 2), jnp.float32)
    moved = x[::-1] + jnp.asarray(SHIFT, jnp.float32)
    value, slope = jax.jit(jax.value_and_grad(lambda y: divergences.wasserstein_squared_distance(x, y)))(moved)
    np.testing.assert_allclose(value, 0.65, rtol=1e-5)
    np.testing.assert_allclose(slope, np.tile(2 * SHIFT / 15, (15, 1)), rtol=1e-4)


def test_wasserstein_squared_distance_names_batches_of_unequal_size(unchecked):
    with pytest.raises(ValueError, match="y has 2 rows, expected 3"):
        divergences.wasserstein_squared_distance(jnp.ones((3, 1)), jnp.ones((2, 1)))
