"""Train the members of a group together: `init` and `step` of a single run, under `vmap`.

Members go in chunks, because many at once fall out of the cache. A chunk is a run of its own: it is recorded,
checkpointed and resumed as one, and what it records does not depend on where it was interrupted. Several devices share
the members of a chunk; and where there are more devices than members, the batch of a member. Of several processes one
trains it.
"""

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from genloss_jax import metrics, training
from genloss_jax.ablation.planning import Group
from genloss_jax.ablation.results import write_arrays
from genloss_jax.objectives.objective import Batch, num_examples
from genloss_jax.training import TrainState, parallel, records
from genloss_jax.training.finite import Watch, broken_members
from genloss_jax.training.loop import lengths, next_stop

_TRAINED = ("params", "opt_state", "aux", "ema")


class Chunk(NamedTuple):
    """Members of a group that are trained at once.

    Attributes:
        name: the group's, and the chunk's number in it.
        members: which of the group's members.
        size: how many are computed; above `len(members)` the last is repeated.
    """

    name: str
    members: tuple[int, ...]
    size: int

    @property
    def filled(self) -> list[int]:
        """Give the members, the last of them repeated up to the size."""
        return [*self.members, *[self.members[-1]] * (self.size - len(self.members))]


class Cut(NamedTuple):
    """A group in chunks.

    Attributes:
        chunks: all of one size.
        mixed: whether the members of a chunk take different branches of the program.
    """

    chunks: tuple[Chunk, ...]
    mixed: bool

    @property
    def size(self) -> int:
        """Give how many members a chunk computes."""
        return self.chunks[0].size


def cut(group: Group, size: int, num_devices: int = 1) -> Cut:
    """Cut a group into chunks.

    Where each branch of the program has half a chunk of members or more, the members of a chunk share one branch, and
    no other is computed. Otherwise chunks are mixed, and all branches are computed for each member.

    Args:
        group: the group.
        size: most members of a chunk.
        num_devices: that share a chunk equally, for which its last member is repeated where it has to be; unless there
            are two devices or more for each member.
    """
    branches = group.branches
    runs = [[index for index, own in enumerate(branches) if own == branch] for branch in dict.fromkeys(branches)]
    mixed = len(runs) > 1 and 2 * min(map(len, runs)) < min(size, len(branches))
    if mixed:
        runs = [list(range(len(branches)))]
    longest = max(map(len, runs))
    # As few chunks as the size allows, and all of them as full as can be.
    size = math.ceil(longest / math.ceil(longest / size))
    if 2 * size > num_devices:
        size = num_devices * math.ceil(size / num_devices)
    parts = [run[start : start + size] for run in runs for start in range(0, len(run), size)]
    return Cut(tuple(Chunk(f"{group.name}_{index}", tuple(part), size) for index, part in enumerate(parts)), mixed)


