"""Score matching in its forms and the Stein discrepancy, against Gaussians on paper and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genloss_jax.losses import energy


def white_points(dim, variance):
    """Points whose mean is 0 and whose second moments are exactly those of N(0, variance I)."""
    return jnp.asarray(np.sqrt(variance * dim) * np.concatenate([np.eye(dim), -np.eye(dim)]))


def assert_mean_is(values, expected, standard_errors=5.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < standard_errors * values.std() / np.sqrt(len(values))


# --- Score matching ---


def mean_score_matching(precision, dim, variance):
    return jnp.mean(energy.score_matching_loss(lambda x: -precision * x, white_points(dim, variance)))


@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("precision", [0.0, 0.8, 3.0])
def test_score_matching_of_a_gaussian_has_its_closed_form(dim, precision):
    variance = 0.5
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(mean_score_matching)(precision, dim, variance)
    np.testing.assert_allclose(value, dim * (precision**2 * variance / 2 - precision), rtol=1e-12)
    np.testing.assert_allclose(gradient, dim * (precision * variance - 1), rtol=1e-12)


@pytest.mark.parametrize("dim, least", [(2, -1.0), (10, -5.0)])
def test_trace_of_score_matching_is_not_divided_by_the_dimension(dim, least):
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(mean_score_matching)(1.0, dim, 1.0)
    np.testing.assert_allclose(value, least, rtol=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_score_matching_is_the_fisher_divergence_less_that_of_a_flat_model():
    grid = np.linspace(-12, 12, 6001)
    weights, means = np.array([0.3, 0.7]), np.array([-1.5, 1.0])
    parts = weights * stats.norm(means, [0.8, 1.1]).pdf(grid[:, None])
    density = parts.sum(1)
    data_score = (parts * (means - grid[:, None]) / np.array([0.8, 1.1]) ** 2).sum(1) / density
    mass = density * (grid[1] - grid[0])
    with jax.enable_x64(True):
        value = energy.score_matching_loss(lambda x: -jnp.tanh(x) - 0.1 * x**3 + 0.2, jnp.asarray(grid[:, None]))
    model_score = -np.tanh(grid) - 0.1 * grid**3 + 0.2
    expected = 0.5 * mass @ (model_score - data_score) ** 2 - 0.5 * mass @ data_score**2
    np.testing.assert_allclose(mass @ np.asarray(value), expected, rtol=1e-8)


def test_score_matching_takes_the_trace_of_a_full_jacobian_over_all_axes_of_an_example():
    matrix = np.random.default_rng(0).normal(size=(6, 6))
    x = np.random.default_rng(1).normal(size=(3, 2, 3))
    with jax.enable_x64(True):
        value = energy.score_matching_loss(lambda x: (x.reshape(-1, 6) @ matrix.T).reshape(x.shape), jnp.asarray(x))
    expected = 0.5 * np.sum((x.reshape(3, 6) @ matrix.T) ** 2, 1) + np.trace(matrix)
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_score_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"score_fn must map points of shape \(3, 2\) to scores of that shape"):
        energy.score_matching_loss(lambda x: x[:, :1], jnp.ones((3, 2)))


# --- Sliced score matching ---

MATRIX = jnp.array([[-1.0, 0.8, 0.0], [0.3, -2.0, -0.5], [1.0, 0.2, -0.4]])
POINT = jnp.array([[0.7, -1.2, 0.4]])


def sliced(variance_reduced, num_projections=1):
    return jax.jit(
        jax.vmap(
            lambda key: energy.sliced_score_matching_loss(
                lambda x: x @ MATRIX.T, key, POINT, variance_reduced=variance_reduced, num_projections=num_projections
            )[0]
        )
    )


@pytest.mark.parametrize("variance_reduced", [False, True])
def test_sliced_score_matching_has_score_matching_as_its_mean(key, variance_reduced):
    values = sliced(variance_reduced)(jax.random.split(key, 4000))
    score = np.asarray(MATRIX) @ np.asarray(POINT[0])
    assert_mean_is(values, 0.5 * score @ score + np.trace(MATRIX))


def test_variance_reduction_and_more_projections_reduce_the_variance_of_sliced_score_matching(key):
    plain_key, reduced_key, many_key = jax.random.split(key, 3)
    plain = np.var(sliced(False)(jax.random.split(plain_key, 2000)))
    assert np.var(sliced(True)(jax.random.split(reduced_key, 2000))) < 0.8 * plain
    assert np.var(sliced(False, 8)(jax.random.split(many_key, 2000))) < plain / 6


def test_variance_reduced_sliced_score_matching_is_exact_for_a_diagonal_jacobian(key):
    x = 1.0 + white_points(4, 0.7).astype(jnp.float32)

    def score_fn(x):
        return -jnp.tanh(x) * jnp.array([[1.0, 2.0, 0.5, -1.0]])

    value = energy.sliced_score_matching_loss(score_fn, key, x, variance_reduced=True)
    np.testing.assert_allclose(value, energy.score_matching_loss(score_fn, x), rtol=1e-5)


# --- Denoising score matching ---

DIM, VARIANCE, SIGMA = 2, 0.8, 0.6


def denoising_losses(key, precision):
    """Return the loss of the score -precision x on 20,000 examples of N(0, VARIANCE I), and its derivatives."""
    x_key, noise_key = jax.random.split(key)
    x = jnp.sqrt(VARIANCE) * jax.random.normal(x_key, (20_000, DIM))

    def loss(precision):
        return energy.denoising_score_matching_loss(lambda x: -precision * x, noise_key, x, sigma=SIGMA)

    return jax.jvp(loss, (precision,), (1.0,))


@pytest.mark.parametrize("precision", [0.3, 1 / (VARIANCE + SIGMA**2), 2.0])
def test_denoising_score_matching_of_a_gaussian_has_its_closed_form(key, precision):
    values, derivatives = denoising_losses(key, precision)
    target = 1 / SIGMA - precision * SIGMA
    assert_mean_is(values, DIM * (target**2 + precision**2 * VARIANCE) / 2)
    assert_mean_is(derivatives, DIM * (precision * (VARIANCE + SIGMA**2) - 1))


def test_denoising_score_matching_is_least_at_the_precision_of_the_blurred_data(key):
    values, derivatives = denoising_losses(key, 1 / (VARIANCE + SIGMA**2))
    assert_mean_is(values, DIM * VARIANCE / (2 * SIGMA**2 * (VARIANCE + SIGMA**2)))
    assert_mean_is(derivatives, 0.0)


def test_denoising_score_matching_pushes_the_precision_up_at_zero(key):
    _, derivatives = denoising_losses(key, 0.0)
    assert_mean_is(derivatives, -DIM)


def test_denoising_score_matching_takes_one_noise_level_for_each_example(key):
    x, sigma = jnp.ones((3, 4)), jnp.array([0.1, 0.5, 2.0])

    def loss(sigma):
        return energy.denoising_score_matching_loss(lambda x: -x, jax.random.clone(key), x, sigma=sigma)

    alone = [loss(float(each))[index] for index, each in enumerate(sigma)]
    with jax.debug_key_reuse(False):
        np.testing.assert_allclose(loss(sigma), alone, rtol=1e-5)


# --- Kernel Stein discrepancy ---


def stein_discrepancies(key, shift, num=12, **options):
    """Discrepancies from N(0, I) of 3,000 batches of N(shift, I)."""
    x = jax.random.normal(key, (3000, num, len(shift))) + jnp.asarray(shift)[None, None]
    return jax.jit(jax.vmap(lambda x: energy.kernel_stein_discrepancy_squared(lambda x: -x, x, **options)))(x)


@pytest.mark.parametrize("lengthscale", [0.7, 2.0])
def test_kernel_stein_discrepancy_of_shifted_gaussians_has_its_closed_form(key, lengthscale):
    shift = np.array([0.6, -0.4, 0.3], np.float32)
    values = stein_discrepancies(key, shift, lengthscale=lengthscale)
    assert_mean_is(values, shift @ shift * (lengthscale**2 / (lengthscale**2 + 2)) ** 1.5)


def test_biased_kernel_stein_discrepancy_is_never_negative_and_too_high_by_the_self_pairs(key):
    lengthscale, num = 1.5, 12
    values = stein_discrepancies(key, np.zeros(2, np.float32), num, lengthscale=lengthscale, unbiased=False)
    assert np.all(np.asarray(values) >= 0)
    # u(x, x) = |x|² + D/ℓ², and the other pairs have the mean 0
    assert_mean_is(values, (2 + 2 / lengthscale**2) / num)


def test_unbiased_kernel_stein_discrepancy_of_samples_of_the_target_has_mean_zero(key):
    values = stein_discrepancies(key, np.zeros(2, np.float32), lengthscale=1.0)
    assert_mean_is(values, 0.0)
    assert np.min(values) < 0
