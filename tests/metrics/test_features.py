import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import divergences
from genloss_jax.metrics import features, statistics
from tests.reference import sample_metrics as reference


def with_moments(rng, num, mean, covariance):
    """Draw a set whose sample mean and sample covariance are exactly these."""
    values = rng.normal(size=(num, len(mean)))
    values -= values.mean(axis=0)
    values = values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T
    return mean + values @ np.linalg.cholesky(covariance).T


def covariance(rng, dim):
    root = rng.normal(size=(dim, dim + 2))
    return root @ root.T / dim


def assert_mean_is(values, expected):
    estimate = statistics.mean_and_standard_error(values)
    assert abs(estimate.value - expected) < 4 * estimate.standard_error, (estimate, expected)


# --- Fréchet ---


def test_frechet_of_commuting_covariances_is_the_closed_form():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    a, b = np.array([4.0, 1.0, 0.25, 9.0]), np.array([1.0, 1.0, 4.0, 0.01])
    mean_a, mean_b = np.array([1.0, 0.0, -2.0, 0.5]), np.array([0.0, 0.0, 1.0, 0.5])
    real = with_moments(rng, 50, mean_a, rotation @ np.diag(a) @ rotation.T)
    fake = with_moments(rng, 31, mean_b, rotation @ np.diag(b) @ rotation.T)
    expected = 10.0 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    np.testing.assert_allclose(features.frechet_squared_distance(real, fake), expected, rtol=1e-10)


def test_frechet_of_correlated_covariances_is_that_of_the_matrix_square_root():
    rng = np.random.default_rng(1)
    real = rng.normal(size=(60, 7)) @ rng.normal(size=(7, 7))
    fake = 1 + rng.normal(size=(45, 7)) @ rng.normal(size=(7, 7))
    np.testing.assert_allclose(features.frechet_squared_distance(real, fake), reference.frechet(real, fake), rtol=1e-9)


def test_frechet_is_the_divergence_of_the_losses_at_the_sample_moments():
    rng = np.random.default_rng(2)
    mean_x, mean_y, cov_x, cov_y = rng.normal(size=5), rng.normal(size=5), covariance(rng, 5), covariance(rng, 5)
    with jax.enable_x64(True):
        moments = [jnp.asarray(moment) for moment in (mean_x, cov_x, mean_y, cov_y)]
        expected = divergences.gaussian_wasserstein_squared_distance(*moments)
        value = features.frechet_squared_distance(
            with_moments(rng, 40, mean_x, cov_x), with_moments(rng, 30, mean_y, cov_y)
        )
        np.testing.assert_allclose(value, float(expected), rtol=1e-9)


def test_frechet_of_a_set_with_itself_is_zero_also_with_fewer_examples_than_features():
    values = np.random.default_rng(3).normal(size=(10, 40))
    assert 0 <= features.frechet_squared_distance(values, values) < 1e-10


def test_frechet_of_singular_covariances_on_orthogonal_axes_is_the_sum_of_traces():
    rng = np.random.default_rng(4)
    real, fake = np.zeros((20, 6)), np.zeros((30, 6))
    real[:, :3] = with_moments(rng, 20, np.zeros(3), np.diag([1.0, 2.0, 3.0]))
    fake[:, 3:] = with_moments(rng, 30, np.zeros(3), np.diag([0.5, 0.5, 1.0]))
    np.testing.assert_allclose(features.frechet_squared_distance(real, fake), 8.0, rtol=1e-10)


def test_frechet_keeps_its_digits_far_from_the_origin():
    values = np.random.default_rng(5).normal(size=(100, 4))
    shifted = features.frechet_squared_distance(1e4 + values, 1e4 + values + np.array([3e-3, 0, 0, 4e-3]))
    np.testing.assert_allclose(shifted, 2.5e-5, rtol=1e-4)


