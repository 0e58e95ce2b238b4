import jax
import numpy as np
import pytest
from scipy import stats

from genloss_jax.metrics import modes, statistics

RING = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
GRID = 2.0 * np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), axis=-1).reshape(25, 2)


def mixture(rng, centers, sigma, num):
    return centers[rng.integers(len(centers), size=num)] + sigma * rng.normal(size=(num, centers.shape[1]))


def test_counts_of_samples_placed_by_hand():
    offsets = 0.05 * np.array([[0.0, 0.0], [2.99, 0.0], [0.0, -3.01], [2.2, 2.2]])
    samples = np.concatenate([GRID[3] + offsets, GRID[7] + offsets[:1], [[1.0, 1.0], [np.nan, 0.0], [np.inf, 0.0]]])
    expected = np.zeros(26, int)
    expected[3], expected[7], expected[25] = 2, 1, 5
    np.testing.assert_array_equal(modes.count_modes(samples, GRID, 0.05), expected)


def test_samples_on_the_device_are_counted_like_those_in_memory():
    samples = mixture(np.random.default_rng(0), RING, 0.01, 100).astype(np.float32)
    on_device = modes.count_modes(jax.numpy.asarray(samples), RING, 0.01)
    np.testing.assert_array_equal(on_device, modes.count_modes(samples, RING, 0.01))


def test_share_of_the_truth_outside_three_sigma_is_exp_minus_four_and_a_half_in_the_plane():
    probabilities = modes.mode_probabilities(GRID, 0.05)
    np.testing.assert_allclose(probabilities[-1], np.exp(-4.5), rtol=1e-12)
    np.testing.assert_allclose(probabilities[:-1], (1 - np.exp(-4.5)) / 25, rtol=1e-12)


def test_probabilities_of_touching_modes_on_the_line_are_those_of_the_normal_distribution():
    centers, sigma = np.array([[-3.0], [3.0]]) * 0.7, 0.7
    own, other = stats.norm.cdf(3) - stats.norm.cdf(-3), stats.norm.cdf(9) - stats.norm.cdf(3)
    inside = (own + other) / 2
    np.testing.assert_allclose(modes.mode_probabilities(centers, sigma), [inside, inside, 1 - 2 * inside], rtol=1e-9)


def test_probabilities_are_the_frequencies_of_a_large_sample_of_near_modes():
    centers, sigma, num = 1.0 * RING, 0.76 / 6, 200_000
    counts = modes.count_modes(mixture(np.random.default_rng(2), centers, sigma, num), centers, sigma)
    probabilities = modes.mode_probabilities(centers, sigma)
    errors = np.sqrt(probabilities * (1 - probabilities) / num)
    assert np.all(np.abs(counts / num - probabilities) < 4 * errors)


def test_overlapping_modes_have_no_bins():
    assert not modes.separated(RING, 0.2)
    with pytest.raises(ValueError, match="6 sigma"):
        modes.mode_probabilities(RING, 0.2)


def test_modes_covered_needs_one_sample_and_the_share_counts_all():
    counts = np.array([5, 0, 1, 0, 4])
    assert modes.modes_covered(counts) == 2
    assert modes.high_quality_share(counts) == 0.6


def test_reverse_kl_of_a_sampler_that_hits_no_mode_is_four_and_a_half_nats():
    counts = modes.count_modes(np.zeros((100, 2)), RING, 0.01)
    np.testing.assert_allclose(modes.reverse_kl(counts, modes.mode_probabilities(RING, 0.01)), 4.5, rtol=1e-12)
    np.testing.assert_allclose(modes.on_mode_reverse_kl(counts), np.log(8))


def test_reverse_kl_of_a_sampler_of_one_mode_is_log_k_and_the_missing_tail():
    counts = modes.count_modes(np.tile(RING[2], (100, 1)), RING, 0.01)
    expected = np.log(8) - np.log1p(-np.exp(-4.5))
    np.testing.assert_allclose(modes.reverse_kl(counts, modes.mode_probabilities(RING, 0.01)), expected, rtol=1e-12)
    np.testing.assert_allclose(modes.on_mode_reverse_kl(counts), np.log(8), rtol=1e-12)


def test_reverse_kl_of_shares_by_hand():
    probabilities = np.array([0.45, 0.45, 0.1])
    expected = 0.25 * np.log(0.25 / 0.45) + 0.75 * np.log(0.75 / 0.1)
    np.testing.assert_allclose(modes.reverse_kl(np.array([1, 0, 3]), probabilities), expected, rtol=1e-12)
    np.testing.assert_allclose(
        modes.on_mode_reverse_kl(np.array([1, 3, 9])), 0.25 * np.log(0.5) + 0.75 * np.log(1.5), rtol=1e-12
    )


def test_only_the_reverse_kl_with_an_off_mode_bin_sees_samples_between_the_modes():
    one_in_each, many_between = RING, np.zeros((1000, 2))
    counts = modes.count_modes(np.concatenate([one_in_each, many_between]), RING, 0.01)
    np.testing.assert_allclose(modes.on_mode_reverse_kl(counts), 0.0, atol=1e-12)
    assert modes.reverse_kl(counts, modes.mode_probabilities(RING, 0.01)) > 4.4


@pytest.mark.parametrize(("centers", "sigma"), [(RING, 0.01), (GRID, 0.05)], ids=["ring", "grid"])
def test_floor_of_reverse_kl_is_half_the_degrees_of_freedom_over_n(centers, sigma):
    rng, num = np.random.default_rng(3), 2500
    probabilities = modes.mode_probabilities(centers, sigma)
    counts = [modes.count_modes(mixture(rng, centers, sigma, num), centers, sigma) for _ in range(200)]
    values = [modes.reverse_kl(count, probabilities) for count in counts]
    mean = statistics.mean_and_standard_error(values)
    assert abs(mean.value - len(centers) / (2 * num)) < 4 * mean.standard_error
    on_mode = statistics.mean_and_standard_error([modes.on_mode_reverse_kl(count) for count in counts])
    expected = (len(centers) - 1) / (2 * num * (1 - np.exp(-4.5)))
    assert abs(on_mode.value - expected) < 4 * on_mode.standard_error


def test_wrong_shapes_are_errors_that_name_the_argument(unchecked):
    with pytest.raises(ValueError, match=r"samples has shape \(4, 3\), expected \[N, 2\]"):
        modes.count_modes(np.zeros((4, 3)), RING.copy(), 0.01)
    with pytest.raises(ValueError, match="counts has shape"):
        modes.reverse_kl(np.array([1, 2]), np.array([0.2, 0.3, 0.5]))
