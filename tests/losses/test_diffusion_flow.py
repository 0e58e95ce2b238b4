"""Flow matching between Gaussians: marginal velocity, irreducible cost, the map of the flow, couplings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize

from genloss_jax.losses import diffusion
from tests.reference import diffusion as reference
from tests.reference import divergences as transport

MEAN, STD = 0.7, 1.6
NUM, DIM = 20_000, 2


def ends(key, num=NUM):
    """Draw independent noise and data of N(MEAN, STD²)."""
    noise_key, data_key = jax.random.split(key)
    return jax.random.normal(noise_key, (num, DIM)), MEAN + STD * jax.random.normal(data_key, (num, DIM))


def even_times(num=NUM):
    return (jnp.arange(num) + 0.5) / num


def marginal_velocity(x, t):
    """E[data − noise | x_t] for independent ends on the linear path."""
    t = t[:, None]
    variance = t**2 * STD**2 + (1 - t) ** 2
    return MEAN + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN)


def straight_velocity(x, t):
    """The velocity of the straight lines from x_0 to MEAN + STD x_0."""
    t = t[:, None]
    return MEAN + (STD - 1) * (x - t * MEAN) / ((1 - t) + t * STD)


def assert_mean_is(values, expected, standard_errors=5.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < standard_errors * values.std() / np.sqrt(len(values))


@jax.jit
def independent_losses(key, scale):
    """Squared errors of fields near the marginal one, and their squared distances to it."""
    noise, data = ends(key)
    t = even_times()

    def near(x, t):
        return scale * marginal_velocity(x, t) + 0.2 * jnp.sin(x)

    x_t = diffusion.flow_matching_path(noise, data, t).x_t
    loss = diffusion.flow_matching_loss(near, jax.random.key(0), noise, data, t)
    return loss, jnp.sum((near(x_t, t) - marginal_velocity(x_t, t)) ** 2, axis=1)


# --- Paths ---


@pytest.mark.parametrize("kind", ["linear", "trigonometric"])
def test_path_runs_from_noise_at_zero_to_data_at_one_at_the_velocity_it_says(kind):
    noise, data = (np.random.default_rng(seed).normal(size=(5, 2, 3)) for seed in (0, 1))
    t = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    with jax.enable_x64(True):

        def at(time):
            return diffusion.flow_matching_path(jnp.asarray(noise), jnp.asarray(data), jnp.asarray(time), kind=kind)

        point, ahead, behind = at(t), at(t + 1e-6), at(t - 1e-6)
        np.testing.assert_allclose(point.x_t[0], noise[0], atol=1e-12)
        np.testing.assert_allclose(point.x_t[-1], data[-1], atol=1e-12)
        np.testing.assert_allclose(point.velocity, (ahead.x_t - behind.x_t) / 2e-6, rtol=1e-7, atol=1e-8)


def test_trigonometric_path_keeps_the_variance_of_white_data():
    t = jnp.linspace(0, 1, 7)
    ones = jnp.ones((7, 1))
    path = jax.jit(lambda noise, data: diffusion.flow_matching_path(noise, data, t, kind="trigonometric").x_t)
    of_noise, of_data = path(ones, 0 * ones), path(0 * ones, ones)
    np.testing.assert_allclose(of_noise**2 + of_data**2, 1, rtol=1e-5)


def test_unknown_path_is_named_with_the_nearest():
    ones = jnp.ones((2, 1))
    with pytest.raises(ValueError, match="unknown path 'liner'; did you mean 'linear'"):
        diffusion.flow_matching_path(ones, ones, jnp.zeros(2), kind="liner")


def test_stochastic_interpolant_adds_the_latent_and_its_velocity():
    noise, data, latent = (np.random.default_rng(seed).normal(size=(3, 2)) for seed in range(3))
    t = np.array([0.2, 0.5, 0.9])
    with jax.enable_x64(True):
        arrays = (jnp.asarray(a) for a in (noise, data, latent, t))
        point = diffusion.stochastic_interpolant(*arrays, gamma_fn=lambda t: diffusion.bridge_gamma(t, scale=0.3))
        gamma = 0.3 * np.sqrt(t * (1 - t))[:, None]
        slope = 0.3 * ((1 - 2 * t) / (2 * np.sqrt(t * (1 - t))))[:, None]
        np.testing.assert_allclose(point.x_t, (1 - t)[:, None] * noise + t[:, None] * data + gamma * latent, rtol=1e-12)
        np.testing.assert_allclose(point.velocity, data - noise + slope * latent, rtol=1e-12)


# --- The loss ---


def test_flow_matching_loss_of_the_marginal_velocity_between_gaussians_is_half_pi_times_the_deviation(key):
    noise, data = ends(key)
    loss = jax.jit(
        lambda noise, data, t: diffusion.flow_matching_loss(marginal_velocity, jax.random.key(0), noise, data, t)
    )(noise, data, even_times())
    t = np.asarray(even_times(), np.float64)
    left = STD**2 / ((1 - t) ** 2 + t**2 * STD**2)
    assert_mean_is(loss / (DIM * left), 1.0)
    assert_mean_is(loss, DIM * np.pi * STD / 2)


def test_irreducible_loss_between_gaussians_is_that_of_regression_and_integrates_to_half_pi_times_the_deviation():
    def left(t):
        return reference.regress((1 - t, t), (-1, 1), (1, STD**2))[1]

    np.testing.assert_allclose(left(0.3), STD**2 / (0.7**2 + 0.09 * STD**2), rtol=1e-12)
    np.testing.assert_allclose(integrate.quad(left, 0, 1)[0], np.pi * STD / 2, rtol=1e-10)


def test_marginal_velocity_is_the_slope_of_regression():
    t = np.array([0.1, 0.6, 0.95])
    slope, _ = reference.regress((1 - t, t), (-1, 1), (1, STD**2))
    np.testing.assert_allclose(
        marginal_velocity(jnp.asarray(t[:, None] * MEAN + 1, jnp.float32), jnp.asarray(t, jnp.float32))[:, 0],
        MEAN + slope,
        rtol=1e-5,
    )


def test_flow_matching_loss_is_the_error_against_the_marginal_velocity_plus_a_constant(key):
    for scale in (1.0, 0.3):
        loss, error = independent_losses(jax.random.clone(key), scale)
        assert_mean_is(loss - error, DIM * np.pi * STD / 2)


@pytest.mark.parametrize("kind", ["linear", "trigonometric"])
@pytest.mark.parametrize("gamma", ["constant", "bridge"])
def test_flow_matching_loss_of_an_interpolant_leaves_what_regression_leaves(kind, gamma, key):
    gamma_fn = {"constant": lambda t: jnp.full_like(t, 0.5), "bridge": diffusion.bridge_gamma}[gamma]
    t = np.asarray(0.05 + 0.9 * even_times(), np.float64)
    of_x, of_velocity = {
        "linear": ((1 - t, t), (-1 + 0 * t, 1 + 0 * t)),
        "trigonometric": (
            (np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)),
            (-np.pi / 2 * np.sin(np.pi * t / 2), np.pi / 2 * np.cos(np.pi * t / 2)),
        ),
    }[kind]
    place, slope_of_gamma = {
        "constant": (0.5 + 0 * t, 0 * t),
        "bridge": (np.sqrt(t * (1 - t)), (1 - 2 * t) / (2 * np.sqrt(t * (1 - t)))),
    }[gamma]
    slope, left = reference.regress((*of_x, place), (*of_velocity, slope_of_gamma), (1, STD**2, 1))

    @jax.jit
    def loss(ends_key, latent_key):
        def field(x, t):
            return of_velocity[1][:, None] * MEAN + slope[:, None] * (x - of_x[1][:, None] * MEAN)

        times = jnp.asarray(t, jnp.float32)
        return diffusion.flow_matching_loss(field, latent_key, *ends(ends_key), times, kind=kind, gamma_fn=gamma_fn)

    assert_mean_is(loss(*jax.random.split(key)) / (DIM * left), 1.0)


def test_flow_matching_loss_pushes_a_field_towards_the_marginal_one(key):
    def mean_loss(scale):
        return jnp.mean(independent_losses(jax.random.clone(key), scale)[0])

    assert jax.grad(mean_loss)(0.2) < -0.1 < 0.1 < jax.grad(mean_loss)(1.8)


# --- Reflow ---


def test_rectified_flow_carries_noise_to_the_mean_plus_the_deviation_times_the_noise(key):
    noise = jax.random.normal(key, (64, DIM))
    data = diffusion.rectified_flow(marginal_velocity, noise, num_steps=20)
    np.testing.assert_allclose(data, MEAN + STD * noise, rtol=1e-4, atol=1e-4)


def test_rectified_flow_is_of_order_four_and_passes_no_gradient(key):
    with jax.enable_x64(True):
        noise = jnp.asarray(np.random.default_rng(0).normal(size=(16, 1)))

        def error(num_steps):
            data = diffusion.rectified_flow(marginal_velocity, noise, num_steps=num_steps)
            return np.max(np.abs(data - (MEAN + STD * noise)))

        assert 14 < error(40) / error(80) < 18
        slope = jax.grad(lambda x: jnp.sum(diffusion.rectified_flow(marginal_velocity, x, num_steps=2)))(noise)
        np.testing.assert_array_equal(slope, 0)


def test_flow_matching_loss_of_reflow_pairs_between_gaussians_is_zero_at_the_straight_field(key):
    noise = jax.random.normal(key, (64, DIM))
    data = diffusion.rectified_flow(marginal_velocity, noise, num_steps=20)
    loss = diffusion.flow_matching_loss(straight_velocity, jax.random.key(1), noise, data, even_times(64))
    np.testing.assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.parametrize("num_steps", [0, -1])
def test_rectified_flow_names_a_number_of_steps_below_one(num_steps):
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        diffusion.rectified_flow(marginal_velocity, jnp.ones((2, 1)), num_steps=num_steps)


# --- Couplings ---

couple_optimally = jax.jit(diffusion.optimal_transport)


def batch_ends(seed, num, dim):
    rng = np.random.default_rng(seed)
    noise, data = rng.normal(size=(num, dim)), 5 + rng.normal(size=(num, dim)) * np.linspace(0.5, 2, dim)
    return jnp.asarray(noise, jnp.float32), jnp.asarray(data, jnp.float32)


@pytest.mark.parametrize("num, dim", [(1, 3), (2, 1), (7, 2), (40, 3), (96, 2)])
def test_optimal_transport_is_scipys_assignment(num, dim, key):
    noise, data = batch_ends(num, num, dim)
    coupled = couple_optimally(key, noise, data)
    costs = np.sum((np.asarray(data, np.float64)[:, None] - np.asarray(noise, np.float64)[None]) ** 2, -1)
    rows, columns = optimize.linear_sum_assignment(costs)
    np.testing.assert_array_equal(coupled, noise[columns])
    np.testing.assert_allclose(jnp.sum((coupled - data) ** 2), costs[rows, columns].sum(), rtol=1e-5)


def test_optimal_transport_on_the_line_pairs_ranks(key):
    noise, data = batch_ends(3, 50, 1)
    coupled = couple_optimally(key, noise, data)
    np.testing.assert_array_equal(np.argsort(coupled[:, 0]), np.argsort(data[:, 0]))


def test_optimal_transport_works_on_images_with_ties_and_under_vmap(key):
    noise, data = batch_ends(4, 12, 6)
    stacked = noise.reshape(2, 6, 3, 2), jnp.round(data).reshape(2, 6, 3, 2)
    coupled = jax.jit(jax.vmap(diffusion.optimal_transport))(jax.random.split(key), *stacked)
    for index in range(2):
        rows = [np.asarray(a[index]).reshape(6, -1) for a in (*stacked, coupled)]
        costs = np.sum((rows[1][:, None] - rows[0][None]) ** 2, -1)
        expected = costs[optimize.linear_sum_assignment(costs)].sum()
        np.testing.assert_allclose(np.sum((rows[2] - rows[1]) ** 2), expected, rtol=1e-5)


def test_optimal_transport_ends_and_keeps_the_noise_where_data_are_not_numbers(key):
    noise, data = batch_ends(5, 7, 2)
    coupled = couple_optimally(key, noise, data.at[3].set(jnp.nan))
    np.testing.assert_array_equal(np.sort(coupled, axis=0), np.sort(noise, axis=0))


def test_independent_keeps_the_noise_and_pairs_all_equally_often(key):
    noise, data = jnp.arange(3.0)[:, None], jnp.zeros((3, 1))
    coupled = jax.jit(jax.vmap(lambda key: diffusion.independent(key, noise, data)[:, 0]))(jax.random.split(key, 3000))
    assert np.all(np.sort(coupled, axis=1) == np.arange(3))
    for partner in range(3):
        share = np.mean(np.asarray(coupled) == partner, axis=0)
        assert np.all(np.abs(share - 1 / 3) < 5 * np.sqrt(2 / 9 / 3000))


def test_optimal_transport_lowers_the_flow_matching_loss_towards_zero(key):
    noise, data = ends(key, 200)
    noise, data = noise[:, :1], data[:, :1]
    coupled = couple_optimally(jax.random.key(0), noise, data)
    loss = jax.jit(
        lambda *ends: diffusion.flow_matching_loss(straight_velocity, jax.random.key(1), *ends, even_times(200))
    )(coupled, data)
    # Independent pairs leave πs/2 = 2.5 to the best field.
    assert np.mean(loss) < 0.05 * np.pi * STD / 2


@pytest.mark.parametrize("epsilon", [0.5, 5.0])
def test_entropic_transport_draws_from_the_entropic_plan_and_not_from_the_optimal_assignment(epsilon, key):
    noise, data = batch_ends(6, 6, 2)
    costs = np.sum((np.asarray(data, np.float64)[:, None] - np.asarray(noise, np.float64)[None]) ** 2, -1)
    plan = 6 * transport.entropic_plan(costs, epsilon, 20_000)

    def partners(key):
        coupled = diffusion.entropic_transport(key, noise, data, epsilon=epsilon)
        return jnp.argmin(jnp.sum((coupled[:, None] - noise[None]) ** 2, -1), axis=1)

    drawn = np.asarray(jax.jit(jax.vmap(partners))(jax.random.split(key, 4000)))
    shares = np.mean(drawn[:, :, None] == np.arange(6), axis=0)
    assert np.all(np.abs(shares - plan) < 5 * np.sqrt(plan * (1 - plan) / 4000) + 1e-3)
    assert np.max(plan) < 0.99


def test_entropic_transport_tends_to_the_optimal_assignment_as_epsilon_falls(key):
    noise, data = batch_ends(7, 10, 2)
    first, second = jax.random.split(key)
    couple = jax.jit(lambda *a: diffusion.entropic_transport(*a, epsilon=1e-3, max_iterations=2000))
    coupled = couple(first, noise, data)
    np.testing.assert_array_equal(coupled, couple_optimally(second, noise, data))


def test_entropic_transport_names_a_temperature_that_is_not_positive(key):
    noise, data = batch_ends(8, 3, 2)
    with pytest.raises(ValueError, match="epsilon is 0, expected a positive number"):
        diffusion.entropic_transport(key, noise, data, epsilon=0)
