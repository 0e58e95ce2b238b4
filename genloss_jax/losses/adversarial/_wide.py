"""Losses of critics with several outputs per example: realness distributions and classes."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from genloss_jax.losses.adversarial._head import AdversarialLoss, make_loss

_Wide = Float[Array, "batch outcomes"]
_PerExample = Float[Array, " batch"]


def realness(real_anchor: Iterable[float], fake_anchor: Iterable[float]) -> AdversarialLoss:
    """Builds RealnessGAN: the critic gives a distribution over outcomes of realness, one anchor per side is its target.

    With D = softmax(logits) over the last axis: discriminator KL(real_anchor ‖ D(real)) + KL(fake_anchor ‖ D(fake)),
    generator KL(real_anchor ‖ D(fake)) - KL(fake_anchor ‖ D(fake)).

    The optimal critic is the mixture (p real_anchor + q fake_anchor)/(p + q), and the critic's loss there twice the
    information that the outcome of an example keeps about its side: Σ_x (p + q) JSD_w(real_anchor, fake_anchor), with
    weights w = p/(p + q). With one-hot anchors (0, 1) and (1, 0) it is `minimax`'s critic on the difference of the two
    logits.

    Args:
        real_anchor: probabilities of the A outcomes for real examples, concrete and summing to 1.
        fake_anchor: probabilities of the A outcomes for fake examples.

    Returns:
        The pair of losses on logits `[batch, A]`, in nats.

    Raises:
        ValueError: the anchors are not two distributions over the same outcomes, or the logits have another width.

    References:
        Xiangli et al. 2020, "Real or Not Real, that is the Question", section 3: the objective of the critic, and the
        objective of the generator with both anchors.
    """
    # Python numbers: building a loss, which importing this module does, must not start a device.
    real_anchor, fake_anchor = tuple(map(float, real_anchor)), tuple(map(float, fake_anchor))
    for name, anchor in (("real_anchor", real_anchor), ("fake_anchor", fake_anchor)):
        if min(anchor, default=-1.0) < 0.0 or abs(sum(anchor) - 1.0) > 1e-4:
            raise ValueError(f"{name} came as {anchor}, expected probabilities that sum to 1.")
    if len(real_anchor) != len(fake_anchor):
        raise ValueError(
            f"fake_anchor came with {len(fake_anchor)} outcomes, expected {len(real_anchor)} as real_anchor."
        )

    def kl_from(anchor: tuple[float, ...], logits: _Wide) -> _PerExample:
        if logits.shape[-1] != len(anchor):
            raise ValueError(
                f"The logits came with {logits.shape[-1]} outcomes, expected {len(anchor)} as the anchors have."
            )
        target = jnp.asarray(anchor, logits.dtype)
        negative_entropy = jnp.sum(xlogy(target, target))
        return negative_entropy - jax.nn.log_softmax(logits) @ target

    def discriminator(real_logits: _Wide, fake_logits: _Wide) -> _PerExample:
        return kl_from(real_anchor, real_logits) + kl_from(fake_anchor, fake_logits)

    def generator(real_logits: _Wide, fake_logits: _Wide) -> _PerExample:
        return kl_from(real_anchor, fake_logits) - kl_from(fake_anchor, fake_logits)

    return make_loss(discriminator, generator, rank=2)


def multi_hinge(real_labels: ArrayLike | None = None, fake_labels: ArrayLike | None = None) -> AdversarialLoss:
    """Builds the multi-class hinge loss of a critic with one output per class and a last one for "fake".

    With the margin M_y = s_y - max_{k ≠ y} s_k of the outputs s: discriminator relu(1 - M_label(real)) +
    relu(1 - M_fake(fake)), generator relu(1 - M_label(fake)).

    The margin is Crammer and Singer's. With one class and outputs (a, b) the critic's loss is `hinge` of a - b, so that
    the least value is 2 - 2 TV(p, q) as there; the generator keeps its relu.

    Args:
        real_labels: classes of the real examples, integers `[batch]` in [0, A - 1); class 0 for all if left out.
        fake_labels: classes that the fake examples were drawn for, likewise.

    Returns:
        The pair of losses on logits `[batch, A]`, in critic units.

    Raises:
        ValueError: the labels are not integers `[batch]`, or the critic has fewer than two outputs.

    References:
        Kavalerov, Czaja and Chellappa 2021, "A Multi-Class Hinge Loss for Conditional GANs"; Crammer and Singer 2001.
    """

    def one_hot(name: str, labels: ArrayLike | None, logits: _Wide) -> Bool[Array, "batch outcomes"]:
        batch, outcomes = logits.shape
        if outcomes < 2:
            raise ValueError(f"real_logits and fake_logits came with {outcomes} outputs, expected at least 2.")
        labels = jnp.zeros(batch, int) if labels is None else jnp.asarray(labels)
        if labels.shape != (batch,) or not jnp.issubdtype(labels.dtype, jnp.integer):
            raise ValueError(
                f"{name} came as {labels.dtype} of shape {labels.shape}, expected integers of shape ({batch},)."
            )
        return labels[:, None] == jnp.arange(outcomes)[None, :]

    def hinge_of_margin(logits: _Wide, is_target: Bool[Array, "batch outcomes"]) -> _PerExample:
        target = jnp.sum(jnp.where(is_target, logits, 0.0), axis=-1)
        rival = jnp.max(jnp.where(is_target, -jnp.inf, logits), axis=-1)
        return jax.nn.relu(1.0 - (target - rival))

    def discriminator(real_logits: _Wide, fake_logits: _Wide) -> _PerExample:
        batch, outcomes = fake_logits.shape
        is_fake = one_hot("fake class", jnp.full(batch, outcomes - 1), fake_logits)
        return hinge_of_margin(real_logits, one_hot("real_labels", real_labels, real_logits)) + hinge_of_margin(
            fake_logits, is_fake
        )

    def generator(real_logits: _Wide, fake_logits: _Wide) -> _PerExample:
        return hinge_of_margin(fake_logits, one_hot("fake_labels", fake_labels, fake_logits))

    return make_loss(discriminator, generator, rank=2)
