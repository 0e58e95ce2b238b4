"""Autoregressive models: the probability of an example is the product of those of its numbers, one after another."""

import math

import jax
import jax.numpy as jnp

from genloss_jax.losses import likelihood
from genloss_jax.networks.network import Network, Params, State
from genloss_jax.objectives.objective import Objective, Variables, mean

MODEL = "model"


def autoregressive(network: Network, *, shape: tuple[int, ...], num_levels: int, temperature: float = 1.0) -> Objective:
    """Maximise the likelihood of discrete data, number after number.

    log P(x) = Σ_i log P(x_i | x_1, ..., x_{i-1}), P(x_i = k | ...) = softmax(logits_i)_k

    Args:
        network: `apply(params, state, bins [B, *shape])` gives logits `[B, *shape, num_levels]`, those of a number
            from the bins before it only, in the order of the flattened shape.
        shape: of one example.
        num_levels: how many equally spaced values from -1 to 1 each number takes.
        temperature: of `sample`, which draws from softmax(logits / temperature); `log_prob` is that of temperature 1.

    Returns:
        An objective with one player, "model". `log_prob` is exact.

    Raises:
        ValueError: if an option is out of range, and while tracing, if network and batch do not fit.

    References:
        van den Oord et al. 2016, "Pixel recurrent neural networks", section 2.
    """
    if num_levels < 2:
        raise ValueError(f"num_levels must be at least 2, because only discrete data are modelled, got {num_levels}")
    check_temperature(temperature)

    def to_bins(x):
        if x.shape[1:] != tuple(shape):
            raise ValueError(f"batch must hold examples of shape {tuple(shape)}, got {x.shape[1:]}")
        return likelihood.to_bins(x, num_bins=num_levels)

    def init(key, batch):
        params, state = init_conditionals(network, key, to_bins(batch["x"]), num_levels)
        return Variables({MODEL: params}, {MODEL: state})

    def nll(params, aux, batch, **options):
        bins = to_bins(batch["x"])
        logits, state = network.apply(params[MODEL], aux[MODEL], bins, **options)
        return likelihood.categorical_nll(logits, bins), state

    def loss(params, aux, batch, key, hyper):
        del hyper
        values, state = nll(params, aux, batch, train=True, key=key)
        bits = likelihood.bits_per_dim(values, math.prod(shape), num_bins=1)
        return mean(values), ({"bits_per_dim": mean(bits)}, {**aux, MODEL: state})

    def sample(params, aux, key, num):
        bins = draw(network, params[MODEL], aux[MODEL], key, (num, *shape), temperature=temperature)
        return likelihood.from_bins(bins, num_bins=num_levels)

    def log_prob(params, aux, batch, key):
        del key
        return -nll(params, aux, batch)[0]

    return Objective(init, {MODEL: loss}, sample, log_prob, "exact")


def init_conditionals(network: Network, key: jax.Array, bins: jax.Array, num_levels: int) -> tuple[Params, State]:
    """Start an autoregressive network, and see that it gives logits.

    Args:
        network: see `autoregressive`.
        key: for its parameters.
        bins: `[B, ...]` integers.
        num_levels: how many bins there are.

    Returns:
        Its parameters and state.

    Raises:
        ValueError: if it does not give `[B, ..., num_levels]`.
    """
    params, state = network.init(key, bins)
    logits, _ = jax.eval_shape(lambda *given: network.apply(*given), params, state, bins)
    if logits.shape != (*bins.shape, num_levels):
        raise ValueError(f"network must give logits of shape {(*bins.shape, num_levels)}, got {logits.shape}")
    return params, state


def draw(
    network: Network, params: Params, state: State, key: jax.Array, shape: tuple[int, ...], *, temperature: float = 1.0
) -> jax.Array:
    """Draw from the product of an autoregressive network's conditionals, one number after another.

    Args:
        network: see `autoregressive`.
        params: of the network.
        state: of the network.
        key: for the draws.
        shape: of the bins, `[B, ...]`. As many passes through the network as one example has numbers.
        temperature: what the logits are divided by.

    Returns:
        Bins `[B, ...]`, int32.
    """
    batch, length = shape[0], math.prod(shape[1:])

    def place(bins, given):
        index, own_key = given
        logits, _ = network.apply(params, state, bins.reshape(shape))
        logits = jax.lax.dynamic_index_in_dim(logits.reshape(batch, length, -1), index, axis=1, keepdims=False)
        own = jax.random.categorical(own_key, logits / temperature).astype(bins.dtype)
        return jax.lax.dynamic_update_index_in_dim(bins, own, index, axis=1), None

    start = jnp.zeros((batch, length), jnp.int32)
    bins, _ = jax.lax.scan(place, start, (jnp.arange(length), jax.random.split(key, length)))
    return bins.reshape(shape)


def check_temperature(temperature: float) -> None:
    """Raise unless samples can be drawn at this temperature."""
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
