"""Predicted times against ones computed by hand from the published numbers."""

import pytest

from experiments import roofline
from experiments.cloud import topologies
from experiments.cloud.topologies import Topology
from experiments.roofline import BEST, WORST, Assumptions, StepCost

V5E = topologies.GENERATIONS["v5e"]  # 197e12 operations, 819e9 bytes of memory and 50e9 of a link in a second
PEAK = Assumptions(
    flops_share=1.0, memory_share=1.0, least_traffic=False, all_axes=True, seconds_per_hop=1e-6, overlapped=False
)
# On one v5e: 64 x 197e9 / 197e12 = 64 ms of arithmetic, 64 x 8.19e6 / 819e9 = 0.64 ms of memory, and
# 819e6 / 819e9 = 1 ms of memory for what is fixed.
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


def predict(name, assumptions=PEAK, cost=COST):
    return roofline.predict(cost, topologies.parse(name), assumptions)


def test_one_chip_takes_the_longer_of_arithmetic_and_memory_and_what_is_fixed():
    one = predict("v5e-1")
    assert one.compute_seconds == pytest.approx(0.064)
    assert one.memory_seconds == pytest.approx(0.00064)
    assert one.fixed_seconds == pytest.approx(0.001)
    assert one.all_reduce_seconds == 0.0
    assert one.step_seconds == pytest.approx(0.065)
    assert one.bound == "arithmetic"
    half = PEAK._replace(flops_share=0.5, memory_share=0.25)
    assert predict("v5e-1", half).step_seconds == pytest.approx(0.128 + 0.004)


def test_examples_are_shared_and_what_is_fixed_is_not():
    four = predict("v5e-4")
    assert four.compute_seconds == pytest.approx(0.016)
    assert four.fixed_seconds == pytest.approx(0.001)
    # Two lines of two chips: 2 x 50e9 bytes in a second; 2 x 3/4 x 100e6 / 100e9 = 1.5 ms. Two hops along each axis.
    assert four.bytes_seconds == pytest.approx(0.0015)
    assert four.hops_seconds == pytest.approx(2 * 4 * 1e-6)
    assert four.step_seconds == pytest.approx(0.0185)
    assert predict("v5e-4", PEAK._replace(overlapped=True)).step_seconds == pytest.approx(0.017)
    assert predict("v5e-4", PEAK._replace(all_axes=False)).bytes_seconds == pytest.approx(0.003)


def test_axes_that_are_rings_send_both_ways_and_go_half_as_far():
    # 8 x 16 chips of v5e: a line of 8 and a ring of 16.
    assert roofline.links(topologies.parse("v5e-128"), all_axes=True) == pytest.approx(50e9 + 100e9)
    assert roofline.links(topologies.parse("v5e-128"), all_axes=False) == pytest.approx(100e9)
    assert roofline.num_hops(topologies.parse("v5e-128")) == 2 * 7 + 2 * 8
    # 4 x 4 x 8 chips of v5p, where axes of a multiple of four are rings.
    assert roofline.links(topologies.parse("v5p-256"), all_axes=True) == pytest.approx(3 * 200e9)
    assert roofline.num_hops(topologies.parse("v5p-256")) == 2 * 2 + 2 * 2 + 2 * 4
    # 2 x 2 x 1.
    assert roofline.links(topologies.parse("v5p-8"), all_axes=True) == pytest.approx(2 * 100e9)


def test_the_bandwidth_of_a_pod_is_within_that_which_its_vendor_states():
    # 51.2 TB/s of all-reduce for 256 chips of v5e: 200 GB/s each, which is all its links, one way.
    pod = topologies.parse("v5e-256")
    assert roofline.links(pod, all_axes=True) == pytest.approx(51.2e12 / 256)


@pytest.mark.parametrize(
    ("changed", "bound"),
    [
        ({}, "arithmetic"),
        ({"bytes_per_example": 819e7}, "memory"),
        ({"bytes_fixed": 819e8}, "parameters"),
        ({"gradient_bytes": 1e12}, "links"),
        ({"num_all_reduces": 100_000}, "hops"),
    ],
)
def test_what_takes_longest_is_named(changed, bound):
    assert predict("v5e-4", cost=COST._replace(**changed)).bound == bound


