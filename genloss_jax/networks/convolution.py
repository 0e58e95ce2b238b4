"""Convolution as a choice: XLA's own, or patches times a matrix, with the same parameters.

`native` is one `lax.conv_general_dilated`. On XLA's CPU backend its backward passes are slow, inside `scan` it is many
times slower, and vmapped weights (a grouped convolution) are slower still; see `benchmarks/convolution.py`.
`patches` uses slices and matrix products only, which keep their speed there. What makes it fast on a CPU:

- A convolution of stride 2 first moves each 2x2 block into channels (space to depth). A 4x4 kernel is then a 2x2
  kernel of stride 1, so four slices make the patches instead of sixteen, each a long contiguous run.
- The slices are stacked on a new axis. XLA copies that at memory speed; a concatenation along channels it does not.
- Where there are many channels, that 2x2 kernel takes Winograd's minimal filtering F(2, 2) along both axes: nine
  products for 2x2 outputs instead of sixteen, with sums and differences only. Float32 rounding grows to a few 1e-6.
- A transposed convolution is the transpose of all that, as JAX derives it.

Layout is NHWC, kernels are HWIO. Padding is `(k - 1) // 2` zeros on every side, as in PyTorch's networks, so that
stride 1 with odd k keeps the size and stride 2 halves it.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]

IMPLEMENTATIONS = ("auto", "native", "patches")
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# With fewer channels than this, minimal filtering spends more on its sums than it saves in products.
_WINOGRAD_CHANNELS = 16


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
    kernel: Float[Array, "rows columns group_channels features"],
    *,
    stride: int = 1,
    groups: int = 1,
    padding: Padding | None = None,
    implementation: str = "auto",
) -> Float[Array, "batch new_height new_width features"]:
    """Convolve (cross-correlate, as everywhere in deep learning), with padding `(k - 1) // 2` on every side.

    Args:
        images: `[B, H, W, C]`.
        kernel: `[k, l, C / groups, O]`.
        stride: 1 or 2.
        groups: how many parts channels and features are cut into, each part seeing its own only.
        padding: rows of zeros above and below, columns of zeros to the left and right, instead of `(k - 1) // 2` and
            `(l - 1) // 2` on both sides; below 0, as many are cut off.
        implementation: "auto", "native" or "patches".

    Returns:
        `[B, H', W', O]` with `H' = (H + above + below - k) // stride + 1`, and W' likewise.

    Raises:
        ValueError: for an unknown implementation, another stride, or channels that do not fit.
    """
    rows, columns, group_channels, features = kernel.shape
    if stride not in (1, 2):
        raise ValueError(f"stride must be 1 or 2, got {stride}")
    if images.shape[-1] != groups * group_channels or features % groups:
        raise ValueError(
            f"kernel of shape {kernel.shape} with groups={groups} does not fit images with {images.shape[-1]} channels"
        )
    around = tuple(((size - 1) // 2,) * 2 for size in (rows, columns)) if padding is None else padding
    if resolve(implementation) == "native":
        return lax.conv_general_dilated(
            images,
            kernel,
            (stride, stride),
            around,
            dimension_numbers=_DIMENSIONS,
            feature_group_count=groups,
        )
    padded = lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), *((*ends, 0) for ends in around), (0, 0, 0)))
    if rows == columns == stride == groups == 1:
        return padded @ kernel[0, 0]
    height, width = padded.shape[1:3]
    if stride == 2 and groups == 1 and rows == columns and rows % 2 == height % 2 == width % 2 == 0:
        blocks = _kernel_to_blocks(kernel)
        many = min(group_channels, features) >= _WINOGRAD_CHANNELS
        if rows == 4 and padding is None and many and images.shape[1] % 4 == images.shape[2] % 4 == 0:
            return _winograd_convolution(images, blocks)
        return _patches_convolution(_to_blocks(padded), blocks, 1, 1)
    return _patches_convolution(padded, kernel, stride, groups)


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
    swapped = kernel.transpose(0, 1, 3, 2)

    def strided(outputs):
        return convolve(outputs, swapped, stride=2, implementation="patches")

    outputs_like = jax.ShapeDtypeStruct((batch, 2 * height, 2 * width, features), images.dtype)
    (outputs,) = jax.linear_transpose(strided, outputs_like)(images)
    return outputs


def _patches_convolution(padded, kernel, stride, groups):
    batch, height, width, channels = padded.shape
    rows, columns, _, features = kernel.shape
    new_height, new_width = (height - rows) // stride + 1, (width - columns) // stride + 1
    down, right = (new_height - 1) * stride + 1, (new_width - 1) * stride + 1
    slices = [padded[:, i : i + down : stride, j : j + right : stride] for i in range(rows) for j in range(columns)]
    patches = jnp.stack(slices, axis=3)
    if groups == 1:
        out = _matmul(patches.reshape(-1, rows * columns * channels), kernel.reshape(-1, features))
    else:
        grouped = patches.reshape(-1, rows * columns, groups, channels // groups)
        matrix = kernel.reshape(rows * columns, channels // groups, groups, features // groups)
        out = jnp.einsum("mngc,ncgo->mgo", grouped, matrix)
    return out.reshape(batch, new_height, new_width, features)


def _winograd_convolution(images, kernel):
    """Convolve blocks of 2x2 pixels with a 2x2 kernel `[2, 2, (2 2 C), O]`, two by two outputs at a time.

    Along one axis, with inputs x0, x1, x2 and weights w0, w1:
    `y0 = x0 w0 + x1 w1 = (x0 - x1) w0 + x1 (w0 + w1)`, `y1 = x1 w0 + x2 w1 = x1 (w0 + w1) + (x2 - x1) w1`.
    """
    batch, height, width, channels = images.shape
    tiles_high, tiles_wide, features = height // 4, width // 4, kernel.shape[-1]
    # [B, tile, block of the tile, row of the block, tile, block, column, C]. The last tile is there for its first
    # block only: it is the third block of the tile before it.
    padded = jnp.pad(images, ((0, 0), (1, 3), (1, 3), (0, 0)))
    blocks = padded.reshape(batch, tiles_high + 1, 2, 2, tiles_wide + 1, 2, 2, channels)
    inputs = [part for rows in _differences(blocks, 1) for part in _differences(rows, 3)]
    weights = [part for rows in _sums(kernel[0], kernel[1]) for part in _sums(rows[0], rows[1])]
    products = [
        part.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 4 * channels) @ weight
        for part, weight in zip(inputs, weights, strict=True)
    ]
    columns = [_outputs(products[3 * i : 3 * i + 3]) for i in range(3)]
    tiles = _outputs(columns).reshape(batch, tiles_high, tiles_wide, 2, 2, features)
    return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, features)


def _differences(tiles, axis):
    """Take x0 - x1, x1 and x2 - x1 of tiles along `axis`, whose two blocks are along `axis + 1`."""
    first, second = (lax.index_in_dim(tiles, block, axis + 1, keepdims=False) for block in (0, 1))
    length = tiles.shape[axis]
    x0, x1 = (lax.slice_in_dim(x, 0, length - 1, axis=axis) for x in (first, second))
    x2 = lax.slice_in_dim(first, 1, length, axis=axis)
    return x0 - x1, x1, x2 - x1


def _sums(w0, w1):
    return w0, w0 + w1, w1


def _outputs(products):
    return jnp.stack([products[0] + products[1], products[1] + products[2]], axis=1)


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


def _kernel_to_blocks(kernel):
    size, _, channels, features = kernel.shape
    half = size // 2
    blocks = kernel.reshape(half, 2, half, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    return blocks.reshape(half, half, 4 * channels, features)
