"""Autoencoders with a game, on linear-Gaussian models: aggregate posterior, optimal discriminators and bounds known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from genloss_jax.losses import adversarial, divergences
from genloss_jax.networks.network import from_function
from genloss_jax.objectives import adversarial_autoencoder as methods
from genloss_jax.objectives import vae
from genloss_jax.objectives.observation import fixed_gaussian

# p(x | z) = N(W z, s² I) with orthogonal columns, so that the posterior is diagonal.
W = np.array([[1.0, 0.5], [-0.5, 1.0], [0.0, 0.0]])
SCALE = 0.5
SPREAD = SCALE**2 + np.sum(W**2, axis=0)  # the posterior has mean W'x / SPREAD and variances VARIANCE
VARIANCE = SCALE**2 / SPREAD
SHIFT = np.array([0.4, -0.2])
MODEL = {"latent_dim": 2, "observation": fixed_gaussian(SCALE)}
SURE = -60.0  # a log-variance that leaves no noise in float32
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
NON_SATURATING, WASSERSTEIN = adversarial.get("non_saturating"), adversarial.get("wasserstein")


def encoder(log_var=None, shift=0.0):
    """q(z | x) = N(W'x / SPREAD + shift, exp(log_var)); the exact posterior by default."""
    log_var = np.log(VARIANCE) if log_var is None else np.full(2, log_var)

    def apply(params, x):
        center = x @ params["kernel"] + params["shift"][None]
        return jnp.concatenate([center, jnp.broadcast_to(jnp.asarray(log_var, x.dtype), center.shape)], axis=-1)

    params = {"kernel": jnp.asarray(W / SPREAD, jnp.float32), "shift": jnp.broadcast_to(jnp.float32(shift), (2,))}
    return from_function(lambda key, x: params, apply)


def decoder():
    return from_function(lambda key, z: jnp.asarray(W.T, z.dtype), lambda kernel, z: (z @ kernel)[..., None])


def data(key, num=64):
    """Draw from the model's marginal, whose aggregate exact posterior is the prior."""
    latent_key, noise_key = jax.random.split(key)
    centers = jax.random.normal(latent_key, (num, 2)) @ W.T.astype(np.float32)
    return {"x": centers + SCALE * jax.random.normal(noise_key, (num, 3))}


def start(objective, batch=None):
    return objective.init(jax.random.key(0), batch or {"x": X})


def value(objective, player, hyper, params=None, batch=None, key=1):
    variables = start(objective)
    batch = batch or {"x": X}
    loss, (metrics, _) = objective.losses[player](
        params or variables[0], variables[1], batch, jax.random.key(key), hyper
    )
    return loss, metrics


def gradient(objective, player, hyper):
    params, _ = start(objective)
    return jax.grad(lambda own: value(objective, player, hyper, {**params, player: own})[0])(params[player])


def many(objective, player, hyper, num=500, draw=data):
    """Run a player's turn on fresh data with fresh draws; give losses and metrics, `[num]` each."""
    params, aux = start(objective)

    def turn(key):
        data_key, turn_key = jax.random.split(key)
        return objective.losses[player](params, aux, draw(data_key), turn_key, hyper)

    losses, (metrics, _) = jax.jit(jax.vmap(turn))(jax.random.split(jax.random.key(2), num))
    return losses, metrics


def assert_mean(values, expected):
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(len(values))


def assert_trees_equal(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), left, right)


def softplus_of_log_ratio(distance, sign):
    """E softplus(sign t) with t the log-ratio of two Gaussians so many deviations apart, under the first of them."""
    t = stats.norm(distance**2 / 2, distance)
    return integrate.quad(lambda u: np.logaddexp(0, sign * u) * t.pdf(u), *t.interval(1 - 1e-12))[0]


