"""The real command in several real processes: one run, whatever happens to them."""

import json
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from configs import gan_ring
from experiments import saved, train
from tests.experiments.together import ROOT, TIMEOUT, Together

pytestmark = pytest.mark.slow
# Plain gradient steps: Adam makes whole steps of rounding noise.
FIELDS = {
    "optimizer.name": "sgd",
    "training.total_steps": 6,
    "training.evaluate_every_steps": 6,
    "training.checkpoint_every_steps": 3,
}


def flags(**fields):
    return [
        "--config=configs/gan_ring.py:smoke",
        *(f"--config.{name}={value}" for name, value in {**FIELDS, **fields}.items()),
    ]


def alone(workdir, **fields):
    config = gan_ring.get_config("smoke").copy_and_resolve_references()
    config.update_from_flattened_dict({**FIELDS, **fields})
    return train.run(config.lock(), workdir)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_same(found, expected):
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert set(ours) == set(theirs)
        named = [name for name in theirs if theirs[name] is not None]
        np.testing.assert_allclose([ours[name] for name in named], [theirs[name] for name in named], 1e-5, 1e-5)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Give the metrics of eight steps on one device, gone on with after six."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    alone(workdir)
    six = workdir.with_name("six")
    shutil.copytree(workdir, six)
    alone(workdir, **{"training.total_steps": 8})
    return six, lines(workdir)


@pytest.mark.parametrize("fields", [{}, {"parallel.shard_state": True}, {"parallel.kind": "pmap"}])
def test_two_processes_train_the_run_of_one_and_one_goes_on_with_it(tmp_path, expected, fields):
    workdir = tmp_path / "run"
    with Together(2, workdir, *flags(**fields)) as run:
        assert run.wait() == [0, 0], run.said(0)[-3000:] + run.said(1)[-3000:]
    # One of them says and writes what there is to say and write.
    assert "2 processes with 4 devices" in run.said(0) and "better is" in run.said(0)
    assert "step 6/6" not in run.said(1) and "better is" not in run.said(1)
    assert len(list((workdir / "tensorboard").iterdir())) == 1
    assert [line["step"] for line in lines(workdir)] == list(range(1, 7))
    # Split states are written by all.
    written = [path.name for path in (workdir / "checkpoints" / "6" / "state").glob("ocdbt.process_*")]
    assert len(written) == (2 if "parallel.shard_state" in fields else 1)
    alone(workdir, **{**fields, "training.total_steps": 8})
    assert_same(lines(workdir), expected[1])


@pytest.mark.parametrize("fields", [{}, {"parallel.shard_state": True}])
def test_four_processes_go_on_with_the_run_of_one(tmp_path, expected, fields):
    workdir = tmp_path / "run"
    if fields:
        alone(workdir, **fields)
    else:
        shutil.copytree(expected[0], workdir)
    with Together(4, workdir, *flags(**{**fields, "training.total_steps": 8}), devices=1) as run:
        assert run.wait() == [0] * 4, run.said(0)[-3000:]
    assert "going on from step 6" in run.said(0)
    assert_same(lines(workdir), expected[1])


LONG = {
    "training.total_steps": 200,
    "training.log_every_steps": 5,
    "training.evaluate_every_steps": 0,
    "training.checkpoint_every_steps": 10,
}


def test_a_signal_to_one_process_saves_and_ends_all_and_the_run_goes_on_as_if_nothing_had_been(tmp_path):
    workdir, whole = tmp_path / "run", tmp_path / "whole"
    long = flags(**LONG, **{"parallel.shard_state": True})
    with Together(2, workdir, *long) as run:
        run.until(lambda: (workdir / "metrics.jsonl").is_file() and len(lines(workdir)) > 3)
        run.processes[1].send_signal(signal.SIGTERM)
        assert run.wait(60) == [143, 143], run.said(0)[-3000:] + run.said(1)[-3000:]
    step = lines(workdir)[-1]["step"]
    assert step < 200 and f"asked to stop: saved step {step}" in run.said(0)
    for path in (workdir, whole):
        with Together(2, path, *long) as run:
            assert run.wait() == [0, 0], run.said(0)[-3000:]
        assert (f"going on from step {step} " in run.said(0)) == (path == workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert_equal_states(workdir, whole)


@pytest.mark.parametrize("killed", [0, 1])
def test_the_death_of_one_process_ends_the_other_and_the_run_goes_on_from_its_checkpoint(tmp_path, killed):
    workdir = tmp_path / "run"
    with Together(2, workdir, *flags(**LONG)) as run:
        run.until(lambda: (workdir / "checkpoints" / "20").is_dir())
        run.processes[killed].kill()
        began = time.monotonic()
        code = run.processes[1 - killed].wait(3 * TIMEOUT)
        assert code != 0 and time.monotonic() - began < 2 * TIMEOUT
        assert "another task died" in run.said(1 - killed)
    alone(workdir, **LONG)
    assert [line["step"] for line in lines(workdir)] == list(range(5, 201, 5))


def assert_equal_states(first, second):
    states = [saved.load(path).state for path in (first, second)]
    numbers = [jax.device_get((state.params, state.opt_state, state.aux, state.ema)) for state in states]
    jax.tree.map(np.testing.assert_array_equal, *numbers)


def test_one_device_for_several_processes_is_refused(tmp_path):
    with Together(2, tmp_path / "run", *flags(**{"parallel.kind": "none"})) as run:
        assert run.wait(120) == [1, 1]
    assert "error: parallel.kind=none trains on one device, but this is one of 2 processes" in run.said(0)


def test_processes_find_each_other_where_slurm_started_them(tmp_path):
    with Together(2, tmp_path / "run", *flags(**{"training.total_steps": 1}), slurm=True) as run:
        assert run.wait() == [0, 0], run.said(0)[-3000:]
    assert "2 processes with 4 devices" in run.said(0)


@pytest.mark.parametrize("flag", ["num_processes=2", "process_id=0", "coordinator=localhost:1"])
def test_a_process_that_is_not_told_everything_says_so_in_one_sentence(flag):
    result = subprocess.run(
        [sys.executable, "-m", "experiments.train", *flags(), "--workdir=never", f"--{flag}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: of several processes each needs --coordinator, --num_processes and")
    assert result.stderr.count("\n") == 1
