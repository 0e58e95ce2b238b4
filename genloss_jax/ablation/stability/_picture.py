"""Phase portraits: the field of a game, and the paths of our own steps through it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from genloss_jax.ablation.stability._game import PenaltyFn, field, path
from genloss_jax.losses import adversarial, penalties
from genloss_jax.training import pictures

RATE = 0.2
_LIMIT = 2.0  # of both axes
_COLUMNS = 3
NUM_STEPS = 126  # two turns of the minimax game, whose players turn by half a radian per unit of time


class _Portrait(NamedTuple):
    """A panel: the game whose field is drawn, and options of the paths through it by their names."""

    title: str
    loss: str
    paths: dict[str, dict[str, Any]]
    penalty: PenaltyFn | None = None
    weight: float = 0.0


def r1(critic_fn, key, real, fake):
    """R1 with the arguments of all penalties."""
    return penalties.r1_penalty(critic_fn, real)


def _with_r1(gamma: float, what: str) -> _Portrait:
    own: dict[str, Any] = {"penalty": r1, "weight": gamma}
    return _Portrait(f"minimax, R1 with γ = {gamma:g}: {what}", "minimax", {"alternating": own}, **own)


_WGAN_GP: dict[str, Any] = {"penalty": penalties.wgan_gp_penalty, "weight": 0.5}
_GP_0: dict[str, Any] = {"penalty": penalties.zero_centered_penalty, "weight": 0.5}
_PORTRAITS = (
    _Portrait(
        "minimax, no penalty: they circle",
        "minimax",
        {play: {"play": play} for play in ("simultaneous", "alternating", "extragradient")},
    ),
    _with_r1(0.3, "damped"),
    _with_r1(1.0, "critical"),
    _with_r1(3.0, "over-damped"),
    _Portrait("wasserstein, no penalty: they circle", "wasserstein", {"free": {}, "ψ clipped at 0.5": {"clip": 0.5}}),
    _Portrait(
        "wasserstein with a gradient penalty", "wasserstein", {"centre 1": _WGAN_GP, "centre 0": _GP_0}, **_WGAN_GP
    ),
)


def picture(*, width: int = 1200) -> pictures.Picture:
    """Draw phase portraits of the Dirac-GAN: fields in grey, paths from (1, 1) in colour, the equilibrium as a cross.

    Args:
        width: in pixels.

    Returns:
        uint8 `[height, width, 3]`.
    """
    rows = -(-len(_PORTRAITS) // _COLUMNS)
    figure, canvas = pictures.open_figure(width, rows * (width // _COLUMNS + 20))
    for number, portrait in enumerate(_PORTRAITS):
        _draw(figure.add_subplot(rows, _COLUMNS, number + 1, aspect="equal"), portrait)
    return pictures.render(canvas)


def _draw(axes: Axes, portrait: _Portrait) -> None:
    loss = adversarial.get(portrait.loss)
    side = np.linspace(-_LIMIT, _LIMIT, 31, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    velocity = jax.jit(jax.vmap(field(loss, portrait.penalty, weight=portrait.weight)))(jnp.asarray(grid))
    theta, psi = np.asarray(velocity).reshape(len(side), len(side), 2).transpose(2, 0, 1)
    axes.streamplot(side, side, theta, psi, color="0.8", linewidth=0.8, arrowsize=0.8, density=0.9)
    for number, (name, options) in enumerate(portrait.paths.items()):
        points = path(loss, rate=RATE, num_steps=NUM_STEPS, **options)
        axes.plot(*points.T, ".-", color=f"C{number}", markersize=4, linewidth=1, label=name)
    axes.plot(1.0, 1.0, "o", color="black", markersize=6)
    axes.plot(0.0, 0.0, "+", color="black", markersize=14, markeredgewidth=2)
    if len(portrait.paths) > 1:
        axes.legend(loc="lower left", framealpha=0.9)
    axes.set(
        xlim=(-_LIMIT, _LIMIT),
        ylim=(-_LIMIT, _LIMIT),
        xlabel="θ, the generator's point",
        ylabel="ψ, the critic's slope",
    )
    axes.set_title(portrait.title)
