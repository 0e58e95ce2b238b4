"""Triangles: what is drawn, how it is spread, and how far other pictures are from it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from genloss_jax.data import polygons

# Multiples of 1/8, so that moving by whole pixels is exact; the first has a right angle along the axes.
TRIANGLES = {
    "right": [[3.0, 2.0], [12.0, 2.0], [3.0, 13.0]],
    "acute": [[2.125, 7.5], [13.25, 3.0], [11.5, 13.875]],
    "obtuse": [[4.5, 1.25], [8.125, 7.0], [7.75, 14.5]],
}


@pytest.fixture(params=TRIANGLES)
def triangle(request):
    """Give the vertices of every triangle in turn."""
    return jnp.asarray(TRIANGLES[request.param])


@pytest.fixture(scope="module")
def real():
    """Give 256 pictures of 16 pixels."""
    return np.asarray(polygons.load().train.arrays(256)["x"])


def area_and_cotangents(vertices):
    vertices = np.asarray(vertices, float)
    area, cotangents = 0.0, 0.0
    for corner in range(3):
        to_next, to_last = (vertices[(corner + way) % 3] - vertices[corner] for way in (1, 2))
        area = abs(to_next[0] * to_last[1] - to_next[1] * to_last[0]) / 2
        cotangents += to_next @ to_last / (2 * area)
    return area, cotangents


def drawn_area(pictures):
    return (np.asarray(pictures, float) + 1).sum(axis=(-2, -1)) / 2


# --- Drawing ---


def test_sum_of_pixels_is_the_area_but_for_a_few_tenths_of_a_pixel(triangle):
    assert drawn_area(polygons.render(triangle, 16)) == pytest.approx(area_and_cotangents(triangle)[0], abs=0.5)


def test_sum_of_pixels_is_on_average_the_area_and_a_twelfth_of_the_cotangents(triangle):
    # In the middle of a larger picture: the tip of a ramp reaches beyond an acute vertex.
    places = 8 + (np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1).reshape(-1, 1, 2) + 0.5) / 16
    pictures = jax.vmap(partial(polygons.render, size=32))(triangle[None] + jnp.asarray(places, jnp.float32))
    area, cotangents = area_and_cotangents(triangle)
    assert drawn_area(pictures).mean() == pytest.approx(area + cotangents / 12, abs=2e-3)


def test_pixels_far_inside_are_white_and_far_outside_black():
    picture = np.asarray(polygons.render(jnp.asarray(TRIANGLES["right"]), 16))
    assert picture[4, 4] == 1.0
    assert picture[12, 12] == -1.0
    assert (picture[3:10, :2] == -1.0).all() and (picture[:3] == -1.0).all()  # edges between pixels are sharp
    # (11.5, 2.5) lies 1 / √(9² + 11²) inside of the line from (12, 2) to (3, 13), and ½ from the vertical one.
    assert picture[11, 2] == pytest.approx(2 / np.hypot(9, 11), rel=1e-5)


def test_moving_by_whole_pixels_moves_the_picture_exactly(triangle):
    still = polygons.render(triangle, 24)
    moved = polygons.render(triangle + jnp.asarray([[5.0, 3.0]]), 24)
    np.testing.assert_array_equal(moved[5:, 3:], still[:-5, :-3])


def test_order_of_the_vertices_does_not_matter(triangle):
    expected = polygons.render(triangle, 16)
    for order in ([2, 1, 0], [1, 2, 0], [0, 2, 1]):
        np.testing.assert_allclose(polygons.render(triangle[jnp.asarray(order)], 16), expected, atol=2e-6)


def test_axes_are_row_and_column():
    vertices = jnp.asarray(TRIANGLES["acute"])
    np.testing.assert_allclose(polygons.render(vertices[:, ::-1], 16), polygons.render(vertices, 16).T, atol=2e-6)


# --- The distribution ---


def placed(num=20_000):
    drawn = polygons.placements(jax.random.key(0), num)
    return np.asarray(drawn, float), np.asarray(jax.vmap(polygons.vertices)(drawn), float)


def inner_angles(vertices):
    to_next, to_last = np.roll(vertices, -1, axis=1) - vertices, np.roll(vertices, 1, axis=1) - vertices
    cosines = (to_next * to_last).sum(-1) / np.linalg.norm(to_next, axis=-1) / np.linalg.norm(to_last, axis=-1)
    return np.degrees(np.arccos(cosines))


def test_angles_are_uniform_among_those_of_at_least_thirty_degrees():
    angles = inner_angles(placed()[1])
    np.testing.assert_allclose(angles.sum(1), 180.0, atol=1e-2)
    assert angles.min() >= 30.0 - 1e-2
    # One of three uniform shares of the simplex is Beta(1, 2).
    for share in ((angles - 30) / 90).T:
        assert stats.kstest(share, stats.beta(1, 2).cdf).pvalue > 1e-3


def test_vertices_lie_on_the_circumcircle_which_keeps_off_the_border():
    drawn, vertices = placed()
    center, radius = drawn[:, :2], drawn[:, 2]
    np.testing.assert_allclose(
        np.linalg.norm(vertices - center[:, None], axis=-1), radius[:, None] + np.zeros(3), atol=1e-6
    )
    assert (center - radius[:, None]).min() >= 1 / 16 - 1e-6
    assert (center + radius[:, None]).max() <= 15 / 16 + 1e-6


def test_radius_rotation_and_place_are_uniform():
    drawn, _ = placed()
    radius = drawn[:, 2]
    place = (drawn[:, 0] - 0.5) / (0.5 - 1 / 16 - radius)
    for values, low, high in ((radius, 0.2, 0.4), (drawn[:, 3], 0.0, 2 * np.pi), (place, -1.0, 1.0)):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_data_set_has_both_splits_one_channel_and_the_asked_size(load):
    dataset = load("polygons")
    assert (dataset.shape, dataset.num_classes, len(dataset.train), len(dataset.test)) == (
        (16, 16, 1),
        0,
        100_000,
        10_000,
    )
    train, test = dataset.train.arrays(64)["x"], dataset.test.arrays(64)["x"]
    assert train.shape == (64, 16, 16, 1) and train.dtype == np.float32
    assert train.min() == -1.0 and train.max() == 1.0
    assert not np.array_equal(train, test)
    np.testing.assert_array_equal(train, load("polygons", image_size=16).train.arrays(64)["x"])
    assert load("polygons", image_size=28, channels=1).test.arrays(2)["x"].shape == (2, 28, 28, 1)


def test_colours_and_tiny_pictures_are_refused(load):
    with pytest.raises(ValueError, match="channels of polygons must be 0 or 1, because they are grey, got 3"):
        load("polygons", channels=3)
    with pytest.raises(ValueError, match="image_size of polygons must be at least 12, got 11"):
        load("polygons", image_size=11)


# --- Distance to the nearest triangle ---


@pytest.mark.parametrize("size", [12, 16, 28])
def test_distance_of_triangles_is_zero(load, size):
    assert np.max(polygons.support_distance(load("polygons", image_size=size).test.arrays(256)["x"])) < 1e-4


@pytest.mark.parametrize("norm", [0.1, 1.0, 5.0])
def test_distance_is_at_most_that_of_the_triangle_which_was_disturbed(real, norm):
    noise = np.random.default_rng(1).normal(size=real.shape)
    noise *= norm / np.linalg.norm(noise, axis=(1, 2), keepdims=True)
    distances = np.asarray(polygons.support_distance((real + noise).astype(np.float32)))
    assert np.mean(distances <= norm + 1e-4) > 0.98
    # Six of 256 directions lie along the triangles.
    assert np.median(distances) == pytest.approx(norm * np.sqrt(250 / 256), rel=0.01)


def numpy_picture(placement, size=16):
    """Draw a triangle from its circumcircle: the line of an edge seen under 2α lies at r cos α from the centre."""
    row, column, radius, rotation, *shares = placement
    angles = np.pi / 6 + np.pi / 2 * np.array([*shares, 1 - sum(shares)])
    ends = rotation + 2 * np.cumsum(angles)
    towards = ends - angles  # the middle of each arc
    down, right = np.mgrid[:size, :size] + 0.5
    picture = np.ones((size, size))
    for angle, way in zip(angles, towards, strict=True):
        out = (down - size * row) * np.cos(way) + (right - size * column) * np.sin(way)
        picture *= np.clip(0.5 + size * radius * np.cos(angle) - out, 0, 1)
    return 2 * picture - 1


def test_pictures_equal_those_drawn_from_the_circumcircle():
    drawn = polygons.placements(jax.random.key(1), 64)
    expected = np.stack([numpy_picture(placement) for placement in np.asarray(drawn, float)])
    np.testing.assert_allclose(jax.vmap(partial(polygons.picture, size=16))(drawn), expected, atol=5e-5)


def brute_force(image):
    """Search the whole support by differential evolution."""

    def distance(numbers):
        radius, place, rotation, shares = numbers[0], numbers[1:3], numbers[3], np.sort(numbers[4:])
        center = 0.5 + (0.5 - 1 / 16 - radius) * place
        # Two sorted uniform numbers cut the unit interval into three shares.
        placement = [*center, radius, rotation, shares[0], shares[1] - shares[0]]
        return np.linalg.norm(numpy_picture(placement) - image)

    bounds = [(0.2, 0.4), (-1, 1), (-1, 1), (0, 2 * np.pi), (0, 1), (0, 1)]
    return optimize.differential_evolution(distance, bounds, rng=0, maxiter=60, tol=1e-6).fun


@pytest.mark.parametrize("level", [-1.0, -0.4, 0.5])
def test_distance_of_a_constant_picture_is_that_of_a_brute_force_search(level):
    image = np.full((16, 16), level, np.float32)
    found, expected = float(polygons.support_distance(image[None, ..., None])[0]), brute_force(image)
    assert 0.99 * expected < found < 1.03 * expected


def test_triangles_that_could_not_be_drawn_are_off_the_support():
    needle = [[8.0, 2.0], [7.0, 14.0], [9.0, 14.0]]
    speck = [[7.0, 7.0], [7.0, 9.0], [9.0, 8.0]]
    everything = [[-20.0, 8.0], [30.0, -30.0], [30.0, 50.0]]
    outside = np.stack([polygons.render(jnp.asarray(vertices), 16) for vertices in (needle, speck, everything)])
    assert (np.asarray(polygons.support_distance(outside[..., None])) > 1.5).all()


def test_distance_refuses_other_shapes_by_name(unchecked):
    with pytest.raises(ValueError, match=r"images must have shape \[B, S, S, 1\], got \(2, 16, 16, 3\)"):
        polygons.support_distance(np.zeros((2, 16, 16, 3), np.float32))
