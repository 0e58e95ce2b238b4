"""Losses of denoising diffusion: weighted squared errors and the terms of the likelihood bound."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses.diffusion._schedules import LogSNRFn, linear_log_snr
from genloss_jax.losses.diffusion._shared import (
    Scalar,
    beside,
    check_examples,
    check_numbers,
    check_output,
    normal_like,
    squared_norm,
)
from genloss_jax.losses.diffusion._targets import alpha_sigma, diffuse, prediction_target
from genloss_jax.losses.diffusion._weights import convert_weight, edm_weight, precondition

PredictionFn = Callable[[Float[Array, "batch *event"], Float[Array, " batch"]], Float[Array, "batch *event"]]
"""Maps noised data `[B, ...]` and its log-SNR `[B]` to a prediction `[B, ...]`."""


def denoising_loss(
    prediction: Float[Array, "batch *event"],
    target: Float[Array, "batch *event"],
    *,
    weight: Scalar | Float[Array, " batch"] = 1.0,
) -> Float[Array, " batch"]:
    """Compute the weighted squared error of a prediction.

    weight |prediction − target|²

    The sum over all axes of an example, without ½ and without a mean over dimensions. Of Gaussian data of variance s²
    the best prediction still costs, per dimension and with V = α² s² + σ², s² σ² / V for data, α² s² / V for noise and
    s² / V for velocity.

    Args:
        prediction: the model's, `[B, ...]`.
        target: as `prediction_target` gives it, in the shape of `prediction`.
        weight: a scalar, or one for each example, `[B]`, such as `min_snr_weight(snr, prediction="velocity")`.

    Returns:
        `[B]`, squared unit of the target.

    Raises:
        ValueError: if the shapes do not fit, or something is not floating.

    References:
        Ho et al. 2020, Denoising Diffusion Probabilistic Models, equation 14 (noise, weight 1).
    """
    check_examples(prediction=prediction, target=target)
    if jnp.ndim(weight) > 0:
        check_numbers("prediction", prediction, weight=jnp.asarray(weight))
    return weight * squared_norm(prediction - target)


def edm_loss(
    network_fn: Callable[..., Array],
    key: PRNGKeyArray,
    data: Float[Array, "batch *event"],
    sigma: Float[Array, " batch"],
    *,
    sigma_data: Scalar,
) -> Float[Array, " batch"]:
    """Compute EDM's loss of a preconditioned denoiser.

    (σ² + σ_data²) / (σ σ_data)² |D(x + σ ε, σ) − x|², D(x_t, σ) = c_skip x_t + c_out F(c_in x_t, c_noise)

    No ½, sum over all axes. It is the network's own squared error with weight 1: of Gaussian data with mean 0 and
    standard deviation `sigma_data`, F = 0 is best and costs 1 per dimension at every noise level.

    Args:
        network_fn: F, maps `[B, ...]` and c_noise `[B]` to `[B, ...]`.
        key: draws ε.
        data: x, `[B, ...]`.
        sigma: σ, `[B]`, positive, such as `lognormal_sigmas` draws.
        sigma_data: standard deviation of the data, positive.

    Returns:
        `[B]`, without unit.

    Raises:
        ValueError: if the shapes do not fit, something is not floating, or `sigma_data` is not positive.

    References:
        Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, equations 7 and 8.
    """
    check_examples(data=data)
    check_numbers("data", data, sigma=sigma)
    x_t = data + beside(sigma, data) * normal_like(key, data)
    denoised = precondition(network_fn, x_t, sigma, sigma_data=sigma_data)
    return denoising_loss(denoised, data, weight=edm_weight(sigma, sigma_data=sigma_data))


def vdm_loss(
    prediction_fn: PredictionFn,
    key: PRNGKeyArray,
    data: Float[Array, "batch *event"],
    t: Float[Array, " batch"],
    *,
    log_snr_fn: LogSNRFn = linear_log_snr,
    prediction: str = "noise",
    num_steps: int | None = None,
) -> Float[Array, " batch"]:
    """Estimate the diffusion term of the likelihood bound.

    continuous: ½ (−dλ/dt) |ε − ε̂(x_t, λ)|², λ = log_snr_fn(t)
    T steps: ½ T (e^(λ(t − 1/T) − λ(t)) − 1) |ε − ε̂(x_t, λ)|², t rounded up to a multiple of 1 / T

    Its mean over t uniform on [0, 1] and over ε is the term. The continuous one depends on the schedule through its two
    ends only: for Gaussian data of variance s² and the best prediction it is, per dimension,
    ½ log((1 + s² SNR(0)) / (1 + s² SNR(1))). The T-step one is larger, and falls towards it as T grows. Whatever is
    predicted, the error is that of the noise. `variational_bound_terms` adds the other two terms.

    Args:
        prediction_fn: maps x_t `[B, ...]` and λ `[B]` to its prediction `[B, ...]`.
        key: draws ε.
        data: `[B, ...]`.
        t: times in [0, 1], `[B]`; `stratified_times` keeps the variance low.
        log_snr_fn: the schedule, finite where it is evaluated; gradients flow into what it closes over.
        prediction: what the model predicts: "noise", "data", "velocity" or "score".
        num_steps: T; None is continuous time.

    Returns:
        `[B]`, nats, summed over all axes.

    Raises:
        ValueError: if the prediction is unknown, the shapes do not fit, something is not floating, or `num_steps` is
            less than 1.

    References:
        Kingma et al. 2021, Variational Diffusion Models, sections 4 and 5.
    """
    check_examples(data=data)
    check_numbers("data", data, t=t)
    if num_steps is None:
        log_snr, slope = jax.jvp(log_snr_fn, (t,), (jnp.ones_like(t),))
        weight = -0.5 * slope
    elif num_steps >= 1:
        step = jnp.clip(jnp.ceil(t * num_steps), 1, num_steps)
        log_snr = log_snr_fn(step / num_steps)
        weight = 0.5 * num_steps * jnp.expm1(log_snr_fn((step - 1) / num_steps) - log_snr)
    else:
        raise ValueError(f"num_steps must be at least 1, or None for continuous time; got {num_steps}.")
    noise = normal_like(key, data)
    target = prediction_target(data, noise, log_snr, prediction=prediction)
    predicted = prediction_fn(diffuse(data, noise, log_snr), log_snr)
    check_output("prediction_fn", predicted, data)
    if prediction != "noise":
        weight = convert_weight(weight, jnp.exp(log_snr), source="noise", target=prediction)
    return denoising_loss(predicted, target, weight=weight)


class VariationalBoundTerms(NamedTuple):
    """The three terms of a diffusion model's bound on −log p(data); their sum is the bound."""

    prior: Float[Array, " batch"]
    diffusion: Float[Array, " batch"]
    reconstruction: Float[Array, " batch"]


