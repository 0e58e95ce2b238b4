"""Solvers on linear equations, whose solutions and densities are known in closed form."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import samplers
from genloss_jax.samplers.ode import METHODS

X = jnp.array([[1.0, -2.0], [0.5, 0.25], [3.0, 1.0]])
# Neither symmetric nor normal: its trace is -0.3.
MATRIX = jnp.array([[0.5, -1.2], [0.7, -0.8]])
SHIFT = jnp.array([0.3, -0.4])


def solve(field_fn, x, times, method):
    step = samplers.ode(field_fn, times, method=method)
    return samplers.run(step, jax.random.key(0), samplers.start(x), times.shape[0] - 1)


def flow_map(matrix, shift, duration):
    """Return (A, b) of x(T) = A x(0) + b, for dx/dt = matrix x + shift, by the exponential of the augmented matrix."""
    augmented = np.zeros((3, 3))
    augmented[:2, :2], augmented[:2, 2] = matrix, shift
    whole = np.asarray(jax.scipy.linalg.expm(jnp.asarray(duration * augmented)))
    return whole[:2, :2], whole[:2, 2]


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("rk4", 4)])
def test_error_falls_with_the_order_of_the_method(method, order):
    # dx/dt = x cos t, x(1) = x(0) e^(sin 1): depends on time, so that wrong stages lose the order.
    exact = np.exp(np.sin(1.0))

    def error(num_steps):
        with jax.enable_x64(True):
            end, _ = solve(lambda x, t: x * jnp.cos(t), jnp.ones(1), jnp.linspace(0.0, 1.0, num_steps + 1), method)
            return abs(float(end.x[0]) - exact)

    assert math.log2(error(8) / error(16)) == pytest.approx(order, abs=0.25)


def test_linear_system_arrives_where_the_matrix_exponential_says():
    end, _ = solve(lambda x, t: x @ MATRIX.T + SHIFT[None], X, jnp.linspace(0.0, 2.0, 41), "rk4")
    matrix, shift = flow_map(MATRIX, SHIFT, 2.0)
    np.testing.assert_allclose(end.x, X @ matrix.T + shift[None], rtol=1e-5, atol=1e-5)
    assert int(end.position) == 40


def test_way_back_leads_to_the_beginning():
    there, _ = solve(lambda x, t: jnp.sin(x) + t, X, jnp.linspace(0.0, 1.0, 33), "rk4")
    back, _ = solve(lambda x, t: jnp.sin(x) + t, there.x, jnp.linspace(1.0, 0.0, 33), "rk4")
    np.testing.assert_allclose(back.x, X, atol=2e-6)


def test_pytrees_move_leaf_by_leaf_and_steps_tell_time_and_change():
    state = {"fast": jnp.ones(3), "slow": jnp.zeros((2, 2))}
    end, info = solve(
        lambda x, t: {"fast": 2.0 * jnp.ones(3), "slow": jnp.ones((2, 2))}, state, jnp.array([0.0, 0.5, 2.0]), "heun"
    )
    np.testing.assert_allclose(end.x["fast"], 5.0)
    np.testing.assert_allclose(end.x["slow"], 2.0)
    np.testing.assert_allclose(info.t, [0.5, 2.0])
    # sqrt((3 · 2² + 4 · 1²) / 7) times the size of the step
    np.testing.assert_allclose(info.change, np.sqrt(16 / 7) * np.array([0.5, 1.5]), rtol=1e-6)


def test_exact_divergence_is_the_trace_of_the_jacobian_of_each_example():
    def field(x):
        return jnp.tanh(x @ MATRIX.T) * x[:, ::-1]

    velocity, divergence = samplers.exact_divergence(field, X)
    np.testing.assert_allclose(velocity, field(X), rtol=1e-6)
    jacobians = jax.vmap(jax.jacfwd(lambda x: field(x[None])[0]))(X)
    np.testing.assert_allclose(divergence, jnp.trace(jacobians, axis1=1, axis2=2), rtol=1e-5)


def test_estimated_divergence_along_all_signs_has_the_trace_as_its_mean():
    signs = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    points = jnp.broadcast_to(X[:1], signs.shape)
    _, estimates = samplers.estimated_divergence(lambda x: x @ MATRIX.T, points, signs)
    assert float(jnp.std(estimates)) > 0.1
    assert float(jnp.mean(estimates)) == pytest.approx(-0.3, abs=1e-6)


def log_normal(x, mean, covariance):
    centred = np.asarray(x, np.float64) - mean
    quadratic = np.einsum("bi,ij,bj->b", centred, np.linalg.inv(covariance), centred)
    return -0.5 * (quadratic + np.log(np.linalg.det(2 * np.pi * covariance)))


def standard_normal(x):
    return -0.5 * jnp.sum(jnp.square(x), -1) - math.log(2 * math.pi)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"euler"}))
def test_linear_flow_of_a_gaussian_has_its_gaussian_likelihood(method):
    got = samplers.flow_log_prob(
        lambda x, t: x @ MATRIX.T + SHIFT[None], standard_normal, X, jnp.linspace(1.5, 0.0, 151), method=method
    )
    matrix, shift = flow_map(MATRIX, SHIFT, 1.5)
    np.testing.assert_allclose(got, log_normal(X, shift, matrix @ matrix.T), rtol=1e-4)


def test_estimated_likelihood_has_the_exact_one_as_its_mean_and_a_field_of_one_scale_no_error():
    times = jnp.linspace(1.0, 0.0, 11)

    def log_prob(field, key):
        return samplers.flow_log_prob(field, standard_normal, X, times, key=key)

    def mixed(x, t):
        return x @ MATRIX.T

    keys = jax.random.split(jax.random.key(0), 2000)
    estimates = jax.vmap(lambda key: log_prob(mixed, key))(keys)
    error = jnp.std(estimates, axis=0) / math.sqrt(2000)
    assert np.all(error > 0)
    assert np.all(jnp.abs(jnp.mean(estimates, axis=0) - log_prob(mixed, None)) < 4 * error)
    # Signs have the exact trace of a multiple of the identity.
    np.testing.assert_allclose(
        log_prob(lambda x, t: 0.5 * x, jax.random.key(1)), log_prob(lambda x, t: 0.5 * x, None), rtol=1e-6
    )


class TestErrors:
    def test_misspelt_method(self):
        with pytest.raises(ValueError, match="unknown method 'rk45'; did you mean 'rk4'"):
            samplers.ode(lambda x, t: x, jnp.linspace(0.0, 1.0, 3), method="rk45")

    def test_one_time_is_no_way(self):
        with pytest.raises(ValueError, match=r"times must be a vector of at least two times, got shape \(1,\)"):
            samplers.ode(lambda x, t: x, jnp.zeros(1))
