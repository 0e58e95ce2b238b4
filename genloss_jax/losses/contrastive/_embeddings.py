"""Losses that compare embeddings within a batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses._shared import Scalar, check_examples, check_positive, root, squared_norm
from genloss_jax.losses.contrastive._scores import info_nce_loss
from genloss_jax.losses.contrastive._shared import (
    AxisName,
    check_labels,
    directions,
    gather_batch,
    is_own,
    log_sum,
    pick,
    same_label,
    similarities,
)


def nt_xent_loss(
    embeddings: Float[Array, "batch dim"],
    other_embeddings: Float[Array, "batch dim"],
    *,
    temperature: Scalar,
    axis_name: AxisName = None,
) -> Float[Array, " batch"]:
    """Classify each view's partner among all other views of the batch (SimCLR).

    Mean over an example's two views of `−s_ij/τ + log Σ_{k≠i} exp(s_ik/τ)`, s the cosine, j its partner, k over the
    other 2B − 1 views. `log(2B − 1)` for embeddings that say nothing.

    Args:
        embeddings: of one view of each example, `[B, D]`; scaled to length 1 here.
        other_embeddings: of the other view, `[B, D]`.
        temperature: τ, positive.
        axis_name: name of the axis over devices; the views of all are candidates.

    Returns:
        `[B]`, nats; its mean is the mean over 2B views.

    Raises:
        ValueError: if the two are not floating arrays of one shape `[B, D]`, or `temperature` is not positive.

    References:
        Chen et al. 2020, A Simple Framework for Contrastive Learning of Visual Representations, Eq. 1.
    """
    check_positive("temperature", temperature)
    views = directions(embeddings=embeddings, other_embeddings=other_embeddings)
    candidates = jnp.concatenate([gather_batch(view, axis_name) for view in views])
    own = is_own(len(embeddings), axis_name)
    nobody = jnp.zeros_like(own)

    def of_view(view, itself, partner):
        logits = similarities(view, candidates) / temperature
        return log_sum(logits, ~itself) - pick(logits, partner)

    first, second = jnp.concatenate([own, nobody], axis=1), jnp.concatenate([nobody, own], axis=1)
    return 0.5 * (of_view(views[0], first, second) + of_view(views[1], second, first))


def supervised_contrastive_loss(
    embeddings: Float[Array, "batch dim"],
    labels: Int[Array, " batch"],
    *,
    temperature: Scalar,
    axis_name: AxisName = None,
) -> Float[Array, " batch"]:
    """Draw together the embeddings of one class and push apart those of different classes.

    `−1/|P(i)| Σ_{p∈P(i)} log (exp(s_ip/τ) / Σ_{k≠i} exp(s_ik/τ))`, s the cosine, P(i) the other examples of the class:
    the mean stands outside the logarithm. An example that is alone in its class costs 0. Several views are further rows
    of the batch. Not multiplied by τ, as some code does.

    Args:
        embeddings: `[B, D]`; scaled to length 1 here.
        labels: classes, integers `[B]`.
        temperature: τ, positive.
        axis_name: name of the axis over devices.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if `embeddings` is not a floating `[B, D]`, `labels` not integers `[B]`, or `temperature` not
            positive.

    References:
        Khosla et al. 2020, Supervised Contrastive Learning, Eq. 2.
    """
    check_positive("temperature", temperature)
    (rows,) = directions(embeddings=embeddings)
    check_labels(labels, len(rows))
    logits = similarities(rows, gather_batch(rows, axis_name)) / temperature
    own = is_own(len(rows), axis_name)
    positive = same_label(labels, gather_batch(labels, axis_name)) & ~own
    count = jnp.sum(positive, axis=1)
    mean_logit = jnp.sum(jnp.where(positive, logits, 0), axis=1) / jnp.maximum(count, 1).astype(logits.dtype)
    alone = count == 0
    return jnp.where(alone, 0, log_sum(logits, ~own | alone[:, None]) - mean_logit)


def clip_loss(
    image_embeddings: Float[Array, "batch dim"],
    text_embeddings: Float[Array, "batch dim"],
    *,
    log_scale: Scalar,
    axis_name: AxisName = None,
) -> Float[Array, " batch"]:
    """Classify each image's text among all texts and each text's image among all images.

    `½ (−l_ii + log Σ_j exp l_ij) + ½ (−l_ii + log Σ_j exp l_ji)` with `l_ij = exp(log_scale) cos(image_i, text_j)`: the
    mean of both directions, with the ½. log B for embeddings that say nothing.

    Args:
        image_embeddings: `[B, D]`; scaled to length 1 here.
        text_embeddings: `[B, D]`.
        log_scale: logarithm of the inverse temperature; learned, starting at log(1/0.07), the exponential clipped to
            100 by the authors.
        axis_name: name of the axis over devices; each compares its own examples with those of all.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the two are not floating arrays of one shape `[B, D]`.

    References:
        Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision, figure 3.
    """
    images, texts = directions(image_embeddings=image_embeddings, text_embeddings=text_embeddings)
    to_texts, to_images = (
        info_nce_loss(jnp.exp(log_scale) * similarities(one, gather_batch(other, axis_name)), axis_name=axis_name)
        for one, other in ((images, texts), (texts, images))
    )
    return 0.5 * (to_texts + to_images)


def siglip_loss(
    image_embeddings: Float[Array, "batch dim"],
    text_embeddings: Float[Array, "batch dim"],
    *,
    log_scale: Scalar,
    bias: Scalar,
    axis_name: AxisName = None,
) -> Float[Array, " batch"]:
    """Decide for every pair of image and text on its own whether the two belong together.

    `Σ_j softplus(−z_ij (exp(log_scale) cos(image_i, text_j) + bias))`, z = 1 on the diagonal and −1 elsewhere. Summed
    over the texts of an image, so that the mean over the batch is the sum over pairs divided by B, not by B². For
    embeddings that say nothing, the best bias is −log(B − 1) less the common scaled cosine.

    Args:
        image_embeddings: `[B, D]`; scaled to length 1 here.
        text_embeddings: `[B, D]`.
        log_scale: logarithm of the inverse temperature; learned, starting at log 10.
        bias: added to every pair; learned, starting at −10.
        axis_name: name of the axis over devices; texts come from all.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the two are not floating arrays of one shape `[B, D]`.

    References:
        Zhai et al. 2023, Sigmoid Loss for Language Image Pre-Training, section 3.2.
    """
    images, texts = directions(image_embeddings=image_embeddings, text_embeddings=text_embeddings)
    logits = jnp.exp(log_scale) * similarities(images, gather_batch(texts, axis_name)) + bias
    own = is_own(len(images), axis_name)
    return jnp.sum(jax.nn.softplus(jnp.where(own, -logits, logits)), axis=1)


def triplet_loss(
    anchors: Float[Array, "batch *event"],
    positives: Float[Array, "batch *event"],
    negatives: Float[Array, "batch *event"],
    *,
    margin: Scalar,
    squared: bool = True,
) -> Float[Array, " batch"]:
    """Ask that each anchor be nearer to its positive than to its negative, by a margin.

    `max(d(a, p) − d(a, n) + margin, 0)` with `d = ‖·‖²`, as in the paper, or `d = ‖·‖` if not `squared`, as in many
    libraries. Embeddings are taken as they are; the paper scales them to length 1 first. Each triplet stands for
    itself.

    Args:
        anchors: a, `[B, ...]`.
        positives: p, of the same shape.
        negatives: n, of the same shape.
        margin: 0.2 in the paper.
        squared: whether distances are squared.

    Returns:
        `[B]`, (squared) unit of the embeddings.

    Raises:
        ValueError: if the three are not floating arrays of one shape.

    References:
        Schroff et al. 2015, FaceNet: A Unified Embedding for Face Recognition and Clustering, section 3.1.
    """
    check_examples(anchors=anchors, positives=positives, negatives=negatives)
    near, far = squared_norm(anchors - positives), squared_norm(anchors - negatives)
    if not squared:
        near, far = root(near), root(far)
    return jax.nn.relu(near - far + margin)
