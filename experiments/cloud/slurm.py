"""Train under SLURM: `python -m experiments.cloud.slurm --action=run --nodes=2 --gpus_per_node=8 --config=...`.

Writes a batch script (https://slurm.schedmd.com/sbatch.html) and submits it. JAX finds the processes of a job by itself
and gives each one GPU (https://docs.jax.dev/en/latest/multi_process.html), so there are as many tasks as GPUs. Before
the time limit SLURM asks the run to stop, which saves its step, and the script puts itself into the queue again.
"""

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from experiments import command
from experiments.cloud import plan as plans

ACTIONS = {
    "run": "submit the job",
    "status": "show where it stands",
    "logs": "follow its output",
    "stop": "cancel it",
}
# `training.Preemption`: a run that was asked to stop by SIGTERM has saved its step, and ends so.
_ASKED_TO_STOP = 143
_TIME = r"(\d+-)?\d{1,2}:\d{2}:\d{2}"


class Nodes(NamedTuple):
    """What SLURM is to give.

    Attributes:
        name: of the job.
        nodes: machines.
        gpus_per_node: and as many processes; 0 for one process on its CPU cores.
        time_limit: hours:minutes:seconds, with days and a dash before them if need be.
        partition: of the cluster; empty for its usual one.
        account: that pays; empty for the usual one.
        save_seconds: how long before the time limit the run is asked to stop.
    """

    name: str
    nodes: int
    gpus_per_node: int
    time_limit: str
    partition: str = ""
    account: str = ""
    save_seconds: int = 120


def plan(actions: Sequence[str], nodes: Nodes, job: plans.Job) -> plans.Plan:
    """Plan actions.

    Args:
        actions: some of `ACTIONS`.
        nodes: what to run on.
        job: what to run; only `run` looks at it.

    Returns:
        The steps.

    Raises:
        ValueError: if something is missing, unknown or out of place.
    """
    plans.check_actions(actions, ACTIONS)
    name = plans.check_name(nodes.name)
    others = {
        "status": ("squeue", f"--name={name}", "--me"),
        "logs": ("tail", "-n", "100", "-F", _log(nodes)),
        "stop": ("scancel", f"--name={name}", "--me"),
    }
    steps: plans.Plan = []
    for action in actions:
        steps += _run(nodes, job) if action == "run" else [plans.Command(others[action], ACTIONS[action])]
    return steps


def _log(nodes: Nodes) -> str:
    return str(plans.FOLDER / f"{nodes.name}.log")


def _run(nodes: Nodes, job: plans.Job) -> plans.Plan:
    script = plans.File(plans.FOLDER / f"{nodes.name}.sbatch", script_of(nodes, job), "the batch script")
    return [script, plans.Command(("sbatch", str(script.path)), ACTIONS["run"])]


def script_of(nodes: Nodes, job: plans.Job) -> str:
    """Write the batch script.

    Args:
        nodes: what to run on.
        job: what to run. Its workdir is a folder that all nodes see, or a bucket.

    Returns:
        A bash script.

    Raises:
        ValueError: if something is missing, unknown or out of place.
    """
    if nodes.nodes < 1:
        raise ValueError(f"--nodes must be at least 1, got {nodes.nodes}")
    if not re.fullmatch(_TIME, nodes.time_limit):
        raise ValueError(f"--time_limit must look like 08:00:00 or 2-00:00:00, got {nodes.time_limit!r}")
    options = {
        "job-name": nodes.name,
        "nodes": nodes.nodes,
        "ntasks-per-node": max(nodes.gpus_per_node, 1),
        "gpus-per-node": nodes.gpus_per_node,
        "time": nodes.time_limit,
        "partition": nodes.partition,
        "account": nodes.account,
        "output": _log(nodes),
        "open-mode": "append",
        # To the processes, not to this script.
        "signal": f"TERM@{nodes.save_seconds}",
    }
    asked = "\n".join(f"#SBATCH --{name}={value}" for name, value in options.items() if value)
    return f"""#!/usr/bin/env bash
{asked}
#SBATCH --requeue
set -uo pipefail
# Processes save together: the first to end must not take the others with it.
srun --kill-on-bad-exit=0 {shlex.join(job.words(".venv/bin/python"))}
code=$?
# Asked to stop, the run has saved its step: back into the queue, to go on from there.
if [ "$code" -eq {_ASKED_TO_STOP} ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def define_flags() -> None:
    """Define what the command line takes."""
    plans.define_flags(ACTIONS)
    flags.DEFINE_integer("nodes", 1, "Machines.")
    flags.DEFINE_integer(
        "gpus_per_node", 0, "GPUs of each, and as many processes; 0 for one process on its CPU cores.", 0
    )
    flags.DEFINE_string("time_limit", "08:00:00", "Hours:minutes:seconds, with days and a dash before them if need be.")
    flags.DEFINE_string("partition", "", "Partition of the cluster; empty for its usual one.")
    flags.DEFINE_string("account", "", "Account that pays; empty for the usual one.")
    flags.DEFINE_integer("save_seconds", 120, "How long before the time limit the run is asked to stop.", 1)


def main(values: flags.FlagValues) -> None:
    """Do what the flags say."""
    nodes = Nodes(
        values.name,
        values.nodes,
        values.gpus_per_node,
        values.time_limit,
        values.partition,
        values.account,
        values.save_seconds,
    )
    plans.carry_out(plan(values.action, nodes, plans.job(values)), values.dry_run)


if __name__ == "__main__":
    command.start(main, define_flags)
