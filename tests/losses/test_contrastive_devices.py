"""A batch spread over devices has the losses and gradients of the whole batch."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import catalog, contrastive
from tests.losses import spread_losses
from tests.losses.spread_losses import BATCH, DEVICES, LOSSES, REPRESENTATIVE

ROOT = Path(__file__).resolve().parents[2]


def spread(array):
    return array.reshape(DEVICES, -1, *array.shape[1:])


def gather(array):
    return array.reshape(-1, *array.shape[2:])


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients_of_a_batch_spread_by_vmap_are_those_of_the_whole_batch(name):
    loss = LOSSES[name]
    weights, *arrays, labels = spread_losses.batch()

    @jax.jit
    def evaluate(weights, x, y):
        def on_devices(weights, x, y):
            per_device = partial(loss, axis_name="devices")
            return jax.vmap(per_device, (None, 0, 0, 0), axis_name="devices")(weights, x, y, spread(labels))

        values, pull_back = jax.vjp(on_devices, weights, x, y)
        return values, *pull_back(jnp.full_like(values, 1 / BATCH))

    alone = spread_losses.on_one_device(loss)
    values, to_weights, *to_arrays = evaluate(weights, *map(spread, arrays))
    for actual, expected in zip((gather(values), to_weights, *map(gather, to_arrays)), alone, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_mean_over_devices_of_their_own_gradients_is_the_gradient_of_the_whole_batch(name):
    weights, *arrays = spread_losses.batch()

    def of_device(x, y, labels):
        own = jax.grad(lambda weights: jnp.mean(LOSSES[name](weights, x, y, labels, axis_name="devices")))(weights)
        return jax.lax.pmean(own, "devices")

    gradients = jax.jit(jax.vmap(of_device, axis_name="devices"))(*map(spread, arrays))
    expected = spread_losses.on_one_device(LOSSES[name])[1]
    np.testing.assert_allclose(gradients, np.broadcast_to(expected, gradients.shape), rtol=2e-5, atol=1e-6)


def test_every_loss_with_an_axis_name_is_tried_on_several_devices():
    coupled = {
        card.name
        for card in catalog.cards()
        if card.family == "contrastive" and "axis_name" in card.fn.__wrapped__.__code__.co_varnames
    }
    assert coupled == set(LOSSES)


def test_losses_and_gradients_under_shard_map_over_four_devices_are_those_of_the_whole_batch():
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "losses" / "spread_losses.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(DEVICES)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.stdout == f"agree: {' '.join(REPRESENTATIVE)}\n", result.stderr[-3000:]


def test_scores_of_this_device_alone_are_refused_with_an_axis_name():
    with pytest.raises(ValueError, match=r"similarities must have shape \[B, 4·B\]"):
        jax.vmap(lambda s: contrastive.info_nce_loss(s, axis_name="devices"), axis_name="devices")(jnp.ones((4, 2, 2)))
