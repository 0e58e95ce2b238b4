"""Folders of images, CSV files, TensorFlow Datasets by name, and errors that say what to do."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from genloss_jax import data
from genloss_jax.data import tfds_images
from genloss_jax.data.images import fit
from genloss_jax.data.sources import ImageSource


def save(path, color, size=(8, 8), mode="RGB"):
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


@pytest.fixture
def folder(tmp_path):
    """Give a folder with 12 red images and 8 green ones, each class in its own subfolder."""
    for index in range(12):
        save(tmp_path / "red" / "deep" / f"{index:02}.png", (255, index, 0))
    for index in range(8):
        save(tmp_path / "green" / f"{index:02}.PNG", (index, 255, 0))
    return tmp_path


def test_folder_holds_out_a_tenth_and_labels_by_subfolder(load, folder):
    dataset = load("folder", path=str(folder))
    train, test = dataset.train.arrays(), dataset.test.arrays()
    assert (len(train["x"]), len(test["x"]), dataset.num_classes, dataset.shape) == (18, 2, 2, (8, 8, 3))
    x, labels = np.concatenate([train["x"], test["x"]]), np.concatenate([train["label"], test["label"]])
    assert labels.dtype == np.int32
    assert np.bincount(labels).tolist() == [8, 12]  # green before red
    np.testing.assert_array_equal(x[labels == 1][:, 0, 0, 0], 1.0)
    np.testing.assert_array_equal(x[labels == 0][:, 0, 0, 1], 1.0)
    np.testing.assert_array_equal(x[..., 2], -1.0)
    assert len({image.tobytes() for image in x}) == 20


def test_folder_without_subfolders_has_no_labels(load, tmp_path):
    for index in range(3):
        save(tmp_path / f"{index}.png", 51 * index, mode="L")
    dataset = load("folder", path=str(tmp_path))
    batch = dataset.train.arrays()
    assert list(batch) == ["x"]
    assert dataset.test is None  # fewer than ten
    np.testing.assert_allclose(batch["x"][:, 0, 0, 0], [-1.0, -0.6, -0.2], atol=1e-6)


def test_folder_crops_the_centre_and_resizes(load, tmp_path):
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 255  # the central square is white
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    x = load("folder", path=str(tmp_path), image_size=2).train.arrays()["x"]
    assert x.shape == (1, 2, 2, 3)
    assert (x == 1.0).all()


def test_folder_errors_name_path_and_file(load, tmp_path):
    with pytest.raises(ValueError, match="got '', which is not a folder"):
        load("folder")
    with pytest.raises(ValueError, match="nowhere', which is not a folder"):
        load("folder", path=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="found none under"):
        load("folder", path=str(tmp_path))
    save(tmp_path / "a.png", (0, 0, 0))
    (tmp_path / "b.png").write_bytes(b"this is no image")
    dataset = load("folder", path=str(tmp_path))
    with pytest.raises(ValueError, match=r"image '.*b\.png' cannot be read"):
        dataset.train.arrays()
    with pytest.raises(ValueError, match=r"b\.png"):
        data.stream(dataset.train, batch_size=2, seed=0).read(1)


def test_folder_with_a_truncated_image_names_it(load, tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    noise.save(tmp_path / "half.png")
    content = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"half\.png"):
        load("folder", path=str(tmp_path))


def test_images_of_different_sizes_need_an_image_size(load, tmp_path):
    save(tmp_path / "a.png", (0, 0, 0))
    save(tmp_path / "b.png", (0, 0, 0), size=(9, 8))
    with pytest.raises(ValueError, match=r"agree in size when image_size is 0, got \(8, 9, 3\) in .*b\.png"):
        load("folder", path=str(tmp_path)).train.arrays()
    assert load("folder", path=str(tmp_path), image_size=8).train.arrays()["x"].shape == (2, 8, 8, 3)


def test_fit_makes_grey_and_colour_and_drops_alpha():
    image = np.zeros((2, 2, 4), np.uint8)
    image[..., 0] = 255
    assert fit(image).tolist() == np.broadcast_to([255, 0, 0], (2, 2, 3)).tolist()
    assert fit(image, channels=1).tolist() == np.full((2, 2, 1), 76).tolist()  # 0.299 * 255
    assert fit(np.full((2, 2, 1), 9, np.uint8), channels=3).tolist() == np.full((2, 2, 3), 9).tolist()


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_images_are_decoded_once_if_they_may_be_kept(cache_bytes):
    decoded = []

    def decode(index):
        decoded.append(index)
        return np.full((2, 2, 1), 10 * index, np.uint8), index

    source = ImageSource(decode, 5, (2, 2, 1), labelled=True, cache_bytes=cache_bytes)
    for _ in range(2):
        batch = source.read(np.asarray([3, 1]))
        np.testing.assert_allclose(batch["x"][:, 0, 0, 0], [30 / 127.5 - 1, 10 / 127.5 - 1], rtol=1e-6)
        assert batch["label"].tolist() == [3, 1]
    assert decoded == ([3, 1] if cache_bytes else [3, 1, 3, 1])


def test_csv_is_read_as_it_is(load, tmp_path):
    points = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    file = tmp_path / "points.csv"
    np.savetxt(file, points, delimiter=",", header="x,y", comments="", fmt="%.9g")
    dataset = load("csv", path=str(file))
    x = np.concatenate([dataset.train.arrays()["x"], dataset.test.arrays()["x"]])
    assert (len(dataset.train), len(dataset.test), dataset.shape) == (18, 2, (2,))
    assert sorted(x.tolist()) == sorted(points.tolist())
    assert dataset.entropy is None
    assert dataset.log_prob is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n1,2\n3,four\n", "must be numbers, got '3,four' in line 3"),
        ("1,2\n3\n", "must have 2 numbers, got 1 in line 2"),
        ("1,2\n3,nan\n", "must be finite, got '3,nan' in line 2"),
        ("x,y\n", "found none in"),
    ],
)
def test_csv_errors_name_the_line(load, tmp_path, content, message):
    file = tmp_path / "points.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        load("csv", path=str(file))


def test_csv_missing_is_named(load):
    with pytest.raises(ValueError, match=r"got 'no\.csv', which is not a file"):
        load("csv", path="no.csv")


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Prepare a small labelled data set of TensorFlow Datasets, without TensorFlow, and give its folder."""
    with tfds_images.quiet():
        import tensorflow_datasets as tfds

        class GenlossTestStripes(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            pkg_dir_path = None

            def _info(self):
                image, label = tfds.features.Image(shape=(6, 8, 3)), tfds.features.ClassLabel(num_classes=3)
                features = tfds.features.FeaturesDict({"image": image, "label": label})
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(12), "validation": self._generate_examples(5)}

            def _generate_examples(self, num):
                for index in range(num):
                    buffer = io.BytesIO()
                    Image.new("RGB", (8, 6), (20 * index, 0, 255)).save(buffer, format="PNG")
                    yield index, {"image": io.BytesIO(buffer.getvalue()), "label": index % 3}

        folder = str(tmp_path_factory.mktemp("tfds"))
        GenlossTestStripes(data_dir=folder, file_format="array_record").download_and_prepare(file_format="array_record")
    return folder


