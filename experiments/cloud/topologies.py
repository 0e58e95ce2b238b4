"""Slices of TPU chips that can be asked for: their sizes, their shapes, and what a chip can do.

The numbers are the vendor's, from the page that each generation names; they are peaks, not measurements. The bandwidth
of a link is the published bidirectional bandwidth of a chip over its ports and its two directions; where no such number
is published (v4), it is that of https://jax-ml.github.io/scaling-book/tpus, which also says which axes are rings. The
versions of the software are those of https://docs.cloud.google.com/tpu/docs/runtimes.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from genloss_jax._names import hint


class Generation(NamedTuple):
    """One kind of TPU.

    Attributes:
        name: as people say it, such as `v5e`.
        accelerator: as the Cloud TPU API says it before the dash, such as `v5litepod`.
        runtime: the software version that a Cloud TPU VM is created with.
        flops_per_second: peak of a chip in bfloat16.
        memory_bytes: of a chip; GB and GiB are both taken as 1e9.
        memory_bytes_per_second: between a chip and its memory.
        link_bytes_per_second: of one link to a neighbour, one way.
        cores_per_chip: what the number after the dash counts is cores.
        wraps_at: an axis closes to a ring where its length is a multiple of this.
        axes: number of chips -> shape of the slice; the smallest and most usual ones.
        source: the page that the numbers are from.
    """

    name: str
    accelerator: str
    runtime: str
    flops_per_second: float
    memory_bytes: float
    memory_bytes_per_second: float
    link_bytes_per_second: float
    cores_per_chip: int
    wraps_at: int
    axes: Mapping[int, tuple[int, ...]]
    source: str


_SQUARES = {1: (1, 1), 4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8), 128: (8, 16), 256: (16, 16)}
_CUBES = {
    4: (2, 2, 1),
    8: (2, 2, 2),
    16: (2, 2, 4),
    32: (2, 4, 4),
    64: (4, 4, 4),
    128: (4, 4, 8),
    256: (4, 8, 8),
    512: (8, 8, 8),
    1024: (8, 8, 16),
    2048: (8, 16, 16),
}
_PAGES = "https://docs.cloud.google.com/tpu/docs/"
HELP = "Slice of TPU chips: v5e-8, v5e-64, v5p-512, ... The number is of chips; of cores, two a chip, for v4 and v5p."

GENERATIONS = {
    "v4": Generation(
        name="v4",
        accelerator="v4",
        runtime="tpu-ubuntu2204-base",
        flops_per_second=275e12,
        memory_bytes=32e9,
        memory_bytes_per_second=1.2e12,
        link_bytes_per_second=45e9,
        cores_per_chip=2,
        wraps_at=4,
        axes=_CUBES,
        source=f"{_PAGES}v4",
    ),
    "v5e": Generation(
        name="v5e",
        accelerator="v5litepod",
        runtime="v2-alpha-tpuv5-lite",
        flops_per_second=197e12,
        memory_bytes=16e9,
        memory_bytes_per_second=819e9,
        link_bytes_per_second=50e9,  # 400 GB/s over 4 ports and 2 directions
        cores_per_chip=1,
        wraps_at=16,
        axes=_SQUARES,
        source=f"{_PAGES}v5e",
    ),
    "v5p": Generation(
        name="v5p",
        accelerator="v5p",
        runtime="v2-alpha-tpuv5",
        flops_per_second=459e12,
        memory_bytes=95e9,
        memory_bytes_per_second=2765e9,
        link_bytes_per_second=100e9,  # 1,200 GB/s over 6 ports and 2 directions
        cores_per_chip=2,
        wraps_at=4,
        axes=_CUBES,
        source=f"{_PAGES}v5p",
    ),
    "v6e": Generation(
        name="v6e",
        accelerator="v6e",
        runtime="v2-alpha-tpuv6e",
        flops_per_second=918e12,
        memory_bytes=32e9,
        memory_bytes_per_second=1638e9,
        link_bytes_per_second=100e9,  # 800 GB/s over 4 ports and 2 directions
        cores_per_chip=1,
        wraps_at=16,
        axes=_SQUARES,
        source=f"{_PAGES}v6e",
    ),
}


class Topology(NamedTuple):
    """A slice: some chips of one generation, joined by links.

    Attributes:
        generation: what the chips are.
        chips: their number.
    """

    generation: Generation
    chips: int

    @property
    def name(self) -> str:
        """Give the name as people say it: `v5e-64` has 64 chips, `v5p-64` 64 cores and so 32 chips."""
        return f"{self.generation.name}-{self.chips * self.generation.cores_per_chip}"

    @property
    def accelerator_type(self) -> str:
        """Give the name as the Cloud TPU API takes it, such as `v5litepod-64`."""
        return f"{self.generation.accelerator}-{self.chips * self.generation.cores_per_chip}"

    @property
    def axes(self) -> tuple[int, ...]:
        """Give the shape of the slice, such as `(8, 8)`; one chip has a shape in every generation."""
        return (1,) if self.chips == 1 else self.generation.axes[self.chips]

    @property
    def machines(self) -> int:
        """Count the virtual machines: up to eight chips of a v5e or v6e share one; of all others, four."""
        alone = 8 if self.generation.cores_per_chip == 1 else 4
        return 1 if self.chips <= alone else math.ceil(self.chips / 4)


def parse(name: str, flag: str = "topology") -> Topology:
    """Find a slice by its name.

    Args:
        name: such as `v5e-64`, or as the Cloud TPU API has it, `v5litepod-64`.
        flag: what the error is to call it.

    Returns:
        The slice.

    Raises:
        ValueError: if the name is missing or unknown.
    """
    if not name:
        raise ValueError(f"--{flag} is missing; try --{flag}=v5e-8")
    found = re.fullmatch(r"(\w+)-(\d+)", name)
    spelled = {each.accelerator: each for each in GENERATIONS.values()} | GENERATIONS
    if found is None or found[1] not in spelled:
        raise ValueError(f"unknown topology {name!r}{hint(name, names())}; valid: " + _valid())
    generation = spelled[found[1]]
    chips, rest = divmod(int(found[2]), generation.cores_per_chip)
    if rest or chips not in generation.axes:
        sizes = ", ".join(each.name for each in slices(generation))
        raise ValueError(f"there is no {name!r}; slices of {generation.name} are {sizes}")
    return Topology(generation, chips)


def slices(generation: Generation) -> list[Topology]:
    """List the slices of a generation, smallest first."""
    return [Topology(generation, chips) for chips in sorted(generation.axes)]


def names() -> list[str]:
    """Name all slices."""
    return [each.name for generation in GENERATIONS.values() for each in slices(generation)]


def _valid() -> str:
    first_and_last = ((slices(each)[0].name, slices(each)[-1].name) for each in GENERATIONS.values())
    return ", ".join(f"{first} to {last}" for first, last in first_and_last)
