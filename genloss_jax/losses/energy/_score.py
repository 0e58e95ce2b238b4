"""Losses that compare scores, ∇ log p, and so never meet the normalising constant."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.losses._shared import Scalar, check_examples, check_positive, normal_like, squared_norm
from genloss_jax.losses.divergences import rbf_kernel
from genloss_jax.losses.energy._shared import PerExample, ScoreFn, for_each_example


def score_matching_loss(score_fn: ScoreFn, x: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Match the score of the data, whose unknown part integration by parts turns into a trace.

    `½‖s(x)‖² + tr ∇s(x)`, which in the mean is `½ E‖s − ∇ log p‖²` less the constant `½ E‖∇ log p‖²`. The trace is the
    sum over all axes, not their mean. It takes one forward derivative per axis.

    Args:
        score_fn: maps points `[B, ...]` to scores of the same shape, row i from point i alone. For an energy it is
            `lambda x: -jax.grad(lambda x: energy_fn(x).sum())(x)`.
        x: data, `[B, ...]`.

    Returns:
        `[B]`, squared score; may be negative.

    Raises:
        ValueError: if `x` is not floating or `score_fn` does not keep its shape.

    References:
        Hyvärinen 2005, Estimation of Non-Normalized Statistical Models by Score Matching, theorem 1.
    """
    score, derivative = _linearize(score_fn, x)
    axes = jnp.eye(x[0].size, dtype=x.dtype).reshape(-1, *x.shape[1:])
    # tr ∇s = Σ_d e_d · (∇s e_d)
    trace = jnp.sum(jax.vmap(lambda axis: _curvature(derivative, jnp.broadcast_to(axis, x.shape)))(axes), axis=0)
    return 0.5 * squared_norm(score) + trace


def sliced_score_matching_loss(
    score_fn: ScoreFn,
    key: PRNGKeyArray,
    x: Float[Array, "batch *event"],
    *,
    variance_reduced: bool = False,
    num_projections: int = 1,
) -> Float[Array, " batch"]:
    """Estimate `score_matching_loss` along random directions, at the cost of one derivative each.

    `vᵀ ∇s(x) v + ½ (vᵀ s(x))²`, or with `variance_reduced` `vᵀ ∇s(x) v + ½‖s(x)‖²`; v has independent signs ±1 as
    entries. Both are unbiased for `½‖s‖² + tr ∇s`, because E vvᵀ = I. The second is exact where ∇s is diagonal.

    Args:
        score_fn: maps points `[B, ...]` to scores of the same shape, row i from point i alone.
        key: draws the directions, each example its own.
        x: data, `[B, ...]`.
        variance_reduced: take ‖s‖² itself in place of its estimate.
        num_projections: directions for each example, which are averaged; not traced.

    Returns:
        `[B]`, squared score; may be negative.

    Raises:
        ValueError: if `x` is not floating, `score_fn` does not keep its shape, or there is no projection.

    References:
        Song et al. 2019, Sliced Score Matching: A Scalable Approach to Density and Score Estimation, section 3.
    """
    score, derivative = _linearize(score_fn, x)
    if num_projections < 1:
        raise ValueError(f"num_projections must be at least 1; got {num_projections}.")
    directions = parts.draw(jax.random.rademacher, key, (num_projections, *x.shape), x.dtype, axis=1)
    trace = jnp.mean(jax.vmap(lambda v: _curvature(derivative, v))(directions), axis=0)
    if variance_reduced:
        return trace + 0.5 * squared_norm(score)
    return trace + 0.5 * jnp.mean(jax.vmap(lambda v: jnp.square(_inner(v, score)))(directions), axis=0)


