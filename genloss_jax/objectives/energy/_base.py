"""The Gaussian that an energy model tilts: its chains start there, and its noise and coordinates come from it."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from genloss_jax import _parts as parts

Sigma = float | Array


class Base(NamedTuple):
    """N(mean, C) with C = basis diag(variances) basisᵀ, and what is left of it under noise of variance σ².

    Attributes:
        mean: in the shape of one example.
        basis: `[D, D]`, orthonormal columns.
        variances: `[D]`, along the columns.
    """

    mean: np.ndarray
    basis: np.ndarray
    variances: np.ndarray

    def whiten(self, x: Float[Array, "batch ..."], sigma: Sigma = 0.0) -> Float[Array, "batch dim"]:
        """Give points `[B, ...]` the coordinates `[B, D]` in which N(mean, C + σ² I) is N(0, I)."""
        centered = (x - jnp.asarray(self.mean, x.dtype)[None]).reshape(x.shape[0], -1)
        return (centered @ jnp.asarray(self.basis, x.dtype)) / self._scales(sigma, centered)

    def color(self, z: Float[Array, "batch dim"], sigma: Sigma = 0.0) -> Float[Array, "batch ..."]:
        """Take coordinates `[B, D]` back to points `[B, ...]`."""
        centered = (z * self._scales(sigma, z)) @ jnp.asarray(self.basis.T, z.dtype)
        return centered.reshape(-1, *self.mean.shape) + jnp.asarray(self.mean, z.dtype)[None]

    def log_prob(self, x: Float[Array, "batch ..."], sigma: Sigma = 0.0) -> Float[Array, " batch"]:
        """Compute log N(x; mean, C + σ² I), `[B]` nats."""
        z = self.whiten(x, sigma)
        log_scales = jnp.sum(jnp.log(self._scales(sigma, z)), axis=-1)
        return -0.5 * jnp.sum(jnp.square(z) + math.log(2 * math.pi), axis=-1) - log_scales

    def sample(self, key: Array, num: int, sigma: Sigma = 0.0) -> Float[Array, "num ..."]:
        """Draw from N(mean, C + σ² I), `[num, ...]`."""
        return self.color(self.coordinates(key, num), sigma)

    def coordinates(self, key: Array, num: int) -> Float[Array, "num dim"]:
        """Draw coordinates, N(0, I), `[num, D]`."""
        return parts.draw(jax.random.normal, key, (num, self.variances.size))

    def _scales(self, sigma, rows):
        # sqrt(variances + σ²), [B, D]; σ is one number, or one for each example
        noise = jnp.broadcast_to(jnp.square(jnp.asarray(sigma, rows.dtype)), rows.shape[:1])
        return jnp.sqrt(jnp.asarray(self.variances, rows.dtype)[None] + noise[:, None])


def fit_base(examples: np.ndarray, *, noise: float = 0.0) -> Base:
    """Fit the Gaussian to examples, which have noise added to them.

    Args:
        examples: `[N, ...]`.
        noise: its standard deviation along each axis.

    Returns:
        The Gaussian with the mean of the examples and their covariance, plus noise².

    Raises:
        ValueError: if the covariance is singular: the examples do not vary along some direction.
    """
    rows = np.asarray(examples, np.float64).reshape(len(examples), -1)
    covariance = np.atleast_2d(np.cov(rows.T)) + noise**2 * np.eye(rows.shape[1])
    variances, basis = np.linalg.eigh(covariance)
    if variances[0] <= 1e-8 * variances[-1]:
        raise ValueError(
            f"examples vary by {variances[0]:.2g} along one direction and by {variances[-1]:.2g} along another, which "
            f"no Gaussian density fits; give more noise than {noise}"
        )
    return Base(rows.mean(axis=0).reshape(np.shape(examples)[1:]), basis, variances)
