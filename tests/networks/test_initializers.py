import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.networks import initializers

SHAPE = (4, 4, 32, 64)
FAN_IN, FAN_OUT = 4 * 4 * 32, 4 * 4 * 64


@pytest.mark.parametrize("draw", [jax.random.normal, jax.random.uniform])
def test_drawing_flat_gives_the_same_bits(draw):
    shape = (3, 3, 5, 7)
    flat = initializers.flat(draw)(jax.random.key(0), shape, jnp.float32)
    np.testing.assert_array_equal(flat, draw(jax.random.key(0), shape, jnp.float32))


def test_normal_is_jaxs_normal_bit_for_bit():
    ours = initializers.normal(0.02)(jax.random.key(3), SHAPE)
    np.testing.assert_array_equal(ours, 0.02 * jax.random.normal(jax.random.key(3), SHAPE))


@pytest.mark.parametrize(
    "init,mean,variance,kurtosis",
    [
        (initializers.normal(0.02), 0.0, 0.02**2, 3.0),
        (initializers.normal(0.02, mean=1.0), 1.0, 0.02**2, 3.0),
        (initializers.he_normal(), 0.0, 2 / FAN_IN, 3.0),
        (initializers.he_normal(0.2), 0.0, 2 / (1.04 * FAN_IN), 3.0),
        (initializers.lecun_normal(), 0.0, 1 / FAN_IN, 3.0),
        (initializers.glorot_uniform(), 0.0, 2 / (FAN_IN + FAN_OUT), 1.8),
        (initializers.glorot_uniform(2**0.5), 0.0, 4 / (FAN_IN + FAN_OUT), 1.8),
    ],
)
def test_moments(init, mean, variance, kurtosis):
    values = np.float64(init(jax.random.key(1), SHAPE))
    centred = (values - mean) / variance**0.5
    count = values.size
    assert abs(centred.mean()) < 4 / count**0.5
    assert abs((centred**2).mean() - 1) < 4 * (2 / count) ** 0.5
    assert abs((centred**4).mean() - kurtosis) < 4 * (96 / count) ** 0.5


@pytest.mark.parametrize("shape", [(8, 5), (3, 3, 2, 4), (3, 7)])
def test_orthogonal_has_equal_singular_values(shape):
    matrix = np.asarray(initializers.orthogonal(1.5)(jax.random.key(0), shape)).reshape(-1, shape[-1])
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1.5, rtol=1e-5)


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="distribution must be"):
        initializers.variance_scaling(1.0, "cauchy")
    with pytest.raises(ValueError, match="mode must be"):
        initializers.variance_scaling(1.0, mode="fan_out")
