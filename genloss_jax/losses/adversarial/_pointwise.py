"""Losses that treat every logit alone: logistic, least squares, Wasserstein, hinge, boundary seeking."""

import jax
import jax.numpy as jnp

from genloss_jax.losses.adversarial._head import AdversarialLoss, Logits, make_loss


def _logistic_discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """softplus(-real) + softplus(fake), which is -log D(real) - log(1 - D(fake)) with D = sigmoid."""
    return jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits)


def _minimax_generator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """-softplus(fake), which is log(1 - D(fake))."""
    return -jax.nn.softplus(fake_logits)


def _non_saturating_generator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """softplus(-fake), which is -log D(fake)."""
    return jax.nn.softplus(-fake_logits)


def _boundary_seeking_generator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """1/2 fake², where fake is the log-odds log D - log(1 - D)."""
    return 0.5 * jnp.square(fake_logits)


def _wasserstein_discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Fake - real."""
    return fake_logits - real_logits


def _hinge_discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """relu(1 - real) + relu(1 + fake)."""
    return jax.nn.relu(1.0 - real_logits) + jax.nn.relu(1.0 + fake_logits)


def _linear_generator(real_logits: Logits, fake_logits: Logits) -> Logits:
    """-fake."""
    return -fake_logits


minimax = make_loss(_logistic_discriminator, _minimax_generator)
"""The zero-sum game of the original GAN; its generator saturates where the critic wins.

At the optimal critic, log p/q, the critic's loss is log 4 - 2 JSD(p, q), and the generator's gradient is that of 2 JSD.

References:
    Goodfellow et al. 2014, "Generative Adversarial Nets", equation 1.
"""

non_saturating = make_loss(_logistic_discriminator, _non_saturating_generator)
"""The original GAN as it is trained: the critic of `minimax`, and a generator that minimises -log D(fake).

At the optimal critic the generator's gradient is that of 2 KL((p + q)/2 ‖ p) = KL(q ‖ p) - 2 JSD(p, q).

References:
    Goodfellow et al. 2014, section 3; Arjovsky and Bottou 2017, theorem 2.5.
"""

boundary_seeking = make_loss(_logistic_discriminator, _boundary_seeking_generator)
"""Boundary-seeking GAN for continuous data: the generator pulls the log-odds of its samples to zero.

With the optimal critic its value is 1/2 E_q[log² p/q], zero exactly where p = q on the samples. It is even in the
logit: samples that the critic takes for real are pushed back too.

References:
    Hjelm et al. 2018, "Boundary-Seeking Generative Adversarial Networks", section 3 (continuous data).
"""

wasserstein = make_loss(_wasserstein_discriminator, _linear_generator)
"""The dual form of the 1-Wasserstein distance, for a critic that something else keeps 1-Lipschitz.

Unbounded below without such a constraint. Over 1-Lipschitz critics the least critic loss is -W1(p, q).

References:
    Arjovsky et al. 2017, "Wasserstein Generative Adversarial Networks", equation 2.
"""

hinge = make_loss(_hinge_discriminator, _linear_generator)
"""The hinge loss of geometric GANs, SN-GAN and BigGAN.

The optimal critic is sign(p - q), the critic's loss there 2 - 2 TV(p, q), and the generator's gradient that of 2 TV.

References:
    Lim and Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral Normalization for GANs", equations 16 and 17.
"""


def least_squares_targets(*, real: float, fake: float, generator: float) -> AdversarialLoss:
    """Builds a least-squares loss with its own targets, 1/2 on each term.

    Discriminator: 1/2 (real_logits - real)² + 1/2 (fake_logits - fake)². Generator: 1/2 (fake_logits - generator)².

    With targets 1, -1, 0 the optimal critic is (p - q)/(p + q) and the generator's loss, evaluated on both sides, is
    1/2 χ²_Pearson(2q ‖ p + q) with χ²(a ‖ b) = ∫(a - b)²/b, as in the paper. That identity substitutes the optimal
    critic; the gradient at a *fixed* critic is no descent direction where q < p, which is why 1, 0, 1 is the default
    elsewhere.

    Args:
        real: target of the critic on real examples.
        fake: target of the critic on fake examples.
        generator: target of the generator for the critic's output on fake examples.

    Returns:
        The pair of losses, in squared critic units.

    Raises:
        ValueError: the targets for real and fake are ordered the wrong way round.

    References:
        Mao et al. 2017, "Least Squares Generative Adversarial Networks", equation 2 and section 3.2.
    """
    if not real > fake:
        raise ValueError(f"real came as {real} and fake as {fake}, expected real > fake: logits are high on real.")

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        return 0.5 * jnp.square(real_logits - real) + 0.5 * jnp.square(fake_logits - fake)

    def generator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
        return 0.5 * jnp.square(fake_logits - generator)

    return make_loss(discriminator, generator_loss)


least_squares = least_squares_targets(real=1.0, fake=0.0, generator=1.0)
"""LSGAN with targets 1, 0, 1 on raw logits and 1/2 on each term.

At the optimal critic p/(p + q) the critic's loss is 1/4 - 1/8 χ²_Pearson(2q ‖ p + q), and the generator's gradient is
that of KL(p ‖ (p + q)/2) - 1/8 χ²_Pearson(2q ‖ p + q), an f-divergence.

References:
    Mao et al. 2017, "Least Squares Generative Adversarial Networks", equation 9.
"""


def label_smoothed(base: AdversarialLoss, *, real_label: float = 0.9) -> AdversarialLoss:
    """Smooths the real label of a logistic loss, one-sided, by mixing the targets.

    Discriminator: real_label softplus(-real) + (1 - real_label) softplus(real) + softplus(fake). The generator is the
    base's.

    The critic's optimum moves to sigmoid(t) = real_label p/(p + q). Multiplying the *logit* by the label instead,
    softplus(-real_label real), changes a temperature and smooths nothing: its optimum where q = 0 is still infinite.

    Args:
        base: `minimax`, `non_saturating` or `boundary_seeking`, whose critic is a logistic classifier.
        real_label: target probability of "real" on real examples, in (0, 1].

    Returns:
        The pair of losses, in nats.

    Raises:
        ValueError: the base's critic is not logistic, or the label is outside (0, 1].

    References:
        Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.4.
    """
    if base.discriminator not in (minimax.discriminator, non_saturating.discriminator, boundary_seeking.discriminator):
        raise ValueError("base came with a critic that is not logistic, expected that of minimax or non_saturating.")
    if not 0.0 < real_label <= 1.0:
        raise ValueError(f"real_label came as {real_label}, expected a probability in (0, 1].")

    def discriminator(real_logits: Logits, fake_logits: Logits) -> Logits:
        # softplus(x) = softplus(-x) + x, so mixing the two targets adds a linear term.
        return base.discriminator(real_logits, fake_logits) + (1.0 - real_label) * real_logits

    return make_loss(discriminator, base.generator)
