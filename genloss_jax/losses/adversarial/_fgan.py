"""Variational lower bounds of f-divergences, and the α-GAN, which moves through several of them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from genloss_jax.losses.adversarial._head import AdversarialLoss, Logits, finite_exp, finite_expm1, make_loss


class _Variational(NamedTuple):
    """T = activation(v) lies in the domain of the conjugate f*, and conjugate(v) is f*(activation(v))."""

    activation: Callable[[Array], Array]
    conjugate: Callable[[Array], Array]


_DIVERGENCES = {
    "kl": _Variational(lambda v: v, lambda v: finite_exp(v - 1.0)),
    "reverse_kl": _Variational(lambda v: -finite_exp(-v), lambda v: v - 1.0),
    "jensen_shannon": _Variational(
        lambda v: math.log(2.0) - jax.nn.softplus(-v), lambda v: jax.nn.softplus(v) - math.log(2.0)
    ),
    "gan": _Variational(lambda v: -jax.nn.softplus(-v), jax.nn.softplus),
    # A density ratio is never negative, so f* is flat below T = -2. The parabola printed in the table turns round there
    # and would push the generator away from the data.
    "pearson": _Variational(lambda v: v, lambda v: jnp.square(0.5 * jnp.maximum(v, -2.0) + 1.0) - 1.0),
    "neyman": _Variational(lambda v: -finite_expm1(-v), lambda v: -2.0 * finite_expm1(-0.5 * v)),
    "squared_hellinger": _Variational(lambda v: -finite_expm1(-v), finite_expm1),
    # T = f'(exp v) makes the conjugate elementary; with T = v it needs Lambert's W.
    "jeffreys": _Variational(lambda v: v - finite_expm1(-v), lambda v: v + finite_expm1(v)),
    "total_variation": _Variational(lambda v: 0.5 * jnp.tanh(v), lambda v: 0.5 * jnp.tanh(v)),
}

F_GAN_DIVERGENCES = tuple(_DIVERGENCES)


def f_gan(divergence: str, *, saturating: bool = True) -> AdversarialLoss:
    """Builds the f-GAN of a divergence D_f(p ‖ q) = E_q[f(p/q)], p the data and q the model.

    Discriminator: -T(real) + f*(T(fake)). Generator: -f*(T(fake)), zero-sum; -T(fake) if not saturating.
    T is the activation of the logit v that maps it into the domain of f*:

    | divergence        | f(u)                           | T(v)                 | f*(T(v))                | best v    |
    |-------------------|--------------------------------|----------------------|-------------------------|-----------|
    | kl                | u log u                        | v                    | exp(v - 1)              | 1+log u   |
    | reverse_kl        | -log u                         | -exp(-v)             | v - 1                   | log u     |
    | jensen_shannon    | u log u - (u + 1) log((1+u)/2) | log 2 - softplus(-v) | softplus(v) - log 2     | log u     |
    | gan               | u log u - (u + 1) log(1 + u)   | -softplus(-v)        | softplus(v)             | log u     |
    | pearson           | (u - 1)²                       | v                    | (max(v, -2)/2 + 1)² - 1 | 2 (u - 1) |
    | neyman            | (1 - u)²/u                     | 1 - exp(-v)          | 2 - 2 exp(-v/2)         | 2 log u   |
    | squared_hellinger | (√u - 1)²                      | 1 - exp(-v)          | exp(v) - 1              | 1/2 log u |
    | jeffreys          | (u - 1) log u                  | 1 + v - exp(-v)      | exp(v) - 1 + v          | log u     |
    | total_variation   | 1/2 abs(u - 1)                 | 1/2 tanh v           | 1/2 tanh v              | ±∞        |

    Conventions: `jensen_shannon` is twice the Jensen-Shannon divergence, `gan` is that minus log 4, and
    `squared_hellinger` has no 1/2, all as in the paper. The activations are the paper's except for Jeffreys, where its
    choice needs Lambert's W; the conjugate of Pearson is flat below -2, where u ≥ 0 binds. Exponentials are
    continued by their tangent above 44 in float32 (half the logarithm of the largest number), so that values and
    gradients stay finite; the bound is exact below.

    Args:
        divergence: one of "kl", "reverse_kl", "jensen_shannon", "gan", "pearson", "neyman", "squared_hellinger",
            "jeffreys", "total_variation".
        saturating: whether the generator plays the zero-sum game of the bound, or the paper's practical one.

    Returns:
        The pair of losses, in nats or the divergence's own unit. Minus the critic's mean loss is a lower bound of D_f.

    Raises:
        ValueError: the divergence is unknown.

    References:
        Nowozin et al. 2016, "f-GAN", equations 4 and 6, tables 1 and 2, section 3.2.
    """
    if divergence not in _DIVERGENCES:
        raise ValueError(f"divergence came as {divergence!r}, expected one of {', '.join(_DIVERGENCES)}.")
    activation, conjugate = _DIVERGENCES[divergence]

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return -activation(real_logits) + conjugate(fake_logits)

    def generator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return -conjugate(fake_logits) if saturating else -activation(fake_logits)

    return make_loss(discriminator, generator)


def alpha_gan(alpha: float, *, saturating: bool = True) -> AdversarialLoss:
    """Builds the α-GAN, whose classification loss is ℓ(D) = α/(α - 1) (1 - D^(1 - 1/α)).

    Discriminator: ℓ(D(real)) + ℓ(1 - D(fake)) with D = sigmoid. Generator: -ℓ(1 - D(fake)), zero-sum;
    ℓ(D(fake)) if not saturating.

    α = 1 is `minimax`, α = 1/2 measures squared Hellinger, α = ∞ total variation. The optimal critic is α log p/q, and
    the critic's loss there α/(α - 1) (2 - Σ (p^α + q^α)^(1/α)), which falls as Arimoto's divergence of order α grows.

    Args:
        alpha: order in (0, ∞], a Python number.
        saturating: whether the game is zero-sum.

    Returns:
        The pair of losses, in nats at α = 1.

    Raises:
        ValueError: alpha is not positive.

    References:
        Kurri, Sypherd and Sankar 2021, "Realizing GANs via a Tunable Loss Function", theorems 1 and 2. Not the α-GAN
        of Rosca et al. 2017, which combines a GAN with a VAE.
    """
    if not alpha > 0.0:
        raise ValueError(f"alpha came as {alpha}, expected a number greater than 0.")
    power = 1.0 - 1.0 / alpha

    def alpha_loss(logits: Array) -> Array:
        log_probability = jax.nn.log_sigmoid(logits)
        return -log_probability if power == 0.0 else -finite_expm1(power * log_probability) / power

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return alpha_loss(real_logits) + alpha_loss(-fake_logits)

    def generator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return -alpha_loss(-fake_logits) if saturating else alpha_loss(fake_logits)

    return make_loss(discriminator, generator)
