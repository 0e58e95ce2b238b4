"""Encoders, decoders, and critics that look at latents, made of the bodies of generators and critics."""

from typing import Any

import jax
import jax.numpy as jnp

from genloss_jax.networks.layers import ACTIVATIONS
from genloss_jax.networks.network import Network
from genloss_jax.networks.registry import decoder, encoder


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
        ValueError: for an unknown name or option, or a shape that the architecture does not support.
    """
    return (
        encoder(config, shape=shape, num_outputs=outputs_per_latent * latent_dim),
        decoder(config, shape=shape, num_outputs=num_outputs),
    )


def feature_critic(body: Network, head: Network) -> Network:
    """Join the body of a critic with a head that may see latents beside the body's features.

    `features = body(examples)`, `logits = head([leaky_relu(features), latents])`

    Args:
        body: examples `[B, ...]` to features `[B, F]`.
        head: `[B, F]`, or `[B, F + latent]`, to logits `[B]`.

    Returns:
        `apply(params, state, examples[, latents]) -> (logits [B], features [B, F])`.
    """

    def join(features, latents):
        return jnp.concatenate([ACTIVATIONS["leaky_relu"](features), *latents], axis=-1)

    def init(key, examples, *latents):
        body_key, head_key = jax.random.split(key)
        body_params, body_state = body.init(body_key, examples)
        features, _ = body.apply(body_params, body_state, examples)
        head_params, head_state = head.init(head_key, join(features, latents))
        return {"body": body_params, "head": head_params}, {"body": body_state, "head": head_state}

    def apply(params, state, examples, *latents, train=False, key=None):
        body_key, head_key = (None, None) if key is None else jax.random.split(key)
        features, body_state = body.apply(params["body"], state["body"], examples, train=train, key=body_key)
        inputs = join(features, latents)
        logits, head_state = head.apply(params["head"], state["head"], inputs, train=train, key=head_key)
        return (logits, features), {"body": body_state, "head": head_state}

    return Network(init, apply)
