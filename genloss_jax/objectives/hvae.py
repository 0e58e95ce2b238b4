"""Hierarchical variational autoencoders: latents above latents."""

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax._names import look_up
from genloss_jax.losses import likelihood, variational
from genloss_jax.networks.network import Network
from genloss_jax.objectives._autoencoder import DECODER, ENCODER, MODEL, check_outputs
from genloss_jax.objectives.objective import Objective, Variables, check_counts, mean, num_examples
from genloss_jax.objectives.observation import Likelihood
from genloss_jax.objectives.vae import BOUNDS

TOP = "top"


def hvae(
    encoder: Network,
    top: Network,
    decoder: Network,
    *,
    latent_dims: tuple[int, int],
    observation: Likelihood,
    bound: str = "elbo",
    num_samples: int = 1,
    num_evaluation_samples: int = 64,
    noisy_samples: bool = True,
) -> Objective:
    """Train a variational autoencoder with two levels of latents by a bound on log p(x).

    p(x) = ∫ p(z2) p(z1 | z2) p(x | z1), p(z2) = N(0, I); q(z2 | x) = N(m2(x), v2(x)),
    q(z1 | z2, x) ∝ p(z1 | z2) N(z1; m1(x), v1(x))

    The posterior goes the way of the model, from the top down: what the prior of z1 says is corrected by what the
    example says of it.

    KL = KL(q(z2 | x) ‖ p(z2)) + E_q(z2 | x) KL(q(z1 | z2, x) ‖ p(z1 | z2))

    Args:
        encoder: examples `[B, ...]` to `[B, 2 * sum(latent_dims)]`: means of both levels, the lower first, and then
            log-variances.
        top: latents `[B, latent_dims[1]]` to `[B, 2 * latent_dims[0]]`, means and then log-variances of p(z1 | z2).
        decoder: latents `[B, latent_dims[0]]` to `[B, ..., observation.num_outputs]`.
        latent_dims: of z1 and z2.
        observation: what the decoder's outputs say of an example.
        bound: "elbo", with the weight `hyper["beta"]` of the KL; "iwae"; or "renyi" of order `hyper["alpha"]`.
        num_samples: K, pairs of latents per example while training.
        num_evaluation_samples: K of `log_prob`, the importance-weighted bound.
        noisy_samples: whether `sample` draws from p(x | z1) or gives its mean; z1 and z2 are drawn in any case.

    Returns:
        An objective with one player, "model". `log_prob` is a lower bound, in its mean over the key.

    Raises:
        ValueError: if an option is out of range, and while tracing, if networks and batch do not fit.

    References:
        Sønderby et al. 2016, "Ladder variational autoencoders", equations 7 to 9.
    """
    compute = look_up("bound", bound, BOUNDS).compute
    lower, upper = latent_dims
    check_counts(latent_dims=min(latent_dims), num_samples=num_samples, num_evaluation_samples=num_evaluation_samples)

    def init(key, batch):
        keys = jax.random.split(key, 3)
        x, batch_size = batch["x"], num_examples(batch)
        z1, z2 = (jnp.zeros((batch_size, length), x.dtype) for length in latent_dims)
        parts = {
            ENCODER: (encoder, x, (2 * (lower + upper),)),
            TOP: (top, z2, (2 * lower,)),
            DECODER: (decoder, z1, (*x.shape[1:], observation.num_outputs)),
        }
        params, aux = {}, {}
        for own_key, (name, (network, inputs, expected)) in zip(keys, parts.items(), strict=True):
            params[name], aux[name] = network.init(own_key, inputs)
            check_outputs(name, network, params[name], aux[name], inputs, expected)
        return Variables({MODEL: params}, aux)

    def weigh(params, aux, x, key, num, **options):
        """Draw `num` pairs of latents per example; return their nll, KL and log-weights, `[K, B]` each, and states."""
        encoder_key, upper_key, top_key, lower_key, decoder_key = jax.random.split(key, 5)
        own = params[MODEL]
        code, encoder_state = encoder.apply(own[ENCODER], aux[ENCODER], x, key=encoder_key, **options)
        x, code = _repeat(x, num), _repeat(code, num)
        means, log_vars = jnp.split(code, 2, axis=-1)
        q2 = variational.DiagonalGaussian(means[:, lower:], log_vars[:, lower:])
        z2 = _draw(upper_key, q2, num)
        given, top_state = top.apply(own[TOP], aux[TOP], z2, key=top_key, **options)
        p1 = variational.DiagonalGaussian(*jnp.split(given, 2, axis=-1))
        experts = [jnp.stack(pair) for pair in ((p1.mean, means[:, :lower]), (p1.log_var, log_vars[:, :lower]))]
        q1 = variational.product_of_experts(*experts, prior_expert=False)
        z1 = _draw(lower_key, q1, num)
        outputs, decoder_state = decoder.apply(own[DECODER], aux[DECODER], z1, key=decoder_key, **options)
        nll = observation.nll(outputs, x)
        kl = variational.gaussian_kl(*q2) + variational.gaussian_kl_between(*q1, *p1)
        p2 = variational.DiagonalGaussian(jnp.zeros_like(z2), jnp.zeros_like(z2))
        log_weights = _log_prob(p2, z2) + _log_prob(p1, z1) - _log_prob(q2, z2) - _log_prob(q1, z1) - nll
        states = {ENCODER: encoder_state, TOP: top_state, DECODER: decoder_state}
        return (*(values.reshape(num, -1) for values in (nll, kl, log_weights)), states)

    def loss(params, aux, batch, key, hyper):
        nll, kl, log_weights, states = weigh(params, aux, batch["x"], key, num_samples, train=True)
        kl = jnp.mean(kl, axis=0)
        values = compute(nll, kl, log_weights, hyper)
        return mean(values), ({"nll": mean(jnp.mean(nll, axis=0)), "kl": mean(kl)}, {**aux, **states})

    def sample(params, aux, key, num):
        upper_key, lower_key, noise_key = jax.random.split(key, 3)
        given, _ = top.apply(params[MODEL][TOP], aux[TOP], jax.random.normal(upper_key, (num, upper)))
        z1 = _draw(lower_key, variational.DiagonalGaussian(*jnp.split(given, 2, axis=-1)))
        outputs, _ = decoder.apply(params[MODEL][DECODER], aux[DECODER], z1)
        return observation.sample(noise_key, outputs) if noisy_samples else observation.mean(outputs)

    def log_prob(params, aux, batch, key):
        _, _, log_weights, _ = weigh(params, aux, batch["x"], key, num_evaluation_samples)
        return -variational.iwae_loss(log_weights)

    return Objective(init, {MODEL: loss}, sample, log_prob, "lower bound")


def _repeat(examples, num):
    # [B, ...] to [num * B, ...], one round of all examples after another
    return jnp.broadcast_to(examples[None], (num, *examples.shape)).reshape(-1, *examples.shape[1:])


def _draw(key, gaussian, num=1):
    # [num * B, D] as _repeat orders them
    shape = (num, gaussian.mean.shape[0] // num, *gaussian.mean.shape[1:])
    noise = parts.draw(jax.random.normal, key, shape, gaussian.mean.dtype, axis=1).reshape(gaussian.mean.shape)
    return gaussian.mean + jnp.exp(0.5 * gaussian.log_var) * noise


def _log_prob(gaussian, x):
    return -likelihood.gaussian_nll(gaussian.mean, gaussian.log_var, x)
