"""Bounds of the evidence log p(x), as losses: the negative of what is to rise.

`log_weights` are log w_k = log p(x, z_k) − log q(z_k | x), samples first: `[K, B]`.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from genloss_jax.losses.variational._shared import (
    Scalar,
    check_axes,
    log_mean_exp,
    log_power_mean,
    straight_through,
)

SplitLogWeightFn = Callable[[PyTree, PyTree], Float[Array, "outer samples batch"]]
"""Maps the parameters of decoder and encoder to log-weights `[M, K, B]`, its random numbers bound."""


def elbo_loss(nll: Float[Array, " batch"], kl: Float[Array, " batch"], *, beta: Scalar = 1.0) -> Float[Array, " batch"]:
    """Compute the negative evidence lower bound.

    nll + β KL(q(z|x) ‖ p(z)), nll = −log p(x|z) at z ~ q(z|x)

    Its mean over z is at least −log p(x), with a gap of KL(q(z|x) ‖ p(z|x)) at β = 1. Below 1 it is no bound.

    Args:
        nll: `[B]`, nats, summed over the axes of x.
        kl: `[B]`, nats, summed over latents.
        beta: weight of the divergence.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if an array is not `[B]` or the batches differ.

    References:
        Kingma and Welling 2014, "Auto-encoding variational Bayes"; Higgins et al. 2017, "beta-VAE".
    """
    check_axes("B", nll=nll, kl=kl)
    return nll + beta * kl


def capacity_loss(
    nll: Float[Array, " batch"], kl: Float[Array, " batch"], *, capacity: Scalar, gamma: Scalar
) -> Float[Array, " batch"]:
    """Hold the divergence at a capacity that is raised during training.

    nll + γ |KL(q(z|x) ‖ p(z)) − C|

    With γ ≥ 1 it is at least the negative bound minus C.

    Args:
        nll: `[B]`, nats.
        kl: `[B]`, nats.
        capacity: C, nats, such as `linear(step, num_steps=..., end=25.0)`.
        gamma: γ, large (the paper takes 1,000).

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if an array is not `[B]` or the batches differ.

    References:
        Burgess et al. 2018, "Understanding disentangling in β-VAE".
    """
    check_axes("B", nll=nll, kl=kl)
    return nll + gamma * jnp.abs(kl - capacity)


def iwae_loss(log_weights: Float[Array, "samples batch"]) -> Float[Array, " batch"]:
    """Compute the negative importance-weighted bound.

    −log (1/K) Σ_k w_k

    The value is the bound itself, and its gradient weights sample k by w_k / Σ_j w_j, so that the best samples count
    most. The self-normalised sum Σ_k w̃_k log w_k has other values, above the bound and possibly above log p(x).

    Args:
        log_weights: `[K, B]`. K = 1 gives the negative evidence lower bound.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x) and falling with K.

    Raises:
        ValueError: if `log_weights` is not `[K, B]`.

    References:
        Burda et al. 2016, "Importance weighted autoencoders".
    """
    check_axes("K, B", log_weights=log_weights)
    return -log_mean_exp(log_weights)


def miwae_loss(log_weights: Float[Array, "outer samples batch"]) -> Float[Array, " batch"]:
    """Compute the mean of M negative importance-weighted bounds of K samples each.

    −(1/M) Σ_m log (1/K) Σ_k w_mk

    M = 1 is `iwae_loss` with K samples, K = 1 is the negative evidence lower bound averaged over M.

    Args:
        log_weights: `[M, K, B]`: averaged over the first axis outside the logarithm, over the second inside.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if `log_weights` is not `[M, K, B]`.

    References:
        Rainforth et al. 2018, "Tighter variational bounds are not necessarily better".
    """
    check_axes("M, K, B", log_weights=log_weights)
    return -jnp.mean(log_mean_exp(log_weights, axis=1), axis=0)


def piwae_loss(
    log_weight_fn: SplitLogWeightFn, decoder_params: PyTree, encoder_params: PyTree
) -> Float[Array, " batch"]:
    """Compute the negative importance-weighted bound of M·K samples, with the encoder's gradient of `miwae_loss`.

    −log (1/(MK)) Σ_m Σ_k w_mk; its gradient by the encoder is that of −(1/M) Σ_m log (1/K) Σ_k w_mk

    The encoder's gradient drowns in noise as K grows, the decoder's does not.

    Args:
        log_weight_fn: maps (decoder_params, encoder_params) to log-weights `[M, K, B]`. Called twice with the same
            values, which compilation makes one; random numbers must be bound.
        decoder_params: any tree.
        encoder_params: any tree.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if `log_weight_fn` does not return `[M, K, B]`.

    References:
        Rainforth et al. 2018, "Tighter variational bounds are not necessarily better".
    """
    fixed = jax.lax.stop_gradient
    log_weights = log_weight_fn(decoder_params, fixed(encoder_params))
    check_axes("M, K, B", **{"the value of log_weight_fn": log_weights})
    tight = iwae_loss(log_weights.reshape(-1, log_weights.shape[-1]))
    loose = miwae_loss(log_weight_fn(fixed(decoder_params), encoder_params))
    return tight + straight_through(jnp.zeros_like(tight), loose)


def ciwae_loss(log_weights: Float[Array, "samples batch"], *, beta: Scalar) -> Float[Array, " batch"]:
    """Compute a convex combination of the two negative bounds.

    −β (1/K) Σ_k log w_k − (1 − β) log (1/K) Σ_k w_k

    Args:
        log_weights: `[K, B]`.
        beta: in [0, 1]: 1 is the negative evidence lower bound, 0 is `iwae_loss`.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if `log_weights` is not `[K, B]`.

    References:
        Rainforth et al. 2018, "Tighter variational bounds are not necessarily better".
    """
    check_axes("K, B", log_weights=log_weights)
    return -beta * jnp.mean(log_weights, axis=0) - (1 - beta) * log_mean_exp(log_weights)


def renyi_loss(log_weights: Float[Array, "samples batch"], *, alpha: Scalar) -> Float[Array, " batch"]:
    """Compute the negative variational Rényi bound.

    −(1/(1 − α)) log (1/K) Σ_k w_k^(1 − α)

    α = 1 is the negative evidence lower bound (the limit), α = 0 is `iwae_loss`. For α ≥ 0 the mean over samples is at
    least −log p(x) at every K. For α < 0 the value estimates an upper bound of log p(x), from which K samples fall
    short: it then bounds nothing.

    Args:
        log_weights: `[K, B]`.
        alpha: finite real number, also traced.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if `log_weights` is not `[K, B]`.

    References:
        Li and Turner 2016, "Rényi divergence variational inference".
    """
    check_axes("K, B", log_weights=log_weights)
    return -log_power_mean(log_weights, 1 - alpha)


def chi_upper_bound_loss(log_weights: Float[Array, "samples batch"], *, order: Scalar = 2.0) -> Float[Array, " batch"]:
    """Estimate the χ upper bound of the evidence, which the encoder is to lower.

    (1/n) log (1/K) Σ_k w_k^n, estimating CUBO_n = (1/n) log E_q[w^n] ≥ log p(x)

    Positive in log p(x): the one loss here that tightens from above. Only CUBO itself is an upper bound. The estimate
    from K samples is too low in the mean (with K = 1 it is the evidence lower bound); exp(n · value) is unbiased for
    exp(n CUBO_n). To compare with `iwae_loss`, use many samples.

    Args:
        log_weights: `[K, B]`.
        order: n, at least 1.

    Returns:
        `[B]`, nats, no less than the importance-weighted bound of the same samples.

    Raises:
        ValueError: if `log_weights` is not `[K, B]`.

    References:
        Dieng et al. 2017, "Variational inference via χ upper bound minimization".
    """
    check_axes("K, B", log_weights=log_weights)
    return log_power_mean(log_weights, order)


def thermodynamic_loss(
    log_weights: Float[Array, "samples batch"],
    log_q: Float[Array, "samples batch"] | None = None,
    *,
    betas: Sequence[float] | Float[Array, " steps"],
) -> Float[Array, " batch"]:
    """Compute the negative thermodynamic variational objective, a left Riemann sum of log p(x).

    −Σ_j (β_(j+1) − β_j) E_(π_β_j)[log w], π_β ∝ q(z|x)^(1 − β) p(x, z)^β, the last β being 1

    The expectations are self-normalised, weights ∝ w_k^β. Since they rise with β, the left sum of K samples never
    exceeds their importance-weighted bound, so that the value is a bound at every K. `betas=(0.0,)` gives the negative
    evidence lower bound; the finer the grid, the closer to `iwae_loss`.

    Args:
        log_weights: `[K, B]`.
        log_q: log q(z_k|x), `[K, B]`, for samples that carry no gradient, such as discrete ones: the gradient then is
            the paper's covariance. None for reparametrised samples.
        betas: left ends of the intervals, rising from 0, below 1.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if `log_weights` is not `[K, B]`, `log_q` has another shape, or `betas` does not rise from 0 to
            below 1 (unchecked where it is an array).

    References:
        Masrani et al. 2019, "The thermodynamic variational objective".
    """
    check_axes("K, B", log_weights=log_weights)
    if not isinstance(betas, jax.Array):
        grid = (*betas, 1)
        if grid[0] != 0 or any(low >= high for low, high in itertools.pairwise(grid)):
            raise ValueError(f"betas must rise from 0 and stay below 1; got {betas}.")
    left = jnp.asarray(betas, log_weights.dtype)
    check_axes("steps", betas=left)
    widths = jnp.diff(left, append=jnp.ones(1, left.dtype))
    log_tilted = left[:, None, None] * log_weights[None]
    if log_q is not None:
        check_axes("K, B", log_weights=log_weights, log_q=log_q)
        log_tilted = log_tilted + straight_through(jnp.zeros_like(log_q), log_q)[None]
    expected = jnp.sum(jax.nn.softmax(log_tilted, axis=1) * log_weights[None], axis=1)
    return -jnp.sum(widths[:, None] * expected, axis=0)
