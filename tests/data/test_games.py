"""Games: the closed-form eigenvalues are those of the game that the players' functions define."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.data import games


def vector_field(game, data, noise, weights, gamma):
    """Build the logistic game's field by automatic differentiation; `weights` are a quadrature's over the data."""
    dim = game.equilibrium[0].size

    def value(theta, psi):
        fake = -jax.nn.softplus(-game.critic_fn(psi, game.generator_fn(theta, noise)))
        real = -jax.nn.softplus(game.critic_fn(psi, data))
        return (weights * (fake + real)).sum()

    def penalty(psi):
        gradients = jax.vmap(jax.grad(lambda x: game.critic_fn(psi, x[None])[0]))(data)
        return gamma / 2 * (weights * (gradients**2).sum(-1)).sum()

    def field(point):
        theta, psi = point[:dim], point[dim:]
        theta_grad, psi_grad = jax.grad(value, (0, 1))(theta, psi)
        return jnp.concatenate([-theta_grad, psi_grad - jax.grad(penalty)(psi)])

    return field


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("name", games.names())
def test_eigenvalues_are_those_of_the_jacobian_at_the_equilibrium(name, gamma):
    with jax.enable_x64(True):
        game = getattr(games, name)()
        dim = game.equilibrium[0].size
        if name == "two_gaussians":
            nodes, weights = np.polynomial.hermite_e.hermegauss(40)
            noise, weights = jnp.asarray(nodes[:, None]), jnp.asarray(weights / math.sqrt(2 * math.pi))
        else:
            noise, weights = jnp.zeros((1, dim)), jnp.ones(1)
        data = noise + game.equilibrium[0][None]
        point = jnp.concatenate([jnp.asarray(player) for player in game.equilibrium])
        field = vector_field(game, data, noise, weights, gamma)
        np.testing.assert_allclose(field(point), 0.0, atol=1e-12)
        found = games.jacobian_eigenvalues(field, point)
    # A double root is ill-conditioned: its error is the square root of the matrix's.
    np.testing.assert_allclose(found, game.eigenvalues(gamma), atol=1e-6 if gamma == 1.0 else 1e-9)


def test_dirac_eigenvalues_have_mescheders_values():
    np.testing.assert_allclose(games.dirac().eigenvalues(0.0), [-0.5j, 0.5j], atol=1e-12)
    np.testing.assert_allclose(games.dirac().eigenvalues(1.0), [-0.5, -0.5], atol=1e-12)
    root = math.sqrt(0.3**2 / 4 - 1 / 4 + 0.25)  # |0.3/2|, so that the imaginary part is sqrt(1/4 - root²)
    np.testing.assert_allclose(games.dirac().eigenvalues(0.3).real, [-root, -root], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"), [("dirac", 0.0, 0.0), ("bilinear", 0.0, 0.0), ("two_gaussians", 1.0, 1.0)]
)
def test_data_are_what_the_equilibrium_generates(load, name, mean, deviation):
    dataset = load(name)
    x = dataset.train.sample(jax.random.key(0), 20_000)["x"]
    assert x.shape == (20_000, *dataset.shape)
    np.testing.assert_allclose(x.mean(0), mean, atol=0.03)
    np.testing.assert_allclose(x.std(0), deviation, atol=0.03)


def test_bilinear_rejects_a_matrix_that_is_not_square():
    with pytest.raises(ValueError, match="matrix must be square"):
        games.bilinear(((1.0, 2.0),))
