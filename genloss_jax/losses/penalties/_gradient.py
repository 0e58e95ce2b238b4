"""Penalties on the gradient of a critic with respect to its input."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses._shared import (
    Scalar,
    check_examples,
    check_positive,
    normal_like,
    per_example,
    root,
    squared_norm,
)

CriticFn = Callable[[Float[Array, "batch ..."]], Float[Array, " batch"]]
"""Maps a batch of points to one logit per example."""


def _logits_and_input_gradients(
    critic_fn: CriticFn, points: Float[Array, "batch *event"]
) -> tuple[Float[Array, " batch"], Float[Array, "batch *event"]]:
    """Evaluate a critic and the pull-back of ones to its input.

    Where logit i depends on example i alone, which is what the theory of these penalties covers, row i is ∇D(x_i).
    Unlike a `vmap` over batches of one, the pull-back also serves critics that close over labels, and does not turn
    batch normalisation or minibatch statistics into constants. For a critic that couples its batch, row i is the
    gradient of the summed logits, as in the code that was published with StyleGAN2.
    """
    check_examples(points=points)
    logits, pull_back = jax.vjp(critic_fn, points)
    _check_critic(points, logits)
    (gradients,) = pull_back(jnp.ones_like(logits))
    return logits, gradients


def _check_critic(points: Float[Array, "batch *event"], logits: object) -> None:
    """Raise unless `logits`, which a critic returned for `points`, are one array of shape `[B]`."""
    returned = getattr(logits, "shape", type(logits).__name__)
    if returned != points.shape[:1]:
        raise ValueError(
            f"critic_fn must map points of shape {points.shape} to one logit per example, shape {points.shape[:1]}; "
            f"it returned {returned}."
        )


def _squared_gradient_norm(critic_fn: CriticFn, points: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Return ‖∇D(x)‖² per example, one norm over all axes."""
    return squared_norm(_logits_and_input_gradients(critic_fn, points)[1])


def _interpolate(
    key: PRNGKeyArray, real: Float[Array, "batch *event"], fake: Float[Array, "batch *event"]
) -> Float[Array, "batch *event"]:
    """Draw α ~ U[0, 1) once per example and return α·real + (1 − α)·fake."""
    check_examples(real=real, fake=fake)
    alpha = jax.random.uniform(key, real.shape[:1], real.dtype).reshape((-1,) + (1,) * (real.ndim - 1))
    return alpha * real + (1 - alpha) * fake


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
    if power < 1:
        raise ValueError(f"power must be at least 1; got {power}.")
    squared = _squared_gradient_norm(critic_fn, points)
    excess = root(squared) - center
    if one_sided:
        excess = jax.nn.relu(excess)
    if power % 2 == 0:
        # The norm has a kink at zero; its even powers have none.
        return jnp.where(center == 0, squared ** int(power // 2), excess ** int(power))
    return jnp.abs(excess) ** power


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
    return gradient_norm_penalty(critic_fn, _interpolate(key, real, fake), center=center)


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
    return gradient_norm_penalty(critic_fn, _interpolate(key, real, fake), center=center, one_sided=True)


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
    return _squared_gradient_norm(critic_fn, _interpolate(key, real, fake))


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
    return 0.5 * _squared_gradient_norm(critic_fn, real)


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
    return 0.5 * _squared_gradient_norm(critic_fn, fake)


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
    check_examples(real=real)
    uniform = jax.random.uniform(key, (real.size,), real.dtype, minval=-1.0).reshape(real.shape)
    # The spread of the data sets a length; it is no route for gradients, and its root has none at equal examples.
    spread = jax.lax.stop_gradient(jnp.std(real))
    return gradient_norm_penalty(critic_fn, real + noise_scale * spread * uniform, center=center)


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
    return coefficient * gradient_norm_penalty(critic_fn, _interpolate(key, real, fake), center=0.0, power=power)


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
    squared = _squared_gradient_norm(critic_fn, _interpolate(key, real, fake))
    return per_example(jnp.max(squared), squared)


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
    _check_critic(real, logits)
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
    real_logits, real_gradients = _logits_and_input_gradients(critic_fn, real)
    fake_logits, fake_gradients = _logits_and_input_gradients(critic_fn, fake)
    # 1 − σ(a) = σ(−a)
    real_term = jnp.square(jax.nn.sigmoid(-real_logits)) * squared_norm(real_gradients)
    fake_term = jnp.square(jax.nn.sigmoid(fake_logits)) * squared_norm(fake_gradients)
    return 0.5 * (real_term + fake_term)