def test_frechet_of_equal_distributions_has_the_stated_bias():
    rng, dim, num = np.random.default_rng(6), 6, 800
    values = [
        features.frechet_squared_distance(rng.normal(size=(num, dim)), rng.normal(size=(num, dim))) for _ in range(100)
    ]
    assert_mean_is(values, (2 * dim + dim * (dim + 1) / 2) / num)


# --- Kernel distance ---


def test_kernel_distance_is_that_of_explicit_loops():
    rng = np.random.default_rng(7)
    real, fake = rng.normal(size=(24, 3)), 0.3 + rng.normal(size=(20, 3))
    estimate = features.kernel_squared_distance(real, fake)
    np.testing.assert_allclose(estimate.value, reference.polynomial_mmd_squared(real, fake), rtol=1e-10)
    without_real = [reference.polynomial_mmd_squared(np.delete(real, i, axis=0), fake) for i in range(len(real))]
    without_fake = [reference.polynomial_mmd_squared(real, np.delete(fake, i, axis=0)) for i in range(len(fake))]
    jackknife = np.sqrt(sum((len(values) - 1) * np.var(values) for values in (without_real, without_fake)))
    np.testing.assert_allclose(estimate.standard_error, jackknife, rtol=1e-8)


def test_kernel_distance_is_the_divergence_of_the_losses():
    rng = np.random.default_rng(16)
    real, fake = rng.normal(size=(40, 5)), 0.3 + rng.normal(size=(30, 5))
    with jax.enable_x64(True):
        expected = divergences.mmd_squared_distance(
            jnp.asarray(real), jnp.asarray(fake), kernel=divergences.polynomial_kernel()
        )
        np.testing.assert_allclose(features.kernel_squared_distance(real, fake).value, float(expected), rtol=1e-9)


def test_kernel_distance_of_gaussians_on_the_line_is_that_of_their_moments():
    # (x y + 1)³ = sum_i C(3, i) x^i y^i, so MMD² = sum_i C(3, i) (E x^i - E y^i)².
    rng, m = np.random.default_rng(8), 0.5
    pairs = [(rng.normal(size=(200, 1)), m + rng.normal(size=(200, 1))) for _ in range(100)]
    values = [features.kernel_squared_distance(real, fake).value for real, fake in pairs]
    assert_mean_is(values, 3 * m**2 + 3 * m**4 + (m**3 + 3 * m) ** 2)


@pytest.mark.parametrize(("shift", "ratio"), [(0.0, np.sqrt(2)), (0.5, 1.0)], ids=["equal", "unequal"])
def test_kernel_distance_is_zero_for_equal_distributions_and_as_sure_as_it_says(shift, ratio):
    rng = np.random.default_rng(9)
    estimates = [
        features.kernel_squared_distance(rng.normal(size=(120, 4)), shift + rng.normal(size=(100, 4)))
        for _ in range(200)
    ]
    values, errors = np.array(estimates).T
    if not shift:
        assert_mean_is(values, 0.0)
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2)) / values.std(ddof=1), ratio, rtol=0.2)


# --- Precision, recall, density, coverage ---

NEIGHBOR_METRICS = (features.precision, features.recall, features.density, features.coverage)


@pytest.mark.parametrize(("num_real", "num_fake", "k"), [(90, 70, 3), (1500, 1300, 5)])
def test_neighbor_metrics_are_those_of_a_search_tree(num_real, num_fake, k):
    rng = np.random.default_rng(10)
    real, fake = rng.normal(size=(num_real, 3)), 0.4 + 0.7 * rng.normal(size=(num_fake, 3))
    values = [metric(real, fake, num_neighbors=k) for metric in NEIGHBOR_METRICS]
    assert features.neighbor_metrics(real, fake, manifold_neighbors=k, density_neighbors=k) == tuple(values)
    expected = reference.precision_recall_density_coverage(real, fake, k)
    assert min(expected) > 0.05
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_precision_and_recall_have_their_own_number_of_neighbors():
    rng = np.random.default_rng(17)
    real, fake = rng.normal(size=(80, 3)), 0.5 + rng.normal(size=(60, 3))
    few, many = (reference.precision_recall_density_coverage(real, fake, k) for k in (2, 7))
    together = features.neighbor_metrics(real, fake, manifold_neighbors=2, density_neighbors=7)
    np.testing.assert_allclose(together, few[:2] + many[2:], rtol=1e-12)


