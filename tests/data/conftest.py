"""Configs of data sets, and the digits prepared once."""

from types import SimpleNamespace

import pytest

from genloss_jax import data


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """Give a folder that belongs to this session, into which the digits are prepared once."""
    return str(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def load(digits_dir):
    """Give `load(name, **options)`, with the defaults of a config."""

    def load(name, **options):
        fields = {"image_size": 0, "channels": 0, "path": "", "data_dir": "", "download": False}
        if name == "digits":
            fields["data_dir"] = digits_dir
        return data.load(SimpleNamespace(name=name, **(fields | options)))

    return load
