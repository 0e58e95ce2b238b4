"""Convolution as a choice: XLA's own, or patches times a matrix, with the same parameters.

`native` is one `lax.conv_general_dilated`. On XLA's CPU backend its backward passes are slow, inside `scan` it is many
times slower, and vmapped weights (a grouped convolution) are slower still; see `benchmarks/convolution.py`.
`patches` uses slices and matrix products only, which keep their speed there. What makes it fast on a CPU:

- A convolution of stride 2 first moves each 2x2 block into channels (space to depth). A 4x4 kernel is then a 2x2
  kernel of stride 1, so four slices make the patches instead of sixteen, each a long contiguous run.
- The slices are stacked on a new axis. XLA copies that at memory speed; a concatenation along channels it does not.
- A transposed convolution is one matrix product and an overlap-add of four summands in block layout, then depth to
  space: the exact adjoint of the above. Sixteen summands with strides cost ten times as much.

Layout is NHWC, kernels are HWIO. Padding is `(k - 1) // 2` zeros on every side, as in PyTorch's networks, so that
stride 1 with odd k keeps the size and stride 2 halves it.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

IMPLEMENTATIONS = ("auto", "native", "patches")
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def resolve(implementation: str) -> str:
    """Choose the implementation: "auto" is patches where the default backend is a CPU, else native.

    Raises:
        ValueError: for an unknown implementation.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"convolution implementation must be one of {IMPLEMENTATIONS}, got {implementation!r}")
    if implementation == "auto":
        return "patches" if jax.default_backend() == "cpu" else "native"
    return implementation


def convolve(
    images: Float[Array, "batch height width channels"],
    kernel: Float[Array, "k k group_channels features"],
    *,
    stride: int = 1,
    groups: int = 1,
    implementation: str = "auto",
) -> Float[Array, "batch new_height new_width features"]:
    """Convolve (cross-correlate, as everywhere in deep learning), with padding `(k - 1) // 2` on every side.

    Args:
        images: `[B, H, W, C]`.
        kernel: `[k, k, C / groups, O]`.
        stride: 1 or 2.
        groups: how many parts channels and features are cut into, each part seeing its own only.
        implementation: "auto", "native" or "patches".

    Returns:
        `[B, H', W', O]` with `H' = (H + 2p - k) // stride + 1`.

    Raises:
        ValueError: for an unknown implementation, another stride, or channels that do not fit.
    """
    size, group_channels, features = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    if stride not in (1, 2):
        raise ValueError(f"stride must be 1 or 2, got {stride}")
    if images.shape[-1] != groups * group_channels or features % groups:
        raise ValueError(
            f"kernel of shape {kernel.shape} with groups={groups} does not fit images with {images.shape[-1]} channels"
        )
    pad = (size - 1) // 2
    if resolve(implementation) == "native":
        return lax.conv_general_dilated(
            images,
            kernel,
            (stride, stride),
            ((pad, pad), (pad, pad)),
            dimension_numbers=_DIMENSIONS,
            feature_group_count=groups,
        )
    if size == 1 and stride == 1 and groups == 1:
        return images @ kernel[0, 0]
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    if stride == 2 and size % 2 == 0 and groups == 1 and padded.shape[1] % 2 == padded.shape[2] % 2 == 0:
        padded, kernel, stride = _to_blocks(padded), _kernel_to_blocks(kernel), 1
        size = size // 2
    return _patches_convolution(padded, kernel, size, stride, groups)


