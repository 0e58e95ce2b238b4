"""The trainer, killed: what it leaves in the end equals the uninterrupted run, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments import saved

CONFIG = [
    "--config=configs/gan_digits.py:smoke",
    "--config.training.total_steps=120",
    "--config.training.log_every_steps=5",
    "--config.training.evaluate_every_steps=20",
    "--config.training.checkpoint_every_steps=10",
]


def start(workdir):
    command = [sys.executable, "-m", "experiments.train", *CONFIG, f"--workdir={workdir}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(workdir):
    process = start(workdir)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return errors


def lines_of(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_after(workdir, lines):
    """Kill a run at once when it has written so many lines."""
    process = start(workdir)
    while process.poll() is None and lines_of(workdir) < lines:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0)


def assert_same_run(one, other):
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    states = [saved.load(workdir).state._replace(key=()) for workdir in (one, other)]
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.slow
def test_five_kills_at_random_steps_change_no_bit(tmp_path):
    finish(tmp_path / "whole")
    draws = random.Random(0)
    for _ in range(5):
        kill_after(tmp_path / "killed", lines_of(tmp_path / "killed") + draws.randint(1, 6))
    finish(tmp_path / "killed")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_a_truncated_newest_checkpoint_is_passed_over_with_a_message(tmp_path):
    finish(tmp_path / "whole")
    kill_after(tmp_path / "broken", 12)
    newest = max((path for path in (tmp_path / "broken" / "checkpoints").iterdir() if path.name.isdigit()),
                 key=lambda path: int(path.name))  # fmt: skip
    for path in newest.rglob("*"):
        if path.is_file() and path.stat().st_size > 100:
            os.truncate(path, path.stat().st_size // 2)
    errors = finish(tmp_path / "broken")
    assert f"the checkpoint of step {newest.name}" in errors
    assert "is damaged" in errors
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
