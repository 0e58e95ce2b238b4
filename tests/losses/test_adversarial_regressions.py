"""Defects of adversarial code known in the field, each kept out by a test that carries its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import adversarial

WIDTHS = {"realness": 4, "multi_hinge": 3}
ALL = (*adversarial.names(), "began", *WIDTHS)
LOGITS_ONLY = [name for name in ALL if name not in WIDTHS]
# Generators that push a sample's logit up wherever the critic stands. The others pull it to a target, from both sides.
PULLED = ("boundary_seeking", "least_squares_pearson", "softmax")
DRIVEN = [n for n in adversarial.names() if n not in PULLED and not (n.startswith("rel") and n.endswith("squares"))]
NON_SATURATING = [
    "non_saturating",
    "label_smoothed",
    "least_squares",
    "wasserstein",
    "hinge",
    *(name for name in ALL if name.startswith("relativistic_")),
    "kl_wasserstein",
    "quadratic_potential",
    "energy_based",
    "began",
]


def both_heads(name):
    loss = adversarial.get(name)
    return {"discriminator": loss.discriminator, "generator": loss.generator}


@pytest.mark.parametrize("name", LOGITS_ONLY)
def test_signs_are_not_flipped(name):
    """Higher logits on real and lower ones on fake please the critic; higher ones on fake please the generator."""
    loss = adversarial.get(name)
    real, fake = jnp.array([-0.4, -0.1, -0.3]), jnp.array([0.4, 0.1, 0.3])
    slopes_real, slopes_fake = jax.grad(lambda r, f: loss.discriminator(r, f).mean(), (0, 1))(real, fake)
    assert (slopes_real < 0).all()
    assert (slopes_fake > 0).all()
    low = jnp.array([-0.9, -0.5, -0.7])  # the critic has seen through these
    slopes = jax.grad(lambda f: loss.generator(real, f).mean())(low)
    assert (slopes < 0).all()


@pytest.mark.parametrize("name", DRIVEN)
def test_generator_never_lowers_the_logits_of_its_samples(name):
    loss = adversarial.get(name)
    fake = jnp.linspace(-6.0, 0.5, 5)
    slopes = jax.grad(lambda f: loss.generator(jnp.linspace(0.5, 1.0, 5), f).mean())(fake)
    assert (slopes <= 0).all() and slopes.min() < 0


@pytest.mark.parametrize("name", NON_SATURATING)
def test_non_saturating_names_do_not_saturate(name):
    """Where the critic rejects every sample, the generator's gradient is at full strength."""
    loss = adversarial.get(name)
    slopes = jax.grad(lambda f: loss.generator(jnp.zeros(3), f).mean())(jnp.full(3, -20.0))
    assert (slopes < -0.15).all()  # a mean over three of slopes of at least one half


@pytest.mark.parametrize("name", ["minimax", "f_gan_gan", "f_gan_jensen_shannon"])
def test_saturating_names_saturate(name):
    slopes = jax.grad(lambda f: adversarial.get(name).generator(jnp.zeros(3), f).mean())(jnp.full(3, -20.0))
    assert (jnp.abs(slopes) < 1e-8).all()


def test_non_saturating_and_minimax_generators_at_known_logits():
    real, fake = jnp.zeros(2), jnp.array([0.0, np.log(3.0)])  # D = 1/2, 3/4
    np.testing.assert_allclose(adversarial.non_saturating.generator(real, fake), -np.log([1 / 2, 3 / 4]), rtol=1e-6)
    np.testing.assert_allclose(adversarial.minimax.generator(real, fake), np.log([1 / 2, 1 / 4]), rtol=1e-6)


def test_label_smoothing_is_not_applied_to_the_logit():
    """Mixed targets stop the critic at logit(0.9) where there is no fake; a scaled logit would run to infinity."""
    head = adversarial.label_smoothed(adversarial.non_saturating, real_label=0.9).discriminator
    no_fake = jnp.full(3, -1e4)
    logits = jnp.array([np.log(9.0) - 0.1, np.log(9.0), np.log(9.0) + 0.1])
    slopes = jax.grad(lambda r: head(r, no_fake).sum())(logits)
    assert slopes[0] < -1e-3 and slopes[2] > 1e-3
    np.testing.assert_allclose(slopes[1], 0.0, atol=1e-6)
    np.testing.assert_allclose(head(logits, no_fake)[1], -0.9 * np.log(0.9) - 0.1 * np.log(0.1), rtol=1e-6)


def test_no_loss_smooths_labels_silently():
    """The critics at zero logits are log 4, without a hidden label of 0.75."""
    for name in ("minimax", "non_saturating", "boundary_seeking"):
        value = adversarial.get(name).discriminator(jnp.zeros(1), jnp.zeros(1))
        np.testing.assert_allclose(value, np.log(4.0), rtol=1e-6)
        slopes = jax.grad(lambda r, name=name: adversarial.get(name).discriminator(r, jnp.zeros(1)).sum())(
            jnp.full(1, 9.0)
        )
        assert slopes[0] < 0  # with a label of 0.75 the critic would shrink from logit 9


