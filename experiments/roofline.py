"""How long a training step takes on a slice of TPUs, on paper: arithmetic alone, so that it can be checked by hand.

A step is split over n chips by its examples. What it costs a chip is linear in the examples that the chip has:

    cost(n) = fixed + per_example * batch_size / n

The fixed part (parameters that layers read, optimisers, moving averages) is every chip's own, whatever their number.
Then

    roof(part)    = max(flops / (flops_share * peak), bytes / (memory_share * bandwidth))
    local(n)      = roof(fixed) + roof(per_example * batch_size / n)
    all_reduce(n) = max(2 (n - 1) / n * gradient_bytes / links, num_all_reduces * hops * seconds_per_hop)
    step(n)       = max(local, all_reduce) if one hides behind the other, else local + all_reduce

The all-reduce is that of rings along the axes of the slice, as https://jax-ml.github.io/scaling-book/sharding has it:
an axis that is a ring sends both ways at once, and its hops are about half those of an axis that is a line.
"""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.cloud.topologies import Generation, Topology


class StepCost(NamedTuple):
    """What one step asks for, whatever it runs on.

    Attributes:
        batch_size: examples of a step, on all chips together.
        max_chips: examples of one move of one player: more chips cannot share it.
        num_params: of all players.
        state_bytes: of parameters, optimisers, averages and all else that a run keeps.
        gradient_bytes: what is all-reduced in a step. From shapes it is the gradients, summed over all moves of all
            players; from a compiled program it is all that the program sums (`exchanging`).
        num_all_reduces: from shapes, one for each move of each player.
        flops_fixed: floating-point operations that every chip does.
        flops_per_example: and those for each example.
        bytes_fixed: bytes between a chip and its memory that every chip moves.
        bytes_per_example: and those for each example.
    """

    batch_size: int
    max_chips: int
    num_params: int
    state_bytes: float
    gradient_bytes: float
    num_all_reduces: int
    flops_fixed: float
    flops_per_example: float
    bytes_fixed: float
    bytes_per_example: float

    @property
    def flops(self) -> float:
        """Floating-point operations of a whole step on one chip."""
        return self.flops_fixed + self.flops_per_example * self.batch_size

    @property
    def bytes_accessed(self) -> float:
        """Bytes that a whole step moves on one chip."""
        return self.bytes_fixed + self.bytes_per_example * self.batch_size


class Assumptions(NamedTuple):
    """What a prediction rests on, beside published peaks.

    Attributes:
        flops_share: of the peak of arithmetic, that is reached.
        memory_share: of the peak of memory, likewise.
        least_traffic: whether the fixed part moves no more than it must, the state and the gradients once in and once
            out, or as much as was counted.
        all_axes: whether an all-reduce uses the links of all axes at once, or of the best one alone.
        seconds_per_hop: from a chip to its neighbour, for a message of no length.
        overlapped: whether the all-reduce hides behind the rest of the step, or follows it.
    """

    flops_share: float
    memory_share: float
    least_traffic: bool
    all_axes: bool
    seconds_per_hop: float
    overlapped: bool


# The scaling book gives 1 us for a hop, and a measurement in which three of them took 8.
BEST = Assumptions(
    flops_share=0.6, memory_share=0.8, least_traffic=True, all_axes=True, seconds_per_hop=1e-6, overlapped=True
)
WORST = Assumptions(
    flops_share=0.2, memory_share=0.4, least_traffic=False, all_axes=False, seconds_per_hop=2.7e-6, overlapped=False
)


class Prediction(NamedTuple):
    """What a step takes on a slice.

    Attributes:
        chips: of the slice.
        examples: of a step, on all chips together.
        compute_seconds: of the arithmetic for the examples.
        memory_seconds: of the traffic for them between chips and their memory.
        fixed_seconds: of what is every chip's own: parameters that layers read, optimisers, averages.
        bytes_seconds: of the all-reduces, for what they carry.
        hops_seconds: of the all-reduces, for how far they go.
        overlapped: whether they hide behind the rest.
    """

    chips: int
    examples: int
    compute_seconds: float
    memory_seconds: float
    fixed_seconds: float
    bytes_seconds: float
    hops_seconds: float
    overlapped: bool

    @property
    def local_seconds(self) -> float:
        """Time of a step without its all-reduces."""
        return max(self.compute_seconds, self.memory_seconds) + self.fixed_seconds

    @property
    def all_reduce_seconds(self) -> float:
        """Time of the all-reduces."""
        return max(self.bytes_seconds, self.hops_seconds)

    @property
    def step_seconds(self) -> float:
        """Time of a step."""
        both = self.local_seconds, self.all_reduce_seconds
        return max(both) if self.overlapped else sum(both)

    @property
    def bound(self) -> str:
        """Name what takes longest: arithmetic, memory, parameters (what is fixed), links (bandwidth) or hops."""
        parts = {
            "arithmetic": self.compute_seconds,
            "memory": self.memory_seconds,
            "parameters": self.fixed_seconds,
            "links": self.bytes_seconds,
            "hops": self.hops_seconds,
        }
        return max(parts, key=lambda name: parts[name])


