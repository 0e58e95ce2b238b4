"""A run spread over devices, or over pieces of a batch, is the run of one device with the whole batch."""

import importlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from genloss_jax import training
from genloss_jax.objectives.configured import FAMILIES
from genloss_jax.training import parallel
from tests.training import spread_runs
from tests.training.spread_runs import CASES

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("gan", "moves", "vae", "clip")
DEVICES = 8
# Cases that take long to compile leave split states to the quick ones.
KINDS = ("sharded", "pmap")
IN_PIECES = ("ddpm", "image_gpt", "ebm_nce", "glow")
HALF = ("dcgan", "vq_vae", "image_gpt", "glow", "ddpm", "jem")


def on_devices(*arguments, processes=1):
    """Run the program beside this file on eight devices, of one process or several; give the lines that it prints."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    devices = str(DEVICES // processes)
    started = [
        subprocess.Popen(
            [
                *(sys.executable, str(ROOT / "tests" / "training" / "spread_runs.py"), *arguments),
                *([f"process={index}/{processes}@{coordinator}"] if processes > 1 else []),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": devices},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(processes)
    ]
    said = [process.communicate(timeout=1500) for process in started]
    assert [process.returncode for process in started] == [0] * processes, said[0][1][-3000:]
    # Gloo speaks on standard output.
    return [json.loads(line) for line in said[0][0].splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def spread():
    """Give the lines of one program on eight devices, which takes long to start."""
    return on_devices(*QUICK, "collectives")


class TestDevices:
    def test_ten_steps_of_each_kind_are_those_of_one_device(self, spread):
        self.check(QUICK, [row for row in spread if "case" in row], spread_runs.KINDS)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", [name for name in CASES if name not in QUICK])
    def test_ten_steps_of_every_family_are_those_of_one_device(self, name):
        self.check([name], on_devices(name, f"kinds={','.join(KINDS)}"), KINDS)

    @pytest.mark.slow
    def test_ten_steps_of_two_processes_are_those_of_one_device(self):
        self.check(QUICK, on_devices(*QUICK, processes=2), spread_runs.KINDS)

    def check(self, names, rows, kinds):
        assert [(row["case"], row["kind"]) for row in rows] == [(name, kind) for name in names for kind in kinds]
        assert [row for row in rows if not row["difference"] < 1e-5] == []

    def test_every_family_is_among_those_compared(self):
        families = {importlib.import_module(f"configs.{base}").get_config().family for base, _ in CASES.values()}
        assert families == set(FAMILIES)

    @pytest.mark.parametrize("kind", ["sharded", "pmap"])
    @pytest.mark.parametrize("loss", ["non_saturating", "relativistic_average", "dual_contrastive"])
    def test_gradients_are_exchanged_once_for_each_player_and_activations_never(self, spread, kind, loss):
        (row,) = [row for row in spread if row.get("loss") == loss and row["kind"] == kind]
        critic, generator = row["players"]["discriminator"], row["players"]["generator"]
        # XLA's partitioner reduces the critic's gradient of data and that of samples, instead of their sum.
        gradients = generator + critic * (2 if kind == "sharded" else 1)
        sums = [size for operation, size in row["exchanged"] if operation == "all-reduce"]
        others = [(operation, size) for operation, size in row["exchanged"] if operation != "all-reduce"]
        # Beside gradients there are numbers: metrics, means of logits, logarithms of sums.
        numbers = sum(sums) - gradients
        assert 0 < numbers <= 64
        assert len([size for size in sums if size > 64]) == 2
        if loss == "non_saturating":
            assert len(sums) == 2
        if (loss, kind) == ("dual_contrastive", "pmap"):
            # The logits of both sides, and their gradients on the way back.
            own = 4 * spread_runs.BATCH
            assert set(others) == {("all-gather", own), ("reduce-scatter", own // DEVICES)}
        else:
            assert others == []


class TestConfig:
    def config(self, **fields):
        config = spread_runs.config_of("vae").copy_and_resolve_references()
        config.update_from_flattened_dict({f"parallel.{name}": value for name, value in fields.items()})
        return config.lock()

    def test_one_device_is_no_placement(self):
        assert parallel.from_config(self.config()).num_devices == 1
        assert parallel.from_config(self.config()).shardings is None

    @pytest.mark.parametrize("kind", ["sharded", "pmap"])
    def test_each_kind_on_one_device_is_the_run_without_it(self, kind):
        setup = training.from_config(self.config())
        placed = training.from_config(self.config(kind=kind))
        expected = spread_runs.run(setup.step, setup.state(0), setup.stream(0), setup.placement)
        found = spread_runs.run(placed.step, placed.state(0), placed.stream(0), placed.placement)
        assert spread_runs.worst(found, expected)[0] < 1e-6

    def test_errors_name_the_field(self):
        with pytest.raises(ValueError, match=r"unknown parallel\.kind 'shraded'; did you mean 'sharded'\?"):
            parallel.from_config(self.config(kind="shraded"))
        with pytest.raises(ValueError, match=r"parallel\.shard_state needs parallel\.kind=sharded"):
            parallel.from_config(self.config(kind="pmap", shard_state=True))
        with pytest.raises(ValueError, match=r"parallel\.micro_batches must be at least 1, got 0"):
            parallel.from_config(self.config(micro_batches=0))

    def test_a_batch_that_cannot_be_shared_is_refused_before_anything_is_compiled(self):
        with pytest.raises(ValueError, match=r"data\.batch_size is 12, which 8 devices cannot share equally.*of 8"):
            parallel._by_device(np.zeros((1, 12)), 8, 1, 1)
        with pytest.raises(ValueError, match=r"8 devices times 2 micro-batches \(parallel\.micro_batches\)"):
            parallel._by_device(np.zeros((1, 8)), 8, 1, 2)

    def test_devices_get_equal_parts_of_every_move(self):
        batches = np.arange(2 * 12).reshape(2, 12)
        by_device = parallel._by_device(batches, 3, 2, 1).reshape(2, 3, 2, 2)
        np.testing.assert_array_equal(by_device.swapaxes(1, 2).reshape(2, 12), batches)


class TestMicroBatches:
    @pytest.mark.parametrize("name", ["vae", *(pytest.param(name, marks=pytest.mark.slow) for name in IN_PIECES)])
    def test_pieces_of_a_batch_take_the_step_of_the_whole(self, name):
        def after(num):
            fields = {"parallel.micro_batches": num, "networks.normalization": "none"}
            setup = training.from_config(spread_runs.config_of(name, **fields))
            return spread_runs.run(setup.step, setup.state(0), setup.stream(0), setup.placement)

        assert spread_runs.worst(after(1), after(4))[0] < 1e-5

    def test_moves_and_players_have_pieces_of_their_own(self):
        def after(num):
            fields = {
                "loss": "hinge",
                "penalty.name": "wgan_gp",
                "penalty.weight": 0.1,
                "players.discriminator.moves": 2,
                "parallel.micro_batches": num,
            }
            setup = training.from_config(spread_runs.config_of("plane", **fields))
            return spread_runs.run(setup.step, setup.state(0), setup.stream(0), setup.placement)

        assert spread_runs.worst(after(1), after(2))[0] < 1e-5

    @pytest.mark.parametrize(
        ("fields", "what"),
        [
            ({"loss": "relativistic_average"}, "this relativistic loss"),
            ({"networks.normalization": "batch"}, "batch normalisation"),
            ({"networks.minibatch_stddev": True}, "the minibatch standard deviation"),
            ({"top_k": 0.5}, "top_k"),
            ({"penalty.name": "lecam", "penalty.weight": 0.1}, "the penalty lecam"),
        ],
    )
    def test_what_sees_all_examples_is_refused_by_name(self, fields, what):
        fields = {"loss": "hinge", "parallel.micro_batches": 2, **fields}
        setup = training.from_config(spread_runs.config_of("plane", **fields))
        batch = jax.tree.map(lambda leaf: leaf[0], setup.stream(0).read(1))
        with pytest.raises(ValueError, match=rf"parallel\.micro_batches is 2, but {what} sees all examples"):
            jax.eval_shape(setup.step, jax.eval_shape(setup.init, jax.random.key(0), batch, setup.hyper), batch)

    def test_pieces_that_do_not_divide_the_batch_are_refused(self):
        setup = training.from_config(spread_runs.config_of("vae", **{"parallel.micro_batches": 3}))
        batch = jax.tree.map(lambda leaf: leaf[0], setup.stream(0).read(1))
        state = jax.eval_shape(setup.init, jax.random.key(0), batch, setup.hyper)
        with pytest.raises(ValueError, match=r"batch has 16 examples, which 3 micro-batches \(parallel\.micro_"):
            jax.eval_shape(setup.step, state, batch)

    def test_clip_is_refused_by_name(self):
        init, step = spread_runs.clip(micro_batches=2)
        batch = jax.tree.map(lambda leaf: leaf[0], spread_runs.Stream().read(1))
        state = jax.eval_shape(init, jax.random.key(0), batch, {"learning_rate": 0.1})
        with pytest.raises(ValueError, match=r"parallel\.micro_batches is 2, but CLIP sees all examples"):
            jax.eval_shape(step, state, batch)


class TestPrecision:
    @pytest.mark.parametrize("name", ["gan", "vae", *(pytest.param(name, marks=pytest.mark.slow) for name in HALF)])
    def test_parameters_statistics_losses_and_gradients_stay_float32_and_near_those_of_float32(self, name):
        def after(precision):
            setup = training.from_config(spread_runs.config_of(name, **{"networks.precision": precision}))
            state, stream = setup.state(0), setup.stream(0)
            kinds = jax.tree.map(lambda leaf: leaf.dtype, state._replace(key=()))
            (event,) = training.run(setup.step, state, stream, total_steps=1, stop_every={}, steps_per_dispatch=1)
            assert jax.tree.map(lambda leaf: leaf.dtype, event.state._replace(key=())) == kinds
            return event.metrics

        full, half = after("float32"), after("bfloat16")
        assert set(full) == set(half)
        losses = [metric for metric in full if metric.endswith("/loss")]
        assert losses and all(half[metric] == pytest.approx(full[metric], rel=0.1, abs=0.1) for metric in losses)
        assert any(half[metric] != full[metric] for metric in full)

    def test_networks_multiply_in_half_precision(self):
        setup = training.from_config(spread_runs.config_of("gan", **{"networks.precision": "bfloat16"}))
        batch = jax.tree.map(lambda leaf: leaf[0], setup.stream(0).read(1))
        state = jax.eval_shape(setup.init, jax.random.key(0), batch, setup.hyper)
        program = str(jax.make_jaxpr(setup.step)(state, batch))
        products = re.findall(r":(\w+)\[[^\]]*\] = (?:dot_general|conv_general_dilated)\[", program)
        assert products and set(products) == {"bf16"}

    def test_an_unknown_precision_lists_the_valid_ones(self):
        with pytest.raises(ValueError, match=r"unknown networks\.precision 'bf16'.*'bfloat16', 'float32'"):
            training.from_config(spread_runs.config_of("gan", **{"networks.precision": "bf16"}))
