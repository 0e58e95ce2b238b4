"""Colour crops of the two photographs that ship with scikit-learn, a temple and a flower, 427 by 640 pixels each."""

import numpy as np

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.images import fit
from genloss_jax.data.sources import Batch, Source

_BORDER = 480  # training crops lie left of this column, held-out crops at or right of it
_TRAIN_SIZE, _TEST_SIZE = 20_000, 2_000


def load(image_size: int = 0, channels: int = 0) -> Dataset:
    """Load 20,000 crops for training and 2,000 held out; no pixel is in both.

    The crops' places are a fixed random choice without repetition of all places, in both photographs alike.

    Args:
        image_size: Side of the crops; 0 is 32.
        channels: 1 makes them grey; 0 or 3 keep the colours.

    Returns:
        The data set, without labels.

    Raises:
        ValueError: If the crops do not fit into the part that is held out.
    """
    from sklearn.datasets import load_sample_images

    photos = np.stack([fit(photo, channels=channels) for photo in load_sample_images().images])
    size = image_size or 32
    if size > photos.shape[2] - _BORDER:
        raise ValueError(f"image_size of photos must be at most {photos.shape[2] - _BORDER}, got {size}")
    pixels = photos.astype(np.float32) / np.float32(127.5) - 1
    train = CropSource(pixels[:, :, :_BORDER], size, _TRAIN_SIZE, seed=1)
    test = CropSource(pixels[:, :, _BORDER:], size, _TEST_SIZE, seed=2)
    return Dataset("photos", train, test, (size, size, pixels.shape[-1]))


class CropSource(Source):
    """Square crops of equally large pictures, at places fixed by a seed."""

    def __init__(self, pictures: np.ndarray, crop_size: int, size: int, seed: int):
        """Choose the places.

        Args:
            pictures: `[P, H, W, C]` float32.
            crop_size: Side of the crops.
            size: Number of crops, fewer if there are fewer places.
            seed: Seed of the places.
        """
        windows = np.lib.stride_tricks.sliding_window_view(pictures, (crop_size, crop_size), axis=(1, 2))
        self._windows = np.moveaxis(windows, 3, -1)  # [P, rows, columns, crop_size, crop_size, C], a view
        # Sorting raw bits chooses the same places in all versions of NumPy.
        places = np.argsort(np.random.Philox(key=seed).random_raw(int(np.prod(self._windows.shape[:3]))))[:size]
        self._places = np.unravel_index(places, self._windows.shape[:3])

    def __len__(self) -> int:
        return len(self._places[0])

    def read(self, indices: np.ndarray) -> Batch:
        """Give the examples at `indices` as one batch."""
        return {"x": self._windows[tuple(axis[indices] for axis in self._places)]}
