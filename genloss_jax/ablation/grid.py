"""From a study to its members: one config for each point of a grid."""

import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from scipy.stats import qmc

from genloss_jax._names import look_up, unknown
from genloss_jax.training import records

SEED, BASE, NONE = "seed", "base", "none"
# Where the last parts of a field's name would not say what is meant.
SHORT_NAMES = {"penalty": "penalty.name", "critic_steps": "players.discriminator.moves"}

RESERVED = ("study", "group", "member", "step", "metric", "value", "command", "failed_step", "failed_term")

Value = str | int | float | bool
Load = Callable[[str], ConfigDict]
Point = dict[str, Value]


class Member(NamedTuple):
    """One run of a study.

    Attributes:
        number: its place in the grid, from 0.
        coordinates: axis -> value, as the table shows it; the seed is always among them, and last.
        base: name of the config that it began with.
        config: what it trains, locked.
        command: trains it alone.
    """

    number: int
    coordinates: Point
    base: str
    config: ConfigDict
    command: str


def members(study: Any, load: Load) -> tuple[Member, ...]:
    """Lay out the grid of a study.

    An axis is one of
    - values of a config field, called by its path with "_" for "." ("vae_beta"), by the end of it where that is
      unique ("learning_rate"), or by a name in `SHORT_NAMES`; "none" is a penalty that is not there;
    - labels, each with the overrides that it stands for: `{"r1": {"penalty": {"name": "r1", "weight": 0.1}}, ...}`,
      where the key "base" names another config to begin with;
    - a range of a field, `{"low": 1e-5, "high": 1e-2, "scale": "log"}`. All ranges together are covered by
      `study.search.num_draws` points, the same for every combination of the other axes.

    The points listed in `study.members`, mappings axis -> value, are combined with the axes.

    Args:
        study: see `configs/ablations/base.py`.
        load: name of a base config -> the config.

    Returns:
        The members, the seed varying fastest.

    Raises:
        ValueError: if an axis, a value or a search is unknown, an axis is empty, or two members are the same point.
    """
    axes = {name: _plain(values) for name, values in study.axes.items()}
    axes.setdefault(SEED, (load(study.base).seed,))
    for name, values in axes.items():
        if not len(values):
            raise ValueError(f"axes.{name} is empty, so that the grid has no member; give it at least one value")
        if name in RESERVED:
            raise ValueError(f"axes.{name} has the name of a column of the table; call it something else")
    seeds = [{SEED: seed} for seed in axes.pop(SEED)]
    ranges = {name: values for name, values in axes.items() if _is_range(values)}
    lists = {name: tuple(values) for name, values in axes.items() if name not in ranges}
    labels = {name: values for name, values in axes.items() if name in lists and isinstance(values, Mapping)}
    listed = [dict(_plain(point)) for point in study.members] or [{}]
    points = [
        {name: value for part in parts for name, value in part.items()}
        for parts in itertools.product(listed, _product(lists), list(_draws(ranges, study.search)), seeds)
    ]
    _check_points(points)
    return tuple(_member(number, point, labels, study, load) for number, point in enumerate(points))


def _member(number: int, point: Point, labels: Mapping[str, Any], study: Any, load: Load) -> Member:
    overrides = [labels[name][value] for name, value in point.items() if name in labels]
    base = next((override[BASE] for override in overrides if BASE in override), study.base)
    original = load(base)
    config = original.copy_and_resolve_references().lock()
    for override in (_plain(study.overrides), *overrides):
        _update(config, {name: value for name, value in override.items() if name != BASE})
    for axis, value in point.items():
        if axis not in labels:
            path = _field(axis, config)
            _set(config, path, "" if path == "penalty.name" and value == NONE else value)
    command = _command(original, config, f"configs/{base}.py", f"runs/{study.name}_{number}")
    return Member(number, point, base, config.lock(), command)


def _product(lists: Mapping[str, Sequence[Value]]) -> list[Point]:
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def _draws(ranges: Mapping[str, Mapping[str, Any]], search: Any) -> Iterator[Point]:
    if not ranges:
        yield {}
        return
    if search.num_draws < 1:
        raise ValueError(f"search.num_draws must be at least 1 to cover the ranges {list(ranges)}, got 0")
    draw = look_up("search.name", search.name, _SEARCHES)
    for row in draw(len(ranges), search.num_draws, search.seed):
        yield {name: _within(name, ranges[name], share) for name, share in zip(ranges, row, strict=True)}


_SEARCHES: dict[str, Callable[[int, int, int], np.ndarray]] = {
    "random": lambda dim, num, seed: np.random.default_rng(seed).random((num, dim)),
    "quasi_random": lambda dim, num, seed: qmc.Halton(dim, rng=seed).random(num),
}


def _within(name: str, limits: Mapping[str, Any], share: float) -> float:
    low, high, scale = limits["low"], limits["high"], limits["scale"]
    if scale not in ("linear", "log") or not low < high or (scale == "log" and low <= 0):
        raise ValueError(
            f"axes.{name} must have low < high and the scale 'linear', or 'log' with low above 0; got {dict(limits)}"
        )
    value = low + share * (high - low) if scale == "linear" else low * (high / low) ** share
    # A number that the command line can give again.
    return float(f"{value:.4g}")


def _is_range(values: Any) -> bool:
    return isinstance(values, Mapping) and set(values) == {"low", "high", "scale"}


def _check_points(points: Sequence[Point]) -> None:
    seen = set()
    for point in points:
        key = tuple(sorted((name, str(value)) for name, value in point.items()))
        if key in seen:
            raise ValueError(f"the grid has the point {point} twice; each axis must list each value once")
        seen.add(key)


def _field(axis: str, config: ConfigDict) -> str:
    """Find the field that an axis is about."""
    if axis in SHORT_NAMES:
        return SHORT_NAMES[axis]
    fields = list(records.flattened(config.to_dict()))
    if any(field.replace(".", "_") == axis for field in fields):
        return next(field for field in fields if field.replace(".", "_") == axis)
    ends = {field: {"_".join(field.split(".")[start:]) for start in range(field.count(".") + 1)} for field in fields}
    found = [field for field in fields if axis in ends[field]]
    if not found:
        raise unknown("axis", axis, {*SHORT_NAMES, *(min(names, key=len) for names in ends.values())})
    if len(found) > 1:
        options = ", ".join(repr(field.replace(".", "_")) for field in found)
        raise ValueError(f"axis {axis!r} may mean any of {found}; call it one of {options}")
    return found[0]


def _set(config: ConfigDict, path: str, value: Value) -> None:
    for part in reversed(path.split(".")):
        value = {part: value}  # type: ignore[assignment]
    _update(config, value)  # type: ignore[arg-type]


def _update(config: ConfigDict, override: Mapping[str, Any]) -> None:
    try:
        config.update(override)
    except (AttributeError, KeyError, TypeError) as error:
        message = " ".join(str(error).strip("\"'").split())
        raise ValueError(f"the override {dict(override)} does not fit the config: {message}") from None


def _command(original: ConfigDict, config: ConfigDict, file: str, workdir: str) -> str:
    changed = records.differences(original.to_dict(), config.to_dict())
    flags = [shlex.quote(f"--config.{name}={value}") for name, (_, value) in changed.items()]
    return " ".join(["python -m experiments.train", f"--config={file}", *flags, f"--workdir={workdir}"])


def _plain(values: Any) -> Any:
    return values.to_dict() if isinstance(values, ConfigDict) else values
