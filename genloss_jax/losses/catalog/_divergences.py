"""Cards of the divergences."""

import jax

from genloss_jax.losses import divergences
from genloss_jax.losses.catalog._card import Example
from genloss_jax.losses.catalog._writing import normals, on_arrays, writer

_card = writer(divergences)


def _batches(*shape):
    """Draw two batches of one shape from different distributions."""

    def draw(key):
        x, y = normals(shape, shape)(key)
        return x, 0.5 + 2.0 * y

    return draw


def _projected(call):
    """Draw an example for a distance of (key, x, y): the bound key's directions serve all pairs of examples."""

    def example(key):
        bound_key, array_key = jax.random.split(key)
        return Example(lambda x, y: call(bound_key, x, y), _batches(5, 3)(array_key))

    return example


def _gaussians(key):
    """Draw the means and covariances of two Gaussians."""
    mean_x, mean_y, factor_x, factor_y = normals((3,), (3,), (3, 6), (3, 6))(key)
    return mean_x, factor_x @ factor_x.T, mean_y, factor_y @ factor_y.T


def _log_distributions(key):
    """Draw two distributions on five points."""
    return tuple(map(jax.nn.log_softmax, normals((5,), (5,))(key)))


CARDS = (
    _card(
        "mmd_squared_distance",
        "E k(x, x') + E k(y, y') - 2 E k(x, y)",
        "kernel units",
        "exact",
        "Squared. Unbiased by default (pairs of an example with itself left out), so that values may be "
        "negative; the biased one is not. The Gaussian kernel is exp(-|x - y|² / (2 lengthscale²)).",
        "equal distributions, if the kernel is characteristic; then its mean is 0",
        "Gretton et al. 2012, lemma 6",
        "test_divergences.py::test_unbiased_rbf_mmd_squared_has_the_closed_form_of_two_gaussians_as_its_mean",
        on_arrays(
            lambda x, y: divergences.mmd_squared_distance(x, y, kernel=divergences.rbf_kernel(lengthscale=1.5)),
            _batches(5, 3),
        ),
    ),
    _card(
        "energy_squared_distance",
        "2 E |x - y| - E |x - x'| - E |y - y'|",
        "unit of x",
        "exact",
        "Squared: what Székely and Rizzo call the energy distance. Unbiased by default, so that values "
        "may be negative. Twice the squared Cramér distance on the line.",
        "equal distributions; then its mean is 0",
        "Székely and Rizzo 2013, section 2",
        "test_divergences.py::test_unbiased_energy_squared_distance_has_the_closed_form_of_two_gaussians_as_its_mean",
        on_arrays(divergences.energy_squared_distance, _batches(5, 3)),
    ),
    _card(
        "energy_distance",
        "sqrt(2 E |x - y| - E |x - x'| - E |y - y'|)",
        "root of the unit of x",
        "biased estimate",
        "Not squared, as in SciPy. The root of the biased estimate, so that it is a metric between "
        "batches; its gradient at equal batches is 0.",
        "equal batches; then it is 0",
        "Székely and Rizzo 2013, section 2",
        "test_divergences.py::test_energy_distance_on_the_line_is_that_of_scipy",
        on_arrays(divergences.energy_distance, _batches(5, 3)),
    ),
    _card(
        "cramer_squared_distance",
        "∫ (F_x(t) - F_y(t))² dt",
        "unit of x",
        "biased estimate",
        "Squared, on the line: what Bellemare et al. call the Cramér distance. Half the squared energy "
        "distance (the biased one).",
        "equal batches; then it is 0",
        "Bellemare et al. 2017",
        "test_divergences.py::test_cramer_distance_is_scipys_energy_distance_over_root_two",
        on_arrays(divergences.cramer_squared_distance, _batches(5)),
    ),
    _card(
        "cramer_distance",
        "sqrt(∫ (F_x(t) - F_y(t))² dt)",
        "root of the unit of x",
        "biased estimate",
        "Not squared, on the line. The energy distance is sqrt(2) times as large.",
        "equal batches; then it is 0",
        "Bellemare et al. 2017",
        "test_divergences.py::test_cramer_distance_is_scipys_energy_distance_over_root_two",
        on_arrays(divergences.cramer_distance, _batches(5)),
    ),
    _card(
        "sliced_wasserstein_squared_distance",
        "E_w W2²(w·x, w·y), w uniform on the unit sphere",
        "squared unit of x",
        "exact",
        "Squared: the mean of squared costs over directions, without a root (OTT returns the same, POT "
        "the root). Unbiased over directions for the two batches as they are. A shift by δ costs |δ|² / "
        "D.",
        "equal batches; then it is 0",
        "Bonneel et al. 2015",
        "test_divergences.py::test_sliced_wasserstein_of_a_scaled_and_shifted_batch_has_its_closed_form",
        _projected(lambda key, x, y: divergences.sliced_wasserstein_squared_distance(key, x, y, num_projections=4)),
    ),
    _card(
        "max_sliced_wasserstein_squared_distance",
        "max_w W2²(w·x, w·y), w a unit vector",
        "squared unit of x",
        "lower bound",
        "Squared. A lower bound of the maximum: the highest cost that the climbing directions meet. The "
        "direction is a stop-gradient. A shift by δ costs |δ|².",
        "equal batches; then it is 0",
        "Deshpande et al. 2019",
        "test_divergences.py::test_max_sliced_wasserstein_of_a_shift_is_its_squared_length",
        _projected(
            lambda key, x, y: divergences.max_sliced_wasserstein_squared_distance(
                key, x, y, num_projections=2, num_steps=8
            )
        ),
    ),
    _card(
        "wasserstein_squared_distance",
        "min over permutations p of 1/N Σ_i |x_i - y_p(i)|²",
        "squared unit of x",
        "exact",
        "Squared. Exact between the two batches, which are equally large; biased upwards between the "
        "distributions they are drawn from. The gradient is that at the optimal permutation.",
        "equal batches; then it is 0",
        "Crouse 2016 (the algorithm)",
        "test_divergences_transport.py::test_wasserstein_squared_distance_is_the_linear_program",
        on_arrays(divergences.wasserstein_squared_distance, _batches(5, 3)),
    ),
    _card(
        "sinkhorn_divergence",
        "OT(x, y) - ½ OT(x, x) - ½ OT(y, y), OT = min over plans P of Σ P_ij |x_i - y_j|² + epsilon KL(P || uniform)",
        "squared unit of x",
        "exact",
        "Squared. The cost has no ½, and KL is against the product of the marginals (some libraries halve "
        "the cost, or take the entropy of P). Exact at convergence; the gradient is taken at fixed potentials. A "
        "shift by δ costs |δ|² at every epsilon.",
        "equal batches; then it is 0",
        "Feydy et al. 2019",
        "test_divergences_transport.py::test_sinkhorn_divergence_of_a_translate_is_its_squared_length_at_every_epsilon",
        on_arrays(lambda x, y: divergences.sinkhorn_divergence(x, y, epsilon=1.0), _batches(5, 3)),
    ),
    _card(
        "gaussian_wasserstein_squared_distance",
        "|mean_x - mean_y|² + tr(cov_x + cov_y - 2 (cov_x^½ cov_y cov_x^½)^½)",
        "squared unit of x",
        "exact",
        "Squared, as FID is. Exact in its arguments, biased upwards for estimated covariances. The "
        "gradient along directions without variance is 0.",
        "equal means and covariances; then it is 0",
        "Dowson and Landau 1982",
        "test_divergences.py::test_gaussian_wasserstein_is_scipys_square_root_of_the_product",
        on_arrays(divergences.gaussian_wasserstein_squared_distance, _gaussians, axes=(None,) * 4),
    ),
    _card(
        "f_divergence",
        "sum_k q_k f(p_k / q_k)",
        "nats",
        "exact",
        "Data first. Jensen-Shannon is 2 JSD, the squared Hellinger divergence has no ½, total variation "
        "has it: the factors of f_gan. Pearson divides by q, Neyman by p.",
        'p = q; then it is 0, and -log 4 for "gan"',
        "Nowozin et al. 2016, table 1, by its generators f",
        "test_divergences.py::test_f_divergence_of_two_gaussians_has_its_closed_form",
        on_arrays(lambda log_p, log_q: divergences.f_divergence(log_p, log_q, "jensen_shannon"), _log_distributions),
    ),
    _card(
        "alpha_divergence",
        "(sum_k p_k^alpha q_k^(1 - alpha) - 1) / (alpha (alpha - 1))",
        "nats",
        "exact",
        "KL(p || q) at alpha = 1, KL(q || p) at 0. Half of Cressie and Read's power divergence with "
        "lambda = alpha - 1.",
        "p = q; then it is 0",
        "Cressie and Read 1984",
        "test_divergences.py::test_alpha_divergence_is_half_of_scipys_power_divergence",
        on_arrays(lambda log_p, log_q: divergences.alpha_divergence(log_p, log_q, alpha=0.7), _log_distributions),
    ),
)
