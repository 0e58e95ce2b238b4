"""Losses of flows against analytic flows, automatic Jacobians, quadrature and closed forms of Gaussians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genloss_jax.losses import divergences, flows, likelihood
from tests.reference import flows as reference


def nll_of_flow(map_fn):
    """Give the negative log-density of `[N, D]` under a map to a standard normal base, by its automatic Jacobian."""

    def of_one(x):
        z = map_fn(x)
        _, log_det = jnp.linalg.slogdet(jax.jacfwd(map_fn)(x))
        return jnp.sum(jax.scipy.stats.norm.logpdf(z)), log_det

    return jax.jit(lambda x: flows.change_of_variables_nll(*jax.vmap(of_one)(x)))


# --- Change of variables ---

FACTOR, SHIFT = np.array([[1.5, 0.0], [-0.8, 0.4]]), np.array([0.3, -1.0])


def affine(x):
    return jnp.linalg.inv(jnp.asarray(FACTOR)) @ (x - jnp.asarray(SHIFT))


def wavy(x):
    """A map of the plane that is no product of maps of lines: a shear between two elementwise maps."""
    x = jnp.stack([x[0] + 0.5 * jnp.sin(x[0]), x[1]])
    x = jnp.stack([x[0], x[1] * jnp.exp(0.3 * jnp.tanh(x[0])) + x[0] ** 2 / 4])
    return x + 0.5 * jnp.sin(x + 1)


def test_affine_flow_is_the_gaussian_of_scipy(double):
    x = np.random.default_rng(0).normal(size=(6, 2))
    expected = -stats.multivariate_normal(SHIFT, FACTOR @ FACTOR.T).logpdf(x)
    np.testing.assert_allclose(nll_of_flow(affine)(jnp.asarray(x)), expected, rtol=1e-10)


def test_elementwise_logarithm_is_the_lognormal_of_scipy(double):
    scales, x = np.array([0.5, 2.0]), np.exp(np.random.default_rng(1).normal(size=(6, 2)))
    nll = nll_of_flow(lambda x: jnp.log(x) / jnp.asarray(scales))(jnp.asarray(x))
    np.testing.assert_allclose(nll, -stats.lognorm(scales).logpdf(x).sum(1), rtol=1e-10)


def test_density_of_a_flow_integrates_to_one_over_the_plane(double):
    grid = jnp.asarray(np.stack(np.meshgrid(np.arange(-9, 9, 0.1), np.arange(-33, 13, 0.1)), -1).reshape(-1, 2))
    density = np.exp(-nll_of_flow(wavy)(grid))
    np.testing.assert_allclose(density.sum() * 0.1**2, 1.0, rtol=1e-8)


def test_nll_of_composed_maps_is_that_of_the_sum_of_their_log_determinants(double):
    x = jnp.asarray(np.random.default_rng(2).normal(size=(6, 2)))

    def log_det(map_fn, x):
        return jnp.linalg.slogdet(jax.jacfwd(map_fn)(x))[1]

    def by_layers(x):
        middle = wavy(x)
        base = jnp.sum(jax.scipy.stats.norm.logpdf(affine(middle)))
        return base, log_det(wavy, x) + log_det(affine, middle)

    layered = jax.jit(lambda x: flows.change_of_variables_nll(*jax.vmap(by_layers)(x)))(x)
    np.testing.assert_allclose(layered, nll_of_flow(lambda x: affine(wavy(x)))(x), rtol=1e-10)


def test_mean_nll_is_the_entropy_of_the_data_plus_kl_and_never_below_it(double):
    entropy = stats.norm(0.5, 1.3).entropy()
    x, mass = reference.gaussian_grid(0.5, 1.3)
    for mean, std in ((0.5, 1.3), (0.0, 1.0), (-1.0, 4.0)):
        nll = nll_of_flow(lambda x, mean=mean, std=std: (x - mean) / std)(jnp.asarray(x[:, None]))
        expected = entropy + reference.gaussian_kl(0.5, 1.3, mean, std)
        np.testing.assert_allclose(mass @ nll, expected, rtol=1e-10)
        assert mass @ nll >= entropy - 1e-12


# --- Uniform dequantisation ---


@pytest.mark.parametrize("num_bins", [1, 2, 17, 49, 256, 65_536])
def test_dequantised_number_stays_in_its_own_bin_of_the_unit_interval(key, num_bins):
    """255 + u rounds to 256 for one u in 10⁵, and 3 / 49 · 49 to less than 3."""
    bins = jnp.arange(num_bins)[None].repeat(-(-1_000_000 // num_bins), 0)
    y = jax.jit(lambda key, bins: flows.uniform_dequantize(key, bins, num_bins=num_bins))(key, bins)
    assert y.dtype == jnp.float32 and y.min() >= 0 and y.max() < 1
    np.testing.assert_array_equal(jnp.floor(y * num_bins), bins)


def test_half_a_bin_of_noise_is_not_enough(key):
    """A tutorial adds U(0, ½]: its flow may then look 64 log 2 = 44.4 nats better on 8x8 digits than it is."""
    num_bins, num_draws = 17, 40_000
    bins = jax.random.randint(jax.random.key(1), (num_draws,), 0, num_bins)
    y = np.asarray(flows.uniform_dequantize(key, bins, num_bins=num_bins), np.float64)
    noise = y * num_bins - np.asarray(bins)
    # U[0, 1): mean ½ and standard deviation 1/√12; five standard errors
    assert abs(noise.mean() - 0.5) < 5 / np.sqrt(12 * num_draws)
    assert stats.kstest(noise, "uniform").pvalue > 1e-4

    def bits(noise):
        # a density for the levels, equally likely, that has nearly all mass in the lower half of each bin
        nll = -np.log(np.where(noise < 0.5, 2 * 0.999, 2 * 0.001))
        return likelihood.bits_per_dim(jnp.asarray(nll.mean()[None]), 1, num_bins=num_bins)[0]

    true_bits = np.log2(num_bins)
    assert bits(noise) > true_bits
    np.testing.assert_allclose(true_bits - bits(noise / 2), 1.0, atol=0.01)


def test_uniform_dequantisation_gives_an_upper_bound_of_bits_per_dimension(double):
    # A Gaussian density over [0, 1), 8 bins: exact probabilities by its distribution function, means by quadrature.
    edges, model = np.arange(9) / 8, stats.norm(0.4, 0.2)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    y = (np.arange(8)[:, None] + (nodes + 1) / 2) / 8
    bound = likelihood.bits_per_dim(jnp.asarray(-model.logpdf(y) @ (weights / 2)), 1, num_bins=8)
    exact = -np.log2(np.diff(model.cdf(edges)))
    assert np.all(bound > exact)


# --- Variational dequantisation ---

MODEL = stats.norm(1.7, 1.2)
BINS = np.arange(-3, 7)
LOG_PROBS = np.log(np.diff(MODEL.cdf(np.append(BINS, 7))))


@pytest.mark.parametrize("u", [0.0, 0.3, 0.999])
def test_optimal_dequantiser_gives_the_exact_probability_at_every_draw(double, u):
    log_density = MODEL.logpdf(BINS + u)
    loss = flows.variational_dequantization_loss(jnp.asarray(log_density), jnp.asarray(log_density - LOG_PROBS))
    np.testing.assert_allclose(loss, -LOG_PROBS, rtol=1e-12)


@pytest.mark.parametrize("dequantiser", [stats.uniform(), stats.beta(2, 3)])
def test_mean_of_dequantisation_is_above_the_exact_value_by_the_kl_of_the_dequantiser(double, dequantiser):
    nodes, weights = np.polynomial.legendre.leggauss(200)
    u, mass = (nodes + 1) / 2, weights / 2 * dequantiser.pdf((nodes + 1) / 2)
    for lower, log_prob in zip(BINS, LOG_PROBS, strict=True):
        log_density, log_noise = MODEL.logpdf(lower + u), dequantiser.logpdf(u)
        bound = mass @ flows.variational_dequantization_loss(jnp.asarray(log_density), jnp.asarray(log_noise))
        gap = mass @ (log_noise - (log_density - log_prob))
        assert gap > 0
        np.testing.assert_allclose(bound, -log_prob + gap, rtol=1e-10)


# --- Divergences ---

P, Q = (0.4, 1.1), (-0.3, 0.9)


def log_densities(points):
    return jnp.asarray(stats.norm(*Q).logpdf(points)), jnp.asarray(stats.norm(*P).logpdf(points))


def tables():
    rng = np.random.default_rng(3)
    return rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7))


def test_mean_reverse_kl_of_gaussians_is_the_closed_form(double):
    points, mass = reference.gaussian_grid(*Q)
    log_q, log_p = log_densities(points)
    np.testing.assert_allclose(mass @ flows.reverse_kl_loss(log_q, log_p), reference.gaussian_kl(*Q, *P), rtol=1e-10)
    unnormalised = mass @ flows.reverse_kl_loss(log_q, log_p + 5)
    np.testing.assert_allclose(unnormalised, reference.gaussian_kl(*Q, *P) - 5, rtol=1e-10)


def test_mean_forward_kl_of_gaussians_is_the_closed_form(double):
    points, mass = reference.gaussian_grid(*P)
    log_q, log_p = log_densities(points)
    np.testing.assert_allclose(mass @ flows.forward_kl_loss(log_p, log_q), reference.gaussian_kl(*P, *Q), rtol=1e-10)


def test_kl_losses_of_tables_are_those_of_scipy(double):
    p, q = tables()
    log_p, log_q = jnp.log(p), jnp.log(q)
    np.testing.assert_allclose(q @ flows.reverse_kl_loss(log_q, log_p), stats.entropy(q, p), rtol=1e-12)
    np.testing.assert_allclose(p @ flows.forward_kl_loss(log_p, log_q), stats.entropy(p, q), rtol=1e-12)


def flow_samples_loss(loss):
    """Give the mean loss of a flow mean + std z against a standard normal target, as a function of (mean, log std)."""
    z, mass = reference.gaussian_grid(0.0, 1.0, reach=12.0, num_points=2001)

    def mean_loss(mean, log_std):
        x = mean + jnp.exp(log_std) * z
        log_q = -flows.change_of_variables_nll(jax.scipy.stats.norm.logpdf(z), jnp.full(z.shape, -log_std))
        return jnp.dot(mass, loss(log_q, jax.scipy.stats.norm.logpdf(x)))

    return jax.jit(jax.grad(mean_loss, (0, 1)))


@pytest.mark.parametrize("mean, log_std", [(0.0, 0.0), (0.7, -0.4)])
def test_reverse_kl_through_the_samples_of_a_flow_has_the_gradient_of_the_closed_form(double, mean, log_std):
    gradients = flow_samples_loss(flows.reverse_kl_loss)(mean, log_std)
    # KL = -log std + (std² + mean²) / 2 - ½
    np.testing.assert_allclose(gradients, [mean, np.exp(2 * log_std) - 1], rtol=1e-10, atol=1e-14)


ALPHAS = [-0.5, 0.0, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_mean_alpha_divergence_of_gaussians_is_the_closed_form(double, alpha):
    points, mass = reference.gaussian_grid(*Q)
    value = mass @ flows.alpha_divergence_loss(*log_densities(points), alpha=alpha)
    np.testing.assert_allclose(value, reference.gaussian_alpha_divergence(*P, *Q, alpha), rtol=1e-9)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_mean_alpha_divergence_of_tables_is_that_of_the_divergences(double, alpha):
    p, q = tables()
    log_p, log_q = jnp.log(p), jnp.log(q)
    mean = q @ flows.alpha_divergence_loss(log_q, log_p, alpha=alpha)
    np.testing.assert_allclose(mean, divergences.alpha_divergence(log_p, log_q, alpha=alpha), rtol=1e-11)


def test_alpha_divergence_is_not_identically_zero_at_any_alpha(double):
    """A library multiplies by sign(alpha - 1) and has 1 as its default: loss 0 and gradient 0 whatever the flow."""
    log_w = jnp.array([-2.0, -0.1, 0.0, 0.1, 2.0])

    def losses(log_w, alpha):
        return flows.alpha_divergence_loss(jnp.zeros(5), log_w, alpha=alpha)

    value_and_slope = jax.jit(lambda *args: jax.jvp(lambda log_w: losses(log_w, args[1]), args[:1], (jnp.ones(5),)))
    for alpha in ALPHAS:
        value, slope = value_and_slope(log_w, jnp.asarray(alpha))
        assert value[2] == slope[2] == 0
        assert np.all(np.delete(value, 2) > 1e-3)
        assert np.all(np.delete(slope * log_w, 2) > 1e-3)


def test_alpha_divergence_of_a_flow_at_alpha_one_moves_it_to_its_target(double):
    gradients = flow_samples_loss(lambda *logs: flows.alpha_divergence_loss(*logs, alpha=1.0))(0.7, -0.1)
    # KL(p || q) = log std + (1 + mean²) / (2 std²) - ½
    std_squared = np.exp(-0.2)
    np.testing.assert_allclose(gradients, [0.7 / std_squared, 1 - (1 + 0.7**2) / std_squared], rtol=1e-8)


def test_alpha_divergence_is_smooth_in_a_traced_alpha_also_at_zero_one_half_and_one(double):
    log_w = jnp.linspace(-3, 3, 13)

    def losses(alpha):
        return flows.alpha_divergence_loss(jnp.zeros(13), log_w, alpha=alpha)

    alphas = jnp.array([0.0, 0.5, 1.0])
    both = jax.jit(jax.vmap(lambda alpha: jax.jvp(losses, (alpha,), (jnp.ones(()),))))
    value, slope = both(alphas)
    (below, _), (above, _) = both(alphas - 1e-5), both(alphas + 1e-5)
    np.testing.assert_allclose((below + above) / 2, value, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose((above - below) / 2e-5, slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.75, 1.0, 2.0])
def test_alpha_divergence_of_a_point_that_the_target_excludes_is_finite(alpha):
    loss = jax.jit(jax.value_and_grad(lambda log_p: flows.alpha_divergence_loss(jnp.zeros(1), log_p, alpha=alpha)[0]))
    value, slope = loss(jnp.full(1, -1e4))
    # w = 0: (alpha - 1) / (alpha (alpha - 1)) = 1 / alpha, and -log w - 1 at alpha = 0
    np.testing.assert_allclose(value, 1 / alpha if alpha else 1e4 - 1, rtol=1e-6)
    np.testing.assert_allclose(slope, [0.0 if alpha else -1.0], atol=1e-6)


# --- Errors ---


@pytest.mark.parametrize(
    "argument, call",
    [
        ("log_det", lambda key: flows.change_of_variables_nll(jnp.zeros(3), jnp.zeros(2))),
        ("base_log_prob", lambda key: flows.change_of_variables_nll(jnp.zeros((3, 1)), jnp.zeros(3))),
        ("noise_log_prob", lambda key: flows.variational_dequantization_loss(jnp.zeros(3), jnp.zeros(3, int))),
        ("log_p", lambda key: flows.reverse_kl_loss(jnp.zeros(3), jnp.zeros((3, 1)))),
        ("log_q", lambda key: flows.forward_kl_loss(jnp.zeros(3), jnp.zeros(1))),
        ("log_p", lambda key: flows.alpha_divergence_loss(jnp.zeros(3), jnp.zeros(1), alpha=0.5)),
        ("bins", lambda key: flows.uniform_dequantize(key, jnp.zeros(3), num_bins=4)),
        ("num_bins", lambda key: flows.uniform_dequantize(key, jnp.zeros(3, int), num_bins=0)),
    ],
)
def test_wrong_argument_is_an_error_of_one_sentence_that_names_it(unchecked, key, argument, call):
    with pytest.raises(ValueError, match=rf"^{argument} ") as caught:
        call(key)
    assert "\n" not in str(caught.value)
