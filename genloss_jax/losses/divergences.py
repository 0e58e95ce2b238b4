"""Divergences and distances: two batches in, one number out.

Every function here returns a scalar. A name says whether its distance is squared; a distance that does not say so is
the root, a metric. Batches are `[N, D]` and `[M, D]`, one example per row, and need not be equally long: flatten images
or take features first.

A kernel is a function `(x [N, D], y [M, D]) -> [N, M]`; `rbf_kernel` and its siblings build them.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from genloss_jax._names import look_up

Kernel = Callable[[Array, Array], Array]


# --- Kernels ---


def rbf_kernel(*, lengthscale: float | Float[Array, ""]) -> Kernel:
    """Build the Gaussian kernel, k(x, y) = exp(-|x - y|² / (2 lengthscale²)).

    Args:
        lengthscale: in the unit of x. Some code writes exp(-gamma |x - y|²): there gamma = 1 / (2 lengthscale²).

    Returns:
        A kernel.
    """
    return lambda x, y: jnp.exp(-0.5 * _squared_distances(x / lengthscale, y / lengthscale))


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
        ratio = _squared_distances(x / lengthscale, y / lengthscale) / (2 * alpha)
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
    return lambda x, y: -_distances(x, y)


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


# --- Distances from pairs of examples ---


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
    _check_batches(x, y, smallest=2 if unbiased else 1)
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
    return _safe_sqrt(energy_squared_distance(x, y, unbiased=False))


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
    return _safe_sqrt(cramer_squared_distance(x, y))


# --- Optimal transport ---


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
    _check_batches(x, y)
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
    _check_batches(x, y)
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


# --- f-divergences on a common support ---


def f_divergence(log_p: Float[Array, " support"], log_q: Float[Array, " support"], name: str) -> Float[Array, ""]:
    """Compute an f-divergence of two discrete distributions, D_f(p || q) = sum_k q_k f(p_k / q_k).

    - "kl": sum p log(p / q)
    - "reverse_kl": sum q log(q / p)
    - "jeffreys": sum (p - q) log(p / q), the sum of both
    - "jensen_shannon": 2 JSD = KL(p || m) + KL(q || m) with m = (p + q) / 2
    - "gan": 2 JSD - log 4, the value of the minimax game
    - "pearson": sum (p - q)² / q
    - "neyman": sum (p - q)² / p
    - "squared_hellinger": sum (sqrt p - sqrt q)², without a ½
    - "total_variation": ½ sum |p - q|

    The names and factors are those of `adversarial.f_gan`, whose game has this value at the optimal critic.

    Args:
        log_p: `[K]` log-probabilities of the data; -inf where the probability is 0.
        log_q: `[K]` log-probabilities of the model on the same support.
        name: one of the above.

    Returns:
        Scalar, in nats where a logarithm stands above and without unit elsewhere. Infinite where p and q do not
        share their support and the divergence is unbounded.

    Raises:
        ValueError: if the name is unknown or the shapes differ.

    References:
        Nowozin et al. 2016, "f-GAN", table 1, by its generators f: the column of integrals there has Pearson and Neyman
        exchanged, and ½ on the Jensen-Shannon divergence.
    """
    terms = look_up("divergence", name, _F_DIVERGENCES)
    return jnp.sum(terms(*_common_support(log_p, log_q)))


def alpha_divergence(
    log_p: Float[Array, " support"], log_q: Float[Array, " support"], *, alpha: float
) -> Float[Array, ""]:
    """Compute the alpha-divergence of two discrete distributions.

    D_alpha(p || q) = (sum_k p_k^alpha q_k^(1 - alpha) - 1) / (alpha (alpha - 1))

    It is KL(p || q) at alpha = 1 and KL(q || p) at alpha = 0 (limits, computed as such), half of Pearson's at 2, half
    of Neyman's at -1 and twice the squared Hellinger divergence of `f_divergence` at ½. The power divergence of
    Cressie and Read with lambda = alpha - 1 is twice as large.

    Args:
        log_p: `[K]` log-probabilities of the data; -inf where the probability is 0.
        log_q: `[K]` log-probabilities of the model on the same support.
        alpha: static real number.

    Returns:
        Scalar, in nats.

    Raises:
        ValueError: if the shapes differ.

    References:
        Cressie and Read 1984, "Multinomial goodness-of-fit tests".
    """
    if alpha > 1:  # D_alpha(p || q) = D_(1 - alpha)(q || p), which is infinite where it ought to be
        return alpha_divergence(log_q, log_p, alpha=1 - alpha)
    if alpha in (0, 1):
        return f_divergence(log_p, log_q, "kl" if alpha == 1 else "reverse_kl")
    p, q, log_p, log_q = _common_support(log_p, log_q)
    # (sum p^alpha q^(1 - alpha) - 1) / (alpha (alpha - 1)). The terms alpha (p - q) sum to 0, and take with them the
    # rounding errors of p close to q.
    excess = _weigh(q, jnp.expm1(alpha * (log_p - log_q))) - alpha * (p - q)
    return jnp.sum(excess) / (alpha * (alpha - 1))


# --- Helpers ---


def _squared_distances(x, y):
    # Differences before squares: |x|² + |y|² - 2 x·y is a matrix product but loses close pairs to cancellation.
    return jnp.sum((x[:, None, :] - y[None, :, :]) ** 2, axis=-1)


def _distances(x, y):
    return _safe_sqrt(_squared_distances(x, y))


def _safe_sqrt(value):
    """Take the root with gradient 0, instead of infinity, where the value is 0 (or negative by rounding)."""
    positive = value > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, value, 1)), 0)


def _unit(vectors):
    norms = _safe_sqrt(jnp.sum(vectors**2, axis=-1, keepdims=True))
    return vectors / jnp.where(norms > 0, norms, 1)


def _mean_within(gram, unbiased):
    if not unbiased:
        return jnp.mean(gram)
    num = gram.shape[0]
    return jnp.sum(jnp.where(jnp.eye(num, dtype=bool), 0, gram)) / (num * (num - 1))


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


def _weigh(mass, value):
    """Multiply with the convention 0 · ∞ = 0 of measure theory."""
    return jnp.where(mass > 0, mass * jnp.where(mass > 0, value, 0), 0)


def _common_support(log_p, log_q):
    if log_p.ndim != 1:
        raise ValueError(f"log_p has shape {log_p.shape}, expected a vector of log-probabilities [K].")
    if log_q.shape != log_p.shape:
        raise ValueError(f"log_q has shape {log_q.shape}, expected {log_p.shape} to match log_p.")
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    # A point outside both supports counts for nothing; its log-ratio would be NaN.
    nowhere = jnp.isneginf(log_p) & jnp.isneginf(log_q)
    return p, q, jnp.where(nowhere, 0, log_p), jnp.where(nowhere, 0, log_q)


def _minimax(p, q, log_p, log_q, offset):
    ratio = log_p - log_q
    return _weigh(p, offset - jax.nn.softplus(-ratio)) + _weigh(q, offset - jax.nn.softplus(ratio))


# name -> (p, q, log p, log q) -> the divergence's term at each point of the support
_F_DIVERGENCES = {
    "kl": lambda p, q, log_p, log_q: _weigh(p, log_p - log_q),
    "reverse_kl": lambda p, q, log_p, log_q: _weigh(q, log_q - log_p),
    "jeffreys": lambda p, q, log_p, log_q: _weigh(jnp.abs(p - q), jnp.abs(log_p - log_q)),
    "jensen_shannon": lambda p, q, log_p, log_q: _minimax(p, q, log_p, log_q, math.log(2)),
    "gan": lambda p, q, log_p, log_q: _minimax(p, q, log_p, log_q, 0.0),
    "pearson": lambda p, q, log_p, log_q: _weigh(jnp.abs(p - q), jnp.abs(jnp.expm1(log_p - log_q))),
    "neyman": lambda p, q, log_p, log_q: _weigh(jnp.abs(q - p), jnp.abs(jnp.expm1(log_q - log_p))),
    "squared_hellinger": lambda p, q, log_p, log_q: (jnp.exp(0.5 * log_p) - jnp.exp(0.5 * log_q)) ** 2,
    "total_variation": lambda p, q, log_p, log_q: 0.5 * jnp.abs(p - q),
}


def _check_batches(x, y, smallest=1):
    for name, batch in (("x", x), ("y", y)):
        if batch.ndim != 2 or batch.shape[0] < smallest:
            raise ValueError(f"{name} has shape {batch.shape}, expected [N, D] with N of at least {smallest}.")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y has shape {y.shape}, expected {x.shape[1]} columns to match x of shape {x.shape}.")
