import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.data import digits, sources
from genloss_jax.metrics import _network, extractors
from tests.metrics.conftest import bars, in_memory

TINY = extractors.ClassifierRecipe(size=4, widths=(4, 8), num_features=6, total_steps=40, batch_size=32)


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    return in_memory(bars(rng, 400), bars(rng, 200), num_classes=2)


# --- The digits ---


@pytest.mark.parametrize("size", [8, 32])
def test_digits_extractor_names_at_least_ninety_seven_and_a_half_percent_of_held_out_digits(size, cache_dir):
    data = digits.load(size, data_dir=cache_dir)
    extractor = extractors.digits(data, cache_dir)
    assert extractor.accuracy >= 0.975
    features = extractor(data.train.arrays()["x"])
    assert features.shape == (1442, 32)
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(features.std(axis=0), 1.0, atol=1e-3)
    # The stated accuracy is one of the features too: a nearest class mean among them does nearly as well.
    train, test = data.train.arrays(), data.test.arrays()
    means = np.stack([features[train["label"] == label].mean(axis=0) for label in range(10)])
    nearest = np.linalg.norm(extractor(test["x"])[:, None] - means, axis=-1).argmin(axis=1)
    assert np.mean(nearest == test["label"]) > 0.95


# --- Training and cache ---


def test_classifier_learns_labels_that_can_be_learned_and_only_those(labelled, tmp_path):
    assert extractors.classifier(labelled, str(tmp_path), recipe=TINY).accuracy > 0.95
    rng = np.random.default_rng(1)
    arrays = labelled.train.arrays()
    shuffled = sources.ArraySource({"x": arrays["x"], "label": rng.permutation(arrays["label"])})
    guessing = extractors.classifier(labelled._replace(train=shuffled), str(tmp_path), recipe=TINY)
    assert 0.2 < guessing.accuracy < 0.8


def test_second_use_reads_the_cache_and_gives_the_same_bits(labelled, tmp_path, monkeypatch):
    first = extractors.classifier(labelled, str(tmp_path), recipe=TINY)
    monkeypatch.setattr(extractors, "_train", lambda *args: pytest.fail("trained again"))
    second = extractors.classifier(labelled, str(tmp_path), recipe=TINY)
    images = labelled.test.arrays()["x"]
    np.testing.assert_array_equal(first(images), second(images))
    assert (first.name, first.accuracy) == (second.name, second.accuracy)
    assert [path.suffix for path in (tmp_path / "extractors").iterdir()] == [".npz"]


def test_another_recipe_and_other_data_have_other_names(labelled):
    images, labels = (labelled.train.arrays()[name] for name in ("x", "label"))
    name = extractors._digest(TINY, images, labels, 2)
    assert extractors._digest(TINY, images.copy(), labels.copy(), 2) == name
    others = [
        extractors._digest(TINY._replace(seed=1), images, labels, 2),
        extractors._digest(TINY, images[::-1], labels, 2),
        extractors._digest(TINY, images, 1 - labels, 2),
        extractors._digest(TINY, images, labels, 3),
    ]
    assert len({name, *others}) == 5


def test_a_truncated_cache_file_is_replaced(labelled, tmp_path):
    first = extractors.classifier(labelled, str(tmp_path), recipe=TINY)
    path = tmp_path / "extractors" / f"{first.name}.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    second = extractors.classifier(labelled, str(tmp_path), recipe=TINY)
    images = labelled.test.arrays()["x"]
    np.testing.assert_array_equal(first(images), second(images))
    assert len(path.read_bytes()) == len(whole)


def test_cache_is_where_the_environment_says(labelled, tmp_path, monkeypatch):
    monkeypatch.setenv("GENLOSS_DATA_DIR", str(tmp_path))
    name = extractors.classifier(labelled, recipe=TINY._replace(total_steps=1)).name
    assert (tmp_path / "extractors" / f"{name}.npz").exists()


