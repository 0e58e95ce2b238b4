"""What a sampler of a mixture of well separated Gaussians got right: modes, quality, balance (PacGAN's protocol).

A sample belongs to its nearest mode, and is of high quality within `NUM_SIGMAS` standard deviations of it. Both count
even when it is perfect: of the plane mixture itself a share exp(-4.5) = 1.11 % lies further out.
"""

import numpy as np
from jax import Array
from jaxtyping import Float, Int
from scipy import stats
from scipy.spatial import distance

Samples = Float[np.ndarray, "n d"] | Float[Array, "n d"]
Centers = Float[np.ndarray, "k d"] | Float[Array, "k d"]

NUM_SIGMAS = 3.0


def count_modes(
    samples: Samples,
    centers: Centers,
    sigma: float,
) -> Int[np.ndarray, " bins"]:
    """Count samples by the mode that they hit, with a last bin for those that hit none.

    Args:
        samples: `[N, D]`. One that is not finite hits no mode.
        centers: `[K, D]`, the means of the mixture's components.
        sigma: their common standard deviation along each axis.

    Returns:
        `[K + 1]` counts: within 3 sigma of each mode where that mode is the nearest, then the rest. They sum to N.

    Raises:
        ValueError: if the shapes do not fit, or there is no sample.
    """
    samples, centers = np.asarray(samples, np.float64), np.asarray(centers, np.float64)
    if samples.ndim != 2 or centers.ndim != 2 or samples.shape[1] != centers.shape[1] or len(samples) == 0:
        raise ValueError(f"samples has shape {samples.shape}, expected [N, {centers.shape[-1]}] with N of at least 1.")
    finite = np.isfinite(samples).all(axis=1, keepdims=True)
    distances = np.where(finite, distance.cdist(np.where(finite, samples, 0.0), centers), np.inf)
    nearest = np.where(distances.min(axis=1) <= NUM_SIGMAS * sigma, distances.argmin(axis=1), len(centers))
    return np.bincount(nearest, minlength=len(centers) + 1)


def mode_probabilities(centers: Centers, sigma: float) -> Float[np.ndarray, " bins"]:
    """Compute what `count_modes` finds of the mixture itself, exactly: probabilities, nothing drawn or estimated.

    p_k = 1/K sum_j P(|x - center_k| <= 3 sigma | x ~ N(center_j, sigma² I)), a non-central chi-square with D degrees of
    freedom; the last bin is the rest. Of a lone mode in the plane the rest is exp(-9/2).

    Args:
        centers: `[K, D]`, the means of the components, which have equal weights.
        sigma: their common standard deviation along each axis.

    Returns:
        `[K + 1]` probabilities, all above 0.

    Raises:
        ValueError: if two modes are nearer than 6 sigma: their bins would overlap.
    """
    centers = np.asarray(centers, np.float64)
    if not separated(centers, sigma):
        raise ValueError(f"centers has modes nearer to each other than {2 * NUM_SIGMAS:g} sigma, sigma = {sigma}.")
    squares = distance.cdist(centers, centers, "sqeuclidean") / sigma**2
    dim, radius_squared = centers.shape[1], NUM_SIGMAS**2
    own = stats.chi2.cdf(radius_squared, dim)
    others = np.where(np.eye(len(centers), dtype=bool), 0.0, stats.ncx2.cdf(radius_squared, dim, squares))
    inside = (own + others.sum(axis=1)) / len(centers)
    # Of the survival function, because 1 - cdf loses what little is outside; visits to other modes are taken back.
    outside = stats.chi2.sf(radius_squared, dim) - others.sum() / len(centers)
    return np.append(inside, outside)


def separated(centers: Centers, sigma: float) -> bool:
    """Tell whether the modes are at least 6 sigma apart, so that their 3 sigma balls do not overlap."""
    return len(centers) < 2 or bool(distance.pdist(np.asarray(centers, np.float64)).min() >= 2 * NUM_SIGMAS * sigma)


def modes_covered(counts: Int[np.ndarray, " bins"]) -> int:
    """Count the modes that at least one high-quality sample hits.

    Args:
        counts: `[K + 1]` of `count_modes`.

    Returns:
        Between 0 and K.

    References:
        Lin et al. 2018, "PacGAN: The power of two samples in generative adversarial networks", section 4.1.
    """
    return int(np.count_nonzero(counts[:-1]))


def high_quality_share(counts: Int[np.ndarray, " bins"]) -> float:
    """Compute the share of samples within 3 sigma of a mode.

    Args:
        counts: `[K + 1]` of `count_modes`.

    Returns:
        Between 0 and 1; 1 - exp(-4.5) = 0.9889 is expected of a perfect sampler in the plane, and more says that the
        modes are too narrow.
    """
    return float(counts[:-1].sum() / counts.sum())


def reverse_kl(counts: Int[np.ndarray, " bins"], probabilities: Float[np.ndarray, " bins"]) -> float:
    """Compute the reverse KL of the histogram over modes and one off-mode bin.

    KL(q || p) = sum_{k <= K + 1} q_k log(q_k / p_k),  q = counts / N,  p = `mode_probabilities`

    Always finite, because p is above 0 everywhere: log(1 / p_off) = 4.5 nats in the plane when no sample hits a mode,
    log(K) + 0.01 when all hit the same one. Of N samples of the truth about K / (2 N) is expected, not 0.

    Args:
        counts: `[K + 1]` of `count_modes`.
        probabilities: `[K + 1]` of `mode_probabilities`.

    Returns:
        Nats, at least 0.

    Raises:
        ValueError: if the shapes differ.
    """
    if counts.shape != probabilities.shape:
        raise ValueError(f"counts has shape {counts.shape}, expected {probabilities.shape} to match probabilities.")
    return float(stats.entropy(counts, probabilities))


def on_mode_reverse_kl(counts: Int[np.ndarray, " bins"]) -> float:
    """Compute the reverse KL over modes as PacGAN's table has it: of high-quality samples alone, without the others.

    KL(q || uniform) = log K - H(q),  q_k = counts_k / sum_{j <= K} counts_j

    It does not see samples between the modes: a sampler with one good sample in each mode and thousands elsewhere gets
    0. Hence `reverse_kl`; this one is for comparison with published numbers.

    Args:
        counts: `[K + 1]` of `count_modes`; the last is not used.

    Returns:
        Nats, between 0 and log K. Without any high-quality sample there is no such q, and it is log K, the worst.

    References:
        Lin et al. 2018, "PacGAN", section 4.1; which samples count is as in the code published with it.
    """
    on_mode = counts[:-1]
    return float(stats.entropy(on_mode, np.ones(on_mode.size))) if on_mode.any() else float(np.log(on_mode.size))
