"""Divergences against closed forms, SciPy and linear programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import integrate, stats
from scipy.spatial.distance import jensenshannon

from genloss_jax.losses import divergences
from tests.reference import divergences as reference

MEAN_X, COV_X = np.array([0.5, -0.3]), np.array([[1.0, 0.4], [0.4, 0.7]])
MEAN_Y, COV_Y = np.array([-0.2, 0.6]), np.array([[0.5, -0.2], [-0.2, 1.5]])


def gaussian_batches(seed, num_batches, num_x, num_y):
    """Draw many independent pairs of batches of the two Gaussians above, `[num_batches, N, 2]` each."""
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(MEAN_X, COV_X, (num_batches, num_x))
    y = rng.multivariate_normal(MEAN_Y, COV_Y, (num_batches, num_y))
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


def points(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_mean_is(values, expected, standard_errors=4.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < standard_errors * values.std() / np.sqrt(len(values))


# --- Kernels and MMD ---


@pytest.mark.parametrize("lengthscale", [0.5, 2.0])
def test_unbiased_rbf_mmd_squared_has_the_closed_form_of_two_gaussians_as_its_mean(lengthscale):
    x, y = gaussian_batches(0, 2000, 16, 12)
    kernel = divergences.rbf_kernel(lengthscale=lengthscale)
    values = jax.jit(jax.vmap(lambda x, y: divergences.mmd_squared_distance(x, y, kernel=kernel)))(x, y)
    assert_mean_is(values, reference.gaussian_rbf_mmd_squared(MEAN_X, COV_X, MEAN_Y, COV_Y, lengthscale))


def test_at_equal_distributions_the_unbiased_mmd_squared_has_mean_zero_and_the_biased_is_never_negative():
    x, _ = gaussian_batches(1, 2000, 24, 1)
    kernel = divergences.rbf_kernel(lengthscale=1.0)

    def both(x):
        halves = x[:10], x[10:]
        return [
            divergences.mmd_squared_distance(*halves, kernel=kernel, unbiased=unbiased) for unbiased in (True, False)
        ]

    unbiased, biased = jax.jit(jax.vmap(both))(x)
    assert_mean_is(unbiased, 0.0)
    assert np.mean(np.asarray(unbiased) < 0) > 0.3
    assert np.all(np.asarray(biased) >= 0)
    # k(x, x) = 1: each self-pair adds (1 - E k(x, x')) / N
    lone = reference.gaussian_rbf_mmd_squared(np.zeros(2), np.zeros((2, 2)), np.full(2, 1e3), COV_X, 1.0) - 1
    assert_mean_is(biased, (1 - lone) * (1 / 10 + 1 / 14))


def test_biased_mmd_squared_of_the_linear_kernel_is_the_squared_distance_of_the_means():
    x, y = points(2, 7, 3), points(3, 5, 3)
    kernel = divergences.polynomial_kernel(degree=1, scale=1.0, offset=0.0)
    value = divergences.mmd_squared_distance(x, y, kernel=kernel, unbiased=False)
    np.testing.assert_allclose(value, np.sum((x.mean(0) - y.mean(0)) ** 2), rtol=1e-5)


def test_default_polynomial_kernel_is_the_cube_of_kid():
    x, y = points(4, 3, 4), points(5, 2, 4)
    by_pairs = [[(float(np.dot(a, b)) / 4 + 1) ** 3 for b in y] for a in x]
    np.testing.assert_allclose(divergences.polynomial_kernel()(x, y), by_pairs, rtol=1e-5)


def test_rational_quadratic_kernel_is_a_gamma_mixture_of_gaussian_kernels():
    x, y = points(6, 2, 3), points(7, 2, 3)
    alpha, lengthscale = 1.7, 0.8
    value = divergences.rational_quadratic_kernel(lengthscale=lengthscale, alpha=alpha)(x, y)
    for i, j in np.ndindex(2, 2):
        squared = float(np.sum((x[i] - y[j]) ** 2)) / lengthscale**2
        density = stats.gamma(alpha, scale=1 / alpha)
        mixed, _ = integrate.quad(lambda t, d=density, s=squared: d.pdf(t) * np.exp(-0.5 * t * s), 0, np.inf)
        np.testing.assert_allclose(value[i, j], mixed, rtol=1e-5)


def test_mixture_kernel_is_the_weighted_sum_of_its_kernels():
    x, y = points(8, 4, 2), points(9, 3, 2)
    kernels = [divergences.rbf_kernel(lengthscale=s) for s in (0.5, 1.0, 2.0)]
    value = divergences.mmd_squared_distance(x, y, kernel=divergences.mixture_kernel(kernels, [1.0, 2.0, 0.5]))
    single = [float(divergences.mmd_squared_distance(x, y, kernel=kernel)) for kernel in kernels]
    np.testing.assert_allclose(value, np.dot(single, [1.0, 2.0, 0.5]), rtol=1e-5)


@pytest.mark.parametrize("kernels, weights, named", [([], None, "kernels"), ([lambda x, y: x], [1.0, 2.0], "weights")])
def test_mixture_kernel_names_the_bad_argument(kernels, weights, named):
    with pytest.raises(ValueError, match=named):
        divergences.mixture_kernel(kernels, weights)


def test_close_pairs_far_from_the_origin_keep_their_distance():
    # |x|² + |y|² - 2 x·y in float32 gives 0 or 2 here.
    x, y = jnp.full((1, 2), 1000.0), jnp.array([[1000.0, 1000.125]])
    np.testing.assert_allclose(-divergences.energy_kernel()(x, y), [[0.125]], rtol=1e-6)


# --- Energy and Cramér ---


def test_unbiased_energy_squared_distance_has_the_closed_form_of_two_gaussians_as_its_mean():
    rng = np.random.default_rng(10)
    x = jnp.asarray(rng.normal(0.4, 1.0, (4000, 9, 1)), jnp.float32)
    y = jnp.asarray(rng.normal(-0.8, 0.5, (4000, 12, 1)), jnp.float32)
    values = jax.jit(jax.vmap(divergences.energy_squared_distance))(x, y)
    assert_mean_is(values, reference.gaussian_energy_squared(0.4, 1.0, -0.8, 0.5))


def test_energy_distance_on_the_line_is_that_of_scipy():
    x, y = points(11, 13), points(12, 8) + 0.5
    np.testing.assert_allclose(
        divergences.energy_distance(x[:, None], y[:, None]), stats.energy_distance(x, y), rtol=1e-5
    )


def test_energy_distance_is_a_metric_and_zero_only_for_equal_batches():
    x, y, z = points(13, 6, 3), points(14, 6, 3) + 1.0, points(15, 6, 3) - 1.0
    distance = jax.jit(divergences.energy_distance)
    assert distance(y, z) <= distance(y, x) + distance(x, z)
    assert distance(x, x[::-1]) < 1e-3 < distance(x, y)
    np.testing.assert_allclose(distance(x, y), distance(y, x), rtol=1e-6)


@pytest.mark.parametrize("num_x, num_y", [(9, 9), (9, 4)])
def test_cramer_distance_is_scipys_energy_distance_over_root_two(num_x, num_y):
    x, y = points(16, num_x), 2 * points(17, num_y)
    expected = stats.energy_distance(x, y) / np.sqrt(2)
    np.testing.assert_allclose(divergences.cramer_distance(x, y), expected, rtol=1e-5)
    np.testing.assert_allclose(divergences.cramer_squared_distance(x, y), expected**2, rtol=1e-5)


def test_cramer_squared_distance_of_two_points_is_their_distance():
    np.testing.assert_allclose(divergences.cramer_squared_distance(jnp.array([1.0]), jnp.array([-2.5])), 3.5)


@pytest.mark.parametrize("name", ["energy_distance", "energy_squared_distance", "cramer_distance"])
def test_gradient_is_finite_where_the_batches_coincide(name):
    x = points(18, 5) if name == "cramer_distance" else points(18, 5, 2)
    gradients = jax.grad(getattr(divergences, name), argnums=(0, 1))(x, x)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


# --- Optimal transport ---


@pytest.mark.parametrize("num_x, num_y", [(6, 6), (6, 4), (1, 5)])
def test_sliced_wasserstein_in_one_dimension_is_the_linear_program(key, num_x, num_y):
    x, y = points(19, num_x, 1), 2 * points(20, num_y, 1) + 1
    value = divergences.sliced_wasserstein_squared_distance(key, x, y, num_projections=3)
    np.testing.assert_allclose(value, reference.transport_cost(np.asarray(x), np.asarray(y)), rtol=1e-5)


def test_sliced_wasserstein_of_a_scaled_and_shifted_batch_has_its_closed_form(key):
    dim, scale, shift = 4, 1.6, jnp.array([[1.0, 0.0, -2.0, 0.5]])
    x = points(21, 40, dim)
    x = x - jnp.mean(x, 0, keepdims=True)
    sliced = jax.jit(
        jax.vmap(
            lambda key: divergences.sliced_wasserstein_squared_distance(key, x, scale * x + shift, num_projections=50)
        )
    )
    # |shift|² / D + (1 - scale)² E|x|² / D; for a standard normal E|x|² / D = 1
    expected = (np.sum(shift**2) + (1 - scale) ** 2 * np.mean(np.sum(x**2, 1))) / dim
    assert_mean_is(sliced(jax.random.split(key, 200)), expected)


def test_max_sliced_wasserstein_of_a_shift_is_its_squared_length(key):
    x, shift = points(22, 30, 5), jnp.array([[0.5, -1.0, 0.0, 2.0, 1.0]])
    value = divergences.max_sliced_wasserstein_squared_distance(key, x, x + shift)
    np.testing.assert_allclose(value, np.sum(shift**2), rtol=1e-5)


@pytest.mark.parametrize("seed", range(23, 27))
def test_max_sliced_wasserstein_of_the_plane_is_the_maximum_over_all_angles(key, seed):
    x, y = points(seed, 20, 2), points(seed + 10, 20, 2) * jnp.array([[0.3, 2.0]]) + 0.2
    value = divergences.max_sliced_wasserstein_squared_distance(key, x, y)
    np.testing.assert_allclose(
        value, reference.sliced_costs_of_the_plane(np.asarray(x), np.asarray(y), 20_000).max(), rtol=1e-3
    )


def test_max_sliced_wasserstein_has_the_gradient_of_the_maximum(key):
    x, shift = points(26, 10, 3), jnp.array([[1.0, 2.0, -1.0]])
    gradient = jax.grad(lambda y: divergences.max_sliced_wasserstein_squared_distance(key, x, y))(x + shift)
    # |mean shift|²: each example carries 1 / N of the gradient 2 shift
    np.testing.assert_allclose(gradient, np.tile(2 * shift / 10, (10, 1)), rtol=1e-3, atol=1e-6)


def covariance(seed, dim, rank):
    factor = points(seed, dim, rank)
    return factor @ factor.T / rank


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_gaussian_wasserstein_is_scipys_square_root_of_the_product(dim):
    mean_x, mean_y = points(27, dim), points(28, dim)
    cov_x, cov_y = covariance(29, dim, 2 * dim), covariance(30, dim, 2 * dim)
    value = divergences.gaussian_wasserstein_squared_distance(mean_x, cov_x, mean_y, cov_y)
    expected = reference.gaussian_wasserstein_squared(
        *(np.asarray(a, np.float64) for a in (mean_x, cov_x, mean_y, cov_y))
    )
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_gaussian_wasserstein_of_covariances_of_rank_one_has_its_closed_form_and_a_finite_gradient():
    a, b, mean = points(31, 4), points(32, 4), jnp.zeros(4)
    distance = divergences.gaussian_wasserstein_squared_distance
    value, gradients = jax.value_and_grad(distance, argnums=(1, 3))(mean, jnp.outer(a, a), mean, jnp.outer(b, b))
    # tr (a a' b b')^½ = |a·b|
    np.testing.assert_allclose(value, a @ a + b @ b - 2 * abs(a @ b), rtol=1e-3)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_gaussian_wasserstein_has_the_right_gradient_and_a_zero_one_at_equal_round_covariances():
    distance = divergences.gaussian_wasserstein_squared_distance
    mean, eye = jnp.zeros(3), jnp.eye(3)
    value, gradients = jax.value_and_grad(distance, argnums=(0, 1, 2, 3))(mean, eye, mean, eye)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    for gradient in gradients:
        np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-6)
    with jax.enable_x64(True):
        factors = [jnp.asarray(points(seed, 3, 6), jnp.float64) for seed in (33, 34)]
        means = [jnp.asarray(points(seed, 3), jnp.float64) for seed in (35, 36)]

        def of_factors(*factors):  # symmetric covariances, also where finite differences move the factors
            mean_x, factor_x, mean_y, factor_y = map(jnp.asarray, factors)
            return distance(mean_x, factor_x @ factor_x.T, mean_y, factor_y @ factor_y.T)

        check_grads(of_factors, (means[0], factors[0], means[1], factors[1]), order=1, rtol=1e-5, atol=1e-5)


# --- f-divergences ---

GRID = np.linspace(-14, 14, 4001)


def log_probabilities(mean, std):
    return stats.norm.logpdf(GRID, mean, std) + np.log(GRID[1] - GRID[0])


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "jeffreys", "pearson", "neyman", "squared_hellinger"])
def test_f_divergence_of_two_gaussians_has_its_closed_form(name):
    p, q = (0.3, 1.0), (-0.4, 1.2)
    with jax.enable_x64(True):
        value = divergences.f_divergence(jnp.asarray(log_probabilities(*p)), jnp.asarray(log_probabilities(*q)), name)
        np.testing.assert_allclose(value, reference.gaussian_f_divergences(*p, *q)[name], rtol=1e-9)


def test_total_variation_of_two_gaussians_has_its_closed_form():
    with jax.enable_x64(True):
        log_p, log_q = (jnp.asarray(log_probabilities(mean, 1.3)) for mean in (0.5, -0.7))
        value = divergences.f_divergence(log_p, log_q, "total_variation")
    np.testing.assert_allclose(value, 2 * stats.norm.cdf(1.2 / 2.6) - 1, rtol=1e-4)


@pytest.mark.parametrize("name, offset", [("jensen_shannon", 0.0), ("gan", -np.log(4))])
def test_jensen_shannon_and_gan_are_twice_scipys_squared_jensen_shannon_distance_less_their_offset(name, offset):
    log_p, log_q = (jax.nn.log_softmax(jnp.asarray(points(seed, 6))) for seed in (37, 38))
    expected = 2 * jensenshannon(np.exp(log_p), np.exp(log_q)) ** 2 + offset
    np.testing.assert_allclose(divergences.f_divergence(log_p, log_q, name), expected, rtol=1e-5)


DISJOINT = {
    "kl": np.inf,
    "reverse_kl": np.inf,
    "jeffreys": np.inf,
    "pearson": np.inf,
    "neyman": np.inf,
    "jensen_shannon": np.log(4),
    "gan": 0.0,
    "squared_hellinger": 2.0,
    "total_variation": 1.0,
}


@pytest.mark.parametrize("name", sorted(DISJOINT))
def test_f_divergence_of_disjoint_supports_is_its_supremum_and_ignores_points_outside_both(name):
    log_p, log_q = jnp.log(jnp.array([0.5, 0.5, 0.0, 0.0])), jnp.log(jnp.array([0.0, 0.0, 1.0, 0.0]))
    np.testing.assert_allclose(divergences.f_divergence(log_p, log_q, name), DISJOINT[name], rtol=1e-6, atol=1e-7)


def test_f_divergence_with_a_zero_in_one_distribution_is_finite_on_the_side_that_allows_it():
    log_p, log_q = jnp.log(jnp.array([0.0, 1.0])), jnp.log(jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(divergences.f_divergence(log_p, log_q, "kl"), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(divergences.f_divergence(log_p, log_q, "pearson"), 1.0, rtol=1e-6)
    assert np.isposinf(divergences.f_divergence(log_p, log_q, "reverse_kl"))
    assert np.isposinf(divergences.f_divergence(log_p, log_q, "neyman"))


def test_f_divergence_rejects_an_unknown_name_and_says_the_nearest():
    with pytest.raises(ValueError, match="unknown divergence 'kll'; did you mean 'kl'"):
        divergences.f_divergence(jnp.zeros(2), jnp.zeros(2), "kll")


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.3, 0.5, 1.0, 2.0, 3.5])
def test_alpha_divergence_is_half_of_scipys_power_divergence(alpha):
    log_p, log_q = (jax.nn.log_softmax(jnp.asarray(points(seed, 6))) for seed in (39, 40))
    p, q = (np.exp(np.asarray(log, np.float64)) for log in (log_p, log_q))
    expected = 0.5 * stats.power_divergence(p / p.sum(), q / q.sum(), lambda_=alpha - 1).statistic
    np.testing.assert_allclose(divergences.alpha_divergence(log_p, log_q, alpha=alpha), expected, rtol=1e-4)


@pytest.mark.parametrize("alpha, expected", [(0.5, 4.0), (2.0, np.inf), (-1.0, np.inf)])
def test_alpha_divergence_of_disjoint_supports_is_its_supremum(alpha, expected):
    log_p, log_q = jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(divergences.alpha_divergence(log_p, log_q, alpha=alpha), expected, rtol=1e-6)
