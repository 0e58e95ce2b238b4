import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.data import plane
from genloss_jax.metrics import density
from tests.metrics.conftest import in_memory

MOONS = plane.load("moons")


def true_log_prob(batch, key):
    return MOONS.log_prob(batch["x"])


def test_the_true_density_has_no_gap_a_mass_of_one_and_no_alarm():
    ruler = density.ruler(MOONS, "exact")
    values = ruler.measure(true_log_prob)
    assert values["gap_to_entropy"] == 0.0
    np.testing.assert_allclose(values["mass"], 1.0, atol=1e-4)
    likelihood = "log_likelihood, exact"
    assert values[likelihood] == ruler.floor[likelihood]
    assert abs(values[likelihood] + MOONS.entropy) < 4 * values[likelihood + "_standard_error"]
    assert ruler.alarms(values) == []


def test_the_gap_of_a_gaussian_is_the_kullback_leibler_divergence_of_two_gaussians():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(5000, 3))

    def log_prob(x, scale=1.0):
        return -0.5 * (x**2).sum(-1) / scale**2 - 1.5 * np.log(2 * np.pi * scale**2)

    data = in_memory({"x": points.astype(np.float32)})._replace(log_prob=log_prob)
    values = density.ruler(data, "exact").measure(lambda batch, key: log_prob(batch["x"], 1.5))
    expected = 3 * (np.log(1.5) + 0.5 / 1.5**2 - 0.5)
    assert abs(values["gap_to_entropy"] - expected) < 4 * values["gap_to_entropy_standard_error"] < 0.05
    assert "mass" not in values


@pytest.mark.parametrize("kind, shift, alarms", [
    ("exact", 0.1, 2), ("exact", -0.1, 1), ("lower bound", 0.1, 2), ("lower bound", -0.1, 0), ("estimate", 0.1, 0),
])  # fmt: skip
def test_a_density_of_another_mass_than_one_raises_the_alarm(kind, shift, alarms):
    ruler = density.ruler(MOONS, kind)
    values = ruler.measure(lambda batch, key: true_log_prob(batch, key) + shift)
    np.testing.assert_allclose(values["gap_to_entropy"], -shift, atol=1e-6)
    sentences = ruler.alarms(values)
    assert len(sentences) == alarms
    assert all(sentence.startswith("impossible: ") for sentence in sentences)


def test_bits_per_dim_of_a_uniform_model_is_the_logarithm_of_the_levels():
    images = np.random.default_rng(0).integers(0, 5, (40, 2, 2, 1)) / 2 - 1
    data = in_memory({"x": images.astype(np.float32)})._replace(num_levels=5)
    values = density.ruler(data, "exact").measure(lambda batch, key: jnp.full(len(batch["x"]), -4 * np.log(5)))
    np.testing.assert_allclose(values["bits_per_dim"], np.log2(5))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="log_prob_kind must be one of exact, lower bound, estimate, got 'bound'"):
        density.ruler(MOONS, "bound")
