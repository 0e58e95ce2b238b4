"""The examples on which what a model says of an example is measured."""

import numpy as np

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.sources import Batch

_MOST_EXAMPLES, _CHUNK = 5_000, 500


def held_out_chunks(dataset: Dataset) -> list[Batch]:
    """Read up to 5,000 held-out examples, or training examples where none are held out, in batches of about 500."""
    source = dataset.train if dataset.test is None else dataset.test
    indices = np.arange(min(len(source), _MOST_EXAMPLES))
    return [source.read(part) for part in np.array_split(indices, max(1, len(indices) // _CHUNK))]
