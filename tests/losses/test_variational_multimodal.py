"""Joined posteriors and their bounds against quadrature and a linear-Gaussian model; schedules of the weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from genloss_jax.losses import variational
from tests.reference import variational as reference

pytestmark = pytest.mark.usefixtures("double")

MEANS = np.array([[[-0.5]], [[1.2]]])  # two experts, one example, one latent
LOG_VARS = np.array([[[-0.4]], [[0.3]]])


def on_device(*arrays):
    return tuple(map(jnp.asarray, arrays))


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# --- Products ---


@pytest.mark.parametrize("prior_expert", [True, False])
def test_product_of_experts_is_the_normalised_product_of_densities(prior_expert):
    def density(z):
        factors = stats.norm.pdf(z, MEANS[:, 0, 0], np.exp(LOG_VARS[:, 0, 0] / 2))
        return np.prod(factors) * (stats.norm.pdf(z) if prior_expert else 1.0)

    moments = [integrate.quad(lambda z, power=power: z**power * density(z), -12, 12)[0] for power in range(3)]
    mean = moments[1] / moments[0]
    product = variational.product_of_experts(*on_device(MEANS, LOG_VARS), prior_expert=prior_expert)
    np.testing.assert_allclose(product.mean, [[mean]], rtol=1e-9)
    np.testing.assert_allclose(jnp.exp(product.log_var), [[moments[2] / moments[0] - mean**2]], rtol=1e-8)


def test_product_of_likelihood_experts_and_prior_is_the_exact_posterior():
    # Two modalities of one latent: each expert is p(x_m | z) as a Gaussian in z.
    model = reference.LinearGaussian(np.array([[0.8], [-1.5]]), np.array([0.1, 0.4]), 0.5)
    x = draw(0, 4, 2)
    slopes = model.weight[:, 0]
    means = ((x - model.shift) / slopes).T[:, :, None]
    log_vars = np.broadcast_to(np.log(model.variance / slopes**2)[:, None, None], means.shape)
    product = variational.product_of_experts(*on_device(means, log_vars))
    mean, covariance = model.posterior(x)
    np.testing.assert_allclose(product.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(jnp.exp(product.log_var), np.full((4, 1), covariance[0, 0]), rtol=1e-10)


def test_a_missing_modality_is_left_out_whatever_its_arrays_hold():
    means, log_vars = draw(1, 3, 4, 2), draw(2, 3, 4, 2)
    mask = np.array([[True] * 4, [True, False] * 2, [True] * 4])
    broken = np.where(mask[:, :, None], means, np.nan)
    for join in (variational.product_of_experts, variational.mixture_of_experts, variational.mopoe):
        evaluate = jax.jit(join)
        whole = evaluate(means, log_vars)
        without = evaluate(means[[0, 2]], log_vars[[0, 2]])
        masked, pull_back = jax.vjp(
            lambda m, join=join: join(m, *on_device(log_vars), mask=jnp.asarray(mask)), *on_device(broken)
        )
        assert np.all(np.isfinite(pull_back(jax.tree.map(jnp.ones_like, masked))[0]))
        if join is variational.product_of_experts:
            np.testing.assert_allclose(masked.mean[0::2], whole.mean[0::2], rtol=1e-12)
            np.testing.assert_allclose(masked.mean[1::2], without.mean[1::2], rtol=1e-12)
            np.testing.assert_allclose(masked.log_var[1::2], without.log_var[1::2], rtol=1e-12)
        else:
            z = jnp.asarray(draw(3, 4, 2))
            log_prob = jax.jit(variational.mixture_log_prob)
            density = log_prob(z, masked)
            np.testing.assert_allclose(density[0::2], log_prob(z, whole)[0::2], rtol=1e-12)
            np.testing.assert_allclose(density[1::2], log_prob(z, without)[1::2], rtol=1e-12)


def test_product_of_experts_is_finite_at_extreme_scales():
    means, log_vars = jnp.array([[[3.0]], [[-1.0]]]), jnp.array([[[-1e4]], [[1e4]]])
    product, pull_back = jax.vjp(variational.product_of_experts, means, log_vars)
    np.testing.assert_allclose(product.mean, [[3.0]])
    np.testing.assert_allclose(product.log_var, [[-1e4]])
    assert all(np.all(np.isfinite(gradient)) for gradient in pull_back(jax.tree.map(jnp.ones_like, product)))


# --- Mixtures ---


def test_mopoe_holds_the_product_of_every_subset():
    means, log_vars = draw(4, 3, 2, 2), draw(5, 3, 2, 2)
    mixture = jax.jit(variational.mopoe)(means, log_vars)
    product_of = jax.jit(lambda *a: variational.product_of_experts(*a, prior_expert=False))
    assert mixture.means.shape == (7, 2, 2)
    np.testing.assert_allclose(jnp.exp(mixture.log_probs), np.full((7, 2), 1 / 7), rtol=1e-12)
    for index in range(7):
        members = [m for m in range(3) if (index + 1) >> m & 1]
        product = product_of(means[members], log_vars[members])
        np.testing.assert_allclose(mixture.means[index], product.mean, rtol=1e-10)
        np.testing.assert_allclose(mixture.log_vars[index], product.log_var, rtol=1e-10, atol=1e-12)


def test_mixture_log_prob_is_the_mixtures_log_density_and_integrates_to_one():
    mixture = variational.mixture_of_experts(*on_device(MEANS, LOG_VARS))
    line = np.linspace(-12, 12, 4001)
    log_density = variational.mixture_log_prob(jnp.asarray(line)[:, None, None], mixture)
    assert log_density.shape == (4001, 1)
    expected = stats.norm.pdf(line[:, None], MEANS[:, 0, 0], np.exp(LOG_VARS[:, 0, 0] / 2)).mean(1)
    np.testing.assert_allclose(jnp.exp(log_density[:, 0]), expected, rtol=1e-9)
    np.testing.assert_allclose(np.trapezoid(np.exp(log_density[:, 0]), line), 1, rtol=1e-9)


def mixture_kl(log_other, probs):
    """KL of the two experts' mixture from a density on the line, by quadrature."""

    def log_mixture(z):
        log_densities = stats.norm.logpdf(z, MEANS[:, 0, 0], np.exp(LOG_VARS[:, 0, 0] / 2))
        return special.logsumexp(log_densities + np.log(probs))

    return reference.kl_by_quadrature(log_mixture, log_other, -12, 12)


