"""Samples as pictures: grids of images, and points in the plane or on the line."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Picture = np.ndarray  # uint8 [height, width, 3 or 1]
_SMALLEST_SIDE = 512
_PAPER = 255


def picture(samples: Any, real: Any = None) -> Picture:
    """Draw samples: images `[N, H, W, C]` as a grid, points over the real ones, `[N, 2]` scattered, `[N, 1]` counted.

    Args:
        samples: what a model made, on the device or not.
        real: examples of the data, drawn behind points; a grid has no use for them.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        ValueError: if the samples have neither form.
    """
    shape = np.shape(samples)
    if len(shape) == 4:
        return grid(samples)
    if len(shape) == 2 and shape[1] == 2:
        return scatter(samples, real)
    if len(shape) == 2 and shape[1] == 1:
        return histogram(samples, real)
    raise ValueError(f"samples must be images [N, H, W, C] or points [N, 2] or [N, 1], got shape {shape}")


def grid(images: Any, columns: int | None = None, *, gap: int = 1) -> Picture:
    """Lay images out in rows.

    Args:
        images: `[N, H, W, C]` in [-1, 1], C = 1 or 3; what lies outside is clipped, NaN is black.
        columns: images in a row; None makes the grid as square as can be.
        gap: white pixels between images.

    Returns:
        uint8 `[height, width, C]`, places without an image white.

    Raises:
        ValueError: if the images are not of that form.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or images.shape[0] < 1 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images must be [N, H, W, C] with N >= 1 and C = 1 or 3, got shape {images.shape}")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    num, height, width, channels = images.shape
    columns = min(num, columns or int(np.ceil(np.sqrt(num))))
    rows = -(-num // columns)
    pixels = np.round((np.clip(np.nan_to_num(images, nan=-1.0), -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), _PAPER, np.uint8)
    for index, image in enumerate(pixels):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def scatter(samples: Any, real: Any = None, *, pixels: int = 512) -> Picture:
    """Plot points in the plane, on axes that hold the real ones where they are given.

    Args:
        samples: `[N, 2]`; points that are not finite are left out.
        real: `[M, 2]` examples of the data, drawn behind in grey.
        pixels: side of the picture.

    Returns:
        uint8 `[pixels, pixels, 3]`.
    """
    figure, canvas = open_figure(pixels, pixels)
    axes = figure.add_subplot(aspect="equal")
    if real is not None:
        real = _finite_points(real, "real")
        axes.scatter(real[:, 0], real[:, 1], s=4, c="0.75", linewidths=0, label="real")
        if len(real):
            margin = 0.15 * np.ptp(real, axis=0).max() + 1e-3
            axes.set_xlim(real[:, 0].min() - margin, real[:, 0].max() + margin)
            axes.set_ylim(real[:, 1].min() - margin, real[:, 1].max() + margin)
    samples = _finite_points(samples, "samples")
    axes.scatter(samples[:, 0], samples[:, 1], s=4, c="C3", linewidths=0, label="samples")
    axes.legend(loc="upper right", markerscale=3)
    return render(canvas)


def histogram(samples: Any, real: Any = None, *, pixels: int = 512, bins: int = 60) -> Picture:
    """Count points on the line, on one axis with the real ones where they are given.

    Args:
        samples: `[N, 1]`; points that are not finite are left out.
        real: `[M, 1]` examples of the data, drawn behind in grey.
        pixels: side of the picture.
        bins: of equal width.

    Returns:
        uint8 `[pixels, pixels, 3]`.
    """
    figure, canvas = open_figure(pixels, pixels)
    axes = figure.add_subplot(ylabel="share")
    named = {"real": (real, "0.75"), "samples": (samples, "C3")}
    drawn = {name: (_finite_points(x, name, 1)[:, 0], color) for name, (x, color) in named.items() if x is not None}
    everything = np.concatenate([points for points, _ in drawn.values()])
    edges = np.histogram_bin_edges(everything, bins) if len(everything) else bins
    for name, (points, color) in drawn.items():
        shares = np.full(len(points), 1.0 / max(len(points), 1))
        axes.hist(points, edges, weights=shares, color=color, alpha=0.8, label=name)
    axes.legend(loc="upper right")
    return render(canvas)


def side_by_side(named: Mapping[str, Picture], *, columns: int = 4, pixels: int = 320) -> Picture:
    """Set pictures beside each other, each under its name.

    Args:
        named: name -> picture.
        columns: pictures in a row, at most.
        pixels: width of a picture.

    Returns:
        uint8 `[height, width, 3]`.

    Raises:
        ValueError: if there is no picture.
    """
    if not named:
        raise ValueError("named must hold at least one picture, got none")
    columns = min(columns, len(named))
    rows = -(-len(named) // columns)
    figure, canvas = open_figure(columns * pixels, rows * (pixels + 20))
    for index, (name, image) in enumerate(named.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(np.broadcast_to(image, (*image.shape[:2], 3)), interpolation="nearest")
        axes.set_title(name)
        axes.set_axis_off()
    return render(canvas)


def save_png(path: str | os.PathLike[str], image: Any) -> None:
    """Write a picture; a small one is enlarged by whole factors until it can be seen.

    The file appears whole or not at all.

    Args:
        path: where to; its directory is created where there is none.
        image: uint8 `[height, width, C]`, C = 1 or 3, or `[height, width]`.

    Raises:
        ValueError: if the picture is not of that form.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[-1] not in (1, 3)):
        raise ValueError(f"image must be uint8 [height, width, 1 or 3], got {image.dtype} of shape {image.shape}")
    factor = max(1, -(-_SMALLEST_SIDE // max(image.shape[:2])))
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image).save(buffer, format="PNG")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)


def open_figure(width: int, height: int) -> tuple[Any, Any]:
    """Open a matplotlib figure of a size in pixels, with the canvas to `render`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, outside pyplot: no global state, and no display.
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    return figure, FigureCanvasAgg(figure)


def render(canvas: Any) -> Picture:
    """Draw a figure's canvas, uint8 `[height, width, 3]`."""
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _finite_points(points: Any, name: str, dim: int = 2) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != dim:
        raise ValueError(f"{name} must be points [N, {dim}], got shape {points.shape}")
    return points[np.isfinite(points).all(axis=1)]
