"""Grey pictures of triangles: a manifold of six dimensions, to which the distance of any picture can be computed.

The task of Lucic et al. 2018, drawn anew on the device. A triangle is six numbers, its *placement*: row and column of
the centre of its circumcircle, that circle's radius, a rotation, and how two of its three angles share what is left of
π beyond the least angle; the third angle has the rest. Lengths are shares of the picture's side. Each is uniform:

* the radius between 0.2 and 0.4, and the centre where the whole circle keeps 1/16 from the border;
* the rotation, and the angles among all triples of at least 30° that sum to 180°, so that there are no slivers.

Lucic et al. draw triangles of one circumradius in the middle of the picture, which leaves three dimensions; here place
and size vary as well.

References:
    Lucic et al. 2018, "Are GANs Created Equal? A Large-Scale Study", section 5.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.sources import Batch, DeviceSource

_TRAIN_SIZE, _TEST_SIZE = 100_000, 10_000
_SIZE, _LEAST_SIZE = 16, 12  # pixels; in smaller pictures the smallest triangle is hardly there

_RADII = (0.2, 0.4)
_MARGIN = 1 / 16
_LEAST_ANGLE = np.pi / 6

# Of the search for the nearest triangle.
_BANK_SIZE, _NUM_STARTS, _NUM_STEPS = 4096, 8, 12
_DAMPING, _LESS, _MORE = 0.1, 0.2, 5.0
_AT_ONCE = 32  # pictures; bounds the memory, and keeps what is at hand in the cache


@cache
def load(image_size: int = 0, channels: int = 0) -> Dataset:
    """Give the triangles as a data set: endless training batches, and 10,000 held-out pictures.

    Args:
        image_size: Side of the pictures in pixels; 0 is 16.
        channels: 0 or 1.

    Returns:
        The data set, without labels, with its `support_distance`; the same object for the same arguments.

    Raises:
        ValueError: If the pictures are to have colours, or are too small for the smallest triangle.
    """
    if channels not in (0, 1):
        raise ValueError(f"channels of polygons must be 0 or 1, because they are grey, got {channels}")
    size = image_size or _SIZE
    if size < _LEAST_SIZE:
        raise ValueError(f"image_size of polygons must be at least {_LEAST_SIZE}, got {size}")

    def sample(key: jax.Array, num: int) -> Batch:
        return {"x": jax.vmap(partial(picture, size=size))(placements(key, num))[..., None]}

    return Dataset(
        name="polygons",
        train=DeviceSource(sample, _TRAIN_SIZE, seed=1),
        test=DeviceSource(sample, _TEST_SIZE, seed=2),
        shape=(size, size, 1),
        support_distance=support_distance,
    )


# --- From placements to pictures --------------------------------------------------------------------------------------


def placements(key: Key[Array, ""], num: int) -> Float[Array, "num 6"]:
    """Draw triangles: rows of circumcentre (row, column), circumradius, rotation, and two shares of the angles."""
    radius_key, center_key, rotation_key, share_key = jax.random.split(key, 4)
    radius = jax.random.uniform(radius_key, (num, 1), minval=_RADII[0], maxval=_RADII[1])
    center = 0.5 + _freedom(radius) * jax.random.uniform(center_key, (num, 2), minval=-1.0)
    rotation = 2 * np.pi * jax.random.uniform(rotation_key, (num, 1))
    # Waiting times divided by their sum are uniform on the simplex.
    waiting = jax.random.exponential(share_key, (num, 3))
    shares = waiting[:, :2] / waiting.sum(axis=1, keepdims=True)
    return jnp.concatenate([center, radius, rotation, shares], axis=1)


def vertices(placement: Float[Array, "6"]) -> Float[Array, "3 2"]:
    """Give a triangle's vertices (row, column), in shares of the picture's side."""
    center, radius, rotation, shares = placement[:2], placement[2], placement[3], placement[4:]
    angles = _LEAST_ANGLE + (np.pi - 3 * _LEAST_ANGLE) * jnp.append(shares, 1 - shares.sum())
    # The side opposite to an angle α is seen from the centre under 2α.
    turns = rotation + 2 * jnp.cumsum(angles)
    return center[None, :] + radius * jnp.stack([jnp.cos(turns), jnp.sin(turns)], axis=-1)


def render(vertices: Float[Array, "3 2"], size: int) -> Float[Array, "size size"]:
    """Draw a filled triangle, white on black, with soft edges: a closed form that has a gradient.

    2 ∏_e clip(½ + d_e, 0, 1) - 1,  d_e: signed distance of the pixel's centre from the line of edge e, positive inside

    A pixel with its centre half a pixel inside of all edges is white. Where none is nearer than that to all three, the
    sum of (1 + pixel) / 2 is, on average over the triangle's place, the area plus a twelfth of the sum of the angles'
    cotangents: a ramp is off the step by as much inside of an edge as outside, where the edge is a little longer.

    Args:
        vertices: (row, column) in pixels, in either order of rotation; the centre of the first pixel is at (½, ½). The
            triangle must have an area.
        size: Side of the picture in pixels.

    Returns:
        The picture, from -1 to 1.
    """
    edges = jnp.roll(vertices, -1, axis=0) - vertices
    normals = jnp.stack([-edges[:, 1], edges[:, 0]], axis=-1) / jnp.linalg.norm(edges, axis=-1, keepdims=True)
    # The third vertex lies inside of the first edge, whichever way round they are.
    normals *= jnp.sign(normals[0] @ edges[1])
    places = jnp.arange(size, dtype=vertices.dtype) + 0.5
    down, right = (normals[:, axis, None] * (places[None, :] - vertices[:, axis, None]) for axis in range(2))
    ramps = jnp.clip(0.5 + down[:, :, None] + right[:, None, :], 0.0, 1.0)
    return 2 * ramps[0] * ramps[1] * ramps[2] - 1


def picture(placement: Float[Array, "6"], size: int) -> Float[Array, "size size"]:
    """Draw the triangle of a placement; see `render`."""
    return render(size * vertices(placement), size)


# --- From pictures to the nearest placement ---------------------------------------------------------------------------


def support_distance(
    images: Float[Array, "batch size size 1"] | Float[np.ndarray, "batch size size 1"],
) -> Float[Array, " batch"]:
    """Search for the triangle nearest to each picture, among all that could be drawn.

    min over placements of |picture(placement) - image|, by the Levenberg-Marquardt method from the nearest few of some
    thousand triangles, every step taken back into the support.

    Args:
        images: Pictures in [-1, 1] or beyond.

    Returns:
        Euclidean distances over all pixels, in the unit of the pixels. An upper bound: the search may end in a local
        minimum, and a triangle is found to float32 only, about 1e-4.

    Raises:
        ValueError: If the pictures are not square and grey.
    """
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 1:
        raise ValueError(f"images must have shape [B, S, S, 1], got {images.shape}")
    return _distances(jnp.asarray(images)[..., 0], *_bank(images.shape[1]))


@cache
def _bank(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the triangles to begin from, always the same: placements `[N, 6]` and pictures `[N, size²]`."""
    with jax.ensure_compile_time_eval():  # kept, so never traced
        drawn = placements(jax.random.key(3), _BANK_SIZE)
        pictures = jax.jit(jax.vmap(partial(picture, size=size)))(drawn)
        return np.asarray(drawn), np.asarray(pictures).reshape(_BANK_SIZE, -1)