# --- Latents: WAE-MMD and AAE ---


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_mmd_of_the_aggregate_posterior_is_that_of_two_gaussians_and_none_where_it_is_the_prior(shift):
    kernel = divergences.rbf_kernel(lengthscale=1.0)
    objective = methods.wae_mmd(encoder(shift=shift), decoder(), kernel=kernel, **MODEL)
    losses, metrics = many(objective, "model", {"mmd_weight": 10.0})
    # With N(m, I) against N(0, I): 2 (l² / (l² + 2))^(D / 2) (1 - exp(-|m|² / (2 l² + 4))).
    assert_mean(metrics["mmd"], 2 / 3 * (1 - np.exp(-2 * shift**2 / 6)))
    np.testing.assert_allclose(losses, metrics["nll"] + 10.0 * metrics["mmd"], rtol=1e-4)


def log_ratio_of_latents(sign):
    """log N(z; 0, I) - log N(z; SHIFT, I), times sign."""
    return from_function(lambda key, z: jnp.asarray(SHIFT, z.dtype), lambda m, z: sign * (0.5 * jnp.sum(m**2) - z @ m))


def build_aae(**options):
    given = {"loss": NON_SATURATING, **MODEL, **options}
    return methods.aae(encoder(shift=SHIFT), decoder(), log_ratio_of_latents(1.0), **given)


def test_aae_at_its_optimal_discriminator_measures_the_divergence_of_the_aggregate_posterior():
    losses, _ = many(build_aae(), "discriminator", {})
    distance = np.linalg.norm(SHIFT)
    divergence = np.log(2) - softplus_of_log_ratio(distance, -1)  # Jensen-Shannon, of two symmetric sides
    assert_mean(losses, 2 * np.log(2) - 2 * divergence)
    _, metrics = many(build_aae(), "model", {"adversarial_weight": 1.0})
    # The codes are the first of the two Gaussians for the negative log-ratio.
    assert_mean(metrics["adversarial"], softplus_of_log_ratio(distance, 1))


def test_aae_trains_the_encoder_by_both_terms_and_the_decoder_by_reconstruction_alone():
    objective = build_aae()
    without, weighted = (gradient(objective, "model", {"adversarial_weight": w}) for w in (0.0, 5.0))
    assert_trees_equal(without["decoder"], weighted["decoder"])
    assert np.abs(without["encoder"]["shift"] - weighted["encoder"]["shift"]).min() > 1e-2
    loss, metrics = value(objective, "model", {"adversarial_weight": 5.0})
    np.testing.assert_allclose(loss, metrics["nll"] + 5.0 * metrics["adversarial"], rtol=1e-6)


def test_aae_shows_the_discriminator_nothing_of_the_reconstruction():
    objective = build_aae()
    params, _ = start(objective)
    other = {**params, "model": {**params["model"], "decoder": 3.0 * params["model"]["decoder"]}}
    assert value(objective, "discriminator", {})[0] == value(objective, "discriminator", {}, other)[0]


def test_r1_is_half_the_squared_gradient_on_the_real_side_with_its_weight():
    loss, metrics = value(build_aae(r1=True), "discriminator", {"r1_weight": 3.0})
    np.testing.assert_allclose(metrics["r1"], 0.5 * np.sum(SHIFT**2), rtol=1e-5)
    np.testing.assert_allclose(loss, metrics["adversarial"] + 3.0 * metrics["r1"], rtol=1e-6)


# --- Pairs: ALI ---


def log_ratio_of_posteriors(shift):
    """log q(z | x) - log p(z | x), where q is the exact posterior shifted."""

    def apply(shift, x, z):
        deviation = z - x @ jnp.asarray(W / SPREAD, x.dtype)
        terms = (deviation * shift[None] - 0.5 * jnp.square(shift)[None]) / jnp.asarray(VARIANCE, x.dtype)[None]
        return jnp.sum(terms, -1), x

    return from_function(lambda key, x, z: jnp.asarray(shift, x.dtype), apply)


