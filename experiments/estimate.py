"""What a run would take and cost on TPUs: `python -m experiments.estimate --config=... --topology=v5e-64`.

Operations and bytes of one step are counted by XLA from shapes alone; nothing is trained. They are set against shares
of the vendor's peaks: at best the exchange of gradients hides behind the rest, at worst it follows it.
`experiments.roofline` has the formulas. What is all-reduced are each player's gradients, once for each of its moves, as
shapes tell; `experiments.collectives` reads from compiled programs what comes on top. What no count knows is left out:
starting programs from the host and kernels on the chip, reading data, evaluation, checkpoints.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import command, roofline
from experiments.cloud import topologies
from experiments.cloud.topologies import Topology
from experiments.roofline import BEST, WORST, Assumptions, Prediction, StepCost
from genloss_jax import data, training


def count(config: Any, dataset: data.Dataset | None = None, *, fused: bool = True) -> StepCost:
    """Count what one step of a config asks for.

    The step is counted at its batch size and at twice that; the straight line through both tells what each example
    costs and what is fixed. Convolutions are counted as XLA's own, as on a TPU. Operations are those of the step as it
    is written; bytes are those that it moves between memory and the operations that are left after XLA has fused them
    for this machine, which is more than on a TPU, where more is fused.

    Args:
        config: see `configs/base.py`.
        dataset: that of `config.data`, where it is at hand already, or one of the same shape.
        fused: whether to compile the step, which takes most of the time, and count bytes after fusion.

    Returns:
        The cost.

    Raises:
        ValueError: if the config does not hold together, or its data are not here.
    """
    config = for_tpu(config)
    setup = training.from_config(config, dataset)
    batch_size = setup.batch_size
    once, twice = (analysis(setup.step, *shapes(setup, size), fused=fused) for size in (batch_size, 2 * batch_size))
    each = {name: (twice[name] - once[name]) / batch_size for name in once}
    state, _ = shapes(setup, batch_size)
    moves = {name: player.moves * _looks(config) for name, player in config.players.items()}
    return StepCost(
        batch_size=batch_size,
        max_chips=batch_size // max(player.moves for player in config.players.values()),
        num_params=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        state_bytes=num_bytes(state),
        gradient_bytes=sum(moves[name] * num_bytes(params) for name, params in state.params.items()),
        num_all_reduces=sum(moves.values()),
        flops_fixed=once["flops"] - batch_size * each["flops"],
        flops_per_example=each["flops"],
        bytes_fixed=once["bytes"] - batch_size * each["bytes"],
        bytes_per_example=each["bytes"],
    )


def for_tpu(config: Any) -> ConfigDict:
    """Give a config in which convolutions are XLA's own, as they are on a TPU."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.networks.convolution = "native"
    return config


def _looks(config: Any) -> int:
    # An extragradient step takes each gradient twice.
    return 2 if config.schedule.play == "extragradient" else 1


def shapes(setup: training.Setup, batch_size: int) -> tuple[training.TrainState, dict[str, Any]]:
    """Give the shapes of a run's state, and of a batch of so many examples."""
    example = setup.dataset.train.arrays(1)
    batch = {name: jax.ShapeDtypeStruct((batch_size, *leaf.shape[1:]), leaf.dtype) for name, leaf in example.items()}
    return jax.eval_shape(setup.init, jax.random.key(0), batch, setup.hyper), batch


def analysis(function: Callable, *shapes: Any, fused: bool = True) -> dict[str, float]:
    """Let XLA count what a function does, without running it.

    Args:
        function: of arrays.
        *shapes: of its arguments, as `jax.ShapeDtypeStruct`.
        fused: whether to compile it, and count bytes after fusion.

    Returns:
        `"flops"`, floating-point operations as the function is written, and `"bytes"` that its operations read and
        write.
    """
    lowered = jax.jit(function).lower(*shapes)
    written = lowered.cost_analysis() or {}
    moved = (lowered.compile().cost_analysis() if fused else written) or {}
    return {"flops": float(written.get("flops", math.nan)), "bytes": float(moved.get("bytes accessed", math.nan))}


