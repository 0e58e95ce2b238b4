"""Distributions in the plane that can be sampled without end and whose density and entropy are known exactly.

Three constructions cover them all.

* A *product mixture*, `p(x) = Σ_n w_n k(x_1 - a_n1) k(x_2 - a_n2)`, with `k` a Gaussian, or a Gaussian convolved with a
  box. Over a few centres this is `ring`, `grid` and `eight_gaussians`. Over the Gauss-Legendre nodes of a curve's
  parameter it is the noise-convolved curve itself: `moons`, `swiss_roll` and `spirals`, exact to rounding, because the
  nodes lie closer together than the kernel is wide, where Gauss-Legendre converges exponentially.
* A *uniform distribution* on a region of known area: `checkerboard` and `triangles`; the entropy is its logarithm.
* A *twist*, which turns every point by an angle that depends on its radius only. Such a map keeps areas, so the density
  is that of the point turned back, and the entropy stays what it was: `pinwheel`.

The entropy of a mixture is a trapezoidal sum over a grid in float64. The kernel factorises, so the density on the grid
is one matrix product; on smooth, decaying integrands the trapezoidal rule converges exponentially too.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp
from jaxtyping import Array, Float, Key
from scipy.special import log_ndtr as log_ndtr64

from genloss_jax._names import look_up
from genloss_jax.data.dataset import Dataset, Modes
from genloss_jax.data.sources import Batch, DeviceSource

Points = Float[Array, "batch 2"] | Float[np.ndarray, "batch 2"]

_TRAIN_SIZE, _TEST_SIZE = 100_000, 10_000


class Plane(NamedTuple):
    """A distribution in the plane.

    Attributes:
        sample: `(key, num) -> [num, 2]`, pure, to be jitted with `num` static.
        log_prob: Exact log-density, `[B, 2] -> [B]` in nats; minus infinity outside the support.
        entropy: Gives the differential entropy in nats.
        modes: The modes of a mixture, or None.
    """

    sample: Callable[[Key[Array, ""], int], Float[Array, "num 2"]]
    log_prob: Callable[[Points], Float[Array, " batch"]]
    entropy: Callable[[], float]
    modes: Modes | None = None


@cache
def get(name: str) -> Plane:
    """Give a distribution by its name.

    Args:
        name: One of `names()`.

    Returns:
        The distribution; the same object for the same name, so that compiled samplers are shared.

    Raises:
        ValueError: If there is no such name.
    """
    return look_up("plane distribution", name, _MAKERS)()


def names() -> tuple[str, ...]:
    """Name all distributions."""
    return tuple(_MAKERS)


@cache
def load(name: str) -> Dataset:
    """Give a distribution as a data set: endless training batches, and 10,000 held-out points."""
    plane = get(name)

    def sample(key: jax.Array, num: int) -> Batch:
        return {"x": plane.sample(key, num)}

    return Dataset(
        name=name,
        train=DeviceSource(sample, _TRAIN_SIZE, seed=1),
        test=DeviceSource(sample, _TEST_SIZE, seed=2),
        shape=(2,),
        log_prob=plane.log_prob,
        entropy=plane.entropy(),
        modes=plane.modes,
    )


# --- product mixtures -------------------------------------------------------------------------------------------------


class _Kernels(NamedTuple):
    """Weighted copies of one product kernel: N(0, sigma²) along each axis, plus U(0, box) where box > 0."""

    nodes: np.ndarray  # [N, 2]
    weights: np.ndarray  # [N], sum to 1
    sigma: float
    box: float = 0.0


def _log_kernel(offset, sigma: float, box: float, xp, log_cdf):
    """Log-density of N(0, sigma²), or of N(0, sigma²) + U(0, box), at `offset`."""
    if not box:
        return -0.5 * (offset / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
    # log[(Φ(offset/σ) - Φ((offset - box)/σ)) / box], reflected into the lower tail, where log Φ is accurate.
    offset = xp.minimum(offset, box - offset)
    upper, lower = log_cdf(offset / sigma), log_cdf((offset - box) / sigma)
    return upper + xp.log1p(-xp.exp(lower - upper)) - np.log(box)


def _mixture_log_prob(kernels: _Kernels, x: Points) -> Float[Array, " batch"]:
    x = jnp.asarray(x)
    nodes, log_weights = jnp.asarray(kernels.nodes, x.dtype), jnp.asarray(np.log(kernels.weights), x.dtype)
    offsets = x[:, None, :] - nodes[None, :, :]
    # log p(x) = log Σ_n w_n k(x_1 - a_n1) k(x_2 - a_n2)
    log_kernels = _log_kernel(offsets, kernels.sigma, kernels.box, jnp, log_ndtr).sum(-1)
    return logsumexp(log_kernels + log_weights[None, :], axis=-1)


def _mixture_entropy(kernels: _Kernels) -> float:
    step, reach = kernels.sigma / 2, 10 * kernels.sigma
    factors = []
    for axis in range(2):
        nodes = kernels.nodes[:, axis]
        grid = np.arange(nodes.min() - reach, nodes.max() + kernels.box + reach, step)
        factors.append(np.exp(_log_kernel(grid[:, None] - nodes[None, :], kernels.sigma, kernels.box, np, log_ndtr64)))
    return _grid_entropy((factors[0] * kernels.weights) @ factors[1].T, step)


def _grid_entropy(density: np.ndarray, step: float) -> float:
    # H = -∫ p log p
    return float(-np.sum(density * np.log(np.where(density > 0, density, 1.0))) * step**2)


def _gaussians(centers: np.ndarray, sigma: float) -> Plane:
    """Equally weighted Gaussians."""
    kernels = _Kernels(centers, np.full(len(centers), 1 / len(centers)), sigma)

    def sample(key: Key[Array, ""], num: int) -> Float[Array, "num 2"]:
        mode_key, noise_key = jax.random.split(key)
        modes = jax.random.randint(mode_key, (num,), 0, len(centers))
        return jnp.asarray(centers, float)[modes] + sigma * jax.random.normal(noise_key, (num, 2))

    return Plane(sample, partial(_mixture_log_prob, kernels), partial(_mixture_entropy, kernels), Modes(centers, sigma))


def _noisy_curve(
    curve: Callable, *, num_arms: int, power: int, num_nodes: int, sigma: float, box: float = 0.0
) -> Plane:
    """Points on the arms of a curve, plus noise.

    `curve(s, xp)` gives `[num_arms, len(s), 2]` for `s` in [0, 1]; `s` has the density `power * s**(power - 1)`; each
    arm is as likely as the others. Noise is Gaussian, plus uniform on `[0, box]²` where `box > 0`.
    """
    roots, root_weights = np.polynomial.legendre.leggauss(num_nodes)
    s = (roots + 1) / 2
    weights = root_weights / 2 * power * s ** (power - 1) / num_arms
    kernels = _Kernels(curve(s, np).reshape(-1, 2), np.tile(weights, num_arms), sigma, box)

    def sample(key: Key[Array, ""], num: int) -> Float[Array, "num 2"]:
        curve_key, arm_key, noise_key, box_key = jax.random.split(key, 4)
        points = curve(jax.random.uniform(curve_key, (num,)) ** (1 / power), jnp)
        points = points[jax.random.randint(arm_key, (num,), 0, num_arms), jnp.arange(num)]
        points += sigma * jax.random.normal(noise_key, (num, 2))
        return points + box * jax.random.uniform(box_key, (num, 2)) if box else points

    return Plane(sample, partial(_mixture_log_prob, kernels), partial(_mixture_entropy, kernels))


def _circle(num: int, radius: float) -> np.ndarray:
    angles = 2 * np.pi * np.arange(num) / num
    return radius * np.stack([np.cos(angles), np.sin(angles)], -1)


def _ring() -> Plane:
    """PacGAN's ring: 8 modes on the unit circle, sigma 0.01."""
    return _gaussians(_circle(8, 1.0), 0.01)


