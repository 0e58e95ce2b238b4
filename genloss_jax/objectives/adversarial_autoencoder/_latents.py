"""Autoencoders whose aggregate posterior is held to the prior: by a kernel, or by a discriminator of latents."""

import jax

from genloss_jax import _parts as parts
from genloss_jax.losses import divergences, variational
from genloss_jax.networks.network import Network
from genloss_jax.objectives._autoencoder import DECODER, ENCODER, MODEL, Autoencoder, of_model
from genloss_jax.objectives._head import Head, chosen
from genloss_jax.objectives.adversarial_autoencoder._discriminator import DISCRIMINATOR, judge, kept, penalise
from genloss_jax.objectives.objective import Objective, Variables, check_counts, hyper_value, mean
from genloss_jax.objectives.observation import Likelihood


def wae_mmd(
    encoder: Network,
    decoder: Network,
    *,
    latent_dim: int,
    observation: Likelihood,
    kernel: divergences.Kernel | None = None,
) -> Objective:
    """Train a Wasserstein autoencoder, whose aggregate posterior the maximum mean discrepancy holds to the prior.

    E[-log p(x | z)] + λ MMD²(q(z), N(0, I)), z ~ q(z | x), q(z) = E q(z | x), λ = `hyper["mmd_weight"]`

    With `fixed_gaussian` the first term is a squared error, the cost of a squared Wasserstein distance. Nothing keeps
    the variance of q(z | x): where the decoder wants it gone, the encoder becomes deterministic.

    Args:
        encoder: examples `[B, ...]` to `[B, 2 * latent_dim]`, means and then log-variances.
        decoder: latents `[B, latent_dim]` to `[B, ..., observation.num_outputs]`.
        latent_dim: dimension of the latent space.
        observation: what the decoder's outputs say of an example.
        kernel: see `losses.variational.wae_mmd_penalty`.

    Returns:
        An objective with one player, "model", and no `log_prob`. `sample` gives means of p(x | z).

    Raises:
        ValueError: if latent_dim is below 1, and while tracing, if networks and batch do not fit.

    References:
        Tolstikhin et al. 2018, "Wasserstein auto-encoders", algorithm 2.
    """
    check_counts(latent_dim=latent_dim)
    model = Autoencoder(encoder, decoder, latent_dim, observation)

    def init(key, batch):
        params, states = model.init(key, batch)
        return Variables({MODEL: params}, states)

    def loss(params, aux, batch, key, hyper):
        infer_key, prior_key = jax.random.split(key)
        found, aux = model.infer(params[MODEL], aux, batch["x"], infer_key, train=True)
        latents = found.latents[0]
        prior = parts.draw(jax.random.normal, prior_key, latents.shape, latents.dtype)
        nll = mean(model.nll(found, batch["x"])[0])
        sides = (parts.whole(values, "the maximum mean discrepancy") for values in (latents, prior))
        mmd = mean(variational.wae_mmd_penalty(*sides, kernel=kernel))
        return nll + hyper_value(hyper, "mmd_weight") * mmd, ({"nll": nll, "mmd": mmd}, aux)

    return Objective(init, {MODEL: loss}, of_model(model.sample), reconstruct=of_model(model.reconstruct))


def aae(
    encoder: Network,
    decoder: Network,
    discriminator: Network,
    *,
    latent_dim: int,
    observation: Likelihood,
    loss: Head,
    r1: bool = False,
) -> Objective:
    """Train an adversarial autoencoder (WAE-GAN), whose aggregate posterior a discriminator holds to the prior.

    discriminator: L_D(D(z'), D(z)), z' ~ N(0, I), z ~ q(z | x)
    model: E[-log p(x | z)] + λ L_G(D(z'), D(z)), λ = `hyper["adversarial_weight"]`

    The decoder is in the first of the model's terms only. At the optimal discriminator the game measures a divergence
    of the aggregate posterior from the prior: 2 ln 2 - L_D = 2 JSD with the losses "minimax" and "non_saturating".

    Args:
        encoder: examples `[B, ...]` to `[B, 2 * latent_dim]`, means and then log-variances.
        decoder: latents `[B, latent_dim]` to `[B, ..., observation.num_outputs]`.
        discriminator: latents `[B, latent_dim]` to logits `[B]`, high on the prior.
        latent_dim: dimension of the latent space.
        observation: what the decoder's outputs say of an example.
        loss: the pair of losses of the game.
        r1: penalise the discriminator's gradient on the prior, with weight `hyper["r1_weight"]`.

    Returns:
        An objective with the players "discriminator" and "model", and no `log_prob`. `sample` gives means of p(x | z).

    Raises:
        ValueError: if latent_dim is below 1, and while tracing, if networks and batch do not fit.

    References:
        Makhzani et al. 2016, "Adversarial autoencoders"; Tolstikhin et al. 2018, "Wasserstein auto-encoders",
        algorithm 1.
    """
    check_counts(latent_dim=latent_dim)
    model = Autoencoder(encoder, decoder, latent_dim, observation)

    def init(key, batch):
        model_key, latent_key, discriminator_key = jax.random.split(key, 3)
        params, states = model.init(model_key, batch)
        latents = jax.random.normal(latent_key, (len(batch["x"]), latent_dim))
        own, state = discriminator.init(discriminator_key, latents)
        return Variables({DISCRIMINATOR: own, MODEL: params}, {**states, DISCRIMINATOR: state})

    def play(params, aux, batch, key):
        infer_key, prior_key, prior_critic_key, code_critic_key = jax.random.split(key, 4)
        found, moved = model.infer(params[MODEL], aux, batch["x"], infer_key, train=True)
        latents = found.latents[0]
        prior = parts.draw(jax.random.normal, prior_key, latents.shape, latents.dtype)

        def critic(state, latents, key):
            return discriminator.apply(params[DISCRIMINATOR], state, latents, train=True, key=key)

        prior_logits, state = critic(aux[DISCRIMINATOR], prior, prior_critic_key)
        code_logits, state = critic(state, latents, code_critic_key)
        return found, prior, prior_logits, code_logits, {**moved, DISCRIMINATOR: state}

    def discriminator_loss(params, aux, batch, key, hyper):
        play_key, penalty_key = jax.random.split(key)
        _, prior, prior_logits, code_logits, moved = play(params, aux, batch, play_key)

        def critic_fn(latents):
            own_key = jax.random.clone(penalty_key)
            return discriminator.apply(params[DISCRIMINATOR], aux[DISCRIMINATOR], latents, train=True, key=own_key)[0]

        value, metrics = judge(loss, prior_logits, code_logits, hyper)
        penalty, penalty_metrics = penalise(r1, critic_fn, prior, hyper)
        return value + penalty, (metrics | penalty_metrics, kept(aux, moved, DISCRIMINATOR))

    def model_loss(params, aux, batch, key, hyper):
        found, _, prior_logits, code_logits, moved = play(params, aux, batch, key)
        nll = mean(model.nll(found, batch["x"])[0])
        adversarial = mean(chosen(loss, hyper).generator(prior_logits, code_logits))
        value = nll + hyper_value(hyper, "adversarial_weight") * adversarial
        return value, ({"nll": nll, "adversarial": adversarial}, kept(aux, moved, ENCODER, DECODER))

    losses = {DISCRIMINATOR: discriminator_loss, MODEL: model_loss}
    return Objective(init, losses, of_model(model.sample), reconstruct=of_model(model.reconstruct))
