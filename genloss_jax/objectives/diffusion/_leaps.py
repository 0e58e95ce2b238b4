"""Processes whose network leaps from any noise to any less in one evaluation: consistency models, mean flows."""

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax._names import look_up
from genloss_jax.losses import diffusion as losses
from genloss_jax.objectives.diffusion._process import Process, normal, scale
from genloss_jax.objectives.diffusion._processes import PATHS, karras_path
from genloss_jax.objectives.objective import hyper_value

_RHO = 7.0


def consistency(
    sigma_data: float, sigma_min: float = 0.002, sigma_max: float = 80.0, *, num_intervals: int = 64
) -> Process:
    """Learn where the path from noise to data ends, from any of its points, by asking neighbours for one answer.

    The levels σ are log-normal, with mean `hyper["log_sigma_mean"]` and standard deviation `hyper["log_sigma_std"]`;
    the next level is one of `num_intervals` steps of σ^(1/7) above. Distance and weight are those of iCT: pseudo-Huber
    with c = 0.00054 sqrt(D), over the difference of the levels. The answer is the target of itself. A leap that stops
    before the data adds fresh noise to where the path ends.

    Args:
        sigma_data: standard deviation of the data.
        sigma_min: where the paths end.
        sigma_max: where they begin, with the noise alone; far above the data.
        num_intervals: the more, the nearer neighbours are: less bias, more variance.

    Returns:
        The process.

    Raises:
        ValueError: if not 0 < sigma_min < sigma_max, `sigma_data` is not positive, or there are fewer than two
            intervals.

    References:
        Song et al. 2023, Consistency Models; Song and Dhariwal 2024, Improved Techniques for Training Consistency
        Models.
    """
    coefficients = karras_path(sigma_data, sigma_min, sigma_max)
    if num_intervals < 2:
        raise ValueError(f"num_intervals must be at least 2, got {num_intervals}")
    first, last = sigma_min ** (1 / _RHO), sigma_max ** (1 / _RHO)

    def end(network_fn):
        return lambda x, sigma: losses.precondition(network_fn, x, sigma, sigma_data=sigma_data, sigma_min=sigma_min)

    def loss(network_fn, key, data, hyper):
        level_key, noise_key = jax.random.split(key)
        center, spread = hyper_value(hyper, "log_sigma_mean"), hyper_value(hyper, "log_sigma_std")
        drawn = losses.lognormal_sigmas(level_key, data.shape[0], mean=center, std=spread).astype(data.dtype)
        step = (last - first) / num_intervals
        root = jnp.clip(drawn ** (1 / _RHO), first, last - step)
        sigma, next_sigma = root**_RHO, (root + step) ** _RHO
        huber = 0.00054 * (data.size / data.shape[0]) ** 0.5
        values = losses.consistency_loss(end(network_fn), noise_key, data, sigma, next_sigma, huber=huber)
        return values / (next_sigma - sigma)

    def leap(network_fn, key, x, t, next_t):
        _, sigma = coefficients(t)
        _, next_sigma = coefficients(next_t)
        fresh = jnp.sqrt(jnp.maximum(next_sigma**2 - sigma_min**2, 0.0))
        return end(network_fn)(x, sigma) + scale(fresh, normal(key, x.shape, x.dtype))

    return Process(loss, coefficients, None, leap, hyper={"log_sigma_mean": -1.1, "log_sigma_std": 2.0})


def mean_flow(path: str = "linear", *, instant_share: float = 0.75) -> Process:
    """Learn the mean velocity between any two times; the network is given t and r − t.

    Two times are uniform, and r the later one; for `instant_share` of the examples r = t, which is flow matching. Each
    squared error is divided by itself to the power `hyper["adaptive_power"]`, as a constant.

    Args:
        path: "linear" or "trigonometric".
        instant_share: between 0 and 1.

    Returns:
        The process.

    Raises:
        ValueError: if the path is unknown or the share is not between 0 and 1.

    References:
        Geng et al. 2025, Mean Flows for One-step Generative Modeling.
    """
    coefficients = look_up("path", path, PATHS)
    if not 0 <= instant_share <= 1:
        raise ValueError(f"instant_share must be between 0 and 1, got {instant_share}")

    def mean_velocity(network_fn):
        return lambda x, t, r: network_fn(x, t, r - t)

    def loss(network_fn, key, data, hyper):
        noise_key, time_key, other_key, share_key = jax.random.split(key, 4)
        batch = data.shape[0]
        others = parts.draw(jax.random.uniform, other_key, (batch,))
        times = jnp.stack([losses.stratified_times(time_key, batch), others])
        t, r = jnp.min(times, axis=0).astype(data.dtype), jnp.max(times, axis=0).astype(data.dtype)
        instant = parts.draw(jax.random.uniform, share_key, (batch,)) < instant_share
        t = jnp.where(instant, times[0].astype(data.dtype), t)
        r = jnp.where(instant, t, r)
        noise = normal(noise_key, data.shape, data.dtype)
        values = losses.mean_flow_loss(mean_velocity(network_fn), noise, data, t, r, kind=path)
        return values * losses.adaptive_weight(values, power=hyper_value(hyper, "adaptive_power"))

    def leap(network_fn, key, x, t, next_t):
        del key
        return x + scale(next_t - t, mean_velocity(network_fn)(x, t, next_t))

    return Process(loss, coefficients, None, leap, hyper={"adaptive_power": 1.0}, num_levels=2)
