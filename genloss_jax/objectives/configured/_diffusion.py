"""From a config to denoising diffusion or flow matching."""

from typing import Any

import numpy as np

from genloss_jax import data, networks
from genloss_jax._names import look_up
from genloss_jax.objectives.diffusion import Process, ddpm, diffusion, edm, flow_matching
from genloss_jax.objectives.objective import Objective

_MEASURED = 10_000  # examples that tell the scale of the data


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build denoising diffusion or flow matching; see `objectives.from_config`."""
    own = config.diffusion
    process = look_up("process", own.process, _PROCESSES)(own, dataset)
    objective = diffusion(
        networks.denoiser(config.networks, shape=dataset.shape),
        process,
        shape=dataset.shape,
        sampler=own.sampler,
        num_steps=own.num_steps,
        num_likelihood_steps=own.num_likelihood_steps,
    )
    if dataset.num_levels:
        # A density of numbers that lie on levels says nothing of the levels' probabilities.
        objective = objective._replace(log_prob=None)
    return objective, {name: own[name] for name in process.hyper}


def _flow_matching(own: Any, dataset: data.Dataset) -> Process:
    return flow_matching(own.path, own.coupling)


def _ddpm(own: Any, dataset: data.Dataset) -> Process:
    return ddpm(own.prediction, own.min_snr)


def _edm(own: Any, dataset: data.Dataset) -> Process:
    examples = dataset.train.read(np.arange(min(len(dataset.train), _MEASURED)))["x"]
    return edm(own.sigma_data or float(np.std(examples)), own.sigma_min, own.sigma_max)


_PROCESSES = {"flow_matching": _flow_matching, "ddpm": _ddpm, "edm": _edm}