def test_neighbor_metrics_of_identical_sets_are_one_and_density_counts_each_point_itself():
    values = np.random.default_rng(11).normal(size=(100, 5))
    assert [metric(values, values, num_neighbors=4) for metric in NEIGHBOR_METRICS] == [1.0, 1.0, 5 / 4, 1.0]


def test_neighbor_metrics_of_sets_far_apart_are_zero():
    values = np.random.default_rng(12).normal(size=(50, 2))
    assert [metric(values, values + 100.0) for metric in NEIGHBOR_METRICS] == [0.0] * 4


def test_a_dropped_half_costs_recall_and_coverage_but_not_precision():
    rng = np.random.default_rng(13)
    left, right = rng.normal(size=(60, 2)), 100 + rng.normal(size=(60, 2))
    real, fake = np.concatenate([left, right]), np.concatenate([left, left])
    assert features.precision(real, fake) == 1.0
    assert features.coverage(real, fake) == 0.5
    # Twins leave a fake's ball with a smaller radius, so compare with the one half.
    assert features.recall(real, left) == 0.5


def test_an_outlier_in_the_real_set_fools_precision_and_not_density():
    rng = np.random.default_rng(14)
    real = np.concatenate([rng.normal(size=(99, 2)), [[100.0, 0.0]]])
    fake = np.array([60.0, 0.0]) + rng.normal(size=(100, 2))
    assert features.precision(real, fake) == 1.0
    assert features.density(real, fake) == pytest.approx(1 / 5)


@pytest.mark.parametrize(("num_real", "num_fake", "k"), [(60, 60, 5), (80, 30, 3)])
def test_coverage_and_density_of_equal_distributions_are_the_closed_forms(num_real, num_fake, k):
    rng = np.random.default_rng(15)
    pairs = [(rng.normal(size=(num_real, 2)), rng.normal(size=(num_fake, 2))) for _ in range(200)]
    coverages = [features.coverage(real, fake, num_neighbors=k) for real, fake in pairs]
    assert_mean_is(coverages, features.expected_coverage(num_real, num_fake, num_neighbors=k))
    assert_mean_is([features.density(real, fake, num_neighbors=k) for real, fake in pairs], 1.0)


def test_expected_coverage_of_small_sets_by_hand():
    # Of the 2 others nearest to a real example, out of 2 real and 3 fake: both real with probability 1 / 10.
    np.testing.assert_allclose(features.expected_coverage(3, 3, num_neighbors=2), 0.9, rtol=1e-14)
    np.testing.assert_allclose(features.expected_coverage(10**6, 10**6, num_neighbors=5), 1 - 2**-5, rtol=1e-5)


# --- Errors ---


def test_wrong_shapes_are_errors_that_name_the_argument(unchecked):
    values = np.zeros((30, 4))
    for metric in (features.frechet_squared_distance, features.kernel_squared_distance, *NEIGHBOR_METRICS):
        with pytest.raises(ValueError, match=r"fake has \d features, expected \d"):
            metric(values, np.zeros((30, 3)))
    with pytest.raises(ValueError, match=r"real has shape \(1, 4\)"):
        features.frechet_squared_distance(values[:1], values)
    with pytest.raises(ValueError, match="manifold_neighbors is 30, expected 1 to 29"):
        features.precision(values, values, num_neighbors=30)
    with pytest.raises(ValueError, match=r"real has shape \(2, 4\), expected \[N, F\] with N of at least 3"):
        features.kernel_squared_distance(values[:2], values)
    with pytest.raises(ValueError, match="fake has features that are not finite"):
        features.frechet_squared_distance(values, np.where(np.eye(30, 4), np.nan, values))
    with pytest.raises(ValueError, match="num_real is 5"):
        features.expected_coverage(5, 9)
