"""The loop: a generator that trains to the next multiple of some period, and hands over what there is to look at.

Everything that happens beside training (logs, evaluation, pictures, checkpoints) is the caller's, between two events:

    for event in run(step, state, stream, total_steps=1000, stop_every={"log": 50, "checkpoint": 200}):
        if "log" in event.due:
            writer.scalars(event.step, event.metrics)
        if "checkpoint" in event.due:
            checkpoints.save(event.step, event.state, event.position)

A run is a function of its state, its stream and its periods. Where it was interrupted leaves no trace: events stand at
multiples of the periods, dispatches are counted from event to event, and an event's state and position are all that
the rest of the run depends on.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from genloss_jax.objectives.objective import Batch, num_examples
from genloss_jax.training.checkpoints import Checkpoints
from genloss_jax.training.finite import Fault, NonFiniteError, Watch, broken_leaf
from genloss_jax.training.parallel import Placement, none
from genloss_jax.training.step import TrainState

POLICIES = ("stop", "skip", "rollback", "ignore")
# Measured: the gain over one step per dispatch is a factor of 2 for a small multilayer perceptron, spent by 16 steps.
AUTOMATIC_STEPS = 16


@runtime_checkable
class BatchStream(Protocol):
    """An endless stream of batches whose position can be saved."""

    def read(self, num: int) -> Batch:
        """Give the next `num` batches stacked: leaves `[num, batch, ...]`."""
        ...

    def get_state(self) -> dict[str, Any]:
        """Give the position, as what JSON can hold."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a position."""
        ...


class Event(NamedTuple):
    """A moment at which the loop hands over.

    Attributes:
        step: steps taken.
        state: the state after them. The next step consumes it: use it before asking for the next event.
        position: what resumes the run, together with the state: the place in the data and the loop's own counts. JSON.
        metrics: the metrics of the last step, as Python numbers; with the policy "skip" also `skipped_steps`, the
            number of steps skipped since the run began.
        due: names of the periods that end here; at the end of the run all of them.
        fault: what broke, where the loop has just gone back to this step because of it. Metrics are empty then, and
            what was recorded beyond this step no longer belongs to the run.
        seconds: wall-clock time since the loop began.
        steps_per_second: since the last event; compiling, and what the caller does between events, not counted.
        examples_per_second: the same, in examples.
    """

    step: int
    state: TrainState
    position: dict[str, Any]
    metrics: dict[str, Any]
    due: frozenset[str]
    fault: Fault | None
    seconds: float
    steps_per_second: float
    examples_per_second: float


def run(
    step: Callable[..., Any],
    state: TrainState,
    stream: BatchStream,
    *,
    total_steps: int,
    stop_every: Mapping[str, int],
    steps_per_dispatch: int = 0,
    on_nonfinite: str = "stop",
    max_skips: int = 10,
    max_rollbacks: int = 3,
    checkpoints: Checkpoints | None = None,
    position: Mapping[str, Any] | None = None,
    placement: Placement | None = None,
) -> Iterator[Event]:
    """Train from `state.step` to `total_steps`.

    The step is compiled for `steps_per_dispatch` steps, and where that does not divide the way to the next event also
    for one. It is told whether all numbers are finite at each event, and names the very step that broke.

    Args:
        step: `(state, batch) -> (state, metrics)`, of `make_step`.
        state: where to begin. It is consumed.
        stream: where batches come from; if `position` is given it is moved there.
        total_steps: where the run ends.
        stop_every: name -> period in steps. Events stand at the multiples of all periods. A period of 0 never ends
            before the run does.
        steps_per_dispatch: how many steps one call of the compiled program takes; more of them save the cost of a
            call. 0 chooses: 16, but 1 where the step holds a convolution and runs on a CPU, whose convolutions are ten
            times slower inside a loop. The choice depends on nothing else, so that a resumed run makes it again.
            Programs of different length may differ in the last bit.
        on_nonfinite: what to do where a metric or the state is not finite. "stop" raises. "skip" goes on, for a step
            that undoes itself (`Schedule.skip_nonfinite`), and raises after `max_skips` in a row. "rollback" goes back
            to the last checkpoint with a new random path, while the data goes on, and raises after `max_rollbacks`.
            "ignore" goes on: one of many vmapped members may break without the others.
        max_skips: see there.
        max_rollbacks: how often the whole run may go back.
        checkpoints: where to go back to, and what `NonFiniteError` names.
        position: of the event that `state` was saved at; None at the beginning of a run.
        placement: on which devices, see `training.parallel`; None for one.

    Yields:
        Events, the last of them at `total_steps`.

    Raises:
        ValueError: if an argument is out of range, or a batch cannot be spread over the devices.
        NonFiniteError: as `on_nonfinite` says.
    """
    _check(total_steps, stop_every, steps_per_dispatch, on_nonfinite, max_skips, max_rollbacks, checkpoints)
    counts = {"bad": 0, "in_a_row": 0, "rollbacks": 0}
    if position is not None:
        stream.set_state(position["stream"])
        counts = {name: position[name] for name in counts}
    platform = next(iter(state.step.devices())).platform
    num = steps_per_dispatch or automatic_steps(step, state, _first_batch(stream), platform)
    patience = {"skip": max_skips, "ignore": np.iinfo(np.int32).max}.get(on_nonfinite, 1)
    placement = none() if placement is None else placement
    state = placement.put(state)
    dispatch = _Dispatch(step, patience, on_nonfinite == "skip", placement, state)
    rollback = _Rollback(state, checkpoints, max_rollbacks if on_nonfinite == "rollback" else 0)
    return _events(dispatch, rollback, state, stream, total_steps, stop_every, num, counts, on_nonfinite)


