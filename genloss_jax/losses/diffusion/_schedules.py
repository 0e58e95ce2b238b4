"""Noise schedules: log signal-to-noise ratios that fall as time runs from data (t = 0) to noise (t = 1)."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.losses.diffusion._shared import Scalar

LogSNRFn = Callable[[Float[Array, "..."]], Float[Array, "..."]]
"""Maps times in [0, 1] to log-SNR, entry by entry, falling."""


def linear_log_snr(
    t: Float[Array, "..."], *, log_snr_max: Scalar = 13.3, log_snr_min: Scalar = -5.0
) -> Float[Array, "..."]:
    """Let the log-SNR fall linearly.

    λ(t) = log_snr_max + t (log_snr_min − log_snr_max)

    Args:
        t: times in [0, 1], any shape.
        log_snr_max: λ(0); the default is where VDM's learned schedule starts.
        log_snr_min: λ(1).

    Returns:
        λ, in the shape of `t`.

    References:
        Kingma et al. 2021, Variational Diffusion Models, whose γ is −λ.
    """
    return log_snr_max + t * (log_snr_min - log_snr_max)


def cosine_log_snr(
    t: Float[Array, "..."], *, log_snr_max: float = 15.0, log_snr_min: float = -15.0
) -> Float[Array, "..."]:
    """Let the signal's coefficient fall as a cosine.

    λ(t) = −2 log tan(a + t (b − a)), α = cos(a + t (b − a)), with a = arctan e^(−log_snr_max / 2) and
    b = arctan e^(−log_snr_min / 2). With infinite ends this is −2 log tan(πt / 2). For images of side d, Hoogeboom et
    al. add 2 log(64 / d).

    Args:
        t: times in [0, 1], any shape.
        log_snr_max: λ(0).
        log_snr_min: λ(1).

    Returns:
        λ, in the shape of `t`.

    References:
        Nichol and Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models; with ends as in Hoogeboom et al.
        2023, Simple diffusion.
    """
    first, last = (math.atan(math.exp(-0.5 * end)) for end in (log_snr_max, log_snr_min))
    return -2 * jnp.log(jnp.tan(first + t * (last - first)))


def linear_beta_log_snr(
    t: Float[Array, "..."], *, beta_min: Scalar = 0.1, beta_max: Scalar = 20.0
) -> Float[Array, "..."]:
    """Let the rate of noise rise linearly, as in DDPM.

    λ(t) = −log(e^b − 1), α² = e^−b, with b(t) = t beta_min + ½ t² (beta_max − beta_min)

    Args:
        t: times in (0, 1], any shape; λ(0) is infinite.
        beta_min: rate at t = 0. DDPM's betas from 1e-4 to 0.02 in 1000 steps are rates from 0.1 to 20.
        beta_max: rate at t = 1.

    Returns:
        λ, in the shape of `t`.

    References:
        Ho et al. 2020, Denoising Diffusion Probabilistic Models; in continuous time Song et al. 2021, Score-Based
        Generative Modeling through Stochastic Differential Equations (VP).
    """
    total = t * beta_min + 0.5 * t**2 * (beta_max - beta_min)
    # −log(e^b − 1) = −b − log(1 − e^−b), which does not overflow
    return -total - jnp.log(-jnp.expm1(-total))


def karras_log_snr(
    t: Float[Array, "..."], *, sigma_min: Scalar = 0.002, sigma_max: Scalar = 80.0, rho: Scalar = 7.0
) -> Float[Array, "..."]:
    """Let a power of the noise's standard deviation rise linearly, as in EDM.

    λ(t) = −2 log σ(t), σ^(1/rho) = sigma_min^(1/rho) + t (sigma_max^(1/rho) − sigma_min^(1/rho))

    Here x_t = data + σ noise, the signal is not scaled: σ = `noise_to_signal(λ)`. EDM counts its steps from the noise.

    Args:
        t: times in [0, 1], any shape.
        sigma_min: σ(0), positive.
        sigma_max: σ(1).
        rho: how much of the time goes to small σ.

    Returns:
        λ, in the shape of `t`.

    References:
        Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, equation 5.
    """
    first, last = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return -2 * rho * jnp.log(first + t * (last - first))


def linear_path_log_snr(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """Give the log-SNR of flow matching's straight path.

    λ(t) = 2 log((1 − t) / t)

    Diffusion's t is one minus the time of flow matching. The path is not variance preserving: it is x_t / (α + σ) of
    the variance-preserving one with the same λ.

    Args:
        t: times in (0, 1), any shape; infinite at both ends.

    Returns:
        λ, in the shape of `t`.

    References:
        Kingma and Gao 2023, Understanding Diffusion Objectives as the ELBO with Simple Data Augmentation.
    """
    return 2 * (jnp.log1p(-t) - jnp.log(t))


def noise_to_signal(log_snr: Float[Array, "..."]) -> Float[Array, "..."]:
    """Give σ / α = e^(−λ/2), the standard deviation of the noise where the signal is not scaled (EDM's σ).

    Args:
        log_snr: λ, any shape.

    Returns:
        σ / α, in the shape of `log_snr`.
    """
    return jnp.exp(-0.5 * log_snr)


def stratified_times(key: PRNGKeyArray, num: int) -> Float[Array, " num"]:
    """Draw times of a batch such that each is uniform and together they cover [0, 1] evenly.

    t_i = (u + i / num) mod 1 with one u ~ U[0, 1). The mean of a loss over such times has the same expectation as over
    independent ones, and a variance that is far lower where the loss depends on time.

    Args:
        key: draws u.
        num: number of times.

    Returns:
        `[num]`, in [0, 1).

    References:
        Kingma et al. 2021, Variational Diffusion Models, appendix on the low-discrepancy sampler.
    """

    def sampler(key, shape):
        offset = jax.random.uniform(key, (1,))
        return (offset + jnp.arange(shape[0], dtype=offset.dtype) / shape[0]) % 1

    return parts.draw(sampler, key, (num,))


def logit_normal_times(key: PRNGKeyArray, num: int, *, mean: Scalar = 0.0, std: Scalar = 1.0) -> Float[Array, " num"]:
    """Draw times whose logit is normal: more of the middle of the path, where a flow is hard to learn.

    t = sigmoid(mean + std ε), ε ~ N(0, 1). A loss over such times is a weighted one, with their density as weight.

    Args:
        key: draws ε.
        num: number of times.
        mean: of the logit; above 0 favours times near 1.
        std: of the logit.

    Returns:
        `[num]`, in (0, 1).

    References:
        Esser et al. 2024, Scaling Rectified Flow Transformers for High-Resolution Image Synthesis.
    """
    return jax.nn.sigmoid(mean + std * parts.draw(jax.random.normal, key, (num,)))


def lognormal_sigmas(key: PRNGKeyArray, num: int, *, mean: Scalar = -1.2, std: Scalar = 1.2) -> Float[Array, " num"]:
    """Draw noise levels as EDM trains on them.

    σ = exp(mean + std ε), ε ~ N(0, 1)

    Args:
        key: draws ε.
        num: number of levels.
        mean: of log σ.
        std: of log σ.

    Returns:
        `[num]`, positive.

    References:
        Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, table 1.
    """
    return jnp.exp(mean + std * parts.draw(jax.random.normal, key, (num,)))
