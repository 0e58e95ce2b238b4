"""Bounds of the evidence on probabilistic PCA, whose evidence, posterior and optimum are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from genloss_jax.losses import variational
from tests.reference import variational as reference

pytestmark = pytest.mark.usefixtures("double")

PLANE = reference.plane_model()
LINE = reference.line_model()
X = 1.4  # the line's observation
MEAN_Q, VAR_Q = 0.45, 0.7  # a posterior that is not the true one, N(0.772, 0.439), with χ² = 0.20


def observations(seed, num):
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal(PLANE.shift, PLANE.covariance, num)


def line_log_weights(seed, *shape, mean=MEAN_Q, var=VAR_Q):
    """Draw log-weights of X on the line under N(mean, var)."""
    z = mean + np.sqrt(var) * np.random.default_rng(seed).normal(size=shape)
    return LINE.log_joint(np.array([X]), z[..., None]) - stats.norm.logpdf(z, mean, np.sqrt(var))


def line_evidence():
    return float(LINE.log_evidence(np.array([[X]])))


def line_chi_squared():
    mean, covariance = LINE.posterior(np.array([[X]]))
    return reference.chi_squared(mean[0, 0], covariance[0, 0], MEAN_Q, VAR_Q)


def assert_mean_is(values, expected, standard_errors=5.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < standard_errors * values.std() / np.sqrt(values.size)


# --- The evidence lower bound ---


def test_elbo_loss_exceeds_the_negative_evidence_by_the_divergence_from_the_exact_posterior():
    x = observations(0, 5)
    exact_mean, exact_covariance = PLANE.posterior(x)
    for mean, variances in (
        (exact_mean, np.diag(exact_covariance)),
        (exact_mean + 0.3, np.array([0.2, 0.9])),
    ):
        nll = PLANE.expected_nll(x, mean, np.diag(variances))
        kl = variational.gaussian_kl(jnp.asarray(mean), jnp.asarray(np.tile(np.log(variances), (5, 1))))
        value = variational.elbo_loss(jnp.asarray(nll), kl)
        np.testing.assert_allclose(value, -PLANE.bound(x, mean, np.diag(variances)), rtol=1e-10)
    assert np.all(value > -PLANE.log_evidence(x))
    nll = PLANE.expected_nll(x, exact_mean, exact_covariance)
    kl = variational.gaussian_kl(
        jnp.asarray(exact_mean), jnp.asarray(np.tile(np.log(np.diag(exact_covariance)), (5, 1)))
    )
    np.testing.assert_allclose(variational.elbo_loss(jnp.asarray(nll), kl), -PLANE.log_evidence(x), rtol=1e-12)


def symmetric_data(eigenvalues, vectors):
    """Return 2 D points of mean 0 whose covariance, divided by their number, has these eigenpairs."""
    steps = (vectors * np.sqrt(len(eigenvalues) * eigenvalues)).T
    return np.concatenate([steps, -steps])


def test_elbo_loss_at_the_principal_components_has_the_maximum_likelihood_value_of_the_eigenvalues():
    eigenvalues, num_latents = np.array([3.0, 1.5, 0.4, 0.2]), 2
    vectors, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))
    x = symmetric_data(eigenvalues, vectors)
    np.testing.assert_allclose(x.T @ x / len(x), (vectors * eigenvalues) @ vectors.T, atol=1e-12)
    model = reference.principal_model(eigenvalues, vectors, num_latents)
    mean, covariance = model.posterior(x)
    log_var = np.tile(np.log(np.diag(covariance)), (len(x), 1))
    kl = variational.gaussian_kl(jnp.asarray(mean), jnp.asarray(log_var))
    value = jnp.mean(variational.elbo_loss(jnp.asarray(model.expected_nll(x, mean, covariance)), kl))
    logs = np.sum(np.log(eigenvalues[:num_latents])) + 2 * np.log(model.variance)
    np.testing.assert_allclose(value, 0.5 * (4 * np.log(2 * np.pi) + logs + 4), rtol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 1.5, 4.0])
def test_a_linear_latent_stays_active_only_if_its_eigenvalue_exceeds_beta_times_the_noise(beta):
    eigenvalues, noise = np.array([3.0, 1.0]), 0.5
    x = jnp.asarray(symmetric_data(eigenvalues, np.eye(2)))

    def loss(decoder, encoder, log_var):
        mean = x * encoder[None]
        noise_in = jnp.square(decoder) * jnp.exp(log_var)
        squares = jnp.sum(jnp.square(x - mean * decoder[None]) + noise_in[None], axis=1)
        nll = 0.5 * (squares / noise + 2 * jnp.log(2 * jnp.pi * noise))
        kl = variational.gaussian_kl(mean, jnp.broadcast_to(log_var[None], mean.shape))
        return jnp.mean(variational.elbo_loss(nll, kl, beta=beta))

    def with_best_encoder(decoder):
        total = jnp.square(decoder) + beta * noise
        return decoder, decoder / total, jnp.log(beta * noise / total)

    # |w_j|² = max(l_j - β σ², 0)
    best = jnp.sqrt(jnp.maximum(eigenvalues - beta * noise, 0))
    for gradient in jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*with_best_encoder(best)):
        np.testing.assert_allclose(gradient, 0, atol=1e-12)
    curvature = jax.jit(jax.hessian(lambda decoder: loss(*with_best_encoder(decoder))))
    assert np.all(np.diag(curvature(best)) > 0)
    # A collapsed latent is a minimum exactly where the eigenvalue is too small.
    np.testing.assert_array_equal(np.diag(curvature(jnp.zeros(2))) > 0, eigenvalues < beta * noise)


def test_elbo_loss_weighs_the_divergence_by_beta():
    nll, kl = jnp.array([3.0, 1.0]), jnp.array([0.5, 2.0])
    np.testing.assert_allclose(jax.jit(lambda beta: variational.elbo_loss(nll, kl, beta=beta))(4.0), [5.0, 9.0])


def test_a_data_sets_bound_is_the_mean_over_its_examples_and_not_one_batch_over_the_number_of_batches():
    # An evaluation loop that returned inside its loop reported one batch divided by the number of batches.
    x = observations(2, 12)
    mean, covariance = PLANE.posterior(x)
    nll = PLANE.expected_nll(x, mean, covariance)
    log_var = np.tile(np.log(np.diag(covariance)), (12, 1))

    def loss(rows):
        kl = variational.gaussian_kl(jnp.asarray(mean[rows]), jnp.asarray(log_var[rows]))
        return variational.elbo_loss(jnp.asarray(nll[rows]), kl)

    batches = [loss(slice(0, 5)), loss(slice(5, 10)), loss(slice(10, 12))]
    evidence = PLANE.log_evidence(x).mean()
    np.testing.assert_allclose(jnp.mean(jnp.concatenate(batches)), -evidence, rtol=1e-12)
    assert abs(jnp.mean(batches[0]) / len(batches) + evidence) > 1


def test_capacity_loss_is_the_negative_evidence_less_the_capacity_at_the_exact_posterior():
    x = observations(3, 4)
    mean, covariance = PLANE.posterior(x)
    kl = variational.gaussian_kl(jnp.asarray(mean), jnp.asarray(np.tile(np.log(np.diag(covariance)), (4, 1))))
    nll = jnp.asarray(PLANE.expected_nll(x, mean, covariance))
    value = variational.capacity_loss(nll, kl, capacity=0.1, gamma=1.0)
    assert np.all(kl > 0.1)
    np.testing.assert_allclose(value, -PLANE.log_evidence(x) - 0.1, rtol=1e-12)


def test_capacity_loss_drives_the_divergence_to_the_capacity_from_both_sides():
    slope = jax.grad(lambda kl: jnp.sum(variational.capacity_loss(jnp.zeros(2), kl, capacity=5.0, gamma=100.0)))
    np.testing.assert_allclose(slope(jnp.array([4.9, 5.1])), [-100.0, 100.0])


# --- Importance weights ---

ON_WEIGHTS = {
    "iwae_loss": lambda w: variational.iwae_loss(w.reshape(-1, w.shape[-1])),
    "miwae_loss": lambda w: variational.miwae_loss(w),
    "piwae_loss": lambda w: variational.piwae_loss(lambda decoder, encoder: decoder * encoder * w, 1.0, 1.0),
    "ciwae_loss": lambda w: variational.ciwae_loss(w.reshape(-1, w.shape[-1]), beta=0.3),
    "renyi_loss": lambda w: variational.renyi_loss(w.reshape(-1, w.shape[-1]), alpha=0.4),
}


@pytest.mark.parametrize("name", ON_WEIGHTS)
def test_importance_weighted_bounds_are_the_negative_evidence_at_the_exact_posterior(name):
    x = observations(4, 5)
    mean, covariance = PLANE.posterior(x)
    z = mean + np.random.default_rng(5).normal(size=(2, 3, 5, 2)) * np.sqrt(np.diag(covariance))
    log_q = stats.norm.logpdf(z, mean, np.sqrt(np.diag(covariance))).sum(-1)
    value = ON_WEIGHTS[name](jnp.asarray(PLANE.log_joint(x, z) - log_q))
    np.testing.assert_allclose(value, -PLANE.log_evidence(x), rtol=1e-10)


def test_importance_weighted_bound_of_one_sample_has_the_evidence_lower_bound_as_its_mean():
    nodes, weights = reference.hermite(20)
    z = MEAN_Q + np.sqrt(VAR_Q) * nodes
    log_weights = LINE.log_joint(np.array([X]), z) - stats.norm.logpdf(z[:, 0], MEAN_Q, np.sqrt(VAR_Q))
    value = weights @ np.asarray(variational.iwae_loss(jnp.asarray(log_weights[None])))
    bound = LINE.bound(np.array([[X]]), np.array([[MEAN_Q]]), np.array([[VAR_Q]]))
    np.testing.assert_allclose(value, -bound[0], rtol=1e-12)


def test_importance_weighted_bound_rises_with_k_towards_the_evidence_as_chi_squared_over_two_k():
    # The mean of w / p(x) - 1 is 0, and takes the variance of the first order with it.
    gaps = {}
    for num, batch in ((1, 40_000), (5, 40_000), (50, 20_000), (400, 5_000)):
        log_weights = line_log_weights(num, num, batch)
        excess = np.exp(log_weights - line_evidence()).mean(0) - 1
        values = np.asarray(variational.iwae_loss(jnp.asarray(log_weights))) + line_evidence() + excess
        gaps[num] = values.mean()
        error = 5 * values.std() / np.sqrt(batch)
        if num == 1:
            divergence = line_evidence() - LINE.bound(np.array([[X]]), np.array([[MEAN_Q]]), np.array([[VAR_Q]]))[0]
            assert abs(gaps[1] - divergence) < error
        if num >= 50:
            predicted = line_chi_squared() / (2 * num)
            # The next order in 1 / K is smaller than 2 / K here.
            assert abs(gaps[num] - predicted) < error + predicted * 2 / num
    assert gaps[1] > gaps[5] > gaps[50] > gaps[400] > 0


def test_miwae_loss_averages_over_m_outside_the_logarithm_and_over_k_inside():
    # A library that swapped the axes was checked at M = K, where the swap is invisible.
    log_weights = jnp.asarray(line_log_weights(7, 50, 6))
    tight = variational.miwae_loss(log_weights[None])
    loose = variational.miwae_loss(log_weights[:, None])
    np.testing.assert_allclose(tight, variational.iwae_loss(log_weights), rtol=1e-12)
    np.testing.assert_allclose(loose, -log_weights.mean(0), rtol=1e-12)
    assert np.all(tight < loose - 0.01)


def test_iwae_loss_gives_the_best_samples_the_largest_weight():
    # A library weights samples by the softmax of their loss, the worst most: its bound loosens as K grows.
    log_weights = jnp.asarray(line_log_weights(8, 5, 4))
    gradient = jax.grad(lambda w: jnp.sum(variational.iwae_loss(w)))(log_weights)
    np.testing.assert_allclose(gradient, -special.softmax(np.asarray(log_weights), axis=0), rtol=1e-10)
    np.testing.assert_array_equal(np.argmin(gradient, 0), np.argmax(log_weights, 0))


def test_iwae_loss_logs_the_bound_and_not_the_self_normalised_sum():
    # The self-normalised sum exceeds the bound by log K - H(w̃), and so may exceed the evidence.
    log_weights = line_log_weights(9, 50, 200)
    weights = special.softmax(log_weights, axis=0)
    surrogate = np.sum(weights * log_weights, 0)
    value = np.asarray(variational.iwae_loss(jnp.asarray(log_weights)))
    np.testing.assert_allclose(surrogate + value, np.log(50) - stats.entropy(weights, axis=0), rtol=1e-9)
    assert surrogate.mean() > line_evidence() > -value.mean() - 5 * value.std() / np.sqrt(200)


def test_iwae_loss_stays_finite_when_one_sample_outweighs_all_others():
    log_weights = jnp.array([[1e4, -1e4], [-1e4, -1e4], [0.0, -1e4]], jnp.float32)
    value, pull_back = jax.vjp(variational.iwae_loss, log_weights)
    np.testing.assert_allclose(value, [np.log(3) - 1e4, 1e4], rtol=1e-6)
    (gradient,) = pull_back(jnp.ones_like(value))
    np.testing.assert_allclose(gradient, [[-1, -1 / 3], [0, -1 / 3], [0, -1 / 3]], rtol=1e-5)


def test_ciwae_loss_lies_between_its_two_bounds():
    log_weights = jnp.asarray(line_log_weights(10, 5, 3))
    tight, loose = variational.iwae_loss(log_weights), -log_weights.mean(0)
    for beta in (0.0, 0.25, 1.0):
        value = variational.ciwae_loss(log_weights, beta=beta)
        np.testing.assert_allclose(value, beta * loose + (1 - beta) * tight, rtol=1e-12)


def test_piwae_loss_gives_the_decoder_the_tight_and_the_encoder_the_loose_bounds_gradient():
    base = jnp.asarray(line_log_weights(11, 3, 4, 2))

    def log_weights(decoder, encoder):
        return decoder * jnp.sin(base) + encoder * jnp.square(base)

    def gradients(loss):
        total = jax.grad(lambda decoder, encoder: jnp.sum(loss(decoder, encoder)), argnums=(0, 1))
        return jax.jit(total)(0.7, 0.2)

    partial = gradients(lambda decoder, encoder: variational.piwae_loss(log_weights, decoder, encoder))
    loose = gradients(lambda decoder, encoder: variational.miwae_loss(log_weights(decoder, encoder)))
    tight = gradients(lambda decoder, encoder: variational.iwae_loss(log_weights(decoder, encoder).reshape(12, 2)))
    np.testing.assert_allclose(partial, [tight[0], loose[1]], rtol=1e-10)
    assert abs(tight[1] - loose[1]) > 1e-3
    np.testing.assert_allclose(
        variational.piwae_loss(log_weights, 0.7, 0.2),
        variational.iwae_loss(log_weights(0.7, 0.2).reshape(12, 2)),
        rtol=1e-12,
    )


# --- Rényi and χ ---


def weight_moment(power):
    """E_q[w^power] on the line, by quadrature."""

    def integrand(z):
        log_q = stats.norm.logpdf(z, MEAN_Q, np.sqrt(VAR_Q))
        log_weight = LINE.log_joint(np.array([X]), np.array([z])) - log_q
        return np.exp(log_q + power * log_weight)

    return integrate.quad(integrand, -12, 12, epsabs=1e-12)[0]


@pytest.mark.parametrize("alpha", [0.5, -1.0, 1.5])
def test_exponential_of_the_renyi_estimate_has_the_integral_as_its_mean(alpha):
    value = variational.renyi_loss(jnp.asarray(line_log_weights(12, 4, 40_000)), alpha=alpha)
    assert_mean_is(np.exp(-(1 - alpha) * np.asarray(value)), weight_moment(1 - alpha))


def test_renyi_loss_passes_through_both_bounds_and_rises_with_alpha():
    log_weights = jnp.asarray(line_log_weights(13, 6, 3))
    loss = jax.jit(jax.vmap(lambda alpha: variational.renyi_loss(log_weights, alpha=alpha)))
    values = loss(jnp.array([-2.0, 0.0, 0.5, 1.0, 2.0]))
    assert np.all(np.diff(values, axis=0) > 0)
    np.testing.assert_allclose(values[1], variational.iwae_loss(log_weights), rtol=1e-12)
    np.testing.assert_allclose(values[3], -log_weights.mean(0), rtol=1e-12)


def test_renyi_loss_keeps_its_digits_beside_the_limit_in_single_precision():
    log_weights = jnp.asarray(line_log_weights(14, 6, 3), jnp.float32)
    for alpha in (1 - 1e-4, 1 + 1e-4, 1.0):
        value, gradient = jax.value_and_grad(lambda w, a=alpha: jnp.sum(variational.renyi_loss(w, alpha=a)))(
            log_weights
        )
        np.testing.assert_allclose(value, -jnp.sum(log_weights.mean(0)), rtol=1e-4)
        np.testing.assert_allclose(gradient, np.full((6, 3), -1 / 6), rtol=1e-3)


def test_exponential_of_the_chi_estimate_has_the_closed_form_as_its_mean():
    value = variational.chi_upper_bound_loss(jnp.asarray(line_log_weights(15, 4, 100_000)))
    # E_q[w²] = p(x)² (1 + χ²)
    assert_mean_is(np.exp(2 * np.asarray(value)), np.exp(2 * line_evidence()) * (1 + line_chi_squared()))


def test_chi_upper_bound_loss_is_an_upper_bound_with_many_samples_and_the_lower_bound_with_one():
    log_weights = jnp.asarray(line_log_weights(16, 20_000, 1))
    many = float(variational.chi_upper_bound_loss(log_weights)[0])
    exact = line_evidence() + 0.5 * np.log1p(line_chi_squared())
    np.testing.assert_allclose(many, exact, atol=0.02)
    assert many > line_evidence() + 0.05
    np.testing.assert_allclose(variational.chi_upper_bound_loss(log_weights.T), log_weights[:, 0], rtol=1e-12)


# --- The thermodynamic objective ---


def test_thermodynamic_loss_of_a_fine_grid_is_the_importance_weighted_bound():
    log_weights = jnp.asarray(line_log_weights(17, 6, 3))
    steps = 1000
    value = variational.thermodynamic_loss(log_weights, betas=tuple(np.arange(steps) / steps))
    # The integrand rises from the mean to the self-normalised sum; the left sum is below the integral by at most this.
    reach = jnp.sum(jax.nn.softmax(log_weights, axis=0) * log_weights, axis=0) - log_weights.mean(0)
    tight = variational.iwae_loss(log_weights)
    assert np.all((value > tight) & (value < tight + reach / steps))


def test_thermodynamic_loss_is_no_tighter_than_the_importance_weighted_bound_on_any_grid():
    log_weights = jnp.asarray(4 * line_log_weights(18, 5, 500))
    tight = np.asarray(variational.iwae_loss(log_weights))
    for betas in ((0.0,), (0.0, 0.5), (0.0, 0.02, 0.2)):
        loss = jax.jit(lambda w, betas=betas: variational.thermodynamic_loss(w, betas=betas))
        assert np.all(loss(log_weights) >= tight)
    np.testing.assert_allclose(
        variational.thermodynamic_loss(log_weights, betas=(0.0,)), -log_weights.mean(0), rtol=1e-12
    )


def test_thermodynamic_loss_of_fixed_samples_has_the_gradient_of_the_exact_expectations():
    log_joint, betas = np.array([-1.0, 0.4, -2.0, 0.1]), np.array([0.0, 0.3, 0.7])

    def exact(logits):
        log_q = special.log_softmax(logits)
        total = 0.0
        for low, high in zip(betas, [*betas[1:], 1], strict=True):
            tilted = special.softmax((1 - low) * log_q + low * log_joint)
            total -= (high - low) * tilted @ (log_joint - log_q)
        return total

    def loss(logits):
        # Each state once, under a uniform proposal: self-normalisation is then exact.
        log_q = jax.nn.log_softmax(logits)[:, None]
        return variational.thermodynamic_loss(jnp.asarray(log_joint)[:, None] - log_q, log_q, betas=jnp.asarray(betas))[
            0
        ]

    value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.zeros(4))
    steps = 1e-6 * np.eye(4)
    expected = [(exact(step) - exact(-step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(value, exact(np.zeros(4)), rtol=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


@pytest.mark.parametrize("betas", [(), (0.1, 0.5), (0.0, 0.5, 0.4), (0.0, 1.0)])
def test_thermodynamic_loss_refuses_a_grid_that_bounds_nothing(betas):
    with pytest.raises(ValueError, match="betas"):
        variational.thermodynamic_loss(jnp.zeros((2, 3)), betas=betas)
