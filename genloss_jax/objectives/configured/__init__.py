"""From a config to an objective: one builder for each family."""

from collections.abc import Callable, Mapping
from typing import Any

from genloss_jax import data
from genloss_jax._names import look_up
from genloss_jax.objectives.configured import (
    _adversarial_autoencoder,
    _autoregressive,
    _diffusion,
    _energy,
    _flow,
    _gan,
    _hvae,
    _vae,
    _vq_vae,
)
from genloss_jax.objectives.objective import Objective

Build = Callable[[Any, data.Dataset], tuple[Objective, Mapping[str, float | int]]]

FAMILIES: dict[str, Build] = {
    "adversarial_autoencoder": _adversarial_autoencoder.build,
    "autoregressive": _autoregressive.build,
    "diffusion": _diffusion.build,
    "energy": _energy.build,
    "flow": _flow.build,
    "gan": _gan.build,
    "hvae": _hvae.build,
    "vae": _vae.build,
    "vq_vae": _vq_vae.build,
}


def from_config(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float | int]]:
    """Build the objective that a config describes.

    Args:
        config: an experiment's config, see `configs/base.py`.
        dataset: what it is to be trained on.

    Returns:
        The objective, and the traced scalars that it reads from `hyper`.

    Raises:
        ValueError: if a name is unknown or the options do not fit each other or the data.
    """
    objective, hyper = look_up("family", config.family, FAMILIES)(config, dataset)
    return objective, dict(hyper)
