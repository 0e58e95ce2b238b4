"""Losses that push energies down on data and up on the model's own samples."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses._shared import Scalar, check_examples, check_positive, check_values, squared_norm
from genloss_jax.losses.energy._shared import (
    EnergyFn,
    PerExample,
    evaluate,
    for_each_example,
)
from genloss_jax.losses.likelihood import categorical_nll


def contrastive_divergence_loss(
    data_energy: Float[Array, " batch"], sample_energy: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """Push the energy down on data and up on samples of the model.

    `E(x) − E(x̃)`. With x̃ drawn from the model itself, the mean's gradient is that of the negative log-likelihood.
    With a short chain from data (CD) or a persistent one (PCD) it is an approximation. The value is no likelihood: it
    says how far samples lie from data on the energy's scale, it is near zero at the optimum, and it may be negative. A
    constant added to E cancels.

    The samples count as constants: pass `energy_fn(jax.lax.stop_gradient(samples))` if the sampler is differentiable.

    Args:
        data_energy: E(x) on data, `[B]`.
        sample_energy: E(x̃) on samples, `[B]`.

    Returns:
        `[B]`, nats; the i-th value pairs the i-th example with the i-th sample.

    Raises:
        ValueError: if the two are not floating arrays of one shape `[B]`.

    References:
        Hinton 2002, Training Products of Experts by Minimizing Contrastive Divergence; Tieleman 2008, Training
        Restricted Boltzmann Machines using Approximations to the Likelihood Gradient (PCD).
    """
    check_values(data_energy=data_energy, sample_energy=sample_energy)
    # low on data, high on samples
    return data_energy - sample_energy


def energy_magnitude_penalty(
    data_energy: Float[Array, " batch"], sample_energy: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """Keep energies near zero, which contrastive divergence leaves free.

    `E(x)² + E(x̃)²`. No ½; the weight is the caller's. Both sides have gradients, and their sum pulls the energy's
    arbitrary constant to zero.

    Args:
        data_energy: E(x) on data, `[B]`.
        sample_energy: E(x̃) on samples, `[B]`.

    Returns:
        `[B]`, squared nats.

    Raises:
        ValueError: if the two are not floating arrays of one shape `[B]`.

    References:
        Du and Mordatch 2019, Implicit Generation and Modeling with Energy-Based Models, section 3.
    """
    check_values(data_energy=data_energy, sample_energy=sample_energy)
    return jnp.square(data_energy) + jnp.square(sample_energy)


def joint_energy(logits: Float[Array, "batch classes"]) -> Float[Array, " batch"]:
    """Read a classifier's logits as the energy of its input.

    `E(x) = −log Σ_y exp f(x)[y]`, for the joint model p(x, y) ∝ exp f(x)[y].

    Args:
        logits: f(x), `[B, C]`.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if `logits` is not a floating array `[B, C]`.

    References:
        Grathwohl et al. 2020, Your Classifier is Secretly an Energy Based Model and You Should Treat it Like One,
        section 3.
    """
    _check_class_logits("logits", logits)
    return -jax.nn.logsumexp(logits, axis=-1)


def joint_energy_loss(
    logits: Float[Array, "batch classes"],
    labels: Int[Array, " batch"],
    sample_logits: Float[Array, "batch classes"],
    *,
    generative_weight: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Train a classifier and the density of its inputs at once (JEM).

    `−log p(y|x) + w (E(x) − E(x̃))` with `p(y|x) = softmax f(x)` and `E(x) = −log Σ_y exp f(x)[y]`. With w = 1 and
    samples x̃ of the model it has the gradient of −log p(x, y). The first term is a proper negative log-likelihood, the
    second is none (see `contrastive_divergence_loss`).

    Args:
        logits: f(x) on data, `[B, C]`.
        labels: classes y, integers `[B]`.
        sample_logits: f(x̃) on samples, which count as constants, `[B, C]`.
        generative_weight: w, 1 in the paper.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the logits are not floating arrays of one shape `[B, C]`, or `labels` not integers `[B]`.

    References:
        Grathwohl et al. 2020, Your Classifier is Secretly an Energy Based Model and You Should Treat it Like One,
        section 4.
    """
    _check_class_logits("logits", logits)
    check_examples(logits=logits, sample_logits=sample_logits)
    generative = contrastive_divergence_loss(joint_energy(logits), joint_energy(sample_logits))
    return categorical_nll(logits, labels) + generative_weight * generative


