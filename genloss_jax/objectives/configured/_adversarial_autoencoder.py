"""From a config to an autoencoder with a game: WAE, AAE, VAE-GAN, ALI, Soft-IntroVAE."""

from collections.abc import Callable
from typing import Any, NamedTuple

from genloss_jax import data, networks
from genloss_jax._names import look_up
from genloss_jax.networks import Network, NetworkConfig
from genloss_jax.objectives import adversarial_autoencoder as methods
from genloss_jax.objectives.configured import _head
from genloss_jax.objectives.objective import Objective
from genloss_jax.objectives.observation import Likelihood, fixed_gaussian, of_levels


def build(config: Any, dataset: data.Dataset) -> tuple[Objective, dict[str, float | int]]:
    """Build an adversarial autoencoder; see `objectives.from_config`."""
    own = config.adversarial_autoencoder
    method = look_up("method", own.method, _METHODS)
    observation = method.observation(own, dataset)
    encoder, decoder = networks.autoencoder(
        config.networks, shape=dataset.shape, latent_dim=config.latent.dim, num_outputs=observation.num_outputs
    )
    game: dict[str, Any] = {}
    hyper: dict[str, float | int] = {name: own[name] for name in method.hyper}
    if method.discriminator is not None:
        game["discriminator"] = method.discriminator(config, dataset)
        game["loss"], head_hyper = _head.named(config.loss)
        game["r1"] = config.penalty.weight > 0
        hyper |= head_hyper | _penalty(config.penalty)
    options = {name: own[name] for name in method.options}
    objective = method.make(encoder, decoder, latent_dim=config.latent.dim, observation=observation, **game, **options)
    return objective, hyper


class _Method(NamedTuple):
    """A row of the table: what to make, of what, and what it reads of `hyper` and of the config."""

    make: Callable[..., Objective]
    observation: Callable[[Any, data.Dataset], Likelihood]
    discriminator: Callable[[Any, data.Dataset], Network] | None
    hyper: tuple[str, ...]
    options: tuple[str, ...] = ()


def _squared_error(own: Any, dataset: data.Dataset) -> Likelihood:
    return fixed_gaussian(own.scale, bounded=len(dataset.shape) == 3)


def _density(own: Any, dataset: data.Dataset) -> Likelihood:
    return of_levels(dataset.num_levels)


def _head_network(config: Any, num_inputs: int) -> Network:
    own = config.adversarial_autoencoder
    critic = NetworkConfig("mlp", own.head_width, own.head_depth, spectral_norm=config.networks.spectral_norm)
    return networks.critic(critic, shape=(num_inputs,))


def _of_latents(config: Any, dataset: data.Dataset) -> Network:
    return _head_network(config, config.latent.dim)


def _of_examples(config: Any, dataset: data.Dataset, num_latents: int = 0) -> Network:
    num_features = config.adversarial_autoencoder.num_features
    body = networks.critic(config.networks, shape=dataset.shape, num_outputs=num_features)
    return networks.feature_critic(body, _head_network(config, num_features + num_latents))


def _of_pairs(config: Any, dataset: data.Dataset) -> Network:
    return _of_examples(config, dataset, config.latent.dim)


def _penalty(config: Any) -> dict[str, float]:
    if config.weight > 0 and config.name != "r1":
        raise ValueError(f"penalty.name must be 'r1' in this family, got {config.name!r}")
    return {"r1_weight": config.weight} if config.weight > 0 else {}


_METHODS = {
    "wae_mmd": _Method(methods.wae_mmd, _squared_error, None, ("mmd_weight",)),
    "aae": _Method(methods.aae, _squared_error, _of_latents, ("adversarial_weight",)),
    "vae_gan": _Method(
        methods.vae_gan, _squared_error, _of_examples, ("beta", "feature_weight", "pixel_weight", "adversarial_weight")
    ),
    "ali": _Method(methods.ali, _squared_error, _of_pairs, (), ("noisy_samples",)),
    "soft_intro_vae": _Method(
        methods.soft_intro_vae, _density, None, ("beta", "negative_beta", "alpha", "gamma", "adversarial_weight")
    ),
}