def _events(dispatch, rollback, state, stream, total_steps, stop_every, num, counts, policy) -> Iterator[Event]:
    began = time.perf_counter()
    rollbacks = counts.pop("rollbacks")
    now = _steps_taken(state)
    watch = Watch.start(now, **counts)
    while now < total_steps:
        goal = next_stop(now, total_steps, stop_every.values())
        dispatch.start_clock()
        metrics = {}
        for length in lengths(goal - now, num):
            state, watch, metrics = dispatch(state, watch, stream.read(length))
        seen, metrics = jax.device_get((watch, metrics))
        rate = dispatch.stop_clock()
        fault = None if policy == "ignore" else _fault(seen, metrics, state)
        due = frozenset(name for name, period in stop_every.items() if goal == total_steps or _divides(period, goal))
        if fault is not None:
            if policy != "rollback":
                raise NonFiniteError(fault, rollback.last_good(), _why(seen, policy))
            rollbacks += 1
            state = rollback(fault, rollbacks)
            goal, metrics, due = _steps_taken(state), {}, frozenset()
            watch = Watch.start(goal, int(seen.bad))
        elif policy == "skip":
            metrics["skipped_steps"] = seen.bad
        now = goal
        yield Event(
            step=now,
            state=state,
            position={
                "stream": stream.get_state(),
                "bad": int(seen.bad),
                "in_a_row": int(seen.in_a_row) if fault is None else 0,
                "rollbacks": rollbacks,
            },
            metrics={name: np.asarray(value).tolist() for name, value in metrics.items()},
            due=due,
            fault=fault,
            seconds=time.perf_counter() - began,
            steps_per_second=rate,
            examples_per_second=rate * dispatch.batch_size,
        )


class _Dispatch:
    """One compiled program per length, and a clock that does not count compiling."""

    def __init__(
        self, step: Callable[..., Any], patience: int, needs_skipped: bool, placement: Placement, state: TrainState
    ):
        def one(carry, batch):
            state, watch = carry
            state, metrics = step(state, batch)
            if needs_skipped and "skipped" not in metrics:
                raise ValueError(
                    "on_nonfinite='skip' needs a step that skips, but its metrics have no 'skipped'; "
                    "build it with Schedule(skip_nonfinite=True)"
                )
            # An OrderedDict keeps the order in which metrics were computed; a dict comes out of a program sorted.
            return (state, watch.look(metrics, patience)), OrderedDict(metrics)

        def several(state, watch, batches):
            if num_examples(batches) == 1:
                # No loop around a single step: XLA's CPU backend runs convolutions ten times slower inside one.
                (state, watch), metrics = one((state, watch), jax.tree.map(lambda leaf: leaf[0], batches))
                return state, watch, metrics
            (state, watch), metrics = jax.lax.scan(one, (state, watch), batches)
            return state, watch, jax.tree.map(lambda leaf: leaf[-1], metrics)

        self._program = placement.compile(several, state)
        self._place = placement.batches
        self._compiled: set[int] = set()
        self._steps = self._first_steps = 0
        self.batch_size = 0

    def __call__(self, state, watch, batches):
        length = num_examples(batches)
        self._steps += length
        result = self._program(state, watch, self._place(batches))
        if length not in self._compiled:
            self._compiled.add(length)
            self.batch_size = jax.tree.leaves(batches)[0].shape[1]
            jax.block_until_ready(result)
            self._first_seconds = time.perf_counter() - self._began
            self._first_steps = self._steps
        return result

    def start_clock(self) -> None:
        self._began = time.perf_counter()
        self._first_seconds = 0.0
        self._steps = self._first_steps = 0

    def stop_clock(self) -> float:
        """Give the steps per second since the clock was started, or since a program was first used."""
        seconds = time.perf_counter() - self._began
        if self._steps > self._first_steps:
            return (self._steps - self._first_steps) / (seconds - self._first_seconds)
        return self._steps / seconds


