"""The digits as TensorFlow Datasets files, and crops of the photographs."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from genloss_jax.data import digits


def rows(images, labels):
    """Give examples as a sorted list, to compare sets."""
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


def test_the_two_splits_together_are_scikit_learns_digits_exactly(load):
    dataset = load("digits")
    train, test = dataset.train.arrays(), dataset.test.arrays()
    original = load_digits()
    expected = (original.images[..., None] / 8 - 1).astype(np.float32)
    x = np.concatenate([train["x"], test["x"]])
    labels = np.concatenate([train["label"], test["label"]])
    assert x.dtype == np.float32
    assert labels.dtype == np.int32
    assert rows(x, labels) == rows(expected, original.target)
    assert (x.min(), x.max()) == (-1.0, 1.0)


def test_splits_are_stratified_fixed_and_of_the_documented_sizes(load):
    dataset = load("digits")
    train, test = dataset.train.arrays()["label"], dataset.test.arrays()["label"]
    assert (len(train), len(test), dataset.num_classes) == (1442, 355, 10)
    share = np.bincount(test) / (np.bincount(train) + np.bincount(test))
    assert (np.abs(share - 0.2) < 0.006).all()
    original = load_digits()
    threes = (original.images[original.target == 3][4::5, ..., None] / 8 - 1).astype(np.float32)
    found = dataset.test.arrays()["x"][test == 3]
    assert rows(found, [3] * len(found)) == rows(threes, [3] * len(threes))


def test_order_of_examples_is_the_same_on_every_machine(load):
    expected = "c1a8990add6132f3bcf2a9a5f7197b885b5befea5458accb879f2dd3e13b0999"
    digest = hashlib.sha256(load("digits").train.arrays()["label"].astype("<i4").tobytes()).hexdigest()
    assert digest == expected


@pytest.mark.parametrize("image_size", [16, 32])
def test_larger_digits_are_bilinear_interpolations(load, image_size):
    small, large = load("digits").test.arrays(8)["x"], load("digits", image_size=image_size).test.arrays(8)["x"]
    expected = jax.image.resize(small, (8, image_size, image_size, 1), "linear")
    np.testing.assert_allclose(large, expected, atol=1e-6)


def test_channels_repeat_the_grey_one(load):
    x = load("digits", channels=3).test.arrays(4)["x"]
    assert x.shape == (4, 8, 8, 3)
    assert (x == x[..., :1]).all()


def test_prepared_files_are_readable_by_name_through_tensorflow_datasets(digits_dir):
    import tensorflow_datasets as tfds

    digits.prepare(Path(digits_dir))
    builder = tfds.builder("sklearn_digits", data_dir=digits_dir)
    assert builder.info.splits["train"].num_examples == 1442
    assert builder.info.splits["test"].num_examples == 355
    assert builder.info.features["label"].num_classes == 10
    assert list(Path(digits_dir).rglob("*.array_record*"))


PREPARE = """
import json, pathlib, sys
from genloss_jax.data import digits
splits = digits._read(pathlib.Path(sys.argv[1]))
print(json.dumps([int(splits["train"][0].sum()), len(splits["test"][1]), "tensorflow" in sys.modules]))
"""


def test_processes_that_prepare_at_the_same_time_all_get_the_whole_data(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    found = [json.loads(output) for output, _ in outputs]
    assert found[0] == found[1]
    assert found[0][1:] == [355, False]
    assert [path.name for path in (tmp_path / "sklearn_digits").iterdir()] == ["1.0.0"]  # nothing left aside


def test_an_interrupted_preparation_is_not_taken_for_whole(tmp_path, monkeypatch):
    from genloss_jax.data import _digits_builder

    encode, calls = _digits_builder._png, []

    def fail_late(levels):
        calls.append(1)
        if len(calls) > 1500:
            raise KeyboardInterrupt
        return encode(levels)

    monkeypatch.setattr(_digits_builder, "_png", fail_late)
    with pytest.raises(KeyboardInterrupt):
        digits.prepare(tmp_path)
    monkeypatch.undo()
    assert digits.prepare(tmp_path).info.splits["train"].num_examples == 1442


def test_embedded_data_dir_follows_the_environment(monkeypatch):
    monkeypatch.setenv("GENLOSS_DATA_DIR", "/somewhere")
    assert digits.embedded_data_dir() == Path("/somewhere")
    monkeypatch.delenv("GENLOSS_DATA_DIR")
    assert digits.embedded_data_dir() == Path.home() / ".cache" / "genloss_jax"


def places(photos, crop):
    """Find the columns at which a crop occurs in the photographs, as bytes."""
    windows = np.lib.stride_tricks.sliding_window_view(photos, crop.shape[:2], axis=(1, 2))[..., 0, 0]
    candidates = np.argwhere((windows == crop[0, 0]).all(-1))
    size = len(crop)
    return [c for p, r, c in candidates if (photos[p, r : r + size, c : c + size] == crop).all()]


def test_photos_train_left_and_test_right_of_the_border(load):
    dataset = load("photos")
    photos = np.stack(load_sample_images().images)
    assert (len(dataset.train), len(dataset.test), dataset.shape) == (20_000, 2_000, (32, 32, 3))
    for source, allowed in ((dataset.train, range(480 - 31)), (dataset.test, range(480, 640 - 31))):
        for crop in source.arrays(5)["x"]:
            found = places(photos, np.round((crop + 1) * 127.5).astype(np.uint8))
            assert found
            assert set(found) <= set(allowed)


def test_photos_are_the_same_each_time_and_differ_from_each_other(load):
    first, again = load("photos").train.arrays(200)["x"], load("photos").train.arrays(200)["x"]
    np.testing.assert_array_equal(first, again)
    assert len({crop.tobytes() for crop in first}) == 200
    assert -1.0 <= first.min() < -0.9
    assert 0.9 < first.max() <= 1.0


def test_photos_of_other_sizes_and_grey(load):
    assert load("photos", image_size=64, channels=1).test.arrays(2)["x"].shape == (2, 64, 64, 1)
    with pytest.raises(ValueError, match="image_size of photos must be at most 160, got 161"):
        load("photos", image_size=161)
