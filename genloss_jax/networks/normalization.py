"""Normalisation as a choice, conditional or not, and the minibatch standard deviation of critics."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax.networks import initializers

NORMALIZATIONS = ("batch", "group", "none")


class Normalize(nn.Module):
    """Batch norm, group norm or none, with one scale and bias per channel, or per channel and class.

    Attributes:
        kind: "batch" (momentum 0.9, ε 1e-5; running averages where `train=False`), "group" or "none".
        num_classes: classes with a scale and bias of their own (conditional batch norm, Dumoulin et al. 2017); None
            for one scale and bias for all.
        scale_init: initialiser of the scale; DCGAN draws N(1, 0.02²).
    """

    kind: str = "batch"
    num_classes: int | None = None
    scale_init: initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x, labels=None, *, train: bool = False):
        """Map `[B, ..., C]` to the same shape."""
        if self.kind not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {self.kind!r}")
        if self.kind == "none":
            return x
        channels = x.shape[-1]
        if self.kind == "batch":
            axis_name = parts.axis_name("batch normalisation") if train else None
            norm = nn.BatchNorm(
                not train, momentum=0.9, epsilon=1e-5, use_bias=False, use_scale=False, axis_name=axis_name
            )
            x = norm(x)
        else:
            groups = math.gcd(channels, 8)
            x = nn.GroupNorm(groups, epsilon=1e-5, use_bias=False, use_scale=False)(x)
        rows = () if self.num_classes is None else (self.num_classes,)
        scale = self.param("scale", self.scale_init, (*rows, channels))
        bias = self.param("bias", nn.initializers.zeros, (*rows, channels))
        if self.num_classes is None:
            scale, bias = scale[None], bias[None]
        else:
            scale, bias = scale[labels], bias[labels]
        middle = (1,) * (x.ndim - 2)
        return x * scale.reshape(-1, *middle, channels) + bias.reshape(-1, *middle, channels)


class MinibatchStddev(nn.Module):
    """Append one channel: how much a group of examples varies (Karras et al. 2018, section 3).

    The batch is cut into groups as in StyleGAN: member g of group m is example `g M + m`, M groups in all. Per
    group, the standard deviation over its members (ε = 1e-8 under the root) is averaged over positions and channels.
    Where `train=False` every example must stand by itself, so that the running average of what training saw (momentum
    0.9) is appended instead.

    Attributes:
        group_size: members of a group; the largest divisor of the batch not above it is used.
    """

    group_size: int = 4

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Map `[B, ..., C]` to `[B, ..., C + 1]`."""
        average = self.variable("batch_stats", "stddev", lambda: jnp.zeros(()))
        batch = x.shape[0]
        if train:
            seen = parts.whole(x.astype(jnp.promote_types(x.dtype, jnp.float32)), "the minibatch standard deviation")
            num = seen.shape[0]
            size = max(n for n in range(1, self.group_size + 1) if num % n == 0)
            groups = seen.reshape(size, num // size, -1)
            stddev = jnp.sqrt(jnp.mean(jnp.square(groups - groups.mean(0, keepdims=True)), 0) + 1e-8)
            statistic = stddev.mean(-1)
            if not self.is_initializing():
                average.value = 0.9 * average.value + 0.1 * jax.lax.stop_gradient(statistic.mean())
            statistic = parts.own(jnp.tile(statistic, size))
        else:
            statistic = jnp.broadcast_to(average.value, (batch,))
        channel = jnp.broadcast_to(statistic.reshape(-1, *(1,) * (x.ndim - 1)), (*x.shape[:-1], 1)).astype(x.dtype)
        return jnp.concatenate([x, channel], -1)
