"""How well a density fits, in nats against the entropy of the data: one ruler for all families that have one."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from genloss_jax.data.dataset import Dataset
from genloss_jax.metrics._held_out import held_out_chunks
from genloss_jax.metrics.statistics import STANDARD_ERROR, mean_and_standard_error, named

KINDS = ("exact", "lower bound", "estimate")
"""What a log-likelihood may be: the model's own, a bound below it, or an estimate that is neither."""

GAP, MASS, BITS = "gap_to_entropy", "mass", "bits_per_dim"

LogProb = Callable[[Mapping[str, Any], jax.Array], Any]

_GRID, _MARGIN = 256, 0.5  # points along each side; how far the box exceeds the data, as a share of its size
_TOLERANCE, _SURE = 0.02, 4.0  # of the mass; standard errors of the gap
_KEY = 0x64656E73


class Ruler(NamedTuple):
    """Measures a density on held-out examples.

    Attributes:
        measure: `(log_prob) -> {metric: value}`, where `log_prob(batch, key) -> [B]` nats.
        floor: metric -> what the true density would get, where it is known.
        directions: metric -> what is better.
        alarms: `(values) -> sentences`, one for each value that no density can have.
    """

    measure: Callable[[LogProb], dict[str, float]]
    floor: dict[str, float]
    directions: dict[str, str]
    alarms: Callable[[Mapping[str, float]], list[str]]


def ruler(dataset: Dataset, kind: str, seed: int = 0) -> Ruler:
    """Choose what can be said of a density on a dataset.

    - `log_likelihood`: mean of log q(x) over held-out examples, in nats per example.
    - `gap_to_entropy`: mean of log p(x) - log q(x) over them, where the true density p is known: an estimate of
      KL(p ‖ q) without the noise of the entropy. Its mean is that of -log_likelihood less the entropy.
    - `mass`: the integral of q by the midpoint rule over a box half as large again as the data, in two dimensions.
    - `bits_per_dim`: of discrete data, -log_likelihood / (D ln 2), with D numbers per example.

    Args:
        dataset: where held-out examples come from, and perhaps their density.
        kind: of the log-probability: "exact", "lower bound" or "estimate". It is printed beside the values.
        seed: for what the estimate draws.

    Returns:
        The ruler.

    Raises:
        ValueError: if the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"log_prob_kind must be one of {', '.join(KINDS)}, got {kind!r}")
    chunks = held_out_chunks(dataset)
    likelihood = f"log_likelihood, {kind}"
    directions = {likelihood: "higher"}
    floor: dict[str, float] = {}
    true = None
    if dataset.log_prob is not None:
        true = np.concatenate([np.asarray(dataset.log_prob(chunk["x"])) for chunk in chunks])
        floor |= named(likelihood, mean_and_standard_error(true)) | {GAP: 0.0}
        directions[GAP] = "lower"
    box = _box(np.concatenate([chunk["x"] for chunk in chunks])) if dataset.shape == (2,) else None
    if box is not None:
        floor[MASS] = 1.0
        directions[MASS] = "1"
    num_dims = int(np.prod(dataset.shape))
    if dataset.num_levels:
        directions[BITS] = "lower"

    def measure(log_prob: LogProb) -> dict[str, float]:
        keys = jax.random.split(jax.random.key(_KEY + seed), len(chunks) + 1)
        found = [np.asarray(log_prob(chunk, key)) for chunk, key in zip(chunks, keys[1:], strict=True)]
        nats = np.concatenate(found).astype(np.float64)
        values = named(likelihood, mean_and_standard_error(nats))
        if true is not None:
            values |= named(GAP, mean_and_standard_error(true - nats))
        if box is not None:
            values[MASS] = _mass(log_prob, keys[0], *box)
        if dataset.num_levels:
            values |= named(BITS, mean_and_standard_error(-nats / (num_dims * np.log(2.0))))
        return values

    def alarms(values: Mapping[str, float]) -> list[str]:
        sentences = []
        gap, error = values.get(GAP, 0.0), values.get(GAP + STANDARD_ERROR, 0.0)
        if kind != "estimate" and gap < -_SURE * error:
            sentences.append(
                f"impossible: the log-likelihood is {-gap:.3g} ± {error:.2g} nats above what the true density gets"
            )
        mass = values.get(MASS, 1.0)
        # A bound lies below its density, so that its mass may be less than 1 but not more.
        if (kind != "estimate" and mass > 1 + _TOLERANCE) or (kind == "exact" and mass < 1 - _TOLERANCE):
            sentences.append(f"impossible: the density integrates to {mass:.4g} over a box around the data, not to 1")
        return sentences

    return Ruler(measure, floor, directions, alarms)


def _box(points):
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.5 * _MARGIN * (high - low)
    return low - margin, high + margin


def _mass(log_prob, key, low, high) -> float:
    step = (high - low) / _GRID
    axes = [low[axis] + step[axis] * (np.arange(_GRID) + 0.5) for axis in range(2)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    keys = jax.random.split(key, _GRID)
    rows = points.reshape(_GRID, _GRID, 2)
    nats = [np.asarray(log_prob({"x": row}, own), np.float64) for row, own in zip(rows, keys, strict=True)]
    return float(np.exp(nats).sum() * np.prod(step))
