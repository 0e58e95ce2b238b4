"""From a config to denoising diffusion or flow matching."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from genloss_jax import data, networks
from genloss_jax._names import look_up
from genloss_jax.objectives.diffusion import (
    Process,
    consistency,
    ddpm,
    diffusion,
    edm,
    flow_matching,
    mean_flow,
    rectified_flow,
    vdm,
)
from genloss_jax.objectives.objective import Objective

_REFLOW = "rectified_flow"  # two flows, and so no process
_MEASURED = 10_000  # examples that tell the scale of the data


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build denoising diffusion, flow matching, or a model that leaps; see `objectives.from_config`."""
    own = config.diffusion
    network = networks.denoiser(config.networks, shape=dataset.shape)
    options = {
        "shape": dataset.shape,
        "sampler": own.sampler,
        "num_steps": own.num_steps,
        "num_likelihood_steps": own.num_likelihood_steps,
    }
    look_up("process", own.process, dict.fromkeys((*_PROCESSES, _REFLOW)))
    if own.process == _REFLOW:
        objective, hyper = rectified_flow(network, num_pair_steps=own.num_pair_steps, **options), {}
    else:
        process = _PROCESSES[own.process](own, dataset)
        objective, hyper = diffusion(network, process, **options), {name: own[name] for name in process.hyper}
    if dataset.num_levels and objective.log_prob_kind != "lower bound":
        # The bound is one of the levels' probabilities; a density of numbers on levels says nothing of those.
        objective = objective._replace(log_prob=None)
    return objective, hyper


def _flow_matching(own: Any, dataset: data.Dataset) -> Process:
    return flow_matching(own.path, own.coupling)


def _ddpm(own: Any, dataset: data.Dataset) -> Process:
    return ddpm(own.prediction, own.min_snr)


def _edm(own: Any, dataset: data.Dataset) -> Process:
    return edm(_sigma_data(own, dataset), own.sigma_min, own.sigma_max)


def _vdm(own: Any, dataset: data.Dataset) -> Process:
    values = jnp.linspace(-1.0, 1.0, dataset.num_levels) if dataset.num_levels else None
    return vdm(
        values,
        log_snr_max=own.log_snr_max,
        log_snr_min=own.log_snr_min,
        num_bound_samples=own.num_likelihood_steps,
    )


def _consistency(own: Any, dataset: data.Dataset) -> Process:
    sigma_data = _sigma_data(own, dataset)
    return consistency(sigma_data, own.sigma_min, own.sigma_max, num_intervals=own.num_intervals)


def _mean_flow(own: Any, dataset: data.Dataset) -> Process:
    return mean_flow(own.path, instant_share=own.instant_share)


def _sigma_data(own, dataset):
    examples = dataset.train.read(np.arange(min(len(dataset.train), _MEASURED)))["x"]
    return own.sigma_data or float(np.std(examples))


_PROCESSES = {
    "flow_matching": _flow_matching,
    "ddpm": _ddpm,
    "edm": _edm,
    "vdm": _vdm,
    "consistency": _consistency,
    "mean_flow": _mean_flow,
}
