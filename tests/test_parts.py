"""What parts of a batch draw, compare and average is what the whole batch would: parts along a vmapped axis, here."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import _parts as parts
from genloss_jax import data
from genloss_jax.losses import adversarial, diffusion, divergences, penalties, variational
from genloss_jax.networks.layers import Dropout
from genloss_jax.networks.normalization import MinibatchStddev, Normalize
from genloss_jax.objectives import mean
from genloss_jax.objectives.gan import _best

PARTS, BATCH = 4, 8


def spread(x):
    return x.reshape(PARTS, -1, *x.shape[1:])


def together(values):
    return values.reshape(-1, *values.shape[2:])


def in_parts(fn):
    """Evaluate a function of batches part by part."""
    return lambda *batches: jax.vmap(fn, axis_name=parts.AXIS)(*map(spread, batches))


def key():
    # The same key, made anew for each use.
    return jax.random.key(0)


def batch(*shape):
    return jax.random.normal(jax.random.key(1), (BATCH, *shape))


def test_parts_draw_what_the_whole_batch_draws():
    drawn = in_parts(lambda x: parts.draw(jax.random.normal, key(), x.shape))(jnp.zeros((BATCH, 3)))
    np.testing.assert_array_equal(together(drawn), jax.random.normal(key(), (BATCH, 3)))
    several = in_parts(lambda x: parts.draw(jax.random.normal, key(), (5, *x.shape), axis=1))(jnp.zeros((BATCH, 3)))
    whole = jax.random.normal(key(), (5, BATCH, 3))
    np.testing.assert_array_equal(jnp.concatenate(list(several), axis=1), whole)


def test_pieces_draw_what_the_whole_batch_draws():
    def pieces(x):
        found = []
        for index in range(2):
            with parts.piece(jnp.asarray(index), 2):
                found.append(parts.draw(jax.random.uniform, key(), (len(x) // 2,)))
        return jnp.concatenate(found)

    whole = jax.random.uniform(key(), (BATCH,))
    np.testing.assert_array_equal(pieces(jnp.zeros(BATCH)), whole)
    np.testing.assert_array_equal(together(in_parts(pieces)(jnp.zeros(BATCH))), whole)


@pytest.mark.parametrize(
    "draw",
    [
        lambda key, x: data.augment.augment(key, x, "color,translation,cutout,flip", 0.7),
        lambda key, x: diffusion.stratified_times(key, len(x)),
        lambda key, x: diffusion.lognormal_sigmas(key, len(x)),
        lambda key, x: Dropout(0.5, deterministic=False).apply({}, x, rngs={"dropout": key}),
        lambda key, x: penalties.latent_consistency_penalty(jnp.tanh, key, x, sigma=0.1),
        lambda key, x: penalties.wgan_gp_penalty(critic, key, x, 2 * x),
        lambda key, x: penalties.dragan_penalty(critic, key, x),
        lambda key, x: penalties.max_gradient_penalty(critic, key, x, 2 * x),
    ],
)
def test_what_is_drawn_inside_a_loss_is_drawn_for_the_whole_batch(draw):
    x = batch(8, 8, 2)
    np.testing.assert_allclose(together(in_parts(lambda x: draw(key(), x))(x)), draw(key(), x), rtol=1e-5, atol=1e-6)


def critic(x):
    return jnp.sum(jnp.sin(x), axis=tuple(range(1, x.ndim)))


def test_dropout_is_that_of_flax():
    x = batch(3)

    class Own(nn.Module):
        flax: bool

        @nn.compact
        def __call__(self, x):
            return (nn.Dropout if self.flax else Dropout)(0.3, deterministic=False)(x)

    ours, theirs = (Own(flax).apply({}, x, rngs={"dropout": key()}) for flax in (False, True))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_value_and_gradient_of_every_adversarial_loss_are_those_of_the_whole_batch(player):
    heads = [getattr(adversarial.get(name), player) for name in adversarial.names()]
    check_gradient(lambda x: [head(jnp.cos(x[:, 0]), jnp.sin(x[:, 1])) for head in heads], batch(2))


def test_a_switch_among_adversarial_losses_reaches_the_whole_batch():
    choose = adversarial.switch(("relativistic_average", "hinge", "softmax", "relativistic_all_pairs"))
    check_gradient(lambda x: [choose(jnp.asarray(i)).discriminator(x[:, 0], x[:, 1]) for i in range(4)], batch(2))


def normalized(x):
    return Normalize("batch").apply(NORMALIZE, x, train=True, mutable=["batch_stats"])[0]


def deviating(x):
    return MinibatchStddev().apply(DEVIATING, x, train=True, mutable=["batch_stats"])[0]


NORMALIZE = Normalize("batch").init(jax.random.key(0), jnp.ones((2, 3)))
DEVIATING = MinibatchStddev().init(jax.random.key(0), jnp.ones((2, 3)))


SEEING_ALL = {
    "batch normalisation": lambda x: jnp.sin(normalized(x)).sum(-1),
    "minibatch deviation": lambda x: jnp.sin(deviating(x)).sum(-1),
    # A gradient penalty of a critic that couples its batch.
    "r1": lambda x: penalties.r1_penalty(lambda x: jnp.sin(normalized(x)).sum(-1), x),
    "top_k": lambda x: mean(x[:, 0], _best(x[:, 1], jnp.asarray(0.5))),
    "mmd": lambda x: variational.wae_mmd_penalty(parts.whole(x, "a test"), parts.whole(jnp.sin(x), "a test")),
    "energy distance": lambda x: divergences.energy_distance(*(parts.whole(y, "a test") for y in (x, jnp.sin(x)))),
    "pulling away": lambda x: parts.own(penalties.pulling_away_loss(parts.whole(x, "a test"))),
    "total correlation": lambda x: total_correlation(parts.whole(x, "a test")),
    "std": lambda x: parts.std(x, "a test"),
    "total": lambda x: parts.total(jnp.sum(jnp.sin(x)), "a test"),
}


def total_correlation(x):
    return parts.own(variational.total_correlation(jnp.sin(x), x, jnp.zeros_like(x), dataset_size=100))


def test_value_and_gradient_of_what_sees_all_examples_are_those_of_the_whole_batch():
    check_gradient(lambda x: [values(x) for values in SEEING_ALL.values()], batch(3))


def check_gradient(values, x):
    """Compare losses mean(values(x · weights)) and their gradients, averaged over parts, with the whole batch's."""

    def losses(weights, x):
        return jnp.stack([jnp.mean(own) for own in values(x * weights[None])])

    def found(weights, x):
        return parts.average((losses(weights, x), jax.jacrev(losses)(weights, x)))

    weights = jnp.linspace(0.5, 1.5, x.shape[1])
    expected = jax.jit(found)(weights, x)
    spread_out = jax.jit(in_parts(partial(found, weights)))(x)
    for each in zip(*spread_out, strict=True):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6), each, expected)