def mesh_for(group: Group, size: int, devices: Sequence[jax.Device] | None = None) -> Mesh | None:
    """Lay out devices for chunks of a size; None where one has all.

    Args:
        group: whose members.
        size: of a chunk.
        devices: which; None for all of this process.
    """
    config = group.config
    # A part of a batch has examples of every move, and of every piece of it.
    return parallel.member_mesh(size, config.data.batch_size // config.parallel.micro_batches, devices)


def _moves(group: Group) -> int:
    return max(player.moves for player in group.config.players.values())


class Program:
    """What trains the chunks of a group, one after the other: compiled once for each number of steps."""

    def __init__(self, group: Group, mixed: bool, mesh: Mesh | None = None):
        """Prepare to train.

        Args:
            group: whose members.
            mixed: whether the members of a chunk take different branches.
            mesh: devices that share a chunk, see `mesh_for`; None for one.
        """
        self._group = group
        self._mesh = mesh
        shared = () if mixed else group.switched
        hyper = {name: None if name in shared else 0 for name in group.hypers[0]}
        axes: dict[str, Any] = dict.fromkeys(TrainState._fields, 0)
        self._axes = TrainState(**{**axes, "hyper": hyper})
        self._shared = shared
        self._terms: list[str] = []
        start = jax.vmap(group.setup.init, in_axes=(0, None, hyper), out_axes=self._axes)
        self._init = jax.jit(parallel.over_members(start, self._mesh, (0, None, hyper), self._axes))
        steps = parallel.over_members(self._several, self._mesh, (self._axes, 0, parallel.EXAMPLES, 0), (self._axes, 0))
        self._steps = jax.jit(steps, donate_argnums=0)
        self._scrub = jax.jit(jax.vmap(_scrubbed))
        self._lock, self._compiled = threading.Lock(), set[int]()

    def start(self, chunk: Chunk) -> tuple[TrainState, Watch]:
        """Begin: the states of a chunk's members, as `Setup.state` makes each."""
        members = chunk.filled
        setup = self._group.setup
        seeds = jnp.asarray([self._group.members[index].config.seed for index in members], jnp.uint32)
        hypers = [self._group.hypers[index] for index in members]
        hyper = {
            name: jnp.asarray(first if name in self._shared else [own[name] for own in hypers])
            for name, first in hypers[0].items()
        }
        example = jax.tree.map(lambda leaf: leaf[0], setup.stream(0).read(1))
        states = self._init(jax.vmap(jax.random.key)(seeds), example, hyper)
        return states, jax.tree.map(lambda leaf: jnp.full(len(members), leaf), Watch.start(0))

    def steps(self, states: TrainState, watch: Watch, batches: Batch, which: jax.Array) -> tuple[TrainState, Watch]:
        """Take as many steps as there are batches.

        Args:
            states: leaves `[members, ...]`; consumed.
            watch: leaves `[members]`. A member whose `step` is not 0 has failed, and stays as it is.
            batches: leaves `[steps, seeds, batch, ...]`.
            which: `[members]`, the index of each member's seed.
        """
        num = num_examples(batches)
        batches = parallel.by_part(batches, self._mesh, _moves(self._group))
        if num not in self._compiled:
            # Of chunks that are trained side by side, one compiles and the others wait.
            with self._lock:
                result = self._steps(states, watch, batches, which)
                self._compiled.add(num)
                return result
        return self._steps(states, watch, batches, which)

    def term(self, watch: Watch, member: int) -> str:
        """Name the first term that was not finite in a member that failed."""
        return self._terms[int(watch.term[member])]

    def scrub(self, states: TrainState, failed: np.ndarray) -> TrainState:
        """Set to zero what is not finite in members that failed, so that the states can be saved."""
        scrubbed = self._scrub(states._replace(hyper={}), jnp.asarray(failed))
        return scrubbed._replace(hyper=states.hyper)

    def home(self, states: TrainState) -> TrainState:
        """Bring states to one device, to be looked at member by member."""
        return states if self._mesh is None else jax.device_put(states, self._mesh.devices.flat[0])

    def _several(self, states, watch, batches, which):
        together = jax.vmap(self._one, in_axes=(self._axes, 0, 0), out_axes=(self._axes, 0))
        # The kernels of vmapped convolutions make a grouped one, which is slow where the group is but one.
        move: Callable[..., Any] = self._alone if len(which) == 1 else together

        def step(carry, batch):
            return move(*carry, jax.tree.map(lambda leaf: leaf[which], batch)), None

        if num_examples(batches) == 1:
            # No loop around a single step: XLA's CPU backend runs convolutions ten times slower inside one.
            return step((states, watch), jax.tree.map(lambda leaf: leaf[0], batches))[0]
        return jax.lax.scan(step, (states, watch), batches)[0]

    def _alone(self, states, watch, batch):
        first, last = (lambda leaf: leaf[0]), (lambda leaf: leaf[None])
        hyper = {name: leaf if name in self._shared else leaf[0] for name, leaf in states.hyper.items()}
        state = jax.tree.map(first, states._replace(hyper={}))._replace(hyper=hyper)
        state, watch = self._one(state, jax.tree.map(first, watch), jax.tree.map(first, batch))
        return jax.tree.map(last, state)._replace(hyper=states.hyper), jax.tree.map(last, watch)

    def _one(self, state: TrainState, watch: Watch, batch: Batch) -> tuple[TrainState, Watch]:
        moved, values = self._group.setup.step(state, batch)
        self._terms[:] = list(values)
        watch = watch.look(values, 1)
        alive = watch.step == 0
        kept = {
            name: jax.tree.map(lambda new, old: jnp.where(alive, new, old), getattr(moved, name), getattr(state, name))
            for name in _TRAINED
        }
        return moved._replace(**kept), watch


def _scrubbed(state: TrainState, failed: jax.Array) -> TrainState:
    def scrub(leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        return jnp.where(failed & ~jnp.isfinite(leaf), jnp.zeros_like(leaf), leaf)

    return jax.tree.map(scrub, state)


Look = Callable[[TrainState, Chunk, Mapping[int, Any]], tuple[dict[str, list[float]], np.ndarray]]
"""`(states, chunk, faults) -> (metric -> a value for each member, NaN for those that failed; samples to keep)`."""


def looker(group: Group, evaluator: metrics.Evaluator, num_kept: int) -> Look:
    """Compile what is measured of the chunks of a group.

    Args:
        group: whose members.
        evaluator: what is measured of each; all are given the same noise and the same held-out data.
        num_kept: samples of each member that are kept for pictures.
    """
    objective, seed = group.setup.objective, group.config.evaluation.seed
    draw = partial(objective.sample, num=evaluator.num_samples)
    sample = jax.jit(jax.vmap(draw, in_axes=(0, 0, None)))
    measure = training.measurer(group.setup, evaluator, group.config)

    def look(states, chunk, faults):
        params = training.sampling_params(states)
        samples = np.asarray(sample(params, states.aux, jax.random.key(seed)))[: len(chunk.members)]
        values: dict[str, list[float]] = {}
        for index in range(len(chunk.members)):
            if index in faults:
                continue
            own, aux = jax.tree.map(lambda leaf, index=index: leaf[index], (params, states.aux))
            for name, value in measure(own, aux, samples[index]).items():
                values.setdefault(name, [math.nan] * len(chunk.members))[index] = value
        return values, samples[:, :num_kept]

    return look


class Stop(NamedTuple):
    """A moment at which a chunk hands over.

    Attributes:
        chunk: which.
        step: steps taken.
        advanced: member-steps since the last stop.
        seconds: time that they took, compiling included; 0 where they were taken before the study was interrupted.
        failed: members that have failed so far.
    """

    chunk: Chunk
    step: int
    advanced: int
    seconds: float
    failed: int


def train(
    group: Group,
    program: Program,
    chunk: Chunk,
    look: Look,
    directory: Path,
    *,
    steps_per_dispatch: int,
) -> Iterator[Stop]:
    """Train a chunk to its end, from where it was interrupted if it was.

    What it finds is written to `<directory>/<chunk>.jsonl`, a line for each evaluation, and its last samples to
    `<directory>/<chunk>.npz`. A chunk whose last line is there is not trained again.

    Args:
        group: of the chunk.
        program: of the group.
        chunk: which members.
        look: what is measured of the members, of `looker`.
        directory: where records and checkpoints are.
        steps_per_dispatch: steps of one call of the program.

    Yields:
        Stops, at evaluations and checkpoints.
    """
    settings = group.config.training
    kept = directory / "checkpoints" / chunk.name
    if is_done(directory, chunk, settings.total_steps):
        # Its checkpoints are still there where it was killed between its last line and their removal.
        if kept.exists():
            shutil.rmtree(kept)
        yield Stop(chunk, settings.total_steps, settings.total_steps * len(chunk.members), 0.0, 0)
        return
    streams = Streams(group, chunk)
    states, watch = program.start(chunk)
    faults: dict[int, tuple[int, str]] = {}
    with training.Checkpoints(kept, keep_last=1, alone=True) as checkpoints:
        now = 0
        restored = checkpoints.restore(states)
        if restored is not None:
            now, states = restored.step, restored.state
            streams.set_state(restored.position["streams"])
            faults = {int(member): (step, term) for member, (step, term) in restored.position["faults"].items()}
            watch = _watch(now, chunk.size, faults)
            yield Stop(chunk, now, now * len(chunk.members), 0.0, 0)
        lines = records.JsonLines(directory / f"{chunk.name}.jsonl", now)
        try:
            while now < settings.total_steps:
                goal = next_stop(
                    now, settings.total_steps, (settings.evaluate_every_steps, settings.checkpoint_every_steps)
                )
                began = time.perf_counter()
                if any(index not in faults for index in range(len(chunk.members))):
                    for length in lengths(goal - now, steps_per_dispatch):
                        states, watch = program.steps(states, watch, streams.read(length), streams.which)
                    states, watch = _take_note(program, chunk, states, watch, goal, faults)
                advanced, now = (goal - now) * len(chunk.members), goal
                seconds = time.perf_counter() - began
                if now in evaluation_steps(settings):
                    values, samples = look(program.home(states), chunk, faults)
                    if now == settings.total_steps:
                        write_arrays(directory / f"{chunk.name}.npz", {"samples": samples})
                    lines.scalars(now, {"values": values, "faults": faults})
                if settings.checkpoint_every_steps and now % settings.checkpoint_every_steps == 0:
                    checkpoints.save(now, states, {"streams": streams.get_state(), "faults": faults})
                yield Stop(chunk, now, advanced, seconds, sum(index < len(chunk.members) for index in faults))
        finally:
            lines.close()
    shutil.rmtree(kept)


def evaluation_steps(settings: Any) -> list[int]:
    """List the steps at which members are evaluated: multiples of the period, and the end."""
    period, total = settings.evaluate_every_steps, settings.total_steps
    return sorted({*range(period, total, period), total}) if period else [total]


def is_done(directory: Path, chunk: Chunk, total_steps: int) -> bool:
    """Tell whether a chunk was trained to its end."""
    lines = read(directory, chunk)
    return bool(lines) and lines[-1]["step"] == total_steps


def read(directory: Path, chunk: Chunk) -> list[dict[str, Any]]:
    """Read what a chunk has recorded: `{"step", "values": {metric: [members]}, "faults": {member: [step, term]}}`."""
    path = directory / f"{chunk.name}.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Streams:
    """The batches of a chunk: one stream for each seed, since members of one seed see the same data."""

    def __init__(self, group: Group, chunk: Chunk):
        """Open the streams at their beginning."""
        seeds = [group.members[index].config.seed for index in chunk.filled]
        distinct = list(dict.fromkeys(seeds))
        self._streams = [group.setup.stream(seed) for seed in distinct]
        self.which = jnp.asarray([distinct.index(seed) for seed in seeds])

    def read(self, num: int) -> Batch:
        """Give the next batches, leaves `[num, seeds, batch, ...]`."""
        own = [stream.read(num) for stream in self._streams]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *own)

    def get_state(self) -> list[dict[str, Any]]:
        """Give the positions."""
        return [stream.get_state() for stream in self._streams]

    def set_state(self, states: list[dict[str, Any]]) -> None:
        """Go to positions."""
        for stream, state in zip(self._streams, states, strict=True):
            stream.set_state(state)


def _take_note(program, chunk, states, watch, now, faults):
    """Find the members that failed since the last stop."""
    seen = jax.device_get(watch)
    broken = broken_members(states)
    for index in range(chunk.size):
        if index in faults:
            continue
        if seen.step[index]:
            faults[index] = (int(seen.step[index]), program.term(seen, index))
        elif broken[index]:
            faults[index] = (now, broken[index])
    failed = np.asarray([index in faults for index in range(chunk.size)])
    if failed.any():
        states = program.scrub(states, failed)
        watch = _watch(now, chunk.size, faults)
    return states, watch


def _watch(now, size, faults):
    """Watch on after `now` steps, with the members that have failed."""
    watch = jax.tree.map(lambda leaf: jnp.full(size, leaf), Watch.start(now))
    steps = [faults[index][0] if index in faults else 0 for index in range(size)]
    return watch._replace(step=jnp.asarray(steps, jnp.int32))
