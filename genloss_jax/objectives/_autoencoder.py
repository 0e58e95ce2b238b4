"""An encoder and a decoder as one model with latents: what all families of autoencoders share."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax.losses import variational
from genloss_jax.networks.network import Network
from genloss_jax.objectives.objective import Batch, Variables, num_examples
from genloss_jax.objectives.observation import Likelihood

MODEL, ENCODER, DECODER = "model", "encoder", "decoder"


class Inference(NamedTuple):
    """What becomes of examples on their way to latents and back.

    Attributes:
        center: `[B, latent_dim]`, mean of q(z | x).
        log_var: `[B, latent_dim]`, its log-variance.
        latents: `[K, B, latent_dim]`, drawn from q(z | x).
        outputs: `[K, B, ..., num_outputs]`, the decoder's.
        log_ratio: `[K, B]` nats, log p(z) - log q(z | x).
    """

    center: jax.Array
    log_var: jax.Array
    latents: jax.Array
    outputs: jax.Array
    log_ratio: jax.Array

    @property
    def kl(self) -> jax.Array:
        """KL(q(z | x) ‖ p(z)), `[B]` nats."""
        return variational.gaussian_kl(self.center, self.log_var)


class Autoencoder(NamedTuple):
    """p(z) = N(0, I), p(x | z) of the decoder, q(z | x) a diagonal Gaussian of the encoder.

    Methods take `params` and `aux` as mappings with the entries "encoder" and "decoder", and give `aux` back as the
    networks left it, with all its other entries.

    Attributes:
        encoder: examples `[B, ...]` to `[B, 2 * latent_dim]`, means and then log-variances.
        decoder: latents `[B, latent_dim]` to `[B, ..., observation.num_outputs]`.
        latent_dim: dimension of the latent space.
        observation: what the decoder's outputs say of an example.
    """

    encoder: Network
    decoder: Network
    latent_dim: int
    observation: Likelihood

    def init(self, key: jax.Array, batch: Batch) -> Variables:
        """Draw both networks' parameters; refuse networks that do not fit each other or the examples."""
        encoder_key, decoder_key = jax.random.split(key)
        x = batch["x"]
        latents = jnp.zeros((num_examples(batch), self.latent_dim), x.dtype)
        encoder_params, encoder_state = self.encoder.init(encoder_key, x)
        decoder_params, decoder_state = self.decoder.init(decoder_key, latents)
        example = (*x.shape[1:], self.observation.num_outputs)
        check_outputs(ENCODER, self.encoder, encoder_params, encoder_state, x, (2 * self.latent_dim,))
        check_outputs(DECODER, self.decoder, decoder_params, decoder_state, latents, example)
        return Variables(
            {ENCODER: encoder_params, DECODER: decoder_params}, {ENCODER: encoder_state, DECODER: decoder_state}
        )

    def encode(self, params: Any, aux: Any, x: jax.Array, **options: Any) -> tuple[jax.Array, jax.Array, Any]:
        """Give mean and log-variance of q(z | x), `[B, latent_dim]` each, and aux."""
        code, state = self.encoder.apply(params[ENCODER], aux[ENCODER], x, **options)
        return code[:, : self.latent_dim], code[:, self.latent_dim :], {**aux, ENCODER: state}

    def decode(self, params: Any, aux: Any, latents: jax.Array, **options: Any) -> tuple[jax.Array, Any]:
        """Give the decoder's outputs and aux."""
        outputs, state = self.decoder.apply(params[DECODER], aux[DECODER], latents, **options)
        return outputs, {**aux, DECODER: state}

    def infer(
        self, params: Any, aux: Any, x: jax.Array, key: jax.Array, num: int = 1, **options: Any
    ) -> tuple[Inference, Any]:
        """Encode examples, draw `num` latents for each, and decode them; also give aux."""
        noise_key, encoder_key, decoder_key = jax.random.split(key, 3)
        center, log_var, aux = self.encode(params, aux, x, key=encoder_key, **options)
        noise = parts.draw(jax.random.normal, noise_key, (num, *center.shape), center.dtype, axis=1)
        latents = center[None] + jnp.exp(0.5 * log_var)[None] * noise
        outputs, aux = self.decode(params, aux, latents.reshape(-1, self.latent_dim), key=decoder_key, **options)
        outputs = outputs.reshape(num, *x.shape, self.observation.num_outputs)
        log_posterior = _standard_normal(noise) - 0.5 * jnp.sum(log_var, -1)[None]
        return Inference(center, log_var, latents, outputs, _standard_normal(latents) - log_posterior), aux

    def nll(self, found: Inference, x: jax.Array) -> jax.Array:
        """Give -log p(x | z) for each latent that was drawn, `[K, B]` nats."""
        return jax.vmap(self.observation.nll, (0, None))(found.outputs, x)

    def generate(self, params: Any, aux: Any, key: jax.Array, num: int, **options: Any) -> tuple[jax.Array, Any]:
        """Decode `num` latents of the prior; also give aux."""
        latent_key, decoder_key = jax.random.split(key)
        latents = parts.draw(jax.random.normal, latent_key, (num, self.latent_dim))
        return self.decode(params, aux, latents, key=decoder_key, **options)

    def sample(self, params: Any, aux: Any, key: jax.Array, num: int, noisy: bool = False) -> jax.Array:
        """Draw examples from p(x | z), or take its mean."""
        latent_key, noise_key = jax.random.split(key)
        outputs, _ = self.generate(params, aux, latent_key, num)
        return self.observation.sample(noise_key, outputs) if noisy else self.observation.mean(outputs)

    def log_prob(self, params: Any, aux: Any, batch: Batch, key: jax.Array, num: int) -> jax.Array:
        """Bound log p(x) from below by `num` importance-weighted latents, `[B]` nats."""
        found, _ = self.infer(params, aux, batch["x"], key, num)
        return -variational.iwae_loss(found.log_ratio - self.nll(found, batch["x"]))

    def reconstruct(self, params: Any, aux: Any, batch: Batch, key: jax.Array) -> jax.Array:
        """Give the mean of p(x | z) at the mean of q(z | x), which draws nothing."""
        del key
        center, _, _ = self.encode(params, aux, batch["x"])
        outputs, _ = self.decode(params, aux, center)
        return self.observation.mean(outputs)


def of_model(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method of an `Autoencoder` take the parameters of all players, of which "model" has both networks."""
    return lambda params, *args, **options: method(params[MODEL], *args, **options)


def _standard_normal(x):
    return -0.5 * jnp.sum(jnp.square(x) + math.log(2 * math.pi), -1)


def check_outputs(
    name: str, network: Network, params: Any, state: Any, inputs: jax.Array, expected: tuple[int, ...]
) -> None:
    """Raise unless a network gives outputs `[B, *expected]`, with a sentence that names it."""
    outputs, _ = jax.eval_shape(lambda *given: network.apply(*given), params, state, inputs)
    if outputs.shape[1:] != expected:
        raise ValueError(f"{name} must give outputs of shape {('B', *expected)}, got {outputs.shape}")
