"""Posteriors joined from one expert for each modality: products, mixtures, mixtures of products, and their bounds."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from genloss_jax.losses.variational._kl import gaussian_kl
from genloss_jax.losses.variational._shared import check_axes, check_examples, log_mean_exp, log_normal


class DiagonalGaussian(NamedTuple):
    """A diagonal Gaussian for each example.

    Attributes:
        mean: `[B, ...]`.
        log_var: `[B, ...]`.
    """

    mean: Float[Array, "batch *latent"]
    log_var: Float[Array, "batch *latent"]


class GaussianMixture(NamedTuple):
    """A mixture of E diagonal Gaussians for each example.

    Attributes:
        means: `[E, B, ...]`.
        log_vars: `[E, B, ...]`.
        log_probs: `[E, B]`, the logarithms of the mixture's weights; −inf where an example lacks the component.
    """

    means: Float[Array, "components batch *latent"]
    log_vars: Float[Array, "components batch *latent"]
    log_probs: Float[Array, "components batch"]


def product_of_experts(
    means: Float[Array, "experts batch *latent"],
    log_vars: Float[Array, "experts batch *latent"],
    *,
    mask: Bool[Array, "experts batch"] | None = None,
    prior_expert: bool = True,
) -> DiagonalGaussian:
    """Multiply Gaussian experts.

    N(mean, var) ∝ Π_m N(mean_m, var_m): 1/var = Σ_m 1/var_m, mean = var Σ_m mean_m / var_m

    Args:
        means: `[M, B, ...]`, one expert for each modality.
        log_vars: `[M, B, ...]`.
        mask: `[M, B]`, false where an example lacks the modality.
        prior_expert: whether N(0, I) is one more factor. Without it an example needs at least one modality.

    Returns:
        `mean` and `log_var`, `[B, ...]`.

    Raises:
        ValueError: if the shapes do not fit.

    References:
        Wu and Goodman 2018, "Multimodal generative models for scalable weakly-supervised learning".
    """
    _check_experts(means, log_vars, mask)
    means, log_vars, present = _without_missing(means, log_vars, mask)
    log_precisions = jnp.where(_like(present, means), -log_vars, -jnp.inf)
    if prior_expert:
        zeros = jnp.zeros_like(means[:1])
        means, log_precisions = jnp.concatenate([means, zeros]), jnp.concatenate([log_precisions, zeros])
    weights = jax.nn.softmax(log_precisions, axis=0)
    return DiagonalGaussian(jnp.sum(weights * means, axis=0), -jax.nn.logsumexp(log_precisions, axis=0))


def mixture_of_experts(
    means: Float[Array, "experts batch *latent"],
    log_vars: Float[Array, "experts batch *latent"],
    *,
    mask: Bool[Array, "experts batch"] | None = None,
) -> GaussianMixture:
    """Mix Gaussian experts with equal weights.

    (1/M) Σ_m N(mean_m, var_m), over the modalities that an example has

    Args:
        means: `[M, B, ...]`, one expert for each modality.
        log_vars: `[M, B, ...]`.
        mask: `[M, B]`, false where an example lacks the modality.

    Returns:
        `means`, `log_vars` and `log_probs`, with components in the order of the experts.

    Raises:
        ValueError: if the shapes do not fit.

    References:
        Shi et al. 2019, "Variational mixture-of-experts autoencoders for multi-modal deep generative models".
    """
    _check_experts(means, log_vars, mask)
    means, log_vars, present = _without_missing(means, log_vars, mask)
    return GaussianMixture(means, log_vars, _equal_log_probs(present, means.dtype))


def mopoe(
    means: Float[Array, "experts batch *latent"],
    log_vars: Float[Array, "experts batch *latent"],
    *,
    mask: Bool[Array, "experts batch"] | None = None,
    prior_expert: bool = False,
) -> GaussianMixture:
    """Mix the products of all non-empty subsets of experts with equal weights.

    (1/S) Σ_s N_s, N_s ∝ Π_(m in subset s) N(mean_m, var_m), S = 2^M − 1, over subsets that an example has whole

    Args:
        means: `[M, B, ...]`, one expert for each modality.
        log_vars: `[M, B, ...]`.
        mask: `[M, B]`, false where an example lacks the modality.
        prior_expert: whether N(0, I) is one more factor of each product.

    Returns:
        `means`, `log_vars` and `log_probs`; component s − 1 has expert m where bit m of s is set.

    Raises:
        ValueError: if the shapes do not fit.

    References:
        Sutter et al. 2021, "Generalized multimodal ELBO".
    """
    _check_experts(means, log_vars, mask)
    num = means.shape[0]
    subsets = (np.arange(1, 2**num)[:, None] >> np.arange(num)) % 2 == 1
    in_subset = np.broadcast_to(subsets[:, :, None], (*subsets.shape, means.shape[1]))
    means, log_vars, has_modality = _without_missing(means, log_vars, mask)

    def product(members):
        return product_of_experts(means, log_vars, mask=members, prior_expert=prior_expert)

    products = jax.vmap(product)(jnp.asarray(in_subset))
    present = jnp.all(~in_subset | has_modality[None], axis=1)
    return GaussianMixture(products.mean, products.log_var, _equal_log_probs(present, means.dtype))


def mixture_log_prob(
    z: Float[Array, "*samples batch latent"], mixture: GaussianMixture
) -> Float[Array, "*samples batch"]:
    """Compute the log-density of a mixture of Gaussians, log Σ_e π_e N(z; mean_e, var_e).

    Args:
        z: `[..., B, D]`, any number of samples for each example, such as `[E, K, B, D]`.
        mixture: with means `[E, B, D]`.

    Returns:
        `[..., B]`, nats.

    Raises:
        ValueError: if `z` does not end in the batch and latent axes of the mixture.
    """
    check_examples(z=z)
    _check_experts(mixture.means, mixture.log_vars, None)
    if mixture.means.ndim != 3 or z.shape[-2:] != mixture.means.shape[1:]:
        raise ValueError(f"z must end in the axes [B, D] of mixture, {mixture.means.shape[1:]}; got shape {z.shape}.")
    rows = z.reshape(-1, *z.shape[-2:])[None]
    means, log_vars = mixture.means[:, None], mixture.log_vars[:, None]
    log_densities = jnp.sum(log_normal(rows, means, log_vars), axis=-1)
    return jax.nn.logsumexp(log_densities + mixture.log_probs[:, None], axis=0).reshape(z.shape[:-1])


def mixture_of_experts_loss(
    log_weights: Float[Array, "components samples batch"], log_probs: Float[Array, "components batch"]
) -> Float[Array, " batch"]:
    """Compute the negative importance-weighted bound of a mixture posterior, with K samples of each component.

    −Σ_e π_e log (1/K) Σ_k w_ek, w_ek = p(x, z_ek) / q(z_ek|x), z_ek ~ component e, q the whole mixture

    The density in the weight is the mixture's, `mixture_log_prob`, and not the component's. With K = 1 it is the
    negative evidence lower bound. A component that an example lacks counts for nothing, whatever its weights.

    Args:
        log_weights: `[E, K, B]`.
        log_probs: log π, `[E, B]`, as `mixture_of_experts` and `mopoe` give them.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if `log_weights` is not `[E, K, B]` or `log_probs` not its `[E, B]`.

    References:
        Shi et al. 2019, "Variational mixture-of-experts autoencoders for multi-modal deep generative models", and
        Sutter et al. 2021, "Generalized multimodal ELBO", for the mixture of products.
    """
    check_axes("E, K, B", log_weights=log_weights)
    check_axes("E, B", log_probs=log_probs)
    if log_probs.shape != (log_weights.shape[0], log_weights.shape[2]):
        raise ValueError(
            f"log_probs must be [E, B] of log_weights [E, K, B], {log_weights.shape}; got shape {log_probs.shape}."
        )
    probs = jnp.exp(log_probs)
    usable = jnp.where(probs[:, None] > 0, log_weights, 0)
    return -jnp.sum(probs * log_mean_exp(usable, axis=1), axis=0)


def mixture_of_experts_kl(
    means: Float[Array, "components batch *latent"],
    log_vars: Float[Array, "components batch *latent"],
    log_probs: Float[Array, "components batch"],
) -> Float[Array, " batch"]:
    """Bound the KL divergence of a mixture of Gaussians from the standard normal, by convexity.

    Σ_e π_e KL(N(mean_e, var_e) ‖ N(0, I)) ≥ KL(Σ_e π_e N(mean_e, var_e) ‖ N(0, I))

    Too large by the mutual information of component and sample, at most the entropy of π. In place of the divergence
    it leaves a bound of the evidence a bound.

    Args:
        means: `[E, B, ...]`, as `mixture_of_experts` and `mopoe` give them: `mixture_of_experts_kl(*mixture)`.
        log_vars: `[E, B, ...]`.
        log_probs: log π, `[E, B]`.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the shapes do not fit.

    References:
        Sutter et al. 2021, "Generalized multimodal ELBO".
    """
    _check_experts(means, log_vars, None)
    if log_probs.shape != means.shape[:2]:
        raise ValueError(f"log_probs must be [E, B] of means, {means.shape[:2]}; got shape {log_probs.shape}.")
    return jnp.sum(jnp.exp(log_probs) * jax.vmap(gaussian_kl)(means, log_vars), axis=0)


def _check_experts(means, log_vars, mask):
    check_examples(means=means, log_vars=log_vars)
    if means.ndim < 2 or means.shape[0] == 0:
        raise ValueError(f"means must have shape [M, B, ...] with at least one expert; got shape {means.shape}.")
    if mask is not None and mask.shape != means.shape[:2]:
        raise ValueError(f"mask must be [M, B] of means, {means.shape[:2]}; got shape {mask.shape}.")


def _without_missing(means, log_vars, mask):
    """Put N(0, I) where a modality is missing, whatever the arrays hold there, and return which are present."""
    if mask is None:
        return means, log_vars, jnp.ones(means.shape[:2], bool)
    present = _like(mask, means)
    return jnp.where(present, means, 0), jnp.where(present, log_vars, 0), mask


def _like(per_expert, means):
    """Give `[M, B]` the rank of the means."""
    return per_expert.reshape(*per_expert.shape, *[1] * (means.ndim - 2))


def _equal_log_probs(present, dtype):
    return jnp.where(present, -jnp.log(jnp.sum(present, axis=0, keepdims=True).astype(dtype)), -jnp.inf)