def variational_bound_terms(
    prediction_fn: PredictionFn,
    key: PRNGKeyArray,
    data: Float[Array, "batch *event"],
    t: Float[Array, " batch"],
    *,
    log_snr_fn: LogSNRFn = linear_log_snr,
    prediction: str = "noise",
    num_steps: int | None = None,
    reconstruction_fn: Callable[..., Array] | None = None,
) -> VariationalBoundTerms:
    """Estimate the terms of a diffusion model's upper bound on the negative log-likelihood.

    −log p(x) <= KL(q(z_1 | x) || N(0, I)) + E vdm_loss + E[−log p(x | z_0)]

    The sum of the three is unbiased for the bound, over t uniform on [0, 1] and the noises. With the best prediction
    and decoder, and no signal left at t = 1, the bound's mean over data is their entropy.

    Args:
        prediction_fn: maps x_t `[B, ...]` and λ `[B]` to its prediction `[B, ...]`.
        key: draws the noise of x_t and, independently, that of z_0.
        data: x, `[B, ...]`.
        t: times in [0, 1], `[B]`.
        log_snr_fn: the schedule, finite on [0, 1].
        prediction: what the model predicts: "noise", "data", "velocity" or "score".
        num_steps: T; None is continuous time.
        reconstruction_fn: −log p(x | z_0) of (z_0 `[B, ...]`, x `[B, ...]`, λ(0) `[B]`), to `[B]`. None means
            `gaussian_reconstruction_nll`, for which the bound is on a density.

    Returns:
        `VariationalBoundTerms(prior, diffusion, reconstruction)`, each `[B]`, nats, summed over all axes.

    Raises:
        ValueError: as `vdm_loss`.

    References:
        Kingma et al. 2021, Variational Diffusion Models, section 4.
    """
    diffusion_key, reconstruction_key = jax.random.split(key)
    diffusion = vdm_loss(
        prediction_fn, diffusion_key, data, t, log_snr_fn=log_snr_fn, prediction=prediction, num_steps=num_steps
    )
    first, last = log_snr_fn(jnp.zeros_like(t)), log_snr_fn(jnp.ones_like(t))
    # KL(N(α x, σ² I) || N(0, I)) = ½ (α² |x|² + D (σ² − 1 − log σ²)), where σ² − 1 = −α²
    dim = math.prod(data.shape[1:])
    prior = 0.5 * (jax.nn.sigmoid(last) * (squared_norm(data) - dim) + dim * jax.nn.softplus(last))
    z_0 = diffuse(data, normal_like(reconstruction_key, data), first)
    reconstruct = gaussian_reconstruction_nll if reconstruction_fn is None else reconstruction_fn
    return VariationalBoundTerms(prior, diffusion, reconstruct(z_0, data, first))


