"""Dense and convolutional layers whose kernels may be spectrally normalised and whose convolution is a choice."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from genloss_jax import _parts as parts
from genloss_jax.networks import convolution, initializers

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


IMAGE_SIZES = (8, 16, 32, 64)


def num_halvings(size: int) -> int:
    """Count the halvings from an image's size to 4 pixels.

    Raises:
        ValueError: for a size that is not supported.
    """
    if size not in IMAGE_SIZES:
        raise ValueError(f"image size must be one of {IMAGE_SIZES}, got {size}")
    return IMAGE_SIZES.index(size) + 1


class Dense(nn.Module):
    """`x @ kernel + bias` over the last axis.

    Attributes:
        features: width of the output.
        use_bias: add a bias that starts at zero.
        spectral_norm: divide the kernel by its largest singular value.
        kernel_init: initialiser of the kernel.
    """

    features: int
    use_bias: bool = True
    spectral_norm: bool = False
    kernel_init: initializers.Initializer = initializers.lecun_normal()

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Map `[..., C]` to `[..., features]`."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        if self.spectral_norm:
            kernel = spectrally_normalized(self, kernel, train)
        return _add_bias(self, as_kernel(x, kernel) @ kernel)


class Conv(nn.Module):
    """A convolution of NHWC images with padding `(k - 1) // 2`; see `convolution.convolve`.

    Attributes:
        features: channels of the output.
        size: height and width of the kernel; one number where they are equal.
        stride: 1 or 2.
        groups: parts that channels are cut into.
        transposed: double the size instead (`convolution.convolve_transposed`); size must be even, stride 2.
        padding: zeros above and below, left and right, instead of the usual; not of a transposed convolution.
        use_bias: add a bias that starts at zero.
        spectral_norm: divide the kernel, as a matrix `[k k C, features]`, by its largest singular value.
        implementation: "auto", "native" or "patches": same parameters, same outputs.
        kernel_init: initialiser of the kernel.
    """

    features: int
    size: int | tuple[int, int] = 3
    stride: int = 1
    groups: int = 1
    transposed: bool = False
    padding: convolution.Padding | None = None
    use_bias: bool = True
    spectral_norm: bool = False
    implementation: str = "auto"
    kernel_init: initializers.Initializer = initializers.lecun_normal()

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Map `[B, H, W, C]` to `[B, H', W', features]`."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        shape = (*size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        if self.spectral_norm:
            kernel = spectrally_normalized(self, kernel, train)
        x = as_kernel(x, kernel)
        if self.transposed:
            y = convolution.convolve_transposed(x, kernel, implementation=self.implementation)
        else:
            y = convolution.convolve(
                x,
                kernel,
                stride=self.stride,
                groups=self.groups,
                padding=self.padding,
                implementation=self.implementation,
            )
        return _add_bias(self, y)


class Dropout(nn.Module):
    """Set numbers to 0 at random, and scale up the others: Flax's, for batches in parts.

    Attributes:
        rate: share of the numbers that become 0, from 0 to below 1.
        deterministic: keep all of them.
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x):
        """Map `[B, ...]` to the same shape."""
        if self.rate == 0.0 or self.deterministic:
            return x
        keep = 1.0 - self.rate
        kept = parts.draw(lambda key, shape: jax.random.bernoulli(key, keep, shape), self.make_rng("dropout"), x.shape)
        return lax.select(kept, x / keep, jnp.zeros_like(x))


class Embed(nn.Module):
    """A table of vectors, one per class.

    Attributes:
        num_classes: rows of the table.
        features: width of the table.
        spectral_norm: divide the table by its largest singular value.
        embedding_init: initialiser of the table.
    """

    num_classes: int
    features: int
    spectral_norm: bool = False
    embedding_init: initializers.Initializer = initializers.normal(1.0)

    @nn.compact
    def __call__(self, labels, *, train: bool = False):
        """Map integer labels `[B]` to `[B, features]`."""
        table = self.param("embedding", self.embedding_init, (self.num_classes, self.features))
        if self.spectral_norm:
            table = spectrally_normalized(self, table, train)
        return table[labels]


def spectrally_normalized(module: nn.Module, kernel: jax.Array, train: bool) -> jax.Array:
    """Divide a kernel by its largest singular value, estimated by power iteration (Miyato et al. 2018, algorithm 1).

    `W / σ(W)` with `σ = vᵀ W u`; the vectors are constants of the gradient, σ is not. The parameter stays the raw
    kernel. The vector u lives in the collection "spectral"; one iteration per call with `train=True` moves it.

    Args:
        module: the module that owns the kernel and, from now on, the vector.
        kernel: `[..., features]`, taken as a matrix with `features` columns.
        train: move u by one iteration; otherwise use it as it stands.

    Returns:
        The normalised kernel, in the kernel's shape.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    vector = module.variable(
        "spectral", "u", lambda: _unit(jax.random.normal(module.make_rng("params"), (matrix.shape[-1],)))
    )
    u, constant = lax.stop_gradient(vector.value), lax.stop_gradient(matrix)
    v = _unit(constant @ u)
    if train:
        u = _unit(v @ constant)
        if not module.is_initializing():
            vector.value = u
    return kernel / (v @ matrix @ u).astype(kernel.dtype)


def as_kernel(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Round the input of a layer to the half precision of its kernel, where the kernel has it."""
    return x.astype(kernel.dtype) if kernel.dtype == jnp.bfloat16 else x


def fourier_features(levels: Sequence[Float[Array, " batch"]], num: int) -> Float[Array, "batch features"]:
    """Describe numbers near the unit interval by waves, so that a network can change quickly along them.

    (u, sin πu, cos πu, ..., sin num πu, cos num πu)

    The number itself tells apart what the waves repeat.

    Args:
        levels: one or several u, each `[B]`, of order 1.
        num: number of frequencies.

    Returns:
        `[B, L (1 + 2 num)]` for L levels.

    References:
        Tancik et al. 2020, Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains.
    """

    def waves(level):
        angles = jnp.pi * level[:, None] * jnp.arange(1, num + 1, dtype=level.dtype)[None, :]
        return jnp.concatenate([level[:, None], jnp.sin(angles), jnp.cos(angles)], axis=-1)

    return jnp.concatenate([waves(level) for level in levels], axis=-1)


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Repeat each pixel 2x2."""
    batch, height, width, channels = x.shape
    wide = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, 2, width, 2, channels))
    return wide.reshape(batch, 2 * height, 2 * width, channels)


def average_pool(x: jax.Array) -> jax.Array:
    """Average each 2x2 block."""
    batch, height, width, channels = x.shape
    return jnp.mean(x.reshape(batch, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


def _add_bias(module, y):
    if not module.use_bias:
        return y
    bias = module.param("bias", nn.initializers.zeros, (y.shape[-1],))
    return y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


def _unit(vector):
    # A zero kernel has no direction; 1e-12 as in the paper's code, only against 0 / 0.
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)
