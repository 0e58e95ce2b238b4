"""How many members at once, and how many chunks side by side: by a short measurement."""

import contextlib
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import numpy as np

from genloss_jax.ablation import engine, planning
from genloss_jax.ablation.engine import Chunk, Cut, Program
from genloss_jax.ablation.planning import Group
from genloss_jax.training import loop

T = TypeVar("T")

# Numbers of members to try at once: on a CPU they soon fall out of the cache, an accelerator wants many.
SIZES = {"cpu": (1, 4, 16, 64), "gpu": (1, 16, 128, 1024, 8192), "tpu": (1, 16, 128, 1024, 8192)}
_TRIALS, _TRIAL_SECONDS, _SLOWER = 3, 0.5, 1.3
_AT_LENGTH = 8  # members of a chunk that is tried at the length of its dispatches; larger ones take fewer steps


def side_by_side(work: Sequence[Callable[[], Iterator[T]]], threads: int) -> Iterator[T]:
    """Run iterators in threads, and hand on what they yield as it comes.

    A program of small layers keeps one core of a CPU busy, whatever the number of its threads.

    Args:
        work: makes each iterator; they begin in this order.
        threads: how many run at once. One runs here, without a thread.
    """
    if threads == 1:
        for begin in work:
            yield from begin()
        return
    news: queue.SimpleQueue[T] = queue.SimpleQueue()
    asked_to_end = threading.Event()

    def go_on(begin: Callable[[], Iterator[T]]) -> None:
        for item in begin():
            news.put(item)
            if asked_to_end.is_set():
                return

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(go_on, begin) for begin in work]
        try:
            while running or not news.empty():
                with contextlib.suppress(queue.Empty):
                    yield news.get(timeout=0.05)
                ended = [future for future in running if future.done()]
                running = [future for future in running if future not in ended]
                for future in ended:
                    future.result()
        finally:
            asked_to_end.set()
            for future in running:
                future.cancel()


def num_threads() -> int:
    """Give how many chunks are trained side by side: as many as a CPU has cores, one on other or several devices."""
    if jax.default_backend() != "cpu" or jax.local_device_count() > 1:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_chunk(group: Group, threads: int = 1) -> dict[str, Any]:
    """Measure a member-step in chunks of several sizes, and take the fastest.

    Args:
        group: whose members.
        threads: how many chunks each process trains side by side.

    Returns:
        `{"chunk": members at once, "seconds_per_member_step": {size: seconds}}`, without the latter where there was
        nothing to measure.
    """
    num = jax.local_device_count()
    usual = [num * size for size in SIZES[jax.default_backend()]]
    # Beside the usual sizes, the one that gives each thread one chunk.
    sizes = sorted({*usual, min(usual[-1], math.ceil(len(group.members) / _at_once(threads)))})
    cuts = {engine.cut(group, size, num): size for size in sizes if size <= len(group.members)}
    if len(cuts) == 1:
        return {"chunk": max(cuts.values())}
    measured: dict[str, float] = {}
    for parts, size in cuts.items():
        measured[str(size)] = seconds = member_step_seconds(group, parts, threads)
        if seconds > _SLOWER * min(measured.values()):
            break
    return {"chunk": int(min(measured, key=measured.__getitem__)), "seconds_per_member_step": measured}


def member_step_seconds(group: Group, parts: Cut, threads: int = 1) -> float:
    """Foresee from its first chunks how long a cut takes, compiling not counted.

    Args:
        group: whose members.
        parts: the cut.
        threads: how many chunks each process trains side by side.

    Returns:
        Seconds for the whole group, divided by its members and steps.
    """
    dispatch = Dispatch(group, parts, parts.chunks[:threads])
    dispatch.length = math.ceil(dispatch.length / math.ceil(parts.size / _AT_LENGTH))
    times: list[float] = []
    while len(times) <= _TRIALS or sum(times[1:]) < _TRIAL_SECONDS:
        began = time.perf_counter()
        dispatch()
        times.append(time.perf_counter() - began)
    num_rounds = math.ceil(len(parts.chunks) / _at_once(threads))
    return num_rounds * float(np.median(times[1:])) / (dispatch.length * len(group.members))


def _at_once(threads: int) -> int:
    """Count the chunks that all processes train side by side."""
    return threads * jax.process_count()


class Dispatch:
    """One call of the program for each of some chunks, side by side, as `run` makes them; to be timed."""

    def __init__(self, group: Group, parts: Cut, chunks: Sequence[Chunk], program: Program | None = None):
        """Start the chunks.

        Args:
            group: whose members.
            parts: how it is cut.
            chunks: which of its chunks, each in a thread of its own.
            program: of the group, where it is at hand.
        """
        self._program = program or Program(group, parts.mixed, engine.mesh_for(group, parts.size))
        self._runs = [[*self._program.start(chunk), engine.Streams(group, chunk)] for chunk in chunks]
        self._pool = ThreadPoolExecutor(len(chunks))
        self.length = steps_per_dispatch(group)
        """Steps of one call."""

    def __call__(self) -> None:
        """Take the steps of one call in all chunks, and wait for them."""
        list(self._pool.map(self._advance, self._runs))

    def _advance(self, run: list[Any]) -> None:
        states, watch, streams = run
        run[:2] = jax.block_until_ready(self._program.steps(states, watch, streams.read(self.length), streams.which))


def steps_per_dispatch(group: Group) -> int:
    """Give the steps of one call of a program: what the config says, or what `training.run` would take."""
    if group.config.training.steps_per_dispatch:
        return group.config.training.steps_per_dispatch
    state, batch = planning.shapes(group)
    return loop.automatic_steps(group.setup.step, state, batch, jax.default_backend())
