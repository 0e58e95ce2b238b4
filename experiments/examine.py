"""Look at a state: samples, their metrics, their picture."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from genloss_jax import metrics, training
from genloss_jax.training import pictures

# How many samples a picture shows, by the rank of a batch of them: a grid of images, or points.
_SHOWN = {4: 100, 2: 2500}

Examine = Callable[[training.TrainState], tuple[dict[str, float], np.ndarray]]


def sampler(setup: training.Setup, num: int) -> Callable[[training.TrainState, jax.Array], jax.Array]:
    """Compile `(state, key) -> samples [num, ...]`, with the averaged parameters where there are any."""
    sample = jax.jit(partial(setup.objective.sample, num=num))
    return lambda state, key: sample(training.sampling_params(state), state.aux, key)


def examiner(setup: training.Setup, evaluator: metrics.Evaluator, config: Any) -> Examine:
    """Compile `state -> (metric values, picture)`: the same latents each time, so that pictures can be compared."""
    sample = sampler(setup, evaluator.num_samples)
    held_out = setup.dataset.test or setup.dataset.train
    rank = len(setup.dataset.shape) + 1
    real = held_out.read(np.arange(min(len(held_out), _SHOWN.get(rank, 0))))["x"]

    def examine(state):
        samples = np.asarray(sample(state, jax.random.key(config.evaluation.seed)))
        return evaluator.evaluate(samples), pictures.picture(samples[: _SHOWN.get(rank)], real)

    return examine
