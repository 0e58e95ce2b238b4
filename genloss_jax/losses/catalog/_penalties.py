"""Cards of the penalties."""

import jax.numpy as jnp

from genloss_jax.losses import penalties
from genloss_jax.losses.catalog._writing import critic, generator, normals, on_arrays, with_noise, writer

BATCH, DIM = 4, 3
_POINTS = (BATCH, DIM)

_card = writer(penalties)


def _on_real(penalty):
    """Draw an example for a penalty of (critic_fn, points)."""
    return on_arrays(lambda points: penalty(critic, points), normals(_POINTS))


def _on_lines(penalty):
    """Draw an example for a penalty of (critic_fn, key, real, fake)."""
    return with_noise(lambda key, real, fake: penalty(critic, key, real, fake), normals(_POINTS, _POINTS))


def _logits_and_averages(key):
    return *normals((BATCH,), (BATCH,))(key), jnp.array(0.3), jnp.array(-0.2)


def _on_kernel(penalty):
    """Draw an example for a penalty of one kernel."""
    return on_arrays(lambda kernel: penalty({"kernel": kernel}), normals((5, DIM)), axes=(None,))


def _historical(params, average):
    return penalties.historical_average_penalty({"kernel": params}, {"kernel": average})


def _consensus(discriminator, generator):
    losses = {
        "discriminator": lambda params: -jnp.sum(params["discriminator"] * params["generator"]),
        "generator": lambda params: jnp.sum(jnp.sin(params["discriminator"]) * params["generator"] ** 2),
    }
    return penalties.consensus_penalty(losses, {"discriminator": discriminator, "generator": generator})


def _path_length(key, latents, average):
    return penalties.path_length_penalty(generator, key, latents, average)


def _latents_and_average(key):
    return *normals(_POINTS)(key), jnp.array(1.2)


_GRADIENT = "squared critic gradient"
_LINES = "x̂ = α·real + (1 − α)·fake with α ~ U[0, 1) drawn once per example; one norm per example over all axes"
_ONE_NUMBER = "every entry holds the batch's one number, so that the mean is the published value"

