"""Adversarially learned inference: a discriminator of pairs of an example and its latents."""

from functools import partial

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax.networks.network import Network
from genloss_jax.objectives._autoencoder import DECODER, ENCODER, MODEL, Autoencoder, of_model
from genloss_jax.objectives._head import Head, chosen
from genloss_jax.objectives.adversarial_autoencoder._discriminator import DISCRIMINATOR, judge, kept, penalise
from genloss_jax.objectives.objective import Objective, Variables, check_counts, mean, num_examples
from genloss_jax.objectives.observation import Likelihood


def ali(
    encoder: Network,
    decoder: Network,
    discriminator: Network,
    *,
    latent_dim: int,
    observation: Likelihood,
    loss: Head,
    noisy_samples: bool = True,
    r1: bool = False,
) -> Objective:
    """Train an encoder and a decoder by a game about the joint distribution of examples and latents (ALI, BiGAN).

    discriminator: L_D(D(x, z), D(x', z')), x data, z ~ q(z | x), z' ~ N(0, I), x' ~ p(x | z')
    model: L_D(D(x', z'), D(x, z)), the same loss with the sides exchanged

    Both pairs carry a gradient, so that the model's loss is the discriminator's with the labels exchanged, which the
    papers call the inverse objective: softplus(D(x, z)) + softplus(-D(x', z')) with "non_saturating". Where the joint
    distributions agree, encoder and decoder are each other's posterior; no term asks for reconstructions as such.

    Args:
        encoder: examples `[B, ...]` to `[B, 2 * latent_dim]`, means and then log-variances.
        decoder: latents `[B, latent_dim]` to `[B, ..., observation.num_outputs]`.
        discriminator: examples and latents to `(logits [B], features)`, high on the encoder's pairs.
        latent_dim: dimension of the latent space.
        observation: what the decoder's outputs say of an example.
        loss: the pair of losses of the game, of which the discriminator's is used.
        noisy_samples: whether x' is drawn from p(x | z') or is its mean; also in `sample`.
        r1: penalise the discriminator's gradient on the encoder's pairs, with weight `hyper["r1_weight"]`.

    Returns:
        An objective with the players "discriminator" and "model", and no `log_prob`.

    Raises:
        ValueError: if latent_dim is below 1, and while tracing, if networks and batch do not fit.

    References:
        Dumoulin et al. 2017, "Adversarially learned inference"; Donahue et al. 2017, "Adversarial feature learning".
    """
    check_counts(latent_dim=latent_dim)
    model = Autoencoder(encoder, decoder, latent_dim, observation)

    def init(key, batch):
        model_key, latent_key, discriminator_key = jax.random.split(key, 3)
        params, states = model.init(model_key, batch)
        latents = jax.random.normal(latent_key, (num_examples(batch), latent_dim))
        own, state = discriminator.init(discriminator_key, batch["x"], latents)
        return Variables({DISCRIMINATOR: own, MODEL: params}, {**states, DISCRIMINATOR: state})

    def play(params, aux, batch, key):
        """Show both pairs to the discriminator; give the encoder's latents, the logits, and aux."""
        encoder_key, noise_key, decoder_keys, data_key, model_key = jax.random.split(key, 5)
        latent_key, decoder_key, sample_key = jax.random.split(decoder_keys, 3)
        x = batch["x"]
        center, log_var, moved = model.encode(params[MODEL], aux, x, train=True, key=encoder_key)
        noise = parts.draw(jax.random.normal, noise_key, center.shape, center.dtype)
        latents = center + jnp.exp(0.5 * log_var) * noise
        prior = parts.draw(jax.random.normal, latent_key, center.shape, center.dtype)
        outputs, moved = model.decode(params[MODEL], moved, prior, train=True, key=decoder_key)
        samples = observation.sample(sample_key, outputs) if noisy_samples else observation.center(outputs)

        def critic(state, x, z, key):
            (logits, _), state = discriminator.apply(params[DISCRIMINATOR], state, x, z, train=True, key=key)
            return logits, state

        data_logits, state = critic(aux[DISCRIMINATOR], x, latents, data_key)
        model_logits, state = critic(state, samples, prior, model_key)
        return latents, data_logits, model_logits, {**moved, DISCRIMINATOR: state}

    def discriminator_loss(params, aux, batch, key, hyper):
        play_key, penalty_key = jax.random.split(key)
        latents, data_logits, model_logits, moved = play(params, aux, batch, play_key)
        x = batch["x"]

        def critic_fn(points):
            own_key = jax.random.clone(penalty_key)
            pair = (points[:, latent_dim:].reshape(-1, *x.shape[1:]), points[:, :latent_dim])
            (logits, _), _ = discriminator.apply(
                params[DISCRIMINATOR], aux[DISCRIMINATOR], *pair, train=True, key=own_key
            )
            return logits

        value, metrics = judge(loss, data_logits, model_logits, hyper)
        points = jnp.concatenate([latents, x.reshape(len(x), -1)], axis=1)
        penalty, penalty_metrics = penalise(r1, critic_fn, points, hyper)
        return value + penalty, (metrics | penalty_metrics, kept(aux, moved, DISCRIMINATOR))

    def model_loss(params, aux, batch, key, hyper):
        _, data_logits, model_logits, moved = play(params, aux, batch, key)
        value = mean(chosen(loss, hyper).discriminator(model_logits, data_logits))
        return value, ({"adversarial": value}, kept(aux, moved, ENCODER, DECODER))

    sample = of_model(partial(model.sample, noisy=noisy_samples))
    losses = {DISCRIMINATOR: discriminator_loss, MODEL: model_loss}
    return Objective(init, losses, sample, reconstruct=of_model(model.reconstruct))
