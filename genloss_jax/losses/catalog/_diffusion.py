"""Cards of diffusion and flow matching."""

import jax
import jax.numpy as jnp

from genloss_jax.losses import diffusion
from genloss_jax.losses.catalog._writing import on_arrays, with_noise, writer

BATCH, DIM = 4, 3

_card = writer(diffusion)


def _model(x, *levels):
    """A smooth model with fixed weights: a tanh layer moved by whatever numbers per example it is given."""
    weights = jnp.cos(jnp.arange(1.0 + DIM * DIM))[1:].reshape(DIM, DIM).astype(x.dtype)
    return jnp.tanh(x @ weights + sum(0.3 * level for level in levels)[:, None])


def _logits(tokens, t):
    """Logits of five tokens that depend on the tokens seen and on time."""
    seen = jax.nn.one_hot(tokens, 6, dtype=t.dtype) @ jnp.sin(jnp.arange(30.0)).reshape(6, 5).astype(t.dtype)
    return seen * t[:, None, None] + jnp.mean(seen, axis=1, keepdims=True)


def _masked(key, t):
    tokens = jnp.arange(BATCH * DIM).reshape(BATCH, DIM) % 5
    return diffusion.masked_diffusion_loss(_logits, key, tokens, t, mask_token=5)


def _draw(*kinds):
    """Draw examples ("x"), times in (0.2, 0.9) ("t") or log-SNRs ("s")."""
    draws = {
        "x": lambda key: jax.random.normal(key, (BATCH, DIM)),
        "t": lambda key: jax.random.uniform(key, (BATCH,), minval=0.2, maxval=0.9),
        "s": lambda key: jax.random.normal(key, (BATCH,)),
    }

    def draw(key):
        return tuple(draws[kind](each) for kind, each in zip(kinds, jax.random.split(key, len(kinds)), strict=True))

    return draw


def _data_and_neighbours(key):
    """Draw examples, and two levels of noise for each, the higher one last."""
    data, sigma, step = _draw("x", "t", "t")(key)
    return data, sigma, sigma + step


