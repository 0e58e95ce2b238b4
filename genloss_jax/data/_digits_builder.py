"""scikit-learn's handwritten digits as a TensorFlow Datasets builder. Importing this imports tensorflow_datasets."""

import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

_TEST_FRACTION = 5  # every fifth digit of each class is held out


class SklearnDigits(tfds.core.GeneratorBasedBuilder):
    """The 1,797 handwritten digits (8x8, 17 grey levels) that ship with scikit-learn.

    Needs neither network nor TensorFlow. Grey level v of 0 to 16 is stored as round(v 255 / 16), which can be undone
    exactly. The split is stratified and fixed: within each class, in scikit-learn's order, every fifth digit is held
    out, which leaves 1,442 for training and 355 for testing.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  (the base class declares it so)
    pkg_dir_path = None

    def _info(self) -> tfds.core.DatasetInfo:
        # Built directly, because `dataset_info_from_configs` looks for a folder of metadata beside the builder.
        return tfds.core.DatasetInfo(
            builder=self,
            description="The 1,797 handwritten digits (8x8, 17 grey levels) that ship with scikit-learn.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html",
            citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        held_out = np.zeros(len(digits.target), bool)
        for label in range(10):
            held_out[np.flatnonzero(digits.target == label)[_TEST_FRACTION - 1 :: _TEST_FRACTION]] = True
        return {
            "train": self._generate_examples(digits, np.flatnonzero(~held_out)),
            "test": self._generate_examples(digits, np.flatnonzero(held_out)),
        }

    def _generate_examples(self, digits, indices: np.ndarray) -> Iterator[tuple[int, dict]]:
        for index in indices:
            yield (
                int(index),
                {"image": io.BytesIO(_png(digits.images[index])), "label": int(digits.target[index])},
            )


def _png(levels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.round(levels * (255 / 16)).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