def _grid() -> Plane:
    """PacGAN's grid: 25 modes at {-4, -2, 0, 2, 4}², sigma 0.05."""
    axis = np.arange(-4.0, 5.0, 2.0)
    return _gaussians(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2), 0.05)


def _eight_gaussians() -> Plane:
    """FFJORD's eight Gaussians: radius 4 and sigma 0.5, both divided by 1.414 (not by the square root of 2)."""
    return _gaussians(_circle(8, 4 / 1.414), 0.5 / 1.414)


def _moons() -> Plane:
    """FFJORD's moons: scikit-learn's, with noise 0.1, times 2, plus (-1, -0.2)."""

    def curve(s, xp):
        outer = xp.stack([xp.cos(np.pi * s), xp.sin(np.pi * s)], -1)
        inner = xp.stack([1 - outer[:, 0], 0.5 - outer[:, 1]], -1)
        return 2 * xp.stack([outer, inner]) + xp.asarray([-1.0, -0.2])[None, None, :]

    return _noisy_curve(curve, num_arms=2, power=1, num_nodes=128, sigma=0.2)


def _swiss_roll() -> Plane:
    """FFJORD's swiss roll: scikit-learn's first and third coordinate with noise 1, divided by 5."""

    def curve(s, xp):
        t = 1.5 * np.pi * (1 + 2 * s)
        return xp.stack([t * xp.cos(t), t * xp.sin(t)], -1)[None] / 5

    return _noisy_curve(curve, num_arms=1, power=1, num_nodes=320, sigma=0.2)


