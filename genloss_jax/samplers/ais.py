"""Annealed importance sampling: from a distribution that can be sampled to an energy, with weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from genloss_jax.samplers._chains import EnergyFn
from genloss_jax.samplers.loop import Step


class AISState(NamedTuple):
    """Where annealed importance sampling is.

    Attributes:
        x: `[B, ...]`, one chain per row.
        log_weights: `[B]`, log of each chain's importance weight so far.
        position: index of the temperature that it stands at.
    """

    x: Array
    log_weights: Float[Array, " chains"]
    position: Int[Array, ""]


def ais_start(x: Array) -> AISState:
    """Stand at the first distribution, with exact samples of it."""
    return AISState(x, jnp.zeros(x.shape[:1], x.dtype), jnp.zeros((), jnp.int32))


def ais(
    start_energy_fn: EnergyFn,
    end_energy_fn: EnergyFn,
    transition: Callable[[EnergyFn], Step],
    betas: Float[Array, " temperatures"],
) -> Step:
    """Make a step of annealed importance sampling along E_β = (1 − β) E_0 + β E_1.

    log w ← log w + (β' − β) (E_0(x) − E_1(x)), then x moves by a transition that leaves exp(−E_β') invariant

    After all steps E[w] = Z_1 / Z_0, whatever the transitions mix, where Z = ∫ exp(−E); so that the mean of log w is at
    most log Z_1 / Z_0. The weights' spread says how far the samples are from those of E_1.

    Args:
        start_energy_fn: E_0, maps `[B, ...]` to `[B]`; its own distribution is where the chains start.
        end_energy_fn: E_1.
        transition: maps an energy to a step `(key, x) -> (x, info)`, such as `partial(hmc, step_size=0.1,
            num_leapfrog_steps=5)`. It must leave the energy's distribution invariant: `langevin` does not.
        betas: `[N + 1]` for N steps, rising from 0 to 1.

    Returns:
        `(key, state) -> (state, info of the transition)`, to be taken N times from `ais_start(samples of E_0)`.

    Raises:
        ValueError: if there are fewer than two temperatures.

    References:
        Neal 2001, Annealed Importance Sampling.
    """
    if betas.ndim != 1 or betas.shape[0] < 2:
        raise ValueError(f"betas must be a vector of at least two temperatures, got shape {betas.shape}")

    def step(key: PRNGKeyArray, state: AISState) -> tuple[AISState, Any]:
        position = state.position + 1
        beta, next_beta = betas[state.position], betas[position]
        rise = (next_beta - beta) * (start_energy_fn(state.x) - end_energy_fn(state.x))

        def energy_fn(x):
            return (1 - next_beta) * start_energy_fn(x) + next_beta * end_energy_fn(x)

        x, info = transition(energy_fn)(key, state.x)
        return AISState(x, state.log_weights + rise, position), info

    return step
