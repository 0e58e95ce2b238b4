"""Variational autoencoders: an encoder, a decoder, and a bound on the evidence between them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax._names import look_up
from genloss_jax.losses import variational
from genloss_jax.networks.network import Network
from genloss_jax.objectives._autoencoder import MODEL, Autoencoder, of_model
from genloss_jax.objectives.objective import Objective, Variables, check_counts, hyper_value, mean
from genloss_jax.objectives.observation import Likelihood


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
    model = Autoencoder(encoder, decoder, latent_dim, observation)
    check_counts(latent_dim=latent_dim, num_samples=num_samples, num_evaluation_samples=num_evaluation_samples)

    def init(key, batch):
        params, states = model.init(key, batch)
        return Variables({MODEL: params}, states)

    def loss(params, aux, batch, key, hyper):
        found, aux = model.infer(params[MODEL], aux, batch["x"], key, num_samples, train=True)
        nll = model.nll(found, batch["x"])
        kl = found.kl
        values = compute(nll, kl, found.log_ratio - nll, hyper)
        metrics = {"nll": mean(jnp.mean(nll, axis=0)), "kl": mean(kl)}
        return mean(values), (metrics, aux)

    sample = of_model(partial(model.sample, noisy=noisy_samples))
    log_prob = of_model(partial(model.log_prob, num=num_evaluation_samples))
    return Objective(init, {MODEL: loss}, sample, log_prob, "lower bound", of_model(model.reconstruct))
