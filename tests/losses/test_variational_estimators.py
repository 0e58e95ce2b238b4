"""Gradient estimators of bounds: on probabilistic PCA, and on discrete latents few enough to enumerate."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genloss_jax.losses import variational
from tests.reference import variational as reference

pytestmark = pytest.mark.usefixtures("double")

LINE = reference.line_model()
X = 1.4
EVIDENCE = float(LINE.log_evidence(np.array([[X]])))
POSTERIOR_MEAN, POSTERIOR_VAR = (float(part[0, 0]) for part in LINE.posterior(np.array([[X]])))


def log_normal(z, mean, variance):
    return -0.5 * (jnp.square(z - mean) / variance + jnp.log(2 * jnp.pi * variance))


def log_joint(z, shift=LINE.shift[0]):
    """Log p(X, z) of the line, `[K, B, 1] -> [K, B]`."""
    return jnp.sum(log_normal(X, LINE.weight[0, 0] * z + shift, LINE.variance) + log_normal(z, 0.0, 1.0), axis=-1)


def log_q(params, z):
    mean, log_var = params
    return jnp.sum(log_normal(z, mean[None], jnp.exp(log_var)[None]), axis=-1)


def plain_loss(log_joint_fn, log_q_fn, params, z):
    return variational.iwae_loss(log_joint_fn(z) - log_q_fn(params, z))


def loss_of_encoder(loss, mean, log_var, noise, log_joint_fn=log_joint):
    """Evaluate a loss at samples z = mean + std noise, `[B, 1]` and `[K, B, 1]`."""

    @jax.jit
    def evaluate(mean, log_var):
        z = mean[None] + jnp.exp(0.5 * log_var)[None] * noise
        return loss(log_joint_fn, log_q, (mean, log_var), z)

    return evaluate(mean, log_var)


def noise(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(*shape, 1)))


def encoder_gradients(loss, mean, log_var, epsilon):
    """Gradient of each example's loss by its own mean and log_var, `[2, B]`."""
    means, log_vars = (jnp.full((epsilon.shape[1], 1), value) for value in (mean, log_var))

    def total(mean, log_var):
        return jnp.sum(loss_of_encoder(loss, mean, log_var, epsilon))

    return np.stack(jax.jit(jax.grad(total, argnums=(0, 1)))(means, log_vars))[:, :, 0]


# --- Path derivatives ---

PATHS = {"stl_loss": lambda *a: variational.stl_loss(*a), "dreg_loss": lambda *a: variational.dreg_loss(*a)}


@pytest.mark.parametrize("name", PATHS)
def test_path_losses_are_the_bounds_that_they_estimate(name):
    epsilon = noise(0, 4, 3)
    exact = [jnp.full((3, 1), POSTERIOR_MEAN), jnp.full((3, 1), np.log(POSTERIOR_VAR))]
    np.testing.assert_allclose(loss_of_encoder(PATHS[name], *exact, epsilon), np.full(3, -EVIDENCE), rtol=1e-12)
    other = [jnp.full((3, 1), 0.2), jnp.full((3, 1), -0.3)]
    z = other[0][None] + jnp.exp(0.5 * other[1])[None] * epsilon
    log_weights = log_joint(z) - log_q(other, z)
    bound = variational.iwae_loss(log_weights) if name == "dreg_loss" else -log_weights.mean(0)
    np.testing.assert_allclose(loss_of_encoder(PATHS[name], *other, epsilon), bound, rtol=1e-12)


@pytest.mark.parametrize("name", PATHS)
def test_path_gradient_is_exactly_zero_at_the_true_posterior_and_the_plain_one_is_not(name):
    arguments = POSTERIOR_MEAN, np.log(POSTERIOR_VAR), noise(1, 4, 50)
    np.testing.assert_allclose(encoder_gradients(PATHS[name], *arguments), 0, atol=1e-12)
    assert np.all(np.std(encoder_gradients(plain_loss, *arguments), axis=1) > 0.1)


