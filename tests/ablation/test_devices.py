"""A study on several devices gives the table of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import ablate
from genloss_jax.ablation import engine, results, study
from genloss_jax.training import parallel
from tests.ablation import spread_study

ROOT = Path(__file__).resolve().parents[2]
DEVICES = 8
# The two losses have a chunk each: 32 members on eight devices.
PER_DEVICE = 4


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """Run the study on eight devices; give what the program said, and its directory."""
    workdir = tmp_path_factory.mktemp("spread")
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "ablation" / "spread_study.py"), str(workdir)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(DEVICES)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout), workdir


@pytest.fixture(scope="module")
def prepared():
    return study.prepare(spread_study.settings(), ablate.loader("smoke"))


@pytest.mark.slow
def test_table_is_that_of_one_device(spread, prepared, tmp_path):
    # As many members at once as each of the eight devices has.
    for _ in study.run(prepared, tmp_path, chunk=PER_DEVICE, threads=1):
        pass
    alone, together = results.load(tmp_path), results.load(spread[1])
    assert list(together.table.columns) == list(alone.table.columns) and len(together.table) > 64
    keys = ["member", "step", "metric"]
    assert together.table[keys].equals(alone.table[keys])
    np.testing.assert_allclose(together.table.value, alone.table.value, rtol=1e-5, atol=1e-6)
    assert together.members.drop(columns="group").equals(alone.members.drop(columns="group"))


@pytest.mark.slow
def test_devices_share_the_members_and_exchange_nothing(spread):
    said, workdir = spread
    assert said == {"devices": DEVICES, "exchanged": [], "members": [PER_DEVICE]}
    (placed,) = json.loads((workdir / "placement.json").read_text()).values()
    assert placed == {"chunk": 64, "devices": DEVICES}


@pytest.mark.parametrize(("size", "num", "computed"), [(64, 8, 64), (20, 8, 24), (1, 8, 8), (7, 1, 7)])
def test_chunks_are_multiples_of_the_devices(prepared, size, num, computed):
    cut = engine.cut(prepared.groups[0], size, num)
    assert cut.size % num == 0 and cut.size <= computed
    assert sorted(index for chunk in cut.chunks for index in chunk.members) == list(range(64))


@pytest.mark.parametrize(("members", "devices", "used"), [(64, 8, 8), (12, 8, 6), (7, 4, 1), (3, 8, 3), (5, 1, 1)])
def test_as_many_devices_are_used_as_share_members_equally(members, devices, used):
    assert len(parallel.member_devices(members, jax.devices()[:1] * devices)) == used
