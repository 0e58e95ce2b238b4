"""Losses for energies of bits: an example is compared with its neighbours, which differ in one bit."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses._shared import check_examples
from genloss_jax.losses.energy._shared import EnergyFn, evaluate, evaluate_draws


def pseudo_likelihood_loss(energy_fn: EnergyFn, x: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Predict each bit from all others.

    `−Σ_d log p(x_d | x_−d) = Σ_d softplus(E(x) − E(x with bit d flipped))`. Least in the mean at the data's
    distribution, like the likelihood, but not a bound of it; for independent bits the two are equal. All D neighbours
    are evaluated at once.

    Args:
        energy_fn: maps bits `[N, ...]` to energies `[N]`; called on B and on D·B points.
        x: bits, 0.0 or 1.0, `[B, ...]`.

    Returns:
        `[B]`, nats, summed over bits.

    Raises:
        ValueError: if `x` is not floating or `energy_fn` does not return one energy per point.

    References:
        Besag 1975, Statistical Analysis of Non-Lattice Data; Hyvärinen 2006, Consistency of Pseudolikelihood Estimation
        of Fully Visible Boltzmann Machines.
    """
    # p(x_d | x_−d) = 1 / (1 + exp(E(x) − E(flipped)))
    return jnp.sum(jax.nn.softplus(_falls_by_flip(energy_fn, x)), axis=0)


def ratio_matching_loss(energy_fn: EnergyFn, x: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Match the ratios of probabilities of neighbours: score matching for bits.

    `Σ_d p(flipped x_d | x_−d)² = Σ_d σ(E(x) − E(x with bit d flipped))²`, no ½. The mean exceeds its least value by
    `Σ_x p(x) Σ_d (p̂(flipped x_d | x_−d) − p(flipped x_d | x_−d))²`, with p̂ the model. It stays bounded, D at most.

    Args:
        energy_fn: maps bits `[N, ...]` to energies `[N]`; called on B and on D·B points.
        x: bits, 0.0 or 1.0, `[B, ...]`.

    Returns:
        `[B]`, squared probability, summed over bits.

    Raises:
        ValueError: if `x` is not floating or `energy_fn` does not return one energy per point.

    References:
        Hyvärinen 2007, Some Extensions of Score Matching, section 4.
    """
    return jnp.sum(jnp.square(jax.nn.sigmoid(_falls_by_flip(energy_fn, x))), axis=0)


def minimum_probability_flow_loss(energy_fn: EnergyFn, x: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Slow the flow of probability from data to its neighbours.

    `Σ_d exp(½ (E(x) − E(x with bit d flipped)))`: the rate at which dynamics with the model as equilibrium leave the
    data at the start. Neighbours that are data themselves count as well; the paper leaves them out. Grows exponentially
    where the data lies high: it overflows in float32 where an energy falls by more than 177.

    Args:
        energy_fn: maps bits `[N, ...]` to energies `[N]`; called on B and on D·B points.
        x: bits, 0.0 or 1.0, `[B, ...]`.

    Returns:
        `[B]`, rate, summed over bits.

    Raises:
        ValueError: if `x` is not floating or `energy_fn` does not return one energy per point.

    References:
        Sohl-Dickstein et al. 2011, Minimum Probability Flow Learning.
    """
    return jnp.sum(jnp.exp(0.5 * _falls_by_flip(energy_fn, x)), axis=0)


def _falls_by_flip(energy_fn: EnergyFn, x: Float[Array, "batch *event"]) -> Float[Array, "bits batch"]:
    """Return E(x) − E(x with bit d flipped) for every bit d."""
    check_examples(x=x)
    bits: Array = jnp.eye(x[0].size, dtype=x.dtype).reshape(-1, 1, *x.shape[1:])
    flipped = x[None] + bits * (1 - 2 * x)[None]
    return evaluate(energy_fn, x)[None] - evaluate_draws(energy_fn, flipped)
