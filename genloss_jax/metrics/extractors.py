"""Feature extractors: `(images [B, H, W, C] in [-1, 1]) -> features [B, F]`, in which image metrics measure distances.

Any such callable will do. The ones here are trained or drawn by the project itself, so nothing is downloaded, and their
features have mean 0 and variance 1 each on the training images: a Fréchet distance of F is that of real images to their
own mean. Values of different extractors do not compare, and none compares with an Inception FID.
"""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from genloss_jax.data.dataset import Dataset
from genloss_jax.data.sources import Source
from genloss_jax.metrics import _network

_BATCH = 256
_VERSION = 1  # of what a recipe does not say: raise it with every change of this code that changes features


class Extractor(NamedTuple):
    """Features of images, and what is known about them.

    Attributes:
        name: how to refer to it beside a number, with the hash of its recipe and data.
        features: `(images [B, H, W, C]) -> [B, F]`.
        accuracy: share of held-out images that the classifier behind it gets right; None where there is no such thing.
    """

    name: str
    features: Callable[[np.ndarray], np.ndarray]
    accuracy: float | None

    def __call__(self, images: Float[np.ndarray, "b h w c"] | Float[Array, "b h w c"]) -> Float[np.ndarray, "b f"]:
        """Compute the features of images."""
        return self.features(np.asarray(images))


class ClassifierRecipe(NamedTuple):
    """Everything that decides a trained extractor, next to the data. Its hash names the file in the cache.

    Attributes:
        size: the images are averaged down to this height and width, if they are larger.
        widths: channels of the convolutions.
        num_features: width of the hidden layer whose activations are the features.
        total_steps: optimiser steps, with the rate falling to 0 along a cosine.
        batch_size: examples per step.
        learning_rate: the first rate of AdamW.
        weight_decay: of AdamW.
        label_smoothing: share of the target that is spread over all classes.
        max_rotation: of the augmentation, radians.
        max_scale: of the augmentation, along each axis, as a share.
        max_shift: of the augmentation, along each axis, as a share of the image.
        max_examples: at most so many training images are used.
        seed: of everything drawn.
    """

    size: int = 16
    widths: tuple[int, ...] = (32, 64, 64)
    num_features: int = 64
    total_steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    max_rotation: float = 0.15
    max_scale: float = 0.1
    max_shift: float = 0.08
    max_examples: int = 20_000
    seed: int = 0


CLASSIFIER_RECIPE = ClassifierRecipe()
DIGITS_RECIPE = ClassifierRecipe(size=8, widths=(24, 48), num_features=32, total_steps=400)


def classifier(dataset: Dataset, cache_dir: str = "", *, recipe: ClassifierRecipe = CLASSIFIER_RECIPE) -> Extractor:
    """Train a small classifier on the training images' labels, or read it from the cache; its hidden layer extracts.

    Args:
        dataset: images with labels.
        cache_dir: where trained extractors are kept; "" means `GENLOSS_DATA_DIR`, or else `~/.cache/genloss_jax`.
        recipe: architecture and training.

    Returns:
        An extractor whose `accuracy` is that on the held-out images (None where there are none), which took no part
        in the training.

    Raises:
        ValueError: if the dataset has no labels, or is not of images.
    """
    if dataset.num_classes < 2 or len(dataset.shape) != 3:
        raise ValueError(
            f"dataset {dataset.name!r} has {dataset.num_classes} classes and shape {dataset.shape}, expected labelled "
            "images; the extractor 'random_convolutions' needs no labels."
        )
    recipe = recipe._replace(size=min(recipe.size, *dataset.shape[:2]))
    images, labels = _examples(dataset.train, recipe.max_examples)
    digest = _digest(recipe, images, labels, dataset.num_classes)
    path = _cache_root(cache_dir) / "extractors" / f"classifier-{digest}.npz"
    arrays = _read(path)
    if arrays is None:
        params = _train(recipe, _shrunk(images, recipe.size), labels, dataset.num_classes)
        hidden = _map(partial(_hidden, params, recipe.size), images)
        arrays = {**params, **_standardization(hidden), "accuracy": _accuracy(params, recipe, dataset.test)}
        _write(path, arrays)
    accuracy = float(arrays["accuracy"])
    params = {name: array for name, array in arrays.items() if "/" in name}
    return Extractor(
        f"classifier-{digest}",
        _standardized(partial(_hidden, params, recipe.size), arrays["mean"], arrays["std"]),
        None if np.isnan(accuracy) else accuracy,
    )


