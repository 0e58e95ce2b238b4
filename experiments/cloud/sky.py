"""Train through SkyPilot: `python -m experiments.cloud.sky --action=run --zone=... --topology=v5e-8 --config=...`.

Writes a task (https://docs.skypilot.co/en/latest/reference/yaml-spec.html) and launches it on TPU VMs
(https://docs.skypilot.co/en/latest/reference/tpu.html): SkyPilot finds the machines, copies this repository to each,
sets them up and starts the run on all. With `--managed` it also gets new machines when spot ones are taken away. The
project is the one that gcloud is configured with.
"""

import json
import shlex
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from experiments import command
from experiments.cloud import plan as plans
from experiments.cloud import topologies

ACTIONS = {
    "run": "get the machines, set them up and start the run; the same command goes on with it",
    "status": "list what there is",
    "logs": "follow the output",
    "stop": "end the run",
    "delete": "give the machines back, which ends what they cost",
}


class Machines(NamedTuple):
    """What SkyPilot is to find.

    Attributes:
        name: of the cluster, or of the managed job.
        zone: of Google Cloud, such as `us-west4-a`.
        topology: the slice, such as `v5e-64`.
        spot: cheaper, and may be taken away at any moment.
        managed: whether SkyPilot watches over the job and gets new machines for it.
    """

    name: str
    zone: str
    topology: str
    spot: bool = False
    managed: bool = False


def plan(actions: Sequence[str], machines: Machines, job: plans.Job) -> plans.Plan:
    """Plan actions.

    Args:
        actions: some of `ACTIONS`.
        machines: what to run on.
        job: what to run; only `run` looks at it.

    Returns:
        The steps.

    Raises:
        ValueError: if something is missing, unknown or out of place.
    """
    plans.check_actions(actions, ACTIONS)
    name = plans.check_name(machines.name)
    if machines.managed:
        others = {
            "status": ("sky", "jobs", "queue"),
            "logs": ("sky", "jobs", "logs", f"--name={name}"),
            "stop": ("sky", "jobs", "cancel", f"--name={name}", "--yes"),
            # The machines of a managed job go with it.
            "delete": ("sky", "jobs", "cancel", f"--name={name}", "--yes"),
        }
    else:
        others = {
            "status": ("sky", "status"),
            "logs": ("sky", "logs", name),
            "stop": ("sky", "cancel", name, "--all", "--yes"),
            "delete": ("sky", "down", name, "--yes"),
        }
    steps: plans.Plan = []
    for action in actions:
        steps += _run(machines, job) if action == "run" else [plans.Command(others[action], ACTIONS[action])]
    return steps


def _run(machines: Machines, job: plans.Job) -> plans.Plan:
    task = plans.File(plans.FOLDER / f"{machines.name}.yaml", task_of(machines, job), "the task")
    to = ("jobs", "launch", f"--name={machines.name}") if machines.managed else ("launch", f"--cluster={machines.name}")
    launch = ("sky", *to, "--yes", "--detach-run", str(task.path))
    return [task, plans.Command(launch, ACTIONS["run"])]


def task_of(machines: Machines, job: plans.Job) -> str:
    """Write the task.

    Args:
        machines: what to run on.
        job: what to run.

    Returns:
        YAML.

    Raises:
        ValueError: if something is missing, unknown or out of place.
    """
    plans.need(zone=(machines.zone, "us-west4-a"))
    topology = topologies.parse(machines.topology)
    plans.check_reachable(job)
    region = machines.zone.rpartition("-")[0]
    run = shlex.join(job.words(".venv/bin/python"))
    # A JSON string is a YAML string. What follows a bar is taken line by line.
    return f"""# {topology.chips} chips of {topology.generation.name} on {topology.machines} machines
name: {json.dumps(machines.name)}
resources:
  infra: {json.dumps(f"gcp/{region}/{machines.zone}")}
  accelerators: {json.dumps(f"tpu-{topology.accelerator_type}")}
  accelerator_args:
    runtime_version: {json.dumps(topology.generation.runtime)}
  use_spot: {json.dumps(machines.spot)}
workdir: .
setup: |
  bash experiments/cloud/setup.sh tpu
run: |
{textwrap.indent(run, "  ")}
"""


def define_flags() -> None:
    """Define what the command line takes."""
    plans.define_flags(ACTIONS)
    flags.DEFINE_string("zone", "", "Zone of Google Cloud that has such TPUs, such as us-west4-a.")
    flags.DEFINE_string("topology", "", topologies.HELP)
    flags.DEFINE_bool("spot", False, "Cheaper; may be taken away at any moment.")
    flags.DEFINE_bool("managed", False, "Let SkyPilot get new machines when these are taken away.")


def main(values: flags.FlagValues) -> None:
    """Do what the flags say."""
    machines = Machines(values.name, values.zone, values.topology, values.spot, values.managed)
    plans.carry_out(plan(values.action, machines, plans.job(values)), values.dry_run)


if __name__ == "__main__":
    command.start(main, define_flags)
