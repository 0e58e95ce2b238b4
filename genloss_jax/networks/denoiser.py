"""Networks that look at noised examples and at how noised they are: denoisers, velocity fields."""

import math
from typing import Any

import flax.linen as nn
import jax

from genloss_jax._names import look_up
from genloss_jax.networks import initializers
from genloss_jax.networks.adapters import from_linen
from genloss_jax.networks.layers import ACTIVATIONS, IMAGE_SIZES, Dense, fourier_features
from genloss_jax.networks.network import Network
from genloss_jax.networks.unet import UNetDenoiser


class MLPDenoiser(nn.Module):
    """Dense layers, each moved by an embedding of the levels; a last layer that starts at zero.

    h_{i+1} = act(W_i h_i + b_i + U_i e), e = act(dense(fourier_features(levels)))

    Attributes:
        widths: of the hidden layers.
        shape: of one example, and of the output.
        activation: a name of `layers.ACTIVATIONS`; smooth, where a likelihood needs the derivative of the output.
        num_frequencies: of the level.
    """

    widths: tuple[int, ...]
    shape: tuple[int, ...]
    activation: str = "silu"
    num_frequencies: int = 8

    @nn.compact
    def __call__(self, x, *levels, train: bool = False):
        """Map `[B, *shape]` and levels, each `[B]`, to `[B, *shape]`."""
        activation = ACTIVATIONS[self.activation]
        features = fourier_features(levels, self.num_frequencies)
        embedding = activation(Dense(self.widths[0], name="embedding")(features))
        h = x.reshape(x.shape[0], -1)
        for width in self.widths:
            own = Dense(width, kernel_init=initializers.he_normal())(h, train=train)
            h = activation(own + Dense(width, use_bias=False)(embedding, train=train))
        output = Dense(math.prod(self.shape), kernel_init=jax.nn.initializers.zeros, name="output")(h, train=train)
        return output.reshape(x.shape)


def _mlp(config, shape, activation):
    look_up("normalization of an mlp denoiser", config.normalization, {"none": None})
    return MLPDenoiser((config.width,) * config.depth, shape, activation)


def _unet(config, shape, activation):
    look_up("normalization of a unet denoiser", config.normalization, {"group": None, "none": None})
    if len(shape) != 3 or shape[0] != shape[1] or shape[0] not in IMAGE_SIZES:
        sizes = ", ".join(f"({size}, {size}, C)" for size in IMAGE_SIZES)
        raise ValueError(f"shape for 'unet' must be one of {sizes}, got {shape}")
    return UNetDenoiser(
        shape[0],
        shape[-1],
        config.width,
        config.depth,
        config.normalization,
        activation,
        implementation=config.convolution,
    )


DENOISERS = {"mlp": _mlp, "unet": _unet}


def denoiser(config: Any, *, shape: tuple[int, ...]) -> Network:
    """Build a denoiser: `apply(params, state, x, level, ..., train=) -> [B, *shape]`.

    Args:
        config: a `NetworkConfig` or anything with its attributes, named "mlp" or "unet"; no batch normalisation,
            because a batch holds examples of many levels.
        shape: of one example.

    Returns:
        The network. It refuses inputs of another shape than `[B, *shape]`.

    Raises:
        ValueError: for an unknown name or option, or a shape that the architecture does not take.
    """
    build = look_up("network of a denoiser", config.name, DENOISERS)
    activation = "silu" if config.activation == "default" else config.activation
    look_up("activation", activation, ACTIVATIONS)
    network = from_linen(build(config, tuple(shape), activation), config.precision)

    def check(x):
        if x.shape[1:] != tuple(shape):
            raise ValueError(f"x must have shape [B, {tuple(shape)}], got {x.shape}")

    def init(key, x, *levels):
        check(x)
        return network.init(key, x, *levels)

    def apply(params, state, x, *levels, train=False, key=None):
        check(x)
        return network.apply(params, state, x, *levels, train=train, key=key)

    return Network(init, apply)
