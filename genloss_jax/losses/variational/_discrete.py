"""Discrete codes: vector, residual and finite scalar quantisation, relaxed categories."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.losses.variational._shared import (
    Scalar,
    at_least_float32,
    check_axes,
    check_examples,
    check_positive,
    straight_through,
    sum_latents,
)

# --- Vector quantisation ---


class VectorQuantized(NamedTuple):
    """What `vector_quantize` makes of latents `[B, ..., D]`.

    Attributes:
        quantized: `[B, ..., D]`, the nearest codewords with the gradient of the latents (straight through).
        vectors: `[B, ..., D]`, the same codewords with their own gradient, for `codebook_loss` and `commitment_loss`.
        codes: `[B, ...]`, their indices.
    """

    quantized: Float[Array, "batch *position d"]
    vectors: Float[Array, "batch *position d"]
    codes: Int[Array, "batch *position"]


def vector_quantize(codebook: Float[Array, "codes d"], z: Float[Array, "batch *position d"]) -> VectorQuantized:
    """Replace each latent vector by its nearest codeword.

    quantized = e_k, k = argmin_j |z − e_j|²; d quantized / dz = 1

    Args:
        codebook: `[K, D]`.
        z: `[B, ..., D]`, the encoder's output.

    Returns:
        `quantized` for the decoder, `vectors` for the losses, and `codes`; of equally near codewords the first.

    Raises:
        ValueError: if `codebook` is not `[K, D]`, or `z` is not `[B, ..., D]`.

    References:
        van den Oord et al. 2017, "Neural discrete representation learning", section 3.
    """
    check_axes("K, D", codebook=codebook)
    _check_vectors(z, codebook.shape[1])
    codes = _nearest(codebook, z)
    vectors = codebook[codes]
    return VectorQuantized(straight_through(vectors, z), vectors, codes)


class ResidualQuantized(NamedTuple):
    """What `residual_quantize` makes of latents `[B, ..., D]` in Q stages.

    Attributes:
        quantized: `[B, ..., D]`, the sum of all stages' codewords with the gradient of the latents.
        residuals: `[B, ..., Q, D]`, what each stage quantised.
        vectors: `[B, ..., Q, D]`, each stage's codeword. `codebook_loss(residuals, vectors)` sums over the stages.
        codes: `[B, ..., Q]`.
    """

    quantized: Float[Array, "batch *position d"]
    residuals: Float[Array, "batch *position stages d"]
    vectors: Float[Array, "batch *position stages d"]
    codes: Int[Array, "batch *position stages"]


def residual_quantize(
    codebooks: Float[Array, "stages codes d"], z: Float[Array, "batch *position d"]
) -> ResidualQuantized:
    """Quantise latent vectors in stages, each of them what the stages before left over.

    r_1 = z, r_(s+1) = r_s − e_s, e_s the codeword of stage s nearest to r_s; quantized = Σ_s e_s

    The codewords subtracted are stop-gradient, so that each stage's losses train its own codebook, and every stage's
    commitment the encoder.

    Args:
        codebooks: `[Q, K, D]`.
        z: `[B, ..., D]`, the encoder's output.

    Returns:
        `quantized` for the decoder, `residuals` and `vectors` for the losses, and `codes`.

    Raises:
        ValueError: if `codebooks` is not `[Q, K, D]`, or `z` is not `[B, ..., D]`.

    References:
        Zeghidour et al. 2021, "SoundStream"; Lee et al. 2022, "Autoregressive image generation using residual
        quantization".
    """
    check_axes("Q, K, D", codebooks=codebooks)
    _check_vectors(z, codebooks.shape[2])

    def stage(residual, codebook):
        codes = _nearest(codebook, residual)
        vectors = codebook[codes]
        return residual - jax.lax.stop_gradient(vectors), (residual, vectors, codes)

    _, (residuals, vectors, codes) = jax.lax.scan(stage, z, codebooks)
    residuals, vectors = jnp.moveaxis(residuals, 0, -2), jnp.moveaxis(vectors, 0, -2)
    quantized = straight_through(jnp.sum(vectors, axis=-2), z)
    return ResidualQuantized(quantized, residuals, vectors, jnp.moveaxis(codes, 0, -1))


def codebook_loss(z: Float[Array, "batch *event"], vectors: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Draw the codewords to the latents that use them.

    |sg(z) − e|², sg the stop-gradient, summed over all axes of an example

    Divide by their size for the mean that much code takes. A codebook of running averages needs no such loss.

    Args:
        z: `[B, ...]`, the encoder's output, or a residual quantiser's `residuals`.
        vectors: `[B, ...]`, the `vectors` of the quantiser and not its `quantized`, which has no gradient for the
            codebook.

    Returns:
        `[B]`, squared latent units.

    Raises:
        ValueError: if the shapes differ or an array is not floating.

    References:
        van den Oord et al. 2017, "Neural discrete representation learning", equation 3.
    """
    check_examples(z=z, vectors=vectors)
    return sum_latents(jnp.square(jax.lax.stop_gradient(z) - vectors))


