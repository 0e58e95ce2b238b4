"""Distributions in the plane: the sampler, the density and the entropy say the same, and what the literature says."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from genloss_jax.data import plane

# A square's half-side that holds everything, and cells at most as wide as the narrowest kernel.
SUPPORT = {
    "ring": (1.2, 0.0025),
    "grid": (4.5, 0.0125),
    "eight_gaussians": (5.2, 0.1),
    "moons": (5.2, 0.1),
    "swiss_roll": (4.5, 0.1),
    "spirals": (4.5, 0.1),
    "checkerboard": (4.8, 0.1),
    "triangles": (5.0, 0.01),
    "pinwheel": (6.0, 0.05),
}


@pytest.fixture(params=plane.names())
def name(request):
    """Give every distribution's name in turn."""
    return request.param


@functools.cache
def cell_masses(name):
    """Integrate a density over square cells by their centres."""
    half_side, step = SUPPORT[name]
    axis = np.arange(-half_side + step / 2, half_side, step, dtype=np.float32)
    rows = np.stack(np.broadcast_arrays(axis[:, None, None], axis[None, :, None]), -1).reshape(len(axis), -1, 2)
    log_density = jax.jit(lambda rows: jax.lax.map(plane.get(name).log_prob, rows))(rows)
    return np.exp(np.asarray(log_density, np.float64)) * step**2


def test_density_integrates_to_one(name):
    total = cell_masses(name).sum()
    assert total == pytest.approx(1.0, abs=2e-3 if name == "triangles" else 1e-4)  # slanted borders cut cells


def test_cross_entropy_of_samples_is_the_entropy_within_four_standard_errors(name):
    distribution = plane.get(name)
    x = jax.jit(distribution.sample, static_argnums=1)(jax.random.key(3), 10_000)
    nll = -np.asarray(jax.jit(distribution.log_prob)(x), np.float64)
    standard_error = nll.std() / math.sqrt(len(nll))
    assert abs(nll.mean() - distribution.entropy()) < 4 * standard_error + 2e-5


def test_histogram_of_samples_fits_the_density(name):
    half_side, step = SUPPORT[name]
    masses = cell_masses(name)
    cells = math.ceil(len(masses) / 24)  # in each of 24 by 24 bins
    padded = np.zeros((24 * cells, 24 * cells))
    padded[: len(masses), : len(masses)] = masses
    expected = padded.reshape(24, cells, 24, cells).sum((1, 3))
    num = 40_000
    x = np.asarray(plane.get(name).sample(jax.random.key(4), num), np.float64)
    edges = -half_side + step * cells * np.arange(25)
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], bins=(edges, edges))
    used = expected * num > 10
    expected, counts = expected[used] * num, counts[used]
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(chi_squared, used.sum()) > 1e-3


@pytest.mark.parametrize(
    ("distribution", "entropy"),
    [
        ("checkerboard", math.log(32)),
        ("triangles", math.log(9 * math.sqrt(3) / 4 * 2**2)),
        ("ring", math.log(8) + math.log(2 * math.pi * math.e * 0.01**2)),  # modes 76 deviations apart
        ("grid", math.log(25) + math.log(2 * math.pi * math.e * 0.05**2)),  # 40 deviations apart
        ("eight_gaussians", 2.831880),
    ],
)
def test_entropy_has_the_published_value(distribution, entropy):
    assert plane.get(distribution).entropy() == pytest.approx(entropy, abs=1e-6)


def test_entropy_of_moons_is_that_of_an_evenly_spread_parameter():
    # The value in circulation, 2.393883, spreads 200,000 points over the arcs with both ends included, which weighs the
    # ends double and adds 4e-6.
    assert plane.get("moons").entropy() == pytest.approx(2.393879, abs=1e-6)
    assert plane.get("moons").entropy() == pytest.approx(2.393883, abs=5e-6)


def test_entropy_of_pinwheel_is_that_of_its_untwisted_arms():
    # Arms that do not overlap would have ln 5 + ln(2πe · 0.3 · 0.1 · 2²); overlap takes a little away.
    apart = math.log(5) + math.log(2 * math.pi * math.e * 0.3 * 0.1 * 4)
    assert apart - 0.01 < plane.get("pinwheel").entropy() < apart


def gaussian(offset, sigma):
    """Density of N(0, sigma²) at an offset."""
    return stats.norm.pdf(offset, scale=sigma)


def boxed(offset, sigma, side):
    """Density of N(0, sigma²) + U(0, side), as an integral over the uniform part."""
    return integrate.fixed_quad(lambda u: gaussian(np.subtract.outer(offset, u), sigma) / side, 0, side, n=20)[0]


def moons_density(x, y):
    """Integrate over the angle: scikit-learn's moons, noise 0.1, times 2, plus (-1, -0.2)."""

    def at(t):
        outer = gaussian(x - (2 * math.cos(t) - 1), 0.2) * gaussian(y - (2 * math.sin(t) - 0.2), 0.2)
        inner = gaussian(x - (2 - 2 * math.cos(t) - 1), 0.2) * gaussian(y - (1 - 2 * math.sin(t) - 0.2), 0.2)
        return (outer + inner) / 2 / math.pi

    return integrate.quad(at, 0, math.pi, epsabs=1e-13, epsrel=1e-11, limit=400)[0]


