"""Variational autoencoders: an encoder, a decoder, and a bound on the evidence between them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax._names import look_up
from genloss_jax.losses import likelihood, variational
from genloss_jax.networks.network import Network
from genloss_jax.objectives.objective import Objective, Variables, hyper_value, mean, num_examples

MODEL, ENCODER, DECODER = "model", "encoder", "decoder"

_SMALLEST_LOG_VAR = -14.0  # below it float32 cannot tell a variance from none; a decoder without a floor runs there


class Likelihood(NamedTuple):
    """What a decoder's outputs say of an example.

    Attributes:
        num_outputs: numbers per number of the example, on a last axis of the decoder's output.
        nll: `(outputs [B, ..., num_outputs], x [B, ...]) -> [B]` nats.
        sample: `(key, outputs) -> [B, ...]`.
        mean: `outputs -> [B, ...]`, without the noise of a sample.
    """

    num_outputs: int
    nll: Callable[[jax.Array, jax.Array], jax.Array]
    sample: Callable[[jax.Array, jax.Array], jax.Array]
    mean: Callable[[jax.Array], jax.Array]


def gaussian() -> Likelihood:
    """Give every number a Gaussian with a mean and a variance of its own, for continuous data."""

    def split(outputs):
        return outputs[..., 0], jnp.maximum(outputs[..., 1], _SMALLEST_LOG_VAR)

    def nll(outputs, x):
        center, log_var = split(outputs)
        return likelihood.gaussian_nll(center, log_var, x)

    def sample(key, outputs):
        center, log_var = split(outputs)
        return center + jnp.exp(0.5 * log_var) * jax.random.normal(key, center.shape, center.dtype)

    return Likelihood(2, nll, sample, lambda outputs: outputs[..., 0])


def discretized_logistic(num_levels: int) -> Likelihood:
    """Give every number a logistic distribution over the levels from -1 to 1, for data with `num_levels`."""

    def nll(outputs, x):
        return likelihood.discretized_logistic_nll(outputs[..., 0], outputs[..., 1], x, num_bins=num_levels)

    def to_level(values):
        bins = jnp.clip(likelihood.to_bins(values, num_bins=num_levels), 0, num_levels - 1)
        return likelihood.from_bins(bins, num_bins=num_levels)

    def sample(key, outputs):
        noise = jax.random.logistic(key, outputs.shape[:-1], outputs.dtype)
        return to_level(outputs[..., 0] + jnp.exp(outputs[..., 1]) * noise)

    return Likelihood(2, nll, sample, lambda outputs: to_level(outputs[..., 0]))


class Bound(NamedTuple):
    """A bound on the evidence.

    Attributes:
        compute: `(nll [K, B], kl [B], log_weights [K, B], hyper) -> [B]` nats.
        hyper: what it reads of `hyper`.
    """

    compute: Callable[..., jax.Array]
    hyper: tuple[str, ...] = ()


def _elbo(nll, kl, log_weights, hyper):
    return variational.elbo_loss(jnp.mean(nll, axis=0), kl, beta=hyper_value(hyper, "beta"))


def _iwae(nll, kl, log_weights, hyper):
    return variational.iwae_loss(log_weights)


def _renyi(nll, kl, log_weights, hyper):
    return variational.renyi_loss(log_weights, alpha=hyper_value(hyper, "alpha"))


BOUNDS = {"elbo": Bound(_elbo, ("beta",)), "iwae": Bound(_iwae), "renyi": Bound(_renyi, ("alpha",))}


def vae(
    encoder: Network,
    decoder: Network,
    *,
    latent_dim: int,
    observation: Likelihood,
    bound: str = "elbo",
    num_samples: int = 1,
    num_evaluation_samples: int = 64,
    noisy_samples: bool = True,
) -> Objective:
    """Train an encoder and a decoder by a bound on log p(x).

    p(z) = N(0, I), q(z | x) a diagonal Gaussian; log w_k = log p(x | z_k) + log p(z_k) - log q(z_k | x), z_k ~ q

    Args:
        encoder: examples `[B, ...]` to `[B, 2 * latent_dim]`, means and then log-variances.
        decoder: latents `[B, latent_dim]` to `[B, ..., observation.num_outputs]`.
        latent_dim: dimension of the latent space.
        observation: what the decoder's outputs say of an example.
        bound: "elbo", with the divergence in closed form and the weight `hyper["beta"]`; "iwae"; or "renyi" of order
            `hyper["alpha"]`.
        num_samples: K, latents per example while training.
        num_evaluation_samples: K of `log_prob`, the importance-weighted bound: the more, the tighter.
        noisy_samples: whether `sample` draws from p(x | z) or gives its mean.

    Returns:
        An objective with one player, "model". `log_prob` is a lower bound, in its mean over the key.

    Raises:
        ValueError: if an option is out of range, and while tracing, if networks and batch do not fit.

    References:
        Kingma and Welling 2014, "Auto-encoding variational Bayes"; Burda et al. 2016, "Importance weighted
        autoencoders"; Li and Turner 2016, "Rényi divergence variational inference".
    """
    compute = look_up("bound", bound, BOUNDS).compute
    for name, value in (
        ("latent_dim", latent_dim),
        ("num_samples", num_samples),
        ("num_evaluation_samples", num_evaluation_samples),
    ):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")

    def init(key, batch):
        encoder_key, decoder_key = jax.random.split(key)
        x = batch["x"]
        latents = jnp.zeros((num_examples(batch), latent_dim), x.dtype)
        encoder_params, encoder_state = encoder.init(encoder_key, x)
        decoder_params, decoder_state = decoder.init(decoder_key, latents)
        check_outputs("encoder", encoder, encoder_params, encoder_state, x, (2 * latent_dim,))
        check_outputs(
            "decoder", decoder, decoder_params, decoder_state, latents, (*x.shape[1:], observation.num_outputs)
        )
        params = {MODEL: {ENCODER: encoder_params, DECODER: decoder_params}}
        return Variables(params, {ENCODER: encoder_state, DECODER: decoder_state})

    def encode(params, aux, x, **options):
        code, state = encoder.apply(params[MODEL][ENCODER], aux[ENCODER], x, **options)
        return code[:, :latent_dim], code[:, latent_dim:], state

    def decode(params, aux, latents, **options):
        return decoder.apply(params[MODEL][DECODER], aux[DECODER], latents, **options)

    def weigh(params, aux, x, key, num, **options):
        """Draw `num` latents per example; return their nll `[K, B]`, log-weights `[K, B]`, the KL `[B]`, and states."""
        noise_key, encoder_key, decoder_key = jax.random.split(key, 3)
        center, log_var, encoder_state = encode(params, aux, x, key=encoder_key, **options)
        noise = jax.random.normal(noise_key, (num, *center.shape), center.dtype)
        latents = center[None] + jnp.exp(0.5 * log_var)[None] * noise
        outputs, decoder_state = decode(params, aux, latents.reshape(-1, latent_dim), key=decoder_key, **options)
        outputs = outputs.reshape(num, *x.shape, observation.num_outputs)
        nll = jax.vmap(observation.nll, (0, None))(outputs, x)
        log_prior = _standard_normal(latents)
        log_posterior = _standard_normal(noise) - 0.5 * jnp.sum(log_var, -1)[None]
        kl = variational.gaussian_kl(center, log_var)
        return nll, log_prior - log_posterior - nll, kl, {ENCODER: encoder_state, DECODER: decoder_state}

    def loss(params, aux, batch, key, hyper):
        nll, log_weights, kl, states = weigh(params, aux, batch["x"], key, num_samples, train=True)
        values = compute(nll, kl, log_weights, hyper)
        metrics = {"nll": mean(jnp.mean(nll, axis=0)), "kl": mean(kl)}
        return mean(values), (metrics, {**aux, **states})

    def sample(params, aux, key, num):
        latent_key, noise_key = jax.random.split(key)
        outputs, _ = decode(params, aux, jax.random.normal(latent_key, (num, latent_dim)))
        return observation.sample(noise_key, outputs) if noisy_samples else observation.mean(outputs)

    def log_prob(params, aux, batch, key):
        _, log_weights, _, _ = weigh(params, aux, batch["x"], key, num_evaluation_samples)
        return -variational.iwae_loss(log_weights)

    return Objective(init, {MODEL: loss}, sample, log_prob, "lower bound")


def _standard_normal(x):
    return -0.5 * jnp.sum(jnp.square(x) + math.log(2 * math.pi), -1)


def check_outputs(
    name: str, network: Network, params: Any, state: Any, inputs: jax.Array, expected: tuple[int, ...]
) -> None:
    """Raise unless a network gives outputs `[B, *expected]`, with a sentence that names it."""
    outputs, _ = jax.eval_shape(lambda *given: network.apply(*given), params, state, inputs)
    if outputs.shape[1:] != expected:
        raise ValueError(f"{name} must give outputs of shape {('B', *expected)}, got {outputs.shape}")