class _Rollback:
    def __init__(self, state: TrainState, checkpoints: Checkpoints | None, most: int):
        def abstract(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)

        self._template = jax.tree.map(abstract, state)
        self._checkpoints = checkpoints
        self._most = most

    def last_good(self) -> int | None:
        return None if self._checkpoints is None else self._checkpoints.latest_step()

    def __call__(self, fault: Fault, number: int) -> TrainState:
        if number > self._most:
            raise NonFiniteError(fault, self.last_good(), f", after max_rollbacks={self._most} rollbacks")
        restored = None if self._checkpoints is None else self._checkpoints.restore(self._template)
        if restored is None:
            raise NonFiniteError(fault, None, " and the run cannot be rolled back")
        # Another number for each rollback: going back twice to one checkpoint must not take the same path again.
        return restored.state._replace(key=jax.random.fold_in(restored.state.key, number))


def _fault(watch: Watch, metrics: Mapping[str, Any], state: TrainState) -> Fault | None:
    if watch.step:
        return Fault(list(metrics)[int(watch.term)], int(watch.step))
    leaf = broken_leaf(state)
    return None if leaf is None else Fault(leaf, int(watch.now))


def _why(watch: Watch, policy: str) -> str:
    return f", the last of {int(watch.in_a_row)} skipped steps in a row" if policy == "skip" and watch.step else ""


def _steps_taken(state: TrainState) -> int:
    # Vmapped members walk together, and each carries the same number.
    return int(np.max(jax.device_get(state.step)))


def next_stop(now: int, total_steps: int, periods: Iterable[int]) -> int:
    """Give the next multiple of any period, at most `total_steps`; a period of 0 has none."""
    return min([total_steps, *(now // period * period + period for period in periods if period)])


def lengths(steps: int, num: int) -> list[int]:
    """Cut a number of steps into dispatches of `num` steps, and of one where that does not divide it."""
    return [num] * (steps // num) + [1] * (steps % num)


def _divides(period: int, step: int) -> bool:
    return period > 0 and step % period == 0


def automatic_steps(step: Callable[..., Any], state: TrainState, batch: Batch, platform: str) -> int:
    """Choose `steps_per_dispatch`.

    Args:
        step: `(state, batch) -> (state, metrics)`.
        state: arrays, or their shapes.
        batch: likewise.
        platform: "cpu", "gpu" or "tpu".
    """
    if platform != "cpu":
        return AUTOMATIC_STEPS
    return 1 if "conv_general_dilated[" in str(jax.make_jaxpr(step)(state, batch)) else AUTOMATIC_STEPS


def _first_batch(stream: BatchStream) -> Batch:
    position = stream.get_state()
    batch = jax.tree.map(lambda leaf: leaf[0], stream.read(1))
    stream.set_state(position)
    return batch


def _check(total_steps, stop_every, steps_per_dispatch, on_nonfinite, max_skips, max_rollbacks, checkpoints):
    if on_nonfinite not in POLICIES:
        raise ValueError(f"on_nonfinite must be one of {POLICIES}, got {on_nonfinite!r}")
    if on_nonfinite == "rollback" and checkpoints is None:
        raise ValueError("on_nonfinite='rollback' needs checkpoints to go back to, got checkpoints=None")
    for name, value, least in (
        ("total_steps", total_steps, 1),
        ("steps_per_dispatch", steps_per_dispatch, 0),
        ("max_skips", max_skips, 1),
        ("max_rollbacks", max_rollbacks, 1),
        *((f"stop_every[{key!r}]", period, 0) for key, period in stop_every.items()),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
