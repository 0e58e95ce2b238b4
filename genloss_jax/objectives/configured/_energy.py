"""From a config to an energy-based model."""

import math
from functools import partial
from typing import Any

import numpy as np

from genloss_jax import data, networks, samplers
from genloss_jax._names import look_up
from genloss_jax.objectives.energy import (
    Base,
    Chains,
    Method,
    Persistence,
    contrastive_divergence,
    denoising,
    energy,
    fit_base,
    joint,
    noise_contrastive,
)
from genloss_jax.objectives.objective import Objective

_MEASURED = 10_000  # examples that the base is fitted to


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float]]:
    """Build an energy-based model; see `objectives.from_config`."""
    own = config.energy
    build_method, build_network = look_up("energy method", own.method, _METHODS)
    look_up("normalization of an energy", config.networks.normalization, dict.fromkeys(("none", "group")))
    if config.networks.minibatch_stddev:
        raise ValueError("networks.minibatch_stddev must be off, because an energy is that of one example")
    if dataset.num_levels and not own.data_noise:
        raise ValueError(
            f"energy.data_noise must be above 0, because {dataset.name!r} lies on {dataset.num_levels} levels"
        )
    examples = dataset.train.read(np.arange(min(len(dataset.train), _MEASURED)))["x"]
    method = build_method(own, dataset, fit_base(np.asarray(examples), noise=own.data_noise))
    network = build_network(config.networks, dataset)
    objective = energy(network, method, data_noise=own.data_noise, num_points=own.num_points)
    if dataset.num_levels:
        # A density of noised numbers says nothing of the levels' probabilities.
        objective = objective._replace(log_prob=None)
    return objective, {name: own[name] for name in method.hyper}


def _contrastive_divergence(own: Any, dataset: data.Dataset, base: Base) -> Method:
    return contrastive_divergence(base, _chains(own), _persistence(own))


def _noise_contrastive(own: Any, dataset: data.Dataset, base: Base) -> Method:
    return noise_contrastive(base, _chains(own), num_noise=own.num_noise)


def _denoising(own: Any, dataset: data.Dataset, base: Base) -> Method:
    return denoising(
        base,
        sigma_min=own.sigma_min,
        sigma_max=own.sigma_max,
        num_levels=own.num_levels,
        step_size=own.step_size,
        num_steps=own.num_sampling_steps,
    )


def _joint(own: Any, dataset: data.Dataset, base: Base) -> Method:
    if not dataset.num_classes:
        raise ValueError(f"energy.method 'joint' needs labels, which the dataset {dataset.name!r} does not have")
    return joint(base, _chains(own), _persistence(own), num_classes=dataset.num_classes)


def _chains(own: Any) -> Chains:
    return Chains(look_up("sampler", own.sampler, _TRANSITIONS)(own), own.num_sampling_steps)


def _persistence(own: Any) -> Persistence:
    return Persistence(own.buffer_size, own.num_steps, own.reinitialise)


_TRANSITIONS = {
    "langevin": lambda own: partial(samplers.langevin, step_size=own.step_size),
    "mala": lambda own: partial(samplers.mala, step_size=own.step_size),
    "hmc": lambda own: partial(
        samplers.hmc, step_size=math.sqrt(own.step_size), num_leapfrog_steps=own.num_leapfrog_steps
    ),
}


def _critic(config: Any, dataset: data.Dataset) -> networks.Network:
    return networks.critic(config, shape=dataset.shape)


def _denoiser(config: Any, dataset: data.Dataset) -> networks.Network:
    return networks.denoiser(config, shape=dataset.shape)


def _classifier(config: Any, dataset: data.Dataset) -> networks.Network:
    return networks.classifier(config, shape=dataset.shape, num_classes=dataset.num_classes)


# name -> (what learns, the network that it takes)
_METHODS = {
    "contrastive_divergence": (_contrastive_divergence, _critic),
    "noise_contrastive": (_noise_contrastive, _critic),
    "denoising": (_denoising, _denoiser),
    "joint": (_joint, _classifier),
}
