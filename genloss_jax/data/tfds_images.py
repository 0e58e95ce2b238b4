"""Any image data set of TensorFlow Datasets, by its name. Reading needs no TensorFlow; preparing most does, once."""

import contextlib
import io
import logging
import os
import socket
import warnings

import numpy as np

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.images import fit
from genloss_jax.data.sources import ImageSource

_HOSTS = ("storage.googleapis.com", "www.tensorflow.org")


def names() -> tuple[str, ...]:
    """Name all builders that TensorFlow Datasets knows of on this machine, without asking the network."""
    import tensorflow_datasets as tfds

    return tuple(tfds.list_builders(with_community_datasets=False))


def load(name: str, image_size: int = 0, channels: int = 0, data_dir: str = "", download: bool = False) -> Dataset:
    """Load a data set with the features `"image"` and, where there are classes, `"label"`.

    Held out is the split `test`, or else `validation`.

    Args:
        name: A name as TensorFlow Datasets takes it, such as `mnist` or `cifar10:3.0.2`.
        image_size: Side to which the central square is resized; 0 keeps sizes, which must then agree.
        channels: 1 or 3; 0 keeps what is there.
        data_dir: Where prepared data lie; "" is the default of TensorFlow Datasets.
        download: Whether to download and prepare what is not there.

    Returns:
        The data set; its images are decoded when they are read.

    Raises:
        ValueError: If the data are not there and cannot be prepared, or are no images.
    """
    builder = _prepared(name, data_dir, download)
    features = builder.info.features
    if "image" not in features:
        raise ValueError(f"data set {name!r} must have a feature 'image', got {', '.join(sorted(features))}")
    num_classes = int(getattr(features["label"], "num_classes", None) or 0) if "label" in features else 0
    splits = [split for split in ("test", "validation") if split in builder.info.splits]
    train = _source(builder, "train", image_size, channels, num_classes)
    test = _source(builder, splits[0], image_size, channels, num_classes) if splits else None
    return Dataset(name, train, test, train.shape, num_classes)


class _RecordSource(ImageSource):
    def __init__(self, decode, size: int, shape: tuple[int, ...], labelled: bool):
        super().__init__(decode, size, shape, labelled)
        self.shape = shape


def _source(builder, split: str, image_size: int, channels: int, num_classes: int) -> _RecordSource:
    records = builder.as_data_source(split=split)
    with quiet():
        shape = fit(records[0]["image"], image_size, channels).shape

    def decode(index: int) -> tuple[np.ndarray, int]:
        record = records[index]
        image = fit(record["image"], image_size, channels)
        if image.shape != shape:
            raise ValueError(
                f"images must agree in size when image_size is 0, "
                f"got {image.shape} at {split}[{index}] and {shape} before"
            )
        return image, int(record["label"]) if num_classes else 0

    return _RecordSource(decode, len(records), shape, labelled=num_classes > 0)


def _prepared(name: str, data_dir: str, download: bool):
    """Give the builder of prepared data, and never waits for a network that is not there."""
    import tensorflow_datasets as tfds

    def build():
        return tfds.builder(name, file_format="array_record", **({"data_dir": data_dir} if data_dir else {}))

    try:
        with quiet():
            builder = build()
            is_prepared = builder.is_prepared()
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError) as error:
        raise ValueError(f"data set {name!r} is not known to TensorFlow Datasets: {_first_line(error)}") from error
    # Asked before anything else: without network, the download of an unprepared data set is retried for minutes.
    if is_prepared:
        return builder
    place = f"data set {name!r} is not prepared as array_record files under {os.path.dirname(str(builder.data_path))!r}"
    remedy = (
        "prepare it once on a machine with network and `pip install genloss_jax[tfds-prepare]`, "
        "then point data.data_dir at the folder"
    )
    if not download:
        raise ValueError(f"{place} and data.download is off; turn it on, or {remedy}")
    if not _online():
        raise ValueError(f"{place} and cannot be downloaded, as this machine has no network; {remedy}")
    try:
        builder.download_and_prepare(file_format="array_record")
    except ImportError as error:
        raise ValueError(f"{place} and cannot be prepared, as {_first_line(error)}; {remedy}") from error
    except Exception as error:  # whatever a builder's own code and the network raise
        raise ValueError(f"{place} and its preparation failed ({_first_line(error)}); {remedy}") from error
    return build()


@contextlib.contextmanager
def quiet():
    """Silence what TensorFlow Datasets prints, logs and warns about on its way to data that lie on this machine."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _online() -> bool:
    """Whether a connection can be made within seconds; behind a proxy only the attempt itself can tell."""
    if any(os.environ.get(variable) for variable in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")):
        return True
    for host in _HOSTS:
        with contextlib.suppress(OSError), socket.create_connection((host, 443), timeout=3):
            return True
    return False


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" *")]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
