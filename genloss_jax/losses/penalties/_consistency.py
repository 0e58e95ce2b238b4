"""Penalties on what a critic or generator returns: its size, its memory, its answer to small changes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses._shared import (
    Scalar,
    check_examples,
    check_positive,
    check_values,
    normal_like,
    squared_norm,
)


def lecam_penalty(
    real_logits: Float[Array, " batch"],
    fake_logits: Float[Array, " batch"],
    real_average: Scalar,
    fake_average: Scalar,
    *,
    one_sided: bool = True,
) -> Float[Array, " batch"]:
    """Keep each side's logits near the other side's running average.

    `relu(D(x) − a_F)² + relu(a_R − D(x̃))²`: real logits against the average of fake logits, and the reverse. The ReLU
    is in the authors' code; Eq. 4 of the preprint has the plain squares, which are `one_sided=False`. They differ only
    where the critic orders an example wrongly. The averages count as constants; `update_average` keeps them.

    Args:
        real_logits: critic on real examples, `[B]`.
        fake_logits: critic on generated examples, `[B]`.
        real_average: running average a_R of real logits, scalar.
        fake_average: running average a_F of fake logits, scalar.
        one_sided: with the ReLU.

    Returns:
        `[B]`, squared critic units.

    Raises:
        ValueError: if the logits are not floating arrays of one shape `[B]`, or an average is not a scalar.

    References:
        Tseng et al. 2021, Regularizing Generative Adversarial Networks under Limited Data, Eq. 4, and its code.
    """
    check_values(real_logits=real_logits, fake_logits=fake_logits)
    for name, average in (("real_average", real_average), ("fake_average", fake_average)):
        if jnp.ndim(average) != 0:
            raise ValueError(f"{name} must be a scalar, the average over a batch; got shape {jnp.shape(average)}.")
    real_excess = real_logits - jax.lax.stop_gradient(fake_average)
    fake_excess = jax.lax.stop_gradient(real_average) - fake_logits
    if one_sided:
        real_excess, fake_excess = jax.nn.relu(real_excess), jax.nn.relu(fake_excess)
    return jnp.square(real_excess) + jnp.square(fake_excess)


def drift_penalty(real_logits: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """Keep the critic's output from drifting away from zero.

    `D(x)²` on real examples only. No ½; the weight (0.001 in the paper) is the caller's.

    Args:
        real_logits: critic on real examples, `[B]`.

    Returns:
        `[B]`, squared critic units.

    Raises:
        ValueError: if `real_logits` is not a floating array of shape `[B]`.

    References:
        Karras et al. 2018, Progressive Growing of GANs, appendix A.1.
    """
    check_values(real_logits=real_logits)
    return jnp.square(real_logits)


def consistency_penalty(
    outputs: Float[Array, "batch *event"], augmented_outputs: Float[Array, "batch *event"]
) -> Float[Array, " batch"]:
    """Ask a critic for the same answer on an example and on its augmentation.

    `‖D(x) − D(T(x))‖²`, summed over all axes of an example. Gradients flow through both sides. No ½, no weight.

    Args:
        outputs: critic's logits `[B]` or features `[B, ...]` on examples.
        augmented_outputs: the same on their augmentations.

    Returns:
        `[B]`, squared critic units.

    Raises:
        ValueError: if the two differ in shape or are not floating.

    References:
        Zhang et al. 2020, Consistency Regularization for Generative Adversarial Networks.
    """
    check_examples(outputs=outputs, augmented_outputs=augmented_outputs)
    return squared_norm(outputs - augmented_outputs)


def balanced_consistency_penalty(
    real_outputs: Float[Array, "batch *event"],
    augmented_real_outputs: Float[Array, "batch *event"],
    fake_outputs: Float[Array, "batch *event"],
    augmented_fake_outputs: Float[Array, "batch *event"],
    *,
    real_weight: Scalar = 1.0,
    fake_weight: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Ask a critic for the same answer on real and on generated examples and on the augmentations of both.

    `λ_real ‖D(x) − D(T(x))‖² + λ_fake ‖D(x̃) − D(T(x̃))‖²`, summed over all axes of an example. Only the discriminator's
    loss takes it. Gradients flow through both sides of each difference.

    Args:
        real_outputs: critic's logits `[B]` or features `[B, ...]` on real examples.
        augmented_real_outputs: the same on their augmentations.
        fake_outputs: the same on generated examples.
        augmented_fake_outputs: the same on their augmentations.
        real_weight: λ_real.
        fake_weight: λ_fake.

    Returns:
        `[B]`, squared critic units.

    Raises:
        ValueError: if the four differ in shape or are not floating.

    References:
        Zhao et al. 2021, Improved Consistency Regularization for GANs (bCR).
    """
    check_examples(
        real_outputs=real_outputs,
        augmented_real_outputs=augmented_real_outputs,
        fake_outputs=fake_outputs,
        augmented_fake_outputs=augmented_fake_outputs,
    )
    real_change = squared_norm(real_outputs - augmented_real_outputs)
    fake_change = squared_norm(fake_outputs - augmented_fake_outputs)
    return real_weight * real_change + fake_weight * fake_change


def latent_consistency_penalty(
    output_fn: Callable[[Float[Array, "batch ..."]], Float[Array, "batch ..."]],
    key: PRNGKeyArray,
    latents: Float[Array, "batch *event"],
    *,
    sigma: Scalar,
) -> Float[Array, " batch"]:
    """Measure how far an output moves when the latents move a little.

    `‖h(z) − h(z + σε)‖²`, `ε ~ N(0, I)`, summed over all axes of an example; not divided by σ². One function for both
    players: the discriminator adds it for `h = D∘G`, and the generator **subtracts** it for `h = G`, because a
    generator should answer to its latents. Gradients flow through both evaluations.

    Args:
        output_fn: h, maps latents `[B, ...]` to outputs `[B, ...]`; called twice.
        key: draws ε.
        latents: z, `[B, ...]`.
        sigma: standard deviation of the perturbation, positive.

    Returns:
        `[B]`, squared units of the output.

    Raises:
        ValueError: if `latents` is not floating, `output_fn` does not keep the batch axis, or `sigma` is not positive.

    References:
        Zhao et al. 2021, Improved Consistency Regularization for GANs (zCR).
    """
    check_examples(latents=latents)
    check_positive("sigma", sigma)
    outputs = output_fn(latents)
    if outputs.shape[:1] != latents.shape[:1]:
        raise ValueError(
            f"output_fn must keep the batch axis of latents, shape {latents.shape}; it returned {outputs.shape}."
        )
    return squared_norm(outputs - output_fn(latents + sigma * normal_like(key, latents)))
