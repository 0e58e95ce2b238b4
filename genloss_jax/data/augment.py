"""Differentiable augmentation of images, for training GANs on few examples.

Critic and generator both see augmented images, real and generated alike, and gradients flow back through the
augmentation, so that the generator learns the data and not their augmentations. Every operation draws anew for every
example, and acts on it with a given probability, which may be traced: 0 gives back the images exactly, 1 is
DiffAugment, and between them lies ADA's adaptive augmentation, whose probability `update_probability` steers.

References:
    Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020 (operations and ranges).
    Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020 (probability).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from genloss_jax import _parts as parts
from genloss_jax._names import look_up

Images = Float[Array, "batch height width channels"]

_SHIFT = 1 / 8  # of height and width, at most, each way
_HOLE = 1 / 2  # of height and width


def augment(
    key: Key[Array, ""],
    images: Images,
    policy: tuple[str, ...] | str,
    probability: float | Float[Array, ""] = 1.0,
) -> Images:
    """Augment images, each on its own and each operation with the given probability.

    Real and generated images take different keys. Where a pixel is moved away or covered there is 0, mid-grey for
    images in [-1, 1]; values may leave [-1, 1], and are not clipped, as clipping would stop gradients.

    Args:
        key: Random key.
        images: Images `[B, H, W, C]`.
        policy: Operations in the order in which they act, as a tuple or with commas between them: `brightness` (adds
            U(-½, ½)), `saturation` (scales by U(0, 2) about the grey of each pixel), `contrast` (scales by U(½, 1½)
            about the mean of each image), `translation` (by up to an eighth of the side, whole pixels), `cutout`
            (covers a square of half the side), `flip` (left and right); and `color`, for the first three.
        probability: Probability that an operation acts on an example, in [0, 1]; a float or a traced scalar.

    Returns:
        Augmented images `[B, H, W, C]`, differentiable with respect to `images`.

    Raises:
        ValueError: If an operation is unknown, or `images` does not have four axes.
    """
    if images.ndim != 4:
        raise ValueError(f"images must have the axes [batch, height, width, channels], got shape {images.shape}")
    for index, name in enumerate(_operations(policy)):
        gate_key, operation_key = jax.random.split(jax.random.fold_in(key, index))
        # uniform() < 0 never holds and uniform() < 1 always does, so both ends are exact
        acts = parts.draw(jax.random.uniform, gate_key, (images.shape[0], 1, 1, 1)) < probability
        images = jnp.where(acts, _OPERATIONS[name](operation_key, images), images)
    return images


def update_probability(
    probability: float | Float[Array, ""],
    real_logits: Float[Array, " batch"],
    *,
    target: float = 0.6,
    speed: float | Float[Array, ""],
) -> Float[Array, ""]:
    """Move the augmentation probability by ADA's rule: up where the critic overfits, down where it does not.

    `p + speed sign(r - target)`, with `r = E[sign(D(real))]`, kept in [0, 1].

    Args:
        probability: The probability now.
        real_logits: The critic's logits on augmented real training images `[B]`, of one batch or of the last few.
        target: The value of `r` to hold. 1 means that the critic is sure of every real image, 0 that it is guessing.
        speed: How far one call moves the probability. ADA crosses from 0 to 1 in 500,000 images: batch size / 500,000.

    Returns:
        The new probability, a scalar without gradient.
    """
    overfit = parts.mean(jnp.sign(real_logits), "adaptive augmentation")
    return jax.lax.stop_gradient(jnp.clip(probability + speed * jnp.sign(overfit - target), 0.0, 1.0))


def policies() -> tuple[str, ...]:
    """Name everything that a policy may consist of."""
    return (*_OPERATIONS, *_GROUPS)


def _operations(policy: tuple[str, ...] | str) -> list[str]:
    names = [name.strip() for name in policy.split(",") if name.strip()] if isinstance(policy, str) else list(policy)
    groups = {operation: (operation,) for operation in _OPERATIONS} | _GROUPS
    return [operation for name in names for operation in look_up("operation in policy", name, groups)]


def _each(key: jax.Array, images: Images, low: float, high: float) -> Float[Array, "batch 1 1 1"]:
    return parts.draw(jax.random.uniform, key, (images.shape[0], 1, 1, 1), images.dtype, low, high)


def _brightness(key: jax.Array, images: Images) -> Images:
    return images + _each(key, images, -0.5, 0.5)


def _saturation(key: jax.Array, images: Images) -> Images:
    grey = images.mean(-1, keepdims=True)
    return grey + (images - grey) * _each(key, images, 0.0, 2.0)


def _contrast(key: jax.Array, images: Images) -> Images:
    mean = images.mean((1, 2, 3), keepdims=True)
    return mean + (images - mean) * _each(key, images, 0.5, 1.5)


def _translation(key: jax.Array, images: Images) -> Images:
    for axis, axis_key in zip((1, 2), jax.random.split(key), strict=True):
        size = images.shape[axis]
        reach = int(size * _SHIFT + 0.5)
        shifts = parts.draw(jax.random.randint, axis_key, (images.shape[0],), -reach, reach + 1)
        images = _shift(images, shifts, axis)
    return images


def _shift(images: Images, shifts: jax.Array, axis: int) -> Images:
    """Move each image along an axis by its own number of pixels, zeros following."""
    size = images.shape[axis]
    sources = jnp.arange(size)[None, :] - shifts[:, None]
    inside = (sources >= 0) & (sources < size)
    shape = [images.shape[0], 1, 1, 1]
    shape[axis] = size
    moved = jnp.take_along_axis(images, jnp.clip(sources, 0, size - 1).reshape(shape), axis)
    return jnp.where(inside.reshape(shape), moved, 0)


def _cutout(key: jax.Array, images: Images) -> Images:
    covered = jnp.ones((images.shape[0], 1, 1, 1), bool)
    for axis, axis_key in zip((1, 2), jax.random.split(key), strict=True):
        size = images.shape[axis]
        hole = int(size * _HOLE + 0.5)
        # The square's centre lies anywhere in the image, so up to half of its side is outside, as in DiffAugment.
        first = parts.draw(jax.random.randint, axis_key, (images.shape[0],), 0, size + 1 - hole % 2) - hole // 2
        places = jnp.arange(size)[None, :] - first[:, None]
        shape = [images.shape[0], 1, 1, 1]
        shape[axis] = size
        covered = covered & ((places >= 0) & (places < hole)).reshape(shape)
    return jnp.where(covered, 0, images)


def _flip(key: jax.Array, images: Images) -> Images:
    del key  # whether an image is flipped is what the probability decides
    return images[:, :, ::-1, :]


_OPERATIONS: dict[str, Callable[[jax.Array, Images], Images]] = {
    "brightness": _brightness,
    "saturation": _saturation,
    "contrast": _contrast,
    "translation": _translation,
    "cutout": _cutout,
    "flip": _flip,
}
_GROUPS = {"color": ("brightness", "saturation", "contrast")}
