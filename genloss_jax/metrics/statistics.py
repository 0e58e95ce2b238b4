"""How sure a number is: means of independent repetitions and their standard errors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

STANDARD_ERROR = "_standard_error"
"""What is appended to a metric's name to name its standard error, in values and floors."""


class Estimate(NamedTuple):
    """A number and how sure it is.

    Attributes:
        value: the estimate.
        standard_error: the standard deviation of `value` over repetitions, itself estimated; NaN where one repetition
            gives none.
    """

    value: float
    standard_error: float


def standard_error(values: Float[np.ndarray, " repetitions"] | Sequence[float]) -> float:
    """Estimate the standard error of the mean of independent repetitions.

    se = sqrt(sum_i (x_i - mean x)² / (n - 1)) / sqrt(n)

    Args:
        values: `[n]`, one for each repetition. They must be independent: overlapping subsets are not.

    Returns:
        The standard error of the mean, in the unit of the values; NaN for a single repetition, about which nothing is
        known (0 would say that it is exact).

    Raises:
        ValueError: if there is no value.
    """
    checked = _checked(values)
    return float(np.std(checked, ddof=1) / np.sqrt(checked.size)) if checked.size > 1 else float("nan")


def mean_and_standard_error(values: Float[np.ndarray, " repetitions"] | Sequence[float]) -> Estimate:
    """Average independent repetitions, and say how sure the average is.

    Args:
        values: `[n]`, one for each repetition.

    Returns:
        The mean with `standard_error(values)`.

    Raises:
        ValueError: if there is no value.
    """
    return Estimate(float(np.mean(_checked(values))), standard_error(values))


def named(name: str, estimate: Estimate) -> dict[str, float]:
    """Give an estimate as two entries, under its name and under its name with `STANDARD_ERROR`."""
    return {name: estimate.value, name + STANDARD_ERROR: estimate.standard_error}


def _checked(values):
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"values has shape {values.shape}, expected a vector with at least one entry.")
    return values
