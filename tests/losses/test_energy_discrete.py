"""Losses of energies of bits, against enumerated distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import energy
from tests.reference import energy as reference

pytestmark = pytest.mark.usefixtures("double")

NUM_BITS = 3
STATES = reference.bit_states(NUM_BITS)


def distribution(seed):
    return np.random.default_rng(seed).dirichlet(np.ones(2**NUM_BITS))


def energy_of(table):
    """Make an energy from one number per state."""
    places = jnp.asarray(2.0 ** np.arange(NUM_BITS)[::-1])
    return lambda x: jnp.asarray(table)[(x @ places).astype(jnp.int32)]


def of_all_states(loss, model):
    """Return the loss of every state under the energy -log model + 0.7."""
    return loss(energy_of(0.7 - np.log(model)), jnp.asarray(STATES))


def independent(probabilities):
    return np.prod(np.where(STATES == 1, probabilities, 1 - np.asarray(probabilities)), 1)


def test_pseudo_likelihood_is_that_of_the_enumerated_distribution():
    model = distribution(0)
    expected = -np.log(reference.conditionals(model, NUM_BITS)).sum(1)
    np.testing.assert_allclose(of_all_states(energy.pseudo_likelihood_loss, model), expected, rtol=1e-10)


def test_pseudo_likelihood_of_independent_bits_is_the_likelihood():
    model = independent([0.2, 0.9, 0.6])
    np.testing.assert_allclose(of_all_states(energy.pseudo_likelihood_loss, model), -np.log(model), rtol=1e-10)


def test_ratio_matching_exceeds_its_least_value_by_the_squared_error_of_the_conditionals():
    data, model = distribution(1), distribution(2)
    flips = [1 - reference.conditionals(each, NUM_BITS) for each in (data, model)]
    least, value = (data @ np.asarray(of_all_states(energy.ratio_matching_loss, each)) for each in (data, model))
    np.testing.assert_allclose(least, data @ (flips[0] ** 2).sum(1), rtol=1e-10)
    np.testing.assert_allclose(value - least, data @ ((flips[0] - flips[1]) ** 2).sum(1), rtol=1e-10)


def test_ratio_matching_of_independent_bits_is_their_variance():
    probabilities = np.array([0.2, 0.9, 0.6])
    data = independent(probabilities)
    value = data @ np.asarray(of_all_states(energy.ratio_matching_loss, data))
    np.testing.assert_allclose(value, np.sum(probabilities * (1 - probabilities)), rtol=1e-10)


def test_minimum_probability_flow_of_independent_bits_has_its_closed_form():
    p, q = np.array([0.2, 0.9, 0.6]), np.array([0.5, 0.7, 0.1])
    value, least = (
        independent(p) @ np.asarray(of_all_states(energy.minimum_probability_flow_loss, independent(each)))
        for each in (q, p)
    )
    np.testing.assert_allclose(value, np.sum(p * np.sqrt((1 - q) / q) + (1 - p) * np.sqrt(q / (1 - q))), rtol=1e-10)
    np.testing.assert_allclose(least, np.sum(2 * np.sqrt(p * (1 - p))), rtol=1e-10)


@pytest.mark.parametrize("name", ["pseudo_likelihood_loss", "ratio_matching_loss", "minimum_probability_flow_loss"])
def test_loss_of_bits_is_least_at_the_distribution_of_the_data(name):
    data = distribution(3)

    def mean_loss(table):
        return jnp.sum(data * getattr(energy, name)(energy_of(table), jnp.asarray(STATES)))

    value, gradient = jax.value_and_grad(mean_loss)(-jnp.log(data))
    np.testing.assert_allclose(gradient, np.zeros(8), atol=1e-12)
    for seed in range(4, 8):
        assert mean_loss(-jnp.log(distribution(seed))) > value


@pytest.mark.parametrize("name", ["pseudo_likelihood_loss", "ratio_matching_loss"])
def test_loss_of_bits_is_finite_at_extreme_energies(name):
    value, gradient = jax.value_and_grad(
        lambda scale: jnp.sum(getattr(energy, name)(lambda x: scale * jnp.sum(x, axis=1), jnp.asarray(STATES)))
    )(1e4)
    assert np.isfinite(value) and np.isfinite(gradient)


def test_bits_may_lie_on_several_axes():
    model = distribution(9)
    images = jnp.asarray(STATES).reshape(-1, 3, 1)
    value = energy.pseudo_likelihood_loss(lambda x: energy_of(-np.log(model))(x.reshape(-1, 3)), images)
    np.testing.assert_allclose(value, of_all_states(energy.pseudo_likelihood_loss, model), rtol=1e-10)


def test_energy_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"energy_fn must map points .* to one energy per example"):
        energy.pseudo_likelihood_loss(lambda x: x[:, :1], jnp.asarray(STATES))