def _spirals() -> Plane:
    """FFJORD's two spirals: one and a half turns, radius as the square root of a uniform variable.

    Noise is uniform on a square of side 1/6 with a corner on the curve, plus a Gaussian with sigma 0.1; the second arm
    is the first one reflected in the origin, its square of noise included.
    """
    side = 0.5 / 3

    def curve(s, xp):
        t = 3 * np.pi * s
        arm = xp.stack([-xp.cos(t) * t, xp.sin(t) * t], -1) / 3
        # The reflected square lies on the other side of the curve, hence the shift.
        return xp.stack([arm, -arm - side])

    return _noisy_curve(curve, num_arms=2, power=2, num_nodes=512, sigma=0.1, box=side)


# --- uniform distributions --------------------------------------------------------------------------------------------


def _checkerboard() -> Plane:
    """FFJORD's checkerboard: the 8 dark squares of a board of 4 by 4 squares with side 2, so the area is 32."""

    def sample(key: Key[Array, ""], num: int) -> Float[Array, "num 2"]:
        square_key, place_key = jax.random.split(key)
        square = jax.random.randint(square_key, (num,), 0, 8)
        column, half = square // 2, square % 2
        corner = jnp.stack([column - 2, column % 2 - 2 * half], -1)
        return 2 * (corner + jax.random.uniform(place_key, (num, 2)))

    def log_prob(x: Points) -> Float[Array, " batch"]:
        x = jnp.asarray(x)
        squares = jnp.floor(x / 2)
        inside = jnp.all((squares >= -2) & (squares < 2), -1) & (squares.sum(-1) % 2 == 0)
        return jnp.where(inside, -jnp.log(jnp.asarray(32.0, x.dtype)), -jnp.inf)

    return Plane(sample, log_prob, lambda: float(np.log(32.0)))


