"""Discrete codes: nearest codewords, straight-through gradients, running averages, rounding, relaxed categories."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from genloss_jax.losses import variational

CODEBOOK = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [3.0, 3.0]], np.float32)


def latents(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(1.0, 1.5, shape), jnp.float32)


# --- Vector quantisation ---


def test_vector_quantize_takes_the_nearest_codeword():
    z = latents(0, 5, 3, 2)
    result = variational.vector_quantize(jnp.asarray(CODEBOOK), z)
    distances = ((np.asarray(z)[:, :, None] - CODEBOOK) ** 2).sum(-1)
    np.testing.assert_array_equal(result.codes, distances.argmin(-1))
    np.testing.assert_array_equal(result.vectors, CODEBOOK[distances.argmin(-1)])
    np.testing.assert_array_equal(result.quantized, result.vectors)


def test_vector_quantize_far_from_the_origin_finds_the_nearest_codeword():
    shift = 3000.0
    z = latents(1, 200, 2)
    near = variational.vector_quantize(jnp.asarray(CODEBOOK), jnp.round(z * 64) / 64)
    far = variational.vector_quantize(jnp.asarray(CODEBOOK + shift), jnp.round(z * 64) / 64 + shift)
    np.testing.assert_array_equal(near.codes, far.codes)


def test_gradient_passes_straight_through_the_quantiser_to_the_latents_alone():
    z, weights = latents(2, 4, 2), latents(3, 4, 2)

    def decoder_loss(codebook, z):
        return jnp.sum(weights * jnp.sin(variational.vector_quantize(codebook, z).quantized))

    by_codebook, by_latents = jax.grad(decoder_loss, argnums=(0, 1))(jnp.asarray(CODEBOOK), z)
    assert not np.any(by_codebook)
    quantized = variational.vector_quantize(jnp.asarray(CODEBOOK), z).quantized
    np.testing.assert_allclose(by_latents, weights * jnp.cos(quantized), rtol=1e-6)


def clusters():
    """Return three points around each of two centres, and the centres."""
    offsets = np.array([[0.3, 0.0], [-0.1, 0.2], [-0.2, -0.2]], np.float32)
    centers = np.array([[5.0, 0.0], [-5.0, 1.0]], np.float32)
    return jnp.asarray((centers[:, None] + offsets[None]).reshape(6, 2)), jnp.asarray(centers), np.sum(offsets**2)


def test_codebook_loss_at_cluster_means_is_the_scatter_within_and_has_gradient_zero():
    z, centers, scatter = clusters()

    def total(codebook):
        return jnp.sum(variational.codebook_loss(z, variational.vector_quantize(codebook, z).vectors))

    value, gradient = jax.value_and_grad(total)(centers)
    np.testing.assert_allclose(value, 2 * scatter, rtol=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    # Moved off the mean by δ, three points each add |δ|².
    moved = centers + jnp.array([[0.1, 0.0]])
    np.testing.assert_allclose(total(moved), 2 * (scatter + 3 * 0.01), rtol=1e-4)
    np.testing.assert_allclose(jax.grad(total)(moved), np.tile([2 * 3 * 0.1, 0.0], (2, 1)), atol=1e-5)


def test_commitment_loss_has_the_value_of_the_codebook_loss_and_the_other_sides_gradient():
    z, vectors = jnp.array([[1.0, 2.0], [0.0, -1.0]]), jnp.array([[0.0, 2.5], [3.0, -1.0]])
    np.testing.assert_allclose(variational.commitment_loss(z, vectors), [1.25, 9.0], rtol=1e-6)
    np.testing.assert_allclose(variational.codebook_loss(z, vectors), [1.25, 9.0], rtol=1e-6)

    def gradients(loss):
        return jax.grad(lambda z, vectors: jnp.sum(loss(z, vectors)), argnums=(0, 1))(z, vectors)

    by_latents, by_vectors = gradients(variational.commitment_loss)
    np.testing.assert_allclose(by_latents, 2 * (z - vectors), rtol=1e-6)
    assert not np.any(by_vectors)
    by_latents, by_vectors = gradients(variational.codebook_loss)
    np.testing.assert_allclose(by_vectors, 2 * (vectors - z), rtol=1e-6)
    assert not np.any(by_latents)


def test_quantisation_losses_and_gradients_vanish_where_latents_are_codewords():
    z = jnp.asarray(CODEBOOK[[2, 0, 3]])

    def total(codebook, z):
        vectors = variational.vector_quantize(codebook, z).vectors
        return jnp.sum(variational.codebook_loss(z, vectors) + 0.25 * variational.commitment_loss(z, vectors))

    value, gradients = jax.value_and_grad(total, argnums=(0, 1))(jnp.asarray(CODEBOOK), z)
    assert value == 0 and not any(np.any(gradient) for gradient in gradients)


def test_running_averages_of_a_codebook_settle_at_the_cluster_means():
    z, centers, _ = clusters()
    average = variational.CodebookAverage(jnp.ones(3), jnp.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 50.0]]))

    @jax.jit
    def step(average):
        codebook = variational.average_codebook(average, epsilon=1e-9)
        codes = variational.vector_quantize(codebook, z).codes
        return variational.update_codebook_average(average, z, codes, decay=0.5)

    once = step(average)
    np.testing.assert_allclose(once.counts, [2.0, 2.0, 0.5], rtol=1e-6)
    for _ in range(30):
        average = step(average)
    codebook = variational.average_codebook(average, epsilon=1e-9)
    np.testing.assert_allclose(codebook[:2], centers, rtol=1e-4)
    assert np.all(np.isfinite(codebook))


def test_code_perplexity_counts_the_codes_in_equal_use():
    codes = jnp.array([[0, 1], [2, 0], [1, 2]])
    np.testing.assert_allclose(variational.code_perplexity(codes, num_codes=10), 3.0, rtol=1e-6)
    np.testing.assert_allclose(variational.code_perplexity(jnp.zeros(7, int), num_codes=10), 1.0, rtol=1e-6)


def test_residual_quantize_leaves_less_with_every_stage_and_sums_to_its_codewords():
    z = latents(4, 6, 3, 2)
    scales = np.array([1.0, 0.5, 0.25], np.float32)[:, None, None]
    codebooks = jnp.asarray(scales * np.concatenate([CODEBOOK, -CODEBOOK[1:]])[None])
    result = variational.residual_quantize(codebooks, z)
    assert result.vectors.shape == result.residuals.shape == (6, 3, 3, 2)
    np.testing.assert_allclose(result.quantized, result.vectors.sum(-2), rtol=1e-6)
    np.testing.assert_allclose(result.residuals[..., 1:, :], (result.residuals - result.vectors)[..., :-1, :])
    for stage in range(3):
        single = variational.vector_quantize(codebooks[stage], result.residuals[..., stage, :])
        np.testing.assert_array_equal(single.codes, result.codes[..., stage])
        np.testing.assert_array_equal(single.vectors, result.vectors[..., stage, :])
    # Every codebook holds 0, so that no stage makes it worse.
    errors = jnp.sum(jnp.square(result.residuals), -1)
    assert np.all(np.diff(errors, axis=-1) <= 1e-6)


def test_residual_quantize_trains_each_codebook_on_its_own_residual_and_passes_gradients_straight_through():
    z = latents(5, 6, 2)
    codebooks = jnp.asarray(np.stack([CODEBOOK, 0.5 * CODEBOOK]))

    def codebook_loss(codebooks):
        result = variational.residual_quantize(codebooks, z)
        return jnp.sum(variational.codebook_loss(result.residuals, result.vectors))

    result = variational.residual_quantize(codebooks, z)
    expected = np.zeros(codebooks.shape)
    for stage, row in np.ndindex(2, 6):
        error = result.vectors[row, stage] - result.residuals[row, stage]
        expected[stage, result.codes[row, stage]] += 2 * np.asarray(error)
    np.testing.assert_allclose(jax.grad(codebook_loss)(codebooks), expected, rtol=1e-5, atol=1e-6)
    straight = jax.grad(lambda z: jnp.sum(variational.residual_quantize(codebooks, z).quantized))(z)
    np.testing.assert_array_equal(straight, np.ones((6, 2)))


def test_code_entropy_penalty_of_certain_and_diverse_codes_is_minus_log_of_their_number():
    certain = 1e4 * jnp.eye(4)[jnp.array([0, 1, 2, 3, 3, 2, 1, 0])].reshape(4, 2, 4)
    value, gradient = jax.value_and_grad(lambda logits: jnp.mean(variational.code_entropy_penalty(logits)))(certain)
    np.testing.assert_allclose(value, -np.log(4), rtol=1e-6)
    assert np.all(np.isfinite(gradient))
    one_code = jnp.broadcast_to(certain[:1, :1], (4, 2, 4))
    np.testing.assert_allclose(variational.code_entropy_penalty(one_code), 0, atol=1e-6)
    unsure = jnp.zeros((4, 2, 4))
    np.testing.assert_allclose(variational.code_entropy_penalty(unsure, diversity=0.25), 0.75 * np.log(4), rtol=1e-6)


def test_code_entropy_penalty_is_minus_the_mutual_information_of_position_and_code():
    probs = special.softmax(np.random.default_rng(6).normal(size=(12, 5)), -1)
    information = special.rel_entr(probs, probs.mean(0)).sum(-1).mean()
    value = variational.code_entropy_penalty(jnp.asarray(np.log(probs), jnp.float32).reshape(4, 3, 5))
    np.testing.assert_allclose(jnp.mean(value), -information, rtol=1e-5)


# --- Finite scalar quantisation ---


@pytest.mark.parametrize("levels", [(2, 3), (8, 5, 5), (4, 4, 7)])
def test_finite_scalar_quantize_reaches_every_code_once_and_its_values_decode(levels):
    count = int(np.prod(levels))
    values = variational.finite_scalar_values(jnp.arange(count), levels=levels)
    assert len(np.unique(np.asarray(values), axis=0)) == count
    half = np.array(levels) // 2
    # z whose bounded value is the level itself: tanh(z + shift) = (level + offset) / half_width
    half_width = (np.array(levels) - 1) * 1.001 / 2
    offset = np.where(np.array(levels) % 2 == 0, 0.5, 0.0)
    z = np.arctanh((np.asarray(values) * half + offset) / half_width) - np.arctanh(offset / half_width)
    result = variational.finite_scalar_quantize(jnp.asarray(z, jnp.float32), levels=levels)
    np.testing.assert_array_equal(result.codes, np.arange(count))
    np.testing.assert_allclose(result.quantized, values, atol=1e-6)


def test_finite_scalar_quantize_sends_zero_to_zero_and_extremes_to_the_outer_levels():
    extremes = jnp.array([[0.0, 0.0], [1e4, 1e4], [-1e4, -1e4]])
    result = variational.finite_scalar_quantize(extremes, levels=(4, 5))
    np.testing.assert_allclose(result.quantized, [[0, 0], [0.5, 1], [-1, -1]], atol=1e-6)


def test_finite_scalar_quantize_has_the_gradient_of_the_bounded_latents():
    z = latents(7, 5, 2)
    gradient = jax.grad(lambda z: jnp.sum(variational.finite_scalar_quantize(z, levels=(5, 3)).quantized))(z)
    half_width = np.array([4, 2]) * 1.001 / 2
    np.testing.assert_allclose(gradient, half_width / np.array([2, 1]) / np.cosh(z) ** 2, rtol=1e-5)


@pytest.mark.parametrize("levels", [(), (4, 1)])
def test_finite_scalar_quantize_names_bad_levels(levels):
    with pytest.raises(ValueError, match="levels"):
        variational.finite_scalar_quantize(jnp.zeros((3, 2)), levels=levels)


# --- Relaxed categories ---


@pytest.mark.parametrize("temperature", [0.3, 5.0])
def test_largest_entry_of_gumbel_softmax_is_distributed_as_the_categories_at_every_temperature(key, temperature):
    logits = jnp.array([0.5, -1.0, 1.2])
    samples = variational.gumbel_softmax(key, jnp.tile(logits, (20_000, 1)), temperature=temperature)
    np.testing.assert_allclose(jnp.sum(samples, -1), 1.0, rtol=1e-5)
    frequencies = np.bincount(np.argmax(samples, -1), minlength=3) / 20_000
    probs = special.softmax(np.asarray(logits))
    assert np.all(np.abs(frequencies - probs) < 5 * np.sqrt(probs * (1 - probs) / 20_000))


def test_hard_gumbel_softmax_is_one_hot_with_the_relaxed_gradient(key):
    logits, weights = latents(8, 6, 4), latents(9, 6, 4)

    def total(logits, hard):
        samples = variational.gumbel_softmax(jax.random.clone(key), logits, temperature=0.7, hard=hard)
        return jnp.sum(weights * samples), samples

    (_, hard), gradient = jax.value_and_grad(total, has_aux=True)(logits, True)
    (_, soft), relaxed = jax.value_and_grad(total, has_aux=True)(logits, False)
    np.testing.assert_array_equal(hard, jax.nn.one_hot(jnp.argmax(soft, -1), 4))
    np.testing.assert_allclose(gradient, relaxed, rtol=1e-6)


def test_gumbel_softmax_refuses_a_temperature_of_zero(key):
    with pytest.raises(ValueError, match="temperature"):
        variational.gumbel_softmax(key, jnp.zeros((2, 3)), temperature=0.0)
