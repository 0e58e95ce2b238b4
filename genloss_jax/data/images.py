"""Bringing images to the shape that was asked for."""

import numpy as np


def fit(image: np.ndarray, image_size: int = 0, channels: int = 0) -> np.ndarray:
    """Crop an image to its central square, resize it, and change its number of channels.

    Resizing is bilinear with pixel centres at half-integers; when shrinking, the kernel widens with the factor, so that
    no pixel is skipped.

    Args:
        image: `[H, W, C]` or `[H, W]` uint8, with 1, 3 or 4 channels; an alpha channel is dropped.
        image_size: Side of the result; 0 keeps height and width as they are, uncropped.
        channels: 1 or 3; 0 keeps what is there. Grey is 0.299 R + 0.587 G + 0.114 B.

    Returns:
        `[H, W, C]` uint8.
    """
    from PIL import Image

    if image.ndim == 3 and image.shape[-1] in (1, 4):
        image = image[..., 0] if image.shape[-1] == 1 else image[..., :3]
    picture = Image.fromarray(np.ascontiguousarray(image))
    if channels:
        picture = picture.convert("L" if channels == 1 else "RGB")
    if image_size:
        picture = picture.crop(_central_square(picture.size))
        if picture.size != (image_size, image_size):
            picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def resize_float(image: np.ndarray, image_size: int) -> np.ndarray:
    """Resize one channel as `fit` does, but without rounding to bytes: `[H, W]` float32 to `[size, size]` float32."""
    from PIL import Image

    picture = Image.fromarray(np.asarray(image, np.float32))
    return np.asarray(picture.resize((image_size, image_size), Image.Resampling.BILINEAR), np.float32)


def _central_square(size: tuple[int, int]) -> tuple[int, int, int, int]:
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side
