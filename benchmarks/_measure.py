"""What the benchmarks share: contestants measured in turn, ratios with an interval, tables with the device's name."""

import csv
import functools
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import jax
import numpy as np

CONFIDENCE = 0.95
_DRAWS = 2000


class Contestant(NamedTuple):
    """Something to be timed.

    Attributes:
        call: does the work and waits until it is done. It is called several times in a measurement where it is quick.
        units: how many units of work one call does.
        prepare: runs before each measurement, and is not timed.
    """

    call: Callable[[], object]
    units: int = 1
    prepare: Callable[[], object] = lambda: None


class Interval(NamedTuple):
    """An estimate with a 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def interleave(
    contestants: Mapping[str, Contestant], repetitions: int, seconds_each: float = 0.2
) -> dict[str, np.ndarray]:
    """Time all contestants in turn, so that a busy machine slows them alike.

    The order is turned round at every repetition: nobody always follows the same one. A first round warms up, and
    finds out how often to call each.

    Args:
        contestants: name -> contestant.
        repetitions: rounds that count.
        seconds_each: about how long a measurement is to last; it is at least one call.

    Returns:
        name -> `[repetitions]` seconds per unit of work.

    Raises:
        ValueError: if `repetitions` is below 1.
    """
    if repetitions < 1:
        raise ValueError(f"repetitions must be at least 1, got {repetitions}")
    calls = {name: _calls(contestant, seconds_each) for name, contestant in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repetition in range(repetitions):
        for name in list(contestants)[:: -1 if repetition % 2 else 1]:
            seconds[name].append(_time(contestants[name], calls[name]))
    return {name: np.asarray(times) for name, times in seconds.items()}


def _calls(contestant: Contestant, seconds_each: float) -> int:
    _time(contestant, 1)
    return max(1, round(seconds_each / (contestant.units * _time(contestant, 1))))


def _time(contestant: Contestant, calls: int) -> float:
    contestant.prepare()
    start = perf_counter()
    for _ in range(calls):
        contestant.call()
    return (perf_counter() - start) / (calls * contestant.units)


def ratio_of_medians(numerator: np.ndarray, denominator: np.ndarray) -> Interval:
    """Divide two medians. The interval is a bootstrap over rounds, of which each keeps its two measurements together.

    Args:
        numerator: `[repetitions]` seconds.
        denominator: `[repetitions]` seconds of the same rounds.

    Returns:
        How many times as fast the denominator is.
    """
    value = float(np.median(numerator) / np.median(denominator))
    rounds = np.random.default_rng(0).integers(0, len(numerator), (_DRAWS, len(numerator)))
    values = np.median(numerator[rounds], axis=1) / np.median(denominator[rounds], axis=1)
    return Interval(value, *_quantiles(values))


def median_of_ratios(numerator: np.ndarray, denominator: np.ndarray) -> Interval:
    """Divide round by round and take the median: for differences that are smaller than the drift of the machine.

    Args:
        numerator: `[repetitions]` seconds.
        denominator: `[repetitions]` seconds of the same rounds.

    Returns:
        How many times as fast the denominator is, with a bootstrap interval over rounds.
    """
    ratios = numerator / denominator
    rounds = np.random.default_rng(0).integers(0, len(ratios), (_DRAWS, len(ratios)))
    return Interval(float(np.median(ratios)), *_quantiles(np.median(ratios[rounds], axis=1)))


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    return float(np.quantile(values, tail)), float(np.quantile(values, 1.0 - tail))


def matmul(m: int, k: int, n: int, length: int = 1) -> Contestant:
    """Multiply `[m, k]` by `[k, n]` in float32, `length` times in one program; a unit of work is one operation."""
    rng = np.random.default_rng(0)
    left = jax.numpy.asarray(rng.standard_normal((m, k), np.float32))
    rights = jax.numpy.asarray(rng.standard_normal((length, k, n), np.float32))
    program = jax.jit(lambda left, rights: jax.lax.map(lambda right: left @ right, rights))
    return Contestant(lambda: jax.block_until_ready(program(left, rights)), 2 * m * k * n * length)


def write_table(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a tidy table with a header; columns that a row lacks stay empty."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def append_table(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to a table, which may be new or lack some of their columns."""
    write_table(path, [*read_table(path), *rows])


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Read the rows of a table; of one that is not there, none."""
    path = Path(path)
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def device() -> str:
    """Name what the default device is, with the number of cores of a CPU."""
    first = jax.devices()[0]
    if first.platform != "cpu":
        return first.device_kind
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{model}, {len(models) or 'unknown number of'} cores"
