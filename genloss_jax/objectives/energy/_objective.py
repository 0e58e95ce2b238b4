"""Energy-based models: a Gaussian tilted by a network."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from genloss_jax import _parts as parts
from genloss_jax import samplers
from genloss_jax.networks.network import Network
from genloss_jax.objectives.energy._base import Base
from genloss_jax.objectives.energy._methods import Method, NetworkFn
from genloss_jax.objectives.objective import Objective, Variables, check_counts, mean, num_examples

MODEL, MEMORY = "model", "memory"

_MOST_QUADRATURE_DIMS = 2
_REACH = 6.0  # of the quadrature, in standard deviations of the base


def energy(network: Network, method: Method, *, data_noise: float = 0.0, num_points: int = 128) -> Objective:
    """Train an energy: p(x) = exp(−E(x)) / Z, a Gaussian tilted by a network.

    In one and two dimensions `log_prob` is −E(x) − log Z with Z by the midpoint rule, `num_points` along each axis of
    the base's coordinates, six of its standard deviations to either side. It is an estimate because mass further out
    would be missed; on smooth energies its error is otherwise that of rounding. In more dimensions there is none.

    Args:
        network: takes what `method.inputs` gives and returns `[B, *method.outputs]`. Statistics that it keeps, such as
            vectors of spectral normalisation, move once per step.
        method: `contrastive_divergence`, `noise_contrastive`, `denoising` or `joint`.
        data_noise: standard deviation of Gaussian noise on the data, which gives data on levels a density. The model is
            of the noised data; `sample` ends with what the data are expected to be.
        num_points: of the quadrature, along each axis.

    Returns:
        An objective with one player, "model".

    Raises:
        ValueError: if an option is out of range, and while tracing, if network and batch do not fit.
    """
    if data_noise < 0:
        raise ValueError(f"data_noise must not be negative, got {data_noise}")
    check_counts(num_points=num_points)
    base = method.base

    def init(key, batch):
        x = batch["x"]
        network_key, memory_key = jax.random.split(key)
        inputs = method.inputs(x)
        params, state = network.init(network_key, *inputs)
        outputs, _ = jax.eval_shape(lambda *given: network.apply(*given), params, state, *inputs)
        if x.shape[1:] != base.mean.shape or outputs.shape != (num_examples(batch), *method.outputs):
            raise ValueError(
                f"network must map examples of shape {base.mean.shape} to outputs of shape {method.outputs}; got "
                f"examples of shape {x.shape[1:]} and outputs of shape {outputs.shape[1:]}"
            )
        return Variables({MODEL: params}, {MODEL: state, MEMORY: method.init(memory_key)})

    def network_fn(params, state) -> NetworkFn:
        return lambda *inputs: network.apply(params, state, *inputs)[0]

    def model_fn(params, aux) -> NetworkFn:
        return network_fn(params[MODEL], aux[MODEL])

    def loss(params, aux, batch, key, hyper):
        noise_key, method_key = jax.random.split(key)
        x = batch["x"] + data_noise * _normal_like(noise_key, batch["x"])
        own = params[MODEL]
        # The network's own state moves here; all evaluations of the step then see one and the same network.
        _, state = network.apply(own, aux[MODEL], *method.inputs(x), train=True)
        frozen_fn = network_fn(jax.lax.stop_gradient(own), state)
        values, metrics, memory = method.loss(
            network_fn(own, state), frozen_fn, aux[MEMORY], {**batch, "x": x}, method_key, hyper
        )
        return mean(values), (metrics, {**aux, MODEL: state, MEMORY: memory})

    def sample(params, aux, key, num):
        own_fn = model_fn(params, aux)
        x = method.sample(own_fn, key, num)
        if not data_noise:
            return x
        # E[data | x] = x + σ² ∇ log p(x) of noised data x (Tweedie's formula)
        return x - data_noise**2 * jax.grad(lambda x: jnp.sum(method.energy(own_fn, x)))(x)

    def log_prob(params, aux, batch, key):
        del key
        energy_fn = partial(method.energy, model_fn(params, aux))
        return -energy_fn(batch["x"]) - log_normaliser(energy_fn, base, num_points)

    def class_logits(logits_fn, params, aux, batch):
        return logits_fn(model_fn(params, aux), batch["x"])

    return Objective(
        init,
        {MODEL: loss},
        sample,
        log_prob if math.prod(base.mean.shape) <= _MOST_QUADRATURE_DIMS else None,
        "estimate",
        class_logits=partial(class_logits, method.class_logits) if method.class_logits else None,
    )


def log_normaliser(energy_fn: samplers.EnergyFn, base: Base, num_points: int) -> jax.Array:
    """Compute log ∫ exp(−E(x)) dx by the midpoint rule in the base's coordinates.

    Args:
        energy_fn: E, maps `[N, ...]` to `[N]`.
        base: whose coordinates, from −6 to 6, are cut into cells.
        num_points: cells along each axis.

    Returns:
        Scalar, nats.
    """
    cell = 2 * _REACH / num_points
    axis = -_REACH + cell * (np.arange(num_points) + 0.5)
    dim = base.variances.size
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim).astype(np.float32)
    # dx = cell^D Π_d sqrt(variance_d)
    log_volume = dim * math.log(cell) + 0.5 * float(np.sum(np.log(base.variances)))
    return logsumexp(-energy_fn(base.color(jnp.asarray(grid)))) + log_volume


def _normal_like(key, x):
    # A flat draw is bitwise the same, and compiles several times faster on CPU.
    return parts.draw(jax.random.normal, key, (x.size,), x.dtype).reshape(x.shape)
