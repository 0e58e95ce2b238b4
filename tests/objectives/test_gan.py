"""The GAN objective with linear networks, whose every number is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import gan_ring
from genloss_jax import training
from genloss_jax.losses import adversarial, penalties
from genloss_jax.networks.network import Network, from_function
from genloss_jax.objectives import Inputs, Penalty, gan, stateless
from genloss_jax.objectives.gan_penalties import DISCRIMINATOR_PENALTIES, GENERATOR_PENALTIES, balanced_consistency
from genloss_jax.training import Schedule, make_step

DIM = 2
REAL = jnp.array([[1.0, 0.0], [3.0, 2.0], [-1.0, 1.0], [0.0, 5.0]])
WEIGHTS = jnp.array([2.0, -1.0])


def generator() -> Network:
    """G(z) = a + b z."""
    return from_function(
        lambda key, z: {"a": jnp.zeros(z.shape[-1]), "b": jnp.ones(())},
        lambda params, z: params["a"][None] + params["b"] * z,
    )


def critic() -> Network:
    """D(x) = w . x, with w repeated for each example of a pack."""
    return from_function(lambda key, x: jnp.tile(WEIGHTS, x.shape[-1] // DIM), lambda w, x: x @ w)


def build(loss="wasserstein", **options):
    options = {"loss": adversarial.get(loss) if isinstance(loss, str) else loss, "latent_dim": DIM, **options}
    objective = gan(generator(), critic(), **options)
    params, aux = objective.init(jax.random.key(0), {"x": REAL})
    return objective, params, aux


def loss_of(player, objective, params, aux, hyper=None, batch=None, key=1):
    hyper = {"step": jnp.zeros((), jnp.int32), **(hyper or {})}
    value, (metrics, aux) = objective.losses[player](params, aux, batch or {"x": REAL}, jax.random.key(key), hyper)
    return float(value), {name: float(metric) for name, metric in metrics.items()}, aux


def generator_gradient(player, objective, params, aux):
    def loss(own):
        moved = {**params, "generator": own}
        return objective.losses[player](moved, aux, {"x": REAL}, jax.random.key(1), {"step": 0})[0]

    return jax.grad(loss)(params["generator"])


def test_players_move_discriminator_first():
    assert list(build()[0].losses) == ["discriminator", "generator"]


def test_wasserstein_terms_are_differences_of_mean_logits():
    objective, params, aux = build()
    value, metrics, _ = loss_of("discriminator", objective, params, aux)
    assert metrics["real_logits"] == pytest.approx(float(jnp.mean(REAL @ WEIGHTS)))
    assert value == pytest.approx(metrics["fake_logits"] - metrics["real_logits"], rel=1e-5)


def test_generator_climbs_the_critic():
    objective, params, aux = build()
    grads = generator_gradient("generator", objective, params, aux)
    np.testing.assert_allclose(grads["a"], -WEIGHTS, rtol=1e-6)


def test_discriminator_gives_the_generator_no_gradient():
    objective, params, aux = build()
    grads = generator_gradient("discriminator", objective, params, aux)
    assert all(np.all(leaf == 0.0) for leaf in jax.tree.leaves(grads))


def test_penalty_is_weighted_and_reported_raw():
    objective, params, aux = build(penalties={"r1": DISCRIMINATOR_PENALTIES["r1"]})
    plain, _, _ = loss_of("discriminator", objective, params, aux, {"r1_weight": 0.0})
    value, metrics, _ = loss_of("discriminator", objective, params, aux, {"r1_weight": 3.0})
    assert metrics["r1"] == pytest.approx(0.5 * 5.0)
    assert value - plain == pytest.approx(3.0 * 2.5, rel=1e-5)


@pytest.mark.parametrize("step", range(5))
def test_lazy_penalty_comes_every_so_many_steps_with_so_many_times_the_weight(step):
    term = DISCRIMINATOR_PENALTIES["r1"]._replace(every=4)
    objective, params, aux = build(penalties={"r1": term})
    _, metrics, _ = loss_of("discriminator", objective, params, aux, {"r1_weight": 1.0, "step": step})
    assert metrics["r1"] == pytest.approx(4 * 2.5 if step % 4 == 0 else 0.0)


def test_penalty_remembers_in_aux():
    counting = Penalty(lambda turn, count: (jnp.zeros(()), count + 1), lambda: jnp.zeros(()))
    objective, params, aux = build(penalties={"count": counting})
    for expected in (1, 2):
        _, _, aux = loss_of("discriminator", objective, params, aux, {"count_weight": 1.0})
        assert aux["penalties"]["discriminator"]["count"] == expected


@pytest.mark.parametrize("name", sorted(DISCRIMINATOR_PENALTIES))
def test_every_named_discriminator_penalty_is_finite_and_moves_the_critic(name):
    objective, params, aux = build("non_saturating", penalties={name: DISCRIMINATOR_PENALTIES[name]})
    params["discriminator"] = {"kernel": WEIGHTS[:, None]} if name in ("orthogonal", "spectral") else WEIGHTS
    if name in ("orthogonal", "spectral"):
        linear = from_function(lambda key, x: {"kernel": WEIGHTS[:, None]}, lambda p, x: (x @ p["kernel"])[:, 0])
        objective = gan(generator(), linear, loss=adversarial.get("non_saturating"), latent_dim=DIM,
                        penalties={name: DISCRIMINATOR_PENALTIES[name]})  # fmt: skip

    def value(own, weight):
        hyper = {"step": jnp.zeros((), jnp.int32), f"{name}_weight": weight}
        return objective.losses["discriminator"](
            {**params, "discriminator": own}, aux, {"x": REAL}, jax.random.key(1), hyper
        )[0]

    with_it, without = (jax.grad(value)(params["discriminator"], weight) for weight in (1.0, 0.0))
    difference = jax.tree.map(lambda a, b: a - b, with_it, without)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(with_it))
    assert optax.tree.norm(difference) > 1e-4


@pytest.mark.parametrize("name", sorted(set(GENERATOR_PENALTIES) - {"orthogonal", "spectral", "latent_consistency"}))
def test_every_named_generator_penalty_is_finite_and_moves_the_generator(name):
    objective, params, aux = build("non_saturating", generator_penalties={name: GENERATOR_PENALTIES[name]})

    def value(own, weight):
        hyper = {"step": jnp.zeros((), jnp.int32), f"{name}_weight": weight}
        return objective.losses["generator"]({**params, "generator": own}, aux, {"x": REAL}, jax.random.key(1), hyper)[
            0
        ]

    own = {"a": jnp.array([0.3, -0.2]), "b": jnp.array(1.5)}
    with_it, without = (jax.grad(value)(own, weight) for weight in (1.0, 0.0))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(with_it))
    assert optax.tree.norm(jax.tree.map(lambda a, b: a - b, with_it, without)) > 1e-5


def test_instance_noise_of_zero_changes_nothing_and_more_spreads_the_logits():
    objective, params, aux = build(inputs=Inputs(noise=True))
    quiet = loss_of("discriminator", objective, params, aux, {"instance_noise": 0.0})
    plain, *_ = build()
    assert quiet[0] == pytest.approx(loss_of("discriminator", plain, params, aux)[0], rel=1e-6)
    assert loss_of("discriminator", objective, params, aux, {"instance_noise": 1.0})[0] != quiet[0]


def test_adaptive_probability_lives_in_aux_and_moves_by_the_real_logits():
    def augment(key, x, probability):
        return x + probability

    def adapt(probability, real_logits):
        return probability + 0.25 * jnp.sign(jnp.mean(real_logits))

    objective, params, aux = build(inputs=Inputs(augment=augment, adapt=adapt))
    assert aux["augment_probability"] == 0.0
    _, _, aux = loss_of("discriminator", objective, params, aux)
    expected = 0.25 * np.sign(float(jnp.mean(REAL @ WEIGHTS)))
    assert aux["augment_probability"] == expected
    _, metrics, aux = loss_of("discriminator", objective, params, aux)
    # D(x + p) = D(x) + p * sum(w)
    assert metrics["real_logits"] == pytest.approx(float(jnp.mean(REAL @ WEIGHTS)) + expected * 1.0, rel=1e-5)


def test_packs_join_neighbours_along_the_last_axis():
    objective, params, aux = build(inputs=Inputs(pack=2))
    assert params["discriminator"].shape == (2 * DIM,)
    _, metrics, _ = loss_of("discriminator", objective, params, aux)
    assert metrics["real_logits"] == pytest.approx(float(jnp.sum(REAL @ WEIGHTS) / 2), rel=1e-5)


def test_top_k_trains_on_the_best_samples_only():
    objective, params, aux = build(top_k=True)
    half, _, _ = loss_of("generator", objective, params, aux, {"top_k": 0.5})
    everything, _, _ = loss_of("generator", objective, params, aux, {"top_k": 1.0})
    seen = []
    spy = stateless(lambda turn: seen.append(turn.fake_logits) or jnp.zeros(()))
    objective, params, aux = build(generator_penalties={"spy": spy})
    loss_of("generator", objective, params, aux, {"spy_weight": 0.0})
    logits = np.sort(np.asarray(seen[-1]))
    assert half == pytest.approx(-logits[2:].mean(), rel=1e-5)
    assert everything == pytest.approx(-logits.mean(), rel=1e-5)


def test_balanced_consistency_of_the_identity_is_zero():
    objective, params, aux = build(penalties={"bcr": balanced_consistency(lambda key, x: x)})
    assert loss_of("discriminator", objective, params, aux, {"bcr_weight": 1.0})[1]["bcr"] == 0.0
    shifted, params, aux = build(penalties={"bcr": balanced_consistency(lambda key, x: x + 1.0)})
    # D(x + 1) - D(x) = sum(w) = 1 on both sides.
    assert loss_of("discriminator", shifted, params, aux, {"bcr_weight": 1.0})[1]["bcr"] == pytest.approx(2.0, rel=1e-4)


def test_labels_reach_both_networks_and_samples_take_classes_in_turn():
    def embed(key, inputs, labels):
        return {"w": jnp.ones(()), "table": jnp.arange(3.0)}

    conditional = from_function(embed, lambda p, z, labels: p["w"] * z + p["table"][labels][:, None])
    judge = from_function(embed, lambda p, x, labels: p["w"] * x[:, 0] + p["table"][labels])
    objective = gan(conditional, judge, loss=adversarial.get("wasserstein"), latent_dim=DIM, num_classes=3)
    batch = {"x": REAL, "label": jnp.array([0, 1, 2, 0])}
    params, aux = objective.init(jax.random.key(0), batch)
    samples = objective.sample(
        {**params, "generator": {**params["generator"], "w": jnp.zeros(())}}, aux, jax.random.key(0), 4
    )
    assert samples[:, 0].tolist() == [0.0, 1.0, 2.0, 0.0]
    _, metrics, _ = loss_of("discriminator", objective, params, aux, batch=batch)
    assert metrics["real_logits"] == pytest.approx(float(jnp.mean(REAL[:, 0])) + 0.75)


def test_networks_keep_their_own_running_state():
    def counting(network):
        return Network(
            lambda key, *inputs: (network.init(key, *inputs)[0], jnp.zeros(())),
            lambda params, state, *inputs, train=False, key=None: (
                network.apply(params, {}, *inputs)[0], state + train
            ),
        )  # fmt: skip

    objective = gan(counting(generator()), counting(critic()), loss=adversarial.get("hinge"), latent_dim=DIM)
    params, aux = objective.init(jax.random.key(0), {"x": REAL})
    _, _, aux = loss_of("discriminator", objective, params, aux)
    assert (aux["discriminator"], aux["generator"]) == (2.0, 0.0)
    _, _, aux = loss_of("generator", objective, params, aux)
    assert (aux["discriminator"], aux["generator"]) == (2.0, 1.0)


def test_six_members_with_their_own_rate_beta_and_head_equal_the_single_runs():
    names = ("non_saturating", "hinge", "wasserstein")
    objective = gan(generator(), critic(), loss=adversarial.switch(names), latent_dim=DIM,
                    penalties={"lecam": DISCRIMINATOR_PENALTIES["lecam"]})  # fmt: skip

    def adam(hyper):
        return optax.adam(hyper["learning_rate"], b1=hyper["b1"])

    init, step = make_step(objective, {"discriminator": adam, "generator": adam}, Schedule(averaged=("generator",)))
    num = 6
    hypers = {
        "learning_rate": jnp.linspace(0.01, 0.06, num),
        "b1": jnp.linspace(0.0, 0.5, num),
        "loss_index": jnp.arange(num) % 3,
        "lecam_weight": jnp.linspace(0.0, 1.0, num),
        "ema_decay": jnp.full(num, 0.5),
    }

    def keys():
        return jax.random.split(jax.random.key(3), num)

    batch = {"x": REAL}

    def train(key, hyper):
        state = init(key, batch, hyper)
        return jax.lax.scan(lambda state, _: (step(state, batch)[0], None), state, length=10)[0]

    together = jax.jit(jax.vmap(train))(keys(), hypers)
    alone = jax.jit(train)
    for member in range(num):
        single = alone(keys()[member], {name: values[member] for name, values in hypers.items()})
        for own, one in zip(jax.tree.leaves(together.params), jax.tree.leaves(single.params), strict=True):
            np.testing.assert_allclose(own[member], one, rtol=1e-5, atol=1e-6)


def ring(**fields):
    """Give a small run on the ring: what a config describes, one batch, and its hyperparameters."""
    config = gan_ring.get_config("smoke")
    config.data.batch_size = 16
    # Where a logit's offset is free, Adam would blow the rounding errors in its gradient up to whole steps.
    plain = {"optimizer.name": "sgd", "optimizer.learning_rate": 0.05, "training.total_steps": 10}
    config.update_from_flattened_dict(plain | fields)
    setup = training.from_config(config)
    return setup, jax.tree.map(lambda leaf: leaf[0], setup.stream(0).read(1))


def ten_steps(setup, batch):
    """Return a function of the scalars that differ from the config's: parameters and metrics after ten steps."""

    def train(changes):
        state = setup.init(jax.random.key(5), batch, setup.hyper | changes)
        state, metrics = jax.lax.scan(lambda state, _: setup.step(state, batch), state, length=10)
        return state.params, jax.tree.map(lambda values: values[-1], metrics)

    return train


