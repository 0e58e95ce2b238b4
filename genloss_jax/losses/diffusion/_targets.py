"""What a diffusion model predicts, and how one prediction is turned into another."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax._names import look_up
from genloss_jax.losses.diffusion._shared import beside, check_examples, check_numbers


class Coefficients(NamedTuple):
    """The coefficients of x_t = alpha data + sigma noise."""

    alpha: Float[Array, "..."]
    sigma: Float[Array, "..."]


def alpha_sigma(log_snr: Float[Array, "..."]) -> Coefficients:
    """Give the variance-preserving coefficients of a log-SNR.

    α² = sigmoid(λ), σ² = sigmoid(−λ), so that α² + σ² = 1 and α² / σ² = e^λ

    Args:
        log_snr: λ, any shape.

    Returns:
        `Coefficients` in the shape of `log_snr`; finite at λ = ±1e4, with finite gradients.

    References:
        Kingma et al. 2021, Variational Diffusion Models.
    """
    # A root of a sigmoid that underflows has no finite slope; half of its logarithm has.
    return Coefficients(jnp.exp(0.5 * jax.nn.log_sigmoid(log_snr)), jnp.exp(0.5 * jax.nn.log_sigmoid(-log_snr)))


# prediction -> coefficients of its target a data + b noise, as functions of (alpha, sigma)
_TARGETS = {
    "noise": lambda alpha, sigma: (jnp.zeros_like(alpha), jnp.ones_like(sigma)),
    "data": lambda alpha, sigma: (jnp.ones_like(alpha), jnp.zeros_like(sigma)),
    "velocity": lambda alpha, sigma: (-sigma, alpha),
    "score": lambda alpha, sigma: (jnp.zeros_like(alpha), -1 / sigma),
}


def diffuse(
    data: Float[Array, "batch *event"], noise: Float[Array, "batch *event"], log_snr: Float[Array, " batch"]
) -> Float[Array, "batch *event"]:
    """Noise data to given levels, variance preserving.

    x_t = α data + σ noise, α² = sigmoid(λ), σ² = sigmoid(−λ)

    Args:
        data: `[B, ...]`.
        noise: standard normal, in the shape of `data`.
        log_snr: λ, `[B]`.

    Returns:
        x_t, `[B, ...]`.

    Raises:
        ValueError: if the shapes do not fit, or something is not floating.
    """
    return _combine(data, noise, log_snr, alpha_sigma(log_snr))


def prediction_target(
    data: Float[Array, "batch *event"],
    noise: Float[Array, "batch *event"],
    log_snr: Float[Array, " batch"],
    *,
    prediction: str,
) -> Float[Array, "batch *event"]:
    """Give what a model is to predict.

    - "noise": ε
    - "data": x
    - "velocity": α ε − σ x, which points from data to noise (flow matching's velocity points from noise to data)
    - "score": −ε / σ, whose mean given x_t is ∇ log q(x_t)

    Args:
        data: x, `[B, ...]`.
        noise: ε, in the shape of `data`.
        log_snr: λ, `[B]`.
        prediction: one of the above.

    Returns:
        The target, `[B, ...]`.

    Raises:
        ValueError: if the prediction is unknown, the shapes do not fit, or something is not floating.

    References:
        Salimans and Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models, section 4.
    """
    coefficients = look_up("prediction", prediction, _TARGETS)(*alpha_sigma(log_snr))
    return _combine(data, noise, log_snr, coefficients)


def convert_prediction(
    value: Float[Array, "batch *event"],
    x_t: Float[Array, "batch *event"],
    log_snr: Float[Array, " batch"],
    *,
    source: str,
    target: str,
) -> Float[Array, "batch *event"]:
    """Turn one prediction into another.

    Whatever is predicted, with x_t = α x + σ ε it says what the model takes x and ε for: two linear equations. From
    "noise" to "data" their solution divides by α, from "data" to "noise" by σ, from "velocity" by neither.

    Args:
        value: the prediction, `[B, ...]`.
        x_t: the noised data it was made for, `[B, ...]`.
        log_snr: λ, `[B]`.
        source: what `value` is, as in `prediction_target`.
        target: what is wanted.

    Returns:
        The prediction of `target`, `[B, ...]`.

    Raises:
        ValueError: if a prediction is unknown, the shapes do not fit, or something is not floating.
    """
    check_examples(value=value, x_t=x_t)
    check_numbers("value", value, log_snr=log_snr)
    alpha, sigma = alpha_sigma(log_snr)
    of_data, of_noise = look_up("prediction", source, _TARGETS)(alpha, sigma)
    wanted_data, wanted_noise = look_up("prediction", target, _TARGETS)(alpha, sigma)
    # x_t = α x + σ ε and value = a x + b ε have the determinant α b − σ a.
    determinant = alpha * of_noise - sigma * of_data
    for_x_t = (wanted_data * of_noise - wanted_noise * of_data) / determinant
    for_value = (wanted_noise * alpha - wanted_data * sigma) / determinant
    return beside(for_x_t, x_t) * x_t + beside(for_value, value) * value


def _combine(data, noise, log_snr, coefficients):
    check_examples(data=data, noise=noise)
    check_numbers("data", data, log_snr=log_snr)
    of_data, of_noise = coefficients
    return beside(of_data, data) * data + beside(of_noise, noise) * noise