def convolve_transposed(
    images: Float[Array, "batch height width channels"],
    kernel: Float[Array, "k k kernel_channels features"],
    *,
    implementation: str = "auto",
) -> Float[Array, "batch double_height double_width features"]:
    """Double height and width: the adjoint of the convolution of stride 2 with the same even kernel.

    `y[2 h + i - p, 2 w + j - p] += x[h, w] @ kernel[i, j]` with `p = (k - 2) / 2`, PyTorch's
    `ConvTranspose2d(C, O, k, 2, p)`.

    Args:
        images: `[B, H, W, C]`.
        kernel: `[k, k, C, O]` with even k.
        implementation: "auto", "native" or "patches".

    Returns:
        `[B, 2H, 2W, O]`.

    Raises:
        ValueError: for an unknown implementation, an odd kernel, or channels that do not fit.
    """
    size, channels, features = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    if size % 2:
        raise ValueError(f"kernel of a transposed convolution must have even size, got shape {kernel.shape}")
    if images.shape[-1] != channels:
        raise ValueError(f"kernel of shape {kernel.shape} does not fit images with {images.shape[-1]} channels")
    pad = (size - 2) // 2
    if resolve(implementation) == "native":
        around = (size - 1 - pad, size - 1 - pad)
        return lax.conv_general_dilated(
            images, kernel[::-1, ::-1], (1, 1), (around, around), lhs_dilation=(2, 2), dimension_numbers=_DIMENSIONS
        )
    batch, height, width, _ = images.shape
    half = size // 2
    # [C, (a b)(p q O)]: each input pixel paints k/2 x k/2 blocks of 2x2 output pixels.
    matrix = kernel.reshape(half, 2, half, 2, channels, features).transpose(4, 0, 2, 1, 3, 5)
    painted = _matmul(images.reshape(-1, channels), matrix.reshape(channels, -1))
    painted = painted.reshape(batch, height, width, half, half, 4 * features)
    blocks = sum(
        jnp.pad(painted[:, :, :, a, b], ((0, 0), (a, half - 1 - a), (b, half - 1 - b), (0, 0)))
        for a in range(half)
        for b in range(half)
    )
    pixels = _from_blocks(blocks, features)
    return pixels[:, pad : pad + 2 * height, pad : pad + 2 * width]


def _patches_convolution(padded, kernel, size, stride, groups):
    batch, height, width, channels = padded.shape
    new_height, new_width = (height - size) // stride + 1, (width - size) // stride + 1
    rows, columns = (new_height - 1) * stride + 1, (new_width - 1) * stride + 1
    slices = [padded[:, i : i + rows : stride, j : j + columns : stride] for i in range(size) for j in range(size)]
    patches = jnp.stack(slices, axis=3)
    features = kernel.shape[-1]
    if groups == 1:
        out = _matmul(patches.reshape(-1, size * size * channels), kernel.reshape(-1, features))
    else:
        grouped = patches.reshape(-1, size * size, groups, channels // groups)
        matrix = kernel.reshape(size * size, channels // groups, groups, features // groups)
        out = jnp.einsum("mngc,ncgo->mgo", grouped, matrix)
    return out.reshape(batch, new_height, new_width, features)


def _matmul(rows, matrix):
    """Multiply so that the gradient of a tall matrix is computed as its transpose.

    Of the two ways to write `rowsᵀ @ cotangent`, XLA's CPU backend is twice as fast with the one whose transposed
    operand is the narrower; the barrier keeps it from rewriting one into the other.
    """
    if matrix.shape[0] <= matrix.shape[1]:
        return rows @ matrix
    return lax.dot_general(rows, lax.optimization_barrier(matrix.T), (((1,), (1,)), ((), ())))


def _to_blocks(images):
    """Space to depth: `[B, 2H, 2W, C]` to `[B, H, W, (2 2 C)]`."""
    batch, height, width, channels = images.shape
    blocks = images.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, height // 2, width // 2, 4 * channels)


def _from_blocks(blocks, channels):
    """Depth to space, the inverse of `_to_blocks`."""
    batch, height, width, _ = blocks.shape
    images = blocks.reshape(batch, height, width, 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return images.reshape(batch, 2 * height, 2 * width, channels)


def _kernel_to_blocks(kernel):
    size, _, channels, features = kernel.shape
    half = size // 2
    blocks = kernel.reshape(half, 2, half, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    return blocks.reshape(half, half, 4 * channels, features)
