"""What the likelihoods share: checks of their arguments, sums over an example, logarithms that keep their digits."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses._shared import Scalar as Scalar
from genloss_jax.losses._shared import check_examples as check_examples

LOG_2PI = math.log(2 * math.pi)


# --- Checks ---


def check_floating(**arrays: Array) -> None:
    """Raise unless all arrays are floating."""
    for name, array in arrays.items():
        if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
            raise ValueError(f"{name} must be a floating array; got dtype {jnp.result_type(array)}.")


def check_integer(**arrays: Array) -> None:
    """Raise unless all arrays hold integers."""
    for name, array in arrays.items():
        if not jnp.issubdtype(jnp.result_type(array), jnp.integer):
            raise ValueError(f"{name} must be an array of integers; got dtype {jnp.result_type(array)}.")


def check_shape(name: str, array: Array, shape: tuple[int, ...], reference: str) -> None:
    """Raise unless the array has the shape that follows from `reference`."""
    if jnp.shape(array) != shape:
        raise ValueError(f"{name} must have shape {shape} to match {reference}; got {jnp.shape(array)}.")


def check_classes(name: str, logits: Array) -> None:
    """Raise unless the logits are floating, with a leading batch axis and a last one over classes."""
    check_floating(**{name: logits})
    if jnp.ndim(logits) < 2:
        raise ValueError(f"{name} must have shape (B, ..., K), K logits at each place; got {jnp.shape(logits)}.")


def check_mixture(mixture_logits: Array, targets: Array, **parameters: Array) -> None:
    """Raise unless there are K components of D coordinates at each place, and D targets."""
    check_classes("mixture_logits", mixture_logits)
    check_floating(targets=targets, **parameters)
    places = jnp.shape(mixture_logits)[:-1]
    coordinates = jnp.shape(targets)[-1:]
    if jnp.shape(targets) != places + coordinates or not coordinates:
        raise ValueError(f"targets must have shape {places} and a last axis D; got {jnp.shape(targets)}.")
    for name, array in parameters.items():
        check_shape(name, array, jnp.shape(mixture_logits) + coordinates, "mixture_logits and targets")


def check_bins(num_bins: int) -> None:
    """Raise unless there are two bins or more."""
    if num_bins < 2:
        raise ValueError(f"num_bins must be at least 2; got {num_bins}.")


# --- Sums ---


def sum_examples(terms_fn: Callable[..., Array], *arrays: Array) -> Float[Array, " batch"]:
    """Sum elementwise terms over all axes of each example.

    Half precision is widened inside and the sum rounded once: differences of bfloat16 numbers have few digits left.
    """
    dtype = jnp.result_type(*arrays)
    terms = terms_fn(*(array.astype(jnp.promote_types(array.dtype, jnp.float32)) for array in arrays))
    return jnp.sum(terms, axis=tuple(range(1, terms.ndim))).astype(dtype)


def mix(mixture_logits: Float[Array, "*place K"], component_nll: Float[Array, "*place K"]) -> Float[Array, "*place"]:
    """Return the negative log-likelihood of a mixture from those of its components."""
    # -log sum_k softmax(mixture_logits)_k exp(-nll_k)
    return -jax.nn.logsumexp(jax.nn.log_softmax(mixture_logits) - component_nll, axis=-1)


# --- Numerics ---


def largest_exponent(x: Float[Array, "..."]) -> float:
    """Return what may be exponentiated and doubled in the dtype of `x` without overflow."""
    return math.log(float(jnp.finfo(x.dtype).max)) - 1


def inverse_scale(log_scale: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return exp(-log_scale), held finite: a residual of 0 at scale 0 is then 0 scales long and not NaN."""
    return jnp.exp(jnp.minimum(-log_scale, largest_exponent(log_scale)))


def log_mean_decay(rate: Float[Array, "..."]) -> Float[Array, "..."]:
    """Compute log ∫₀¹ exp(-rate t) dt = log((1 - exp(-rate)) / rate) for rate >= 0; it is 0 at rate 0."""
    small = rate < _SERIES_END
    safe = jnp.where(small, 1.0, rate)
    return jnp.where(small, _log_mean_decay_series(rate, small), jnp.log(-jnp.expm1(-safe)) - jnp.log(safe))


def log_one_minus_exp(log_rate: Float[Array, "..."]) -> Float[Array, "..."]:
    """Compute log(1 - exp(-rate)) from log rate, which holds its value where the rate itself underflows."""
    rate = jnp.exp(log_rate)
    small = rate < _SERIES_END
    safe = jnp.where(small, 1.0, rate)
    return jnp.where(small, log_rate + _log_mean_decay_series(rate, small), jnp.log(-jnp.expm1(-safe)))


_SERIES_END = 0.25


def _log_mean_decay_series(rate, small):
    # log((1 - exp(-r)) / r) = -r/2 + log(sinh(r/2) / (r/2)); the first term left out is below 3e-15 at r = 0.25
    rate = jnp.where(small, rate, 0.0)
    square = rate**2
    return -rate / 2 + square * (1 / 24 - square * (1 / 2880 - square * (1 / 181440 - square / 9676800)))