@pytest.mark.parametrize("probs", [(0.5, 0.5), (0.2, 0.8)])
def test_mixture_of_experts_loss_exceeds_the_negative_evidence_by_the_mixtures_divergence(probs):
    model, x, probs = reference.line_model(), np.array([1.4]), np.array(probs)
    nodes, weights = reference.hermite(60)
    z = MEANS[:, 0] + np.exp(LOG_VARS[:, 0] / 2) * nodes[:, 0]  # [E, nodes]
    log_probs = jnp.asarray(np.log(probs))[:, None]
    mixture = variational.GaussianMixture(*on_device(MEANS, LOG_VARS), log_probs)
    log_q = variational.mixture_log_prob(jnp.asarray(z)[..., None, None], mixture)[..., 0]
    log_weights = jnp.asarray(model.log_joint(x, z[..., None]) - log_q)[:, None]
    value = variational.mixture_of_experts_loss(log_weights, jnp.tile(log_probs, (1, 60)))
    mean, covariance = model.posterior(x[None])
    gap = mixture_kl(stats.norm(mean[0, 0], np.sqrt(covariance[0, 0])).logpdf, probs)
    np.testing.assert_allclose(weights @ np.asarray(value), -model.log_evidence(x[None]) + gap, atol=1e-5)


def test_mixture_of_experts_loss_of_equal_weights_is_the_stratified_mean_of_bounds():
    log_weights = jnp.asarray(draw(6, 3, 4, 2))
    value = variational.mixture_of_experts_loss(log_weights, jnp.full((3, 2), -np.log(3)))
    np.testing.assert_allclose(value, variational.miwae_loss(log_weights), rtol=1e-12)