def test_label_smoothing_refuses_a_critic_that_is_not_logistic():
    with pytest.raises(ValueError, match="base came with a critic that is not logistic"):
        adversarial.label_smoothed(adversarial.hinge)
    with pytest.raises(ValueError, match=r"real_label came as 1\.5"):
        adversarial.label_smoothed(adversarial.minimax, real_label=1.5)


@pytest.mark.parametrize("name", LOGITS_ONLY)
def test_column_of_logits_is_refused_instead_of_broadcast(name):
    for head in both_heads(name).values():
        with pytest.raises(ValueError, match=r"fake_logits came with shape \(4, 1\), expected \[batch\]"):
            head(jnp.zeros(4), jnp.zeros((4, 1)))
        with pytest.raises(ValueError, match=r"real_logits came with shape \(4, 1\), expected \[batch\]"):
            head(jnp.zeros((4, 1)), jnp.zeros((4, 1)))


@pytest.mark.parametrize("name", ALL)
def test_bad_logits_are_named(name):
    tail = (WIDTHS[name],) if name in WIDTHS else ()
    for head in both_heads(name).values():
        with pytest.raises(ValueError, match=r"fake_logits came with shape \(3.*expected the shape of real_logits"):
            head(jnp.zeros((4, *tail)), jnp.zeros((3, *tail)))
        with pytest.raises(ValueError, match=r"real_logits came with shape \(\)"):
            head(jnp.zeros(()), jnp.zeros((4, *tail)))
        with pytest.raises(ValueError, match="fake_logits came with dtype int32, expected a floating-point dtype"):
            head(jnp.zeros((4, *tail)), jnp.zeros((4, *tail), jnp.int32))


@pytest.mark.parametrize("name", LOGITS_ONLY)
def test_values_and_gradients_are_finite_at_huge_logits(name):
    points = np.array([0.0, 1.0, -1.0, 1e4, -1e4], np.float32)
    real, fake = (np.stack([side.ravel()] * 3, -1) for side in np.meshgrid(points, points))
    fake[:, 1] = 0.0  # batches [25, 3], uniform on the real side and mixed on the other
    for head in both_heads(name).values():
        value_and_slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda r, f, h=head: h(r, f).sum(), (0, 1))))
        for values, slopes in (value_and_slopes(real, fake), value_and_slopes(fake, real)):
            assert np.isfinite(values).all() and np.isfinite(slopes).all()


@pytest.mark.parametrize("name", WIDTHS)
def test_values_and_gradients_of_wide_critics_are_finite_at_huge_logits(name):
    corners = jnp.array(np.array(np.meshgrid(*[[0.0, 1.0, -1e4, 1e4]] * WIDTHS[name])).reshape(WIDTHS[name], -1).T)
    for head in both_heads(name).values():
        values, slopes = jax.value_and_grad(lambda r, f, h=head: h(r, f).sum(), (0, 1))(corners, corners[::-1])
        assert np.isfinite(values) and np.isfinite(slopes).all()


@pytest.mark.parametrize("name", [name for name in LOGITS_ONLY if name.startswith("f_gan_")])
def test_f_gan_activations_stay_in_the_range_of_the_conjugate(name):
    """Read back from the losses: at fake = v the conjugate, at real = v minus the activation."""
    with jax.enable_x64(True):
        v = jnp.linspace(-6, 6, 25)
        loss = adversarial.get(name)
        conjugate = -np.asarray(loss.generator(v, v))
        activation = conjugate - np.asarray(loss.discriminator(v, v))
    low, high = {
        "f_gan_reverse_kl": (-np.inf, 0),
        "f_gan_jensen_shannon": (-np.inf, np.log(2)),
        "f_gan_gan": (-np.inf, 0),
        "f_gan_neyman": (-np.inf, 1),
        "f_gan_squared_hellinger": (-np.inf, 1),
        "f_gan_total_variation": (-0.5, 0.5),
    }.get(name, (-np.inf, np.inf))
    assert (activation > low).all() and (activation < high).all()
    assert (np.diff(activation) > 0).all()
    assert (np.diff(conjugate) >= -1e-12).all()  # density ratios are at least 0
    slopes = np.diff(conjugate) / np.diff(activation)  # of a convex f*, hence increasing in its argument
    assert (np.diff(slopes) >= -1e-9).all()


def test_generator_of_pearson_f_gan_is_not_pushed_downwards():
    """The parabola printed for f* turns at -2; below it, minus its slope would lower the logits of samples further."""
    slopes = jax.grad(lambda f: adversarial.get("f_gan_pearson").generator(f, f).sum())(jnp.array([-5.0, -3.0, -1.0]))
    np.testing.assert_allclose(slopes, [0.0, 0.0, -0.5], atol=1e-6)


