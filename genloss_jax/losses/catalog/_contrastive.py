"""Cards of the contrastive losses and of the bounds on mutual information."""

import jax.numpy as jnp

from genloss_jax.losses import contrastive
from genloss_jax.losses.catalog._card import Example
from genloss_jax.losses.catalog._writing import normals, on_arrays, writer

BATCH, DIM = 5, 3
_ROWS, _POINTS = (BATCH,), (BATCH, DIM)
_LABELS = (0.0, 1.0, 0.0, 2.0, 1.0)

_card = writer(contrastive)


def _on_scores(call):
    """Draw an example for a loss of a square matrix of scores."""

    def example(key):
        left, right = normals(_POINTS, _POINTS)(key)
        name = "similarities" if call is contrastive.info_nce_loss else "scores"
        return Example(call, (left @ right.T,), names=(name,), permutes=False)

    return example


def _with_labels(call, count):
    """Draw an example for a loss of `count` batches of embeddings, and of labels."""

    def example(key):
        def on_floats(*arrays):
            return call(*arrays[:count], arrays[count].astype(jnp.int32))

        return Example(on_floats, (*normals(*[_POINTS] * count)(key), jnp.array(_LABELS)))

    return example


def _auxiliary(key):
    def call(real_logits, fake_logits, real_labels, fake_labels):
        labels = real_labels.astype(jnp.int32), fake_labels.astype(jnp.int32)
        return contrastive.auxiliary_classifier_losses(real_logits, fake_logits, *labels)

    return Example(call, (*normals((BATCH, 4), (BATCH, 4))(key), jnp.array(_LABELS), jnp.array(_LABELS[::-1])))


def _infogan(key):
    def call(class_logits, classes, mean, log_var, codes):
        return contrastive.infogan_loss(class_logits, classes.astype(jnp.int32), mean, log_var, codes)

    logits, *rest = normals((BATCH, 4), *[(BATCH, 2)] * 3)(key)
    return Example(call, (logits, jnp.array(_LABELS), *rest))


_DEVICES = "with axis_name the others come from all devices"
_BOUND = "a bound and no loss: higher is better, minimise its negative; per row, the mean is the bound"

