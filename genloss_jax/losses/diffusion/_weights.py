"""Weights of squared errors at each noise level, and EDM's preconditioning.

A weight belongs to the quantity whose squared error it multiplies: with x_t = α x + σ ε and α² + σ² = 1, the same model
has |ε − ε̂|² = SNR |x − x̂|² and |v − v̂|² = (SNR + 1) |x − x̂|².
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax._names import look_up
from genloss_jax.losses.diffusion._shared import (
    Scalar,
    beside,
    check_examples,
    check_numbers,
    check_output,
    check_positive,
)

# prediction -> logarithm of its squared error divided by that of the data, at a log-SNR
_LOG_ERROR_RATIOS = {
    "noise": lambda log_snr: log_snr,
    "data": jnp.zeros_like,
    "velocity": jax.nn.softplus,
    "score": lambda log_snr: log_snr + jax.nn.softplus(log_snr),
}


def convert_weight(
    weight: Float[Array, "..."], snr: Float[Array, "..."], *, source: str, target: str
) -> Float[Array, "..."]:
    """Turn the weight of one prediction's squared error into that of another, for one and the same loss.

    w_target = w_source r_source / r_target with r = SNR (noise), 1 (data), SNR + 1 (velocity), SNR (SNR + 1) (score)

    Args:
        weight: of the squared error of `source`, any shape.
        snr: α² / σ², not its logarithm, in the shape of `weight`.
        source: "noise", "data", "velocity" or "score", as in `prediction_target`.
        target: likewise.

    Returns:
        The weight of the squared error of `target`, in the shape of `weight`.

    Raises:
        ValueError: if a prediction is unknown.
    """
    return weight * jnp.exp(_log_conversion(_log(snr), source, target))


def min_snr_weight(snr: Float[Array, "..."], *, gamma: Scalar = 5.0, prediction: str) -> Float[Array, "..."]:
    """Weigh as the data's squared error times min(SNR, gamma), whatever is predicted.

    min(SNR, γ) / SNR for noise, min(SNR, γ) for data, min(SNR, γ) / (SNR + 1) for velocity

    With SNR + 1 inside the minimum, as some code has for velocity, the loss is another one.

    Args:
        snr: α² / σ², not its logarithm, any shape.
        gamma: γ, at which the weight stops rising.
        prediction: whose squared error is weighted: "noise", "data", "velocity" or "score".

    Returns:
        The weight, in the shape of `snr`.

    Raises:
        ValueError: if the prediction is unknown.

    References:
        Hang et al. 2023, Efficient Diffusion Training via Min-SNR Weighting Strategy.
    """
    log_snr = _log(snr)
    return jnp.exp(jnp.minimum(log_snr, jnp.log(gamma)) + _log_conversion(log_snr, "data", prediction))


def p2_weight(
    snr: Float[Array, "..."], *, gamma: Scalar = 1.0, k: Scalar = 1.0, prediction: str = "noise"
) -> Float[Array, "..."]:
    """Weigh high noise levels more, where content is decided.

    1 / (k + SNR)^γ on the squared error of the noise; for other predictions the weight of the same loss

    Args:
        snr: α² / σ², not its logarithm, any shape.
        gamma: γ; 0 is the plain loss on the noise.
        k: keeps the weight bounded.
        prediction: whose squared error is weighted: "noise", "data", "velocity" or "score".

    Returns:
        The weight, in the shape of `snr`.

    Raises:
        ValueError: if the prediction is unknown.

    References:
        Choi et al. 2022, Perception Prioritized Training of Diffusion Models.
    """
    log_snr = _log(snr)
    return jnp.exp(-gamma * jnp.logaddexp(jnp.log(k), log_snr) + _log_conversion(log_snr, "noise", prediction))


def sigmoid_weight(snr: Float[Array, "..."], *, bias: Scalar, prediction: str = "noise") -> Float[Array, "..."]:
    """Weigh by a sigmoid that falls with the log-SNR: min-SNR's weight with a soft knee at γ = e^bias.

    sigmoid(bias − log SNR) on the squared error of the noise; for other predictions the weight of the same loss. Over
    uniform log-SNR it is monotone, so that the loss is a likelihood bound of noised data.

    Args:
        snr: α² / σ², not its logarithm, any shape.
        bias: log-SNR at which the weight is one half.
        prediction: whose squared error is weighted: "noise", "data", "velocity" or "score".

    Returns:
        The weight, in the shape of `snr`.

    Raises:
        ValueError: if the prediction is unknown.

    References:
        Kingma and Gao 2023, Understanding Diffusion Objectives as the ELBO with Simple Data Augmentation.
    """
    log_snr = _log(snr)
    return jnp.exp(jax.nn.log_sigmoid(bias - log_snr) + _log_conversion(log_snr, "noise", prediction))


def edm_weight(sigma: Float[Array, "..."], *, sigma_data: Scalar) -> Float[Array, "..."]:
    """Weigh the data's squared error such that the network's own has weight 1 at every noise level.

    (σ² + σ_data²) / (σ σ_data)² = 1 / c_out²

    Args:
        sigma: standard deviation of the noise, signal not scaled, any shape.
        sigma_data: standard deviation of the data.

    Returns:
        The weight, in the shape of `sigma`.

    References:
        Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, table 1.
    """
    return 1 / sigma_data**2 + 1 / sigma**2


def adaptive_weight(loss: Float[Array, "..."], *, power: Scalar = 1.0, offset: Scalar = 1e-3) -> Float[Array, "..."]:
    """Weigh a squared error by a power of itself, as a constant: its gradient is that of a power of the error.

    sg(1 / (loss + offset)^power); power ½ has the gradient of twice the pseudo-Huber distance

    Args:
        loss: squared errors, any shape.
        power: 0 changes nothing; near 1 every example has nearly the same say.
        offset: keeps the weight bounded.

    Returns:
        The weight, in the shape of `loss`; multiply the loss by it. Log the loss itself: weighted, it hardly changes.

    References:
        Geng et al. 2025, Mean Flows for One-step Generative Modeling.
    """
    return jax.lax.stop_gradient((loss + offset) ** -power)


class Preconditioning(NamedTuple):
    """Coefficients of D(x) = c_skip x + c_out F(c_in x, c_noise), each one number per example."""

    c_skip: Float[Array, "..."]
    c_out: Float[Array, "..."]
    c_in: Float[Array, "..."]
    c_noise: Float[Array, "..."]


def edm_preconditioning(sigma: Float[Array, "..."], *, sigma_data: Scalar) -> Preconditioning:
    """Give EDM's coefficients, which keep a network's input and target at variance 1 for all noise levels.

    c_skip = σ_data² / (σ² + σ_data²), c_out = σ σ_data / sqrt(σ² + σ_data²), c_in = 1 / sqrt(σ² + σ_data²),
    c_noise = ¼ log σ

    Args:
        sigma: standard deviation of the noise, signal not scaled, any shape.
        sigma_data: standard deviation of the data.

    Returns:
        `Preconditioning`, each in the shape of `sigma`.

    References:
        Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, table 1.
    """
    total = jnp.sqrt(sigma**2 + sigma_data**2)
    return Preconditioning((sigma_data / total) ** 2, sigma * sigma_data / total, 1 / total, 0.25 * jnp.log(sigma))


def consistency_preconditioning(
    sigma: Float[Array, "..."], *, sigma_data: Scalar, sigma_min: Scalar
) -> Preconditioning:
    """Give EDM's coefficients moved such that the model is the identity at the smallest noise level.

    c_skip = σ_data² / ((σ − σ_min)² + σ_data²), c_out = σ_data (σ − σ_min) / sqrt(σ² + σ_data²); the others as in EDM

    Args:
        sigma: standard deviation of the noise, signal not scaled, any shape.
        sigma_data: standard deviation of the data.
        sigma_min: the smallest noise level, where c_skip = 1 and c_out = 0.

    Returns:
        `Preconditioning`, each in the shape of `sigma`.

    References:
        Song et al. 2023, Consistency Models, appendix C.
    """
    _, _, c_in, c_noise = edm_preconditioning(sigma, sigma_data=sigma_data)
    above = sigma - sigma_min
    return Preconditioning(sigma_data**2 / (above**2 + sigma_data**2), sigma_data * above * c_in, c_in, c_noise)


def precondition(
    network_fn: Callable[..., Array],
    x_t: Float[Array, "batch *event"],
    sigma: Float[Array, " batch"],
    *,
    sigma_data: Scalar,
    sigma_min: Scalar | None = None,
) -> Float[Array, "batch *event"]:
    """Denoise with a preconditioned network.

    D(x_t, σ) = c_skip x_t + c_out F(c_in x_t, c_noise)

    Args:
        network_fn: F, maps `[B, ...]` and c_noise `[B]` to `[B, ...]`.
        x_t: data + σ noise, `[B, ...]`.
        sigma: σ, `[B]`, positive.
        sigma_data: standard deviation of the data.
        sigma_min: None for `edm_preconditioning`, otherwise that of `consistency_preconditioning`.

    Returns:
        The denoised data, `[B, ...]`.

    Raises:
        ValueError: if the shapes do not fit, something is not floating, or `sigma_data` is not positive.

    References:
        Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, equation 7.
    """
    check_examples(x_t=x_t)
    check_numbers("x_t", x_t, sigma=sigma)
    check_positive("sigma_data", sigma_data)
    if sigma_min is None:
        coefficients = edm_preconditioning(sigma, sigma_data=sigma_data)
    else:
        coefficients = consistency_preconditioning(sigma, sigma_data=sigma_data, sigma_min=sigma_min)
    c_skip, c_out, c_in = (beside(c, x_t) for c in coefficients[:3])
    output = network_fn(c_in * x_t, coefficients.c_noise)
    check_output("network_fn", output, x_t)
    return c_skip * x_t + c_out * output


def _log(snr):
    """Take the logarithm, finite where a ratio under- or overflowed."""
    limits = jnp.finfo(snr.dtype)
    return jnp.log(jnp.clip(snr, limits.tiny, limits.max))


def _log_conversion(log_snr, source, target):
    of_source, of_target = (look_up("prediction", name, _LOG_ERROR_RATIOS)(log_snr) for name in (source, target))
    return of_source - of_target
