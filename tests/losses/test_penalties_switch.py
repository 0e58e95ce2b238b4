"""One program for all penalties on one gradient of the critic: the values of each alone, at the price of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from genloss_jax.losses import penalties

NAMES = penalties.switchable()
ALONE = {
    "r1": lambda critic, key, real, fake: penalties.r1_penalty(critic, real),
    "r2": lambda critic, key, real, fake: penalties.r2_penalty(critic, fake),
    "wgan_gp": penalties.wgan_gp_penalty,
    "wgan_lp": penalties.wgan_lp_penalty,
    "zero_centered": penalties.zero_centered_penalty,
    "dragan": lambda critic, key, real, fake: penalties.dragan_penalty(critic, key, real),
    "wgan_div": penalties.wgan_div_penalty,
    "max_gradient": penalties.max_gradient_penalty,
}
PARAMS = tuple(jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32) for shape in ((3, 5), (5,)))
REAL, FAKE = (jnp.asarray(np.random.default_rng(seed).normal(size=(6, 3)), jnp.float32) for seed in (1, 2))


def value_and_gradient(penalty, params=PARAMS, fake=FAKE):
    """The penalty's values, and the gradient of their mean in the critic's parameters."""

    def mean(params):
        hidden, output = params
        values = penalty(lambda x: jnp.tanh(x @ hidden) @ output, jax.random.key(3), REAL, fake)
        return values.mean(), values

    gradient, values = jax.grad(mean, has_aux=True)(params)
    return values, gradient


def switched(index, **options):
    return value_and_gradient(penalties.switch(NAMES)(index), **options)


def test_every_penalty_of_the_family_is_tested_alone():
    assert set(ALONE) == set(NAMES)


def test_each_index_of_one_vmapped_program_gives_its_penalty_value_and_gradient():
    together = jax.jit(jax.vmap(switched))(jnp.arange(len(NAMES)))
    for index, name in enumerate(NAMES):
        alone = jax.jit(lambda name=name: value_and_gradient(ALONE[name]))()
        for all_of_them, one in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(all_of_them[index], one, rtol=1e-5, atol=1e-6, err_msg=name)


def test_an_index_that_is_not_batched_gives_its_penalty_value_and_gradient():
    compiled = jax.jit(switched)
    for index, name in enumerate(NAMES):
        for one, other in zip(
            jax.tree.leaves(compiled(index)), jax.tree.leaves(value_and_gradient(ALONE[name])), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=name)


def num_of(primitive, jaxpr):
    """Count a primitive in a program and all programs inside it."""
    return sum(equation.primitive.name == primitive for equation in jaxpr.eqns) + sum(
        num_of(primitive, inner) for equation in jaxpr.eqns for inner in jaxprs_in_params(equation.params)
    )


def test_the_critic_is_differentiated_once_for_the_whole_family():
    indices = jnp.arange(len(NAMES))
    alone = jax.make_jaxpr(lambda: value_and_gradient(ALONE["wgan_gp"]))().jaxpr
    assert num_of("dot_general", alone) > 0
    for program in (jax.make_jaxpr(switched)(0), jax.make_jaxpr(jax.vmap(switched))(indices)):
        assert num_of("dot_general", program.jaxpr) == num_of("dot_general", alone)


def test_an_index_that_is_not_batched_is_a_real_conditional():
    """Only the chosen point and shape are computed: they stand in branches, not in a selection among all."""

    def values(index):
        return penalties.switch(NAMES)(index)(lambda x: x.sum(-1), jax.random.key(3), REAL, FAKE)

    assert num_of("cond", jax.make_jaxpr(values)(0).jaxpr) == 2
    assert num_of("cond", jax.make_jaxpr(jax.vmap(values))(jnp.arange(2)).jaxpr) == 0
    assert " conditional(" in jax.jit(switched).lower(0).compile().as_text()


def test_points_of_a_kind_are_drawn_once():
    lines = penalties.switch(("wgan_gp", "wgan_lp", "zero_centered"))
    program = jax.make_jaxpr(jax.vmap(lambda index: value_and_gradient(lines(index))[0]))(jnp.arange(3))
    alone = jax.make_jaxpr(lambda: value_and_gradient(ALONE["wgan_gp"])[0])()
    assert num_of("random_bits", program.jaxpr) == num_of("random_bits", alone.jaxpr) == 1


def test_a_steep_critic_leaves_the_penalties_that_are_finite_finite():
    """A gradient of norm 1e13 to the sixth has no float32; it must not reach those who did not choose it."""
    steep = (PARAMS[0], 1e13 * PARAMS[1])
    _, gradients = jax.jit(jax.vmap(lambda index: switched(index, params=steep)))(jnp.arange(len(NAMES)))
    for index, name in enumerate(NAMES):
        if name != "wgan_div":
            assert all(np.isfinite(leaf[index]).all() for leaf in jax.tree.leaves(gradients)), name


def test_a_traced_index_out_of_range_is_clamped():
    first, last = switched(0), switched(len(NAMES) - 1)
    for index, expected in ((-3, first), (99, last)):
        np.testing.assert_allclose(jax.jit(switched)(jnp.int32(index))[0], expected[0], rtol=1e-5)


def test_what_cannot_be_switched_is_named_with_what_can():
    with pytest.raises(ValueError, match=r"unknown penalty on one gradient of the critic 'lecam'.*'dragan', .*'r1'"):
        penalties.switch(("r1", "lecam"))
    with pytest.raises(ValueError, match="'dragn'; did you mean 'dragan'"):
        penalties.switch(("dragn",))
    with pytest.raises(ValueError, match="names came empty"):
        penalties.switch(())
    with pytest.raises(ValueError, match="index came as 2"):
        penalties.switch(("r1", "r2"))(2)


def test_examples_that_do_not_fit_are_named(unchecked):
    with pytest.raises(ValueError, match="fake must have the shape of real"):
        switched(0, fake=FAKE[:3])
