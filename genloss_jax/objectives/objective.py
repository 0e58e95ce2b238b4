"""What a family of generative models is, for the training step and everything above it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from genloss_jax import _parts as parts

Params = Mapping[str, Any]
Batch = Mapping[str, Any]
Hyper = Mapping[str, Any]
Metrics = dict[str, Array]


class Variables(NamedTuple):
    """What an objective starts from.

    Attributes:
        params: player -> parameters, trained by gradient.
        aux: everything else that changes: batch statistics, running averages, replay buffers, codebooks.
    """

    params: dict[str, Any]
    aux: dict[str, Any]


class Objective(NamedTuple):
    """A family of generative models: one player or several, each with a loss.

    Attributes:
        init: `(key, example_batch) -> Variables`.
        losses: player -> `loss(params, aux, batch, key, hyper) -> (scalar, (metrics, aux))`. `params` holds all
            players; only the player's own are differentiated. `hyper` holds traced scalars, among them `step`, the
            number of steps taken. Players move in the order of this mapping. Where the batch is but a part of one, the
            scalar and the metrics are means over the part, and aux is that of the whole batch: see `objectives.parts`.
        sample: `(params, aux, key, num) -> samples`, with `num` static.
        log_prob: `(params, aux, batch, key) -> [batch]` nats, or None where the family has none. Of data with
            `num_levels`, the log-probability of the discrete example.
        log_prob_kind: what `log_prob` is of the model's own log-probability: "exact", "lower bound" or "estimate".
        reconstruct: `(params, aux, batch, key) -> examples`, the batch's `"x"` after its way through the model's
            latents and back, or None where the family has no such way.
        class_logits: `(params, aux, batch) -> [batch, classes]`, unnormalised log-probabilities of the classes of
            examples, or None where the family does not classify.
    """

    init: Callable[[Array, Batch], Variables]
    losses: Mapping[str, Callable[..., tuple[Array, tuple[Metrics, Any]]]]
    sample: Callable[..., Any]
    log_prob: Callable[..., Array] | None = None
    log_prob_kind: str = "exact"
    reconstruct: Callable[..., Any] | None = None
    class_logits: Callable[..., Array] | None = None


def mean(values: Float[Array, "..."], mask: Bool[Array, " batch"] | None = None) -> Float[Array, ""]:
    """Average a loss over its examples: the one place where a batch becomes a number.

    Args:
        values: `[batch]`, or a scalar, which is returned as it is.
        mask: `[batch]`, True where an example counts; None means that all do.

    Returns:
        The mean over the examples that count, in the unit of `values`.
    """
    if mask is None or values.ndim == 0:
        return jnp.mean(values)
    # A masked example may hold anything, inf and NaN included, and must reach neither the value nor the gradient.
    total = parts.total(jnp.sum(jnp.where(mask, values, 0.0)), "a masked mean")
    return total / jnp.maximum(parts.total(jnp.sum(mask), "a masked mean"), 1)


def hyper_value(hyper: Hyper, name: str) -> Array:
    """Read one traced scalar, with an error that says what there is."""
    try:
        return jnp.asarray(hyper[name])
    except KeyError:
        raise ValueError(f"hyper has no {name!r}, which this objective needs; it has {sorted(hyper)}") from None


def num_examples(batch: Batch) -> int:
    """Count the examples of a batch, which share their leading axis.

    Raises:
        ValueError: if the arrays of the batch disagree.
    """
    sizes = {jax.tree_util.keystr(path): leaf.shape[:1] for path, leaf in jax.tree_util.tree_leaves_with_path(batch)}
    if len(set(sizes.values())) != 1 or () in sizes.values():
        raise ValueError(f"batch: all arrays must share one leading axis of examples, got leading sizes {sizes}")
    return next(iter(sizes.values()))[0]


def check_counts(**counts: int) -> None:
    """Raise ValueError for a count below 1, by its name."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
