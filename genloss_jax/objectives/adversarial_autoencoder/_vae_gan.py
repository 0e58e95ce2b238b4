"""A variational autoencoder that reconstructs in the features of a discriminator, which also judges its images."""

import jax
import jax.numpy as jnp

from genloss_jax.losses import likelihood
from genloss_jax.networks.network import Network
from genloss_jax.objectives._autoencoder import DECODER, ENCODER, Autoencoder
from genloss_jax.objectives._head import Head, chosen
from genloss_jax.objectives.adversarial_autoencoder._discriminator import DISCRIMINATOR, judge, kept, penalise
from genloss_jax.objectives.objective import Objective, Variables, check_counts, hyper_value, mean, num_examples
from genloss_jax.objectives.observation import Likelihood


def vae_gan(
    encoder: Network,
    decoder: Network,
    discriminator: Network,
    *,
    latent_dim: int,
    observation: Likelihood,
    loss: Head,
    r1: bool = False,
) -> Objective:
    """Train a variational autoencoder whose reconstruction error is that of a discriminator's features.

    With x̃ the mean of p(x | z), z ~ q(z | x), and x' that of p(x | z'), z' ~ N(0, I), f the discriminator's features:

    reconstruction: R = -γ log N(f(x); f(x̃), I) - δ log p(x | z), γ = `hyper["feature_weight"]`,
    δ = `hyper["pixel_weight"]`, which is 0 in the paper
    discriminator: ½ L_D(D(x), D(x')) + ½ L_D(D(x), D(x̃))
    encoder: R + β KL(q(z | x) ‖ p(z)), β = `hyper["beta"]`
    decoder: R + λ (½ L_G(D(x), D(x')) + ½ L_G(D(x), D(x̃))), λ = `hyper["adversarial_weight"]`

    Each network is a player with a loss of its own, so that the encoder hears nothing of the game, and the
    discriminator nothing of the reconstruction. The paper adds the two fake sides up instead of averaging them, which
    shows the discriminator two fakes for each example; and it writes its γ in the decoder's loss alone, which is 1 / λ
    here. With λ = γ = 0 and β = δ = 1 encoder and decoder are trained as a VAE.

    Args:
        encoder: examples `[B, ...]` to `[B, 2 * latent_dim]`, means and then log-variances.
        decoder: latents `[B, latent_dim]` to `[B, ..., observation.num_outputs]`.
        discriminator: examples to `(logits [B], features [B, ...])`, high on data.
        latent_dim: dimension of the latent space.
        observation: what the decoder's outputs say of an example.
        loss: the pair of losses of the game.
        r1: penalise the discriminator's gradient on data, with weight `hyper["r1_weight"]`.

    Returns:
        An objective with the players "discriminator", "encoder" and "decoder". It has no `log_prob`: p(x | z) in
        features is not a density of examples. `sample` gives means of p(x | z).

    Raises:
        ValueError: if latent_dim is below 1, and while tracing, if networks and batch do not fit.

    References:
        Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric", algorithm 1.
    """
    check_counts(latent_dim=latent_dim)
    model = Autoencoder(encoder, decoder, latent_dim, observation)

    def init(key, batch):
        model_key, discriminator_key = jax.random.split(key)
        params, states = model.init(model_key, batch)
        own, state = discriminator.init(discriminator_key, batch["x"])
        return Variables({DISCRIMINATOR: own, **params}, {**states, DISCRIMINATOR: state})

    def play(params, aux, batch, key):
        """Give what the encoder found, logits and features of data, samples and reconstructions, and aux."""
        infer_key, generate_key, *critic_keys = jax.random.split(key, 5)
        found, moved = model.infer(params, aux, batch["x"], infer_key, train=True)
        num = num_examples(batch)
        outputs, moved = model.generate(params, moved, generate_key, num, train=True)
        state = aux[DISCRIMINATOR]
        seen = []
        examples = (batch["x"], observation.center(outputs), observation.center(found.outputs[0]))
        for x, critic_key in zip(examples, critic_keys, strict=True):
            judged, state = discriminator.apply(params[DISCRIMINATOR], state, x, train=True, key=critic_key)
            seen.append(judged)
        return found, *seen, {**moved, DISCRIMINATOR: state}

    def both(fake, reconstructed):
        """Share the batch between samples and reconstructions, so that each side has one fake for each example."""
        return jnp.concatenate([fake, reconstructed])

    def reconstruction(found, real, reconstructed, batch, hyper):
        features, real_features = reconstructed[1], real[1]
        nll = mean(model.nll(found, batch["x"])[0])
        feature_nll = mean(likelihood.gaussian_nll(features, jnp.zeros_like(features), real_features))
        value = hyper_value(hyper, "feature_weight") * feature_nll + hyper_value(hyper, "pixel_weight") * nll
        return value, {"nll": nll, "feature_nll": feature_nll}

    def discriminator_loss(params, aux, batch, key, hyper):
        play_key, penalty_key = jax.random.split(key)
        _, real, fake, reconstructed, moved = play(params, aux, batch, play_key)

        def critic_fn(x):
            own_key = jax.random.clone(penalty_key)
            return discriminator.apply(params[DISCRIMINATOR], aux[DISCRIMINATOR], x, train=True, key=own_key)[0][0]

        value, metrics = judge(loss, both(real[0], real[0]), both(fake[0], reconstructed[0]), hyper)
        penalty, penalty_metrics = penalise(r1, critic_fn, batch["x"], hyper)
        return value + penalty, (metrics | penalty_metrics, kept(aux, moved, DISCRIMINATOR))

    def encoder_loss(params, aux, batch, key, hyper):
        found, real, _, reconstructed, moved = play(params, aux, batch, key)
        value, metrics = reconstruction(found, real, reconstructed, batch, hyper)
        kl = mean(found.kl)
        return value + hyper_value(hyper, "beta") * kl, (metrics | {"kl": kl}, kept(aux, moved, ENCODER))

    def decoder_loss(params, aux, batch, key, hyper):
        found, real, fake, reconstructed, moved = play(params, aux, batch, key)
        value, metrics = reconstruction(found, real, reconstructed, batch, hyper)
        adversarial = mean(chosen(loss, hyper).generator(both(real[0], real[0]), both(fake[0], reconstructed[0])))
        value += hyper_value(hyper, "adversarial_weight") * adversarial
        return value, (metrics | {"adversarial": adversarial}, kept(aux, moved, DECODER))

    losses = {DISCRIMINATOR: discriminator_loss, ENCODER: encoder_loss, DECODER: decoder_loss}
    return Objective(init, losses, model.sample, reconstruct=model.reconstruct)
