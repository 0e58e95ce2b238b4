"""A batch in parts: how code that sees some of a batch's examples draws and compares as if it saw them all.

A loss is a mean over examples, so that most code need not know how a batch lies. Three kinds of it must: what draws
numbers for examples, which are to be those that the whole batch would get; what compares examples with each other; and
what keeps statistics of them. They do so through this module, in whichever way the batch lies:

- whole: each function here does nothing of its own.
- split by XLA, inside `jax.sharding.use_abstract_mesh` of a mesh with an axis "data": arrays are those of the whole
  batch, and only draws are told where to lie, since nothing else says that a device needs none but its own.
- in parts along a bound axis "data", of `jax.pmap`, `jax.shard_map` or `jax.vmap`: arrays are the part's. Parts are
  equal, and hold the examples in their order.
- in pieces, inside `piece(index, num)`, one after another: arrays are the piece's, and comparisons raise.

Each part differentiates the mean over its own examples. What it takes from the others (`whole`, `mean`, `total`) hands
gradients back to them, as collectives do under `jax.pmap`; so the average of the parts' gradients is the gradient of
the mean over all examples.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array

AXIS = "data"
"""The axis that a batch lies along, bound or of a mesh. The name means this in all of the library."""

Tree = TypeVar("Tree")

_PIECE: ContextVar[tuple[Array, int] | None] = ContextVar("piece", default=None)


# --- How the batch lies ---


def num_parts() -> int:
    """Count the parts along the bound axis; 1 where none is bound."""
    try:
        return jax.lax.axis_size(AXIS)
    except NameError:
        return 1


def _num_split() -> int:
    """Count the devices over which XLA splits arrays of the whole batch."""
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape[AXIS] if types.get(AXIS) == AxisType.Auto else 1


@contextmanager
def piece(index: Array, num: int) -> Iterator[None]:
    """Say that all arrays are those of one of several equal pieces of a batch."""
    token = _PIECE.set((index, num))
    try:
        yield
    finally:
        _PIECE.reset(token)


def axis_name(what: str) -> str | None:
    """Name the axis that other examples lie along, for what takes an `axis_name`; None where all are at hand.

    Args:
        what: sees all examples of a batch; for the error.

    Raises:
        ValueError: if the batch comes in pieces.
    """
    _check_whole(what)
    return AXIS if num_parts() > 1 else None


def _check_whole(what: str) -> None:
    inside = _PIECE.get()
    if inside is not None:
        raise ValueError(
            f"parallel.micro_batches is {inside[1]}, but {what} sees all examples of a batch at once: its value would "
            "be another one if they came in pieces; take micro_batches=1"
        )


# --- Numbers drawn for examples ---


def draw(
    sampler: Callable[..., Array], key: Array, shape: tuple[int, ...], *args: Any, axis: int = 0, **options: Any
) -> Array:
    """Draw numbers for examples: those that they would get if the whole batch were drawn for.

    Args:
        sampler: `(key, shape, *args, **options) -> array` of that shape, such as `jax.random.normal`.
        key: the same in all parts.
        shape: of what these examples get.
        *args: passed on.
        axis: which of the shape's axes counts the examples.
        **options: passed on.

    Returns:
        An array of the shape.
    """
    inside = _PIECE.get()
    num = num_parts() * (1 if inside is None else inside[1])
    whole_shape = (*shape[:axis], num * shape[axis], *shape[axis + 1 :])
    return own(sampler(key, whole_shape, *args, **options), axis)


def own(values: Array, axis: int = 0) -> Array:
    """Take from what the whole batch gets what these examples get.

    Args:
        values: the same in all parts, with all examples along the axis.
        axis: which axis counts the examples.
    """
    num = num_parts()
    if num > 1:
        size = values.shape[axis] // num
        values = jax.lax.dynamic_slice_in_dim(values, size * jax.lax.axis_index(AXIS), size, axis)
    inside = _PIECE.get()
    if inside is not None:
        index, num_pieces = inside
        values = jnp.moveaxis(_cut(jnp.moveaxis(values, axis, 0), num_pieces)[index], 0, axis)
    if _num_split() > 1:
        values = jax.lax.with_sharding_constraint(values, PartitionSpec(*[None] * axis, AXIS))
    return values


# --- Comparisons and statistics of examples ---


def whole(values: Array, what: str) -> Array:
    """Collect what belongs to examples from all parts.

    Args:
        values: `[B, ...]` of these examples.
        what: sees all examples; for the error.

    Returns:
        `[N B, ...]` for N parts, the same in each.

    Raises:
        ValueError: if the batch comes in pieces.
    """
    axis = axis_name(what)
    return values if axis is None else jax.lax.all_gather(values, axis, tiled=True)


def mean(values: Array, what: str) -> Array:
    """Average over all axes, and over all examples of the batch; arguments as `whole`."""
    axis = axis_name(what)
    return jnp.mean(values) if axis is None else jax.lax.pmean(jnp.mean(values), axis)


def std(values: Array, what: str) -> Array:
    """Give the standard deviation over all axes, and over all examples of the batch; arguments as `whole`."""
    if axis_name(what) is None:
        return jnp.std(values)
    return jnp.sqrt(mean(jnp.square(values - mean(values, what)), what))


def total(values: Array, what: str) -> Array:
    """Add up what each part has counted or summed over its examples; arguments as `whole`."""
    axis = axis_name(what)
    return values if axis is None else jax.lax.psum(values, axis)


# --- The step ---


def average(tree: Tree) -> Tree:
    """Average gradients, losses and metrics of equal parts, in one exchange."""
    return tree if num_parts() == 1 else jax.lax.pmean(tree, AXIS)


def split(batch: Mapping[str, Any], num: int) -> list[Any]:
    """Cut a batch, or the part of it that is at hand, into equal shares; no example goes to another device.

    Where XLA splits the batch over devices, a share has an equal part of each device's examples.
    """
    if _num_split() > 1:
        cut = jax.tree.map(lambda leaf: _cut(leaf, num), batch)
        return [jax.tree.map(lambda leaf, index=index: leaf[index], cut) for index in range(num)]
    leaves, structure = jax.tree.flatten(batch)
    shares = [jnp.split(leaf, num) for leaf in leaves]
    return [jax.tree.unflatten(structure, [own[index] for own in shares]) for index in range(num)]


def pieces(batch: Mapping[str, Any], num: int) -> Any:
    """Cut a batch as `split` does, and stack the pieces: leaves `[num, B / num, ...]`."""
    return jax.tree.map(lambda leaf: _cut(leaf, num), batch)


def _cut(leaf: Array, num: int) -> Array:
    # Device by device, so that each one's share stays on it: [N, num, B / (N num), ...] -> [num, B / num, ...]
    by_device = leaf.reshape(_num_split(), num, -1, *leaf.shape[1:])
    return jnp.moveaxis(by_device, 1, 0).reshape(num, -1, *leaf.shape[1:])
