"""Denoising diffusion and flow matching: one network, a way to noise data, and the way back."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax import samplers
from genloss_jax._names import look_up
from genloss_jax.losses import diffusion as losses
from genloss_jax.networks.network import Network
from genloss_jax.objectives.objective import Hyper, Objective, Variables, hyper_value, mean, num_examples
from genloss_jax.samplers.ode import METHODS

MODEL = "model"

# Above so many dimensions the divergence is estimated: the exact one costs a derivative per dimension.
_MOST_EXACT_DIMS = 8

NetworkFn = Callable[[jax.Array, jax.Array], jax.Array]


class Process(NamedTuple):
    """How data become noise, what a network learns of it, and what its output says.

    Time runs from noise at t = 0 to data at t = 1, at the pace of the solver: x_t = α(t) data + σ(t) noise.

    Attributes:
        loss: `(network_fn, key, data [B, ...], hyper) -> [B]`, where `network_fn(x [B, ...], level [B])`.
        coefficients: `t -> (α, σ)`, entry by entry, differentiable.
        predict: `(network_fn, x_t [B, ...], t [B]) -> (data, noise)`, each `[B, ...]`, what both are expected to be.
        hyper: the traced scalars that `loss` reads, and their values where nothing else is said.
        gaussian: whether the noise is independent of the data, so that the process can be run back with fresh noise.
    """

    loss: Callable[[NetworkFn, jax.Array, jax.Array, Hyper], jax.Array]
    coefficients: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    predict: Callable[[NetworkFn, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    hyper: Mapping[str, float] = {}
    gaussian: bool = True


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

    def loss(network_fn, key, data, hyper):
        noise_key, couple_key, time_key, loss_key = jax.random.split(key, 4)
        noise = couple(couple_key, _normal(noise_key, data.shape, data.dtype), data)
        t = losses.stratified_times(time_key, data.shape[0]).astype(data.dtype)
        return losses.flow_matching_loss(network_fn, loss_key, noise, data, t, kind=path)

    def predict(network_fn, x, t):
        # x = α data + σ noise and dx/dt = α' data + σ' noise, solved for both.
        (alpha, sigma), (alpha_slope, sigma_slope) = jax.jvp(coefficients, (t,), (jnp.ones_like(t),))
        velocity = network_fn(x, t)
        determinant = alpha * sigma_slope - sigma * alpha_slope
        data = _scale(sigma_slope / determinant, x) - _scale(sigma / determinant, velocity)
        noise = _scale(alpha / determinant, velocity) - _scale(alpha_slope / determinant, x)
        return data, noise

    return Process(loss, coefficients, predict, gaussian=coupling == "independent")


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

    def level_of(log_snr):
        return -0.125 * log_snr

    def loss(network_fn, key, data, hyper):
        time_key, noise_key = jax.random.split(key)
        t = least + (1 - least) * losses.stratified_times(time_key, data.shape[0]).astype(data.dtype)
        log_snr = losses.linear_beta_log_snr(t)
        noise = _normal(noise_key, data.shape, data.dtype)
        weight: Any = 1.0
        if min_snr:
            gamma = hyper_value(hyper, "min_snr_gamma")
            weight = losses.min_snr_weight(jnp.exp(log_snr), gamma=gamma, prediction=prediction)
        predicted = network_fn(losses.diffuse(data, noise, log_snr), level_of(log_snr))
        target = losses.prediction_target(data, noise, log_snr, prediction=prediction)
        return losses.denoising_loss(predicted, target, weight=weight)

    def predict(network_fn, x, t):
        log_snr = log_snr_at(t)
        value = network_fn(x, level_of(log_snr))
        convert = partial(losses.convert_prediction, value, x, log_snr, source=prediction)
        return convert(target="data"), convert(target="noise")

    hyper = {"min_snr_gamma": 5.0} if min_snr else {}
    return Process(loss, lambda t: losses.alpha_sigma(log_snr_at(t)), predict, hyper)


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
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"sigma_min must be between 0 and sigma_max={sigma_max}, got {sigma_min}")
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")

    def coefficients(t):
        log_snr = losses.karras_log_snr(1 - t, sigma_min=sigma_min, sigma_max=sigma_max)
        return jnp.ones_like(t), losses.noise_to_signal(log_snr)

    def loss(network_fn, key, data, hyper):
        level_key, noise_key = jax.random.split(key)
        center, spread = hyper_value(hyper, "log_sigma_mean"), hyper_value(hyper, "log_sigma_std")
        sigma = losses.lognormal_sigmas(level_key, data.shape[0], mean=center, std=spread).astype(data.dtype)
        return losses.edm_loss(network_fn, noise_key, data, sigma, sigma_data=sigma_data)

    def predict(network_fn, x, t):
        _, sigma = coefficients(t)
        data = losses.precondition(network_fn, x, sigma, sigma_data=sigma_data)
        return data, _scale(1 / sigma, x - data)

    return Process(loss, coefficients, predict, {"log_sigma_mean": -1.2, "log_sigma_std": 1.2})


PROCESSES: dict[str, Callable[..., Process]] = {"flow_matching": flow_matching, "ddpm": ddpm, "edm": edm}
SAMPLERS = (*METHODS, "ancestral")


def diffusion(
    network: Network,
    process: Process,
    *,
    shape: tuple[int, ...],
    sampler: str = "rk4",
    num_steps: int = 50,
    num_likelihood_steps: int = 50,
) -> Objective:
    """Train a network to lead noise to data.

    The way back is the ODE dx/dt = α'(t) data + σ'(t) noise with what the network takes both for, from N(0, σ(0)² I)
    at t = 0 to the samples at t = 1; or, with the sampler "ancestral", the process in reverse, with fresh noise.
    `log_prob` is that of the ODE's samples, by the change of variables with Runge-Kutta steps: exact up to the error of
    the solver in 8 dimensions or fewer; above, an estimate along one random direction.

    Args:
        network: `apply(params, state, x [B, *shape], level [B])` gives `[B, *shape]`. It has no state of its own.
        process: what is learned and how data become noise: `flow_matching()`, `ddpm()`, `edm(sigma_data)`.
        shape: of one example.
        sampler: "euler", "heun" or "rk4", which solve the ODE, or "ancestral".
        num_steps: of the sampler.
        num_likelihood_steps: of the Runge-Kutta method in `log_prob`.

    Returns:
        An objective with one player, "model".

    Raises:
        ValueError: if an option is unknown or out of range or does not fit the process, and while tracing, if network
            and batch do not fit.

    References:
        Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations, section 4.3.
    """
    look_up("sampler", sampler, dict.fromkeys(SAMPLERS))
    if sampler == "ancestral" and not process.gaussian:
        raise ValueError("sampler 'ancestral' needs noise that is independent of the data, which this coupling is not")
    for name, value in (("num_steps", num_steps), ("num_likelihood_steps", num_likelihood_steps)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    exact = math.prod(shape) <= _MOST_EXACT_DIMS

    def init(key, batch):
        x = batch["x"]
        levels = jnp.zeros((num_examples(batch),), x.dtype)
        params, state = network.init(key, x, levels)
        if jax.tree.leaves(state):
            raise ValueError(
                f"network must have no state of its own, because a batch holds many noise levels; got {sorted(state)}"
            )
        output, _ = jax.eval_shape(lambda *given: network.apply(*given), params, state, x, levels)
        if output.shape != x.shape or x.shape[1:] != tuple(shape):
            raise ValueError(
                f"network must map the data's shape {x.shape[1:]} and shape={tuple(shape)} to itself; "
                f"got {output.shape[1:]}"
            )
        return Variables({MODEL: params}, {})

    def network_fn(params, **options) -> NetworkFn:
        return lambda x, level: network.apply(params[MODEL], {}, x, level, **options)[0]

    def predict(params, x, t):
        return process.predict(network_fn(params), x, jnp.full(x.shape[:1], t, x.dtype))

    def velocity(params, x, t):
        _, (alpha_slope, sigma_slope) = jax.jvp(process.coefficients, (t,), (jnp.ones_like(t),))
        data, noise = predict(params, x, t)
        return alpha_slope * data + sigma_slope * noise

    def base_std(dtype):
        return process.coefficients(jnp.zeros((), dtype))[1]

    def loss(params, aux, batch, key, hyper):
        process_key, network_key = jax.random.split(key)
        values = process.loss(network_fn(params, train=True, key=network_key), process_key, batch["x"], hyper)
        return mean(values), ({}, aux)

    def sample(params, aux, key, num):
        noise_key, run_key = jax.random.split(key)
        x = base_std(jnp.float32) * _normal(noise_key, (num, *shape), jnp.float32)
        times = jnp.linspace(0.0, 1.0, num_steps + 1)
        if sampler == "ancestral":
            step = samplers.ancestral(partial(predict, params), process.coefficients, times)
        else:
            step = samplers.ode(partial(velocity, params), times, method=sampler)
        end, _ = samplers.run(step, run_key, samplers.start(x), num_steps)
        return end.x

    def log_prob(params, aux, batch, key):
        x = batch["x"]
        std = base_std(x.dtype)

        def base_log_prob(noise):
            squared = jnp.sum(jnp.square(noise / std), axis=tuple(range(1, noise.ndim)))
            return -0.5 * squared - math.prod(shape) * (jnp.log(std) + 0.5 * math.log(2 * math.pi))

        times = jnp.linspace(1.0, 0.0, num_likelihood_steps + 1, dtype=x.dtype)
        return samplers.flow_log_prob(partial(velocity, params), base_log_prob, x, times, key=None if exact else key)

    return Objective(init, {MODEL: loss}, sample, log_prob, "exact" if exact else "estimate")


def _normal(key, shape, dtype):
    # A flat draw is bitwise the same, and compiles several times faster on CPU.
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def _scale(numbers, examples):
    return numbers.reshape(numbers.shape + (1,) * (examples.ndim - 1)) * examples