CARDS = (
    _card(
        "gradient_norm_penalty",
        "|‖∇D(x)‖ − center|^power, or max(‖∇D(x)‖ − center, 0)^power if one_sided",
        "critic gradient to the given power",
        "exact",
        "no ½; one norm per example over all axes; finite gradient where ∇D = 0; row i is the gradient of the summed "
        "logits, which is ∇D(x_i) unless the critic couples its batch",
        "‖∇D‖ = center at the points (≤ center if one_sided)",
        "common form of Gulrajani et al. 2017, Petzka et al. 2018, Mescheder et al. 2018, Wu et al. 2018",
        "test_penalties_gradient.py::test_gradient_norm_penalty_of_linear_critic_is_power_of_weight_norm_minus_center",
        on_arrays(
            lambda points: penalties.gradient_norm_penalty(critic, points, center=0.7, power=3), normals(_POINTS)
        ),
    ),
    _card(
        "wgan_gp_penalty",
        "(‖∇D(x̂)‖ − 1)²",
        _GRADIENT,
        "exact",
        f"no ½, weight 10 in the paper; {_LINES}",
        "‖∇D‖ = 1 on the lines, as for the optimal critic of the Wasserstein-1 distance",
        "Gulrajani et al. 2017, Eq. 3",
        "test_penalties_gradient.py::test_wgan_gp_penalty_of_linear_critic_is_exact_at_every_point",
        _on_lines(penalties.wgan_gp_penalty),
    ),
    _card(
        "wgan_lp_penalty",
        "max(‖∇D(x̂)‖ − 1, 0)²",
        _GRADIENT,
        "exact",
        f"no ½; only norms above one cost; {_LINES}",
        "‖∇D‖ ≤ 1 on the lines",
        "Petzka et al. 2018",
        "test_penalties_gradient.py::test_wgan_lp_penalty_charges_only_norms_above_one",
        _on_lines(penalties.wgan_lp_penalty),
    ),
    _card(
        "zero_centered_penalty",
        "‖∇D(x̂)‖²",
        _GRADIENT,
        "exact",
        f"without the ½ that r1_penalty has; {_LINES}",
        "a critic that is constant along the lines",
        "Thanh-Tung et al. 2019",
        "test_penalties_gradient.py::test_zero_centered_penalty_of_linear_critic_is_squared_weight_norm",
        _on_lines(penalties.zero_centered_penalty),
    ),
    _card(
        "r1_penalty",
        "½ ‖∇D(x)‖²",
        _GRADIENT,
        "exact",
        "with the ½, so that gamma * r1_penalty has the paper's γ; no root; one norm per example over all axes",
        "a critic that is flat on the data",
        "Mescheder et al. 2018, section 4",
        "test_penalties_gradient.py::test_r1_penalty_of_linear_and_quadratic_critics_is_half_squared_gradient",
        _on_real(penalties.r1_penalty),
    ),
    _card(
        "r2_penalty",
        "½ ‖∇D(x̃)‖²",
        _GRADIENT,
        "exact",
        "with the ½, like r1_penalty; gradients flow into the fake examples",
        "a critic that is flat on generated examples",
        "Mescheder et al. 2018, section 4",
        "test_penalties_gradient.py::test_r2_penalty_of_linear_and_quadratic_critics_is_half_squared_gradient",
        _on_real(penalties.r2_penalty),
    ),
    _card(
        "dragan_penalty",
        "(‖∇D(x + δ)‖ − 1)², δ = ½ std(real) u, u ~ U[−1, 1) per coordinate",
        _GRADIENT,
        "exact",
        "no ½; centred uniform noise (the paper's text: Gaussian; its code: U[0, 1)); one std for the whole batch; "
        "nothing is clipped",
        "‖∇D‖ = 1 around the data",
        "Kodali et al. 2017",
        "test_penalties_gradient.py::test_dragan_penalty_of_linear_critic_is_exact_at_every_point",
        with_noise(lambda key, real: penalties.dragan_penalty(critic, key, real), normals(_POINTS)),
    ),
    _card(
        "wgan_div_penalty",
        "k ‖∇D(x̂)‖^p, k = 2, p = 6",
        "critic units",
        "exact",
        f"includes k: add it with weight 1; {_LINES}",
        "the game then measures a Wasserstein divergence, not a distance",
        "Wu et al. 2018",
        "test_penalties_gradient.py::test_wgan_div_penalty_of_linear_critic_is_twice_sixth_power_of_norm",
        _on_lines(penalties.wgan_div_penalty),
    ),
    _card(
        "max_gradient_penalty",
        "max_j ‖∇D(x̂_j)‖²",
        _GRADIENT,
        "lower bound",
        f"{_ONE_NUMBER}; {_LINES}",
        "a critic that is flat at its steepest point of the batch",
        "Zhou et al. 2019",
        "test_penalties_gradient.py::test_max_gradient_penalty_is_the_largest_squared_norm_for_every_example",
        _on_lines(penalties.max_gradient_penalty),
    ),
    _card(
        "approximate_r1_penalty",
        "½ ((D(x + σε) − D(x)) / σ)², ε ~ N(0, I)",
        _GRADIENT,
        "biased estimate",
        "normalised so that its expectation is r1_penalty (exactly for linear critics, else as σ → 0); the published "
        "penalty is 2σ² times this one",
        "a critic that is flat around the data",
        "Lin et al. 2025, Diffusion Adversarial Post-Training",
        "test_penalties_gradient.py::test_approximate_r1_penalty_of_linear_critic_has_expectation_r1",
        with_noise(lambda key, real: penalties.approximate_r1_penalty(critic, key, real, sigma=0.1), normals(_POINTS)),
    ),
    _card(
        "roth_penalty",
        "½ ((1 − σ(D(x)))² ‖∇D(x)‖² + σ(D(x̃))² ‖∇D(x̃)‖²)",
        _GRADIENT,
        "exact",
        "with the ½, so that gamma * roth_penalty has the paper's γ; gradients flow through the weights σ(D)",
        "a critic that is flat, or saturated on the right side",
        "Roth et al. 2017, Jensen-Shannon regulariser",
        "test_penalties_gradient.py::test_roth_penalty_of_linear_critic_with_known_probabilities",
        on_arrays(lambda real, fake: penalties.roth_penalty(critic, real, fake), normals(_POINTS, _POINTS)),
    ),
    _card(
        "consensus_penalty",
        "½ Σ_players ‖∂L_p / ∂θ_p‖²",
        "squared gradient of the losses",
        "exact",
        "scalar; with the ½; belongs to every player's loss; each loss is differentiated by its own player's params",
        "every stationary point of the game, unstable ones included",
        "Mescheder et al. 2017",
        "test_penalties_weights.py::test_consensus_penalty_of_bilinear_game_is_half_squared_distance_to_equilibrium",
        on_arrays(_consensus, normals((DIM,), (DIM,)), axes=(None, None)),
    ),
    _card(
        "lecam_penalty",
        "relu(D(x) − a_F)² + relu(a_R − D(x̃))²",
        "squared critic units",
        "exact",
        "the ReLU is in the authors' code, not in the preprint's Eq. 4 (one_sided=False); averages are constants; each "
        "side is held to the other side's average",
        "logits at the other side's average",
        "Tseng et al. 2021, Eq. 4 and its code",
        "test_penalties_consistency.py::test_lecam_penalty_has_hand_computed_values",
        on_arrays(penalties.lecam_penalty, _logits_and_averages, axes=(0, 0, None, None)),
    ),
    _card(
        "drift_penalty",
        "D(x)²",
        "squared critic units",
        "exact",
        "real examples only; no ½, weight 0.001 in the paper",
        "D = 0 on the data",
        "Karras et al. 2018, appendix A.1",
        "test_penalties_consistency.py::test_drift_penalty_is_squared_logit",
        on_arrays(penalties.drift_penalty, normals((BATCH,))),
    ),
    _card(
        "consistency_penalty",
        "‖D(x) − D(T(x))‖²",
        "squared critic units",
        "exact",
        "sum over all axes of an example; gradients flow through both sides; no ½",
        "a critic that does not see the augmentation",
        "Zhang et al. 2020",
        "test_penalties_consistency.py::test_consistency_penalty_sums_squares_over_all_axes",
        on_arrays(penalties.consistency_penalty, normals(_POINTS, _POINTS)),
    ),
    _card(
        "balanced_consistency_penalty",
        "λ_real ‖D(x) − D(T(x))‖² + λ_fake ‖D(x̃) − D(T(x̃))‖²",
        "squared critic units",
        "exact",
        "sum over all axes of an example; for the discriminator only; no ½",
        "a critic that does not see the augmentation on either side",
        "Zhao et al. 2021, bCR",
        "test_penalties_consistency.py::test_balanced_consistency_penalty_weights_each_side",
        on_arrays(penalties.balanced_consistency_penalty, normals(_POINTS, _POINTS, _POINTS, _POINTS)),
    ),
    _card(
        "latent_consistency_penalty",
        "‖h(z) − h(z + σε)‖², ε ~ N(0, I)",
        "squared units of the output",
        "exact",
        "not divided by σ²; the discriminator adds it for h = D∘G, the generator subtracts it for h = G",
        "an output that does not depend on the latents",
        "Zhao et al. 2021, zCR",
        "test_penalties_consistency.py::test_latent_consistency_penalty_of_linear_map_has_expectation_of_frobenius_norm",
        with_noise(
            lambda key, latents: penalties.latent_consistency_penalty(generator, key, latents, sigma=0.1),
            normals(_POINTS),
        ),
    ),
    _card(
        "orthogonal_penalty",
        "Σ_kernels ‖WᵀW − I‖_F²",
        "fourth power of the weights",
        "exact",
        "scalar; one column per output unit, as Flax lays kernels; biases and scales are left out; "
        "penalise_norms=False masks the diagonal as BigGAN does",
        "orthonormal columns",
        "Brock et al. 2017; Brock et al. 2019, Eq. 2 and 3",
        "test_penalties_weights.py::test_orthogonal_penalty_of_known_singular_values",
        _on_kernel(penalties.orthogonal_penalty),
    ),
    _card(
        "spectral_penalty",
        "½ Σ_kernels σ_max(W)²",
        "squared weights",
        "exact",
        "scalar; with the ½; exact singular value of the flattened kernel, not of the convolution operator",
        "W = 0",
        "Yoshida and Miyato 2017",
        "test_penalties_weights.py::test_spectral_penalty_of_known_singular_values",
        _on_kernel(penalties.spectral_penalty),
    ),
    _card(
        "path_length_penalty",
        "(‖J(w)ᵀ y‖ − a)², y ~ N(0, I)",
        "squared samples per latent unit",
        "exact",
        "y is not scaled by 1/√(H·W) as in StyleGAN2's code; the average is a constant and kept by the caller "
        "(update_average of path_lengths)",
        "a Jacobian that stretches every latent step alike",
        "Karras et al. 2020, Eq. 4",
        "test_penalties_diversity.py::test_path_length_penalty_of_linear_generator_has_known_expectation",
        with_noise(_path_length, _latents_and_average, axes=(0, None)),
    ),
    _card(
        "mode_seeking_loss",
        "1 / (d(x, x') / d(z, z') + ε), d = mean absolute difference",
        "latent units per sample unit",
        "exact",
        "minimises the inverse ratio, as the code does (the paper maximises the ratio); one ratio per example",
        "samples far apart for latents that are close",
        "Mao et al. 2019 and its code",
        "test_penalties_diversity.py::test_mode_seeking_loss_is_inverse_stretch_of_each_example",
        on_arrays(penalties.mode_seeking_loss, normals(_POINTS, _POINTS, _POINTS, _POINTS)),
    ),
    _card(
        "diversity_determinantal_loss",
        "Σ_i |λ_i − λ̃_i| − Σ_i w_i |cos(v_i, ṽ_i)|",
        "no unit",
        "exact",
        f"eigenvectors are compared without their arbitrary sign; real features are constants; {_ONE_NUMBER}; not "
        "invariant to permuting one batch alone",
        "equal similarity matrices of real and generated features",
        "Elfeki et al. 2019",
        "test_penalties_diversity.py::test_diversity_determinantal_loss_of_two_pairs_at_known_angles",
        on_arrays(penalties.diversity_determinantal_loss, normals((BATCH, 6), (BATCH, 6))),
    ),
    _card(
        "pulling_away_loss",
        "Σ_{j≠i} cos²(s_i, s_j) / (B − 1)",
        "squared cosine",
        "exact",
        "the mean over the batch is the published term; features are normalised inside",
        "orthogonal features",
        "Zhao et al. 2017, section 2.4",
        "test_penalties_diversity.py::test_pulling_away_loss_of_known_angles",
        on_arrays(penalties.pulling_away_loss, normals(_POINTS)),
    ),
    _card(
        "feature_matching_loss",
        "‖mean_i f(x_i) − mean_i f(x̃_i)‖²",
        "squared feature units",
        "biased estimate",
        f"square, not root; sum over features; {_ONE_NUMBER}",
        "equal mean features",
        "Salimans et al. 2016, section 3.1",
        "test_penalties_diversity.py::test_feature_matching_loss_is_squared_distance_of_means",
        on_arrays(penalties.feature_matching_loss, normals(_POINTS, _POINTS)),
    ),
    _card(
        "historical_average_penalty",
        "‖θ − a‖², a the running average of θ",
        "squared weights",
        "exact",
        "scalar; no ½; the average is a constant; update_average with decay 1 − 1/t keeps the paper's plain mean",
        "parameters that have stopped moving",
        "Salimans et al. 2016, section 3.3",
        "test_penalties_weights.py::test_historical_average_penalty_is_squared_distance_over_all_leaves",
        on_arrays(_historical, normals(_POINTS, _POINTS), axes=(None, None)),
    ),
)
