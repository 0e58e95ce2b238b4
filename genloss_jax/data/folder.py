"""A folder of images, and a CSV file of numbers."""

from pathlib import Path

import numpy as np

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.images import fit
from genloss_jax.data.sources import ArraySource, ImageSource, SubsetSource

_SUFFIXES = (".png", ".jpg", ".jpeg")
_HELD_OUT = 10  # one example in so many


def load_images(path: str, image_size: int = 0, channels: int = 0) -> Dataset:
    """Load every png and jpg file under a folder, in the order of their names.

    If all files lie in subfolders, the first level of subfolders gives the labels, in the order of their names. One
    image in ten, chosen by a fixed shuffle, is held out.

    Args:
        path: The folder.
        image_size: Side to which the central square is resized; 0 keeps sizes, which must then agree.
        channels: 1 or 3; 0 takes the first image's.

    Returns:
        The data set; its images are decoded when they are read.

    Raises:
        ValueError: If the folder is missing or holds no images. An image that cannot be read, or has another size, is a
            `ValueError` that names the file when it is first read.
    """
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        raise ValueError(f"path of data set 'folder' must be a folder of images, got {path!r}, which is not a folder")
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not files:
        raise ValueError(f"path of data set 'folder' must hold png or jpg images, found none under {str(root)!r}")
    classes: list[str] = []
    if all(len(file.relative_to(root).parts) > 1 for file in files):
        classes = sorted({file.relative_to(root).parts[0] for file in files})
    first = fit(_decode(files[0], channels), image_size, channels)
    shape, channels = first.shape, first.shape[-1]

    def decode(index: int) -> tuple[np.ndarray, int]:
        file = files[index]
        image = fit(_decode(file, channels), image_size, channels)
        if image.shape != shape:
            raise ValueError(
                f"images must agree in size when image_size is 0, got {image.shape} in {str(file)!r} and {shape} before"
            )
        return image, classes.index(file.relative_to(root).parts[0]) if classes else 0

    source = ImageSource(decode, len(files), shape, labelled=bool(classes))
    train, test = _held_out(len(files))
    return Dataset(
        name="folder",
        train=SubsetSource(source, train),
        test=SubsetSource(source, test) if len(test) else None,
        shape=shape,
        num_classes=len(classes),
    )


def load_csv(path: str) -> Dataset:
    """Load a CSV file of numbers, one example per row, as they are; a first row that is not numeric is a header.

    One row in ten, chosen by a fixed shuffle, is held out.

    Args:
        path: The file.

    Returns:
        The data set, in memory, with `shape = (columns,)`.

    Raises:
        ValueError: If the file is missing or empty, or a row has another length or something else than finite numbers.
    """
    file = Path(path).expanduser()
    if not path or not file.is_file():
        raise ValueError(f"path of data set 'csv' must be a CSV file, got {path!r}, which is not a file")
    rows: list[list[float]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = [float(cell) for cell in line.split(",")]
        except ValueError:
            if number == 1:
                continue
            raise ValueError(f"rows of {str(file)!r} must be numbers, got {line!r} in line {number}") from None
        if rows and len(row) != len(rows[0]):
            raise ValueError(f"rows of {str(file)!r} must have {len(rows[0])} numbers, got {len(row)} in line {number}")
        if not np.isfinite(row).all():
            raise ValueError(f"rows of {str(file)!r} must be finite, got {line!r} in line {number}")
        rows.append(row)
    if not rows:
        raise ValueError(f"path of data set 'csv' must hold rows of numbers, found none in {str(file)!r}")
    points = np.asarray(rows, np.float32)
    train, test = _held_out(len(points))
    return Dataset(
        name="csv",
        train=ArraySource({"x": points[train]}),
        test=ArraySource({"x": points[test]}) if len(test) else None,
        shape=points.shape[1:],
    )


def _decode(file: Path, channels: int) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            grey = channels == 1 or (channels == 0 and image.mode in ("L", "LA", "1", "I;16", "I"))
            return np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError on some broken files
        raise ValueError(f"image {str(file)!r} cannot be read: {error}") from error


def _held_out(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the indices to train on and those held out, each in order."""
    order = np.argsort(np.random.Philox(key=0).random_raw(size))
    return np.sort(order[size // _HELD_OUT :]), np.sort(order[: size // _HELD_OUT])
