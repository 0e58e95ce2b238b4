"""The strict session: shapes are checked, ranks never promote silently, a key is used once, warnings are errors."""

import os

# Compiled programs, small ones too, are shared between tests, workers and sessions: a suite that finds them takes a
# third of the time. Must be set before jax starts.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", os.path.join(os.path.expanduser("~"), ".cache", "genloss_jax", "xla")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

jaxtyping.install_import_hook("genloss_jax", "beartype.beartype")


@pytest.fixture
def key():
    """Give the test its one random key."""
    return jax.random.key(0)


@pytest.fixture
def double():
    """Compute in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def unchecked():
    """Switch the session's shape checks off, as they are for users: the errors under test are those that they see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
