"""Relativistic losses: a base loss applied to how much more real one side is than the other."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from genloss_jax import _parts as parts
from genloss_jax.losses.adversarial._head import AdversarialLoss, Logits, make_loss

_Head = Callable[[Array, Array], Array]

_NAME = "this relativistic loss"


def _paired(base: _Head, real_logits: Logits, fake_logits: Logits) -> Logits:
    margins = real_logits - fake_logits
    return 0.5 * base(margins, -margins)


def _average(base: _Head, real_logits: Logits, fake_logits: Logits) -> Logits:
    return base(real_logits - parts.mean(fake_logits, _NAME), fake_logits - parts.mean(real_logits, _NAME))


def _centered(base: _Head, real_logits: Logits, fake_logits: Logits) -> Logits:
    center = 0.5 * (parts.mean(real_logits, _NAME) + parts.mean(fake_logits, _NAME))
    return base(real_logits - center, fake_logits - center)


def _all_pairs(base: _Head, real_logits: Logits, fake_logits: Logits) -> Logits:
    margins = real_logits[:, None] - parts.whole(fake_logits, _NAME)[None, :]
    flat = margins.reshape(-1)
    return 0.5 * jnp.mean(base(flat, -flat).reshape(margins.shape), axis=1)


_KINDS = {"paired": _paired, "average": _average, "centered": _centered, "all_pairs": _all_pairs}

RELATIVISTIC_KINDS = tuple(_KINDS)


def relativistic(base: AdversarialLoss, kind: str, *, zero_sum: bool = False) -> AdversarialLoss:
    """Builds the relativistic form of a base loss.

    With B the base's discriminator, the relativistic discriminator is

    - "paired": 1/2 B(real - fake, fake - real), example by example. Over `non_saturating`: softplus(-(real - fake)).
    - "average": B(real - mean fake, fake - mean real).
    - "centered": B(real - c, fake - c), c = (mean real + mean fake)/2.
    - "all_pairs": "paired", averaged over all pairs of a real and a fake example instead of B of them: the same
      expectation with less variance, in B² operations.

    The generator is the discriminator with the sides exchanged, D(fake, real), as in the authors' code; so only the
    base's discriminator enters, and `minimax` and `non_saturating` give the same loss. Published analyses are of
    another generator, the zero-sum -D(real, fake), which saturates: ask for it with `zero_sum`.

    "paired" has one term where "average" and "centered" have two: at equal logits the logistic losses are log 2 and
    2 log 2. A base must treat examples alone, and its targets be symmetric: over least squares use targets 1, -1, since
    real - fake cannot equal 1 when fake - real equals 0. Logits enter by differences, so their common offset is free.
    Over `non_saturating`, "paired" has the optimal critic log p/q + constant, and its loss there is
    log 2 - JSD(p⊗q, q⊗p).

    Args:
        base: a loss of single logits.
        kind: "paired", "average", "centered" or "all_pairs".
        zero_sum: whether the generator minimises minus the discriminator's loss.

    Returns:
        The pair of losses, in the base's unit.

    Raises:
        ValueError: the kind is unknown.

    References:
        Jolicoeur-Martineau 2019, "The relativistic discriminator", sections 4.1 (paired) and 4.2 (average);
        Jolicoeur-Martineau 2020, "On Relativistic f-Divergences" (centered, all pairs); Huang et al. 2024, "The GAN is
        dead; long live the GAN!" (the paired loss of R3GAN, with gradient penalties on both sides).
    """
    if kind not in _KINDS:
        raise ValueError(f"kind came as {kind!r}, expected one of {', '.join(_KINDS)}.")
    relate = _KINDS[kind]

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return relate(base.discriminator, real_logits, fake_logits)

    def generator(real_logits: Logits, fake_logits: Logits) -> Logits:
        if zero_sum:
            return -discriminator(real_logits, fake_logits)
        return discriminator(fake_logits, real_logits)

    return make_loss(discriminator, generator)


def _logistic_discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """softplus(fake - real), which is -log sigmoid(real - fake)."""
    return jax.nn.softplus(fake_logits - real_logits)


def _logistic_generator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """softplus(real - fake), the discriminator's with the sides exchanged."""
    return jax.nn.softplus(real_logits - fake_logits)


# What `relativistic` builds has two equal halves, which cost 6 % of a small network's step.
relativistic_paired = make_loss(_logistic_discriminator, _logistic_generator)
"""The loss of R3GAN: `relativistic` over `non_saturating`, kind "paired".

References:
    Huang et al. 2024, "The GAN is dead; long live the GAN!", section 2.
"""
