"""Train on Cloud TPU VMs: `python -m experiments.cloud.tpu --action=create,wait,setup,run --project=... --zone=...`.

The commands are those of https://docs.cloud.google.com/sdk/gcloud/reference/compute/tpus: a queued resource asks for a
slice and waits for it, or `--queued=false` asks for it at once. What is committed in this repository is copied to every
machine of the slice and started on all of them, where it finds the others.
"""

import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments import command
from experiments.cloud import plan as plans
from experiments.cloud import topologies

ACTIONS = {
    "create": "ask for the slice",
    "wait": "until it is there",
    "status": "print the state it is in",
    "setup": "copy what is committed here to all its machines, and install",
    "run": "start the run on all of them; the same command goes on with it",
    "logs": "follow the output of one of them (--worker)",
    "stop": "save a step and end the run",
    "delete": "give the slice back, which ends what it costs",
}
# In the home directory of every machine.
_THERE = "genloss_jax"
_PYTHON = ".venv/bin/python"


class Slice(NamedTuple):
    """A slice of TPUs, and how it is asked for.

    Attributes:
        name: of the slice and of its queued resource.
        project: of Google Cloud.
        zone: where it stands, such as `us-west4-a`.
        topology: its name, such as `v5e-64`.
        spot: cheaper, and may be taken away at any moment.
        queued: whether it is asked for through a queue.
        runtime: software version; empty for the usual one of its generation.
    """

    name: str
    project: str
    zone: str
    topology: str
    spot: bool = False
    queued: bool = True
    runtime: str = ""


def plan(actions: Sequence[str], machines: Slice, job: plans.Job, *, worker: str = "0") -> plans.Plan:
    """Plan actions on a slice.

    Args:
        actions: some of `ACTIONS`.
        machines: the slice.
        job: what to run; only `run` looks at it.
        worker: the machine whose output `logs` follows, by its number, or `all`.

    Returns:
        The steps.

    Raises:
        ValueError: if something is missing, unknown or out of place.
    """
    plans.check_actions(actions, ACTIONS)
    plans.check_name(machines.name)
    plans.need(project=(machines.project, "my-project"), zone=(machines.zone, "us-west4-a"))
    steps: dict[str, Callable[[], plans.Plan]] = {
        "create": lambda: [_create(machines)],
        "wait": lambda: [_wait(machines)],
        "status": lambda: [_status(machines)],
        "setup": lambda: _setup(machines),
        "run": lambda: [_start(machines, job)],
        "logs": lambda: [_ssh(machines, f"tail -n 100 -F {_THERE}/run.log", "follow the output", worker)],
        "stop": lambda: [_ssh(machines, f"bash {_THERE}/experiments/cloud/stop.sh", "save and end the run")],
        "delete": lambda: [_delete(machines)],
    }
    return [step for action in actions for step in steps[action]()]


def _gcloud(machines: Slice, group: str, verb: str, *words: str) -> tuple[str, ...]:
    place = (f"--project={machines.project}", f"--zone={machines.zone}")
    return ("gcloud", "compute", "tpus", group, verb, *words, *place)


def _group(machines: Slice) -> str:
    return "queued-resources" if machines.queued else "tpu-vm"


def _create(machines: Slice) -> plans.Command:
    topology = topologies.parse(machines.topology)
    runtime = machines.runtime or topology.generation.runtime
    words = [machines.name, f"--accelerator-type={topology.accelerator_type}"]
    if machines.queued:
        words += [f"--node-id={machines.name}", f"--runtime-version={runtime}"]
    else:
        words.append(f"--version={runtime}")
    if machines.spot:
        words.append("--spot")
    why = f"ask for {topology.chips} chips of {topology.generation.name} on {topology.machines} machines"
    return plans.Command(_gcloud(machines, _group(machines), "create", *words), why)


def _wait(machines: Slice) -> plans.Command:
    if not machines.queued:
        # `tpu-vm create` returns when the slice is there.
        return _status(machines)
    words = ("bash", "experiments/cloud/wait.sh", machines.name, machines.project, machines.zone)
    return plans.Command(words, "wait until it is there")


def _status(machines: Slice) -> plans.Command:
    field = "value(state.state)" if machines.queued else "value(state)"
    words = _gcloud(machines, _group(machines), "describe", machines.name, f"--format={field}")
    return plans.Command(words, "the state it is in")


def _setup(machines: Slice) -> plans.Plan:
    archive = Path(tempfile.gettempdir()) / f"{_THERE}.tar.gz"
    unpack = f"mkdir -p {_THERE} && tar -xzf {archive.name} -C {_THERE} && bash {_THERE}/experiments/cloud/setup.sh tpu"
    return [
        plans.Command(
            ("git", "archive", "--format=tar.gz", f"--output={archive}", "HEAD"),
            "pack what is committed; changes that are not stay behind",
        ),
        plans.Command(
            _gcloud(machines, "tpu-vm", "scp", str(archive), f"{machines.name}:", "--worker=all"),
            "copy it to every machine",
        ),
        _ssh(machines, unpack, "unpack and install it on every machine"),
    ]


def _start(machines: Slice, job: plans.Job) -> plans.Command:
    plans.check_reachable(job)
    run = shlex.join(job.words(_PYTHON))
    return _ssh(machines, f"cd {_THERE} && bash experiments/cloud/start.sh {run}", "start the run on every machine")


def _ssh(machines: Slice, there: str, why: str, worker: str = "all") -> plans.Command:
    words = _gcloud(machines, "tpu-vm", "ssh", machines.name, f"--worker={worker}", f"--command={there}")
    return plans.Command(words, why)


def _delete(machines: Slice) -> plans.Command:
    # A queued resource that holds a slice is only deleted by force; the slice goes with it.
    words = (machines.name, "--quiet", *(["--force"] if machines.queued else []))
    return plans.Command(_gcloud(machines, _group(machines), "delete", *words), "give it back")


def define_flags() -> None:
    """Define what the command line takes."""
    plans.define_flags(ACTIONS)
    flags.DEFINE_string("project", "", "Project of Google Cloud.")
    flags.DEFINE_string("zone", "", "Zone that has such TPUs, such as us-west4-a.")
    flags.DEFINE_string("topology", "", topologies.HELP)
    flags.DEFINE_bool("spot", False, "Cheaper; may be taken away at any moment.")
    flags.DEFINE_bool("queued", True, "Ask through a queue, and wait; or get it at once or not at all.")
    flags.DEFINE_string("runtime", "", "Software version of the machines; empty for the usual one.")
    flags.DEFINE_string("worker", "0", "The machine whose output is followed: a number, or all.")


def main(values: flags.FlagValues) -> None:
    """Do what the flags say."""
    machines = Slice(
        values.name, values.project, values.zone, values.topology, values.spot, values.queued, values.runtime
    )
    plans.carry_out(plan(values.action, machines, plans.job(values), worker=values.worker), values.dry_run)


if __name__ == "__main__":
    command.start(main, define_flags)
