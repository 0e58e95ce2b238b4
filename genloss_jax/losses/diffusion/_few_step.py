"""Losses of models that sample in one or few steps: consistency models and mean flows."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses.diffusion._denoising import denoising_loss
from genloss_jax.losses.diffusion._flow import flow_matching_path
from genloss_jax.losses.diffusion._shared import (
    Scalar,
    beside,
    check_examples,
    check_numbers,
    check_output,
    normal_like,
)

DenoiserFn = Callable[[Float[Array, "batch *event"], Float[Array, " batch"]], Float[Array, "batch *event"]]
"""Maps data + σ noise `[B, ...]` and σ `[B]` to data `[B, ...]`."""


def consistency_loss(
    consistency_fn: DenoiserFn,
    key: PRNGKeyArray,
    data: Float[Array, "batch *event"],
    sigma: Float[Array, " batch"],
    next_sigma: Float[Array, " batch"],
    *,
    target_fn: DenoiserFn | None = None,
    denoiser_fn: DenoiserFn | None = None,
    huber: Scalar | None = None,
) -> Float[Array, " batch"]:
    """Ask a model for the same answer at two neighbouring points of one path from data to noise.

    d(f(x + σ' ε, σ'), sg f_target(x̂, σ)) with σ' = next_sigma > σ

    Training: x̂ = x + σ ε, the same x and ε at both levels. Distillation (with `denoiser_fn`): x̂ is one Heun step of the
    ODE dx/dσ = (x − D(x, σ)) / σ from σ' to σ. d is |a − b|², or sqrt(|a − b|² + huber²) − huber. The target is a
    stop-gradient. No weight; iCT's is 1 / (σ' − σ). The constraint f(x, σ_min) = x is the model's: see `precondition`.

    Args:
        consistency_fn: f, maps `[B, ...]` and σ `[B]` to data `[B, ...]`.
        key: draws ε.
        data: x, `[B, ...]`.
        sigma: σ, the lower level, `[B]`, positive.
        next_sigma: σ', the next higher level, `[B]`.
        target_fn: f_target, such as f with averaged parameters; None means f itself.
        denoiser_fn: D, a trained denoiser to distil, maps `[B, ...]` and σ `[B]` to data; None means training.
        huber: c of the pseudo-Huber distance, positive; iCT takes 0.00054 sqrt(D). None means the squared distance.

    Returns:
        `[B]`, squared unit of the data, or its unit with `huber`.

    Raises:
        ValueError: if the shapes do not fit, or something is not floating.

    References:
        Song et al. 2023, Consistency Models, algorithms 2 and 3; Song and Dhariwal 2024, Improved Techniques for
        Training Consistency Models.
    """
    check_examples(data=data)
    check_numbers("data", data, sigma=sigma, next_sigma=next_sigma)
    noise = normal_like(key, data)
    far = data + beside(next_sigma, data) * noise
    if denoiser_fn is None:
        near = data + beside(sigma, data) * noise
    else:
        near = _heun_step(denoiser_fn, far, next_sigma, sigma)
    output = consistency_fn(far, next_sigma)
    check_output("consistency_fn", output, data)
    target = jax.lax.stop_gradient((target_fn or consistency_fn)(near, sigma))
    squared = denoising_loss(output, target)
    return squared if huber is None else jnp.sqrt(squared + huber**2) - huber


def mean_flow_loss(
    mean_velocity_fn: Callable[..., Array],
    noise: Float[Array, "batch *event"],
    data: Float[Array, "batch *event"],
    t: Float[Array, " batch"],
    r: Float[Array, " batch"],
    *,
    kind: str = "linear",
) -> Float[Array, " batch"]:
    """Train a model of the mean velocity between two times, with which x_r = x_t + (r − t) u(x_t, t, r) is one step.

    |u(x_t, t, r) − sg(v + (r − t) du/dt)|², v = dx_t/dt, du/dt = ∂u/∂x v + ∂u/∂t

    The sum over all axes, no ½. At r = t it is `flow_matching_loss`. Time runs from noise at 0 to data at 1, so that
    one step of sampling is t = 0, r = 1; the paper's runs the other way. The paper multiplies by `adaptive_weight`.
    At the true mean velocity its gradient is 0 in expectation; from N(0, 1) to N(m, s²) with independent pairs on the
    linear path it is then s² (r² s² + (1 − r)²) / (t² s² + (1 − t)²)² per dimension.

    Args:
        mean_velocity_fn: u, maps x_t `[B, ...]`, t `[B]` and r `[B]` to `[B, ...]`; differentiable forward.
        noise: `[B, ...]`, coupled to `data` row by row.
        data: in the shape of `noise`.
        t: time of x_t in [0, 1], `[B]`.
        r: time to go to, `[B]`.
        kind: of the path, as in `flow_matching_path`.

    Returns:
        `[B]`, squared unit of the data.

    Raises:
        ValueError: if the kind is unknown, the shapes do not fit, or something is not floating.

    References:
        Geng et al. 2025, Mean Flows for One-step Generative Modeling, section 4.
    """
    x_t, velocity = flow_matching_path(noise, data, t, kind=kind)
    check_numbers("noise", noise, r=r)
    mean_velocity, change = jax.jvp(lambda x, t: mean_velocity_fn(x, t, r), (x_t, t), (velocity, jnp.ones_like(t)))
    check_output("mean_velocity_fn", mean_velocity, x_t)
    # (r − t) u = ∫_t^r v, and so d/dt gives u = v + (r − t) du/dt
    target = velocity + beside(r - t, x_t) * change
    return denoising_loss(mean_velocity, jax.lax.stop_gradient(target))


def _heun_step(denoiser_fn, x, start, stop):
    """Take one step of dx/dσ = (x − D(x, σ)) / σ by the second-order method of Heun."""

    def slope(x, sigma):
        return (x - denoiser_fn(x, sigma)) / beside(sigma, x)

    size = beside(stop - start, x)
    first = slope(x, start)
    return x + 0.5 * size * (first + slope(x + size * first, stop))
