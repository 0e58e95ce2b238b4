"""Cards of the likelihoods."""

import jax
import jax.numpy as jnp

from genloss_jax.losses import likelihood
from genloss_jax.losses.catalog._writing import normals, on_arrays, writer

BATCH, PLACES, CLASSES, DIM = 4, 3, 5, 2
LEVELS = 16

_card = writer(likelihood)


def _with_targets(draw, targets_fn, *shapes):
    """Add targets to normal arrays."""

    def arrays(key):
        array_key, target_key = jax.random.split(key)
        return (*normals(*shapes)(array_key), targets_fn(target_key, draw))

    return arrays


def _labels(key, shape):
    # Floats that hold integers: the contract differentiates, halves and permutes all arrays.
    return jnp.floor(jax.random.uniform(key, shape, maxval=CLASSES))


def _levels(key, shape):
    return likelihood.from_bins(jax.random.randint(key, shape, 0, LEVELS), num_bins=LEVELS)


def _labelled(loss):
    """Draw an example for a loss of (logits, labels)."""
    arrays = _with_targets((BATCH, PLACES), _labels, (BATCH, PLACES, CLASSES))
    return on_arrays(lambda logits, labels: loss(logits, labels.astype(jnp.int32)), arrays)


_EVENT = (BATCH, PLACES, DIM)
_MIXTURE = ((BATCH, PLACES, CLASSES), (BATCH, PLACES, CLASSES, DIM), (BATCH, PLACES, CLASSES, DIM))
_SUMMED = "summed over all axes of an example"

