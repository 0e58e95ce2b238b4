"""The Wasserstein distance of two Gaussians."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def gaussian_wasserstein_squared_distance(
    mean_x: Float[Array, " d"],
    cov_x: Float[Array, "d d"],
    mean_y: Float[Array, " d"],
    cov_y: Float[Array, "d d"],
) -> Float[Array, ""]:
    """Compute the squared Wasserstein-2 distance of two Gaussians, the Fréchet distance of FID.

    W2² = |mean_x - mean_y|² + tr(cov_x + cov_y - 2 (cov_x^½ cov_y cov_x^½)^½)

    FID is this squared value. Covariances may be singular; along directions without variance their gradient is infinite
    in truth and 0 here. Of estimated covariances it is biased upwards, the more the fewer the examples.

    Args:
        mean_x: `[D]`.
        cov_x: `[D, D]`, symmetric, positive semidefinite.
        mean_y: `[D]`.
        cov_y: `[D, D]`, symmetric, positive semidefinite.

    Returns:
        Scalar, squared, in the unit of x².

    Raises:
        ValueError: if a mean is not `[D]` or a covariance is not `[D, D]`.

    References:
        Dowson and Landau 1982, "The Fréchet distance between multivariate normal distributions".
    """
    if mean_x.ndim != 1:
        raise ValueError(f"mean_x has shape {mean_x.shape}, expected [D].")
    dim = mean_x.size
    for name, array, shape in (("cov_x", cov_x, (dim, dim)), ("mean_y", mean_y, (dim,)), ("cov_y", cov_y, (dim, dim))):
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape} to match mean_x.")
    # Eigendecompositions exist from single precision on.
    wide_x, wide_y = (cov.astype(jnp.promote_types(cov.dtype, jnp.float32)) for cov in (cov_x, cov_y))
    # tr(cov_x + cov_y - 2 (cov_x^½ cov_y cov_x^½)^½), negative by rounding only
    spread = jnp.maximum(jnp.trace(wide_x) + jnp.trace(wide_y) - 2 * _trace_root_product(wide_x, wide_y), 0)
    return jnp.sum((mean_x - mean_y) ** 2) + spread.astype(mean_x.dtype)


@jax.custom_jvp
def _trace_root_product(cov_x, cov_y):
    """Compute tr (cov_x^½ cov_y cov_x^½)^½.

    Its derivative is written out because that of an eigendecomposition is NaN at equal eigenvalues.
    """
    return _trace_root_product_and_slopes(cov_x, cov_y)[0]


@_trace_root_product.defjvp
def _trace_root_product_jvp(primals, tangents):
    value, *slopes = _trace_root_product_and_slopes(*primals)
    return value, sum(jnp.sum(slope * tangent) for slope, tangent in zip(slopes, tangents, strict=True))


def _trace_root_product_and_slopes(cov_x, cov_y):
    with jax.default_matmul_precision("highest"):
        root, inverse_root = _root_and_inverse(cov_x)
        middle, inverse_middle = _root_and_inverse(root @ cov_y @ root)
        # ½ of the optimal maps from x to y, cov_x^-½ (cov_x^½ cov_y cov_x^½)^½ cov_x^-½, and from y to x
        slope_x = 0.5 * inverse_root @ middle @ inverse_root
        slope_y = 0.5 * root @ inverse_middle @ root
    return jnp.trace(middle), slope_x, slope_y


def _root_and_inverse(matrix):
    """Take the symmetric root of a positive semidefinite matrix, and its pseudo-inverse."""
    values, vectors = jnp.linalg.eigh(matrix)
    positive = values > jnp.max(values) * values.size * jnp.finfo(values.dtype).eps
    roots = jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1)), 0)
    inverses = jnp.where(positive, 1 / jnp.where(positive, roots, 1), 0)
    return (vectors * roots[None]) @ vectors.T, (vectors * inverses[None]) @ vectors.T