def predict(cost: StepCost, topology: Topology, assumptions: Assumptions) -> Prediction:
    """Predict a step.

    Args:
        cost: of the step.
        topology: the slice.
        assumptions: what to rest on.

    Returns:
        The prediction.

    Raises:
        ValueError: if there are more chips than examples.
    """
    if topology.chips > cost.max_chips:
        raise ValueError(
            f"{topology.name} has {topology.chips} chips, but a batch has {cost.max_chips} examples; "
            "take fewer chips, or examples for each with --batch_per_chip"
        )
    return Prediction(
        topology.chips,
        cost.batch_size,
        *_local_seconds(cost, topology.generation, cost.batch_size / topology.chips, assumptions),
        bytes_seconds(cost.gradient_bytes, topology, all_axes=assumptions.all_axes),
        cost.num_all_reduces * num_hops(topology) * assumptions.seconds_per_hop,
        assumptions.overlapped,
    )


def calibrate(assumptions: Assumptions, cost: StepCost, chip: Generation, measured_seconds: float) -> Assumptions:
    """Change the shares of the peaks, both by one factor, so that a measured step is predicted.

    Args:
        assumptions: to change.
        cost: of the step.
        chip: what it was measured on, one of them.
        measured_seconds: of the step.

    Returns:
        The changed ones. A share may be above 1: a TPU fuses more than is counted.

    Raises:
        ValueError: if the time is not positive.
    """
    if measured_seconds <= 0.0:
        raise ValueError(f"measured_seconds must be positive, got {measured_seconds}")
    compute, memory, fixed = _local_seconds(cost, chip, cost.batch_size, assumptions)
    factor = (max(compute, memory) + fixed) / measured_seconds
    return assumptions._replace(
        flops_share=factor * assumptions.flops_share, memory_share=factor * assumptions.memory_share
    )


def _local_seconds(
    cost: StepCost, chip: Generation, examples: float, assumptions: Assumptions
) -> tuple[float, float, float]:
    """Compute the times of the examples' arithmetic, of their memory, and of what is fixed."""
    flops_per_second = assumptions.flops_share * chip.flops_per_second
    bytes_per_second = assumptions.memory_share * chip.memory_bytes_per_second
    compute = cost.flops_per_example * examples / flops_per_second
    memory = cost.bytes_per_example * examples / bytes_per_second
    least = 2 * (cost.state_bytes + cost.gradient_bytes)
    bytes_fixed = min(least, cost.bytes_fixed) if assumptions.least_traffic else cost.bytes_fixed
    fixed = max(cost.flops_fixed / flops_per_second, bytes_fixed / bytes_per_second)
    return compute, memory, fixed


def bytes_seconds(num_bytes: float, topology: Topology, *, all_axes: bool) -> float:
    """Compute how long an all-reduce takes for the bandwidth of the links.

    2 (n - 1) / n * bytes / bandwidth

    Args:
        num_bytes: on every chip.
        topology: the slice.
        all_axes: whether the links of all axes are used at once.

    Returns:
        Seconds; 0 on one chip.
    """
    if topology.chips == 1:
        return 0.0
    return 2 * (topology.chips - 1) / topology.chips * num_bytes / links(topology, all_axes=all_axes)


def links(topology: Topology, *, all_axes: bool) -> float:
    """Give the bytes that a chip can send in a second along one axis, or along all of them."""
    one_way = topology.generation.link_bytes_per_second
    each = [one_way * (2 if _is_ring(topology, length) else 1) for length in topology.axes if length > 1]
    return sum(each) if all_axes else max(each)


def num_hops(topology: Topology) -> int:
    """Count the hops of an all-reduce: to everyone and back along each axis, half as far where it is a ring."""
    return sum(2 * (length // 2 if _is_ring(topology, length) else length - 1) for length in topology.axes)


def _is_ring(topology: Topology, length: int) -> bool:
    return length % topology.generation.wraps_at == 0


def per_chip(cost: StepCost, examples: int, chips: int) -> StepCost:
    """Give the cost of a step with so many examples on each chip: another run than with one batch shared by all."""
    moves = cost.batch_size // cost.max_chips
    return cost._replace(batch_size=examples * chips * moves, max_chips=examples * chips)


def exchanging(cost: StepCost, sizes: Sequence[float]) -> StepCost:
    """Give the cost of a step with the all-reduces of its compiled program instead of those that shapes ask for.

    Args:
        cost: of the step.
        sizes: bytes of each of them.
    """
    return cost._replace(gradient_bytes=sum(sizes), num_all_reduces=len(sizes))


def hiding_examples(cost: StepCost, topology: Topology, assumptions: Assumptions) -> float:
    """Compute how many examples a chip needs for their time to be that of the all-reduces."""
    predicted = predict(per_chip(cost, 1, topology.chips), topology, assumptions)
    return predicted.all_reduce_seconds / max(predicted.compute_seconds, predicted.memory_seconds)


def speedup(one: Prediction, many: Prediction) -> float:
    """Tell how many times as many examples as one chip a slice takes in a second."""
    return many.examples / many.step_seconds / (one.examples / one.step_seconds)


def stops_scaling(predictions: Sequence[Prediction], one: Prediction, least: float = 0.5) -> int:
    """Find from where on chips are wasted.

    Args:
        predictions: of slices of growing size.
        one: that of one chip.
        least: share of its time that a chip must spend as usefully as it would alone.

    Returns:
        The largest number of chips, among those predicted, up to which speedup / chips is at least `least`; 1 if none.
    """
    good = [many.chips for many in predictions if speedup(one, many) >= least * many.chips]
    return max(good, default=1)


def chip_hours(step_seconds: float, num_steps: int, chips: int) -> float:
    """Count the hours that all chips together are paid for."""
    return step_seconds * num_steps * chips / 3600
