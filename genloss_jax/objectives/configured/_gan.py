"""From a config to a GAN."""

from functools import partial
from typing import Any

from genloss_jax import data, networks
from genloss_jax._names import look_up
from genloss_jax.objectives.configured import _head
from genloss_jax.objectives.gan import Inputs, Penalty, gan
from genloss_jax.objectives.gan_penalties import (
    DISCRIMINATOR_PENALTIES,
    GENERATOR_PENALTIES,
    SWITCHED,
    balanced_consistency,
    named,
    switched,
)
from genloss_jax.objectives.objective import Objective


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float | int]]:
    """Build a GAN; see `objectives.from_config`."""
    if config.networks.conditional and not dataset.num_classes:
        raise ValueError(f"networks.conditional needs labels, which the dataset {dataset.name!r} does not have")
    num_classes = dataset.num_classes if config.networks.conditional else 0
    generator, discriminator = networks.pair(
        config.networks,
        shape=dataset.shape,
        latent_dim=config.latent.dim,
        num_classes=num_classes,
        pack=config.inputs.pack,
    )
    loss, hyper = _head.named(config.loss)
    inputs, input_hyper = _inputs(config.inputs, dataset, config.data.batch_size)
    penalties = named("penalty", config.penalty, _discriminator_penalties(config.inputs, dataset), switched)
    generator_penalties = named("generator penalty", config.generator_penalty, GENERATOR_PENALTIES)
    hyper |= input_hyper
    hyper |= {f"{name}_weight": config.penalty.weight for name in penalties}
    if SWITCHED in penalties:
        hyper[f"{SWITCHED}_index"] = 0
    hyper |= {f"{name}_weight": config.generator_penalty.weight for name in generator_penalties}
    top_k = config.top_k < 1.0 or config.schedule.anneal.top_k.shape != "none"
    if top_k:
        hyper["top_k"] = config.top_k
    objective = gan(
        generator,
        discriminator,
        loss=loss,
        latent_dim=config.latent.dim,
        latent=config.latent.distribution,
        penalties=penalties,
        generator_penalties=generator_penalties,
        inputs=inputs,
        top_k=top_k,
        num_classes=num_classes,
    )
    return objective, hyper


def _inputs(config: Any, dataset: data.Dataset, batch_size: int) -> tuple[Inputs, dict[str, float]]:
    """Choose what stands between examples and the critic."""
    policy = _policy(config.augment, dataset)
    hyper = {}
    adapt = None
    if config.instance_noise:
        hyper["instance_noise"] = config.instance_noise
    if policy and config.augment_target:
        speed = batch_size / config.augment_images
        adapt = partial(data.augment.update_probability, target=config.augment_target, speed=speed)
    elif policy:
        hyper["augment_probability"] = config.augment_probability
    augment = partial(_augment, policy) if policy else None
    return Inputs(noise=bool(config.instance_noise), augment=augment, adapt=adapt, pack=config.pack), hyper


def _policy(names: str, dataset: data.Dataset) -> tuple[str, ...]:
    policy = tuple(name for name in names.split("+") if name)
    if policy and len(dataset.shape) != 3:
        raise ValueError(
            f"inputs.augment {names!r} is for images, but an example of {dataset.name!r} has shape {dataset.shape}"
        )
    for name in policy:
        look_up("augmentation", name, dict.fromkeys(data.augment.policies()))
    return policy


def _augment(policy, key, images, probability):
    return data.augment.augment(key, images, policy, probability)


def _discriminator_penalties(config: Any, dataset: data.Dataset) -> dict[str, Penalty]:
    if len(dataset.shape) != 3:
        return DISCRIMINATOR_PENALTIES
    consistency = partial(_augment, _policy(config.consistency, dataset), probability=1.0)
    return {**DISCRIMINATOR_PENALTIES, "balanced_consistency": balanced_consistency(consistency)}
