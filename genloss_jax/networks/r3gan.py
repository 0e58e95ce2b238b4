"""Residual pair without normalisation, in the manner of R3GAN (Huang et al. 2024).

As there: inverted bottlenecks (1x1 to twice the width, 3x3 in groups, 1x1 back) with leaky ReLU (slope 0.2) behind
the first two convolutions; no normalisation; fix-up initialisation, which scales the first two kernels of each of
L blocks by L^(-1/4) and starts the third at zero, so that every block starts as the identity; resampling apart from
convolution; a learned 4x4 basis scaled by a linear map of the latents, and its mirror image in the critic, a 4x4
convolution of each channel by itself; a linear output without tanh.

Differences, all for small images and small machines: one width at all sizes instead of one per size; group width 16
kept; bilinear resampling by two (which is a 2x2 average when halving) instead of a [1, 2, 1] filter; classes are
projected with the head shared by all critics here.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import ACTIVATIONS, Conv, Dense, average_pool, num_halvings
from genloss_jax.networks.mlp import critic_head, with_labels

GROUP_WIDTH = 16
EXPANSION = 2


class Block(nn.Module):
    """`x + conv1x1(act(conv3x3_grouped(act(conv1x1(x)))))`, the identity at the start.

    Attributes:
        num_blocks: L, the number of blocks of the whole network.
    """

    num_blocks: int
    activation: str
    spectral_norm: bool
    implementation: str

    @nn.compact
    def __call__(self, x, *, train):
        """Map `[B, H, W, C]` to the same shape."""
        activation = ACTIVATIONS[self.activation]
        width = x.shape[-1]
        expanded = EXPANSION * width
        # Fix-up with m = 3 layers per block: L^(-1 / (2 m - 2)) on the standard deviation.
        variance = 2.0 / (1.0 + 0.2**2) * self.num_blocks**-0.5
        options: dict[str, Any] = {"implementation": self.implementation, "spectral_norm": self.spectral_norm}
        first = initializers.variance_scaling(variance)
        groups = max(expanded // GROUP_WIDTH, 1)
        if expanded % groups:
            raise ValueError(f"width of r3gan must be a multiple of {GROUP_WIDTH // EXPANSION}, got {width}")
        y = activation(Conv(expanded, size=1, kernel_init=first, **options)(x, train=train))
        y = activation(Conv(expanded, groups=groups, kernel_init=first, **options)(y, train=train))
        # A kernel of zeros has no singular vector, so that spectral normalisation leaves the last one out.
        zero: dict[str, Any] = {
            "use_bias": False,
            "implementation": self.implementation,
            "kernel_init": nn.initializers.zeros,
        }
        return x + Conv(width, size=1, **zero)(y, train=train)


class R3GANGenerator(nn.Module):
    """Latents, with a class embedding beside them where there are labels, to images.

    Attributes:
        size: height and width of the images: 8, 16, 32 or 64.
        channels: of the images.
        width: channels at all sizes, a multiple of 8.
        blocks: per size.
        activation: a name of `layers.ACTIVATIONS`.
        num_classes: None for an unconditional generator.
        spectral_norm: of every kernel but the blocks' last.
        implementation: of the convolutions: "auto", "native" or "patches".
    """

    size: int
    channels: int
    width: int = 64
    blocks: int = 2
    activation: str = "leaky_relu"
    num_classes: int | None = None
    spectral_norm: bool = False
    implementation: str = "auto"

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool = False):
        """Map `[B, latent]` (and labels `[B]`) to `[B, size, size, channels]`."""
        stages = num_halvings(self.size) + 1
        options: dict[str, Any] = {"spectral_norm": self.spectral_norm, "implementation": self.implementation}
        basis = self.param("basis", initializers.normal(1.0), (4, 4, self.width))
        x = with_labels(latents, labels, self.num_classes)
        x = Dense(self.width, use_bias=False, spectral_norm=self.spectral_norm)(x, train=train)
        x = basis[None] * x[:, None, None, :]
        for stage in range(stages):
            if stage > 0:
                batch, height, width, channels = x.shape
                x = jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "bilinear")
            for _ in range(self.blocks):
                x = Block(stages * self.blocks, self.activation, **options)(x, train=train)
        return Conv(self.channels, size=1, use_bias=False, **options)(x, train=train)


class R3GANCritic(nn.Module):
    """Images to one logit each, or to `num_outputs` numbers; with labels, a projection critic.

    Attributes:
        width: channels at all sizes, a multiple of 8.
        blocks: per size.
        activation: a name of `layers.ACTIVATIONS`.
        num_classes: None for an unconditional critic.
        num_outputs: None for logits; otherwise the critic is an encoder, see `mlp.critic_head`.
        spectral_norm: of every kernel but the blocks' last.
        minibatch_stddev: append it in front of the last layer.
        implementation: of the convolutions: "auto", "native" or "patches".
    """

    width: int = 64
    blocks: int = 2
    activation: str = "leaky_relu"
    num_classes: int | None = None
    spectral_norm: bool = False
    minibatch_stddev: bool = False
    implementation: str = "auto"
    num_outputs: int | None = None

    @nn.compact
    def __call__(self, images, labels=None, *, train: bool = False):
        """Map `[B, size, size, channels]` (and labels `[B]`) to logits `[B]` or outputs `[B, num_outputs]`."""
        stages = num_halvings(images.shape[1]) + 1
        options: dict[str, Any] = {"spectral_norm": self.spectral_norm, "implementation": self.implementation}
        x = Conv(self.width, size=1, use_bias=False, **options)(images, train=train)
        for stage in range(stages):
            if stage > 0:
                x = average_pool(x)
            for _ in range(self.blocks):
                x = Block(stages * self.blocks, self.activation, **options)(x, train=train)
        # A 4x4 convolution of each channel by itself, on a 4x4 image.
        basis = self.param("basis", initializers.normal(0.25), (4, 4, self.width))
        features = jnp.einsum("bhwc,hwc->bc", x, basis)
        return critic_head(self, features, labels, train)
