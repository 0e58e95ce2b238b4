"""Cards of the family flows."""

from genloss_jax.losses.catalog._card import LossCard

CARDS: tuple[LossCard, ...] = ()
