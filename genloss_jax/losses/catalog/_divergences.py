"""Cards of the divergences."""

import jax

from genloss_jax.losses import divergences
from genloss_jax.losses.catalog._card import Example, LossCard

_TESTS = "tests/losses/test_divergences.py::"
_TRANSPORT = "tests/losses/test_divergences_transport.py::"


def _batches(call, *shape):
    """Draw an example for a distance of two batches."""

    def example(key):
        x_key, y_key = jax.random.split(key)
        return Example(call, (jax.random.normal(x_key, shape), 0.5 + 2.0 * jax.random.normal(y_key, shape)))

    return example


def _projected(call):
    """Draw an example for a distance of (key, x, y): all pairs of examples share the bound key's directions."""

    def example(key):
        bound_key, array_key = jax.random.split(key)
        return _batches(lambda x, y: call(bound_key, x, y), 5, 3)(array_key)

    return example


def _gaussians(key):
    mean_x_key, cov_x_key, mean_y_key, cov_y_key = jax.random.split(key, 4)

    def covariance(key):
        factor = jax.random.normal(key, (3, 6))
        return factor @ factor.T

    means = (jax.random.normal(each, (3,)) for each in (mean_x_key, mean_y_key))
    (mean_x, mean_y), (cov_x, cov_y) = means, (covariance(cov_x_key), covariance(cov_y_key))
    return Example(divergences.gaussian_wasserstein_squared_distance, (mean_x, cov_x, mean_y, cov_y), (None,) * 4)


def _distributions(call):
    """Draw an example for a divergence of two distributions on five points."""

    def example(key):
        return Example(call, tuple(jax.nn.log_softmax(jax.random.normal(each, (5,))) for each in jax.random.split(key)))

    return example


