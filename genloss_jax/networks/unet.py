"""A small U-Net for noised images: down to 4 pixels and up again, past connections between equal sizes."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import (
    ACTIVATIONS,
    Conv,
    Dense,
    average_pool,
    fourier_features,
    num_halvings,
    upsample_nearest,
)
from genloss_jax.networks.normalization import Normalize


class ResidualBlock(nn.Module):
    """Two convolutions; the embedding of the level scales and shifts what lies between them.

    x + conv(act((1 + s(e)) norm(conv(act(norm(x)))) + b(e))), the last kernel starting at zero

    Attributes:
        width: channels of the output; where they change, a 1x1 convolution of x takes the place of x.
        normalization: "group" or "none".
        activation: a name of `layers.ACTIVATIONS`.
        implementation: of the convolutions: "auto", "native" or "patches".
    """

    width: int
    normalization: str
    activation: str
    implementation: str

    @nn.compact
    def __call__(self, x, embedding, *, train: bool):
        """Map `[B, H, W, C]` and an embedding `[B, E]` to `[B, H, W, width]`."""
        activation = ACTIVATIONS[self.activation]
        kernel_init = initializers.he_normal()
        h = activation(Normalize(self.normalization)(x, train=train))
        h = Conv(self.width, kernel_init=kernel_init, implementation=self.implementation)(h, train=train)
        modulation = Dense(2 * self.width, kernel_init=jax.nn.initializers.zeros)(embedding, train=train)
        scale, shift = jnp.split(modulation[:, None, None, :], 2, axis=-1)
        h = activation((1 + scale) * Normalize(self.normalization)(h, train=train) + shift)
        h = Conv(self.width, kernel_init=jax.nn.initializers.zeros, implementation=self.implementation)(h, train=train)
        if x.shape[-1] != self.width:
            x = Conv(self.width, size=1, implementation=self.implementation)(x, train=train)
        return x + h


class UNetDenoiser(nn.Module):
    """Residual blocks at every resolution from the image's down to 4 pixels, and back; the output starts at zero.

    Attributes:
        size: height and width of the images: 8, 16, 32 or 64.
        channels: of the images, and of the output.
        width: channels at the image's resolution; twice as many below.
        depth: residual blocks at each resolution, on the way down and on the way up; twice as many at 4 pixels.
        normalization: "group" or "none".
        activation: a name of `layers.ACTIVATIONS`; smooth, where a likelihood needs the derivative of the output.
        num_frequencies: of the level.
        implementation: of the convolutions: "auto", "native" or "patches".

    References:
        Ronneberger et al. 2015, U-Net; Ho et al. 2020, Denoising Diffusion Probabilistic Models, appendix B; Nichol and
        Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models (the scale and shift).
    """

    size: int
    channels: int
    width: int
    depth: int = 1
    normalization: str = "group"
    activation: str = "silu"
    num_frequencies: int = 8
    implementation: str = "auto"

    @nn.compact
    def __call__(self, x, *levels, train: bool = False):
        """Map `[B, size, size, channels]` and levels, each `[B]`, to `[B, size, size, channels]`."""
        activation = ACTIVATIONS[self.activation]
        embedding = activation(Dense(4 * self.width)(fourier_features(levels, self.num_frequencies), train=train))
        embedding = activation(Dense(4 * self.width)(embedding, train=train))

        def block(h, width):
            own = ResidualBlock(width, self.normalization, self.activation, self.implementation)
            return own(h, embedding, train=train)

        *widths, lowest = self.width, *[2 * self.width] * num_halvings(self.size)
        h = Conv(self.width, implementation=self.implementation)(x, train=train)
        passed = []
        for width in widths:
            for _ in range(self.depth):
                h = block(h, width)
                passed.append(h)
            h = average_pool(h)
        for _ in range(2 * self.depth):
            h = block(h, lowest)
        for width in reversed(widths):
            h = upsample_nearest(h)
            for _ in range(self.depth):
                h = block(jnp.concatenate([h, passed.pop()], axis=-1), width)
        h = activation(Normalize(self.normalization)(h, train=train))
        output = Conv(self.channels, kernel_init=jax.nn.initializers.zeros, implementation=self.implementation)
        return output(h, train=train)
