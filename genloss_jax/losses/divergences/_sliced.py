"""Wasserstein distances of projections to the line, where the optimal plan pairs quantiles."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from genloss_jax.losses.divergences._shared import check_batches, safe_sqrt


def sliced_wasserstein_squared_distance(
    key: Key[Array, ""], x: Float[Array, "n d"], y: Float[Array, "m d"], *, num_projections: int
) -> Float[Array, ""]:
    """Estimate the squared sliced Wasserstein-2 distance of two empirical distributions.

    SW² = E_w W2²(w·x, w·y) over directions w uniform on the unit sphere

    The mean over directions is of squared costs, and no root is taken; some libraries return its root. In one dimension
    it is W2² exactly. It is |mean_x - mean_y|² / D, not |mean_x - mean_y|², when one batch is the other moved.

    Args:
        key: draws the directions.
        x: `[N, D]` examples.
        y: `[M, D]` examples; M may differ from N.
        num_projections: number of directions.

    Returns:
        Scalar, squared, in the unit of x², unbiased over directions.

    Raises:
        ValueError: if a batch is not `[N, D]`, if D differs, or if there is no projection.

    References:
        Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".
    """
    check_batches(x, y)
    directions = _directions(key, num_projections, x)
    return jnp.mean(jax.vmap(lambda w: _line_wasserstein_squared(_project(x, w), _project(y, w)))(directions))


def max_sliced_wasserstein_squared_distance(
    key: Key[Array, ""],
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    *,
    num_projections: int = 16,
    num_steps: int = 64,
) -> Float[Array, ""]:
    """Bound the squared max-sliced Wasserstein-2 distance of two empirical distributions from below.

    max-SW² = max_w W2²(w·x, w·y) over unit vectors w

    All directions climb by damped power steps, w <- w + rate Mw / |Mw| with M the second moment of the differences that
    w pairs; the rate falls from 1 to 0.01, because the maximum may lie on an edge where the pairs change. The value is
    the highest one met. The winning direction is a stop-gradient, which by the envelope theorem gives the gradient of
    the maximum.

    Args:
        key: draws the first directions.
        x: `[N, D]` examples.
        y: `[M, D]` examples; M may differ from N.
        num_projections: number of directions that climb.
        num_steps: steps of each. With 0 it is the maximum over random directions.

    Returns:
        Scalar, squared, in the unit of x²; a lower bound of the maximum, no lower than at any first direction.

    Raises:
        ValueError: if a batch is not `[N, D]`, if D differs, or if there is no projection.

    References:
        Deshpande et al. 2019, "Max-sliced Wasserstein distance and its use for GANs".
    """
    check_batches(x, y)
    fixed_x, fixed_y = jax.lax.stop_gradient((x, y))

    def height(direction):
        return _line_wasserstein_squared(_project(fixed_x, direction), _project(fixed_y, direction))

    def climb(directions, rate):
        heights, slopes = jax.vmap(jax.value_and_grad(height))(directions)
        return _unit(directions + rate * _unit(slopes)), (heights, directions)

    rates = jnp.geomspace(1, 0.01, num_steps + 1, dtype=x.dtype)
    _, (heights, directions) = jax.lax.scan(climb, _directions(key, num_projections, x), rates)
    best = directions.reshape(-1, x.shape[1])[jnp.argmax(heights)]
    return _line_wasserstein_squared(_project(x, best), _project(y, best))


def _unit(vectors):
    norms = safe_sqrt(jnp.sum(vectors**2, axis=-1, keepdims=True))
    return vectors / jnp.where(norms > 0, norms, 1)


def _directions(key, num_projections, x):
    if num_projections < 1:
        raise ValueError(f"num_projections is {num_projections}, expected at least 1.")
    return _unit(jax.random.normal(key, (num_projections, x.shape[1]), x.dtype))


def _project(x, direction):
    return jnp.dot(x, direction, precision=jax.lax.Precision.HIGHEST)


def _line_wasserstein_squared(x, y):
    """Compute W2² of two batches of real numbers: the optimal plan pairs quantiles."""
    num_x, num_y = x.size, y.size
    # The quantile functions are constant between the levels i / N and j / M, here counted in 1 / (N M).
    levels = np.union1d(np.arange(num_x + 1) * num_y, np.arange(num_y + 1) * num_x)
    mass = np.diff(levels) / (num_x * num_y)
    difference = jnp.sort(x)[levels[:-1] // num_y] - jnp.sort(y)[levels[:-1] // num_x]
    return jnp.sum(jnp.asarray(mass, x.dtype) * difference**2)
