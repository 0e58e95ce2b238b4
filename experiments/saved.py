"""A run on disk or in a bucket, ready to be looked at."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from experiments import remote
from genloss_jax import metrics, training


class Saved(NamedTuple):
    """A run: what it was made of, and its state at some step."""

    config: Any
    setup: training.Setup
    evaluator: metrics.Evaluator
    step: int
    state: training.TrainState


def checkpoints_of(workdir: str | Path, config: Any, evaluator: metrics.Evaluator) -> training.Checkpoints:
    """Open the checkpoints of a run, ranked by the evaluator's primary metric."""
    return training.Checkpoints(
        os.path.join(workdir, remote.CHECKPOINTS),
        keep_last=config.training.keep_last,
        keep_best=config.training.keep_best,
        metric=evaluator.primary,
        best={"lower": "min", "higher": "max"}[evaluator.directions[evaluator.primary]],
    )


def load(workdir: str | Path, checkpoint: str = "last") -> Saved:
    """Open the run of a workdir.

    Args:
        workdir: directory or `gs://bucket/path` that `experiments.train` wrote.
        checkpoint: "last", "best" by the evaluator's primary metric, or the number of a step.

    Raises:
        ValueError: if there is no run, or no such checkpoint.
    """
    with remote.records_of(workdir, writes=False) as kept:
        path = kept.local / "config.json"
        if not path.is_file():
            raise ValueError(f"workdir {str(workdir)!r} holds no run: there is no {path.name} in it")
        config = ConfigDict(json.loads(path.read_text())).lock()
    setup = training.from_config(config)
    evaluator = training.evaluator(setup, config)
    template = jax.eval_shape(lambda: setup.state(config.seed))
    with checkpoints_of(workdir, config, evaluator) as checkpoints:
        steps = checkpoints.steps()
        if checkpoint == "best":
            restored = checkpoints.restore_best(template)
        elif checkpoint == "last":
            restored = checkpoints.restore(template)
        elif checkpoint.isdigit() and int(checkpoint) in steps:
            restored = checkpoints.restore(template, int(checkpoint))
        else:
            raise ValueError(f"checkpoint must be last, best, or one of the steps {steps}, got {checkpoint!r}")
    if restored is None:
        raise ValueError(
            f"workdir {str(workdir)!r} holds no {checkpoint} checkpoint yet; it has those of steps {steps}"
        )
    return Saved(config, setup, evaluator, restored.step, restored.state)
