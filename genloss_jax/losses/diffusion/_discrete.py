"""Masked diffusion of discrete tokens."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.losses.diffusion._shared import check_numbers

LogitsFn = Callable[[Int[Array, "batch length"], Float[Array, " batch"]], Float[Array, "batch length vocabulary"]]
"""Maps partly masked tokens `[B, L]` and times `[B]` to logits of the original tokens `[B, L, V]`."""


def linear_alpha(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """Give the share of tokens that are not masked, falling linearly.

    α(t) = 1 − t

    Args:
        t: times in [0, 1], any shape.

    Returns:
        α, in the shape of `t`.
    """
    return 1 - t


def masked_diffusion_loss(
    logits_fn: LogitsFn,
    key: PRNGKeyArray,
    tokens: Int[Array, "batch length"],
    t: Float[Array, " batch"],
    *,
    mask_token: int | Int[Array, ""],
    alpha_fn: Callable[[Float[Array, " batch"]], Float[Array, " batch"]] = linear_alpha,
) -> Float[Array, " batch"]:
    """Estimate the likelihood bound of masked (absorbing) diffusion.

    −α'(t) / (1 − α(t)) Σ over masked i of −log p(x_i | unmasked), each token masked with probability 1 − α(t)

    Its mean over t uniform on [0, 1] and over masks is an upper bound of −log p(x): the cost of generating the tokens
    in a random order, whatever the schedule. For a model that knows all conditionals it is −log p(x) itself. With the
    linear α the weight is 1 / t; where nothing is masked, at t = 0 in any case, the value is 0.

    Args:
        logits_fn: maps partly masked tokens `[B, L]` and times `[B]` to logits `[B, L, V]`; those of tokens that
            are not masked do not count.
        key: draws the masks.
        tokens: x, integers in [0, V), `[B, L]`.
        t: times in [0, 1], `[B]`, 0 is data; `stratified_times` keeps the variance low.
        mask_token: what a masked token is replaced by; not one of the V.
        alpha_fn: α, falling from 1 to 0.

    Returns:
        `[B]`, nats, summed over tokens.

    Raises:
        ValueError: if `tokens` are not integers `[B, L]`, or the other shapes do not fit.

    References:
        Sahoo et al. 2024, Simple and Effective Masked Diffusion Language Models; Shi et al. 2024, Simplified and
        Generalized Masked Diffusion for Discrete Data.
    """
    if jnp.ndim(tokens) != 2 or not jnp.issubdtype(jnp.result_type(tokens), jnp.integer):
        raise ValueError(f"tokens must be integers [B, L]; got {jnp.result_type(tokens)} of shape {jnp.shape(tokens)}.")
    check_numbers("tokens", tokens, t=t)
    alpha, slope = jax.jvp(alpha_fn, (t,), (jnp.ones_like(t),))
    # Not in the dtype of t: half precision has too few uniform numbers.
    masked = parts.draw(jax.random.uniform, key, tokens.shape) >= alpha[:, None]
    logits = logits_fn(jnp.where(masked, mask_token, tokens), t)
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape:
        raise ValueError(f"logits_fn must map tokens {tokens.shape} to logits [B, L, V]; it returned {logits.shape}.")
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    nll = -jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    # Where no token is masked the value is 0, however large the weight.
    some = jnp.any(masked, axis=1)
    weight = jnp.where(some, -slope, 0) / jnp.where(some, 1 - alpha, 1)
    return weight * jnp.sum(jnp.where(masked, nll, 0), axis=1)
