"""Cards of the losses of energies and scores."""

import jax
import jax.numpy as jnp

from genloss_jax.losses import energy
from genloss_jax.losses.catalog._writing import critic, generator, normals, on_arrays, with_noise, writer

BATCH, DIM = 4, 3
_ROWS, _POINTS = (BATCH,), (BATCH, DIM)

_card = writer(energy)


def _energy(points):
    """A smooth energy with fixed weights: a critic in a bowl."""
    return critic(points) + 0.3 * jnp.sum(jnp.square(points.reshape(points.shape[0], -1)), axis=1)


def _score(points):
    return -jax.grad(lambda x: jnp.sum(_energy(x)))(points)


def _on_bits(loss):
    """Draw an example for a loss of (energy_fn, bits); the formulas hold between the bits as well."""
    return on_arrays(lambda x: loss(_energy, x), lambda key: (jax.random.uniform(key, _POINTS),))


def _joint(logits, labels, sample_logits):
    return energy.joint_energy_loss(logits, labels.astype(jnp.int32), sample_logits, generative_weight=0.8)


def _labelled_logits(key):
    logits, sample_logits = normals((BATCH, 5), (BATCH, 5))(key)
    return logits, jnp.array([0.0, 4.0, 2.0, 2.0]), sample_logits


_LOW_ON_DATA = "energies are low on data, p(x) ∝ exp(−E(x))"

