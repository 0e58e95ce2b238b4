"""How far a run is, for the person who watches: a live bar in a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from genloss_jax.training.loop import Event


class Progress:
    """Shows step, rate, time left and the main losses of a run.

    A terminal gets a bar, redrawn at each update; anything else gets lines, at most one in `every_seconds`, and always
    the first and the last.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        unit: str = "step",
        show: Sequence[str] | None = None,
        every_seconds: float = 10.0,
        quiet: bool = False,
        file: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Begin to show.

        Args:
            total_steps: where the run ends.
            unit: what is counted.
            show: names of metrics; None shows each player's loss.
            every_seconds: least time between two lines, where there is no terminal.
            quiet: show nothing: of several processes one does.
            file: a text stream to write to; None is standard error, which keeps standard output for results.
            clock: tells seconds.
        """
        self._total = total_steps
        self._unit = unit
        self._show = show
        self._every = every_seconds
        self._quiet = quiet
        self._file = file or sys.stderr
        self._clock = clock
        self._shown_at: float | None = None
        self._console = Console(file=self._file)
        if self._console.is_terminal and not quiet:
            self._bar = Bar(
                TextColumn(unit), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"),
                console=self._console, auto_refresh=False,
            )  # fmt: skip
            self._task = self._bar.add_task("compiling", total=total_steps)
            self._bar.start()

    def update(self, event: Event) -> None:
        """Show an event of a run."""
        if event.fault is not None:
            self._line(
                event.step,
                f"{event.fault.term} was not finite at step {event.fault.step}: gone back to step {event.step}",
            )
            return
        names = [name for name in event.metrics if name.endswith("/loss")] if self._show is None else self._show
        words = [f"{name} {_rounded(event.metrics[name])}" for name in names if name in event.metrics]
        self.show(event.step, event.steps_per_second, "  ".join(words))

    def show(self, done: int, rate: float, words: str) -> None:
        """Show how much is done, how much of it in a second, and what else there is to say."""
        left = duration((self._total - done) / rate) if rate > 0 else "?"
        self._line(done, f"{_rounded(rate)} {self._unit}s/s  {left} left  {words}")

    def _line(self, done: int, words: str) -> None:
        if self._quiet:
            return
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, description=words, refresh=True)
        elif self._is_time(done):
            print(f"{self._unit} {done}/{self._total}  {words}", file=self._file, flush=True)

    def note(self, text: str) -> None:
        """Show a line that stays."""
        if self._quiet:
            return
        if self._console.is_terminal:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._file, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._console.is_terminal and not self._quiet:
            self._bar.stop()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_time(self, step: int) -> bool:
        now = self._clock()
        if self._shown_at is not None and step < self._total and now - self._shown_at < self._every:
            return False
        self._shown_at = now
        return True


def duration(seconds: float) -> str:
    """Write a time as a clock does: 0:42, 12:05, 3:20:00."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _rounded(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
