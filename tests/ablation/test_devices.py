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
    return on_devices(tmp_path_factory.mktemp("spread"))


def on_devices(workdir, *arguments):
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "ablation" / "spread_study.py"), str(workdir), *arguments],
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
    assert_same(results.load(spread[1]), results.load(tmp_path), 64)


def assert_same(together, alone, num_members):
    assert list(together.table.columns) == list(alone.table.columns) and len(together.table) > num_members
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


@pytest.mark.slow
def test_devices_share_the_batches_of_few_members(tmp_path):
    said, workdir = on_devices(tmp_path / "spread", "few")
    alone = study.prepare(spread_study.few(), ablate.loader("smoke"))
    for _ in study.run(alone, tmp_path / "alone", chunk=1, threads=1):
        pass
    assert_same(results.load(workdir), results.load(tmp_path / "alone"), 2)
    assert said["members"] == [1]
    # Gradients of both players, the critic's twice, and what the loss and the layers ask of the others.
    assert {operation for operation, *_ in said["exchanged"]} == {"all-reduce"}


@pytest.mark.parametrize(
    ("size", "num", "computed"), [(64, 8, 64), (20, 8, 24), (5, 8, 8), (4, 8, 4), (1, 8, 1), (7, 1, 7)]
)
def test_chunks_are_multiples_of_the_devices_unless_there_are_two_for_each_member(prepared, size, num, computed):
    cut = engine.cut(prepared.groups[0], size, num)
    assert cut.size <= computed and (cut.size % num == 0 or 2 * cut.size <= num)
    assert sorted(index for chunk in cut.chunks for index in chunk.members) == list(range(64))


@pytest.mark.parametrize(
    ("members", "examples", "devices", "shape"),
    [
        (64, 16, 8, (1, 8)),
        (12, 16, 8, (1, 6)),
        (7, 16, 4, None),
        (4, 16, 8, (2, 4)),
        (3, 16, 8, (2, 3)),
        (1, 16, 8, (8, 1)),
        (1, 12, 8, (6, 1)),
        (1, 7, 4, None),
        (5, 16, 1, None),
    ],
)
def test_devices_share_members_equally_or_the_batch_of_each(members, examples, devices, shape):
    mesh = parallel.member_mesh(members, examples, jax.devices()[:1] * devices)
    assert (mesh and mesh.devices.shape) == shape
