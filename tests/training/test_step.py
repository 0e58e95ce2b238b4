"""The step, on games whose every number is known: quadratics, the Dirac-GAN, the bilinear game."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genloss_jax.losses import adversarial, penalties
from genloss_jax.objectives import Objective, Variables
from genloss_jax.training import Schedule, make_step, sampling_params


def sgd(hyper):
    return optax.sgd(hyper["learning_rate"])


def quadratic(scale=1.0):
    """One player: scale * (w - mean(x))^2 / 2, with a running count of its steps in aux."""

    def init(key, batch):
        del key, batch
        return Variables({"model": jnp.zeros(())}, {"count": jnp.zeros((), jnp.int32)})

    def loss(params, aux, batch, key, hyper):
        del key, hyper
        residual = params["model"] - jnp.mean(batch["x"])
        return 0.5 * scale * residual**2, ({"residual": residual}, {"count": aux["count"] + 1})

    return Objective(init, {"model": loss}, lambda params, aux, key, num: jnp.broadcast_to(params["model"], (num,)))


def dirac(loss, penalty_weight=0.0, penalty=None):
    """Data at 0, generator at theta, critic psi * x: Mescheder et al. 2018, section 2."""

    def critic_fn(psi):
        return lambda x: psi * x[:, 0]

    def init(key, batch):
        del key, batch
        return Variables({"discriminator": jnp.ones(()), "generator": jnp.ones(())}, {})

    def sides(params, batch):
        real = batch["x"]
        fake = jnp.broadcast_to(params["generator"], real.shape)
        critic = critic_fn(params["discriminator"])
        return critic, real, fake, critic(real), critic(fake)

    def discriminator(params, aux, batch, key, hyper):
        del hyper
        critic, real, fake, real_logits, fake_logits = sides(params, batch)
        value = jnp.mean(loss.discriminator(real_logits, fake_logits))
        if penalty is not None:
            value += penalty_weight * jnp.mean(penalty(critic, key, real, fake))
        return value, ({}, aux)

    def generator(params, aux, batch, key, hyper):
        del key, hyper
        *_, real_logits, fake_logits = sides(params, batch)
        return jnp.mean(loss.generator(real_logits, fake_logits)), ({}, aux)

    return Objective(init, {"discriminator": discriminator, "generator": generator}, lambda *_: None)


def r1(critic, key, real, fake):
    del key, fake
    return penalties.r1_penalty(critic, real)


BATCH = {"x": jnp.zeros((2, 1))}


def place(state, psi, theta):
    return state._replace(params={"discriminator": jnp.float32(psi), "generator": jnp.float32(theta)})


def step_jacobian(objective, play, rate):
    """Differentiate our own step at the equilibrium (0, 0): rows and columns are (psi, theta)."""
    init, step = make_step(objective, {"discriminator": sgd, "generator": sgd}, Schedule(play=play))
    state = init(jax.random.key(0), BATCH, {"learning_rate": rate})

    def moved(point):
        after, _ = step(state._replace(params={"discriminator": point[0], "generator": point[1]}), BATCH)
        return jnp.stack([after.params["discriminator"], after.params["generator"]])

    return np.asarray(jax.jacobian(moved)(jnp.zeros(2)), np.float64)


class TestDiracGan:
    @pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
    def test_eigenvalues_of_the_game(self, gamma):
        rate = 0.5
        objective = dirac(adversarial.minimax, gamma, r1)
        game = (step_jacobian(objective, "simultaneous", rate) - np.eye(2)) / rate
        root = np.sqrt(complex(gamma**2 / 4 - 1 / 4))
        expected = np.array([-gamma / 2 - root, -gamma / 2 + root])
        # At the critical gamma both eigenvalues are equal, and move with the root of a rounding error.
        tolerance = 2e-3 if gamma == 1.0 else 1e-6
        np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(game)), np.sort_complex(expected), atol=tolerance)
        np.testing.assert_allclose([np.trace(game), np.linalg.det(game)], [-gamma, 0.25], atol=1e-6)

    @pytest.mark.parametrize(
        ("play", "gamma", "radius"),
        [
            ("simultaneous", 0.0, 1.00499),
            ("alternating", 0.0, 1.00000),
            ("extragradient", 0.0, 0.99504),
            ("simultaneous", 0.3, 0.97468),
            ("alternating", 0.3, 0.96954),
            ("extragradient", 0.3, 0.96597),
        ],
    )
    def test_spectral_radius_of_a_step(self, play, gamma, radius):
        jacobian = step_jacobian(dirac(adversarial.minimax, gamma, r1), play, 0.2)
        assert np.max(np.abs(np.linalg.eigvals(jacobian))) == pytest.approx(radius, abs=6e-6)

    @pytest.mark.parametrize(("center", "converges"), [(1.0, False), (0.0, True)])
    def test_wgan_gp_converges_only_with_centre_zero(self, center, converges):
        def penalty(critic, key, real, fake):
            alpha = jax.random.uniform(key, (real.shape[0], 1))
            return penalties.gradient_norm_penalty(critic, real + alpha * (fake - real), center=center)

        objective = dirac(adversarial.wasserstein, 0.7, penalty)
        init, step = make_step(objective, {"discriminator": sgd, "generator": sgd}, Schedule(play="simultaneous"))
        state = init(jax.random.key(0), BATCH, {"learning_rate": 0.2})
        state, _ = jax.jit(lambda state: jax.lax.scan(lambda s, _: (step(s, BATCH)[0], 0), state, length=500))(state)
        distance = float(jnp.hypot(state.params["discriminator"], state.params["generator"]))
        assert distance < 1e-9 if converges else distance > 0.5

    def test_optimistic_gradient_converges_where_gradient_does_not(self):
        def distance(optimizer):
            init, step = make_step(
                dirac(adversarial.minimax),
                dict.fromkeys(("discriminator", "generator"), optimizer),
                Schedule(play="simultaneous"),
            )
            state = init(jax.random.key(0), BATCH, {"learning_rate": 0.2})
            state, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: (step(s, BATCH)[0], 0), s, length=1000))(state)
            return float(jnp.hypot(state.params["discriminator"], state.params["generator"]))

        start = np.sqrt(2.0)
        assert distance(sgd) > start
        assert distance(lambda hyper: optax.optimistic_gradient_descent(hyper["learning_rate"])) < 0.1 * start


class TestOnePlayer:
    def test_moves_by_rate_times_gradient(self):
        init, step = make_step(quadratic(), {"model": sgd})
        state = init(jax.random.key(0), {"x": jnp.array([3.0, 5.0])}, {"learning_rate": 0.25})
        state, metrics = step(state, {"x": jnp.array([3.0, 5.0])})
        assert state.params["model"] == 1.0
        assert int(state.step) == int(state.aux["count"]) == 1
        assert {name: float(value) for name, value in metrics.items()} == {
            "model/residual": -4.0,
            "model/loss": 8.0,
            "model/grad_norm": 4.0,
        }

    def test_moves_share_the_batch_in_order(self):
        init, step = make_step(quadratic(), {"model": sgd}, Schedule(moves={"model": 2}))
        batch = {"x": jnp.array([1.0, 3.0])}
        state = init(jax.random.key(0), batch, {"learning_rate": 0.5})
        state, _ = step(state, batch)
        assert state.params["model"] == 0.5 * (0.5 * 1.0) + 0.5 * 3.0

    def test_average_follows_the_ramp_up(self):
        init, step = make_step(quadratic(), {"model": sgd}, Schedule(averaged=("model",)))
        batch = {"x": jnp.array([1.0])}
        state = init(jax.random.key(0), batch, {"learning_rate": 1.0, "ema_decay": 0.15})
        expected = 0.0
        for decay in (0.1, 0.15, 0.15):  # min(0.15, (1 + t) / (10 + t)) at t = 0, 1, 2
            state, _ = step(state, batch)
            expected = decay * expected + (1 - decay) * 1.0
            assert float(state.ema["model"]) == pytest.approx(expected, rel=1e-6)
        assert sampling_params(state)["model"] == state.ema["model"]

    def test_scheduled_hyper_reaches_the_optimizer(self):
        halving = Schedule(hyper=lambda hyper, step: {**hyper, "learning_rate": hyper["learning_rate"] * 0.5**step})
        init, step = make_step(quadratic(), {"model": sgd}, halving)
        batch = {"x": jnp.array([1.0])}
        state = init(jax.random.key(0), batch, {"learning_rate": 0.5})
        for expected in (0.5, 0.625):
            state, _ = step(state, batch)
            assert state.params["model"] == expected
        assert state.hyper["learning_rate"] == 0.5

    def test_nonfinite_step_is_skipped_whole_and_said(self):
        schedule = Schedule(averaged=("model",), skip_nonfinite=True)
        init, step = make_step(quadratic(), {"model": sgd}, schedule)
        good, bad = {"x": jnp.array([1.0])}, {"x": jnp.array([jnp.nan])}
        before = init(jax.random.key(0), good, {"learning_rate": 0.5, "ema_decay": 0.9})
        before, metrics = step(before, good)
        assert metrics["skipped"] == 0.0
        after, metrics = step(before, bad)
        assert metrics["skipped"] == 1.0
        assert int(after.step) == int(before.step) + 1
        for new, old in zip(jax.tree.leaves(after[1:5]), jax.tree.leaves(before[1:5]), strict=True):
            np.testing.assert_array_equal(new, old)

    def test_vmapped_members_equal_single_runs(self):
        init, step = make_step(quadratic(), {"model": sgd})
        batch = {"x": jnp.array([1.0, 2.0])}
        hypers = {"learning_rate": jnp.array([0.1, 0.2, 0.3])}
        states = jax.vmap(init, (0, None, 0))(jax.random.split(jax.random.key(1), 3), batch, hypers)
        states, _ = jax.jit(jax.vmap(step, (0, None)))(states, batch)
        for member, rate in enumerate((0.1, 0.2, 0.3)):
            state, _ = step(init(jax.random.split(jax.random.key(1), 3)[member], batch, {"learning_rate": rate}), batch)
            np.testing.assert_allclose(states.params["model"][member], state.params["model"], rtol=1e-6)

    def test_is_traced_once_and_takes_a_donated_state(self):
        init, step = make_step(quadratic(), {"model": sgd}, Schedule(averaged=("model",)))
        traces = 0

        @partial(jax.jit, donate_argnums=0)
        def counted(state, batch):
            nonlocal traces
            traces += 1
            return step(state, batch)

        batch = {"x": jnp.array([1.0])}
        state = jax.jit(init)(jax.random.key(0), batch, {"learning_rate": 0.5, "ema_decay": 0.9})
        for _ in range(3):
            state, _ = counted(state, batch)
        assert traces == 1


class TestPlays:
    def test_alternating_answers_the_newest_parameters_and_simultaneous_the_old(self):
        def one_step(play):
            init, step = make_step(
                dirac(adversarial.wasserstein), {"discriminator": sgd, "generator": sgd}, Schedule(play=play)
            )
            state = place(init(jax.random.key(0), BATCH, {"learning_rate": 0.5}), 1.0, 2.0)
            return jax.tree.map(float, step(state, BATCH)[0].params)

        # Minimising psi * theta over psi and -psi * theta over theta.
        assert one_step("simultaneous") == {"discriminator": 0.0, "generator": 2.5}
        assert one_step("alternating") == {"discriminator": 0.0, "generator": 2.0}
        # The look-ahead (0, 2.5) gives the gradients 2.5 and -0.
        assert one_step("extragradient") == {"discriminator": -0.25, "generator": 2.0}


class TestErrors:
    def test_misspelt_players_are_named(self):
        with pytest.raises(ValueError, match=r"optimizers are given for \['modle'\].*\['model'\]"):
            make_step(quadratic(), {"modle": sgd})
        with pytest.raises(ValueError, match=r"schedule\.moves names \['critic'\]"):
            make_step(quadratic(), {"model": sgd}, Schedule(moves={"critic": 2}))

    def test_unequal_moves_need_alternating_play(self):
        objective = dirac(adversarial.minimax)
        optimizers = {"discriminator": sgd, "generator": sgd}
        with pytest.raises(ValueError, match="needs equal moves"):
            make_step(objective, optimizers, Schedule(moves={"discriminator": 5}, play="simultaneous"))

    def test_unknown_play_lists_the_valid_ones(self):
        with pytest.raises(ValueError, match=r"'alternating', 'simultaneous', 'extragradient'.*got 'turns'"):
            make_step(quadratic(), {"model": sgd}, Schedule(play="turns"))

    def test_batch_that_moves_cannot_share(self):
        init, step = make_step(quadratic(), {"model": sgd}, Schedule(moves={"model": 2}))
        batch = {"x": jnp.zeros(3)}
        state = init(jax.random.key(0), batch, {"learning_rate": 0.5})
        with pytest.raises(ValueError, match="3 examples, which 2 moves"):
            step(state, batch)

    def test_missing_hyper_says_what_there_is(self):
        init, step = make_step(quadratic(), {"model": sgd}, Schedule(averaged=("model",)))
        state = init(jax.random.key(0), BATCH, {"learning_rate": 0.5})
        with pytest.raises(ValueError, match=r"no 'ema_decay'.*\['learning_rate', 'step'\]"):
            step(state, BATCH)
