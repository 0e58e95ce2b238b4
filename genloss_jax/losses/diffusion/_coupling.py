"""Couplings: which noise of a batch goes with which data. They reorder the noise; data and their labels stay."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses._shared import at_least_float32
from genloss_jax.losses.diffusion._shared import Scalar, check_examples
from genloss_jax.losses.divergences import _transport


def independent(
    key: PRNGKeyArray, noise: Float[Array, "batch *event"], data: Float[Array, "batch *event"]
) -> Float[Array, "batch *event"]:
    """Couple noise and data independently: each with a random partner.

    noise[p] with a uniformly random permutation p

    Args:
        key: draws p.
        noise: `[B, ...]`.
        data: in the shape of `noise`.

    Returns:
        The noise, `[B, ...]`, in the order that goes with `data`.

    Raises:
        ValueError: if the shapes differ, or something is not floating.
    """
    check_examples(noise=noise, data=data)
    return noise[jax.random.permutation(key, noise.shape[0])]


def optimal_transport(
    key: PRNGKeyArray, noise: Float[Array, "batch *event"], data: Float[Array, "batch *event"]
) -> Float[Array, "batch *event"]:
    """Couple noise and data of a batch at the least total squared distance, exactly.

    noise[p] with the permutation p that minimises Σ_i |noise_p(i) − data_i|²

    An assignment problem, solved inside the compiled program by shortest augmenting paths in at most B² short steps one
    after another: made for batches of up to several hundred. Where that is too slow, `entropic_transport` is a fixed
    number of matrix operations. Every example is used once, so that both marginals stay as they are.

    Args:
        key: not used; couplings share one signature.
        noise: `[B, ...]`.
        data: in the shape of `noise`.

    Returns:
        The noise, `[B, ...]`, in the order that goes with `data`.

    Raises:
        ValueError: if the shapes differ, or something is not floating.

    References:
        Tong et al. 2024, Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport;
        Pooladian et al. 2023, Multisample Flow Matching. The algorithm: Crouse 2016, On Implementing 2D Rectangular
        Assignment Algorithms.
    """
    del key
    return noise[_transport.optimal_assignment(_costs(data, noise))]


def entropic_transport(
    key: PRNGKeyArray,
    noise: Float[Array, "batch *event"],
    data: Float[Array, "batch *event"],
    *,
    epsilon: Scalar,
    max_iterations: int = 500,
) -> Float[Array, "batch *event"]:
    """Couple noise and data of a batch by drawing from the entropic optimal plan.

    for each data_i one noise_j with probability proportional to P_ij, P the minimiser of
    Σ P_ij |data_i − noise_j|² + epsilon KL(P || uniform)

    Data are used once each, noise with replacement: once each in the mean over draws. With epsilon = 2 σ² and
    `bridge_gamma(scale=σ)` it is the coupling of Schrödinger bridge flow matching. As epsilon grows it becomes
    independent; as it falls, optimal.

    Args:
        key: draws the partners.
        noise: `[B, ...]`.
        data: in the shape of `noise`.
        epsilon: temperature, positive, in the squared unit of the data.
        max_iterations: as in `divergences.sinkhorn_divergence`.

    Returns:
        Rows of the noise, `[B, ...]`, in the order that goes with `data`.

    Raises:
        ValueError: if the shapes differ, something is not floating, or `epsilon` is not positive.

    References:
        Tong et al. 2024, Simulation-Free Schrödinger Bridges via Score and Flow Matching.
    """
    log_plan = _transport.entropic_log_plan(_costs(data, noise), epsilon=epsilon, max_iterations=max_iterations)
    return noise[jax.random.categorical(key, log_plan, axis=1)]


def _costs(data, noise):
    """Compute what couplings need of the squared distances: −2 data·noise about the means.

    The squared norms cost every plan the same, and so do shifts. A choice of partners has no gradient.
    """
    check_examples(noise=noise, data=data)

    def centred_rows(examples):
        rows = at_least_float32(jax.lax.stop_gradient(examples).reshape(examples.shape[0], -1))
        return rows - jnp.mean(rows, axis=0, keepdims=True)

    return -2 * jnp.matmul(centred_rows(data), centred_rows(noise).T, precision=jax.lax.Precision.HIGHEST)