def test_more_chips_than_examples_are_an_error():
    with pytest.raises(ValueError, match="v5e-128 has 128 chips, but a batch has 64 examples"):
        predict("v5e-128")


def test_a_batch_on_each_chip_scales_until_the_exchange_takes_as_long():
    one = roofline.predict(roofline.per_chip(COST, 64, 1), Topology(V5E, 1), PEAK)
    many = roofline.predict(roofline.per_chip(COST, 64, 256), topologies.parse("v5e-256"), PEAK)
    assert (many.chips, many.examples) == (256, 256 * 64)
    # All of the links: 2 x 255/256 x 100e6 / 200e9.
    assert many.all_reduce_seconds == pytest.approx(2 * 255 / 256 * 1e8 / 2e11)
    assert roofline.speedup(one, many) == pytest.approx(256 * 0.065 / (0.065 + many.all_reduce_seconds))


def test_two_moves_of_a_player_need_twice_the_examples():
    twice = COST._replace(batch_size=128)
    assert roofline.per_chip(twice, 8, 4)[:2] == (64, 32)


def test_examples_that_hide_the_exchange_take_as_long_as_it():
    pod = topologies.parse("v5e-64")
    examples = roofline.hiding_examples(COST, pod, PEAK)
    predicted = roofline.predict(roofline.per_chip(COST, 1, 64), pod, PEAK)
    assert examples * predicted.compute_seconds == pytest.approx(predicted.all_reduce_seconds)
    # An example takes 1 ms, and the exchange 2 x 63/64 x 1e8 / 1e11 s.
    assert examples == pytest.approx(2 * 63 / 64)


def test_scaling_stops_where_chips_are_half_as_useful_as_alone():
    slices = [each for each in topologies.slices(V5E) if each.chips <= 64]
    one = predict("v5e-1")
    predictions = [roofline.predict(COST, each, PEAK) for each in slices]
    useful = {each.chips: roofline.speedup(one, each) / each.chips for each in predictions}
    # 65 ms / (n x (64 ms / n + 1 ms + exchange)).
    assert useful[32] > 0.4 > useful[64]
    limit = roofline.stops_scaling(predictions, one)
    assert useful[limit] >= 0.5 > max(useful[chips] for chips in useful if chips > limit)
    assert roofline.stops_scaling(predictions[3:4], predictions[0], least=2.0) == 1


def test_a_measured_step_gives_the_shares_of_the_peaks_that_predict_it():
    known = roofline.calibrate(PEAK, COST, V5E, 0.26)
    assert (known.flops_share, known.memory_share) == (pytest.approx(0.25), pytest.approx(0.25))
    assert predict("v5e-1", known).step_seconds == pytest.approx(0.26)
    assert predict("v5e-1", roofline.calibrate(WORST, COST, V5E, 0.5)).step_seconds == pytest.approx(0.5)
    with pytest.raises(ValueError, match="measured_seconds must be positive, got 0"):
        roofline.calibrate(PEAK, COST, V5E, 0.0)


def test_chips_are_paid_for_together():
    assert roofline.chip_hours(0.036, 100_000, 64) == pytest.approx(64.0)


def test_at_least_the_state_and_the_gradients_are_read_and_written():
    # 2 x (400e6 + 100e6) / 819e9, where more was counted, and what was counted where that is less.
    more = COST._replace(bytes_fixed=819e8)
    least = PEAK._replace(least_traffic=True)
    assert predict("v5e-1", least, more).fixed_seconds == pytest.approx(1e9 / 819e9)
    assert predict("v5e-1", least).fixed_seconds == pytest.approx(0.001)


@pytest.mark.parametrize("name", ["v5e-1", "v5e-16", "v5e-64"])
def test_the_best_case_is_better_than_the_worst(name):
    assert predict(name, BEST).step_seconds < predict(name, WORST).step_seconds


def test_all_reduces_of_a_program_take_the_place_of_those_of_shapes():
    found = roofline.exchanging(COST, [60e6, 90e6, 50e6])
    # Twice the bytes, and three of them instead of two.
    assert predict("v5e-4", cost=found).bytes_seconds == pytest.approx(2 * predict("v5e-4").bytes_seconds)
    assert predict("v5e-4", cost=found).hops_seconds == pytest.approx(1.5 * predict("v5e-4").hops_seconds)
