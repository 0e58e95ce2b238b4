"""Eigenvalues at the equilibrium: what a game does near it, and what one step makes of a small distance."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genloss_jax.ablation.stability._game import Field, PenaltyFn, field, level
from genloss_jax.losses.adversarial import AdversarialLoss

NOT_DIFFERENTIABLE = "not differentiable"

# Kind -> what players do near the equilibrium who follow their gradients.
KINDS = {
    "rotation": "they circle it for ever",
    "damped rotation": "they spiral into it",
    "critically damped": "they come in as fast as they can without circling",
    "over-damped": "they creep in",
    "unstable": "they leave it",
    "undecided": "an eigenvalue is zero, and the linear part cannot tell",
    NOT_DIFFERENTIABLE: "the field jumps or has a kink there, and no eigenvalues",
}

_NEAR = 1e-5  # radius of the circle on which the linear part is held against the field
_TOLERANCE = 1e-3  # of that radius: a smooth field is off by its square, one with a kink by the radius itself
_ZERO = 1e-6  # eigenvalues that meet are known to the root of the precision only


class Stability(NamedTuple):
    """What a game does at its equilibrium.

    Attributes:
        kind: of `KINDS`.
        eigenvalues: `[2]` complex, of the Jacobian of the gradient field, by imaginary, then by real part; None where
            it does not exist.
        radii: play -> spectral radius of one step: the factor by which a small distance shrinks or grows in the end.
            None where it does not exist.
    """

    kind: str
    eigenvalues: np.ndarray | None
    radii: Mapping[str, float] | None


def analyse(
    loss: AdversarialLoss, penalty: PenaltyFn | None = None, *, weight: float = 1.0, rate: float = 0.2
) -> Stability:
    """Differentiate the field of the Dirac-GAN at its equilibrium, the critic at its own level, in double precision.

    With J the Jacobian and h the rate, a step is `I + hJ` in simultaneous and `I + hJ + h²J²` in extragradient play; in
    alternating play the critic's row of `I + hJ` acts first, and the generator's on what it leaves.

    The derivative is believed only if the field near the equilibrium agrees with it. At a jump or a kink, such as the
    norm at 0 of a penalty with another centre, automatic differentiation gives some number, which means nothing.

    Args:
        loss: the adversarial loss.
        penalty: on the critic; None for none.
        weight: of the penalty.
        rate: step size of both players.

    Returns:
        Eigenvalues, kind, and spectral radii.
    """
    of_loss = _of_loss(loss)
    of_penalty = np.zeros((2, 2)) if penalty is None else _of_penalty(penalty)
    if of_loss is None or of_penalty is None:
        return Stability(NOT_DIFFERENTIABLE, None, None)
    jacobian = of_loss + weight * of_penalty
    eigenvalues = np.linalg.eigvals(jacobian).astype(np.complex128)
    eigenvalues = eigenvalues[np.lexsort((np.round(eigenvalues.real, 9), np.round(eigenvalues.imag, 9)))]
    radii = {play: float(np.abs(np.linalg.eigvals(step)).max()) for play, step in _steps(rate * jacobian).items()}
    return Stability(_kind(eigenvalues), eigenvalues, radii)


def _steps(moved: np.ndarray) -> dict[str, np.ndarray]:
    identity = np.eye(2)
    generator, critic = (identity + np.diag(own) @ moved for own in identity)
    return {
        "simultaneous": identity + moved,
        "alternating": generator @ critic,
        "extragradient": identity + moved + moved @ moved,
    }


# The field of a game is the sum of the fields of its loss and of its penalty, and so is its Jacobian.
@cache
def _of_loss(loss: AdversarialLoss) -> np.ndarray | None:
    return _jacobian(field(loss, level=level(loss)))


@cache
def _of_penalty(penalty: PenaltyFn) -> np.ndarray | None:
    return _jacobian(field(None, penalty))


def _jacobian(velocity: Field) -> np.ndarray | None:
    """Differentiate a field at the origin; None where the derivative does not exist."""
    with jax.enable_x64(True):
        origin = jnp.zeros(2)
        jacobian = jax.jacfwd(velocity)(origin)
        angles = jnp.linspace(0.0, 2.0 * jnp.pi, 16, endpoint=False)
        around = _NEAR * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
        difference = jax.vmap(velocity)(around) - velocity(origin)[None] - around @ jacobian.T
        agrees = bool(jnp.all(jnp.abs(difference) < _TOLERANCE * _NEAR))
    return np.asarray(jacobian) if agrees else None


def _kind(eigenvalues: np.ndarray) -> str:
    if (eigenvalues.real > _ZERO).any():
        return "unstable"
    if (np.abs(eigenvalues) < _ZERO).any():
        return "undecided"
    if (np.abs(eigenvalues.real) < _ZERO).all():
        return "rotation"
    if abs(eigenvalues[0] - eigenvalues[1]) < _ZERO:
        return "critically damped"
    return "damped rotation" if (np.abs(eigenvalues.imag) > _ZERO).any() else "over-damped"
