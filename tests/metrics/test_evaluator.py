import jax
import numpy as np
import pytest

from genloss_jax import metrics
from genloss_jax.data import dataset, digits, plane
from genloss_jax.metrics import evaluation
from tests.metrics.conftest import bars, in_memory, settings

CENTERS = 2.0 * np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(9, 2)
SIGMA = 0.05


def points(rng, num, *, noise=0.0, num_modes=9):
    places = CENTERS[rng.integers(num_modes, size=num)] + SIGMA * rng.normal(size=(num, 2))
    return (places + noise * rng.normal(size=(num, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def grid():
    rng = np.random.default_rng(0)
    data = in_memory(
        {"x": points(rng, 5000)}, {"x": points(rng, 1200)}, modes=dataset.Modes(CENTERS, SIGMA), name="nine"
    )
    return metrics.evaluator(data, settings(num_samples=1000))


@pytest.fixture(scope="module")
def digit_data(cache_dir):
    return digits.load(data_dir=cache_dir)


@pytest.fixture(scope="module")
def digit_evaluator(digit_data, cache_dir):
    return metrics.evaluator(digit_data, settings(cache_dir=cache_dir))


def assert_worse_and_worse(evaluator, sets, names):
    """Each metric starts near its floor and gets strictly worse from set to set."""
    measured = [evaluator.evaluate(samples) for samples in sets]
    for name in names:
        sign = 1 if evaluator.directions[name] == "lower" else -1
        values = [sign * evaluator.floor[name], *(sign * values[name] for values in measured)]
        assert values == sorted(values), (name, values)
        assert len(set(values)) == len(values), (name, values)


# --- Floors ---


def test_modes_get_the_protocol_of_pacgan():
    ring = metrics.evaluator(plane.load("ring"), settings())
    assert ring.num_samples == 2500
    assert ring.primary == "reverse_kl"
    assert ring.floor["modes_covered"] == 8.0
    assert set(ring.directions) <= set(ring.floor)
    for name, expected in {"high_quality_share": 1 - np.exp(-4.5), "reverse_kl": 8 / 5000}.items():
        assert abs(ring.floor[name] - expected) < 4 * ring.floor[name + metrics.STANDARD_ERROR]


def test_a_perfect_sampler_gets_the_floor(grid):
    rng = np.random.default_rng(1)
    measured = [grid.evaluate(points(rng, 1000)) for _ in range(20)]
    for name in grid.directions:
        estimate = metrics.statistics.mean_and_standard_error([values[name] for values in measured])
        error = np.hypot(estimate.standard_error, grid.floor[name + metrics.STANDARD_ERROR])
        assert abs(estimate.value - grid.floor[name]) <= 4 * error, name


def test_floors_are_means_over_disjoint_draws_that_are_not_the_reference():
    train = {"x": np.arange(100, dtype=np.float32)[:, None]}
    reference, draws = evaluation._real_sets(in_memory(train), asked=20, default=2500, seed=0)
    used = np.concatenate([reference, *draws]).ravel()
    assert [len(draw) for draw in draws] == [20, 20, 20, 20]
    assert len(np.unique(used)) == len(used)
    held_out = {"x": 1000 + np.arange(30, dtype=np.float32)[:, None]}
    reference, draws = evaluation._real_sets(in_memory(train, held_out), asked=0, default=2500, seed=0)
    assert reference.shape == (30, 1)
    assert reference.min() >= 1000
    assert len(draws) == 3


def test_floor_of_identical_points_is_zero():
    data = in_memory({"x": np.full((50, 1), 3.0, np.float32)}, {"x": np.full((20, 1), 3.0, np.float32)})
    evaluator = metrics.evaluator(data, settings())
    assert evaluator.floor["sliced_wasserstein_squared_distance"] == 0.0
    np.testing.assert_allclose(
        evaluator.evaluate(np.full((20, 1), 5.0, np.float32))["sliced_wasserstein_squared_distance"], 4.0, rtol=1e-5
    )
    np.testing.assert_allclose(
        evaluator.evaluate(np.full((20, 1), 5.0, np.float32))["energy_squared_distance"], 4.0, rtol=1e-5
    )


# --- Worse generators get worse values ---


def test_noise_on_points_is_seen_by_quality_reverse_kl_and_sliced_wasserstein(grid):
    rng = np.random.default_rng(2)
    sets = [points(rng, 1000, noise=noise) for noise in (0.05, 0.1, 0.2)]
    assert_worse_and_worse(grid, sets, ["high_quality_share", "reverse_kl"])
    sets = [points(rng, 1000, noise=noise) for noise in (0.4, 0.8, 1.6)]
    assert_worse_and_worse(grid, sets, ["sliced_wasserstein_squared_distance"])


def test_lost_modes_are_seen_by_modes_covered_and_both_reverse_kls(grid):
    rng = np.random.default_rng(3)
    sets = [points(rng, 1000, num_modes=num) for num in (8, 5, 2)]
    names = ["modes_covered", "reverse_kl", "on_mode_reverse_kl", "sliced_wasserstein_squared_distance"]
    assert_worse_and_worse(grid, sets, names)
    assert [grid.evaluate(samples)["modes_covered"] for samples in sets] == [8.0, 5.0, 2.0]


def test_noise_on_digits_is_seen_by_every_metric_of_quality(digit_data, digit_evaluator):
    rng = np.random.default_rng(4)
    clean = digit_data.train.arrays()["x"][rng.permutation(1442)[:355]]
    noise = rng.normal(size=clean.shape).astype(np.float32)
    sets = [np.clip(clean + scale * noise, -1, 1) for scale in (0.3, 0.6, 1.2)]
    names = ["frechet_squared_distance", "kernel_squared_distance", "precision", "density"]
    assert_worse_and_worse(digit_evaluator, sets, [*names, "sliced_wasserstein_squared_distance"])


def test_lost_digits_are_seen_by_every_metric_of_variety(digit_data, digit_evaluator):
    train = digit_data.train.arrays()
    rng = np.random.default_rng(5)
    sets = [rng.permutation(train["x"][train["label"] >= least])[:355] for least in (2, 4, 7)]
    names = ["frechet_squared_distance", "kernel_squared_distance", "recall", "coverage"]
    assert_worse_and_worse(digit_evaluator, sets, [*names, "sliced_wasserstein_squared_distance"])


def test_digits_floor_is_far_below_noise_and_coverage_is_near_its_closed_form(digit_evaluator):
    floor, num = digit_evaluator.floor, digit_evaluator.num_samples
    assert num == 355
    noise = np.random.default_rng(6).uniform(-1, 1, (num, 8, 8, 1)).astype(np.float32)
    assert digit_evaluator.evaluate(noise)["frechet_squared_distance"] > 20 * floor["frechet_squared_distance"]
    assert floor["coverage"] == pytest.approx(metrics.features.expected_coverage(num, num), abs=0.02)
    assert floor["density"] == pytest.approx(1.0, abs=0.1)
    assert "test accuracy 9" in digit_evaluator.extractor


# --- The contract ---


def test_equal_samples_get_equal_values_and_real_can_be_replaced(grid):
    samples = points(np.random.default_rng(7), 1000)
    assert grid.evaluate(samples) == grid.evaluate(jax.numpy.asarray(samples))
    own = grid.evaluate(samples, real=samples)
    assert own["sliced_wasserstein_squared_distance"] == 0.0
    assert own["reverse_kl"] == grid.evaluate(samples)["reverse_kl"]


def test_any_callable_extracts_features():
    rng = np.random.default_rng(8)
    data = in_memory(bars(rng, 300), bars(rng, 60))

    def mean_color(images):
        return np.stack([images.mean(axis=(1, 2, 3)), images[:, 0].mean(axis=(1, 2))], axis=1)

    evaluator = metrics.evaluator(data, settings(), extractor=mean_color)
    assert evaluator.extractor == "mean_color"
    brighter = data.test.arrays()["x"] + 0.25
    value = evaluator.evaluate(brighter)["frechet_squared_distance"]
    np.testing.assert_allclose(value, 2 * 0.25**2, rtol=1e-3)


def test_overlapping_modes_are_judged_as_plain_points():
    rng = np.random.default_rng(9)
    data = in_memory({"x": points(rng, 300)}, {"x": points(rng, 100)}, modes=dataset.Modes(CENTERS, 0.5))
    assert "modes_covered" not in metrics.evaluator(data, settings()).directions


def test_wrong_requests_are_errors_that_name_the_argument(grid):
    rng = np.random.default_rng(10)
    with pytest.raises(ValueError, match=r"samples has shape \(10, 2\), expected \(1000, 2\)"):
        grid.evaluate(points(rng, 10))
    data = in_memory({"x": points(rng, 100)}, {"x": points(rng, 50)})
    with pytest.raises(ValueError, match=r"num_samples is 51, expected 0 or 2 to 50"):
        metrics.evaluator(data, settings(num_samples=51))
    with pytest.raises(ValueError, match="'digit'; did you mean 'digits'"):
        metrics.evaluator(data, settings(extractor="digit"))


# --- The table ---


def test_table_shows_each_metric_beside_its_floor_with_errors():
    evaluator = metrics.Evaluator(
        num_samples=10,
        evaluate=dict,
        floor={"a": 0.5, "a_standard_error": 0.125, "bb": 2.0, "bb_standard_error": float("nan")},
        directions={"a": "lower", "bb": "higher", "absent": "lower"},
        primary="a",
    )
    lines = metrics.table({"bb": 1.23456, "a": 1.0, "a_standard_error": 0.25}, evaluator).splitlines()
    assert lines == [
        "metric | value    | real against real | better is",
        "-------+----------+-------------------+----------",
        "a      | 1 ± 0.25 | 0.5 ± 0.12        | lower",
        "bb     | 1.235    | 2                 | higher",
    ]


def test_comparison_has_a_column_for_each_model_and_the_floors_last():
    evaluator = metrics.Evaluator(
        10, dict, {"a": 0.5, "a_standard_error": 0.125}, {"a": "lower", "absent": "lower"}, "a"
    )
    with_density = evaluator._replace(directions={"a": "lower", "b": "higher"}, floor={"a": 0.5, "b": 2.0})
    rows = {"one": {"a": 1.0, "a_standard_error": 0.25}, "two": {"a": 3.0, "b": 1.0}}
    assert metrics.comparison(rows, [evaluator, with_density]).splitlines() == [
        "| metric | one | two | real against real | better is |",
        "| --- | --- | --- | --- | --- |",
        "| a | 1 ± 0.25 | 3 | 0.5 ± 0.12 | lower |",
        "| b |  | 1 | 2 | higher |",
    ]


# --- Reconstruction ---


def test_reconstructions_are_compared_with_the_held_out_examples_themselves():
    examples = np.random.default_rng(0).uniform(-1, 1, (60, 4, 4, 1)).astype(np.float32)

    def pixels(images):
        return images.reshape(len(images), -1)

    data = in_memory({"x": examples[:40]}, {"x": examples[40:]}, name="noise")
    found = metrics.evaluator(data, settings(), pixels, reconstructs=True)
    names = {name for name in found.directions if name.startswith("reconstruction")}
    perfect = found.compare(found.held_out)
    assert set(perfect) == names and len(names) == 3
    np.testing.assert_allclose([perfect[name] for name in names], 0.0, atol=1e-4)
    assert all(found.floor[name] == perfect[name] for name in names)
    # A shift by c moves the mean of 16 features by c each, and changes no covariance.
    shifted = found.compare(found.held_out + 0.5)
    np.testing.assert_allclose(shifted["reconstruction_squared_error"], 0.25, rtol=1e-5)
    np.testing.assert_allclose(shifted["reconstruction_feature_squared_distance"], 16 * 0.25, rtol=1e-5)
    np.testing.assert_allclose(shifted["reconstruction_frechet_squared_distance"], 16 * 0.25, rtol=1e-3)
    with pytest.raises(ValueError, match=r"reconstructions has shape \(3, 4, 4, 1\), expected \(20, 4, 4, 1\)"):
        found.compare(found.held_out[:3])


def test_points_have_a_reconstruction_error_and_no_features(grid):
    rng = np.random.default_rng(2)
    data = in_memory({"x": points(rng, 500)}, {"x": points(rng, 200)}, name="points")
    found = metrics.evaluator(data, settings(num_samples=100), reconstructs=True)
    assert set(found.compare(found.held_out)) == {"reconstruction_squared_error"}
    assert grid.compare is None
