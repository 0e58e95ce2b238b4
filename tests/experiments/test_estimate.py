"""What XLA counts of a step is what can be counted by hand; an estimate says what follows from it."""

import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import pytest

from configs import gan_ring, image_gpt
from experiments import estimate
from experiments.cloud import topologies
from experiments.roofline import StepCost

M, K, N = 48, 32, 80


def test_a_product_of_matrices_takes_2mkn_operations_and_moves_its_three_matrices():
    a, b = jax.ShapeDtypeStruct((M, K), jnp.float32), jax.ShapeDtypeStruct((K, N), jnp.float32)
    for fused in (False, True):
        counted = estimate.analysis(jnp.matmul, a, b, fused=fused)
        assert counted == {"flops": 2 * M * K * N, "bytes": 4 * (M * K + K * N + M * N)}


def test_fusion_saves_what_lies_between_operations():
    x = jax.ShapeDtypeStruct((M, K), jnp.float32)
    written, fused = (estimate.analysis(lambda x: jnp.exp(2 * x) + 1, x, fused=fused) for fused in (False, True))
    assert written["flops"] == fused["flops"]
    # After it, x is read and the result is written.
    assert fused["bytes"] == 2 * 4 * M * K < written["bytes"]


def ring(**changed):
    config = gan_ring.get_config("smoke").unlock()
    config.update_from_flattened_dict(changed)
    return config.lock()


def test_parameters_gradients_and_state_of_a_small_pair_are_counted():
    config = ring()
    counted = estimate.count(config)
    width, latent, plane = config.networks.width, config.latent.dim, 2
    generator = (latent + 1) * width + (width + 1) * plane
    discriminator = (plane + 1) * width + (width + 1)
    assert counted.num_params == generator + discriminator
    assert counted.gradient_bytes == 4 * counted.num_params
    assert counted.num_all_reduces == 2
    assert (counted.batch_size, counted.max_chips) == (8, 8)
    # Parameters, Adam's two moments of both players, the average of the generator, and some scalars.
    arrays = 4 * (3 * counted.num_params + generator)
    assert arrays < counted.state_bytes < arrays + 200


def test_operations_grow_with_the_examples_by_those_of_the_networks():
    small, large = estimate.count(ring(), fused=False), estimate.count(ring(**{"data.batch_size": 64}), fused=False)
    assert large.flops_per_example == pytest.approx(small.flops_per_example, rel=0.02)
    assert large.flops > 4 * small.flops
    assert small.bytes_fixed > 0 and small.flops_fixed > 0


def test_more_moves_of_a_player_exchange_more_gradients_and_share_the_batch():
    one = estimate.count(ring(), fused=False)
    two = estimate.count(ring(**{"players.discriminator.moves": 2}), fused=False)
    assert two.num_all_reduces == 3
    assert (two.batch_size, two.max_chips) == (16, 8)
    extra = two.gradient_bytes - one.gradient_bytes
    assert 0 < extra < one.gradient_bytes
    twice = estimate.count(ring(**{"schedule.play": "extragradient"}), fused=False)
    assert twice.gradient_bytes == 2 * one.gradient_bytes
    assert twice.num_all_reduces == 4


def test_operations_of_a_transformer_are_near_six_for_each_parameter_and_token():
    # Forward 2, backward 4 (Kaplan et al. 2020); attention and the parts that are no product of matrices come on top.
    counted = estimate.count(image_gpt.get_config(), fused=False)
    tokens = 64
    assert 6 < counted.flops_per_example / (counted.num_params * tokens) < 9


COST = StepCost(
    batch_size=64,
    max_chips=64,
    num_params=25_000_000,
    state_bytes=400e6,
    gradient_bytes=100e6,
    num_all_reduces=2,
    flops_fixed=0.0,
    flops_per_example=197e9,
    bytes_fixed=819e6,
    bytes_per_example=8.19e6,
)


def request(name="v5e-64", **changed):
    return estimate.Request(topologies.parse(name), 100_000, **changed)


