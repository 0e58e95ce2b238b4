"""Contrastive losses of a batch on one device, and of the same batch spread over several.

As a program, `JAX_NUM_CPU_DEVICES=4 python tests/losses/spread_losses.py`, it compares some under `shard_map`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from genloss_jax.losses import contrastive

DEVICES, BATCH, DIM = 4, 8, 3
LABELS = np.array([0, 1, 2, 0, 1, 1, 0, 3])


def _scores(call):
    def loss(weights, x, y, labels, axis_name=None):
        del labels
        return call((x @ weights) @ contrastive.gather_batch(y, axis_name).T, axis_name=axis_name)

    return loss


def _pairs(call):
    return lambda weights, x, y, labels, axis_name=None: call(x @ weights, y @ weights, axis_name=axis_name)


def _classes(call):
    return lambda weights, x, y, labels, axis_name=None: call(x @ weights, y @ weights, labels, axis_name=axis_name)


def _labels(call):
    return lambda weights, x, y, labels, axis_name=None: call(x @ weights, labels, axis_name=axis_name)


# name -> loss of (weights [D, D] that all devices share, two batches [B, D], labels [B])
LOSSES = {
    "info_nce_loss": _scores(contrastive.info_nce_loss),
    "info_nce": _scores(contrastive.info_nce),
    "nwj": _scores(contrastive.nwj),
    "jensen_shannon": _scores(contrastive.jensen_shannon),
    "nt_xent_loss": _pairs(partial(contrastive.nt_xent_loss, temperature=0.3)),
    "clip_loss": _pairs(partial(contrastive.clip_loss, log_scale=1.0)),
    "siglip_loss": _pairs(partial(contrastive.siglip_loss, log_scale=1.0, bias=-1.5)),
    "supervised_contrastive_loss": _labels(partial(contrastive.supervised_contrastive_loss, temperature=0.3)),
    "conditional_contrastive_loss": _classes(partial(contrastive.conditional_contrastive_loss, temperature=0.3)),
    "data_to_data_loss": _classes(
        partial(contrastive.data_to_data_loss, temperature=0.3, positive_margin=0.9, negative_margin=0.1)
    ),
}


# One of each kind for shard_map, which takes long to compile; vmap tries all.
REPRESENTATIVE = ("info_nce_loss", "nt_xent_loss", "siglip_loss", "conditional_contrastive_loss")


def batch():
    """Return shared weights, two batches and their labels."""
    rng = np.random.default_rng(0)
    arrays = (rng.normal(size=shape).astype(np.float32) for shape in ((DIM, DIM), (BATCH, DIM), (BATCH, DIM)))
    return *map(jnp.asarray, arrays), jnp.asarray(LABELS)


def on_one_device(loss):
    """Return the loss per example, and its mean's gradient with respect to weights and both batches."""

    def evaluate(weights, x, y, labels):
        values, pull_back = jax.vjp(lambda *arrays: loss(*arrays, labels), weights, x, y)
        return values, *pull_back(jnp.full_like(values, 1 / BATCH))

    return jax.jit(evaluate)(*batch())


def by_shard_map(loss):
    """Return the same, computed by four devices with two examples each."""
    mesh = Mesh(np.array(jax.devices()), ("devices",))
    spread, shared = PartitionSpec("devices"), PartitionSpec()
    sharded = jax.shard_map(
        partial(loss, axis_name="devices"), mesh=mesh, in_specs=(shared, spread, spread, spread), out_specs=spread
    )
    return on_one_device(sharded)


def main():
    """Compare the two."""
    assert jax.device_count() == DEVICES
    for name in REPRESENTATIVE:
        loss = LOSSES[name]
        for alone, spread in zip(on_one_device(loss), by_shard_map(loss), strict=True):
            np.testing.assert_allclose(spread, alone, rtol=2e-5, atol=1e-6, err_msg=name)
    print("agree:", *REPRESENTATIVE)


if __name__ == "__main__":
    main()
