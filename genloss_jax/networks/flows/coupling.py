"""Coupling layers: one half of the numbers chooses what is done to the other."""

import flax.linen as nn
import jax.numpy as jnp

from genloss_jax.networks.flows.flow import Flow, per_example
from genloss_jax.networks.flows.transformers import Transformer
from genloss_jax.networks.layers import Dense
from genloss_jax.networks.mlp import hidden_layers
from genloss_jax.networks.network import Network


class MLPConditioner(nn.Module):
    """A multilayer perceptron that starts at 0, so that what it conditions starts as the identity.

    Attributes:
        widths: of the hidden layers.
        features: of the output.
        activation: a name of `layers.ACTIVATIONS`.
        normalization: "batch", "group" or "none", before each activation.
        spectral_norm: of the hidden kernels.
    """

    widths: tuple[int, ...]
    features: int
    activation: str = "relu"
    normalization: str = "none"
    spectral_norm: bool = False

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Map `[B, C]` to `[B, features]`."""
        x = hidden_layers(self, x, train)
        return Dense(self.features, kernel_init=nn.initializers.zeros)(x)


def coupling(conditioner: Network, transformer: Transformer, *, flip: bool = False) -> Flow:
    """Transform one half of the last axis as the other half says, which stays as it is.

    z_a = x_a, z_b = τ(x_b; θ(x_a)); log |det| = Σ log τ'(x_b; θ(x_a))

    The Jacobian is triangular, and so is that of the inverse: both cost one pass through the network.

    Args:
        conditioner: θ, from `[B, ..., A]` to `[B, ..., (C - A) P]`, with P parameters of the transformer for each
            number that is transformed.
        transformer: τ.
        flip: False for x_a the first ⌊C / 2⌋ numbers of the last axis, True for x_a the last ⌈C / 2⌉ of them, so
            that two layers, one of each kind, transform every number once.

    Returns:
        The flow.

    Raises:
        ValueError: while tracing, if the last axis has fewer than two numbers or the conditioner's output does not
            fit.

    References:
        Dinh et al. 2017, "Density estimation using Real NVP", section 3.2.
    """

    def split(x):
        if x.ndim < 2 or x.shape[-1] < 2:
            raise ValueError(f"x of a coupling must have shape [B, ..., C] with C at least 2, got {x.shape}")
        middle = x.shape[-1] // 2
        first, last = x[..., :middle], x[..., middle:]
        return (last, first) if flip else (first, last)

    def join(kept, moved):
        return jnp.concatenate([moved, kept] if flip else [kept, moved], -1)

    def condition(params, state, kept, moved, **options):
        theta, state = conditioner.apply(params, state, kept, **options)
        expected = (*moved.shape[:-1], moved.shape[-1] * transformer.num_params)
        if theta.shape != expected:
            raise ValueError(f"conditioner must give outputs of shape {expected}, got {theta.shape}")
        return theta.reshape(*moved.shape, transformer.num_params), state

    def init(key, x):
        return conditioner.init(key, split(x)[0])

    def forward(params, state, x, train=False, key=None):
        kept, moved = split(x)
        theta, state = condition(params, state, kept, moved, train=train, key=key)
        moved, log_slope = transformer.forward(theta, moved)
        return join(kept, moved), per_example(log_slope), state

    def inverse(params, state, z):
        kept, moved = split(z)
        theta, _ = condition(params, state, kept, moved)
        return join(kept, transformer.inverse(theta, moved))

    return Flow(init, forward, inverse)


def half(length: int, flip: bool) -> tuple[int, int]:
    """Count the numbers of an axis of this length that a coupling keeps and those that it transforms."""
    first, last = length // 2, length - length // 2
    return (last, first) if flip else (first, last)
