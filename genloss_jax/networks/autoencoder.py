"""Encoders and decoders: examples to features, latents to the parameters of a distribution over examples."""

from typing import Any

import flax.linen as nn

from genloss_jax._names import look_up
from genloss_jax.networks.adapters import from_linen
from genloss_jax.networks.layers import ACTIVATIONS
from genloss_jax.networks.mlp import MLP
from genloss_jax.networks.network import Network


class MLPEncoder(nn.Module):
    """Examples of any shape, flattened, to features.

    Attributes:
        widths: of the hidden layers.
        features: of the output.
        activation: a name of `layers.ACTIVATIONS`.
        normalization: "batch", "group" or "none".
    """

    widths: tuple[int, ...]
    features: int
    activation: str = "relu"
    normalization: str = "none"

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Map `[B, ...]` to `[B, features]`."""
        body = MLP(self.widths, self.features, self.activation, self.normalization)
        return body(x.reshape(x.shape[0], -1), train=train)


class MLPDecoder(nn.Module):
    """Latents to outputs of any shape.

    Attributes:
        widths: of the hidden layers.
        shape: of the outputs of one example.
        activation: a name of `layers.ACTIVATIONS`.
        normalization: "batch", "group" or "none".
    """

    widths: tuple[int, ...]
    shape: tuple[int, ...]
    activation: str = "relu"
    normalization: str = "none"

    @nn.compact
    def __call__(self, latents, *, train: bool = False):
        """Map `[B, latent]` to `[B, *shape]`."""
        features = 1
        for length in self.shape:
            features *= length
        body = MLP(self.widths, features, self.activation, self.normalization)
        return body(latents, train=train).reshape(-1, *self.shape)


def autoencoder(
    config: Any, *, shape: tuple[int, ...], latent_dim: int, num_outputs: int, outputs_per_latent: int = 2
) -> tuple[Network, Network]:
    """Build an encoder and the decoder that answers it.

    Args:
        config: a `NetworkConfig` or anything with its attributes.
        shape: of one example.
        latent_dim: length of the latents.
        num_outputs: numbers that the decoder gives for each number of an example, on a last axis.
        outputs_per_latent: numbers that the encoder gives for each number of a latent: 2 for means and log-variances.

    Returns:
        (encoder, decoder).

    Raises:
        ValueError: for an unknown name or option.
    """
    look_up("network of an autoencoder", config.name, {"mlp": None})
    activation = "relu" if config.activation == "default" else config.activation
    look_up("activation", activation, ACTIVATIONS)
    widths = (config.width,) * config.depth
    encoder = MLPEncoder(widths, outputs_per_latent * latent_dim, activation, config.normalization)
    decoder = MLPDecoder(widths, (*shape, num_outputs), activation, config.normalization)
    return from_linen(encoder), from_linen(decoder)
