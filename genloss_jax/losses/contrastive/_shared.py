"""What contrastive losses share: the batch of all devices, who in it is whose positive, similarities."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from genloss_jax.losses._shared import check_examples, unit_rows

AxisName = str | tuple[str, ...] | None
"""Name of the mapped axis over devices, or None for a batch that lies on one."""


def gather_batch(x: Shaped[Array, "batch *event"], axis_name: AxisName) -> Shaped[Array, "all_examples *event"]:
    """Collect a batch from all devices, in their order, so that each sees the whole batch.

    Gradients flow back to the device that each example came from.

    Args:
        x: this device's part, `[B, ...]`.
        axis_name: name of the axis over devices, as given to `jax.vmap`, `jax.shard_map` or `jax.pmap`; None returns x.

    Returns:
        `[N·B, ...]` for N devices.
    """
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def is_own(num: int, axis_name: AxisName) -> Bool[Array, "batch all_examples"]:
    """Mark, for each of this device's examples, its own place in the batch of all devices."""
    if axis_name is None:
        return jnp.eye(num, dtype=bool)
    first, total = num * jax.lax.axis_index(axis_name), num * jax.lax.axis_size(axis_name)
    return first + jnp.arange(num)[:, None] == jnp.arange(total)[None]


def similarities(x: Float[Array, "n dim"], y: Float[Array, "m dim"]) -> Float[Array, "n m"]:
    """Return all inner products."""
    return jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)


def directions(**embeddings: Array) -> list[Float[Array, "batch dim"]]:
    """Scale embeddings to length 1, and raise unless they are floating arrays of one shape `[B, D]`."""
    for name, array in embeddings.items():
        if jnp.ndim(array) != 2:
            raise ValueError(f"{name} must hold one embedding per example, [B, D]; got shape {jnp.shape(array)}.")
    check_examples(**embeddings)
    return [unit_rows(array) for array in embeddings.values()]


def check_labels(labels: Array, batch: int, name: str = "labels") -> None:
    """Raise unless `labels` are integers, one for each example."""
    if jnp.shape(labels) != (batch,) or not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise ValueError(
            f"{name} must be integers of shape ({batch},); got {jnp.result_type(labels)} of shape {jnp.shape(labels)}."
        )


def pick(values: Float[Array, "batch n"], chosen: Bool[Array, "batch n"]) -> Float[Array, " batch"]:
    """Return the one chosen value of each row."""
    return jnp.sum(jnp.where(chosen, values, 0), axis=1)


def log_sum(values: Float[Array, "batch n"], counted: Bool[Array, "batch n"]) -> Float[Array, " batch"]:
    """Return log Σ exp over the counted values of each row; -inf if there are none."""
    return jax.nn.logsumexp(jnp.where(counted, values, -jnp.inf), axis=1)


def same_label(
    labels: Int[Array, " batch"], all_labels: Int[Array, " all_examples"]
) -> Bool[Array, "batch all_examples"]:
    """Mark pairs of one class."""
    return labels[:, None] == all_labels[None]