def test_mixture_of_experts_loss_ignores_what_an_example_lacks():
    log_weights = jnp.asarray(draw(7, 2, 4, 2))
    broken = log_weights.at[1, :, 0].set(jnp.nan)
    log_probs = jnp.asarray([[0.0, np.log(0.5)], [-np.inf, np.log(0.5)]])
    value, pull_back = jax.vjp(lambda w: variational.mixture_of_experts_loss(w, log_probs), broken)
    np.testing.assert_allclose(value[0], variational.iwae_loss(log_weights[0])[0], rtol=1e-12)
    assert np.all(np.isfinite(pull_back(jnp.ones(2))[0]))


def test_mixture_of_experts_kl_is_exact_for_equal_components_and_else_within_the_entropy_above():
    equal = on_device(np.tile(MEANS[:1], (3, 1, 1)), np.tile(LOG_VARS[:1], (3, 1, 1)), np.full((3, 1), -np.log(3)))
    expected = reference.kl_by_quadrature(
        stats.norm(MEANS[0, 0, 0], np.exp(LOG_VARS[0, 0, 0] / 2)).logpdf, stats.norm.logpdf, -12, 12
    )
    np.testing.assert_allclose(variational.mixture_of_experts_kl(*equal), [expected], rtol=1e-9)
    mixture = variational.mixture_of_experts(*on_device(MEANS, LOG_VARS))
    excess = variational.mixture_of_experts_kl(*mixture)[0] - mixture_kl(stats.norm.logpdf, np.array([0.5, 0.5]))
    assert 0.05 < excess < np.log(2)


# --- Schedules ---


def test_linear_rises_to_its_end_and_stays():
    steps = jnp.array([-5, 0, 25, 100, 1000])
    np.testing.assert_allclose(variational.linear(steps, num_steps=100, end=4.0), [0, 0, 1, 4, 4])
    np.testing.assert_allclose(variational.linear(50, num_steps=100, start=1.0, end=0.0), 0.5)


def test_sigmoid_is_halfway_at_its_midpoint_and_symmetric_about_it():
    value = variational.sigmoid(jnp.array([0, 90, 100, 110, 10_000]), midpoint=100, width=10.0, start=1.0, end=3.0)
    np.testing.assert_allclose(value[2::2], [2, 3], rtol=1e-12)
    np.testing.assert_allclose(value[1] + value[3], 4, rtol=1e-12)
    np.testing.assert_allclose(value[3], 1 + 2 / (1 + np.exp(-1)), rtol=1e-12)


def test_cyclical_repeats_its_ramp_in_every_period():
    value = variational.cyclical(jnp.arange(0, 40, 5), period=20, ramp=0.5, end=2.0)
    np.testing.assert_allclose(value, [0, 1, 2, 2, 0, 1, 2, 2])


def test_schedules_take_a_traced_step_under_jit():
    for schedule in (
        lambda step: variational.linear(step, num_steps=10),
        lambda step: variational.sigmoid(step, midpoint=5, width=2.0),
        lambda step: variational.cyclical(step, period=4),
    ):
        np.testing.assert_allclose(jax.jit(schedule)(jnp.int32(3)), schedule(3), rtol=1e-6)


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: variational.linear(0, num_steps=0), "num_steps"),
        (lambda: variational.sigmoid(0, midpoint=1, width=0.0), "width"),
        (lambda: variational.cyclical(0, period=0), "period"),
        (lambda: variational.cyclical(0, period=5, ramp=1.5), "ramp"),
    ],
)
def test_schedules_name_the_bad_argument(call, named):
    with pytest.raises(ValueError, match=named):
        call()