def digits(dataset: Dataset, cache_dir: str = "") -> Extractor:
    """Train, or read from the cache, the classifier of handwritten digits, which sees 8 by 8 pixels whatever comes.

    Args:
        dataset: digits with labels, of 8, 16 or 32 pixels, or any other size of at least 8.
        cache_dir: as in `classifier`.

    Returns:
        An extractor with 32 features: few, because the bias of a Fréchet distance grows with their number squared.
    """
    return classifier(dataset, cache_dir, recipe=DIGITS_RECIPE)


def random_convolutions(dataset: Dataset, cache_dir: str = "") -> Extractor:
    """Draw a fixed convolutional network: features for images without labels, never trained on anything.

    Three 3x3 convolutions with 8, 16 and 24 channels; the features are the mean and the standard deviation over
    space of every channel: colour, edges and textures, not objects. It tells distributions of images apart, and ranks
    samplers of one dataset; it does not judge meaning.

    Args:
        dataset: images; only their number of channels, and mean and variance of the features, are used.
        cache_dir: not used: there is nothing worth keeping.

    Returns:
        An extractor with 96 features.

    Raises:
        ValueError: if the dataset is not of images.
    """
    del cache_dir
    if len(dataset.shape) != 3:
        raise ValueError(f"dataset {dataset.name!r} has shape {dataset.shape}, expected images (H, W, C).")
    params = _network.init(np.random.default_rng(0), dataset.shape[2], (8, 16, 24))
    images, _ = _examples(dataset.train, 2_000)
    statistics = _standardization(_map(partial(_pooled, params), images))
    digest = hashlib.sha256(np.concatenate(list(statistics.values())).tobytes()).hexdigest()[:12]
    return Extractor(f"random_convolutions-{digest}", _standardized(partial(_pooled, params), **statistics), None)


def auto(dataset: Dataset, cache_dir: str = "") -> Extractor:
    """Take what is registered under the dataset's own name, else a classifier where there are labels, else random.

    Args:
        dataset: images.
        cache_dir: as in `classifier`.

    Returns:
        An extractor.
    """
    fallback = "classifier" if dataset.num_classes > 1 else "random_convolutions"
    name = dataset.name if dataset.name in EXTRACTORS else fallback
    return EXTRACTORS[name](dataset, cache_dir)


EXTRACTORS: dict[str, Callable[[Dataset, str], Extractor]] = {
    "auto": auto,
    "digits": digits,
    "classifier": classifier,
    "random_convolutions": random_convolutions,
}
"""Makers `(dataset, cache_dir) -> extractor` by name; register your own here."""


# --- Networks ---


def _hidden(params, size, images):
    x = _network.activations(params, _shrunk(images, size))[-1]
    x = x.reshape(x.shape[0], -1) @ params["hidden/kernel"] + params["hidden/bias"].reshape(1, -1)
    return jax.nn.gelu(x)


def _logits(params, size, images):
    return _hidden(params, size, images) @ params["logits/kernel"] + params["logits/bias"].reshape(1, -1)


def _pooled(params, images):
    layers = _network.activations(params, images)
    return jnp.concatenate([pool(x, axis=(1, 2)) for x in layers for pool in (jnp.mean, jnp.std)], axis=-1)


def _shrunk(images, size):
    return _network.area_average(images, size) if min(images.shape[1:3]) > size else jnp.asarray(images)


def _map(function, images) -> np.ndarray:
    """Apply a function to many images, in batches of one size: one compilation."""
    compiled, outputs = jax.jit(function), []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        padding = [(0, _BATCH - len(batch))] + [(0, 0)] * (images.ndim - 1)
        outputs.append(np.asarray(compiled(np.pad(batch, padding)))[: len(batch)])
    return np.concatenate(outputs)


def _standardization(features):
    return {"mean": features.mean(axis=0), "std": features.std(axis=0)}


def _standardized(function, mean, std):
    # A feature that never changes on real images tells nothing, and is left at 0.
    scale = np.where(std > 1e-6 * std.max(), 1 / np.maximum(std, np.finfo(np.float32).tiny), 0.0).astype(np.float32)
    return lambda images: (_map(function, images) - mean) * scale


