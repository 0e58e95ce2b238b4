"""Energy models on Gaussians and their mixtures, where the best tilt of the base is known and so is what it gives."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from configs import base
from genloss_jax import data, networks, samplers
from genloss_jax.networks.network import from_function
from genloss_jax.objectives import from_config
from genloss_jax.objectives.energy import (
    Base,
    Chains,
    Persistence,
    contrastive_divergence,
    denoising,
    energy,
    fit_base,
    joint,
    log_normaliser,
    noise_contrastive,
)
from tests.reference.energy import jensen_shannon

BASE_STD, DATA_STD = 1.5, 0.6
LINE = Base(np.zeros(1), np.eye(1), np.array([BASE_STD**2]))
MEAN, COVARIANCE = np.array([0.5, -1.0]), np.array([[1.0, 0.4], [0.4, 0.5]])
PLANE = Base(MEAN, *np.linalg.eigh(COVARIANCE)[::-1])
# The tilt that turns N(0, BASE_STD²) into N(0, DATA_STD²): exp(c - a x² / 2).
RIGHT = {
    "a": jnp.array(1 / DATA_STD**2 - 1 / BASE_STD**2),
    "c": jnp.array(math.log(BASE_STD / DATA_STD)),
}
CHAINS = Chains(partial(samplers.mala, step_size=0.2), 30)


def parabola(params=RIGHT):
    return from_function(lambda key, x: params, lambda own, x: own["c"] - 0.5 * own["a"] * jnp.sum(x**2, axis=-1))


def line_data(num=512, seed=3):
    return {"x": DATA_STD * jax.random.normal(jax.random.key(seed), (num, 1))}


def assert_mean(values, expected):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values))


class TestBase:
    def test_density_of_the_noised_gaussian(self):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
        for sigma in (0.0, 0.7):
            expected = stats.multivariate_normal(MEAN, COVARIANCE + sigma**2 * np.eye(2)).logpdf(x)
            np.testing.assert_allclose(PLANE.log_prob(x, sigma), expected, rtol=1e-5)
        each = jnp.array([0.1, 0.2, 0.5, 1.0, 3.0])
        alone = [PLANE.log_prob(x[i : i + 1], float(each[i]))[0] for i in range(5)]
        np.testing.assert_allclose(PLANE.log_prob(x, each), alone, rtol=1e-5)

    def test_color_undoes_whiten_and_samples_have_the_covariance(self, key):
        x = PLANE.sample(key, 40_000, 0.5)
        np.testing.assert_allclose(PLANE.color(PLANE.whiten(x, 0.5), 0.5), x, atol=1e-5)
        np.testing.assert_allclose(np.cov(x.T), COVARIANCE + 0.25 * np.eye(2), atol=0.03)
        np.testing.assert_allclose(x.mean(axis=0), MEAN, atol=0.03)

    def test_fit_finds_mean_and_covariance_and_adds_the_noise(self):
        images = np.random.default_rng(0).normal(size=(100, 2, 2, 1)).astype(np.float32)
        fitted = fit_base(images, noise=0.3)
        np.testing.assert_allclose(fitted.mean, images.mean(axis=0), atol=1e-6)
        covariance = fitted.basis @ np.diag(fitted.variances) @ fitted.basis.T
        np.testing.assert_allclose(covariance, np.cov(images.reshape(100, 4).T) + 0.09 * np.eye(4), atol=1e-6)

    def test_examples_that_do_not_vary_need_noise(self):
        examples = np.random.default_rng(0).normal(size=(20, 3)) * np.array([1.0, 1.0, 0.0])
        with pytest.raises(ValueError, match=r"no Gaussian density fits; give more noise than 0\.0"):
            fit_base(examples)
        fit_base(examples, noise=0.1)


@pytest.mark.parametrize("num_points", [32, 64])
def test_log_prob_of_a_tilted_gaussian_is_that_of_the_gaussian_which_it_is(num_points):
    # exp(-x'Ax/2 + b'x) N(x; m, C) ∝ N(x; S (C⁻¹ m + b), S), S = (C⁻¹ + A)⁻¹
    matrix, slope = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.3, -0.4])
    tilt = from_function(
        lambda key, x: {},
        lambda params, x: (
            -0.5 * jnp.einsum("bi,ij,bj->b", x, jnp.asarray(matrix, x.dtype), x) + x @ jnp.asarray(slope, x.dtype)
        ),
    )
    objective = energy(tilt, noise_contrastive(PLANE, CHAINS), num_points=num_points)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
    variables = objective.init(jax.random.key(0), {"x": x})
    spread = np.linalg.inv(np.linalg.inv(COVARIANCE) + matrix)
    center = spread @ (np.linalg.inv(COVARIANCE) @ MEAN + slope)
    got = objective.log_prob(*variables, {"x": x}, jax.random.key(1))
    np.testing.assert_allclose(got, stats.multivariate_normal(center, spread).logpdf(x), rtol=2e-5, atol=2e-5)
    assert objective.log_prob_kind == "estimate"
    # Chains from the base find the same Gaussian.
    samples = objective.sample(*variables, jax.random.key(2), 20_000)
    np.testing.assert_allclose(samples.mean(axis=0), center, atol=0.03)
    np.testing.assert_allclose(np.cov(samples.T), spread, atol=0.03)


class TestContrastiveDivergence:
    @staticmethod
    def build(chains=CHAINS, **options):
        method = contrastive_divergence(LINE, chains, Persistence(2048, 10, 0.0))
        return energy(parabola(), method, **options)

    @staticmethod
    def compiled(objective, num=60):
        """Compile `precision of the model -> (gradients, buffer)` of steps that leave the parameters as they are."""
        _, aux = objective.init(jax.random.key(0), line_data())

        @jax.jit
        def run(precision):
            params = {"model": {"a": precision - 1 / BASE_STD**2, "c": jnp.array(0.0)}}

            def step(aux, index):
                key = jax.random.fold_in(jax.random.key(5), index)
                batch = {"x": DATA_STD * jax.random.normal(jax.random.fold_in(key, 7), (512, 1))}
                loss = objective.losses["model"]
                grads, (_, aux) = jax.grad(loss, has_aux=True)(params, aux, batch, key, {"magnitude_weight": 0.0})
                return aux, grads["model"]

            aux_at_end, grads = jax.lax.scan(step, aux, jnp.arange(num))
            # The first steps lead the chains from the base to the model.
            return jax.tree.map(lambda values: values[20:], grads), BASE_STD * aux_at_end["memory"][:, 0]

        return run

    def test_expected_gradient_on_a_gaussian(self):
        # d/da of E = a x²/2: half of the data's variance less the model's, which is 1 / precision.
        run = self.compiled(self.build())
        for precision in (0.8, 1 / DATA_STD**2, 5.0):
            grads, chains = run(jnp.array(precision))
            assert_mean(grads["a"], 0.5 * (DATA_STD**2 - 1 / precision))
            np.testing.assert_allclose(grads["c"], 0.0, atol=1e-6)
            assert_mean(chains**2, 1 / precision)

    def test_unadjusted_chains_shift_the_gradient_by_their_own_bias(self):
        # In the base's coordinates the model has variance v; chains of step ε have v / (1 - ε / (4 v)).
        size, model = 0.1, DATA_STD**2 / BASE_STD**2
        run = self.compiled(self.build(Chains(partial(samplers.langevin, step_size=size), 10)))
        grads, _ = run(jnp.array(1 / DATA_STD**2))
        assert_mean(grads["a"], 0.5 * (DATA_STD**2 - DATA_STD**2 / (1 - size / (4 * model))))

    def test_noise_on_the_data_widens_what_is_fitted(self):
        grads, _ = self.compiled(self.build(data_noise=0.8))(jnp.array(1 / DATA_STD**2))
        assert_mean(grads["a"], 0.5 * 0.8**2)

    def test_samples_of_noised_data_end_with_the_mean_of_the_data(self):
        # x of variance v = s² + σ² becomes x s² / v.
        noise = 0.4
        objective = self.build(data_noise=noise)
        _, aux = objective.init(jax.random.key(0), line_data())
        total = DATA_STD**2 + noise**2
        params = {"model": {"a": jnp.array(1 / total - 1 / BASE_STD**2), "c": jnp.array(0.0)}}
        samples = objective.sample(params, aux, jax.random.key(1), 20_000)
        assert_mean(samples[:, 0] ** 2, DATA_STD**4 / total)

    def test_magnitude_weighs_the_squared_energies_of_both_sides(self):
        objective = self.build()
        params, aux = objective.init(jax.random.key(0), line_data())

        def loss(weight):
            hyper = {"magnitude_weight": weight}
            return objective.losses["model"](params, aux, line_data(), jax.random.key(1), hyper)

        (plain, (metrics, _)), (weighed, _) = loss(0.0), loss(2.0)
        np.testing.assert_allclose(plain, metrics["data_energy"] - metrics["sample_energy"], atol=1e-6)
        assert float(weighed - plain) > 2 * float(metrics["data_energy"] ** 2 + metrics["sample_energy"] ** 2)


class TestNoiseContrastive:
    @staticmethod
    def compiled(num_noise):
        """Compile `params -> (losses, gradients)` of 300 batches."""
        objective = energy(parabola(), noise_contrastive(LINE, CHAINS, num_noise=num_noise))
        _, aux = objective.init(jax.random.key(0), line_data())

        def one(params, key):
            batch = {"x": DATA_STD * jax.random.normal(jax.random.fold_in(key, 7), (256, 1))}
            loss = objective.losses["model"]
            (value, _), grads = jax.value_and_grad(loss, has_aux=True)({"model": params}, aux, batch, key, {})
            return value, grads["model"]

        return jax.jit(lambda params: jax.vmap(partial(one, params))(jax.random.split(jax.random.key(1), 300)))

    @pytest.mark.parametrize("num_noise", [1, 4])
    def test_the_truth_is_where_no_gradient_of_shape_and_constant_is_left(self, num_noise):
        run = self.compiled(num_noise)
        values, grads = run(RIGHT)
        for name in ("a", "c"):
            assert_mean(grads[name], 0.0)
        if num_noise == 1:
            divergence = jensen_shannon(stats.norm(0, DATA_STD), stats.norm(0, BASE_STD))
            assert_mean(values, 2 * math.log(2) - 2 * divergence)
        # From another constant the gradient leads back.
        for shift in (-0.3, 0.3):
            _, grads = run({**RIGHT, "c": RIGHT["c"] + shift})
            assert np.sign(np.mean(grads["c"])) == np.sign(shift)

    def test_the_learned_constant_is_minus_the_log_normaliser(self):
        without = {**RIGHT, "c": jnp.array(0.0)}
        method = noise_contrastive(LINE, CHAINS)
        network = parabola()

        def model_energy(params):
            return lambda x: method.energy(lambda x: network.apply(params, {}, x)[0], x)

        np.testing.assert_allclose(log_normaliser(model_energy(without), LINE, 128), -RIGHT["c"], atol=1e-5)
        np.testing.assert_allclose(log_normaliser(model_energy(RIGHT), LINE, 128), 0.0, atol=1e-5)


SIGMAS = {"sigma_min": 0.2, "sigma_max": 3.0}


class TestDenoising:
    @staticmethod
    def build(gaussian, data_variance=None, **options):
        """The network that knows the data to be N(mean, data_variance I), or none where the base is right."""
        spread = float(np.mean(gaussian.variances))

        def apply(params, u, level):
            if data_variance is None:
                return jnp.zeros_like(u)
            noise = jnp.exp(4.0 * level) ** 2
            return (0.5 * (1 - (spread + noise) / (data_variance + noise)))[:, None] * u

        network = from_function(lambda key, u, level: {}, apply)
        settings = {"num_levels": 6, "step_size": 0.3, "num_steps": 4, **SIGMAS, **options}
        objective = energy(network, denoising(gaussian, **settings))
        return objective, *objective.init(jax.random.key(0), {"x": jnp.zeros((4, *gaussian.mean.shape))})

    @pytest.mark.parametrize("known", [False, True])
    def test_least_loss_at_all_levels(self, known):
        # σ² · s / (2 σ² (s + σ²)) for each axis of variance s, averaged over log σ between its bounds.
        variances = [DATA_STD**2] if known else PLANE.variances
        objective, params, aux = self.build(LINE, DATA_STD**2) if known else self.build(PLANE)
        low, high = (math.log(SIGMAS[name]) for name in ("sigma_min", "sigma_max"))

        def integral(u, s):
            return u - 0.5 * math.log(s + math.exp(2 * u))

        expected = sum(0.5 * (integral(high, s) - integral(low, s)) / (high - low) for s in variances)

        @jax.jit
        @jax.vmap
        def go(key):
            data_key = jax.random.fold_in(key, 7)
            x = DATA_STD * jax.random.normal(data_key, (512, 1)) if known else PLANE.sample(data_key, 512)
            return objective.losses["model"](params, aux, {"x": x}, key, {})[0]

        assert_mean(go(jax.random.split(jax.random.key(1), 200)), expected)

    def test_density_is_that_of_the_data_under_the_least_noise(self):
        x = jnp.array([[0.3], [-1.0], [2.0]])
        objective, params, aux = self.build(LINE, DATA_STD**2)
        expected = stats.norm(0, math.hypot(DATA_STD, SIGMAS["sigma_min"])).logpdf(x[:, 0])
        got = objective.log_prob(params, aux, {"x": x}, jax.random.key(0))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)

    def test_samples_follow_the_levels_and_end_with_the_mean_of_the_data(self):
        objective, params, aux = self.build(LINE, DATA_STD**2)
        samples = objective.sample(params, aux, jax.random.key(1), 40_000)
        variance, data = BASE_STD**2 + 9.0, DATA_STD**2
        for sigma in np.geomspace(3.0, 0.2, 6):
            for _ in range(4):
                size = 0.3 * sigma**2
                variance = (1 - size / (2 * (data + sigma**2))) ** 2 * variance + size
        variance *= (data / (data + 0.04)) ** 2
        assert float(jnp.var(samples)) == pytest.approx(variance, rel=4 * math.sqrt(2 / 40_000))


class TestJoint:
    # Two classes on the line, with shares, centres and a common spread.
    SHARES, CENTERS, SPREAD = np.array([0.3, 0.7]), np.array([-1.0, 0.8]), 0.5

    @classmethod
    def log_joint(cls, x):
        return np.log(cls.SHARES) + stats.norm(cls.CENTERS, cls.SPREAD).logpdf(x)

    @classmethod
    def build(cls, steps=5):
        """The classifier whose logits are log p(x, y) - log base(x)."""

        def apply(params, x):
            parts = -0.5 * ((x - jnp.asarray(cls.CENTERS, x.dtype)[None]) / cls.SPREAD) ** 2
            constants = np.log(cls.SHARES / (cls.SPREAD * math.sqrt(2 * math.pi)))
            tilt = parts + jnp.asarray(constants, x.dtype)[None] - LINE.log_prob(x)[:, None]
            return tilt * params["sharpness"] + params["bias"][None]

        network = from_function(lambda key, x: {"sharpness": jnp.array(1.0), "bias": jnp.zeros(2)}, apply)
        objective = energy(network, joint(LINE, CHAINS, Persistence(2048, steps, 0.0), num_classes=2))
        return objective, *objective.init(jax.random.key(0), {"x": jnp.zeros((4, 1))})

    @classmethod
    def data(cls, key, num):
        class_key, noise_key = jax.random.split(key)
        labels = jax.random.bernoulli(class_key, cls.SHARES[1], (num,)).astype(jnp.int32)
        centers = jnp.asarray(cls.CENTERS, jnp.float32)[labels]
        return {"x": (centers + cls.SPREAD * jax.random.normal(noise_key, (num,)))[:, None], "label": labels}

    def test_one_network_is_the_density_and_the_posterior_of_the_classes(self):
        objective, params, aux = self.build()
        x = np.array([[-1.2], [0.0], [0.3], [2.0]])
        log_joint = self.log_joint(x)
        batch = {"x": jnp.asarray(x, jnp.float32)}
        density = objective.log_prob(params, aux, batch, jax.random.key(0))
        np.testing.assert_allclose(density, special.logsumexp(log_joint, axis=1), rtol=1e-4, atol=1e-4)
        logits = objective.class_logits(params, aux, batch)
        np.testing.assert_allclose(jax.nn.softmax(logits), special.softmax(log_joint, axis=1), rtol=1e-4, atol=1e-6)

    def test_at_the_truth_no_gradient_is_left_whatever_the_weight(self):
        objective, params, aux = self.build()

        @jax.jit
        def go(aux, weight):
            def step(aux, index):
                key = jax.random.fold_in(jax.random.key(5), index)
                batch = self.data(jax.random.fold_in(key, 7), 512)
                loss = objective.losses["model"]
                grads, (_, aux) = jax.grad(loss, has_aux=True)(params, aux, batch, key, {"generative_weight": weight})
                return aux, grads["model"]

            return jax.lax.scan(step, aux, jnp.arange(80))

        for weight in (0.0, 1.0):
            _, grads = go(aux, weight)
            for values in (grads["sharpness"], grads["bias"][:, 0]):
                # Chains are correlated in time: one number for each four steps, after they have settled.
                assert_mean(np.asarray(values)[40:].reshape(-1, 4).mean(axis=1), 0.0)


def test_statistics_of_the_network_move_once_per_step_and_not_in_the_chains():
    config = networks.NetworkConfig(width=8, depth=2, spectral_norm=True, activation="silu")
    network = networks.critic(config, shape=(1,))
    objective = energy(network, contrastive_divergence(LINE, CHAINS, Persistence(64, 3, 0.1)))
    params, aux = objective.init(jax.random.key(0), line_data(8))
    loss = jax.jit(objective.losses["model"])
    _, (_, new) = loss(params, aux, line_data(8), jax.random.key(1), {"magnitude_weight": 0.0})
    _, once = network.apply(params["model"], aux["model"], line_data(8)["x"], train=True)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), new["model"], once)
    assert any(np.any(old != moved) for old, moved in zip(*map(jax.tree.leaves, (aux["model"], once)), strict=True))
    assert np.any(new["memory"] != aux["memory"])


LEVELS = {"sigma_min": 0.1, "sigma_max": 1.0, "num_levels": 2, "step_size": 0.1, "num_steps": 1}


@pytest.mark.parametrize(("make", "message"), [
    (lambda: noise_contrastive(LINE, CHAINS, num_noise=0), "num_noise must be at least 1, got 0"),
    (lambda: denoising(LINE, **{**LEVELS, "sigma_min": 2.0}), "sigma_min must be between 0 and sigma_max=1.0, got 2.0"),
    (lambda: denoising(LINE, **{**LEVELS, "num_levels": 0}), "num_levels must be at least 1, got 0"),
    (lambda: joint(LINE, CHAINS, Persistence(8, 1, 0.1), num_classes=1), "num_classes must be at least 2, got 1"),
    (lambda: energy(parabola(), noise_contrastive(LINE, CHAINS), data_noise=-0.1), "data_noise must not be negative"),
    (lambda: energy(parabola(), noise_contrastive(LINE, CHAINS), num_points=0), "num_points must be at least 1, got 0"),
])  # fmt: skip
def test_wrong_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_network_that_does_not_fit_is_named():
    wrong = from_function(lambda key, x: {}, lambda params, x: x)
    message = r"outputs of shape \(\); got examples of shape \(1,\) and outputs of shape \(1,\)"
    with pytest.raises(ValueError, match=message):
        energy(wrong, noise_contrastive(LINE, CHAINS)).init(jax.random.key(0), line_data(4))


@pytest.mark.parametrize(("dataset", "changes", "message"), [
    ("moons", {"energy.method": "denoisng"}, "unknown energy method 'denoisng'; did you mean 'denoising'"),
    ("moons", {"energy.sampler": "nuts"}, "unknown sampler 'nuts'; valid: 'hmc', 'langevin', 'mala'"),
    ("moons", {"energy.method": "joint"}, "energy.method 'joint' needs labels, which the dataset 'moons'"),
    ("moons", {"networks.normalization": "batch"}, "unknown normalization of an energy 'batch'"),
    ("moons", {"networks.minibatch_stddev": True}, "networks.minibatch_stddev must be off"),
    ("digits", {}, "energy.data_noise must be above 0, because 'digits' lies on 17 levels"),
])  # fmt: skip
def test_configs_that_do_not_fit_are_named(dataset, changes, message):
    config = base.single_player(base.get_config())
    config.update_from_flattened_dict(
        {"family": "energy", "data.name": dataset, "networks.name": "mlp", "networks.normalization": "none", **changes}
    )
    with pytest.raises(ValueError, match=message):
        from_config(config, data.load(config.data))


@pytest.mark.parametrize("sampler", ["langevin", "mala", "hmc"])
def test_every_sampler_takes_the_same_step_size(sampler):
    # One step of size ε moves chains by noise of variance ε; HMC by that of a leapfrog step.
    config = base.single_player(base.get_config())
    changes = {"energy.sampler": sampler, "energy.step_size": 1e-4, "energy.num_sampling_steps": 1}
    config.update_from_flattened_dict(
        {"family": "energy", "data.name": "moons", "networks.name": "mlp", "networks.normalization": "none", **changes}
    )
    config.energy.num_leapfrog_steps = 1
    objective, _ = from_config(config, data.load(config.data))
    params, aux = objective.init(jax.random.key(0), {"x": jnp.zeros((4, 2))})
    start_key, _ = jax.random.split(jax.random.key(1))
    points = np.asarray(data.load(config.data).train.read(np.arange(10_000))["x"])
    fitted = fit_base(points)
    moved = fitted.whiten(objective.sample(params, aux, jax.random.key(1), 4000)) - fitted.coordinates(start_key, 4000)
    assert float(jnp.std(moved)) == pytest.approx(1e-2, rel=0.05)


def test_in_many_dimensions_there_is_no_density():
    space = Base(np.zeros(3), np.eye(3), np.ones(3))
    assert energy(parabola(), noise_contrastive(space, CHAINS)).log_prob is None
