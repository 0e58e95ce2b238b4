"""Ordinary differential equations by fixed steps, and the density that a flow carries along.

The fields here are smooth in time and trained to a known scale, so that the number of steps is a constant of the
program: it compiles to one loop, costs every member of a vmapped group the same, and its error is seen by halving it.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax._names import look_up
from genloss_jax.samplers.loop import run
from genloss_jax.samplers.march import MarchStep, start, stepper

FieldFn = Callable[[Any, Float[Array, ""]], Any]
"""Maps x, an array or pytree, and the time to dx/dt, like x."""


def _plus(x, scale, slope):
    return jax.tree.map(lambda leaf, own: leaf + scale * own, x, slope)


def _mean(weights, slopes):
    return jax.tree.map(lambda *each: sum(w * own for w, own in zip(weights, each, strict=True)), *slopes)


def _euler(field_fn, x, t, size):
    return field_fn(x, t)


def _heun(field_fn, x, t, size):
    first = field_fn(x, t)
    second = field_fn(_plus(x, size, first), t + size)
    return _mean((0.5, 0.5), (first, second))


def _rk4(field_fn, x, t, size):
    first = field_fn(x, t)
    second = field_fn(_plus(x, 0.5 * size, first), t + 0.5 * size)
    third = field_fn(_plus(x, 0.5 * size, second), t + 0.5 * size)
    fourth = field_fn(_plus(x, size, third), t + size)
    return _mean((1 / 6, 1 / 3, 1 / 3, 1 / 6), (first, second, third, fourth))


# name -> mean slope over a step, (field_fn, x, t, size) -> like x
METHODS: dict[str, Callable[..., Any]] = {"euler": _euler, "heun": _heun, "rk4": _rk4}


def ode(field_fn: FieldFn, times: Float[Array, " times"], *, method: str = "rk4") -> MarchStep:
    """Make a step of dx/dt = field(x, t).

    - "euler": one evaluation per step, error of order 1.
    - "heun": two, order 2 (the explicit trapezoidal rule).
    - "rk4": four, order 4 (the classical Runge-Kutta method).

    Args:
        field_fn: maps x and t to dx/dt.
        times: `[N + 1]`, rising or falling.
        method: one of the above.

    Returns:
        `(key, state) -> (state, info)`; the key is not used.

    Raises:
        ValueError: if the method is unknown, or there are fewer than two times.
    """
    slope = look_up("method", method, METHODS)

    def move(key, x, t, next_t):
        del key
        return _plus(x, next_t - t, slope(field_fn, x, t, next_t - t))

    return stepper(move, times)


def exact_divergence(
    velocity_fn: Callable[[Array], Array], x: Float[Array, "batch *event"]
) -> tuple[Float[Array, "batch *event"], Float[Array, " batch"]]:
    """Evaluate a velocity and its divergence Σ_i ∂v_i/∂x_i, by one forward derivative per dimension.

    Args:
        velocity_fn: maps `[B, ...]` to `[B, ...]`, each example by itself.
        x: `[B, ...]`.

    Returns:
        (velocity `[B, ...]`, divergence `[B]`).
    """
    event = x.shape[1:]
    basis = jnp.eye(math.prod(event), dtype=x.dtype).reshape(-1, *event)
    velocity, derivative = jax.linearize(velocity_fn, x)

    def partial(direction):
        tangent = jnp.broadcast_to(direction[None], x.shape)
        return _dot(tangent, derivative(tangent))

    return velocity, jnp.sum(jax.vmap(partial)(basis), axis=0)


def estimated_divergence(
    velocity_fn: Callable[[Array], Array], x: Float[Array, "batch *event"], probe: Float[Array, "batch *event"]
) -> tuple[Float[Array, "batch *event"], Float[Array, " batch"]]:
    """Evaluate a velocity and estimate its divergence by one forward derivative (Hutchinson's trace estimator).

    div v ≈ probe · (∂v/∂x) probe, whose mean over probes with E[probe probeᵀ] = I is the divergence

    Args:
        velocity_fn: maps `[B, ...]` to `[B, ...]`, each example by itself.
        x: `[B, ...]`.
        probe: signs or standard normal numbers, in the shape of `x`.

    Returns:
        (velocity `[B, ...]`, divergence `[B]`).

    References:
        Grathwohl et al. 2019, FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models.
    """
    velocity, tangent = jax.jvp(velocity_fn, (x,), (probe,))
    return velocity, _dot(probe, tangent)


def flow_log_prob(
    velocity_fn: Callable[[Array, Array], Array],
    base_log_prob: Callable[[Array], Array],
    x: Float[Array, "batch *event"],
    times: Float[Array, " times"],
    *,
    key: PRNGKeyArray | None = None,
    method: str = "rk4",
) -> Float[Array, " batch"]:
    """Compute the log-density of what a velocity field makes of a base distribution.

    log p(x) = log p_base(x(t_0)) − ∫ div v(x(t), t) dt from t_0, where the base is, to t_1, where x is

    Up to the error of the solver, which halving the number of steps shows. Without a key the divergence is exact, at D
    forward derivatives per evaluation. With one it is estimated along one random direction of signs for each example,
    the same at all times: an estimate with the right mean.

    Args:
        velocity_fn: maps x `[B, ...]` and a scalar t to dx/dt `[B, ...]`, each example by itself.
        base_log_prob: maps `[B, ...]` to `[B]` nats.
        x: `[B, ...]`.
        times: `[N + 1]`, from t_1 to t_0.
        key: draws the directions; None for the exact divergence.
        method: as in `ode`.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the method is unknown, or there are fewer than two times.

    References:
        Chen et al. 2018, Neural Ordinary Differential Equations, theorem 1.
    """
    probe = None if key is None else jax.random.rademacher(key, x.shape, x.dtype)

    def field(state, t):
        place, _ = state
        if probe is None:
            return exact_divergence(lambda x: velocity_fn(x, t), place)
        return estimated_divergence(lambda x: velocity_fn(x, t), place, probe)

    begin = start((x, jnp.zeros(x.shape[:1], x.dtype)))
    # No step of an ODE draws anything; the march asks for a key all the same.
    end, _ = run(ode(field, times, method=method), jax.random.key(0), begin, times.shape[0] - 1)
    base, integral = end.x
    # The march goes from t_1 to t_0, so that its integral has the sign that the formula asks for.
    return base_log_prob(base) + integral


def _dot(left, right):
    return jnp.sum(left * right, axis=tuple(range(1, left.ndim)))
