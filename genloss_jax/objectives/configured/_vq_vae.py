"""From a config to a vector-quantised autoencoder with a prior over its codes."""

from typing import Any

from genloss_jax import data, networks
from genloss_jax.networks import autoregressive
from genloss_jax.objectives.objective import Objective
from genloss_jax.objectives.observation import of_levels
from genloss_jax.objectives.vq_vae import Codes, vq_vae


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build a vector-quantised autoencoder; see `objectives.from_config`."""
    own = config.vq_vae
    observation = of_levels(dataset.num_levels)
    encoder, decoder = networks.autoencoder(
        config.networks,
        shape=dataset.shape,
        latent_dim=own.num_positions * own.code_dim,
        num_outputs=observation.num_outputs,
        outputs_per_latent=1,
    )
    codes = Codes((own.num_positions,), own.num_codes, own.code_dim)
    # Its codes have no places in the plane: the encoder sees the example as a whole.
    prior = networks.NetworkConfig(
        name="image_gpt", width=own.prior_width, depth=own.prior_depth, precision=config.networks.precision
    )
    objective = vq_vae(
        encoder,
        decoder,
        autoregressive.network(config.autoregressive, prior, shape=codes.shape, num_levels=codes.num),
        codes=codes,
        observation=observation,
        temperature=config.autoregressive.temperature,
        noisy_samples=own.noisy_samples,
    )
    return objective, {name: own[name] for name in ("commitment_weight", "codebook_decay")}
