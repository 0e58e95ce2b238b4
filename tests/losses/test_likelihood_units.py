"""Bits per dimension, levels and bins, and the mu-law: conversions around the likelihoods."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import likelihood


def test_one_model_has_the_same_bits_whatever_the_scale_of_its_data():
    # The uniform distribution over 256 levels in 12 dimensions: 8 bits, and a nll of 12 times the log of the width.
    for width, num_bins in ((1.0, 256), (2.0, 256), (256.0, 256)):
        bits = likelihood.bits_per_dim(jnp.full(3, 12 * np.log(width)), 12, num_bins=num_bins, width=width)
        np.testing.assert_allclose(bits, np.full(3, 8.0), rtol=1e-6)
    np.testing.assert_allclose(likelihood.bits_per_dim(jnp.full(3, 12 * np.log(256)), 12, num_bins=1), 8.0, rtol=1e-6)


def test_rescaled_digits_are_not_137_nats_better():
    """A tutorial rescales its digits by 2/17 in some notebooks only: 64 ln 8.5 = 137.0 nats that no model earned."""
    nll = jnp.array([150.0])
    scaled = nll - 64 * np.log(8.5)
    np.testing.assert_allclose(nll - scaled, [136.96], rtol=1e-4)
    np.testing.assert_allclose(
        likelihood.bits_per_dim(scaled, 64, num_bins=17, width=2.0),
        likelihood.bits_per_dim(nll, 64, num_bins=17, width=17.0),
        rtol=1e-6,
    )


@pytest.mark.parametrize("num_bins", [2, 17, 256, 65_536])
def test_levels_go_to_their_bins_and_back_and_small_errors_do_not_move_them(num_bins):
    bins = jnp.arange(num_bins)
    levels = likelihood.from_bins(bins, num_bins=num_bins)
    np.testing.assert_allclose(levels, np.linspace(-1, 1, num_bins), atol=1e-7)
    for shift in (-0.49, 0.0, 0.49):
        moved = levels + shift * 2 / (num_bins - 1)
        np.testing.assert_array_equal(likelihood.to_bins(moved, num_bins=num_bins), bins)


def test_levels_of_the_digits_are_their_grey_values():
    grey = jnp.arange(17)
    np.testing.assert_array_equal(likelihood.to_bins(grey.astype(jnp.float32) / 8 - 1, num_bins=17), grey)


def test_half_precision_holds_256_levels():
    bins = jnp.arange(256)
    levels = likelihood.from_bins(bins, num_bins=256).astype(jnp.bfloat16)
    np.testing.assert_array_equal(likelihood.to_bins(levels, num_bins=256), bins)


@pytest.mark.parametrize("num_bins", [2, 255, 256, 65_536])
def test_mu_law_codes_survive_decoding_and_encoding(num_bins):
    codes = jnp.arange(num_bins)
    sound = likelihood.mu_law_decode(codes, num_bins=num_bins)
    assert np.all(np.diff(sound) > 0)
    np.testing.assert_array_equal(likelihood.mu_law_encode(sound, num_bins=num_bins), codes)


def test_mu_law_of_five_codes_is_the_formula_by_hand():
    middle = (np.sqrt(5) - 1) / 4
    expected = [-1.0, -middle, 0.0, middle, 1.0]
    np.testing.assert_allclose(likelihood.mu_law_decode(jnp.arange(5), num_bins=5), expected, rtol=1e-6)


def test_mu_law_rounds_to_the_nearest_code_of_the_compressed_sound():
    with jax.enable_x64(True):
        x = np.random.default_rng(0).uniform(-1, 1, 5000)
        decoded = np.asarray(likelihood.mu_law_decode(likelihood.mu_law_encode(jnp.asarray(x))))
    compressed, rounded = (np.sign(v) * np.log1p(255 * np.abs(v)) / np.log(256) for v in (x, decoded))
    assert np.max(np.abs(compressed - rounded)) <= 1 / 255 + 1e-12
    # A step near 0 is log(256)/255/255 of 2, near 1 it is 256 times as large.
    assert np.max(np.abs(x - decoded)) < 1.05 * np.log(256) / 255


def test_mu_law_of_the_ends_of_silence_and_of_what_is_too_loud():
    codes = likelihood.mu_law_encode(jnp.array([-2.0, -1.0, -1e-9, 0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(codes, [0, 0, 127, 128, 255, 255])
