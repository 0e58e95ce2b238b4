"""One card per public loss: the single source for the docs, the contract tests, the command line and ablations."""

from genloss_jax._names import look_up
from genloss_jax.losses.catalog import (
    _adversarial,
    _contrastive,
    _diffusion,
    _divergences,
    _energy,
    _flows,
    _likelihood,
    _penalties,
    _variational,
)
from genloss_jax.losses.catalog._card import Example as Example
from genloss_jax.losses.catalog._card import LossCard as LossCard

_CARDS = (
    *_adversarial.CARDS,
    *_penalties.CARDS,
    *_likelihood.CARDS,
    *_variational.CARDS,
    *_flows.CARDS,
    *_energy.CARDS,
    *_diffusion.CARDS,
    *_contrastive.CARDS,
    *_divergences.CARDS,
)


def cards() -> tuple[LossCard, ...]:
    """Return the cards of all public losses, family by family."""
    return _CARDS


def card(name: str) -> LossCard:
    """Return one loss's card.

    Args:
        name: a loss's public name, such as "hinge" or "r1_penalty".

    Returns:
        Its card.

    Raises:
        ValueError: if there is no such loss; names the nearest one.
    """
    return look_up("loss", name, {card.name: card for card in _CARDS})
