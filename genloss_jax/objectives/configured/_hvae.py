"""From a config to a variational autoencoder with two levels of latents."""

from typing import Any

from genloss_jax import data, networks
from genloss_jax.objectives.hvae import hvae
from genloss_jax.objectives.objective import Objective
from genloss_jax.objectives.observation import of_levels
from genloss_jax.objectives.vae import BOUNDS


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build a variational autoencoder with two levels of latents; see `objectives.from_config`."""
    own = config.vae
    observation = of_levels(dataset.num_levels)
    latent_dims = (config.latent.dim, config.latent.top_dim)
    # The encoder speaks of both levels at once; the decoder takes the lower one, whatever its length.
    encoder, decoder = networks.autoencoder(
        config.networks, shape=dataset.shape, latent_dim=sum(latent_dims), num_outputs=observation.num_outputs
    )
    top = networks.MLP((config.networks.width,) * config.networks.depth, 2 * latent_dims[0])
    objective = hvae(
        encoder,
        networks.from_linen(top, config.networks.precision),
        decoder,
        latent_dims=latent_dims,
        observation=observation,
        bound=own.bound,
        num_samples=own.num_samples,
        num_evaluation_samples=own.num_evaluation_samples,
        noisy_samples=own.noisy_samples,
    )
    return objective, {name: own[name] for name in BOUNDS[own.bound].hyper}
