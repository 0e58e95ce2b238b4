"""The penalties that need one gradient of the critic, and the switch among them inside one compiled program."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax._names import look_up
from genloss_jax.losses._shared import check_examples, check_index
from genloss_jax.losses.penalties._input_gradient import (
    CriticFn,
    Shape,
    divergence,
    half,
    interpolate,
    largest,
    perturb,
    power_of_excess,
    square,
    squared_gradient_norm,
)


def _real(key: PRNGKeyArray, real: Array, fake: Array) -> Array:
    return real


def _fake(key: PRNGKeyArray, real: Array, fake: Array) -> Array:
    return fake


def _perturbed(key: PRNGKeyArray, real: Array, fake: Array) -> Array:
    return perturb(key, real, noise_scale=0.5)


class _Form(NamedTuple):
    """Where a penalty differentiates the critic, `(key, real, fake) -> points`, and what the gradient there costs."""

    point: Callable[[PRNGKeyArray, Array, Array], Array]
    shape: Shape


_FORMS = {
    "r1": _Form(_real, half),
    "r2": _Form(_fake, half),
    "wgan_gp": _Form(interpolate, power_of_excess(center=1.0)),
    "wgan_lp": _Form(interpolate, power_of_excess(center=1.0, one_sided=True)),
    "zero_centered": _Form(interpolate, square),
    "dragan": _Form(_perturbed, power_of_excess(center=1.0)),
    "wgan_div": _Form(interpolate, divergence(coefficient=2.0, power=6)),
    "max_gradient": _Form(interpolate, largest),
}


def switchable() -> tuple[str, ...]:
    """List the penalties that `switch` knows: those that need the critic's gradient at one point per example.

    Each is the `<name>_penalty` of this package with its defaults.

    Returns:
        The names, in a fixed order.
    """
    return tuple(_FORMS)


def switch(names: Sequence[str]) -> Callable[[ArrayLike], Callable[..., Float[Array, " batch"]]]:
    """Choose a penalty by a traced index, so that variants with different penalties share one compiled program.

    The index chooses the point at which the critic is differentiated and the shape of the norm; between the two stands
    one gradient of the critic for all. With an index that is not batched only the chosen point and shape are computed;
    under `vmap` over the index all are, which costs nothing beside the networks. The points are drawn from the key as
    by the single penalties, so that the values are theirs.

    Args:
        names: names of `switchable()`.

    Returns:
        A function from an integer index into `names`, traced or not, to the penalty
        `(critic_fn, key, real, fake) -> [B]`. As in `lax.switch`, a traced index out of range is clamped.

    Raises:
        ValueError: a name is unknown or needs something else, there is none, or a Python index is out of range; while
            tracing, if `real` and `fake` differ in shape, are not floating, or `critic_fn` does not return `[B]`.
    """
    forms = [look_up("penalty on one gradient of the critic", name, _FORMS) for name in names]
    if not forms:
        raise ValueError("names came empty, expected at least one name of a gradient penalty.")
    # Most penalties look at the same lines: each kind of point is drawn once.
    points = list(dict.fromkeys(form.point for form in forms))
    place_of_form = [points.index(form.point) for form in forms]
    shapes = [form.shape for form in forms]

    def choose(index: ArrayLike) -> Callable[..., Float[Array, " batch"]]:
        check_index(index, len(forms))
        chosen = jnp.clip(jnp.asarray(index), 0, len(forms) - 1)

        def penalty(
            critic_fn: CriticFn,
            key: PRNGKeyArray,
            real: Float[Array, "batch *event"],
            fake: Float[Array, "batch *event"],
        ) -> Float[Array, " batch"]:
            check_examples(real=real, fake=fake)

            def draw(point: Callable[..., Array], bits: Array, real: Array, fake: Array) -> Array:
                return point(jax.random.wrap_key_data(bits, impl=jax.random.key_impl(key)), real, fake)

            # The key goes in as bits: what vmap makes of a switch looks to JAX's checker as if a key were used twice.
            branches = [partial(draw, point) for point in points]
            operands = jax.random.key_data(key), real, fake
            x = jax.lax.switch(jnp.asarray(place_of_form)[chosen], branches, *operands)
            return jax.lax.switch(chosen, shapes, squared_gradient_norm(critic_fn, x))

        return penalty

    return choose
