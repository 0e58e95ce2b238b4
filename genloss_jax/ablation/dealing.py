"""The chunks of a study, dealt to several processes, and what one sees of those that others train.

Chunks do not depend on each other, so that processes exchange nothing while they train. What a chunk records lies in
the study's directory, which all processes see, and does not depend on who trained it.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from genloss_jax.ablation import engine
from genloss_jax.ablation.engine import Chunk, Stop
from genloss_jax.ablation.planning import Group

_LOOK_SECONDS = 1.0


class Share(NamedTuple):
    """Of a group.

    Attributes:
        own: chunks that this process trains.
        others: those of the other processes.
    """

    own: tuple[Chunk, ...]
    others: tuple[Chunk, ...]


def deal(cuts: Sequence[engine.Cut]) -> list[Share]:
    """Deal the chunks of all groups in turn to the processes.

    Args:
        cuts: of the groups.

    Returns:
        What this process has of each group.
    """
    turns = itertools.cycle(range(jax.process_count()))
    shares = []
    for parts in cuts:
        # The next group goes on where this one ends, so that no process has more than one chunk more than another.
        whose = [(next(turns) == jax.process_index(), chunk) for chunk in parts.chunks]
        own, others = (tuple(chunk for mine, chunk in whose if mine == ours) for ours in (True, False))
        shares.append(Share(own, others))
    return shares


class Elsewhere:
    """The chunks that other processes train, as far as their records tell."""

    def __init__(
        self,
        directory: Path,
        groups: Sequence[Group],
        chunks: Sequence[Sequence[Chunk]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Begin to look.

        Args:
            directory: where chunks are recorded.
            groups: of the study.
            chunks: of each group, those of others.
            clock: tells seconds.
        """
        self._directory = directory
        self._missing = {
            chunk: group.config.training.total_steps for group, own in zip(groups, chunks, strict=True) for chunk in own
        }
        self._steps = dict.fromkeys(self._missing, 0)
        self._clock = clock
        self._looked: float | None = None

    def news(self) -> Iterator[Stop]:
        """Tell what has been recorded since the last look, of which there is one in a second at most.

        The first look finds what was there before. The seconds of a stop are those between two looks.
        """
        now = self._clock()
        since = 0.0 if self._looked is None else now - self._looked
        if self._looked is not None and since < _LOOK_SECONDS:
            return
        self._looked = now
        for chunk, total in list(self._missing.items()):
            lines = engine.read(self._directory, chunk)
            step = lines[-1]["step"] if lines else 0
            # A chunk that is gone on with from a checkpoint records some steps anew.
            advanced = max(step - self._steps[chunk], 0)
            self._steps[chunk] += advanced
            if step == total:
                del self._missing[chunk]
            if advanced:
                failed = sum(int(place) < len(chunk.members) for place in lines[-1]["faults"])
                yield Stop(chunk, step, advanced * len(chunk.members), since, failed)

    def rest(self) -> Iterator[Stop]:
        """Tell the same until all are trained."""
        while self._missing:
            yield from self.news()
            time.sleep(_LOOK_SECONDS / 4)
