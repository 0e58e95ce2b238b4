"""Checkpoints: written behind training, whole or not at all, and believed only when every bit is as it was."""

import gc
import json
import logging
import math
import os
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

import jax
import numpy as np

from genloss_jax.training.finite import broken_leaf
from genloss_jax.training.step import TrainState

BEST = ("min", "max")
_STRAGGLER_SECONDS = 0.1
_log = logging.getLogger(__name__)


def _is_no_missing_metric(record: logging.LogRecord) -> bool:
    return "did not provide metrics" not in record.getMessage()


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used, and the run must not go on as if there were none."""


class Restored(NamedTuple):
    """What a checkpoint gives back.

    Attributes:
        step: steps taken.
        state: the state, bit for bit.
        position: as given to `save`: where the data and the loop stood.
        metrics: as given to `save`.
    """

    step: int
    state: TrainState
    position: dict[str, Any]
    metrics: dict[str, float]


class _Damaged(Exception):
    pass


class Checkpoints:
    """The checkpoints of one run: its newest, and its best by one metric.

    Orbax writes them, asynchronously and atomically. It does not notice a flipped bit, nor an empty directory; so each
    checkpoint carries checksums, and one that does not match them is passed over with a message.

    Every process of a run sees the whole state: arrays are replicated or on one process's devices.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_last: int = 2,
        keep_best: int = 1,
        metric: str | None = None,
        best: str = "min",
    ):
        """Open a directory of checkpoints; create it where there is none.

        Args:
            directory: where they are. Nothing else should be there.
            keep_last: how many of the newest to keep. With 1, nothing is left where that one is damaged.
            keep_best: how many of the best to keep beside them, if `metric` is given.
            metric: which of the metrics given to `save` ranks checkpoints.
            best: "min" or "max".

        Raises:
            ValueError: if an argument is out of range.
        """
        if keep_last < 1 or keep_best < 1:
            raise ValueError(f"keep_last and keep_best must be at least 1, got {keep_last} and {keep_best}")
        if best not in BEST:
            raise ValueError(f"best must be one of {BEST}, got {best!r}")
        # Orbax takes a second to import.
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

        self._ocp = ocp
        self._directory = os.path.abspath(os.fspath(directory))
        self._metric = metric
        policies: list[Any] = [LatestN(keep_last)]
        ranked: dict[str, Any] = {}
        if metric is not None:

            def value(metrics):
                return metrics[metric]

            lower = best == "min"
            policies.append(
                BestN(get_metric_fn=value, reverse=lower, n=keep_best, keep_checkpoints_without_metrics=False)
            )
            ranked = {"best_fn": value, "best_mode": best}
            # Orbax warns of every checkpoint without metrics, which is any between two evaluations.
            logging.getLogger("absl").addFilter(_is_no_missing_metric)
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy(policies), cleanup_tmp_directories=True, **ranked
            ),
        )

    def save(
        self,
        step: int,
        state: TrainState,
        position: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Save a state; it is copied before this returns, and written in the background.

        Checkpoints of this and later steps, if there are any, belong to a path that the run has left: they are
        discarded.

        Args:
            step: steps taken.
            state: what to save.
            position: what JSON can hold: where the data and the loop stand (`Event.position`).
            metrics: numbers to keep with it. Without them, or where `metric` is not finite, the checkpoint is not
                ranked.

        Raises:
            ValueError: if the state is not finite, or metrics lack the one that ranks.
        """
        leaf = broken_leaf(state)
        if leaf is not None:
            raise ValueError(f"state of step {step} must be finite to be saved, but {leaf} is not")
        metrics = {name: float(value) for name, value in (metrics or {}).items()}
        for stale in [old for old in self.steps() if old >= step]:
            self._manager.wait_until_finished()
            self._manager.delete(stale)
        arrays = jax.tree.map(_to_host, state)
        content = {
            "step": step,
            "position": dict(position or {}),
            "metrics": metrics,
            "arrays": {path: [*_kind(array), _checksum(array)] for path, array in _named(arrays)},
        }
        self._manager.save(
            step,
            args=self._ocp.args.Composite(
                state=self._ocp.args.StandardSave(arrays), content=self._ocp.args.JsonSave(_sealed(content))
            ),
            metrics=self._ranked(metrics),
        )

    def restore(self, template: TrainState, step: int | None = None) -> Restored | None:
        """Give back the newest checkpoint that is whole.

        Args:
            template: the state of a fresh run: arrays, or `jax.eval_shape` of `init`. Arrays are placed where it says.
            step: give back this one and no other.

        Returns:
            What was saved, or None where nothing ever was.

        Raises:
            CheckpointError: if there are checkpoints but none is whole, or if it is of a state of another form.
        """
        self._manager.wait_until_finished()
        steps = sorted(self.steps(), reverse=True) if step is None else [step]
        broken: dict[int, str] = {}
        for candidate in steps:
            try:
                restored = self._read(candidate, template)
            except _Damaged as damage:
                broken[candidate] = str(damage)
                continue
            for other, why in broken.items():
                _log.warning(
                    "the checkpoint of step %d in %s is damaged (%s); going on from step %d", other, self._directory,
                    why, candidate,
                )  # fmt: skip
            return restored
        if not broken:
            return None
        listed = "; ".join(f"step {number}: {why}" for number, why in broken.items())
        raise CheckpointError(
            f"no checkpoint in {self._directory} is whole ({listed}); remove the directory to start afresh"
        )

    def restore_best(self, template: TrainState) -> Restored | None:
        """Give back the best checkpoint by `metric`; as `restore`, and None where none was ranked."""
        step = self.best_step()
        return None if step is None else self.restore(template, step)

    def steps(self) -> list[int]:
        """List the steps of which there is a checkpoint, damaged ones among them."""
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        """Tell the step of the newest checkpoint."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """Tell the step of the best checkpoint, None where none was ranked."""
        return self._manager.best_step() if self._metric is not None else None

    def wait(self) -> None:
        """Wait until all that was saved is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish writing."""
        self._manager.wait_until_finished()
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ranked(self, metrics: dict[str, float]) -> dict[str, float] | None:
        if self._metric is None or not metrics:
            return None
        if self._metric not in metrics:
            raise ValueError(
                f"metrics must hold {self._metric!r}, by which checkpoints are ranked, got {sorted(metrics)}"
            )
        return {self._metric: metrics[self._metric]} if math.isfinite(metrics[self._metric]) else None

    def _read(self, step: int, template: TrainState) -> Restored:
        args = self._ocp.args
        content = _opened(self._item(step, "content", args.JsonRestore()))
        expected = jax.tree.map(_abstract_host, template)
        _check_form(step, content["arrays"], {path: _kind(array) for path, array in _named(expected)})
        arrays = self._item(step, "state", args.StandardRestore(expected))
        for path, array in _named(arrays):
            if _checksum(array) != content["arrays"][path][-1]:
                raise _Damaged(f"{path} does not match its checksum")
        state = jax.tree.map(_to_device, arrays, template)
        return Restored(content["step"], state, content["position"], content["metrics"])

    def _item(self, step: int, name: str, args: Any) -> Any:
        with _stragglers_unheard():
            try:
                return self._manager.restore(step, args=self._ocp.args.Composite(**{name: args}))[name]
            except (
                Exception
            ) as error:  # Whatever the file system, the JSON parser or the array store make of the damage.
                reason = (str(error).strip().splitlines() or [""])[0][:200]
                damage = _Damaged(f"{name}: {type(error).__name__}: {reason}")
            time.sleep(_STRAGGLER_SECONDS)
            gc.collect()
        raise damage


@contextmanager
def _stragglers_unheard() -> Iterator[None]:
    """Keep quiet what other reads of Orbax say when they fail after the first one has ended their event loop."""
    hook = sys.unraisablehook
    log = logging.getLogger("asyncio")

    def filtered(unraisable: Any) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    def retrieved(record: logging.LogRecord) -> bool:
        return "exception was never retrieved" not in record.getMessage()

    sys.unraisablehook = filtered
    log.addFilter(retrieved)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        log.removeFilter(retrieved)


def _check_form(step: int, saved: Mapping[str, Any], expected: Mapping[str, list]) -> None:
    other = f"the checkpoint of step {step} is of another config"
    for path, kind in expected.items():
        if path not in saved:
            raise CheckpointError(f"{other}: it has no {path}")
        if saved[path][:2] != kind:
            there, here = (f"{dtype}{shape}" for dtype, shape in (saved[path][:2], kind))
            raise CheckpointError(f"{other}: {path} is {there} there, {here} here")
    extra = sorted(set(saved) - set(expected))
    if extra:
        raise CheckpointError(f"{other}: only it has {extra[0]}")


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_host(leaf: Any) -> np.ndarray:
    # A copy, since the next step writes over the original.
    return np.array(jax.device_get(jax.random.key_data(leaf) if _is_key(leaf) else leaf))


def _abstract_host(leaf: Any) -> np.ndarray:
    data = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    return np.empty(data.shape, data.dtype)


def _to_device(array: np.ndarray, leaf: Any) -> jax.Array:
    sharding = getattr(leaf, "sharding", None)
    if not _is_key(leaf):
        return jax.device_put(array, sharding)
    key = jax.random.wrap_key_data(jax.numpy.asarray(array), impl=_key_impl(leaf))
    return jax.device_put(key, sharding)


def _key_impl(leaf: Any) -> Any:
    # An abstract key does not tell, but a traced one does.
    found = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def _named(tree: Any) -> list[tuple[str, np.ndarray]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _kind(array: np.ndarray) -> list:
    return [str(array.dtype), list(array.shape)]


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")


def _sealed(content: dict[str, Any]) -> dict[str, Any]:
    return {"content": content, "checksum": zlib.crc32(_canonical(content))}


def _opened(sealed: Any) -> dict[str, Any]:
    if not isinstance(sealed, dict) or set(sealed) != {"content", "checksum"}:
        raise _Damaged("content: not what was written")
    if zlib.crc32(_canonical(sealed["content"])) != sealed["checksum"]:
        raise _Damaged("content does not match its checksum")
    return sealed["content"]


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
