"""Cards of the losses of flows."""

from genloss_jax.losses import flows
from genloss_jax.losses.catalog._writing import normals, on_arrays, writer

_ROWS = (6,)
_card = writer(flows)


CARDS = (
    _card(
        "change_of_variables_nll",
        "-[log p_z(f(x)) + log |det ∂f(x)/∂x|]",
        "nats",
        "exact",
        "the log-determinant of the map from data to base: of the other direction it has the other sign; not a KL "
        "divergence, but KL(data || flow) plus the entropy of the data",
        "flow = data; its mean is then the entropy of the data",
        "Dinh et al. 2017, Real NVP, equation 2",
        "test_flows.py::test_affine_flow_is_the_gaussian_of_scipy",
        on_arrays(flows.change_of_variables_nll, normals(_ROWS, _ROWS)),
    ),
    _card(
        "variational_dequantization_loss",
        "log r(u | x) - log p(x + u), u ~ r",
        "nats",
        "upper bound",
        "bins of width 1: a density of (x + u) / n needs log n per dimension more, which bits_per_dim adds; the bound "
        "is the mean over u",
        "r = p(u | x); every draw is then -log P(x)",
        "Ho et al. 2019, Flow++, section 3.1",
        "test_flows.py::test_optimal_dequantiser_gives_the_exact_probability_at_every_draw",
        on_arrays(flows.variational_dequantization_loss, normals(_ROWS, _ROWS)),
    ),
    _card(
        "reverse_kl_loss",
        "log q(x) - log p(x), x ~ q",
        "nats",
        "exact",
        "flow first; its mean is KL(q || p), less log Z for an unnormalised p; single values may be negative",
        "q = p; then it is 0 at every point",
        "Papamakarios et al. 2021, section 2.3.2",
        "test_flows.py::test_mean_reverse_kl_of_gaussians_is_the_closed_form",
        on_arrays(flows.reverse_kl_loss, normals(_ROWS, _ROWS)),
    ),
    _card(
        "forward_kl_loss",
        "log p(x) - log q(x), x ~ p",
        "nats",
        "exact",
        "data first, of known density; its mean is KL(p || q), the gap of change_of_variables_nll above the entropy",
        "q = p; then it is 0 at every point",
        "Papamakarios et al. 2021, section 2.3.1",
        "test_flows.py::test_mean_forward_kl_of_gaussians_is_the_closed_form",
        on_arrays(flows.forward_kl_loss, normals(_ROWS, _ROWS)),
    ),
    _card(
        "alpha_divergence_loss",
        "(w^α - 1 - α (w - 1)) / (α (α - 1)), w = p(x) / q(x), x ~ q",
        "nats",
        "exact",
        "flow first, samples from the flow; its mean is D_α(p || q), with KL(q || p) at α = 0 and KL(p || q) at 1 as "
        "limits; never negative; for normalised p",
        "q = p; then it is 0 at every point",
        "Minka 2005, section 2",
        "test_flows.py::test_mean_alpha_divergence_of_gaussians_is_the_closed_form",
        on_arrays(lambda log_q, log_p: flows.alpha_divergence_loss(log_q, log_p, alpha=0.7), normals(_ROWS, _ROWS)),
    ),
)
