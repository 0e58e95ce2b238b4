"""What is asked of a generator beyond deceiving its critic: smooth, spread and matching outputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses._shared import (
    Scalar,
    at_least_float32,
    check_examples,
    normal_like,
    per_example,
    root,
    squared_norm,
    unit_rows,
)

GeneratorFn = Callable[[Float[Array, "batch ..."]], Float[Array, "batch ..."]]
"""Maps a batch of latents to a batch of samples."""


def path_lengths(
    generator_fn: GeneratorFn, key: PRNGKeyArray, latents: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Measure how far a random direction of sample space reaches back into latent space.

    `‖J(w)ᵀ y‖`, `y ~ N(0, I)` in sample space, one norm per example over all axes of its latents. The expected square
    is `‖J(w)‖_F²`. StyleGAN2's code scales y by `1/√(H·W)` and averages the squares over its L layers, so that its
    lengths are these divided by `√(H·W·L)`.

    Args:
        generator_fn: maps latents `[B, ...]` to samples `[B, ...]`.
        key: draws y.
        latents: w, `[B, ...]`.

    Returns:
        `[B]`, samples per latent unit.

    Raises:
        ValueError: if `latents` is not floating or `generator_fn` does not keep the batch axis.

    References:
        Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, inside Eq. 4.
    """
    check_examples(latents=latents)
    samples, pull_back = jax.vjp(generator_fn, latents)
    if samples.shape[:1] != latents.shape[:1]:
        raise ValueError(
            f"generator_fn must keep the batch axis of latents, shape {latents.shape}; it returned {samples.shape}."
        )
    (directions,) = pull_back(normal_like(key, samples))
    return root(squared_norm(directions))


def path_length_penalty(
    generator_fn: GeneratorFn, key: PRNGKeyArray, latents: Float[Array, "batch *event"], average: Scalar
) -> Float[Array, " batch"]:
    """Ask that a step in latent space move the sample by the same length everywhere.

    `(‖J(w)ᵀ y‖ − a)²`, `y ~ N(0, I)`, with a the running average of the lengths, held constant (StyleGAN2's code lets
    gradients into its newest part). `update_average(a, jnp.mean(path_lengths(generator_fn, key, latents)), decay=0.99)`
    is the new average; under `jit` the lengths of the same key are computed once for both. With StyleGAN2's scaling
    (see `path_lengths`) its weight 2 is `2/(H·W·L)` here. No ½.

    Args:
        generator_fn: maps latents `[B, ...]` to samples `[B, ...]`.
        key: draws y.
        latents: w, `[B, ...]`.
        average: running average a of the lengths, scalar.

    Returns:
        `[B]`, squared samples per latent unit.

    Raises:
        ValueError: if `latents` is not floating, `generator_fn` does not keep the batch axis, or `average` is not a
            scalar.

    References:
        Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, Eq. 4.
    """
    if jnp.ndim(average) != 0:
        raise ValueError(f"average must be a scalar, the running average of lengths; got shape {jnp.shape(average)}.")
    return jnp.square(path_lengths(generator_fn, key, latents) - jax.lax.stop_gradient(average))


def mode_seeking_loss(
    samples: Float[Array, "batch *event"],
    other_samples: Float[Array, "batch *event"],
    latents: Float[Array, "batch *latent"],
    other_latents: Float[Array, "batch *latent"],
    *,
    epsilon: Scalar = 1e-5,
) -> Float[Array, " batch"]:
    """Ask that different latents give different samples.

    `1 / (d(x, x') / d(z, z') + ε)`, d the mean absolute difference over all axes of an example. The paper maximises the
    ratio; its code minimises this inverse, with the ratio of the batch's mean distances where this takes each
    example's own. ε caps the loss at 1/ε for equal samples. A pair of equal latents says nothing and costs 0.

    Args:
        samples: G(z), `[B, ...]`.
        other_samples: G(z') for the same conditions, of the same shape.
        latents: z, `[B, ...]`.
        other_latents: z', of the same shape.
        epsilon: keeps the loss finite.

    Returns:
        `[B]`, latent units per sample unit.

    Raises:
        ValueError: if a pair differs in shape, the batches differ, or an array is not floating.

    References:
        Mao et al. 2019, Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis, and its code.
    """
    check_examples(samples=samples, other_samples=other_samples)
    check_examples(latents=latents, other_latents=other_latents)
    if samples.shape[0] != latents.shape[0]:
        raise ValueError(f"latents must have the batch size of samples, {samples.shape[0]}; got {latents.shape[0]}.")
    sample_distance = _mean_absolute_difference(samples, other_samples)
    latent_distance = _mean_absolute_difference(latents, other_latents)
    # 1 / (a/b + ε) = b / (a + εb), which holds at b = 0 as well unless a is zero too.
    denominator = sample_distance + epsilon * latent_distance
    return latent_distance / jnp.where(denominator == 0, 1.0, denominator)


