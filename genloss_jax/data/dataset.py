"""What a data set is: where its examples come from, and what is known about it exactly."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genloss_jax.data.sources import Source


class Modes(NamedTuple):
    """The equally weighted, isotropic Gaussian modes of a mixture, for metrics that count modes.

    Attributes:
        centers: Centres of the modes, `[K, D]` float64.
        sigma: Standard deviation of every mode along every axis.
    """

    centers: np.ndarray
    sigma: float


class Dataset(NamedTuple):
    """Examples to train on, examples held out, and the facts that are known exactly.

    Attributes:
        name: The name it was loaded by.
        train: Where training batches come from.
        test: Held-out examples, or None where there are none.
        shape: Shape of one example's `"x"`: `(H, W, C)` for images in [-1, 1], `(2,)` in the plane.
        num_classes: Number of classes; above 0, batches carry `"label"` as int32.
        log_prob: Exact log-density of the data, `[B, D] -> [B]` in nats, or None.
        entropy: Differential entropy in nats, the smallest negative log-likelihood any model can reach, or None.
        modes: The modes of a mixture, or None.
        num_levels: How many equally spaced values from -1 to 1 each number of `"x"` takes; 0 where it is continuous.
            Then `log_prob` of a model is that of the discrete example.
        support_distance: Euclidean distance of any example to the nearest one that the data could hold, over all its
            numbers and in their unit, `[B, ...] -> [B]`; or None. It may be an upper bound.
    """

    name: str
    train: Source
    test: Source | None
    shape: tuple[int, ...]
    num_classes: int = 0
    log_prob: Callable | None = None
    entropy: float | None = None
    modes: Modes | None = None
    num_levels: int = 0
    support_distance: Callable | None = None
