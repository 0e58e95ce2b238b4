"""What all adversarial losses share: the pair of functions, checks on its inputs, exponentials that stay finite."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Logits = Float[Array, " batch"]


class AdversarialLoss(NamedTuple):
    """What a two-player game makes of the critic's outputs.

    Both functions take `(real_logits, fake_logits)`, real before fake, and give one value per example. A loss that
    couples the batch (relativistic, softmax, ...) is spread over it such that the mean over `[batch]` is the loss.
    Where the batch lies in parts along a bound axis "data", such a loss looks at the other parts' logits as well.
    Logits are high on real examples in every loss, energy-based ones included. Neither function stops a gradient:
    each player differentiates its own loss with respect to its own parameters.

    Attributes:
        discriminator: the critic's loss, `(real_logits, fake_logits) -> [batch]`.
        generator: the generator's loss, `(real_logits, fake_logits) -> [batch]`.
    """

    discriminator: Callable[..., Array]
    generator: Callable[..., Array]


def make_loss(
    discriminator: Callable[..., Array], generator: Callable[..., Array], *, rank: int = 1
) -> AdversarialLoss:
    """Pairs two heads and puts the checks on logits in front of each."""
    return AdversarialLoss(_checked(discriminator, rank), _checked(generator, rank))


def _checked(head: Callable[..., Array], rank: int) -> Callable[..., Array]:
    @functools.wraps(head)
    def checked_head(real_logits, fake_logits):
        return head(*check_logits(real_logits, fake_logits, rank=rank))

    return checked_head


def check_logits(real_logits: ArrayLike, fake_logits: ArrayLike, *, rank: int = 1) -> tuple[Array, Array]:
    """Returns both logits as arrays, or says in one sentence which of them is wrong."""
    expected = "[batch]" if rank == 1 else "[batch, outcomes]"
    real_logits, fake_logits = jnp.asarray(real_logits), jnp.asarray(fake_logits)
    for name, logits in (("real_logits", real_logits), ("fake_logits", fake_logits)):
        if logits.ndim != rank:
            raise ValueError(f"{name} came with shape {logits.shape}, expected {expected}.")
        if not jnp.issubdtype(logits.dtype, jnp.floating):
            raise ValueError(f"{name} came with dtype {logits.dtype}, expected a floating-point dtype.")
    if real_logits.shape != fake_logits.shape:
        raise ValueError(
            f"fake_logits came with shape {fake_logits.shape}, expected the shape of real_logits, {real_logits.shape}."
        )
    return real_logits, fake_logits


# Under vmap a traced switch evaluates every head and sends a zero cotangent into those not chosen. Where a derivative
# is infinite, zero times it is NaN, and a head that nobody chose would spoil its neighbours. Hence the straight line.
def finite_exp(x: Array) -> Array:
    """exp(x), continued by its tangent where x exceeds half the logarithm of the dtype's largest number."""
    bounded = jnp.minimum(x, _exponent_limit(x))
    return jnp.exp(bounded) * (1.0 + (x - bounded))


def finite_expm1(x: Array) -> Array:
    """exp(x) - 1, continued by its tangent as in `finite_exp`."""
    bounded = jnp.minimum(x, _exponent_limit(x))
    return jnp.expm1(bounded) + jnp.exp(bounded) * (x - bounded)


def _exponent_limit(x: Array) -> float:
    return 0.5 * math.log(float(jnp.finfo(x.dtype).max))


def log_mean_exp(x: Logits) -> Float[Array, ""]:
    """Log of the batch mean of exp(x)."""
    peak = jnp.max(x)
    return peak + jnp.log(jnp.mean(jnp.exp(x - peak)))