def _mean_absolute_difference(x: Float[Array, "batch ..."], y: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    return jnp.mean(jnp.abs(x - y), axis=tuple(range(1, x.ndim)))


def pulling_away_loss(features: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Push the features of generated examples towards right angles.

    `Σ_{j≠i} cos²(s_i, s_j) / (B − 1)` for example i, so that the mean over the batch is the published term. In [0, 1].
    An all-zero feature has cosine 0 with every other.

    Args:
        features: critic's or encoder's features of generated examples, `[B, ...]`, with B at least 2.

    Returns:
        `[B]`, squared cosine.

    Raises:
        ValueError: if `features` is not floating or has fewer than two examples.

    References:
        Zhao et al. 2017, Energy-based Generative Adversarial Network, section 2.4.
    """
    check_examples(features=features)
    batch = features.shape[0]
    if batch < 2:
        raise ValueError(f"features must have at least 2 examples to compare; got {batch}.")
    rows = unit_rows(features)
    squared_cosines = jnp.square(rows @ rows.T) * (1 - jnp.eye(batch, dtype=rows.dtype))
    return jnp.sum(squared_cosines, axis=1) / (batch - 1)


def feature_matching_loss(
    real_features: Float[Array, "batch *event"], fake_features: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Match the mean feature of generated examples to that of real ones.

    `‖mean_i f(x_i) − mean_i f(x̃_i)‖²`, summed over the feature axes. Every entry holds this one number, so that the
    mean over the batch is the published loss. As an estimate of the distance of the expectations it is biased upwards,
    by the sum of both sides' feature variances over B.

    Args:
        real_features: critic's features of real examples, `[B, ...]`.
        fake_features: the same of generated examples.

    Returns:
        `[B]`, squared feature units, the same in every entry.

    Raises:
        ValueError: if the two differ in shape or are not floating.

    References:
        Salimans et al. 2016, Improved Techniques for Training GANs, section 3.1.
    """
    check_examples(real_features=real_features, fake_features=fake_features)
    difference = jnp.mean(real_features, axis=0) - jnp.mean(fake_features, axis=0)
    return per_example(jnp.sum(jnp.square(difference)), fake_features)


def diversity_determinantal_loss(
    real_features: Float[Array, "batch *event"], fake_features: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Match the spectrum of the generated batch's similarity matrix to that of the real batch.

    `Σ_i |λ_i − λ̃_i| − Σ_i w_i |cos(v_i, ṽ_i)|`, λ and v the eigenpairs of the matrices `ΦΦᵀ` of cosines between the
    examples' features, in ascending order, and `w_i = (λ_i − λ_min) / (λ_max − λ_min)` from the real side. Real
    features count as constants. Two departures from the published code: the cosine is taken without its sign, because
    the sign of an eigenvector is arbitrary, and the spectrum's term has the paper's weight 1 (the code takes 1e-4 times
    the mean square). Eigenvectors index examples, so permuting one batch alone changes the value, as in the paper.
    Where two eigenvalues are equal their eigenvectors are not defined; their mutual rotation gets no gradient. Every
    entry holds this one number, so that the mean over the batch is the published loss. Can be negative.

    Args:
        real_features: critic's features of real examples, `[B, ...]`.
        fake_features: the same of generated examples.

    Returns:
        `[B]`, no unit, the same in every entry.

    Raises:
        ValueError: if the two differ in shape or are not floating.

    References:
        Elfeki et al. 2019, GDPP: Learning Diverse Generations using Determinantal Point Processes.
    """
    check_examples(real_features=real_features, fake_features=fake_features)
    real_rows = unit_rows(at_least_float32(jax.lax.stop_gradient(real_features)))
    fake_rows = unit_rows(at_least_float32(fake_features))
    real_values, real_vectors = _eigenpairs(real_rows @ real_rows.T)
    fake_values, fake_vectors = _eigenpairs(fake_rows @ fake_rows.T)
    spread = real_values[-1] - real_values[0]
    weights = (real_values - real_values[0]) / jnp.where(spread == 0, 1.0, spread)
    cosines = jnp.abs(jnp.sum(real_vectors * fake_vectors, axis=0))
    magnitude, structure = jnp.sum(jnp.abs(real_values - fake_values)), jnp.sum(weights * cosines)
    return per_example((magnitude - structure).astype(fake_features.dtype), fake_features)


@jax.custom_jvp
def _eigenpairs(matrix: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix, with a finite derivative at equal eigenvalues."""
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


@_eigenpairs.defjvp
def _eigenpairs_jvp(primals, tangents):
    values, vectors = _eigenpairs(*primals)
    rotated = vectors.T @ tangents[0] @ vectors
    # dV = V (F ⊙ VᵀdA V), F_ij = 1 / (λ_j − λ_i). A batch larger than its feature space has many eigenvalues zero, so
    # equal ones are the rule: vectors of a common eigenspace may be any basis of it, and get no derivative.
    gaps = values[None, :] - values[:, None]
    distinct = jnp.abs(gaps) > jnp.sqrt(jnp.finfo(values.dtype).eps) * jnp.max(jnp.abs(values))
    inverse_gaps = jnp.where(distinct, 1 / jnp.where(distinct, gaps, 1.0), 0.0)
    return (values, vectors), (jnp.diagonal(rotated), vectors @ (inverse_gaps * rotated))