def commitment_loss(z: Float[Array, "batch *event"], vectors: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Draw the latents to their codewords.

    |z − sg(e)|², sg the stop-gradient, summed over all axes of an example

    Without the β of the paper (0.25), which is the caller's weight.

    Args:
        z: `[B, ...]`, the encoder's output, or a residual quantiser's `residuals`.
        vectors: `[B, ...]`, the `vectors` of the quantiser.

    Returns:
        `[B]`, squared latent units.

    Raises:
        ValueError: if the shapes differ or an array is not floating.

    References:
        van den Oord et al. 2017, "Neural discrete representation learning", equation 3.
    """
    check_examples(z=z, vectors=vectors)
    return sum_latents(jnp.square(z - jax.lax.stop_gradient(vectors)))


class CodebookAverage(NamedTuple):
    """Running averages of a codebook: how many latents used each codeword, and their sum.

    Attributes:
        counts: `[K]`.
        sums: `[K, D]`.
    """

    counts: Float[Array, " codes"]
    sums: Float[Array, "codes d"]


def update_codebook_average(
    average: CodebookAverage,
    z: Float[Array, "batch *position d"],
    codes: Int[Array, "batch *position"],
    *,
    decay: Scalar,
) -> CodebookAverage:
    """Move a codebook's running averages towards a batch, counts and sums alike.

    counts_k ← decay counts_k + (1 − decay) n_k, sums_k ← decay sums_k + (1 − decay) Σ_(z of code k) z

    Args:
        average: before the batch; zeros, or ones beside the first codebook.
        z: `[B, ..., D]`, as stop-gradient.
        codes: `[B, ...]`, as `vector_quantize` gives them.
        decay: in [0, 1).

    Returns:
        The averages after the batch.

    References:
        van den Oord et al. 2017, "Neural discrete representation learning", appendix.
    """
    rows = jax.lax.stop_gradient(z).reshape(-1, z.shape[-1])
    one_hot = jax.nn.one_hot(codes.reshape(-1), average.counts.size, dtype=rows.dtype)
    sums = jnp.matmul(one_hot.T, rows, precision=jax.lax.Precision.HIGHEST)
    return jax.tree.map(
        lambda old, new: decay * old + (1 - decay) * new, average, CodebookAverage(jnp.sum(one_hot, axis=0), sums)
    )


def average_codebook(average: CodebookAverage, *, epsilon: Scalar = 1e-5) -> Float[Array, "codes d"]:
    """Return the codebook that running averages stand for, each codeword the mean of its latents.

    e_k = sums_k / ñ_k, ñ_k = N (counts_k + ε) / (N + K ε), N = Σ_k counts_k

    Args:
        average: running averages.
        epsilon: of Laplace's smoothing, which keeps an unused codeword finite (at 0, as its sum is).

    Returns:
        `[K, D]`.

    References:
        van den Oord et al. 2017, "Neural discrete representation learning", appendix.
    """
    counts = average.counts
    total = jnp.sum(counts)
    smoothed = (counts + epsilon) * total / (total + counts.size * epsilon)
    return average.sums / smoothed[:, None]


def code_perplexity(codes: Int[Array, "..."], *, num_codes: int) -> Float[Array, ""]:
    """Count the codes in use, exp(−Σ_k p_k log p_k) of their frequencies.

    Args:
        codes: indices of any shape.
        num_codes: K.

    Returns:
        Scalar, from 1 (one code) to K (all equally often).
    """
    frequencies = jnp.bincount(codes.reshape(-1), length=num_codes) / codes.size
    return jnp.exp(jnp.sum(jax.scipy.special.entr(frequencies)))


def code_entropy_penalty(
    logits: Float[Array, "batch *position k"], *, diversity: Scalar = 1.0
) -> Float[Array, " batch"]:
    """Ask for codes that are certain of each latent and diverse over the batch.

    mean H(p(k|z)) − diversity · H(mean p(k|z)), means over the batch and positions

    At diversity 1 it is minus the mutual information of position and code. The second term is the batch's one number.

    Args:
        logits: `[B, ..., K]`, such as negative squared distances to codewords over a temperature.
        diversity: weight of the entropy of the mean.

    Returns:
        `[B]`, nats, in the mean from −diversity log K to log K.

    Raises:
        ValueError: if `logits` is not `[B, ..., K]` or not floating.

    References:
        Yu et al. 2024, "Language model beats diffusion: tokenizer is key to visual generation".
    """
    check_examples(logits=logits)
    if logits.ndim < 2:
        raise ValueError(f"logits must have shape [B, ..., K]; got shape {logits.shape}.")
    log_probs = jax.nn.log_softmax(logits).reshape(logits.shape[0], -1, logits.shape[-1])
    conditional = -jnp.sum(jnp.exp(log_probs) * jnp.maximum(log_probs, jnp.finfo(logits.dtype).min), axis=-1)
    log_mean = jax.nn.logsumexp(log_probs, axis=(0, 1)) - math.log(log_probs.shape[0] * log_probs.shape[1])
    marginal = -jnp.sum(jnp.exp(log_mean) * jnp.maximum(log_mean, jnp.finfo(logits.dtype).min))
    return jnp.mean(conditional, axis=1) - diversity * marginal


def _check_vectors(z, dim):
    check_examples(z=z)
    if z.ndim < 2 or z.shape[-1] != dim:
        raise ValueError(f"z must have shape [B, ..., D] with the codebook's D, {dim}; got shape {z.shape}.")


def _nearest(codebook, z):
    codebook, z = jax.lax.stop_gradient((at_least_float32(codebook), at_least_float32(z)))
    # |z − e|² = |z|² − 2 z·e + |e|², the first alike for all codes. About the codebook's centre, far latents keep more
    # of their digits.
    center = jnp.mean(codebook, axis=0)
    codebook, rows = codebook - center[None], z.reshape(-1, z.shape[-1]) - center[None]
    inner = jnp.matmul(rows, codebook.T, precision=jax.lax.Precision.HIGHEST)
    distances = jnp.sum(jnp.square(codebook), axis=1)[None] - 2 * inner
    return jnp.argmin(distances, axis=1).reshape(z.shape[:-1])


# --- Finite scalar quantisation ---


class ScalarQuantized(NamedTuple):
    """What `finite_scalar_quantize` makes of latents `[B, ..., D]`.

    Attributes:
        quantized: `[B, ..., D]`, in [−1, 1], with the gradient of the bounded latents.
        codes: `[B, ...]`, one integer for each latent vector, below the product of the levels.
    """

    quantized: Float[Array, "batch *position d"]
    codes: Int[Array, "batch *position"]


def finite_scalar_quantize(z: Float[Array, "batch *position d"], *, levels: tuple[int, ...]) -> ScalarQuantized:
    """Round each latent to one of a few levels: a code without a codebook, and without losses.

    quantized_d = round(h_d tanh(z_d + s_d) − o_d) / ⌊L_d / 2⌋, h = (L − 1)(1 + 10⁻³) / 2, o = ½ for even L and 0 for
    odd L, s = artanh(o / h)

    With odd L the levels are symmetric; with even L they run from −1 to 1 − 2/L. The shift s sends 0 to 0.

    Args:
        z: `[B, ..., D]`, the encoder's output.
        levels: L, the number of levels of each of the D latents, at least 2 each.

    Returns:
        `quantized` and `codes`, whose first latent counts ones, the second L_1, and so on.

    Raises:
        ValueError: if `z` is not `[B, ..., D]` with one latent for each entry of `levels`, or a level is below 2.

    References:
        Mentzer et al. 2024, "Finite scalar quantization: VQ-VAE made simple", appendix.
    """
    _check_levels(levels)
    check_examples(z=z)
    if z.ndim < 2 or z.shape[-1] != len(levels):
        raise ValueError(f"z must have shape [B, ..., D] with D of {len(levels)} as levels; got shape {z.shape}.")
    count = np.asarray(levels)
    half_width = (count - 1) * (1 + 1e-3) / 2
    offset = np.where(count % 2 == 0, 0.5, 0.0)

    def along_last(vector):
        return jnp.asarray(vector, z.dtype).reshape(*[1] * (z.ndim - 1), -1)

    bounded = along_last(half_width) * jnp.tanh(z + along_last(np.arctanh(offset / half_width))) - along_last(offset)
    digits = jnp.round(jax.lax.stop_gradient(bounded)).astype(jnp.int32)
    quantized = straight_through(digits.astype(z.dtype), bounded) / along_last(count // 2)
    shifted = digits + (count // 2).astype(np.int32).reshape(*[1] * (z.ndim - 1), -1)
    return ScalarQuantized(quantized, jnp.sum(shifted * _place_values(levels, z.ndim), axis=-1))


def finite_scalar_values(codes: Int[Array, "..."], *, levels: tuple[int, ...]) -> Float[Array, "... d"]:
    """Return the latents that codes of `finite_scalar_quantize` stand for.

    Args:
        codes: integers of any shape.
        levels: as there.

    Returns:
        `[..., D]`, in [−1, 1].

    Raises:
        ValueError: if a level is below 2.
    """
    _check_levels(levels)
    count = np.asarray(levels, np.int32).reshape(*[1] * codes.ndim, -1)
    digits = codes[..., None] // _place_values(levels, codes.ndim + 1) % count - count // 2
    return digits.astype(jnp.result_type(float)) / (count // 2).astype(jnp.result_type(float))


def _check_levels(levels):
    if not levels or min(levels) < 2:
        raise ValueError(f"levels must have at least one entry, each of at least 2; got {levels}.")


def _place_values(levels, rank):
    return np.cumprod([1, *levels[:-1]], dtype=np.int32).reshape(*[1] * (rank - 1), -1)


# --- Relaxed categories ---


def gumbel_softmax(
    key: PRNGKeyArray, logits: Float[Array, "*batch k"], *, temperature: Scalar, hard: bool = False
) -> Float[Array, "*batch k"]:
    """Draw relaxed one-hot samples of a categorical distribution.

    softmax((logits + g) / temperature), g Gumbel noise

    The largest entry is at category k with probability softmax(logits)_k at every temperature. The sample is no draw of
    the categorical distribution, so that a bound evaluated at it bounds the relaxed model's evidence and not the
    discrete one's.

    Args:
        key: draws the noise.
        logits: `[..., K]`, not necessarily normalised.
        temperature: positive, towards 0 for one-hot samples.
        hard: whether to return one-hot samples with the gradient of the relaxed ones (straight through).

    Returns:
        `[..., K]`, at least 0, summing to 1 over the last axis.

    Raises:
        ValueError: if `logits` is a scalar or not floating, or the temperature is not positive.

    References:
        Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax"; Maddison et al. 2017, "The concrete
        distribution".
    """
    check_examples(logits=logits)
    check_positive("temperature", temperature)
    relaxed = jax.nn.softmax((logits + parts.draw(jax.random.gumbel, key, logits.shape, logits.dtype)) / temperature)
    if not hard:
        return relaxed
    one_hot = jax.nn.one_hot(jnp.argmax(relaxed, axis=-1), logits.shape[-1], dtype=logits.dtype)
    return straight_through(one_hot, relaxed)
