"""Class and code losses of GANs: classes at right angles on paper, posteriors of enumerated distributions, loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from genloss_jax.losses import contrastive
from tests.reference import contrastive as reference
from tests.reference.energy import normal_nodes

TEMPERATURE = 0.4
LABELS = np.array([0, 1, 0, 2, 1, 0])
IN_CLASS = np.array([3, 2, 3, 1, 2, 3])
CLASSES = 2.0 * jnp.eye(3)[LABELS]


def points(seed):
    return np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float32)


# --- 2C and D2D-CE ---


def test_conditional_contrastive_loss_of_orthogonal_classes_has_its_closed_form():
    value = contrastive.conditional_contrastive_loss(3 * CLASSES, CLASSES, jnp.asarray(LABELS), temperature=TEMPERATURE)
    # n positives of weight exp(1/τ), its own class embedding among them, against B − n of weight 1
    positives = IN_CLASS * np.exp(1 / TEMPERATURE)
    np.testing.assert_allclose(value, np.log1p((6 - IN_CLASS) / positives), rtol=1e-5)


def test_conditional_contrastive_loss_of_random_embeddings_is_the_loop_over_pairs():
    x, classes = points(0), points(1)
    value = contrastive.conditional_contrastive_loss(
        jnp.asarray(x), jnp.asarray(classes), jnp.asarray(LABELS), temperature=TEMPERATURE
    )
    np.testing.assert_allclose(value, reference.conditional(x, classes, LABELS, TEMPERATURE), rtol=1e-5)


def test_data_to_data_loss_of_orthogonal_classes_has_its_closed_form():
    value = contrastive.data_to_data_loss(3 * CLASSES, CLASSES, jnp.asarray(LABELS), temperature=TEMPERATURE)
    # beyond both margins every term is 1
    np.testing.assert_allclose(value, np.log1p(6 - IN_CLASS), rtol=1e-5)


@pytest.mark.parametrize("margins", [(0.98, 0.02), (0.3, -0.2)])
def test_data_to_data_loss_of_random_embeddings_is_the_loop_over_pairs(margins):
    x, classes = points(2), points(3)
    value = contrastive.data_to_data_loss(
        jnp.asarray(x),
        jnp.asarray(classes),
        jnp.asarray(LABELS),
        temperature=TEMPERATURE,
        positive_margin=margins[0],
        negative_margin=margins[1],
    )
    np.testing.assert_allclose(value, reference.data_to_data(x, classes, LABELS, TEMPERATURE, *margins), rtol=1e-5)


def test_data_to_data_loss_leaves_easy_cosines_alone():
    gradient = jax.jit(
        jax.grad(
            lambda x: jnp.sum(contrastive.data_to_data_loss(x, CLASSES, jnp.asarray(LABELS), temperature=TEMPERATURE))
        )
    )(3 * CLASSES)
    np.testing.assert_array_equal(gradient, np.zeros((6, 3)))


@pytest.mark.parametrize("labels", [np.zeros(4, int), np.arange(4)])
@pytest.mark.parametrize("name", ["conditional_contrastive_loss", "data_to_data_loss"])
def test_gradient_is_finite_without_positives_and_without_negatives(name, labels):
    x = jnp.asarray(points(4)[:4])
    value, gradient = jax.jit(
        jax.value_and_grad(
            lambda x: jnp.sum(getattr(contrastive, name)(x, x[::-1], jnp.asarray(labels), temperature=TEMPERATURE))
        )
    )(x)
    assert np.all(np.isfinite(gradient))
    if not labels.any():
        np.testing.assert_allclose(value, 0, atol=1e-6)


# --- Auxiliary classifier, projection ---

# p(x, class) on four points, of data and of a generator
REAL, FAKE = (np.random.default_rng(seed).dirichlet(np.ones(12)).reshape(4, 3) for seed in (5, 6))


def conditional_entropy(joint):
    return special.entr(joint).sum() - special.entr(joint.sum(1)).sum()


def test_auxiliary_classifier_losses_at_the_posterior_are_conditional_entropies():
    x, y, fake_x, fake_y = (grid.ravel() for grid in np.meshgrid(range(4), range(3), range(4), range(3), indexing="ij"))
    weights = REAL[x, y] * FAKE[fake_x, fake_y]
    with jax.enable_x64(True):
        # unnormalised on purpose: the classifier's softmax normalises
        logits = np.log(REAL)[x], np.log(FAKE)[fake_x]
        losses = contrastive.auxiliary_classifier_losses(*map(jnp.asarray, (*logits, y, fake_y)))
    discriminator, generator = (weights @ np.asarray(loss) for loss in losses)
    np.testing.assert_allclose(discriminator, conditional_entropy(REAL) + conditional_entropy(FAKE), rtol=1e-10)
    np.testing.assert_allclose(generator, conditional_entropy(FAKE), rtol=1e-10)


def test_generator_of_an_auxiliary_classifier_does_not_see_real_examples():
    gradient = jax.jit(
        jax.grad(
            lambda real: jnp.sum(
                contrastive.auxiliary_classifier_losses(
                    real, jnp.ones((2, 3)), jnp.zeros(2, int), jnp.ones(2, int)
                ).generator
            )
        )
    )(jnp.ones((2, 3)))
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_projection_logits_of_two_softmax_classifiers_are_the_joint_log_ratio():
    rng = np.random.default_rng(7)
    features, labels = rng.normal(size=(5, 3)), np.array([0, 1, 1, 0, 2])
    data, model = rng.normal(size=(2, 3, 3))
    log_ratio = rng.normal(size=5)
    joint = log_ratio + sum(
        sign * special.log_softmax(features @ weights.T, 1)[np.arange(5), labels]
        for sign, weights in ((1, data), (-1, model))
    )
    # e(y) is the difference of the classifiers' weights; their normalisers are the unconditional part
    normalisers = special.logsumexp(features @ model.T, 1) - special.logsumexp(features @ data.T, 1)
    with jax.enable_x64(True):
        arrays = log_ratio + normalisers, features, (data - model)[labels]
        value = contrastive.projection_logits(*map(jnp.asarray, arrays))
    np.testing.assert_allclose(value, joint, rtol=1e-10)


# --- InfoGAN ---


def test_infogan_loss_at_the_posterior_is_the_conditional_entropy():
    # x = (symbol of a channel, c + noise): the codes' posterior is N(x / 1.25, 0.2) for noise of variance 1/4
    nodes = 20
    (code, p), (noise, q) = normal_nodes(0, 1, nodes), normal_nodes(0, 0.5, nodes)
    symbol, k, i, j = (
        grid.ravel() for grid in np.meshgrid(range(4), range(3), range(nodes), range(nodes), indexing="ij")
    )
    weights = REAL[symbol, k] * p[i] * q[j]
    seen = code[i] + noise[j]

    def mean_loss(shrink, variance):
        with jax.enable_x64(True):
            arrays = (
                np.log(REAL)[symbol],
                k,
                shrink * seen[:, None],
                np.full((len(k), 1), np.log(variance)),
                code[i][:, None],
            )
            return weights @ np.asarray(contrastive.infogan_loss(*map(jnp.asarray, arrays)))

    expected = conditional_entropy(REAL) + 0.5 * np.log(2 * np.pi * np.e * 0.2)
    np.testing.assert_allclose(mean_loss(0.8, 0.2), expected, rtol=1e-10)
    assert min(mean_loss(0.7, 0.2), mean_loss(0.8, 0.3), mean_loss(0.8, 0.15)) > expected


def test_infogan_loss_takes_classes_alone():
    nothing = jnp.zeros((2, 0))
    value = contrastive.infogan_loss(jnp.zeros((2, 10)), jnp.array([3, 7]), nothing, nothing, nothing)
    np.testing.assert_allclose(value, np.full(2, np.log(10)), rtol=1e-6)
