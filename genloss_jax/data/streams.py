"""Endless, reproducible, shuffled batches whose exact position can be saved; and one ordered pass for evaluation.

Both kinds of stream are functions of `(seed, position)`. A device stream draws batch `position` from its key. A stored
stream shuffles each epoch anew, lays the epochs end to end, and cuts that endless line into global batches, of which
process `p` reads the `p`-th part: no example is lost or read twice within an epoch, whatever the number of processes,
and batches run across the border between epochs, so their shape never changes.
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


def stream(
    source: Source, *, batch_size: int, seed: int, process_index: int = 0, process_count: int = 1
) -> BatchStream:
    """Open an endless, shuffled stream of batches.

    Args:
        source: Where examples come from.
        batch_size: Examples per batch of this process; the global batch is `process_count` times as large.
        seed: Seed of the order, from 0 to 2**32 - 1.
        process_index: This process.
        process_count: Number of processes that share the data.

    Returns:
        A stream at position 0: NumPy arrays for stored examples, arrays on the device for a `DeviceSource`.

    Raises:
        ValueError: If an argument is out of range.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie in [0, 2**32), got {seed}")
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index must lie in [0, process_count={process_count}), got {process_index}")
    if len(source) < 1:
        raise ValueError("source must hold at least one example, got an empty one")
    if isinstance(source, DeviceSource):
        return _DeviceStream(source, batch_size, seed, process_index, process_count)
    return _StoredStream(source, batch_size, seed, process_index, process_count)


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

    def __init__(self, source: Source, batch_size: int, seed: int, process_index: int, process_count: int):
        self._identity = {
            "batch_size": batch_size,
            "seed": seed,
            "process_count": process_count,
            "examples": 0 if isinstance(source, DeviceSource) else len(source),
        }

    def _check(self, state: dict) -> None:
        for name, ours in self._identity.items():
            theirs = state.get(name)
            if theirs != ours:
                raise ValueError(f"state was saved by a stream with {name}={theirs}, this stream has {name}={ours}")


class _DeviceStream(_Stream):
    def __init__(self, source: DeviceSource, batch_size: int, seed: int, process_index: int, process_count: int):
        super().__init__(source, batch_size, seed, process_index, process_count)
        self._sample, self._batch_size = source.sample, batch_size
        self._seed, self._process_index = np.uint32(seed), np.uint32(process_index)
        self._position = 0

    def read(self, num: int) -> Batch:
        start = np.uint32(self._position % 2**32)
        batches = _sample_batches(self._sample, self._batch_size, num, self._seed, self._process_index, start)
        self._position += num
        return batches

    def get_state(self) -> dict:
        return {**self._identity, "position": self._position}

    def set_state(self, state: dict) -> None:
        self._check(state)
        self._position = int(state["position"])


@partial(jax.jit, static_argnums=(0, 1, 2))
def _sample_batches(
    sample: Callable, batch_size: int, num: int, seed: jax.Array, process_index: jax.Array, start: jax.Array
) -> Batch:
    key = jax.random.fold_in(jax.random.key(seed), process_index)
    positions = start + jnp.arange(num, dtype=jnp.uint32)
    return jax.vmap(lambda position: sample(jax.random.fold_in(key, position), batch_size))(positions)


class _StoredStream(_Stream):
    def __init__(self, source: Source, batch_size: int, seed: int, process_index: int, process_count: int):
        super().__init__(source, batch_size, seed, process_index, process_count)
        import grain  # takes more than a second

        order = lru_cache(maxsize=4)(partial(_shuffled, len(source), seed))
        offsets = process_index * batch_size + np.arange(batch_size)

        def batch(position: int) -> Batch:
            places = position * batch_size * process_count + offsets
            epochs, places = np.divmod(places, len(source))
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
