"""Penalties on the outputs of critics and generators, against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import penalties

REAL_LOGITS, FAKE_LOGITS = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
REAL_AVERAGE, FAKE_AVERAGE = jnp.float32(2.0), jnp.float32(-1.0)


def test_lecam_penalty_has_hand_computed_values():
    one_sided = penalties.lecam_penalty(REAL_LOGITS, FAKE_LOGITS, REAL_AVERAGE, FAKE_AVERAGE)
    np.testing.assert_allclose(one_sided, [2.0**2 + 1.5**2, 0.0], rtol=1e-6)
    two_sided = penalties.lecam_penalty(REAL_LOGITS, FAKE_LOGITS, REAL_AVERAGE, FAKE_AVERAGE, one_sided=False)
    np.testing.assert_allclose(two_sided, [2.0**2 + 1.5**2, 1.0 + 1.0], rtol=1e-6)


def test_lecam_penalty_holds_each_side_to_the_average_of_the_other():
    value = penalties.lecam_penalty(jnp.array([5.0]), jnp.array([-7.0]), 5.0, -7.0)
    np.testing.assert_allclose(value, [2 * 12.0**2], rtol=1e-6)


def test_lecam_penalty_treats_averages_as_constants():
    gradient = jax.grad(lambda *averages: jnp.sum(penalties.lecam_penalty(REAL_LOGITS, FAKE_LOGITS, *averages)), (0, 1))
    np.testing.assert_array_equal(gradient(REAL_AVERAGE, FAKE_AVERAGE), (0.0, 0.0))


def test_drift_penalty_is_squared_logit():
    np.testing.assert_allclose(penalties.drift_penalty(jnp.array([3.0, -0.5, 0.0])), [9.0, 0.25, 0.0], rtol=1e-6)


def test_consistency_penalty_sums_squares_over_all_axes():
    outputs, augmented = jnp.ones((2, 2, 3)), jnp.stack([jnp.zeros((2, 3)), jnp.full((2, 3), 3.0)])
    np.testing.assert_allclose(penalties.consistency_penalty(outputs, augmented), [6.0, 24.0], rtol=1e-6)
    np.testing.assert_allclose(penalties.consistency_penalty(REAL_LOGITS, FAKE_LOGITS), [0.5**2, 5.0**2], rtol=1e-6)


def test_consistency_penalty_moves_both_sides_towards_each_other():
    gradients = jax.grad(lambda *pair: jnp.sum(penalties.consistency_penalty(*pair)), (0, 1))(REAL_LOGITS, FAKE_LOGITS)
    np.testing.assert_allclose(gradients, ([1.0, -10.0], [-1.0, 10.0]), rtol=1e-6)


def test_balanced_consistency_penalty_weights_each_side():
    outputs = (jnp.array([1.0]), jnp.array([3.0]), jnp.array([-1.0]), jnp.array([2.0]))  # changes by 2 and by 3
    np.testing.assert_allclose(penalties.balanced_consistency_penalty(*outputs), [13.0], rtol=1e-6)
    weighted = penalties.balanced_consistency_penalty(*outputs, real_weight=10.0, fake_weight=0.5)
    np.testing.assert_allclose(weighted, [44.5], rtol=1e-6)


MATRIX = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -3.0]], np.float32)  # squared Frobenius norm 15


def linear_map(latents):
    return latents @ jnp.asarray(MATRIX) + 4.0


def test_latent_consistency_penalty_of_linear_map_has_expectation_of_frobenius_norm(key):
    value = penalties.latent_consistency_penalty(linear_map, key, jnp.zeros((100_000, 2)), sigma=0.5)
    value = np.asarray(value, np.float64)
    assert abs(value.mean() - 0.5**2 * 15) < 5 * value.std() / np.sqrt(value.size)


def test_latent_consistency_penalty_of_linear_map_grows_with_sigma_squared(key):
    small, large = (
        penalties.latent_consistency_penalty(linear_map, jax.random.clone(key), jnp.zeros((8, 2)), sigma=sigma)
        for sigma in (1.0, 4.0)
    )
    np.testing.assert_allclose(16 * small, large, rtol=1e-4)


def test_latent_consistency_penalty_serves_critics_of_generators(key):
    value = penalties.latent_consistency_penalty(
        lambda latents: linear_map(latents)[:, 1], key, jnp.zeros((100_000, 2)), sigma=1.0
    )
    value = np.asarray(value, np.float64)
    assert abs(value.mean() - 5.0) < 5 * value.std() / np.sqrt(value.size)  # ‖(2, 1)‖²


def test_latent_consistency_penalty_needs_a_positive_sigma(key):
    with pytest.raises(ValueError, match=r"sigma must be positive; got -1\.0"):
        penalties.latent_consistency_penalty(linear_map, key, jnp.zeros((8, 2)), sigma=-1.0)
