"""Cards of the family variational."""

from genloss_jax.losses.catalog._card import LossCard

CARDS: tuple[LossCard, ...] = ()