def swiss_roll_density(x, y):
    """Integrate over the uniform variable: t = 3π/2 (1 + 2u), noise 1, divided by 5."""

    def at(u):
        t = 1.5 * math.pi * (1 + 2 * u)
        return gaussian(x - t * math.cos(t) / 5, 0.2) * gaussian(y - t * math.sin(t) / 5, 0.2)

    return integrate.quad(at, 0, 1, epsabs=1e-13, epsrel=1e-11, limit=800)[0]


def spirals_density(x, y):
    """Integrate over n = 3π sqrt(u), whose density is 2n / (3π)²; the second arm is the first one reflected."""

    def arm(x, y):
        def at(n):
            kernels = boxed(x + np.cos(n) * n / 3, 0.1, 0.5 / 3) * boxed(y - np.sin(n) * n / 3, 0.1, 0.5 / 3)
            return kernels * 2 * n / (3 * math.pi) ** 2

        pieces = np.linspace(0, 3 * math.pi, 101)
        return sum(integrate.fixed_quad(at, a, b, n=10)[0] for a, b in itertools.pairwise(pieces))

    return (arm(x, y) + arm(-x, -y)) / 2


@pytest.mark.parametrize(
    ("distribution", "density"),
    [("moons", moons_density), ("swiss_roll", swiss_roll_density), ("spirals", spirals_density)],
)
def test_log_prob_equals_quadrature_over_the_curve(distribution, density):
    points = np.asarray([[0.3, 0.1], [1.0, 0.9], [-1.0, -1.2], [0.1, 2.1], [-1.9, 0.4]])
    with jax.enable_x64(True):
        log_prob = np.asarray(plane.get(distribution).log_prob(points))
    expected = [math.log(density(x, y)) for x, y in points]
    np.testing.assert_allclose(log_prob, expected, atol=1e-6)


def test_log_prob_of_gaussian_mixtures_equals_scipy():
    points = np.asarray([[0.99, 0.01], [0.72, 0.70], [3.9, -2.1], [0.0, 0.0]])
    for distribution in ("ring", "grid", "eight_gaussians"):
        centers, sigma = plane.get(distribution).modes
        with jax.enable_x64(True):
            log_prob = np.asarray(plane.get(distribution).log_prob(points))
        modes = [stats.multivariate_normal(center, sigma**2).logpdf(points) for center in centers]
        np.testing.assert_allclose(log_prob, np.logaddexp.reduce(modes) - math.log(len(centers)), rtol=1e-12)


def test_pinwheel_density_is_the_change_of_variables_of_the_sampler():
    # A point of the first arm and where the twist takes it, with the Jacobian by automatic differentiation.
    def forward(point):
        angle = 0.25 * jnp.exp(jnp.sqrt((point**2).sum()))
        turn = jnp.stack([jnp.stack([jnp.cos(angle), -jnp.sin(angle)]), jnp.stack([jnp.sin(angle), jnp.cos(angle)])])
        return 2 * turn @ point

    with jax.enable_x64(True):
        point = jnp.asarray([1.2, 0.1])
        log_det = jnp.linalg.slogdet(jax.jacfwd(forward)(point))[1]
        log_prob = plane.get("pinwheel").log_prob(forward(point)[None])[0]
    angles = 2 * np.pi * np.arange(5) / 5
    arms = []
    for angle in angles:
        turn = np.asarray([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        covariance = turn @ np.diag([0.3**2, 0.1**2]) @ turn.T
        arms.append(stats.multivariate_normal(turn @ [1.0, 0.0], covariance).logpdf(np.asarray(point)))
    assert float(log_prob) == pytest.approx(np.logaddexp.reduce(arms) - math.log(5) - float(log_det), abs=1e-9)


def test_modes_follow_pacgan():
    ring, grid = plane.get("ring").modes, plane.get("grid").modes
    assert ring.centers.shape == (8, 2)
    assert ring.sigma == 0.01
    np.testing.assert_allclose(np.linalg.norm(ring.centers, axis=-1), 1.0)
    assert grid.sigma == 0.05
    assert {tuple(center) for center in grid.centers} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}


@pytest.mark.parametrize("smooth", [name for name in plane.names() if name not in ("checkerboard", "triangles")])
def test_log_prob_and_score_are_finite_far_away_and_at_the_origin(smooth):
    log_prob = plane.get(smooth).log_prob
    points = jnp.asarray([[0.0, 0.0], [100.0, -100.0], [-1e4, 3.0]])
    assert np.isfinite(log_prob(points)).all()
    assert np.isfinite(jax.grad(lambda x: log_prob(x).sum())(points)).all()


def test_outside_the_support_the_density_is_zero():
    points = jnp.asarray([[1.0, -1.0], [5.0, 5.0]])
    assert np.asarray(plane.get("checkerboard").log_prob(points)).tolist() == [-math.inf, -math.inf]
    middle = jnp.asarray([[0.0, 0.0], [-3.0, 3.0]])  # the hole in the middle, and beside the figure
    assert np.asarray(plane.get("triangles").log_prob(middle)).tolist() == [-math.inf, -math.inf]


def test_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'moons'"):
        plane.get("monos")