def test_ali_at_its_optimal_discriminator_measures_the_divergence_of_the_joint_distributions():
    discriminator = log_ratio_of_posteriors(SHIFT)
    objective = methods.ali(encoder(shift=SHIFT), decoder(), discriminator, loss=NON_SATURATING, **MODEL)
    distance = np.sqrt(np.sum(SHIFT**2 / VARIANCE))
    assert_mean(many(objective, "discriminator", {})[0], 2 * softplus_of_log_ratio(distance, -1))
    assert_mean(many(objective, "model", {})[0], 2 * softplus_of_log_ratio(distance, 1))


def test_ali_cannot_tell_an_exact_posterior_from_its_model_by_any_moment_of_the_pairs():
    def moments(params, x, z):
        pair = jnp.concatenate([x, z], -1)
        return pair @ params["linear"] + jnp.einsum("bi,ij,bj->b", pair, params["quadratic"], pair), x

    zeros = {"linear": jnp.zeros(5), "quadratic": jnp.zeros((5, 5))}
    discriminator = from_function(lambda key, x, z: zeros, moments)
    objective = methods.ali(encoder(), decoder(), discriminator, loss=NON_SATURATING, **MODEL)
    params, aux = start(objective)

    def turn(key):
        data_key, turn_key = jax.random.split(key)
        batch = data(data_key)
        return jax.value_and_grad(
            lambda own: objective.losses["discriminator"]({**params, "discriminator": own}, aux, batch, turn_key, {})[0]
        )(zeros)

    losses, grads = jax.jit(jax.vmap(turn))(jax.random.split(jax.random.key(3), 1000))
    np.testing.assert_allclose(losses, 2 * np.log(2), rtol=1e-6)
    for gradients in (grads["linear"].T, grads["quadratic"].reshape(1000, -1).T):
        for moment in gradients:
            assert_mean(moment, 0.0)


def test_ali_takes_r1_over_examples_and_latents_together():
    objective = methods.ali(encoder(), decoder(), log_ratio_of_posteriors(SHIFT), loss=NON_SATURATING, r1=True, **MODEL)
    _, metrics = value(objective, "discriminator", {"r1_weight": 1.0})
    by_latents = SHIFT / VARIANCE
    by_examples = (W / SPREAD) @ by_latents
    np.testing.assert_allclose(metrics["r1"], 0.5 * np.sum(by_latents**2) + 0.5 * np.sum(by_examples**2), rtol=1e-4)


# --- VAE-GAN ---

FEATURES = np.array([[1.0, 0.0, 2.0], [0.5, -1.0, 0.0]]).T
DIRECTION = np.array([1.0, -2.0, 0.5])
HYPER = {"beta": 1.0, "feature_weight": 1.0, "pixel_weight": 0.0, "adversarial_weight": 1.0}
AS_VAE = {"beta": 1.0, "feature_weight": 0.0, "pixel_weight": 1.0, "adversarial_weight": 0.0}


def linear_critic():
    return from_function(
        lambda key, x: jnp.asarray(DIRECTION, x.dtype), lambda w, x: (x @ w, x @ jnp.asarray(FEATURES, x.dtype))
    )


def build_vae_gan(log_var=SURE, loss=WASSERSTEIN):
    return methods.vae_gan(encoder(log_var), decoder(), linear_critic(), loss=loss, **MODEL)


RECONSTRUCTED = np.asarray(X) @ (W / SPREAD) @ W.T


def test_vae_gan_discriminator_sees_samples_and_reconstructions_in_equal_shares():
    losses, _ = many(build_vae_gan(), "discriminator", HYPER, draw=lambda key: {"x": X})
    expected = 0.5 * np.mean(RECONSTRUCTED @ DIRECTION) - np.mean(X @ DIRECTION)  # samples have mean 0
    assert_mean(losses, expected)
    _, metrics = many(build_vae_gan(), "decoder", HYPER, draw=lambda key: {"x": X})
    assert_mean(metrics["adversarial"], -0.5 * np.mean(RECONSTRUCTED @ DIRECTION))


