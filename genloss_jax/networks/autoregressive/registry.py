"""Autoregressive networks by name, from a small config."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from genloss_jax._names import look_up
from genloss_jax.networks import convolution
from genloss_jax.networks.adapters import from_linen
from genloss_jax.networks.autoregressive.image_gpt import ImageGPT
from genloss_jax.networks.autoregressive.pixelcnn import PixelCNN
from genloss_jax.networks.layers import ACTIVATIONS
from genloss_jax.networks.network import Network


class AutoregressiveConfig(NamedTuple):
    """What an autoregressive network is besides its `NetworkConfig`; anything with these attributes will do.

    Attributes:
        dropout: in each block, while training; from 0 to below 1.
        num_heads: of the attention of an image_gpt; a divisor of the width.
    """

    dropout: float = 0.0
    num_heads: int = 4


def _pixelcnn(config, network, shape, options):
    if len(shape) != 3:
        raise ValueError(f"shape for a pixelcnn must be (H, W, C), got {tuple(shape)}")
    look_up("convolution", network.convolution, dict.fromkeys(convolution.IMPLEMENTATIONS))
    return PixelCNN(implementation=network.convolution, **options)


def _image_gpt(config, network, shape, options):
    if config.num_heads < 1 or network.width % config.num_heads:
        raise ValueError(f"num_heads must be a divisor of the width {network.width}, got {config.num_heads}")
    return ImageGPT(num_heads=config.num_heads, **options)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"pixelcnn": _pixelcnn, "image_gpt": _image_gpt}


def network(config: Any, network: Any, *, shape: tuple[int, ...], num_levels: int) -> Network:
    """Build an autoregressive network: `apply(params, state, bins, train=, key=) -> logits [B, *shape, num_levels]`.

    The logits of a number depend on the bins before it, in raster order with channels innermost, and on no others.

    Args:
        config: an `AutoregressiveConfig` or anything with its attributes.
        network: a `NetworkConfig` or anything with its attributes; "pixelcnn" or "image_gpt", whose `depth` counts
            blocks; without normalisation other than the architecture's own.
        shape: of one example; `(H, W, C)` for a pixelcnn.
        num_levels: how many bins there are.

    Returns:
        The network. It refuses what is not integers `[B, *shape]`.

    Raises:
        ValueError: for an unknown name, an option out of range, or a shape that the architecture does not take.
    """
    build = look_up("autoregressive network", network.name, NETWORKS)
    look_up("activation", network.activation, dict.fromkeys(("default", *ACTIVATIONS)))
    look_up(f"normalization of the network {network.name!r}", network.normalization, {"none": None})
    if num_levels < 2:
        raise ValueError(f"num_levels must be at least 2, got {num_levels}")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout must be from 0 to below 1, got {config.dropout}")
    options = {"width": network.width, "depth": network.depth, "num_levels": num_levels, "dropout": config.dropout}
    if network.activation != "default":
        options["activation"] = network.activation
    built = from_linen(build(config, network, shape, options), network.precision)

    def check(bins):
        if bins.shape[1:] != tuple(shape) or not jnp.issubdtype(bins.dtype, jnp.integer):
            raise ValueError(f"bins must be integers [B, {tuple(shape)}], got {bins.dtype} {bins.shape}")

    def init(key, bins):
        check(bins)
        return built.init(key, bins)

    def apply(params, state, bins, *, train=False, key=None):
        check(bins)
        return built.apply(params, state, bins, train=train, key=key)

    return Network(init, apply)
