"""Write docs/scaling.md, what to expect of more chips, on paper: `python -m experiments.scaling`."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from experiments import collectives, command, estimate, models, roofline
from experiments.cloud import topologies
from experiments.cloud.topologies import Generation, Topology
from experiments.models import MODELS
from experiments.roofline import BEST, WORST, Assumptions, Prediction, StepCost

COUNTS = Path("benchmarks/results/step_cost.csv")
# From v5e-8 to v5p-512.
SLICES = (
    "v5e-8",
    "v5e-16",
    "v5e-32",
    "v5e-64",
    "v5e-128",
    "v5e-256",
    "v5p-8",
    "v5p-16",
    "v5p-64",
    "v5p-128",
    "v5p-512",
)
_CHIPS = (topologies.GENERATIONS["v5e"], topologies.GENERATIONS["v5p"])
_COMMAND = "python -m experiments.scaling"


def count(name: str, *, fused: bool = True) -> StepCost:
    """Count what one step of a model asks for."""
    return estimate.count(*models.load(name), fused=fused)


def write_counts(path: Path, costs: Mapping[str, StepCost]) -> None:
    """Write counts as a table, one config a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("config", *StepCost._fields))
        writer.writerows((name, *(f"{value:.10g}" for value in cost)) for name, cost in costs.items())


def read_counts(path: Path) -> dict[str, StepCost]:
    """Read what `write_counts` wrote."""
    whole = {name for name, kind in StepCost.__annotations__.items() if kind is int}
    with path.open(newline="") as file:
        return {
            row["config"]: StepCost._make(
                int(row[name]) if name in whole else float(row[name]) for name in StepCost._fields
            )
            for row in csv.DictReader(file)
        }


_INTRODUCTION = """# Scale on paper

Written by `{command}`; do not edit.

**Nothing on this page was run on a TPU.** Operations and bytes of one step were counted by XLA from shapes, on a CPU;
the speeds of chips and links are their vendor's peaks; all else is arithmetic
([experiments/roofline.py](../experiments/roofline.py)). It tells how far a model can scale at best, and what stops
it. For a run of yours: `python -m experiments.estimate --config=... --topology=v5e-64`, with `--measured_ms` as soon
as there is one measured step.

Two cases bound what is likely, as far as the counts go:

| | at best | at worst |
| --- | --- | --- |
| share of the peak of arithmetic | {best.flops_share:.0%} | {worst.flops_share:.0%} |
| share of the peak of memory | {best.memory_share:.0%} | {worst.memory_share:.0%} |
| parameters and what hangs on them are read and written | as little as can be | as counted |
| an all-reduce uses the links of | all axes at once | one axis |
| a hop to a neighbour takes | {best_hop:.1f} µs | {worst_hop:.1f} µs |
| all-reduces | hide behind the rest | follow it |

All-reduces are those of the compiled program, gradients, batch normalisation's statistics and metrics alike
([below](#what-a-step-exchanges-as-compiled-for-eight-devices)). That they all hide is too good where a layer waits for
statistics: they stand in the way of what comes next, gradients do not.

Left out are the start of programs from the host and of kernels on the chip, reading data, evaluation, checkpoints. For
the small models here these matter: real steps take longer, and scale less.
"""

_EXCHANGED = """## What a step exchanges, as compiled for eight devices

Each model with its config's own batch, compiled but not run: for a slice of eight chips of v5e, whose compiler needs no
TPU (jax {jax}, libtpu {libtpu}), and for eight virtual devices of a CPU. `sharded` is what a run takes by itself where
there are several devices, and what all predictions here rest on, as compiled for v5e; `pmap` can be asked for
([parallel.md](parallel.md)). In brackets: bytes against those of the gradients. All numbers:
[{name}]({counts}), counted by `python -m experiments.collectives`.

{table}
- **`pmap`** exchanges the gradients of each player once, and nothing but sums: no activations. Metrics ride along. It
  may be a little less than shapes say, since of two arrays whose gradients are equal one travels.
- **`sharded`** sums gradients of data, of samples and of penalties each by itself where it does not see that their sum
  would do. For a CPU it never sees that: the critic of DCGAN travels twice, that of R3GAN with its two penalties four
  times. For v5e the one of DCGAN travels once, and that of R3GAN still twice.
- **Statistics.** Batch normalisation sums its own over all examples, on the way forth and back, one layer after the
  other: most of the {most} all-reduces of {normalized}. They are small, {median} bytes in the middle, but each pays its
  hops.
- **Grouped convolutions**, those of R3GAN. For a CPU the partitioner gives up on them under `sharded`: all examples'
  activations, {gathered} in {gathers} all-gathers, go to every device, and each convolves the whole batch
  ([openxla/xla#47945](https://github.com/openxla/xla/issues/47945), where it is said to be no matter of the CPU alone).
  For v5e nothing is gathered. On GPUs take `pmap` for this network. On a CPU a run takes the library's own convolutions
  unless told otherwise, of which none is grouped for XLA, and gathers nothing.
"""