def test_vae_gan_reconstructs_in_features_under_a_unit_gaussian():
    _, metrics = value(build_vae_gan(), "encoder", HYPER)
    error = np.sum(((np.asarray(X) - RECONSTRUCTED) @ FEATURES) ** 2, -1)
    np.testing.assert_allclose(metrics["feature_nll"], np.mean(0.5 * error) + np.log(2 * np.pi), rtol=1e-5)
    for player, terms in (("encoder", "kl"), ("decoder", "adversarial")):
        loss, metrics = value(build_vae_gan(), player, HYPER)
        np.testing.assert_allclose(loss, metrics["feature_nll"] + metrics[terms], rtol=1e-6)


def test_vae_gan_players_hear_of_their_own_terms_only():
    objective = build_vae_gan()
    without, weighted = ({**HYPER, "adversarial_weight": w} for w in (0.0, 5.0))
    assert_trees_equal(gradient(objective, "encoder", without), gradient(objective, "encoder", weighted))
    assert np.abs(gradient(objective, "decoder", without) - gradient(objective, "decoder", weighted)).max() > 0.1
    for name in ("feature_weight", "beta"):
        changed = {**HYPER, name: 7.0}
        assert_trees_equal(gradient(objective, "discriminator", HYPER), gradient(objective, "discriminator", changed))
    changed = {**HYPER, "beta": 7.0}
    assert_trees_equal(gradient(objective, "decoder", HYPER), gradient(objective, "decoder", changed))


def vae_gradient(log_var):
    plain = vae(encoder(log_var), decoder(), **MODEL)
    return value(plain, "model", {"beta": 1.0})[0], gradient(plain, "model", {"beta": 1.0})["model"]


def soft_intro(log_var=SURE):
    return methods.soft_intro_vae(encoder(log_var), decoder(), **MODEL)


@pytest.mark.parametrize("build, hyper", [
    (build_vae_gan, AS_VAE),
    (soft_intro, {"beta": 1.0, "negative_beta": 4.0, "alpha": 2.0, "gamma": 1.0, "adversarial_weight": 0.0}),
])  # fmt: skip
def test_without_its_game_a_method_is_the_vae(build, hyper):
    plain = vae(encoder(SURE), decoder(), **MODEL)
    expected = gradient(plain, "model", {"beta": 1.0})
    for player in ("encoder", "decoder"):
        assert_trees_equal(gradient(build(), player, hyper), expected[player])
    np.testing.assert_allclose(value(build(), "encoder", hyper)[0], value(plain, "model", {"beta": 1.0})[0], rtol=1e-6)


# --- Soft-IntroVAE ---


def exponential_in_closed_form(alpha, beta):
    """E exp(-α (nll + β KL)) / α at x' = W z: a Gaussian integral over z and the noise of the encoder."""
    pull = np.linalg.multi_dot([W.T / SPREAD[:, None], W])  # of the posterior's mean on z
    # The residual W z - W (pull z + sd noise), and the mean of the divergence, are linear in (z, noise).
    residual = np.hstack([W @ (np.eye(2) - pull), -W * np.sqrt(VARIANCE)])
    mean = np.hstack([pull, np.zeros((2, 2))])
    quadratic = alpha * (residual.T @ residual / SCALE**2 + beta * mean.T @ mean)
    constant = 1.5 * np.log(2 * np.pi * SCALE**2) + beta * 0.5 * np.sum(VARIANCE - 1 - np.log(VARIANCE))
    return np.exp(-alpha * constant) / np.sqrt(np.linalg.det(np.eye(4) + quadratic)) / alpha


