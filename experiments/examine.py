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


def report(values: dict[str, float], evaluator: metrics.Evaluator) -> str:
    """Lay out the values beside their floors, and below them what cannot be true."""
    alarms = evaluator.ruler.alarms(values) if evaluator.ruler else []
    return "\n".join([metrics.table(values, evaluator), *alarms])


def sampler(setup: training.Setup, num: int) -> Callable[[training.TrainState, jax.Array], jax.Array]:
    """Compile `(state, key) -> samples [num, ...]`, with the averaged parameters where there are any."""
    sample = jax.jit(partial(setup.objective.sample, num=num))
    return lambda state, key: sample(training.sampling_params(state), state.aux, key)


def examiner(setup: training.Setup, evaluator: metrics.Evaluator, config: Any) -> Examine:
    """Compile `state -> (metric values, picture)`: the same latents each time, so that pictures can be compared."""
    sample = sampler(setup, evaluator.num_samples)
    measure = training.measurer(setup, evaluator, config)
    real = _held_out(setup)

    def examine(state):
        samples = np.asarray(sample(state, jax.random.key(config.evaluation.seed)))
        values = measure(training.sampling_params(state), state.aux, samples)
        return values, pictures.picture(samples[: _shown(setup)], real)

    return examine


def real_picture(setup: training.Setup) -> pictures.Picture:
    """Draw as many held-out examples as a picture shows samples."""
    return pictures.picture(_held_out(setup))


def _shown(setup):
    return _SHOWN.get(len(setup.dataset.shape) + 1, 0)


def _held_out(setup):
    examples = setup.dataset.test or setup.dataset.train
    return examples.read(np.arange(min(len(examples), _shown(setup))))["x"]
