"""Normalizing flows: an invertible map between data and Gaussian noise, trained by its exact likelihood."""

import math

import jax
import jax.numpy as jnp

from genloss_jax.losses import flows, likelihood
from genloss_jax.networks.flows import Flow
from genloss_jax.objectives.objective import Objective, Variables, mean

MODEL = "model"


def flow(bijection: Flow, *, shape: tuple[int, ...], num_levels: int = 0) -> Objective:
    """Maximise the likelihood of data under a flow with the base density N(0, I).

    -log p(x) = -log N(f(x); 0, I) - log |det ∂f(x)/∂x|

    Discrete data are spread evenly over their levels' bins first, y = (k + u) / num_levels with u ~ U[0, 1), and the
    bound on their probability is maximised:

    -log P(x) <= E_u [-log p(y)] + D log num_levels

    Args:
        bijection: f, from examples `[B, *shape]` to the base.
        shape: of one example.
        num_levels: how many equally spaced values from -1 to 1 each number takes; 0 where it is continuous.

    Returns:
        An objective with one player, "model". `log_prob` is exact of continuous data, and a lower bound of discrete
        data, in its mean over the key.

    Raises:
        ValueError: if num_levels is 1 or negative, and while tracing, if the batch has another shape.

    References:
        Dinh et al. 2017, "Density estimation using Real NVP", section 3.1; Theis et al. 2016, "A note on the
        evaluation of generative models", section 3.1.
    """
    if num_levels < 0 or num_levels == 1:
        raise ValueError(f"num_levels must be 0 (continuous) or at least 2, got {num_levels}")
    # log P(x) is bounded by log p(y) plus this: the volume of a bin, 1 where data are continuous
    log_volume = -math.prod(shape) * math.log(num_levels) if num_levels else 0.0

    def continuous(key, batch):
        x = batch["x"]
        if x.shape[1:] != shape:
            raise ValueError(f"batch must hold examples of shape {shape}, got {x.shape[1:]}")
        if not num_levels:
            return x
        return flows.uniform_dequantize(key, likelihood.to_bins(x, num_bins=num_levels), num_bins=num_levels)

    def init(key, batch):
        init_key, noise_key = jax.random.split(key)
        params, state = bijection.init(init_key, continuous(noise_key, batch))
        return Variables({MODEL: params}, {MODEL: state})

    def loss(params, aux, batch, key, hyper):
        del hyper
        noise_key, layer_key = jax.random.split(key)
        y = continuous(noise_key, batch)
        z, log_det, state = bijection.forward(params[MODEL], aux[MODEL], y, train=True, key=layer_key)
        base = _standard_normal(z)
        values = flows.change_of_variables_nll(base, log_det) - log_volume
        return mean(values), ({"base_log_prob": mean(base), "log_det": mean(log_det)}, {**aux, MODEL: state})

    def sample(params, aux, key, num):
        example = jax.ShapeDtypeStruct((num, *shape), jnp.result_type(float))
        base, _, _ = jax.eval_shape(bijection.forward, params[MODEL], aux[MODEL], example)
        y = bijection.inverse(params[MODEL], aux[MODEL], jax.random.normal(key, base.shape, base.dtype))
        if not num_levels:
            return y
        bins = jnp.clip(jnp.floor(y * num_levels), 0, num_levels - 1).astype(jnp.int32)
        return likelihood.from_bins(bins, num_bins=num_levels)

    def log_prob(params, aux, batch, key):
        z, log_det, _ = bijection.forward(params[MODEL], aux[MODEL], continuous(key, batch))
        return log_volume - flows.change_of_variables_nll(_standard_normal(z), log_det)

    return Objective(init, {MODEL: loss}, sample, log_prob, "lower bound" if num_levels else "exact")


def _standard_normal(z):
    # log N(z; 0, I)
    return -0.5 * jnp.sum(jnp.square(z) + math.log(2 * math.pi), axis=tuple(range(1, z.ndim)))
