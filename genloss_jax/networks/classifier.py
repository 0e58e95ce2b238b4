"""The small classifier whose features measure generated digits."""

import flax.linen as nn
import jax

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import Conv, Dense, average_pool

NUM_FEATURES = 64


class DigitsClassifier(nn.Module):
    """Three 3x3 convolutions and a dense layer of 64 features, for 8x8 images.

    Smooth activations throughout: features that are exactly zero for many examples make their covariance singular.

    Attributes:
        num_classes: of the logits.
        width: channels of the first convolution; the others have twice as many.
        implementation: of the convolutions: "auto", "native" or "patches".
    """

    num_classes: int = 10
    width: int = 32
    implementation: str = "auto"

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        """Map `[B, 8, 8, C]` to (logits `[B, num_classes]`, features `[B, 64]`)."""
        he = initializers.he_normal()
        x = images
        for index, width in enumerate((self.width, 2 * self.width, 2 * self.width)):
            x = jax.nn.gelu(Conv(width, implementation=self.implementation, kernel_init=he)(x, train=train))
            if index > 0:
                x = average_pool(x)
        features = jax.nn.gelu(Dense(NUM_FEATURES, kernel_init=he)(x.reshape(x.shape[0], -1)))
        return Dense(self.num_classes)(features), features
