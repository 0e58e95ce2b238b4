"""Kernels: functions of (x `[N, D]`, y `[M, D]`) to `[N, M]`."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses.divergences._shared import distances, squared_distances

Kernel = Callable[[Array, Array], Array]


def rbf_kernel(*, lengthscale: float | Float[Array, ""]) -> Kernel:
    """Build the Gaussian kernel, k(x, y) = exp(-|x - y|² / (2 lengthscale²)).

    Args:
        lengthscale: in the unit of x. Some code writes exp(-gamma |x - y|²): there gamma = 1 / (2 lengthscale²).

    Returns:
        A kernel.
    """
    return lambda x, y: jnp.exp(-0.5 * squared_distances(x / lengthscale, y / lengthscale))


def rational_quadratic_kernel(*, lengthscale: float | Float[Array, ""], alpha: float | Float[Array, ""]) -> Kernel:
    """Build the rational quadratic kernel, k(x, y) = (1 + |x - y|² / (2 alpha lengthscale²))^-alpha.

    A mixture of Gaussian kernels over all lengthscales; it tends to `rbf_kernel` as alpha grows.

    Args:
        lengthscale: in the unit of x.
        alpha: weight of the tails, positive; the smaller, the heavier.

    Returns:
        A kernel.

    References:
        Bińkowski et al. 2018, "Demystifying MMD GANs", section 3 (with lengthscale 1).
    """

    def kernel(x, y):
        # The distances themselves do not depend on the lengthscale: a mixture computes them once.
        ratio = squared_distances(x, y) / (2 * alpha * lengthscale**2)
        return jnp.exp(-alpha * jnp.log1p(ratio))

    return kernel


def polynomial_kernel(
    *, degree: int = 3, scale: float | Float[Array, ""] | None = None, offset: float | Float[Array, ""] = 1.0
) -> Kernel:
    """Build the polynomial kernel, k(x, y) = (scale x·y + offset)^degree; the defaults are those of KID.

    Args:
        degree: integer power.
        scale: None means 1 / D.
        offset: the added constant.

    Returns:
        A kernel. It is not characteristic: it sees moments up to `degree` only.

    References:
        Bińkowski et al. 2018, "Demystifying MMD GANs", section 4 (kernel inception distance).
    """

    def kernel(x, y):
        inner = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
        return (inner * (1 / x.shape[1] if scale is None else scale) + offset) ** degree

    return kernel


def energy_kernel() -> Kernel:
    """Build the energy kernel, k(x, y) = -|x - y|.

    It is conditionally positive definite, which is enough: the squared MMD with it is the squared energy distance.

    Returns:
        A kernel.

    References:
        Sejdinovic et al. 2013, "Equivalence of distance-based and RKHS-based statistics in hypothesis testing".
    """
    return lambda x, y: -distances(x, y)


def mixture_kernel(kernels: Sequence[Kernel], weights: Sequence[float] | None = None) -> Kernel:
    """Build the weighted sum of kernels, k(x, y) = sum_i weights_i k_i(x, y).

    Args:
        kernels: the summands, such as Gaussian kernels of several lengthscales.
        weights: one for each kernel; None means 1 for each, a sum and not a mean.

    Returns:
        A kernel.

    Raises:
        ValueError: if there is no kernel, or the numbers of kernels and weights differ.
    """
    weights = [1.0] * len(kernels) if weights is None else weights
    if not kernels:
        raise ValueError("kernels is empty, expected at least one kernel.")
    if len(weights) != len(kernels):
        raise ValueError(f"weights has {len(weights)} entries, expected one for each of {len(kernels)} kernels.")

    def kernel(x, y):
        grams = [weight * kernel(x, y) for kernel, weight in zip(kernels, weights, strict=True)]
        return sum(grams[1:], start=grams[0])

    return kernel
