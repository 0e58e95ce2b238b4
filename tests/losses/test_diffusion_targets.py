"""Schedules, targets, weights and preconditioning, against Gaussian regression and the geometry they come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from genloss_jax.losses import diffusion
from tests.reference import diffusion as reference

PREDICTIONS = ("noise", "data", "velocity", "score")
SCHEDULES = {
    "linear": diffusion.linear_log_snr,
    "cosine": diffusion.cosine_log_snr,
    "linear_beta": diffusion.linear_beta_log_snr,
    "karras": diffusion.karras_log_snr,
    "linear_path": diffusion.linear_path_log_snr,
}
TIMES = np.linspace(0.01, 0.99, 99)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# --- Schedules ---


@pytest.mark.parametrize("name", SCHEDULES)
def test_log_snr_falls_with_time(name):
    assert np.all(np.diff(SCHEDULES[name](jnp.asarray(TIMES, jnp.float32))) < 0)


def test_alpha_and_sigma_have_the_ratio_of_the_snr_and_squares_that_sum_to_one():
    log_snr = np.linspace(-20, 20, 41)
    with jax.enable_x64(True):
        alpha, sigma = diffusion.alpha_sigma(jnp.asarray(log_snr))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, rtol=1e-12)
    np.testing.assert_allclose(2 * np.log(alpha / sigma), log_snr, rtol=1e-12, atol=1e-12)


def test_alpha_and_sigma_and_their_slopes_are_finite_at_extreme_log_snr():
    extremes = jnp.array([0.0, 1e4, -1e4])
    values, pull_back = jax.vjp(diffusion.alpha_sigma, extremes)
    np.testing.assert_allclose(values.alpha, [np.sqrt(0.5), 1, 0], rtol=1e-6)
    assert np.all(np.isfinite(pull_back(values)[0]))


def test_cosine_log_snr_without_ends_gives_the_signal_a_cosine():
    log_snr = diffusion.cosine_log_snr(jnp.asarray(TIMES, jnp.float32), log_snr_max=np.inf, log_snr_min=-np.inf)
    np.testing.assert_allclose(diffusion.alpha_sigma(log_snr).alpha, np.cos(np.pi * TIMES / 2), rtol=1e-4)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_ends_of_the_schedule_are_the_ones_asked_for(name):
    log_snr = SCHEDULES[name](jnp.array([0.0, 1.0]), log_snr_max=9.0, log_snr_min=-7.0)
    np.testing.assert_allclose(log_snr, [9.0, -7.0], rtol=1e-5)


def test_linear_beta_log_snr_has_the_signal_that_its_rate_leaves():
    def signal(t):
        total, _ = integrate.quad(lambda s: 0.1 + s * (20.0 - 0.1), 0, t)
        return np.exp(-total)

    alpha, _ = diffusion.alpha_sigma(diffusion.linear_beta_log_snr(jnp.asarray(TIMES, jnp.float32)))
    np.testing.assert_allclose(alpha**2, [signal(t) for t in TIMES], rtol=1e-4)


def test_linear_beta_log_snr_ends_where_the_thousand_steps_of_ddpm_do():
    betas = np.linspace(1e-4, 0.02, 1000)
    log_signal = jax.nn.log_sigmoid(diffusion.linear_beta_log_snr(jnp.ones(())))
    # β <= −log(1 − β) <= β + β²
    np.testing.assert_allclose(-log_signal, betas.sum(), rtol=1e-5)
    assert betas.sum() <= -np.log1p(-betas).sum() <= betas.sum() + (betas**2).sum() < 1.02 * betas.sum()


def test_karras_log_snr_steps_evenly_in_the_seventh_root_of_sigma():
    sigma = diffusion.noise_to_signal(diffusion.karras_log_snr(jnp.array([0.0, 0.25, 0.5, 1.0])))
    np.testing.assert_allclose(sigma[jnp.array([0, 3])], [0.002, 80.0], rtol=1e-4)
    roots = sigma ** (1 / 7)
    np.testing.assert_allclose(roots[2] - roots[0], 2 * (roots[1] - roots[0]), rtol=1e-4)
    np.testing.assert_allclose(roots[3] - roots[0], 2 * (roots[2] - roots[0]), rtol=1e-4)


def test_linear_path_log_snr_is_that_of_the_flow_matching_path_with_time_reversed():
    t = jnp.asarray(TIMES, jnp.float32)
    of_noise = diffusion.flow_matching_path(jnp.ones_like(t), jnp.zeros_like(t), 1 - t).x_t
    of_data = diffusion.flow_matching_path(jnp.zeros_like(t), jnp.ones_like(t), 1 - t).x_t
    np.testing.assert_allclose(diffusion.linear_path_log_snr(t), 2 * jnp.log(of_data / of_noise), rtol=1e-4, atol=1e-5)


def test_stratified_times_are_evenly_spaced_and_each_is_uniform(key):
    times = jax.vmap(lambda key: diffusion.stratified_times(key, 4))(jax.random.split(key, 5000))
    np.testing.assert_allclose(np.diff(np.sort(times, axis=1)), 0.25, atol=1e-5)
    assert stats.kstest(times[:, 1], "uniform").pvalue > 1e-3


def test_drawn_times_and_sigmas_have_the_laws_they_name(key):
    first, second = jax.random.split(key)
    logits = special.logit(np.asarray(diffusion.logit_normal_times(first, 5000, mean=0.5, std=2.0), np.float64))
    assert stats.kstest(logits, stats.norm(0.5, 2.0).cdf).pvalue > 1e-3
    logs = np.log(diffusion.lognormal_sigmas(second, 5000))
    assert stats.kstest(logs, stats.norm(-1.2, 1.2).cdf).pvalue > 1e-3


# --- Targets ---


@pytest.mark.parametrize("source", PREDICTIONS)
@pytest.mark.parametrize("target", PREDICTIONS)
def test_converted_prediction_is_what_the_same_data_and_noise_say(source, target):
    with jax.enable_x64(True):
        data, noise, log_snr = (jnp.asarray(a) for a in (draw(0, 7, 2, 3), draw(1, 7, 2, 3), np.linspace(-9, 9, 7)))
        x_t = diffusion.diffuse(data, noise, log_snr)
        value, wanted = (
            diffusion.prediction_target(data, noise, log_snr, prediction=kind) for kind in (source, target)
        )
        converted = diffusion.convert_prediction(value, x_t, log_snr, source=source, target=target)
        np.testing.assert_allclose(converted, wanted, rtol=1e-9, atol=1e-9)


def test_velocity_is_the_derivative_along_the_angle_from_data_to_noise():
    data, noise, angle = draw(2, 5, 3), draw(3, 5, 3), np.linspace(0.1, 1.4, 5)
    log_snr = jnp.asarray(-2 * np.log(np.tan(angle)), jnp.float32)
    velocity = diffusion.prediction_target(
        jnp.asarray(data, jnp.float32), jnp.asarray(noise, jnp.float32), log_snr, prediction="velocity"
    )
    step = 1e-5
    ahead, behind = (np.cos(angle + s)[:, None] * data + np.sin(angle + s)[:, None] * noise for s in (step, -step))
    np.testing.assert_allclose(velocity, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-5)


def test_best_prediction_of_the_score_is_the_slope_of_the_log_density():
    log_snr, variance = np.linspace(-3, 3, 7), 1.7
    alpha, sigma = reference.variance_preserving(log_snr)
    slope, _ = reference.predictions(log_snr, variance)["score"]
    np.testing.assert_allclose(slope, -1 / (alpha**2 * variance + sigma**2), rtol=1e-12)
    ones = jnp.ones((7, 1))
    target = diffusion.prediction_target(0 * ones, ones, jnp.asarray(log_snr, jnp.float32), prediction="score")
    np.testing.assert_allclose(target[:, 0], -1 / sigma, rtol=1e-5)


def test_unknown_prediction_is_named_with_the_nearest():
    ones = jnp.ones((2, 1))
    with pytest.raises(ValueError, match="unknown prediction 'velocty'; did you mean 'velocity'"):
        diffusion.prediction_target(ones, ones, jnp.zeros(2), prediction="velocty")


# --- Weights ---

LOG_SNR = np.linspace(-8, 8, 17)
SNR = jnp.asarray(np.exp(LOG_SNR), jnp.float32)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weight_makes_the_same_loss_of_every_prediction(prediction):
    _, left = reference.predictions(LOG_SNR, 1.7)[prediction]
    _, left_of_data = reference.predictions(LOG_SNR, 1.7)["data"]
    weight = diffusion.min_snr_weight(SNR, gamma=5.0, prediction=prediction)
    np.testing.assert_allclose(weight * left, np.minimum(np.exp(LOG_SNR), 5) * left_of_data, rtol=1e-4)


def test_min_snr_weight_of_velocity_has_no_one_inside_its_minimum():
    snr = jnp.array([0.5, 4.5, 99.0])
    # min(SNR + 1, γ) / (SNR + 1), as one leading library had it, is 1, 5/5.5, 0.05.
    expected = [0.5 / 1.5, 4.5 / 5.5, 5.0 / 100]
    np.testing.assert_allclose(diffusion.min_snr_weight(snr, prediction="velocity"), expected, rtol=1e-5)


@pytest.mark.parametrize("weigh", [diffusion.p2_weight, lambda *a, **k: diffusion.sigmoid_weight(*a, bias=1.0, **k)])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_weights_of_the_noise_make_the_same_loss_of_every_prediction(weigh, prediction):
    _, left = reference.predictions(LOG_SNR, 0.6)[prediction]
    _, left_of_noise = reference.predictions(LOG_SNR, 0.6)["noise"]
    np.testing.assert_allclose(weigh(SNR, prediction=prediction) * left, weigh(SNR) * left_of_noise, rtol=1e-4)


def test_p2_and_sigmoid_weights_have_their_values():
    snr = jnp.array([0.0, 1.0, 7.0])
    np.testing.assert_allclose(diffusion.p2_weight(snr), [1, 1 / 2, 1 / 8], rtol=1e-5)
    np.testing.assert_allclose(diffusion.p2_weight(snr, gamma=0.5, k=2.0)[2], 1 / 3, rtol=1e-5)
    np.testing.assert_allclose(diffusion.sigmoid_weight(snr, bias=np.log(7.0)), [1, 7 / 8, 1 / 2], rtol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weight_is_finite_where_the_snr_under_or_overflows(prediction):
    weight = diffusion.min_snr_weight(jnp.array([0.0, np.inf], jnp.float32), prediction=prediction)
    assert np.all(np.isfinite(weight))
    np.testing.assert_allclose(weight[1], 5.0 if prediction == "data" else 0.0, rtol=1e-4, atol=1e-30)
    if prediction == "noise":
        np.testing.assert_allclose(weight[0], 1.0, rtol=1e-4)


def test_weights_of_the_noise_reach_their_limits_for_the_data_where_the_snr_overflows():
    endless = jnp.array([np.inf], jnp.float32)
    np.testing.assert_allclose(diffusion.p2_weight(endless, prediction="data"), 1.0, rtol=1e-4)
    np.testing.assert_allclose(diffusion.sigmoid_weight(endless, bias=2.0, prediction="data"), np.exp(2), rtol=1e-4)


def test_converted_weight_comes_back():
    weight = jnp.asarray(np.linspace(1, 2, 17), jnp.float32)
    there = diffusion.convert_weight(weight, SNR, source="noise", target="velocity")
    np.testing.assert_allclose(there, weight * SNR / (SNR + 1), rtol=1e-4)
    back = diffusion.convert_weight(there, SNR, source="velocity", target="noise")
    np.testing.assert_allclose(back, weight, rtol=1e-4)


def test_adaptive_weight_of_power_one_half_has_the_gradient_of_a_root():
    def weighted(error):
        loss = error**2
        return loss * diffusion.adaptive_weight(loss, power=0.5, offset=0.04)

    for error in (-1.5, 0.0, 0.3):
        expected = jax.grad(lambda e: 2 * jnp.sqrt(e**2 + 0.04))(error)
        np.testing.assert_allclose(jax.grad(weighted)(error), expected, rtol=1e-5)


# --- Preconditioning ---

SIGMA = jnp.array([0.002, 0.1, 0.5, 3.0, 80.0])


def test_edm_preconditioning_keeps_input_and_target_at_variance_one():
    c_skip, c_out, c_in, c_noise = diffusion.edm_preconditioning(SIGMA, sigma_data=0.5)
    variance = 0.25 + SIGMA**2
    np.testing.assert_allclose(c_in**2 * variance, 1, rtol=1e-5)
    # The network's target is (data − c_skip x_t) / c_out.
    of_target = ((1 - c_skip) / c_out, -c_skip * SIGMA / c_out)
    np.testing.assert_allclose(0.25 * of_target[0] ** 2 + of_target[1] ** 2, 1, rtol=1e-4)
    np.testing.assert_allclose(diffusion.edm_weight(SIGMA, sigma_data=0.5) * c_out**2, 1, rtol=1e-5)
    np.testing.assert_allclose(c_noise, np.log(SIGMA) / 4, rtol=1e-5)


def test_edm_skip_is_the_best_denoiser_of_gaussian_data():
    slope, left = reference.regress((1, np.asarray(SIGMA, np.float64)), (1, 0), (0.25, 1))
    np.testing.assert_allclose(diffusion.edm_preconditioning(SIGMA, sigma_data=0.5).c_skip, slope, rtol=1e-5)
    np.testing.assert_allclose(1 / diffusion.edm_weight(SIGMA, sigma_data=0.5), left, rtol=1e-4)


def test_preconditioned_network_is_the_identity_at_the_smallest_sigma_of_consistency_models():
    x_t = jnp.asarray(draw(4, 5, 2), jnp.float32)

    def network(x, c_noise):
        return x + c_noise[:, None]

    moved = diffusion.precondition(network, x_t, SIGMA, sigma_data=0.5, sigma_min=0.002)
    np.testing.assert_allclose(moved[0], x_t[0], rtol=1e-6)
    coefficients = diffusion.consistency_preconditioning(SIGMA, sigma_data=0.5, sigma_min=0.0)
    np.testing.assert_allclose(coefficients, diffusion.edm_preconditioning(SIGMA, sigma_data=0.5), rtol=1e-5)
    plain = diffusion.precondition(network, x_t, SIGMA, sigma_data=0.5)
    c_skip, c_out, c_in, c_noise = (np.asarray(c)[:, None] for c in coefficients)
    np.testing.assert_allclose(plain, c_skip * x_t + c_out * (c_in * x_t + c_noise), rtol=1e-5)