def test_stl_gradient_has_the_gradient_of_the_evidence_lower_bound_as_its_mean():
    mean, log_var = 0.2, -0.3
    nodes, weights = reference.hermite(12)
    gradients = encoder_gradients(PATHS["stl_loss"], mean, log_var, jnp.asarray(nodes)[None])

    def negative_bound(mean, log_var):
        return -LINE.bound(np.array([[X]]), np.array([[mean]]), np.array([[np.exp(log_var)]]))[0]

    step = 1e-5
    expected = [
        (negative_bound(mean + step, log_var) - negative_bound(mean - step, log_var)) / (2 * step),
        (negative_bound(mean, log_var + step) - negative_bound(mean, log_var - step)) / (2 * step),
    ]
    np.testing.assert_allclose(gradients @ weights, expected, rtol=1e-7)


def test_dreg_gradient_has_the_plain_gradients_mean_and_less_variance():
    arguments = 0.2, -0.3, noise(2, 5, 20_000)
    plain, path = (encoder_gradients(loss, *arguments) for loss in (plain_loss, PATHS["dreg_loss"]))
    difference = plain - path
    errors = difference.std(1) / np.sqrt(difference.shape[1])
    assert np.all(np.abs(difference.mean(1)) < 5 * errors)
    assert np.all(np.abs(path.mean(1)) > 20 * path.std(1) / np.sqrt(path.shape[1]))
    assert np.all(path.var(1) < 0.5 * plain.var(1))


def test_signal_to_noise_of_the_encoders_gradient_rises_with_k_for_dreg_and_falls_for_the_plain_one():
    def ratios(loss):
        values = [encoder_gradients(loss, 0.2, -0.3, noise(3, num, 4_000))[0] for num in (2, 64)]
        return [abs(value.mean()) / value.std() for value in values]

    plain, path = ratios(plain_loss), ratios(PATHS["dreg_loss"])
    assert plain[1] < 0.7 * plain[0]
    assert path[1] > 1.5 * path[0]


def test_dreg_gradient_of_one_sample_is_the_path_gradient():
    arguments = 0.2, -0.3, noise(4, 1, 5)
    np.testing.assert_allclose(*(encoder_gradients(loss, *arguments) for loss in PATHS.values()), rtol=1e-12)


def test_dreg_gradient_of_the_decoder_is_that_of_the_importance_weighted_bound():
    encoder = jnp.full((3, 1), 0.2), jnp.full((3, 1), -0.3), noise(5, 4, 3)

    def gradient(loss):
        def total(shift):
            return jnp.sum(loss_of_encoder(loss, *encoder, log_joint_fn=lambda z: log_joint(z, shift)))

        return jax.jit(jax.grad(total))(0.3)

    np.testing.assert_allclose(gradient(PATHS["dreg_loss"]), gradient(plain_loss), rtol=1e-12)


@pytest.mark.parametrize("name", PATHS)
def test_path_losses_name_the_function_whose_value_has_the_wrong_shape(name):
    z = jnp.zeros((4, 3, 1))
    with pytest.raises(ValueError, match="log_joint_fn must return"):
        PATHS[name](lambda z: jnp.sum(z), lambda params, z: z[..., 0], (), z)
    with pytest.raises(ValueError, match="log_q_fn must return"):
        PATHS[name](lambda z: z[..., 0], lambda params, z: z, (), z)


# --- Discrete latents ---

LOG_JOINT = np.array([-1.0, 0.4, -2.5])
LOGITS = np.array([0.3, -0.5, 0.1])


