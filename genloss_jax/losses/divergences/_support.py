"""Divergences of two discrete distributions on a common support."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax._names import look_up


def f_divergence(log_p: Float[Array, " support"], log_q: Float[Array, " support"], name: str) -> Float[Array, ""]:
    """Compute an f-divergence of two discrete distributions, D_f(p || q) = sum_k q_k f(p_k / q_k).

    - "kl": sum p log(p / q)
    - "reverse_kl": sum q log(q / p)
    - "jeffreys": sum (p - q) log(p / q), the sum of both
    - "jensen_shannon": 2 JSD = KL(p || m) + KL(q || m) with m = (p + q) / 2
    - "gan": 2 JSD - log 4, the value of the minimax game
    - "pearson": sum (p - q)² / q
    - "neyman": sum (p - q)² / p
    - "squared_hellinger": sum (sqrt p - sqrt q)², without a ½
    - "total_variation": ½ sum |p - q|

    The names and factors are those of `adversarial.f_gan`, whose game has this value at the optimal critic.

    Args:
        log_p: `[K]` log-probabilities of the data; -inf where the probability is 0.
        log_q: `[K]` log-probabilities of the model on the same support.
        name: one of the above.

    Returns:
        Scalar, in nats where a logarithm stands above and without unit elsewhere. Infinite where p and q do not
        share their support and the divergence is unbounded.

    Raises:
        ValueError: if the name is unknown or the shapes differ.

    References:
        Nowozin et al. 2016, "f-GAN", table 1, by its generators f: the column of integrals there has Pearson and Neyman
        exchanged, and ½ on the Jensen-Shannon divergence.
    """
    terms = look_up("divergence", name, _F_DIVERGENCES)
    return jnp.sum(terms(*_common_support(log_p, log_q)))


def alpha_divergence(
    log_p: Float[Array, " support"], log_q: Float[Array, " support"], *, alpha: float
) -> Float[Array, ""]:
    """Compute the alpha-divergence of two discrete distributions.

    D_alpha(p || q) = (sum_k p_k^alpha q_k^(1 - alpha) - 1) / (alpha (alpha - 1))

    It is KL(p || q) at alpha = 1 and KL(q || p) at alpha = 0 (limits, computed as such), half of Pearson's at 2, half
    of Neyman's at -1 and twice the squared Hellinger divergence of `f_divergence` at ½. The power divergence of
    Cressie and Read with lambda = alpha - 1 is twice as large.

    Args:
        log_p: `[K]` log-probabilities of the data; -inf where the probability is 0.
        log_q: `[K]` log-probabilities of the model on the same support.
        alpha: static real number.

    Returns:
        Scalar, in nats.

    Raises:
        ValueError: if the shapes differ.

    References:
        Cressie and Read 1984, "Multinomial goodness-of-fit tests".
    """
    if alpha > 1:  # D_alpha(p || q) = D_(1 - alpha)(q || p), which is infinite where it ought to be
        return alpha_divergence(log_q, log_p, alpha=1 - alpha)
    if alpha in (0, 1):
        return f_divergence(log_p, log_q, "kl" if alpha == 1 else "reverse_kl")
    p, q, log_p, log_q = _common_support(log_p, log_q)
    # (sum p^alpha q^(1 - alpha) - 1) / (alpha (alpha - 1)). The terms alpha (p - q) sum to 0, and take with them the
    # rounding errors of p close to q.
    excess = _weigh(q, jnp.expm1(alpha * (log_p - log_q))) - alpha * (p - q)
    return jnp.sum(excess) / (alpha * (alpha - 1))


def _weigh(mass, value):
    """Multiply with the convention 0 · ∞ = 0 of measure theory."""
    return jnp.where(mass > 0, mass * jnp.where(mass > 0, value, 0), 0)


def _common_support(log_p, log_q):
    if log_p.ndim != 1:
        raise ValueError(f"log_p has shape {log_p.shape}, expected a vector of log-probabilities [K].")
    if log_q.shape != log_p.shape:
        raise ValueError(f"log_q has shape {log_q.shape}, expected {log_p.shape} to match log_p.")
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    # A point outside both supports counts for nothing; its log-ratio would be NaN.
    nowhere = jnp.isneginf(log_p) & jnp.isneginf(log_q)
    return p, q, jnp.where(nowhere, 0, log_p), jnp.where(nowhere, 0, log_q)


def _minimax(p, q, log_p, log_q, offset):
    ratio = log_p - log_q
    return _weigh(p, offset - jax.nn.softplus(-ratio)) + _weigh(q, offset - jax.nn.softplus(ratio))


# name -> (p, q, log p, log q) -> the divergence's term at each point of the support
_F_DIVERGENCES = {
    "kl": lambda p, q, log_p, log_q: _weigh(p, log_p - log_q),
    "reverse_kl": lambda p, q, log_p, log_q: _weigh(q, log_q - log_p),
    "jeffreys": lambda p, q, log_p, log_q: _weigh(jnp.abs(p - q), jnp.abs(log_p - log_q)),
    "jensen_shannon": lambda p, q, log_p, log_q: _minimax(p, q, log_p, log_q, math.log(2)),
    "gan": lambda p, q, log_p, log_q: _minimax(p, q, log_p, log_q, 0.0),
    "pearson": lambda p, q, log_p, log_q: _weigh(jnp.abs(p - q), jnp.abs(jnp.expm1(log_p - log_q))),
    "neyman": lambda p, q, log_p, log_q: _weigh(jnp.abs(q - p), jnp.abs(jnp.expm1(log_q - log_p))),
    "squared_hellinger": lambda p, q, log_p, log_q: (jnp.exp(0.5 * log_p) - jnp.exp(0.5 * log_q)) ** 2,
    "total_variation": lambda p, q, log_p, log_q: 0.5 * jnp.abs(p - q),
}
