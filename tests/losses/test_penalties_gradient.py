"""Gradient penalties on critics of known input gradient: linear, quadratic, and a network by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import penalties
from tests.reference import penalties_reference as reference

WEIGHT = np.array([1.0, 2.0, 2.0], np.float32)  # norm 3
MATRIX = np.array([[2.0, 1.0], [1.0, 3.0]], np.float32)
POINTS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [0.0, 0.0]], np.float32)
SQUARED_GRADIENTS = np.array([5.0, 10.0, 5.0, 0.0])  # of ½ x'MATRIX x at POINTS: (2, 1), (1, 3), (1, -2), (0, 0)


def linear_critic(points):
    return points.reshape(points.shape[0], -1) @ jnp.asarray(WEIGHT) + 0.3


def quadratic_critic(points):
    return 0.5 * jnp.sum(points * (points @ jnp.asarray(MATRIX)), axis=1)


def bowl_critic(points):
    """½‖x‖², whose gradient is the point itself."""
    return 0.5 * jnp.sum(jnp.square(points), axis=tuple(range(1, points.ndim)))


def tanh_critic(points):
    rows = points.reshape(points.shape[0], -1)
    hidden = jnp.asarray(reference.hidden_weights(rows.shape[1]), rows.dtype)
    return jnp.tanh(rows @ hidden) @ jnp.asarray(reference.OUTPUT_WEIGHTS, rows.dtype)


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("center", "one_sided", "power", "expected"),
    [
        (0.0, False, 2, 9.0),
        (0.0, False, 1, 3.0),
        (0.0, False, 6, 729.0),
        (0.0, True, 2, 9.0),
        (1.0, False, 2, 4.0),
        (1.0, True, 2, 4.0),
        (1.0, False, 1.5, 2.0**1.5),
        (5.0, False, 2, 4.0),
        (5.0, False, 3, 8.0),
        (5.0, True, 2, 0.0),
    ],
)
def test_gradient_norm_penalty_of_linear_critic_is_power_of_weight_norm_minus_center(
    center, one_sided, power, expected
):
    value = penalties.gradient_norm_penalty(
        linear_critic, draw(0, 4, 3), center=center, one_sided=one_sided, power=power
    )
    np.testing.assert_allclose(value, np.full(4, expected), rtol=1e-6)


@pytest.mark.parametrize("center", [0.0, 0.5, 4.0])
def test_gradient_norm_penalty_takes_a_traced_center(center):
    def penalty(traced):
        return penalties.gradient_norm_penalty(quadratic_critic, jnp.asarray(POINTS), center=traced)

    np.testing.assert_allclose(
        jax.jit(penalty)(jnp.float32(center)), (np.sqrt(SQUARED_GRADIENTS) - center) ** 2, rtol=1e-5
    )


def test_r1_penalty_of_linear_and_quadratic_critics_is_half_squared_gradient():
    np.testing.assert_allclose(penalties.r1_penalty(linear_critic, draw(0, 4, 3)), np.full(4, 4.5), rtol=1e-6)
    np.testing.assert_allclose(
        penalties.r1_penalty(quadratic_critic, jnp.asarray(POINTS)), SQUARED_GRADIENTS / 2, rtol=1e-6
    )


def test_r2_penalty_of_linear_and_quadratic_critics_is_half_squared_gradient():
    np.testing.assert_allclose(penalties.r2_penalty(linear_critic, draw(0, 4, 3)), np.full(4, 4.5), rtol=1e-6)
    np.testing.assert_allclose(
        penalties.r2_penalty(quadratic_critic, jnp.asarray(POINTS)), SQUARED_GRADIENTS / 2, rtol=1e-6
    )


def test_zero_centered_penalty_of_linear_critic_is_squared_weight_norm(key):
    value = penalties.zero_centered_penalty(linear_critic, key, draw(0, 4, 3), draw(1, 4, 3))
    np.testing.assert_allclose(value, np.full(4, 9.0), rtol=1e-6)


def test_wgan_gp_penalty_of_linear_critic_is_exact_at_every_point(key):
    arguments = (linear_critic, key, draw(0, 4, 3), draw(1, 4, 3))
    np.testing.assert_allclose(penalties.wgan_gp_penalty(*arguments), np.full(4, 4.0), rtol=1e-6)


def test_wgan_gp_penalty_charges_norms_below_its_center_too(key):
    value = penalties.wgan_gp_penalty(linear_critic, key, draw(0, 4, 3), draw(1, 4, 3), center=5.0)
    np.testing.assert_allclose(value, np.full(4, 4.0), rtol=1e-6)


def test_wgan_lp_penalty_charges_only_norms_above_one(key):
    steep_key, flat_key = jax.random.split(key)
    real, fake = draw(0, 4, 3), draw(1, 4, 3)
    np.testing.assert_allclose(
        penalties.wgan_lp_penalty(linear_critic, steep_key, real, fake), np.full(4, 4.0), rtol=1e-6
    )
    flat = penalties.wgan_lp_penalty(lambda x: 0.3 * linear_critic(x), flat_key, real, fake)  # norm 0.9
    np.testing.assert_array_equal(flat, np.zeros(4))


@pytest.mark.parametrize(
    "penalty",
    [
        lambda *arguments: penalties.zero_centered_penalty(*arguments),
        lambda *arguments: penalties.wgan_gp_penalty(*arguments, center=0.0),
        lambda *arguments: penalties.wgan_lp_penalty(*arguments, center=0.0),
        lambda *arguments: penalties.wgan_div_penalty(*arguments, coefficient=1.0, power=2),
    ],
    ids=["zero_centered", "wgan_gp", "wgan_lp", "wgan_div"],
)
def test_interpolates_have_one_uniform_weight_per_example_for_all_its_axes(penalty, key):
    count = 4000
    fake = jnp.ones((count, 2, 2, 1))
    # With real 0 and fake 1 every coordinate of the interpolate is 1 − α, the gradient of the bowl.
    share_of_fake = np.sqrt(penalty(bowl_critic, key, jnp.zeros_like(fake), fake) / 4)
    one_pixel = np.sqrt(
        penalty(lambda x: 0.5 * jnp.square(x[:, 1, 0, 0]), jax.random.clone(key), jnp.zeros_like(fake), fake)
    )
    np.testing.assert_allclose(share_of_fake, one_pixel, rtol=1e-5)
    assert share_of_fake.min() >= 0 and share_of_fake.max() <= 1
    assert len(np.unique(share_of_fake)) > 0.99 * count
    # Kolmogorov-Smirnov distance to U[0, 1]; 1.95/√n is exceeded with probability 0.001.
    grid = (np.arange(count) + 0.5) / count
    assert np.abs(np.sort(share_of_fake) - grid).max() < 1.95 / np.sqrt(count)


def test_dragan_penalty_of_linear_critic_is_exact_at_every_point(key):
    value = penalties.dragan_penalty(linear_critic, key, draw(0, 4, 3))
    np.testing.assert_allclose(value, np.full(4, 4.0), rtol=1e-6)


def test_dragan_noise_is_centred_uniform_of_half_a_batch_deviation_per_coordinate(key):
    count = 20000
    real = 3.0 * jnp.tile(jnp.array([[1.0, -1.0], [-1.0, 1.0]]), (count // 2, 1))  # standard deviation 3

    def noise(coordinate):
        def critic(points):
            return 0.5 * jnp.square(points[:, coordinate])

        # The gradient is 3 + δ or −3 + δ with |δ| < 3: its norm gives δ back.
        moved = jnp.sqrt(penalties.dragan_penalty(critic, jax.random.clone(key), real, center=0.0))
        return np.asarray(moved * jnp.sign(real[:, coordinate]) - real[:, coordinate])

    first, second = noise(0), noise(1)
    for drawn in (first, second):
        assert np.abs(drawn).max() <= 1.5 + 1e-5
        assert abs(drawn.mean()) < 5 * 1.5 / np.sqrt(3 * count)
        np.testing.assert_allclose(drawn.std(), 1.5 / np.sqrt(3), rtol=0.02)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(count)


def test_wgan_div_penalty_of_linear_critic_is_twice_sixth_power_of_norm(key):
    value = penalties.wgan_div_penalty(linear_critic, key, draw(0, 4, 3), draw(1, 4, 3))
    np.testing.assert_allclose(value, np.full(4, 2 * 729.0), rtol=1e-6)


def test_max_gradient_penalty_is_the_largest_squared_norm_for_every_example(key):
    points = jnp.asarray(POINTS)  # real = fake, so the interpolates are the points themselves
    value = penalties.max_gradient_penalty(quadratic_critic, key, points, points)
    np.testing.assert_allclose(value, np.full(4, 10.0), rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.1, 10.0])
def test_approximate_r1_penalty_of_linear_critic_has_expectation_r1(key, sigma):
    value = penalties.approximate_r1_penalty(linear_critic, key, jnp.ones((200_000, 3)), sigma=sigma)
    # ½ (w·ε)² = 4.5 χ²₁: mean 4.5, standard error 4.5 √(2/n) = 0.014.
    assert abs(np.asarray(value, np.float64).mean() - 4.5) < 5 * 0.0143


@pytest.mark.parametrize("sigma", [1.0, 0.1])
def test_approximate_r1_penalty_of_quadratic_critic_has_known_bias_that_falls_with_sigma_squared(key, sigma):
    real = jnp.tile(jnp.asarray(POINTS[:1]), (200_000, 1))
    value = np.asarray(penalties.approximate_r1_penalty(quadratic_critic, key, real, sigma=sigma), np.float64)
    # E ½ (g·ε + ½σ ε'Aε)² = ½‖g‖² + σ²/8 (tr(A)² + 2 tr(A²)), with ‖g‖² = 5, tr A = 5, tr A² = 15.
    expected = 2.5 + sigma**2 * 55 / 8
    assert abs(value.mean() - expected) < 5 * value.std() / np.sqrt(value.size)


def test_approximate_r1_penalty_of_linear_critic_does_not_depend_on_sigma(key):
    small, large = (
        penalties.approximate_r1_penalty(linear_critic, jax.random.clone(key), jnp.zeros((8, 3)), sigma=sigma)
        for sigma in (0.5, 8.0)
    )
    np.testing.assert_allclose(small, large, rtol=1e-4)


def test_roth_penalty_of_linear_critic_with_known_probabilities():
    def critic(points):
        return points @ jnp.array([3.0, 4.0])

    log3 = np.log(3.0)
    real = jnp.array([[log3 / 3, 0.0], [-log3 / 3, 0.0]])  # probability of real 3/4, 1/4
    fake = jnp.array([[0.0, 0.0], [0.0, log3 / 4]])  # 1/2, 3/4
    expected = [0.5 * 25 * (1 / 16 + 1 / 4), 0.5 * 25 * (9 / 16 + 9 / 16)]
    np.testing.assert_allclose(penalties.roth_penalty(critic, real, fake), expected, rtol=1e-5)


def test_roth_penalty_is_the_rise_of_the_loss_per_variance_of_noise_where_the_critic_is_optimal():
    # Real and fake coincide and the critic says so: noise of variance γ on the inputs raises the loss by γ·penalty.
    point = jnp.array([[2.0, -1.0, 0.0]])
    penalty = penalties.roth_penalty(lambda x: x @ jnp.asarray(WEIGHT), point, point)
    variance = 1e-4
    noisy = 2 * reference.mean_softplus_under_noise(0.0, 3 * np.sqrt(variance))
    np.testing.assert_allclose(penalty[0], (noisy - 2 * np.log(2)) / variance, rtol=1e-3)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 2, 2)], ids=["scalars", "vectors", "images"])
def test_penalties_of_a_network_equal_finite_differences_at_every_rank(shape, key):
    points = draw(3, *shape)
    norms = reference.input_gradient_norms(reference.tanh_critic, points)
    keys = jax.random.split(key, 4)
    cases = [
        (penalties.r1_penalty(tanh_critic, points), norms**2 / 2),
        (penalties.r2_penalty(tanh_critic, points), norms**2 / 2),
        (penalties.wgan_gp_penalty(tanh_critic, keys[0], points, points), (norms - 1) ** 2),
        (penalties.wgan_lp_penalty(tanh_critic, keys[1], points, points), np.maximum(norms - 1, 0) ** 2),
        (penalties.wgan_div_penalty(tanh_critic, keys[2], points, points), 2 * norms**6),
        (penalties.max_gradient_penalty(tanh_critic, keys[3], points, points), np.full(3, norms.max() ** 2)),
    ]
    for value, expected in cases:
        np.testing.assert_allclose(value, expected, rtol=2e-4, atol=1e-6)


def test_conditional_critic_may_close_over_labels():
    label_weights = jnp.array([[3.0, 4.0], [0.0, 1.0]])
    labels = jnp.array([0, 1, 1])

    def critic(points):
        return jnp.sum(points * label_weights[labels], axis=1)

    np.testing.assert_allclose(penalties.r1_penalty(critic, draw(0, 3, 2)), [12.5, 0.5, 0.5], rtol=1e-6)


def test_critic_that_couples_its_batch_is_differentiated_as_the_sum_of_its_logits():
    def critic(points):
        return points[:, 0] * jnp.mean(points)  # summed: B·mean², with gradient 2·mean in every row

    value = penalties.r1_penalty(critic, jnp.array([[1.0], [2.0], [6.0]]))
    np.testing.assert_allclose(value, np.full(3, 0.5 * 6.0**2), rtol=1e-6)


def test_subtracting_the_batch_mean_is_not_taken_for_a_constant():
    # Batches of one would see the critic x − x = 0 or, with the mean held, a slope of 1; the batch has neither.
    def critic(points):
        return jnp.square(points[:, 0] - jnp.mean(points[:, 0]))

    points = jnp.array([[0.0], [1.0], [5.0]])  # mean 2; the summed logits have gradient 2 (x − 2)
    np.testing.assert_allclose(penalties.r1_penalty(critic, points), 0.5 * np.array([16.0, 4.0, 36.0]), rtol=1e-6)


GRADIENT_PENALTIES = {
    "gradient_norm": lambda critic, key, x: penalties.gradient_norm_penalty(critic, x, center=1.0),
    "gradient_norm_root": lambda critic, key, x: penalties.gradient_norm_penalty(critic, x, center=0.0, power=1),
    "r1": lambda critic, key, x: penalties.r1_penalty(critic, x),
    "r2": lambda critic, key, x: penalties.r2_penalty(critic, x),
    "wgan_gp": lambda critic, key, x: penalties.wgan_gp_penalty(critic, key, x, -x),
    "wgan_lp": lambda critic, key, x: penalties.wgan_lp_penalty(critic, key, x, -x),
    "zero_centered": lambda critic, key, x: penalties.zero_centered_penalty(critic, key, x, -x),
    "dragan": lambda critic, key, x: penalties.dragan_penalty(critic, key, x),
    "wgan_div": lambda critic, key, x: penalties.wgan_div_penalty(critic, key, x, -x),
    "max_gradient": lambda critic, key, x: penalties.max_gradient_penalty(critic, key, x, -x),
    "approximate_r1": lambda critic, key, x: penalties.approximate_r1_penalty(critic, key, x, sigma=0.1),
    "roth": lambda critic, key, x: penalties.roth_penalty(critic, x, -x),
}
ONE_AT_ZERO_GRADIENT = {"gradient_norm", "wgan_gp", "dragan"}


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_zero_input_gradient_gives_exact_value_and_finite_gradients(name, key):
    """A critic whose last layer is zero is flat: the root of the norm must not spoil the first training step."""

    def total(params, points):
        hidden, output = params
        return jnp.sum(GRADIENT_PENALTIES[name](lambda x: jnp.tanh(x @ hidden) @ output, key, points))

    params = (draw(0, 3, 5), jnp.zeros(5))
    value, gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(params, draw(1, 4, 3))
    np.testing.assert_allclose(value, 4.0 if name in ONE_AT_ZERO_GRADIENT else 0.0, rtol=1e-6)
    # The subgradient chosen at the kink of the norm is zero; where there is no kink, zero is the derivative.
    for leaf in jax.tree.leaves(gradients):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_equal_points_give_finite_values_and_gradients(name, key):
    """All examples at the origin, where a bowl is flat and the batch has no spread."""

    def total(points):
        return jnp.sum(GRADIENT_PENALTIES[name](bowl_critic, key, points))

    value, gradient = jax.value_and_grad(total)(jnp.zeros((4, 2, 2, 1)))
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("center", [0.0, jnp.float32(0.0)], ids=["static", "traced"])
def test_second_derivative_at_zero_gradient_is_that_of_the_square(center):
    """Jacobians of games at equilibrium, where the critic is flat, depend on it."""

    def half(scale):
        return penalties.r1_penalty(lambda x: scale * x, jnp.ones(1))[0]

    def whole(scale):
        return penalties.gradient_norm_penalty(lambda x: scale * x, jnp.ones(1), center=center)[0]

    np.testing.assert_allclose(jax.hessian(half)(0.0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(jax.hessian(whole)(0.0), 2.0, rtol=1e-6)


def test_power_below_one_is_an_error():
    with pytest.raises(ValueError, match=r"power must be at least 1; got 0\.5"):
        penalties.gradient_norm_penalty(linear_critic, draw(0, 4, 3), center=1.0, power=0.5)


def test_sigma_of_zero_is_an_error(key):
    with pytest.raises(ValueError, match=r"sigma must be positive; got 0\.0"):
        penalties.approximate_r1_penalty(linear_critic, key, draw(0, 4, 3), sigma=0.0)
