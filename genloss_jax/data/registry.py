"""From a config to a data set."""

from typing import Any

from genloss_jax._names import hint
from genloss_jax.data import digits, folder, games, photos, plane, polygons, tfds_images
from genloss_jax.data.dataset import Dataset

_OWN_NAMES = (*plane.names(), *games.names(), "polygons", "digits", "photos", "folder", "csv")


def names() -> tuple[str, ...]:
    """Name all data sets that need no download; any name of TensorFlow Datasets works beside them."""
    return _OWN_NAMES


def load(config: Any) -> Dataset:
    """Load the data set that a config asks for.

    Args:
        config: A bag of attributes: `name`; `image_size` and `channels` of images, 0 for the native ones; `path` of a
            folder or CSV file; `data_dir`, "" for the default; `download`, whether missing data may be fetched.

    Returns:
        The data set.

    Raises:
        ValueError: If there is no such data set, or an option does not fit.
    """
    name = config.name
    if config.image_size < 0:
        raise ValueError(f"image_size must be 0 (native) or positive, got {config.image_size}")
    if config.channels not in (0, 1, 3):
        raise ValueError(f"channels must be 0 (native), 1 or 3, got {config.channels}")
    if name in plane.names():
        return plane.load(name)
    if name in games.names():
        return games.load(name)
    if name == "polygons":
        return polygons.load(config.image_size, config.channels)
    if name == "digits":
        return digits.load(config.image_size, config.channels, config.data_dir)
    if name == "photos":
        return photos.load(config.image_size, config.channels)
    if name == "folder":
        return folder.load_images(config.path, config.image_size, config.channels)
    if name == "csv":
        return folder.load_csv(config.path)
    known = tfds_images.names()
    if name.split("/")[0].split(":")[0] not in known:
        raise ValueError(_unknown(name, known))
    return tfds_images.load(name, config.image_size, config.channels, config.data_dir, config.download)


def _unknown(name: str, others: tuple[str, ...]) -> str:
    valid = ", ".join(map(repr, _OWN_NAMES))
    near = hint(name, (*_OWN_NAMES, *others)) or ";"
    return f"unknown dataset {name!r}{near} valid: {valid}, and every name of TensorFlow Datasets"
