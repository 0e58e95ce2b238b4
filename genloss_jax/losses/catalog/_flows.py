"""Cards of the losses of flows."""

import jax

from genloss_jax.losses import flows
from genloss_jax.losses.catalog._card import Example, LossCard

BATCH = 6


def _pair(call):
    """Draw an example for a loss of two log-densities per example."""
    return lambda key: Example(call, tuple(jax.random.normal(each, (BATCH,)) for each in jax.random.split(key)))


def _card(name, equation, conventions, minimised_by, reference, proof, kind="exact", call=None):
    return LossCard(
        name=name,
        family="flows",
        fn=getattr(flows, name),
        equation=equation,
        unit="nats",
        kind=kind,
        conventions=conventions,
        minimised_by=minimised_by,
        reference=reference,
        proof=f"tests/losses/test_flows.py::{proof}",
        example=_pair(call or getattr(flows, name)),
    )


CARDS: tuple[LossCard, ...] = (
    _card(
        "change_of_variables_nll",
        "-[log p_z(f(x)) + log |det ∂f(x)/∂x|]",
        "the log-determinant of the map from data to base: of the other direction it has the other sign; not a KL "
        "divergence, but KL(data || flow) plus the entropy of the data",
        "flow = data; its mean is then the entropy of the data",
        "Dinh et al. 2017, Real NVP, equation 2",
        "test_affine_flow_is_the_gaussian_of_scipy",
    ),
    _card(
        "variational_dequantization_loss",
        "log r(u | x) - log p(x + u), u ~ r",
        "bins of width 1: a density of (x + u) / n needs log n per dimension more, which bits_per_dim adds; the bound "
        "is the mean over u",
        "r = p(u | x); every draw is then -log P(x)",
        "Ho et al. 2019, Flow++, section 3.1",
        "test_optimal_dequantiser_gives_the_exact_probability_at_every_draw",
        kind="upper bound",
    ),
    _card(
        "reverse_kl_loss",
        "log q(x) - log p(x), x ~ q",
        "flow first; its mean is KL(q || p), less log Z for an unnormalised p; single values may be negative",
        "q = p; then it is 0 at every point",
        "Papamakarios et al. 2021, section 2.3.2",
        "test_mean_reverse_kl_of_gaussians_is_the_closed_form",
    ),
    _card(
        "forward_kl_loss",
        "log p(x) - log q(x), x ~ p",
        "data first, of known density; its mean is KL(p || q), the gap of change_of_variables_nll above the entropy",
        "q = p; then it is 0 at every point",
        "Papamakarios et al. 2021, section 2.3.1",
        "test_mean_forward_kl_of_gaussians_is_the_closed_form",
    ),
    _card(
        "alpha_divergence_loss",
        "(w^α - 1 - α (w - 1)) / (α (α - 1)), w = p(x) / q(x), x ~ q",
        "flow first, samples from the flow; its mean is D_α(p || q), with KL(q || p) at α = 0 and KL(p || q) at 1 as "
        "limits; never negative; for normalised p",
        "q = p; then it is 0 at every point",
        "Minka 2005, section 2",
        "test_mean_alpha_divergence_of_gaussians_is_the_closed_form",
        call=lambda log_q, log_p: flows.alpha_divergence_loss(log_q, log_p, alpha=0.7),
    ),
)
