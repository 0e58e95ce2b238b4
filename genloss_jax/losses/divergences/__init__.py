"""Divergences and distances: two batches in, one number out.

Every function here returns a scalar. A name says whether its distance is squared; a distance that does not say so is
the root, a metric. Batches are `[N, D]` and `[M, D]`, one example per row, and need not be equally long unless a
function says so: flatten images or take features first.

A kernel is a function `(x [N, D], y [M, D]) -> [N, M]`; `rbf_kernel` and its siblings build them.
"""

from genloss_jax.losses.divergences._gaussian import (
    gaussian_wasserstein_squared_distance as gaussian_wasserstein_squared_distance,
)
from genloss_jax.losses.divergences._kernels import Kernel as Kernel
from genloss_jax.losses.divergences._kernels import energy_kernel as energy_kernel
from genloss_jax.losses.divergences._kernels import mixture_kernel as mixture_kernel
from genloss_jax.losses.divergences._kernels import polynomial_kernel as polynomial_kernel
from genloss_jax.losses.divergences._kernels import rational_quadratic_kernel as rational_quadratic_kernel
from genloss_jax.losses.divergences._kernels import rbf_kernel as rbf_kernel
from genloss_jax.losses.divergences._pairs import cramer_distance as cramer_distance
from genloss_jax.losses.divergences._pairs import cramer_squared_distance as cramer_squared_distance
from genloss_jax.losses.divergences._pairs import energy_distance as energy_distance
from genloss_jax.losses.divergences._pairs import energy_squared_distance as energy_squared_distance
from genloss_jax.losses.divergences._pairs import mmd_squared_distance as mmd_squared_distance
from genloss_jax.losses.divergences._sliced import (
    max_sliced_wasserstein_squared_distance as max_sliced_wasserstein_squared_distance,
)
from genloss_jax.losses.divergences._sliced import (
    sliced_wasserstein_squared_distance as sliced_wasserstein_squared_distance,
)
from genloss_jax.losses.divergences._support import alpha_divergence as alpha_divergence
from genloss_jax.losses.divergences._support import f_divergence as f_divergence
from genloss_jax.losses.divergences._transport import sinkhorn_divergence as sinkhorn_divergence
from genloss_jax.losses.divergences._transport import wasserstein_squared_distance as wasserstein_squared_distance
