"""Losses that take samples of the model, against Gaussians on paper and enumerated distributions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genloss_jax.losses import energy
from tests.reference import energy as reference

pytestmark = pytest.mark.usefixtures("double")


def signs(num):
    """All vectors of `num` signs: a distribution whose second moments are those of white noise."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=num)))


def gaussian_energy(precision):
    return lambda x: 0.5 * precision * jnp.sum(x**2, axis=-1)


# --- Contrastive divergence ---


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("precision", [0.4, 2.5])
def test_contrastive_divergence_of_a_langevin_chain_on_a_gaussian_has_its_closed_form(num_steps, precision):
    variance, step = 0.8, 0.3
    draws = signs(num_steps + 1)
    data = samples = np.sqrt(variance) * draws[:, :1]
    for index in range(num_steps):
        samples = samples - step / 2 * precision * samples + np.sqrt(step) * draws[:, index + 1 : index + 2]

    def loss(precision):
        energy_fn = gaussian_energy(precision)
        return jnp.mean(
            energy.contrastive_divergence_loss(energy_fn(jnp.asarray(data)), energy_fn(jnp.asarray(samples)))
        )

    value, gradient = jax.value_and_grad(loss)(precision)
    # E[E(x) − E(x̃)] = λ (s − var_k) / 2, and its gradient at fixed samples is (s − var_k) / 2
    gap = (variance - reference.langevin_variance(variance, precision, step, num_steps)) / 2
    np.testing.assert_allclose(value, precision * gap, rtol=1e-12)
    np.testing.assert_allclose(gradient, gap, rtol=1e-12)


def test_contrastive_divergence_with_exact_samples_has_the_gradient_of_the_likelihood_of_a_boltzmann_machine():
    rng = np.random.default_rng(0)
    params = rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2)
    data_probabilities = rng.dirichlet(np.ones(8))
    states = jnp.asarray(reference.bit_states(3))

    def free_energy(weights, visible_bias, hidden_bias):
        return -states @ visible_bias - jnp.sum(jax.nn.softplus(states @ weights + hidden_bias[None]), axis=1)

    model_probabilities = jax.nn.softmax(-free_energy(*params))
    nothing = jnp.zeros(8)

    def loss(*params):
        energies = free_energy(*params)
        down, up = (energy.contrastive_divergence_loss(*pair) for pair in ((energies, nothing), (nothing, energies)))
        return jnp.sum(data_probabilities * down) + jnp.sum(model_probabilities * up)

    gradients = jax.grad(loss, argnums=(0, 1, 2))(*params)
    expected = reference.central_differences(
        lambda *params: reference.rbm_negative_log_likelihood(*params, data_probabilities), params
    )
    for gradient, exact in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, exact, rtol=1e-6, atol=1e-8)


def test_contrastive_divergence_lowers_data_raises_samples_and_does_not_train_the_constant():
    data, samples = jnp.array([0.3, -1.0]), jnp.array([0.5, 2.0])
    down, up, constant = jax.grad(
        lambda data, samples, constant: jnp.sum(
            energy.contrastive_divergence_loss(data + constant, samples + constant)
        ),
        argnums=(0, 1, 2),
    )(data, samples, 4.0)
    np.testing.assert_array_equal(down, [1, 1])
    np.testing.assert_array_equal(up, [-1, -1])
    assert constant == 0


def test_energy_that_is_not_a_number_gives_a_loss_that_is_not_a_number():
    assert np.isnan(energy.contrastive_divergence_loss(jnp.array([jnp.nan]), jnp.array([1.0]))[0])


def test_energy_magnitude_penalty_is_a_sum_of_squares_of_both_sides():
    value, pull_back = jax.vjp(energy.energy_magnitude_penalty, jnp.array([3.0, 0.0]), jnp.array([-4.0, 1.5]))
    np.testing.assert_allclose(value, [25.0, 2.25])
    np.testing.assert_allclose(pull_back(jnp.ones(2)), [[6.0, 0.0], [-8.0, 3.0]])


# --- Joint energy ---


