"""What diffusion losses share: checks of numbers per example, their shape beside an example's."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses._shared import Scalar as Scalar
from genloss_jax.losses._shared import check_examples as check_examples
from genloss_jax.losses._shared import check_positive as check_positive
from genloss_jax.losses._shared import normal_like as normal_like
from genloss_jax.losses._shared import squared_norm as squared_norm


def check_numbers(examples_name: str, examples: Array, **numbers: Array) -> None:
    """Raise unless each of `numbers` holds one floating number for each of the examples."""
    for name, array in numbers.items():
        if jnp.shape(array) != examples.shape[:1] or not jnp.issubdtype(jnp.result_type(array), jnp.floating):
            raise ValueError(
                f"{name} must be floating and hold one number per example of {examples_name}, shape "
                f"{examples.shape[:1]}; got {jnp.result_type(array)} of shape {jnp.shape(array)}."
            )


def check_output(name: str, output: Array, examples: Array) -> None:
    """Raise unless what a model returned has the shape of its examples."""
    if output.shape != examples.shape:
        raise ValueError(
            f"{name} must return the shape that it is given, {examples.shape}; it returned {output.shape}."
        )


def beside(numbers: Float[Array, " batch"], examples: Float[Array, "batch *event"]) -> Float[Array, "batch *ones"]:
    """Reshape one number per example so that it multiplies the whole example."""
    return numbers.reshape(numbers.shape + (1,) * (examples.ndim - 1))
