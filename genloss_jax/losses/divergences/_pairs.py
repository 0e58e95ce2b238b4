"""Distances from all pairs of examples: MMD and energy; and Cramér's, which is energy on the line."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from genloss_jax.losses.divergences._kernels import Kernel, energy_kernel
from genloss_jax.losses.divergences._shared import check_batches, safe_sqrt


def mmd_squared_distance(
    x: Float[Array, "n d"], y: Float[Array, "m d"], *, kernel: Kernel, unbiased: bool = True
) -> Float[Array, ""]:
    """Estimate the squared maximum mean discrepancy of two batches.

    MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y)

    Args:
        x: `[N, D]` examples.
        y: `[M, D]` examples.
        kernel: maps `[N, D]` and `[M, D]` to `[N, M]`, such as `rbf_kernel(lengthscale=1.0)`.
        unbiased: leave out the pairs of an example with itself (the U-statistic). Its mean is exact, it is 0 for equal
            distributions, and so single values may be negative. Otherwise the V-statistic: never negative for a
            positive definite kernel, and too high by about 1 / N + 1 / M.

    Returns:
        Scalar, squared, in the unit of the kernel.

    Raises:
        ValueError: if a batch is not `[N, D]`, if D differs, or if `unbiased` and a batch has fewer than 2 examples.

    References:
        Gretton et al. 2012, "A kernel two-sample test", lemma 6 (unbiased) and equation 5 (biased).
    """
    check_batches(x, y, smallest=2 if unbiased else 1)
    # MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y)
    return _mean_within(kernel(x, x), unbiased) + _mean_within(kernel(y, y), unbiased) - 2 * jnp.mean(kernel(x, y))


def energy_squared_distance(
    x: Float[Array, "n d"], y: Float[Array, "m d"], *, unbiased: bool = True
) -> Float[Array, ""]:
    """Estimate the squared energy distance of two batches.

    D² = 2 E |x - y| - E |x - x'| - E |y - y'|

    It is the squared MMD with `energy_kernel`, and the one to train with: its unbiased form has unbiased gradients.
    Székely and Rizzo call this squared quantity the energy distance.

    Args:
        x: `[N, D]` examples.
        y: `[M, D]` examples.
        unbiased: as in `mmd_squared_distance`; the value may then be negative.

    Returns:
        Scalar, squared, in the unit of x (not of x²).

    Raises:
        ValueError: if a batch is not `[N, D]`, if D differs, or if `unbiased` and a batch has fewer than 2 examples.

    References:
        Székely and Rizzo 2013, "Energy statistics: a class of statistics based on distances", section 2.
    """
    return mmd_squared_distance(x, y, kernel=energy_kernel(), unbiased=unbiased)


def energy_distance(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, ""]:
    """Compute the energy distance of two empirical distributions: a metric, and the root of the biased estimate.

    D = sqrt(2 E |x - y| - E |x - x'| - E |y - y'|)

    The same convention as `scipy.stats.energy_distance`. Of one-dimensional batches it is sqrt(2) times
    `cramer_distance`. To train, use `energy_squared_distance`: the slope of the root is unbounded near 0.

    Args:
        x: `[N, D]` examples.
        y: `[M, D]` examples.

    Returns:
        Scalar, not squared, in the root of the unit of x.

    Raises:
        ValueError: if a batch is not `[N, D]` or if D differs.

    References:
        Székely and Rizzo 2013, "Energy statistics: a class of statistics based on distances", section 2.
    """
    return safe_sqrt(energy_squared_distance(x, y, unbiased=False))


def cramer_squared_distance(x: Float[Array, " n"], y: Float[Array, " m"]) -> Float[Array, ""]:
    """Compute the squared Cramér distance of two empirical distributions on the line, in N log N operations.

    l² = ∫ (F_x(t) - F_y(t))² dt

    It is half the squared energy distance (the biased one) of the same batches. Bellemare et al. call this squared
    quantity the Cramér distance.

    Args:
        x: `[N]` real numbers.
        y: `[M]` real numbers.

    Returns:
        Scalar, squared, in the unit of x (not of x²).

    Raises:
        ValueError: if a batch is not a vector with at least one entry.

    References:
        Bellemare et al. 2017, "The Cramer distance as a solution to biased Wasserstein gradients".
    """
    for name, batch in (("x", x), ("y", y)):
        if batch.ndim != 1 or batch.size == 0:
            raise ValueError(f"{name} has shape {batch.shape}, expected a vector [N] with N of at least 1.")
    points = jnp.concatenate([x, y])
    order = jnp.argsort(points)
    from_x = jnp.asarray(np.repeat([1, 0], [x.size, y.size]))[order][:-1]
    # Counts are integers, so that the distribution functions carry no running sum of rounding errors.
    cdf_x = jnp.cumsum(from_x).astype(points.dtype) / x.size
    cdf_y = jnp.cumsum(1 - from_x).astype(points.dtype) / y.size
    # l² = ∫ (F_x - F_y)² dt, where the integrand is constant between neighbours
    return jnp.sum((cdf_x - cdf_y) ** 2 * jnp.diff(points[order]))


def cramer_distance(x: Float[Array, " n"], y: Float[Array, " m"]) -> Float[Array, ""]:
    """Compute the Cramér distance of two empirical distributions on the line: a metric, the L2 norm of F_x - F_y.

    l = sqrt(∫ (F_x(t) - F_y(t))² dt)

    `energy_distance` of the same batches is sqrt(2) times as large. To train, use `cramer_squared_distance`.

    Args:
        x: `[N]` real numbers.
        y: `[M]` real numbers.

    Returns:
        Scalar, not squared, in the root of the unit of x.

    Raises:
        ValueError: if a batch is not a vector with at least one entry.

    References:
        Bellemare et al. 2017, "The Cramer distance as a solution to biased Wasserstein gradients".
    """
    return safe_sqrt(cramer_squared_distance(x, y))


def _mean_within(gram, unbiased):
    if not unbiased:
        return jnp.mean(gram)
    num = gram.shape[0]
    return jnp.sum(jnp.where(jnp.eye(num, dtype=bool), 0, gram)) / (num * (num - 1))