def num_bytes(tree: Any) -> int:
    """Count the bytes of a tree of arrays or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def stand_in(shape: Sequence[int], name: str = "") -> data.Dataset:
    """Make a data set of one black image: enough to count with, where the real one is not here.

    Args:
        shape: of an example, such as `(64, 64, 3)`.
        name: of the data that it stands for.
    """
    source = data.ArraySource({"x": np.zeros((1, *shape), np.float32)})
    return data.Dataset(name, source, source, tuple(shape))


class Request(NamedTuple):
    """What is asked of an estimate.

    Attributes:
        topology: the slice.
        total_steps: of the run.
        batch_per_chip: examples of a move on each chip; 0 where the config's batch is shared by all chips.
        measured_ms: milliseconds of a whole step on one such chip; 0 where that is not known.
        price_per_chip_hour_usd: what a chip costs for an hour; 0 where nobody asks.
        best: what to assume at best.
        worst: and at worst.
    """

    topology: Topology
    total_steps: int
    batch_per_chip: int = 0
    measured_ms: float = 0.0
    price_per_chip_hour_usd: float = 0.0
    best: Assumptions = BEST
    worst: Assumptions = WORST

    def cases(self, cost: StepCost) -> tuple[Assumptions, Assumptions]:
        """Give the best and the worst case, which a measurement brings together but for the all-reduces."""
        if not self.measured_ms:
            return self.best, self.worst
        chip, seconds = self.topology.generation, self.measured_ms / 1e3
        best, worst = (roofline.calibrate(case, cost, chip, seconds) for case in (self.best, self.worst))
        return best, worst


class Row(NamedTuple):
    """What is predicted for a slice, in the best and in the worst case."""

    topology: Topology
    best: Prediction
    worst: Prediction

    @property
    def cases(self) -> tuple[Prediction, Prediction]:
        """Give both."""
        return self.best, self.worst


def predict_all(cost: StepCost, request: Request) -> list[Row]:
    """Predict a step on one chip, and on every slice up to the one that is asked for.

    Args:
        cost: of the step.
        request: what is asked.

    Returns:
        One row for each, smallest first. Slices with more chips than a batch has examples are left out.

    Raises:
        ValueError: if the slice that is asked for is among those.
    """
    asked = request.topology
    slices = [each for each in topologies.slices(asked.generation) if 1 < each.chips <= asked.chips]
    rows = []
    for each in (Topology(asked.generation, 1), *slices):
        own = roofline.per_chip(cost, request.batch_per_chip, each.chips) if request.batch_per_chip else cost
        if each.chips <= own.max_chips or each == asked:
            rows.append(Row(each, *(roofline.predict(own, each, case) for case in request.cases(cost))))
    return rows


_COLUMNS = f"{'slice':>10}{'per chip':>10}" + 2 * f"{'step, ms':>13}{'speed-up':>10}{'longest':>12}"


def report(cost: StepCost, request: Request) -> str:
    """Write an estimate down.

    Args:
        cost: of the step.
        request: what is asked.

    Returns:
        Lines of text.

    Raises:
        ValueError: if the slice has more chips than a batch has examples.
    """
    rows = predict_all(cost, request)
    memory = request.topology.generation.memory_bytes
    lines = [
        f"one step: {si(cost.flops, 'FLOP')}, {si(cost.bytes_accessed, 'B')} moved, {cost.batch_size} examples",
        f"{si(cost.num_params)} parameters; state {si(cost.state_bytes, 'B')} of the {si(memory, 'B')} of a chip; "
        f"gradients {si(cost.gradient_bytes, 'B')} in {cost.num_all_reduces} all-reduces, from shapes",
        _assumed(request, cost),
        "",
        f"{'':20}{'at best':^35}{'at worst':^35}",
        _COLUMNS,
        *(_line(row, rows[0]) for row in rows),
        "",
        *_totals(rows, request),
    ]
    return "\n".join(lines)


def _totals(rows: Sequence[Row], request: Request) -> list[str]:
    best, worst = (
        roofline.stops_scaling(own, own[0]) for own in ([row.best for row in rows], [row.worst for row in rows])
    )
    topology, *_ = rows[-1]
    seconds = [each.step_seconds for each in rows[-1].cases]
    hours = [each * request.total_steps / 3600 for each in seconds]
    chip_hours = [roofline.chip_hours(each, request.total_steps, topology.chips) for each in seconds]
    lines = [
        f"a chip is worth more than half of one alone up to {best} chips at best, {worst} at worst",
        f"{request.total_steps:,} steps on {topology.name} ({topology.chips} chips, {topology.machines} machines): "
        f"{_range(hours)} hours, {_range(chip_hours)} chip-hours",
    ]
    price = request.price_per_chip_hour_usd
    if price:
        lines.append(f"at {price:g} USD for an hour of a chip: {_range([price * each for each in chip_hours])} USD")
    return lines


def _assumed(request: Request, cost: StepCost) -> str:
    best, worst = request.cases(cost)
    known = f", so that one chip takes the {request.measured_ms:g} ms measured" if request.measured_ms else ""
    return (
        f"assumed: {best.flops_share:.0%} of the peak of arithmetic and {best.memory_share:.0%} of that of memory "
        f"at best, {worst.flops_share:.0%} and {worst.memory_share:.0%} at worst{known};\n"
        "all-reduces hide behind the rest at best, and follow it along one axis at worst; they carry each player's\n"
        "gradients, once for each of its moves, and nothing else (docs/scaling.md has what compiled programs exchange)"
    )


def _line(row: Row, alone: Row) -> str:
    topology, best, _ = row
    name = "one chip" if topology.chips == 1 else topology.name
    line = f"{name:>10}{best.examples / topology.chips:>10g}"
    for one, each in zip(alone.cases, row.cases, strict=True):
        line += f"{1e3 * each.step_seconds:>13.4g}{roofline.speedup(one, each):>10.2f}{each.bound:>12}"
    return line


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}"


def si(value: float, unit: str = "") -> str:
    """Write a number with a prefix of SI and a unit: 6.34e6 as `6.34 MB`."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".strip()


