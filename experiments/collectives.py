"""What the devices of a step exchange, read from its compiled program: `python -m experiments.collectives`.

Each model of docs/scaling.md is compiled for eight devices, as `sharded` and as `pmap`, with its config's own batch. It
is only compiled: state and batch are shapes. What for is chosen by `--target`:

- `cpu`: eight virtual devices of this machine.
- `v5e`: a slice of eight chips. The compiler is that of TPUs, which needs no TPU: install libtpu in the version that
  `jax[tpu]` asks for, and set `JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1`, so that no TPU is looked for.

The two do not exchange the same: partitioner and what follows it differ. Counts are kept in
benchmarks/results/collectives.csv; those of the other target stay as they are.
"""

import csv
import importlib.metadata
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from jax.experimental import topologies

from experiments import command, estimate, models
from genloss_jax import training
from genloss_jax.training import parallel
from genloss_jax.training.parallel import Placement

COUNTS = Path("benchmarks/results/collectives.csv")
NUM_DEVICES = 8
TARGETS = ("cpu", "v5e")
KINDS: Mapping[str, Callable[..., Placement]] = {"sharded": parallel.sharded, "pmap": parallel.replicated}

_BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "s16": 2,
    "u16": 2,
    "s32": 4,
    "u32": 4,
    "s64": 8,
    "u64": 8,
    "f16": 2,
    "bf16": 2,
    "f32": 4,
    "f64": 8,
    "c64": 8,
    "c128": 16,
}
_OPERATIONS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast"
# What begins as `-start` is counted where it is done: only there is the result alone on the left.
_COLLECTIVE = re.compile(rf"= (.+?) ({_OPERATIONS})(?:-done)?\(")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")


class Exchange(NamedTuple):
    """One operation in which devices exchange something.

    Attributes:
        operation: such as `all-reduce`.
        num_bytes: of its result, on each device.
    """

    operation: str
    num_bytes: int


class Row(NamedTuple):
    """What is kept of it: equal operations of one program are one row.

    Attributes:
        config: of the model.
        target: what it was compiled for, one of `TARGETS`.
        kind: of the placement, one of `KINDS`.
        operation: as in `Exchange`.
        num_bytes: of the result of each.
        number: how many of them there are in a step.
        jax: version.
        libtpu: version; empty where it had no part.
    """

    config: str
    target: str
    kind: str
    operation: str
    num_bytes: int
    number: int
    jax: str
    libtpu: str


def exchanged(text: str) -> list[Exchange]:
    """Read from a compiled program what it exchanges.

    Args:
        text: of the program. What stands inside a loop counts once, however often the loop runs.

    Returns:
        Its operations, in the order of the text.

    Raises:
        ValueError: if one of them has numbers of an unknown type.
    """
    matches = [match for match in map(_COLLECTIVE.search, text.splitlines()) if match]
    return [Exchange(match[2], sum(_num_bytes(*array) for array in _ARRAY.findall(match[1]))) for match in matches]


def _num_bytes(kind: str, axes: str) -> int:
    if kind not in _BYTES:
        raise ValueError(f"devices exchange numbers of type {kind!r}, of unknown size; known are {sorted(_BYTES)}")
    return _BYTES[kind] * math.prod(int(length) for length in axes.split(",") if length)


def compiled(setup: training.Setup, placement: Placement) -> str:
    """Compile one step from shapes alone, and give the text of the program."""
    state, batch = estimate.shapes(setup, setup.batch_size)
    one = {name: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype) for name, leaf in batch.items()}

    def program(state, watch, batches):
        state, metrics = setup.step(state, jax.tree.map(lambda leaf: leaf[0], batches))
        return state, watch, metrics

    jitted: Any = placement.compile(program, state)
    return jitted.lower(state, (), jax.eval_shape(placement.batches, one)).compile().as_text()


def devices(target: str) -> Sequence[jax.Device]:
    """Give eight devices to compile for.

    Raises:
        ValueError: if the target is unknown, or they are not to be had.
    """
    if target == "cpu":
        found = jax.devices("cpu")[:NUM_DEVICES]
        if len(found) < NUM_DEVICES:
            raise ValueError(f"there are {len(found)} CPU devices instead of {NUM_DEVICES}; set JAX_NUM_CPU_DEVICES=8")
        return found
    if target != "v5e":
        raise ValueError(f"--target must be one of {TARGETS}, got {target!r}")
    # Else libtpu asks the network on which TPU it runs.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    try:
        # All on one host: a placement sees one process.
        slice_ = topologies.get_topology_desc("v5e:2x4", platform="tpu", chips_per_host_bounds=(2, 4, 1))
    except RuntimeError as error:
        raise ValueError(f"cannot compile for TPUs: {error}. Is libtpu installed, as jax[tpu] asks for it?") from error
    return slice_.devices


def count(name: str, target: str) -> list[Row]:
    """Count what a step of a model exchanges, in each kind.

    Args:
        name: of its config.
        target: what to compile for.

    Returns:
        Rows, sorted.
    """
    setup = models.setup(name)
    config, _ = models.load(name)
    moves = max(player.moves for player in config.players.values())
    libtpu = importlib.metadata.version("libtpu") if target != "cpu" else ""
    rows = []
    for kind, place in KINDS.items():
        found = Counter(exchanged(compiled(setup, place(devices(target), moves=moves))))
        rows += [Row(name, target, kind, *each, num, jax.__version__, libtpu) for each, num in sorted(found.items())]
    return rows


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write counts as a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows)


def read(path: Path) -> list[Row]:
    """Read what `write` wrote."""
    with path.open(newline="") as file:
        _, *lines = csv.reader(file)
    return [
        Row(config, target, kind, operation, int(num_bytes), int(number), *versions)
        for config, target, kind, operation, num_bytes, number, *versions in lines
    ]


def select(rows: Iterable[Row], config: str, target: str, kind: str) -> list[Row]:
    """Take those of one program."""
    return [row for row in rows if (row.config, row.target, row.kind) == (config, target, kind)]


def define_flags() -> None:
    """Define what the command line takes."""
    flags.DEFINE_enum("target", "cpu", TARGETS, "What to compile for.")
    flags.DEFINE_string("out", str(COUNTS), "The table to write.")


def main(values: flags.FlagValues) -> None:
    """Count what the flags say."""
    out = Path(values.out)
    # Before a device is asked for: it is too late afterwards.
    jax.config.update("jax_num_cpu_devices", NUM_DEVICES)
    rows = [row for row in (read(out) if out.exists() else []) if row.target != values.target]
    for name in models.MODELS:
        rows += count(name, values.target)
    write(out, sorted(rows, key=lambda row: (list(models.MODELS).index(row.config), row)))
    print(out)


if __name__ == "__main__":
    command.start(main, define_flags)
