"""Train on GKE through XPK: `python -m experiments.cloud.xpk --action=create,build,run --cluster=... --image=...`.

XPK makes clusters of TPU slices and queues jobs on them (https://github.com/AI-Hypercomputer/xpk, docs/usage). A job is
an image: `build` makes it from the Dockerfile beside this file and pushes it.
"""

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

from absl import flags

from experiments import command
from experiments.cloud import plan as plans
from experiments.cloud import topologies

ACTIONS = {
    "create": "make the cluster, with one slice",
    "build": "build the image and push it",
    "run": "queue the run",
    "status": "list what runs and waits",
    "logs": "follow the output of the first machine",
    "stop": "end the run",
    "delete": "delete the cluster, which ends what it costs",
}
# Preemption and maintenance end a job; started anew, it goes on from its last checkpoint.
_RESTARTS = 50


class Cluster(NamedTuple):
    """A cluster on GKE.

    Attributes:
        name: of the cluster.
        project: of Google Cloud.
        zone: where its TPUs stand, such as `us-west4-a`.
        topology: of its slices, such as `v5e-64`.
        image: of the container, with its registry, such as `my-registry/genloss`.
        spot: cheaper, and may be taken away at any moment.
        reservation: name of a reservation to take the TPUs from; empty for none.
    """

    name: str
    project: str
    zone: str
    topology: str
    image: str
    spot: bool = False
    reservation: str = ""


def plan(actions: Sequence[str], cluster: Cluster, name: str, job: plans.Job) -> plans.Plan:
    """Plan actions on a cluster.

    Args:
        actions: some of `ACTIONS`.
        cluster: the cluster.
        name: of the job.
        job: what to run; only `run` looks at it.

    Returns:
        The steps.

    Raises:
        ValueError: if something is missing, unknown or out of place.
    """
    plans.check_actions(actions, ACTIONS)
    plans.check_name(name)
    plans.need(
        project=(cluster.project, "my-project"),
        zone=(cluster.zone, "us-west4-a"),
        cluster=(cluster.name, "my-cluster"),
    )
    steps: dict[str, Callable[[], plans.Plan]] = {
        "create": lambda: [_create(cluster)],
        "build": lambda: _build(cluster),
        "run": lambda: [_run(cluster, name, job)],
        "status": lambda: [plans.Command(_xpk(cluster, "workload", "list"), "what runs and waits")],
        "logs": lambda: _logs(cluster, name),
        "stop": lambda: [plans.Command(_xpk(cluster, "workload", "delete", f"--workload={name}"), "end the run")],
        "delete": lambda: [plans.Command(_xpk(cluster, "cluster", "delete"), "delete the cluster")],
    }
    return [step for action in actions for step in steps[action]()]


def _xpk(cluster: Cluster, what: str, verb: str, *words: str) -> tuple[str, ...]:
    place = (f"--cluster={cluster.name}", f"--project={cluster.project}", f"--zone={cluster.zone}")
    return ("xpk", what, verb, *place, *words)


def _create(cluster: Cluster) -> plans.Command:
    topology = topologies.parse(cluster.topology)
    if cluster.spot and cluster.reservation:
        raise ValueError("--spot and --reservation exclude each other; give one of them")
    kind = "--spot" if cluster.spot else "--on-demand"
    if cluster.reservation:
        kind = f"--reservation={cluster.reservation}"
    words = (f"--tpu-type={topology.accelerator_type}", "--num-slices=1", kind)
    why = f"a cluster with {topology.chips} chips of {topology.generation.name} on {topology.machines} machines"
    return plans.Command(_xpk(cluster, "cluster", "create", *words), why)


def _image(cluster: Cluster) -> str:
    plans.need(image=(cluster.image, "my-registry/genloss"))
    return cluster.image


def _build(cluster: Cluster) -> plans.Plan:
    image = _image(cluster)
    build = ("docker", "build", "--file=experiments/cloud/Dockerfile", f"--tag={image}", ".")
    return [plans.Command(build, "the image"), plans.Command(("docker", "push", image), "push it")]


def _run(cluster: Cluster, name: str, job: plans.Job) -> plans.Command:
    topology = topologies.parse(cluster.topology)
    plans.check_reachable(job)
    words = (
        f"--workload={name}",
        f"--docker-image={_image(cluster)}",
        f"--tpu-type={topology.accelerator_type}",
        "--num-slices=1",
        f"--max-restarts={_RESTARTS}",
        f"--command={shlex.join(job.words('python'))}",
    )
    return plans.Command(_xpk(cluster, "workload", "create", *words), "queue the run")


def _logs(cluster: Cluster, name: str) -> plans.Plan:
    region = cluster.zone.rpartition("-")[0]
    credentials = ("gcloud", "container", "clusters", "get-credentials", cluster.name)
    # Labels of Kubernetes' JobSet, which XPK makes of a job.
    first = f"jobset.sigs.k8s.io/jobset-name={name},batch.kubernetes.io/job-completion-index=0"
    return [
        plans.Command((*credentials, f"--region={region}", f"--project={cluster.project}"), "let kubectl in"),
        plans.Command(("kubectl", "logs", f"--selector={first}", "--follow", "--tail=100"), "follow the output"),
    ]


def define_flags() -> None:
    """Define what the command line takes."""
    plans.define_flags(ACTIONS)
    flags.DEFINE_string("project", "", "Project of Google Cloud.")
    flags.DEFINE_string("zone", "", "Zone that has such TPUs, such as us-west4-a.")
    flags.DEFINE_string("cluster", "", "Name of the cluster.")
    flags.DEFINE_string("topology", "", topologies.HELP)
    flags.DEFINE_string("image", "", "Name of the container's image, with its registry.")
    flags.DEFINE_bool("spot", False, "Cheaper; may be taken away at any moment.")
    flags.DEFINE_string("reservation", "", "Reservation to take the TPUs from; empty for none.")


def main(values: flags.FlagValues) -> None:
    """Do what the flags say."""
    cluster = Cluster(
        values.cluster, values.project, values.zone, values.topology, values.image, values.spot, values.reservation
    )
    plans.carry_out(plan(values.action, cluster, values.name, plans.job(values)), values.dry_run)


if __name__ == "__main__":
    command.start(main, define_flags)
