"""How far two sets of feature vectors are apart, and in which way.

Fréchet and kernel distance, precision, recall, density and coverage, on the host in float64: these are differences of
large, nearly equal numbers, for which float32 has too few digits, and nothing is differentiated. Real before fake, one
example per row.
"""

from typing import NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float
from scipy.spatial import distance

from genloss_jax.metrics.statistics import Estimate

Real = Float[np.ndarray, "n f"] | Float[Array, "n f"]
Fake = Float[np.ndarray, "m f"] | Float[Array, "m f"]

_ROWS_AT_ONCE = 1024  # bounds the memory of a table of pairs


def frechet_squared_distance(real: Real, fake: Fake) -> float:
    """Estimate the Fréchet distance of two sets: squared Wasserstein-2 of the Gaussians with their moments.

    W2² = |mean_r - mean_f|² + tr(cov_r + cov_f - 2 (cov_r^½ cov_f cov_r^½)^½)

    As FID, it is the squared value. Biased upwards: of N real against N other real vectors of F independent features
    with variance 1 about (2 F + F (F + 1) / 2) / N is expected, not 0. Values of different N do not compare, which is
    why a floor of the same N belongs beside it.

    Args:
        real: `[N, F]`.
        fake: `[M, F]`.

    Returns:
        At least 0, in the unit of the features squared. Covariances are unbiased (N - 1), and may be singular.

    Raises:
        ValueError: if a set is not `[N, F]` with N of at least 2, or F differs.

    References:
        Heusel et al. 2017, "GANs trained by a two time-scale update rule", equation 6.
    """
    real, fake = _checked(real, fake)
    root_real, root_fake = _covariance_root(real), _covariance_root(fake)
    # tr (A B² A)^½ is the nuclear norm of root_real root_fakeᵀ for any roots, rootᵀ root = cov. No covariance is formed
    # and no matrix square root taken: both halve the digits of what is nearly singular.
    cross = np.linalg.svd(root_real @ root_fake.T, compute_uv=False).sum()
    spread = np.sum(root_real**2) + np.sum(root_fake**2) - 2 * cross
    return float(np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2) + max(spread, 0.0))


def kernel_squared_distance(real: Real, fake: Fake) -> Estimate:
    """Estimate the kernel distance (KID): unbiased squared MMD with the kernel (x·y / F + 1)³.

    MMD² = E k(r, r') + E k(f, f') - 2 E k(r, f), pairs of an example with itself left out

    Its expectation is 0 for equal distributions whatever N, so single values may be negative.

    Args:
        real: `[N, F]`.
        fake: `[M, F]`.

    Returns:
        The squared distance with its standard error by the jackknife, which is right for unequal distributions and
        sqrt(2) too large for equal ones. (The usual spread of values over blocks of examples is that of smaller sets:
        for equal distributions too large by the root of the number of blocks.)

    Raises:
        ValueError: if a set is not `[N, F]` with N of at least 3, or F differs.

    References:
        Bińkowski et al. 2018, "Demystifying MMD GANs", section 4; Efron and Stein 1981, "The jackknife estimate of
        variance".
    """
    real, fake = _checked(real, fake, smallest=3)
    n, m = len(real), len(fake)
    # Sums of the kernel over partners, for each example: all that is needed to leave one out.
    within_real, within_fake = (_kernel_sums(x, x) - _kernel(np.sum(x * x, axis=1), x.shape[1]) for x in (real, fake))
    across_real, across_fake = _kernel_sums(real, fake), _kernel_sums(fake, real)
    pairs_real, pairs_fake, pairs_across = within_real.sum(), within_fake.sum(), across_real.sum()
    of_real, of_fake = pairs_real / (n * (n - 1)), pairs_fake / (m * (m - 1))
    without_real = (pairs_real - 2 * within_real) / ((n - 1) * (n - 2)) + of_fake
    without_real -= 2 * (pairs_across - across_real) / ((n - 1) * m)
    without_fake = (pairs_fake - 2 * within_fake) / ((m - 1) * (m - 2)) + of_real
    without_fake -= 2 * (pairs_across - across_fake) / ((m - 1) * n)
    variance = (n - 1) * np.var(without_real) + (m - 1) * np.var(without_fake)
    return Estimate(float(of_real + of_fake - 2 * pairs_across / (n * m)), float(np.sqrt(variance)))


