"""Each launcher's plan, piece by piece; what is missing is one clear sentence."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments.cloud import plan as plans
from experiments.cloud import sky, slurm, tpu, xpk

JOB = plans.Job(
    "train", "configs/gan_digits.py", "gs://my-bucket/runs/digits", "--config.seed=1 --config.data.path='a b'"
)
RUN = ["-m", "experiments.train", "--config=configs/gan_digits.py", "--workdir=gs://my-bucket/runs/digits"]
RUN += ["--config.seed=1", "--config.data.path=a b"]
SLICE = tpu.Slice("digits", "my-project", "us-west4-a", "v5e-64")
CLUSTER = xpk.Cluster("my-cluster", "my-project", "us-west4-a", "v5e-64", "my-registry/genloss")
MACHINES = sky.Machines("digits", "us-west4-a", "v5e-64")
NODES = slurm.Nodes("digits", 2, 8, "08:00:00")


def printed(plan, capsys):
    """Print a plan as --dry_run does, and read it back: the words of each command."""
    plans.carry_out(plan, dry_run=True)
    text = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


def test_create_asks_for_the_slice_through_the_queue(capsys):
    (words,) = printed(tpu.plan(["create"], SLICE, JOB), capsys)
    assert words[:5] == ["gcloud", "compute", "tpus", "queued-resources", "create"]
    assert words[5] == "digits"
    assert set(words[6:]) == {
        "--node-id=digits",
        "--accelerator-type=v5litepod-64",
        "--runtime-version=v2-alpha-tpuv5-lite",
        "--project=my-project",
        "--zone=us-west4-a",
    }


def test_create_asks_at_once_where_there_is_no_queue_and_for_spot_where_told(capsys):
    (words,) = printed(tpu.plan(["create"], SLICE._replace(queued=False, spot=True, runtime="base"), JOB), capsys)
    assert words[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "create", "digits"]
    assert {"--version=base", "--spot", "--accelerator-type=v5litepod-64"} <= set(words)
    assert not any(word.startswith(("--node-id", "--runtime-version")) for word in words)


def test_setup_copies_what_is_committed_to_all_machines_and_installs(capsys):
    pack, copy, install = printed(tpu.plan(["setup"], SLICE, JOB), capsys)
    archive = pack[3].removeprefix("--output=")
    assert pack == ["git", "archive", "--format=tar.gz", f"--output={archive}", "HEAD"]
    assert copy[:7] == ["gcloud", "compute", "tpus", "tpu-vm", "scp", archive, "digits:"]
    assert install[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "digits"]
    assert "--worker=all" in copy and "--worker=all" in install
    there = next(word for word in install if word.startswith("--command=")).removeprefix("--command=")
    assert [shlex.split(part) for part in there.split(" && ")] == [
        ["mkdir", "-p", "genloss_jax"],
        ["tar", "-xzf", Path(archive).name, "-C", "genloss_jax"],
        ["bash", "genloss_jax/experiments/cloud/setup.sh", "tpu"],
    ]


def test_run_starts_on_all_machines_and_words_survive_both_shells(capsys):
    (words,) = printed(tpu.plan(["run"], SLICE, JOB), capsys)
    assert {"--worker=all", "--project=my-project", "--zone=us-west4-a"} <= set(words)
    there = next(word for word in words if word.startswith("--command=")).removeprefix("--command=")
    enter, start = there.split(" && ")
    assert shlex.split(enter) == ["cd", "genloss_jax"]
    assert shlex.split(start) == ["bash", "experiments/cloud/start.sh", ".venv/bin/python", *RUN]


def test_several_actions_come_in_turn(capsys):
    words = printed(tpu.plan(["create", "wait", "logs", "stop", "delete"], SLICE, JOB, worker="3"), capsys)
    create, wait, logs, stop, delete = words
    assert create[4] == "create"
    assert wait == ["bash", "experiments/cloud/wait.sh", "digits", "my-project", "us-west4-a"]
    assert "--worker=3" in logs and "--command=tail -n 100 -F genloss_jax/run.log" in logs
    assert "--worker=all" in stop and "--command=bash genloss_jax/experiments/cloud/stop.sh" in stop
    assert delete[3:6] == ["queued-resources", "delete", "digits"]
    assert {"--force", "--quiet"} <= set(delete)


def test_a_slice_without_a_queue_is_described_and_deleted_as_a_machine(capsys):
    status, delete = printed(tpu.plan(["status", "delete"], SLICE._replace(queued=False), JOB), capsys)
    assert status[3:6] == ["tpu-vm", "describe", "digits"] and "--format=value(state)" in status
    assert delete[3:6] == ["tpu-vm", "delete", "digits"] and "--force" not in delete


def test_xpk_makes_a_cluster_builds_an_image_and_queues_a_job(capsys):
    create, build, push, run = printed(xpk.plan(["create", "build", "run"], CLUSTER, "digits", JOB), capsys)
    place = {"--cluster=my-cluster", "--project=my-project", "--zone=us-west4-a"}
    assert create[:3] == ["xpk", "cluster", "create"]
    assert set(create[3:]) == place | {"--tpu-type=v5litepod-64", "--num-slices=1", "--on-demand"}
    assert build == ["docker", "build", "--file=experiments/cloud/Dockerfile", "--tag=my-registry/genloss", "."]
    assert push == ["docker", "push", "my-registry/genloss"]
    assert run[:3] == ["xpk", "workload", "create"]
    *known, there = sorted(run[3:], key=lambda word: word.startswith("--command="))
    assert set(known) == place | {
        "--workload=digits",
        "--docker-image=my-registry/genloss",
        "--tpu-type=v5litepod-64",
        "--num-slices=1",
        "--max-restarts=50",
    }
    assert shlex.split(there.removeprefix("--command=")) == ["python", *RUN]


def test_a_study_is_queued_with_the_folder_where_a_bucket_is_mounted(capsys):
    study = JOB._replace(module="ablate", workdir="/bucket/runs/ring")
    (words,) = printed(xpk.plan(["run"], CLUSTER, "ring", study), capsys)
    there = next(word for word in words if word.startswith("--command=")).removeprefix("--command=")
    assert shlex.split(there)[1:] == [
        "-m", "experiments.ablate", RUN[2], "--workdir=/bucket/runs/ring", *RUN[4:]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "kind"), [({"spot": True}, "--spot"), ({"reservation": "mine"}, "--reservation=mine")]
)
def test_xpk_takes_capacity_as_told(changed, kind, capsys):
    (words,) = printed(xpk.plan(["create"], CLUSTER._replace(**changed), "digits", JOB), capsys)
    assert kind in words and "--on-demand" not in words


def test_xpk_follows_the_first_machine_and_ends_what_it_began(capsys):
    words = printed(xpk.plan(["status", "logs", "stop", "delete"], CLUSTER, "digits", JOB), capsys)
    status, credentials, logs, stop, delete = words
    assert status[:3] == ["xpk", "workload", "list"]
    assert "--region=us-west4" in credentials
    assert logs[:2] == ["kubectl", "logs"]
    first = "jobset.sigs.k8s.io/jobset-name=digits,batch.kubernetes.io/job-completion-index=0"
    assert f"--selector={first}" in logs
    assert stop[:3] == ["xpk", "workload", "delete"] and "--workload=digits" in stop
    assert delete[:3] == ["xpk", "cluster", "delete"]


def test_sky_launches_a_task_that_yaml_reads():
    task, launch = sky.plan(["run"], MACHINES._replace(spot=True), JOB)
    found = yaml.safe_load(task.text)
    assert found["name"] == "digits"
    assert found["resources"] == {
        "infra": "gcp/us-west4/us-west4-a",
        "accelerators": "tpu-v5litepod-64",
        "accelerator_args": {"runtime_version": "v2-alpha-tpuv5-lite"},
        "use_spot": True,
    }
    assert found["workdir"] == "."
    assert shlex.split(found["setup"]) == ["bash", "experiments/cloud/setup.sh", "tpu"]
    assert shlex.split(found["run"]) == [".venv/bin/python", *RUN]
    assert launch.words == ("sky", "launch", "--cluster=digits", "--yes", "--detach-run", str(task.path))


def test_sky_watches_over_a_managed_job():
    _, launch = sky.plan(["run"], MACHINES._replace(managed=True), JOB)
    assert launch.words[:4] == ("sky", "jobs", "launch", "--name=digits")
    logs, delete = sky.plan(["logs", "delete"], MACHINES._replace(managed=True), JOB)
    assert logs.words == ("sky", "jobs", "logs", "--name=digits")
    assert delete.words == ("sky", "jobs", "cancel", "--name=digits", "--yes")
    assert sky.plan(["delete"], MACHINES, JOB)[0].words == ("sky", "down", "digits", "--yes")


def test_slurm_submits_a_script_with_a_task_for_each_gpu_that_goes_back_into_the_queue():
    script, submit = slurm.plan(["run"], NODES._replace(partition="gpu"), JOB._replace(workdir="/shared/runs/digits"))
    subprocess.run(["bash", "-n"], input=script.text, text=True, check=True)
    asked = [line.removeprefix("#SBATCH ") for line in script.text.splitlines() if line.startswith("#SBATCH")]
    assert set(asked) == {
        "--job-name=digits",
        "--nodes=2",
        "--ntasks-per-node=8",
        "--gpus-per-node=8",
        "--time=08:00:00",
        "--partition=gpu",
        "--output=runs/cloud/digits.log",
        "--open-mode=append",
        "--signal=TERM@120",
        "--requeue",
    }
    (srun,) = (shlex.split(line) for line in script.text.splitlines() if line.startswith("srun"))
    assert srun[:3] == ["srun", "--kill-on-bad-exit=0", ".venv/bin/python"]
    assert "--workdir=/shared/runs/digits" in srun and srun[-1] == "--config.data.path=a b"
    assert submit.words == ("sbatch", str(script.path))


@pytest.mark.parametrize(("code", "requeued"), [(143, True), (1, False), (0, False)])
def test_slurm_goes_back_into_the_queue_only_after_a_saved_step(code, requeued, tmp_path):
    (tmp_path / "srun").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
    result = subprocess.run(["bash"], input=slurm.script_of(NODES, JOB), text=True, env=path, check=False)
    assert result.returncode == code
    assert (tmp_path / "asked").exists() == requeued
    assert not requeued or (tmp_path / "asked").read_text() == "requeue 7\n"


def test_slurm_without_gpus_has_one_task_on_each_node():
    text = slurm.script_of(NODES._replace(gpus_per_node=0), JOB)
    assert "--ntasks-per-node=1" in text and "--gpus-per-node" not in text


def test_other_actions_under_slurm_name_the_job():
    status, logs, stop = (step.words for step in slurm.plan(["status", "logs", "stop"], NODES, JOB))
    assert status == ("squeue", "--name=digits", "--me")
    assert logs[-1] == "runs/cloud/digits.log"
    assert stop == ("scancel", "--name=digits", "--me")


MISTAKES = {
    "tpu without an action": (lambda: tpu.plan([], SLICE, JOB), "--action is missing; valid: create, wait"),
    "tpu action": (lambda: tpu.plan(["crate"], SLICE, JOB), "unknown action 'crate'; did you mean 'create'"),
    "tpu project": (
        lambda: tpu.plan(["create"], SLICE._replace(project=""), JOB),
        "--project is missing; try --project=",
    ),
    "tpu zone": (
        lambda: tpu.plan(["create"], SLICE._replace(zone=""), JOB),
        "--zone is missing; try --zone=us-west4-a",
    ),
    "tpu topology": (lambda: tpu.plan(["create"], SLICE._replace(topology=""), JOB), "--topology is missing"),
    "tpu slice": (lambda: tpu.plan(["create"], SLICE._replace(topology="v5e-63"), JOB), "there is no 'v5e-63'"),
    "tpu name": (lambda: tpu.plan(["create"], SLICE._replace(name="My_TPU"), JOB), "--name must be .* got 'My_TPU'"),
    "tpu config": (lambda: tpu.plan(["run"], SLICE, JOB._replace(config="")), "--config is missing"),
    "tpu file": (
        lambda: tpu.plan(["run"], SLICE, JOB._replace(config="configs/gan_digit.py")),
        "no file 'configs/gan_digit.py'; did you mean 'configs/gan_digits.py'",
    ),
    "tpu workdir": (lambda: tpu.plan(["run"], SLICE, JOB._replace(workdir="")), "--workdir is missing; .*gs://"),
    "tpu bucket": (lambda: tpu.plan(["run"], SLICE, JOB._replace(workdir="runs/x")), "must lie in a bucket.*'runs/x'"),
    "tpu args": (lambda: tpu.plan(["run"], SLICE, JOB._replace(args="seed=1")), "--args: flags look like .*'seed=1'"),
    "xpk cluster": (lambda: xpk.plan(["run"], CLUSTER._replace(name=""), "digits", JOB), "--cluster is missing"),
    "xpk project": (lambda: xpk.plan(["run"], CLUSTER._replace(project=""), "digits", JOB), "--project is missing"),
    "xpk zone": (lambda: xpk.plan(["run"], CLUSTER._replace(zone=""), "digits", JOB), "--zone is missing"),
    "xpk image": (lambda: xpk.plan(["build"], CLUSTER._replace(image=""), "digits", JOB), "--image is missing"),
    "xpk bucket": (
        lambda: xpk.plan(["run"], CLUSTER, "digits", JOB._replace(workdir="gs://x")),
        "must lie in a bucket",
    ),
    "xpk both": (
        lambda: xpk.plan(["create"], CLUSTER._replace(spot=True, reservation="mine"), "digits", JOB),
        "--spot and --reservation exclude each other",
    ),
    "xpk study": (
        lambda: xpk.plan(["run"], CLUSTER, "digits", JOB._replace(module="ablate")),
        "where every machine has a bucket mounted, such as /bucket/runs/ring; got 'gs://my-bucket/runs/digits'",
    ),
    "xpk study without a workdir": (
        lambda: xpk.plan(["run"], CLUSTER, "digits", JOB._replace(module="ablate", workdir="")),
        "--workdir is missing; try --workdir=/bucket/runs/ring",
    ),
    "sky zone": (lambda: sky.plan(["run"], MACHINES._replace(zone=""), JOB), "--zone is missing"),
    "sky topology": (lambda: sky.plan(["run"], MACHINES._replace(topology=""), JOB), "--topology is missing"),
    "sky bucket": (lambda: sky.plan(["run"], MACHINES, JOB._replace(workdir="runs/x")), "must lie in a bucket"),
    "slurm nodes": (lambda: slurm.plan(["run"], NODES._replace(nodes=0), JOB), "--nodes must be at least 1, got 0"),
    "slurm time": (lambda: slurm.plan(["run"], NODES._replace(time_limit="8h"), JOB), "--time_limit must look like"),
    "slurm workdir": (lambda: slurm.plan(["run"], NODES, JOB._replace(workdir="")), "--workdir is missing"),
    "slurm study": (lambda: slurm.plan(["run"], NODES, JOB._replace(module="ablate")), "a study needs a folder"),
    "slurm config": (lambda: slurm.plan(["run"], NODES, JOB._replace(config="")), "--config is missing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_sentence(mistake):
    plan, says = MISTAKES[mistake]
    with pytest.raises(ValueError, match=says):
        plan()


def at_the_command_line(module, *args, **more):
    command = [sys.executable, "-m", f"experiments.cloud.{module}", "--dry_run", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)


def test_at_the_command_line_a_mistake_has_no_traceback_and_another_exit_code_than_0():
    result = at_the_command_line("tpu", "--action=run")
    assert result.returncode == 1
    assert result.stderr == "error: --project is missing; try --project=my-project\n"
    assert result.stdout == ""


PLACE = ["--project=my-project", "--zone=us-west4-a", "--topology=v5p-16", "--spot"]
WHAT = ["--config=configs/gan_digits.py", "--workdir=gs://my-bucket/runs/digits", "--args=--config.seed=1"]


@pytest.mark.parametrize(
    ("module", "args", "says"),
    [
        ("tpu", ["--action=create,run", *PLACE, *WHAT], ["--accelerator-type=v5p-16", "--spot", "--config.seed=1"]),
        ("xpk", ["--action=run", *PLACE, *WHAT, "--cluster=c", "--image=i"], ["--docker-image=i", "--config.seed=1"]),
        ("sky", ["--action=run", *PLACE[1:], *WHAT, "--managed"], ["tpu-v5p-16", "sky jobs launch", "--config.seed=1"]),
        ("slurm", ["--action=run", *WHAT, "--nodes=3"], ["#SBATCH --nodes=3", "sbatch runs/cloud", "--config.seed=1"]),
    ],
)
def test_at_the_command_line_a_dry_run_prints_the_plan_and_does_nothing(module, args, says):
    # There is nothing on the path that it could run.
    result = at_the_command_line(module, *args, env={"PATH": "/nowhere"})
    assert result.returncode == 0, result.stderr
    assert all(words in result.stdout for words in says), result.stdout
    assert not Path("runs/cloud").exists()


def test_a_plan_stops_where_a_command_fails(tmp_path, capsys):
    done = plans.Command(("touch", str(tmp_path / "done")), "first")
    fails = plans.Command(("false", "a b"), "second")
    never = plans.Command(("touch", str(tmp_path / "never")), "third")
    with pytest.raises(ValueError, match="ended with exit code 1, and nothing after it was run: false 'a b'"):
        plans.carry_out([done, fails, never], dry_run=False)
    assert (tmp_path / "done").exists() and not (tmp_path / "never").exists()


def test_a_missing_program_is_named():
    with pytest.raises(ValueError, match="there is no command 'gcloudd' here"):
        plans.carry_out([plans.Command(("gcloudd",), "try")], dry_run=False)


def test_a_file_is_written_as_a_dry_run_prints_it(tmp_path, capsys):
    file = plans.File(tmp_path / "a folder" / "task.yaml", "run: |\n  echo '$HOME'\n", "the task")
    plans.carry_out([file], dry_run=False)
    written = file.path.read_text()
    file.path.unlink()
    capsys.readouterr()
    plans.carry_out([file], dry_run=True)
    assert not file.path.exists()
    subprocess.run(["bash"], input=capsys.readouterr().out, text=True, check=True)
    assert file.path.read_text() == written == file.text
