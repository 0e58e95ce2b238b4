"""Path lengths of linear generators, and diversity of features at known angles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from genloss_jax.losses import penalties

STRETCH = np.array([[3.0, 0.0, 4.0]], np.float32)  # one latent, three outputs, norm 5


def stretching_generator(latents):
    return latents @ jnp.asarray(STRETCH) - 1.0


def within_five_standard_errors(values, expected):
    values = np.asarray(values, np.float64)
    return abs(values.mean() - expected) < 5 * values.std() / np.sqrt(values.size)


def test_squared_path_lengths_of_linear_generator_have_expectation_of_frobenius_norm(key):
    matrix = jnp.array([[1.0, 2.0, 0.0], [0.0, 1.0, -3.0]])  # squared Frobenius norm 15
    lengths = penalties.path_lengths(lambda latents: latents @ matrix, key, jnp.zeros((100_000, 2)))
    assert within_five_standard_errors(np.square(lengths), 15.0)


@pytest.mark.parametrize("average", [0.0, 2.0])
def test_path_length_penalty_of_linear_generator_has_known_expectation(key, average):
    value = penalties.path_length_penalty(stretching_generator, key, jnp.zeros((200_000, 1)), jnp.float32(average))
    # The length is 5|n|, n ~ N(0, 1): E (5|n| − a)² = 25 − 10a √(2/π) + a².
    assert within_five_standard_errors(value, 25 - 10 * average * np.sqrt(2 / np.pi) + average**2)


def test_path_length_penalty_is_squared_distance_of_lengths_to_average(key):
    latents = jnp.ones((4, 2, 3))  # one norm over both axes of an example's latents

    def generator(each):
        return jnp.tanh(each[:, 0] * each[:, 1]).reshape(4, 3, 1, 1)

    lengths = penalties.path_lengths(generator, jax.random.clone(key), latents)
    value = penalties.path_length_penalty(generator, key, latents, jnp.float32(0.3))
    np.testing.assert_allclose(np.sqrt(value), np.abs(lengths - 0.3), rtol=1e-4)


def test_path_lengths_take_one_norm_over_all_latent_axes_and_sum_over_all_sample_axes(key):
    # Every sample entry is the sum of the six latents: Jᵀy has six equal entries Σy, so the square is 6 (Σy)².
    def generator(latents):
        return jnp.broadcast_to(jnp.sum(latents, axis=(1, 2))[:, None, None], (latents.shape[0], 2, 2))

    lengths = penalties.path_lengths(generator, key, jnp.zeros((50_000, 2, 3)))
    assert within_five_standard_errors(np.square(lengths), 6 * 4.0)


def test_path_length_penalty_treats_the_average_as_a_constant(key):
    def total(average):
        return jnp.sum(penalties.path_length_penalty(stretching_generator, key, jnp.zeros((4, 1)), average))

    np.testing.assert_array_equal(jax.grad(total)(jnp.float32(2.0)), 0.0)


def test_path_length_penalty_of_collapsed_generator_has_finite_gradient(key):
    def total(weights):
        return jnp.sum(penalties.path_length_penalty(lambda z: z @ weights, key, jnp.ones((4, 2)), jnp.float32(2.0)))

    value, gradient = jax.value_and_grad(total)(jnp.zeros((2, 3)))
    np.testing.assert_allclose(value, 16.0, rtol=1e-6)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_path_lengths_need_a_generator_that_keeps_the_batch_axis(key):
    with pytest.raises(ValueError, match="generator_fn must keep the batch axis"):
        penalties.path_lengths(lambda latents: jnp.sum(latents, axis=0), key, jnp.ones((4, 2)))


def test_mode_seeking_loss_is_inverse_stretch_of_each_example():
    samples, other = jnp.zeros((2, 2, 2)), jnp.stack([jnp.full((2, 2), 2.0), jnp.array([[4.0, 0.0], [-4.0, 0.0]])])
    latents, other_latents = jnp.zeros((2, 3)), jnp.array([[0.5, -0.5, 0.5], [1.0, 1.0, 1.0]])
    # Mean distances 2 over 1/2, and 2 over 1.
    value = penalties.mode_seeking_loss(samples, other, latents, other_latents)
    np.testing.assert_allclose(value, [0.25, 0.5], rtol=1e-4)
    smoothed = penalties.mode_seeking_loss(samples, other, latents, other_latents, epsilon=1.0)
    np.testing.assert_allclose(smoothed, [1 / 5, 1 / 3], rtol=1e-6)


def test_mode_seeking_loss_of_collapsed_samples_is_capped_and_finite():
    samples, latents = jnp.ones((2, 3)), jnp.zeros((2, 2))
    other_latents = jnp.array([[1.0, 2.0], [0.0, 0.0]])  # the second pair of latents is equal as well

    def total(other):
        return jnp.sum(penalties.mode_seeking_loss(samples, other, latents, other_latents, epsilon=0.01))

    value, gradient = jax.value_and_grad(total)(samples)
    np.testing.assert_allclose(value, 100.0 + 0.0, rtol=1e-5)
    assert np.all(np.isfinite(gradient))


def test_pulling_away_loss_of_known_angles():
    features = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])  # squared cosines 0, 1/2, 1/2
    np.testing.assert_allclose(penalties.pulling_away_loss(features), [0.25, 0.25, 0.5], rtol=1e-6)


def test_pulling_away_loss_is_zero_for_orthogonal_and_one_for_parallel_features():
    np.testing.assert_allclose(penalties.pulling_away_loss(5 * jnp.eye(4)), np.zeros(4), atol=1e-6)
    parallel = jnp.array([[1.0, 2.0], [-2.0, -4.0], [0.5, 1.0]])
    np.testing.assert_allclose(penalties.pulling_away_loss(parallel), np.ones(3), rtol=1e-5)


def test_pulling_away_loss_of_zero_features_has_finite_gradient():
    value, gradient = jax.value_and_grad(lambda each: jnp.sum(penalties.pulling_away_loss(each)))(jnp.zeros((3, 2)))
    np.testing.assert_array_equal(value, 0.0)
    assert np.all(np.isfinite(gradient))


def test_pulling_away_loss_needs_two_examples():
    with pytest.raises(ValueError, match="features must have at least 2 examples"):
        penalties.pulling_away_loss(jnp.ones((1, 3)))


def test_feature_matching_loss_is_squared_distance_of_means():
    real, fake = jnp.array([[0.0, 1.0], [2.0, 3.0]]), jnp.array([[4.0, 0.0], [4.0, 12.0]])  # means (1, 2) and (4, 6)
    np.testing.assert_allclose(penalties.feature_matching_loss(real, fake), [25.0, 25.0], rtol=1e-6)
    np.testing.assert_allclose(penalties.feature_matching_loss(real, real[::-1]), [0.0, 0.0], atol=1e-6)


def test_feature_matching_loss_is_biased_upwards_by_the_variances_over_the_batch():
    draw = np.random.default_rng(0).normal
    real, fake = (jnp.asarray(draw(size=(2000, 8, 3)), jnp.float32) for _ in range(2))
    values = jax.vmap(penalties.feature_matching_loss)(real, fake)[:, 0]
    assert within_five_standard_errors(values, 3 * 2 / 8)  # true distance 0; three features of variance 1, B = 8


def pair_at(cosine, lengths=(1.0, 1.0)):
    """Two features of given lengths and the given cosine between them."""
    return jnp.array([[lengths[0], 0.0], [lengths[1] * cosine, lengths[1] * np.sqrt(1 - cosine**2)]], jnp.float32)


@pytest.mark.parametrize(
    ("fake_cosine", "expected"),
    # Eigenvalues 1 ± c. The real pair has c = 0.6, so weights are 0 and 1, and the leading eigenvector is (1, 1)/√2.
    # A negative fake cosine turns the leading eigenvector by 90 degrees.
    [(0.6, -1.0), (0.2, 0.8 - 1.0), (-0.2, 0.8)],
)
def test_diversity_determinantal_loss_of_two_pairs_at_known_angles(fake_cosine, expected):
    value = penalties.diversity_determinantal_loss(pair_at(0.6, (2.0, 0.5)), pair_at(fake_cosine, (3.0, 7.0)))
    np.testing.assert_allclose(value, [expected, expected], rtol=1e-5)


def test_diversity_determinantal_loss_gradient_equals_finite_differences():
    draw = np.random.default_rng(1).normal
    with jax.enable_x64(True):
        real, fake = (jnp.asarray(draw(size=(4, 6))) for _ in range(2))

        def total(features):
            return jnp.sum(penalties.diversity_determinantal_loss(real, jnp.asarray(features)))

        check_grads(jax.jit(total), (fake,), order=1, modes=["fwd", "rev"], rtol=1e-5)


def test_diversity_determinantal_loss_sends_no_gradient_to_real_features():
    draw = np.random.default_rng(1).normal
    real, fake = (jnp.asarray(draw(size=(4, 6)), jnp.float32) for _ in range(2))
    gradient = jax.grad(lambda each: jnp.sum(penalties.diversity_determinantal_loss(each, fake)))(real)
    np.testing.assert_array_equal(gradient, np.zeros((4, 6)))
