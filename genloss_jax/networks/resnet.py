"""Residual generator and critic of SNGAN (Miyato et al. 2018, appendix B.4), at 8, 16, 32 and 64 pixels.

At 32 pixels this is the paper's network for CIFAR-10, whose widths are 256 for the generator and 128 for the critic;
other sizes have as many blocks that double or halve as they need, all of one width. The critic ends in a sum over
positions. Glorot-uniform kernels, with gain √2 inside the blocks.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import ACTIVATIONS, Conv, Dense, average_pool, num_halvings, upsample_nearest
from genloss_jax.networks.mlp import critic_head
from genloss_jax.networks.normalization import Normalize

GLOROT = initializers.glorot_uniform()
GLOROT_RESIDUAL = initializers.glorot_uniform(2.0**0.5)


class UpBlock(nn.Module):
    """Normalise, activate, double, convolve, normalise, activate, convolve; beside it a doubled 1x1 convolution."""

    width: int
    normalization: str
    activation: str
    num_classes: int | None
    spectral_norm: bool
    implementation: str

    @nn.compact
    def __call__(self, x, labels, *, train):
        """Map `[B, H, W, C]` to `[B, 2H, 2W, width]`."""
        activation = ACTIVATIONS[self.activation]
        options: dict[str, Any] = {"implementation": self.implementation, "spectral_norm": self.spectral_norm}
        y = activation(Normalize(self.normalization, self.num_classes)(x, labels, train=train))
        y = Conv(self.width, kernel_init=GLOROT_RESIDUAL, **options)(upsample_nearest(y), train=train)
        y = activation(Normalize(self.normalization, self.num_classes)(y, labels, train=train))
        y = Conv(self.width, kernel_init=GLOROT_RESIDUAL, **options)(y, train=train)
        # A 1x1 convolution and repetition commute: convolve the small image.
        return y + upsample_nearest(Conv(self.width, size=1, kernel_init=GLOROT, **options)(x, train=train))


class DownBlock(nn.Module):
    """Activate, convolve, activate, convolve, halve; beside it a 1x1 convolution where the shape changes.

    Attributes:
        width: channels of the output.
        halve: average each 2x2 block at the end.
        first: the block that sees the image, which is not activated first.
    """

    width: int
    halve: bool
    first: bool
    normalization: str
    activation: str
    spectral_norm: bool
    implementation: str

    @nn.compact
    def __call__(self, x, *, train):
        """Map `[B, H, W, C]` to `[B, H / 2, W / 2, width]`, or to `[B, H, W, width]`."""
        activation = ACTIVATIONS[self.activation]
        options: dict[str, Any] = {"implementation": self.implementation, "spectral_norm": self.spectral_norm}
        y = x if self.first else activation(Normalize(self.normalization)(x, train=train))
        y = Conv(self.width, kernel_init=GLOROT_RESIDUAL, **options)(y, train=train)
        y = activation(Normalize(self.normalization)(y, train=train))
        y = Conv(self.width, kernel_init=GLOROT_RESIDUAL, **options)(y, train=train)
        if self.halve:
            x, y = average_pool(x), average_pool(y)
        if self.halve or self.first:
            x = Conv(self.width, size=1, kernel_init=GLOROT, **options)(x, train=train)
        return x + y


class ResNetGenerator(nn.Module):
    """Latents to images, in (-1, 1) if bounded; labels choose the scales and biases of the normalisation.

    Attributes:
        size: height and width of the images: 8, 16, 32 or 64.
        channels: of the images.
        width: channels of all blocks.
        normalization: "batch", "group", or "none", which leaves labels without effect and is refused with them.
        activation: a name of `layers.ACTIVATIONS`.
        num_classes: None for an unconditional generator.
        spectral_norm: of every kernel.
        implementation: of the convolutions: "auto", "native" or "patches".
        bounded: end in tanh; a decoder, whose outputs are parameters of a distribution, does not.
    """

    size: int
    channels: int
    width: int = 256
    normalization: str = "batch"
    activation: str = "relu"
    num_classes: int | None = None
    spectral_norm: bool = False
    implementation: str = "auto"
    bounded: bool = True

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool = False):
        """Map `[B, latent]` (and labels `[B]`) to `[B, size, size, channels]`."""
        if self.num_classes is not None and self.normalization == "none":
            raise ValueError(
                "normalization must be 'batch' or 'group' for a conditional residual generator, got 'none': "
                "its labels enter through the normalisation"
            )
        options: dict[str, Any] = {"spectral_norm": self.spectral_norm, "kernel_init": GLOROT}
        x = Dense(4 * 4 * self.width, **options)(latents, train=train).reshape(-1, 4, 4, self.width)
        for _ in range(num_halvings(self.size)):
            x = UpBlock(
                self.width,
                self.normalization,
                self.activation,
                self.num_classes,
                self.spectral_norm,
                self.implementation,
            )(x, labels, train=train)
        x = ACTIVATIONS[self.activation](Normalize(self.normalization)(x, train=train))
        images = Conv(self.channels, implementation=self.implementation, **options)(x, train=train)
        return jnp.tanh(images) if self.bounded else images


class ResNetCritic(nn.Module):
    """Images to one logit each, or to `num_outputs` numbers; with labels, a projection critic.

    Attributes:
        width: channels of all blocks.
        normalization: "none" in the paper.
        activation: a name of `layers.ACTIVATIONS`.
        num_classes: None for an unconditional critic.
        num_outputs: None for logits; otherwise the critic is an encoder, see `mlp.critic_head`.
        spectral_norm: of every kernel, as in the paper.
        minibatch_stddev: append it in front of the last layer.
        implementation: of the convolutions: "auto", "native" or "patches".
    """

    width: int = 128
    normalization: str = "none"
    activation: str = "relu"
    num_classes: int | None = None
    spectral_norm: bool = True
    minibatch_stddev: bool = False
    implementation: str = "auto"
    num_outputs: int | None = None

    @nn.compact
    def __call__(self, images, labels=None, *, train: bool = False):
        """Map `[B, size, size, channels]` (and labels `[B]`) to logits `[B]` or outputs `[B, num_outputs]`."""
        # Two halvings at 32 pixels, down to 8; at least one.
        halvings = max(num_halvings(images.shape[1]) - 1, 1)
        x = images
        for index in range(halvings + 2):
            x = DownBlock(
                self.width,
                index < halvings,
                index == 0,
                self.normalization,
                self.activation,
                self.spectral_norm,
                self.implementation,
            )(x, train=train)
        features = jnp.sum(ACTIVATIONS[self.activation](x), axis=(1, 2))
        return critic_head(self, features, labels, train, kernel_init=GLOROT)
