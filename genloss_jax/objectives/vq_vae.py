"""Autoencoders with a codebook between encoder and decoder, and an autoregressive prior over the codes."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax.losses import likelihood, variational
from genloss_jax.networks.network import Network
from genloss_jax.objectives._autoencoder import DECODER, ENCODER, MODEL, check_outputs
from genloss_jax.objectives.autoregressive import check_temperature, draw, init_conditionals
from genloss_jax.objectives.objective import Objective, Variables, hyper_value, mean, num_examples
from genloss_jax.objectives.observation import Likelihood

PRIOR, CODEBOOK = "prior", "codebook"


class Codes(NamedTuple):
    """What stands between encoder and decoder.

    Attributes:
        shape: of one example's codes, in the order in which the prior draws them.
        num: K, codewords.
        dim: D, numbers of a codeword.
    """

    shape: tuple[int, ...]
    num: int
    dim: int


def vq_vae(
    encoder: Network,
    decoder: Network,
    prior: Network,
    *,
    codes: Codes,
    observation: Likelihood,
    temperature: float = 1.0,
    noisy_samples: bool = True,
) -> Objective:
    """Train an autoencoder whose latents are codewords, and a prior that draws their indices.

    c_i = argmin_k |z_i - e_k|², z the encoder's output; the player "model" minimises

    -log p(x | e_c) + hyper["commitment_weight"] Σ_i |z_i - sg(e_{c_i})|²

    with the gradient of e_c given to z, and each e_k is a running average of the latents that chose it, forgetting at
    `hyper["codebook_decay"]`. The player "prior" minimises -log P(c).

    Args:
        encoder: examples `[B, ...]` to `[B, prod(codes.shape) * codes.dim]`.
        decoder: the codewords side by side, `[B, prod(codes.shape) * codes.dim]`, to
            `[B, ..., observation.num_outputs]`.
        prior: `apply(params, state, codes [B, *codes.shape])` gives logits `[B, *codes.shape, codes.num]`, see
            `autoregressive`.
        codes: what stands between them.
        observation: what the decoder's outputs say of an example.
        temperature: of the prior in `sample`.
        noisy_samples: whether `sample` draws from p(x | e_c) or gives its mean.

    Returns:
        An objective with the players "model" and "prior". `log_prob` is log P(c) + log p(x | e_c) at the encoder's
        codes: one term of the sum over all codes, hence a lower bound, and one without noise.

    Raises:
        ValueError: if an option is out of range, and while tracing, if networks and batch do not fit.

    References:
        van den Oord et al. 2017, "Neural discrete representation learning".
    """
    _check_codes(codes)
    check_temperature(temperature)
    length = math.prod(codes.shape)

    def encode(params, aux, x, **options):
        outputs, state = encoder.apply(params[MODEL][ENCODER], aux[ENCODER], x, **options)
        return outputs.reshape(-1, length, codes.dim), state

    def quantize(aux, latents):
        return variational.vector_quantize(variational.average_codebook(aux[CODEBOOK]), latents)

    def reconstruct(params, aux, vectors, **options):
        return decoder.apply(params[MODEL][DECODER], aux[DECODER], vectors.reshape(len(vectors), -1), **options)

    def prior_nll(params, aux, chosen, **options):
        chosen = chosen.reshape(-1, *codes.shape)
        logits, state = prior.apply(params[PRIOR], aux[PRIOR], chosen, **options)
        return likelihood.categorical_nll(logits, chosen), state

    def init(key, batch):
        encoder_key, decoder_key, prior_key, codebook_key = jax.random.split(key, 4)
        x, batch_size = batch["x"], num_examples(batch)
        flat = jnp.zeros((batch_size, length * codes.dim), x.dtype)
        encoder_params, encoder_state = encoder.init(encoder_key, x)
        decoder_params, decoder_state = decoder.init(decoder_key, flat)
        check_outputs("encoder", encoder, encoder_params, encoder_state, x, flat.shape[1:])
        outputs_shape = (*x.shape[1:], observation.num_outputs)
        check_outputs("decoder", decoder, decoder_params, decoder_state, flat, outputs_shape)
        indices = jnp.zeros((batch_size, *codes.shape), jnp.int32)
        prior_params, prior_state = init_conditionals(prior, prior_key, indices, codes.num)
        params = {MODEL: {ENCODER: encoder_params, DECODER: decoder_params}, PRIOR: prior_params}
        aux = {ENCODER: encoder_state, DECODER: decoder_state, PRIOR: prior_state}
        latents = encode(params, aux, x)[0].reshape(-1, codes.dim)
        # The first codewords are latents, so that each is near some.
        codebook = jax.random.choice(codebook_key, latents, (codes.num,), replace=len(latents) < codes.num)
        aux[CODEBOOK] = variational.CodebookAverage(jnp.ones(codes.num, codebook.dtype), codebook)
        return Variables(params, aux)

    def model_loss(params, aux, batch, key, hyper):
        encoder_key, decoder_key = jax.random.split(key)
        x = batch["x"]
        latents, encoder_state = encode(params, aux, x, train=True, key=encoder_key)
        found = quantize(aux, latents)
        outputs, decoder_state = reconstruct(params, aux, found.quantized, train=True, key=decoder_key)
        nll = observation.nll(outputs, x)
        commitment = variational.commitment_loss(latents, found.vectors)
        decay = hyper_value(hyper, "codebook_decay")
        all_latents, all_codes = (parts.whole(each, "a codebook") for each in (latents, found.codes))
        average = variational.update_codebook_average(aux[CODEBOOK], all_latents, all_codes, decay=decay)
        metrics = {
            "nll": mean(nll),
            "commitment": mean(commitment),
            "code_perplexity": variational.code_perplexity(all_codes, num_codes=codes.num),
        }
        aux = {**aux, ENCODER: encoder_state, DECODER: decoder_state, CODEBOOK: average}
        return mean(nll + hyper_value(hyper, "commitment_weight") * commitment), (metrics, aux)

    def prior_loss(params, aux, batch, key, hyper):
        del hyper
        latents, _ = encode(params, aux, batch["x"])
        values, state = prior_nll(params, aux, quantize(aux, latents).codes, train=True, key=key)
        return mean(values), ({}, {**aux, PRIOR: state})

    def sample(params, aux, key, num):
        codes_key, noise_key = jax.random.split(key)
        shape = (num, *codes.shape)
        chosen = draw(prior, params[PRIOR], aux[PRIOR], codes_key, shape, temperature=temperature)
        vectors = variational.average_codebook(aux[CODEBOOK])[chosen.reshape(num, length)]
        outputs, _ = reconstruct(params, aux, vectors)
        return observation.sample(noise_key, outputs) if noisy_samples else observation.mean(outputs)

    def log_prob(params, aux, batch, key):
        del key
        found = quantize(aux, encode(params, aux, batch["x"])[0])
        outputs, _ = reconstruct(params, aux, found.vectors)
        return -prior_nll(params, aux, found.codes)[0] - observation.nll(outputs, batch["x"])

    return Objective(init, {MODEL: model_loss, PRIOR: prior_loss}, sample, log_prob, "lower bound")


def _check_codes(codes: Codes) -> None:
    if not codes.shape or min(codes.shape) < 1:
        raise ValueError(f"codes.shape must hold at least one code, got {tuple(codes.shape)}")
    if codes.num < 2:
        raise ValueError(f"codes.num must be at least 2, got {codes.num}")
    if codes.dim < 1:
        raise ValueError(f"codes.dim must be at least 1, got {codes.dim}")