def test_statistics_of_batch_normalisation_are_those_of_the_whole_batch():
    def statistics(x):
        return Normalize("batch").apply(NORMALIZE, x, train=True, mutable=["batch_stats"])[1]

    x = batch(3)
    for each, expected in zip(jax.tree.leaves(in_parts(statistics)(x)), jax.tree.leaves(statistics(x)), strict=True):
        np.testing.assert_allclose(each, np.broadcast_to(expected, each.shape), rtol=1e-5, atol=1e-7)


def test_comparisons_within_pieces_are_refused_with_what_compares():
    with (
        parts.piece(jnp.asarray(0), 2),
        pytest.raises(ValueError, match=r"micro_batches is 2, but batch normalisation sees all examples"),
    ):
        Normalize("batch").apply(NORMALIZE, jnp.ones((2, 3)), train=True, mutable=["batch_stats"])


def test_shares_and_pieces_hold_every_example_once_in_order():
    examples = {"x": jnp.arange(6.0), "label": jnp.arange(6)}
    shares = parts.split(examples, 3)
    np.testing.assert_array_equal(jnp.concatenate([share["x"] for share in shares]), examples["x"])
    np.testing.assert_array_equal(parts.pieces(examples, 3)["label"], jnp.arange(6).reshape(3, 2))