CARDS = (
    _card(
        "bernoulli_nll",
        "sum_d x_d softplus(-l_d) + (1 - x_d) softplus(l_d)",
        "nats",
        "exact",
        f"logits, {_SUMMED}, no clipping; for targets 0 and 1. Grey targets make it a cross-entropy whose minimum is "
        "not 0, no likelihood: take continuous_bernoulli_nll",
        "σ(l) = E[x]; its mean is then the entropy of independent bits",
        "Kingma and Welling 2014, appendix C.1",
        "test_likelihood.py::test_probabilities_of_all_binary_images_sum_to_one",
        on_arrays(likelihood.bernoulli_nll, _with_targets(_EVENT, jax.random.uniform, _EVENT)),
    ),
    _card(
        "continuous_bernoulli_nll",
        "sum_d log ∫₀¹ exp(l_d t) dt - l_d x_d",
        "nats",
        "exact",
        f"with the normaliser C(λ) that bernoulli_nll lacks on grey targets; λ = σ(l) is not the mean; {_SUMMED}",
        "the mean of the density, 1 / (1 - exp(-l)) - 1 / l, equals E[x]",
        "Loaiza-Ganem and Cunningham 2019, section 3",
        "test_likelihood.py::test_continuous_bernoulli_has_its_published_constant",
        on_arrays(likelihood.continuous_bernoulli_nll, _with_targets(_EVENT, jax.random.uniform, _EVENT)),
    ),
    _card(
        "gaussian_nll",
        "½ sum_d [log 2π + log_var_d + (x_d - mean_d)² exp(-log_var_d)]",
        "nats",
        "exact",
        f"log of the variance, not of the standard deviation; the constant is there; {_SUMMED}",
        "mean and variance of the data; its mean is then ½ log 2πe σ² per dimension",
        "Kingma and Welling 2014, appendix C.2",
        "test_likelihood.py::test_density_is_that_of_scipy[gaussian_nll]",
        on_arrays(likelihood.gaussian_nll, normals(_EVENT, _EVENT, _EVENT)),
    ),
    _card(
        "optimal_sigma_nll",
        "½ sum_d [log 2πv + (x_d - mean_d)² / v], v = mean squared error",
        "nats",
        "lower bound",
        "one v for the whole batch (or for each example, shared=False), not below min_variance; not above gaussian_nll "
        "with any shared variance, because v has seen the targets; gradient that of gaussian_nll at fixed v",
        "the conditional mean; the value is D/2 (log 2πv + 1) on average over the batch",
        "Rybkin et al. 2021",
        "test_likelihood.py::test_optimal_sigma_is_the_minimum_of_the_gaussian_over_all_shared_variances",
        on_arrays(likelihood.optimal_sigma_nll, normals(_EVENT, _EVENT)),
    ),
    _card(
        "laplace_nll",
        "sum_d [log 2 + log_scale_d + |x_d - mean_d| exp(-log_scale_d)]",
        "nats",
        "exact",
        f"the scale is the mean absolute deviation, the standard deviation / √2; {_SUMMED}",
        "median and mean absolute deviation of the data; its mean is then 1 + log 2 scale per dimension",
        "Laplace 1774",
        "test_likelihood.py::test_density_is_that_of_scipy[laplace_nll]",
        on_arrays(likelihood.laplace_nll, normals(_EVENT, _EVENT, _EVENT)),
    ),
    _card(
        "student_t_nll",
        "sum_d [log B(½, ν/2) + ½ log ν + log_scale_d + (ν + 1)/2 log(1 + z_d²/ν)], z = (x - mean) exp(-log_scale)",
        "nats",
        "exact",
        f"the scale is not the standard deviation; ν (df) may be traced; {_SUMMED}",
        "the data's own density if it is a Student t; its mean is then that density's entropy",
        "Student 1908",
        "test_likelihood.py::test_density_is_that_of_scipy[student_t_nll]",
        on_arrays(
            lambda mean, log_scale, targets: likelihood.student_t_nll(mean, log_scale, targets, df=3.5),
            normals(_EVENT, _EVENT, _EVENT),
        ),
    ),
    _card(
        "gaussian_mixture_nll",
        "-log sum_k π_k prod_d N(x_d; means_kd, exp(log_vars_kd))",
        "nats",
        "exact",
        "one mixture per place, joint over the last axis D, summed over places; log-variances; weights are a softmax",
        "no minimum in the parameters: a component may shrink onto a target; in expectation the data's density",
        "Bishop 1994",
        "test_likelihood_mixtures.py::test_gaussian_mixture_is_the_sum_of_scipys_densities",
        on_arrays(likelihood.gaussian_mixture_nll, normals(*_MIXTURE, _EVENT)),
    ),
    _card(
        "poisson_nll",
        "sum_d [exp(log_rate_d) - x_d log_rate_d + log x_d!]",
        "nats",
        "exact",
        "log of the rate; log x! is there, which PyTorch leaves out unless full=True",
        "the mean of the counts; the value is then their entropy if they are Poisson",
        "Poisson 1837",
        "test_likelihood.py::test_poisson_nll_is_that_of_scipy",
        on_arrays(likelihood.poisson_nll, _with_targets(_EVENT, _labels, _EVENT)),
    ),
    _card(
        "discretized_logistic_nll",
        "-sum_d log [σ((b_d - mean_d) / s_d) - σ((a_d - mean_d) / s_d)], s = exp(log_scale)",
        "nats",
        "exact",
        "data in [-1, 1] with levels at both ends; edges a and b half a level away, the outermost at -∞ and ∞; "
        f"{_SUMMED}; a probability: bits_per_dim(..., num_bins=1)",
        "the data's probabilities of bins",
        "Salimans et al. 2017, PixelCNN++, equation 2",
        "test_likelihood_mixtures.py::test_probabilities_of_all_bins_sum_to_one",
        on_arrays(
            lambda mean, log_scale, targets: likelihood.discretized_logistic_nll(
                mean, log_scale, targets, num_bins=LEVELS
            ),
            _with_targets(_EVENT, _levels, _EVENT, _EVENT),
        ),
    ),
    _card(
        "discretized_logistic_mixture_nll",
        "-log sum_k π_k prod_d [σ((b_d - means_kd) / s_kd) - σ((a_d - means_kd) / s_kd)]",
        "nats",
        "exact",
        "one mixture per place (pixel), joint over the last axis (channels), summed over places; bins as in "
        "discretized_logistic_nll",
        "the data's probabilities of bins",
        "Salimans et al. 2017, PixelCNN++, equation 2",
        "test_likelihood_mixtures.py::test_mixture_probabilities_of_all_colours_sum_to_one",
        on_arrays(
            lambda *arrays: likelihood.discretized_logistic_mixture_nll(*arrays, num_bins=LEVELS),
            _with_targets(_EVENT, _levels, *_MIXTURE),
        ),
    ),
    _card(
        "categorical_nll",
        "sum_t [log sum_k exp(l_tk) - l_t,label]",
        "nats",
        "exact",
        "logits; summed over the places of an example, not averaged over tokens; ∞ for a label that does not exist",
        "the data's conditional probabilities; its mean is then their entropy",
        "Shannon 1948",
        "test_likelihood_classes.py::test_probabilities_of_all_sequences_sum_to_one",
        _labelled(likelihood.categorical_nll),
    ),
    _card(
        "label_smoothed_nll",
        "-sum_tk q_tk log p_tk, q = (1 - ε) [k = label] + ε/K",
        "nats",
        "exact",
        "the uniform part includes the label, ε/K on each class; the minimum is the entropy of q, not 0",
        "p = q; the excess over the entropy of q is KL(q || p)",
        "Szegedy et al. 2016, section 7",
        "test_likelihood_classes.py::test_label_smoothed_value_is_entropy_of_the_smoothed_label_plus_kl",
        _labelled(lambda logits, labels: likelihood.label_smoothed_nll(logits, labels, smoothing=0.2)),
    ),
    _card(
        "unlikelihood_loss",
        "-sum_tc negatives_tc log(1 - p_tc)",
        "nats",
        "exact",
        "the unlikelihood term alone, to be added to categorical_nll; negatives are an indicator or weights",
        "no probability on the negative classes; then it is 0",
        "Welleck et al. 2020",
        "test_likelihood_classes.py::test_unlikelihood_of_known_probabilities",
        on_arrays(
            likelihood.unlikelihood_loss,
            _with_targets((BATCH, PLACES, CLASSES), jax.random.uniform, (BATCH, PLACES, CLASSES)),
        ),
    ),
    _card(
        "z_loss",
        "sum_t (log sum_k exp(l_tk))²",
        "squared nats",
        "exact",
        "no ½; weight 1e-4 in the paper; summed over the places of an example",
        "logits that are log-probabilities; then it is 0",
        "Chowdhery et al. 2022, PaLM, section 5",
        "test_likelihood_classes.py::test_z_loss_of_shifted_log_probabilities_is_the_squared_shift",
        on_arrays(likelihood.z_loss, normals((BATCH, PLACES, CLASSES))),
    ),
)
