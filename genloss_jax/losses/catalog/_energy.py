"""Cards of the family energy."""

from genloss_jax.losses.catalog._card import LossCard

CARDS: tuple[LossCard, ...] = ()
