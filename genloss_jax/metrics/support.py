"""Precision, recall and F1 where the distance of a sample to all that the data could hold is known.

The definitions of Lucic et al. 2018, but for recall: they invert the generator for each held-out example, here the
samples themselves must come near it, so that nothing but samples is asked for.
"""

import math
from typing import NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float

from genloss_jax.metrics import features


class SupportMetrics(NamedTuple):
    """What distances to the support say.

    Attributes:
        precision: share of the samples whose distance is at most the tolerance.
        recall: share of the held-out examples that have a sample in their ball; `features.coverage`.
        f1: harmonic mean of both, 0 where both are 0.
        median_distance: of the samples from the support, which asks for no tolerance.
    """

    precision: float
    recall: float
    f1: float
    median_distance: float


def tolerance(shape: tuple[int, ...]) -> float:
    """Give the distance up to which an image in [-1, 1] counts as one of the data's.

    ½ D^¼ for D pixels: 2 for 16 x 16, as far as one pixel that is white instead of black

    What is wrong with a picture of a shape is wrong along its outline, whose pixels number as √D, and the distance
    grows with the root of their number. Lucic et al. take 0.75 for 28 x 28 images in [0, 1], which is 1.5 in [-1, 1],
    or 1.13 for 16 x 16 by the same rule: perceptrons hardly ever come so near.

    Args:
        shape: of one example.

    Returns:
        The Euclidean distance over all its numbers.

    References:
        Lucic et al. 2018, "Are GANs Created Equal? A Large-Scale Study", section 5.
    """
    return 0.5 * math.prod(shape) ** 0.25


def support_metrics(
    distances: Float[np.ndarray, " m"] | Float[Array, " m"],
    real: features.Real,
    fake: features.Fake,
    *,
    tolerance: float,
    num_neighbors: int = 5,
) -> SupportMetrics:
    """Compute precision, recall, F1, and how far the samples are.

    A held-out example is covered if a sample lies no further from it than its k-th nearest other one. With balls around
    samples, as in `features.recall`, a few samples far from everything would cover all.

    Args:
        distances: `[M]`, of the fakes to the support.
        real: `[N, F]`, held-out examples.
        fake: `[M, F]`, samples.
        tolerance: the largest distance of a sample that counts as one of the data's.
        num_neighbors: k.

    Returns:
        The four; the first three between 0 and 1. For equal distributions recall is `features.expected_coverage(N, M)`,
        about 1 - 2^-k.

    Raises:
        ValueError: if there is not one distance for each fake, and as `features.coverage`.

    References:
        Lucic et al. 2018, "Are GANs Created Equal? A Large-Scale Study", section 5.
    """
    distances = np.asarray(distances)
    if distances.shape != fake.shape[:1]:
        raise ValueError(f"distances has shape {distances.shape}, expected {fake.shape[:1]} to match fake.")
    precision = float(np.mean(distances <= tolerance))
    recall = features.coverage(real, fake, num_neighbors=num_neighbors)
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return SupportMetrics(precision, recall, f1, float(np.median(distances)))
