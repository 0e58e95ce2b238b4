"""Closed-form divergences against quadrature, Bessel functions, determinants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genloss_jax.losses import variational
from tests.reference import variational as reference

pytestmark = pytest.mark.usefixtures("double")


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def on_device(*arrays):
    return tuple(map(jnp.asarray, arrays))


def summed_integrals(log_q_of, log_p_of, arguments, low, high):
    """Integrate the KL of each entry of `[B, D]` arguments, and sum over D."""
    values = np.zeros(arguments[0].shape)
    for index in np.ndindex(values.shape):
        own = [argument[index] for argument in arguments]
        values[index] = reference.kl_by_quadrature(log_q_of(*own), log_p_of(*own), low, high)
    return values.sum(1)


# --- Gaussians ---


def test_gaussian_kl_is_the_integral():
    mean, log_var = draw(0, 3, 2), draw(1, 3, 2)
    expected = summed_integrals(
        lambda m, v: stats.norm(m, np.exp(v / 2)).logpdf, lambda m, v: stats.norm.logpdf, (mean, log_var), -12, 12
    )
    np.testing.assert_allclose(variational.gaussian_kl(*on_device(mean, log_var)), expected, rtol=1e-9)
    per_dim = variational.gaussian_kl_per_dim(*on_device(mean, log_var))
    assert per_dim.shape == (3, 2)
    np.testing.assert_allclose(jnp.sum(per_dim, axis=1), expected, rtol=1e-9)


def test_gaussian_kl_between_is_the_integral():
    arrays = [draw(2, 3, 2), 0.5 * draw(3, 3, 2), draw(4, 3, 2), 0.5 * draw(5, 3, 2)]
    expected = summed_integrals(
        lambda mq, vq, mp, vp: stats.norm(mq, np.exp(vq / 2)).logpdf,
        lambda mq, vq, mp, vp: stats.norm(mp, np.exp(vp / 2)).logpdf,
        arrays,
        -12,
        12,
    )
    np.testing.assert_allclose(variational.gaussian_kl_between(*on_device(*arrays)), expected, rtol=1e-9)


def test_gaussian_kl_is_the_one_between_with_a_standard_normal():
    mean, log_var = on_device(draw(6, 3, 2, 2), draw(7, 3, 2, 2))
    zeros = jnp.zeros_like(mean)
    np.testing.assert_allclose(
        variational.gaussian_kl(mean, log_var),
        variational.gaussian_kl_between(mean, log_var, zeros, zeros),
        rtol=1e-12,
    )


def test_multivariate_gaussian_kl_is_that_of_determinants_and_inverses():
    mean_q, mean_p = draw(8, 3, 3), draw(9, 3, 3)
    root_q, root_p = (draw(seed, 3, 3, 3) + 2 * np.eye(3) for seed in (10, 11))
    covariances = [np.tril(root) @ np.tril(root).transpose(0, 2, 1) for root in (root_q, root_p)]
    expected = [reference.gaussian_kl(mean_q[i], covariances[0][i], mean_p[i], covariances[1][i]) for i in range(3)]
    value = variational.multivariate_gaussian_kl(*on_device(mean_q, root_q, mean_p, root_p))
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_gaussian_kl_near_the_prior_keeps_its_digits_in_single_precision():
    # ½ (exp(v) - 1 - v) = v² / 4 + O(v³); exp(v) - 1 alone has an error of 1e-7 here.
    value = variational.gaussian_kl(jnp.zeros((1, 1), jnp.float32), jnp.full((1, 1), 1e-3, jnp.float32))
    np.testing.assert_allclose(value, [1e-6 / 4], rtol=1e-3)


def test_gaussian_kl_has_the_mean_as_gradient_and_none_at_the_prior():
    mean, log_var = on_device(draw(12, 3, 2), draw(13, 3, 2))

    def total(mean, log_var):
        return jnp.sum(variational.gaussian_kl(mean, log_var))

    by_mean, by_log_var = jax.grad(total, argnums=(0, 1))(mean, log_var)
    np.testing.assert_allclose(by_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(by_log_var, 0.5 * (np.exp(log_var) - 1), rtol=1e-12)
    assert not np.any(jax.grad(total, argnums=(0, 1))(jnp.zeros((2, 2)), jnp.zeros((2, 2))))


def test_gaussian_kl_between_has_the_precision_as_curvature_also_at_equal_means():
    def kl(mean):
        return variational.gaussian_kl_between(mean[None], jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.ones((1, 1)))[0]

    np.testing.assert_allclose(jax.hessian(kl)(jnp.zeros(1)), [[np.exp(-1)]], rtol=1e-12)


@pytest.mark.parametrize("log_var", [-1e4, -100.0, 80.0])
def test_gaussian_kl_of_equal_gaussians_is_zero_with_finite_gradients_at_extreme_scales(log_var):
    mean, log_vars = jnp.ones((1, 2), jnp.float32), jnp.full((1, 2), log_var, jnp.float32)
    value, pull_back = jax.vjp(variational.gaussian_kl_between, mean, log_vars, mean, log_vars)
    assert value == 0
    for gradient in pull_back(jnp.ones_like(value)):
        assert np.all(np.isfinite(gradient))
    if log_var < 0:
        np.testing.assert_allclose(variational.gaussian_kl(mean, log_vars), [-log_var], rtol=1e-6)


# --- Other families ---


def test_laplace_kl_is_the_integral():
    arrays = [draw(20, 3, 2), 0.5 * draw(21, 3, 2), draw(22, 3, 2), 0.5 * draw(23, 3, 2)]
    expected = summed_integrals(
        lambda mq, bq, mp, bp: stats.laplace(mq, np.exp(bq)).logpdf,
        lambda mq, bq, mp, bp: stats.laplace(mp, np.exp(bp)).logpdf,
        arrays,
        -60,
        60,
    )
    np.testing.assert_allclose(variational.laplace_kl(*on_device(*arrays)), expected, rtol=1e-7)


def test_laplace_kl_of_equal_distributions_is_zero_with_finite_gradients_at_extreme_scales():
    for log_scale in (-1e4, 0.0, 80.0):
        mean, scale = jnp.ones((1, 2), jnp.float32), jnp.full((1, 2), log_scale, jnp.float32)
        value, pull_back = jax.vjp(variational.laplace_kl, mean, scale, mean, scale)
        assert value == 0
        assert all(np.all(np.isfinite(gradient)) for gradient in pull_back(jnp.ones_like(value)))


def test_gamma_kl_is_the_integral():
    arrays = [1.5 + np.exp(0.5 * draw(24, 3, 2)), *(np.exp(0.5 * draw(seed, 3, 2)) for seed in (25, 26, 27))]
    expected = summed_integrals(
        lambda aq, bq, ap, bp: stats.gamma(aq, scale=1 / bq).logpdf,
        lambda aq, bq, ap, bp: stats.gamma(ap, scale=1 / bp).logpdf,
        arrays,
        1e-12,
        80,
    )
    np.testing.assert_allclose(variational.gamma_kl(*on_device(*arrays)), expected, rtol=1e-7)


def test_dirichlet_kl_of_two_categories_is_the_integral_over_beta_densities():
    q, p = 1.5 + np.exp(0.5 * draw(28, 3, 2)), np.exp(0.5 * draw(29, 3, 2))
    expected = [
        reference.kl_by_quadrature(stats.beta(*q[i]).logpdf, stats.beta(*p[i]).logpdf, 1e-12, 1 - 1e-12)
        for i in range(3)
    ]
    np.testing.assert_allclose(variational.dirichlet_kl(*on_device(q, p)), expected, rtol=1e-7)


def test_dirichlet_kl_follows_the_chain_rule_of_one_category_against_the_rest():
    q, p = on_device(np.exp(draw(30, 4, 3)), np.exp(draw(31, 4, 3)))

    def rest(a):
        return jnp.stack([a[:, 0], a[:, 1] + a[:, 2]], axis=1)

    chained = variational.dirichlet_kl(rest(q), rest(p)) + variational.dirichlet_kl(q[:, 1:], p[:, 1:])
    np.testing.assert_allclose(variational.dirichlet_kl(q, p), chained, rtol=1e-10)


def test_categorical_kl_is_scipys_relative_entropy():
    logits_q, logits_p = 2 * draw(32, 3, 2, 4), 2 * draw(33, 3, 2, 4)
    expected = special.rel_entr(special.softmax(logits_q, -1), special.softmax(logits_p, -1)).sum((1, 2))
    np.testing.assert_allclose(variational.categorical_kl(*on_device(logits_q, logits_p)), expected, rtol=1e-10)


def test_categorical_kl_from_uniform_is_log_k_minus_the_entropy():
    logits = 2 * draw(34, 3, 5)
    expected = np.log(5) - stats.entropy(special.softmax(logits, -1), axis=-1)
    np.testing.assert_allclose(variational.categorical_kl(*on_device(logits, np.zeros((3, 5)))), expected, rtol=1e-10)


def test_categorical_kl_is_finite_at_extreme_logits_and_at_categories_that_both_sides_exclude():
    logits_q = jnp.array([[1e4, -1e4, 0.0], [1e4, 0.0, -jnp.inf], [0.0, -jnp.inf, 0.0]], jnp.float32)
    logits_p = jnp.array([[-1e4, 1e4, 0.0], [0.0, 0.0, -jnp.inf], [0.0, 5.0, 0.0]], jnp.float32)
    value, pull_back = jax.vjp(variational.categorical_kl, logits_q, logits_p)
    np.testing.assert_allclose(value, [2e4, np.log(2), np.log(2 + np.exp(5.0)) - np.log(2)], rtol=1e-6)
    for gradient in pull_back(jnp.ones_like(value)):
        assert np.all(np.isfinite(gradient))


def test_bernoulli_kl_is_the_categorical_kl_of_two_outcomes():
    logits_q, logits_p = 2 * draw(35, 3, 2), 2 * draw(36, 3, 2)
    q, p = special.expit(logits_q), special.expit(logits_p)
    expected = (special.rel_entr(q, p) + special.rel_entr(1 - q, 1 - p)).sum(1)
    np.testing.assert_allclose(variational.bernoulli_kl(*on_device(logits_q, logits_p)), expected, rtol=1e-10)


def test_bernoulli_kl_has_its_exact_value_and_a_finite_gradient_at_extreme_logits():
    logits_q = jnp.array([[1e4], [1e4], [-1e4], [0.0], [1e4]], jnp.float32)
    logits_p = jnp.array([[-1e4], [1e4], [1e4], [1e4], [0.0]], jnp.float32)
    value, pull_back = jax.vjp(variational.bernoulli_kl, logits_q, logits_p)
    np.testing.assert_allclose(value, [1e4, 0, 1e4, 5e3 - np.log(2), np.log(2)], rtol=1e-6)
    for gradient in pull_back(jnp.ones_like(value)):
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("dim", [2, 3, 4, 17, 128])
def test_von_mises_fisher_kl_is_that_of_bessel_functions(dim):
    concentration = np.array([0.1, 1.0, 5.0, 30.0, 300.0, 1e4])
    expected = reference.von_mises_fisher_kl(concentration, dim)
    value = variational.von_mises_fisher_kl(jnp.asarray(concentration), dim=dim)
    np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-9)
    single = variational.von_mises_fisher_kl(jnp.asarray(concentration, jnp.float32), dim=dim)
    np.testing.assert_allclose(single, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dim", [2, 9])
def test_von_mises_fisher_kl_grows_as_the_variance_of_the_cosine_says(dim):
    concentration = np.array([0.0, 0.5, 4.0, 100.0])
    gradient = jax.grad(lambda kappa: jnp.sum(variational.von_mises_fisher_kl(kappa, dim=dim)))(
        jnp.asarray(concentration)
    )
    kappa = concentration[1:]
    cosine = special.ive(dim / 2, kappa) / special.ive(dim / 2 - 1, kappa)
    # dKL/dκ = κ Var(t) = κ A'(κ), A' = 1 - A² - (dim - 1) A / κ
    expected = kappa * (1 - cosine**2 - (dim - 1) * cosine / kappa)
    np.testing.assert_allclose(gradient, [0, *expected], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dim", [2, 3, 50])
def test_von_mises_fisher_kl_of_the_uniform_distribution_is_zero(dim):
    np.testing.assert_allclose(variational.von_mises_fisher_kl(jnp.zeros(1), dim=dim), 0, atol=1e-11)


# --- Free bits ---

KL_PER_DIM = np.array([[0.1, 2.0, 0.0], [0.2, 0.2, 1.2], [0.3, 0.2, 0.0]])  # means 0.2, 0.8, 0.4


def test_free_bits_kl_charges_each_latent_the_floor_or_its_mean():
    value = variational.free_bits_kl(jnp.asarray(KL_PER_DIM), free_nats=0.5)
    np.testing.assert_allclose(jnp.mean(value), 0.5 + 0.8 + 0.5, rtol=1e-12)
    np.testing.assert_allclose(value, 1.0 + KL_PER_DIM[:, 1], rtol=1e-12)
    each = variational.free_bits_kl(jnp.asarray(KL_PER_DIM), free_nats=0.5, per_example=True)
    np.testing.assert_allclose(each, [3.0, 2.2, 1.5], rtol=1e-12)


def test_free_bits_kl_gives_a_latent_below_the_floor_no_gradient():
    gradient = jax.grad(lambda kl: jnp.mean(variational.free_bits_kl(kl, free_nats=0.5)))(jnp.asarray(KL_PER_DIM))
    np.testing.assert_allclose(gradient, np.array([[0, 1, 0]] * 3) / 3, rtol=1e-12)


def test_free_bits_kl_without_a_floor_is_the_kl():
    mean, log_var = on_device(draw(40, 4, 3), draw(41, 4, 3))
    per_dim = variational.gaussian_kl_per_dim(mean, log_var)
    np.testing.assert_allclose(
        variational.free_bits_kl(per_dim, free_nats=0.0), variational.gaussian_kl(mean, log_var), rtol=1e-12
    )
