"""Autoencoders that a game, or a kernel, holds to the prior or to the data."""

from genloss_jax.objectives.adversarial_autoencoder._introspective import soft_intro_vae as soft_intro_vae
from genloss_jax.objectives.adversarial_autoencoder._latents import aae as aae
from genloss_jax.objectives.adversarial_autoencoder._latents import wae_mmd as wae_mmd
from genloss_jax.objectives.adversarial_autoencoder._pairs import ali as ali
from genloss_jax.objectives.adversarial_autoencoder._vae_gan import vae_gan as vae_gan
