"""Convolutions that see the pixels before their own: those above, and those to the left in the same row."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import ACTIVATIONS, Conv, Dense, Dropout, Embed

_EMBEDDING = 16  # channels of the first convolutions' input: their kernels are large


class ShiftedConv(nn.Module):
    """A convolution whose kernel ends at its own pixel, so that it needs no mask.

    A vertical one sees its own row and the rows above, on both sides of its column. A horizontal one sees its own row
    only, up to its own column. If `strict`, the row above is the last that it sees, or the column to the left.

    Attributes:
        features: channels of the output.
        vertical: whether it is vertical.
        reach: the kernel is (reach + 1) x (2 reach + 1) if vertical, 1 x (reach + 1) if not.
        strict: leave out the pixel's own row (vertical), or its own column.
        implementation: of the convolution, see `layers.Conv`.

    References:
        van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", section 2.2; Salimans et al.
        2017, "PixelCNN++", whose code shifts in the place of masks.
    """

    features: int
    vertical: bool
    reach: int = 1
    strict: bool = False
    implementation: str = "auto"

    @nn.compact
    def __call__(self, x):
        """Map `[B, H, W, C]` to `[B, H, W, features]`."""
        reach, shift = self.reach, int(self.strict)
        if self.vertical:
            size, padding = (reach + 1, 2 * reach + 1), ((reach + shift, -shift), (reach, reach))
        else:
            size, padding = (1, reach + 1), ((0, 0), (reach + shift, -shift))
        return Conv(self.features, size, padding=padding, implementation=self.implementation)(x)


class GatedBlock(nn.Module):
    """A residual block that ends in a gate, x + a sigmoid(b).

    (a, b) = dense(dropout(act(conv(act(x)) + dense(act(side)))))

    Attributes:
        vertical: see `ShiftedConv`.
        dropout: share of the hidden channels set to 0 while training.
        activation: a name of `layers.ACTIVATIONS`.
        implementation: of the convolution.
    """

    vertical: bool
    dropout: float
    activation: str
    implementation: str

    @nn.compact
    def __call__(self, x, side=None, *, train: bool):
        """Map `[B, H, W, C]`, and another stack's output beside it, to the same shape."""
        activation = ACTIVATIONS[self.activation]
        width = x.shape[-1]
        hidden = ShiftedConv(width, self.vertical, implementation=self.implementation)(activation(x))
        if side is not None:
            hidden = hidden + Dense(width)(activation(side))
        hidden = Dropout(self.dropout, deterministic=not train)(activation(hidden))
        value, gate = jnp.split(Dense(2 * width)(hidden), 2, axis=-1)
        return x + value * jax.nn.sigmoid(gate)


class PixelCNN(nn.Module):
    """Logits of each number of an image, given the numbers before it in raster order, channels innermost.

    A vertical stack sees the rows above, a horizontal one the numbers to the left and the vertical stack: together all
    that comes before, without a blind spot, as far as depth and reach go: `1 + reach + depth` rows above and columns to
    the left, and above `reach + depth` columns to the right. Channels are treated as columns. The logits start at 0.

    Attributes:
        width: channels of both stacks.
        depth: gated blocks of each.
        num_levels: K, values that each number takes.
        reach: of the first convolutions; that of all others is 1.
        dropout: in each block, while training.
        activation: a name of `layers.ACTIVATIONS`.
        implementation: of the convolutions, see `layers.Conv`.

    References:
        van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", section 2; Salimans et al.
        2017, "PixelCNN++".
    """

    width: int
    depth: int
    num_levels: int
    reach: int = 3
    dropout: float = 0.0
    activation: str = "silu"
    implementation: str = "auto"

    @nn.compact
    def __call__(self, bins, *, train: bool = False):
        """Map bins `[B, H, W, C]` to logits `[B, H, W, C, K]`."""
        batch, height = bins.shape[:2]
        tokens = bins.reshape(batch, height, -1)
        x = Embed(self.num_levels, _EMBEDDING)(tokens)
        place = self.param("place", initializers.normal(), (height, tokens.shape[2], self.width))[None]

        def first(vertical):
            return ShiftedConv(self.width, vertical, self.reach, strict=True, implementation=self.implementation)(x)

        def block(vertical):
            return GatedBlock(vertical, self.dropout, self.activation, self.implementation)

        above, before = first(vertical=True) + place, first(vertical=False) + place
        for _ in range(self.depth):
            above = block(vertical=True)(above, train=train)
            before = block(vertical=False)(before, above, train=train)
        logits = Dense(self.num_levels, kernel_init=nn.initializers.zeros)(ACTIVATIONS[self.activation](before))
        return logits.reshape(*bins.shape, self.num_levels)
