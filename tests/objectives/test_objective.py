"""What all families share: the masked mean and the reading of batches."""

import jax
import jax.numpy as jnp
import pytest

from genloss_jax.objectives import mean
from genloss_jax.objectives.objective import num_examples


def test_mean_leaves_masked_examples_out_of_value_and_gradient():
    values = jnp.array([1.0, jnp.nan, 4.0])
    mask = jnp.array([True, False, True])
    assert mean(values, mask) == 2.5
    assert jax.grad(lambda v: mean(v, mask))(values).tolist() == [0.5, 0.0, 0.5]


def test_mean_of_an_empty_mask_is_zero():
    assert mean(jnp.ones(2), jnp.zeros(2, bool)) == 0.0


def test_arrays_of_unequal_length_are_named():
    with pytest.raises(ValueError, match=r"one leading axis.*label.*\(2,\).*x.*\(3,\)"):
        num_examples({"x": jnp.zeros((3, 1)), "label": jnp.zeros(2)})
