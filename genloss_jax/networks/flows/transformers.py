"""Increasing maps of one number, whose parameters a network chooses for each number of each example."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Transformer(NamedTuple):
    """A family of increasing maps of the line. All zeros as parameters is the identity.

    Attributes:
        num_params: P, parameters of one map.
        forward: `(params [..., P], x [...]) -> (y [...], log_slope [...])` with log_slope = log dy/dx.
        inverse: `(params [..., P], y [...]) -> x [...]`.
    """

    num_params: int
    forward: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    inverse: Callable[[jax.Array, jax.Array], jax.Array]


def affine(max_log_scale: float = 4.0) -> Transformer:
    """Scale and shift, with a scale that cannot run away.

    y = x exp(s) + t, s = m tanh(a / m)

    Args:
        max_log_scale: m, the bound on |s|.

    Returns:
        The transformer, with the parameters (t, a).

    Raises:
        ValueError: if the bound is not positive.

    References:
        Dinh et al. 2017, "Density estimation using Real NVP", equation 7.
    """
    if max_log_scale <= 0:
        raise ValueError(f"max_log_scale must be positive, got {max_log_scale}")

    def split(params):
        return params[..., 0], max_log_scale * jnp.tanh(params[..., 1] / max_log_scale)

    def forward(params, x):
        shift, log_scale = split(params)
        return x * jnp.exp(log_scale) + shift, log_scale

    def inverse(params, y):
        shift, log_scale = split(params)
        return (y - shift) * jnp.exp(-log_scale)

    return Transformer(2, forward, inverse)


class _Bin(NamedTuple):
    """The piece of each spline that its number fell into."""

    left: jax.Array
    width: jax.Array
    bottom: jax.Array
    height: jax.Array
    left_slope: jax.Array
    right_slope: jax.Array

    @property
    def slope(self) -> jax.Array:
        return self.height / self.width

    @property
    def bend(self) -> jax.Array:
        return self.left_slope + self.right_slope - 2.0 * self.slope


def rational_quadratic_spline(
    num_bins: int, bound: float = 4.0, *, min_bin: float = 1e-3, min_slope: float = 1e-3
) -> Transformer:
    """Bend the interval [-bound, bound] by a spline of rational quadratics; the identity outside.

    With ξ the share of its bin that x has crossed, s the mean slope of the bin, and d₀, d₁ those at its ends,

        y = y₀ + height (s ξ² + d₀ ξ (1-ξ)) / (s + (d₀ + d₁ - 2s) ξ (1-ξ))
        dy/dx = s² (d₁ ξ² + 2 s ξ (1-ξ) + d₀ (1-ξ)²) / (s + (d₀ + d₁ - 2s) ξ (1-ξ))²

    Widths and heights of the bins are softmaxes, the K - 1 slopes at inner knots are softplus; at the two ends they are
    1, so that the whole line has a continuous derivative.

    Args:
        num_bins: K. There are 3K - 1 parameters: K widths, K heights, K - 1 slopes.
        bound: half the length of the interval.
        min_bin: smallest width and height, as a share of the interval. Narrower bins lose their slope to rounding.
        min_slope: smallest slope at a knot, for the same reason.

    Returns:
        The transformer.

    Raises:
        ValueError: if an option is out of range.

    References:
        Durkan et al. 2019, "Neural spline flows", section 3.1 and appendix A.
    """
    if num_bins < 2:
        raise ValueError(f"num_bins must be at least 2, got {num_bins}")
    if bound <= 0:
        raise ValueError(f"bound must be positive, got {bound}")
    if not 0 < min_bin * num_bins < 1:
        raise ValueError(f"min_bin must be above 0 and below 1 / num_bins = {1 / num_bins:.3g}, got {min_bin}")
    if not 0 < min_slope < 1:
        raise ValueError(f"min_slope must be above 0 and below 1, got {min_slope}")
    # Sums over the bins before each knot, as a product: a cumulative sum is slower on CPUs.
    before = np.triu(np.ones((num_bins, num_bins), np.float32), k=1)
    slope_at_zero = float(np.log(np.expm1(1.0 - min_slope)))

    def sizes(raw):
        """Lay the bins along the interval: their lengths, and where they begin."""
        lengths = 2.0 * bound * (min_bin + (1.0 - min_bin * num_bins) * jax.nn.softmax(raw))
        return lengths, jnp.matmul(lengths, before.astype(lengths.dtype), precision="highest") - bound

    def find(params, position, axis):
        """Take the bin of each number, which lies along x (axis 0) or along y (axis 1)."""
        widths, lefts = sizes(params[..., :num_bins])
        heights, bottoms = sizes(params[..., num_bins : 2 * num_bins])
        inner = min_slope + jax.nn.softplus(params[..., 2 * num_bins :] + slope_at_zero)
        one = jnp.ones_like(inner[..., :1])
        begins = (lefts, bottoms)[axis][..., 1:]
        passed = position[..., None] >= begins
        everywhere = jnp.ones_like(passed[..., :1])
        chosen = jnp.concatenate([everywhere, passed], -1) & ~jnp.concatenate([passed, ~everywhere], -1)

        def take(values):
            return jnp.sum(jnp.where(chosen, values, 0.0), -1)

        return _Bin(
            left=take(lefts),
            width=take(widths),
            bottom=take(bottoms),
            height=take(heights),
            left_slope=take(jnp.concatenate([one, inner], -1)),
            right_slope=take(jnp.concatenate([inner, one], -1)),
        )

    def forward(params, x):
        inside = jnp.abs(x) < bound
        # Outside, the formulas are evaluated at a harmless point, so that no gradient of theirs is infinite.
        safe = jnp.where(inside, x, 0.0)
        own = find(params, safe, 0)
        share = (safe - own.left) / own.width
        rest = 1.0 - share
        denominator = own.slope + own.bend * share * rest
        y = own.bottom + own.height * (own.slope * share**2 + own.left_slope * share * rest) / denominator
        numerator = own.right_slope * share**2 + 2.0 * own.slope * share * rest + own.left_slope * rest**2
        log_slope = 2.0 * jnp.log(own.slope) + jnp.log(numerator) - 2.0 * jnp.log(denominator)
        return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)

    def inverse(params, y):
        inside = jnp.abs(y) < bound
        safe = jnp.where(inside, y, 0.0)
        own = find(params, safe, 1)
        climbed = safe - own.bottom
        # a ξ² + b ξ + c = 0, by the form of the root that loses no digits
        a = own.height * (own.slope - own.left_slope) + climbed * own.bend
        b = own.height * own.left_slope - climbed * own.bend
        c = -own.slope * climbed
        root = jnp.sqrt(jnp.maximum(b**2 - 4.0 * a * c, 0.0))
        share = 2.0 * c / (-b - root)
        return jnp.where(inside, own.left + share * own.width, y)

    return Transformer(3 * num_bins - 1, forward, inverse)