_SHARED = """## One batch, shared by more and more chips

The same run, only faster: each chip gets a share of the config's batch, so that there can be no more chips than
examples. What stops it is named by what takes longest of a step: *arithmetic* or *memory* for the examples,
the traffic of *parameters*, which every chip reads, updates and averages in full, the bandwidth of *links*, or the
latency of *hops*, which each all-reduce pays. Speed-ups are against one chip of the same kind, at best and at worst.
"""

_OWN = """## A batch on each chip

Another run, with a larger batch: each chip keeps as many examples as it likes. An all-reduce takes the same time
whatever the batch, so it is a question of how many examples on each chip take as long as it does. With more, chips
scale as long as links hold; with fewer, they wait for each other.
"""

_SHORT = """## In short

- On one chip all of them are bound by memory, not by arithmetic: they do {low:.0f} to {high:.0f} operations for a byte,
  in float32 and as XLA fuses them for a CPU, where a chip of v5e needs {ridge:.0f} to be busy.
- Their own batch, {batch}, is soon shared out: a chip is worth more than half of one alone up to {least} chips in the
  worst of these cases and {most} in the best. What is left then does not shrink with the examples: the parameters, and
  the all-reduces.
- What is exchanged is small: with {hiding} examples on each chip it takes no longer than the rest, even on the largest
  slice here. So with a batch that grows with the chips all of them scale over a whole slice, for what such a
  batch is worth.
- Batch normalisation makes DCGAN wait: its statistics are summed layer by layer, so that a step has {sums} all-reduces
  instead of {gradients}. From {chips} chips of v5e on their hops take longest, even at best.
- The members of a study exchange nothing: they scale up to one member on each chip, whatever the model.
"""


def page(asked: Mapping[str, StepCost], exchanges: Sequence[collectives.Row], root: str = "..") -> str:
    """Compose the page.

    Args:
        asked: config -> what a step of it asks for, from shapes.
        exchanges: what it exchanges, from its compiled programs.
        root: link from the page to the repository.

    Returns:
        Markdown.

    Raises:
        ValueError: if the programs that predictions rest on exchange what is no all-reduce.
    """
    costs = {name: measured(name, cost, exchanges) for name, cost in asked.items()}
    counts = f"{root}/{COUNTS}"
    slices = [topologies.parse(name) for name in SLICES]
    parts = [
        _INTRODUCTION.format(
            command=_COMMAND,
            best=BEST,
            worst=WORST,
            best_hop=1e6 * BEST.seconds_per_hop,
            worst_hop=1e6 * WORST.seconds_per_hop,
        ),
        _short(asked, costs, slices),
        "## What a step asks for\n",
        f"Batches are the configs' own. All numbers: [{Path(counts).name}]({counts}).\n",
        _asked(asked),
        _exchanged(asked, exchanges, f"{root}/{collectives.COUNTS}"),
        "## What a chip offers\n",
        _offered(),
        _SHARED,
        _limits(costs),
        *(
            f"**{MODELS[name].title}** (`{name}`, {cost.max_chips} examples)\n\n{_shared(cost, slices)}"
            for name, cost in costs.items()
        ),
        _OWN,
        _own(costs, slices),
    ]
    return "\n".join(parts)


