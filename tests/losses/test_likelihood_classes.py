"""Losses of class probabilities: sums over all sequences, entropies, and the ends of the range of logits."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genloss_jax.losses import likelihood
from tests.reference import likelihood as reference


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def jitted(fn, **settings):
    return jax.jit(functools.partial(fn, **settings))


def gradient_of_sum(fn, *others, **settings):
    return jax.jit(jax.grad(lambda logits: jnp.sum(fn(logits, *others, **settings))))


def test_probabilities_of_all_sequences_sum_to_one(double):
    sequences = np.array(list(itertools.product(range(3), repeat=4)))  # [81, T = 4]
    logits = np.tile(2 * draw(0, 1, 4, 3), (81, 1, 1))
    nll = jitted(likelihood.categorical_nll)(jnp.asarray(logits), jnp.asarray(sequences))
    np.testing.assert_allclose(np.exp(-nll).sum(), 1.0, rtol=1e-12)
    expected = -special.log_softmax(logits, -1)[np.arange(81)[:, None], np.arange(4), sequences].sum(1)
    np.testing.assert_allclose(nll, expected, rtol=1e-12)


def test_mean_categorical_nll_is_cross_entropy_and_at_the_right_logits_entropy(double):
    truth, logits = special.softmax(draw(1, 5)), draw(2, 5)
    for log_probs, expected in ((np.log(truth), stats.entropy(truth)), (logits, None)):
        nll = jitted(likelihood.categorical_nll)(jnp.tile(jnp.asarray(log_probs), (5, 1)), jnp.arange(5))
        expected = reference.cross_entropy(truth, special.softmax(logits)) if expected is None else expected
        np.testing.assert_allclose(truth @ nll, expected, rtol=1e-12)


def test_categorical_nll_at_extreme_logits_is_their_difference_with_a_gradient_of_probabilities():
    logits = jnp.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [1e4, 1e4, -jnp.inf]])
    labels = jnp.array([1, 0, 0])
    nll = jitted(likelihood.categorical_nll)(logits, labels)
    np.testing.assert_allclose(nll, [2e4, 0.0, np.log(2)], rtol=1e-6)
    gradient = gradient_of_sum(likelihood.categorical_nll, labels)(logits)
    np.testing.assert_allclose(gradient, [[1, -1, 0], [0, 0, 0], [-0.5, 0.5, 0]], atol=1e-7)


def test_label_that_does_not_exist_has_probability_zero():
    """An index of -1 would wrap to the last class, and one of K would be clamped to it."""
    nll = jitted(likelihood.categorical_nll)(jnp.zeros((4, 3)), jnp.array([-1, 0, 3, -100]))
    np.testing.assert_allclose(nll, [np.inf, np.log(3), np.inf, np.inf], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothed_value_is_entropy_of_the_smoothed_label_plus_kl(double, smoothing):
    logits, labels = draw(3, 6, 4, 5), np.random.default_rng(4).integers(0, 5, (6, 4))
    smoothed = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
    nll = jitted(likelihood.label_smoothed_nll, smoothing=smoothing)(jnp.asarray(logits), jnp.asarray(labels))
    expected = reference.cross_entropy(smoothed, special.softmax(logits, -1)).sum(1)
    np.testing.assert_allclose(nll, expected, rtol=1e-12)


def test_label_smoothing_is_minimised_by_the_smoothed_label(double):
    labels, smoothed = jnp.array([0, 2]), 0.7 * np.eye(3)[[0, 2]] + 0.1
    gradient = gradient_of_sum(likelihood.label_smoothed_nll, labels, smoothing=0.3)(jnp.asarray(np.log(smoothed)))
    np.testing.assert_allclose(gradient, np.zeros((2, 3)), atol=1e-15)


def test_unlikelihood_of_known_probabilities(double):
    probs = np.array([[[0.5, 0.2, 0.3], [0.9, 0.05, 0.05]], [[1 / 3, 1 / 3, 1 / 3], [1e-12, 1e-3, 1 - 1e-3 - 1e-12]]])
    negatives = np.array([[[1.0, 0, 1], [1, 0, 0]], [[0, 2, 0], [1, 0, 1]]])
    loss = jitted(likelihood.unlikelihood_loss)(jnp.asarray(np.log(probs) + 7), jnp.asarray(negatives))
    np.testing.assert_allclose(loss, -(negatives * np.log1p(-probs)).sum((1, 2)), rtol=1e-10)


def test_unlikelihood_of_a_class_that_is_nearly_certain_is_its_margin_with_gradient_one():
    """log(1 - p) of a rounded p is -∞ from a margin of 17 on."""
    logits, negatives = jnp.array([[0.0, 30.0, 0.0], [0.0, 1e4, 0.0]]), jnp.array([[0.0, 1.0, 0.0]] * 2)
    loss = jitted(likelihood.unlikelihood_loss)(logits, negatives)
    np.testing.assert_allclose(loss, np.array([30, 1e4]) - np.log(2), rtol=1e-6)
    gradient = gradient_of_sum(likelihood.unlikelihood_loss, negatives)(logits)
    np.testing.assert_allclose(gradient, [[-0.5, 1, -0.5]] * 2, rtol=1e-6)


def test_unlikelihood_gradient_is_the_probability_of_the_negative(double):
    logits = draw(5, 4, 3)
    negatives = jnp.asarray(np.eye(3)[[0, 1, 2, 0]])
    gradient = gradient_of_sum(likelihood.unlikelihood_loss, negatives)(jnp.asarray(logits))
    probs = special.softmax(logits, -1)
    # d/dl_c = p_c at the negative c, -p_c p_j / (1 - p_c) elsewhere
    negative = (probs * negatives).sum(1, keepdims=True)
    np.testing.assert_allclose(gradient, np.where(negatives > 0, probs, -negative * probs / (1 - negative)), rtol=1e-10)


def test_previous_labels_marks_what_came_before_but_not_the_label_itself():
    marks = likelihood.previous_labels(jnp.array([[0, 1, 0, 2, 2]]), num_classes=4)
    expected = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    np.testing.assert_array_equal(marks[0], expected)


def test_z_loss_of_shifted_log_probabilities_is_the_squared_shift(double):
    shift = np.array([[0.0, 1.5, -2.0], [1e4, -1e4, 3.0]])
    logits = jnp.asarray(special.log_softmax(draw(6, 2, 3, 5), -1) + shift[..., None])
    np.testing.assert_allclose(jitted(likelihood.z_loss)(logits), (shift**2).sum(1), rtol=1e-10)
    gradient = gradient_of_sum(likelihood.z_loss)(logits)
    expected = 2 * shift[..., None] * special.softmax(logits, -1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
