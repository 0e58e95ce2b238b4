"""Multilayer perceptrons, and the generator and critic of plane distributions made of them."""

import flax.linen as nn
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import ACTIVATIONS, Dense, Embed
from genloss_jax.networks.normalization import MinibatchStddev, Normalize


class MLP(nn.Module):
    """Dense layers with an activation between them, He-initialised.

    Attributes:
        widths: of the hidden layers.
        features: of the output, which is linear.
        activation: a name of `layers.ACTIVATIONS`.
        normalization: "batch", "group" or "none", before each activation.
        spectral_norm: of every kernel.
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
        return Dense(self.features, spectral_norm=self.spectral_norm)(x, train=train)


class MLPGenerator(nn.Module):
    """Latents, with a class embedding beside them where there are labels, to points of any shape.

    Attributes:
        widths: of the hidden layers.
        shape: of one example.
        activation: a name of `layers.ACTIVATIONS`.
        normalization: "batch", "group" or "none", before each activation.
        num_classes: None for an unconditional generator.
        bounded: end in tanh, as images in [-1, 1] ask for.
    """

    widths: tuple[int, ...]
    shape: tuple[int, ...] = (2,)
    activation: str = "relu"
    normalization: str = "none"
    num_classes: int | None = None
    spectral_norm: bool = False
    bounded: bool = False

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool = False):
        """Map `[B, latent]` (and labels `[B]`) to `[B, *shape]`."""
        x = with_labels(latents, labels, self.num_classes)
        x = hidden_layers(self, x, train)
        features = 1
        for length in self.shape:
            features *= length
        x = Dense(features)(x).reshape(-1, *self.shape)
        return jnp.tanh(x) if self.bounded else x


class MLPCritic(nn.Module):
    """Points of any shape to one logit each, or to `num_outputs` numbers; with labels, a projection critic.

    Attributes:
        widths: of the hidden layers.
        activation: a name of `layers.ACTIVATIONS`.
        normalization: "batch", "group" or "none", before each activation.
        spectral_norm: of every kernel.
        minibatch_stddev: append it to the last hidden layer.
        num_classes: None for an unconditional critic.
        num_outputs: see `critic_head`.
    """

    widths: tuple[int, ...]
    activation: str = "leaky_relu"
    normalization: str = "none"
    spectral_norm: bool = False
    minibatch_stddev: bool = False
    num_classes: int | None = None
    num_outputs: int | None = None

    @nn.compact
    def __call__(self, points, labels=None, *, train: bool = False):
        """Map `[B, ...]` (and labels `[B]`) to logits `[B]` or outputs `[B, num_outputs]`."""
        features = hidden_layers(self, points.reshape(points.shape[0], -1), train)
        return critic_head(self, features, labels, train)


def hidden_layers(module, x, train):
    """Run the hidden layers that a module's attributes describe, inside its compact call."""
    activation = ACTIVATIONS[module.activation]
    slope = 0.2 if module.activation == "leaky_relu" else 0.0
    for width in module.widths:
        x = Dense(
            width,
            use_bias=module.normalization == "none",
            spectral_norm=module.spectral_norm,
            kernel_init=initializers.he_normal(slope),
        )(x, train=train)
        x = activation(Normalize(module.normalization)(x, train=train))
    return x


def with_labels(latents, labels, num_classes):
    """Append a class embedding, as wide as the latents, inside a compact call."""
    if num_classes is None:
        return latents
    return jnp.concatenate([latents, Embed(num_classes, latents.shape[-1])(labels)], -1)


def critic_head(module, features, labels, train, kernel_init=None):
    """Turn features into one logit each, as a critic's attributes say, inside its compact call.

    `logit = dense(features)`, plus `<embedding(labels), features>` where there are classes: the projection critic of
    Miyato and Koyama 2018. The minibatch standard deviation goes to the dense part only.

    With `num_outputs` the critic is an encoder: the dense layer gives so many numbers instead of a logit.

    Args:
        module: has `num_classes` (None for an unconditional critic), `num_outputs` (None for a logit),
            `spectral_norm` (of the dense kernel and of the embedding) and `minibatch_stddev` (append it to the
            features, in front of flattening).
        features: `[B, ..., C]`; flattened first.
        labels: `[B]` integers, or None.
        train: passed on.
        kernel_init: of the dense kernel; LeCun's if None.

    Returns:
        Logits `[B]`, or outputs `[B, num_outputs]`.
    """
    batch = features.shape[0]
    inputs = MinibatchStddev()(features, train=train) if module.minibatch_stddev else features
    kernel_init = initializers.lecun_normal() if kernel_init is None else kernel_init
    dense = Dense(module.num_outputs or 1, spectral_norm=module.spectral_norm, kernel_init=kernel_init, name="logit")
    outputs = dense(inputs.reshape(batch, -1), train=train)
    if module.num_outputs is not None:
        return outputs
    logits = outputs[:, 0]
    if module.num_classes is None:
        return logits
    flat = features.reshape(batch, -1)
    # Unit variance of the projection at the start, whatever the number of features.
    table_init = initializers.normal(flat.shape[-1] ** -0.5)
    embed = Embed(module.num_classes, flat.shape[-1], module.spectral_norm, table_init, name="projection")
    return logits + jnp.sum(flat * embed(labels, train=train), -1)