CARDS = (
    _card(
        "info_nce_loss",
        "−s_ii + log Σ_j exp s_ij",
        "nats",
        "exact",
        f"similarities are logits, temperature applied; one direction; log B is not subtracted; {_DEVICES}",
        "s_ij = log p(y_j|x_i) / p(y_j) up to a function of x; log B less the mean is then at most min(I, log B)",
        "van den Oord et al. 2018, Eq. 4",
        "test_contrastive_scores.py::test_info_nce_loss_of_scores_with_a_raised_diagonal_has_its_closed_form",
        _on_scores(contrastive.info_nce_loss),
    ),
    _card(
        "nt_xent_loss",
        "mean over both views of −s_ij/τ + log Σ_{k≠i} exp(s_ik/τ), s the cosine",
        "nats",
        "exact",
        f"2B − 1 candidates, the view itself left out; embeddings are scaled to length 1 here; {_DEVICES}",
        "views of one example equal, those of others spread; log(2B − 1) for embeddings that say nothing",
        "Chen et al. 2020, Eq. 1",
        "test_contrastive_embeddings.py::test_nt_xent_of_equal_views_at_right_angles_has_its_closed_form",
        on_arrays(lambda *views: contrastive.nt_xent_loss(*views, temperature=0.5), normals(_POINTS, _POINTS)),
    ),
    _card(
        "supervised_contrastive_loss",
        "−1/|P(i)| Σ_{p∈P(i)} log (exp(s_ip/τ) / Σ_{k≠i} exp(s_ik/τ)), s the cosine",
        "nats",
        "exact",
        "the mean over positives stands outside the logarithm; alone in a class costs 0; not multiplied by τ; "
        f"{_DEVICES}",
        "each class in one point, the classes spread as a simplex",
        "Khosla et al. 2020, Eq. 2",
        "test_contrastive_embeddings.py::test_supervised_contrastive_loss_of_orthogonal_classes_has_its_closed_form",
        _with_labels(lambda *arrays: contrastive.supervised_contrastive_loss(*arrays, temperature=0.5), 1),
    ),
    _card(
        "clip_loss",
        "½ (−l_ii + log Σ_j exp l_ij) + ½ (−l_ii + log Σ_j exp l_ji), l_ij = exp(log_scale) cos(image_i, text_j)",
        "nats",
        "exact",
        "symmetric, with the ½; embeddings are scaled to length 1 here; the scale is given by its logarithm; "
        f"{_DEVICES}",
        "l_ij = log p(image, text) / (p(image) p(text)) up to a constant",
        "Radford et al. 2021, figure 3",
        "test_contrastive_embeddings.py::test_clip_loss_of_matched_pairs_at_right_angles_has_its_closed_form",
        on_arrays(lambda *sides: contrastive.clip_loss(*sides, log_scale=1.0), normals(_POINTS, _POINTS)),
    ),
    _card(
        "siglip_loss",
        "Σ_j softplus(−z_ij (exp(log_scale) cos(image_i, text_j) + bias)), z = 1 if i = j, else −1",
        "nats",
        "exact",
        f"summed over the texts of an image: the mean is the sum over pairs divided by B, not by B²; {_DEVICES}",
        "for embeddings that say nothing bias = −log(B − 1), less their scaled cosine; then it is log B + (B − 1) "
        "log(B/(B − 1))",
        "Zhai et al. 2023, section 3.2",
        "test_contrastive_embeddings.py::test_siglip_loss_of_orthogonal_embeddings_is_least_at_the_bias_of_the_odds",
        on_arrays(lambda *sides: contrastive.siglip_loss(*sides, log_scale=1.0, bias=-2.0), normals(_POINTS, _POINTS)),
    ),
    _card(
        "triplet_loss",
        "max(d(a, p) − d(a, n) + margin, 0), d = ‖·‖², or ‖·‖ if not squared",
        "(squared) unit of the embeddings",
        "exact",
        "squared distances by default, as in the paper; embeddings are not scaled; no mining",
        "negatives farther than positives by the margin",
        "Schroff et al. 2015, section 3.1",
        "test_contrastive_embeddings.py::test_triplet_loss_of_points_on_a_line_is_what_the_eye_reads_off",
        on_arrays(lambda *arrays: contrastive.triplet_loss(*arrays, margin=1.0), normals(_POINTS, _POINTS, _POINTS)),
    ),
    _card(
        "conditional_contrastive_loss",
        "−log ((exp(c_i/τ) + Σ_{k∈P(i)} exp(s_ik/τ)) / (exp(c_i/τ) + Σ_{k≠i} exp(s_ik/τ))), s and c cosines",
        "nats",
        "exact",
        f"positives are summed inside the logarithm; the class embedding is one more positive; {_DEVICES}",
        "classes apart; 0 if all examples share one class",
        "Kang and Park 2020, Eq. 8",
        "test_contrastive_conditional.py::test_conditional_contrastive_loss_of_orthogonal_classes_has_its_closed_form",
        _with_labels(lambda *arrays: contrastive.conditional_contrastive_loss(*arrays, temperature=0.5), 2),
    ),
    _card(
        "data_to_data_loss",
        "−log (exp(p_i/τ) / (exp(p_i/τ) + Σ_{k∈N(i)} exp(n_ik/τ))), p_i = min(c_i − m_p, 0), n_ik = max(s_ik − m_n, 0)",
        "nats",
        "exact",
        f"negatives are examples of other classes only; no gradient beyond the margins; {_DEVICES}",
        "cosine with the class at least m_p, with other classes' examples at most m_n; then it is log(1 + |N(i)|)",
        "Kang et al. 2021, section 3",
        "test_contrastive_conditional.py::test_data_to_data_loss_of_orthogonal_classes_has_its_closed_form",
        _with_labels(lambda *arrays: contrastive.data_to_data_loss(*arrays, temperature=0.5), 2),
    ),
    _card(
        "auxiliary_classifier_losses",
        "discriminator: −log p(y|x) − log p(ỹ|x̃); generator: −log p(ỹ|x̃)",
        "nats",
        "exact",
        "class terms only, to be added to an adversarial loss; the discriminator's classifier learns on both sides",
        "p the true posterior of the class on each side; then each term's mean is the conditional entropy of the class",
        "Odena et al. 2017, Eq. 2 and 3",
        "test_contrastive_conditional.py::test_auxiliary_classifier_losses_at_the_posterior_are_conditional_entropies",
        _auxiliary,
    ),
    _card(
        "infogan_loss",
        "−log q(k|x) − Σ_d log N(c_d; mean_d(x), exp(log_var_d(x)))",
        "nats",
        "upper bound",
        "class and Gaussian codes; all constants in; an upper bound of the conditional entropy H(k, c | x): H(k, c) "
        "less it is a lower bound of mutual information",
        "q = p(k, c | x); then the mean is H(k, c | x)",
        "Chen et al. 2016, Eq. 5",
        "test_contrastive_conditional.py::test_infogan_loss_at_the_posterior_is_the_conditional_entropy",
        _infogan,
    ),
    _card(
        "info_nce",
        "log B + f_ii − log Σ_j exp f_ij",
        "nats",
        "lower bound",
        f"{_BOUND}; never above log B; {_DEVICES}",
        "maximised by f = log p(y|x) / p(y), up to a function of x; then at most min(I(x; y), log B)",
        "van den Oord et al. 2018; Poole et al. 2019, section 2.3",
        ""
        "test_contrastive_scores.py::test_info_nce_with_the_optimal_critic_is_the_divergence_of_the_two_orders_of_a_pair",
        _on_scores(contrastive.info_nce),
    ),
    _card(
        "nwj",
        "f_ii − mean_{j≠i} exp(f_ij − 1)",
        "nats",
        "lower bound",
        f"{_BOUND}; overflows for wrong pairs above 89; {_DEVICES}",
        "maximised by f = 1 + log p(y|x) / p(y); then I(x; y)",
        "Nguyen et al. 2010; Poole et al. 2019, section 2.1",
        "test_contrastive_scores.py::test_nwj_with_the_optimal_critic_is_the_mutual_information",
        _on_scores(contrastive.nwj),
    ),
    _card(
        "jensen_shannon",
        "2 log 2 − softplus(−f_ii) − mean_{j≠i} softplus(f_ij)",
        "nats",
        "lower bound",
        f"{_BOUND}; of twice the Jensen-Shannon divergence of joint and independent pairs, not of I(x; y); Deep "
        f"InfoMax leaves out 2 log 2; {_DEVICES}",
        "maximised by f = log p(y|x) / p(y); then 2 JSD(p(x, y), p(x) p(y))",
        "Hjelm et al. 2019, Eq. 4",
        ""
        "test_contrastive_scores.py::test_jensen_shannon_with_the_optimal_critic_is_twice_that_of_joint_and_independent_pairs",
        _on_scores(contrastive.jensen_shannon),
    ),
    _card(
        "barber_agakov",
        "log q(x|y) − log p(x)",
        "nats",
        "lower bound",
        f"{_BOUND}; the marginal must be the true one",
        "maximised by q = p(x|y); then I(x; y)",
        "Barber and Agakov 2003",
        "test_contrastive_scores.py::test_barber_agakov_with_the_posterior_is_the_mutual_information_of_gaussians",
        on_arrays(contrastive.barber_agakov, normals(_ROWS, _ROWS)),
    ),
)
