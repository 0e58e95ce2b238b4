"""The players of the smallest games, `data.games`: a generator that moves latents, a critic that weighs its input."""

import flax.linen as nn
import jax.numpy as jnp


class LinearGenerator(nn.Module):
    """G(z) = theta + z, with theta = 1 at the start. Where all latents are zero it makes one point.

    Attributes:
        shape: of one example; a latent has as many numbers.
    """

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, latents, *, train: bool = False):
        """Map `[B, latent]` to `[B, *shape]`."""
        theta = self.param("theta", nn.initializers.ones, self.shape)
        if latents[0].size != theta.size:
            raise ValueError(
                f"a linear generator adds latents to examples of shape {self.shape}: "
                f"latents must have {theta.size} numbers, got {latents[0].size}"
            )
        return theta[None] + latents.reshape(-1, *self.shape)


class LinearCritic(nn.Module):
    """D(x) = psi · x, without a bias, with psi = 1 at the start."""

    @nn.compact
    def __call__(self, points, *, train: bool = False):
        """Map `[B, ...]` to logits `[B]`."""
        psi = self.param("psi", nn.initializers.ones, points.shape[1:])
        return jnp.sum(psi[None] * points, axis=tuple(range(1, points.ndim)))
