"""Cards of the family diffusion."""

from genloss_jax.losses.catalog._card import LossCard

CARDS: tuple[LossCard, ...] = ()
