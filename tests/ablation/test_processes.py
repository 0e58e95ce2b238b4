"""A study that several processes share gives the table of one process, also where all of them were killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from configs.ablations import base
from experiments import ablate
from genloss_jax.ablation import dealing, engine, grid, planning
from genloss_jax.ablation.engine import Chunk, Cut
from tests.ablation import shared_study

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ("table.csv", "members.csv", "samples.npz")
SECONDS = 400  # for all processes to end, on a machine that has other work


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def python(*args):
    """Start a process."""
    return subprocess.Popen(
        [sys.executable, *args],
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(workdir, num):
    """Start a study in some processes."""
    command = [
        *("-m", "experiments.ablate", "--config=tests/ablation/shared_study.py", "--chunk=2", f"--workdir={workdir}"),
        *(f"--num_processes={num}", f"--coordinator=localhost:{free_port()}", "--process_timeout=20"),
    ]
    return [python(*command, f"--process_id={index}") for index in range(num)]


def finish(processes):
    """Wait for them; give what each has said."""
    said = [process.communicate(timeout=SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(said)
    return said


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Give what one process writes."""
    workdir = tmp_path_factory.mktemp("alone")
    finish(start(workdir, 1))
    return {name: (workdir / name).read_bytes() for name in WRITTEN}


@pytest.mark.slow
def test_two_processes_write_what_one_does(alone, tmp_path):
    first, second = finish(start(tmp_path, 2))
    assert {name: (tmp_path / name).read_bytes() for name in WRITTEN} == alone
    assert "member-step 4800/4800" in first and "report: " in first
    assert "shared" not in second and "member-step" not in second
    # Each has trained its own.
    for name, own in (("timing.jsonl", (0, 2)), ("timing_1.jsonl", (1, 3))):
        trained = {json.loads(line)["chunk"] for line in (tmp_path / name).read_text().splitlines()}
        assert trained == {f"{group}_{index}" for group in ("g0", "g1") for index in own}


@pytest.mark.slow
@pytest.mark.parametrize("num", [1, 3])
def test_a_study_killed_in_two_processes_goes_on_in_any_number(alone, tmp_path, num):
    processes = start(tmp_path, 2)
    deadline = time.monotonic() + SECONDS
    while len(list(tmp_path.glob("chunks/checkpoints/g0_[13]/*0"))) < 2 and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.communicate()
    # Process 1 was in the midst of its chunks, and others find their checkpoints.
    assert list(tmp_path.glob("chunks/checkpoints/g0_[13]/*0")) and not (tmp_path / "table.csv").exists()
    finish(start(tmp_path, num))
    assert {name: (tmp_path / name).read_bytes() for name in WRITTEN} == alone
    assert not list(tmp_path.glob("chunks/checkpoints/*"))


@pytest.mark.slow
def test_processes_wait_longer_than_they_may_take_to_connect():
    script = (
        "import sys, time; from genloss_jax.training import processes as p; index = int(sys.argv[1]); "
        "p.join(coordinator=sys.argv[2], num=2, index=index, timeout_seconds=20); "
        "time.sleep(0 if index else 35); p.wait('here')"
    )
    address = f"localhost:{free_port()}"
    finish([python("-c", script, str(index), address) for index in range(2)])


def chunks(name, num):
    return Cut(tuple(Chunk(f"{name}_{index}", (index,), 1) for index in range(num)), mixed=False)


def of_process(monkeypatch, index, num):
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(jax, "process_count", lambda: num)


@pytest.mark.parametrize("num", [1, 2, 3, 7])
def test_every_chunk_is_trained_by_one_process_and_the_load_is_even(monkeypatch, num):
    cuts = [chunks("g0", 1), chunks("g1", 1), chunks("g2", 5), chunks("g3", 3)]
    trained, loads = [], []
    for index in range(num):
        of_process(monkeypatch, index, num)
        shares = dealing.deal(cuts)
        for share, parts in zip(shares, cuts, strict=True):
            assert sorted((*share.own, *share.others)) == sorted(parts.chunks)
        loads.append(sum(len(share.own) for share in shares))
        trained += [chunk.name for share in shares for chunk in share.own]
    assert sorted(trained) == sorted(chunk.name for parts in cuts for chunk in parts.chunks)
    assert max(loads) - min(loads) <= 1


def planned(**overrides):
    settings = base.get_config()
    settings.name, settings.axes, settings.overrides = "study", {"seed": (0, 1, 2)}, overrides
    return planning.plan(grid.members(settings.lock(), ablate.loader("smoke")))


def test_what_others_train_is_told_as_it_is_recorded(tmp_path):
    (group,) = planned(training={"total_steps": 6})
    clock = [0.0]
    parts = engine.cut(group, 2)
    elsewhere = dealing.Elsewhere(tmp_path, [group], [parts.chunks], clock=lambda: clock[0])

    def record(chunk, step, faults=(), end="\n"):
        with (tmp_path / f"{chunk.name}.jsonl").open("a") as file:
            file.write(
                json.dumps({"step": step, "values": {}, "faults": {place: [1, "loss"] for place in faults}}) + end
            )

    def news(seconds):
        clock[0] += seconds
        return [(stop.chunk, stop.step, stop.advanced, stop.seconds, stop.failed) for stop in elsewhere.news()]

    first, last = parts.chunks
    record(first, 2)
    assert news(5.0) == [(first, 2, 4, 0.0, 0)]
    record(first, 4, faults=["0"])
    assert news(0.5) == []
    assert news(1.5) == [(first, 4, 4, 2.0, 1)]
    record(first, 6, end="")
    record(last, 6, faults=["1"])
    # The last chunk computes its last member twice.
    assert news(2.0) == [(last, 6, 6, 2.0, 0)]
    with (tmp_path / f"{first.name}.jsonl").open("a") as file:
        file.write("\n")
    clock[0] += 2.0
    assert [(stop.chunk, stop.step) for stop in elsewhere.rest()] == [(first, 6)]
    assert list(elsewhere.rest()) == []


def test_members_see_whole_batches_in_each_of_several_processes(monkeypatch):
    of_process(monkeypatch, 1, 2)
    (group,) = planned(parallel={"kind": "none"})
    assert group.setup.placement.num_devices == 1
    assert group.setup.placement.rows(group.setup.batch_size) is None


def test_the_study_has_two_groups_of_four_chunks():
    groups = planning.plan(grid.members(shared_study.get_config(), ablate.loader("smoke")))
    assert [len(engine.cut(group, 2).chunks) for group in groups] == [4, 4]
