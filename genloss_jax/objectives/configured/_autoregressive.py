"""From a config to an autoregressive model."""

from typing import Any

from genloss_jax import data
from genloss_jax.networks import autoregressive as networks
from genloss_jax.objectives.autoregressive import autoregressive
from genloss_jax.objectives.objective import Objective


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build an autoregressive model; see `objectives.from_config`."""
    if not dataset.num_levels:
        raise ValueError(f"data {dataset.name!r} must be discrete for the family 'autoregressive', but is continuous")
    shape, num_levels = dataset.shape, dataset.num_levels
    network = networks.network(config.autoregressive, config.networks, shape=shape, num_levels=num_levels)
    temperature = config.autoregressive.temperature
    return autoregressive(network, shape=shape, num_levels=num_levels, temperature=temperature), {}
