r"""Games so small that their equilibrium and the eigenvalues of their dynamics are known in closed form.

Each is a GAN with the logistic loss, `f(t) = -softplus(-t)`, played as in Mescheder et al. 2018:
`L(theta, psi) = E f(D(G(z))) + E f(-D(x))`, which the generator minimises and the critic maximises, with the field
`v = (-∂L/∂theta, ∂L/∂psi - ∂R/∂psi)`, where `R = gamma/2 E |∂D/∂x|²` is the R1 penalty. Generators are linear in
`theta`, critics linear in `psi`, so at the equilibrium the critic is zero and the Jacobian of `v` is

    J = [ 0     -A/2                ]
        [ A'/2  -M/2 - gamma A'A    ],      M = second moment of the critic's inputs seen through A.

References:
    Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018, sections 2 and 4.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.sources import DeviceSource

_TRAIN_SIZE, _TEST_SIZE = 100_000, 10_000


class Game(NamedTuple):
    """A two-player game with linear players.

    Attributes:
        sample: Real data, `(key, num) -> {"x": [num, D]}`.
        noise: The generator's input, `(key, num) -> [num, D]`.
        generator_fn: `(theta [D], noise [num, D]) -> [num, D]`.
        critic_fn: `(psi [D], x [num, D]) -> [num]` logits.
        equilibrium: The equilibrium `(theta, psi)`.
        eigenvalues: Maps R1's `gamma` to the `[2 D]` complex eigenvalues of the vector field's Jacobian there.
    """

    sample: Callable
    noise: Callable
    generator_fn: Callable
    critic_fn: Callable
    equilibrium: tuple[np.ndarray, np.ndarray]
    eigenvalues: Callable[[float], np.ndarray]


@cache
def dirac() -> Game:
    """Dirac-GAN: data and generator are single points on the line, at 0 and at theta; the critic is `psi * x`.

    Its eigenvalues are ±i/2 without a penalty: the players circle for ever. With R1 they are
    `-gamma/2 ± sqrt(gamma²/4 - 1/4)`, which is critically damped at `gamma = 1`.
    """
    return _linear_game(matrix=((1.0,),), mean=0.0, sigma=0.0)


@cache
def bilinear(matrix: tuple[tuple[float, ...], ...] = ((1.0, 0.0), (0.0, 2.0))) -> Game:
    """The bilinear game `psi' A' theta` in as many dimensions as `A` has rows: a Dirac-GAN per singular value of A.

    Args:
        matrix: A square matrix as a tuple of rows.

    Returns:
        The game; with a singular value s, its eigenvalues are `-gamma s²/2 ± sqrt(gamma² s⁴/4 - s²/4)`.

    Raises:
        ValueError: If `matrix` is not square.
    """
    if any(len(row) != len(matrix) for row in matrix):
        raise ValueError(f"matrix must be square, got rows of lengths {[len(row) for row in matrix]}")
    return _linear_game(matrix, mean=0.0, sigma=0.0)


@cache
def two_gaussians(mean: float = 1.0, sigma: float = 1.0) -> Game:
    """Two Gaussians on the line: data N(mean, sigma²), generated points theta + N(0, sigma²), and the critic `psi * x`.

    Unlike the Dirac-GAN it converges without a penalty, because the data's second moment damps the critic: its
    eigenvalues are `-c/2 ± sqrt(c²/4 - 1/4)` with `c = gamma + (mean² + sigma²)/2`.
    """
    return _linear_game(matrix=((1.0,),), mean=mean, sigma=sigma)


def jacobian_eigenvalues(
    vector_field: Callable[[Float[Array, " players"]], Float[Array, " players"]], point: Float[Array, " players"]
) -> np.ndarray:
    """Compute the eigenvalues of a vector field's Jacobian at a point, to hold against `Game.eigenvalues`.

    Args:
        vector_field: Maps all players' parameters, laid end to end, to their velocities.
        point: Where to differentiate, `[players]`.

    Returns:
        Complex eigenvalues `[players]`, sorted by imaginary, then by real part.
    """
    return _sorted(np.linalg.eigvals(np.asarray(jax.jacfwd(vector_field)(point), np.float64)))


@cache
def load(name: str) -> Dataset:
    """Give a game's real data as a data set, by the game's name."""
    game = _GAMES[name]()
    return Dataset(
        name=name,
        train=DeviceSource(game.sample, _TRAIN_SIZE, seed=1),
        test=DeviceSource(game.sample, _TEST_SIZE, seed=2),
        shape=game.equilibrium[0].shape,
    )


def names() -> tuple[str, ...]:
    """Name all games."""
    return tuple(_GAMES)


def _linear_game(matrix: tuple[tuple[float, ...], ...], mean: float, sigma: float) -> Game:
    dim = len(matrix)
    singular_values = np.linalg.svd(np.asarray(matrix), compute_uv=False)

    def noise(key, num: int):
        return sigma * jax.random.normal(key, (num, dim))

    def generator_fn(theta, noise):
        return theta[None] + noise

    def critic_fn(psi, x):
        # D(x) = x' A psi
        weights = (jnp.asarray(matrix, x.dtype) * psi[None, :]).sum(-1)
        return (x * weights[None, :]).sum(-1)

    def eigenvalues(gamma: float = 0.0) -> np.ndarray:
        pairs = []
        for s in singular_values:
            # λ² + c λ + s²/4 = 0
            c = s**2 * (gamma + (mean**2 + sigma**2) / 2)
            root = np.sqrt(complex(c**2 / 4 - s**2 / 4))
            pairs += [-c / 2 + root, -c / 2 - root]
        return _sorted(np.asarray(pairs))

    return Game(
        sample=lambda key, num: {"x": mean + noise(key, num)},
        noise=noise,
        generator_fn=generator_fn,
        critic_fn=critic_fn,
        equilibrium=(np.full(dim, mean), np.zeros(dim)),
        eigenvalues=eigenvalues,
    )


def _sorted(values: np.ndarray) -> np.ndarray:
    # Rounded keys, so that a real part that is zero up to rounding does not decide the order.
    return values[np.lexsort((np.round(values.real, 6), np.round(values.imag, 6)))].astype(np.complex128)


_GAMES: dict[str, Callable[[], Game]] = {"dirac": dirac, "bilinear": bilinear, "two_gaussians": two_gaussians}
