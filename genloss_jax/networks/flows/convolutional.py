"""What a Glow is made of besides couplings: squeezes, invertible 1x1 convolutions, a convolutional conditioner."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.flows.flow import Flow, fixed
from genloss_jax.networks.layers import ACTIVATIONS, Conv


class ConvConditioner(nn.Module):
    """Convolutions 3x3, 1x1, 3x3 over images of one size; the output starts at 0.

    Attributes:
        width: channels of the hidden layers.
        features: channels of the output.
        activation: a name of `layers.ACTIVATIONS`.
        implementation: of the convolutions, see `layers.Conv`.

    References:
        Kingma and Dhariwal 2018, "Glow", section 3.3.
    """

    width: int
    features: int
    activation: str = "relu"
    implementation: str = "auto"

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Map `[B, H, W, C]` to `[B, H, W, features]`."""
        del train
        for size in (3, 1):
            convolved = Conv(
                self.width, size, implementation=self.implementation, kernel_init=initializers.he_normal()
            )(x)
            x = ACTIVATIONS[self.activation](convolved)
        return Conv(self.features, implementation=self.implementation, kernel_init=nn.initializers.zeros)(x)


def squeeze() -> Flow:
    """Put each 2x2 block of pixels into the channels of one: `[B, H, W, C] -> [B, H/2, W/2, 4C]`.

    References:
        Dinh et al. 2017, "Density estimation using Real NVP", section 3.6.
    """

    def down(x):
        if x.ndim != 4 or x.shape[1] % 2 or x.shape[2] % 2:
            raise ValueError(f"x of a squeeze must have shape [B, H, W, C] with even H and W, got {x.shape}")
        _, height, width, channels = x.shape
        blocks = x.reshape(-1, height // 2, 2, width // 2, 2, channels)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, height // 2, width // 2, 4 * channels)

    def up(z):
        _, height, width, channels = z.shape
        blocks = z.reshape(-1, height, width, 2, 2, channels // 4)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 2 * height, 2 * width, channels // 4)

    return fixed(down, up)


def invertible_linear() -> Flow:
    """Mix the numbers of the last axis by one invertible matrix: a 1x1 convolution, on images.

    z = x W, W = P L (U + diag(σ exp(s))); log |det| = H W Σ s

    L is unit lower and U strictly upper triangular. W starts as a random rotation; the permutation P and the signs σ
    stay what they are then, as the layer's state.

    References:
        Kingma and Dhariwal 2018, "Glow", section 3.2 and equation 10.
    """

    def init(key, x):
        rotation = initializers.orthogonal()(key, (x.shape[-1], x.shape[-1]), x.dtype)
        permutation, lower, upper = jax.scipy.linalg.lu(rotation)
        diagonal = jnp.diagonal(upper)
        params = {"lower": jnp.tril(lower, -1), "upper": jnp.triu(upper, 1), "log_scale": jnp.log(jnp.abs(diagonal))}
        return params, {"permutation": permutation, "sign": jnp.sign(diagonal)}

    def matrix(params, state):
        lower = jnp.tril(params["lower"], -1) + jnp.eye(len(params["lower"]), dtype=params["lower"].dtype)
        upper = jnp.triu(params["upper"], 1) + jnp.diag(state["sign"] * jnp.exp(params["log_scale"]))
        return state["permutation"] @ lower @ upper

    def forward(params, state, x, train=False, key=None):
        del train, key
        repeats = math.prod(x.shape[1:-1])
        log_det = jnp.full(x.shape[0], repeats * jnp.sum(params["log_scale"]))
        return x @ matrix(params, state), log_det, state

    def inverse(params, state, z):
        return z @ jnp.linalg.inv(matrix(params, state))

    return Flow(init, forward, inverse)
