"""Endless, reproducible, shuffled batches whose exact position can be saved; and one ordered pass for evaluation.

Both kinds of stream are functions of `(seed, position)`. A device stream draws batch `position` from its key. A stored
stream shuffles each epoch anew, lays the epochs end to end, and cuts that endless line into batches: within an epoch no
example is lost or read twice, and batches run across the border between epochs, so their shape never changes.

Of several processes each reads its own rows of the same batches; positions do not depend on how many there are.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from genloss_jax.data.sources import Batch, DeviceSource, Source

_ENDLESS = 2**48


@runtime_checkable
class BatchStream(Protocol):
    """An endless stream of batches with a position."""

    def read(self, num: int) -> Batch:
        """Give the next `num` batches stacked: leaves `[num, batch_size, ...]`."""
        ...

    def get_state(self) -> dict:
        """Give the exact position as plain integers, the same on every process."""
        ...

    def set_state(self, state: dict) -> None:
        """Move to a position; what is read next equals, bit for bit, what was read next there."""
        ...


def stream(source: Source, *, batch_size: int, seed: int, rows: np.ndarray | None = None) -> BatchStream:
    """Open an endless, shuffled stream of batches.

    Args:
        source: Where examples come from.
        batch_size: Examples per batch, all processes together.
        seed: Seed of the order, from 0 to 2**32 - 1.
        rows: Which examples of each batch to read, and in which order; None for all of them.

    Returns:
        A stream at position 0: NumPy arrays for stored examples, arrays on the device for a `DeviceSource`.

    Raises:
        ValueError: If an argument is out of range.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie in [0, 2**32), got {seed}")
    if rows is not None and (len(rows) == 0 or min(rows) < 0 or max(rows) >= batch_size):
        raise ValueError(
            f"rows must name examples of a batch, from 0 to {batch_size - 1}, got {np.asarray(rows).tolist()}"
        )
    if len(source) < 1:
        raise ValueError("source must hold at least one example, got an empty one")
    if isinstance(source, DeviceSource):
        return _DeviceStream(source, batch_size, seed, rows)
    return _StoredStream(source, batch_size, seed, rows)


def epoch(source: Source, batch_size: int) -> Iterator[Batch]:
    """Read every example once, in order, for evaluation.

    Args:
        source: Where examples come from.
        batch_size: Examples per batch; the last one is filled up with its own last example.

    Yields:
        Batches with `"mask"` `[batch_size]` bool, False where an example only fills up the last batch.

    Raises:
        ValueError: If `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    for start in range(0, len(source), batch_size):
        indices = np.arange(start, start + batch_size)
        mask = indices < len(source)
        yield {**source.read(np.minimum(indices, len(source) - 1)), "mask": mask}


class _Stream:
    """What a saved position must agree on before it means anything."""

    def __init__(self, source: Source, batch_size: int, seed: int):
        self._identity = {
            "batch_size": batch_size,
            "seed": seed,
            "examples": 0 if isinstance(source, DeviceSource) else len(source),
        }

    def _check(self, state: dict) -> None:
        for name, ours in self._identity.items():
            theirs = state.get(name)
            if theirs != ours:
                raise ValueError(f"state was saved by a stream with {name}={theirs}, this stream has {name}={ours}")


class _DeviceStream(_Stream):
    def __init__(self, source: DeviceSource, batch_size: int, seed: int, rows: np.ndarray | None):
        super().__init__(source, batch_size, seed)
        self._sample, self._batch_size, self._seed = source.sample, batch_size, np.uint32(seed)
        self._rows = rows
        self._position = 0

    def read(self, num: int) -> Batch:
        start = np.uint32(self._position % 2**32)
        batches = _sample_batches(self._sample, self._batch_size, num, self._seed, start)
        self._position += num
        # Drawing an example costs less than asking another process for it.
        return batches if self._rows is None else jax.tree.map(lambda leaf: leaf[:, self._rows], batches)

    def get_state(self) -> dict:
        return {**self._identity, "position": self._position}

    def set_state(self, state: dict) -> None:
        self._check(state)
        self._position = int(state["position"])


@partial(jax.jit, static_argnums=(0, 1, 2))
def _sample_batches(sample: Callable, batch_size: int, num: int, seed: jax.Array, start: jax.Array) -> Batch:
    # The zero keeps the numbers that were drawn before processes shared their batches.
    key = jax.random.fold_in(jax.random.key(seed), 0)
    positions = start + jnp.arange(num, dtype=jnp.uint32)
    return jax.vmap(lambda position: sample(jax.random.fold_in(key, position), batch_size))(positions)


class _StoredStream(_Stream):
    def __init__(self, source: Source, batch_size: int, seed: int, rows: np.ndarray | None):
        super().__init__(source, batch_size, seed)
        import grain  # takes more than a second

        order = lru_cache(maxsize=4)(partial(_shuffled, len(source), seed))
        offsets = np.arange(batch_size) if rows is None else np.asarray(rows)

        def batch(position: int) -> Batch:
            epochs, places = np.divmod(position * batch_size + offsets, len(source))
            indices = np.empty_like(places)
            for number in np.unique(epochs):
                indices[epochs == number] = order(int(number))[places[epochs == number]]
            return source.read(indices)

        # One Grain element is one batch: an element costs Grain about 0.1 ms, whatever it holds.
        options = grain.ReadOptions(num_threads=4, prefetch_buffer_size=8) if source.slow else _read_inline(grain)
        self._batches = iter(grain.MapDataset.range(_ENDLESS).map(batch).to_iter_dataset(options))

    def read(self, num: int) -> Batch:
        batches = [next(self._batches) for _ in range(num)]
        return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}

    def get_state(self) -> dict:
        return {**self._identity, "iterator": self._batches.get_state()}

    def set_state(self, state: dict) -> None:
        self._check(state)
        self._batches.set_state(state["iterator"])


def _read_inline(grain):
    return grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)


def _shuffled(size: int, seed: int, number: int) -> np.ndarray:
    # Sorting raw bits, because NumPy promises the raw bits of Philox for all versions, but not `permutation`.
    return np.argsort(np.random.Philox(key=(seed << 64) | number).random_raw(size), kind="stable")
