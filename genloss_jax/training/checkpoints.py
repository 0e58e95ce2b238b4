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

from genloss_jax.training import processes
from genloss_jax.training.finite import broken_leaf
from genloss_jax.training.step import TrainState

BEST = ("min", "max")
_FORMAT = 2  # of what is kept beside the arrays; 1 had checksums of another kind
_FORMAT_ALONE = 3  # the arrays themselves are in a file of their own
_ODD = np.uint32(2654435761)
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

    Of several processes all take part, in one directory that all of them see. Arrays of which each has a copy are
    written by the first; of arrays that are split over processes (`shard_state`) each writes what it has. A checkpoint
    can be restored to any number of processes and devices. With `alone`, a process has checkpoints of its own.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_last: int = 2,
        keep_best: int = 1,
        metric: str | None = None,
        best: str = "min",
        alone: bool = False,
    ):
        """Open a directory of checkpoints; create it where there is none.

        Args:
            directory: where they are, a path or the address of a bucket (`gs://...`). Nothing else should be there.
            keep_last: how many of the newest to keep. With 1, nothing is left where that one is damaged.
            keep_best: how many of the best to keep beside them, if `metric` is given.
            metric: which of the metrics given to `save` ranks checkpoints.
            best: "min" or "max".
            alone: of several processes this one saves and restores without the others, who do something else at that
                time; any of them can go on from it later, alone. The directory is on a file system, and `save` waits
                until the checkpoint is written.

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
        directory = os.fspath(directory)
        self._directory = directory if "://" in directory else os.path.abspath(directory)
        self._metric = metric
        self._alone, self._format = alone, _FORMAT_ALONE if alone else _FORMAT
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
        self._save_arrays, self._restore_arrays = ocp.args.StandardSave, ocp.args.StandardRestore
        apart: dict[str, Any] = {}
        registry = None
        if alone:
            from genloss_jax.training import _own_arrays

            os.makedirs(self._directory, exist_ok=True)
            apart, registry = _own_arrays.apart()
            self._save_arrays, self._restore_arrays = _own_arrays.Save, _own_arrays.Restore
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy(policies), cleanup_tmp_directories=True, **ranked, **apart
            ),
            handler_registry=registry,
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
        checksums = _checksums(arrays)
        content = {
            "format": self._format,
            "step": step,
            "position": dict(position or {}),
            "metrics": metrics,
            "arrays": {path: [*_kind(array), checksums[path]] for path, array in _named(arrays)},
        }
        self._manager.save(
            step,
            args=self._ocp.args.Composite(
                state=self._save_arrays(arrays), content=self._ocp.args.JsonSave(_sealed(content))
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
            restored, damage = None, ""
            try:
                restored = self._read(candidate, template)
            except _Damaged as found:
                damage = str(found)
            if bool(damage) if self._alone else processes.largest(bool(damage)):
                broken[candidate] = damage or "another process cannot read it"
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
        if content.get("format") != self._format:
            raise CheckpointError(
                f"the checkpoint of step {step} in {self._directory} was written by another version of genloss_jax, or "
                f"by processes {'together' if self._alone else 'alone'}"
            )
        expected = jax.tree.map(_expected, template)
        _check_form(step, content["arrays"], {path: _kind(array) for path, array in _named(expected)})
        arrays = self._item(step, "state", self._restore_arrays(expected))
        for path, checksum in _checksums(arrays).items():
            if checksum != content["arrays"][path][-1]:
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


def _is_split(leaf: Any) -> bool:
    """Tell whether no process has all of an array."""
    sharding = getattr(leaf, "sharding", None)
    return sharding is not None and not (sharding.is_fully_addressable or sharding.is_fully_replicated)


def _to_host(leaf: Any) -> Any:
    # A copy, since the next step writes over the original.
    if _is_split(leaf):
        return jax.numpy.copy(leaf)
    return np.array(jax.device_get(jax.random.key_data(leaf) if _is_key(leaf) else leaf))


def _expected(leaf: Any) -> Any:
    """Tell Orbax what to read: all of an array, or what this process has of it."""
    if _is_split(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
    data = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    return np.empty(data.shape, data.dtype)


def _to_device(array: Any, leaf: Any) -> jax.Array:
    if _is_split(leaf):
        return array
    sharding = getattr(leaf, "sharding", None)
    if sharding is not None and not sharding.is_fully_addressable:
        array = jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
    if not _is_key(leaf):
        return jax.device_put(array, sharding)
    return jax.device_put(jax.random.wrap_key_data(jax.numpy.asarray(array), impl=_key_impl(leaf)), sharding)


def _key_impl(leaf: Any) -> Any:
    # An abstract key does not tell, but a traced one does.
    found = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _kind(array: Any) -> list:
    return [str(array.dtype), list(array.shape)]


def _checksums(tree: Any) -> dict[str, int]:
    """Compute the checksum of each array, the same however it is split over processes; all must ask."""
    whole, split = {}, {}
    for path, array in _named(tree):
        if _is_split(array):
            own = [_checksum(np.asarray(part.data), array.shape, part.index) for part in array.addressable_shards
                   if part.replica_id == 0]  # fmt: skip
            split[path] = np.sum(own, dtype=np.uint32)
        else:
            whole[path] = _checksum(np.asarray(array), array.shape)
    # Without a collective where no array is split.
    added = processes.totals(split) if split else {}
    return {path: int(checksum) for path, checksum in (whole | added).items()}


def _checksum(part: np.ndarray, shape: tuple[int, ...], index: tuple[slice, ...] | None = None) -> np.uint32:
    """Add up an array's bits, each of its words times an odd number of its place, modulo 2^32.

    Any flipped bit changes the sum, for an odd number divides no power of two; and sums of parts add up to the whole's.

    Args:
        part: of an array.
        shape: of the array.
        index: where the part lies in it; None for all of it.
    """
    words = np.ascontiguousarray(part).reshape(-1).view(f"u{min(part.dtype.itemsize, 4)}").astype(np.uint32)
    starts = [axis.start or 0 for axis in index] if index is not None else [0] * len(shape)
    place: np.ndarray = np.zeros(1, np.uint32)
    for start, size, length in zip(starts, part.shape, shape, strict=True):
        along = np.arange(start, start + size).astype(np.uint32)
        place = (place[:, None] * np.uint32(length % 2**32) + along).reshape(-1)
    # Several words of one element, those of a float64, have places of their own.
    each = words.size // max(part.size, 1)
    place = (place[:, None] * np.uint32(each) + np.arange(each, dtype=np.uint32)).reshape(-1)
    return np.sum(words * np.bitwise_or(place * _ODD, np.uint32(1)), dtype=np.uint32)


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