@pytest.mark.parametrize("num", [2, 3])
def test_vimco_loss_and_gradient_have_the_enumerated_bound_and_gradient_as_their_means(num):
    draws = np.array(list(itertools.product(range(3), repeat=num))).T  # [K, 3^K]

    def exact(logits, joint):
        log_probs = special.log_softmax(logits)
        bounds = special.logsumexp((joint - log_probs)[draws], axis=0) - np.log(num)
        return -np.exp(log_probs[draws].sum(0)) @ bounds

    probs = np.exp(special.log_softmax(LOGITS)[draws].sum(0))

    def expected_loss(logits, joint):
        log_probs = jax.nn.log_softmax(logits)[draws]
        return jnp.asarray(probs) @ variational.vimco_loss(joint[draws] - log_probs, log_probs)

    evaluate = jax.jit(jax.value_and_grad(expected_loss, argnums=(0, 1)))
    value, gradients = evaluate(jnp.asarray(LOGITS), jnp.asarray(LOG_JOINT))
    np.testing.assert_allclose(value, exact(LOGITS, LOG_JOINT), rtol=1e-12)
    steps = 1e-6 * np.eye(3)
    by_logits = [(exact(LOGITS + s, LOG_JOINT) - exact(LOGITS - s, LOG_JOINT)) / 2e-6 for s in steps]
    by_joint = [(exact(LOGITS, LOG_JOINT + s) - exact(LOGITS, LOG_JOINT - s)) / 2e-6 for s in steps]
    np.testing.assert_allclose(gradients[0], by_logits, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(gradients[1], by_joint, rtol=1e-6, atol=1e-9)


def test_vimco_baselines_lower_the_variance_of_the_gradient():
    rng = np.random.default_rng(6)
    draws = rng.choice(3, size=(5, 4000), p=special.softmax(LOGITS))

    def gradients(loss):
        def total(logits):  # one row of logits for each example
            log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.asarray(draws.T), axis=1).T
            return jnp.sum(loss(jnp.asarray(LOG_JOINT)[draws] - log_probs, log_probs))

        return np.asarray(jax.jit(jax.grad(total))(jnp.tile(jnp.asarray(LOGITS), (4000, 1))))

    def without_baseline(log_weights, log_probs):
        bound = -variational.iwae_loss(log_weights)
        score = jnp.sum(jax.lax.stop_gradient(bound)[None] * log_probs, axis=0)
        return -bound - score

    plain, vimco = gradients(without_baseline), gradients(lambda *a: variational.vimco_loss(*a))
    errors = 5 * (plain - vimco).std(0) / np.sqrt(4000)
    assert np.all(np.abs((plain - vimco).mean(0)) < errors)
    assert vimco.var(0).sum() < 0.3 * plain.var(0).sum()


def test_vimco_loss_of_one_sample_has_no_baseline_and_is_refused():
    with pytest.raises(ValueError, match="log_weights must have at least 2 samples"):
        variational.vimco_loss(jnp.zeros((1, 3)), jnp.zeros((1, 3)))


# --- Wake and sleep ---


def test_wake_sleep_losses_at_the_exact_posterior_are_evidence_and_entropies():
    std = np.sqrt(POSTERIOR_VAR)
    nodes, weights = reference.hermite(4, dim=2)
    z = POSTERIOR_MEAN + std * nodes.T  # two samples for each pair of nodes
    log_q_of_z = stats.norm.logpdf(z, POSTERIOR_MEAN, std)
    joint = LINE.log_joint(np.array([X]), z[..., None])
    dream_z = nodes[:, :1]
    dream_x = dream_z @ LINE.weight.T + LINE.shift + np.sqrt(LINE.variance) * nodes[:, 1:]
    dream_log_q = stats.norm.logpdf(dream_z[:, 0], LINE.posterior(dream_x)[0][:, 0], std)
    losses = variational.wake_sleep_losses(*map(jnp.asarray, (joint, log_q_of_z, dream_log_q)))
    entropy = stats.norm(scale=std).entropy()
    np.testing.assert_allclose(losses.decoder, np.full(len(weights), -EVIDENCE), rtol=1e-12)
    np.testing.assert_allclose(weights @ losses.wake_encoder, entropy, rtol=1e-12)
    np.testing.assert_allclose(weights @ losses.sleep_encoder, entropy, rtol=1e-12)


def test_wake_sleep_losses_train_only_their_own_player():
    arrays = [jnp.asarray(np.random.default_rng(seed).normal(size=(4, 2))) for seed in (7, 8)]
    dreams = jnp.array([0.3, -0.2])

    def gradients(player):
        return jax.grad(
            lambda *inputs: jnp.sum(getattr(variational.wake_sleep_losses(*inputs), player)), argnums=(0, 1, 2)
        )(*arrays, dreams)

    weights = special.softmax(np.asarray(arrays[0] - arrays[1]), axis=0)
    by_joint, by_q, by_dream = gradients("decoder")
    np.testing.assert_allclose(by_joint, -weights, rtol=1e-10)
    assert not np.any(by_q) and not np.any(by_dream)
    by_joint, by_q, by_dream = gradients("wake_encoder")
    np.testing.assert_allclose(by_q, -weights, rtol=1e-10)
    assert not np.any(by_joint) and not np.any(by_dream)
    by_joint, by_q, by_dream = gradients("sleep_encoder")
    assert not np.any(by_joint) and not np.any(by_q) and np.all(by_dream == -1)
