"""What losses of several families share: checks of their arguments, norms per example, noise."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax import _parts as parts

Scalar = float | int | Float[Array, ""]
"""A hyperparameter or running average: a plain number, or a traced array without axes."""


def check_examples(**arrays: Array) -> None:
    """Raise unless all arrays are floating and share one shape with a leading batch axis."""
    (first, reference), *_ = arrays.items()
    for name, array in arrays.items():
        if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
            raise ValueError(f"{name} must be a floating array; got dtype {jnp.result_type(array)}.")
        if jnp.ndim(array) == 0:
            raise ValueError(f"{name} must have a leading batch axis; got a scalar.")
        if jnp.shape(array) != jnp.shape(reference):
            raise ValueError(f"{name} must have the shape of {first}, {jnp.shape(reference)}; got {jnp.shape(array)}.")


def check_values(**arrays: Array) -> None:
    """Raise unless all arrays hold one floating number per example of the same batch."""
    for name, array in arrays.items():
        if jnp.ndim(array) != 1:
            raise ValueError(f"{name} must hold one number per example, shape (B,); got shape {jnp.shape(array)}.")
    check_examples(**arrays)


def check_positive(name: str, value: object) -> None:
    """Raise if `value` is a plain number that is not above zero; a traced value passes."""
    if isinstance(value, int | float) and not value > 0:
        raise ValueError(f"{name} must be positive; got {value}.")


def check_index(index: object, num: int) -> None:
    """Raise if `index` is a plain number outside [0, num); a traced one passes."""
    if isinstance(index, int) and not 0 <= index < num:
        raise ValueError(f"index came as {index}, expected one in [0, {num}).")


def squared_norm(vectors: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    """Sum the squares of each example over all its axes."""
    return jnp.sum(jnp.square(vectors), axis=tuple(range(1, vectors.ndim)))


def root(squared: Float[Array, "..."]) -> Float[Array, "..."]:
    """Take the square root of a squared norm, with gradient 0 (not infinity) at 0."""
    is_zero = squared == 0
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squared)))


def unit_rows(features: Float[Array, "batch ..."]) -> Float[Array, "batch features"]:
    """Flatten each example and scale it to norm 1; an example that is all zero stays zero."""
    rows = features.reshape(features.shape[0], -1)
    squared = squared_norm(rows)
    return rows / jnp.sqrt(jnp.where(squared == 0, 1.0, squared))[:, None]


def per_example(value: Float[Array, ""], examples: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    """Give every example the batch's value, so that the mean over examples is that value."""
    return jnp.full(examples.shape[:1], value)


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Widen half precision, which matrix decompositions do not take."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def normal_like(key: PRNGKeyArray, x: Float[Array, "..."], *, axis: int = 0) -> Float[Array, "..."]:
    """Draw standard normal noise in the shape of `x`, whose given axis counts the examples."""
    return parts.draw(_flat_normal, key, x.shape, x.dtype, axis=axis)


def _flat_normal(key, shape, dtype):
    # A flat draw is bitwise the same as a draw of rank 4, and compiles several times faster on CPU.
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)
