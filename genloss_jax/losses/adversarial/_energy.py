"""Losses of critics that output an energy, such as an autoencoder's error. The energy is minus the logit."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from genloss_jax.losses.adversarial._head import AdversarialLoss, Logits, check_logits, make_loss


def _energy_of_fakes(real_logits: Logits, fake_logits: Logits) -> Logits:
    """E(fake) = -fake."""
    return -fake_logits


def energy_based(margin: float = 1.0) -> AdversarialLoss:
    """Builds the energy-based GAN with energy E = -logit.

    Discriminator: E(real) + relu(margin - E(fake)) = -real + relu(margin + fake). Generator: E(fake) = -fake.

    The paper's energies are at least 0, so the logits must be at most 0 (minus an autoencoder's error); on unbounded
    critics the real term falls without limit. With E ≥ 0 the optimum is E = 0 where p > q and E = margin where q > p,
    the critic's loss there margin (1 - TV(p, q)), and the generator's gradient that of margin TV.

    Args:
        margin: energy beyond which fake examples no longer count, positive.

    Returns:
        The pair of losses, in units of the energy.

    Raises:
        ValueError: the margin is not positive.

    References:
        Zhao, Mathieu and LeCun 2017, "Energy-based Generative Adversarial Networks", equations 1 and 2.
    """
    if not margin > 0.0:
        raise ValueError(f"margin came as {margin}, expected a number greater than 0.")

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return -real_logits + jax.nn.relu(margin + fake_logits)

    return make_loss(discriminator, _energy_of_fakes)


def began(balance: ArrayLike) -> AdversarialLoss:
    """Builds BEGAN with energy E = -logit, at a given weight k of the fakes.

    Discriminator: E(real) - k E(fake) = -real + k fake. Generator: E(fake) = -fake.

    k is a state of training, kept in `aux` and moved by `began_balance` after each step; it may be traced. For energies
    in [0, m] the optimum is E = m where k q > p and 0 elsewhere, the critic's loss there -m Σ max(k q - p, 0).

    Args:
        balance: the scalar k in [0, 1].

    Returns:
        The pair of losses, in units of the energy.

    References:
        Berthelot, Schumm and Metz 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks", equation 5.
    """

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return -real_logits + jnp.asarray(balance, fake_logits.dtype) * fake_logits

    return make_loss(discriminator, _energy_of_fakes)


def began_balance(
    balance: ArrayLike, real_logits: ArrayLike, fake_logits: ArrayLike, *, gamma: float = 0.5, rate: float = 1e-3
) -> Float[Array, ""]:
    """Moves BEGAN's weight towards the equilibrium E(fake) = gamma E(real) of mean energies.

    k' = clip(k + rate (gamma mean E(real) - mean E(fake)), 0, 1), with E = -logit.

    Args:
        balance: the scalar k before the step; 0 at the start of training.
        real_logits: minus the energies of the real examples, `[batch]`.
        fake_logits: minus the energies of the fake examples, `[batch]`.
        gamma: diversity ratio, in [0, 1]; lower means sharper and less varied.
        rate: proportional gain, the paper's λ_k.

    Returns:
        The scalar k after the step, in [0, 1].

    Raises:
        ValueError: the logits are not two float arrays of one shape `[batch]`.

    References:
        Berthelot, Schumm and Metz 2017, "BEGAN", equation 5.
    """
    real_logits, fake_logits = check_logits(real_logits, fake_logits)
    imbalance = jnp.mean(fake_logits) - gamma * jnp.mean(real_logits)
    return jnp.clip(balance + rate * imbalance, 0.0, 1.0)
