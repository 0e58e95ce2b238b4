"""What all divergences share: checks of batches, distances of pairs, a root with a finite slope."""

import jax.numpy as jnp


def check_batches(x, y, smallest=1):
    for name, batch in (("x", x), ("y", y)):
        if batch.ndim != 2 or batch.shape[0] < smallest:
            raise ValueError(f"{name} has shape {batch.shape}, expected [N, D] with N of at least {smallest}.")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y has shape {y.shape}, expected {x.shape[1]} columns to match x of shape {x.shape}.")


def squared_distances(x, y):
    # Differences before squares: |x|² + |y|² - 2 x·y is a matrix product but loses close pairs to cancellation.
    return jnp.sum((x[:, None, :] - y[None, :, :]) ** 2, axis=-1)


def distances(x, y):
    return safe_sqrt(squared_distances(x, y))


def safe_sqrt(value):
    """Take the root with gradient 0, instead of infinity, where the value is 0 (or negative by rounding)."""
    positive = value > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, value, 1)), 0)