def denoising_score_matching_loss(
    score_fn: ScoreFn, key: PRNGKeyArray, x: Float[Array, "batch *event"], *, sigma: PerExample
) -> Float[Array, " batch"]:
    """Match the score of the data blurred by Gaussian noise, which points back to the clean data.

    `½‖s(x̃) + ε/σ‖²` at `x̃ = x + σε`, because `∇ log N(x̃; x, σ²I) = −ε/σ`. The mean is `½ E‖s − ∇ log p_σ‖²` plus a
    constant that does not vanish: for Gaussian data of variance s it is at least `d s / (2σ²(s + σ²))`. Not multiplied
    by σ², which is what balances several noise levels; that weight is the caller's.

    Args:
        score_fn: maps points `[B, ...]` to scores of the same shape; with several noise levels, a closure over sigma.
        key: draws ε.
        x: data, `[B, ...]`.
        sigma: standard deviation of the noise, positive; a scalar or `[B]`.

    Returns:
        `[B]`, squared score.

    Raises:
        ValueError: if `x` is not floating, `score_fn` does not keep its shape, or `sigma` is not positive or of another
            shape.

    References:
        Vincent 2011, A Connection Between Score Matching and Denoising Autoencoders, section 4; Song and Ermon 2019,
        Generative Modeling by Estimating Gradients of the Data Distribution, section 4 (the weight σ²).
    """
    check_examples(x=x)
    check_positive("sigma", sigma)
    scale, noise = for_each_example(sigma, x, "sigma"), normal_like(key, x)
    # target: ∇ log N(x̃; x, σ²I) = −ε/σ
    return 0.5 * squared_norm(_check_score(score_fn(x + scale * noise), x) + noise / scale)


def kernel_stein_discrepancy_squared(
    score_fn: ScoreFn, x: Float[Array, "batch dim"], *, lengthscale: Scalar, unbiased: bool = True
) -> Float[Array, ""]:
    """Measure how far samples are from a density of which only the score is known.

    KSD² = E u(x, x'), where u is `k (s·s' + (s − s')·δ/ℓ² + D/ℓ² − ‖δ‖²/ℓ⁴)` with `k = exp(−‖δ‖²/(2ℓ²))`, δ = x − x',
    s and s' the scores at x and x'. For x of density q it is `E k (s − ∇ log q)·(s' − ∇' log q)`, which is 0 only if
    the scores agree. Between N(0, I) and N(μ, I) it is `‖μ‖² (ℓ²/(ℓ² + 2))^(D/2)`.

    Args:
        score_fn: maps points `[N, D]` to scores `[N, D]` of the target.
        x: samples, `[N, D]`.
        lengthscale: ℓ, in the unit of x.
        unbiased: leave out the pairs of a sample with itself (the U-statistic); single values may then be negative.
            Otherwise the V-statistic, never negative and biased upwards.

    Returns:
        Scalar, squared, in the unit of the squared score.

    Raises:
        ValueError: if `x` is not a floating `[N, D]`, with N at least 2 if `unbiased`, `score_fn` does not keep its
            shape, or `lengthscale` is not positive.

    References:
        Liu et al. 2016, A Kernelized Stein Discrepancy for Goodness-of-fit Tests, theorem 3.6.
    """
    if jnp.ndim(x) != 2 or x.shape[0] < 1 + unbiased:
        raise ValueError(f"x must have shape [N, D] with N of at least {1 + unbiased}; got {jnp.shape(x)}.")
    check_examples(x=x)
    check_positive("lengthscale", lengthscale)
    num, dim = x.shape
    # in units of the lengthscale: δ/ℓ and ℓ s
    points, scores = x / lengthscale, _check_score(score_fn(x), x) * lengthscale
    differences = points[:, None] - points[None]
    score_differences = scores[:, None] - scores[None]
    products = jnp.matmul(scores, scores.T, precision=jax.lax.Precision.HIGHEST)
    # ℓ² u / k = ℓ² s·s' + (s − s')·δ + D − ‖δ‖²/ℓ²
    pairs = products + jnp.sum((score_differences - differences) * differences, axis=-1) + dim
    pairs = pairs * rbf_kernel(lengthscale=1.0)(points, points) / lengthscale**2
    if not unbiased:
        return jnp.mean(pairs)
    return jnp.sum(jnp.where(jnp.eye(num, dtype=bool), 0.0, pairs)) / (num * (num - 1))


def _linearize(score_fn, x):
    """Return the scores, and the function that multiplies a direction `[B, ...]` by their Jacobian."""
    check_examples(x=x)
    score, derivative = jax.linearize(score_fn, x)
    return _check_score(score, x), derivative


def _check_score(score: Array, x: Array) -> Array:
    if jnp.shape(score) != x.shape:
        raise ValueError(
            f"score_fn must map points of shape {x.shape} to scores of that shape; got {jnp.shape(score)}."
        )
    return score


def _inner(v: Float[Array, "batch *event"], w: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    return jnp.sum(v * w, axis=tuple(range(1, v.ndim)))


def _curvature(derivative, v: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Return vᵀ ∇s v for each example."""
    return _inner(v, derivative(v))
