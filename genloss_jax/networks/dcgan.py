"""DCGAN (Radford, Metz and Chintala 2016) at 8, 16, 32 and 64 pixels.

As in the paper: no pooling, batch norm everywhere but at the generator's output and the critic's input, ReLU in the
generator, leaky ReLU with slope 0.2 in the critic, tanh at the end, all kernels from N(0, 0.02²) and all scales from
N(1, 0.02²). As in PyTorch's well-known version of it: 4x4 kernels (the paper's are 5x5), and no biases but those of
the normalisation. Channels double with each halving: `width` at half the image's size, `8 * width` at 4 pixels of a
64-pixel image; the paper's `width` is 128, PyTorch's 64. Images of 8 pixels are halved twice, to 2 pixels: with one
halving the critic would be a single convolution, which cannot tell digits from blots.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import ACTIVATIONS, Conv, Dense, num_halvings
from genloss_jax.networks.mlp import critic_head, with_labels
from genloss_jax.networks.normalization import Normalize

KERNEL_INIT = initializers.normal(0.02)
SCALE_INIT = initializers.normal(0.02, mean=1.0)


def _num_stages(size: int) -> int:
    return max(num_halvings(size), 2)


class DCGANGenerator(nn.Module):
    """Latents, with a class embedding beside them where there are labels, to images, in (-1, 1) if bounded.

    Attributes:
        size: height and width of the images: 8, 16, 32 or 64.
        channels: of the images.
        width: channels at half the image's size.
        normalization: "batch", "group" or "none".
        activation: a name of `layers.ACTIVATIONS`.
        num_classes: None for an unconditional generator.
        spectral_norm: of every kernel.
        implementation: of the convolutions: "auto", "native" or "patches".
        bounded: end in tanh; a decoder, whose outputs are parameters of a distribution, does not.
    """

    size: int
    channels: int
    width: int = 64
    normalization: str = "batch"
    activation: str = "relu"
    num_classes: int | None = None
    spectral_norm: bool = False
    implementation: str = "auto"
    bounded: bool = True

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool = False):
        """Map `[B, latent]` (and labels `[B]`) to `[B, size, size, channels]`."""
        stages = _num_stages(self.size)
        smallest = self.size // 2**stages
        activation = ACTIVATIONS[self.activation]
        use_bias = self.normalization == "none"
        width = self.width * 2 ** (stages - 1)
        options: dict[str, Any] = {"spectral_norm": self.spectral_norm, "kernel_init": KERNEL_INIT}

        x = with_labels(latents, labels, self.num_classes)
        # The first transposed convolution has one pixel to work on: a dense layer.
        x = Dense(smallest**2 * width, use_bias, **options)(x, train=train).reshape(-1, smallest, smallest, width)
        x = activation(Normalize(self.normalization, scale_init=SCALE_INIT)(x, train=train))
        conv: dict[str, Any] = {"size": 4, "transposed": True, "implementation": self.implementation, **options}
        for stage in reversed(range(stages - 1)):
            x = Conv(self.width * 2**stage, use_bias=use_bias, **conv)(x, train=train)
            x = activation(Normalize(self.normalization, scale_init=SCALE_INIT)(x, train=train))
        if not self.bounded:
            return Conv(self.channels, **conv)(x, train=train)
        return jnp.tanh(Conv(self.channels, use_bias=use_bias, **conv)(x, train=train))


class DCGANCritic(nn.Module):
    """Images to one logit each, or to `num_outputs` numbers; with labels, a projection critic.

    Attributes:
        width: channels at half the image's size.
        normalization: "batch", "group" or "none".
        activation: a name of `layers.ACTIVATIONS`.
        num_classes: None for an unconditional critic.
        num_outputs: None for logits; otherwise the critic is an encoder, see `mlp.critic_head`.
        spectral_norm: of every kernel.
        minibatch_stddev: append it in front of the last layer.
        implementation: of the convolutions: "auto", "native" or "patches".
    """

    width: int = 64
    normalization: str = "batch"
    activation: str = "leaky_relu"
    num_classes: int | None = None
    spectral_norm: bool = False
    minibatch_stddev: bool = False
    implementation: str = "auto"
    num_outputs: int | None = None

    @nn.compact
    def __call__(self, images, labels=None, *, train: bool = False):
        """Map `[B, size, size, channels]` (and labels `[B]`) to logits `[B]` or outputs `[B, num_outputs]`."""
        activation = ACTIVATIONS[self.activation]
        x = images
        for stage in range(_num_stages(images.shape[1])):
            x = Conv(
                self.width * 2**stage,
                size=4,
                stride=2,
                use_bias=self.normalization == "none",
                spectral_norm=self.spectral_norm,
                implementation=self.implementation,
                kernel_init=KERNEL_INIT,
            )(x, train=train)
            if stage > 0:
                x = Normalize(self.normalization, scale_init=SCALE_INIT)(x, train=train)
            x = activation(x)
        return critic_head(self, x, labels, train, kernel_init=KERNEL_INIT)