CARDS = (
    LossCard(
        name="mmd_squared_distance",
        family="divergences",
        fn=divergences.mmd_squared_distance,
        equation="E k(x, x') + E k(y, y') - 2 E k(x, y)",
        unit="kernel units",
        kind="exact",
        conventions="Squared. Unbiased by default (pairs of an example with itself left out), so that values may be "
        "negative; the biased one is not. The Gaussian kernel is exp(-|x - y|² / (2 lengthscale²)).",
        minimised_by="equal distributions, if the kernel is characteristic; then its mean is 0",
        reference="Gretton et al. 2012, lemma 6",
        proof=_TESTS + "test_unbiased_rbf_mmd_squared_has_the_closed_form_of_two_gaussians_as_its_mean",
        example=_batches(
            lambda x, y: divergences.mmd_squared_distance(x, y, kernel=divergences.rbf_kernel(lengthscale=1.5)), 5, 3
        ),
    ),
    LossCard(
        name="energy_squared_distance",
        family="divergences",
        fn=divergences.energy_squared_distance,
        equation="2 E |x - y| - E |x - x'| - E |y - y'|",
        unit="unit of x",
        kind="exact",
        conventions="Squared: what Székely and Rizzo call the energy distance. Unbiased by default, so that values "
        "may be negative. Twice the squared Cramér distance on the line.",
        minimised_by="equal distributions; then its mean is 0",
        reference="Székely and Rizzo 2013, section 2",
        proof=_TESTS + "test_unbiased_energy_squared_distance_has_the_closed_form_of_two_gaussians_as_its_mean",
        example=_batches(divergences.energy_squared_distance, 5, 3),
    ),
    LossCard(
        name="energy_distance",
        family="divergences",
        fn=divergences.energy_distance,
        equation="sqrt(2 E |x - y| - E |x - x'| - E |y - y'|)",
        unit="root of the unit of x",
        kind="biased estimate",
        conventions="Not squared, as in SciPy. The root of the biased estimate, so that it is a metric between "
        "batches; its gradient at equal batches is 0.",
        minimised_by="equal batches; then it is 0",
        reference="Székely and Rizzo 2013, section 2",
        proof=_TESTS + "test_energy_distance_on_the_line_is_that_of_scipy",
        example=_batches(divergences.energy_distance, 5, 3),
    ),
    LossCard(
        name="cramer_squared_distance",
        family="divergences",
        fn=divergences.cramer_squared_distance,
        equation="∫ (F_x(t) - F_y(t))² dt",
        unit="unit of x",
        kind="biased estimate",
        conventions="Squared, on the line: what Bellemare et al. call the Cramér distance. Half the squared energy "
        "distance (the biased one).",
        minimised_by="equal batches; then it is 0",
        reference="Bellemare et al. 2017",
        proof=_TESTS + "test_cramer_distance_is_scipys_energy_distance_over_root_two",
        example=_batches(divergences.cramer_squared_distance, 5),
    ),
    LossCard(
        name="cramer_distance",
        family="divergences",
        fn=divergences.cramer_distance,
        equation="sqrt(∫ (F_x(t) - F_y(t))² dt)",
        unit="root of the unit of x",
        kind="biased estimate",
        conventions="Not squared, on the line. The energy distance is sqrt(2) times as large.",
        minimised_by="equal batches; then it is 0",
        reference="Bellemare et al. 2017",
        proof=_TESTS + "test_cramer_distance_is_scipys_energy_distance_over_root_two",
        example=_batches(divergences.cramer_distance, 5),
    ),
    LossCard(
        name="sliced_wasserstein_squared_distance",
        family="divergences",
        fn=divergences.sliced_wasserstein_squared_distance,
        equation="E_w W2²(w·x, w·y), w uniform on the unit sphere",
        unit="squared unit of x",
        kind="exact",
        conventions="Squared: the mean of squared costs over directions, without a root (OTT returns the same, POT "
        "the root). Unbiased over directions for the two batches as they are. A shift by δ costs |δ|² / "
        "D.",
        minimised_by="equal batches; then it is 0",
        reference="Bonneel et al. 2015",
        proof=_TESTS + "test_sliced_wasserstein_of_a_scaled_and_shifted_batch_has_its_closed_form",
        example=_projected(
            lambda key, x, y: divergences.sliced_wasserstein_squared_distance(key, x, y, num_projections=4)
        ),
    ),
    LossCard(
        name="max_sliced_wasserstein_squared_distance",
        family="divergences",
        fn=divergences.max_sliced_wasserstein_squared_distance,
        equation="max_w W2²(w·x, w·y), w a unit vector",
        unit="squared unit of x",
        kind="lower bound",
        conventions="Squared. A lower bound of the maximum: the highest cost that the climbing directions meet. The "
        "direction is a stop-gradient. A shift by δ costs |δ|².",
        minimised_by="equal batches; then it is 0",
        reference="Deshpande et al. 2019",
        proof=_TESTS + "test_max_sliced_wasserstein_of_a_shift_is_its_squared_length",
        example=_projected(
            lambda key, x, y: divergences.max_sliced_wasserstein_squared_distance(
                key, x, y, num_projections=2, num_steps=8
            )
        ),
    ),
    LossCard(
        name="wasserstein_squared_distance",
        family="divergences",
        fn=divergences.wasserstein_squared_distance,
        equation="min over permutations p of 1/N Σ_i |x_i - y_p(i)|²",
        unit="squared unit of x",
        kind="exact",
        conventions="Squared. Exact between the two batches, which are equally large; biased upwards between the "
        "distributions they are drawn from. The gradient is that at the optimal permutation.",
        minimised_by="equal batches; then it is 0",
        reference="Crouse 2016 (the algorithm)",
        proof=_TRANSPORT + "test_wasserstein_squared_distance_is_the_linear_program",
        example=_batches(divergences.wasserstein_squared_distance, 5, 3),
    ),
    LossCard(
        name="sinkhorn_divergence",
        family="divergences",
        fn=divergences.sinkhorn_divergence,
        equation="OT(x, y) - ½ OT(x, x) - ½ OT(y, y), OT = min over plans P of Σ P_ij |x_i - y_j|² + epsilon KL(P || "
        "uniform)",
        unit="squared unit of x",
        kind="exact",
        conventions="Squared. The cost has no ½, and KL is against the product of the marginals (some libraries halve "
        "the cost, or take the entropy of P). Exact at convergence; the gradient is taken at fixed potentials. A "
        "shift by δ costs |δ|² at every epsilon.",
        minimised_by="equal batches; then it is 0",
        reference="Feydy et al. 2019",
        proof=_TRANSPORT + "test_sinkhorn_divergence_of_a_translate_is_its_squared_length_at_every_epsilon",
        example=_batches(lambda x, y: divergences.sinkhorn_divergence(x, y, epsilon=1.0), 5, 3),
    ),
    LossCard(
        name="gaussian_wasserstein_squared_distance",
        family="divergences",
        fn=divergences.gaussian_wasserstein_squared_distance,
        equation="|mean_x - mean_y|² + tr(cov_x + cov_y - 2 (cov_x^½ cov_y cov_x^½)^½)",
        unit="squared unit of x",
        kind="exact",
        conventions="Squared, as FID is. Exact in its arguments, biased upwards for estimated covariances. The "
        "gradient along directions without variance is 0.",
        minimised_by="equal means and covariances; then it is 0",
        reference="Dowson and Landau 1982",
        proof=_TESTS + "test_gaussian_wasserstein_is_scipys_square_root_of_the_product",
        example=_gaussians,
    ),
    LossCard(
        name="f_divergence",
        family="divergences",
        fn=divergences.f_divergence,
        equation="sum_k q_k f(p_k / q_k)",
        unit="nats",
        kind="exact",
        conventions="Data first. Jensen-Shannon is 2 JSD, the squared Hellinger divergence has no ½, total variation "
        "has it: the factors of f_gan. Pearson divides by q, Neyman by p.",
        minimised_by='p = q; then it is 0, and -log 4 for "gan"',
        reference="Nowozin et al. 2016, table 1, by its generators f",
        proof=_TESTS + "test_f_divergence_of_two_gaussians_has_its_closed_form",
        example=_distributions(lambda log_p, log_q: divergences.f_divergence(log_p, log_q, "jensen_shannon")),
    ),
    LossCard(
        name="alpha_divergence",
        family="divergences",
        fn=divergences.alpha_divergence,
        equation="(sum_k p_k^alpha q_k^(1 - alpha) - 1) / (alpha (alpha - 1))",
        unit="nats",
        kind="exact",
        conventions="KL(p || q) at alpha = 1, KL(q || p) at 0. Half of Cressie and Read's power divergence with "
        "lambda = alpha - 1.",
        minimised_by="p = q; then it is 0",
        reference="Cressie and Read 1984",
        proof=_TESTS + "test_alpha_divergence_is_half_of_scipys_power_divergence",
        example=_distributions(lambda log_p, log_q: divergences.alpha_divergence(log_p, log_q, alpha=0.7)),
    ),
)
