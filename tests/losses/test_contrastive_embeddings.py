"""Losses of embeddings at right angles, on paper, and of random embeddings, by loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import contrastive
from tests.reference import contrastive as reference

BATCH, TEMPERATURE = 5, 0.4
LABELS = np.array([0, 1, 0, 2, 1, 0])


def points(seed, num=BATCH, dim=4):
    return np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)


def right_angles(num=BATCH, scale=3.0):
    return scale * jnp.eye(num)


# --- NT-Xent ---


def test_nt_xent_of_equal_views_at_right_angles_has_its_closed_form():
    value = contrastive.nt_xent_loss(right_angles(), 0.5 * right_angles(), temperature=TEMPERATURE)
    # −1/τ + log(exp(1/τ) + 2(B − 1))
    expected = np.log(np.exp(1 / TEMPERATURE) + 2 * (BATCH - 1)) - 1 / TEMPERATURE
    np.testing.assert_allclose(value, np.full(BATCH, expected), rtol=1e-5)


def test_nt_xent_of_embeddings_that_say_nothing_is_the_logarithm_of_the_other_views():
    same = jnp.ones((BATCH, 3))
    value = contrastive.nt_xent_loss(same, same, temperature=TEMPERATURE)
    np.testing.assert_allclose(value, np.full(BATCH, np.log(2 * BATCH - 1)), rtol=1e-6)


def test_nt_xent_of_random_views_is_the_loop_over_views():
    x, y = points(0), points(1)
    value = contrastive.nt_xent_loss(jnp.asarray(x), jnp.asarray(y), temperature=TEMPERATURE)
    np.testing.assert_allclose(value, reference.nt_xent(x, y, TEMPERATURE), rtol=1e-5)


# --- Supervised ---


def test_supervised_contrastive_loss_of_orthogonal_classes_has_its_closed_form():
    value = contrastive.supervised_contrastive_loss(
        2.0 * jnp.eye(3)[LABELS], jnp.asarray(LABELS), temperature=TEMPERATURE
    )
    # −1/τ + log((n − 1) exp(1/τ) + B − n) in a class of n; 0 for the one that is alone
    in_class = np.array([3, 2, 3, 1, 2, 3])
    expected = np.log((in_class - 1) * np.exp(1 / TEMPERATURE) + 6 - in_class) - 1 / TEMPERATURE
    np.testing.assert_allclose(value, np.where(in_class > 1, expected, 0), rtol=1e-5)


def test_supervised_contrastive_loss_of_random_embeddings_is_the_loop_over_pairs():
    x = points(2, 6)
    value = contrastive.supervised_contrastive_loss(jnp.asarray(x), jnp.asarray(LABELS), temperature=TEMPERATURE)
    np.testing.assert_allclose(value, reference.supervised(x, LABELS, TEMPERATURE), rtol=1e-5)


@pytest.mark.parametrize("num", [1, 3])
def test_examples_alone_in_their_class_cost_nothing_and_have_no_gradient(num):
    value, gradient = jax.jit(
        jax.value_and_grad(
            lambda x: jnp.sum(contrastive.supervised_contrastive_loss(x, jnp.arange(num), temperature=TEMPERATURE))
        )
    )(jnp.asarray(points(3, num)))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((num, 4)))


# --- CLIP and SigLIP ---


def test_clip_loss_of_matched_pairs_at_right_angles_has_its_closed_form():
    value = contrastive.clip_loss(right_angles(), 0.2 * right_angles(), log_scale=np.log(2.5))
    np.testing.assert_allclose(value, np.full(BATCH, np.log(np.exp(2.5) + BATCH - 1) - 2.5), rtol=1e-5)


def test_clip_loss_of_random_embeddings_is_half_of_both_cross_entropies_and_symmetric():
    x, y = points(4), points(5)
    value = contrastive.clip_loss(jnp.asarray(x), jnp.asarray(y), log_scale=np.log(7.0))
    np.testing.assert_allclose(value, reference.clip(x, y, 7.0), rtol=1e-5)
    np.testing.assert_allclose(
        contrastive.clip_loss(jnp.asarray(y), jnp.asarray(x), log_scale=np.log(7.0)), value, rtol=1e-5
    )


def test_siglip_loss_of_orthogonal_embeddings_is_least_at_the_bias_of_the_odds():
    images, texts = jnp.eye(2 * BATCH)[:BATCH], jnp.eye(2 * BATCH)[BATCH:]

    def mean_loss(bias):
        return jnp.mean(contrastive.siglip_loss(images, texts, log_scale=np.log(10.0), bias=bias))

    value, gradient = jax.value_and_grad(mean_loss)(-np.log(BATCH - 1.0))
    # B times the entropy of a coin that shows 1/B
    np.testing.assert_allclose(value, np.log(BATCH) + (BATCH - 1) * np.log(BATCH / (BATCH - 1)), rtol=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_siglip_loss_is_summed_over_pairs_and_divided_by_the_batch():
    x, y = points(6), points(7)
    value = contrastive.siglip_loss(jnp.asarray(x), jnp.asarray(y), log_scale=np.log(3.0), bias=-1.0)
    np.testing.assert_allclose(value, reference.siglip(x, y, 3.0, -1.0), rtol=1e-5)


@pytest.mark.parametrize("name, others", [("clip_loss", {}), ("siglip_loss", {"bias": -10.0})])
def test_loss_is_finite_at_a_huge_scale_and_for_embeddings_of_length_zero(name, others):
    x = jnp.asarray(points(8)).at[0].set(0.0)
    value, gradient = jax.jit(
        jax.value_and_grad(lambda x: jnp.sum(getattr(contrastive, name)(x, x[::-1], log_scale=np.log(1e4), **others)))
    )(x)
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


# --- Triplets ---


@pytest.mark.parametrize("squared, expected", [(True, [2.0, 0.0]), (False, [4.0, 2.0])])
def test_triplet_loss_of_points_on_a_line_is_what_the_eye_reads_off(squared, expected):
    anchors, positives, negatives = jnp.zeros((2, 1)), jnp.array([[1.0], [-1.0]]), jnp.array([[2.0], [4.0]])
    value = contrastive.triplet_loss(anchors, positives, negatives, margin=5.0, squared=squared)
    np.testing.assert_allclose(value, expected)


def test_triplet_loss_has_a_finite_gradient_where_all_points_coincide():
    point = jnp.ones((1, 3))
    gradient = jax.grad(lambda p: jnp.sum(contrastive.triplet_loss(point, p, point, margin=1.0, squared=False)))(point)
    np.testing.assert_array_equal(gradient, np.zeros((1, 3)))
