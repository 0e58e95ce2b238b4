"""InfoNCE and the bounds on information, against enumerated joint distributions and correlated Gaussians."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import contrastive
from tests.reference import contrastive as reference
from tests.reference.energy import normal_nodes

JOINT = np.array([[0.25, 0.05, 0.02], [0.03, 0.3, 0.05], [0.1, 0.0001, 0.1999]])
LOG_RATIO = np.log(JOINT) - np.log(JOINT.sum(1, keepdims=True)) - np.log(JOINT.sum(0, keepdims=True))


def expectation(bound, critic):
    """Expected bound over all batches of two pairs from JOINT, with f(x, y) = critic[x, y]."""
    cells = np.array(list(itertools.product(range(3), repeat=2)))
    first, second = (np.array(index) for index in zip(*itertools.product(range(9), repeat=2), strict=True))
    x, y = np.stack([cells[first], cells[second]], 1).transpose(2, 0, 1)
    weights = JOINT[x, y].prod(1)
    scores = critic[x[:, :, None], y[:, None, :]]
    with jax.enable_x64(True):
        values = jax.jit(jax.vmap(bound))(jnp.asarray(scores))
        return float(jnp.sum(weights * jnp.mean(values, axis=1)))


def perturbed(critic, seed):
    return critic + np.random.default_rng(seed).normal(scale=0.5, size=critic.shape)


# --- InfoNCE as a loss ---


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_info_nce_loss_of_scores_with_a_raised_diagonal_has_its_closed_form(batch):
    raised = 1.3
    value = contrastive.info_nce_loss(raised * jnp.eye(batch) + 0.4)
    # −c + log(exp c + B − 1)
    np.testing.assert_allclose(value, np.full(batch, np.log(np.exp(raised) + batch - 1) - raised), rtol=1e-6)


def test_info_nce_loss_of_a_critic_that_says_nothing_is_the_logarithm_of_the_batch():
    np.testing.assert_allclose(contrastive.info_nce_loss(jnp.full((6, 6), -3.0)), np.full(6, np.log(6)), rtol=1e-6)


def test_info_nce_loss_classifies_along_rows():
    scores = jnp.array([[0.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(contrastive.info_nce_loss(scores), [np.log1p(np.exp(2)), np.log(2)], rtol=1e-6)


# --- Bounds at and off the optimal critic ---


def test_info_nce_with_the_optimal_critic_is_the_divergence_of_the_two_orders_of_a_pair():
    expected = reference.information_of_the_order(JOINT)
    value = expectation(contrastive.info_nce, LOG_RATIO)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    assert value < min(np.log(2), reference.mutual_information(JOINT))
    # a function of x alone changes nothing
    np.testing.assert_allclose(
        expectation(contrastive.info_nce, LOG_RATIO + np.arange(3)[:, None]), expected, rtol=1e-9
    )


def test_nwj_with_the_optimal_critic_is_the_mutual_information():
    value = expectation(contrastive.nwj, 1 + LOG_RATIO)
    np.testing.assert_allclose(value, reference.mutual_information(JOINT), rtol=1e-9)


def test_jensen_shannon_with_the_optimal_critic_is_twice_that_of_joint_and_independent_pairs():
    value = expectation(contrastive.jensen_shannon, LOG_RATIO)
    np.testing.assert_allclose(value, reference.twice_jensen_shannon(JOINT), rtol=1e-9)


@pytest.mark.parametrize("name, best", [("info_nce", LOG_RATIO), ("nwj", 1 + LOG_RATIO), ("jensen_shannon", LOG_RATIO)])
def test_bound_is_lower_for_every_other_critic(name, best):
    bound = getattr(contrastive, name)
    highest = expectation(bound, best)
    assert all(expectation(bound, perturbed(best, seed)) < highest for seed in range(5))


def test_barber_agakov_with_the_posterior_is_the_mutual_information_of_gaussians():
    correlation = 0.8
    (x, p), (noise, q) = normal_nodes(0, 1, 40), normal_nodes(0, 1, 40)
    x, noise, weights = np.repeat(x, 40), np.tile(noise, 40), np.outer(p, q).ravel()
    y = correlation * x + np.sqrt(1 - correlation**2) * noise

    def bound(slope, variance):
        log_conditional = -0.5 * (np.log(2 * np.pi * variance) + (x - slope * y) ** 2 / variance)
        log_marginal = -0.5 * (np.log(2 * np.pi) + x**2)
        with jax.enable_x64(True):
            return weights @ np.asarray(
                contrastive.barber_agakov(jnp.asarray(log_conditional), jnp.asarray(log_marginal))
            )

    information = -0.5 * np.log(1 - correlation**2)
    np.testing.assert_allclose(bound(correlation, 1 - correlation**2), information, rtol=1e-9)
    assert max(bound(0.6, 0.36), bound(0.8, 0.5), bound(0.8, 0.3)) < information - 1e-3


@pytest.mark.parametrize("batch", [2, 8, 64])
def test_info_nce_of_correlated_gaussians_stays_below_information_and_log_batch_and_tightens(key, batch):
    correlation, num_batches = 0.8, 4096 // batch
    x_key, noise_key = jax.random.split(key)
    x = jax.random.normal(x_key, (num_batches, batch))
    y = correlation * x + np.sqrt(1 - correlation**2) * jax.random.normal(noise_key, (num_batches, batch))
    spread = 1 - correlation**2
    # log p(y|x) / p(y), up to a function of x
    scores = (correlation * x[:, :, None] * y[:, None, :] - 0.5 * correlation**2 * y[:, None, :] ** 2) / spread
    values = np.mean(jax.jit(jax.vmap(contrastive.info_nce))(scores), 1)
    error = values.std() / np.sqrt(num_batches)
    information = -0.5 * np.log(spread)
    assert values.mean() < min(information, np.log(batch)) + 4 * error
    # 0.235, 0.427 and 0.501 by an independent simulation of 3 digits
    assert abs(values.mean() - {2: 0.235, 8: 0.427, 64: 0.501}[batch]) < 4 * error + 1e-3


# --- Extremes ---


@pytest.mark.parametrize("name", ["info_nce_loss", "info_nce", "jensen_shannon"])
@pytest.mark.parametrize("diagonal, other", [(1e4, -1e4), (-1e4, 1e4), (1e4, 1e4), (-1e4, -1e4)])
def test_value_and_gradient_are_finite_at_extreme_scores(name, diagonal, other):
    scores = jnp.where(jnp.eye(3, dtype=bool), diagonal, other)
    value, gradient = jax.jit(jax.value_and_grad(lambda s: jnp.sum(getattr(contrastive, name)(s))))(scores)
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_nwj_is_finite_for_right_pairs_of_any_score():
    scores = jnp.where(jnp.eye(3, dtype=bool), 1e4, -1e4)
    value, gradient = jax.jit(jax.value_and_grad(lambda s: jnp.sum(contrastive.nwj(s))))(scores)
    assert value == 3e4
    np.testing.assert_array_equal(gradient, np.eye(3))


@pytest.mark.parametrize("name", ["nwj", "jensen_shannon"])
def test_bound_without_a_wrong_pair_is_refused(name):
    with pytest.raises(ValueError, match=r"scores must have shape .* at least 2 columns"):
        getattr(contrastive, name)(jnp.ones((1, 1)))
