"""scikit-learn's handwritten digits, prepared on first use for TensorFlow Datasets, without network or TensorFlow."""

import os
from pathlib import Path

import numpy as np

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.images import resize_float
from genloss_jax.data.sources import ArraySource
from genloss_jax.data.tfds_images import quiet


def load(image_size: int = 0, channels: int = 0, data_dir: str = "") -> Dataset:
    """Load the digits: 1,442 to train on, 355 held out, every class split alike.

    Grey levels 0 to 16 become -1 to 1 exactly. Another size than 8 is a bilinear interpolation of these values, with
    pixel centres at half-integers and without rounding.

    Args:
        image_size: Side of the images; 0 is the native 8.
        channels: 3 repeats the grey channel; 0 or 1 keep it.
        data_dir: Where the prepared files are kept; "" is `embedded_data_dir()`.

    Returns:
        The data set, in memory.
    """
    splits = _read(Path(data_dir) if data_dir else embedded_data_dir())
    size, depth = image_size or 8, channels or 1

    def source(split: str) -> ArraySource:
        levels, labels = splits[split]
        images = levels.astype(np.float32) / 8 - 1
        if size != 8:
            images = np.stack([resize_float(image, size) for image in images])
        return ArraySource({"x": np.repeat(images[..., None], depth, -1), "label": labels})

    shape, num_levels = (size, size, depth), 17 if size == 8 else 0
    return Dataset("digits", source("train"), source("test"), shape, num_classes=10, num_levels=num_levels)


def embedded_data_dir() -> Path:
    """Give the folder of prepared data: `$GENLOSS_DATA_DIR`, or `~/.cache/genloss_jax`."""
    return Path(os.environ.get("GENLOSS_DATA_DIR") or "~/.cache/genloss_jax").expanduser()


def prepare(data_dir: Path):
    """Prepare the digits under a folder unless they are there, and give their builder.

    Files are written aside and appear under their name all at once, so an interrupted preparation leaves nothing that
    looks whole, and of two processes that prepare at the same time one wins and the other takes its files.

    Args:
        data_dir: The folder.

    Returns:
        The prepared `tfds.core.DatasetBuilder`.
    """
    with quiet():
        from genloss_jax.data._digits_builder import SklearnDigits

        builder = SklearnDigits(data_dir=data_dir, file_format="array_record")
        if builder.is_prepared():
            return builder
        try:
            builder.download_and_prepare(file_format="array_record")
        except OSError:  # another process moved its files there first
            builder = SklearnDigits(data_dir=data_dir, file_format="array_record")
            if not builder.is_prepared():
                raise
        return builder


def _read(data_dir: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Give levels `[N, 8, 8]` of 0 to 16 and labels `[N]` for each split."""
    builder = prepare(data_dir)
    splits = {}
    for split in ("train", "test"):
        with quiet():
            examples = list(builder.as_data_source(split=split))
        pixels = np.stack([example["image"][..., 0] for example in examples])
        labels = np.asarray([example["label"] for example in examples], np.int32)
        splits[split] = np.round(pixels * (16 / 255)).astype(np.uint8), labels
    return splits