COMPARED = ("hinge", "f_gan_kl", "relativistic_average", "softmax")


class TestSwitched:
    """Several losses or penalties in one program, as `config.loss` and `config.penalty.name` join them by "|"."""

    def compare(self, together, member, alone):
        for all_of_them, one in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(all_of_them[member], one, rtol=0, atol=1e-6)

    @pytest.mark.parametrize(
        "compared",
        [
            pytest.param(("r2", "dragan", "wgan_div"), id="some"),
            pytest.param(penalties.switchable(), id="all", marks=pytest.mark.slow),
        ],
    )
    def test_each_penalty_equals_the_run_with_it_alone(self, compared):
        names = penalties.switchable()
        setup, batch = ring(**{"penalty.name": "|".join(names), "penalty.weight": 0.5})
        assert (setup.hyper["penalty_weight"], setup.hyper["penalty_index"]) == (0.5, 0)
        indices = {"penalty_index": jnp.arange(len(names))}
        together, metrics = jax.jit(jax.vmap(ten_steps(setup, batch)))(indices)
        for name in compared:
            member = names.index(name)
            setup, batch = ring(**{"penalty.name": name, "penalty.weight": 0.5})
            alone, own = jax.jit(ten_steps(setup, batch))({})
            self.compare(together, member, alone)
            np.testing.assert_allclose(
                metrics["discriminator/penalty"][member], own[f"discriminator/{name}"], rtol=1e-4, atol=1e-6
            )

    @pytest.mark.parametrize(
        "names",
        [
            pytest.param(("wasserstein", *COMPARED), id="some"),
            pytest.param(adversarial.names(), id="all", marks=pytest.mark.slow),  # half a minute to compile
        ],
    )
    def test_each_loss_equals_the_run_with_it_alone(self, names):
        setup, batch = ring(loss="|".join(names))
        assert setup.hyper["loss_index"] == 0
        together, _ = jax.jit(jax.vmap(ten_steps(setup, batch)))({"loss_index": jnp.arange(len(names))})
        # Values and slopes of all heads are compared in tests/losses/test_adversarial_regressions.py.
        for name in COMPARED:
            setup, batch = ring(loss=name)
            assert "loss_index" not in setup.hyper
            self.compare(together, names.index(name), jax.jit(ten_steps(setup, batch))({})[0])

    def test_losses_and_lazy_penalties_are_switched_together_and_the_weight_is_annealed(self):
        fields = {"penalty.weight": 0.5, "penalty.every": 4, "schedule.anneal.penalty_weight.shape": "linear"}
        setup, batch = ring(loss="hinge|wasserstein", **fields, **{"penalty.name": "r1|dragan"})
        together, _ = jax.jit(jax.vmap(ten_steps(setup, batch)))(
            {"loss_index": jnp.array([1]), "penalty_index": jnp.array([1])}
        )
        setup, batch = ring(loss="wasserstein", **fields, **{"penalty.name": "dragan"})
        self.compare(together, 0, jax.jit(ten_steps(setup, batch))({})[0])

    def test_a_weight_of_zero_is_no_penalty(self):
        assert "penalty_index" not in ring(**{"penalty.name": "r1|wgan_gp"})[0].hyper

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("loss", "hinge|began", r"config\.loss 'hinge\|began' joins 'began' with others.*can only stand alone"),
            ("loss", "realness|multi_hinge", "joins 'realness' with others"),
            ("loss", "hinge|wassertein", "did you mean 'wasserstein'"),
            ("penalty.name", "r1|lecam", "unknown penalty on one gradient of the critic 'lecam'.*'dragan'"),
            ("penalty.name", "wgan_gp|r1+r2", r"on one gradient of the critic 'r1\+r2'; did you mean"),
            ("generator_penalty.name", "path_length|mode_seeking", r"unknown generator penalty 'path_length\|mode"),
        ],
    )
    def test_what_cannot_be_switched_is_one_clear_error(self, field, value, message):
        with pytest.raises(ValueError, match=message):
            ring(**{field: value, "penalty.weight": 0.5})


