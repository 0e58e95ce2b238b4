"""Consistency models, mean flows and masked diffusion, where the true map, velocity or conditionals are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import diffusion

MEAN, STD, SIGMA_MIN = 0.7, 1.6, 0.05
NUM, DIM = 20_000, 2


def gaussian_data(key, num=NUM):
    return MEAN + STD * jax.random.normal(key, (num, DIM))


def assert_mean_is(values, expected, standard_errors=5.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < standard_errors * values.std() / np.sqrt(len(values))


# --- Consistency ---


def shrink(sigma):
    """What the path through x_t at σ keeps of x_t − MEAN on its way to SIGMA_MIN."""
    return np.sqrt((STD**2 + SIGMA_MIN**2) / (STD**2 + np.asarray(sigma, np.float64) ** 2))


def true_map(x, sigma):
    return MEAN + (x - MEAN) * jnp.sqrt((STD**2 + SIGMA_MIN**2) / (STD**2 + sigma**2))[:, None]


def true_denoiser(x, sigma):
    return MEAN + (x - MEAN) * (STD**2 / (STD**2 + sigma**2))[:, None]


def test_consistency_loss_of_the_true_map_of_gaussian_data_has_its_closed_form(key):
    data_key, noise_key = jax.random.split(key)
    sigma = jnp.geomspace(0.1, 5.0, NUM)
    loss = jax.jit(lambda key, data: diffusion.consistency_loss(true_map, key, data, sigma, 1.5 * sigma))(
        noise_key, gaussian_data(data_key)
    )
    near = np.asarray(sigma, np.float64)
    far = 1.5 * near
    # (shrink' − shrink) (x − MEAN) + (shrink' σ' − shrink σ) ε
    expected = (shrink(far) - shrink(near)) ** 2 * STD**2 + (shrink(far) * far - shrink(near) * near) ** 2
    assert_mean_is(loss / (DIM * expected), 1.0)


def test_consistency_distillation_from_the_true_denoiser_leaves_the_error_of_heuns_method():
    with jax.enable_x64(True):
        data = jnp.asarray(np.random.default_rng(0).normal(MEAN, STD, (64, DIM)))

        def largest(step):
            sigma = jnp.full(64, 1.0)
            return jnp.max(
                diffusion.consistency_loss(
                    true_map, jax.random.key(0), data, sigma, sigma + step, denoiser_fn=true_denoiser
                )
            )

        first, second = (float(value) for value in map(jax.jit(largest), (0.02, 0.01)))
    assert first < 1e-10
    assert 50 < first / second < 80  # local error of order 3, squared


def test_consistency_loss_moves_the_far_answer_only(key):
    data = jnp.ones((3, DIM))
    levels = jnp.full(3, 0.5), jnp.full(3, 1.0)

    def loss(far_scale, near_scale):
        return jnp.sum(
            diffusion.consistency_loss(
                lambda x, sigma: far_scale * x,
                jax.random.clone(key),
                data,
                *levels,
                target_fn=lambda x, sigma: near_scale * x,
            )
        )

    of_far, of_near = jax.jit(jax.grad(loss, (0, 1)))(1.0, 0.9)
    assert abs(of_far) > 0.1
    np.testing.assert_array_equal(of_near, 0)


def test_consistency_loss_with_huber_is_the_pseudo_huber_distance(key):
    data, levels = gaussian_data(jax.random.key(1), 5), (jnp.full(5, 0.5), jnp.full(5, 1.0))

    @jax.jit
    def loss(huber):
        return diffusion.consistency_loss(true_map, jax.random.clone(key), data, *levels, huber=huber)

    np.testing.assert_allclose(loss(0.3), np.sqrt(np.asarray(loss(None), np.float64) + 0.09) - 0.3, rtol=1e-5)

    # Also where a model is consistent already.
    @jax.jit
    @jax.grad
    def slope(c):
        def constant(x, sigma):
            return c * jnp.ones_like(x)

        return jnp.sum(diffusion.consistency_loss(constant, jax.random.clone(key), data, *levels, huber=0.3))

    np.testing.assert_allclose(slope(1.0), 0, atol=1e-6)


# --- Mean flow ---


def deviation(t):
    """Standard deviation of x_t on the linear path with independent ends."""
    return jnp.sqrt((1 - t) ** 2 + t**2 * STD**2)


def true_mean_velocity(x, t, r):
    # The flow carries x_t − t MEAN to x_r − r MEAN at the ratio of deviations. (deviation(r) − deviation(t)) / (r − t)
    # without the difference, so that r = t is no exception:
    ratio = ((STD**2 + 1) * (r + t) - 2) / (deviation(r) + deviation(t)) / deviation(t)
    return MEAN + ratio[:, None] * (x - t[:, None] * MEAN)


def gaussian_ends(key):
    noise_key, data_key = jax.random.split(key)
    return jax.random.normal(noise_key, (NUM, DIM)), gaussian_data(data_key)


def times():
    t = (jnp.arange(NUM) + 0.5) / NUM
    return t, (7.3 * t) % 1


def test_mean_flow_loss_of_the_true_mean_velocity_between_gaussians_has_its_closed_form(key):
    t, r = times()
    loss = jax.jit(lambda noise, data: diffusion.mean_flow_loss(true_mean_velocity, noise, data, t, r))(
        *gaussian_ends(key)
    )
    t, r = (np.asarray(a, np.float64) for a in (t, r))
    before, after = (1 - t) ** 2 + t**2 * STD**2, (1 - r) ** 2 + r**2 * STD**2
    # target − u = (1 + (r − t) ∂u/∂x) (v − E v), where the bracket is the ratio of deviations
    assert_mean_is(loss / (DIM * STD**2 * after / before**2), 1.0)


def test_mean_flow_loss_has_no_gradient_at_the_true_mean_velocity_in_the_mean(key):
    t, r = times()
    noise, data = gaussian_ends(key)

    def loss(tilt):
        def tilted(x, t, r):
            return true_mean_velocity(x, t, r) + tilt[0] + tilt[1] * x

        return diffusion.mean_flow_loss(tilted, noise, data, t, r)

    for slopes in jax.jit(jax.jacfwd(loss))(jnp.zeros(2)).T:
        assert np.std(slopes) > 0.1
        assert_mean_is(slopes, 0.0)


def test_true_mean_velocity_carries_noise_to_data_in_one_step():
    noise = jnp.asarray(np.random.default_rng(0).normal(size=(5, DIM)), jnp.float32)
    zeros = jnp.zeros(5)
    np.testing.assert_allclose(noise + true_mean_velocity(noise, zeros, zeros + 1), MEAN + STD * noise, rtol=1e-5)


def test_mean_flow_loss_over_no_time_is_flow_matching_loss(key):
    noise, data = (a[:8] for a in gaussian_ends(key))
    t = jnp.linspace(0.1, 0.9, 8)

    def field(x, t, r):
        return jnp.sin(x) + t[:, None]

    expected = diffusion.flow_matching_loss(lambda x, t: field(x, t, t), jax.random.key(1), noise, data, t)
    np.testing.assert_allclose(diffusion.mean_flow_loss(field, noise, data, t, t), expected, rtol=1e-5)


def test_mean_flow_loss_holds_its_target_constant():
    # u = a (x + t): target v + (r − t) a (v + 1), with x = t and v = 1 for noise 0 and data 1
    t, r = jnp.array([0.5]), jnp.array([0.9])
    noise, data = jnp.zeros((1, 1)), jnp.ones((1, 1))

    def loss(a):
        return diffusion.mean_flow_loss(lambda x, t, r: a * (x + t[:, None]), noise, data, t, r)[0]

    value, slope = jax.value_and_grad(loss)(2.0)
    error = 2.0 * 1.0 - (1 + 0.4 * 2.0 * 2)
    np.testing.assert_allclose([value, slope], [error**2, 2 * error * 1.0], rtol=1e-5)


# --- Masked diffusion ---

VOCABULARY, MASK = 3, 3
JOINT = np.array([[0.30, 0.02, 0.08], [0.05, 0.20, 0.05], [0.02, 0.03, 0.25]])
PAIRS = jnp.asarray(np.stack(np.meshgrid(np.arange(3), np.arange(3), indexing="ij"), -1).reshape(9, 2))


def true_logits(tokens, t):
    """Log-conditionals of either token given what is seen of the other, up to a constant."""
    first = jnp.asarray(np.log(np.concatenate([JOINT.T, JOINT.sum(1)[None]])), jnp.float32)  # row: the second, or MASK
    second = jnp.asarray(np.log(np.concatenate([JOINT, JOINT.sum(0)[None]])), jnp.float32)
    return jnp.stack([first[tokens[:, 1]], second[tokens[:, 0]]], axis=1) + 2.5


def cosine_alpha(t):
    return jnp.cos(0.5 * jnp.pi * t)


def masked_losses(key, logits_fn, alpha_fn, num=4000):
    t = jnp.tile((jnp.arange(num) + 0.5) / num, 9)
    tokens = jnp.repeat(PAIRS, num, axis=0)
    loss = jax.jit(
        lambda key: diffusion.masked_diffusion_loss(logits_fn, key, tokens, t, mask_token=MASK, alpha_fn=alpha_fn)
    )(key)
    return np.asarray(loss).reshape(9, num)


@pytest.mark.parametrize("alpha_fn", [diffusion.linear_alpha, cosine_alpha])
def test_masked_diffusion_loss_of_the_true_conditionals_is_the_negative_log_likelihood_for_every_schedule(
    alpha_fn, key
):
    losses = masked_losses(key, true_logits, alpha_fn)
    for values, nll in zip(losses, -np.log(JOINT).ravel(), strict=True):
        assert_mean_is(values, nll)


def test_masked_diffusion_loss_of_independent_tokens_is_the_sum_of_their_entropies_and_above_the_joint_one(key):
    marginals = [JOINT.sum(1), JOINT.sum(0)]

    def independent_logits(tokens, t):
        logits = jnp.asarray(np.log(marginals), jnp.float32)
        return jnp.broadcast_to(logits[None], (len(tokens), 2, VOCABULARY))

    losses = masked_losses(key, independent_logits, diffusion.linear_alpha)
    expected = -np.log(marginals[0])[:, None] - np.log(marginals[1])[None]
    for values, nll in zip(losses, expected.ravel(), strict=True):
        assert_mean_is(values, nll)
    assert np.sum(JOINT * expected) > -np.sum(JOINT * np.log(JOINT)) + 0.1


def test_masked_diffusion_loss_is_zero_with_zero_gradient_where_nothing_is_masked(key):
    def loss(t):
        return jnp.sum(
            diffusion.masked_diffusion_loss(
                lambda tokens, t: true_logits(tokens, t) * (1 + t[:, None, None]), key, PAIRS, t, mask_token=MASK
            )
        )

    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.zeros(9))
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(slope, 0)


def test_masked_diffusion_loss_is_finite_at_extreme_logits(key):
    def loss(scale):
        def extreme(tokens, t):
            return scale * (1 - 2 * jax.nn.one_hot(jnp.zeros_like(tokens), VOCABULARY))

        return jnp.sum(
            diffusion.masked_diffusion_loss(extreme, jax.random.clone(key), PAIRS, jnp.ones(9), mask_token=MASK)
        )

    value, slope = jax.jit(jax.value_and_grad(loss))(1e4)
    # Everything is masked: each 0 among the tokens costs 2e4 + log 2, each other log 2.
    np.testing.assert_allclose(value, 6 * 2e4 + 18 * np.log(2), rtol=1e-5)
    assert np.isfinite(slope)


@pytest.mark.parametrize("tokens", [jnp.zeros((3, 2)), jnp.zeros(3, int)])
def test_masked_diffusion_loss_names_tokens_that_are_no_integers_in_rows(tokens, key, unchecked):
    with pytest.raises(ValueError, match="tokens must be integers"):
        diffusion.masked_diffusion_loss(true_logits, key, tokens, jnp.ones(3), mask_token=MASK)
