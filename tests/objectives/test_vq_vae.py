"""The vector-quantised autoencoder, against a model whose codes can all be listed."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genloss_jax.losses.variational import CodebookAverage
from genloss_jax.networks.network import from_function
from genloss_jax.objectives.observation import gaussian
from genloss_jax.objectives.vq_vae import Codes, vq_vae

CODES = Codes(shape=(2,), num=3, dim=1)
CODEBOOK = np.array([-1.0, 0.0, 1.5])
SHIFT, VARIANCE = 0.3, 0.4
# P(c_1), and P(c_2 | c_1) in its rows
FIRST, SECOND = np.array([0.2, 0.5, 0.3]), np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
ALL_CODES = np.array(list(itertools.product(range(3), repeat=2)))
LOG_PRIOR = np.log(FIRST[ALL_CODES[:, 0]] * SECOND[ALL_CODES[:, 0], ALL_CODES[:, 1]])
X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
BATCH = {"x": jnp.asarray(X)}
HYPER = {"commitment_weight": 0.25, "codebook_decay": 0.9}


def encoder():
    """z = x + shift."""
    return from_function(lambda key, x: {"shift": jnp.full(2, SHIFT)}, lambda params, x: x + params["shift"][None])


def decoder():
    """p(x | e) = N(e, VARIANCE)."""

    def apply(params, vectors):
        return jnp.stack([vectors, jnp.full_like(vectors, np.log(VARIANCE))], axis=-1)

    return from_function(lambda key, vectors: {}, apply)


def prior():
    def apply(params, codes):
        first = jnp.broadcast_to(params["first"], (len(codes), 3))
        return jnp.stack([first, params["second"][codes[:, 0]]], axis=1)

    def init(key, codes):
        return {"first": jnp.log(jnp.asarray(FIRST, jnp.float32)), "second": jnp.log(jnp.asarray(SECOND, jnp.float32))}

    return from_function(init, apply)


def build(codes=CODES, **options):
    return vq_vae(encoder(), decoder(), prior(), codes=codes, observation=gaussian(), **options)


@pytest.fixture(scope="module")
def model():
    """The objective, its parameters, and the codebook above in place of the one it starts from."""
    objective = build()
    params, aux = objective.init(jax.random.key(0), BATCH)
    return (
        objective,
        params,
        {**aux, "codebook": CodebookAverage(jnp.ones(3), jnp.asarray(CODEBOOK, jnp.float32)[:, None])},
    )


def nearest():
    return np.argmin(np.abs(X[..., None] + SHIFT - CODEBOOK), axis=-1)


def log_joint():
    """log P(c) + log p(x | e_c) of each example and all codes, `[B, 9]`."""
    return LOG_PRIOR + stats.norm.logpdf(X[:, None], CODEBOOK[ALL_CODES], np.sqrt(VARIANCE)).sum(axis=-1)


def test_the_bound_misses_the_evidence_by_the_surprise_of_the_codes_under_the_exact_posterior(model):
    objective, params, aux = model
    bound = np.asarray(jax.jit(objective.log_prob)(params, aux, BATCH, jax.random.key(0)), np.float64)
    evidence = special.logsumexp(log_joint(), axis=1)
    log_posterior = log_joint()[np.arange(len(X)), nearest() @ [3, 1]] - evidence
    np.testing.assert_allclose(evidence - bound, -log_posterior, rtol=1e-4, atol=1e-5)
    assert objective.log_prob_kind == "lower bound"


def test_losses_are_the_two_parts_of_the_bound_and_the_commitment(model):
    objective, params, aux = model
    codes = nearest()
    value, (metrics, _) = jax.jit(objective.losses["model"])(params, aux, BATCH, jax.random.key(0), HYPER)
    nll = -stats.norm.logpdf(X, CODEBOOK[codes], np.sqrt(VARIANCE)).sum(axis=1).mean()
    commitment = np.sum((X + SHIFT - CODEBOOK[codes]) ** 2, axis=1).mean()
    np.testing.assert_allclose([metrics["nll"], metrics["commitment"]], [nll, commitment], rtol=1e-5)
    np.testing.assert_allclose(value, nll + 0.25 * commitment, rtol=1e-5)
    shares = np.bincount(codes.reshape(-1), minlength=3) / codes.size
    np.testing.assert_allclose(metrics["code_perplexity"], np.exp(special.entr(shares).sum()), rtol=1e-5)
    prior_value, _ = jax.jit(objective.losses["prior"])(params, aux, BATCH, jax.random.key(0), HYPER)
    np.testing.assert_allclose(prior_value, -LOG_PRIOR[codes @ [3, 1]].mean(), rtol=1e-5)


def test_the_encoder_has_the_gradient_of_the_codewords_and_of_the_commitment(model):
    objective, params, aux = model
    grads = jax.grad(lambda p: objective.losses["model"](p, aux, BATCH, jax.random.key(0), HYPER)[0])(params)
    vectors = CODEBOOK[nearest()]
    # d/de |x - e|² / (2 VARIANCE), handed to z; and d/dz 0.25 |z - e|²
    expected = ((vectors - X) / VARIANCE + 0.5 * (X + SHIFT - vectors)).mean(axis=0)
    np.testing.assert_allclose(grads["model"]["encoder"]["shift"], expected, rtol=1e-4)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads["prior"]))


def test_codewords_move_to_the_mean_of_the_latents_that_chose_them(model):
    objective, params, aux = model
    _, (_, moved) = jax.jit(objective.losses["model"])(params, aux, BATCH, jax.random.key(0), HYPER)
    for k in range(3):
        latents = (X + SHIFT)[nearest() == k]
        expected = (0.9 * CODEBOOK[k] + 0.1 * latents.sum(), 0.9 + 0.1 * len(latents))
        np.testing.assert_allclose((moved["codebook"].sums[k, 0], moved["codebook"].counts[k]), expected, rtol=1e-5)


def test_a_new_codebook_holds_latents(model):
    objective = model[0]
    _, aux = objective.init(jax.random.key(0), BATCH)
    distances = np.abs(np.asarray(aux["codebook"].sums) - (X + SHIFT).reshape(1, -1))
    np.testing.assert_allclose(distances.min(axis=1), 0.0, atol=1e-6)
    assert len(np.unique(aux["codebook"].sums)) == 3


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_means_of_samples_are_codewords_as_often_as_the_prior_says(model, temperature):
    _, params, aux = model
    objective = build(temperature=temperature, noisy_samples=False)
    samples = np.asarray(jax.jit(partial(objective.sample, num=10_000))(params, aux, jax.random.key(0)))
    codes = np.argmin(np.abs(samples[..., None] - CODEBOOK), axis=-1)
    np.testing.assert_allclose(samples, CODEBOOK[codes], atol=1e-4)
    first, second = FIRST ** (1 / temperature), SECOND ** (1 / temperature)
    joint = first[:, None] / first.sum() * second / second.sum(axis=1, keepdims=True)
    assert stats.chisquare(np.bincount(codes @ [3, 1], minlength=9), 10_000 * joint.reshape(-1)).pvalue > 1e-3


def test_samples_have_the_noise_of_the_observation(model):
    objective, params, aux = model
    samples = np.asarray(jax.jit(partial(objective.sample, num=20_000))(params, aux, jax.random.key(0)))
    residuals = np.abs(samples[..., None] - CODEBOOK).min(axis=-1)
    means = CODEBOOK[ALL_CODES]
    weights = np.exp(LOG_PRIOR)
    center = weights @ means
    covariance = (means - center).T @ np.diag(weights) @ (means - center) + VARIANCE * np.eye(2)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.05)
    assert residuals.max() > 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": Codes((), 3, 1)}, r"codes.shape must hold at least one code, got \(\)"),
        ({"codes": Codes((2,), 1, 1)}, "codes.num must be at least 2, got 1"),
        ({"codes": Codes((2,), 3, 0)}, "codes.dim must be at least 1, got 0"),
        ({"temperature": -1.0}, r"temperature must be positive, got -1\.0"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_networks_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"encoder must give outputs of shape \('B', 4\), got \(40, 2\)"):
        build(Codes((2,), 3, 2)).init(jax.random.key(0), BATCH)
    with pytest.raises(ValueError, match=r"network must give logits of shape \(40, 2, 5\), got \(40, 2, 3\)"):
        build(Codes((2,), 5, 1)).init(jax.random.key(0), BATCH)