def test_any_prepared_name_of_tensorflow_datasets_is_read(load, stripes):
    dataset = load("genloss_test_stripes", data_dir=stripes)
    assert (len(dataset.train), len(dataset.test), dataset.shape, dataset.num_classes) == (12, 5, (6, 8, 3), 3)
    batch = dataset.train.arrays()
    levels = np.round((batch["x"][:, 0, 0, 0] + 1) * 127.5 / 20).astype(int)
    assert sorted(levels.tolist()) == list(range(12))
    assert (batch["label"] == levels % 3).all()
    small = load("genloss_test_stripes", data_dir=stripes, image_size=4, channels=1)
    assert small.train.arrays(2)["x"].shape == (2, 4, 4, 1)


def test_stored_images_stream_through_threads_and_resume(load, stripes):
    source = load("genloss_test_stripes", data_dir=stripes).train
    stream = data.stream(source, batch_size=4, seed=0)
    epoch = stream.read(3)
    assert len({image.tobytes() for image in epoch["x"].reshape(12, 6, 8, 3)}) == 12
    state = stream.get_state()
    expected = stream.read(2)
    stream.set_state(state)
    np.testing.assert_array_equal(stream.read(2)["x"], expected["x"])


def test_mnist_is_read_by_name(load, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
    with tfds_images.quiet(), tfds.testing.mock_data(num_examples=7):
        dataset = load("mnist", image_size=32)
        batch = dataset.train.arrays()
    assert dataset.shape == (32, 32, 1)
    assert dataset.num_classes == 10
    assert batch["x"].shape == (7, 32, 32, 1)
    assert np.abs(batch["x"]).max() <= 1.0


@pytest.mark.parametrize(
    ("name", "nearest"), [("rign", "ring"), ("digts", "digits"), ("mnits", "mnist"), ("fashon_mnist", "fashion_mnist")]
)
def test_a_mistyped_name_gives_the_nearest_valid_one(load, name, nearest):
    with pytest.raises(ValueError, match=f"unknown dataset '{name}'; did you mean '{nearest}'"):
        load(name)


def test_a_name_like_nothing_gives_the_valid_ones(load):
    with pytest.raises(ValueError, match="unknown dataset '@@@'; valid: 'ring'"):
        load("@@@")


@pytest.mark.parametrize(
    ("download", "reason"), [(False, "data.download is off"), (True, "this machine has no network")]
)
def test_unprepared_data_end_at_once_in_a_sentence_that_says_what_to_do(load, tmp_path, monkeypatch, download, reason):
    monkeypatch.setattr(tfds_images, "_online", lambda: False)
    start = time.monotonic()
    with pytest.raises(ValueError, match=reason) as caught:
        load("cifar10", data_dir=str(tmp_path), download=download)
    assert time.monotonic() - start < 20
    assert "tfds-prepare" in str(caught.value)
    assert "data_dir" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_preparation_that_fails_says_why(load, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(self, **options):
        raise ModuleNotFoundError("***\nNo module named 'tensorflow'\n***")

    monkeypatch.setattr(tfds_images, "_online", lambda: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(ValueError, match="ModuleNotFoundError: No module named 'tensorflow'; prepare it once"):
        load("cifar10", data_dir=str(tmp_path), download=True)


def test_an_unknown_version_is_a_sentence(load, tmp_path):
    with pytest.raises(ValueError, match=r"'cifar10:99\.0\.0' is not known"):
        load("cifar10:99.0.0", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"), [({"image_size": -1}, "image_size must be 0"), ({"channels": 2}, "channels must be")]
)
def test_bad_options_are_named(load, options, message):
    with pytest.raises(ValueError, match=message):
        load("digits", **options)
