"""What an energy can be learned from: its own chains, noise, noised data, classes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genloss_jax import _parts as parts
from genloss_jax import samplers
from genloss_jax.losses import energy as losses
from genloss_jax.objectives.energy._base import Base
from genloss_jax.objectives.objective import Metrics, check_counts, hyper_value, mean

NetworkFn = Callable[..., jax.Array]
"""A network with its parameters, from its inputs to its outputs."""


class Chains(NamedTuple):
    """How the model is sampled: by chains that start in the base and walk in its coordinates, where it is N(0, I).

    Attributes:
        transition: maps an energy to a step `(key, z) -> (z, info)`, such as `partial(samplers.langevin,
            step_size=0.01)`.
        num_steps: from the base to a sample.
    """

    transition: Callable[[samplers.EnergyFn], samplers.Step]
    num_steps: int


class Persistence(NamedTuple):
    """How chains go on from one step of training to the next.

    Attributes:
        size: chains in the buffer.
        num_steps: that the chosen ones take in one step of training.
        reinitialise: probability with which a chosen one begins anew.
    """

    size: int
    num_steps: int
    reinitialise: float


class Method(NamedTuple):
    """How an energy is learned.

    Attributes:
        base: the Gaussian that is tilted.
        energy: `(network_fn, x [B, ...]) -> [B]`, what is sampled and measured.
        loss: `(network_fn, frozen_fn, memory, batch, key, hyper) -> (values [B], metrics, memory)`; `frozen_fn` is the
            network with its parameters held constant.
        sample: `(network_fn, key, num) -> [num, ...]`.
        init: `key -> memory`, what is kept between steps beside the parameters.
        inputs: `x -> the network's inputs`.
        outputs: shape of the network's outputs for one example of this shape.
        class_logits: `(network_fn, x) -> [B, C]`, or None where the method knows no classes.
        hyper: the traced scalars that `loss` reads, and their values where nothing else is said.
    """

    base: Base
    energy: Callable[[NetworkFn, jax.Array], jax.Array]
    loss: Callable[..., tuple[jax.Array, Metrics, Any]]
    sample: Callable[[NetworkFn, jax.Array, int], jax.Array]
    init: Callable[[jax.Array], Any] = lambda key: {}
    inputs: Callable[[jax.Array], tuple[jax.Array, ...]] = lambda x: (x,)
    outputs: tuple[int, ...] = ()
    class_logits: Callable[[NetworkFn, jax.Array], jax.Array] | None = None
    hyper: Mapping[str, float] = {}


def contrastive_divergence(base: Base, chains: Chains, persistence: Persistence) -> Method:
    """Push the energy down on data and up on persistent chains; the network f gives one number.

    E(x) = −f(x) − log base(x), fitted by E(data) − E(chain) + `hyper["magnitude_weight"]` (f(data)² + f(chain)²)

    Args:
        base: the Gaussian that is tilted.
        chains: how the model is sampled.
        persistence: of the chains.

    Returns:
        The method.

    References:
        Tieleman 2008, Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient; Du and
        Mordatch 2019, Implicit Generation and Modeling with Energy-Based Models.
    """

    def model_energy(network_fn, x):
        return -network_fn(x) - base.log_prob(x)

    visit = partial(_visit, base, chains, persistence, model_energy)

    def loss(network_fn, frozen_fn, memory, batch, key, hyper):
        x = batch["x"]
        samples, metrics, memory = visit(frozen_fn, memory, key, len(x))
        # The base has no parameters: it takes no part in the gradient.
        data_energy, sample_energy = -network_fn(x), -network_fn(samples)
        magnitude = losses.energy_magnitude_penalty(data_energy, sample_energy)
        values = losses.contrastive_divergence_loss(data_energy, sample_energy)
        values += hyper_value(hyper, "magnitude_weight") * magnitude
        return values, metrics | {"data_energy": mean(data_energy), "sample_energy": mean(sample_energy)}, memory

    return Method(
        base,
        model_energy,
        loss,
        partial(_walk_from_base, base, chains, model_energy),
        partial(base.coordinates, num=persistence.size),
        hyper={"magnitude_weight": 0.0},
    )


def noise_contrastive(base: Base, chains: Chains, *, num_noise: int = 1) -> Method:
    """Tell data from the base; the network f gives one number, the log-ratio of their densities.

    log p(x) = f(x) + log base(x), with a constant of its own: it is normalised where the loss is least.

    Args:
        base: the Gaussian that is tilted, and the noise.
        chains: how the model is sampled.
        num_noise: ν, draws of the noise for each example.

    Returns:
        The method.

    Raises:
        ValueError: if there is no draw.

    References:
        Gutmann and Hyvärinen 2012, Noise-Contrastive Estimation of Unnormalized Statistical Models.
    """
    check_counts(num_noise=num_noise)

    def model_energy(network_fn, x):
        return -network_fn(x) - base.log_prob(x)

    def loss(network_fn, frozen_fn, memory, batch, key, hyper):
        del frozen_fn, hyper
        x = batch["x"]
        data_ratio, noise_ratio = network_fn(x), network_fn(base.sample(key, len(x) * num_noise))
        values = losses.noise_contrastive_loss(
            data_ratio, noise_ratio.reshape(len(x), num_noise), noise_ratio=float(num_noise)
        )
        return values, {"data_log_ratio": mean(data_ratio), "noise_log_ratio": mean(noise_ratio)}, memory

    return Method(base, model_energy, loss, partial(_walk_from_base, base, chains, model_energy))


def denoising(
    base: Base, *, sigma_min: float, sigma_max: float, num_levels: int, step_size: float, num_steps: int
) -> Method:
    """Match the score of noised data at all noise levels; the network D gives a vector for x and ¼ log σ.

    E(x, σ) = −⟨u, D(u, ¼ log σ)⟩ − log base_σ(x), u = (x − mean) / sqrt(mean variance + σ²)

    with base_σ the base under noise, so that for Gaussian data D = 0 is right at every level. The loss is σ² times
    denoising score matching, at log σ uniform between its bounds. Samples follow annealed Langevin dynamics down the
    levels and end with the mean of the data given the last noise. The model of the data is E(x, σ_min).

    Args:
        base: the Gaussian that is tilted.
        sigma_min: the least noise, in the unit of the data.
        sigma_max: the most.
        num_levels: of the sampler, geometric from the most to the least.
        step_size: of the sampler, in units of σ².
        num_steps: of the sampler, at each level.

    Returns:
        The method.

    Raises:
        ValueError: if not 0 < sigma_min < sigma_max, or a count is not positive.

    References:
        Song and Ermon 2019, Generative Modeling by Estimating Gradients of the Data Distribution; Salimans and Ho 2021,
        Should EBMs Model the Energy or the Score?; Jolicoeur-Martineau et al. 2021, Adversarial Score Matching and
        Improved Sampling for Image Generation (the last step).
    """
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"sigma_min must be between 0 and sigma_max={sigma_max}, got {sigma_min}")
    check_counts(num_levels=num_levels, num_steps=num_steps)
    spread = float(np.mean(base.variances))

    def energy_at(network_fn, x, sigma):
        sigma = jnp.broadcast_to(jnp.asarray(sigma, x.dtype), x.shape[:1])
        scale = jax.lax.rsqrt(spread + sigma**2).reshape(-1, *(1,) * (x.ndim - 1))
        u = scale * (x - jnp.asarray(base.mean, x.dtype)[None])
        tilt = jnp.sum(u * network_fn(u, 0.25 * jnp.log(sigma)), axis=tuple(range(1, x.ndim)))
        return -tilt - base.log_prob(x, sigma)

    def score(network_fn, x, sigma):
        return -jax.grad(lambda x: jnp.sum(energy_at(network_fn, x, sigma)))(x)

    def loss(network_fn, frozen_fn, memory, batch, key, hyper):
        del frozen_fn, hyper
        x = batch["x"]
        level_key, noise_key = jax.random.split(key)
        share = parts.draw(jax.random.uniform, level_key, x.shape[:1], x.dtype)
        sigma = sigma_min * (sigma_max / sigma_min) ** share
        score_fn = partial(score, network_fn, sigma=sigma)
        return sigma**2 * losses.denoising_score_matching_loss(score_fn, noise_key, x, sigma=sigma), {}, memory

    def sample(network_fn, key, num):
        start_key, run_key = jax.random.split(key)
        x = samplers.annealed_langevin(
            partial(energy_at, network_fn),
            run_key,
            base.sample(start_key, num, sigma_max),
            jnp.geomspace(sigma_max, sigma_min, num_levels),
            step_size=step_size,
            num_steps=num_steps,
        )
        # E[data | x] = x + σ² ∇ log p_σ(x)
        return x + sigma_min**2 * score(network_fn, x, sigma_min)

    return Method(
        base,
        partial(energy_at, sigma=sigma_min),
        loss,
        sample,
        inputs=lambda x: (x, jnp.zeros(x.shape[:1], x.dtype)),
        outputs=base.mean.shape,
    )


def joint(base: Base, chains: Chains, persistence: Persistence, *, num_classes: int) -> Method:
    """Train a classifier whose logits are also an energy (JEM); the network f gives logits.

    p(x, y) ∝ base(x) exp f(x)[y], so that p(y | x) = softmax f(x) and E(x) = −log Σ_y exp f(x)[y] − log base(x)

    The loss is −log p(y | x) + `hyper["generative_weight"]` (E(data) − E(chain)).

    Args:
        base: the Gaussian that is tilted.
        chains: how the model is sampled.
        persistence: of the chains.
        num_classes: C.

    Returns:
        The method; batches must carry "label".

    Raises:
        ValueError: if there are fewer than two classes.

    References:
        Grathwohl et al. 2020, Your Classifier is Secretly an Energy Based Model and You Should Treat it Like One.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")

    def model_energy(network_fn, x):
        return losses.joint_energy(network_fn(x)) - base.log_prob(x)

    visit = partial(_visit, base, chains, persistence, model_energy)

    def loss(network_fn, frozen_fn, memory, batch, key, hyper):
        x, labels = batch["x"], batch["label"]
        samples, metrics, memory = visit(frozen_fn, memory, key, len(x))
        logits, sample_logits = network_fn(x), network_fn(samples)
        weight = hyper_value(hyper, "generative_weight")
        values = losses.joint_energy_loss(logits, labels, sample_logits, generative_weight=weight)
        metrics |= {
            "accuracy": mean((jnp.argmax(logits, axis=-1) == labels).astype(logits.dtype)),
            "data_energy": mean(losses.joint_energy(logits)),
            "sample_energy": mean(losses.joint_energy(sample_logits)),
        }
        return values, metrics, memory

    return Method(
        base,
        model_energy,
        loss,
        partial(_walk_from_base, base, chains, model_energy),
        partial(base.coordinates, num=persistence.size),
        outputs=(num_classes,),
        class_logits=lambda network_fn, x: network_fn(x),
        hyper={"generative_weight": 1.0},
    )


def _in_coordinates(base: Base, energy_fn: samplers.EnergyFn) -> samplers.EnergyFn:
    # The map between points and coordinates is linear: its determinant is a constant of the energy.
    return lambda z: energy_fn(base.color(z))


def _walk_from_base(base, chains, model_energy, network_fn, key, num):
    start_key, run_key = jax.random.split(key)
    step = chains.transition(_in_coordinates(base, partial(model_energy, network_fn)))
    z, _ = samplers.run(step, run_key, base.coordinates(start_key, num), chains.num_steps)
    return base.color(z)


def _visit(base, chains, persistence, model_energy, network_fn, buffer, key, num):
    """Let some chains of the buffer go on; give their samples, what there is to tell, and the buffer."""
    visit = samplers.replay(
        chains.transition(_in_coordinates(base, partial(model_energy, network_fn))),
        base.coordinates,
        num=num,
        num_steps=persistence.num_steps,
        reinitialise=persistence.reinitialise,
    )
    buffer, info = visit(key, buffer)
    return base.color(info.x), {"acceptance": jnp.mean(info.steps.acceptance)}, buffer