CARDS = (
    _card(
        "denoising_loss",
        "weight |prediction − target|²",
        "squared unit of the target",
        "exact",
        "sum over all axes, not their mean; no ½; the weight belongs to the quantity that is predicted: min(SNR, γ) on "
        "data is min(SNR, γ) / SNR on noise and min(SNR, γ) / (SNR + 1) on velocity",
        "E[target | x_t]; for data N(0, s²) it is then s² σ² / V (data), s² α² / V (noise), s² / V (velocity) per "
        "dimension, V = α² s² + σ²",
        "Ho et al. 2020, Eq. 14, with weight 1 on noise",
        "test_diffusion_denoising.py::test_denoising_loss_of_the_best_prediction_of_gaussian_data_is_irreducible",
        on_arrays(lambda p, t: diffusion.denoising_loss(p, t, weight=0.7), _draw("x", "x")),
    ),
    _card(
        "edm_loss",
        "(σ² + σ_data²) / (σ σ_data)² |D(x + σ ε, σ) − x|², D = c_skip x_t + c_out F(c_in x_t, c_noise)",
        "none",
        "exact",
        "sum over all axes; no ½; σ is the noise's standard deviation, the signal is not scaled; c_noise = ¼ log σ",
        "D = E[x | x_t]; for data N(0, σ_data²) F = 0, and the loss is 1 per dimension at every σ",
        "Karras et al. 2022, Eq. 7 and 8",
        "test_diffusion_denoising.py::"
        "test_edm_loss_of_gaussian_data_is_one_per_dimension_at_every_sigma_plus_what_the_network_adds",
        with_noise(lambda *a: diffusion.edm_loss(_model, *a, sigma_data=0.5), _draw("x", "t")),
    ),
    _card(
        "vdm_loss",
        "½ (−dλ/dt) |ε − ε̂|², or with T steps ½ T (e^(λ(t − 1/T) − λ(t)) − 1) |ε − ε̂|²",
        "nats",
        "exact",
        "with the ½; λ = log SNR = −γ of the paper, falling in t; t uniform on [0, 1]; the error is the noise's "
        "whatever is predicted; one term of the bound, which variational_bound_terms completes",
        "ε̂ = E[ε | x_t]; for data N(0, s²) it is then ½ log((1 + s² SNR(0)) / (1 + s² SNR(1))) per dimension for every "
        "schedule; in steps it is larger",
        "Kingma et al. 2021, sections 4 and 5",
        "test_diffusion_denoising.py::"
        "test_continuous_vdm_loss_of_gaussian_data_is_the_same_closed_form_for_every_schedule",
        with_noise(lambda *a: diffusion.vdm_loss(_model, *a, log_snr_fn=lambda t: 3 - 5 * t), _draw("x", "t")),
    ),
    _card(
        "variational_bound_terms",
        "−log p(x) <= KL(q(z_1 | x) || N(0, I)) + E vdm_loss + E[−log p(x | z_0)]",
        "nats",
        "upper bound",
        "a named tuple (prior, diffusion, reconstruction), whose sum is the bound; a density's by default, so that the "
        "sum may be negative",
        "the best prediction; the sum's mean is then the entropy of the data, if z_1 keeps nothing of them and the "
        "decoder is p(x | z_0)",
        "Kingma et al. 2021, section 4",
        "test_diffusion_denoising.py::test_terms_of_the_bound_have_their_closed_forms_on_gaussian_data",
        with_noise(
            lambda *a: diffusion.variational_bound_terms(_model, *a, log_snr_fn=lambda t: 3 - 5 * t), _draw("x", "t")
        ),
    ),
    _card(
        "gaussian_reconstruction_nll",
        "½ |z_0 − α x|² / σ² + ½ D (log 2π − λ)",
        "nats",
        "exact",
        "of a density, so that it may be negative; the decoder N(z_0 / α, e^(−λ) I) has no parameters",
        "x = z_0 / α; in the mean over the noise it is the entropy of N(0, e^(−λ) I)",
        "Kingma et al. 2021",
        "test_diffusion_denoising.py::test_gaussian_reconstruction_nll_is_the_density_of_a_normal_around_what_is_read",
        on_arrays(diffusion.gaussian_reconstruction_nll, _draw("x", "x", "s")),
    ),
    _card(
        "discrete_reconstruction_nll",
        "−log softmax over values v of −½ SNR (z_0 / α − v)², at v = x, summed over entries",
        "nats",
        "exact",
        "data are among the values given, on whatever scale; sums to 1 over them; never negative",
        "x the value nearest to z_0 / α",
        "Kingma et al. 2021, section 3",
        "test_diffusion_denoising.py::test_discrete_reconstruction_nll_is_a_softmax_over_the_values",
        on_arrays(
            lambda z_0, data, log_snr: diffusion.discrete_reconstruction_nll(
                z_0, data, log_snr, values=jnp.linspace(-1, 1, 5).astype(data.dtype)
            ),
            _draw("x", "x", "s"),
        ),
    ),
    _card(
        "flow_matching_loss",
        "|velocity_fn(x_t, t) − dx_t/dt|², x_t = (1 − t) noise + t data",
        "squared unit of the data",
        "exact",
        "noise at t = 0, data at t = 1, velocity data − noise; sum over all axes; no ½",
        "E[dx_t/dt | x_t]; from N(0, 1) to N(m, s²) with independent pairs it is then s² / ((1 − t)² + t² s²) per "
        "dimension, πs/2 in the mean over t",
        "Lipman et al. 2023, section 3.2; Liu et al. 2023",
        "test_diffusion_flow.py::"
        "test_flow_matching_loss_of_the_marginal_velocity_between_gaussians_is_half_pi_times_the_deviation",
        with_noise(
            lambda *a: diffusion.flow_matching_loss(_model, *a, gamma_fn=diffusion.bridge_gamma), _draw("x", "x", "t")
        ),
    ),
    _card(
        "consistency_loss",
        "|f(x + σ' ε, σ') − sg f(x̂, σ)|², σ' > σ; x̂ = x + σ ε in training, one Heun step of a denoiser's ODE in "
        "distillation",
        "squared unit of the data",
        "biased estimate",
        "the answer at the lower level is a stop-gradient; the same ε at both; no weight, 1 / (σ' − σ) in iCT; "
        "pseudo-Huber distance on request",
        "distillation: f constant along the ODE, then 0 up to Heun's error; training: the same as σ' → σ. For the true "
        "map of data N(m, s²), f − m = a(σ) (x − m), training leaves (a' − a)² s² + (a' σ' − a σ)² per dimension",
        "Song et al. 2023, algorithms 2 and 3; Song and Dhariwal 2024",
        "test_diffusion_few_step.py::test_consistency_loss_of_the_true_map_of_gaussian_data_has_its_closed_form",
        with_noise(lambda *a: diffusion.consistency_loss(_model, *a), _data_and_neighbours),
    ),
    _card(
        "mean_flow_loss",
        "|u(x_t, t, r) − sg(v + (r − t) (∂u/∂x v + ∂u/∂t))|², v = dx_t/dt",
        "squared unit of the data",
        "exact",
        "noise at t = 0, data at t = 1 (the paper's time runs the other way), x_r = x_t + (r − t) u; the target is a "
        "stop-gradient; sum over all axes; no ½; the paper multiplies by adaptive_weight",
        "u = mean velocity of the flow between t and r: the gradient's mean is then 0. From N(0, 1) to N(m, s²) the "
        "loss there is s² (r² s² + (1 − r)²) / (t² s² + (1 − t)²)² per dimension",
        "Geng et al. 2025, section 4",
        "test_diffusion_few_step.py::"
        "test_mean_flow_loss_of_the_true_mean_velocity_between_gaussians_has_its_closed_form",
        on_arrays(lambda *a: diffusion.mean_flow_loss(_model, *a), _draw("x", "x", "t", "t")),
    ),
    _card(
        "masked_diffusion_loss",
        "−α'(t) / (1 − α(t)) Σ over masked i of −log p(x_i | unmasked)",
        "nats",
        "upper bound",
        "t = 0 is data; α is the share of tokens kept, 1 − t by default, which makes the weight 1 / t; logits of seen "
        "tokens do not count; 0 where nothing is masked",
        "the true conditionals; in the mean over t and masks it is then −log p(x), for every schedule",
        "Sahoo et al. 2024; Shi et al. 2024",
        "test_diffusion_few_step.py::"
        "test_masked_diffusion_loss_of_the_true_conditionals_is_the_negative_log_likelihood_for_every_schedule",
        with_noise(_masked, _draw("t"), names=("t",)),
    ),
)