@jax.jit
def _distances(images, starts, pictures):
    squares = (pictures**2).sum(axis=1)

    def distance(image):
        # |a - b|² = |a|² - 2 a·b + |b|², and the last is the same for all.
        _, nearest = jax.lax.top_k(2 * pictures @ image.ravel() - squares, _NUM_STARTS)
        return jnp.sqrt(jax.vmap(partial(_fit, image))(starts[nearest]).min())

    num = images.shape[0]
    full = jnp.pad(images, ((0, -num % _AT_ONCE), (0, 0), (0, 0)))  # what is left over would be compiled by itself
    return jax.lax.map(distance, full, batch_size=_AT_ONCE)[:num]


def _fit(image: Float[Array, "size size"], start: Float[Array, "6"]) -> Float[Array, ""]:
    """Move a triangle towards an image, and give the squared distance that is left."""

    def errors(placement):
        return (picture(placement, image.shape[0]) - image).ravel()

    def step(_, state):
        placement, square, damping = state
        slopes, error = jax.jacfwd(lambda placement: (errors(placement),) * 2, has_aux=True)(placement)
        # (JᵀJ + damping diag(JᵀJ)) move = Jᵀ error, whatever the units of the six numbers.
        curvature = slopes.T @ slopes
        scales = jnp.diag(curvature) + 1e-6  # a number that moves no pixel stays where it is
        move = jnp.linalg.solve(curvature + damping * jnp.diag(scales), slopes.T @ error)
        proposal = _inside(placement - move)
        proposed = jnp.square(errors(proposal)).sum()
        better = proposed < square  # False too where the equations had no solution
        placement, square = (jnp.where(better, *pair) for pair in ((proposal, placement), (proposed, square)))
        return placement, square, damping * jnp.where(better, _LESS, _MORE)

    first = (start, jnp.square(errors(start)).sum(), jnp.asarray(_DAMPING, image.dtype))
    return jax.lax.fori_loop(0, _NUM_STEPS, step, first)[1]


def _inside(placement):
    """Take a placement back into the support."""
    radius = jnp.clip(placement[2], *_RADII)
    center = 0.5 + jnp.clip(placement[:2] - 0.5, -_freedom(radius), _freedom(radius))
    shares = jnp.maximum(placement[4:], 0.0)
    shares /= jnp.maximum(shares.sum(), 1.0)
    return jnp.concatenate([center, radius[None], placement[3:4], shares])


def _freedom(radius):
    """Give how far the centre may lie from the middle of the picture, along each axis."""
    return 0.5 - _MARGIN - radius
