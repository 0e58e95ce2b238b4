import numpy as np
import pytest
from scipy import stats

from genloss_jax import metrics
from genloss_jax.data import digits
from genloss_jax.metrics.classification import examination, expected_calibration_error
from tests.metrics.conftest import bars, in_memory, settings


def logits_of(confidence, num_classes=2):
    """Logits whose first class has the probabilities given."""
    rest = (1 - np.asarray(confidence)) / (num_classes - 1)
    return np.log(np.column_stack([confidence, *[rest] * (num_classes - 1)]))


def test_calibration_error_by_hand():
    # Three examples at 0.9, of which two are right; two at 0.6, of which none is.
    logits = logits_of([0.9, 0.9, 0.9, 0.6, 0.6])
    labels = np.array([0, 0, 1, 1, 1])
    expected = 3 / 5 * abs(2 / 3 - 0.9) + 2 / 5 * abs(0 - 0.6)
    assert expected_calibration_error(logits, labels) == pytest.approx(expected)
    # In one bin the two groups cancel in part.
    together = abs(2 / 5 - (3 * 0.9 + 2 * 0.6) / 5)
    assert expected_calibration_error(logits, labels, num_bins=1) == pytest.approx(together)


def test_a_certain_classifier_has_no_error_if_right_and_all_if_wrong():
    logits = 1e4 * np.eye(3)
    assert expected_calibration_error(logits, np.arange(3)) == 0.0
    assert expected_calibration_error(logits, np.array([1, 2, 0])) == 1.0


def test_confidence_that_is_too_high_is_off_by_as_much_and_the_right_one_by_its_noise():
    rng = np.random.default_rng(0)
    num, accuracy = 40_000, 0.7
    labels = (rng.random(num) > accuracy).astype(int)
    spread = np.sqrt(accuracy * (1 - accuracy) / num)
    assert expected_calibration_error(logits_of(np.full(num, 0.85)), labels) == pytest.approx(0.15, abs=4 * spread)
    calibrated = expected_calibration_error(logits_of(np.full(num, accuracy)), labels)
    assert calibrated < stats.norm.ppf(0.9999) * spread


def test_examination_of_bars_by_their_mean_halves():
    data = in_memory(bars(np.random.default_rng(0), 60), bars(np.random.default_rng(1), 30), num_classes=2)
    found = examination(data)

    def oracle(batch):
        images = batch["x"][..., 0]
        return np.stack([images[:, :, :4].mean((1, 2)), images[:, :4].mean((1, 2))], axis=1)

    values = found.measure(oracle)
    assert values["accuracy"] == 1.0 and values["accuracy_standard_error"] == 0.0
    assert set(found.directions) <= set(values)
    labels = data.test.arrays()["label"]
    wrong = found.measure(lambda batch: -oracle(batch))
    assert wrong["accuracy"] == 0.0
    always_first = found.measure(lambda batch: np.tile([1.0, 0.0], (len(batch["x"]), 1)))
    assert always_first["accuracy"] == pytest.approx(np.mean(labels == 0))


def test_the_evaluator_examines_classifiers_and_prints_them_with_the_rest():
    evaluator = metrics.evaluator(digits.load(), settings(num_samples=40), extractor=_pixels, classifies=True)
    values = evaluator.examination.measure(lambda batch: np.eye(10)[batch["label"]])
    assert values["accuracy"] == 1.0
    assert "accuracy" in metrics.table(values, evaluator)


def _pixels(images):
    return np.asarray(images).reshape(len(images), -1)[:, 20:28]


def test_wrong_input_is_named(unchecked):
    with pytest.raises(ValueError, match="'arrays' has none"):
        examination(in_memory({"x": np.zeros((4, 2), np.float32)}))
    with pytest.raises(ValueError, match=r"labels has shape \(3,\)"):
        expected_calibration_error(np.zeros((4, 2)), np.zeros(3, int))
    with pytest.raises(ValueError, match="num_bins is 0"):
        expected_calibration_error(np.zeros((4, 2)), np.zeros(4, int), num_bins=0)
