"""Losses that learn an unnormalised density by telling data from noise, without sampling from the model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax.losses._shared import Scalar, check_examples, check_positive, check_values, normal_like
from genloss_jax.losses.energy._shared import EnergyFn, evaluate, evaluate_draws


def noise_contrastive_loss(
    model_log_ratio_data: Float[Array, " batch"],
    model_log_ratio_noise: Float[Array, " batch"] | Float[Array, "batch draws"],
    *,
    noise_ratio: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Estimate a density, its constant included, by logistic regression of data against noise.

    `softplus(log ν − r(x)) + ν softplus(r(x̃) − log ν)` with `r = log model − log noise`, x data, x̃ noise. The model
    need not be normalised: at the optimum exp(r) is the ratio of the densities, so that an additive parameter of the
    log model becomes −log Z. The least mean at ν = 1 is `2 log 2 − 2 JSD(data, noise)`; as ν grows the gradient becomes
    that of maximum likelihood.

    Args:
        model_log_ratio_data: r(x) on data, `[B]`; for an energy, −E(x) + c − log noise(x) with c learned.
        model_log_ratio_noise: r(x̃) on noise, `[B]`, or `[B, K]` for K draws per example, which are averaged.
        noise_ratio: ν, how many times more noise than data the classifier expects. It weighs the noise whatever K is;
            the published estimate has K = ν.

    Returns:
        `[B]`, nats per example of data.

    Raises:
        ValueError: if the log-ratios are not floating, the first is not `[B]`, the second not `[B]` or `[B, K]`, or
            `noise_ratio` is not positive.

    References:
        Gutmann and Hyvärinen 2012, Noise-Contrastive Estimation of Unnormalized Statistical Models, section 2.
    """
    check_values(model_log_ratio_data=model_log_ratio_data)
    draws = _draws("model_log_ratio_noise", model_log_ratio_noise, model_log_ratio_data)
    check_positive("noise_ratio", noise_ratio)
    log_ratio = jnp.log(noise_ratio)
    # −log σ(r − log ν) − ν log σ(log ν − r)
    noise_term = jnp.mean(jax.nn.softplus(draws - log_ratio), axis=1)
    return jax.nn.softplus(log_ratio - model_log_ratio_data) + noise_ratio * noise_term


def conditional_noise_contrastive_loss(
    data_energy: Float[Array, " batch"],
    noisy_energy: Float[Array, " batch"] | Float[Array, "batch draws"],
    log_transition_ratio: Float[Array, " batch"] | Float[Array, "batch draws"] | None = None,
) -> Float[Array, " batch"]:
    """Learn which of an example and its noisy version is the example; the normalising constant cancels.

    `2 softplus(−G)` with `G = E(y) − E(x) + log c(y|x) − log c(x|y)`, x data and y drawn from c(y|x). For symmetric
    noise, such as y = x + σε, the transitions cancel. The least mean is `2 log 2 − 2 JSD(p(x)c(y|x), p(y)c(x|y))`. For
    small Gaussian noise the loss is `2 log 2 + ½σ² · (score matching)`. The factor 2 is the paper's.

    Args:
        data_energy: E(x) on data, `[B]`.
        noisy_energy: E(y), `[B]`, or `[B, K]` for K noisy versions of each example, which are averaged.
        log_transition_ratio: log c(y|x) − log c(x|y), in the shape of `noisy_energy`; None for symmetric noise.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if the energies are not floating, the first is not `[B]`, the second not `[B]` or `[B, K]`, or the
            ratio has another shape.

    References:
        Ceylan and Gutmann 2018, Conditional Noise-Contrastive Estimation of Unnormalised Models, section 2.
    """
    check_values(data_energy=data_energy)
    advantage = _draws("noisy_energy", noisy_energy, data_energy) - data_energy[:, None]
    if log_transition_ratio is not None:
        check_examples(noisy_energy=noisy_energy, log_transition_ratio=log_transition_ratio)
        advantage += log_transition_ratio.reshape(advantage.shape)
    # −2 log σ(G)
    return 2 * jnp.mean(jax.nn.softplus(-advantage), axis=1)


def energy_discrepancy_loss(
    energy_fn: EnergyFn,
    key: PRNGKeyArray,
    x: Float[Array, "batch *event"],
    *,
    sigma: Scalar,
    num_samples: int = 16,
    stabilisation: Scalar = 1.0,
) -> Float[Array, " batch"]:
    """Contrast the energy of data with the energy that is left after Gaussian noise has blurred it.

    `log (w/M + 1/M Σ_j exp(E(x) − E(x + σξ + σξ_j)))`, with ξ and ξ_j standard normal, ξ shared by the M draws. With w
    = 0 and M → ∞ its mean is the energy discrepancy `E_p[E(x)] − E_p E[E_σ(x + σξ)]`, where `E_σ(y) = −log E_ξ exp(−E(y
    + σξ))` is the blurred energy; that is least where exp(−E) is the data's density. With few draws the logarithm
    biases it downwards, and w bounds it from below by log(w/M). No score and no chain are needed. A small σ gives score
    matching, a large σ maximum likelihood.

    Args:
        energy_fn: maps points `[N, ...]` to energies `[N]`; called on B and on M·B points.
        key: draws ξ and ξ_j.
        x: data, `[B, ...]`.
        sigma: standard deviation of the noise, positive; the paper writes √t.
        num_samples: M, not traced.
        stabilisation: w, which stands for a draw of the example's own energy; 0 for none.

    Returns:
        `[B]`, nats.

    Raises:
        ValueError: if `x` is not floating, `energy_fn` does not return one energy per point, `sigma` is not positive,
            or there is no draw.

    References:
        Schröder et al. 2023, Energy Discrepancies: A Score-Independent Loss for Energy-Based Models.
    """
    check_examples(x=x)
    check_positive("sigma", sigma)
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1; got {num_samples}.")
    shared_key, draws_key = jax.random.split(key)
    draws = normal_like(draws_key, jnp.broadcast_to(x, (num_samples, *x.shape)), axis=1)
    blurred = (x + sigma * normal_like(shared_key, x))[None] + sigma * draws
    rises = evaluate(energy_fn, x)[None] - evaluate_draws(energy_fn, blurred)
    own = jnp.broadcast_to(jnp.log(jnp.asarray(stabilisation, rises.dtype)), (1, x.shape[0]))
    return jax.nn.logsumexp(jnp.concatenate([rises, own]), axis=0) - jnp.log(num_samples)


def _draws(name: str, values: Array, reference: Array) -> Float[Array, "batch draws"]:
    """Return values `[B]` or `[B, K]` as `[B, K]`."""
    if jnp.ndim(values) not in (1, 2) or jnp.shape(values)[:1] != reference.shape:
        raise ValueError(
            f"{name} must hold one number or one row of draws per example, {reference.shape} or "
            f"({len(reference)}, K); got shape {jnp.shape(values)}."
        )
    check_examples(**{name: values})
    return values.reshape(len(reference), -1)
