"""Bounds whose gradient is not that of their samples' formula: path derivatives, score functions, wake and sleep."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from genloss_jax.losses.variational._shared import check_axes, check_examples, log_mean_exp, straight_through

LogJointFn = Callable[[Float[Array, "samples batch *latent"]], Float[Array, "samples batch"]]
"""Maps latents `[K, B, ...]` to log p(x, z), `[K, B]`."""

LogPosteriorFn = Callable[[PyTree, Float[Array, "samples batch *latent"]], Float[Array, "samples batch"]]
"""Maps the posterior's parameters, such as (mean, log_var), and latents `[K, B, ...]` to log q(z|x), `[K, B]`."""


def stl_loss(
    log_joint_fn: LogJointFn, log_q_fn: LogPosteriorFn, q_params: PyTree, z: Float[Array, "samples batch *latent"]
) -> Float[Array, " batch"]:
    """Compute the negative evidence lower bound, with the encoder's gradient through the samples alone.

    −(1/K) Σ_k (log p(x, z_k) − log q(z_k|x)), q's own parameters as stop-gradient

    The gradient left out has mean 0. What remains has mean right and, where q is the true posterior, no variance.

    Args:
        log_joint_fn: maps z to log p(x, z), `[K, B]`.
        log_q_fn: maps (q_params, z) to log q(z|x), `[K, B]`.
        q_params: what the encoder put out.
        z: `[K, B, ...]`, reparametrised samples, a function of `q_params` and noise.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if `z` is not `[K, B, ...]` or a function does not return `[K, B]`.

    References:
        Roeder et al. 2017, "Sticking the landing".
    """
    return -jnp.mean(_path_log_weights(log_joint_fn, log_q_fn, q_params, z), axis=0)


def dreg_loss(
    log_joint_fn: LogJointFn, log_q_fn: LogPosteriorFn, q_params: PyTree, z: Float[Array, "samples batch *latent"]
) -> Float[Array, " batch"]:
    """Compute the negative importance-weighted bound, with the encoder's doubly reparametrised gradient.

    −log (1/K) Σ_k w_k; its gradient by the encoder is −Σ_k w̃_k² (∂log w_k/∂z_k)(dz_k/dφ), w̃ = w / Σ_j w_j

    The decoder's gradient is that of `iwae_loss`. The encoder's is the same in the mean, with less variance: its ratio
    of signal to noise grows with K, where that of the plain gradient falls. With K = 1 it is `stl_loss`.

    Args:
        log_joint_fn: maps z to log p(x, z), `[K, B]`. Called twice with the same values, which compilation makes one.
        log_q_fn: maps (q_params, z) to log q(z|x), `[K, B]`.
        q_params: what the encoder put out.
        z: `[K, B, ...]`, reparametrised samples, a function of `q_params` and noise. The encoder must reach the loss
            through `q_params` and `z` alone.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if `z` is not `[K, B, ...]` or a function does not return `[K, B]`.

    References:
        Tucker et al. 2019, "Doubly reparameterized gradient estimators for Monte Carlo objectives".
    """
    fixed = jax.lax.stop_gradient(_path_log_weights(log_joint_fn, log_q_fn, q_params, z))
    weights = jax.nn.softmax(fixed, axis=0)
    # The bound's own gradient brings the first factor w̃, the samples bring the second.
    damped = _scale_gradient(z, weights.reshape(*weights.shape, *[1] * (z.ndim - 2)))
    return -log_mean_exp(_path_log_weights(log_joint_fn, log_q_fn, q_params, damped))


