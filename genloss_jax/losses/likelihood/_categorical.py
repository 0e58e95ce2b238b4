"""Losses of class probabilities, from logits: likelihood, smoothed likelihood, unlikelihood, hold on the scale."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses.likelihood._shared import Scalar, check_classes, check_integer, check_shape, sum_examples


def categorical_nll(
    logits: Float[Array, "batch *place classes"], labels: Int[Array, "batch *place"]
) -> Float[Array, " batch"]:
    """Compute the negative log-probability of labels.

    -log p(c) = log sum_k exp(l_k) - l_c, summed over all places of an example

    For a sequence this is the sum over its tokens: divide by their number for nats per token.

    Args:
        logits: `[B, ..., K]`, need not be normalised; -∞ rules a class out.
        labels: `[B, ...]` integers from 0 to K - 1.

    Returns:
        `[B]` in nats, never negative; ∞ for a label outside 0 ... K - 1, which has probability 0.

    Raises:
        ValueError: if logits are not floating `[B, ..., K]`, or labels are not integers `[B, ...]`.

    References:
        Shannon 1948, "A mathematical theory of communication".
    """
    _check_labelled(logits, labels)
    return sum_examples(lambda logits: -_at(jax.nn.log_softmax(logits), labels), logits)


def label_smoothed_nll(
    logits: Float[Array, "batch *place classes"], labels: Int[Array, "batch *place"], *, smoothing: Scalar
) -> Float[Array, " batch"]:
    """Compute the cross-entropy to labels that are mixed with the uniform distribution.

    -sum_k q_k log p_k, q = (1 - smoothing) [k = label] + smoothing / K, summed over all places of an example

    Its minimum over p is the entropy of q, at p = q, and not 0: it is no negative log-likelihood of the data unless
    smoothing is 0. Some code shares `smoothing` among the K - 1 other classes only: that is smoothing K / (K - 1) here.

    Args:
        logits: `[B, ..., K]`, finite.
        labels: `[B, ...]` integers from 0 to K - 1.
        smoothing: weight of the uniform distribution, from 0 to 1.

    Returns:
        `[B]` in nats.

    Raises:
        ValueError: if logits are not floating `[B, ..., K]`, labels are not integers `[B, ...]`, or smoothing is a
            plain number outside [0, 1].

    References:
        Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", section 7.
    """
    _check_labelled(logits, labels)
    if isinstance(smoothing, int | float) and not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must be from 0 to 1; got {smoothing}.")

    def terms(logits):
        log_probs = jax.nn.log_softmax(logits)
        return -(1 - smoothing) * _at(log_probs, labels) - smoothing * jnp.mean(log_probs, -1)

    return sum_examples(terms, logits)


def unlikelihood_loss(
    logits: Float[Array, "batch *place classes"], negatives: Float[Array, "batch *place classes"]
) -> Float[Array, " batch"]:
    """Compute the cost of giving probability to classes that should not come.

    -sum_c negatives_c log(1 - p_c), p = softmax(logits), summed over all places of an example

    It is added to `categorical_nll`, not used in its place. Where p_c is near 1 the value is the margin of l_c over the
    log-sum of all other classes, to full precision.

    Args:
        logits: `[B, ..., K]`.
        negatives: `[B, ..., K]`, 1 at each class that should not come and 0 elsewhere, or weights; such as
            `previous_labels`.

    Returns:
        `[B]` in nats, never negative.

    Raises:
        ValueError: if an array is not floating `[B, ..., K]` or the shapes differ.

    References:
        Welleck et al. 2020, "Neural text generation with unlikelihood training", the token-level loss.
    """
    check_classes("logits", logits)
    check_classes("negatives", negatives)
    check_shape("negatives", negatives, jnp.shape(logits), "logits")
    return sum_examples(lambda logits, negatives: negatives * _negative_log_others(logits), logits, negatives)


def _negative_log_others(logits):
    """Compute -log(1 - p) of every class."""
    # Only the likeliest class can have p > ½, where 1 - p loses its digits; its log-odds are l minus the log-sum-exp of
    # the others.
    likeliest = jax.nn.one_hot(jnp.argmax(logits, -1), logits.shape[-1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(likeliest, -jnp.inf, logits), axis=-1, keepdims=True)
    probs = jnp.where(likeliest, 0.0, jax.nn.softmax(logits))
    return jnp.where(likeliest, jax.nn.softplus(logits - others), -jnp.log1p(-probs))


def previous_labels(labels: Int[Array, "batch length"], *, num_classes: int) -> Float[Array, "batch length classes"]:
    """Mark, at each place of a sequence, the labels that came before it and are not its own.

    Args:
        labels: `[B, T]` integers.
        num_classes: K.

    Returns:
        `[B, T, K]` of 0 and 1, the `negatives` of `unlikelihood_loss` that discourage repetition.

    Raises:
        ValueError: if labels are not integers `[B, T]`.

    References:
        Welleck et al. 2020, "Neural text generation with unlikelihood training", the token-level candidates.
    """
    check_integer(labels=labels)
    if jnp.ndim(labels) != 2:
        raise ValueError(f"labels must have shape (B, T); got {jnp.shape(labels)}.")
    own = jax.nn.one_hot(labels, num_classes)
    return jnp.where(own > 0, 0.0, jax.lax.cummax(own, axis=1))


def z_loss(logits: Float[Array, "batch *place classes"]) -> Float[Array, " batch"]:
    """Compute the square of the log-normaliser, which holds logits near log-probabilities.

    (log sum_k exp(l_k))², summed over all places of an example; no ½

    Softmax does not see a constant added to all logits; this loss does, and is 0 where they are normalised already.

    Args:
        logits: `[B, ..., K]`.

    Returns:
        `[B]` in squared nats. PaLM's weight before it is 1e-4.

    Raises:
        ValueError: if logits are not floating `[B, ..., K]`.

    References:
        Chowdhery et al. 2022, "PaLM: scaling language modeling with pathways", section 5.
    """
    check_classes("logits", logits)
    return sum_examples(lambda logits: jax.nn.logsumexp(logits, axis=-1) ** 2, logits)


def _check_labelled(logits, labels):
    check_classes("logits", logits)
    check_integer(labels=labels)
    check_shape("labels", labels, jnp.shape(logits)[:-1], "logits")


def _at(log_probs, labels):
    """Return the entry of each label, -∞ for one that does not exist (an index would wrap or clamp)."""
    valid = (labels >= 0) & (labels < log_probs.shape[-1])
    found = jnp.take_along_axis(log_probs, jnp.where(valid, labels, 0)[..., None], -1)[..., 0]
    return jnp.where(valid, found, -jnp.inf)