CARDS = (
    _card(
        "contrastive_divergence_loss",
        "E(x) − E(x̃)",
        "nats",
        "biased estimate",
        f"{_LOW_ON_DATA}; data first, samples x̃ of the model second and held constant; the value is no likelihood "
        "and may be negative; only its gradient estimates that of −log p, without bias if x̃ is drawn from the model",
        "the data's density, where the mean's gradient is 0 if x̃ is drawn from the model",
        "Hinton 2002; Tieleman 2008",
        "test_energy_samples.py::test_contrastive_divergence_of_a_langevin_chain_on_a_gaussian_has_its_closed_form",
        on_arrays(energy.contrastive_divergence_loss, normals(_ROWS, _ROWS)),
    ),
    _card(
        "energy_magnitude_penalty",
        "E(x)² + E(x̃)²",
        "squared nats",
        "exact",
        "no ½, no weight; gradients on both sides",
        "E = 0 on data and samples",
        "Du and Mordatch 2019, section 3",
        "test_energy_samples.py::test_energy_magnitude_penalty_is_a_sum_of_squares_of_both_sides",
        on_arrays(energy.energy_magnitude_penalty, normals(_ROWS, _ROWS)),
    ),
    _card(
        "joint_energy_loss",
        "−log p(y|x) + w (E(x) − E(x̃)), E(x) = −log Σ_y exp f(x)[y]",
        "nats",
        "biased estimate",
        f"{_LOW_ON_DATA}; the first term is a likelihood, the second only has the gradient of one; samples held "
        "constant",
        "softmax f = p(y|x) and exp(−E) ∝ p(x); then the mean's gradient is 0 if x̃ is drawn from the model",
        "Grathwohl et al. 2020, section 4",
        "test_energy_samples.py::test_joint_energy_loss_is_the_enumerated_joint_likelihood_less_its_constant",
        on_arrays(_joint, _labelled_logits),
    ),
    _card(
        "recovery_likelihood_loss",
        "E(x | x̃) − E(x' | x̃), E(x | x̃) = E(x) + ‖x̃ − x‖² / (2σ²)",
        "nats",
        "biased estimate",
        f"{_LOW_ON_DATA}; x' drawn from the model's p(x | x̃) and held constant; the ½ of the Gaussian is in; no "
        "likelihood",
        "the data's density, where the mean's gradient is 0",
        "Gao et al. 2021, section 3",
        "test_energy_samples.py::test_recovery_likelihood_of_a_gaussian_has_its_closed_form",
        on_arrays(
            lambda x, noisy, samples: energy.recovery_likelihood_loss(_energy, x, noisy, samples, sigma=0.7),
            normals(_POINTS, _POINTS, _POINTS),
        ),
    ),
    _card(
        "cooperative_losses",
        "energy: E(x) − E(x'); generator: ‖x' − g(z)‖² / (2σ²)",
        "nats",
        "biased estimate",
        f"{_LOW_ON_DATA}; x' is g(z) revised by a chain on E; the generator's target is x', held constant; its ½ is in",
        "energy: as contrastive_divergence_loss; generator: g(z) = x', samples that the chain leaves as they are",
        "Xie et al. 2018",
        "test_energy_samples.py::test_cooperative_losses_are_contrastive_divergence_and_scipys_gaussian_likelihood",
        on_arrays(
            lambda *arrays: energy.cooperative_losses(*arrays, sigma=0.4), normals(_ROWS, _ROWS, _POINTS, _POINTS)
        ),
    ),
    _card(
        "noise_contrastive_loss",
        "softplus(log ν − r(x)) + ν softplus(r(x̃) − log ν), r = log model − log noise",
        "nats",
        "exact",
        "per example of data; log-ratios, not energies: r = −E + c − log noise; ν weighs the noise whatever the "
        "number of draws, which are averaged",
        "exp(r) = data density / noise density, so c = −log Z; then the mean is 2 log 2 − 2 JSD at ν = 1",
        "Gutmann and Hyvärinen 2012, section 2",
        "test_energy_noise.py::test_noise_contrastive_loss_at_the_optimum_is_that_of_quadrature",
        on_arrays(
            lambda data, noise: energy.noise_contrastive_loss(data, noise, noise_ratio=2.0), normals(_ROWS, (BATCH, 2))
        ),
    ),
    _card(
        "conditional_noise_contrastive_loss",
        "2 softplus(−G), G = E(y) − E(x) + log c(y|x) − log c(x|y)",
        "nats",
        "exact",
        f"{_LOW_ON_DATA}; the factor 2 is the paper's; for symmetric noise the transitions c cancel; several y are "
        "averaged",
        "the data's density; then the mean is 2 log 2 − 2 JSD(p(x)c(y|x), p(y)c(x|y))",
        "Ceylan and Gutmann 2018, section 2",
        "test_energy_noise.py::test_conditional_noise_contrastive_loss_at_the_optimum_is_that_of_quadrature",
        on_arrays(energy.conditional_noise_contrastive_loss, normals(_ROWS, (BATCH, 2))),
    ),
    _card(
        "energy_discrepancy_loss",
        "log (w/M + 1/M Σ_j exp(E(x) − E(x + σξ + σξ_j)))",
        "nats",
        "biased estimate",
        f"{_LOW_ON_DATA}; σ is the paper's √t; ξ is shared by the M draws; few draws bias it downwards, w bounds it "
        "from below; E(x) has the plus sign",
        "the data's density, for M → ∞ and w = 0",
        "Schröder et al. 2023",
        "test_energy_noise.py::test_energy_discrepancy_of_a_gaussian_has_its_closed_form",
        with_noise(
            lambda key, x: energy.energy_discrepancy_loss(_energy, key, x, sigma=0.6, num_samples=3), normals(_POINTS)
        ),
    ),
    _card(
        "score_matching_loss",
        "½‖s(x)‖² + tr ∇s(x)",
        "squared score",
        "exact",
        "s = ∇ log p = −∇E; with the ½; the trace is summed over axes, not averaged; may be negative",
        "the data's score; then the mean is −½ E‖∇ log p‖², for a Gaussian of variance s −d/(2s)",
        "Hyvärinen 2005, theorem 1",
        "test_energy_score.py::test_score_matching_of_a_gaussian_has_its_closed_form",
        on_arrays(lambda x: energy.score_matching_loss(_score, x), normals(_POINTS)),
    ),
    _card(
        "sliced_score_matching_loss",
        "vᵀ ∇s(x) v + ½ (vᵀ s(x))², or + ½‖s(x)‖² if variance_reduced; v = ±1 per axis",
        "squared score",
        "exact",
        "unbiased for score_matching_loss, E vvᵀ = I, so not divided by d; with the ½; variance_reduced is exact for a "
        "diagonal ∇s",
        "as score_matching_loss",
        "Song et al. 2019, section 3",
        "test_energy_score.py::test_sliced_score_matching_has_score_matching_as_its_mean",
        with_noise(
            lambda key, x: energy.sliced_score_matching_loss(_score, key, x, num_projections=2), normals(_POINTS)
        ),
    ),
    _card(
        "denoising_score_matching_loss",
        "½‖s(x + σε) + ε/σ‖²",
        "squared score",
        "exact",
        "s = ∇ log p = −∇E, so the target is −ε/σ; with the ½; no weight σ²; the least value is not 0",
        "the score of the data blurred by σ; for a Gaussian of variance s the mean is then d s / (2σ²(s + σ²))",
        "Vincent 2011, section 4",
        "test_energy_score.py::test_denoising_score_matching_of_a_gaussian_has_its_closed_form",
        with_noise(lambda key, x: energy.denoising_score_matching_loss(_score, key, x, sigma=0.5), normals(_POINTS)),
    ),
    _card(
        "kernel_stein_discrepancy_squared",
        "E k (s·s' + (s − s')·δ/ℓ² + D/ℓ² − ‖δ‖²/ℓ⁴), k = exp(−‖δ‖²/(2ℓ²)), δ = x − x'",
        "squared score",
        "exact",
        "squared; s = ∇ log p of the target at the samples; unbiased by default (pairs of a sample with itself left "
        "out), so that values may be negative",
        "samples of the target; then the mean is 0",
        "Liu et al. 2016, theorem 3.6",
        "test_energy_score.py::test_kernel_stein_discrepancy_of_shifted_gaussians_has_its_closed_form",
        on_arrays(lambda x: energy.kernel_stein_discrepancy_squared(_score, x, lengthscale=1.3), normals((5, DIM))),
    ),
    _card(
        "pseudo_likelihood_loss",
        "Σ_d softplus(E(x) − E(x with bit d flipped)) = −Σ_d log p(x_d | x_−d)",
        "nats",
        "exact",
        f"{_LOW_ON_DATA}; bits 0 and 1; summed over bits; not a bound of −log p, but equal to it for independent bits",
        "the data's distribution",
        "Besag 1975; Hyvärinen 2006",
        "test_energy_discrete.py::test_pseudo_likelihood_is_that_of_the_enumerated_distribution",
        _on_bits(energy.pseudo_likelihood_loss),
    ),
    _card(
        "ratio_matching_loss",
        "Σ_d σ(E(x) − E(x with bit d flipped))²",
        "squared probability",
        "exact",
        f"{_LOW_ON_DATA}; bits 0 and 1; no ½; summed over bits; D at most",
        "the data's distribution; for independent bits of probability p the mean is then Σ_d p_d (1 − p_d)",
        "Hyvärinen 2007, section 4",
        "test_energy_discrete.py::test_ratio_matching_exceeds_its_least_value_by_the_squared_error_of_the_conditionals",
        _on_bits(energy.ratio_matching_loss),
    ),
    _card(
        "minimum_probability_flow_loss",
        "Σ_d exp(½ (E(x) − E(x with bit d flipped)))",
        "rate",
        "exact",
        f"{_LOW_ON_DATA}; bits 0 and 1; the ½ is in the exponent; neighbours that are data count as well",
        "the data's distribution; for independent bits of probability p the mean is then Σ_d 2 sqrt(p_d (1 − p_d))",
        "Sohl-Dickstein et al. 2011",
        "test_energy_discrete.py::test_minimum_probability_flow_of_independent_bits_has_its_closed_form",
        _on_bits(energy.minimum_probability_flow_loss),
    ),
    _card(
        "f_ebm_loss",
        "f'(u(x)) − f*(f'(u(x̃))), u = exp(E + H)",
        "nats, or the divergence's own unit",
        "lower bound",
        "the energy's player; the gradient includes the samples' dependence on E as a covariance; jensen_shannon is "
        "2 JSD, squared_hellinger has no ½",
        "the data's density; a lower bound of D_f(data ‖ model), tight where E + H = log data/model",
        "Yu et al. 2020, section 3",
        "test_energy_variational.py::test_f_ebm_losses_at_the_true_ratio_are_the_divergence",
        on_arrays(
            lambda *arrays: energy.f_ebm_loss(*arrays, divergence="jensen_shannon"), normals(_ROWS, _ROWS, _ROWS)
        ),
    ),
    _card(
        "f_ebm_ratio_loss",
        "f*(f'(u(x̃))) − f'(u(x)), u = exp(E + H)",
        "nats, or the divergence's own unit",
        "upper bound",
        "the ratio's player, E held constant; an upper bound of −D_f(data ‖ model)",
        "E + H = log data/model; then the mean is −D_f(data ‖ model)",
        "Yu et al. 2020, section 3",
        "test_energy_variational.py::test_f_ebm_losses_at_the_true_ratio_are_the_divergence",
        on_arrays(
            lambda *arrays: energy.f_ebm_ratio_loss(*arrays, divergence="squared_hellinger"), normals(_ROWS, _ROWS)
        ),
    ),
    _card(
        "variational_entropy_loss",
        "E(x) + w log q̂(x), x = g(z) + σε, q̂ by K importance samples around z",
        "nats",
        "biased estimate",
        "the generator's player; estimates KL(generator ‖ model) − log Z from below; gradients through x only, g(z_k) "
        "counts as constant",
        "q ∝ exp(−E), for K → ∞ and w = 1; then the mean is −log Z",
        "Grathwohl et al. 2021, section 3",
        "test_energy_variational.py::test_variational_entropy_loss_of_a_linear_generator_has_its_closed_form",
        with_noise(
            lambda key, latents: energy.variational_entropy_loss(
                _energy, generator, key, latents, sigma=0.5, proposal_sigma=0.3, num_samples=3
            ),
            normals(_POINTS),
        ),
    ),
)
