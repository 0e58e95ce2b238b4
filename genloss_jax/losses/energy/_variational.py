"""Losses with a second network in place of a long chain: a density ratio, or a sampler with an entropy."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax._names import look_up
from genloss_jax.losses._shared import Scalar, check_examples, check_positive, check_values, normal_like, squared_norm
from genloss_jax.losses.energy._shared import EnergyFn, evaluate


class _Witness(NamedTuple):
    """For u = exp(r): slope is f'(u), and conjugate is f*(f'(u)) = u f'(u) − f(u)."""

    slope: Callable[[Array], Array]
    conjugate: Callable[[Array], Array]


# Total variation is missing: its slope ½ sign(r) has no gradient.
_WITNESSES = {
    "kl": _Witness(lambda r: 1 + r, jnp.exp),
    "reverse_kl": _Witness(lambda r: -jnp.exp(-r), lambda r: r - 1),
    "jensen_shannon": _Witness(lambda r: math.log(2) - jax.nn.softplus(-r), lambda r: jax.nn.softplus(r) - math.log(2)),
    "gan": _Witness(lambda r: -jax.nn.softplus(-r), jax.nn.softplus),
    "pearson": _Witness(lambda r: 2 * jnp.expm1(r), lambda r: jnp.expm1(2 * r)),
    "neyman": _Witness(lambda r: -jnp.expm1(-2 * r), lambda r: -2 * jnp.expm1(-r)),
    "squared_hellinger": _Witness(lambda r: -jnp.expm1(-0.5 * r), lambda r: jnp.expm1(0.5 * r)),
    "jeffreys": _Witness(lambda r: r - jnp.expm1(-r), lambda r: r + jnp.expm1(r)),
}


def f_ebm_loss(
    data_log_ratio: Float[Array, " batch"],
    sample_log_ratio: Float[Array, " batch"],
    sample_energy: Float[Array, " batch"],
    *,
    divergence: str,
) -> Float[Array, " batch"]:
    """Fit an energy by any f-divergence, whose value a second network bounds from below.

    Value: `f'(u(x)) − f*(f'(u(x̃)))` with `u = exp(r)`, `r = E + H`, x data and x̃ samples of the model q ∝ exp(−E).
        Its mean is a lower bound of `D_f(p ‖ q) = E_q f(p/q)`, tight where r = log p/q. The network H has the loss
        `f_ebm_ratio_loss` and learns log p up to the constant log Z.

    Gradient: that of the bound, the samples' own dependence on E included, which adds the covariance over samples of
    `f*(f'(u(x̃)))` with ∇E(x̃); the batch estimates it without bias. At a tight H it is the gradient of D_f; for "kl"
    that of maximum likelihood.

    Args:
        data_log_ratio: r(x) on data, `[B]`, with gradient to E.
        sample_log_ratio: r(x̃) on samples, `[B]`, with gradient to E.
        sample_energy: E(x̃), `[B]`; gives the gradient, not the value.
        divergence: "kl", "reverse_kl", "jensen_shannon" (twice JSD), "gan" (that less log 4), "pearson", "neyman",
            "squared_hellinger" (no ½) or "jeffreys": the factors of `adversarial.f_gan`.

    Returns:
        `[B]`, nats or the divergence's own unit. Finite while exp of the log-ratios (of twice it for the χ²
        divergences) is.

    Raises:
        ValueError: if the three are not floating arrays of one shape `[B]` with B at least 2, or the divergence is
            unknown.

    References:
        Yu et al. 2020, Training Deep Energy-Based Models with f-Divergence Minimization, section 3.
    """
    check_values(data_log_ratio=data_log_ratio, sample_log_ratio=sample_log_ratio, sample_energy=sample_energy)
    num = len(sample_energy)
    if num < 2:
        raise ValueError(f"sample_energy must hold at least 2 samples, whose covariance is taken; got {num}.")
    slope, conjugate = look_up("divergence", divergence, _WITNESSES)
    costs = conjugate(sample_log_ratio)
    # ∇(−E_q f*) = −E_q ∇f* + Cov_q(f*, ∇E); the value of the second term is left at 0
    weights = jax.lax.stop_gradient(costs - jnp.mean(costs)) * (num / (num - 1))
    covariance = weights * (sample_energy - jax.lax.stop_gradient(sample_energy))
    return slope(data_log_ratio) - costs + covariance


