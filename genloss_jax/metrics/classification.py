"""How often a classifier is right, and whether it knows how often."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float, Int
from scipy import special

from genloss_jax.data.dataset import Dataset
from genloss_jax.metrics._held_out import held_out_chunks
from genloss_jax.metrics.statistics import mean_and_standard_error, named

ACCURACY, CALIBRATION = "accuracy", "expected_calibration_error"

ClassLogits = Callable[[Mapping[str, Any]], Any]


class Examination(NamedTuple):
    """Measures a classifier on held-out examples.

    Attributes:
        measure: `(class_logits) -> {metric: value}`, where `class_logits(batch) -> [B, C]`.
        directions: metric -> what is better.
    """

    measure: Callable[[ClassLogits], dict[str, float]]
    directions: dict[str, str]


def examination(dataset: Dataset) -> Examination:
    """Prepare to measure a classifier on a dataset with labels.

    - `accuracy`: share of the held-out examples whose most probable class is theirs.
    - `expected_calibration_error`: see the function of this name.

    Args:
        dataset: whose batches carry "label".

    Returns:
        The examination.

    Raises:
        ValueError: if the dataset has no classes.
    """
    if not dataset.num_classes:
        raise ValueError(f"dataset must have classes to examine a classifier on, but {dataset.name!r} has none")
    chunks = held_out_chunks(dataset)
    labels = np.concatenate([np.asarray(chunk["label"]) for chunk in chunks])

    def measure(class_logits: ClassLogits) -> dict[str, float]:
        logits = np.concatenate([np.asarray(class_logits(chunk)) for chunk in chunks])
        right = logits.argmax(axis=1) == labels
        values = named(ACCURACY, mean_and_standard_error(right.astype(np.float64)))
        return values | {CALIBRATION: expected_calibration_error(logits, labels)}

    return Examination(measure, {ACCURACY: "higher", CALIBRATION: "lower"})


def expected_calibration_error(
    logits: Float[np.ndarray, "n classes"] | Float[Array, "n classes"],
    labels: Int[np.ndarray, " n"] | Int[Array, " n"],
    *,
    num_bins: int = 15,
) -> float:
    """Compute how far a classifier's confidence is from its accuracy, on average over equal bins of confidence.

    Σ_b n_b / N |accuracy in b - mean confidence in b|, confidence = the largest probability

    Of N examples a perfectly calibrated classifier gets more than 0: about 0.8 times the standard error of its accuracy
    for each bin in use, weighted in the same way.

    Args:
        logits: `[N, C]`.
        labels: `[N]`.
        num_bins: over [0, 1]; bin b holds the confidences in (b / num_bins, (b + 1) / num_bins].

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: if the shapes do not fit, or there is no example or no bin.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", equation 3.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(f"labels has shape {labels.shape}, expected [N] to match logits [N, C], {logits.shape}.")
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}, expected at least 1.")
    confidence = special.softmax(logits, axis=1).max(axis=1)
    right = logits.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    # n_b |accuracy - confidence| = |sum over the bin of (right - confidence)|
    return float(np.abs(np.bincount(bins, right - confidence, num_bins)).sum() / len(labels))