def measured(name: str, cost: StepCost, exchanges: Sequence[collectives.Row]) -> StepCost:
    """Give the cost of a step with the all-reduces of its program, as a run takes it by itself on a slice of v5e.

    Args:
        name: of the model.
        cost: of its step, from shapes.
        exchanges: of all programs.

    Raises:
        ValueError: if the program exchanges what is no all-reduce, for which `roofline` has no formula.
    """
    rows = collectives.select(exchanges, name, "v5e", "sharded")
    others = sorted({row.operation for row in rows} - {"all-reduce"})
    if others:
        raise ValueError(f"predictions know all-reduces alone, but a step of {name} has {others}")
    return roofline.exchanging(cost, _sizes(rows))


def _sizes(rows: Sequence[collectives.Row], operation: str = "all-reduce") -> list[int]:
    return [row.num_bytes for row in rows if row.operation == operation for _ in range(row.number)]


def _exchanged(asked: Mapping[str, StepCost], exchanges: Sequence[collectives.Row], counts: str) -> str:
    programs = [(target, kind) for target in ("v5e", "cpu") for kind in collectives.KINDS]
    head = ("model", "gradients, from shapes", *(f"`{kind}`, {target}" for target, kind in programs))
    rows = []
    for name, cost in asked.items():
        found = [_carried(collectives.select(exchanges, name, *each), cost.gradient_bytes) for each in programs]
        rows.append((MODELS[name].title, f"{estimate.si(cost.gradient_bytes, 'B')} in {cost.num_all_reduces}", *found))
    sums = {name: _sizes(collectives.select(exchanges, name, "v5e", "sharded")) for name in asked}
    normalized = max(sums, key=lambda name: len(sums[name]))
    gathered = _sizes(exchanges, "all-gather")
    compiler = next(row for row in exchanges if row.target == "v5e")
    return _EXCHANGED.format(
        jax=compiler.jax,
        libtpu=compiler.libtpu,
        name=Path(counts).name,
        counts=counts,
        table=_table(head, rows),
        most=len(sums[normalized]),
        normalized=MODELS[normalized].title,
        median=f"{statistics.median_low(sums[normalized]):,}",
        gathered=estimate.si(sum(gathered), "B"),
        gathers=len(gathered),
    )


