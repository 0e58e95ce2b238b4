"""Defects that public code has had in its penalties, each held by the number that the defect would change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import penalties


def bowl_critic(points):
    """½‖x‖², whose gradient is the point itself."""
    return 0.5 * jnp.sum(jnp.square(points), axis=tuple(range(1, points.ndim)))


def test_norm_is_per_example_not_over_the_whole_batch(key):
    """torchgan: `gradients.norm(2)` is one norm over the batch, here √(9 + 16 + 0) = 5 and a penalty of 16."""
    points = jnp.array([[3.0, 0.0], [0.0, -4.0], [0.0, 0.0]])
    value = penalties.wgan_gp_penalty(bowl_critic, key, points, points)
    np.testing.assert_allclose(value, [4.0, 9.0, 1.0], rtol=1e-5)


def test_norm_is_over_all_axes_not_one_per_pixel(key):
    """A norm over channels alone sees 1 at each of the 16 pixels: penalty 0 per pixel, and an R1 16 times smaller."""
    images = jnp.full((2, 4, 4, 4), 0.5)  # channel norm 1, full norm 4
    value = penalties.wgan_gp_penalty(bowl_critic, key, images, images)
    np.testing.assert_allclose(value, [9.0, 9.0], rtol=1e-5)
    np.testing.assert_allclose(penalties.r1_penalty(bowl_critic, images), [8.0, 8.0], rtol=1e-6)


def test_norm_has_no_epsilon_that_shifts_its_value():
    """√(‖g‖² + 1e-4) and the like make the penalty of a flat critic 0.98 instead of 1."""
    flat = penalties.gradient_norm_penalty(lambda x: 0.0 * x[:, 0], jnp.ones((2, 3)), center=1.0)
    np.testing.assert_array_equal(flat, np.ones(2))
    small = penalties.gradient_norm_penalty(lambda x: 1e-6 * x[:, 0], jnp.ones((2, 3)), center=0.0, power=1)
    np.testing.assert_allclose(small, np.full(2, 1e-6), rtol=1e-6)


def test_root_at_zero_gradient_is_not_nan_in_the_critics_update():
    """improved_wgan, StudioGAN, torchgan: the root has infinite slope at zero, and NaN reaches the weights."""

    def total(weight):
        return jnp.sum(penalties.gradient_norm_penalty(lambda x: x @ weight, jnp.ones((2, 3)), center=1.0))

    np.testing.assert_array_equal(jax.grad(total)(jnp.zeros(3)), np.zeros(3))


@pytest.mark.parametrize(
    ("gamma", "eigenvalues"),
    [(0.3, [-0.15 - 0.476970j, -0.15 + 0.476970j]), (2.0, [-1.866025, -0.133975])],
)
def test_r1_has_its_half_in_the_eigenvalues_of_the_dirac_game(gamma, eigenvalues):
    """GAN_stability leaves the ½ out, so that its γ is half of the paper's: −γ/2 ± √(γ²/4 − 1/4) needs the ½."""

    def field(point):
        def discriminator_loss(psi, theta):
            def critic(x):
                return psi * x

            logistic = jax.nn.softplus(-critic(0.0)) + jax.nn.softplus(critic(theta))
            return logistic + gamma * penalties.r1_penalty(critic, jnp.zeros(1))[0]

        by_critic = jax.grad(discriminator_loss)(*point)
        by_generator = jax.grad(lambda theta: -jax.nn.softplus(point[0] * theta))(point[1])
        return -jnp.stack([by_critic, by_generator])

    found = np.linalg.eigvals(jax.jacobian(field)(jnp.zeros(2)))
    np.testing.assert_allclose(np.sort_complex(found), eigenvalues, atol=1e-5)


