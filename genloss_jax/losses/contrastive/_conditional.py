"""Losses that tie a GAN's samples to their classes and codes."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses._shared import Scalar, check_examples, check_positive
from genloss_jax.losses.contrastive._shared import (
    AxisName,
    check_labels,
    directions,
    gather_batch,
    is_own,
    log_sum,
    same_label,
    similarities,
)
from genloss_jax.losses.likelihood import categorical_nll


def conditional_contrastive_loss(
    embeddings: Float[Array, "batch dim"],
    class_embeddings: Float[Array, "batch dim"],
    labels: Int[Array, " batch"],
    *,
    temperature: Scalar,
    axis_name: AxisName = None,
) -> Float[Array, " batch"]:
    """Draw an embedding to that of its class and to examples of the class, away from all others (2C, ContraGAN).

    `−log ((exp(c_i/τ) + Σ_{k∈P(i)} exp(s_ik/τ)) / (exp(c_i/τ) + Σ_{k≠i} exp(s_ik/τ)))`, s the cosine of two examples,
    c_i that of example and class, P(i) the other examples of the class: positives are summed inside the logarithm.
    Never negative; 0 if all examples share one class. The discriminator takes it on real examples, the generator on its
    own.

    Args:
        embeddings: of examples, `[B, D]`; scaled to length 1 here.
        class_embeddings: of each example's class, `[B, D]`; scaled to length 1 here.
        labels: classes, integers `[B]`.
        temperature: τ, positive.
        axis_name: name of the axis over devices.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the embeddings are not floating arrays of one shape `[B, D]`, `labels` not integers `[B]`, or
            `temperature` not positive.

    References:
        Kang and Park 2020, ContraGAN: Contrastive Learning for Conditional Image Generation, Eq. 8.
    """
    to_class, logits, same, own = _compare(embeddings, class_embeddings, labels, temperature, axis_name)
    to_class, logits = to_class / temperature, logits / temperature
    return _log_sum_with(to_class, logits, ~own) - _log_sum_with(to_class, logits, same & ~own)


def data_to_data_loss(
    embeddings: Float[Array, "batch dim"],
    class_embeddings: Float[Array, "batch dim"],
    labels: Int[Array, " batch"],
    *,
    temperature: Scalar,
    positive_margin: Scalar = 0.98,
    negative_margin: Scalar = 0.02,
    axis_name: AxisName = None,
) -> Float[Array, " batch"]:
    """Classify an embedding's class against the examples of other classes, easy ones left alone (D2D-CE, ReACGAN).

    `−log (exp(p_i/τ) / (exp(p_i/τ) + Σ_{k∈N(i)} exp(n_ik/τ)))` with `p_i = min(c_i − m_p, 0)`, `n_ik = max(s_ik − m_n,
    0)`, s the cosine of two examples, c_i that of example and class, N(i) the examples of other classes. A cosine
    beyond its margin has no gradient. Examples of the same class are neither positives nor negatives.

    Args:
        embeddings: of examples, `[B, D]`; scaled to length 1 here.
        class_embeddings: of each example's class, `[B, D]`; scaled to length 1 here.
        labels: classes, integers `[B]`.
        temperature: τ, positive.
        positive_margin: m_p, the cosine with the class that is enough.
        negative_margin: m_n, the cosine with others that does no harm; the authors' code takes 1 − m_p.
        axis_name: name of the axis over devices.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the embeddings are not floating arrays of one shape `[B, D]`, `labels` not integers `[B]`, or
            `temperature` not positive.

    References:
        Kang et al. 2021, Rebooting ACGAN: Auxiliary Classifier GANs with Stable Training, section 3.
    """
    to_class, logits, same, _ = _compare(embeddings, class_embeddings, labels, temperature, axis_name)
    positive = jnp.minimum(to_class - positive_margin, 0) / temperature
    negatives = jnp.maximum(logits - negative_margin, 0) / temperature
    return _log_sum_with(positive, negatives, ~same) - positive


class AuxiliaryClassifierLosses(NamedTuple):
    """Class losses of the two players, to be added to an adversarial loss.

    Attributes:
        discriminator: loss of the discriminator and its classifier, `[B]`.
        generator: loss of the generator, `[B]`.
    """

    discriminator: Float[Array, " batch"]
    generator: Float[Array, " batch"]


def auxiliary_classifier_losses(
    real_class_logits: Float[Array, "batch classes"],
    fake_class_logits: Float[Array, "batch classes"],
    real_labels: Int[Array, " batch"],
    fake_labels: Int[Array, " batch"],
) -> AuxiliaryClassifierLosses:
    """Let the discriminator name the class of real and generated examples, and the generator be named right (ACGAN).

    Discriminator: `−log p(y|x) − log p(ỹ|x̃)`. Generator: `−log p(ỹ|x̃)`. The paper's classifier learns on both sides;
        much code drops the second term of the discriminator.

    Args:
        real_class_logits: classifier on real examples, `[B, C]`.
        fake_class_logits: the same on generated examples, `[B, C]`.
        real_labels: classes y of real examples, integers `[B]`.
        fake_labels: classes ỹ that the generator was given, integers `[B]`.

    Returns:
        Two arrays `[B]`, nats.

    Raises:
        ValueError: if the logits are not floating arrays of one shape `[B, C]`, or labels are not integers `[B]`.

    References:
        Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, Eq. 2 and 3.
    """
    real, fake = (
        _class_nll(names, logits, labels)
        for names, logits, labels in (
            (("real_class_logits", "real_labels"), real_class_logits, real_labels),
            (("fake_class_logits", "fake_labels"), fake_class_logits, fake_labels),
        )
    )
    check_examples(real_class_logits=real_class_logits, fake_class_logits=fake_class_logits)
    return AuxiliaryClassifierLosses(real + fake, fake)


def projection_logits(
    logits: Float[Array, " batch"], features: Float[Array, "batch dim"], class_embeddings: Float[Array, "batch dim"]
) -> Float[Array, " batch"]:
    """Add to a critic's logits how well its features fit the class (projection discriminator).

    `ψ(φ(x)) + e(y)·φ(x)`: log p(x)/q(x) plus log p(y|x)/q(y|x), p the data and q the model, in the form that softmax
    classifiers on the same features give them. No loss: any adversarial loss takes the result.

    Args:
        logits: ψ(φ(x)), `[B]`.
        features: φ(x), `[B, D]`.
        class_embeddings: e(y), `[B, D]`.

    Returns:
        `[B]`, logits.

    Raises:
        ValueError: if features and class embeddings are not floating arrays of one shape `[B, D]`, or `logits` not
            `[B]`.

    References:
        Miyato and Koyama 2018, cGANs with Projection Discriminator, section 3.
    """
    check_examples(features=features, class_embeddings=class_embeddings)
    if jnp.ndim(features) != 2 or jnp.shape(logits) != features.shape[:1]:
        raise ValueError(
            f"logits must have shape [B] and features [B, D]; got {jnp.shape(logits)} and {jnp.shape(features)}."
        )
    return logits + jnp.sum(features * class_embeddings, axis=1)


def infogan_loss(
    class_logits: Float[Array, "batch classes"],
    classes: Int[Array, " batch"],
    mean: Float[Array, "batch codes"],
    log_var: Float[Array, "batch codes"],
    codes: Float[Array, "batch codes"],
) -> Float[Array, " batch"]:
    """Recover from a generated example the codes it was made from (InfoGAN).

    `−log q(k|x) − Σ_d log N(c_d; mean_d(x), exp(log_var_d(x)))`, for a class k and codes c, with all constants. Its
    mean is an upper bound of the conditional entropy H(k, c | x), so that the entropy of the codes' prior less it is a
    lower bound of their mutual information with the example. Generator and recogniser both minimise it.

    Args:
        class_logits: recogniser's logits of the class, `[B, K]`; K = 1 if there is no class.
        classes: k, integers `[B]`.
        mean: recogniser's mean of the codes, `[B, C]`; C = 0 if there are none.
        log_var: its log-variance, `[B, C]`.
        codes: c, `[B, C]`.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if `class_logits` is not a floating `[B, K]`, `classes` not integers `[B]`, or mean, log-variance
            and codes not floating arrays of one shape `[B, C]`.

    References:
        Chen et al. 2016, InfoGAN: Interpretable Representation Learning by Information Maximizing Generative
        Adversarial Nets, Eq. 5.
    """
    class_term = _class_nll(("class_logits", "classes"), class_logits, classes)
    check_examples(mean=mean, log_var=log_var, codes=codes)
    if jnp.shape(mean)[:1] != class_term.shape or jnp.ndim(mean) != 2:
        raise ValueError(f"mean must have shape [B, C] with B = {len(class_term)}; got {jnp.shape(mean)}.")
    squares = jnp.square(codes - mean) * jnp.exp(-log_var)
    return class_term + 0.5 * jnp.sum(math.log(2 * math.pi) + log_var + squares, axis=1)


def _compare(embeddings, class_embeddings, labels, temperature, axis_name):
    """Return each example's cosine with its class and with all examples, and which of these share its class."""
    check_positive("temperature", temperature)
    rows, class_rows = directions(embeddings=embeddings, class_embeddings=class_embeddings)
    check_labels(labels, len(rows))
    cosines = similarities(rows, gather_batch(rows, axis_name))
    same = same_label(labels, gather_batch(labels, axis_name))
    return jnp.sum(rows * class_rows, axis=1), cosines, same, is_own(len(rows), axis_name)


def _log_sum_with(first: Array, values: Array, counted: Array) -> Float[Array, " batch"]:
    """Return log (exp(first) + Σ exp) over the counted values of each row, which may be none."""
    always = jnp.ones_like(first, dtype=bool)
    return log_sum(jnp.column_stack([first, values]), jnp.column_stack([always, counted]))


def _class_nll(names: tuple[str, str], logits: Array, labels: Array) -> Float[Array, " batch"]:
    """Return −log softmax(logits)[labels]; `names` are those of the two arguments."""
    if jnp.ndim(logits) != 2:
        raise ValueError(f"{names[0]} must hold one row of logits per example, [B, C]; got shape {jnp.shape(logits)}.")
    check_examples(**{names[0]: logits})
    check_labels(labels, len(logits), names[1])
    return categorical_nll(logits, labels)
