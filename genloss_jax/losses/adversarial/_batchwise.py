"""Losses that compare examples within a batch: cumulants, Donsker-Varadhan, softmax, dual contrastive, GAN-QP."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from genloss_jax import _parts as parts
from genloss_jax.losses.adversarial._head import AdversarialLoss, Logits, log_mean_exp, make_loss


def cumulant(*, beta: float = 0.5, gamma: float = 0.5) -> AdversarialLoss:
    """Builds the cumulant GAN, which compares cumulant generating functions instead of means.

    Discriminator: 1/β log E_p[exp(-β real)] + 1/γ log E_q[exp(γ fake)]. Generator, zero-sum: -1/γ log E_q[exp(γ fake)].
    A rate of zero stands for its limit, the mean; expectations are over the batch, so each example carries the same
    value of such a term.

    β = γ = 0 is `wasserstein`; (0, 1) measures KL(p ‖ q), (1, 0) KL(q ‖ p), (1/2, 1/2) -4 log Σ√(pq). If β + γ = 1,
    the optimal critic is log p/q + constant, and the critic's loss there 1/(βγ) log Σ p^γ q^β = -1/γ R_γ(p ‖ q), with R
    Rényi's divergence of order γ.

    Args:
        beta: rate on real logits, at least 0.
        gamma: rate on fake logits, at least 0.

    Returns:
        The pair of losses, in nats if β + γ = 1. In a batch it is a biased estimate, since the logarithm of a mean
        is.

    Raises:
        ValueError: a rate is negative.

    References:
        Pantazis et al. 2022, "Cumulant GAN", definition of the loss and theorem on its special cases.
    """
    for name, rate in (("beta", beta), ("gamma", gamma)):
        if not rate >= 0.0:
            raise ValueError(f"{name} came as {rate}, expected a number of at least 0.")

    def cumulant_of(logits: Logits, rate: float) -> Logits:
        if rate == 0.0:
            return logits
        everyones = parts.whole(logits, "a cumulant")
        return jnp.broadcast_to(log_mean_exp(rate * everyones) / rate, logits.shape)

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return cumulant_of(-real_logits, beta) + cumulant_of(fake_logits, gamma)

    def generator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return -cumulant_of(fake_logits, gamma)

    return make_loss(discriminator, generator)


kl_wasserstein = cumulant(beta=0.0, gamma=1.0)
"""KL-Wasserstein GAN: the Wasserstein game with fake examples reweighted by r = exp(T)/E_q[exp(T)].

Discriminator: -real + log E_q[exp(fake)], where the logarithm is E_q[r fake] - E_q[r log r] at those weights, its
maximum over all weights; generator, zero-sum: -log E_q[exp(fake)]. Its gradients are those of the reweighted
-real + E_q[r fake] with r held fixed. The optimal critic is log p/q + constant, the critic's loss there -KL(p ‖ q).
It equals `cumulant` at (0, 1).
The authors' image code differs: it puts hinges around the reweighted logits and differentiates r.

References:
    Song and Ermon 2020, "Bridging the Gap Between f-GANs and Wasserstein GANs", section 3 and the KL case.
"""


def _log_partition(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return jax.nn.logsumexp(parts.whole(jnp.concatenate([real_logits, fake_logits]), "the softmax loss"))


def _softmax_discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Log Z - real, with Z the sum of exp(logit) over both halves of the batch."""
    return _log_partition(real_logits, fake_logits) - real_logits


def _softmax_generator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Log Z - 1/2 (real + fake)."""
    return _log_partition(real_logits, fake_logits) - 0.5 * (real_logits + fake_logits)


softmax = make_loss(_softmax_discriminator, _softmax_generator)
"""Softmax GAN: cross-entropies of a softmax over all 2B examples against uniform on the real ones, or on all.

Discriminator: log Z - mean real; generator: log Z - mean of all logits, Z summing exp(logit) over both halves.
The optimal critic is log p/(p + q) + constant. With m = (p + q)/2 the critic's loss there is log 2B - KL(p ‖ m), the
generator's log 2B + KL(m ‖ p), at least log 2B. Values grow with log of the batch size. With an optimal *fixed* critic
the generator's gradient is no descent direction where q < p.

References:
    Lin 2017, "Softmax GAN", equations of the two losses (energy μ = -logit).
"""


def _dual_contrastive_discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """log(1 + Σ_j exp(fake_j - real_i)) + log(1 + Σ_j exp(fake_i - real_j))."""
    all_real_logits, all_fake_logits = (
        parts.whole(logits, "the dual contrastive loss") for logits in (real_logits, fake_logits)
    )
    real_against_fakes = jax.nn.softplus(jax.nn.logsumexp(all_fake_logits) - real_logits)
    fake_against_reals = jax.nn.softplus(jax.nn.logsumexp(-all_real_logits) + fake_logits)
    return real_against_fakes + fake_against_reals


def _dual_contrastive_generator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """-discriminator: the game is zero-sum."""
    return -_dual_contrastive_discriminator(real_logits, fake_logits)


dual_contrastive = make_loss(_dual_contrastive_discriminator, _dual_contrastive_generator)
"""Dual contrastive loss: each real example among all fakes, and each fake one among all reals.

Example i: log(1 + Σ_j exp(fake_j - real_i)) + log(1 + Σ_j exp(fake_i - real_j)); the generator maximises it.
With growing batch the optimal critic tends to log p/q and the critic's loss to 2 log B - KL(p ‖ q) - KL(q ‖ p); at
finite B, at that critic, it is E_p[log(1 + B q/p)] + E_q[log(1 + B p/q)] where the batch has those frequencies.

References:
    Yu et al. 2021, "Dual Contrastive Loss and Attention for GANs", section 3.
"""


def quadratic_potential(scale: ArrayLike = 1.0) -> AdversarialLoss:
    """Builds GAN-QP, which needs no Lipschitz constraint since the critic's margin is penalised by its own square.

    With the margin Δ = real - fake of each pair: discriminator -Δ + Δ²/(2 scale), generator Δ.

    The distance of the data enters through `scale`, the paper's λ d(x_real, x_fake): the loss heads see logits only, so
    build the loss inside the training loss with `quadratic_potential(lam * distance)`, `distance` of shape `[batch]`.
    A constant scale measures scale Δ_LC/(2 + Δ_LC), Δ_LC = Σ (p - q)²/(p + q) (Le Cam's triangular discrimination),
    with the critic 2 scale/(2 + Δ_LC) (p - q)/(p + q) + constant. On two points x ≠ y the game's value is scale/2, so
    with the distance it does not saturate as the points move apart.

    Args:
        scale: positive; a number, or one value per pair, `[batch]`.

    Returns:
        The pair of losses, in critic units.

    Raises:
        ValueError: the scale is neither a number nor one value per pair.

    References:
        Su 2018, "GAN-QP", sections on the quadratic potential divergence and its critic.
    """

    def checked_scale(margins: Logits) -> jax.Array:
        shape = jnp.shape(scale)
        if shape not in ((), margins.shape):
            raise ValueError(f"scale came with shape {shape}, expected () or {margins.shape}, one value per pair.")
        return jnp.asarray(scale, margins.dtype)

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        margins = real_logits - fake_logits
        return -margins + jnp.square(margins) / (2.0 * checked_scale(margins))

    def generator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return real_logits - fake_logits

    return make_loss(discriminator, generator)