class TestErrors:
    def test_shape_mismatch_names_both_shapes(self):
        objective = gan(generator(), critic(), loss=adversarial.get("hinge"), latent_dim=3)
        with pytest.raises(ValueError, match=r"generator gives examples of shape \(3,\), but the data's are \(2,\)"):
            objective.init(jax.random.key(0), {"x": REAL})

    def test_missing_label(self):
        objective = gan(generator(), critic(), loss=adversarial.get("hinge"), latent_dim=2, num_classes=3)
        with pytest.raises(ValueError, match=r"batch has no 'label'.*\['x'\]"):
            objective.init(jax.random.key(0), {"x": REAL})

    def test_missing_weight(self):
        objective, params, aux = build(penalties={"r1": DISCRIMINATOR_PENALTIES["r1"]})
        with pytest.raises(ValueError, match="no 'r1_weight'"):
            loss_of("discriminator", objective, params, aux)

    def test_misspelt_latent(self):
        with pytest.raises(ValueError, match="did you mean 'normal'"):
            build(latent="norml")

    def test_pack_that_does_not_divide_the_batch(self):
        objective = gan(generator(), critic(), loss=adversarial.get("hinge"), latent_dim=2, inputs=Inputs(pack=3))
        with pytest.raises(ValueError, match="4 examples, which packs of 3"):
            objective.init(jax.random.key(0), {"x": REAL})