def gaussian_reconstruction_nll(
    z_0: Float[Array, "batch *event"], data: Float[Array, "batch *event"], log_snr: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """Score data under the Gaussian decoder that reads the first noised state backwards.

    −log N(x; z_0 / α, e^(−λ) I) = ½ |z_0 − α x|² / σ² + ½ D (log 2π − λ)

    Args:
        z_0: α x + σ ε at the highest log-SNR, `[B, ...]`.
        data: x, in the shape of `z_0`.
        log_snr: λ of `z_0`, `[B]`.

    Returns:
        `[B]`, nats, summed over all axes; of a density, so that it may be negative.

    Raises:
        ValueError: if the shapes do not fit, or something is not floating.

    References:
        Kingma et al. 2021, Variational Diffusion Models, for continuous data.
    """
    check_examples(z_0=z_0, data=data)
    check_numbers("z_0", z_0, log_snr=log_snr)
    alpha, sigma = (beside(c, data) for c in alpha_sigma(log_snr))
    dim = math.prod(data.shape[1:])
    return 0.5 * squared_norm((z_0 - alpha * data) / sigma) + 0.5 * dim * (math.log(2 * math.pi) - log_snr)


def discrete_reconstruction_nll(
    z_0: Float[Array, "batch *event"],
    data: Float[Array, "batch *event"],
    log_snr: Float[Array, " batch"],
    *,
    values: Float[Array, " bins"],
) -> Float[Array, " batch"]:
    """Score discrete data under the decoder that weighs each value by how well it explains the first noised state.

    −log p(x | z_0), p(x_i | z_0) = softmax over values v of −½ SNR (z_0i / α − v)², at v = x_i

    Args:
        z_0: α x + σ ε at the highest log-SNR, `[B, ...]`.
        data: x, each entry one of `values`, in the shape of `z_0`.
        log_snr: λ of `z_0`, `[B]`.
        values: what an entry of the data can be, `[K]`; the memory grows with K times the size of the data.

    Returns:
        `[B]`, nats, summed over all axes; never negative.

    Raises:
        ValueError: if the shapes do not fit, something is not floating, or `values` is not a vector.

    References:
        Kingma et al. 2021, Variational Diffusion Models, section 3.
    """
    check_examples(z_0=z_0, data=data)
    check_numbers("z_0", z_0, log_snr=log_snr)
    if values.ndim != 1:
        raise ValueError(f"values must be a vector of all values that an entry can have; got shape {values.shape}.")
    alpha, _ = alpha_sigma(log_snr)
    snr = beside(jnp.exp(log_snr), data)[..., None]
    read, truth = (z_0 / beside(alpha, data))[..., None], data[..., None]
    options = values.reshape((1,) * data.ndim + (-1,))
    # (z/α − v)² − (z/α − x)² = (x − v) (2 z/α − v − x), exactly 0 at v = x
    log_ratios = -0.5 * snr * (truth - options) * (2 * read - options - truth)
    return jnp.sum(jax.nn.logsumexp(log_ratios, axis=-1), axis=tuple(range(1, data.ndim)))