def dataset_of(config: Any, shape: Sequence[str]) -> data.Dataset:
    """Load the data of a config, or stand in for them.

    Args:
        config: of the run.
        shape: of an example, as strings; empty to load the data.

    Raises:
        ValueError: if the data are not here and no shape is given, or the shape is none.
    """
    if shape:
        if not all(side.isdigit() and int(side) for side in shape):
            raise ValueError(f"--shape must be positive numbers such as 64,64,3; got {','.join(shape)}")
        return stand_in([int(side) for side in shape], config.data.name)
    try:
        return data.load(config.data)
    except ValueError as error:
        raise ValueError(f"{error}. To estimate without the data, give --shape=64,64,3") from error


def define_flags() -> None:
    """Define what the command line takes."""
    config_flags.DEFINE_config_file("config", None, "The run: a file such as configs/dcgan_celeba64.py.")
    flags.DEFINE_string("topology", "", topologies.HELP)
    flags.DEFINE_list("shape", [], "Shape of an example, such as 64,64,3, where its data are not on this machine.")
    flags.DEFINE_integer(
        "batch_per_chip", 0, "Examples of a move on each chip; 0: the config's batch is shared by all chips.", 0
    )
    flags.DEFINE_float(
        "measured_ms",
        0.0,
        "Milliseconds that a step took on one such chip; the shares of the peaks follow from it.",
        0.0,
    )
    flags.DEFINE_float("price_per_chip_hour_usd", 0.0, "What a chip costs for an hour; look it up, it changes.", 0.0)
    flags.DEFINE_float("flops_share_best", BEST.flops_share, "Of the peak of arithmetic, at best.", 0.001, 1.0)
    flags.DEFINE_float("flops_share_worst", WORST.flops_share, "Of the peak of arithmetic, at worst.", 0.001, 1.0)


def main(values: flags.FlagValues) -> None:
    """Estimate what the flags say."""
    if values.config is None:
        raise ValueError("--config is missing; try --config=configs/gan_digits.py")
    request = Request(
        topologies.parse(values.topology),
        values.config.training.total_steps,
        values.batch_per_chip,
        values.measured_ms,
        values.price_per_chip_hour_usd,
        BEST._replace(flops_share=values.flops_share_best),
        WORST._replace(flops_share=values.flops_share_worst),
    )
    print(report(count(values.config, dataset_of(values.config, values.shape)), request))


if __name__ == "__main__":
    command.start(main, define_flags)
