"""Flow matching: paths between noise and data, and the loss of a velocity field along them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax._names import look_up
from genloss_jax.losses.diffusion._denoising import denoising_loss
from genloss_jax.losses.diffusion._shared import (
    Scalar,
    beside,
    check_examples,
    check_numbers,
    check_output,
    normal_like,
)

VelocityFn = Callable[[Float[Array, "batch *event"], Float[Array, " batch"]], Float[Array, "batch *event"]]
"""Maps x_t `[B, ...]` and t `[B]` to velocities `[B, ...]`, from noise at t = 0 to data at t = 1."""

GammaFn = Callable[[Float[Array, " batch"]], Float[Array, " batch"]]
"""Maps times to the standard deviation of an interpolant's latent, entry by entry."""

# kind -> coefficients of (noise, data) as functions of time
_PATHS = {
    "linear": lambda t: (1 - t, t),
    "trigonometric": lambda t: (jnp.cos(0.5 * jnp.pi * t), jnp.sin(0.5 * jnp.pi * t)),
}


class FlowPoint(NamedTuple):
    """Where a path is at a time, and how fast it moves there."""

    x_t: Float[Array, "batch *event"]
    velocity: Float[Array, "batch *event"]


def flow_matching_path(
    noise: Float[Array, "batch *event"],
    data: Float[Array, "batch *event"],
    t: Float[Array, " batch"],
    *,
    kind: str = "linear",
) -> FlowPoint:
    """Go from noise at t = 0 to data at t = 1.

    - "linear": x_t = (1 − t) noise + t data, velocity data − noise
    - "trigonometric": x_t = cos(πt/2) noise + sin(πt/2) data, which keeps the variance of white data at 1

    Args:
        noise: `[B, ...]`.
        data: in the shape of `noise`.
        t: times in [0, 1], `[B]`.
        kind: one of the above.

    Returns:
        `FlowPoint(x_t, velocity)`, each `[B, ...]`; the velocity is dx_t / dt.

    Raises:
        ValueError: if the kind is unknown, the shapes do not fit, or something is not floating.

    References:
        Lipman et al. 2023, Flow Matching for Generative Modeling (σ_min = 0); Liu et al. 2023, Flow Straight and Fast;
        Albergo and Vanden-Eijnden 2023, Building Normalizing Flows with Stochastic Interpolants (trigonometric).
    """
    check_examples(noise=noise, data=data)
    check_numbers("noise", noise, t=t)
    return _move(look_up("path", kind, _PATHS), (noise, data), t)


def stochastic_interpolant(
    noise: Float[Array, "batch *event"],
    data: Float[Array, "batch *event"],
    latent: Float[Array, "batch *event"],
    t: Float[Array, " batch"],
    *,
    gamma_fn: GammaFn,
    kind: str = "linear",
) -> FlowPoint:
    """Go from noise to data with a random detour.

    x_t = path(t) + γ(t) latent, velocity = d path / dt + γ'(t) latent

    A model of the latent given x_t is −γ(t) times the score of x_t. A constant γ smooths the path (conditional flow
    matching), σ sqrt(t (1 − t)) makes it a bridge.

    Args:
        noise: `[B, ...]`, any distribution to start from.
        data: in the shape of `noise`.
        latent: standard normal, in the shape of `noise`.
        t: times in [0, 1], `[B]`.
        gamma_fn: γ, differentiable where it is evaluated; 0 at both ends if they are to be noise and data themselves.
        kind: of the path, as in `flow_matching_path`.

    Returns:
        `FlowPoint(x_t, velocity)`, each `[B, ...]`.

    Raises:
        ValueError: if the kind is unknown, the shapes do not fit, or something is not floating.

    References:
        Albergo, Boffi and Vanden-Eijnden 2023, Stochastic Interpolants; Tong et al. 2024, Improving and Generalizing
        Flow-Based Generative Models with Minibatch Optimal Transport.
    """
    check_examples(noise=noise, data=data, latent=latent)
    check_numbers("noise", noise, t=t)
    path = look_up("path", kind, _PATHS)
    return _move(lambda t: (*path(t), gamma_fn(t)), (noise, data, latent), t)


def bridge_gamma(t: Float[Array, "..."], *, scale: Scalar = 1.0) -> Float[Array, "..."]:
    """Give the standard deviation of a Brownian bridge.

    γ(t) = scale sqrt(t (1 − t)); its slope is infinite at both ends, so keep t off them

    Args:
        t: times in (0, 1), any shape.
        scale: standard deviation of the Brownian motion at time 1.

    Returns:
        γ, in the shape of `t`.
    """
    return scale * jnp.sqrt(t * (1 - t))


