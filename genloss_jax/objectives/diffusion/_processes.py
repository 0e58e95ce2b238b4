"""Processes that are run back by solving an equation: flow matching, DDPM, EDM, variational diffusion."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax._names import look_up
from genloss_jax.losses import diffusion as losses
from genloss_jax.objectives.diffusion._process import Process, flat_normal, normal, scale
from genloss_jax.objectives.objective import check_counts, hyper_value

PATHS: dict[str, Callable[[jax.Array], tuple[jax.Array, jax.Array]]] = {
    "linear": lambda t: (t, 1 - t),
    "trigonometric": lambda t: (jnp.sin(0.5 * jnp.pi * t), jnp.cos(0.5 * jnp.pi * t)),
}
COUPLINGS = {"independent": losses.independent, "optimal_transport": losses.optimal_transport}


def flow_matching(path: str = "linear", coupling: str = "independent") -> Process:
    """Learn the velocity from noise to data; the network is given the time.

    Args:
        path: "linear" or "trigonometric".
        coupling: of the noise and the data of a batch, "independent" or "optimal_transport".

    Returns:
        The process.

    Raises:
        ValueError: if a name is unknown.

    References:
        Lipman et al. 2023, Flow Matching for Generative Modeling; Tong et al. 2024, Improving and Generalizing
        Flow-Based Generative Models with Minibatch Optimal Transport.
    """
    coefficients = look_up("path", path, PATHS)
    couple = look_up("coupling", coupling, COUPLINGS)
    independent = coupling == "independent"

    def loss(network_fn, key, data, hyper):
        noise_key, couple_key, time_key, loss_key = jax.random.split(key, 4)

        def coupled(key, shape):
            noise = flat_normal(key, shape, data.dtype)
            # Independent noise is dealt out blindly: it is spared the data of the other parts.
            return couple(couple_key, noise, noise if independent else parts.whole(data, f"the coupling {coupling!r}"))

        noise = parts.draw(coupled, noise_key, data.shape)
        t = losses.stratified_times(time_key, data.shape[0]).astype(data.dtype)
        return losses.flow_matching_loss(network_fn, loss_key, noise, data, t, kind=path)

    def predict(network_fn, x, t):
        # x = α data + σ noise and dx/dt = α' data + σ' noise, solved for both.
        (alpha, sigma), (alpha_slope, sigma_slope) = jax.jvp(coefficients, (t,), (jnp.ones_like(t),))
        velocity = network_fn(x, t)
        determinant = alpha * sigma_slope - sigma * alpha_slope
        data = scale(sigma_slope / determinant, x) - scale(sigma / determinant, velocity)
        noise = scale(alpha / determinant, velocity) - scale(alpha_slope / determinant, x)
        return data, noise

    return Process(loss, coefficients, predict, gaussian=independent)


def ddpm(prediction: str = "noise", min_snr: bool = False) -> Process:
    """Learn to denoise at the noise levels of DDPM; the way back goes evenly through the log-SNR.

    The network is given ¼ log(σ / α), and predicts "noise", "data" or "velocity". The loss is its squared error, with
    weight 1 or with that of min-SNR at γ = `hyper["min_snr_gamma"]`.

    Args:
        prediction: what the network predicts.
        min_snr: whether to weigh.

    Returns:
        The process.

    Raises:
        ValueError: if the prediction is unknown.

    References:
        Ho et al. 2020, Denoising Diffusion Probabilistic Models; Hang et al. 2023, Efficient Diffusion Training via
        Min-SNR Weighting Strategy.
    """
    look_up("prediction", prediction, dict.fromkeys(("noise", "data", "velocity")))
    # One of DDPM's thousand steps is the least noise: at none at all the log-SNR is infinite.
    least = 1e-3
    ends = jnp.array([1.0, least])

    def log_snr_at(t):
        low, high = losses.linear_beta_log_snr(ends)
        return low + t * (high - low)

    def loss(network_fn, key, data, hyper):
        time_key, noise_key = jax.random.split(key)
        t = least + (1 - least) * losses.stratified_times(time_key, data.shape[0]).astype(data.dtype)
        log_snr = losses.linear_beta_log_snr(t)
        noise = normal(noise_key, data.shape, data.dtype)
        weight: Any = 1.0
        if min_snr:
            gamma = hyper_value(hyper, "min_snr_gamma")
            weight = losses.min_snr_weight(jnp.exp(log_snr), gamma=gamma, prediction=prediction)
        predicted = network_fn(losses.diffuse(data, noise, log_snr), _level(log_snr))
        target = losses.prediction_target(data, noise, log_snr, prediction=prediction)
        return losses.denoising_loss(predicted, target, weight=weight)

    hyper = {"min_snr_gamma": 5.0} if min_snr else {}
    coefficients, predict = _by_log_snr(log_snr_at, prediction)
    return Process(loss, coefficients, predict, hyper=hyper)


def edm(sigma_data: float, sigma_min: float = 0.002, sigma_max: float = 80.0) -> Process:
    """Learn to denoise with EDM's preconditioning, at levels σ whose logarithm is normal.

    Its mean is `hyper["log_sigma_mean"]`, its standard deviation `hyper["log_sigma_std"]`. The signal is not scaled;
    the way back goes evenly through σ^(1/7). The network is given ¼ log σ.

    Args:
        sigma_data: standard deviation of the data.
        sigma_min: where the way back ends.
        sigma_max: where it begins, with the noise alone; far above the data.

    Returns:
        The process.

    Raises:
        ValueError: if not 0 < sigma_min < sigma_max, or `sigma_data` is not positive.

    References:
        Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """
    coefficients = karras_path(sigma_data, sigma_min, sigma_max)

    def loss(network_fn, key, data, hyper):
        level_key, noise_key = jax.random.split(key)
        center, spread = hyper_value(hyper, "log_sigma_mean"), hyper_value(hyper, "log_sigma_std")
        sigma = losses.lognormal_sigmas(level_key, data.shape[0], mean=center, std=spread).astype(data.dtype)
        return losses.edm_loss(network_fn, noise_key, data, sigma, sigma_data=sigma_data)

    def predict(network_fn, x, t):
        _, sigma = coefficients(t)
        data = losses.precondition(network_fn, x, sigma, sigma_data=sigma_data)
        return data, scale(1 / sigma, x - data)

    return Process(loss, coefficients, predict, hyper={"log_sigma_mean": -1.2, "log_sigma_std": 1.2})


def vdm(
    values: jax.Array | None = None,
    *,
    log_snr_max: float = 13.3,
    log_snr_min: float = -5.0,
    num_bound_samples: int = 50,
) -> Process:
    """Learn to predict the noise by the bound on the likelihood itself; the log-SNR falls linearly from data to noise.

    The network is given ¼ log(σ / α). The loss is the diffusion term, the other two hold nothing to learn.

    Args:
        values: what a number of the data can be, `[K]`, for data on levels, whose probability is bounded; None for a
            density.
        log_snr_max: of the least noise, at which the data are read.
        log_snr_min: of the most.
        num_bound_samples: times per example in the bound that is reported.

    Returns:
        The process.

    Raises:
        ValueError: if the ends are out of order, or `num_bound_samples` is below 1.

    References:
        Kingma et al. 2021, Variational Diffusion Models, with a schedule that is not learned.
    """
    if not log_snr_min < log_snr_max:
        raise ValueError(f"log_snr_min must be below log_snr_max={log_snr_max}, got {log_snr_min}")
    check_counts(num_bound_samples=num_bound_samples)
    # The losses count time from data to noise.
    log_snr_fn = partial(losses.linear_log_snr, log_snr_max=log_snr_max, log_snr_min=log_snr_min)
    reconstruct = None if values is None else partial(losses.discrete_reconstruction_nll, values=values)

    def noise_fn(network_fn):
        return lambda x, log_snr: network_fn(x, _level(log_snr))

    def loss(network_fn, key, data, hyper):
        time_key, noise_key = jax.random.split(key)
        t = losses.stratified_times(time_key, data.shape[0]).astype(data.dtype)
        return losses.vdm_loss(noise_fn(network_fn), noise_key, data, t, log_snr_fn=log_snr_fn)

    def bound(network_fn, key, data):
        offset_key, noise_key = jax.random.split(key)
        offsets = jax.random.uniform(offset_key, data.shape[:1], data.dtype)

        def at(index):
            # Each example's times cover [0, 1] evenly.
            t = (offsets + index) / num_bound_samples
            terms = losses.variational_bound_terms(
                noise_fn(network_fn),
                jax.random.fold_in(noise_key, index),
                data,
                t,
                log_snr_fn=log_snr_fn,
                reconstruction_fn=reconstruct,
            )
            return terms.prior + terms.diffusion + terms.reconstruction

        return jnp.mean(jax.lax.map(at, jnp.arange(num_bound_samples)), axis=0)

    coefficients, predict = _by_log_snr(lambda t: log_snr_fn(1 - t), "noise")
    return Process(loss, coefficients, predict, bound=bound)


def karras_path(
    sigma_data: float, sigma_min: float, sigma_max: float
) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Give the coefficients of data + σ noise with σ^(1/7) even in time, or say what is wrong with the numbers."""
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"sigma_min must be between 0 and sigma_max={sigma_max}, got {sigma_min}")
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")

    def coefficients(t):
        log_snr = losses.karras_log_snr(1 - t, sigma_min=sigma_min, sigma_max=sigma_max)
        return jnp.ones_like(t), losses.noise_to_signal(log_snr)

    return coefficients


def _level(log_snr):
    """Give the network ¼ log(σ / α), a number of order 1."""
    return -0.125 * log_snr


def _by_log_snr(log_snr_at, prediction):
    """Give the coefficients and the prediction of a network that is told the log-SNR."""

    def predict(network_fn, x, t):
        log_snr = log_snr_at(t)
        value = network_fn(x, _level(log_snr))
        convert = partial(losses.convert_prediction, value, x, log_snr, source=prediction)
        return convert(target="data"), convert(target="noise")

    return lambda t: losses.alpha_sigma(log_snr_at(t)), predict
