"""Which metrics fit a dataset, with how many samples, and what a perfect generator would get for them.

The protocol is chosen by what the dataset offers: the distance to its support, modes, images, or none of them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from genloss_jax._names import look_up
from genloss_jax.data.dataset import Dataset
from genloss_jax.losses import divergences
from genloss_jax.metrics import classification, density, extractors, features, modes, support
from genloss_jax.metrics.statistics import STANDARD_ERROR, mean_and_standard_error, named

_PLAIN_SAMPLES, _MOST_IMAGES, _SUPPORT_SAMPLES = 2_500, 5_000, 1_000
_NUM_PROJECTIONS = 128
_MOST_DRAWS = 4  # the price of a floor, in evaluations
_TEST_NUMBERS, _TRAIN_NUMBERS = 0, 1  # streams of random numbers below the seed


class Evaluator(NamedTuple):
    """A protocol, ready to be used on samples.

    Attributes:
        num_samples: how many samples it asks for.
        evaluate: `(samples [num_samples, ...], real=None) -> {metric: value}`. `real` takes the place of the held-out
            examples. Some metrics come with their standard error under their name and `STANDARD_ERROR`.
        floor: the same metrics of as many real examples against the same held-out ones: what a perfect generator
            would get, which is not zero. The mean over disjoint draws, with its standard error under the metric's
            name and `STANDARD_ERROR`.
        directions: metric -> "lower" or "higher", whichever is better.
        primary: the metric by which to keep the best checkpoint.
        extractor: the name of the feature extractor, with the accuracy of its classifier; "" where none is used.
        ruler: measures the density, where the model has one; its metrics are among the floors and directions.
        held_out: `[num_samples, ...]`, the real examples that samples are compared with.
        compare: `(reconstructions of held_out) -> {metric: value}`, where the model reconstructs; likewise.
        examination: measures the classifier, where the model is one; its metrics are among the directions.
    """

    num_samples: int
    evaluate: Callable[..., dict[str, float]]
    floor: dict[str, float]
    directions: dict[str, str]
    primary: str
    extractor: str = ""
    ruler: density.Ruler | None = None
    held_out: np.ndarray = np.zeros(())
    compare: Callable[[np.ndarray], dict[str, float]] | None = None
    examination: classification.Examination | None = None


class _Protocol(NamedTuple):
    """`measure(fake, real)` gives the values; `extract` the features of images, where they have some."""

    measure: Callable[[np.ndarray, np.ndarray], dict[str, float]]
    directions: dict[str, str]
    primary: str
    num_samples: int
    extractor: str = ""
    extract: Callable[[np.ndarray], np.ndarray] | None = None


def evaluator(
    dataset: Dataset,
    config: Any,
    extractor: Callable | None = None,
    log_prob_kind: str = "",
    reconstructs: bool = False,
    classifies: bool = False,
) -> Evaluator:
    """Choose the metrics of a dataset, and measure their floor on real examples.

    | the dataset has | metrics |
    | --- | --- |
    | support distance | its median, precision, recall and F1 by it, sliced Wasserstein |
    | separate modes | modes covered, high-quality share, reverse KL (PacGAN's protocol), sliced Wasserstein |
    | images | Fréchet, kernel distance, precision, recall, density, coverage, sliced Wasserstein of pixels |
    | none of them | sliced Wasserstein, energy distance |

    Real and generated sets are always of the same size, because most of these metrics depend on it. Held-out examples
    are the reference; floors are taken over disjoint draws of as many training examples.

    A model that reconstructs is also given the held-out examples themselves: `reconstruction_squared_error` per number
    of an example and, of images, `reconstruction_feature_squared_distance` per example in the extractor's features and
    `reconstruction_frechet_squared_distance`. A perfect reconstruction gets 0 for each.

    Args:
        dataset: where real examples come from, and what is known about them.
        config: has `evaluation` with `num_samples` (0 = 1,000 where the support's distance is known; 2,500 points as
            PacGAN; as many images as are held out, at most 5,000), `extractor` (a name in `EXTRACTORS`), `cache_dir`
            ("" = the default) and `seed`.
        extractor: `(images) -> features`, instead of the one that the config names.
        log_prob_kind: what the model's log-probability is, see `density.ruler`; "" where it has none.
        reconstructs: whether the model reconstructs examples.
        classifies: whether the model is a classifier as well, see `classification.examination`.

    Returns:
        The evaluator. Equal samples get equal values: everything random is drawn once, from the seed.

    Raises:
        ValueError: if the extractor's name is unknown, there are fewer real examples than samples asked for, or a
            classifier is to be measured on a dataset without classes.
    """
    settings = config.evaluation
    # A wrong name is reported for points as well, where it would not be used.
    make_extractor = look_up("config.evaluation.extractor", settings.extractor, extractors.EXTRACTORS)
    if dataset.support_distance is not None:
        protocol = _support_protocol(dataset, settings.seed)
    elif dataset.modes is not None and modes.separated(dataset.modes.centers, dataset.modes.sigma):
        protocol = _mode_protocol(dataset, settings.seed)
    elif len(dataset.shape) == 3:
        protocol = _image_protocol(settings.seed, extractor or make_extractor(dataset, settings.cache_dir))
    else:
        protocol = _plain_protocol(settings.seed)
    reference, draws = _real_sets(dataset, settings.num_samples, protocol.num_samples, settings.seed)
    num_samples = len(reference)

    def evaluate(samples, real=None) -> dict[str, float]:
        expected = (num_samples, *dataset.shape)
        if np.shape(samples) != expected:
            raise ValueError(f"samples has shape {np.shape(samples)}, expected {expected}.")
        return protocol.measure(np.asarray(samples), reference if real is None else np.asarray(real))

    values = [evaluate(draw) for draw in draws]
    floor: dict[str, float] = {}
    for name in protocol.directions:
        floor |= named(name, mean_and_standard_error([value[name] for value in values]))
    directions = protocol.directions
    ruler = density.ruler(dataset, log_prob_kind, settings.seed) if log_prob_kind else None
    if ruler is not None:
        floor, directions = ruler.floor | floor, ruler.directions | directions
    compare = None
    if reconstructs:
        compare = partial(_compare, protocol.extract, reference)
        perfect = compare(reference)
        floor, directions = floor | perfect, directions | dict.fromkeys(perfect, "lower")
    examination = classification.examination(dataset) if classifies else None
    if examination is not None:
        directions = examination.directions | directions
    return Evaluator(
        num_samples,
        evaluate,
        floor,
        directions,
        protocol.primary,
        protocol.extractor,
        ruler,
        reference,
        compare,
        examination,
    )


def table(values: Mapping[str, float], evaluator: Evaluator) -> str:
    """Lay out values beside what real examples get, as plain text.

    Args:
        values: of `evaluator.evaluate`; metrics that are missing are left out.
        evaluator: which measured them.

    Returns:
        Lines of `metric | value | real against real | better is`, with ± one standard error where it is known.
    """
    rows = [("metric", "value", "real against real", "better is")]
    for name, direction in evaluator.directions.items():
        if name in values:
            rows.append((name, _with_error(values, name), _with_error(evaluator.floor, name), direction))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines)


def comparison(values: Mapping[str, Mapping[str, float]], evaluators: Sequence[Evaluator]) -> str:
    """Lay out the values of several models beside each other and beside what real examples get, as Markdown.

    Args:
        values: model -> values of `evaluator.evaluate`.
        evaluators: which measured them, all of one protocol; their rulers may differ.

    Returns:
        A table with a row for each metric, a column for each model, and one for real examples.
    """
    directions = {name: direction for each in evaluators for name, direction in each.directions.items()}
    columns = {
        **values,
        "real against real": {name: value for each in evaluators for name, value in each.floor.items()},
    }
    rows = [
        [name, *(_with_error(column, name) if name in column else "" for column in columns.values()), direction]
        for name, direction in directions.items()
        if any(name in column for column in values.values())
    ]
    header = ["metric", *columns, "better is"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def _with_error(values, name):
    if name not in values:
        return "unknown"
    error = values.get(name + STANDARD_ERROR, float("nan"))
    return f"{values[name]:.4g}" + ("" if np.isnan(error) else f" ± {error:.2g}")


# --- Protocols ---


def _support_protocol(dataset, seed):
    tolerance = support.tolerance(dataset.shape)

    def measure(fake, real):
        distances = np.asarray(dataset.support_distance(fake))
        found = support.support_metrics(distances, _rows(real), _rows(fake), tolerance=tolerance)
        return {
            **{f"support_{name}": value for name, value in found._asdict().items()},
            "sliced_wasserstein_squared_distance": _sliced(seed, real, fake),
        }

    directions = {
        "support_precision": "higher",
        "support_recall": "higher",
        "support_f1": "higher",
        "support_median_distance": "lower",
        "sliced_wasserstein_squared_distance": "lower",
    }
    return _Protocol(measure, directions, "support_f1", _SUPPORT_SAMPLES)


def _mode_protocol(dataset, seed):
    centers, sigma = dataset.modes
    probabilities = modes.mode_probabilities(centers, sigma)

    def measure(fake, real):
        counts = modes.count_modes(fake, centers, sigma)
        return {
            "modes_covered": float(modes.modes_covered(counts)),
            "high_quality_share": modes.high_quality_share(counts),
            "reverse_kl": modes.reverse_kl(counts, probabilities),
            "on_mode_reverse_kl": modes.on_mode_reverse_kl(counts),
            "sliced_wasserstein_squared_distance": _sliced(seed, real, fake),
        }

    directions = {
        "modes_covered": "higher",
        "high_quality_share": "higher",
        "reverse_kl": "lower",
        "on_mode_reverse_kl": "lower",
        "sliced_wasserstein_squared_distance": "lower",
    }
    return _Protocol(measure, directions, "reverse_kl", _PLAIN_SAMPLES)


def _plain_protocol(seed):
    def measure(fake, real):
        return {
            "sliced_wasserstein_squared_distance": _sliced(seed, real, fake),
            "energy_squared_distance": float(_energy(_rows(real), _rows(fake))),
        }

    directions = dict.fromkeys(("sliced_wasserstein_squared_distance", "energy_squared_distance"), "lower")
    return _Protocol(measure, directions, "sliced_wasserstein_squared_distance", _PLAIN_SAMPLES)


def _image_protocol(seed, extractor):
    def measure(fake, real):
        fake_features, real_features = (np.asarray(extractor(images)) for images in (fake, real))
        kernel = features.kernel_squared_distance(real_features, fake_features)
        return {
            "frechet_squared_distance": features.frechet_squared_distance(real_features, fake_features),
            "kernel_squared_distance": kernel.value,
            "kernel_squared_distance" + STANDARD_ERROR: kernel.standard_error,
            **features.neighbor_metrics(real_features, fake_features)._asdict(),
            "sliced_wasserstein_squared_distance": _sliced(seed, real, fake),
        }

    directions = {
        "frechet_squared_distance": "lower",
        "kernel_squared_distance": "lower",
        "precision": "higher",
        "recall": "higher",
        "density": "higher",
        "coverage": "higher",
        "sliced_wasserstein_squared_distance": "lower",
    }
    accuracy = getattr(extractor, "accuracy", None)
    name = getattr(extractor, "name", getattr(extractor, "__name__", type(extractor).__name__))
    name += "" if accuracy is None else f" (test accuracy {accuracy:.2%})"
    return _Protocol(measure, directions, "frechet_squared_distance", _MOST_IMAGES, name, extractor)


def _compare(extract, real, reconstructions):
    if np.shape(reconstructions) != real.shape:
        raise ValueError(f"reconstructions has shape {np.shape(reconstructions)}, expected {real.shape}.")
    reconstructions = np.asarray(reconstructions)
    values = {"reconstruction_squared_error": float(np.mean(np.square(reconstructions - real)))}
    if extract is not None:
        own, theirs = (np.asarray(extract(images)) for images in (reconstructions, real))
        distances = np.sum(np.square(own - theirs), axis=-1)
        values["reconstruction_feature_squared_distance"] = float(np.mean(distances))
        values["reconstruction_frechet_squared_distance"] = features.frechet_squared_distance(theirs, own)
    return values


def _rows(examples):
    return np.asarray(examples, np.float32).reshape(len(examples), -1)


def _sliced(seed, real, fake):
    return float(_sliced_from_key(jax.random.key(seed), _rows(real), _rows(fake)))


_sliced_from_key = jax.jit(partial(divergences.sliced_wasserstein_squared_distance, num_projections=_NUM_PROJECTIONS))
_energy = jax.jit(divergences.energy_squared_distance)


# --- Real examples ---


def _real_sets(dataset, asked, default, seed):
    """Give the reference `[N, ...]`, and disjoint draws of N from the training examples."""
    in_train = len(dataset.train)
    # Without held-out examples a part of the training examples serves, and the draws are taken from the rest.
    held_out = in_train // 4 if dataset.test is None else len(dataset.test)
    free = in_train - held_out if dataset.test is None else in_train
    size = asked or min(default, held_out, free // 2)
    if size < 2 or size > min(held_out, free):
        raise ValueError(
            f"config.evaluation.num_samples is {asked}, expected 0 or 2 to {min(held_out, free)}: {dataset.name!r} has "
            f"{held_out} real examples to compare with and {free} to measure the floor."
        )
    order = np.random.default_rng([_TRAIN_NUMBERS, seed]).permutation(in_train)
    if dataset.test is None:
        reference, order = _read(dataset.train, order[:size]), order[size:]
    else:
        chosen = np.random.default_rng([_TEST_NUMBERS, seed]).permutation(held_out)[:size]
        reference = _read(dataset.test, chosen)
    num_draws = min(_MOST_DRAWS, len(order) // size)
    return reference, [_read(dataset.train, order[i * size : (i + 1) * size]) for i in range(num_draws)]


def _read(source, indices):
    return np.asarray(source.read(np.sort(indices))["x"])
