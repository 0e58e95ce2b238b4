from types import SimpleNamespace

import jaxtyping
import numpy as np
import pytest

from genloss_jax.data import dataset, sources


def settings(**options):
    """The part of a config that evaluation reads."""
    defaults = {"num_samples": 0, "extractor": "auto", "cache_dir": "", "seed": 0}
    return SimpleNamespace(evaluation=SimpleNamespace(**{**defaults, **options}))


def in_memory(train, test=None, *, name="arrays", num_classes=0, **facts):
    """A dataset of arrays."""
    test_source = None if test is None else sources.ArraySource(test)
    return dataset.Dataset(name, sources.ArraySource(train), test_source, train["x"].shape[1:], num_classes, **facts)


def bars(rng, num, size=8):
    """Labelled images of class 0, a bright left half, and 1, a bright upper half, with noise."""
    labels = rng.integers(2, size=num).astype(np.int32)
    left = np.where(np.arange(size) < size / 2, 0.5, -0.5)
    clean = np.where(labels[:, None, None] == 0, left[None, None, :], left[None, :, None])
    images = np.clip(clean + 0.2 * rng.normal(size=(num, size, size)), -1, 1)
    return {"x": images[..., None].astype(np.float32), "label": labels}


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One folder for what is trained in this session."""
    return str(tmp_path_factory.mktemp("extractors"))


@pytest.fixture
def unchecked():
    """Switch the session's shape checks off, as they are for users."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
