"""Penalties that stand for noise on the input of a critic."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses._shared import Scalar, check_examples, check_positive, normal_like, squared_norm
from genloss_jax.losses.penalties._input_gradient import CriticFn, check_critic, logits_and_input_gradients


def approximate_r1_penalty(
    critic_fn: CriticFn, key: PRNGKeyArray, real: Float[Array, "batch *event"], *, sigma: Scalar
) -> Float[Array, " batch"]:
    """Estimate `r1_penalty` from one finite difference, without a second derivative.

    `½ ((D(x + σε) − D(x)) / σ)²`, `ε ~ N(0, I)`. Its expectation is `½‖∇D(x)‖²` for a linear critic at every σ, and for
    a smooth one in the limit σ → 0; one draw scatters around it. The published penalty is `(D(x + σε) − D(x))²`,
    which is 2σ² times this one: a published weight λ is `2σ²λ` here. In float32 the difference loses about
    `1e-7·|D|/σ`, so σ must not be tiny.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`; called twice.
        key: draws ε.
        real: examples `[B, ...]`.
        sigma: standard deviation of the perturbation, positive.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `real` is not floating, `critic_fn` does not return `[B]`, or `sigma` is not positive.

    References:
        Lin et al. 2025, Diffusion Adversarial Post-Training for One-Step Video Generation.
    """
    check_examples(real=real)
    check_positive("sigma", sigma)
    logits = critic_fn(real)
    check_critic(real, logits)
    perturbed_logits = critic_fn(real + sigma * normal_like(key, real))
    return 0.5 * jnp.square((perturbed_logits - logits) / sigma)


def roth_penalty(
    critic_fn: CriticFn, real: Float[Array, "batch *event"], fake: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Ask for a flat critic where it is not sure, as training on noisy examples would.

    `½ ((1 − σ(D(x)))² ‖∇D(x)‖² + σ(D(x̃))² ‖∇D(x̃)‖²)`, the Jensen-Shannon regulariser on logits. Includes the ½: the
    training term is `gamma * roth_penalty(...)` with the paper's γ, the variance of the noise it stands for. Gradients
    flow through the weights σ(D) too. The i-th value pairs the i-th real with the i-th fake example.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        real: examples `[B, ...]`.
        fake: generated examples of the same shape.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `real` and `fake` differ in shape, are not floating, or `critic_fn` does not return `[B]`.

    References:
        Roth et al. 2017, Stabilizing Training of Generative Adversarial Networks through Regularization.
    """
    check_examples(real=real, fake=fake)
    real_logits, real_gradients = logits_and_input_gradients(critic_fn, real)
    fake_logits, fake_gradients = logits_and_input_gradients(critic_fn, fake)
    # 1 − σ(a) = σ(−a)
    real_term = jnp.square(jax.nn.sigmoid(-real_logits)) * squared_norm(real_gradients)
    fake_term = jnp.square(jax.nn.sigmoid(fake_logits)) * squared_norm(fake_gradients)
    return 0.5 * (real_term + fake_term)