def _carried(rows: Sequence[collectives.Row], gradient_bytes: float) -> str:
    sums, gathered = _sizes(rows), _sizes(rows, "all-gather")
    text = f"{estimate.si(sum(sums), 'B')} in {len(sums)} ({sum(sums) / gradient_bytes:.2f})"
    return text + (f"; gathered {estimate.si(sum(gathered), 'B')} in {len(gathered)}" if gathered else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _asked(costs: Mapping[str, StepCost]) -> str:
    head = (
        "model",
        "examples",
        "parameters",
        "state",
        "gradients",
        "operations",
        "memory traffic",
        "operations a byte",
    )
    si = estimate.si
    rows = [
        (
            f"{MODELS[name].title}, `{name}`",
            f"{cost.batch_size}",
            si(cost.num_params),
            si(cost.state_bytes, "B"),
            si(cost.gradient_bytes, "B"),
            f"{si(cost.flops_per_example, 'FLOP')} an example + {si(cost.flops_fixed, 'FLOP')}",
            f"{si(cost.bytes_per_example, 'B')} an example + {si(cost.bytes_fixed, 'B')}",
            f"{cost.flops / cost.bytes_accessed:.0f}",
        )
        for name, cost in costs.items()
    ]
    return _table(head, rows)


def _offered() -> str:
    head = (
        "TPU",
        "bfloat16",
        "memory",
        "memory traffic",
        "operations a byte to be busy",
        "each link, one way",
        "source",
    )
    rows = [
        (
            chip.name,
            f"{chip.flops_per_second / 1e12:.0f} TFLOP/s",
            f"{chip.memory_bytes / 1e9:.0f} GB",
            f"{chip.memory_bytes_per_second / 1e9:,.0f} GB/s",
            f"{_ridge(chip):.0f}",
            f"{chip.link_bytes_per_second / 1e9:.0f} GB/s",
            f"<{chip.source}>",
        )
        for chip in topologies.GENERATIONS.values()
    ]
    return _table(head, rows)


def _ridge(chip: Generation) -> float:
    return chip.flops_per_second / chip.memory_bytes_per_second


def _predict(cost: StepCost, topology: Topology) -> tuple[Prediction, Prediction]:
    return roofline.predict(cost, topology, BEST), roofline.predict(cost, topology, WORST)


def _last(cost: StepCost, chip: Generation, case: Assumptions) -> tuple[Prediction, Prediction]:
    """Predict one chip, and the largest slice whose chips are each worth more than half of it."""
    one = roofline.predict(cost, Topology(chip, 1), case)
    slices = [each for each in topologies.slices(chip) if 1 < each.chips <= cost.max_chips]
    many = [roofline.predict(cost, each, case) for each in slices]
    last = roofline.stops_scaling(many, one)
    return one, next((each for each in many if each.chips == last), one)


def _limits(costs: Mapping[str, StepCost]) -> str:
    head = ("model", "TPU", "one chip, ms", "worth more than half of one alone, up to", "what takes longest there")
    rows = []
    for name, cost in costs.items():
        for chip in _CHIPS:
            both = [_last(cost, chip, case) for case in (BEST, WORST)]
            rows.append(
                (
                    MODELS[name].title,
                    chip.name,
                    _both([f"{1e3 * one.step_seconds:.3g}" for one, _ in both]),
                    _both([f"{last.chips}" for _, last in both]) + " chips",
                    _both([last.bound for _, last in both]),
                )
            )
    return _table(head, rows)


def _short(asked: Mapping[str, StepCost], costs: Mapping[str, StepCost], slices: Sequence[Topology]) -> str:
    densities = [cost.flops / cost.bytes_accessed for cost in costs.values()]
    batches = sorted({cost.max_chips for cost in costs.values()})
    cases = [(cost, case) for cost in costs.values() for case in (BEST, WORST)]
    lasts = [_last(cost, chip, case)[1].chips for cost, case in cases for chip in _CHIPS]
    hiding = [roofline.hiding_examples(cost, each, case) for cost, case in cases for each in slices]
    dcgan = costs["dcgan_celeba64"]
    v5e = [each for each in topologies.slices(topologies.GENERATIONS["v5e"]) if 1 < each.chips <= dcgan.max_chips]
    waiting = [each.chips for each in v5e if roofline.predict(dcgan, each, BEST).bound == "hops"]
    return _SHORT.format(
        sums=dcgan.num_all_reduces,
        gradients=asked["dcgan_celeba64"].num_all_reduces,
        chips=min(waiting),
        low=min(densities),
        high=max(densities),
        ridge=_ridge(topologies.GENERATIONS["v5e"]),
        batch=f"{batches[0]} to {batches[-1]} examples",
        least=min(lasts),
        most=max(lasts),
        hiding=math.ceil(max(hiding)),
    )


def _shared(cost: StepCost, slices: Sequence[Topology]) -> str:
    rows = []
    for each in slices:
        if each.chips > cost.max_chips:
            continue
        both = _predict(cost, each)
        one = _predict(cost, Topology(each.generation, 1))
        rows.append(
            (
                each.name,
                f"{each.chips}",
                f"{cost.max_chips / each.chips:g}",
                _both([f"{1e3 * own.step_seconds:.3g}" for own in both]),
                _both([f"{roofline.speedup(alone, own):.3g}" for alone, own in zip(one, both, strict=True)]),
                _both([own.bound for own in both]),
            )
        )
    head = ("slice", "chips", "examples on each", "step, ms", "speed-up", "what takes longest")
    return _table(head, rows)


def _own(costs: Mapping[str, StepCost], slices: Sequence[Topology]) -> str:
    head = ("examples on each chip that take as long as the all-reduces", *(each.name for each in slices))
    rows = []
    for name, cost in costs.items():
        found = [[roofline.hiding_examples(cost, each, case) for case in (BEST, WORST)] for each in slices]
        rows.append((MODELS[name].title, *(_both([f"{math.ceil(number):,}" for number in both]) for both in found)))
    return _table(head, rows)


def _both(texts: Sequence[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else " – ".join(texts)


def define_flags() -> None:
    """Define what the command line takes."""
    flags.DEFINE_string("out", "docs/scaling.md", "The page to write.")
    flags.DEFINE_bool("count", True, f"Count anew; or take the numbers of {COUNTS}.")


def main(values: flags.FlagValues) -> None:
    """Write what the flags say."""
    if values.count:
        write_counts(COUNTS, {name: count(name) for name in MODELS})
    Path(values.out).write_text(page(read_counts(COUNTS), collectives.read(collectives.COUNTS)))
    print(values.out)


if __name__ == "__main__":
    command.start(main, define_flags)