def test_logits_of_a_loss_never_need_another_orientation():
    """One switch over losses whose papers disagree on the sign of the critic: all agree on which side is real."""
    names = adversarial.names()
    head = adversarial.switch(names)
    right, wrong = jnp.array([0.8, 1.0]), jnp.array([-0.8, -1.0])

    def advantage(index):
        loss = head(index).discriminator
        return loss(wrong, right).mean() - loss(right, wrong).mean()

    assert (jax.jit(jax.vmap(advantage))(jnp.arange(len(names))) > 0.1).all()


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_switch_equals_each_loss_under_vmap_value_and_gradient(player):
    names = adversarial.names()
    real, fake = jnp.array([0.5, -1.0, 2.0]), jnp.array([-0.3, 0.2, 1.5])

    def value_and_slopes(index):
        head = getattr(adversarial.switch(names)(index), player)
        return head(real, fake), jax.grad(lambda r, f: head(r, f).sum(), (0, 1))(real, fake)

    values, slopes = jax.jit(jax.vmap(value_and_slopes))(jnp.arange(len(names)))
    for index, name in enumerate(names):
        head = both_heads(name)[player]
        np.testing.assert_allclose(values[index], head(real, fake), rtol=1e-5, atol=1e-6, err_msg=name)
        expected = jax.grad(lambda r, f, h=head: h(r, f).sum(), (0, 1))(real, fake)
        np.testing.assert_allclose([s[index] for s in slopes], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_one_member_far_out_leaves_its_neighbours_gradients_finite():
    """Under vmap every head runs; a head with an infinite slope would turn its neighbours' zero cotangents into NaN."""
    names = adversarial.names()

    def loss(index, real, fake):
        head = adversarial.switch(names)(index)
        return (head.discriminator(real, fake) + head.generator(real, fake)).mean()

    slopes = jax.jit(jax.vmap(jax.grad(loss, (1, 2)), (0, None, None)))(
        jnp.arange(len(names)), jnp.array([-500.0, 500.0]), jnp.array([500.0, -500.0])
    )
    assert np.isfinite(slopes).all()


def test_switch_refuses_what_it_cannot_choose():
    with pytest.raises(ValueError, match="names came empty"):
        adversarial.switch(())
    with pytest.raises(ValueError, match="index came as 2"):
        adversarial.switch(("hinge", "minimax"))(2)


@pytest.mark.parametrize(
    ("typo", "nearest"),
    [("hing", "hinge"), ("non-saturating", "non_saturating"), ("wassertein", "wasserstein"), ("f_gan_kll", "f_gan_kl")],
)
def test_unknown_name_suggests_the_nearest(typo, nearest):
    with pytest.raises(ValueError, match=f"unknown adversarial loss '{typo}'; did you mean '{nearest}'"):
        adversarial.get(typo)
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        adversarial.switch(("hinge", typo))


@pytest.mark.parametrize(
    "name", ["minimax", "non_saturating", "least_squares", "wasserstein", "hinge", "boundary_seeking"]
)
def test_name_and_attribute_are_one_object(name):
    assert adversarial.get(name) is getattr(adversarial, name)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: adversarial.f_gan("chi"), "divergence came as 'chi', expected one of kl, "),
        (lambda: adversarial.relativistic(adversarial.hinge, "pair"), "kind came as 'pair', expected one of paired, "),
        (lambda: adversarial.alpha_gan(0.0), "alpha came as 0.0"),
        (lambda: adversarial.cumulant(gamma=-1.0), "gamma came as -1.0"),
        (lambda: adversarial.energy_based(0.0), "margin came as 0.0"),
        (lambda: adversarial.least_squares_targets(real=0.0, fake=1.0, generator=0.0), "expected real > fake"),
        (lambda: adversarial.realness((0.5, 0.4), (0.5, 0.5)), "real_anchor came as"),
        (lambda: adversarial.realness((1.0,), (0.5, 0.5)), "fake_anchor came with 2 outcomes"),
        (
            lambda: adversarial.quadratic_potential(jnp.ones(2)).discriminator(jnp.zeros(3), jnp.zeros(3)),
            r"scale came with shape \(2,\)",
        ),
        (
            lambda: adversarial.multi_hinge(jnp.zeros(3)).discriminator(jnp.zeros((3, 2)), jnp.zeros((3, 2))),
            "real_labels came as float32",
        ),
        (
            lambda: adversarial.multi_hinge().generator(jnp.zeros((3, 1)), jnp.zeros((3, 1))),
            "expected at least 2",
        ),
        (
            lambda: adversarial.get("realness").generator(jnp.zeros((3, 5)), jnp.zeros((3, 5))),
            "came with 5 outcomes, expected 4",
        ),
    ],
)
def test_bad_hyperparameters_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", LOGITS_ONLY)
def test_dtype_of_the_logits_is_kept(name, dtype):
    real, fake = jnp.array([0.5, -1.0], dtype), jnp.array([0.2, 1.0], dtype)
    for head in both_heads(name).values():
        value = jax.eval_shape(head, real, fake)
        assert value.dtype == dtype and value.shape == (2,)


def test_numpy_logits_are_accepted():
    values = adversarial.hinge.discriminator(np.zeros(2, np.float32), np.ones(2, np.float32))
    np.testing.assert_array_equal(values, [3.0, 3.0])


def test_each_loss_has_one_card_of_its_name():
    from genloss_jax.losses.catalog._adversarial import CARDS

    assert sorted(card.name for card in CARDS) == sorted(ALL)
    assert all(card.fn is adversarial.get(card.name) for card in CARDS)
