"""What the cards of all families are written with: their common fields, and small valid calls of the losses."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from genloss_jax.losses.catalog._card import Example, LossCard

DrawArrays = Callable[[Any], tuple[Any, ...]]
DrawExample = Callable[[Any], Example]


def writer(family: ModuleType) -> Callable[..., LossCard]:
    """Make a function that writes the cards of one family's module; `proof` is named below tests/losses."""

    def card(
        name: str,
        equation: str,
        unit: str,
        kind: str,
        conventions: str,
        minimised_by: str,
        reference: str,
        proof: str,
        example: DrawExample,
    ) -> LossCard:
        return LossCard(
            name=name,
            family=family.__name__.rpartition(".")[2],
            fn=getattr(family, name),
            equation=equation,
            unit=unit,
            kind=kind,
            conventions=conventions,
            minimised_by=minimised_by,
            reference=reference,
            proof=f"tests/losses/{proof}",
            example=example,
        )

    return card


def normals(*shapes: tuple[int, ...]) -> DrawArrays:
    """Draw one array of standard normal numbers for each shape."""

    def draw(key):
        keys = jax.random.split(key, len(shapes))
        return tuple(jax.random.normal(each, shape) for each, shape in zip(keys, shapes, strict=True))

    return draw


def on_arrays(
    call: Callable[..., Any], draw: DrawArrays, axes: tuple[int | None, ...] = (), names: tuple[str, ...] = ()
) -> DrawExample:
    """Draw an example for a call of arrays."""
    return lambda key: Example(call, draw(key), axes, names)


def with_noise(
    call: Callable[..., Any], draw: DrawArrays, axes: tuple[int | None, ...] = (), names: tuple[str, ...] = ()
) -> DrawExample:
    """Draw an example for a call of (key, arrays): each repetition draws the same noise from a clone of the key."""

    def example(key):
        bound_key, array_key = jax.random.split(key)

        def repeatable(*arrays):
            return call(jax.random.clone(bound_key), *arrays)

        return Example(repeatable, draw(array_key), axes, names, permutes=False)

    return example


def critic(points: jax.Array) -> jax.Array:
    """Apply a smooth critic with fixed weights: two tanh units on a flattened example."""
    rows = points.reshape(points.shape[0], -1)
    weights = jnp.cos(jnp.arange(2.0 * rows.shape[1])).reshape(-1, 2).astype(rows.dtype)
    return jnp.tanh(rows @ weights) @ jnp.array([1.5, -1.0], rows.dtype)


def generator(latents: jax.Array) -> jax.Array:
    """Apply a smooth generator with fixed weights, to five outputs."""
    weights = jnp.sin(1 + jnp.arange(5.0 * latents.shape[1])).reshape(-1, 5).astype(latents.dtype)
    return jnp.tanh(latents @ weights)