def test_lecam_has_the_relu_of_the_code_and_says_so_when_it_has_not():
    """A critic that ranks both examples wrongly: the code charges nothing, Eq. 4 of the preprint charges both."""
    arguments = (jnp.array([-3.0]), jnp.array([3.0]), 1.0, -1.0)
    np.testing.assert_array_equal(penalties.lecam_penalty(*arguments), [0.0])
    np.testing.assert_allclose(penalties.lecam_penalty(*arguments, one_sided=False), [8.0], rtol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_logits_with_a_trailing_axis_never_broadcast_to_a_matrix():
    """(B,) against (B, 1) gives (B, B) without a word in every framework."""
    column, logits = jnp.ones((3, 1)), jnp.ones(3)
    with pytest.raises(ValueError, match=r"fake_logits must hold one number per example.*got shape \(3, 1\)"):
        penalties.lecam_penalty(logits, column, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"real_logits must hold one number per example.*got shape \(3, 1\)"):
        penalties.lecam_penalty(column, column, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"real_logits must hold one number per example.*got shape \(3, 1\)"):
        penalties.drift_penalty(column)
    with pytest.raises(ValueError, match=r"augmented_outputs must have the shape of outputs, \(3,\); got \(3, 1\)"):
        penalties.consistency_penalty(logits, column)
    with pytest.raises(ValueError, match=r"real_average must be a scalar"):
        penalties.lecam_penalty(logits, logits, logits, 0.0)
    with pytest.raises(ValueError, match=r"average must be a scalar"):
        penalties.path_length_penalty(lambda z: z, jax.random.key(0), jnp.ones((3, 2)), logits)


CRITIC_CALLS = {
    "r1": lambda critic, x: penalties.r1_penalty(critic, x),
    "r2": lambda critic, x: penalties.r2_penalty(critic, x),
    "gradient_norm": lambda critic, x: penalties.gradient_norm_penalty(critic, x, center=1.0),
    "wgan_gp": lambda critic, x: penalties.wgan_gp_penalty(critic, jax.random.key(0), x, x),
    "wgan_lp": lambda critic, x: penalties.wgan_lp_penalty(critic, jax.random.key(0), x, x),
    "zero_centered": lambda critic, x: penalties.zero_centered_penalty(critic, jax.random.key(0), x, x),
    "wgan_div": lambda critic, x: penalties.wgan_div_penalty(critic, jax.random.key(0), x, x),
    "max_gradient": lambda critic, x: penalties.max_gradient_penalty(critic, jax.random.key(0), x, x),
    "dragan": lambda critic, x: penalties.dragan_penalty(critic, jax.random.key(0), x),
    "approximate_r1": lambda critic, x: penalties.approximate_r1_penalty(critic, jax.random.key(0), x, sigma=0.1),
    "roth": lambda critic, x: penalties.roth_penalty(critic, x, x),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CRITIC_CALLS)
def test_critic_that_returns_a_column_is_an_error_that_shows_the_shapes(name):
    points = jnp.ones((3, 2))
    with pytest.raises(ValueError, match=r"critic_fn must map points of shape \(3, 2\).*shape \(3,\).*\(3, 1\)"):
        CRITIC_CALLS[name](lambda x: jnp.sum(x, axis=1, keepdims=True), points)
    with pytest.raises(ValueError, match=r"critic_fn must map points of shape \(3, 2\).*returned tuple"):
        CRITIC_CALLS[name](lambda x: (jnp.sum(x, axis=1), x), points)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CRITIC_CALLS)
def test_points_that_are_not_floating_are_an_error(name):
    with pytest.raises(ValueError, match=r"must be a floating array; got dtype int32"):
        CRITIC_CALLS[name](lambda x: jnp.sum(1.0 * x, axis=1), jnp.ones((3, 2), jnp.int32))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "call",
    [
        lambda real, fake: penalties.wgan_gp_penalty(bowl_critic, jax.random.key(0), real, fake),
        lambda real, fake: penalties.roth_penalty(bowl_critic, real, fake),
    ],
    ids=["wgan_gp", "roth"],
)
def test_real_and_fake_of_different_shapes_never_broadcast(call):
    with pytest.raises(ValueError, match=r"fake must have the shape of real, \(3, 2\); got \(1, 2\)"):
        call(jnp.ones((3, 2)), jnp.ones((1, 2)))


def test_eigenvectors_are_compared_without_their_arbitrary_sign():
    """GDPP's code multiplies eigenvectors as the solver returns them: a flipped sign turns the reward into a cost."""
    draw = np.random.default_rng(0).normal
    loss = jax.jit(lambda *pair: penalties.diversity_determinantal_loss(*pair))
    for _ in range(10):
        real = jnp.asarray(draw(size=(3, 5)), jnp.float32)
        nearly = jnp.asarray(np.asarray(real)[:, ::-1] + 1e-4 * draw(size=(3, 5)), jnp.float32)
        same = loss(real, real)
        np.testing.assert_allclose(loss(real, nearly), same, atol=0.02)
        assert same[0] < -1.0


def test_batch_larger_than_its_feature_space_has_finite_gradient():
    """Then the similarity matrix has equal eigenvalues, where the derivative of eigenvectors is infinite."""
    draw = np.random.default_rng(0).normal
    real, fake = (jnp.asarray(draw(size=(8, 2)), jnp.float32) for _ in range(2))

    @jax.jit
    def total(features):
        return jnp.sum(penalties.diversity_determinantal_loss(real, features))

    value_and_gradient = jax.jit(jax.value_and_grad(total))
    for features in (jnp.ones((8, 2)), jnp.zeros((8, 2)), fake):
        value, gradient = value_and_gradient(features)
        assert np.isfinite(value) and np.all(np.isfinite(gradient))
    # The finite gradient is a right one: a small step along it changes the loss as predicted.
    step = 1e-3 * gradient / jnp.linalg.norm(gradient)
    np.testing.assert_allclose((total(fake + step) - total(fake - step)) / 2, jnp.sum(gradient * step), rtol=0.05)