@pytest.mark.parametrize("alpha, beta", [(2.0, 1.0), (0.5, 3.0)])
def test_soft_intro_encoder_lowers_the_exponential_bound_of_samples(alpha, beta):
    hyper = {"beta": 1.0, "negative_beta": beta, "alpha": alpha, "gamma": 1.0, "adversarial_weight": 3.0}
    losses, metrics = many(soft_intro(None), "encoder", hyper)
    assert_mean(metrics["exponential"], exponential_in_closed_form(alpha, beta))
    expected = metrics["nll"] + metrics["kl"] + 3.0 * metrics["exponential"]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_soft_intro_decoder_raises_the_bound_of_samples():
    hyper = {"beta": 2.0, "negative_beta": 1.0, "alpha": 2.0, "gamma": 0.5, "adversarial_weight": 3.0}
    losses, metrics = many(soft_intro(None), "decoder", hyper)
    pull = np.sum(W**2, axis=0) / SPREAD
    kl = 0.5 * np.sum(pull**2 + VARIANCE - 1 - np.log(VARIANCE))
    assert_mean(metrics["fake_kl"], kl)
    norms = np.sum(W**2, axis=0)
    error = np.sum(norms * (1 - pull) ** 2 + norms * VARIANCE)
    nll = 0.5 * error / SCALE**2 + 1.5 * np.log(2 * np.pi * SCALE**2)
    evidence = stats.multivariate_normal(np.zeros(3), W @ W.T + SCALE**2 * np.eye(3))
    # At the exact posterior the bound of data is the evidence; β = 2 counts the divergence once more.
    data_kl = 0.5 * np.sum(norms / SPREAD + VARIANCE - 1 - np.log(VARIANCE))
    assert_mean(losses, evidence.entropy() + data_kl + 3.0 * (2.0 * kl + 0.5 * nll))


def test_soft_intro_log_prob_is_the_evidence_at_the_exact_posterior():
    objective = soft_intro(None)
    evidence = stats.multivariate_normal(np.zeros(3), W @ W.T + SCALE**2 * np.eye(3))
    found = objective.log_prob(*start(objective), {"x": X}, jax.random.key(0))
    np.testing.assert_allclose(found, evidence.logpdf(X), rtol=1e-4)


# --- All ---

OBJECTIVES = {
    "wae_mmd": lambda: methods.wae_mmd(encoder(), decoder(), **MODEL),
    "aae": build_aae,
    "vae_gan": build_vae_gan,
    "ali": lambda: methods.ali(
        encoder(), decoder(), log_ratio_of_posteriors(SHIFT), loss=NON_SATURATING, noisy_samples=False, **MODEL
    ),
    "soft_intro_vae": soft_intro,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_samples_are_means_and_reconstructions_go_through_the_mean_of_the_posterior(name):
    objective = OBJECTIVES[name]()
    variables = start(objective)
    samples = objective.sample(*variables, jax.random.key(4), 5000)
    np.testing.assert_allclose(np.cov(samples.T), W @ W.T, atol=0.12)
    shift = SHIFT if name == "aae" else np.zeros(2)
    expected = (np.asarray(X) @ (W / SPREAD) + shift) @ W.T
    found = objective.reconstruct(*variables, {"x": X}, jax.random.key(5))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (objective.log_prob is None) == (name != "soft_intro_vae")


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        methods.wae_mmd(encoder(), decoder(), latent_dim=0, observation=fixed_gaussian(1.0))
    with pytest.raises(ValueError, match="num_evaluation_samples must be at least 1, got 0"):
        methods.soft_intro_vae(encoder(), decoder(), num_evaluation_samples=0, **MODEL)
    with pytest.raises(ValueError, match="scale must be above 0, got 0"):
        fixed_gaussian(0.0)


def test_fixed_gaussian_is_a_gaussian_around_the_output_or_its_tanh():
    outputs, x = jnp.array([[[0.3], [-2.0]]]), jnp.array([[0.1, -0.9]])
    for bounded, centers in ((False, [0.3, -2.0]), (True, np.tanh([0.3, -2.0]))):
        observation = fixed_gaussian(0.2, bounded=bounded)
        expected = -stats.norm(centers, 0.2).logpdf(x).sum()
        np.testing.assert_allclose(observation.nll(outputs, x), [expected], rtol=1e-5)
        np.testing.assert_allclose(observation.mean(outputs)[0], centers, rtol=1e-5)
        draws = observation.sample(jax.random.key(0), jnp.broadcast_to(outputs, (5000, 2, 1)))
        np.testing.assert_allclose(draws.std(0), 0.2, rtol=0.05)
