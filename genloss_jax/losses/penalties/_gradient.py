"""Penalties on the gradient of a critic at one point per example."""

from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses._shared import Scalar, check_examples
from genloss_jax.losses.penalties._input_gradient import (
    CriticFn,
    divergence,
    half,
    interpolate,
    largest,
    perturb,
    power_of_excess,
    square,
    squared_gradient_norm,
)


def gradient_norm_penalty(
    critic_fn: CriticFn,
    points: Float[Array, "batch *event"],
    *,
    center: Scalar,
    one_sided: bool = False,
    power: int | float = 2,
) -> Float[Array, " batch"]:
    """Penalise how far the norm of the critic's input gradient is from a target.

    `|‖∇D(x)‖ − center|^power`, or with `one_sided` `max(‖∇D(x)‖ − center, 0)^power`. No ½ and no weight. One Euclidean
    norm per example over all its axes, channels and pixels included: neither one norm per pixel nor one over the
    batch. Where the gradient is zero the value is `|center|^power`, and its gradient is finite.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`. Row i of the gradient is that of the summed logits, which is
            ∇D(x_i) unless the critic couples its batch.
        points: where to measure, `[B, ...]`.
        center: target norm; may be traced. At 0 with an even power the penalty is a power of the squared norm, so that
            its second derivative is right at a zero gradient as well.
        one_sided: penalise only norms above `center`.
        power: exponent, at least 1, not traced.

    Returns:
        `[B]`, in units of the critic's gradient to the power `power`.

    Raises:
        ValueError: if `points` is not floating, `critic_fn` does not return `[B]`, or `power` is below 1.

    References:
        The common form of Gulrajani et al. 2017, Petzka et al. 2018, Mescheder et al. 2018 and Wu et al. 2018.
    """
    shape = power_of_excess(center=center, one_sided=one_sided, power=power)
    return shape(squared_gradient_norm(critic_fn, points))


