"""Energies with a second network: f-divergences on three symbols, the entropy of a linear generator."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import energy
from tests.reference import energy as reference

P, Q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
# Batches of ten in which each symbol is as frequent as in the distribution.
DATA, SAMPLES = (np.repeat(np.arange(3), np.round(10 * each).astype(int)) for each in (P, Q))
NAMES = sorted(reference.GENERATORS)


@pytest.mark.parametrize("name", NAMES)
def test_f_ebm_losses_at_the_true_ratio_are_the_divergence(name):
    with jax.enable_x64(True):
        ratio, energies = jnp.log(P / Q), -jnp.log(Q)
        value = energy.f_ebm_loss(ratio[DATA], ratio[SAMPLES], energies[SAMPLES], divergence=name)
        negative = energy.f_ebm_ratio_loss(ratio[DATA], ratio[SAMPLES], divergence=name)
        value, negative = jnp.mean(value), jnp.mean(negative)
    np.testing.assert_allclose(value, reference.f_divergence(P, Q, name), rtol=1e-10)
    np.testing.assert_allclose(negative, -reference.f_divergence(P, Q, name), rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_f_ebm_bound_is_below_the_divergence_and_its_ratio_loss_is_stationary_at_the_true_ratio(name):
    with jax.enable_x64(True):

        def mean_loss(ratio):
            return jnp.mean(energy.f_ebm_ratio_loss(ratio[DATA], ratio[SAMPLES], divergence=name))

        best = jnp.log(P / Q)
        value, gradient = jax.value_and_grad(mean_loss)(best)
        np.testing.assert_allclose(gradient, np.zeros(3), atol=1e-12)
        for offset in ([0.3, 0.0, 0.0], [0.0, -0.4, 0.2], [1.0, 1.0, 1.0]):
            assert mean_loss(best + jnp.array(offset)) > value


@pytest.mark.parametrize("name", NAMES)
def test_f_ebm_gradient_is_that_of_the_divergence_in_the_mean_over_all_batches_of_two(name):
    pairs = np.array(list(itertools.product(range(3), repeat=2)))
    data, samples = (np.repeat(pairs, 9, 0), np.tile(pairs, (9, 1)))
    weights = P[data].prod(1) * Q[samples].prod(1)
    with jax.enable_x64(True):
        # H = log p + log Z, held constant, for the energies that follow
        energies = jnp.asarray([0.3, 0.3, 0.3 + np.log(2)])
        witness = jnp.log(P) + jax.nn.logsumexp(-energies)

        def mean_loss(energies):
            ratio = energies + witness

            def of_batch(data, samples):
                return jnp.mean(energy.f_ebm_loss(ratio[data], ratio[samples], energies[samples], divergence=name))

            return jnp.sum(weights * jax.vmap(of_batch)(jnp.asarray(data), jnp.asarray(samples)))

        gradient = jax.jit(jax.grad(mean_loss))(energies)

    def divergence(energies):
        return reference.f_divergence(P, np.exp(-energies) / np.sum(np.exp(-energies)), name)

    (expected,) = reference.central_differences(divergence, [np.asarray(energies)])
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


def test_f_ebm_loss_rejects_an_unknown_divergence_and_says_the_nearest():
    with pytest.raises(ValueError, match="unknown divergence 'pearsn'; did you mean 'pearson'"):
        energy.f_ebm_loss(jnp.zeros(2), jnp.zeros(2), jnp.zeros(2), divergence="pearsn")


def test_variational_entropy_loss_of_a_linear_generator_has_its_closed_form(key):
    precision, sigma = 0.8, 0.5

    def mean_loss(slope, key):
        latent_key, noise_key = jax.random.split(key)
        latents = jax.random.normal(latent_key, (100, 1))
        return jnp.mean(
            energy.variational_entropy_loss(
                lambda x: 0.5 * precision * x[:, 0] ** 2,
                lambda z: slope * z,
                noise_key,
                latents,
                sigma=sigma,
                proposal_sigma=1.0,
                num_samples=800,
            )
        )

    # The second is the slope at which the generator is the model: the loss is −log Z, its gradient 0.
    slopes = jnp.array([0.4, np.sqrt(1 / precision - sigma**2)])
    evaluate = jax.jit(jax.vmap(jax.value_and_grad(mean_loss), (None, 0)))
    for slope, slope_key in zip(slopes, jax.random.split(key, 2), strict=True):
        draws = evaluate(slope, jax.random.split(slope_key, 100))
        variance = slope**2 + sigma**2
        expected = reference.reverse_kl_less_log_normaliser(precision, variance), precision * slope - slope / variance
        for values, exact in zip(draws, expected, strict=True):
            values = np.asarray(values, np.float64)
            assert abs(values.mean() - exact) < 5 * values.std() / np.sqrt(len(values))
    np.testing.assert_allclose(expected[0], -0.5 * np.log(2 * np.pi / precision), rtol=1e-6)


def test_density_of_the_generator_is_exact_where_its_output_does_not_depend_on_the_latents(key):
    latents = jnp.zeros((6, 2))
    value = energy.variational_entropy_loss(
        lambda x: jnp.zeros(len(x)),
        lambda z: 0.0 * z + 3.0,
        key,
        latents,
        sigma=0.5,
        proposal_sigma=1.0,
        num_samples=5,
        entropy_weight=2.0,
    )
    noise_key, _ = jax.random.split(jax.random.key(0))
    noise = np.asarray(jax.random.normal(noise_key, (12,))).reshape(6, 2)
    # log N(x; 3, σ²I) at x = 3 + σε
    expected = -0.5 * np.sum(noise**2, 1) - 2 * np.log(0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(value, 2 * expected, rtol=1e-5)
