"""Denoising losses and the likelihood bound on Gaussian data, where the best prediction and its cost are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genloss_jax.losses import diffusion
from tests.reference import diffusion as reference

VARIANCE = 1.7
NUM, DIM = 20_000, 2
PREDICTIONS = ("noise", "data", "velocity", "score")


def gaussian_data(key, num=NUM, std=VARIANCE**0.5):
    return std * jax.random.normal(key, (num, DIM))


def even_times(num=NUM):
    return (jnp.arange(num) + 0.5) / num


def best(prediction, variance=VARIANCE):
    """Return the best prediction of Gaussian data, from the slope that regression gives."""

    def slope(log_snr):  # of x_t, with V the variance of x_t
        alpha, sigma = diffusion.alpha_sigma(log_snr)
        total = alpha**2 * variance + sigma**2
        covariances = {
            "data": alpha * variance,
            "noise": sigma,
            "velocity": alpha * sigma * (1 - variance),
            "score": -jnp.ones_like(sigma),
        }
        return covariances[prediction] / total

    return lambda x_t, log_snr: slope(log_snr)[:, None] * x_t


def assert_mean_is(values, expected, standard_errors=5.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < standard_errors * values.std() / np.sqrt(len(values))


# --- Squared errors ---


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_denoising_loss_of_the_best_prediction_of_gaussian_data_is_irreducible(prediction, key):
    data_key, noise_key = jax.random.split(key)
    log_snr = jnp.linspace(-4, 4, NUM)
    weight = jnp.linspace(0.5, 2, NUM)
    data, noise = gaussian_data(data_key), jax.random.normal(noise_key, (NUM, DIM))

    @jax.jit
    def evaluate(data, noise):
        predicted = best(prediction)(diffusion.diffuse(data, noise, log_snr), log_snr)
        target = diffusion.prediction_target(data, noise, log_snr, prediction=prediction)
        return diffusion.denoising_loss(predicted, target, weight=weight)

    loss = evaluate(data, noise)
    _, left = reference.predictions(np.asarray(log_snr, np.float64), VARIANCE)[prediction]
    assert_mean_is(loss / (weight * DIM * left), 1.0)


def test_irreducible_losses_are_the_closed_forms_of_the_paper_formulas():
    log_snr = np.linspace(-4, 4, 9)
    alpha, sigma = reference.variance_preserving(log_snr)
    total = alpha**2 * VARIANCE + sigma**2
    left = {kind: value[1] for kind, value in reference.predictions(log_snr, VARIANCE).items()}
    np.testing.assert_allclose(left["data"], VARIANCE * sigma**2 / total, rtol=1e-12)
    np.testing.assert_allclose(left["noise"], VARIANCE * alpha**2 / total, rtol=1e-12)
    np.testing.assert_allclose(left["velocity"], VARIANCE / total, rtol=1e-12)


def test_denoising_loss_sums_over_all_axes_and_takes_a_scalar_weight():
    ones = jnp.ones((2, 3, 4))
    np.testing.assert_allclose(diffusion.denoising_loss(ones, 3 * ones), [48.0, 48.0], rtol=1e-6)
    np.testing.assert_allclose(diffusion.denoising_loss(ones, 3 * ones, weight=0.5), [24.0, 24.0], rtol=1e-6)


def test_denoising_loss_names_a_weight_that_does_not_fit(unchecked):
    ones = jnp.ones((2, 3))
    with pytest.raises(ValueError, match="weight must be floating and hold one number per example"):
        diffusion.denoising_loss(ones, ones, weight=jnp.ones((2, 1)))


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_edm_loss_of_gaussian_data_is_one_per_dimension_at_every_sigma_plus_what_the_network_adds(offset, key):
    data_key, noise_key = jax.random.split(key)
    sigma = jnp.repeat(jnp.array([0.002, 0.1, 0.5, 3.0, 80.0]), NUM // 5)
    data = gaussian_data(data_key, std=0.5)

    @jax.jit
    def loss(key):
        return diffusion.edm_loss(lambda x, c_noise: jnp.full_like(x, offset), key, data, sigma, sigma_data=0.5)

    for at_one_sigma in np.asarray(loss(noise_key)).reshape(5, -1):
        assert_mean_is(at_one_sigma, DIM * (1 + offset**2))


def test_edm_loss_names_a_network_that_changes_the_shape(key, unchecked):
    with pytest.raises(ValueError, match="network_fn must return the shape"):
        diffusion.edm_loss(lambda x, c: x[:1], key, jnp.ones((2, 1)), jnp.ones(2), sigma_data=1.0)


# --- The likelihood bound ---

ENDS = {"log_snr_max": 13.0, "log_snr_min": -5.0}


def bent_log_snr(t):
    return 13.0 - 18.0 * t**3


SCHEDULES = {
    "linear": lambda t: diffusion.linear_log_snr(t, **ENDS),
    "cosine": lambda t: diffusion.cosine_log_snr(t, **ENDS),
    "bent": bent_log_snr,
}


def vdm_loss(key, prediction="noise", **options):
    data_key, noise_key = jax.random.split(key)
    data = gaussian_data(data_key)
    loss = jax.jit(
        lambda key: diffusion.vdm_loss(best(prediction), key, data, even_times(), prediction=prediction, **options)
    )
    return loss(noise_key)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_continuous_vdm_loss_of_gaussian_data_is_the_same_closed_form_for_every_schedule(schedule, key):
    expected = reference.diffusion_term(13.0, -5.0, VARIANCE)
    np.testing.assert_allclose(expected, 6.7596, atol=1e-4)
    assert_mean_is(vdm_loss(key, log_snr_fn=SCHEDULES[schedule]), DIM * expected)


@pytest.mark.parametrize("prediction", ["data", "velocity", "score"])
def test_vdm_loss_is_that_of_the_noise_whatever_is_predicted(prediction, key):
    expected = DIM * reference.diffusion_term(13.0, -5.0, VARIANCE)
    assert_mean_is(vdm_loss(key, prediction, log_snr_fn=SCHEDULES["linear"]), expected)


@pytest.mark.parametrize("num_steps", [10, 100])
def test_vdm_loss_in_steps_is_the_sum_of_the_divergences_of_gaussian_posteriors(num_steps, key):
    expected = reference.stepwise_diffusion_term(np.linspace(13, -5, num_steps + 1), VARIANCE)
    assert_mean_is(vdm_loss(key, log_snr_fn=SCHEDULES["linear"], num_steps=num_steps), DIM * expected)


def test_diffusion_term_in_steps_is_larger_than_the_continuous_one_and_falls_with_their_number():
    terms = [reference.stepwise_diffusion_term(np.linspace(13, -5, num + 1), VARIANCE) for num in (10, 100, 1000)]
    np.testing.assert_allclose(terms[1:], [7.357, 6.816], atol=1e-3)
    assert terms[0] > terms[1] > terms[2] > reference.diffusion_term(13.0, -5.0, VARIANCE)


def test_steps_of_vdm_loss_are_the_kl_of_the_posteriors_that_one_prediction_leaves(key):
    # One step from s to t: KL(q(x_s | x_t, x) || q(x_s | x_t, x̂)) in closed form, for any prediction.
    gamma_s, gamma_t = 1.0, -0.5
    (alpha_s, sigma_s), (alpha_t, sigma_t) = (reference.variance_preserving(gamma) for gamma in (gamma_s, gamma_t))
    data = np.array([[0.7, -1.2]])

    @jax.jit
    def loss_and_x_t(key):
        seen = []

        def prediction_fn(x_t, log_snr):
            seen.append(x_t)
            return 0.3 * x_t

        loss = diffusion.vdm_loss(
            prediction_fn, key, jnp.asarray(data, jnp.float32), jnp.array([1.0]),
            log_snr_fn=lambda t: gamma_s + t * (gamma_t - gamma_s), prediction="data", num_steps=1,
        )  # fmt: skip
        return loss, seen[0]

    loss, x_t = loss_and_x_t(key)
    x_t = np.asarray(x_t, np.float64)
    # q(x_s | x_t, x): product of N(x_s; α_s x, σ_s²) and N(x_t; α_ts x_s, σ_ts²)
    ratio = alpha_t / alpha_s
    step = sigma_t**2 - ratio**2 * sigma_s**2
    variance = 1 / (1 / sigma_s**2 + ratio**2 / step)

    def mean(x):
        return variance * (alpha_s * x / sigma_s**2 + ratio * x_t / step)

    expected = reference.gaussian_kl(mean(data), variance, mean(0.3 * x_t), variance).sum()
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


def test_vdm_loss_does_not_move_the_inside_of_the_schedule(key):
    data_key, noise_key = jax.random.split(key)
    data = gaussian_data(data_key)

    def loss(bend):
        return diffusion.vdm_loss(
            best("noise"),
            jax.random.clone(noise_key),
            data,
            even_times(),
            log_snr_fn=lambda t: 4.0 - 8.0 * t + bend * jnp.sin(jnp.pi * t),
        )

    slopes = jax.jit(jax.jacfwd(loss))(0.5)
    assert np.std(slopes) > 0.1
    assert_mean_is(slopes, 0.0)


def test_vdm_loss_pushes_a_wrong_prediction_towards_the_best_one(key):
    data_key, noise_key = jax.random.split(key)
    data = gaussian_data(data_key, 4000)

    @jax.jit
    @jax.grad
    def slope(scale, key):
        def prediction_fn(x_t, log_snr):
            return scale * best("noise")(x_t, log_snr)

        return jnp.mean(diffusion.vdm_loss(prediction_fn, key, data, even_times(4000)))

    assert slope(0.5, noise_key) < -1 < 1 < slope(1.5, jax.random.clone(noise_key))


def bound(key, data, schedule, scale=1.0, **options):
    """Bound Gaussian data under a multiple of the best prediction of their noise."""

    def prediction_fn(x_t, log_snr):
        return scale * best("noise")(x_t, log_snr)

    return jax.jit(
        lambda key: diffusion.variational_bound_terms(
            prediction_fn, key, data, even_times(len(data)), log_snr_fn=schedule, **options
        )
    )(key)


def test_terms_of_the_bound_have_their_closed_forms_on_gaussian_data(key):
    data_key, noise_key = jax.random.split(key)
    data = gaussian_data(data_key)
    prior, diffusion_term, reconstruction = bound(noise_key, data, SCHEDULES["linear"])
    alpha, sigma = reference.variance_preserving(-5.0)
    expected = reference.gaussian_kl(alpha * np.asarray(data, np.float64), sigma**2, 0.0, 1.0).sum(1)
    np.testing.assert_allclose(prior, expected, rtol=1e-3)
    assert_mean_is(diffusion_term, DIM * reference.diffusion_term(13.0, -5.0, VARIANCE))
    # the entropy of N(0, 1 / SNR)
    assert_mean_is(reconstruction, DIM * 0.5 * (np.log(2 * np.pi * np.e) - 13.0))


def test_bound_is_the_entropy_of_the_data_at_the_best_prediction(key):
    data_key, noise_key = jax.random.split(key)
    data = gaussian_data(data_key)
    terms = bound(noise_key, data, lambda t: 14.0 - 28.0 * t)
    entropy = DIM * 0.5 * np.log(2 * np.pi * np.e * VARIANCE)
    # Each term of the sum that is left over is of the order of e^-14.
    assert_mean_is(terms.prior + terms.diffusion + terms.reconstruction, entropy)


def test_bound_of_a_wrong_prediction_lies_above_the_entropy(key):
    data_key, noise_key = jax.random.split(key)
    data = gaussian_data(data_key, 4000)
    terms = bound(
        noise_key,
        data,
        lambda t: 14.0 - 28.0 * t,
        scale=0.5,
        num_steps=500,
    )
    assert np.mean(sum(terms)) > DIM * 0.5 * np.log(2 * np.pi * np.e * VARIANCE) + 1.0


@pytest.mark.parametrize("num_steps", [0, -3])
def test_vdm_loss_names_a_number_of_steps_below_one(num_steps, key):
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        diffusion.vdm_loss(best("noise"), key, jnp.ones((2, 1)), jnp.ones(2), num_steps=num_steps)


# --- Reconstruction ---


def test_gaussian_reconstruction_nll_is_the_density_of_a_normal_around_what_is_read(key):
    data, z_0 = (np.asarray(jax.random.normal(k, (3, 2, 2))) for k in jax.random.split(key))
    log_snr = np.array([-1.0, 0.5, 3.0])
    alpha, _ = reference.variance_preserving(log_snr)
    shape = (3, 1, 1)
    expected = -stats.norm.logpdf(data, z_0 / alpha.reshape(shape), np.exp(-0.5 * log_snr).reshape(shape)).sum((1, 2))
    value = diffusion.gaussian_reconstruction_nll(
        jnp.asarray(z_0), jnp.asarray(data), jnp.asarray(log_snr, jnp.float32)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-4)


VALUES = np.linspace(-1, 1, 9)


def test_discrete_reconstruction_nll_is_a_softmax_over_the_values(key):
    z_0 = np.asarray(jax.random.normal(key, (4, 3)))
    index = np.random.default_rng(0).integers(9, size=(4, 3))
    log_snr = np.array([0.0, 1.0, 3.0, 5.0])
    alpha, _ = reference.variance_preserving(log_snr)
    logits = -0.5 * np.exp(log_snr)[:, None, None] * (z_0[..., None] / alpha[:, None, None] - VALUES) ** 2
    expected = -np.take_along_axis(special.log_softmax(logits, -1), index[..., None], -1).sum((1, 2))
    arrays = (jnp.asarray(a, jnp.float32) for a in (z_0, VALUES[index], log_snr))
    value = jax.jit(partial(diffusion.discrete_reconstruction_nll, values=jnp.asarray(VALUES, jnp.float32)))(*arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("log_snr", [-10.0, 4.0, 30.0])
def test_discrete_reconstruction_sums_to_one_over_the_values_and_has_finite_gradients(log_snr):
    values = jnp.asarray(VALUES, jnp.float32)

    def nll(z_0):
        return diffusion.discrete_reconstruction_nll(
            jnp.full((9, 1), z_0), values[:, None], jnp.full((9,), log_snr), values=values
        )

    value, slope = jax.jit(lambda z_0: jax.jvp(nll, (z_0,), (1.0,)))(0.31)
    np.testing.assert_allclose(np.sum(np.exp(-value)), 1.0, rtol=1e-4)
    assert np.all(np.isfinite(slope))


def test_bound_takes_a_discrete_decoder(key):
    values = jnp.asarray(VALUES, jnp.float32)
    data = values[jnp.arange(3 * 9).reshape(-1, 1) % 9]
    terms = bound(
        key, data, diffusion.linear_log_snr,
        reconstruction_fn=lambda z_0, x, log_snr: diffusion.discrete_reconstruction_nll(z_0, x, log_snr, values=values),
    )  # fmt: skip
    # At a log-SNR of 13.3 the values are 160 standard deviations apart.
    np.testing.assert_allclose(terms.reconstruction, 0, atol=1e-6)
