"""Soft-IntroVAE: the encoder tells data from samples by its evidence bound, and the decoder plays against it."""

from functools import partial

import jax
import jax.numpy as jnp

from genloss_jax.losses import variational
from genloss_jax.networks.network import Network
from genloss_jax.objectives._autoencoder import DECODER, ENCODER, Autoencoder
from genloss_jax.objectives.adversarial_autoencoder._discriminator import kept
from genloss_jax.objectives.objective import Objective, check_counts, hyper_value, mean, num_examples
from genloss_jax.objectives.observation import Likelihood


def soft_intro_vae(
    encoder: Network,
    decoder: Network,
    *,
    latent_dim: int,
    observation: Likelihood,
    num_evaluation_samples: int = 64,
) -> Objective:
    """Train a variational autoencoder whose encoder gives data a high evidence bound and its decoder's samples none.

    With x' the mean of p(x | z'), z' ~ N(0, I), and E_b = E log p(x | z) - b KL(q(z | x) ‖ p(z)):

    encoder: -E_β(x) + (λ / α) exp(α E_b(x')), β = `hyper["beta"]`, b = `hyper["negative_beta"]`,
    α = `hyper["alpha"]`, λ = `hyper["adversarial_weight"]`
    decoder: -E_β(x) + λ (β KL(q(z | x') ‖ p(z)) - γ log p(x' | z)), γ = `hyper["gamma"]`

    The paper's game has b = β = γ = 1; its program has γ = 1e-8, so that the decoder is drawn to what the encoder gives
    a small divergence and not to what is easy to reconstruct. The paper's α = 2 goes with bounds that are divided by
    the number of pixels: per example that is α = 2 / pixels. With λ = 0 both players have the loss of a VAE.

    Args:
        encoder: examples `[B, ...]` to `[B, 2 * latent_dim]`, means and then log-variances.
        decoder: latents `[B, latent_dim]` to `[B, ..., observation.num_outputs]`.
        latent_dim: dimension of the latent space.
        observation: what the decoder's outputs say of an example.
        num_evaluation_samples: latents of the bound that `log_prob` gives.

    Returns:
        An objective with the players "encoder" and "decoder". `log_prob` is a lower bound, in its mean over the key,
        on the model's own log p(x). `sample` gives means of p(x | z).

    Raises:
        ValueError: if a count is below 1, and while tracing, if networks and batch do not fit.

    References:
        Daniel and Tamar 2021, "Soft-IntroVAE", equations 3 and 4.
    """
    check_counts(latent_dim=latent_dim, num_evaluation_samples=num_evaluation_samples)
    model = Autoencoder(encoder, decoder, latent_dim, observation)

    def terms(params, aux, x, key):
        found, aux = model.infer(params, aux, x, key, train=True)
        return model.nll(found, x)[0], found.kl, aux

    def play(params, aux, batch, key):
        """Give nll and divergence of data and of samples, and aux."""
        real_key, generate_key, fake_key = jax.random.split(key, 3)
        real_nll, real_kl, moved = terms(params, aux, batch["x"], real_key)
        num = num_examples(batch)
        outputs, moved = model.generate(params, moved, generate_key, num, train=True)
        fake_nll, fake_kl, moved = terms(params, moved, observation.center(outputs), fake_key)
        return real_nll, real_kl, fake_nll, fake_kl, moved

    def encoder_loss(params, aux, batch, key, hyper):
        real_nll, real_kl, fake_nll, fake_kl, moved = play(params, aux, batch, key)
        alpha = hyper_value(hyper, "alpha")
        elbo_loss = mean(variational.elbo_loss(real_nll, real_kl, beta=hyper_value(hyper, "beta")))
        fake_elbo_loss = variational.elbo_loss(fake_nll, fake_kl, beta=hyper_value(hyper, "negative_beta"))
        exponential = mean(jnp.exp(-alpha * fake_elbo_loss)) / alpha
        value = elbo_loss + hyper_value(hyper, "adversarial_weight") * exponential
        metrics = {"nll": mean(real_nll), "kl": mean(real_kl), "fake_kl": mean(fake_kl), "exponential": exponential}
        return value, (metrics, kept(aux, moved, ENCODER))

    def decoder_loss(params, aux, batch, key, hyper):
        real_nll, real_kl, fake_nll, fake_kl, moved = play(params, aux, batch, key)
        beta = hyper_value(hyper, "beta")
        fake = mean(beta * fake_kl + hyper_value(hyper, "gamma") * fake_nll)
        value = mean(variational.elbo_loss(real_nll, real_kl, beta=beta))
        value += hyper_value(hyper, "adversarial_weight") * fake
        return value, ({"nll": mean(real_nll), "fake_kl": mean(fake_kl)}, kept(aux, moved, DECODER))

    log_prob = partial(model.log_prob, num=num_evaluation_samples)
    losses = {ENCODER: encoder_loss, DECODER: decoder_loss}
    return Objective(model.init, losses, model.sample, log_prob, "lower bound", model.reconstruct)
