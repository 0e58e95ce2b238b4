"""Regularisers of the aggregate posterior against integrals, closed forms of Gaussians, and enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from genloss_jax.losses import divergences, variational
from tests.reference import divergences as divergences_reference
from tests.reference import variational as reference

pytestmark = pytest.mark.usefixtures("double")

MEANS = np.array([[-0.8, -0.5], [0.3, 0.4], [0.9, 1.1]])
LOG_VARS = np.array([[-0.6, -0.3], [-0.2, -0.9], [-0.5, -0.4]])
COVARIANCE = np.array([[1.0, 0.6], [0.6, 1.5]])


def on_device(*arrays):
    return tuple(map(jnp.asarray, arrays))


def assert_mean_is(values, expected, standard_errors=5.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < standard_errors * values.std() / np.sqrt(values.size)


def expected_over_noise(evaluate, num_nodes=30):
    """Take the mean of `evaluate(z)` over z = mean + std noise of each of the three examples, by quadrature."""
    nodes, weights = reference.hermite(num_nodes, dim=2)
    z = jnp.asarray(MEANS[None] + np.exp(0.5 * LOG_VARS)[None] * nodes[:, None])
    values = jax.jit(jax.vmap(evaluate))(z)
    return jax.tree.map(lambda value: np.tensordot(weights, np.asarray(value), 1), values)


# --- Total correlation ---


@pytest.mark.parametrize("method", ["stratified", "weighted"])
def test_kl_decomposition_of_a_whole_data_set_is_the_integral(method):
    parts = expected_over_noise(
        lambda z: variational.kl_decomposition_losses(z, *on_device(MEANS, LOG_VARS), dataset_size=3, method=method)
    )
    # The weighted estimate is too small by the factor N there, once in q(z) and once in each of the two q(z_d).
    offsets = np.array([1, 1, -2]) * (np.log(3) if method == "weighted" else 0)
    expected = reference.PlaneMixture(MEANS, LOG_VARS).parts() + offsets
    np.testing.assert_allclose([part.mean() for part in parts], expected, atol=2e-4)


def test_total_correlation_of_a_whole_data_set_is_the_integral_and_positive():
    # A library's stored test losses have a negative total correlation.
    value = expected_over_noise(
        lambda z: variational.total_correlation(z, *on_device(MEANS, LOG_VARS), dataset_size=3)
    ).mean()
    expected = reference.PlaneMixture(MEANS, LOG_VARS).parts()[1]
    np.testing.assert_allclose(value, expected, atol=2e-4)
    assert expected > 0.1


@pytest.mark.parametrize("method", ["stratified", "weighted"])
def test_kl_decomposition_sums_to_the_log_ratio_whatever_the_estimate(method):
    rng = np.random.default_rng(0)
    z, mean, log_var = rng.normal(size=(3, 5, 2, 2))
    decompose = jax.jit(lambda *a: variational.kl_decomposition_losses(*a, dataset_size=40, method=method))
    parts = decompose(z, mean, log_var)
    ratio = stats.norm.logpdf(z, mean, np.exp(log_var / 2)) - stats.norm.logpdf(z)
    np.testing.assert_allclose(sum(parts), ratio.sum((1, 2)), rtol=1e-10)


def test_kl_decomposition_has_the_kl_as_the_mean_of_its_sum():
    parts = expected_over_noise(
        lambda z: variational.kl_decomposition_losses(z, *on_device(MEANS, LOG_VARS), dataset_size=7)
    )
    np.testing.assert_allclose(sum(parts), variational.gaussian_kl(*on_device(MEANS, LOG_VARS)), rtol=1e-10)


def test_stratified_density_is_unbiased_over_the_batches_that_hold_an_example():
    rng = np.random.default_rng(1)
    mean, log_var = rng.normal(size=(2, 5, 2))
    z = mean + 0.3
    own = stats.norm.logpdf(z[:, None], mean[None], np.exp(log_var / 2)[None]).sum(-1)
    exact = np.exp(own[0]).mean()
    densities = []
    decompose = jax.jit(lambda *a: variational.kl_decomposition_losses(*a, dataset_size=5))
    for others in itertools.combinations(range(1, 5), 2):
        rows = [0, *others]
        parts = decompose(z[rows], mean[rows], log_var[rows])
        densities.append(np.exp(own[0, 0] - parts.mutual_information[0]))
    np.testing.assert_allclose(np.mean(densities), exact, rtol=1e-10)


def test_kl_decomposition_vanishes_where_every_posterior_is_the_prior():
    z = jnp.asarray(np.random.default_rng(2).normal(size=(4, 3)))
    parts = variational.kl_decomposition_losses(z, jnp.zeros((4, 3)), jnp.zeros((4, 3)), dataset_size=100)
    np.testing.assert_allclose(parts, 0, atol=1e-12)


def test_kl_decomposition_stays_finite_where_posteriors_are_points():
    mean = jnp.asarray([[0.0, 1.0], [2.0, -3.0], [50.0, 0.0]], jnp.float32)
    for log_var in (-1e4, -60.0):

        def total(mean, log_vars):
            parts = variational.kl_decomposition_losses(mean, mean, log_vars, dataset_size=3)
            return jnp.sum(parts.mutual_information)

        evaluate = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
        value, gradients = evaluate(mean, jnp.full((3, 2), log_var, jnp.float32))
        np.testing.assert_allclose(value, 3 * np.log(3), rtol=1e-3)
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize(
    "arguments, named", [({"dataset_size": 2}, "dataset_size"), ({"dataset_size": 9, "method": "mws"}, "method")]
)
def test_kl_decomposition_names_the_bad_argument(arguments, named):
    with pytest.raises(ValueError, match=named):
        variational.kl_decomposition_losses(*on_device(MEANS, MEANS, LOG_VARS), **arguments)


def test_beta_tc_loss_with_equal_weights_is_the_negative_bound():
    nll = np.array([1.0, 2.0, 4.0])
    value = expected_over_noise(
        lambda z: variational.beta_tc_loss(
            *on_device(nll), z, *on_device(MEANS, LOG_VARS), dataset_size=9, alpha=1.0, beta=1.0, gamma=1.0
        )
    )
    np.testing.assert_allclose(value, nll + variational.gaussian_kl(*on_device(MEANS, LOG_VARS)), rtol=1e-10)


def test_beta_tc_loss_weighs_the_parts():
    nll, z = jnp.array([1.0, 2.0, 4.0]), jnp.asarray(MEANS + 0.2)
    parts = variational.kl_decomposition_losses(z, *on_device(MEANS, LOG_VARS), dataset_size=9)
    value = variational.beta_tc_loss(
        nll, z, *on_device(MEANS, LOG_VARS), dataset_size=9, alpha=0.5, beta=4.0, gamma=2.0
    )
    np.testing.assert_allclose(value, nll + 0.5 * parts[0] + 4 * parts[1] + 2 * parts[2], rtol=1e-12)


def optimal_logits(z):
    """Log q(z) - Σ log q(z_d) of N(0, COVARIANCE), the optimal discriminator of permuted latents."""
    own = jnp.asarray(np.diag(1 / np.diag(COVARIANCE)) - np.linalg.inv(COVARIANCE))
    log_det = np.log(np.diag(COVARIANCE)).sum() - np.linalg.slogdet(COVARIANCE)[1]
    return 0.5 * jnp.einsum("...i,ij,...j", z, own, z) + 0.5 * log_det


def test_factor_loss_at_the_optimal_discriminator_adds_the_total_correlation():
    nodes, weights = reference.hermite(6, dim=2)
    logits = optimal_logits(jnp.asarray(nodes @ np.linalg.cholesky(COVARIANCE).T))
    ones = jnp.ones(len(weights))
    value = weights @ np.asarray(variational.factor_loss(3.0 * ones, 0.5 * ones, logits, gamma=10.0))
    exact = 0.5 * (np.log(np.diag(COVARIANCE)).sum() - np.linalg.slogdet(COVARIANCE)[1])
    np.testing.assert_allclose(value, 3.5 + 10 * exact, rtol=1e-10)


def test_factor_discriminator_loss_at_its_optimum_is_log_two_less_the_jensen_shannon_divergence():
    nodes, weights = reference.hermite(50, dim=2)
    joint = optimal_logits(jnp.asarray(nodes @ np.linalg.cholesky(COVARIANCE).T))
    permuted = optimal_logits(jnp.asarray(nodes * np.sqrt(np.diag(COVARIANCE))))
    value = weights @ np.asarray(variational.factor_discriminator_loss(joint, permuted))
    line = np.linspace(-10, 10, 801)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1)
    p = stats.multivariate_normal(np.zeros(2), COVARIANCE).pdf(grid)
    q = stats.multivariate_normal(np.zeros(2), np.diag(np.diag(COVARIANCE))).pdf(grid)
    middle = (p + q) / 2
    divergence = 0.5 * np.sum(special.rel_entr(p, middle) + special.rel_entr(q, middle)) * (line[1] - line[0]) ** 2
    np.testing.assert_allclose(value, np.log(2) - divergence, atol=1e-6)
    np.testing.assert_allclose(
        variational.factor_discriminator_loss(jnp.zeros(2), jnp.zeros(2)), np.full(2, np.log(2)), rtol=1e-12
    )


def test_permuted_latents_keep_each_dimensions_values_and_lose_their_pairing(key):
    z = jnp.broadcast_to(jnp.arange(200.0)[:, None], (200, 3))
    permuted = np.asarray(variational.permute_latents(key, z))
    np.testing.assert_array_equal(np.sort(permuted, 0), z)
    # The correlation of independent permutations has standard deviation 199^-½.
    assert np.all(np.abs(np.corrcoef(permuted.T)[np.triu_indices(3, 1)]) < 5 / np.sqrt(199))


# --- Moments ---


def points_with_covariance(covariance):
    """Return four points of mean 0 with this covariance, divided by their number."""
    root = np.sqrt(2) * np.linalg.cholesky(covariance).T
    return np.concatenate([root, -root]) + 3.0


def test_dip_penalty_of_known_moments():
    mean = points_with_covariance(COVARIANCE)
    log_var = np.log(np.tile([0.2, 0.4], (4, 1)))
    weights = {"off_diagonal": 2.0, "diagonal": 3.0}
    first = variational.dip_penalty(*on_device(mean, log_var), kind="i", **weights)
    second = variational.dip_penalty(*on_device(mean, log_var), kind="ii", **weights)
    np.testing.assert_allclose(first, np.full(4, 2 * 2 * 0.6**2 + 3 * 0.5**2), rtol=1e-10)
    np.testing.assert_allclose(second, np.full(4, 2 * 2 * 0.6**2 + 3 * (0.2**2 + 0.9**2)), rtol=1e-10)


def test_dip_penalty_vanishes_where_the_aggregate_has_the_priors_covariance():
    log_var = np.log(np.tile([0.2, 0.4], (4, 1)))
    mean = points_with_covariance(np.diag([0.8, 0.6]))

    def penalty(mean, log_var, kind):
        return jnp.mean(variational.dip_penalty(mean, log_var, kind=kind))

    evaluate = jax.jit(jax.value_and_grad(penalty, argnums=(0, 1)), static_argnums=2)
    value, gradients = evaluate(*on_device(mean, log_var), "ii")
    np.testing.assert_allclose(value, 0, atol=1e-12)
    assert all(np.allclose(gradient, 0, atol=1e-12) for gradient in gradients)
    # Kind "i" leaves the encoder's noise out, and asks for that much more of the means.
    np.testing.assert_allclose(penalty(*on_device(mean, log_var), "i"), 0.2**2 + 0.4**2, rtol=1e-9)
    noiseless = on_device(points_with_covariance(np.eye(2)), log_var)
    np.testing.assert_allclose(penalty(*noiseless, "i"), 0, atol=1e-12)


def test_dip_penalty_names_an_unknown_kind():
    with pytest.raises(ValueError, match="unknown kind 'iii'"):
        variational.dip_penalty(jnp.zeros((2, 2)), jnp.zeros((2, 2)), kind="iii")


# --- Maximum mean discrepancy ---

SHIFT = np.array([0.5, -0.3])


def latents(seed, num_batches, num, mean=SHIFT, covariance=COVARIANCE):
    return np.random.default_rng(seed).multivariate_normal(mean, covariance, (num_batches, num))


def test_wae_mmd_penalty_has_the_closed_form_of_two_gaussians_as_its_mean():
    z, prior_z = on_device(latents(3, 2000, 12), latents(4, 2000, 12, np.zeros(2), np.eye(2)))
    values = jax.jit(jax.vmap(variational.wae_mmd_penalty))(z, prior_z)
    assert values.shape == (2000, 12)
    np.testing.assert_allclose(values, np.tile(values[:, :1], (1, 12)), rtol=1e-12)
    # C / (C + r²) = ∫ exp(-t (1 + r² / C)) dt: Gaussian kernels of squared lengthscale C / (2 t), C = 2 · 2 · scale

    def of_lengthscale(lengthscale):
        return divergences_reference.gaussian_rbf_mmd_squared(SHIFT, COVARIANCE, np.zeros(2), np.eye(2), lengthscale)

    expected = sum(
        integrate.quad(lambda t, s=scale: np.exp(-t) * of_lengthscale(np.sqrt(2 * s / t)), 0, 40)[0]
        for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    )
    assert_mean_is(values[:, 0], expected)


def test_wae_mmd_penalty_has_mean_zero_where_the_aggregate_is_the_prior():
    z, prior_z = on_device(*(latents(seed, 2000, 8, np.zeros(2), np.eye(2)) for seed in (5, 6)))
    values = np.asarray(jax.jit(jax.vmap(variational.wae_mmd_penalty))(z, prior_z))[:, 0]
    assert_mean_is(values, 0.0)
    assert np.mean(values < 0) > 0.3


def test_inverse_multiquadratic_kernel_is_its_formula():
    x, y = np.random.default_rng(7).normal(size=(2, 4, 3))
    squares = ((x[:, None] - y[None]) ** 2).sum(-1)
    kernel = variational.inverse_multiquadratic_kernel(3, prior_std=2.0, scales=(0.5, 1.0))
    np.testing.assert_allclose(kernel(*on_device(x, y)), 12 / (12 + squares) + 24 / (24 + squares), rtol=1e-10)


def test_info_vae_loss_weighs_the_terms_as_published():
    nll, kl = jnp.array([1.0, 3.0]), jnp.array([0.5, 2.0])
    z, prior_z = jnp.array([[0.0], [1.0]]), jnp.array([[3.0], [4.0]])
    # The energy kernel -|x - y|: within each pair -1, between them -(3 + 4 + 2 + 3) / 4.
    mmd = -1 - 1 + 2 * 3.0
    value = variational.info_vae_loss(nll, kl, z, prior_z, alpha=0.4, scale=3.0, kernel=divergences.energy_kernel())
    np.testing.assert_allclose(value, nll + 0.6 * kl + 2.4 * mmd, rtol=1e-12)


def test_info_vae_loss_joins_the_negative_bound_and_the_wasserstein_autoencoder():
    rng = np.random.default_rng(8)
    nll, kl = on_device(*rng.uniform(size=(2, 6)))
    z, prior_z = on_device(*rng.normal(size=(2, 6, 2)))
    bound = variational.info_vae_loss(nll, kl, z, prior_z, alpha=0.0, scale=1.0)
    np.testing.assert_allclose(bound, variational.elbo_loss(nll, kl), rtol=1e-12)
    wasserstein = variational.info_vae_loss(nll, kl, z, prior_z, alpha=1.0, scale=10.0)
    np.testing.assert_allclose(wasserstein, nll + 10 * variational.wae_mmd_penalty(z, prior_z), rtol=1e-12)


def test_info_vae_loss_refuses_to_drive_the_aggregate_away_from_the_prior():
    # A library's defaults, α = 0 and λ = 1e-3, weigh the MMD by -0.999.
    zeros, z = jnp.zeros(4), jnp.zeros((4, 2))
    with pytest.raises(ValueError, match="scale makes the weight alpha \\+ scale - 1 negative"):
        variational.info_vae_loss(zeros, zeros, z, z, alpha=0.0, scale=1e-3)
    with pytest.raises(ValueError, match="alpha makes the weight 1 - alpha negative"):
        variational.info_vae_loss(zeros, zeros, z, z, alpha=1.5, scale=1.0)


def test_info_vae_loss_pulls_a_shifted_aggregate_back_to_the_prior():
    z, prior_z = on_device(latents(9, 1, 64, np.array([1.0, 0.0]), np.eye(2))[0], latents(10, 1, 64, np.zeros(2))[0])

    def loss(shift):
        zeros = jnp.zeros(64)
        moved = z + jnp.stack([shift, 0.0])[None]
        return jnp.mean(variational.info_vae_loss(zeros, zeros, moved, prior_z, alpha=0.5, scale=5.0))

    assert jax.jit(jax.grad(loss))(0.0) > 0.1


# --- The prior as a mixture ---


def test_vamp_log_prior_is_the_mixtures_log_density():
    z = np.random.default_rng(11).normal(size=(5, 2))
    densities = stats.norm.pdf(z[:, None], MEANS[None], np.exp(LOG_VARS / 2)[None]).prod(-1)
    value = variational.vamp_log_prior(*on_device(z, MEANS, LOG_VARS))
    np.testing.assert_allclose(value, np.log(densities.mean(1)), rtol=1e-10)


def test_vamp_prior_is_the_aggregate_posterior_when_the_pseudo_inputs_are_the_data():
    z = jnp.asarray(MEANS + 0.2)
    parts = variational.kl_decomposition_losses(z, *on_device(MEANS, LOG_VARS), dataset_size=3)
    log_conditional = stats.norm.logpdf(MEANS + 0.2, MEANS, np.exp(LOG_VARS / 2)).sum(1)
    np.testing.assert_allclose(
        log_conditional - variational.vamp_log_prior(z, *on_device(MEANS, LOG_VARS)),
        parts.mutual_information,
        rtol=1e-10,
    )
