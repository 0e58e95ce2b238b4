"""The real command on eight devices, gone on with on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs import gan_ring
from experiments import evaluate, train

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["auto", "pmap"])
def test_a_run_of_eight_devices_is_gone_on_with_on_one(tmp_path, kind):
    result = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.train"),
            *("--config=configs/gan_ring.py:smoke", f"--workdir={tmp_path / 'spread'}"),
            f"--config.parallel.kind={kind}",
        ],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    config = gan_ring.get_config("smoke").copy_and_resolve_references()
    config.parallel.kind = kind
    config.training.total_steps = 4
    expected = train.run(config.lock(), tmp_path / "alone")
    found = train.run(config, tmp_path / "spread")
    assert found == pytest.approx(expected, rel=1e-4)
    metrics = [json.loads(line) for line in (tmp_path / "spread" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2, 3, 4]
    assert evaluate.run(tmp_path / "spread") == pytest.approx(expected, rel=1e-4)
