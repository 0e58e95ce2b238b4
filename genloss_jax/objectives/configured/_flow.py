"""From a config to a normalizing flow."""

from typing import Any

from genloss_jax import data
from genloss_jax.networks import flows
from genloss_jax.objectives.flow import flow
from genloss_jax.objectives.objective import Objective


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build a normalizing flow; see `objectives.from_config`."""
    bijection = flows.flow(config.flow, config.networks, shape=dataset.shape)
    return flow(bijection, shape=dataset.shape, num_levels=dataset.num_levels), {}
