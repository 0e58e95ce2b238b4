import jax
import numpy as np
import pytest

from genloss_jax import metrics
from genloss_jax.data import polygons
from genloss_jax.metrics import features, support
from tests.metrics.conftest import in_memory, settings

NUM = 400


@pytest.fixture(scope="module")
def triangles():
    return polygons.load()


@pytest.fixture(scope="module")
def evaluator(triangles):
    return metrics.evaluator(triangles, settings(num_samples=NUM))


def fresh(dataset, num=NUM, seed=7):
    return np.asarray(dataset.train.sample(jax.random.key(seed), num)["x"])


# --- The three numbers ---


def test_tolerance_is_one_wrong_pixel_of_sixteen_by_sixteen_and_grows_as_the_root_of_the_outline():
    wrong = np.zeros((16, 16, 1))
    wrong[0, 0] = 2.0
    assert support.tolerance((16, 16, 1)) == pytest.approx(np.linalg.norm(wrong.ravel()))
    assert support.tolerance((64, 64, 1)) == pytest.approx(2 * support.tolerance((16, 16, 1)))


def test_precision_counts_distances_up_to_the_tolerance():
    points = np.random.default_rng(0).normal(size=(7, 2))
    distances = np.array([0.0, 0.1, 0.5, 0.51, 1.0, np.inf, 0.4])
    found = support.support_metrics(distances, points, points, tolerance=0.5, num_neighbors=1)
    assert found == (4 / 7, 1.0, pytest.approx(8 / 11), 0.5)


def test_recall_is_the_share_of_examples_with_a_sample_as_near_as_their_neighbours():
    real = np.arange(10.0)[:, None]
    fake = np.array([[2.0], [2.9], [50.0], [60.0]])
    found = support.support_metrics(np.zeros(4), real, fake, tolerance=1.0, num_neighbors=1)
    # Radius 1 around each: 2.0 covers 1, 2 and 3, and 2.9 covers 2 and 3; 50 is off all of them.
    assert found == (1.0, 0.3, pytest.approx(0.6 / 1.3), 0.0)


def test_f1_of_nothing_is_zero():
    real, fake = np.arange(8.0)[:, None], 100 + np.arange(8.0)[:, None]
    assert support.support_metrics(np.full(8, 9.0), real, fake, tolerance=1.0) == (0.0, 0.0, 0.0, 9.0)


def test_other_numbers_of_distances_are_refused_by_name(unchecked):
    points = np.zeros((8, 2))
    with pytest.raises(ValueError, match=r"distances has shape \(7,\), expected \(8,\) to match fake"):
        support.support_metrics(np.zeros(7), points, points, tolerance=1.0)


# --- The protocol ---


def test_a_support_distance_chooses_the_protocol(evaluator):
    assert evaluator.primary == "support_f1" and evaluator.extractor == ""
    assert evaluator.directions == {
        "support_precision": "higher",
        "support_recall": "higher",
        "support_f1": "higher",
        "support_median_distance": "lower",
        "sliced_wasserstein_squared_distance": "lower",
    }


def test_any_data_set_with_a_support_distance_has_the_protocol():
    rng = np.random.default_rng(0)
    images = [np.repeat(rng.uniform(-1, 1, (num, 1, 1, 1)), 4, axis=1).astype(np.float32) for num in (200, 60)]

    def from_constant(x):
        return np.sqrt(np.square(x - x.mean(axis=(1, 2, 3), keepdims=True)).sum(axis=(1, 2, 3)))

    data = in_memory({"x": images[0]}, {"x": images[1]}, support_distance=from_constant)
    found = metrics.evaluator(data, settings())
    assert found.num_samples == 60 and found.floor["support_precision"] == 1.0
    # The tolerance of 4 pixels is 1/√2, and stripes of ±a lie 2 a from their mean.
    stripes = np.array([1, -1, 1, -1], np.float32)[None, :, None, None]
    assert found.evaluate(images[1] + 0.35 * stripes)["support_precision"] == 1.0
    assert found.evaluate(images[1] + 0.36 * stripes)["support_precision"] == 0.0


def test_floors_are_near_one_and_recalls_is_the_expected_coverage(evaluator):
    floor = evaluator.floor
    expected = features.expected_coverage(NUM, NUM)
    assert floor["support_precision"] > 0.99 and floor["support_median_distance"] < 1e-4
    assert abs(floor["support_recall"] - expected) < max(4 * floor["support_recall" + metrics.STANDARD_ERROR], 0.02)
    assert floor["support_f1"] == pytest.approx(2 * expected / (1 + expected), abs=0.02)


def test_a_perfect_sampler_gets_the_floor(evaluator, triangles):
    values = evaluator.evaluate(fresh(triangles))
    assert values["support_precision"] > 0.99
    assert values["support_f1"] == pytest.approx(evaluator.floor["support_f1"], abs=0.03)


def test_noise_and_darkness_have_neither_precision_nor_f1(evaluator):
    noise = np.random.default_rng(0).uniform(-1, 1, (NUM, 16, 16, 1)).astype(np.float32)
    for samples in (noise, np.full_like(noise, -1.0)):
        values = evaluator.evaluate(samples)
        assert values["support_precision"] == 0.0
        assert values["support_f1"] == 0.0


def test_one_triangle_over_and_over_has_precision_and_hardly_any_recall(evaluator, triangles):
    values = evaluator.evaluate(np.repeat(fresh(triangles, 1), NUM, axis=0))
    assert values["support_precision"] == 1.0
    assert values["support_recall"] < 0.05
    assert values["support_f1"] < 0.1


def test_half_noise_halves_precision_and_outliers_add_no_recall(evaluator, triangles):
    samples = np.repeat(fresh(triangles, 1), NUM, axis=0)
    samples[::2] = np.random.default_rng(0).uniform(-1, 1, samples[::2].shape)
    values = evaluator.evaluate(samples)
    assert values["support_precision"] == 0.5
    assert values["support_recall"] < 0.05


def test_blur_is_seen_by_precision(evaluator, triangles):
    samples = fresh(triangles)
    blurred = [
        samples,
        *((1 - share) * samples + share * np.roll(samples, 2, axis=1) for share in (0.1, 0.3, 0.5)),
    ]
    values = [evaluator.evaluate(pictures)["support_precision"] for pictures in blurred]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.99 and values[-1] < 0.2


def test_wrong_requests_are_errors_that_name_the_argument(evaluator, triangles):
    with pytest.raises(ValueError, match=r"samples has shape \(10, 16, 16, 1\), expected \(400, 16, 16, 1\)"):
        evaluator.evaluate(fresh(triangles, 10))
    with pytest.raises(ValueError, match="num_samples is 10001, expected 0 or 2 to 10000"):
        metrics.evaluator(triangles, settings(num_samples=10_001))
