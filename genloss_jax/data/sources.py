"""Where examples come from: arrays in memory, images decoded when read, and samplers on the device.

A source is random access: `len(source)` examples, and `source.read(indices)` gives the batch of the examples asked for,
always the same for the same indices. A `DeviceSource` also samples without end.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

Batch = dict[str, jax.Array | np.ndarray]

_CACHE_BYTES = 2**30


class Source:
    """Examples by index. Subclasses give `__len__` and `read`."""

    slow = False  # True where reading decodes, so that threads that read ahead pay off

    def __len__(self) -> int:
        """Number of examples."""
        raise NotImplementedError

    def read(self, indices: np.ndarray) -> Batch:
        """Give the examples at `indices` `[B]` as `{"x": [B, ...]}`, with `"label": [B]` if there are classes."""
        raise NotImplementedError

    def arrays(self, limit: int | None = None) -> Batch:
        """Give the first `limit` examples, or all of them, as one batch."""
        return self.read(np.arange(len(self) if limit is None else min(limit, len(self))))


class ArraySource(Source):
    """Examples that lie in memory as they are used."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        """Take arrays whose first axes agree.

        Args:
            arrays: `{"x": [N, ...]}`, with `"label": [N]` if there are classes.

        Raises:
            ValueError: If the first axes differ.
        """
        sizes = {name: len(array) for name, array in arrays.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"arrays must agree on their first axis, got sizes {sizes}")
        self._arrays = arrays
        self._size = sizes["x"]

    def __len__(self) -> int:
        return self._size

    def read(self, indices: np.ndarray) -> Batch:
        """Give the examples at `indices` as one batch."""
        return {name: array[indices] for name, array in self._arrays.items()}


class ImageSource(Source):
    """Images that are decoded when they are first read, and kept as bytes if all of them fit into a gibibyte."""

    slow = True

    def __init__(
        self,
        decode: Callable[[int], tuple[np.ndarray, int]],
        size: int,
        shape: tuple[int, ...],
        labelled: bool,
        cache_bytes: int = _CACHE_BYTES,
    ):
        """Take a decoder.

        Args:
            decode: Maps an index to an image `[H, W, C]` uint8 and its label (any integer where there are no classes).
            size: Number of images.
            shape: Shape of every image.
            labelled: Whether batches carry `"label"`.
            cache_bytes: Decoded images are kept if all of them take no more than this.
        """
        self._decode = decode
        self._size = size
        self._shape = shape
        self._labelled = labelled
        self._keep = size * int(np.prod(shape)) <= cache_bytes
        kept = size if self._keep else 0
        self._pixels = np.zeros((kept, *shape), np.uint8)  # the system hands out zero pages only when they are written
        self._labels = np.zeros(kept, np.int32)
        self._decoded = np.zeros(kept, bool)

    def __len__(self) -> int:
        return self._size

    def read(self, indices: np.ndarray) -> Batch:
        """Give the examples at `indices` as one batch."""
        indices = np.asarray(indices)
        if self._keep:
            # Threads may decode the same image twice; both write the same bytes, and the flag is set last.
            for index in indices[~self._decoded[indices]]:
                self._pixels[index], self._labels[index] = self._decode(int(index))
                self._decoded[index] = True
            pixels, labels = self._pixels[indices], self._labels[indices]
        else:
            pairs = [self._decode(int(index)) for index in indices]
            pixels = np.stack([pair[0] for pair in pairs]) if pairs else np.zeros((0, *self._shape), np.uint8)
            labels = np.asarray([pair[1] for pair in pairs], np.int32)
        x = pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
        return {"x": x, "label": labels} if self._labelled else {"x": x}


class SubsetSource(Source):
    """Some of another source's examples, in a given order."""

    def __init__(self, source: Source, indices: np.ndarray):
        """Take the source and the indices to keep, `[N]`."""
        self._source = source
        self._indices = np.asarray(indices)
        self.slow = source.slow

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, indices: np.ndarray) -> Batch:
        """Give the examples at `indices` as one batch."""
        return self._source.read(self._indices[indices])


class DeviceSource(Source):
    """A sampler that runs on the device: an endless stream for training, and a fixed set of examples by index.

    Example `i` of the fixed set is drawn from the key folded with `i`, so the set is always the same and needs no
    storage. It is never part of a training stream, whose keys come from another path.
    """

    def __init__(self, sample: Callable[[jax.Array, int], Batch], size: int, seed: int):
        """Take a sampler.

        Args:
            sample: A pure function `(key, num) -> {"x": [num, ...]}` that can be jitted.
            size: Number of examples of the fixed set.
            seed: Seed of the fixed set.
        """
        self.sample = sample
        self._size = size
        self._seed = seed

    def __len__(self) -> int:
        return self._size

    def read(self, indices: np.ndarray) -> Batch:
        """Give the examples at `indices` as one batch."""
        indices = np.asarray(indices)
        if indices.size and (indices.min() < 0 or indices.max() >= self._size):
            raise IndexError(f"indices must lie in [0, {self._size}), got {indices.min()} to {indices.max()}")
        return _sample_each(self.sample, np.uint32(self._seed), jnp.asarray(indices, jnp.uint32))


@partial(jax.jit, static_argnums=0)
def _sample_each(sample: Callable, seed: jax.Array, indices: jax.Array) -> Batch:
    key = jax.random.fold_in(
        jax.random.key(seed), 0x68656C64
    )  # "held": apart from the streams, which fold in a process
    keys = jax.vmap(partial(jax.random.fold_in, key))(indices)
    return jax.tree.map(lambda leaf: leaf[:, 0], jax.vmap(lambda key: sample(key, 1))(keys))
