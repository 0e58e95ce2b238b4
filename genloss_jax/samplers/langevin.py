"""Langevin dynamics: downhill on the energy, with noise; unadjusted, adjusted by Metropolis, annealed over noise."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.samplers._chains import EnergyFn, TransitionInfo, check_positive, energy_and_gradient, normal_like
from genloss_jax.samplers.hmc import hmc
from genloss_jax.samplers.loop import Step, run

Scalar = float | Float[Array, ""]


def langevin(energy_fn: EnergyFn, *, step_size: Scalar) -> Step:
    """Make a step of unadjusted Langevin dynamics.

    x' = x − ε/2 ∇E(x) + √ε ξ, ξ standard normal

    Biased by the size of its steps: on a Gaussian of variance σ² the stationary variance is σ² / (1 − ε / (4σ²)), and
    from ε = 4σ² on there is none.

    Args:
        energy_fn: maps `[B, ...]` to energies `[B]`, each chain by itself.
        step_size: ε, in the squared unit of x. It may be traced.

    Returns:
        `(key, x) -> (x, info)`, with one chain per row of `x`.

    Raises:
        ValueError: if the step size is not positive, and while tracing, if there is not one energy per chain.

    References:
        Roberts and Tweedie 1996, Exponential Convergence of Langevin Distributions and Their Discrete Approximations.
    """
    check_positive("step_size", step_size)

    def step(key: PRNGKeyArray, x: Array) -> tuple[Array, TransitionInfo]:
        energy, gradient = energy_and_gradient(energy_fn, x)
        x = x - 0.5 * step_size * gradient + jnp.sqrt(step_size) * normal_like(key, x)
        return x, TransitionInfo(jnp.ones_like(energy))

    return step


def mala(energy_fn: EnergyFn, *, step_size: Scalar) -> Step:
    """Make a step of the Metropolis-adjusted Langevin algorithm, which leaves p(x) ∝ exp(−E(x)) invariant.

    x' as in `langevin`, accepted with probability min(1, p(x') q(x | x') / (p(x) q(x' | x))). It is a step of
    Hamiltonian Monte Carlo with one leapfrog step of size √ε; the two ratios are equal.

    Args:
        energy_fn: maps `[B, ...]` to energies `[B]`, each chain by itself.
        step_size: ε, in the squared unit of x. It may be traced.

    Returns:
        `(key, x) -> (x, info)`, with one chain per row of `x`.

    Raises:
        ValueError: if the step size is not positive, and while tracing, if there is not one energy per chain.

    References:
        Roberts and Tweedie 1996, Exponential Convergence of Langevin Distributions and Their Discrete Approximations;
        Neal 2011, MCMC Using Hamiltonian Dynamics, section 5.2.
    """
    check_positive("step_size", step_size)
    return hmc(energy_fn, step_size=jnp.sqrt(step_size), num_leapfrog_steps=1)


def annealed_langevin(
    energy_fn: Callable[[Array, Float[Array, ""]], Float[Array, " chains"]],
    key: PRNGKeyArray,
    x: Array,
    sigmas: Float[Array, " levels"],
    *,
    step_size: Scalar,
    num_steps: int,
) -> Array:
    """Follow energies of less and less noise, with steps that shrink as the noise does.

    At each level, `num_steps` steps of `langevin` with ε = step_size · σ².

    Args:
        energy_fn: maps x `[B, ...]` and a scalar σ to energies `[B]`.
        key: level i uses `fold_in(key, i)`.
        x: where to begin, `[B, ...]`.
        sigmas: `[L]`, falling.
        step_size: in units of σ².
        num_steps: at each level.

    Returns:
        `[B, ...]`.

    Raises:
        ValueError: if the step size is not positive, and while tracing, if there is not one energy per chain.

    References:
        Song and Ermon 2019, Generative Modeling by Estimating Gradients of the Data Distribution, algorithm 1.
    """
    check_positive("step_size", step_size)

    def level(x, each):
        index, sigma = each
        step = langevin(lambda x: energy_fn(x, sigma), step_size=step_size * sigma**2)
        x, _ = run(step, jax.random.fold_in(key, index), x, num_steps)
        return x, None

    x, _ = jax.lax.scan(level, x, (jnp.arange(sigmas.shape[0]), sigmas))
    return x
