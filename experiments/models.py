"""The models that docs/scaling.md is about, as they would run on TPUs."""

import importlib
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments import estimate
from genloss_jax import data, training


class Model(NamedTuple):
    """One of them.

    Attributes:
        title: what it is.
        shape: of an example, where its data may not be here; else empty.
    """

    title: str
    shape: tuple[int, ...] = ()


# By config.
MODELS = {
    "dcgan_celeba64": Model("DCGAN at 64 pixels", (64, 64, 3)),
    "r3gan_digits": Model("R3GAN at 8 pixels"),
    "image_gpt": Model("GPT over 64 pixels"),
    "edm_digits": Model("denoising U-Net at 8 pixels"),
}


def load(name: str) -> tuple[ConfigDict, data.Dataset | None]:
    """Give the config of a model, and data that stand in for its own; None where its own are here."""
    config = importlib.import_module(f"configs.{name}").get_config()
    shape = MODELS[name].shape
    return config, estimate.stand_in(shape, config.data.name) if shape else None


def setup(name: str) -> training.Setup:
    """Set a model up."""
    config, dataset = load(name)
    return training.from_config(estimate.for_tpu(config), dataset)
