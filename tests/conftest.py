"""The strict session: shapes are checked, ranks never promote silently, a key is used once, warnings are errors."""

import os

# Compiled programs are shared between tests, workers and sessions. Must be set before jax starts.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", os.path.join(os.path.expanduser("~"), ".cache", "genloss_jax", "xla")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

install_import_hook("genloss_jax", "beartype.beartype")


@pytest.fixture
def key():
    """Give the test its one random key."""
    return jax.random.key(0)
