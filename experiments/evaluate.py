"""Measure a trained run: `python -m experiments.evaluate --workdir=runs/digits --checkpoint=best`."""

from pathlib import Path

from absl import flags

from experiments import command, examine, saved
from genloss_jax import metrics

_WORKDIR = flags.DEFINE_string("workdir", None, "The run to measure.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "last", "last, best, or the number of a step.")


def run(workdir: str | Path, checkpoint: str = "last") -> dict[str, float]:
    """Measure a checkpoint, print the values beside those of real data, and return them.

    Args:
        workdir: directory that `experiments.train` wrote.
        checkpoint: "last", "best", or the number of a step.
    """
    found = saved.load(workdir, checkpoint)
    values, _ = examine.examiner(found.setup, found.evaluator, found.config)(found.state)
    print(f"step {found.step} of {workdir}, {found.evaluator.num_samples} samples")
    print(metrics.table(values, found.evaluator))
    return values


def main() -> None:
    """Measure what the flags say."""
    if not _WORKDIR.value:
        raise ValueError("--workdir is missing; try --workdir=runs/digits")
    run(_WORKDIR.value, _CHECKPOINT.value)


if __name__ == "__main__":
    command.start(main)