def test_without_held_out_images_no_accuracy_is_claimed(labelled, tmp_path):
    recipe = TINY._replace(total_steps=1)
    assert extractors.classifier(labelled._replace(test=None), str(tmp_path), recipe=recipe).accuracy is None


def test_images_without_labels_are_refused_with_the_remedy():
    unlabelled = in_memory({"x": np.zeros((10, 8, 8, 3), np.float32)})
    with pytest.raises(ValueError, match="'random_convolutions' needs no labels"):
        extractors.classifier(unlabelled)


# --- Random convolutions, and the choice ---


def test_random_convolutions_are_the_same_every_time_and_standardised():
    rng = np.random.default_rng(2)
    images = rng.uniform(-1, 1, (300, 16, 16, 3)).astype(np.float32)
    data = in_memory({"x": images})
    first, second = extractors.random_convolutions(data), extractors.auto(data)
    assert first.name == second.name
    assert first.name.startswith("random_convolutions-")
    features = first(images)
    assert features.shape == (300, 96)
    np.testing.assert_array_equal(features, second(images))
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(features.std(axis=0), 1.0, atol=1e-2)
    # Equal pixels in another order are other textures.
    pixels = images.reshape(300, 256, 3)[:, np.argsort(images[0, ..., 0].ravel())].reshape(images.shape)
    smooth = np.repeat(np.repeat(images[:, ::4, ::4], 4, axis=1), 4, axis=2)
    assert np.abs(first(pixels).mean(axis=0)).max() < np.abs(first(smooth).mean(axis=0)).max() / 5


def test_auto_takes_the_maker_registered_under_the_name_of_the_dataset_then_labels(labelled, monkeypatch):
    for name in ("digits", "classifier"):
        made = extractors.Extractor(name, np.asarray, None)
        monkeypatch.setitem(extractors.EXTRACTORS, name, lambda data, cache_dir, made=made: made)
    assert extractors.auto(labelled._replace(name="digits")).name == "digits"
    assert extractors.auto(labelled).name == "classifier"


# --- Parts ---


def test_area_average_by_a_whole_factor_is_the_mean_of_blocks():
    images = np.random.default_rng(3).normal(size=(2, 12, 8, 3)).astype(np.float32)
    expected = images.reshape(2, 4, 3, 4, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(_network.area_average(images, 4), expected, rtol=1e-5, atol=1e-6)


def test_area_average_by_a_broken_factor_shares_the_cut_pixels():
    row = np.array([1.0, 2.0, 4.0], np.float32).reshape(1, 1, 3, 1)
    images = np.repeat(row, 3, axis=1)
    # Two pixels out of three: each takes one whole and half of the middle.
    expected = np.array([(1.0 + 0.5 * 2.0) / 1.5, (0.5 * 2.0 + 4.0) / 1.5])
    np.testing.assert_allclose(_network.area_average(images, 2)[0, :, :, 0], np.stack([expected] * 2), rtol=1e-6)


def test_area_average_refuses_to_enlarge():
    with pytest.raises(ValueError, match="size is 9, expected at most"):
        _network.area_average(np.zeros((1, 8, 8, 1), np.float32), 9)


def test_warp_by_nothing_a_quarter_turn_and_whole_pixels_is_exact():
    images = jnp.asarray(np.random.default_rng(4).normal(size=(1, 6, 6, 2)).astype(np.float32))
    zero, ones, still = jnp.zeros(1), jnp.ones((1, 2)), jnp.zeros((1, 2))
    warp = jax.jit(extractors._warp)
    np.testing.assert_allclose(warp(images, zero, ones, still), images, atol=1e-6)
    turned = warp(images, zero + np.pi / 2, ones, still)
    expected = jnp.rot90(images, k=-1, axes=(1, 2))
    np.testing.assert_allclose(turned, expected, atol=1e-4)
    moved = warp(images, zero, ones, jnp.array([[1.0, 2.0]]))
    np.testing.assert_allclose(moved[:, :-1, :-2], images[:, 1:, 2:], atol=1e-5)
    np.testing.assert_allclose(moved[:, -1, :-2], images[:, -1, 2:], atol=1e-5)