def test_a_report_has_a_line_for_each_slice_and_says_what_is_assumed():
    text = estimate.report(COST, request())
    lines = text.splitlines()
    assert lines[0].startswith("one step: 12.6 TFLOP, 1.34 GB moved, 64 examples")
    assert "25 M parameters; state 400 MB of the 16 GB of a chip; gradients 100 MB in 2 all-reduces" in lines[1]
    assert "60% of the peak of arithmetic and 80% of that of memory at best, 20% and 40% at worst" in text
    rows = [line.split() for line in lines if line.lstrip().startswith(("one chip", "v5e-"))]
    assert [row[0] for row in rows[1:]] == ["v5e-4", "v5e-8", "v5e-16", "v5e-32", "v5e-64"]
    assert rows[0][:3] == ["one", "chip", "64"]
    # 64 ms of arithmetic and 1 ms of memory, at 60 and 80 %, and at 20 and 40 %.
    assert float(rows[0][3]) == pytest.approx(64 / 0.6 + 1 / 0.8, rel=1e-3)
    assert float(rows[0][6]) == pytest.approx(64 / 0.2 + 1 / 0.4, rel=1e-3)
    assert "USD" not in text


def test_a_price_and_a_measured_time_are_used():
    text = estimate.report(COST, request("v5e-1", measured_ms=36.0, price_per_chip_hour_usd=2.0))
    assert "so that one chip takes the 36 ms measured" in text
    assert "100,000 steps on v5e-1 (1 chips, 1 machines): 1 to 1 hours, 1 to 1 chip-hours" in text
    assert "at 2 USD for an hour of a chip: 2 to 2 USD" in text


def test_a_batch_on_each_chip_may_have_more_chips_than_the_config_has_examples():
    with pytest.raises(ValueError, match=r"v5e-128 has 128 chips, but a batch has 64 examples; .*--batch_per_chip"):
        estimate.report(COST, request("v5e-128"))
    rows = estimate.predict_all(COST, request("v5e-128", batch_per_chip=64))
    assert [row.best.examples for row in rows] == [64 * row.topology.chips for row in rows]


def run(*args):
    command = [sys.executable, "-m", "experiments.estimate", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_at_the_command_line_an_estimate_is_printed():
    result = run("--config=configs/gan_ring.py:smoke", "--topology=v5p-16", "--batch_per_chip=32")
    assert result.returncode == 0, result.stderr
    assert "v5p-16" in result.stdout and "chip-hours" in result.stdout


def test_at_the_command_line_a_mistake_has_no_traceback_and_another_exit_code_than_0():
    result = run("--config=configs/gan_ring.py:smoke", "--topology=v5e-9")
    assert result.returncode == 1
    assert result.stderr.strip().startswith("error: there is no 'v5e-9'; slices of v5e are v5e-1, v5e-4,")
    assert len(result.stderr.strip().splitlines()) == 1


FLAGS = {
    "config": gan_ring.get_config("smoke"),
    "topology": "v5e-8",
    "shape": [],
    "batch_per_chip": 0,
    "measured_ms": 0.0,
    "price_per_chip_hour_usd": 0.0,
    "flops_share_best": 0.6,
    "flops_share_worst": 0.2,
}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"config": None}, "--config is missing; try --config=configs/gan_digits.py"),
        ({"topology": ""}, "--topology is missing; try --topology=v5e-8"),
        ({"topology": "v5e-16", "shape": ["2"]}, "v5e-16 has 16 chips, but a batch has 8 examples"),
        ({"shape": ["2", "x"]}, "--shape must be positive numbers such as 64,64,3; got 2,x"),
    ],
)
def test_a_mistake_is_one_clear_sentence(changed, says, monkeypatch):
    monkeypatch.setattr(estimate, "count", lambda config, dataset: COST._replace(max_chips=8))
    with pytest.raises(ValueError, match=says):
        estimate.main(types.SimpleNamespace(**(FLAGS | changed)))


def test_data_that_are_not_here_can_be_stood_in_for(tmp_path):
    from configs import dcgan_celeba64

    config = dcgan_celeba64.get_config("smoke").unlock()
    config.data.data_dir = str(tmp_path)
    with pytest.raises(ValueError, match="give --shape=64,64,3"):
        estimate.dataset_of(config, [])
    dataset = estimate.dataset_of(config, ["64", "64", "3"])
    assert dataset.train.arrays(1)["x"].shape == (1, 64, 64, 3)
