"""Train the members of a study together: `python -m experiments.ablate --config=configs/ablations/ring.py`.

Prints the plan, trains group by group, and ends with the verdict, a table and a report that opens offline. A study can
be killed at any moment; the same command goes on with it and gives the same table.

The same command on every host of a TPU slice or a cluster shares the study among them (docs/parallel.md).
"""

import importlib
import time
from functools import cache
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import command, remote
from genloss_jax import training
from genloss_jax._names import unknown
from genloss_jax.ablation import grid, report, results, statistics, study
from genloss_jax.training import processes

CONFIGS = Path("configs")


def run(
    settings: Any, workdir: str | Path, *, chunk: int = 0, threads: int = 0, dry_run: bool = False
) -> results.Results | None:
    """Train a study to the end, from where it was interrupted if it was.

    Of several processes (`training.processes`) all must call it, with a workdir that all of them see; the first speaks.

    Args:
        settings: see `configs/ablations/base.py`.
        workdir: directory of the study.
        chunk: members trained at once; 0 chooses by a measurement.
        threads: chunks that each process trains side by side; 0 for as many as a CPU has cores.
        dry_run: print the plan and stop.

    Returns:
        What came of it; None after a dry run.

    Raises:
        ValueError: if the study does not hold together, or the workdir belongs to another one.
    """
    prepared = study.prepare(settings, loader(settings.variant), chunk=chunk)
    first = processes.is_first()
    if first:
        print(study.describe(prepared), flush=True)
    if dry_run:
        return None
    done = trained = 0
    began = time.perf_counter()
    with training.Progress(prepared.member_steps, unit="member-step", quiet=not first) as progress:
        for stop in study.run(prepared, workdir, chunk=chunk, threads=threads):
            done += stop.advanced
            trained += stop.advanced if stop.seconds else 0
            failed = f", {stop.failed} failed" if stop.failed else ""
            rate = trained / (time.perf_counter() - began)
            progress.show(done, rate, f"{stop.chunk.name} step {stop.step}{failed}")
    found = results.load(workdir)
    if first:
        pages = report.write(found, Path(workdir) / "report")
        print(statistics.verdict_of(found).sentence)
        print(f"report: {pages.html}")
    # Those that end early give the others no more than --process_timeout.
    processes.wait("the report")
    return found


def loader(variant: str) -> grid.Load:
    """Give `name -> config` for the files in configs/."""

    @cache
    def load(name: str) -> ConfigDict:
        if not (CONFIGS / f"{name}.py").is_file():
            raise unknown("base config", name, [path.stem for path in CONFIGS.glob("*.py")])
        return importlib.import_module(f"{CONFIGS}.{name}").get_config(variant)

    return load


def define_flags() -> None:
    """Define what the command line takes."""
    config_flags.DEFINE_config_file(
        "config",
        None,
        "The study: a file such as configs/ablations/ring.py (append :smoke for a quick look). Its fields are flags "
        "too: --config.overrides.training.total_steps=1000",
    )
    flags.DEFINE_string(
        "workdir", None, "Where the study lives; several processes must all see it. An existing one is gone on with."
    )
    flags.DEFINE_integer("chunk", 0, "Members trained at once; 0 measures several sizes and takes the fastest.", 0)
    flags.DEFINE_integer(
        "threads", 0, "Chunks that a process trains side by side; 0 for as many as a CPU has cores.", 0
    )
    flags.DEFINE_bool("dry_run", False, "Print the plan, and stop.")


def main(values: flags.FlagValues) -> None:
    """Train what the flags say."""
    if values.config is None:
        raise ValueError("--config is missing; try --config=configs/ablations/ring.py")
    workdir = "" if values.dry_run else command.workdir(values)
    remote.refuse(workdir)
    run(values.config, workdir, chunk=values.chunk, threads=values.threads, dry_run=values.dry_run)


if __name__ == "__main__":
    command.start(main, define_flags, several_processes=True)
