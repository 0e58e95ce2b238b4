"""Traced scalars that change over a run."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax._names import look_up
from genloss_jax.objectives.objective import Hyper
from genloss_jax.training.step import Schedule

# What a value is multiplied by after a share of the run, if it is to be multiplied by `factor` at the end.
SHAPES: dict[str, Callable[[jax.Array, float], jax.Array]] = {
    "linear": lambda share, factor: 1.0 + share * (factor - 1.0),
    "cosine": lambda share, factor: 1.0 + 0.5 * (1.0 - jnp.cos(jnp.pi * share)) * (factor - 1.0),
    "geometric": lambda share, factor: factor**share,
}


class Path(NamedTuple):
    """How a scalar goes from its value v at step 0 to `factor * v` at the end of the run."""

    shape: str
    factor: float


def anneal(hyper: Hyper, step: jax.Array, *, total_steps: int, paths: Mapping[str, Path]) -> dict[str, Any]:
    """Give the scalars of a step.

    Args:
        hyper: name -> traced scalar, its value at step 0.
        step: steps taken.
        total_steps: where the paths end; later steps stay there.
        paths: name -> path; a scalar without one is constant.

    Returns:
        `hyper` at `step`.
    """
    share = jnp.clip(step / total_steps, 0.0, 1.0)
    moved = {name: hyper[name] * SHAPES[path.shape](share, path.factor) for name, path in paths.items()}
    return {**hyper, **moved}


def from_config(config: Any, hyper: Hyper) -> tuple[Schedule, dict[str, float]]:
    """Build the schedule of a run.

    Args:
        config: an experiment's config; `config.schedule`, `config.players` and `config.training` are read.
        hyper: the scalars that the objective and the optimisers read. `schedule.anneal.penalty_weight` applies to
            all whose names end in `_weight`.

    Returns:
        The schedule, and the traced scalars that it reads itself.

    Raises:
        ValueError: if a path's shape is unknown, or its factor does not fit the shape.
    """
    paths: dict[str, Path] = {}
    for name, setting in config.schedule.anneal.items():
        look_up(f"shape of schedule.anneal.{name}", setting.shape, {**SHAPES, "none": None})
        if setting.shape == "geometric" and setting.factor <= 0.0:
            raise ValueError(
                f"schedule.anneal.{name}.factor must be positive on a geometric path, got {setting.factor}"
            )
        if setting.shape != "none":
            suffix = "_weight" if name == "penalty_weight" else name
            paths |= {key: Path(setting.shape, setting.factor) for key in hyper if key.endswith(suffix)}

    averaged = tuple(name for name, player in config.players.items() if player.averaged and config.schedule.ema_decay)
    schedule = Schedule(
        moves={name: player.moves for name, player in config.players.items()},
        play=config.schedule.play,
        hyper=lambda hyper, step: anneal(hyper, step, total_steps=config.training.total_steps, paths=paths),
        averaged=averaged,
        skip_nonfinite=config.training.on_nonfinite == "skip",
    )
    return schedule, {"ema_decay": config.schedule.ema_decay} if averaged else {}
