"""Cards of the family likelihood."""

from genloss_jax.losses.catalog._card import LossCard

CARDS: tuple[LossCard, ...] = ()
