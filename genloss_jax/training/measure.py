"""What there is to measure of a state: its samples, and where the family has them its density, latents and classes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from genloss_jax import metrics
from genloss_jax.training.configured import Setup

Measure = Callable[[Any, Any, np.ndarray], dict[str, float]]


def evaluator(setup: Setup, config: Any) -> metrics.Evaluator:
    """Choose what to measure of a run: samples by what the data offers, the density and the classes where there are."""
    objective = setup.objective
    return metrics.evaluator(
        setup.dataset,
        config,
        log_prob_kind=objective.log_prob_kind if objective.log_prob else "",
        reconstructs=objective.reconstruct is not None,
        classifies=objective.class_logits is not None,
    )


def measurer(setup: Setup, evaluator: metrics.Evaluator, config: Any) -> Measure:
    """Compile what is measured.

    Args:
        setup: of the run.
        evaluator: what to measure, see `evaluator`.
        config: of the run; `config.evaluation.seed` seeds all draws.

    Returns:
        `(params, aux, samples [num_samples, ...]) -> {metric: value}`, with the parameters of `sampling_params`.
    """
    log_prob, reconstruct, class_logits = (
        None if function is None else jax.jit(function)
        for function in (setup.objective.log_prob, setup.objective.reconstruct, setup.objective.class_logits)
    )

    def measure(params, aux, samples):
        values = evaluator.evaluate(samples)
        if evaluator.ruler and log_prob:
            values |= evaluator.ruler.measure(partial(log_prob, params, aux))
        if evaluator.compare and reconstruct:
            key = jax.random.key(config.evaluation.seed)
            values |= evaluator.compare(reconstruct(params, aux, {"x": evaluator.held_out}, key))
        if evaluator.examination and class_logits:
            values |= evaluator.examination.measure(partial(class_logits, params, aux))
        return values

    return measure
