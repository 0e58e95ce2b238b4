"""Denoising diffusion and flow matching: one network, a way to noise data, and the way back."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from genloss_jax import samplers
from genloss_jax._names import look_up
from genloss_jax.networks.network import Network
from genloss_jax.objectives.diffusion._process import NetworkFn, Process, normal
from genloss_jax.objectives.objective import Objective, Variables, check_counts, mean, num_examples
from genloss_jax.samplers.ode import METHODS

MODEL = "model"
SAMPLERS = (*METHODS, "ancestral")

# Above so many dimensions the divergence is estimated: the exact one costs a derivative per dimension.
_MOST_EXACT_DIMS = 8


def diffusion(
    network: Network,
    process: Process,
    *,
    shape: tuple[int, ...],
    sampler: str = "rk4",
    num_steps: int = 50,
    num_likelihood_steps: int = 50,
) -> Objective:
    """Train a network to lead noise to data.

    The way back is the ODE dx/dt = α'(t) data + σ'(t) noise with what the network takes both for, from N(0, σ(0)² I)
    at t = 0 to the samples at t = 1; or, with the sampler "ancestral", the process in reverse, with fresh noise.
    `log_prob` is that of the ODE's samples, by the change of variables with Runge-Kutta steps: exact up to the error of
    the solver in 8 dimensions or fewer; above, an estimate along one random direction. A process with a bound reports
    that instead. A process that leaps goes from noise to data in `num_steps` leaps, and has no likelihood.

    Args:
        network: `apply(params, state, x [B, *shape], level [B], ...)` gives `[B, *shape]`, with as many levels as the
            process has. It has no state of its own.
        process: what is learned and how data become noise: `flow_matching()`, `ddpm()`, `edm(sigma_data)`, `vdm()`,
            `consistency(sigma_data)`, `mean_flow()`.
        shape: of one example.
        sampler: "euler", "heun" or "rk4", which solve the ODE, or "ancestral"; of no use to a process that leaps.
        num_steps: of the sampler, or leaps.
        num_likelihood_steps: of the Runge-Kutta method in `log_prob`.

    Returns:
        An objective with one player, "model".

    Raises:
        ValueError: if an option is unknown or out of range or does not fit the process, and while tracing, if network
            and batch do not fit.

    References:
        Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations, section 4.3.
    """
    look_up("sampler", sampler, dict.fromkeys(SAMPLERS))
    if sampler == "ancestral" and not process.gaussian:
        raise ValueError("sampler 'ancestral' needs noise that is independent of the data, which this coupling is not")
    check_counts(num_steps=num_steps, num_likelihood_steps=num_likelihood_steps)
    exact = math.prod(shape) <= _MOST_EXACT_DIMS
    # What a process lacks is not called.
    predict_fn: Any = process.predict
    leap_fn: Any = process.leap
    bound_fn: Any = process.bound

    def init(key, batch):
        x = batch["x"]
        levels = [jnp.zeros((num_examples(batch),), x.dtype)] * process.num_levels
        params, state = network.init(key, x, *levels)
        if jax.tree.leaves(state):
            raise ValueError(
                f"network must have no state of its own, because a batch holds many noise levels; got {sorted(state)}"
            )
        output, _ = jax.eval_shape(lambda *given: network.apply(*given), params, state, x, *levels)
        if output.shape != x.shape or x.shape[1:] != tuple(shape):
            raise ValueError(
                f"network must map the data's shape {x.shape[1:]} and shape={tuple(shape)} to itself; "
                f"got {output.shape[1:]}"
            )
        return Variables({MODEL: params}, {})

    def network_fn(params, **options) -> NetworkFn:
        return lambda x, *levels: network.apply(params[MODEL], {}, x, *levels, **options)[0]

    def predict(params, x, t):
        return predict_fn(network_fn(params), x, jnp.full(x.shape[:1], t, x.dtype))

    def leap(params, key, x, t, next_t):
        here, there = (jnp.full(x.shape[:1], time, x.dtype) for time in (t, next_t))
        return leap_fn(network_fn(params), key, x, here, there)

    def velocity(params, x, t):
        _, (alpha_slope, sigma_slope) = jax.jvp(process.coefficients, (t,), (jnp.ones_like(t),))
        data, noise = predict(params, x, t)
        return alpha_slope * data + sigma_slope * noise

    def base_std(dtype):
        return process.coefficients(jnp.zeros((), dtype))[1]

    def loss(params, aux, batch, key, hyper):
        process_key, network_key = jax.random.split(key)
        values = process.loss(network_fn(params, train=True, key=network_key), process_key, batch["x"], hyper)
        return mean(values), ({}, aux)

    def sample(params, aux, key, num):
        noise_key, run_key = jax.random.split(key)
        x = base_std(jnp.float32) * normal(noise_key, (num, *shape), jnp.float32)
        times = jnp.linspace(0.0, 1.0, num_steps + 1)
        if leap_fn is not None:
            step = samplers.stepper(partial(leap, params), times)
        elif sampler == "ancestral":
            step = samplers.ancestral(partial(predict, params), process.coefficients, times)
        else:
            step = samplers.ode(partial(velocity, params), times, method=sampler)
        end, _ = samplers.run(step, run_key, samplers.start(x), num_steps)
        return end.x

    def bounded_log_prob(params, aux, batch, key):
        return -bound_fn(network_fn(params), key, batch["x"])

    def log_prob(params, aux, batch, key):
        x = batch["x"]
        std = base_std(x.dtype)

        def base_log_prob(noise):
            squared = jnp.sum(jnp.square(noise / std), axis=tuple(range(1, noise.ndim)))
            return -0.5 * squared - math.prod(shape) * (jnp.log(std) + 0.5 * math.log(2 * math.pi))

        times = jnp.linspace(1.0, 0.0, num_likelihood_steps + 1, dtype=x.dtype)
        return samplers.flow_log_prob(partial(velocity, params), base_log_prob, x, times, key=None if exact else key)

    own = partial(Objective, init, {MODEL: loss}, sample)
    if bound_fn is not None:
        return own(bounded_log_prob, "lower bound")
    return own(None) if predict_fn is None else own(log_prob, "exact" if exact else "estimate")
