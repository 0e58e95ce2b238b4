"""The variational autoencoder with two levels, against a linear-Gaussian one whose evidence and posterior are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genloss_jax.networks.network import from_function
from genloss_jax.objectives.hvae import hvae
from genloss_jax.objectives.observation import gaussian

# p(z1 | z2) = N(A z2, diag(T)), p(x | z1) = N(W z1, VARIANCE I) with orthogonal columns, so that what an example says
# of z1 is a diagonal Gaussian; z2 is one number.
W, VARIANCE = np.array([[1.0, 0.5], [-0.5, 1.0], [0.0, 0.0]]), 0.3
A, T = np.array([0.8, -0.6]), np.array([0.5, 0.2])
COVARIANCE = W @ (np.outer(A, A) + np.diag(T)) @ W.T + VARIANCE * np.eye(3)
EVIDENCE = stats.multivariate_normal(np.zeros(3), COVARIANCE)
SQUARES = np.sum(W**2, axis=0)
UPPER = np.linalg.solve(COVARIANCE, W @ A)  # E[z2 | x] = UPPER x
UPPER_VARIANCE = 1 - A @ W.T @ UPPER
X = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
BATCH = {"x": jnp.asarray(X)}


def encoder(lower_shift, upper_shift):
    def apply(params, x):
        matrix = np.concatenate([W / SQUARES, UPPER[:, None]], axis=1)
        shift = np.array([*lower_shift, upper_shift], np.float32)
        means = x @ jnp.asarray(matrix, x.dtype) + jnp.asarray(shift)[None]
        log_vars = jnp.log(jnp.asarray([*(VARIANCE / SQUARES), UPPER_VARIANCE], x.dtype))
        return jnp.concatenate([means, jnp.broadcast_to(log_vars, means.shape)], axis=-1)

    return from_function(lambda key, x: {}, apply)


def top():
    def apply(params, z2):
        means = z2 @ jnp.asarray(A[None], z2.dtype)
        return jnp.concatenate([means, jnp.broadcast_to(jnp.log(jnp.asarray(T, z2.dtype)), means.shape)], axis=-1)

    return from_function(lambda key, z2: {}, apply)


def decoder():
    def apply(params, z1):
        means = z1 @ jnp.asarray(W.T, z1.dtype)
        return jnp.stack([means, jnp.full_like(means, np.log(VARIANCE))], axis=-1)

    return from_function(lambda key, z1: {}, apply)


def build(lower_shift=(0.0, 0.0), upper_shift=0.0, **options):
    options = {"latent_dims": (2, 1), **options}
    objective = hvae(encoder(lower_shift, upper_shift), top(), decoder(), observation=gaussian(), **options)
    return objective, *objective.init(jax.random.key(0), BATCH)


@pytest.mark.parametrize("num_samples", [1, 5])
def test_at_the_exact_posterior_the_bound_is_the_evidence_for_every_draw(num_samples):
    objective, params, aux = build(bound="iwae", num_samples=num_samples)
    value, _ = jax.jit(objective.losses["model"])(params, aux, BATCH, jax.random.key(1), {})
    np.testing.assert_allclose(value, -EVIDENCE.logpdf(X).mean(), rtol=1e-5)
    log_prob = jax.jit(objective.log_prob)(params, aux, BATCH, jax.random.key(2))
    np.testing.assert_allclose(log_prob, EVIDENCE.logpdf(X), rtol=1e-4)
    assert objective.log_prob_kind == "lower bound"


@pytest.mark.parametrize(("lower_shift", "upper_shift"), [((0.5, -0.3), 0.0), ((0.2, 0.1), 0.4)])
def test_the_gap_of_the_elbo_is_the_divergence_of_both_levels_from_the_posterior(lower_shift, upper_shift):
    objective, params, aux = build(lower_shift, upper_shift)
    keys = jax.random.split(jax.random.key(1), 8000)
    loss = jax.vmap(lambda key: objective.losses["model"](params, aux, BATCH, key, {"beta": 1.0})[0])
    values = np.asarray(jax.jit(loss)(keys), np.float64)
    # A shift d of what the example says of z1 moves the posterior's mean by its share of the precision, v / v1 d.
    own = VARIANCE / SQUARES
    posterior = 1 / (1 / own + 1 / T)
    divergence = np.sum((posterior / own * lower_shift) ** 2 / (2 * posterior)) + upper_shift**2 / (2 * UPPER_VARIANCE)
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - (divergence - EVIDENCE.logpdf(X).mean())) < 4 * error


def test_beta_weighs_the_divergence_of_both_levels():
    objective, params, aux = build()

    loss = jax.jit(objective.losses["model"])
    values = [loss(params, aux, BATCH, jax.random.key(1), {"beta": beta}) for beta in (1.0, 4.0)]
    (one, (metrics, _)), (four, _) = values
    np.testing.assert_allclose(four - one, 3 * metrics["kl"], rtol=1e-5)
    np.testing.assert_allclose(one, metrics["nll"] + metrics["kl"], rtol=1e-6)


def test_samples_have_the_covariance_of_the_model_and_means_do_not_have_its_noise():
    for noisy, noise in ((True, 0.0), (False, VARIANCE)):
        objective, params, aux = build(noisy_samples=noisy)
        samples = jax.jit(partial(objective.sample, num=20_000))(params, aux, jax.random.key(4))
        np.testing.assert_allclose(np.cov(samples.T), COVARIANCE - noise * np.eye(3), atol=0.06)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": "elb"}, "unknown bound 'elb'; did you mean 'elbo'"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"latent_dims": (2, 0)}, "latent_dims must be at least 1, got 0"),
        ({"latent_dims": (3, 1)}, r"encoder must give outputs of shape \('B', 8\), got \(7, 6\)"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
