"""Kullback-Leibler divergences KL(q ‖ p) in closed form, one per example, summed over latent axes."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses.variational._shared import (
    Scalar,
    at_least_float32,
    bounded_exp,
    check_axes,
    check_examples,
    sum_latents,
)


def gaussian_kl(mean: Float[Array, "batch *latent"], log_var: Float[Array, "batch *latent"]) -> Float[Array, " batch"]:
    """Compute the KL divergence of a diagonal Gaussian from the standard normal.

    KL(N(mean, exp(log_var)) ‖ N(0, I)) = ½ Σ_d (mean_d² + exp(log_var_d) − 1 − log_var_d)

    Summed over latent axes, not averaged: an average over D latents is a β of 1/D.

    Args:
        mean: `[B, ...]`.
        log_var: `[B, ...]`, logarithm of the variance and not of the standard deviation.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if the shapes differ or an array is not floating.

    References:
        Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix B.
    """
    check_examples(mean=mean, log_var=log_var)
    return sum_latents(gaussian_kl_per_dim(mean, log_var))


def gaussian_kl_per_dim(
    mean: Float[Array, "batch *latent"], log_var: Float[Array, "batch *latent"]
) -> Float[Array, "batch *latent"]:
    """Compute each latent's term of `gaussian_kl`, as `free_bits_kl` takes them.

    Args:
        mean: `[B, ...]`.
        log_var: `[B, ...]`.

    Returns:
        `[B, ...]`, nats.

    Raises:
        ValueError: if the shapes differ or an array is not floating.
    """
    check_examples(mean=mean, log_var=log_var)
    return 0.5 * (jnp.square(mean) + jnp.expm1(log_var) - log_var)


def gaussian_kl_between(
    mean_q: Float[Array, "batch *latent"],
    log_var_q: Float[Array, "batch *latent"],
    mean_p: Float[Array, "batch *latent"],
    log_var_p: Float[Array, "batch *latent"],
) -> Float[Array, " batch"]:
    """Compute the KL divergence between two diagonal Gaussians.

    KL(q ‖ p) = ½ Σ_d (exp(δ_d) − 1 − δ_d + (mean_q − mean_p)_d² exp(−log_var_p_d)), δ = log_var_q − log_var_p

    Args:
        mean_q: `[B, ...]` of the posterior.
        log_var_q: `[B, ...]`.
        mean_p: `[B, ...]` of the prior.
        log_var_p: `[B, ...]`.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if the shapes differ or an array is not floating.

    References:
        Sønderby et al. 2016, "Ladder variational autoencoders", where both sides are learned.
    """
    check_examples(mean_q=mean_q, log_var_q=log_var_q, mean_p=mean_p, log_var_p=log_var_p)
    difference = mean_q - mean_p
    log_ratio = log_var_q - log_var_p
    # In this order 0 · (0 · 1/var_p) is 0 at every var_p.
    shift = difference * (difference * bounded_exp(-log_var_p))
    return 0.5 * sum_latents(jnp.expm1(log_ratio) - log_ratio + shift)


def multivariate_gaussian_kl(
    mean_q: Float[Array, "batch d"],
    scale_tril_q: Float[Array, "batch d d"],
    mean_p: Float[Array, "batch d"],
    scale_tril_p: Float[Array, "batch d d"],
) -> Float[Array, " batch"]:
    """Compute the KL divergence between two Gaussians with full covariances L Lᵀ.

    KL(q ‖ p) = ½ (‖L_p⁻¹ L_q‖_F² + |L_p⁻¹ (mean_q − mean_p)|² − D) + Σ_d log |L_p,dd / L_q,dd|

    Args:
        mean_q: `[B, D]`.
        scale_tril_q: `[B, D, D]`, lower triangular root of the covariance; what stands above the diagonal is ignored.
        mean_p: `[B, D]`.
        scale_tril_p: `[B, D, D]`.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if a mean is not `[B, D]` or a root not `[B, D, D]`.

    References:
        Rezende et al. 2014, "Stochastic backpropagation and approximate inference in deep generative models".
    """
    check_axes("B, D", mean_q=mean_q, mean_p=mean_p)
    check_axes("B, D, D", scale_tril_q=scale_tril_q, scale_tril_p=scale_tril_p)
    if scale_tril_q.shape != (*mean_q.shape, mean_q.shape[1]):
        raise ValueError(f"scale_tril_q must be [B, D, D] for mean_q {mean_q.shape}; got shape {scale_tril_q.shape}.")
    root_q, root_p = (jnp.tril(at_least_float32(root)) for root in (scale_tril_q, scale_tril_p))
    shift = at_least_float32(mean_q - mean_p)[:, :, None]
    solved = jax.lax.linalg.triangular_solve(
        root_p, jnp.concatenate([root_q, shift], axis=-1), left_side=True, lower=True
    )
    diagonals = [jnp.log(jnp.abs(jnp.diagonal(root, axis1=1, axis2=2))) for root in (root_p, root_q)]
    kl = 0.5 * (sum_latents(jnp.square(solved)) - mean_q.shape[1]) + jnp.sum(diagonals[0] - diagonals[1], axis=1)
    return kl.astype(mean_q.dtype)


def laplace_kl(
    mean_q: Float[Array, "batch *latent"],
    log_scale_q: Float[Array, "batch *latent"],
    mean_p: Float[Array, "batch *latent"],
    log_scale_p: Float[Array, "batch *latent"],
) -> Float[Array, " batch"]:
    """Compute the KL divergence between two products of Laplace distributions.

    KL(q ‖ p) = Σ_d (|m|/b_p + (b_q/b_p) exp(−|m|/b_q) − 1 − log(b_q/b_p)), m = mean_q − mean_p, b = exp(log_scale)

    Args:
        mean_q: `[B, ...]`.
        log_scale_q: `[B, ...]`, the density being exp(−|z − mean| / b) / (2 b).
        mean_p: `[B, ...]`.
        log_scale_p: `[B, ...]`.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if the shapes differ or an array is not floating.

    References:
        Gil et al. 2013, "Rényi divergence measures for commonly used univariate continuous distributions".
    """
    check_examples(mean_q=mean_q, log_scale_q=log_scale_q, mean_p=mean_p, log_scale_p=log_scale_p)
    distance = jnp.abs(mean_q - mean_p)
    log_ratio = log_scale_q - log_scale_p
    # Terms of first order in the distance cancel, as do those in the log-ratio.
    near = jnp.exp(log_ratio) * jnp.expm1(-distance * bounded_exp(-log_scale_q))
    return sum_latents(jnp.expm1(log_ratio) - log_ratio + distance * bounded_exp(-log_scale_p) + near)


def gamma_kl(
    concentration_q: Float[Array, "batch *latent"],
    rate_q: Float[Array, "batch *latent"],
    concentration_p: Float[Array, "batch *latent"],
    rate_p: Float[Array, "batch *latent"],
) -> Float[Array, " batch"]:
    """Compute the KL divergence between two products of gamma distributions.

    KL(q ‖ p) = Σ_d ((a_q − a_p) ψ(a_q) − lnΓ(a_q) + lnΓ(a_p) + a_p ln(b_q / b_p) + a_q (b_p − b_q) / b_q)

    Args:
        concentration_q: a_q, `[B, ...]`, positive.
        rate_q: b_q, `[B, ...]`, positive, the density falling as exp(−b z).
        concentration_p: a_p, `[B, ...]`.
        rate_p: b_p, `[B, ...]`.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if the shapes differ or an array is not floating.

    References:
        Figurnov et al. 2018, "Implicit reparameterization gradients", which trains such posteriors.
    """
    check_examples(concentration_q=concentration_q, rate_q=rate_q, concentration_p=concentration_p, rate_p=rate_p)
    a_q, b_q, a_p, b_p = map(at_least_float32, (concentration_q, rate_q, concentration_p, rate_p))
    lgamma, digamma = jax.lax.lgamma, jax.lax.digamma
    shape = (a_q - a_p) * digamma(a_q) - lgamma(a_q) + lgamma(a_p)
    return sum_latents(shape + a_p * jnp.log(b_q / b_p) + a_q * (b_p / b_q - 1)).astype(rate_q.dtype)


def dirichlet_kl(
    concentration_q: Float[Array, "batch k"], concentration_p: Float[Array, "batch k"]
) -> Float[Array, " batch"]:
    """Compute the KL divergence between two Dirichlet distributions; with two categories, of beta distributions.

    KL(q ‖ p) = lnΓ(A_q) − lnΓ(A_p) + Σ_k (lnΓ(a_p,k) − lnΓ(a_q,k) + (a_q,k − a_p,k)(ψ(a_q,k) − ψ(A_q))), A = Σ_k a_k

    Args:
        concentration_q: a_q, `[B, K]`, positive.
        concentration_p: a_p, `[B, K]`, positive.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if an array is not `[B, K]` or the shapes differ.

    References:
        Joo et al. 2020, "Dirichlet variational autoencoder", which trains such posteriors.
    """
    check_axes("B, K", concentration_q=concentration_q, concentration_p=concentration_p)
    a_q, a_p = at_least_float32(concentration_q), at_least_float32(concentration_p)
    lgamma, digamma = jax.lax.lgamma, jax.lax.digamma
    total_q, total_p = jnp.sum(a_q, axis=1), jnp.sum(a_p, axis=1)
    terms = lgamma(a_p) - lgamma(a_q) + (a_q - a_p) * (digamma(a_q) - digamma(total_q)[:, None])
    return (lgamma(total_q) - lgamma(total_p) + jnp.sum(terms, axis=1)).astype(concentration_q.dtype)


def categorical_kl(
    logits_q: Float[Array, "batch *latent k"], logits_p: Float[Array, "batch *latent k"]
) -> Float[Array, " batch"]:
    """Compute the KL divergence between two categorical distributions, summed over all but the last axis.

    KL(q ‖ p) = Σ_k q_k (log q_k − log p_k)

    Args:
        logits_q: `[B, ..., K]`, not necessarily normalised; −inf excludes a category.
        logits_p: `[B, ..., K]`; zeros make a uniform prior, and the value then is log K minus the entropy of q.

    Returns:
        `[B]`, nats, at least 0; infinite where q has mass on a category that p excludes.

    Raises:
        ValueError: if the shapes differ, there is no axis of categories, or an array is not floating.

    References:
        Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax".
    """
    check_examples(logits_q=logits_q, logits_p=logits_p)
    if logits_q.ndim < 2:
        raise ValueError(f"logits_q must have shape [B, ..., K]; got shape {logits_q.shape}.")
    log_q, log_p = jax.nn.log_softmax(logits_q), jax.nn.log_softmax(logits_p)
    excluded = jnp.isneginf(log_q)  # 0 · log 0 = 0
    ratio = jnp.where(excluded, 0, log_q) - jnp.where(excluded, 0, log_p)
    return sum_latents(jnp.exp(log_q) * ratio)


def bernoulli_kl(
    logits_q: Float[Array, "batch *latent"], logits_p: Float[Array, "batch *latent"]
) -> Float[Array, " batch"]:
    """Compute the KL divergence between two products of Bernoulli distributions.

    KL(q ‖ p) = Σ_d (q_d log(q_d / p_d) + (1 − q_d) log((1 − q_d) / (1 − p_d))), q = sigmoid(logits_q)

    Args:
        logits_q: `[B, ...]`.
        logits_p: `[B, ...]`.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if the shapes differ or an array is not floating.

    References:
        Rolfe 2017, "Discrete variational autoencoders".
    """
    check_examples(logits_q=logits_q, logits_p=logits_p)
    log_sigmoid = jax.nn.log_sigmoid
    one = jax.nn.sigmoid(logits_q) * (log_sigmoid(logits_q) - log_sigmoid(logits_p))
    zero = jax.nn.sigmoid(-logits_q) * (log_sigmoid(-logits_q) - log_sigmoid(-logits_p))
    return sum_latents(one + zero)


def von_mises_fisher_kl(concentration: Float[Array, " batch"], *, dim: int) -> Float[Array, " batch"]:
    """Compute the KL divergence of a von Mises-Fisher distribution from the uniform one on the sphere.

    KL = E_q[κ t] − log E_uniform[exp(κ t)], t = μ·z the cosine with the mean direction, on which KL does not depend

    Both expectations are one integral over the angle each, taken by the trapezoid rule where it converges fastest: no
    Bessel function, any dimension, and no cancellation at large κ, where KL grows as ½ (dim − 1) log κ.

    Args:
        concentration: κ, `[B]`, at least 0.
        dim: of the space around the sphere S^(dim − 1), at least 2.

    Returns:
        `[B]`, nats, at least 0.

    Raises:
        ValueError: if `concentration` is not `[B]` or `dim` is below 2.

    References:
        Davidson et al. 2018, "Hyperspherical variational auto-encoders".
    """
    check_axes("B", concentration=concentration)
    if dim < 2:
        raise ValueError(f"dim must be at least 2; got {dim}.")
    kappa = at_least_float32(concentration)[:, None]
    slack = dim - 1
    # With t = tanh u the uniform density is cosh(u)^(1 - dim) / B(½, (dim - 1) / 2). That of q peaks where
    # κ (1 - t²) = (dim - 1) t, with a width in u of about (2 (dim - 1))^-½ and tails no slower than
    # exp(-(dim - 1) |u|): 385 points leave an error below 1e-7.
    fixed = jax.lax.stop_gradient(kappa)
    reach = jnp.sqrt(slack**2 + 4 * jnp.square(fixed))
    one_minus_peak = (slack + slack**2 / (reach + 2 * fixed)) / (slack + reach)
    peak = 0.5 * jnp.log((2 - one_minus_peak) / one_minus_peak)
    window = 40 / slack + 10 / math.sqrt(2 * slack)
    points = peak + jnp.linspace(-window, window, 385, dtype=kappa.dtype)[None]
    minus_log_cosh = math.log(2) - jnp.abs(points) - jnp.log1p(jnp.exp(-2 * jnp.abs(points)))
    energy = -2 * kappa * jax.nn.sigmoid(-2 * points)  # κ (t - 1)
    log_terms = energy + slack * minus_log_cosh
    expected = jnp.sum(jax.nn.softmax(log_terms) * energy, axis=1)
    log_beta = math.lgamma(0.5) + math.lgamma(slack / 2) - math.lgamma(dim / 2)
    log_mean = jax.nn.logsumexp(log_terms, axis=1) + math.log(2 * window / 384) - log_beta
    return (expected - log_mean).astype(concentration.dtype)


def free_bits_kl(
    kl_per_dim: Float[Array, "batch *latent"], *, free_nats: Scalar, per_example: bool = False
) -> Float[Array, " batch"]:
    """Charge each latent for no fewer than `free_nats`, so that it gains nothing by collapsing.

    Σ_d max(free_nats, mean_i KL_i,d), spread over the batch so that its mean is this

    A latent whose mean over the batch is below `free_nats` gets no gradient. With `per_example`, the maximum is taken
    of each example's own term, Σ_d max(free_nats, KL_i,d), which is at least as large in the mean.

    Args:
        kl_per_dim: `[B, ...]`, such as `gaussian_kl_per_dim` gives them.
        free_nats: λ, for each latent and not for their sum.
        per_example: whether each example is held to the floor instead of the batch.

    Returns:
        `[B]`, nats, no less in the mean than the divergence itself.

    Raises:
        ValueError: if `kl_per_dim` is not floating or has no batch axis.

    References:
        Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow", appendix.
    """
    check_examples(kl_per_dim=kl_per_dim)
    floor = jnp.asarray(free_nats, kl_per_dim.dtype)
    if per_example:
        return sum_latents(jnp.maximum(kl_per_dim, floor))
    used = jnp.mean(kl_per_dim, axis=0, keepdims=True) > floor
    return sum_latents(jnp.where(used, kl_per_dim, floor))
