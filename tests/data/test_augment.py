"""Differentiable augmentation: exact at both ends, per example, differentiable; and ADA's rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.data import augment

EVERYTHING = ("color", "translation", "cutout", "flip")


@pytest.fixture(scope="module")
def images():
    """Give 64 images of noise."""
    return jax.random.uniform(jax.random.key(7), (64, 16, 12, 3), minval=-1.0, maxval=1.0)


@pytest.fixture(scope="module")
def augmented():
    """Give the jitted function with a traced probability."""
    return jax.jit(augment.augment, static_argnums=2)


@pytest.mark.parametrize("policy", [*augment.policies(), EVERYTHING])
def test_probability_zero_is_the_identity_exactly_even_when_traced(augmented, images, policy):
    np.testing.assert_array_equal(augmented(jax.random.key(0), images, policy, 0.0), images)


@pytest.mark.parametrize("policy", augment.policies())
def test_probability_one_acts_on_every_example_it_can_change(augmented, images, policy):
    changed = np.asarray(augmented(jax.random.key(1), images, policy, 1.0) != images).any((1, 2, 3))
    # A translation by no pixel in either direction, 1 in 15, is the only way to stay as one was.
    assert changed.mean() >= (0.8 if policy == "translation" else 1.0)


@pytest.mark.parametrize("policy", ["brightness", "flip"])
def test_probability_is_the_share_of_examples_acted_on(augmented, policy):
    many = jnp.broadcast_to(jnp.asarray([0.1, 0.2])[None, None, :, None], (4000, 1, 2, 1))
    changed = np.asarray(augmented(jax.random.key(2), many, policy, 0.3) != many).any((1, 2, 3))
    assert abs(changed.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)


def test_examples_are_augmented_independently(augmented):
    same = jnp.broadcast_to(jax.random.uniform(jax.random.key(3), (1, 16, 16, 3)), (32, 16, 16, 3))
    out = np.asarray(augmented(jax.random.key(4), same, EVERYTHING, 1.0))
    assert len({image.tobytes() for image in out}) == 32


def test_gradient_is_that_of_the_operations(augmented, images):
    def total(images, policy):
        return augmented(jax.random.key(5), images, policy, 1.0).sum()

    gradient = jax.jit(jax.grad(total), static_argnums=1)
    np.testing.assert_allclose(gradient(images, "brightness"), 1.0)
    np.testing.assert_allclose(gradient(images, "flip"), 1.0)
    # saturation and contrast keep the mean, and the sum with it
    np.testing.assert_allclose(gradient(images, "color"), 1.0, atol=1e-5)
    for policy in ("translation", "cutout"):  # a pixel counts once if it is seen, and not at all if it is covered
        seen = np.asarray(gradient(images, policy))
        assert set(np.unique(seen)) == {0.0, 1.0}
        out = np.asarray(augmented(jax.random.key(5), images, policy, 1.0))
        np.testing.assert_allclose((out**2).sum((1, 2, 3)), (np.asarray(images) ** 2 * seen).sum((1, 2, 3)), rtol=1e-5)


def test_constant_images_change_as_the_ranges_say(augmented):
    grey = jnp.full((4000, 1, 1, 3), 0.25)
    shift = np.asarray(augmented(jax.random.key(6), grey, "brightness", 1.0) - grey)
    assert (shift == shift[..., :1]).all()
    assert -0.5 <= shift.min() < -0.48
    assert 0.48 < shift.max() <= 0.5
    assert abs(shift.mean()) < 4 * np.sqrt(1 / 12 / 4000)
    for policy in ("saturation", "contrast"):  # there is no colour, and no contrast, to scale
        np.testing.assert_allclose(augmented(jax.random.key(7), grey, policy, 1.0), grey, atol=1e-7)


@pytest.mark.parametrize(("policy", "low", "high"), [("saturation", 0.0, 2.0), ("contrast", 0.5, 1.5)])
def test_saturation_and_contrast_scale_about_their_means(augmented, policy, low, high):
    one = jnp.asarray([[[0.0, 0.3, 0.6]]])  # mean 0.3: of the pixel and of the image
    out = np.asarray(augmented(jax.random.key(8), jnp.broadcast_to(one[None], (4000, 1, 1, 3)), policy, 1.0))[:, 0, 0]
    np.testing.assert_allclose(out[:, 1], 0.3, atol=1e-6)
    scale = (out[:, 2] - 0.3) / 0.3
    np.testing.assert_allclose(scale, (0.3 - out[:, 0]) / 0.3, atol=1e-5)
    margin = (high - low) / 100
    assert low - 1e-5 <= scale.min() < low + margin
    assert high - margin < scale.max() <= high + 1e-5


def test_translation_shifts_by_up_to_an_eighth_with_zeros_behind(augmented, images):
    out = np.asarray(augmented(jax.random.key(9), images, "translation", 1.0))
    shifts = set()
    for image, moved in zip(np.asarray(images), out, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        found = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if (padded[2 - dy : 18 - dy, 2 - dx : 14 - dx] == moved).all()
        ]
        assert len(found) == 1
        shifts.update(found)
    assert {dy for dy, _ in shifts} == set(range(-2, 3))  # an eighth of 16
    assert {dx for _, dx in shifts} == set(range(-2, 3))  # an eighth of 12, rounded up


def test_cutout_covers_a_square_of_half_the_side_that_may_leave_the_image(augmented):
    ones = jnp.ones((2000, 8, 8, 1))
    holes = np.asarray(augmented(jax.random.key(10), ones, "cutout", 1.0))[..., 0] == 0
    rows, columns = holes.any(2), holes.any(1)
    np.testing.assert_array_equal(holes, rows[:, :, None] & columns[:, None, :])
    assert rows.sum(1).max() == columns.sum(1).max() == 4
    assert rows.sum(1).min() == columns.sum(1).min() == 2  # its centre stays inside
    assert all((np.diff(np.flatnonzero(row)) == 1).all() for row in rows)


def test_flip_mirrors_left_and_right(augmented, images):
    np.testing.assert_array_equal(augmented(jax.random.key(11), images, "flip", 1.0), np.asarray(images)[:, :, ::-1])


def test_policy_as_text_and_as_tuple_are_the_same(augmented, images):
    text = augmented(jax.random.key(12), images, "color, cutout", 0.5)
    parts = augmented(jax.random.key(12), images, ("brightness", "saturation", "contrast", "cutout"), 0.5)
    np.testing.assert_array_equal(text, parts)
    np.testing.assert_array_equal(augment.augment(jax.random.key(12), images, ""), images)


def test_it_maps_over_members_with_their_own_probability(images):
    keys = jnp.broadcast_to(jax.random.key(13), (2,))
    out = jax.vmap(lambda key, p: augment.augment(key, images, "color", p))(keys, jnp.asarray([0.0, 1.0]))
    np.testing.assert_array_equal(out[0], images)
    np.testing.assert_allclose(out[1], augment.augment(jax.random.key(13), images, "color"), atol=1e-6)


def test_bad_arguments_are_named(images):
    with pytest.raises(ValueError, match="unknown operation in policy 'colour'; did you mean 'color'"):
        augment.augment(jax.random.key(0), images, ("colour",))


def test_probability_rises_when_the_critic_is_sure_and_falls_when_it_is_not():
    sure, guessing = jnp.asarray([3.0, 0.1, 2.0, 5.0]), jnp.asarray([3.0, -0.1, 2.0, -5.0])
    assert augment.update_probability(0.5, sure, speed=0.01) == pytest.approx(0.51)
    assert augment.update_probability(0.5, guessing, speed=0.01) == pytest.approx(0.49)
    # exactly at the target, 4 of 5 right, it stays
    held = augment.update_probability(0.5, jnp.asarray([1.0, 1.0, 1.0, 1.0, -1.0]), target=0.6, speed=0.01)
    assert held == pytest.approx(0.5)


def test_probability_stays_within_zero_and_one():
    assert augment.update_probability(0.995, jnp.ones(4), speed=0.01) == 1.0
    assert augment.update_probability(0.005, -jnp.ones(4), speed=0.01) == 0.0


def test_probability_steers_a_critic_to_the_target():
    # A critic whose sureness falls as augmentation grows: r = 1 - p, so r = 0.6 at p = 0.4.
    def move(probability, _):
        right = (jnp.arange(1000) + 0.5) / 1000 < 1 - probability / 2
        return augment.update_probability(probability, jnp.where(right, 1.0, -1.0), speed=0.01), None

    final, _ = jax.lax.scan(move, jnp.asarray(0.0), length=200)
    assert final == pytest.approx(0.4, abs=0.021)