def recovery_energy(energy_fn: EnergyFn, noisy: Float[Array, "batch *event"], *, sigma: PerExample) -> EnergyFn:
    """Build the energy of an example given its noisy version.

    `E(x | x̃) = E(x) + ‖x̃ − x‖² / (2σ²)` for `x̃ = x + σε`, up to a constant of x̃. It is what a sampler of
    `recovery_likelihood_loss` walks on; with small σ it has one mode.

    Args:
        energy_fn: maps points `[B, ...]` to energies `[B]`.
        noisy: x̃, `[B, ...]`.
        sigma: standard deviation of the noise, positive; a scalar or `[B]`.

    Returns:
        A function from points x `[B, ...]` to energies `[B]`, in nats.

    Raises:
        ValueError: if `noisy` is not floating, or `sigma` is not positive or of another shape.

    References:
        Gao et al. 2021, Learning Energy-Based Models by Diffusion Recovery Likelihood, section 3.
    """
    check_examples(noisy=noisy)
    check_positive("sigma", sigma)
    scale = for_each_example(sigma, noisy, "sigma")

    def conditional_energy_fn(x: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
        return evaluate(energy_fn, x) + 0.5 * squared_norm((noisy - x) / scale)

    return conditional_energy_fn


def recovery_likelihood_loss(
    energy_fn: EnergyFn,
    x: Float[Array, "batch *event"],
    noisy: Float[Array, "batch *event"],
    samples: Float[Array, "batch *event"],
    *,
    sigma: PerExample,
) -> Float[Array, " batch"]:
    """Fit the energy so that examples are likely given their noisy versions.

    `E(x | x̃) − E(x' | x̃)` with `E(x | x̃) = E(x) + ‖x̃ − x‖² / (2σ²)`, x' drawn from the model's p(x | x̃). The
    mean's gradient is that of −log p(x | x̃). The samples count as constants. Like contrastive divergence it is no
    likelihood.

    Args:
        energy_fn: maps points `[B, ...]` to energies `[B]`; called twice.
        x: data, `[B, ...]`.
        noisy: x̃ = x + σε, `[B, ...]`.
        samples: x', from `recovery_energy(energy_fn, noisy, sigma=sigma)`, `[B, ...]`.
        sigma: standard deviation of the noise, positive; a scalar or `[B]`.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the three arrays are not floating or differ in shape, `energy_fn` does not return `[B]`, or
            `sigma` is not positive or of another shape.

    References:
        Gao et al. 2021, Learning Energy-Based Models by Diffusion Recovery Likelihood, section 3.
    """
    check_examples(x=x, noisy=noisy, samples=samples)
    conditional_energy_fn = recovery_energy(energy_fn, noisy, sigma=sigma)
    return contrastive_divergence_loss(conditional_energy_fn(x), conditional_energy_fn(jax.lax.stop_gradient(samples)))


class CooperativeLosses(NamedTuple):
    """Losses of the two players of cooperative learning.

    Attributes:
        energy: loss of the energy, `[B]`.
        generator: loss of the generator, `[B]`.
    """

    energy: Float[Array, " batch"]
    generator: Float[Array, " batch"]


def cooperative_losses(
    data_energy: Float[Array, " batch"],
    revised_energy: Float[Array, " batch"],
    generated: Float[Array, "batch *event"],
    revised: Float[Array, "batch *event"],
    *,
    sigma: Scalar,
) -> CooperativeLosses:
    """Let a generator propose samples, a short chain on the energy revise them, and both learn from the revision.

    Energy: `E(x) − E(x')`, with x' the revised sample. Generator: `‖x' − g(z)‖² / (2σ²)`, with x' held constant: the
    negative log-likelihood of the revised sample under N(g(z), σ²I), less its constant.

    Args:
        data_energy: E(x) on data, `[B]`.
        revised_energy: E(x') on revised samples, which count as constants there, `[B]`.
        generated: g(z), `[B, ...]`.
        revised: x', `[B, ...]`.
        sigma: standard deviation of the generator's observation noise, positive.

    Returns:
        Two arrays `[B]`, nats.

    Raises:
        ValueError: if the energies are not floating arrays of one shape `[B]`, `generated` and `revised` differ in
            shape or batch, or `sigma` is not positive.

    References:
        Xie et al. 2018, Cooperative Learning of Energy-Based Model and Latent Variable Model via MCMC Teaching.
    """
    check_positive("sigma", sigma)
    check_values(data_energy=data_energy, revised_energy=revised_energy)
    check_examples(generated=generated, revised=revised)
    energy = contrastive_divergence_loss(data_energy, revised_energy)
    if generated.shape[:1] != energy.shape:
        raise ValueError(f"generated must have the batch size of data_energy, {energy.shape[0]}; got {len(generated)}.")
    return CooperativeLosses(energy, 0.5 * squared_norm((jax.lax.stop_gradient(revised) - generated) / sigma))


def _check_class_logits(name: str, logits: Array) -> None:
    if jnp.ndim(logits) != 2:
        raise ValueError(f"{name} must hold one row of logits per example, [B, C]; got shape {jnp.shape(logits)}.")
    check_examples(**{name: logits})
