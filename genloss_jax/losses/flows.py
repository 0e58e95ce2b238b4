"""Losses of normalizing flows: change of variables, dequantisation, and divergences between densities."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.losses._shared import check_values

# --- Data under a density ---


def change_of_variables_nll(
    base_log_prob: Float[Array, " batch"], log_det: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """Compute the negative log-density of data under a flow.

    -log p(x) = -[log p_z(f(x)) + log |det ∂f(x)/∂x|], f from data to base

    Its mean over data is H(data) + KL(data || flow), so never below the entropy of the data: it is the forward KL
    divergence up to a constant, and where some code calls it by that name, "negative KL divergences" are reported.

    Args:
        base_log_prob: `[B]`, log p_z(f(x)).
        log_det: `[B]`, log |det| of the map from data to base, summed over all layers. The inverse map has the other
            sign.

    Returns:
        `[B]` in nats; negative where the density exceeds 1.

    Raises:
        ValueError: if an array is not floating `[B]` or the lengths differ.

    References:
        Dinh et al. 2017, "Density estimation using Real NVP", equation 2.
    """
    check_values(base_log_prob=base_log_prob, log_det=log_det)
    return -(base_log_prob + log_det)


# --- Dequantisation ---


def uniform_dequantize(key: PRNGKeyArray, bins: Int[Array, "*shape"], *, num_bins: int) -> Float[Array, "*shape"]:
    """Spread each integer evenly over its whole bin of the unit interval, y = (k + u) / num_bins with u ~ U[0, 1).

    By Jensen's inequality the mean of -log p(y) + D log num_bins bounds the negative log-probability of the bins from
    above, where D is the number of coordinates; `likelihood.bits_per_dim(nll, D, num_bins=num_bins)` has that offset.
    Noise over half a bin would look D log 2 nats better and bound nothing.

    Args:
        key: draws the noise.
        bins: integers from 0 to num_bins - 1, such as `likelihood.to_bins` gives.
        num_bins: number of bins.

    Returns:
        In the shape of bins, in [0, 1), in the default floating dtype; floor(y num_bins) is the bin again, rounding
        included.

    Raises:
        ValueError: if bins are not integers or num_bins is below 1.

    References:
        Theis et al. 2016, "A note on the evaluation of generative models", section 3.1.
    """
    if not jnp.issubdtype(jnp.result_type(bins), jnp.integer):
        raise ValueError(f"bins must be an array of integers; got dtype {jnp.result_type(bins)}.")
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1; got {num_bins}.")
    dtype = jnp.result_type(float)
    low = bins.astype(dtype)
    noise = parts.draw(jax.random.uniform, key, (bins.size,), dtype).reshape(bins.shape)
    # Sum, quotient and the caller's product round; at the ends of a bin they would reach into its neighbours.
    margin = 2 * float(jnp.finfo(dtype).eps)
    return jnp.clip(low + noise, low * (1 + margin), (low + 1) * (1 - margin)) / num_bins


def variational_dequantization_loss(
    data_log_prob: Float[Array, " batch"], noise_log_prob: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """Bound the negative log-probability of discrete data under a density, with noise from a learned dequantiser.

    -log P(x) <= E_r(u|x) [log r(u | x) - log p(x + u)], P(x) = ∫ p(x + u) du over the unit cube

    One draw of u for each example. The gap is KL(r || p(u | x)): with the optimal dequantiser r = p(x + u) / P(x) every
    draw has the value -log P(x), and with uniform noise, noise_log_prob = 0, it is the usual bound. Of several draws
    `variational.iwae_loss` with log-weights data_log_prob - noise_log_prob is tighter.

    Args:
        data_log_prob: `[B]`, log p(x + u) in units in which a bin has width 1: of a density of (x + u) / num_bins
            subtract D log num_bins.
        noise_log_prob: `[B]`, log r(u | x) of u in [0, 1)^D.

    Returns:
        `[B]` in nats; its mean over u is an upper bound, single values need not be.

    Raises:
        ValueError: if an array is not floating `[B]` or the lengths differ.

    References:
        Ho et al. 2019, "Flow++", section 3.1; Hoogeboom et al. 2020, "Learning discrete distributions by
        dequantization".
    """
    check_values(data_log_prob=data_log_prob, noise_log_prob=noise_log_prob)
    return noise_log_prob - data_log_prob


# --- Divergences between densities ---


def reverse_kl_loss(log_q: Float[Array, " batch"], log_p: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """Estimate KL(q || p) of a flow q and a target p from samples of the flow.

    log q(x) - log p(x), x ~ q

    The mean over x is KL(q || p), at p unnormalised less log Z: the minimiser is the same and the value may be
    negative. For its gradient x must be a differentiable function of the flow's parameters.

    Args:
        log_q: `[B]`, log-densities of the flow at its own samples.
        log_p: `[B]`, log-densities of the target at the same points.

    Returns:
        `[B]` in nats; single values may be negative.

    Raises:
        ValueError: if an array is not floating `[B]` or the lengths differ.

    References:
        Papamakarios et al. 2021, "Normalizing flows for probabilistic modeling and inference", section 2.3.2.
    """
    check_values(log_q=log_q, log_p=log_p)
    return log_q - log_p


def forward_kl_loss(log_p: Float[Array, " batch"], log_q: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """Estimate KL(p || q) of data p, whose density is known, and a flow q from data.

    log p(x) - log q(x), x ~ p

    The gradient is that of `change_of_variables_nll`; the value is that loss's gap above the entropy of the data.

    Args:
        log_p: `[B]`, log-densities of the data at the data.
        log_q: `[B]`, log-densities of the flow at the same points.

    Returns:
        `[B]` in nats; single values may be negative.

    Raises:
        ValueError: if an array is not floating `[B]` or the lengths differ.

    References:
        Papamakarios et al. 2021, "Normalizing flows for probabilistic modeling and inference", section 2.3.1.
    """
    check_values(log_p=log_p, log_q=log_q)
    return log_p - log_q


def alpha_divergence_loss(
    log_q: Float[Array, " batch"], log_p: Float[Array, " batch"], *, alpha: float | Float[Array, ""]
) -> Float[Array, " batch"]:
    """Estimate the alpha-divergence of a target p and a flow q from samples of the flow.

    (w^alpha - 1 - alpha (w - 1)) / (alpha (alpha - 1)), w = p(x) / q(x), x ~ q
    alpha = 0: w - 1 - log w; alpha = 1: w log w - w + 1, the limits

    The mean over x is D_alpha(p || q) = (∫ p^alpha q^(1 - alpha) dx - 1) / (alpha (alpha - 1)), for normalised
    densities with q > 0 wherever p > 0: KL(q || p) at 0, twice the squared Hellinger divergence of
    `divergences.f_divergence` at ½, KL(p || q) at 1, half of Pearson's divergence at 2; the convention of
    `divergences.alpha_divergence`. The term in w - 1 has mean 0; because of it every single value is at least 0, and 0
    only where p = q.

    Of an unnormalised p the term in w - 1 measures the normaliser. There take `reverse_kl_loss`, or
    `variational.renyi_loss` of log p - log q, whose gradient does not see a constant factor of p.

    Args:
        log_q: `[B]`, log-densities of the flow at its own samples.
        log_p: `[B]`, log-densities of the target at the same points.
        alpha: any real number, may be traced. The larger, the more the flow must cover the target; above about 1 few
            samples dominate the mean.

    Returns:
        `[B]` in nats, never negative but for rounding.

    Raises:
        ValueError: if an array is not floating `[B]` or the lengths differ.

    References:
        Minka 2005, "Divergence measures and message passing", section 2 (his D_alpha with p first).
    """
    check_values(log_q=log_q, log_p=log_p)
    dtype = jnp.result_type(log_q, log_p)
    wide = jnp.promote_types(dtype, jnp.float32)
    log_w = log_p.astype(wide) - log_q.astype(wide)
    alpha = jnp.asarray(alpha, wide)
    low, above_one = alpha <= 0.5, alpha > 1
    # (w^alpha - 1) / alpha and (w^alpha - w) / (alpha - 1), each exact where its denominator vanishes, and without an
    # overflow times 0 at small w
    from_one = log_w * _mean_growth(alpha * log_w)
    least, gap = jnp.where(above_one, 1.0, alpha), jnp.where(above_one, alpha - 1, 1 - alpha)
    from_w = log_w * jnp.exp(least * log_w) * _mean_growth(gap * log_w)
    # (w^alpha - 1 - alpha (w - 1)) / (alpha (alpha - 1)), divided by whichever of alpha and 1 - alpha is not small
    value = jnp.where(low, jnp.expm1(log_w) - from_one, from_w - jnp.expm1(log_w)) / jnp.where(low, 1 - alpha, alpha)
    return value.astype(dtype)


# --- Helpers ---


def _mean_growth(rate):
    """Compute ∫₀¹ exp(rate t) dt = (exp(rate) - 1) / rate; it is 1 at rate 0."""
    small = jnp.abs(rate) < 1e-2
    safe, tiny = jnp.where(small, 1.0, rate), jnp.where(small, rate, 0.0)
    return jnp.where(small, 1 + tiny / 2 * (1 + tiny / 3 * (1 + tiny / 4 * (1 + tiny / 5))), jnp.expm1(safe) / safe)
