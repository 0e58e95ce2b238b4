"""Stochastic differential equations, and the stochastic way back from noise to data."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.samplers.march import MarchStep, stepper

DriftFn = Callable[[Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]
"""Maps x and the time to the drift, in the shape of x."""

DenoiseFn = Callable[[Float[Array, "..."], Float[Array, ""]], tuple[Float[Array, "..."], Float[Array, "..."]]]
"""Maps x_t and the time to what the data and the noise in it are expected to be, each in the shape of x_t."""

CoefficientsFn = Callable[[Float[Array, ""]], tuple[Float[Array, ""], Float[Array, ""]]]
"""Maps the time to (α, σ) of x_t = α data + σ noise."""


def euler_maruyama(
    drift_fn: DriftFn, diffusion_fn: Callable[[Float[Array, ""]], Float[Array, ""]], times: Float[Array, " times"]
) -> MarchStep:
    """Make a step of dx = drift(x, t) dt + diffusion(t) dW.

    x + h drift(x, t) + sqrt|h| diffusion(t) ε, h = next t − t: weak order 1. With falling times it is a step of the
    equation that runs backwards, whose drift is the caller's.

    Args:
        drift_fn: maps x and t to the drift.
        diffusion_fn: maps t to the standard deviation of the noise per square root of time.
        times: `[N + 1]`, rising or falling.

    Returns:
        `(key, state) -> (state, info)`, with x an array.

    Raises:
        ValueError: if there are fewer than two times.
    """

    def move(key, x, t, next_t):
        size = next_t - t
        noise = jax.random.normal(key, x.shape, x.dtype)
        return x + size * drift_fn(x, t) + jnp.sqrt(jnp.abs(size)) * diffusion_fn(t) * noise

    return stepper(move, times)


def ancestral(
    denoise_fn: DenoiseFn,
    coefficients_fn: CoefficientsFn,
    times: Float[Array, " times"],
    *,
    stochasticity: float | Float[Array, ""] = 1.0,
) -> MarchStep:
    """Make a step from more noise to less, by the posterior of the noising process.

    x_s = α_s x̂ + sqrt(σ_s² − γ²) ε̂ + γ ε, γ² = η² σ_s² (1 − SNR_t / SNR_s)

    With η = 1 and x̂ the data themselves this is q(x_s | x_t, data) of the Markov process that noises data (DDPM with
    the smaller of its two variances); with η = 0 it is deterministic (DDIM), a first-order step of the ODE.

    Args:
        denoise_fn: maps x_t and t to (x̂, ε̂), such that x_t = α_t x̂ + σ_t ε̂.
        coefficients_fn: maps t to (α, σ); SNR = α² / σ² must rise along the times. At the first time σ > 0, at the
            last it may be 0.
        times: `[N + 1]`, from noise to data.
        stochasticity: η, between 0 and 1.

    Returns:
        `(key, state) -> (state, info)`, with x an array.

    Raises:
        ValueError: if there are fewer than two times, or `stochasticity` is a number outside [0, 1].

    References:
        Ho et al. 2020, Denoising Diffusion Probabilistic Models, equation 7; Song et al. 2021, Denoising Diffusion
        Implicit Models, equations 12 and 16.
    """
    if isinstance(stochasticity, int | float) and not 0 <= stochasticity <= 1:
        raise ValueError(f"stochasticity must be between 0 and 1, got {stochasticity}")

    def move(key, x, t, next_t):
        data, noise = denoise_fn(x, t)
        alpha, sigma = coefficients_fn(t)
        next_alpha, next_sigma = coefficients_fn(next_t)
        # SNR_t / SNR_s; at most 1, above it by rounding where a step stands still
        ratio = jnp.minimum((alpha * next_sigma / (next_alpha * sigma)) ** 2, 1.0)
        share = stochasticity**2 * (1 - ratio)
        fresh = jax.random.normal(key, x.shape, x.dtype)
        return next_alpha * data + next_sigma * (jnp.sqrt(1 - share) * noise + jnp.sqrt(share) * fresh)

    return stepper(move, times)
