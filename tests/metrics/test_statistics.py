import numpy as np
import pytest
from scipy import stats

from genloss_jax.metrics import statistics


def test_standard_error_is_that_of_scipy():
    values = np.random.default_rng(0).normal(3.0, 2.0, 17)
    estimate = statistics.mean_and_standard_error(values)
    np.testing.assert_allclose(estimate.value, sum(values) / 17, rtol=1e-14)
    np.testing.assert_allclose(estimate.standard_error, stats.sem(values), rtol=1e-14)


def test_standard_error_is_the_spread_of_the_mean_over_experiments():
    experiments = np.random.default_rng(1).normal(0.0, 2.0, (4000, 16))
    claimed = np.sqrt(np.mean([statistics.standard_error(row) ** 2 for row in experiments]))
    np.testing.assert_allclose([claimed, experiments.mean(axis=1).std()], 2.0 / 4.0, rtol=0.05)


def test_a_single_repetition_has_an_unknown_standard_error():
    assert statistics.mean_and_standard_error([2.5]).value == 2.5
    assert np.isnan(statistics.standard_error([2.5]))


def test_no_repetition_is_an_error_that_names_the_argument():
    with pytest.raises(ValueError, match=r"values has shape \(0,\)"):
        statistics.mean_and_standard_error([])
