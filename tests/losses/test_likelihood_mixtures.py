"""Probabilities of bins and densities of mixtures: what sums and integrals to 1 say about them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import special

from genloss_jax.losses import likelihood
from tests.reference import likelihood as reference

MEANS = np.array([-40.0, -1.0, -0.3, 0.0007, 1.0, 1.7])
LOG_SCALES = np.array([-30.0, -12.0, -7.0, -3.0, 0.0, 10.0])


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def jitted(fn, **settings):
    return jax.jit(functools.partial(fn, **settings))


def nll_of_all_bins(mean, log_scale, num_bins, dtype):
    """Give -log P of every bin for one mean and scale."""

    def of(mean, log_scale):
        targets = jnp.asarray(reference.levels(num_bins), dtype)
        return likelihood.discretized_logistic_nll(
            jnp.full(num_bins, mean, dtype), jnp.full(num_bins, log_scale, dtype), targets, num_bins=num_bins
        )

    return jax.jit(jax.vmap(of))(jnp.asarray(mean, dtype), jnp.asarray(log_scale, dtype))


@pytest.mark.parametrize("num_bins", [2, 17, 256, 65_536])
def test_probabilities_of_all_bins_sum_to_one(double, num_bins):
    mean, log_scale = map(np.ravel, np.meshgrid(MEANS, LOG_SCALES))
    nll = nll_of_all_bins(mean, log_scale, num_bins, jnp.float64)
    assert np.all(nll >= 0)
    np.testing.assert_allclose(np.exp(-nll).sum(1), np.ones(36), rtol=1e-10)


@pytest.mark.parametrize("num_bins", [256, 65_536])
def test_probabilities_of_all_bins_sum_to_one_in_single_precision(num_bins):
    mean, log_scale = map(np.ravel, np.meshgrid(MEANS, LOG_SCALES))
    nll = nll_of_all_bins(mean, log_scale, num_bins, jnp.float32)
    assert np.all(nll >= 0)
    np.testing.assert_allclose(np.exp(-np.asarray(nll, np.float64)).sum(1), np.ones(36), rtol=1e-5)


@pytest.mark.parametrize("mean, log_scale", [(0.1, -1.5), (-0.9, -3.0), (1.3, -2.0), (0.0, 1.0)])
def test_probabilities_of_bins_are_differences_of_scipys_distribution_function(double, mean, log_scale):
    nll = nll_of_all_bins([mean], [log_scale], 256, jnp.float64)[0]
    expected = reference.bin_probabilities(mean, np.exp(log_scale), 256)
    np.testing.assert_allclose(np.exp(-nll), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("mean_bin, target_bin", [(190, 140), (65, 115)])
def test_probability_of_a_bin_far_in_a_tail_is_exponentially_small_and_not_clipped(double, mean_bin, target_bin):
    """The first public implementation takes a density where P < 1e-5, and clips P at 1e-12: 27.6 nats."""
    mean, target = (jnp.asarray(reference.levels(256)[[index]]) for index in (mean_bin, target_bin))
    nll = jitted(likelihood.discretized_logistic_nll, num_bins=256)(mean, jnp.full(1, np.log(1e-3)), target)
    # from the mean 99 / 255 to the near edge and 101 / 255 to the far one: P = exp(-near / s) - exp(-far / s)
    near, far = 99 / 255 / 1e-3, 101 / 255 / 1e-3
    np.testing.assert_allclose(nll, [near - np.log1p(-np.exp(near - far))], rtol=1e-10)


def test_scale_zero_puts_all_probability_into_one_bin_with_gradient_zero():
    mean = jnp.array([0.0, -1.0, 1.0, -5.0, 5.0])  # level 0 of 17, both ends, and beyond the ends
    targets = jnp.clip(mean, -1, 1)

    def total(mean, log_scale):
        return jnp.sum(likelihood.discretized_logistic_nll(mean, log_scale, targets, num_bins=17))

    value, gradients = jax.jit(jax.value_and_grad(total, (0, 1)))(mean, jnp.full(5, -1e4))
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, np.zeros(5))


@pytest.mark.parametrize("num_bins", [256, 65_536])
def test_bins_have_finite_values_and_gradients_at_extreme_means_and_scales(num_bins):
    mean, log_scale, targets = map(
        np.ravel, np.meshgrid([0.0, 1.0, -1.0, 1e4, -1e4], [-30.0, -7.0, 0.0, 30.0, 1e4], [-1.0, 1 / 255, 1.0])
    )

    def value_and_gradients(*arrays):
        def nll(*arrays):
            return likelihood.discretized_logistic_nll(*arrays, num_bins=num_bins)

        value, pull_back = jax.vjp(nll, *arrays)
        return value, *pull_back(jnp.ones_like(value))

    for array in jax.jit(value_and_gradients)(*(jnp.asarray(a, jnp.float32) for a in (mean, log_scale, targets))):
        assert np.all(np.isfinite(array))


def test_bins_have_the_right_gradient(double):
    targets = jnp.asarray(reference.levels(9)[[0, 3, 5, 8]])

    def nll(mean, log_scale):
        return likelihood.discretized_logistic_nll(mean, log_scale, targets, num_bins=9)

    # Width over scale below and above 0.25, where one formula hands over to the other.
    for log_scale in (-1.0, 0.0, 1.0):
        check_grads(jax.jit(nll), (jnp.asarray(draw(0, 4)), jnp.full(4, log_scale)), 1, rtol=1e-6, atol=1e-6)


def test_target_that_no_bin_holds_has_probability_zero():
    targets = jnp.array([-1.3, 1.0 + 1e-6, 1.3, 255.0])
    nll = jitted(likelihood.discretized_logistic_nll, num_bins=17)(jnp.zeros(4), jnp.zeros(4), targets)
    np.testing.assert_array_equal(np.isfinite(nll), [False, True, False, False])


# --- Mixtures ---


def test_mixture_probabilities_of_all_colours_sum_to_one(double):
    colours = np.array(list(itertools.product(reference.levels(5), repeat=2)))  # [25, D = 2]
    logits, means, log_scales = 3 * draw(1, 1, 3), draw(2, 1, 3, 2), draw(3, 1, 3, 2) - 1
    tiled = (jnp.tile(array, (25,) + (1,) * (array.ndim - 1)) for array in (logits, means, log_scales))
    nll = jitted(likelihood.discretized_logistic_mixture_nll, num_bins=5)(*tiled, jnp.asarray(colours))
    np.testing.assert_allclose(np.exp(-nll).sum(), 1.0, rtol=1e-12)
    weights = special.softmax(logits[0])
    by_component = [
        [reference.bin_probabilities(means[0, k, d], np.exp(log_scales[0, k, d]), 5) for d in (0, 1)] for k in range(3)
    ]
    expected = sum(weight * np.outer(*pair) for weight, pair in zip(weights, by_component, strict=True))
    np.testing.assert_allclose(np.exp(-nll), expected.ravel(), rtol=1e-9)


@pytest.mark.parametrize("num_bins", [256, 65_536])
def test_mixture_probabilities_of_all_bins_sum_to_one_at_extreme_scales_with_finite_gradients(num_bins):
    logits = jnp.array([1e4, 1e4 - 1, 0.0, 1e4 + 1])
    means, log_scales = jnp.array([-1.0, 0.3, 0.0, 40.0]), jnp.array([-30.0, -6.0, 1.0, 30.0])
    targets = jnp.asarray(reference.levels(num_bins), jnp.float32)[:, None]

    @jax.jit
    def value_and_gradients(*parameters):
        def nll(logits, means, log_scales):
            repeated = (jnp.broadcast_to(a, (num_bins, 4)) for a in (logits[None], means[None], log_scales[None]))
            logits, means, log_scales = repeated
            return likelihood.discretized_logistic_mixture_nll(
                logits, means[..., None], log_scales[..., None], targets, num_bins=num_bins
            )

        value, pull_back = jax.vjp(nll, *parameters)
        return value, pull_back(jnp.ones_like(value))

    value, gradients = value_and_gradients(logits, means, log_scales)
    np.testing.assert_allclose(np.exp(-np.asarray(value, np.float64)).sum(), 1.0, rtol=1e-5)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_mixture_of_one_component_is_that_component():
    mean, log_scale = (jnp.asarray(draw(seed, 3, 4, 2), jnp.float32) for seed in (4, 5))
    targets = likelihood.from_bins(jax.random.randint(jax.random.key(0), (3, 4, 2), 0, 17), num_bins=17)
    parameters = mean[:, :, None], log_scale[:, :, None], targets
    for mixture, single in (
        (
            jitted(likelihood.discretized_logistic_mixture_nll, num_bins=17),
            jitted(likelihood.discretized_logistic_nll, num_bins=17),
        ),
        (jitted(likelihood.gaussian_mixture_nll), jitted(likelihood.gaussian_nll)),
    ):
        of_mixture = mixture(jnp.ones((3, 4, 1)), *parameters)
        np.testing.assert_allclose(of_mixture, single(mean, log_scale, targets), rtol=1e-5)


@pytest.mark.parametrize("name", ["gaussian_mixture_nll", "discretized_logistic_mixture_nll"])
def test_component_of_scale_zero_away_from_the_target_counts_for_nothing(name):
    loss = jitted(getattr(likelihood, name), **({"num_bins": 17} if name.startswith("discretized") else {}))
    logits, targets = jnp.zeros((3, 2)), jnp.array([[0.5], [-1.0], [0.25]])  # the last bin would reach that mean
    means = jnp.tile(jnp.array([[[0.1], [1e4]]]), (3, 1, 1))
    log_scales = jnp.tile(jnp.array([[[0.0], [-1e4]]]), (3, 1, 1))
    alone = loss(logits[:, :1], means[:, :1], log_scales[:, :1], targets)
    value, pull_back = jax.vjp(lambda *parameters: loss(*parameters, targets), logits, means, log_scales)
    np.testing.assert_allclose(value, alone + np.log(2), rtol=1e-6)
    gradients = pull_back(jnp.ones(3))
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    for gradient in gradients[1:]:
        np.testing.assert_array_equal(gradient[:, 1], np.zeros((3, 1)))


def test_gaussian_mixture_is_the_sum_of_scipys_densities(double):
    logits, means, log_vars, targets = draw(6, 2, 3, 4), draw(7, 2, 3, 4, 2), draw(8, 2, 3, 4, 2), draw(9, 2, 3, 2)
    expected = np.zeros(2)
    for example, place in np.ndindex(2, 3):
        at = example, place
        expected[example] -= np.log(
            reference.gaussian_mixture_density(
                special.softmax(logits[at]), means[at], np.exp(log_vars[at] / 2), targets[at]
            )
        )
    nll = jitted(likelihood.gaussian_mixture_nll)(*map(jnp.asarray, (logits, means, log_vars, targets)))
    np.testing.assert_allclose(nll, expected, rtol=1e-12)


def test_gaussian_mixture_integrates_to_one_over_the_plane():
    axis = np.linspace(-12, 12, 121)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), jnp.float32)
    logits, means = jnp.array([0.0, 2.0, 1e4]), jnp.asarray(draw(10, 3, 2), jnp.float32)
    shapes = ((len(grid), 3), (len(grid), 3, 2), (len(grid), 3, 2))
    arrays = map(jnp.broadcast_to, (logits[None], means[None], jnp.full((1, 3, 2), 0.5)), shapes)
    nll = jitted(likelihood.gaussian_mixture_nll)(*arrays, grid)
    np.testing.assert_allclose(np.exp(-nll).sum() * 0.2**2, 1.0, rtol=1e-5)
