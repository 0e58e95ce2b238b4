"""From a config to a variational autoencoder."""

from typing import Any

from genloss_jax import data, networks
from genloss_jax.objectives.objective import Objective
from genloss_jax.objectives.observation import of_levels
from genloss_jax.objectives.vae import BOUNDS, vae


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build a variational autoencoder; see `objectives.from_config`."""
    own = config.vae
    observation = of_levels(dataset.num_levels)
    encoder, decoder = networks.autoencoder(
        config.networks, shape=dataset.shape, latent_dim=config.latent.dim, num_outputs=observation.num_outputs
    )
    objective = vae(
        encoder,
        decoder,
        latent_dim=config.latent.dim,
        observation=observation,
        bound=own.bound,
        num_samples=own.num_samples,
        num_evaluation_samples=own.num_evaluation_samples,
        noisy_samples=own.noisy_samples,
    )
    return objective, {name: own[name] for name in BOUNDS[own.bound].hyper}