def f_ebm_ratio_loss(
    data_log_ratio: Float[Array, " batch"], sample_log_ratio: Float[Array, " batch"], *, divergence: str
) -> Float[Array, " batch"]:
    """Fit the density ratio that `f_ebm_loss` needs, by raising its lower bound.

    `−f'(u(x)) + f*(f'(u(x̃)))` with `u = exp(r)`, `r = E + H` and the energy E held constant. Least, at −D_f(p ‖ q),
    where r = log p/q.

    Args:
        data_log_ratio: r(x) on data, `[B]`, with gradient to H.
        sample_log_ratio: r(x̃) on samples of the model, `[B]`, with gradient to H.
        divergence: as in `f_ebm_loss`.

    Returns:
        `[B]`, nats or the divergence's own unit; its mean is an upper bound of −D_f.

    Raises:
        ValueError: if the two are not floating arrays of one shape `[B]`, or the divergence is unknown.

    References:
        Yu et al. 2020, Training Deep Energy-Based Models with f-Divergence Minimization, section 3.
    """
    check_values(data_log_ratio=data_log_ratio, sample_log_ratio=sample_log_ratio)
    slope, conjugate = look_up("divergence", divergence, _WITNESSES)
    return conjugate(sample_log_ratio) - slope(data_log_ratio)


def variational_entropy_loss(
    energy_fn: EnergyFn,
    generator_fn: Callable[[Float[Array, "batch latent"]], Float[Array, "batch ..."]],
    key: PRNGKeyArray,
    latents: Float[Array, "batch latent"],
    *,
    sigma: Scalar,
    proposal_sigma: Scalar,
    num_samples: int = 20,
    entropy_weight: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Train a generator to sample from an energy: low energy and high entropy (VERA).

    `E(x) + w log q̂(x)` at `x = g(z) + σε`. The density `q(x) = ∫ N(z; 0, I) N(x; g(z), σ²I) dz` is estimated by
    importance sampling around the latents that made x: `q̂(x) = 1/K Σ_k N(z_k; 0, I) N(x; g(z_k), σ²I) / N(z_k; z,
    η²I)` with `z_k = z + ηξ_k`. With w = 1 the mean is KL(q ‖ p) − log Z, but for the logarithm, which biases log q̂
    downwards.

    Gradients reach the generator through x only; g(z_k) counts as constant, because the mean of ∂ log q at fixed x is
    0. That makes the entropy's gradient the self-normalised mean of `(g(z_k) − x)/σ²`.

    Args:
        energy_fn: maps points `[B, ...]` to energies `[B]`; its parameters count as constants to this player.
        generator_fn: g, maps latents `[N, L]` to points `[N, ...]`; called on B and on K·B latents.
        key: draws ε and ξ.
        latents: z, standard normal, `[B, L]`.
        sigma: σ, standard deviation of the generator's output noise, positive.
        proposal_sigma: η, near the standard deviation of z given x, positive; may be traced.
        num_samples: K, not traced.
        entropy_weight: w.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if `latents` is not a floating `[B, L]`, a function does not keep the batch axis, a standard
            deviation is not positive, or there is no sample.

    References:
        Grathwohl et al. 2021, No MCMC for Me: Amortized Sampling for Fast and Stable Training of Energy-Based Models,
        section 3.
    """
    if jnp.ndim(latents) != 2:
        raise ValueError(f"latents must have shape [B, L]; got {jnp.shape(latents)}.")
    check_examples(latents=latents)
    check_positive("sigma", sigma)
    check_positive("proposal_sigma", proposal_sigma)
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1; got {num_samples}.")
    noise_key, proposal_key = jax.random.split(key)
    means = generator_fn(latents)
    if means.shape[:1] != latents.shape[:1]:
        raise ValueError(
            f"generator_fn must keep the batch axis of latents, shape {latents.shape}; it returned {means.shape}."
        )
    x = means + sigma * normal_like(noise_key, means)
    steps = normal_like(proposal_key, jnp.broadcast_to(latents, (num_samples, *latents.shape)), axis=1)
    proposals = latents[None] + proposal_sigma * steps
    proposed_means = jax.lax.stop_gradient(generator_fn(proposals.reshape(-1, latents.shape[1])))
    misses = (x[None] - proposed_means.reshape(num_samples, *x.shape)) / sigma
    # log N(z_k; 0, I) − log N(z_k; z, η²I) + log N(x; g(z_k), σ²I)
    log_prior_ratio = 0.5 * jnp.sum(steps**2 - proposals**2, axis=-1) + latents.shape[1] * jnp.log(proposal_sigma)
    log_normaliser = x[0].size * (jnp.log(sigma) + 0.5 * math.log(2 * math.pi))
    log_weights = log_prior_ratio - 0.5 * jax.vmap(squared_norm)(misses) - log_normaliser
    log_density = jax.nn.logsumexp(log_weights, axis=0) - math.log(num_samples)
    return evaluate(energy_fn, x) + entropy_weight * log_density
