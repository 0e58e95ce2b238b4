"""Samplers of energies on Gaussians and a mixture, whose variances, moments and normalisers are known."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import samplers

NUM = 40_000
VARIANCE = 0.5
# A mixture of two Gaussians on the line: its moments are sums of those of its parts.
CENTERS, SPREAD, SHARES = np.array([-1.0, 1.5]), 0.5, np.array([0.3, 0.7])


def gaussian_energy(x):
    return 0.5 * jnp.sum(x**2, axis=-1) / VARIANCE


def mixture_energy(x):
    parts = -0.5 * ((x - jnp.asarray(CENTERS)[None]) / SPREAD) ** 2 + jnp.log(jnp.asarray(SHARES))[None]
    return -jax.nn.logsumexp(parts, axis=-1)


def draw_mixture(seed, num=NUM):
    rng = np.random.default_rng(seed)
    return jnp.asarray(CENTERS[(rng.random(num) < SHARES[1]).astype(int)] + SPREAD * rng.normal(size=num))[:, None]


def finish(step, x, num_steps, seed=0):
    return jax.jit(lambda key, x: samplers.run(step, key, x, num_steps))(jax.random.key(seed), x)


def assert_mean(values, expected, sigmas=4.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < sigmas * values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("num_steps", [1, 3, 60])
def test_langevin_keeps_to_the_recursion_of_its_variance_and_arrives_at_the_biased_one(num_steps):
    size, variance = 0.8, 2.0
    x, info = finish(
        samplers.langevin(gaussian_energy, step_size=size), math.sqrt(2.0) * draw_normal(1, (NUM, 1)), num_steps
    )
    for _ in range(num_steps):
        variance = (1 - size / (2 * VARIANCE)) ** 2 * variance + size
    assert float(jnp.var(x)) == pytest.approx(variance, rel=4 * np.sqrt(2 / NUM))
    if num_steps == 60:
        assert variance == pytest.approx(VARIANCE / (1 - size / (4 * VARIANCE)), rel=1e-9)
    assert np.all(info.acceptance == 1.0) and info.acceptance.shape == (num_steps, NUM)


def draw_normal(seed, shape):
    return jax.random.normal(jax.random.key(seed), shape)


ADJUSTED = {
    "mala": partial(samplers.mala, step_size=0.5),
    "hmc": partial(samplers.hmc, step_size=0.8, num_leapfrog_steps=2),
}


@pytest.mark.parametrize("name", sorted(ADJUSTED))
def test_adjusted_samplers_leave_a_mixture_as_it_is_though_they_move_and_reject(name):
    x, info = finish(ADJUSTED[name](mixture_energy), draw_mixture(1), 20)
    start = draw_mixture(1)
    assert np.mean(np.asarray(x != start)) > 0.9
    assert 0.5 < float(info.acceptance.mean()) < 0.97
    for power in (1, 2, 3, 4):
        assert_mean(np.asarray(x)[:, 0] ** power, moment(power))
    # Without the rejections it would not: one of the same steps at the same size is off by many standard errors.
    if name == "mala":
        biased, _ = finish(samplers.langevin(mixture_energy, step_size=0.5), start, 20)
        error = np.asarray(biased)[:, 0] ** 2 - moment(2)
        assert abs(error.mean()) > 8 * error.std() / np.sqrt(NUM)


def moment(power):
    raw = [
        CENTERS,
        CENTERS**2 + SPREAD**2,
        CENTERS**3 + 3 * CENTERS * SPREAD**2,
        CENTERS**4 + 6 * CENTERS**2 * SPREAD**2 + 3 * SPREAD**4,
    ]
    return float(SHARES @ raw[power - 1])


@pytest.mark.parametrize("name", sorted(ADJUSTED))
def test_adjusted_samplers_find_a_gaussian_from_far_away(name):
    x, _ = finish(ADJUSTED[name](gaussian_energy), jnp.full((NUM, 2), 3.0), 60)
    assert_mean(x[:, 0], 0.0)
    assert_mean(x[:, 0] ** 2, VARIANCE)
    assert_mean(x[:, 0] * x[:, 1], 0.0)


def test_mala_accepts_with_the_ratio_of_its_proposals():
    # The textbook's form: min(1, p(x') q(x | x') / (p(x) q(x' | x))), q(x' | x) = N(x - ε/2 ∇E(x), ε).
    with jax.enable_x64(True):
        size, x = 0.5, draw_mixture(3, 50)
        _, info = jax.jit(samplers.mala(mixture_energy, step_size=size))(jax.random.key(2), x)
        momentum_key, _ = jax.random.split(jax.random.key(2))
        noise = jax.random.normal(momentum_key, (50,), x.dtype)[:, None]
        slope = jax.vmap(jax.grad(lambda point: mixture_energy(point[None])[0]))
        proposal = x - 0.5 * size * slope(x) + math.sqrt(size) * noise

        def log_proposal(to, start):
            return -jnp.sum((to - start + 0.5 * size * slope(start)) ** 2, axis=-1) / (2 * size)

        log_ratio = mixture_energy(x) - mixture_energy(proposal) + log_proposal(x, proposal) - log_proposal(proposal, x)
        np.testing.assert_allclose(info.acceptance, np.minimum(1.0, np.exp(log_ratio)), rtol=1e-9)


def test_leapfrog_runs_back_keeps_volumes_and_hardly_changes_the_hamiltonian():
    with jax.enable_x64(True):

        def energy_fn(x):
            return jnp.sum(0.25 * x**4 + 0.5 * jnp.sin(x), axis=-1) + x[:, 0] * x[:, 1]

        @partial(jax.jit, static_argnames="num")
        def go(x, momentum, size=0.1, num=20):
            return samplers.leapfrog(energy_fn, x, momentum, step_size=size, num_steps=num)

        x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
        momentum = jnp.asarray(np.random.default_rng(1).normal(size=(5, 2)))
        end, end_momentum, rise = go(x, momentum)
        back, back_momentum, back_rise = go(end, -end_momentum)
        np.testing.assert_allclose(back, x, atol=1e-12)
        np.testing.assert_allclose(back_momentum, -momentum, atol=1e-12)
        np.testing.assert_allclose(back_rise, -rise, atol=1e-12)

        def flat(point):
            place, speed, _ = go(point[None, :2], point[None, 2:])
            return jnp.concatenate([place[0], speed[0]])

        jacobian = jax.jacfwd(flat)(jnp.concatenate([x[0], momentum[0]]))
        np.testing.assert_allclose(jnp.linalg.det(jacobian), 1.0, rtol=1e-10)
        # Second order: half the step and twice as many change H by a quarter.
        finer = go(x, momentum, 0.05, 40)[2]
        assert float(jnp.linalg.norm(rise) / jnp.linalg.norm(finer)) == pytest.approx(4.0, rel=0.1)


def test_hmc_does_not_go_where_the_energy_is_no_number():
    def energy_fn(x):
        return jnp.where(x[:, 0] > 0, 0.5 * x[:, 0] ** 2, jnp.nan)

    x, info = finish(samplers.hmc(energy_fn, step_size=0.9, num_leapfrog_steps=2), jnp.full((200, 1), 0.5), 20)
    assert np.all(np.asarray(x) > 0) and np.all(np.isfinite(info.acceptance)) and np.any(info.acceptance == 0.0)


def test_images_are_as_good_as_vectors():
    flat = jnp.ones((3, 4))
    image = flat.reshape(3, 2, 2, 1)
    for make in (*ADJUSTED.values(), partial(samplers.langevin, step_size=0.1)):
        from_flat, _ = make(gaussian_energy)(jax.random.key(0), flat)
        from_image, _ = make(lambda x: gaussian_energy(x.reshape(3, 4)))(jax.random.key(0), image)
        np.testing.assert_allclose(from_image.reshape(3, 4), from_flat, rtol=1e-6)


def test_annealed_langevin_takes_gaussian_data_down_the_levels():
    # At every level N(0, s² + σ²) is contracted by steps of size r σ² towards its own biased variance.
    data_variance, sigmas, rate, num_steps = 0.3, np.array([2.0, 1.0, 0.5, 0.25]), 0.4, 5

    def energy_fn(x, sigma):
        return 0.5 * jnp.sum(x**2, axis=-1) / (data_variance + sigma**2)

    x = samplers.annealed_langevin(
        energy_fn, jax.random.key(0), 3.0 * draw_normal(1, (NUM, 1)), jnp.asarray(sigmas), step_size=rate, num_steps=5
    )
    variance = 9.0
    for sigma in sigmas:
        for _ in range(num_steps):
            variance = (1 - rate * sigma**2 / (2 * (data_variance + sigma**2))) ** 2 * variance + rate * sigma**2
    assert float(jnp.var(x)) == pytest.approx(variance, rel=4 * np.sqrt(2 / NUM))


class TestAIS:
    @staticmethod
    def weigh(num_steps, size=0.4, num=20_000):
        # E_0 is that of N(0, 1), E_1 that of N(1, 0.3²) without its constant and raised by 0.7.
        def start_energy(x):
            return 0.5 * jnp.sum(x**2, axis=-1)

        def end_energy(x):
            return 0.5 * jnp.sum((x - 1.0) ** 2, axis=-1) / 0.09 + 0.7

        transition = partial(samplers.hmc, step_size=size, num_leapfrog_steps=2)
        step = samplers.ais(start_energy, end_energy, transition, jnp.linspace(0.0, 1.0, num_steps + 1))
        begin = samplers.ais_start(draw_normal(1, (num, 1)))
        return finish(step, begin, num_steps)[0]

    @pytest.mark.parametrize("num_steps", [1, 10])
    def test_the_mean_weight_is_the_ratio_of_the_normalisers(self, num_steps):
        end = self.weigh(num_steps)
        assert_mean(np.exp(np.asarray(end.log_weights)), 0.3 * math.exp(-0.7))
        # By Jensen's inequality the mean logarithm stays below.
        assert float(end.log_weights.mean()) < math.log(0.3) - 0.7

    def test_one_step_is_importance_sampling(self):
        end, x = self.weigh(1), draw_normal(1, (20_000, 1))[:, 0]
        np.testing.assert_allclose(end.log_weights, 0.5 * x**2 - 0.5 * (x - 1) ** 2 / 0.09 - 0.7, rtol=1e-3, atol=1e-4)

    def test_weighted_samples_are_those_of_the_end_and_more_steps_spread_the_weights_less(self):
        ends = [self.weigh(num_steps) for num_steps in (2, 20)]
        assert float(ends[1].log_weights.std()) < 0.5 * float(ends[0].log_weights.std())
        weights = np.exp(np.asarray(ends[1].log_weights, np.float64))
        x = np.asarray(ends[1].x)[:, 0]
        # E_1[g] = E[w g] / E[w]: the mean of w (g - E_1[g]) is zero.
        assert_mean(weights * (x - 1.0), 0.0)
        assert_mean(weights * ((x - 1.0) ** 2 - 0.09), 0.0)


class TestReplay:
    @staticmethod
    def counter(num, reinitialise, num_steps=3):
        """Chains that count their steps; fresh ones start at zero."""

        def step(key, x):
            return x + 1, samplers.TransitionInfo(jnp.ones(x.shape[0]))

        return samplers.replay(
            step, lambda key, num: jnp.zeros((num, 1)), num=num, num_steps=num_steps, reinitialise=reinitialise
        )

    def test_chosen_chains_move_on_and_the_others_stay(self):
        buffer = 100.0 * jnp.arange(10.0)[:, None]
        new, info = self.counter(4, 0.0)(jax.random.key(0), buffer)
        moved = np.flatnonzero(np.asarray(new != buffer)[:, 0])
        assert len(moved) == 4
        np.testing.assert_array_equal(new[moved], buffer[moved] + 3)
        np.testing.assert_array_equal(np.sort(info.x[:, 0]), np.sort(new[moved, 0]))
        assert info.steps.acceptance.shape == (3, 4) and not np.any(info.fresh)

    def test_the_share_of_chains_that_begin_anew(self):
        buffer = jnp.full((1000, 1), 50.0)
        _, info = finish(self.counter(500, 0.1), buffer, 40)
        fresh = np.asarray(info.fresh)
        assert abs(fresh.mean() - 0.1) < 4 * math.sqrt(0.09 / fresh.size)
        # Those, and only those, have taken no more than the steps of this visit.
        np.testing.assert_array_equal(np.asarray(info.x[..., 0]) == 3, fresh)

    def test_the_age_of_a_chain_in_equilibrium_is_geometric(self):
        # Of the visits to all chains a share r begins anew, so that the mean age is num_steps / r.
        buffer, _ = finish(self.counter(2000, 0.2), jnp.zeros((2000, 1)), 60)
        visits = np.asarray(buffer)[:, 0] / 3
        assert abs(visits.mean() - 1 / 0.2) < 4 * math.sqrt(0.8) / 0.2 / math.sqrt(2000) + 60 * 0.8**60

    def test_every_chain_is_as_likely_to_be_chosen_as_any_other(self):
        buffer, _ = finish(self.counter(5, 0.0, 1), jnp.zeros((50, 1)), 2000)
        # 2000 visits to 5 of 50 chains, hypergeometric with share 0.1
        assert np.all(np.abs(np.asarray(buffer)[:, 0] - 200) < 4.5 * math.sqrt(2000 * 0.1 * 0.9))
        assert float(buffer.sum()) == 10_000


@pytest.mark.parametrize(("make", "message"), [
    (lambda: samplers.langevin(gaussian_energy, step_size=0.0), "step_size must be positive, got 0.0"),
    (lambda: samplers.mala(gaussian_energy, step_size=-1.0), "step_size must be positive, got -1.0"),
    (lambda: samplers.hmc(gaussian_energy, step_size=0.1, num_leapfrog_steps=0), "num_leapfrog_steps must be positive"),
    (lambda: samplers.ais(gaussian_energy, gaussian_energy, samplers.mala, jnp.ones(1)), "at least two temperatures"),
    (lambda: TestReplay.counter(3, 1.5), "reinitialise must be a probability between 0 and 1, got 1.5"),
    (lambda: TestReplay.counter(3, 0.5, 0), "num_steps must be at least 1, got 0"),
    (lambda: TestReplay.counter(3, 0.5)(jax.random.key(0), jnp.ones((2, 1))), "at least num=3 chains, got 2"),
])  # fmt: skip
def test_wrong_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_energy_that_is_not_one_number_per_chain_is_named():
    step = samplers.langevin(jnp.square, step_size=0.1)
    with pytest.raises(ValueError, match=r"one energy per chain, shape \(3,\); it returned \(3, 2\)"):
        step(jax.random.key(0), jnp.ones((3, 2)))
