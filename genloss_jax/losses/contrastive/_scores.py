"""Losses and bounds of a matrix of scores: row i holds example i against all candidates, its positive on the diagonal.

The bounds on information are no losses: a model maximises them.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genloss_jax.losses._shared import check_examples
from genloss_jax.losses.contrastive._shared import AxisName, is_own, pick


def info_nce_loss(
    similarities: Float[Array, "batch candidates"], *, axis_name: AxisName = None
) -> Float[Array, " batch"]:
    """Classify each example's positive among all candidates.

    `−s_ii + log Σ_j exp s_ij`. The similarities are logits, with temperature or scale applied. Candidates are the
    columns of one row, the positive included: one direction, not symmetric. `log B` for a critic that says nothing; log
    B less this is the bound `info_nce`.

    Args:
        similarities: `[B, B]`, positives on the diagonal. With `axis_name`, this device's rows against the candidates
            of all N devices, `[B, N·B]`, which `gather_batch` collects.
        axis_name: name of the axis over devices.

    Returns:
        `[B]`, nats; its mean over all devices is the loss of the whole batch.

    Raises:
        ValueError: if `similarities` is not a floating array of that shape.

    References:
        van den Oord et al. 2018, Representation Learning with Contrastive Predictive Coding, Eq. 4.
    """
    own = _own("similarities", similarities, axis_name)
    return jax.nn.logsumexp(similarities, axis=1) - pick(similarities, own)


def info_nce(scores: Float[Array, "batch candidates"], *, axis_name: AxisName = None) -> Float[Array, " batch"]:
    """Bound mutual information from below by classification: low variance, but never above log B.

    `log B + f_ii − log Σ_j exp f_ij`, whose mean over batches is at most `min(I(x; y), log B)`; with the optimal critic
    `f = log p(y|x) / p(y)`, up to a function of x, it tends to I as B grows. To be maximised.

    Args:
        scores: critic f(x_i, y_j), `[B, B]`, pairs that belong together on the diagonal. With `axis_name`, `[B, N·B]`,
            and B in the formula is N·B.
        axis_name: name of the axis over devices.

    Returns:
        `[B]`, nats; the mean is the bound. Higher is better.

    Raises:
        ValueError: if `scores` is not a floating array of that shape.

    References:
        van den Oord et al. 2018; Poole et al. 2019, On Variational Bounds of Mutual Information, section 2.3.
    """
    own = _own("scores", scores, axis_name)
    return math.log(scores.shape[1]) + pick(scores, own) - jax.nn.logsumexp(scores, axis=1)


def nwj(scores: Float[Array, "batch candidates"], *, axis_name: AxisName = None) -> Float[Array, " batch"]:
    """Bound mutual information from below without a limit at log B, at the price of high variance.

    `f_ii − mean_{j≠i} exp(f_ij − 1)`. Its mean is at most I(x; y), and equal for the critic
    `f = 1 + log p(y|x) / p(y)`. Also known as f-GAN KL, TUBA with a constant baseline, and MINE-f. To be maximised. The
    exponential overflows in float32 for scores of wrong pairs above 89.

    Args:
        scores: critic f(x_i, y_j), `[B, B]` with B of at least 2, pairs that belong together on the diagonal. With
            `axis_name`, `[B, N·B]`.
        axis_name: name of the axis over devices.

    Returns:
        `[B]`, nats; the mean is the bound. Higher is better.

    Raises:
        ValueError: if `scores` is not a floating array of that shape, or has no wrong pair.

    References:
        Nguyen, Wainwright and Jordan 2010, Estimating Divergence Functionals and the Likelihood Ratio by Convex Risk
        Minimization; Poole et al. 2019, On Variational Bounds of Mutual Information, section 2.1.
    """
    own = _own("scores", scores, axis_name, smallest=2)
    wrong = jnp.where(own, -jnp.inf, scores)
    return pick(scores, own) - jnp.sum(jnp.exp(wrong - 1), axis=1) / (scores.shape[1] - 1)


def jensen_shannon(scores: Float[Array, "batch candidates"], *, axis_name: AxisName = None) -> Float[Array, " batch"]:
    """Bound the Jensen-Shannon divergence of joint and independent pairs from below: bounded, stable, but not I(x; y).

    `2 log 2 − softplus(−f_ii) − mean_{j≠i} softplus(f_ij)`. Its mean is at most `2 JSD(p(x, y), p(x) p(y))`, and equal
    for `f = log p(y|x) / p(y)`. It is 0 for f = 0 and at most log 4; Deep InfoMax leaves out the constant. To be
    maximised. The critic that it trains serves `nwj`, as 1 + f, for a bound on mutual information.

    Args:
        scores: critic f(x_i, y_j), `[B, B]` with B of at least 2, pairs that belong together on the diagonal. With
            `axis_name`, `[B, N·B]`.
        axis_name: name of the axis over devices.

    Returns:
        `[B]`, nats; the mean is the bound. Higher is better.

    Raises:
        ValueError: if `scores` is not a floating array of that shape, or has no wrong pair.

    References:
        Hjelm et al. 2019, Learning Deep Representations by Mutual Information Estimation and Maximization, Eq. 4.
    """
    own = _own("scores", scores, axis_name, smallest=2)
    wrong = jnp.where(own, -jnp.inf, scores)
    right_term = jax.nn.softplus(-pick(scores, own))
    return 2 * math.log(2) - right_term - jnp.sum(jax.nn.softplus(wrong), axis=1) / (scores.shape[1] - 1)


def barber_agakov(
    log_conditional: Float[Array, " batch"], log_marginal: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """Bound mutual information from below by how well one side is decoded from the other.

    `log q(x|y) − log p(x)` for pairs (x, y) of the joint distribution. Its mean is at most I(x; y), and equal for
    q(x|y) = p(x|y). The marginal must be the true one: with a model in its place the value is no bound. To be
    maximised.

    Args:
        log_conditional: log q(x|y), `[B]`.
        log_marginal: log p(x), `[B]`.

    Returns:
        `[B]`, nats; the mean is the bound. Higher is better.

    Raises:
        ValueError: if the two are not floating arrays of one shape `[B]`.

    References:
        Barber and Agakov 2003, The IM Algorithm: A Variational Approach to Information Maximization.
    """
    for name, values in (("log_conditional", log_conditional), ("log_marginal", log_marginal)):
        if jnp.ndim(values) != 1:
            raise ValueError(f"{name} must hold one number per example, shape (B,); got shape {jnp.shape(values)}.")
    check_examples(log_conditional=log_conditional, log_marginal=log_marginal)
    return log_conditional - log_marginal


def _own(name, scores, axis_name, smallest=1):
    """Check a matrix of scores and mark its positives."""
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    if jnp.ndim(scores) != 2 or scores.shape[1] != devices * scores.shape[0] or scores.shape[1] < smallest:
        raise ValueError(
            f"{name} must have shape [B, {'B' if devices == 1 else f'{devices}·B'}] with at least {smallest} columns; "
            f"got {jnp.shape(scores)}."
        )
    check_examples(**{name: scores})
    return is_own(scores.shape[0], axis_name)
