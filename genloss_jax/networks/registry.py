"""Generators and critics by name, from one small config."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genloss_jax._names import look_up
from genloss_jax.networks import convolution, normalization
from genloss_jax.networks.adapters import from_linen
from genloss_jax.networks.dcgan import DCGANCritic, DCGANGenerator
from genloss_jax.networks.layers import ACTIVATIONS, IMAGE_SIZES
from genloss_jax.networks.linear import LinearCritic, LinearGenerator
from genloss_jax.networks.mlp import MLPCritic, MLPGenerator
from genloss_jax.networks.network import Network
from genloss_jax.networks.r3gan import R3GANCritic, R3GANGenerator
from genloss_jax.networks.resnet import ResNetCritic, ResNetGenerator


class NetworkConfig(NamedTuple):
    """What a network is; anything with these attributes will do.

    Attributes:
        name: "mlp", "dcgan", "resnet", "r3gan", or "linear" for the smallest games.
        width: hidden units, or channels as the architecture counts them.
        depth: hidden layers of a multilayer perceptron; other architectures ignore it.
        normalization: "batch", "group" or "none"; r3gan and linear have none.
        spectral_norm: of the critic's kernels.
        minibatch_stddev: append it to the critic's last features.
        convolution: "auto", "native" or "patches".
        activation: a name of `layers.ACTIVATIONS`, or "default" for the architecture's own.
        precision: of what it computes, "float32" or "bfloat16"; see `in_precision`.
    """

    name: str = "mlp"
    width: int = 64
    depth: int = 3
    normalization: str = "none"
    spectral_norm: bool = False
    minibatch_stddev: bool = False
    convolution: str = "auto"
    activation: str = "default"
    precision: str = "float32"


class Architecture(NamedTuple):
    """A row of the table: two builders, the activations they default to, and what they make.

    Attributes:
        generator: `(config, shape, **options) -> module`.
        critic: `(config, **options) -> module`; options go before the config's fields.
        activations: of the generator and of the critic.
        images_only: whether other shapes are refused.
        bounded: whether the generator of images ends in tanh, unless it is told `bounded=False`.
    """

    generator: Callable[..., nn.Module]
    critic: Callable[..., nn.Module]
    activations: tuple[str, str]
    images_only: bool
    bounded: bool


def _image(generator, critic, activations, *, normalizes=True, bounded=True):
    """Make a row of an image architecture from its two modules."""

    def options(config):
        shared = {"width": config.width, "implementation": config.convolution}
        return {**shared, "normalization": config.normalization} if normalizes else shared

    def build_generator(config, shape, **kwargs):
        return generator(size=shape[0], channels=shape[-1], **options(config), **kwargs)

    def build_critic(config, **kwargs):
        return critic(**options(config), **_critic_options(config, kwargs))

    return Architecture(build_generator, build_critic, activations, True, bounded)


def _mlp_generator(config, shape, *, bounded=True, **kwargs):
    # Images lie in [-1, 1]; points know no bounds.
    options = {"normalization": config.normalization, "bounded": bounded and len(shape) == 3, **kwargs}
    return MLPGenerator((config.width,) * config.depth, shape, **options)


def _mlp_critic(config, **kwargs):
    options = _critic_options(config, kwargs)
    return MLPCritic((config.width,) * config.depth, normalization=config.normalization, **options)


def _linear_generator(config, shape, **kwargs):
    _refuse_options(config, kwargs)
    return LinearGenerator(shape)


def _linear_critic(config, **kwargs):
    _refuse_options(config, _critic_options(config, kwargs))
    return LinearCritic()


def _refuse_options(config, given):
    # An activation is of hidden layers, of which a linear network has none.
    wanted = [name for name, value in given.items() if value and name != "activation"]
    if wanted:
        raise ValueError(f"networks of the name {config.name!r} have no {', '.join(wanted)}")


def _critic_options(config, given):
    return {"spectral_norm": config.spectral_norm, "minibatch_stddev": config.minibatch_stddev, **given}


ARCHITECTURES: dict[str, Architecture] = {
    "linear": Architecture(_linear_generator, _linear_critic, ("relu", "relu"), False, False),
    "mlp": Architecture(_mlp_generator, _mlp_critic, ("relu", "leaky_relu"), False, True),
    "dcgan": _image(DCGANGenerator, DCGANCritic, ("relu", "leaky_relu")),
    "resnet": _image(ResNetGenerator, ResNetCritic, ("relu", "relu")),
    "r3gan": _image(R3GANGenerator, R3GANCritic, ("leaky_relu", "leaky_relu"), normalizes=False, bounded=False),
}


def generator(config: Any, *, shape: tuple[int, ...], num_classes: int | None = None) -> Network:
    """Build a generator: `apply(params, state, latents[, labels], train=) -> [B, *shape]`.

    Args:
        config: a `NetworkConfig` or anything with its attributes.
        shape: of one example: `(D,)` or `(H, W, C)`.
        num_classes: None or 0 for an unconditional generator, whose `apply` takes no labels.

    Returns:
        The network.

    Raises:
        ValueError: for an unknown name or option, or a shape that the architecture does not make.
    """
    row = _row(config, shape)
    activation = _activation(config, row.activations[0])
    module = row.generator(config, tuple(shape), num_classes=num_classes or None, activation=activation)
    return from_linen(module, config.precision)


def decoder(config: Any, *, shape: tuple[int, ...], num_outputs: int) -> Network:
    """Build a generator without bounds: `apply(params, state, latents, train=) -> [B, *shape, num_outputs]`.

    Args:
        config: a `NetworkConfig` or anything with its attributes.
        shape: of one example: `(D,)` or `(H, W, C)`.
        num_outputs: numbers for each number of an example, on a last axis.

    Returns:
        The network.

    Raises:
        ValueError: as `generator`.
    """
    row = _row(config, shape)
    options = {"activation": _activation(config, row.activations[0])} | ({"bounded": False} if row.bounded else {})
    flat = from_linen(row.generator(config, (*shape[:-1], shape[-1] * num_outputs), **options), config.precision)

    def apply(params, state, latents, *, train=False, key=None):
        outputs, state = flat.apply(params, state, latents, train=train, key=key)
        return outputs.reshape(-1, *shape, num_outputs), state

    return Network(flat.init, apply)


def encoder(config: Any, *, shape: tuple[int, ...], num_outputs: int) -> Network:
    """Build the body of a critic with more outputs: `apply(params, state, examples, train=) -> [B, num_outputs]`.

    What a config asks of critics alone, spectral normalisation and the minibatch's deviation, is left out.

    Args:
        config: a `NetworkConfig` or anything with its attributes.
        shape: of one example: `(D,)` or `(H, W, C)`.
        num_outputs: length of the code.

    Returns:
        The network.

    Raises:
        ValueError: as `critic`.
    """
    row = _row(config, shape)
    activation = _activation(config, row.activations[1])
    module = row.critic(
        config, num_outputs=num_outputs, activation=activation, spectral_norm=False, minibatch_stddev=False
    )
    return from_linen(module, config.precision)


def critic(
    config: Any,
    *,
    shape: tuple[int, ...],
    num_classes: int | None = None,
    pack: int = 1,
    num_outputs: int | None = None,
) -> Network:
    """Build a critic: `apply(params, state, examples[, labels], train=) -> [B]` logits.

    Args:
        config: a `NetworkConfig` or anything with its attributes.
        shape: of one example, before packing.
        num_classes: None or 0 for an unconditional critic; otherwise a projection critic.
        pack: examples side by side on the last axis of one input (PacGAN).
        num_outputs: None for logits `[B]`; otherwise outputs `[B, num_outputs]`.

    Returns:
        The network. It refuses inputs of another shape than `shape` with `pack` times its last length.

    Raises:
        ValueError: for an unknown name or option, or a shape that the architecture does not take.
    """
    row = _row(config, shape)
    if pack < 1:
        raise ValueError(f"pack must be at least 1, got {pack}")
    activation = _activation(config, row.activations[1])
    module = row.critic(config, num_classes=num_classes or None, activation=activation, num_outputs=num_outputs)
    network = from_linen(module, config.precision)
    expected = (*shape[:-1], pack * shape[-1])

    def check(examples):
        if examples.shape[1:] != expected:
            raise ValueError(f"examples of the critic must have shape [B, {expected}], got {examples.shape}")

    def init(key, examples, *labels):
        check(examples)
        return network.init(key, examples, *labels)

    def apply(params, state, examples, *labels, train=False, key=None):
        check(examples)
        return network.apply(params, state, examples, *labels, train=train, key=key)

    return Network(init, apply)


def classifier(config: Any, *, shape: tuple[int, ...], num_classes: int) -> Network:
    """Build a classifier: `apply(params, state, examples, train=) -> [B, num_classes]` logits.

    It is the projection critic, asked for all labels at once: what does not depend on the label is computed once.

    Args:
        config: a `NetworkConfig` or anything with its attributes.
        shape: of one example.
        num_classes: at least 2.

    Returns:
        The network. It refuses inputs of another shape than `shape`.

    Raises:
        ValueError: for an unknown name or option, a shape that the architecture does not take, or too few classes.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes of a classifier must be at least 2, got {num_classes}")
    network = critic(config, shape=shape, num_classes=num_classes)

    def init(key, examples):
        return network.init(key, examples, jnp.zeros(examples.shape[:1], jnp.int32))

    def apply(params, state, examples, *, train=False, key=None):
        def logits_of(label):
            labels = jnp.full(examples.shape[:1], label)
            return network.apply(params, state, examples, labels, train=train, key=key)

        return jax.vmap(logits_of, out_axes=(1, None))(jnp.arange(num_classes))

    return Network(init, apply)