def _triangles() -> Plane:
    """Sierpinski's triangle after two steps: 9 equilateral triangles of side 2, uniform on them.

    The whole has side 8 and its centre of mass in the origin. A point is written as `corner + u e_1 + v e_2` with the
    edges `e_1`, `e_2` of the whole; it lies in the figure if, at each of the two scales, `u + v < 1` within its part.
    """
    side, depth = 8.0, 2
    edges = side * np.array([[1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    corner = -edges.sum(0) / 3
    inverse = np.linalg.inv(edges)
    parts = np.array([[0, 0], [1, 0], [0, 1]])
    parts = (2 * parts[:, None, :] + parts[None, :, :]).reshape(-1, 2) / 4  # [9, 2], corners in units of the edges
    area = 0.75**depth * np.sqrt(3) / 4 * side**2

    def sample(key: Key[Array, ""], num: int) -> Float[Array, "num 2"]:
        part_key, place_key = jax.random.split(key)
        place = jax.random.uniform(place_key, (num, 2))
        place = jnp.where(place.sum(-1, keepdims=True) > 1, 1 - place, place)  # the parallelogram's far half, folded
        place = jnp.asarray(parts, float)[jax.random.randint(part_key, (num,), 0, len(parts))] + place / 4
        return _affine(place, edges, corner)

    def log_prob(x: Points) -> Float[Array, " batch"]:
        x = jnp.asarray(x)
        place = _affine(x - jnp.asarray(corner, x.dtype)[None], inverse, np.zeros(2))
        inside = jnp.all(place >= 0, -1) & (place.sum(-1) < 1)
        for _ in range(depth):
            place = 2 * place
            place = place - jnp.floor(place)
            inside &= place.sum(-1) < 1
        return jnp.where(inside, -jnp.log(jnp.asarray(area, x.dtype)), -jnp.inf)

    return Plane(sample, log_prob, lambda: float(np.log(area)))


def _affine(points, matrix: np.ndarray, shift: np.ndarray):
    """`points @ matrix + shift`, written out, because a matrix product may round to bfloat16 on accelerators."""
    first, second, offset = (jnp.asarray(row, points.dtype)[None] for row in (*matrix, shift))
    return points[:, :1] * first + points[:, 1:] * second + offset


# --- twist ------------------------------------------------------------------------------------------------------------


def _pinwheel() -> Plane:
    """Johnson's pinwheel with FFJORD's numbers (5 arms, deviations 0.3 and 0.1, rate 0.25, times 2), area-preserving.

    A point `(a, b)` with `a ~ N(1, 0.3²)` and `b ~ N(0, 0.1²)` is turned to its arm and then by `rate * exp(r)`. FFJORD
    takes `r = a`, whose map folds over far from the arms, so that its density has no closed form; here `r` is the
    radius `sqrt(a² + b²)`. The two pictures differ by less than the width of a line.
    """
    num_arms, rate, scale = 5, 0.25, 2.0
    deviations = np.array([0.3, 0.1])
    arms = 2 * np.pi * np.arange(num_arms) / num_arms

    def twist(points, sign: float):
        squared = (points**2).sum(-1)
        radius = jnp.where(
            squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0
        )  # finite gradient at the origin
        # Beyond radius 30, a hundred deviations out, the angle stays as it is, so that nothing overflows.
        return _turn(points, sign * rate * jnp.exp(jnp.minimum(radius, 30.0)), jnp)

    def sample(key: Key[Array, ""], num: int) -> Float[Array, "num 2"]:
        arm_key, noise_key = jax.random.split(key)
        arm = jnp.asarray(arms, float)[jax.random.randint(arm_key, (num,), 0, num_arms)]
        points = jax.random.normal(noise_key, (num, 2)) * jnp.asarray(deviations, float)[None]
        return scale * twist(_turn(points.at[:, 0].add(1.0), arm, jnp), 1.0)

    def straight_log_prob(points, xp, log_sum):
        """Log-density of the arms before they are twisted."""
        turned = _turn(points[:, None, :], -arms[None].astype(points.dtype), xp)
        squares = ((turned[..., 0] - 1) / float(deviations[0])) ** 2 + (turned[..., 1] / float(deviations[1])) ** 2
        return log_sum(-0.5 * squares, axis=-1) - float(np.log(num_arms * 2 * np.pi * deviations.prod()))

    def log_prob(x: Points) -> Float[Array, " batch"]:
        x = jnp.asarray(x)
        # The twist keeps areas; the scale stretches them by scale².
        return straight_log_prob(twist(x / scale, -1.0), jnp, logsumexp) - 2 * np.log(scale)

    def entropy() -> float:
        step = deviations.min() / 2
        axis = np.arange(-4.5, 4.5, step)
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        density = np.exp(straight_log_prob(grid, np, np.logaddexp.reduce))
        return _grid_entropy(density, step) + 2 * float(np.log(scale))

    return Plane(sample, log_prob, entropy)


def _turn(points, angles, xp):
    cosine, sine = xp.cos(angles), xp.sin(angles)
    x, y = points[..., 0], points[..., 1]
    return xp.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


_MAKERS: dict[str, Callable[[], Plane]] = {
    "ring": _ring,
    "grid": _grid,
    "eight_gaussians": _eight_gaussians,
    "moons": _moons,
    "swiss_roll": _swiss_roll,
    "spirals": _spirals,
    "checkerboard": _checkerboard,
    "triangles": _triangles,
    "pinwheel": _pinwheel,
}
