"""Cards of the losses of latent-variable models."""

import jax
import jax.numpy as jnp

from genloss_jax.losses import divergences, variational
from genloss_jax.losses.catalog._card import Example
from genloss_jax.losses.catalog._writing import normals, on_arrays, writer

BATCH, DIM, SAMPLES = 4, 3, 5
_LATENTS, _ONE, _WEIGHTS = (BATCH, DIM), (BATCH,), (SAMPLES, BATCH)

_card = writer(variational)


def _positive(*shapes):
    """Draw one array of positive numbers for each shape."""
    return lambda key: tuple(map(jnp.exp, normals(*shapes)(key)))


def _log_joint(z):
    return -jnp.sum(jnp.square(z - 0.5), axis=-1)


def _log_q(params, z):
    return -0.5 * jnp.sum(jnp.square(z - params), axis=-1)


def _on_path(loss):
    """Draw an example for a loss of (log_joint_fn, log_q_fn, q_params, z)."""

    def call(z):
        return loss(_log_joint, _log_q, jnp.full((1, 1, DIM), 0.3, z.dtype), z)

    return on_arrays(call, normals((SAMPLES, BATCH, DIM)), axes=(1,), names=("z",))


def _piwae(log_weights):
    one = jnp.ones((), log_weights.dtype)
    return variational.piwae_loss(lambda decoder, encoder: decoder * encoder * log_weights, one, one)


def _multivariate_gaussians(key):
    """Draw the means and the factors of two Gaussians."""
    mean_q, mean_p, root_q, root_p = normals(_LATENTS, _LATENTS, (BATCH, DIM, DIM), (BATCH, DIM, DIM))(key)
    identity = jnp.eye(DIM)[None]
    return mean_q, 0.3 * root_q + identity, mean_p, 0.3 * root_p + identity


def _info_vae(nll, kl, z, prior_z):
    kernel = divergences.rbf_kernel(lengthscale=1.5)
    return variational.info_vae_loss(nll, kl, z, prior_z, alpha=0.4, scale=3.0, kernel=kernel)


_EQUAL = "q = p; then it is 0"
_EVIDENCE = "a bound of −log p(x), tight where q(z|x) = p(z|x)"
_SAMPLES_FIRST = "samples first, [K, B]; w_k = p(x, z_k) / q(z_k|x)"
_RAINFORTH = 'Rainforth et al. 2018, "Tighter variational bounds are not necessarily better"'
_CHEN = 'Chen et al. 2018, "Isolating sources of disentanglement in variational autoencoders"'