def wgan_gp_penalty(
    critic_fn: CriticFn,
    key: PRNGKeyArray,
    real: Float[Array, "batch *event"],
    fake: Float[Array, "batch *event"],
    *,
    center: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Ask for gradients of norm one on lines between real and fake examples.

    `(‖∇D(x̂)‖ − 1)²` at `x̂ = α·real + (1 − α)·fake`, `α ~ U[0, 1)` drawn once per example. No ½; the weight (10 in the
    paper) is the caller's.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        key: draws α.
        real: examples `[B, ...]`.
        fake: generated examples of the same shape. Gradients flow into them: stop them for a critic's step.
        center: target norm.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `real` and `fake` differ in shape, are not floating, or `critic_fn` does not return `[B]`.

    References:
        Gulrajani et al. 2017, Improved Training of Wasserstein GANs, Eq. 3.
    """
    return gradient_norm_penalty(critic_fn, interpolate(key, real, fake), center=center)


def wgan_lp_penalty(
    critic_fn: CriticFn,
    key: PRNGKeyArray,
    real: Float[Array, "batch *event"],
    fake: Float[Array, "batch *event"],
    *,
    center: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Ask for gradients of norm at most one on lines between real and fake examples.

    `max(‖∇D(x̂)‖ − 1, 0)²`, with `x̂` as in `wgan_gp_penalty`. No ½, no weight.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        key: draws α, one per example.
        real: examples `[B, ...]`.
        fake: generated examples of the same shape.
        center: largest norm that costs nothing.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `real` and `fake` differ in shape, are not floating, or `critic_fn` does not return `[B]`.

    References:
        Petzka et al. 2018, On the Regularization of Wasserstein GANs.
    """
    return gradient_norm_penalty(critic_fn, interpolate(key, real, fake), center=center, one_sided=True)


def zero_centered_penalty(
    critic_fn: CriticFn,
    key: PRNGKeyArray,
    real: Float[Array, "batch *event"],
    fake: Float[Array, "batch *event"],
) -> Float[Array, " batch"]:
    """Ask for a flat critic on lines between real and fake examples.

    `‖∇D(x̂)‖²`, with `x̂` as in `wgan_gp_penalty`: GP-0. Without the ½ that `r1_penalty` has.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        key: draws α, one per example.
        real: examples `[B, ...]`.
        fake: generated examples of the same shape.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `real` and `fake` differ in shape, are not floating, or `critic_fn` does not return `[B]`.

    References:
        Thanh-Tung et al. 2019, Improving Generalization and Stability of Generative Adversarial Networks.
    """
    return square(squared_gradient_norm(critic_fn, interpolate(key, real, fake)))


def r1_penalty(critic_fn: CriticFn, real: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Ask for a flat critic on real examples.

    `½‖∇D(x)‖²`, with the ½: the training term is `gamma * r1_penalty(...)` with the paper's γ. Code that leaves the ½
    out (GAN_stability) needs twice its weight here. No square root is taken anywhere.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        real: examples `[B, ...]`.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `real` is not floating or `critic_fn` does not return `[B]`.

    References:
        Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, section 4.
    """
    check_examples(real=real)
    return half(squared_gradient_norm(critic_fn, real))


def r2_penalty(critic_fn: CriticFn, fake: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Ask for a flat critic on generated examples.

    `½‖∇D(x̃)‖²`, with the ½ as in `r1_penalty`. Gradients flow into `fake`: stop them for a critic's step.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        fake: generated examples `[B, ...]`.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `fake` is not floating or `critic_fn` does not return `[B]`.

    References:
        Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, section 4.
    """
    check_examples(fake=fake)
    return half(squared_gradient_norm(critic_fn, fake))


def dragan_penalty(
    critic_fn: CriticFn,
    key: PRNGKeyArray,
    real: Float[Array, "batch *event"],
    *,
    noise_scale: Scalar = 0.5,
    center: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Ask for gradients of norm one around real examples.

    `(‖∇D(x + δ)‖ − 1)²` with `δ = noise_scale · std(real) · u`, `u ~ U[−1, 1)` drawn per coordinate, and `std` one
    number for the whole batch. The text of the paper has Gaussian noise; its code draws `u ~ U[0, 1)`, which also
    shifts every point by a quarter of `std`. The centred uniform here is compare_gan's. Nothing is clipped.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        key: draws u.
        real: examples `[B, ...]`.
        noise_scale: half width of the noise in standard deviations of the batch.
        center: target norm.

    Returns:
        `[B]`, squared critic gradient.

    Raises:
        ValueError: if `real` is not floating or `critic_fn` does not return `[B]`.

    References:
        Kodali et al. 2017, On Convergence and Stability of GANs.
    """
    return gradient_norm_penalty(critic_fn, perturb(key, real, noise_scale=noise_scale), center=center)


def wgan_div_penalty(
    critic_fn: CriticFn,
    key: PRNGKeyArray,
    real: Float[Array, "batch *event"],
    fake: Float[Array, "batch *event"],
    *,
    coefficient: Scalar = 2.0,
    power: int | float = 6,
) -> Float[Array, " batch"]:
    """Charge for a high power of the gradient norm, so that the game measures a Wasserstein divergence.

    `k ‖∇D(x̂)‖^p` with the paper's `k = 2` and `p = 6`, at `x̂` as in `wgan_gp_penalty`. The coefficient k is part of
    the divergence and is included: add the penalty with weight 1.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        key: draws α, one per example.
        real: examples `[B, ...]`.
        fake: generated examples of the same shape.
        coefficient: k.
        power: p, at least 1, not traced.

    Returns:
        `[B]`, critic units.

    Raises:
        ValueError: if `real` and `fake` differ in shape, are not floating, `critic_fn` does not return `[B]`, or
            `power` is below 1.

    References:
        Wu et al. 2018, Wasserstein Divergence for GANs.
    """
    shape = divergence(coefficient=coefficient, power=power)
    return shape(squared_gradient_norm(critic_fn, interpolate(key, real, fake)))


def max_gradient_penalty(
    critic_fn: CriticFn,
    key: PRNGKeyArray,
    real: Float[Array, "batch *event"],
    fake: Float[Array, "batch *event"],
) -> Float[Array, " batch"]:
    """Ask that the steepest point of the batch be flat.

    `max_j ‖∇D(x̂_j)‖²`, with `x̂` as in `wgan_gp_penalty`. Every entry holds this one maximum, so that the mean over the
    batch is the published penalty. The maximum of a batch is a lower bound of the Lipschitz constant, squared.

    Args:
        critic_fn: maps points `[B, ...]` to logits `[B]`.
        key: draws α, one per example.
        real: examples `[B, ...]`.
        fake: generated examples of the same shape.

    Returns:
        `[B]`, squared critic gradient, the same in every entry.

    Raises:
        ValueError: if `real` and `fake` differ in shape, are not floating, or `critic_fn` does not return `[B]`.

    References:
        Zhou et al. 2019, Lipschitz Generative Adversarial Nets.
    """
    return largest(squared_gradient_norm(critic_fn, interpolate(key, real, fake)))
