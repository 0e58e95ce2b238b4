"""Weights of the divergence over training: functions of the step, also of a traced one."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses.variational._shared import Scalar, check_positive

Step = int | float | Int[Array, "..."] | Float[Array, "..."]


def linear(step: Step, *, num_steps: Scalar, start: Scalar = 0.0, end: Scalar = 1.0) -> Float[Array, "..."]:
    """Rise (or fall) along a straight line, and stay.

    start + (end − start) min(step / num_steps, 1)

    Args:
        step: counted from 0.
        num_steps: length of the ramp.
        start: value at step 0, and before it.
        end: value from step `num_steps` on.

    Returns:
        The weight, in the shape of `step`.

    Raises:
        ValueError: if `num_steps` is not positive.

    References:
        Sønderby et al. 2016, "Ladder variational autoencoders" (warm-up).
    """
    check_positive("num_steps", num_steps)
    return _between(jnp.clip(_floating(step) / num_steps, 0, 1), start, end)


def sigmoid(
    step: Step, *, midpoint: Scalar, width: Scalar, start: Scalar = 0.0, end: Scalar = 1.0
) -> Float[Array, "..."]:
    """Rise along a logistic curve.

    start + (end − start) / (1 + exp(−(step − midpoint) / width))

    Args:
        step: counted from 0.
        midpoint: step of the mean of `start` and `end`.
        width: in steps; from 12 % to 88 % of the way takes 4 of them.
        start: limit long before the midpoint.
        end: limit long after it.

    Returns:
        The weight, in the shape of `step`.

    Raises:
        ValueError: if `width` is not positive.

    References:
        Bowman et al. 2016, "Generating sentences from a continuous space".
    """
    check_positive("width", width)
    return _between(jax.nn.sigmoid((_floating(step) - midpoint) / width), start, end)


def cyclical(
    step: Step, *, period: Scalar, ramp: float = 0.5, start: Scalar = 0.0, end: Scalar = 1.0
) -> Float[Array, "..."]:
    """Rise along a straight line and stay, again in every period.

    start + (end − start) min(τ / ramp, 1), τ = (step mod period) / period

    Args:
        step: counted from 0.
        period: steps of one cycle; for M cycles in T steps, T / M.
        ramp: part of the period that rises, in (0, 1].
        start: value at the start of each cycle.
        end: value at its end.

    Returns:
        The weight, in the shape of `step`.

    Raises:
        ValueError: if `period` or `ramp` is not positive, or `ramp` is above 1.

    References:
        Fu et al. 2019, "Cyclical annealing schedule: a simple approach to mitigating KL vanishing".
    """
    check_positive("period", period)
    if not 0 < ramp <= 1:
        raise ValueError(f"ramp must lie in (0, 1]; got {ramp}.")
    phase = jnp.mod(_floating(step), period) / period
    return _between(jnp.minimum(phase / ramp, 1), start, end)


def _floating(step):
    return jnp.asarray(step, jnp.promote_types(jnp.result_type(step), jnp.result_type(float)))


def _between(progress, start, end):
    return start + (end - start) * progress
