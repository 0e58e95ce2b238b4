"""Likelihoods of bits and of real numbers against SciPy, sums and integrals; units; the ends of their range."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import optimize, stats

from genloss_jax.losses import catalog, likelihood
from tests.reference import likelihood as reference

SHAPE = (4, 3, 2)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def jitted(fn, **settings):
    return jax.jit(functools.partial(fn, **settings))


def gradient_of_sum(fn, argnums=0):
    return jax.jit(jax.grad(lambda *arrays: jnp.sum(fn(*arrays)), argnums))


# --- Bits ---


def test_probabilities_of_all_binary_images_sum_to_one(double):
    images = np.array(list(itertools.product([0.0, 1.0], repeat=6))).reshape(64, 2, 3)
    logits = np.tile(2 * draw(0, 1, 2, 3), (64, 1, 1))
    nll = jitted(likelihood.bernoulli_nll)(jnp.asarray(logits), jnp.asarray(images))
    np.testing.assert_allclose(np.exp(-nll).sum(), 1.0, rtol=1e-12)


def test_mean_bernoulli_nll_of_bits_with_the_right_logits_is_their_entropy(double):
    probs = np.array([0.03, 0.4, 0.9])
    outcomes = jnp.array([[1.0], [0.0]])
    loss = jitted(likelihood.bernoulli_nll)
    for prob in probs:
        nll = loss(jnp.full((2, 1), np.log(prob / (1 - prob))), outcomes)
        np.testing.assert_allclose(np.dot([prob, 1 - prob], nll), stats.bernoulli.entropy(prob), rtol=1e-12)


def test_binary_cross_entropy_at_logit_of_a_hundred_keeps_value_and_gradient(double):
    """Clipped probabilities say 16.1 or 27.6 nats with no gradient; softplus(l) - x l says 0 for exp(-100)."""
    logits = jnp.array([[100.0], [-100.0], [100.0], [-100.0]])
    targets = jnp.array([[0.0], [1.0], [1.0], [0.0]])
    tiny = np.exp(-100.0)
    nll = jitted(likelihood.bernoulli_nll)(logits, targets)
    np.testing.assert_allclose(nll, [100, 100, tiny, tiny], rtol=1e-14)
    gradient = gradient_of_sum(likelihood.bernoulli_nll)(logits, targets)
    np.testing.assert_allclose(gradient[:, 0], [1, -1, -tiny, tiny], rtol=1e-13)


def test_binary_cross_entropy_at_logit_of_a_hundred_is_right_in_single_precision():
    logits, targets = jnp.array([[100.0], [-100.0]]), jnp.array([[0.0], [1.0]])
    np.testing.assert_array_equal(likelihood.bernoulli_nll(logits, targets), [100.0, 100.0])
    np.testing.assert_array_equal(gradient_of_sum(likelihood.bernoulli_nll)(logits, targets), [[1.0], [-1.0]])


@pytest.mark.parametrize("probability", [1e-9, 0.1, 0.45, 0.6, 0.999])
def test_continuous_bernoulli_has_its_published_constant(double, probability):
    x = np.linspace(0, 1, 5)
    logits = np.full((5, 1), np.log(probability) - np.log1p(-probability))
    nll = jitted(likelihood.continuous_bernoulli_nll)(jnp.asarray(logits), jnp.asarray(x[:, None]))
    np.testing.assert_allclose(nll, reference.continuous_bernoulli_nll(probability, x), rtol=1e-9, atol=1e-12)


def test_continuous_bernoulli_density_integrates_to_one_at_small_and_large_logits(double):
    logits = np.array([0, 1e-9, -1e-4, 0.2499999, 0.25, -0.25, 1, -3, 30, -300])
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = np.tile((nodes + 1) / 2, (10, 1))
    nll = jax.jit(jax.vmap(likelihood.continuous_bernoulli_nll))(jnp.tile(logits[:, None], (1, 200)), jnp.asarray(x))
    np.testing.assert_allclose(np.exp(-nll) @ (weights / 2), 1.0, rtol=1e-12)


def test_binary_cross_entropy_of_grey_values_is_no_density_its_mass_is_one_over_the_constant(double):
    probability = np.array([0.2, 0.45, 0.99])
    nodes, weights = np.polynomial.legendre.leggauss(60)
    logits = np.tile(np.log(probability / (1 - probability))[:, None], (1, 60))
    nll = jax.jit(jax.vmap(likelihood.bernoulli_nll))(jnp.asarray(logits), jnp.tile((nodes + 1) / 2, (3, 1)))
    constant = 2 * np.arctanh(1 - 2 * probability) / (1 - 2 * probability)
    np.testing.assert_allclose(np.exp(-nll) @ (weights / 2), 1 / constant, rtol=1e-12)


def test_continuous_bernoulli_at_logit_zero_is_uniform_with_the_moments_of_a_uniform_number(double):
    targets = jnp.array([[0.0], [0.3], [0.5], [1.0]])
    zeros = jnp.zeros((4, 1))
    np.testing.assert_array_equal(jitted(likelihood.continuous_bernoulli_nll)(zeros, targets), np.zeros(4))
    gradient = gradient_of_sum(likelihood.continuous_bernoulli_nll)
    np.testing.assert_allclose(gradient(zeros, targets), 0.5 - targets, rtol=1e-14, atol=1e-16)
    _, curvature = jax.jvp(lambda logits: gradient(logits, targets), (zeros,), (jnp.ones((4, 1)),))
    np.testing.assert_allclose(curvature, np.full((4, 1), 1 / 12), rtol=1e-13)


def test_continuous_bernoulli_gradient_vanishes_where_the_target_is_the_mean(double):
    logits = np.array([[-40.0], [-2.0], [0.1], [0.7], [300.0]])
    mean = 1 / -np.expm1(-logits) - 1 / logits
    gradient = gradient_of_sum(likelihood.continuous_bernoulli_nll)(jnp.asarray(logits), jnp.asarray(mean))
    np.testing.assert_allclose(gradient, np.zeros((5, 1)), atol=1e-14)


@pytest.mark.parametrize("name", ["bernoulli_nll", "continuous_bernoulli_nll"])
def test_bits_have_finite_values_and_gradients_at_extreme_logits(name):
    logits, targets = np.meshgrid([0.0, 1.0, -1.0, 1e4, -1e4], [0.0, 0.3, 1.0])
    logits, targets = (jnp.asarray(array.reshape(-1, 1), jnp.float32) for array in (logits, targets))
    nll = jitted(getattr(likelihood, name))(logits, targets)
    gradients = gradient_of_sum(getattr(likelihood, name), (0, 1))(logits, targets)
    assert all(np.all(np.isfinite(array)) for array in (nll, *gradients))
    wrong = np.ravel(np.where(logits > 0, 1 - targets, targets) * np.abs(logits))
    offset = np.log(1e4) if name == "continuous_bernoulli_nll" else 0.0
    far = np.ravel(np.abs(logits)) == 1e4
    np.testing.assert_allclose(nll[far], wrong[far] - offset, rtol=1e-6, atol=1e-6)


# --- Counts ---


def test_poisson_nll_is_that_of_scipy(double):
    log_rate, counts = draw(1, *SHAPE), np.random.default_rng(2).poisson(3.0, SHAPE)
    expected = -stats.poisson(np.exp(log_rate)).logpmf(counts).sum((1, 2))
    np.testing.assert_allclose(jitted(likelihood.poisson_nll)(log_rate, counts.astype(float)), expected, rtol=1e-12)


# --- Real numbers ---

DENSITIES = {
    "gaussian_nll": ({}, lambda mean, log_var: stats.norm(mean, np.exp(log_var / 2))),
    "laplace_nll": ({}, lambda mean, log_scale: stats.laplace(mean, np.exp(log_scale))),
    "student_t_nll": ({"df": 3.5}, lambda mean, log_scale: stats.t(3.5, mean, np.exp(log_scale))),
}


def density(name):
    settings, distribution = DENSITIES[name]
    return jitted(getattr(likelihood, name), **settings), distribution


@pytest.mark.parametrize("name", DENSITIES)
def test_density_is_that_of_scipy(double, name):
    loss, distribution = density(name)
    mean, log_scale, targets = draw(1, *SHAPE), draw(2, *SHAPE), 3 * draw(3, *SHAPE)
    expected = -distribution(mean, log_scale).logpdf(targets).sum((1, 2))
    np.testing.assert_allclose(loss(*map(jnp.asarray, (mean, log_scale, targets))), expected, rtol=1e-12)


@pytest.mark.parametrize("name", DENSITIES)
def test_mean_nll_under_the_right_density_is_its_entropy(double, name):
    loss, distribution = density(name)
    truth = distribution(0.4, -0.6)
    x = truth.ppf((np.arange(20_000) + 0.5) / 20_000)
    nll = loss(jnp.full(x.shape, 0.4), jnp.full(x.shape, -0.6), jnp.asarray(x))
    np.testing.assert_allclose(nll.mean(), truth.entropy(), atol=1e-3)


@pytest.mark.parametrize("name", DENSITIES)
def test_density_has_the_right_gradient(double, name):
    loss, _ = density(name)
    check_grads(jax.jit(loss), [jnp.asarray(draw(seed, 2, 3)) for seed in (4, 5, 6)], 1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", DENSITIES)
def test_residual_zero_at_scale_zero_has_a_finite_value_and_gradient(name):
    loss, distribution = density(name)
    mean, log_scale = jnp.array([[0.0], [1e4], [-1e4]]), jnp.full((3, 1), -1e4)
    unit = -distribution(0.0, 0.0).logpdf(0.0)
    slope = 0.5 if name == "gaussian_nll" else 1.0  # of a log-variance and a log-scale
    np.testing.assert_allclose(loss(mean, log_scale, mean), np.full(3, unit - slope * 1e4), rtol=1e-6)
    gradients = gradient_of_sum(loss, (0, 1, 2))(mean, log_scale, mean)
    np.testing.assert_allclose(gradients[1], np.full((3, 1), slope), rtol=1e-6)
    np.testing.assert_array_equal(gradients[0], np.zeros((3, 1)))
    np.testing.assert_array_equal(gradients[2], np.zeros((3, 1)))


@pytest.mark.parametrize("name", ["gaussian_nll", "student_t_nll"])
def test_curvature_at_residual_zero_is_that_of_a_residual_near_zero(double, name):
    loss, _ = density(name)
    curvature = jax.jit(jax.hessian(lambda x: loss(jnp.zeros(1), jnp.full(1, -0.7), x[None])[0]))
    np.testing.assert_allclose(curvature(0.0), curvature(1e-6), rtol=1e-9)


@pytest.mark.parametrize("name", DENSITIES)
def test_extreme_means_and_large_scales_have_finite_values_and_gradients(name):
    loss, _ = density(name)
    mean, log_scale = np.meshgrid([0.0, 1.0, 1e4, -1e4], [-10.0, 0.0, 60.0, 1e4])
    arrays = [jnp.asarray(array.reshape(-1, 1), jnp.float32) for array in (mean, log_scale, np.ones((4, 4)))]
    for array in (loss(*arrays), *gradient_of_sum(loss, (0, 1, 2))(*arrays)):
        assert np.all(np.isfinite(array))


def test_student_t_grows_with_the_logarithm_of_a_residual_whose_square_overflows():
    arrays = jnp.zeros((1, 1)), jnp.full((1, 1), -1e4), jnp.full((1, 1), 1e4)
    loss = jitted(likelihood.student_t_nll, df=2.0)
    value, gradient = jax.value_and_grad(lambda log_scale: loss(arrays[0], log_scale, arrays[2])[0])(arrays[1])
    # the density of two degrees of freedom is (1 + z²/2)^(-3/2) / (2 √2)
    expected = np.log(2 * np.sqrt(2)) - 1e4 + 3 * (np.log(1e4) + 1e4 - 0.5 * np.log(2))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-2.0]], rtol=1e-6)  # 1 - (df + 1)


@pytest.mark.parametrize("df", [0.5, 1.0, 30.0, 1e6])
def test_student_t_of_few_and_many_degrees_of_freedom_is_that_of_scipy_in_single_precision(df):
    x = 2 * draw(7, 50)
    ones = jnp.ones(50)
    nll = jax.jit(lambda df: likelihood.student_t_nll(0 * ones, ones, jnp.asarray(x, jnp.float32), df=df))(df)
    np.testing.assert_allclose(nll, -stats.t(df, 0, np.e).logpdf(x), rtol=3e-6)


# --- The best shared variance ---


def test_optimal_sigma_is_the_minimum_of_the_gaussian_over_all_shared_variances(double):
    mean, targets = draw(8, *SHAPE), draw(9, *SHAPE)

    def mean_nll(log_std):
        return -stats.norm(mean, np.exp(log_std)).logpdf(targets).sum((1, 2)).mean()

    best = optimize.minimize_scalar(mean_nll, bounds=(-5, 5), options={"xatol": 1e-10}, method="bounded")
    nll = jitted(likelihood.optimal_sigma_nll)(jnp.asarray(mean), jnp.asarray(targets))
    np.testing.assert_allclose(nll.mean(), best.fun, rtol=1e-12)
    expected = -stats.norm(mean, np.sqrt(np.mean((targets - mean) ** 2))).logpdf(targets).sum((1, 2))
    np.testing.assert_allclose(nll, expected, rtol=1e-12)


def test_optimal_sigma_of_each_example_has_its_closed_form(double):
    mean, targets = draw(10, *SHAPE), draw(11, *SHAPE)
    variance = np.mean((targets - mean) ** 2, (1, 2))
    nll = jitted(likelihood.optimal_sigma_nll, shared=False)(jnp.asarray(mean), jnp.asarray(targets))
    np.testing.assert_allclose(nll, 6 / 2 * (np.log(2 * np.pi * variance) + 1), rtol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_optimal_sigma_has_the_gradient_of_the_gaussian_at_that_variance(double, shared):
    mean, targets = jnp.asarray(draw(12, *SHAPE)), jnp.asarray(draw(13, *SHAPE))
    axes = (0, 1, 2) if shared else (1, 2)
    log_var = jnp.broadcast_to(jnp.log(jnp.mean((targets - mean) ** 2, axes, keepdims=True)), SHAPE)
    expected = gradient_of_sum(likelihood.gaussian_nll)(mean, log_var, targets)
    gradient = gradient_of_sum(lambda mean: likelihood.optimal_sigma_nll(mean, targets, shared=shared))(mean)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)


def test_optimal_sigma_of_a_perfect_reconstruction_stops_at_the_least_variance():
    x = jnp.ones((2, 3))
    loss = jax.jit(jax.value_and_grad(lambda mean: likelihood.optimal_sigma_nll(mean, x, min_variance=1e-4)[0]))
    value, gradient = loss(x)
    np.testing.assert_allclose(value, 3 / 2 * np.log(2 * np.pi * 1e-4), rtol=1e-6)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


# --- Precision and errors ---

CARDS = tuple(card for card in catalog.cards() if card.family == "likelihood")


@pytest.mark.parametrize("card", CARDS, ids=[card.name for card in CARDS])
def test_half_precision_is_single_precision_of_the_same_numbers_rounded_once(key, card):
    call, arrays = card.example(key)[:2]
    halves = tuple(array.astype(jnp.bfloat16) for array in arrays)
    singles = tuple(array.astype(jnp.float32) for array in halves)
    value, expected = jax.jit(call)(*halves), jax.jit(call)(*singles)
    np.testing.assert_array_equal(value.astype(jnp.float32), expected.astype(jnp.bfloat16).astype(jnp.float32))


ONES, TALL, LABELS = jnp.ones((2, 3)), jnp.ones((3, 3)), jnp.zeros(2, int)


@pytest.mark.parametrize(
    "argument, call",
    [
        ("targets", lambda: likelihood.bernoulli_nll(ONES, TALL)),
        ("targets", lambda: likelihood.bernoulli_nll(ONES, jnp.ones((2, 3), int))),
        ("log_var", lambda: likelihood.gaussian_nll(ONES, TALL, ONES)),
        ("log_scale", lambda: likelihood.laplace_nll(ONES, jnp.ones((2, 1)), ONES)),
        ("df", lambda: likelihood.student_t_nll(ONES, ONES, ONES, df=0.0)),
        ("labels", lambda: likelihood.categorical_nll(ONES, jnp.zeros(2))),
        ("labels", lambda: likelihood.categorical_nll(ONES, jnp.zeros((2, 3), int))),
        ("logits", lambda: likelihood.categorical_nll(jnp.ones(2), LABELS)),
        ("smoothing", lambda: likelihood.label_smoothed_nll(ONES, LABELS, smoothing=1.5)),
        ("negatives", lambda: likelihood.unlikelihood_loss(ONES, TALL)),
        ("labels", lambda: likelihood.previous_labels(LABELS, num_classes=3)),
        ("num_bins", lambda: likelihood.discretized_logistic_nll(ONES, ONES, ONES, num_bins=1)),
        ("targets", lambda: likelihood.discretized_logistic_nll(ONES, ONES, jnp.ones((2, 3), int), num_bins=9)),
        ("means", lambda: likelihood.gaussian_mixture_nll(ONES, jnp.ones((2, 3, 5)), jnp.ones((2, 3, 4)), ONES)),
        ("log_vars", lambda: likelihood.gaussian_mixture_nll(ONES, jnp.ones((2, 3, 3)), jnp.ones((2, 3, 4)), ONES)),
        ("targets", lambda: likelihood.gaussian_mixture_nll(ONES, jnp.ones((2, 3, 3)), jnp.ones((2, 3, 3)), TALL)),
        ("nll", lambda: likelihood.bits_per_dim(jnp.zeros(2, int), 3, num_bins=256)),
        ("num_dims", lambda: likelihood.bits_per_dim(jnp.zeros(2), 0, num_bins=256)),
        ("codes", lambda: likelihood.mu_law_decode(jnp.zeros(2))),
        ("x", lambda: likelihood.mu_law_encode(LABELS)),
        ("x", lambda: likelihood.to_bins(LABELS, num_bins=4)),
        ("bins", lambda: likelihood.from_bins(jnp.zeros(2), num_bins=4)),
    ],
)
def test_wrong_argument_is_an_error_of_one_sentence_that_names_it(unchecked, argument, call):
    with pytest.raises(ValueError, match=rf"^{argument} ") as caught:
        call()
    assert "\n" not in str(caught.value)