CARDS = (
    # --- Divergences ---
    _card(
        "gaussian_kl",
        "½ Σ_d (mean_d² + exp(log_var_d) − 1 − log_var_d)",
        "nats",
        "exact",
        "against N(0, I); log of the variance; summed over latents, not averaged",
        "mean 0, log_var 0; then it is 0",
        'Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix B',
        "test_variational_kl.py::test_gaussian_kl_is_the_integral",
        on_arrays(variational.gaussian_kl, normals(_LATENTS, _LATENTS)),
    ),
    _card(
        "gaussian_kl_between",
        "½ Σ_d (exp(δ_d) − 1 − δ_d + (mean_q − mean_p)_d² exp(−log_var_p_d)), δ = log_var_q − log_var_p",
        "nats",
        "exact",
        "posterior first; log of the variance; summed over latents",
        _EQUAL,
        'Sønderby et al. 2016, "Ladder variational autoencoders"',
        "test_variational_kl.py::test_gaussian_kl_between_is_the_integral",
        on_arrays(variational.gaussian_kl_between, normals(_LATENTS, _LATENTS, _LATENTS, _LATENTS)),
    ),
    _card(
        "multivariate_gaussian_kl",
        "½ (‖L_p⁻¹ L_q‖_F² + |L_p⁻¹ (mean_q − mean_p)|² − D) + Σ_d log |L_p,dd / L_q,dd|",
        "nats",
        "exact",
        "posterior first; lower triangular roots, cov = L Lᵀ",
        _EQUAL,
        'Rezende et al. 2014, "Stochastic backpropagation and approximate inference in deep generative models"',
        "test_variational_kl.py::test_multivariate_gaussian_kl_is_that_of_determinants_and_inverses",
        on_arrays(variational.multivariate_gaussian_kl, _multivariate_gaussians),
    ),
    _card(
        "laplace_kl",
        "Σ_d (|m|/b_p + (b_q/b_p) exp(−|m|/b_q) − 1 − log(b_q/b_p)), m = mean_q − mean_p",
        "nats",
        "exact",
        "posterior first; log of the scale b, not of the standard deviation √2 b",
        _EQUAL,
        'Gil et al. 2013, "Rényi divergence measures for commonly used univariate continuous distributions"',
        "test_variational_kl.py::test_laplace_kl_is_the_integral",
        on_arrays(variational.laplace_kl, normals(_LATENTS, _LATENTS, _LATENTS, _LATENTS)),
    ),
    _card(
        "gamma_kl",
        "Σ_d ((a_q − a_p) ψ(a_q) − lnΓ(a_q) + lnΓ(a_p) + a_p ln(b_q/b_p) + a_q (b_p − b_q)/b_q)",
        "nats",
        "exact",
        "posterior first; rates b, not scales",
        _EQUAL,
        'Figurnov et al. 2018, "Implicit reparameterization gradients"',
        "test_variational_kl.py::test_gamma_kl_is_the_integral",
        on_arrays(variational.gamma_kl, _positive(_LATENTS, _LATENTS, _LATENTS, _LATENTS)),
    ),
    _card(
        "dirichlet_kl",
        "lnΓ(A_q) − lnΓ(A_p) + Σ_k (lnΓ(a_p,k) − lnΓ(a_q,k) + (a_q,k − a_p,k)(ψ(a_q,k) − ψ(A_q))), A = Σ_k a_k",
        "nats",
        "exact",
        "posterior first; with two categories, beta distributions",
        _EQUAL,
        'Joo et al. 2020, "Dirichlet variational autoencoder"',
        "test_variational_kl.py::test_dirichlet_kl_of_two_categories_is_the_integral_over_beta_densities",
        on_arrays(variational.dirichlet_kl, _positive(_LATENTS, _LATENTS)),
    ),
    _card(
        "categorical_kl",
        "Σ_k q_k (log q_k − log p_k)",
        "nats",
        "exact",
        "posterior first; logits, categories last, summed over the axes before them",
        _EQUAL,
        'Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax"',
        "test_variational_kl.py::test_categorical_kl_is_scipys_relative_entropy",
        on_arrays(variational.categorical_kl, normals((BATCH, 2, DIM), (BATCH, 2, DIM))),
    ),
    _card(
        "bernoulli_kl",
        "Σ_d (q_d log(q_d/p_d) + (1 − q_d) log((1 − q_d)/(1 − p_d)))",
        "nats",
        "exact",
        "posterior first; logits; summed over latents",
        _EQUAL,
        'Rolfe 2017, "Discrete variational autoencoders"',
        "test_variational_kl.py::test_bernoulli_kl_is_the_categorical_kl_of_two_outcomes",
        on_arrays(variational.bernoulli_kl, normals(_LATENTS, _LATENTS)),
    ),
    _card(
        "von_mises_fisher_kl",
        "E_q[κ t] − log E_uniform[exp(κ t)], t the cosine with the mean direction",
        "nats",
        "exact",
        "against the uniform distribution on S^(dim − 1); dim counts the space around the sphere",
        "κ = 0; then it is 0",
        'Davidson et al. 2018, "Hyperspherical variational auto-encoders"',
        "test_variational_kl.py::test_von_mises_fisher_kl_is_that_of_bessel_functions",
        lambda key: Example(
            lambda concentration: variational.von_mises_fisher_kl(concentration, dim=4),
            (jnp.exp(2 * jax.random.normal(key, _ONE)),),
        ),
    ),
    _card(
        "free_bits_kl",
        "Σ_d max(free_nats, mean_i KL_i,d), spread over the batch",
        "nats",
        "upper bound",
        "of the KL divergence; the floor is for each latent, against the batch's mean unless per_example",
        "any KL at or below the floor in every latent",
        'Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow"',
        "test_variational_kl.py::test_free_bits_kl_charges_each_latent_the_floor_or_its_mean",
        on_arrays(lambda kl_per_dim: variational.free_bits_kl(kl_per_dim, free_nats=0.1), normals(_LATENTS)),
    ),
    # --- Bounds ---
    _card(
        "elbo_loss",
        "nll + β KL(q(z|x) ‖ p(z))",
        "nats",
        "upper bound",
        "of −log p(x), in the mean over z and for β ≥ 1; the negative of the ELBO",
        "q(z|x) = p(z|x); then it is −log p(x) at β = 1",
        'Kingma and Welling 2014, "Auto-encoding variational Bayes"; Higgins et al. 2017, "beta-VAE"',
        "test_variational_bounds.py::test_elbo_loss_exceeds_the_negative_evidence_by_the_divergence_from_the_exact_posterior",
        on_arrays(lambda nll, kl: variational.elbo_loss(nll, kl, beta=1.5), normals(_ONE, _ONE)),
    ),
    _card(
        "capacity_loss",
        "nll + γ |KL(q(z|x) ‖ p(z)) − C|",
        "nats",
        "upper bound",
        "of −log p(x) − C, for γ ≥ 1; absolute value, not square",
        "KL = C, for large γ",
        'Burgess et al. 2018, "Understanding disentangling in β-VAE"',
        "test_variational_bounds.py::test_capacity_loss_is_the_negative_evidence_less_the_capacity_at_the_exact_posterior",
        on_arrays(lambda nll, kl: variational.capacity_loss(nll, kl, capacity=0.5, gamma=3.0), normals(_ONE, _ONE)),
    ),
    _card(
        "iwae_loss",
        "−log (1/K) Σ_k w_k",
        "nats",
        "upper bound",
        f"of −log p(x); {_SAMPLES_FIRST}; the value is the bound and not Σ w̃ log w",
        _EVIDENCE + ", and for K → ∞",
        'Burda et al. 2016, "Importance weighted autoencoders"',
        "test_variational_bounds.py::test_importance_weighted_bounds_are_the_negative_evidence_at_the_exact_posterior[iwae_loss]",
        on_arrays(variational.iwae_loss, normals(_WEIGHTS), axes=(1,)),
    ),
    _card(
        "miwae_loss",
        "−(1/M) Σ_m log (1/K) Σ_k w_mk",
        "nats",
        "upper bound",
        "of −log p(x); [M, K, B]: M outside the logarithm, K inside",
        _EVIDENCE,
        _RAINFORTH,
        "test_variational_bounds.py::test_importance_weighted_bounds_are_the_negative_evidence_at_the_exact_posterior[miwae_loss]",
        on_arrays(variational.miwae_loss, normals((2, *_WEIGHTS)), axes=(2,)),
    ),
    _card(
        "piwae_loss",
        "−log (1/(MK)) Σ_m Σ_k w_mk",
        "nats",
        "upper bound",
        "of −log p(x); the encoder's gradient is that of miwae_loss",
        _EVIDENCE,
        _RAINFORTH,
        "test_variational_bounds.py::test_importance_weighted_bounds_are_the_negative_evidence_at_the_exact_posterior[piwae_loss]",
        on_arrays(_piwae, normals((2, *_WEIGHTS)), axes=(2,), names=("log_weight_fn",)),
    ),
    _card(
        "ciwae_loss",
        "−β (1/K) Σ_k log w_k − (1 − β) log (1/K) Σ_k w_k",
        "nats",
        "upper bound",
        f"of −log p(x); {_SAMPLES_FIRST}; β = 1 is the ELBO",
        _EVIDENCE,
        _RAINFORTH,
        "test_variational_bounds.py::test_importance_weighted_bounds_are_the_negative_evidence_at_the_exact_posterior[ciwae_loss]",
        on_arrays(lambda log_weights: variational.ciwae_loss(log_weights, beta=0.3), normals(_WEIGHTS), axes=(1,)),
    ),
    _card(
        "renyi_loss",
        "−(1/(1 − α)) log (1/K) Σ_k w_k^(1 − α)",
        "nats",
        "upper bound",
        f"of −log p(x), for α ≥ 0; for α < 0 it bounds nothing; {_SAMPLES_FIRST}; α = 1 is the ELBO, α = 0 IWAE",
        _EVIDENCE,
        'Li and Turner 2016, "Rényi divergence variational inference"',
        "test_variational_bounds.py::test_importance_weighted_bounds_are_the_negative_evidence_at_the_exact_posterior[renyi_loss]",
        on_arrays(lambda log_weights: variational.renyi_loss(log_weights, alpha=0.4), normals(_WEIGHTS), axes=(1,)),
    ),
    _card(
        "chi_upper_bound_loss",
        "(1/n) log (1/K) Σ_k w_k^n",
        "nats",
        "biased estimate",
        f"of CUBO_n, itself at least +log p(x): too low at finite K, and the ELBO at K = 1; {_SAMPLES_FIRST}",
        "q(z|x) = p(z|x); then it is log p(x), and CUBO_n is lowest",
        'Dieng et al. 2017, "Variational inference via χ upper bound minimization"',
        "test_variational_bounds.py::test_exponential_of_the_chi_estimate_has_the_closed_form_as_its_mean",
        on_arrays(variational.chi_upper_bound_loss, normals(_WEIGHTS), axes=(1,)),
    ),
    _card(
        "thermodynamic_loss",
        "−Σ_j (β_(j+1) − β_j) Σ_k w̃_k(β_j) log w_k, w̃(β) ∝ w^β, β_0 = 0, the last 1",
        "nats",
        "upper bound",
        f"of −log p(x) at every K (left sum); {_SAMPLES_FIRST}; give log_q where samples carry no gradient",
        _EVIDENCE,
        'Masrani et al. 2019, "The thermodynamic variational objective"',
        "test_variational_bounds.py::test_thermodynamic_loss_of_a_fine_grid_is_the_importance_weighted_bound",
        on_arrays(
            lambda log_weights: variational.thermodynamic_loss(log_weights, betas=(0.0, 0.1, 0.4)),
            normals(_WEIGHTS),
            axes=(1,),
        ),
    ),
    _card(
        "stl_loss",
        "−(1/K) Σ_k (log p(x, z_k) − log q(z_k|x))",
        "nats",
        "upper bound",
        "of −log p(x); the parameters of q are stop-gradient, the samples are not",
        _EVIDENCE + ", where its gradient is exactly 0",
        'Roeder et al. 2017, "Sticking the landing"',
        "test_variational_estimators.py::test_path_losses_are_the_bounds_that_they_estimate[stl_loss]",
        _on_path(variational.stl_loss),
    ),
    _card(
        "dreg_loss",
        "−log (1/K) Σ_k w_k",
        "nats",
        "upper bound",
        "of −log p(x); the encoder's gradient goes through the samples, with weights w̃²",
        _EVIDENCE + ", where its gradient is exactly 0",
        'Tucker et al. 2019, "Doubly reparameterized gradient estimators for Monte Carlo objectives"',
        "test_variational_estimators.py::test_path_losses_are_the_bounds_that_they_estimate[dreg_loss]",
        _on_path(variational.dreg_loss),
    ),
    _card(
        "vimco_loss",
        "−log (1/K) Σ_k w_k",
        "nats",
        "upper bound",
        "of −log p(x); score-function gradient for discrete samples, each with the others as its baseline; K ≥ 2",
        _EVIDENCE,
        'Mnih and Rezende 2016, "Variational inference for Monte Carlo objectives"',
        "test_variational_estimators.py::test_vimco_loss_and_gradient_have_the_enumerated_bound_and_gradient_as_their_means",
        on_arrays(variational.vimco_loss, normals(_WEIGHTS, _WEIGHTS), axes=(1, 1)),
    ),
    _card(
        "wake_sleep_losses",
        "decoder −log (1/K) Σ_k w_k; wake encoder −Σ_k w̃_k log q(z_k|x); sleep encoder −log q(z'|x')",
        "nats",
        "biased estimate",
        "only the decoder's is a bound, of −log p(x); the encoder's are cross-entropies of p(z|x) and q(z|x), the "
        "wake phase's self-normalised; samples carry no gradient",
        "q(z|x) = p(z|x); then they are −log p(x), and twice the posterior's entropy in the mean",
        'Bornschein and Bengio 2015, "Reweighted wake-sleep"; Hinton et al. 1995, "The wake-sleep algorithm"',
        "test_variational_estimators.py::test_wake_sleep_losses_at_the_exact_posterior_are_evidence_and_entropies",
        on_arrays(variational.wake_sleep_losses, normals(_WEIGHTS, _WEIGHTS, _ONE), axes=(1, 1, 0)),
    ),
    # --- The aggregate posterior ---
    _card(
        "kl_decomposition_losses",
        "log q(z|x) − log q(z); log q(z) − Σ_d log q(z_d); Σ_d (log q(z_d) − log p(z_d))",
        "nats",
        "biased estimate",
        "their sum is log q(z|x) − log p(z) whatever the estimate of q(z); stratified is exact at B = N, weighted is "
        "too small there by the factor N",
        "q(z|x) = p(z); then all are 0 in the mean",
        _CHEN,
        "test_variational_aggregate.py::test_kl_decomposition_of_a_whole_data_set_is_the_integral",
        on_arrays(
            lambda z, mean, log_var: variational.kl_decomposition_losses(z, mean, log_var, dataset_size=20),
            normals(_LATENTS, _LATENTS, _LATENTS),
        ),
    ),
    _card(
        "total_correlation",
        "log q(z) − Σ_d log q(z_d)",
        "nats",
        "biased estimate",
        "of KL(q(z) ‖ Π_d q(z_d)); may be negative, although that is not; exact in the mean at B = N if stratified",
        "independent latents; then it is 0",
        _CHEN,
        "test_variational_aggregate.py::test_total_correlation_of_a_whole_data_set_is_the_integral_and_positive",
        on_arrays(
            lambda z, mean, log_var: variational.total_correlation(
                z, mean, log_var, dataset_size=20, method="weighted"
            ),
            normals(_LATENTS, _LATENTS, _LATENTS),
        ),
    ),
    _card(
        "beta_tc_loss",
        "nll + α I(x; z) + β TC(z) + γ Σ_d KL(q(z_d) ‖ p(z_d))",
        "nats",
        "biased estimate",
        "at α = β = γ = 1 the bound with a one-sample KL; β = 6 by default as published",
        "as elbo_loss with independent latents",
        _CHEN,
        "test_variational_aggregate.py::test_beta_tc_loss_with_equal_weights_is_the_negative_bound",
        on_arrays(
            lambda nll, z, mean, log_var: variational.beta_tc_loss(nll, z, mean, log_var, dataset_size=20),
            normals(_ONE, _LATENTS, _LATENTS, _LATENTS),
        ),
    ),
    _card(
        "factor_loss",
        "nll + KL(q(z|x) ‖ p(z)) + γ log(D(z)/(1 − D(z)))",
        "nats",
        "biased estimate",
        "the logit is the density ratio only at the optimal discriminator",
        "as elbo_loss with independent latents",
        'Kim and Mnih 2018, "Disentangling by factorising"',
        "test_variational_aggregate.py::test_factor_loss_at_the_optimal_discriminator_adds_the_total_correlation",
        on_arrays(
            lambda nll, kl, logits: variational.factor_loss(nll, kl, logits, gamma=3.0), normals(_ONE, _ONE, _ONE)
        ),
    ),
    _card(
        "factor_discriminator_loss",
        "−½ log D(z) − ½ log(1 − D(z'))",
        "nats",
        "exact",
        "with the ½; joint first, permuted second",
        "logit = log q(z) − Σ_d log q(z_d); then it is log 2 − JSD(q(z) ‖ Π_d q(z_d))",
        'Kim and Mnih 2018, "Disentangling by factorising", algorithm 2',
        "test_variational_aggregate.py::test_factor_discriminator_loss_at_its_optimum_is_log_two_less_the_jensen_shannon_divergence",
        on_arrays(variational.factor_discriminator_loss, normals(_ONE, _ONE)),
    ),
    _card(
        "dip_penalty",
        "λ_od Σ_(i≠j) C_ij² + λ_d Σ_i (C_ii − 1)², C = Cov[mean] (i) or Cov[mean] + E[diag var] (ii)",
        "latent units to the fourth power",
        "exact",
        "of the batch's own covariance, divided by B; every entry holds the batch's one number",
        "C = I; (ii) where q(z) has the prior's covariance, (i) only without noise",
        'Kumar et al. 2018, "Variational inference of disentangled latent concepts from unlabeled observations"',
        "test_variational_aggregate.py::test_dip_penalty_of_known_moments",
        on_arrays(
            lambda mean, log_var: variational.dip_penalty(mean, log_var, kind="ii", off_diagonal=2.0),
            normals(_LATENTS, _LATENTS),
        ),
    ),
    _card(
        "wae_mmd_penalty",
        "E k(z, z̃) + E k(z', z̃') − 2 E k(z, z'), z ~ q(z), z' ~ p(z)",
        "kernel units",
        "exact",
        "in the mean: squared, unbiased, so that it may be negative; every entry holds the batch's one number",
        "q(z) = p(z); then its mean is 0",
        'Tolstikhin et al. 2018, "Wasserstein auto-encoders", algorithm 2',
        "test_variational_aggregate.py::test_wae_mmd_penalty_has_the_closed_form_of_two_gaussians_as_its_mean",
        on_arrays(variational.wae_mmd_penalty, normals(_LATENTS, _LATENTS)),
    ),
    _card(
        "info_vae_loss",
        "nll + (1 − α) KL(q(z|x) ‖ p(z)) + (α + λ − 1) MMD²(q(z), p(z))",
        "nats",
        "biased estimate",
        "of −log p(x): a bound only at α ≤ 0, and λ = 1 − α; weights must not be negative, so that α = 0 needs λ ≥ 1",
        "q(z|x) = p(z|x) and q(z) = p(z)",
        'Zhao et al. 2019, "InfoVAE: balancing learning and inference in variational autoencoders"',
        "test_variational_aggregate.py::test_info_vae_loss_weighs_the_terms_as_published",
        on_arrays(_info_vae, normals(_ONE, _ONE, _LATENTS, _LATENTS)),
    ),
    # --- Discrete codes ---
    _card(
        "codebook_loss",
        "|sg(z) − e|²",
        "squared latent units",
        "exact",
        "summed over all axes of an example, not averaged; gradient to the codewords only",
        "each codeword the mean of the latents that use it",
        'van den Oord et al. 2017, "Neural discrete representation learning", equation 3',
        "test_variational_discrete.py::test_codebook_loss_at_cluster_means_is_the_scatter_within_and_has_gradient_zero",
        on_arrays(variational.codebook_loss, normals((BATCH, 2, DIM), (BATCH, 2, DIM))),
    ),
    _card(
        "commitment_loss",
        "|z − sg(e)|²",
        "squared latent units",
        "exact",
        "summed over all axes of an example; without the paper's β = 0.25; gradient to the latents only",
        "z = e; then it is 0",
        'van den Oord et al. 2017, "Neural discrete representation learning", equation 3',
        "test_variational_discrete.py::test_commitment_loss_has_the_value_of_the_codebook_loss_and_the_other_sides_gradient",
        on_arrays(variational.commitment_loss, normals((BATCH, 2, DIM), (BATCH, 2, DIM))),
    ),
    _card(
        "code_entropy_penalty",
        "mean H(p(k|z)) − diversity · H(mean p(k|z))",
        "nats",
        "exact",
        "of the batch: the second term is its one number; at diversity 1 minus the mutual information",
        "one-hot codes, equally used; then it is −log K at diversity 1",
        'Yu et al. 2024, "Language model beats diffusion: tokenizer is key to visual generation"',
        "test_variational_discrete.py::test_code_entropy_penalty_of_certain_and_diverse_codes_is_minus_log_of_their_number",
        on_arrays(lambda logits: variational.code_entropy_penalty(logits, diversity=0.7), normals((BATCH, 2, DIM))),
    ),
    # --- Several modalities ---
    _card(
        "mixture_of_experts_loss",
        "−Σ_e π_e log (1/K) Σ_k p(x, z_ek)/q(z_ek|x), z_ek ~ component e, q the mixture",
        "nats",
        "upper bound",
        "of −log p(x); [E, K, B]; the density in the weight is the mixture's, not the component's",
        _EVIDENCE,
        'Shi et al. 2019, "Variational mixture-of-experts autoencoders for multi-modal deep generative models"; '
        'Sutter et al. 2021, "Generalized multimodal ELBO"',
        "test_variational_multimodal.py::test_mixture_of_experts_loss_exceeds_the_negative_evidence_by_the_mixtures_divergence",
        on_arrays(variational.mixture_of_experts_loss, normals((2, *_WEIGHTS), (2, BATCH)), axes=(2, 1)),
    ),
    _card(
        "mixture_of_experts_kl",
        "Σ_e π_e KL(N(mean_e, var_e) ‖ N(0, I))",
        "nats",
        "upper bound",
        "of the mixture's KL divergence, by at most the entropy of π",
        "all components N(0, I); then it is 0",
        'Sutter et al. 2021, "Generalized multimodal ELBO"',
        "test_variational_multimodal.py::test_mixture_of_experts_kl_is_exact_for_equal_components_and_else_within_the_entropy_above",
        on_arrays(
            variational.mixture_of_experts_kl, normals((2, BATCH, DIM), (2, BATCH, DIM), (2, BATCH)), axes=(1, 1, 1)
        ),
    ),
)