def test_joint_energy_loss_is_the_enumerated_joint_likelihood_less_its_constant():
    rng = np.random.default_rng(1)
    logits, data_probabilities = rng.normal(size=(4, 3)), rng.dirichlet(np.ones(12)).reshape(4, 3)
    x, y, sample = (grid.ravel() for grid in np.meshgrid(range(4), range(3), range(4), indexing="ij"))
    model = special.softmax(special.logsumexp(logits, 1))
    weights = data_probabilities[x, y] * model[sample]

    def mean_loss(logits):
        return jnp.sum(weights * energy.joint_energy_loss(logits[x], jnp.asarray(y), logits[sample]))

    value, gradient = jax.value_and_grad(mean_loss)(jnp.asarray(logits))

    def likelihood(logits):
        return -np.sum(data_probabilities * (logits - special.logsumexp(logits)))

    # E[loss] = E[−log p(x, y)] − H(p(x)), and its gradient at fixed samples is that of the likelihood
    np.testing.assert_allclose(value, likelihood(logits) - stats.entropy(model), rtol=1e-12)
    np.testing.assert_allclose(gradient, reference.central_differences(likelihood, [logits])[0], rtol=1e-6, atol=1e-9)


def test_joint_energy_loss_without_its_generative_part_is_the_cross_entropy():
    logits, labels = np.random.default_rng(2).normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    value = energy.joint_energy_loss(jnp.asarray(logits), jnp.asarray(labels), jnp.ones((5, 3)), generative_weight=0.0)
    np.testing.assert_allclose(value, -special.log_softmax(logits, 1)[np.arange(5), labels], rtol=1e-12)


def test_joint_energy_is_minus_the_log_of_the_sum_over_classes_also_at_extreme_logits():
    logits = jnp.array([[0.0, np.log(3)], [1e4, 1e4], [-1e4, -1e4]])
    np.testing.assert_allclose(energy.joint_energy(logits), [-np.log(4), -1e4 - np.log(2), 1e4 - np.log(2)], rtol=1e-12)


# --- Recovery likelihood ---


@pytest.mark.parametrize("precision", [0.5, 1.25, 4.0])
def test_recovery_likelihood_of_a_gaussian_has_its_closed_form(precision):
    variance, sigma = 0.8, 0.6
    draws = signs(3)
    data = np.sqrt(variance) * draws[:, :1]
    noisy = data + sigma * draws[:, 1:2]
    # p(x | x̃) of the model: precision λ + 1/σ², mean shrink · x̃
    posterior = precision + 1 / sigma**2
    shrink = 1 / (sigma**2 * posterior)
    samples = shrink * noisy + draws[:, 2:] / np.sqrt(posterior)

    def loss(precision):
        arrays = map(jnp.asarray, (data, noisy, samples))
        return jnp.mean(energy.recovery_likelihood_loss(gaussian_energy(precision), *arrays, sigma=sigma))

    value, gradient = jax.value_and_grad(loss)(precision)
    noisy_variance = variance + sigma**2
    sample_variance = shrink**2 * noisy_variance + 1 / posterior
    miss = (1 - shrink) ** 2 * noisy_variance + 1 / posterior
    np.testing.assert_allclose(
        value, precision * (variance - sample_variance) / 2 + 0.5 - miss / (2 * sigma**2), rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(gradient, (variance - sample_variance) / 2, rtol=1e-10, atol=1e-12)
    # least at the true precision, 1 / 0.8
    assert np.sign(np.round(gradient, 10)) == np.sign(precision - 1.25)


def test_recovery_energy_takes_one_noise_level_for_each_example():
    x, noisy, sigma = jnp.ones((2, 3)), jnp.zeros((2, 3)), jnp.array([0.5, 2.0])
    value = energy.recovery_energy(gaussian_energy(0.0), noisy, sigma=sigma)(x)
    np.testing.assert_allclose(value, [6.0, 0.375])


# --- Cooperative learning ---


def test_cooperative_losses_are_contrastive_divergence_and_scipys_gaussian_likelihood():
    rng = np.random.default_rng(3)
    generated, revised = rng.normal(size=(2, 4, 3))
    losses = energy.cooperative_losses(
        jnp.arange(4.0), jnp.full(4, 5.0), jnp.asarray(generated), jnp.asarray(revised), sigma=0.3
    )
    np.testing.assert_allclose(losses.energy, np.arange(4.0) - 5)
    density = stats.norm(generated, 0.3)
    constant = 3 * np.log(0.3 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(losses.generator, -density.logpdf(revised).sum(1) - constant, rtol=1e-10)


def test_cooperative_generator_moves_towards_the_revised_sample_which_stays():
    generated, revised = jnp.zeros((1, 2)), jnp.array([[1.0, -2.0]])
    to_generated, to_revised = jax.grad(
        lambda *points: jnp.sum(energy.cooperative_losses(jnp.zeros(1), jnp.zeros(1), *points, sigma=0.5).generator),
        argnums=(0, 1),
    )(generated, revised)
    np.testing.assert_allclose(to_generated, [[-4.0, 8.0]])
    np.testing.assert_array_equal(to_revised, np.zeros((1, 2)))
