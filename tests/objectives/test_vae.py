"""The variational autoencoder, against a linear-Gaussian model whose evidence and posterior are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genloss_jax.networks.network import from_function
from genloss_jax.objectives.observation import discretized_logistic, gaussian
from genloss_jax.objectives.vae import vae

# p(x | z) = N(W z, s² I) with orthogonal columns, so that the posterior is diagonal.
W = np.array([[1.0, 0.5], [-0.5, 1.0], [0.0, 0.0]])
VARIANCE = 0.3
EVIDENCE = stats.multivariate_normal(np.zeros(3), W @ W.T + VARIANCE * np.eye(3))
SPREAD = VARIANCE + np.sum(W**2, axis=0)  # the posterior has mean W'x / SPREAD and variances VARIANCE / SPREAD
X = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
BATCH = {"x": jnp.asarray(X)}


def encoder(shift=0.0):
    def apply(params, x):
        center = x @ jnp.asarray(W / SPREAD, x.dtype) + shift
        return jnp.concatenate([center, jnp.broadcast_to(jnp.log(VARIANCE / SPREAD), center.shape)], axis=-1)

    return from_function(lambda key, x: {}, apply)


def decoder():
    def apply(params, z):
        center = z @ jnp.asarray(W.T, z.dtype)
        return jnp.stack([center, jnp.full_like(center, np.log(VARIANCE))], axis=-1)

    return from_function(lambda key, z: {}, apply)


def build(shift=0.0, **options):
    objective = vae(encoder(shift), decoder(), latent_dim=2, observation=gaussian(), **options)
    return objective, *objective.init(jax.random.key(0), BATCH)


def many_losses(objective, hyper):
    params, aux = objective.init(jax.random.key(0), BATCH)
    keys = jax.random.split(jax.random.key(1), 4000)
    return jax.jit(jax.vmap(lambda key: objective.losses["model"](params, aux, BATCH, key, hyper)[0]))(keys)


def assert_mean(values, expected):
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("bound, hyper", [("iwae", {}), ("renyi", {"alpha": 0.3})])
@pytest.mark.parametrize("num_samples", [1, 5])
def test_at_the_exact_posterior_every_bound_is_the_evidence(bound, hyper, num_samples):
    objective, params, aux = build(bound=bound, num_samples=num_samples)
    value, _ = objective.losses["model"](params, aux, BATCH, jax.random.key(1), hyper)
    np.testing.assert_allclose(value, -EVIDENCE.logpdf(X).mean(), rtol=1e-5)
    np.testing.assert_allclose(objective.log_prob(params, aux, BATCH, jax.random.key(2)), EVIDENCE.logpdf(X), rtol=1e-4)


def test_the_elbo_is_the_evidence_in_its_mean_and_its_gap_the_divergence_from_the_posterior():
    for shift in (0.0, 0.4):
        objective, _, _ = build(shift, num_samples=2)
        divergence = 0.5 * np.sum(shift**2 * SPREAD / VARIANCE)
        assert_mean(many_losses(objective, {"beta": 1.0}), -EVIDENCE.logpdf(X).mean() + divergence)


def test_beta_weighs_the_divergence():
    objective, params, aux = build()

    def value(beta):
        return objective.losses["model"](params, aux, BATCH, jax.random.key(1), {"beta": beta})

    (one, (metrics, _)), (four, _) = value(1.0), value(4.0)
    np.testing.assert_allclose(four - one, 3 * metrics["kl"], rtol=1e-5)
    np.testing.assert_allclose(one, metrics["nll"] + metrics["kl"], rtol=1e-6)


def test_log_prob_rises_with_the_samples_towards_the_evidence():
    gaps = []
    for num in (1, 8, 64):
        objective, params, aux = build(0.4, num_evaluation_samples=num)
        keys = jax.random.split(jax.random.key(3), 300)
        values = jax.jit(jax.vmap(lambda key, o=objective, p=params, a=aux: o.log_prob(p, a, BATCH, key)))(keys)
        gaps.append(EVIDENCE.logpdf(X).mean() - np.mean(values))
    assert gaps[0] > gaps[1] > gaps[2] > 0
    np.testing.assert_allclose(gaps[0], 0.5 * np.sum(0.16 * SPREAD / VARIANCE), rtol=0.1)


def test_samples_have_the_covariance_of_the_model_and_means_do_not_have_its_noise():
    for noisy, noise in ((True, VARIANCE), (False, 0.0)):
        objective, params, aux = build(noisy_samples=noisy)
        samples = objective.sample(params, aux, jax.random.key(4), 20_000)
        np.testing.assert_allclose(np.cov(samples.T), W @ W.T + noise * np.eye(3), atol=0.06)


def test_discretized_logistic_samples_are_levels_with_the_probabilities_of_the_nll():
    observation = discretized_logistic(3)
    levels = jnp.array([-1.0, 0.0, 1.0])
    outputs = jnp.broadcast_to(jnp.array([0.2, -1.0]), (3, 1, 2))
    probabilities = np.exp(-observation.nll(outputs, levels[:, None]))
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-5)
    samples = observation.sample(jax.random.key(0), jnp.broadcast_to(outputs[:1], (20_000, 1, 2)))
    shares = [np.mean(np.isclose(samples, level)) for level in levels]
    np.testing.assert_allclose(shares, probabilities, atol=0.015)
    np.testing.assert_allclose(observation.mean(outputs), 0.0)


@pytest.mark.parametrize("options, message", [
    ({"bound": "elb"}, "unknown bound 'elb'; did you mean 'elbo'"),
    ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
    ({"num_evaluation_samples": 0}, "num_evaluation_samples must be at least 1, got 0"),
])  # fmt: skip
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_networks_that_do_not_fit_are_named():
    wrong = from_function(lambda key, x: {}, lambda params, x: x)
    with pytest.raises(ValueError, match=r"encoder must give outputs of shape \('B', 4\), got \(7, 3\)"):
        vae(wrong, decoder(), latent_dim=2, observation=gaussian()).init(jax.random.key(0), BATCH)
    with pytest.raises(ValueError, match=r"decoder must give outputs of shape \('B', 3, 2\), got \(7, 2\)"):
        vae(encoder(), wrong, latent_dim=2, observation=gaussian()).init(jax.random.key(0), BATCH)
