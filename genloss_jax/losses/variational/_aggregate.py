"""What is asked of the aggregate posterior q(z) = (1/N) Σ_n q(z|x_n): independence, moments, the prior's shape."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax._names import look_up
from genloss_jax.losses import divergences
from genloss_jax.losses.variational._shared import (
    Scalar,
    check_axes,
    check_examples,
    log_normal,
    per_example,
    sum_latents,
)


class KlDecomposition(NamedTuple):
    """The three parts of log q(z|x) − log p(z) at one sample per example, each `[B]` and in nats.

    Attributes:
        mutual_information: log q(z|x) − log q(z); the index-code mutual information in the mean.
        total_correlation: log q(z) − Σ_d log q(z_d).
        dimension_wise_kl: Σ_d (log q(z_d) − log p(z_d)).
    """

    mutual_information: Float[Array, " batch"]
    total_correlation: Float[Array, " batch"]
    dimension_wise_kl: Float[Array, " batch"]


def kl_decomposition_losses(
    z: Float[Array, "batch *latent"],
    mean: Float[Array, "batch *latent"],
    log_var: Float[Array, "batch *latent"],
    *,
    dataset_size: Scalar,
    method: str = "stratified",
) -> KlDecomposition:
    """Split the divergence from the standard normal into mutual information, total correlation and the dimensions' own.

    log q(z|x) − log p(z) = [log q(z|x) − log q(z)] + [log q(z) − Σ_d log q(z_d)] + Σ_d [log q(z_d) − log p(z_d)]

    The sum is exact whatever the estimate of q(z), which comes from the batch's posteriors:

    - "stratified": q(z_i) ≈ (1/N) q(z_i|x_i) + (N − 1)/(N (B − 1)) Σ_(j≠i) q(z_i|x_j). Unbiased for q(z_i), exact at
      B = N. The mean over the batch's orders of the paper's estimate, which gives one example another weight.
    - "weighted": q(z_i) ≈ (1/(N B)) Σ_j q(z_i|x_j), the bound that the paper trains with. Too small: at B = N by the
      factor N, so that the total correlation then is too large by (D − 1) log N. Its gradient is sound, its value no
      measure.

    The logarithm biases both. A value may be negative, although the total correlation itself is not.

    Args:
        z: `[B, ...]`, one sample of each example's posterior.
        mean: `[B, ...]` of the Gaussian posteriors.
        log_var: `[B, ...]`.
        dataset_size: N, at least B.
        method: "stratified" or "weighted".

    Returns:
        `mutual_information`, `total_correlation` and `dimension_wise_kl`, each `[B]`, nats.

    Raises:
        ValueError: if the shapes differ, the batch has fewer than 2 examples or more than `dataset_size`, or the method
            is unknown.

    References:
        Chen et al. 2018, "Isolating sources of disentanglement in variational autoencoders".
    """
    log_conditional, log_joint, log_marginals, log_prior = _log_densities(z, mean, log_var, dataset_size, method)
    return KlDecomposition(log_conditional - log_joint, log_joint - log_marginals, log_marginals - log_prior)


def total_correlation(
    z: Float[Array, "batch *latent"],
    mean: Float[Array, "batch *latent"],
    log_var: Float[Array, "batch *latent"],
    *,
    dataset_size: Scalar,
    method: str = "stratified",
) -> Float[Array, " batch"]:
    """Estimate the total correlation of the aggregate posterior.

    log q(z) − Σ_d log q(z_d), in the mean KL(q(z) ‖ Π_d q(z_d))

    Args:
        z: `[B, ...]`, one sample of each example's posterior.
        mean: `[B, ...]` of the Gaussian posteriors.
        log_var: `[B, ...]`.
        dataset_size: N, at least B.
        method: "stratified" or "weighted", as in `kl_decomposition_losses`.

    Returns:
        `[B]`, nats, biased by the logarithm unless the batch is the data set.

    Raises:
        ValueError: as `kl_decomposition_losses`.

    References:
        Chen et al. 2018, "Isolating sources of disentanglement in variational autoencoders".
    """
    _, log_joint, log_marginals, _ = _log_densities(z, mean, log_var, dataset_size, method)
    return log_joint - log_marginals


def beta_tc_loss(
    nll: Float[Array, " batch"],
    z: Float[Array, "batch *latent"],
    mean: Float[Array, "batch *latent"],
    log_var: Float[Array, "batch *latent"],
    *,
    dataset_size: Scalar,
    alpha: Scalar = 1.0,
    beta: Scalar = 6.0,
    gamma: Scalar = 1.0,
    method: str = "stratified",
) -> Float[Array, " batch"]:
    """Compute the β-TCVAE objective: the negative bound, its total correlation weighted by β.

    nll + α I(x; z) + β TC(z) + γ Σ_d KL(q(z_d) ‖ p(z_d))

    At α = β = γ = 1 it is nll + log q(z|x) − log p(z), the bound with a one-sample divergence.

    Args:
        nll: `[B]`, nats.
        z: `[B, ...]`, one sample of each example's posterior.
        mean: `[B, ...]` of the Gaussian posteriors.
        log_var: `[B, ...]`.
        dataset_size: N, at least B.
        alpha: weight of the mutual information.
        beta: weight of the total correlation.
        gamma: weight of the dimensions' own divergences.
        method: "stratified" or "weighted", as in `kl_decomposition_losses`.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if `nll` is not `[B]`, and as `kl_decomposition_losses`.

    References:
        Chen et al. 2018, "Isolating sources of disentanglement in variational autoencoders".
    """
    parts = kl_decomposition_losses(z, mean, log_var, dataset_size=dataset_size, method=method)
    _check_nll(nll, z)
    return nll + alpha * parts.mutual_information + beta * parts.total_correlation + gamma * parts.dimension_wise_kl


def factor_loss(
    nll: Float[Array, " batch"], kl: Float[Array, " batch"], joint_logits: Float[Array, " batch"], *, gamma: Scalar
) -> Float[Array, " batch"]:
    """Compute the FactorVAE objective, with the total correlation as a discriminator sees it.

    nll + KL(q(z|x) ‖ p(z)) + γ log(D(z) / (1 − D(z))), z ~ q(z|x)

    The logit is log q(z) − Σ_d log q(z_d) at the optimal discriminator, so that its mean is the total correlation.

    Args:
        nll: `[B]`, nats.
        kl: `[B]`, nats.
        joint_logits: `[B]`, the discriminator's logits at z, high where z is not permuted.
        gamma: weight of the total correlation.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if an array is not `[B]` or the batches differ.

    References:
        Kim and Mnih 2018, "Disentangling by factorising".
    """
    check_axes("B", nll=nll, kl=kl, joint_logits=joint_logits)
    return nll + kl + gamma * joint_logits


def factor_discriminator_loss(
    joint_logits: Float[Array, " batch"], permuted_logits: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """Tell latents from latents whose dimensions were permuted, each on its own.

    −½ log D(z) − ½ log(1 − D(z')), z ~ q(z), z' ~ Π_d q(z_d)

    With the ½ of the paper: log 2 where D cannot tell, and log 2 − JSD(q(z) ‖ Π_d q(z_d)) at the optimum.

    Args:
        joint_logits: `[B]`, at z.
        permuted_logits: `[B]`, at `permute_latents(key, z)`, best of another batch.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if an array is not `[B]` or the batches differ.

    References:
        Kim and Mnih 2018, "Disentangling by factorising", algorithm 2.
    """
    check_axes("B", joint_logits=joint_logits, permuted_logits=permuted_logits)
    return 0.5 * (jax.nn.softplus(-joint_logits) + jax.nn.softplus(permuted_logits))


def permute_latents(key: PRNGKeyArray, z: Float[Array, "batch d"]) -> Float[Array, "batch d"]:
    """Permute each dimension over the batch on its own: approximate samples of Π_d q(z_d).

    Args:
        key: draws the permutations.
        z: `[B, D]`.

    Returns:
        `[B, D]`, as stop-gradient.

    Raises:
        ValueError: if `z` is not `[B, D]`.

    References:
        Kim and Mnih 2018, "Disentangling by factorising", algorithm 1.
    """
    check_axes("B, D", z=z)
    return jax.random.permutation(key, jax.lax.stop_gradient(z), axis=0, independent=True)


def dip_penalty(
    mean: Float[Array, "batch *latent"],
    log_var: Float[Array, "batch *latent"],
    *,
    kind: str,
    off_diagonal: Scalar = 1.0,
    diagonal: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Ask for an aggregate posterior of covariance I.

    λ_od Σ_(i≠j) C_ij² + λ_d Σ_i (C_ii − 1)²; kind "i": C = Cov_x[mean], kind "ii": C = Cov_x[mean] + E_x[diag var]

    Kind "ii" is the covariance of q(z) and vanishes where that is the prior. Kind "i" leaves the noise out: where q(z)
    is the prior it vanishes only for an encoder without noise. The covariance is the batch's own, divided by B. Every
    entry holds the batch's one number, so that the mean is the published value.

    Args:
        mean: `[B, ...]` of the Gaussian posteriors.
        log_var: `[B, ...]`; without effect for kind "i".
        kind: "i" or "ii".
        off_diagonal: λ_od.
        diagonal: λ_d.

    Returns:
        `[B]`, latent units to the fourth power, the same in every entry.

    Raises:
        ValueError: if the shapes differ, an array is not floating, or the kind is unknown.

    References:
        Kumar et al. 2018, "Variational inference of disentangled latent concepts from unlabeled observations".
    """
    check_examples(mean=mean, log_var=log_var)
    noise = look_up("kind", kind, {"i": 0.0, "ii": 1.0})
    rows = mean.reshape(mean.shape[0], -1)
    centered = rows - jnp.mean(rows, axis=0, keepdims=True)
    covariance = jnp.matmul(centered.T, centered, precision=jax.lax.Precision.HIGHEST) / len(rows)
    if noise:
        covariance = covariance + jnp.diag(jnp.mean(jnp.exp(log_var.reshape(rows.shape)), axis=0))
    own = jnp.eye(rows.shape[1], dtype=bool)
    squares = jnp.square(covariance - own.astype(covariance.dtype))
    penalty = jnp.sum(jnp.where(own, diagonal * squares, off_diagonal * squares))
    return per_example(penalty, mean)


def inverse_multiquadratic_kernel(
    dim: int, *, prior_std: Scalar = 1.0, scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
) -> divergences.Kernel:
    """Build the kernel of Wasserstein autoencoders, k(x, y) = Σ_s C_s / (C_s + |x − y|²), C_s = 2 dim prior_std² s.

    2 dim prior_std² is the mean squared distance of two samples of the prior.

    Args:
        dim: number of latents.
        prior_std: standard deviation of the prior.
        scales: s, one for each summand.

    Returns:
        A kernel for `wae_mmd_penalty` and `divergences.mmd_squared_distance`.

    References:
        Tolstikhin et al. 2018, "Wasserstein auto-encoders", and its code for the scales.
    """
    # C / (C + r²) = (1 + r² / (2 lengthscale²))^-1 with lengthscale² = C / 2
    return divergences.mixture_kernel(
        [divergences.rational_quadratic_kernel(lengthscale=prior_std * math.sqrt(dim * s), alpha=1.0) for s in scales]
    )


def wae_mmd_penalty(
    z: Float[Array, "batch *latent"],
    prior_z: Float[Array, "batch *latent"],
    *,
    kernel: divergences.Kernel | None = None,
) -> Float[Array, " batch"]:
    """Estimate the squared maximum mean discrepancy of the aggregate posterior from the prior.

    E k(z, z̃) + E k(z', z̃') − 2 E k(z, z'), z and z̃ ~ q(z), z' and z̃' ~ p(z)

    The unbiased estimate, so that it may be negative and has mean 0 where q(z) is the prior. Every entry holds the
    batch's one number.

    Args:
        z: `[B, ...]`, one sample of each example's posterior.
        prior_z: `[B, ...]`, samples of the prior.
        kernel: on flattened latents; None means `inverse_multiquadratic_kernel` of a standard normal prior.

    Returns:
        `[B]`, kernel units, the same in every entry.

    Raises:
        ValueError: if the shapes differ or the batch has fewer than 2 examples.

    References:
        Tolstikhin et al. 2018, "Wasserstein auto-encoders", algorithm 2.
    """
    _check_pairs(z=z, prior_z=prior_z)
    rows, prior_rows = z.reshape(z.shape[0], -1), prior_z.reshape(z.shape[0], -1)
    kernel = inverse_multiquadratic_kernel(rows.shape[1]) if kernel is None else kernel
    return per_example(divergences.mmd_squared_distance(rows, prior_rows, kernel=kernel), z)


def info_vae_loss(
    nll: Float[Array, " batch"],
    kl: Float[Array, " batch"],
    z: Float[Array, "batch *latent"],
    prior_z: Float[Array, "batch *latent"],
    *,
    alpha: Scalar,
    scale: Scalar,
    kernel: divergences.Kernel | None = None,
) -> Float[Array, " batch"]:
    """Compute the InfoVAE objective (MMD-VAE): the negative bound with part of its divergence moved to the aggregate.

    nll + (1 − α) KL(q(z|x) ‖ p(z)) + (α + λ − 1) MMD²(q(z), p(z))

    α = 0, λ = 1 is the negative evidence lower bound; α = 1 is a Wasserstein autoencoder with weight λ. A negative
    weight of the MMD would drive the aggregate posterior away from the prior and is refused (where it is no traced
    value): α = 0 needs λ ≥ 1.

    Args:
        nll: `[B]`, nats.
        kl: `[B]`, nats.
        z: `[B, ...]`, one sample of each example's posterior.
        prior_z: `[B, ...]`, samples of the prior.
        alpha: α, at most 1, weight of the mutual information that the divergence would take away.
        scale: λ, at least 1 − α.
        kernel: as in `wae_mmd_penalty`.

    Returns:
        `[B]`, nats plus weighted kernel units; the MMD is the same in every entry.

    Raises:
        ValueError: if the shapes do not fit, the batch has fewer than 2 examples, or a weight is negative.

    References:
        Zhao et al. 2019, "InfoVAE: balancing learning and inference in variational autoencoders".
    """
    _check_pairs(z=z, prior_z=prior_z)
    _check_nll(nll, z)
    check_axes("B", nll=nll, kl=kl)
    kl_weight, mmd_weight = 1 - alpha, alpha + scale - 1
    for name, weight in (("alpha", kl_weight), ("scale", mmd_weight)):
        if isinstance(weight, int | float) and weight < 0:
            formula = "1 - alpha" if name == "alpha" else "alpha + scale - 1"
            raise ValueError(f"{name} makes the weight {formula} negative, {weight}; it must be at least 0.")
    return nll + kl_weight * kl + mmd_weight * wae_mmd_penalty(z, prior_z, kernel=kernel)


def vamp_log_prior(
    z: Float[Array, "batch *latent"],
    pseudo_means: Float[Array, "components *latent"],
    pseudo_log_vars: Float[Array, "components *latent"],
) -> Float[Array, " batch"]:
    """Compute the log-density of the variational mixture of posteriors at pseudo-inputs.

    log (1/C) Σ_c N(z; pseudo_means_c, exp(pseudo_log_vars_c))

    Args:
        z: `[B, ...]`.
        pseudo_means: `[C, ...]`, the encoder's output at C learned inputs.
        pseudo_log_vars: `[C, ...]`.

    Returns:
        `[B]`, nats, a log-density and no loss: the divergence's sample is log q(z|x) minus it.

    Raises:
        ValueError: if the shapes do not fit or an array is not floating.

    References:
        Tomczak and Welling 2018, "VAE with a VampPrior".
    """
    check_examples(z=z)
    check_examples(pseudo_means=pseudo_means, pseudo_log_vars=pseudo_log_vars)
    if pseudo_means.shape[1:] != z.shape[1:]:
        raise ValueError(f"pseudo_means must have the latent axes of z, {z.shape[1:]}; got {pseudo_means.shape[1:]}.")
    log_densities = jnp.sum(_pairwise_log_normal(z, pseudo_means, pseudo_log_vars), axis=2)
    return jax.nn.logsumexp(log_densities, axis=1) - math.log(pseudo_means.shape[0])


def _check_pairs(**arrays):
    check_examples(**arrays)
    name, array = next(iter(arrays.items()))
    if array.ndim < 2 or array.shape[0] < 2:
        raise ValueError(f"{name} must have shape [B, ...] with B of at least 2; got shape {array.shape}.")


def _check_nll(nll, z):
    check_axes("B", nll=nll)
    if nll.shape != z.shape[:1]:
        raise ValueError(f"nll must have the batch size of z, {z.shape[0]}; got {nll.shape[0]}.")


def _pairwise_log_normal(z, mean, log_var):
    """Compute log N(z_i,d; mean_j,d, exp(log_var_j,d)), `[B, C, D]`."""
    points, centers, log_vars = (array.reshape(array.shape[0], -1) for array in (z, mean, log_var))
    return log_normal(points[:, None], centers[None], log_vars[None])


def _log_densities(z, mean, log_var, dataset_size, method):
    """Return log q(z|x), log q(z), Σ_d log q(z_d) and log p(z) at each z, with q(z) estimated from the batch."""
    _check_pairs(z=z, mean=mean, log_var=log_var)
    size, total = z.shape[0], dataset_size
    if isinstance(total, int | float) and total < size:
        raise ValueError(f"dataset_size must be at least the batch size, {size}; got {total}.")
    own, other = look_up("method", method, _WEIGHTS)(total, size)
    is_own = jnp.eye(size, dtype=bool)
    log_mixing = jnp.log(jnp.where(is_own, jnp.asarray(own, z.dtype), jnp.asarray(other, z.dtype)))
    per_pair = _pairwise_log_normal(z, mean, log_var)
    log_joint = jax.nn.logsumexp(jnp.sum(per_pair, axis=2) + log_mixing, axis=1)
    log_marginals = jnp.sum(jax.nn.logsumexp(per_pair + log_mixing[:, :, None], axis=1), axis=1)
    log_conditional = jnp.sum(jnp.diagonal(per_pair), axis=0)
    log_prior = sum_latents(log_normal(z, jnp.zeros_like(z), jnp.zeros_like(z)))
    return log_conditional, log_joint, log_marginals, log_prior


# method -> (dataset size N, batch size B) -> weights of an example's own posterior and of each other
_WEIGHTS = {
    "stratified": lambda total, size: (1 / total, (total - 1) / (total * (size - 1))),
    "weighted": lambda total, size: (1 / (total * size), 1 / (total * size)),
}