def pair(
    config: Any, *, shape: tuple[int, ...], latent_dim: int, num_classes: int | None = None, pack: int = 1
) -> tuple[Network, Network]:
    """Build a generator and the critic that it plays against.

    Args:
        config: a `NetworkConfig` or anything with its attributes.
        shape: of one example: `(D,)` or `(H, W, C)`.
        latent_dim: length of the latents.
        num_classes: None or 0 for an unconditional pair.
        pack: examples side by side on the last axis of one critic input.

    Returns:
        (generator, critic). The generator refuses latents of another length than `latent_dim`.

    Raises:
        ValueError: for an unknown name or option, or a shape that the architecture does not support.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
    network = generator(config, shape=shape, num_classes=num_classes)

    def check(latents):
        if latents.ndim != 2 or latents.shape[-1] != latent_dim:
            raise ValueError(f"latents must have shape [B, {latent_dim}], got {latents.shape}")

    def init(key, latents, *labels):
        check(latents)
        return network.init(key, latents, *labels)

    def apply(params, state, latents, *labels, train=False, key=None):
        check(latents)
        return network.apply(params, state, latents, *labels, train=train, key=key)

    return Network(init, apply), critic(config, shape=shape, num_classes=num_classes, pack=pack)


def _activation(config, default):
    return default if config.activation == "default" else config.activation


def _row(config, shape):
    row = look_up("network", config.name, ARCHITECTURES)
    look_up("normalization", config.normalization, dict.fromkeys(normalization.NORMALIZATIONS))
    look_up("convolution", config.convolution, dict.fromkeys(convolution.IMPLEMENTATIONS))
    look_up("activation", config.activation, dict.fromkeys(("default", *ACTIVATIONS)))
    if row.images_only and (len(shape) != 3 or shape[0] != shape[1] or shape[0] not in IMAGE_SIZES):
        sizes = ", ".join(f"({size}, {size}, C)" for size in IMAGE_SIZES)
        raise ValueError(f"shape for {config.name!r} must be one of {sizes}, got {tuple(shape)}")
    return row