class NeighborMetrics(NamedTuple):
    """What nearest neighbours say; see the function of each name."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbor_metrics(
    real: Real, fake: Fake, *, manifold_neighbors: int = 3, density_neighbors: int = 5
) -> NeighborMetrics:
    """Compute precision, recall, density and coverage from one pass over the distances.

    Args:
        real: `[N, F]`.
        fake: `[M, F]`.
        manifold_neighbors: k of precision and recall.
        density_neighbors: k of density and coverage.

    Returns:
        The four, at half the cost of one after the other. Memory stays bounded: no table of all distances is kept.

    Raises:
        ValueError: if a set is not `[N, F]`, F differs, or there are not more than k examples on either side.
    """
    real, fake = _checked(real, fake)
    smallest = min(len(real), len(fake))
    for name, number in (("manifold_neighbors", manifold_neighbors), ("density_neighbors", density_neighbors)):
        if not 1 <= number < smallest:
            raise ValueError(f"{name} is {number}, expected 1 to {smallest - 1}, one less than examples.")
    manifold_radii, density_radii = _radii(real, manifold_neighbors, density_neighbors)
    fake_radii, _ = _radii(fake, manifold_neighbors, density_neighbors)
    in_real, balls_hit = [], 0
    in_fake, covered = np.zeros((2, len(real)), bool)
    for start in range(0, len(fake), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        distances = distance.cdist(fake[rows], real)
        in_real.append((distances <= manifold_radii).any(axis=1))
        in_fake |= (distances <= fake_radii[rows, None]).any(axis=0)
        hits = distances <= density_radii
        balls_hit += hits.sum()
        covered |= hits.any(axis=0)
    return NeighborMetrics(
        precision=float(np.concatenate(in_real).mean()),
        recall=float(in_fake.mean()),
        density=float(balls_hit / (density_neighbors * len(fake))),
        coverage=float(covered.mean()),
    )


def precision(
    real: Real,
    fake: Fake,
    *,
    num_neighbors: int = 3,
) -> float:
    """Compute the share of fakes that lie in the real manifold, the union of balls around real examples.

    1/M sum_j 1[exists i: |fake_j - real_i| <= radius_i],  radius_i: distance of real_i to its k-th nearest other real

    Args:
        real: `[N, F]`.
        fake: `[M, F]`.
        num_neighbors: k.

    Returns:
        Between 0 and 1: quality. One outlier among the real examples makes a ball that forgives much; see `density`.

    Raises:
        ValueError: if a set is not `[N, F]`, F differs, or there are not more than k examples on either side.

    References:
        Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models", section 3.
    """
    return neighbor_metrics(real, fake, manifold_neighbors=num_neighbors, density_neighbors=num_neighbors).precision


def recall(
    real: Real,
    fake: Fake,
    *,
    num_neighbors: int = 3,
) -> float:
    """Compute the share of real examples that lie in the fake manifold: `precision` with the sides exchanged.

    Args:
        real: `[N, F]`.
        fake: `[M, F]`.
        num_neighbors: k.

    Returns:
        Between 0 and 1: variety. One outlier among the fakes makes a ball that forgives much; see `coverage`.

    Raises:
        ValueError: if a set is not `[N, F]`, F differs, or there are not more than k examples on either side.

    References:
        Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models", section 3.
    """
    return neighbor_metrics(real, fake, manifold_neighbors=num_neighbors, density_neighbors=num_neighbors).recall


def density(
    real: Real,
    fake: Fake,
    *,
    num_neighbors: int = 5,
) -> float:
    """Compute in how many real balls a fake lies, on average and divided by k.

    1/(k M) sum_j sum_i 1[|fake_j - real_i| <= radius_i]

    Args:
        real: `[N, F]`.
        fake: `[M, F]`.
        num_neighbors: k.

    Returns:
        At least 0; its expectation is exactly 1 for equal distributions. Above 1 the fakes crowd where real examples
        are dense, which is no virtue.

    Raises:
        ValueError: if a set is not `[N, F]`, F differs, or there are not more than k examples on either side.

    References:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", section 3.
    """
    return neighbor_metrics(real, fake, manifold_neighbors=num_neighbors, density_neighbors=num_neighbors).density


def coverage(
    real: Real,
    fake: Fake,
    *,
    num_neighbors: int = 5,
) -> float:
    """Compute the share of real examples with a fake in their ball.

    1/N sum_i 1[exists j: |fake_j - real_i| <= radius_i]

    Args:
        real: `[N, F]`.
        fake: `[M, F]`.
        num_neighbors: k.

    Returns:
        Between 0 and 1; `expected_coverage` for equal distributions.

    Raises:
        ValueError: if a set is not `[N, F]`, F differs, or there are not more than k examples on either side.

    References:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", section 3.
    """
    return neighbor_metrics(real, fake, manifold_neighbors=num_neighbors, density_neighbors=num_neighbors).coverage


def expected_coverage(num_real: int, num_fake: int, *, num_neighbors: int = 5) -> float:
    """Compute the expectation of `coverage` for equal continuous distributions, whatever they are.

    1 - (N - 1) ... (N - k) / ((M + N - 1) ... (M + N - k))

    An example is missed when the k nearest of all the others are real, and all orders are equally likely. For equal
    sizes it is about 1 - 2^-k.

    Args:
        num_real: N.
        num_fake: M.
        num_neighbors: k.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: if there are not more than k real examples.

    References:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", section 3.
    """
    if num_real <= num_neighbors:
        raise ValueError(f"num_real is {num_real}, expected more than num_neighbors = {num_neighbors}.")
    others = num_real - np.arange(1.0, num_neighbors + 1)
    return float(1 - np.prod(others / (others + num_fake)))


def _checked(real, fake, smallest=2):
    for name, values in (("real", real), ("fake", fake)):
        if values.ndim != 2 or values.shape[0] < smallest:
            raise ValueError(f"{name} has shape {values.shape}, expected [N, F] with N of at least {smallest}.")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has features that are not finite, expected finite ones.")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"fake has {fake.shape[1]} features, expected {real.shape[1]} to match real.")
    return np.asarray(real, np.float64), np.asarray(fake, np.float64)


def _kernel(inner, num_features):
    return (inner / num_features + 1) ** 3


def _kernel_sums(values, partners):
    return _by_rows(values, lambda rows: _kernel(rows @ partners.T, values.shape[1]).sum(axis=1))


def _covariance_root(values):
    return np.linalg.qr((values - values.mean(axis=0)) / np.sqrt(len(values) - 1), mode="r")


def _by_rows(values, function):
    return np.concatenate([function(values[i : i + _ROWS_AT_ONCE]) for i in range(0, len(values), _ROWS_AT_ONCE)])


def _radii(values, *numbers):
    """For each number k, the distances to the k-th nearest other example."""
    # Each example is its own nearest, so the k-th other one is at index k.
    nearest = _by_rows(values, lambda rows: np.partition(distance.cdist(rows, values), numbers, axis=1)[:, numbers])
    return nearest.T
