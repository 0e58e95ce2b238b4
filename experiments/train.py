"""Train what a config describes: `python -m experiments.train --config=configs/gan_digits.py --workdir=runs/digits`.

A run can be killed at any moment; the same command goes on from its last checkpoint, bit for bit. The workdir holds
config.json, versions.json, metrics.jsonl, timing.jsonl, TensorBoard events, checkpoints, pictures/ and samples.png;
it is a directory, or `gs://bucket/path` (experiments/cloud/README.md).

The same command on every host of a TPU slice or a cluster trains one run on all of them (docs/parallel.md).
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments import command, examine, remote, saved
from genloss_jax import training
from genloss_jax.training import pictures, processes, records

METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.png"
EVALUATION = "evaluation/"


def run(config: Any, workdir: str | Path) -> dict[str, float]:
    """Train to the end, from the newest checkpoint if there is one, and print what came of it.

    Of several processes (`training.processes`) all must call it, with a workdir that all of them see.

    Args:
        config: see `configs/base.py`.
        workdir: directory of the run, or `gs://bucket/path`.

    Returns:
        The metrics of the final state.

    Raises:
        ValueError: if the config does not hold together, or the workdir belongs to another run.
        NonFiniteError: if a loss or a gradient is not finite and the config says to stop.
        SystemExit: with 143 or 130 if the run was asked to stop by SIGTERM or SIGINT; it can be gone on with.
    """
    first = processes.is_first()
    setup = training.from_config(config)
    evaluator = training.evaluator(setup, config)
    with remote.records_of(workdir, writes=first) as kept:
        records.describe(kept.local, config, growing=_growing(config), write=first, known_as=str(workdir))
        kept.push()
        look = examine.examiner(setup, evaluator, config)
        with training.Preemption() as preemption:
            state, exit_code = _train(config, workdir, kept, setup, evaluator, look, preemption)
        if exit_code:
            sys.exit(exit_code)
        values, picture = look(setup.placement.gather(state))
        if first:
            pictures.save_png(kept.local / SAMPLES_FILE, picture)
            _report(evaluator, values, kept.local)
            print(f"samples: {os.path.join(workdir, SAMPLES_FILE)}")
    return values


def _train(config, workdir, kept, setup, evaluator, look, preemption) -> tuple[training.TrainState, int]:
    settings = config.training
    state = setup.state(config.seed)
    with (
        saved.checkpoints_of(workdir, config, evaluator) as checkpoints,
        training.Progress(settings.total_steps, quiet=not processes.is_first()) as progress,
        contextlib.ExitStack() as records_open,
    ):
        restored = checkpoints.restore(state)
        step, position, exit_code = 0, None, 0
        if restored is not None:
            step, state, position = restored.step, restored.state, restored.position
            progress.note(f"going on from step {step} of {workdir}")
        writer, timing = _writers(kept.local, step) if processes.is_first() else (records.Null(), records.Null())
        everything = records.Many(writer, timing)
        records_open.callback(everything.close)
        events = training.run(
            setup.step,
            state,
            setup.stream(config.seed),
            total_steps=settings.total_steps,
            stop_every={
                "log": settings.log_every_steps,
                "evaluate": settings.evaluate_every_steps,
                "checkpoint": settings.checkpoint_every_steps,
            },
            steps_per_dispatch=settings.steps_per_dispatch,
            on_nonfinite=settings.on_nonfinite,
            checkpoints=checkpoints,
            position=position,
            placement=setup.placement,
        )
        for event in events:
            state = event.state
            progress.update(event)
            if event.fault is not None:
                everything.rewind(event.step)
                continue
            values: dict[str, float] = {}
            scalars = dict(event.metrics) if "log" in event.due else {}
            if "evaluate" in event.due:
                values, picture = look(setup.placement.gather(state))
                scalars |= {f"{EVALUATION}{name}": value for name, value in values.items()}
                writer.image(event.step, "samples", picture)
            if scalars:
                writer.scalars(event.step, scalars)
                timing.scalars(event.step, {"seconds": event.seconds, "steps_per_second": event.steps_per_second})
            exit_code = processes.largest(preemption.exit_code)
            saving = "checkpoint" in event.due or exit_code
            if saving or "evaluate" in event.due:
                # Before the checkpoint: what goes on from it finds every line up to it.
                kept.push()
            if saving:
                checkpoints.save(event.step, state, event.position, values)
            if exit_code:
                progress.note(f"asked to stop: saved step {event.step}; the same command goes on from there")
                break
    return state, exit_code


def _writers(folder, step) -> tuple[records.Writer, records.Writer]:
    board = records.TensorBoard(folder / "tensorboard", step)
    lines = records.JsonLines(folder / METRICS_FILE, step)
    # Times are kept apart: two runs that do the same write the same metrics, byte for byte.
    timing = records.JsonLines(folder / "timing.jsonl", step)
    return records.Many(lines, records.Images(folder / "pictures", step), board), timing


def _growing(config) -> tuple[str, ...]:
    """Name the fields that a run may be gone on with at a larger value: annealed runs are made for their length."""
    annealed = any(path.shape != "none" for path in config.schedule.anneal.values())
    return () if annealed else ("total_steps",)


def _report(evaluator, values, folder) -> None:
    print(examine.report(values, evaluator))
    if evaluator.extractor:
        print(f"features: {evaluator.extractor}; {evaluator.num_samples} samples on each side")
    first = _first_evaluation(folder / METRICS_FILE)
    name = evaluator.primary
    if first and first["step"] and f"{EVALUATION}{name}" in first:
        print(f"{name} at step {first['step']}: {first[f'{EVALUATION}{name}']:.4g}, now: {values[name]:.4g}")


def _first_evaluation(path: Path) -> dict[str, float] | None:
    with path.open() as file:
        return next((line for line in map(json.loads, file) if any(name.startswith(EVALUATION) for name in line)), None)


def define_flags() -> None:
    """Define what the command line takes."""
    config_flags.DEFINE_config_file(
        "config",
        None,
        "What to train: a file such as configs/gan_digits.py (append :smoke for two quick steps). "
        "Its fields are flags too: --config.loss=hinge --config.penalty.weight=10",
    )
    flags.DEFINE_string(
        "workdir", None, "Where the run lives: a directory, or gs://bucket/path. An existing run is gone on with."
    )


def main(values: flags.FlagValues) -> None:
    """Train what the flags say."""
    if values.config is None:
        raise ValueError("--config is missing; try --config=configs/gan_digits.py")
    run(values.config, command.workdir(values))


if __name__ == "__main__":
    command.start(main, define_flags, several_processes=True)
