"""Measure a trained run: `python -m experiments.evaluate --workdir=runs/digits --checkpoint=best`."""

from pathlib import Path

from absl import flags

from experiments import command, examine, saved


def run(workdir: str | Path, checkpoint: str = "last") -> dict[str, float]:
    """Measure a checkpoint, print the values beside those of real data, and return them.

    Args:
        workdir: directory or `gs://bucket/path` that `experiments.train` wrote.
        checkpoint: "last", "best", or the number of a step.
    """
    found = saved.load(workdir, checkpoint)
    values, _ = examine.examiner(found.setup, found.evaluator, found.config)(found.state)
    print(f"step {found.step} of {workdir}, {found.evaluator.num_samples} samples")
    print(examine.report(values, found.evaluator))
    return values


def define_flags() -> None:
    """Define what the command line takes."""
    flags.DEFINE_string("workdir", None, "The run to measure: a directory, or gs://bucket/path.")
    flags.DEFINE_string("checkpoint", "last", "last, best, or the number of a step.")


def main(values: flags.FlagValues) -> None:
    """Measure what the flags say."""
    run(command.workdir(values), values.checkpoint)


if __name__ == "__main__":
    command.start(main, define_flags)