def flow_matching_loss(
    velocity_fn: VelocityFn,
    key: PRNGKeyArray,
    noise: Float[Array, "batch *event"],
    data: Float[Array, "batch *event"],
    t: Float[Array, " batch"],
    *,
    kind: str = "linear",
    gamma_fn: GammaFn | None = None,
) -> Float[Array, " batch"]:
    """Compute the squared error of a velocity field along paths from noise to data.

    |velocity_fn(x_t, t) − dx_t/dt|²

    The sum over all axes, no ½. Its gradient is that of the error against the marginal velocity E[dx_t/dt | x_t]; what
    the best field leaves is the variance of dx_t/dt given x_t. From N(0, 1) to N(m, s²) with independent pairs and a
    linear path that is s² / ((1 − t)² + t² s²) per dimension, πs/2 in the mean over t.

    Args:
        velocity_fn: maps x_t `[B, ...]` and t `[B]` to velocities `[B, ...]`.
        key: draws the interpolant's latent; without `gamma_fn` there is nothing to draw.
        noise: `[B, ...]`, coupled to `data` row by row, such as by `optimal_transport`.
        data: in the shape of `noise`.
        t: times in [0, 1], `[B]`.
        kind: of the path, as in `flow_matching_path`.
        gamma_fn: None for `flow_matching_path`, otherwise that of `stochastic_interpolant`.

    Returns:
        `[B]`, squared unit of the data.

    Raises:
        ValueError: if the kind is unknown, the shapes do not fit, or something is not floating.

    References:
        Lipman et al. 2023, Flow Matching for Generative Modeling, section 3.2; Tong et al. 2024.
    """
    if gamma_fn is None:
        x_t, velocity = flow_matching_path(noise, data, t, kind=kind)
    else:
        check_examples(noise=noise)
        x_t, velocity = stochastic_interpolant(noise, data, normal_like(key, noise), t, gamma_fn=gamma_fn, kind=kind)
    predicted = velocity_fn(x_t, t)
    check_output("velocity_fn", predicted, x_t)
    return denoising_loss(predicted, velocity)


def rectified_flow(
    velocity_fn: VelocityFn, noise: Float[Array, "batch *event"], *, num_steps: int = 50
) -> Float[Array, "batch *event"]:
    """Carry noise along a velocity field to data: the pairs (noise, result) to train the next, straighter flow on.

    dx/dt = velocity_fn(x, t) from t = 0 to 1, by `num_steps` steps of the classical Runge-Kutta method

    Pass the result as `data` to `flow_matching_loss`, beside the noise it came from. Of an exact flow it has the law of
    the data, and the best field on such pairs costs less than on independent ones; where the straight paths of the
    pairs do not cross, nothing.

    Args:
        velocity_fn: the trained field, called four times per step; a constant here: no gradient flows into it.
        noise: `[B, ...]`.
        num_steps: number of steps, each of order four.

    Returns:
        `[B, ...]`, a stop-gradient.

    Raises:
        ValueError: if `noise` is not floating, or `num_steps` is less than 1.

    References:
        Liu et al. 2023, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow.
    """
    check_examples(noise=noise)
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1; got {num_steps}.")
    size = 1 / num_steps

    def field(x, time):
        return velocity_fn(x, jnp.full(x.shape[:1], time, x.dtype))

    def step(x, index):
        time = (index * size).astype(x.dtype)
        first = field(x, time)
        second = field(x + 0.5 * size * first, time + 0.5 * size)
        third = field(x + 0.5 * size * second, time + 0.5 * size)
        fourth = field(x + size * third, time + size)
        return x + (size / 6) * (first + 2 * second + 2 * third + fourth), None

    data, _ = jax.lax.scan(step, jax.lax.stop_gradient(noise), jnp.arange(num_steps))
    return jax.lax.stop_gradient(data)


def _move(coefficients_fn, ends, t):
    """Combine the ends by time-dependent coefficients, and by their derivatives."""
    places, slopes = jax.jvp(coefficients_fn, (t,), (jnp.ones_like(t),))
    return FlowPoint(*(sum(beside(c, end) * end for c, end in zip(row, ends, strict=True)) for row in (places, slopes)))
