"""The small convolutional network behind the feature extractors, as plain functions of a dict of arrays."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Params = dict[str, np.ndarray | Array]


def init(rng: np.random.Generator, channels: int, widths: Sequence[int]) -> Params:
    """Draw the convolutions: 3x3, `widths` channels each, the variance 2 / fan-in of He et al."""
    params: Params = {}
    for i, (inputs, outputs) in enumerate(zip((channels, *widths), widths, strict=False)):
        params[f"conv{i}/kernel"] = draw(rng, (3, 3, inputs, outputs))
        params[f"conv{i}/bias"] = np.zeros(outputs, np.float32)
    return params


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a kernel whose last axis is that of the outputs."""
    return rng.normal(scale=np.sqrt(2 / np.prod(shape[:-1])), size=shape).astype(np.float32)


def activations(params: Params, images: Float[Array, "b h w c"]) -> list[Float[Array, "b _ _ _"]]:
    """Compute all layers; each after the first halves height and width."""
    layers, x = [], images
    for i in range(sum(name.endswith("kernel") and name.startswith("conv") for name in params)):
        stride = 2 if i else 1
        kernel = jnp.asarray(params[f"conv{i}/kernel"])
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.gelu(x + params[f"conv{i}/bias"].reshape(1, 1, 1, -1))
        layers.append(x)
    return layers


def area_average(images: Float[np.ndarray, "b h w c"] | Float[Array, "b h w c"], size: int) -> Float[Array, "b s s c"]:
    """Shrink images by averaging over areas, also where the size does not divide theirs.

    Each new pixel is the mean over the square of old pixels below it, cut ones by the share that is inside. Constant
    images and the mean of all pixels are kept exactly, and nothing aliases.

    Args:
        images: `[B, H, W, C]`.
        size: new height and width, at most the old ones.

    Returns:
        `[B, size, size, C]`.

    Raises:
        ValueError: if an image would have to grow.
    """
    if size > min(images.shape[1:3]):
        raise ValueError(f"size is {size}, expected at most the images' {images.shape[1]} by {images.shape[2]}.")
    rows, columns = _overlaps(images.shape[1], size), _overlaps(images.shape[2], size)
    return jnp.einsum("oh,pw,bhwc->bopc", rows, columns, images, precision=jax.lax.Precision.HIGHEST)


def _overlaps(old, new):
    edges = np.arange(new + 1) * old / new
    pixels = np.arange(old)
    inside = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(inside, 0, None) * new / old).astype(np.float32)
