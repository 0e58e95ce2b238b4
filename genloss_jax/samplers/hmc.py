"""Hamiltonian Monte Carlo."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.samplers._chains import (
    EnergyFn,
    TransitionInfo,
    check_positive,
    energy_and_gradient,
    for_each_chain,
    normal_like,
    squared_norm,
)
from genloss_jax.samplers.loop import Step


def leapfrog(
    energy_fn: EnergyFn, x: Array, momentum: Array, *, step_size: float | Float[Array, ""], num_steps: int
) -> tuple[Array, Array, Float[Array, " chains"]]:
    """Follow the Hamiltonian H(x, p) = E(x) + ½‖p‖² by the leapfrog method.

    p ← p − h/2 ∇E(x);  x ← x + h p;  p ← p − h/2 ∇E(x), as many times as there are steps

    The map keeps volumes, and with the last momentum turned round it leads back to where it began.

    Args:
        energy_fn: maps `[B, ...]` to energies `[B]`, each chain by itself.
        x: `[B, ...]`.
        momentum: p, in the shape of `x`.
        step_size: h.
        num_steps: how many steps.

    Returns:
        (x, momentum, rise `[B]` of H from the first to the last point).

    Raises:
        ValueError: while tracing, if there is not one energy per chain.

    References:
        Neal 2011, MCMC Using Hamiltonian Dynamics, section 2.3.
    """
    energy, gradient = energy_and_gradient(energy_fn, x)
    hamiltonian = energy + 0.5 * squared_norm(momentum)

    def body(point, _):
        x, momentum, gradient, _ = point
        half = momentum - 0.5 * step_size * gradient
        x = x + step_size * half
        energy, gradient = energy_and_gradient(energy_fn, x)
        return (x, half - 0.5 * step_size * gradient, gradient, energy), None

    (x, momentum, _, energy), _ = jax.lax.scan(body, (x, momentum, gradient, energy), length=num_steps)
    return x, momentum, energy + 0.5 * squared_norm(momentum) - hamiltonian


def hmc(energy_fn: EnergyFn, *, step_size: float | Float[Array, ""], num_leapfrog_steps: int) -> Step:
    """Make a step of Hamiltonian Monte Carlo, which leaves p(x) ∝ exp(−E(x)) invariant.

    A momentum from N(0, I), some leapfrog steps, and the end accepted with probability min(1, exp(−rise of H)), each
    chain by itself. A move to where H is not a number is rejected.

    Args:
        energy_fn: maps `[B, ...]` to energies `[B]`, each chain by itself.
        step_size: h of the leapfrog method, in the unit of x. It may be traced.
        num_leapfrog_steps: at least 1; one is `mala` with ε = h².

    Returns:
        `(key, x) -> (x, info)`, with one chain per row of `x`.

    Raises:
        ValueError: if an option is not positive, and while tracing, if there is not one energy per chain.

    References:
        Duane et al. 1987, Hybrid Monte Carlo; Neal 2011, MCMC Using Hamiltonian Dynamics.
    """
    check_positive("step_size", step_size)
    check_positive("num_leapfrog_steps", num_leapfrog_steps)

    def step(key: PRNGKeyArray, x: Array) -> tuple[Array, TransitionInfo]:
        momentum_key, accept_key = jax.random.split(key)
        momentum = normal_like(momentum_key, x)
        proposal, _, rise = leapfrog(energy_fn, x, momentum, step_size=step_size, num_steps=num_leapfrog_steps)
        acceptance = jnp.nan_to_num(jnp.exp(-jnp.maximum(rise, 0.0)), nan=0.0)
        accepted = parts.draw(jax.random.uniform, accept_key, rise.shape, rise.dtype) < acceptance
        return jnp.where(for_each_chain(accepted, x), proposal, x), TransitionInfo(acceptance)

    return step