# --- Training ---


def _train(recipe, images, labels, num_classes):
    rng = np.random.default_rng(recipe.seed)
    params = _network.init(rng, images.shape[-1], recipe.widths)
    flat = recipe.widths[-1] * int(np.ceil(recipe.size / 2 ** (len(recipe.widths) - 1))) ** 2
    for name, shape in {"hidden": (flat, recipe.num_features), "logits": (recipe.num_features, num_classes)}.items():
        params[f"{name}/kernel"] = _network.draw(rng, shape)
        params[f"{name}/bias"] = np.zeros(shape[-1], np.float32)
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(recipe.learning_rate, recipe.total_steps), weight_decay=recipe.weight_decay
    )

    def loss(params, images, labels):
        targets = optax.smooth_labels(jax.nn.one_hot(labels, num_classes), recipe.label_smoothing)
        return optax.softmax_cross_entropy(_logits(params, recipe.size, images), targets).mean()

    @jax.jit
    def step(params, state, images, labels, angles, scales, shifts):
        gradients = jax.grad(loss)(params, _warp(images, angles, scales, shifts), labels)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    images, state = np.asarray(images), optimizer.init(params)
    for batch in _batches(rng, len(images), recipe):
        size = len(batch)
        angles = rng.uniform(-recipe.max_rotation, recipe.max_rotation, size).astype(np.float32)
        scales = rng.uniform(1 - recipe.max_scale, 1 + recipe.max_scale, (size, 2)).astype(np.float32)
        shifts = rng.uniform(-recipe.max_shift, recipe.max_shift, (size, 2)).astype(np.float32) * images.shape[1]
        params, state = step(params, state, images[batch], labels[batch], angles, scales, shifts)
    return {name: np.asarray(array) for name, array in params.items()}


def _batches(rng, num_examples, recipe) -> Iterator[np.ndarray]:
    order = np.concatenate(
        [rng.permutation(num_examples) for _ in range(-(-recipe.total_steps * recipe.batch_size // num_examples))]
    )
    for i in range(recipe.total_steps):
        yield order[i * recipe.batch_size : (i + 1) * recipe.batch_size]


def _warp(images, angles, scales, shifts):
    """Rotate, scale and shift each image about its centre, with bilinear interpolation and repeated borders."""
    center = (np.array(images.shape[1:3]) - 1) / 2
    down, right = jnp.meshgrid(
        *(jnp.arange(n) - c for n, c in zip(images.shape[1:3], center, strict=True)), indexing="ij"
    )

    def warp(image, angle, scale, shift):
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        rows = (cos * down - sin * right) * scale[0] + shift[0] + center[0]
        columns = (sin * down + cos * right) * scale[1] + shift[1] + center[1]
        take = partial(jax.scipy.ndimage.map_coordinates, coordinates=[rows, columns], order=1, mode="nearest")
        return jax.vmap(take, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(warp)(images, angles, scales, shifts)


def _accuracy(params, recipe, test: Source | None):
    if test is None:
        return np.float32(np.nan)
    images, labels = _examples(test, recipe.max_examples)
    return np.float32(np.mean(_map(partial(_logits, params, recipe.size), images).argmax(axis=-1) == labels))


def _examples(source: Source, limit: int) -> tuple[np.ndarray, np.ndarray]:
    size = len(source)
    indices = np.arange(size) if size <= limit else np.sort(np.random.default_rng(0).permutation(size)[:limit])
    batch = source.read(indices)
    return np.asarray(batch["x"], np.float32), np.asarray(batch.get("label", np.zeros(len(indices), np.int32)))


# --- Cache ---


def _digest(recipe, images, labels, num_classes):
    digest = hashlib.sha256(f"{_VERSION} {recipe} {num_classes} {images.shape}".encode())
    digest.update(np.round((images + 1) * 127.5).astype(np.uint8).tobytes())
    digest.update(labels.astype(np.int64).tobytes())
    return digest.hexdigest()[:12]


def _cache_root(cache_dir: str) -> Path:
    return Path(cache_dir or os.environ.get("GENLOSS_DATA_DIR") or Path.home() / ".cache" / "genloss_jax").expanduser()


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        # Opened here, because np.load leaves a file that it opened and cannot read to the garbage collector.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # absent, or cut short: trained anew and replaced


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    os.replace(file.name, path)  # readers see the whole file or none
