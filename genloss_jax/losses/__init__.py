"""Losses of generative models: pure functions of arrays. Lower is better, in nats, one value per example."""

from genloss_jax.losses import adversarial as adversarial
from genloss_jax.losses import catalog as catalog
from genloss_jax.losses import contrastive as contrastive
from genloss_jax.losses import diffusion as diffusion
from genloss_jax.losses import divergences as divergences
from genloss_jax.losses import energy as energy
from genloss_jax.losses import flows as flows
from genloss_jax.losses import likelihood as likelihood
from genloss_jax.losses import penalties as penalties
from genloss_jax.losses import variational as variational