def vimco_loss(
    log_weights: Float[Array, "samples batch"], log_q: Float[Array, "samples batch"]
) -> Float[Array, " batch"]:
    """Compute the negative importance-weighted bound of discrete latents, with a score-function gradient.

    −log (1/K) Σ_k w_k =: −L; its gradient is −Σ_k (L − L_(−k)) ∇log q(z_k|x) − Σ_k w̃_k ∇log w_k

    L_(−k) is L with w_k replaced by the geometric mean of the others, a baseline that does not depend on z_k: the
    gradient is unbiased.

    Args:
        log_weights: `[K, B]` with K at least 2, of samples that carry no gradient.
        log_q: log q(z_k|x), `[K, B]`.

    Returns:
        `[B]`, nats, in the mean over samples at least −log p(x).

    Raises:
        ValueError: if an array is not `[K, B]`, the shapes differ, or K is 1.

    References:
        Mnih and Rezende 2016, "Variational inference for Monte Carlo objectives".
    """
    check_axes("K, B", log_weights=log_weights, log_q=log_q)
    num = log_weights.shape[0]
    if num < 2:
        raise ValueError(f"log_weights must have at least 2 samples, each the others' baseline; got {num}.")
    bound = log_mean_exp(log_weights)
    others = (jnp.sum(log_weights, axis=0, keepdims=True) - log_weights) / (num - 1)
    own = jnp.eye(num, dtype=bool)[:, :, None]
    baselines = log_mean_exp(jnp.where(own, others[:, None], log_weights[None]), axis=1)
    advantages = jax.lax.stop_gradient(bound[None] - baselines)
    score = jnp.sum(advantages * straight_through(jnp.zeros_like(log_q), log_q), axis=0)
    return -(bound + score)


class WakeSleepLosses(NamedTuple):
    """What reweighted wake-sleep minimises, each `[B]` and in nats.

    Attributes:
        decoder: −log (1/K) Σ_k w_k, with no gradient by q.
        wake_encoder: −Σ_k w̃_k log q(z_k|x), w̃ as stop-gradient.
        sleep_encoder: −log q(z|x) of (x, z) dreamt by the decoder.
    """

    decoder: Float[Array, " batch"]
    wake_encoder: Float[Array, " batch"]
    sleep_encoder: Float[Array, " batch"]


def wake_sleep_losses(
    log_joint: Float[Array, "samples batch"],
    log_q: Float[Array, "samples batch"],
    dream_log_q: Float[Array, " batch"],
) -> WakeSleepLosses:
    """Compute the losses of reweighted wake-sleep.

    decoder −log (1/K) Σ_k w_k; wake encoder −Σ_k w̃_k log q(z_k|x); sleep encoder −log q(z'|x'), (x', z') ~ p

    The decoder's is a bound, no encoder's is: they estimate KL(p(z|x) ‖ q(z|x)) up to what q does not change, on data
    and on dreams. Samples z carry no gradient. K = 1 with the sleep phase alone is the wake-sleep algorithm.

    Args:
        log_joint: log p(x, z_k), `[K, B]`, at z_k ~ q(z|x).
        log_q: log q(z_k|x), `[K, B]`.
        dream_log_q: log q(z'|x'), `[B]`, at (x', z') ~ p(x, z).

    Returns:
        `decoder`, `wake_encoder` and `sleep_encoder`, each `[B]`, nats.

    Raises:
        ValueError: if `log_joint` or `log_q` is not `[K, B]`, or `dream_log_q` not `[B]`.

    References:
        Bornschein and Bengio 2015, "Reweighted wake-sleep"; Hinton et al. 1995, "The wake-sleep algorithm".
    """
    check_axes("K, B", log_joint=log_joint, log_q=log_q)
    check_axes("B", dream_log_q=dream_log_q)
    if dream_log_q.shape != log_q.shape[1:]:
        raise ValueError(f"dream_log_q must have the batch size of log_q, {log_q.shape[1]}; got {dream_log_q.size}.")
    log_weights = log_joint - jax.lax.stop_gradient(log_q)
    weights = jax.nn.softmax(jax.lax.stop_gradient(log_weights), axis=0)
    return WakeSleepLosses(-log_mean_exp(log_weights), -jnp.sum(weights * log_q, axis=0), -dream_log_q)


def _path_log_weights(log_joint_fn, log_q_fn, q_params, z):
    """Compute log w, `[K, B]`, without the gradient by the posterior's own parameters."""
    check_examples(z=z)
    if z.ndim < 2:
        raise ValueError(f"z must have shape [K, B, ...]; got shape {z.shape}.")
    log_joint, log_q = log_joint_fn(z), log_q_fn(jax.lax.stop_gradient(q_params), z)
    for name, values in (("log_joint_fn", log_joint), ("log_q_fn", log_q)):
        if values.shape != z.shape[:2]:
            raise ValueError(f"{name} must return shape [K, B], {z.shape[:2]} for this z; got shape {values.shape}.")
    return log_joint - log_q


@jax.custom_jvp
def _scale_gradient(x, factor):
    return x


@_scale_gradient.defjvp
def _scale_gradient_jvp(primals, tangents):
    x, factor = primals
    return x, factor * tangents[0]
