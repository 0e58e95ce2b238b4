"""Asked to go, a run ends at its next event, where it can be resumed."""

import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preemption:
    """Turn SIGTERM (a scheduler wants the machine) and SIGINT (Ctrl-C) into a question that the loop asks.

    The first signal is noted, the second acts at once, as it would have without us. Outside the main thread, where
    Python has no signal handlers, nothing is caught.

        with Preemption() as preemption:
            for event in run(...):
                if preemption.requested:
                    checkpoints.save(event.step, event.state, event.position)
                    break
        sys.exit(preemption.exit_code)

    Attributes:
        requested: whether a signal has come.
        exit_code: 0, or 128 + the signal's number as shells have it: 143 for SIGTERM, 130 for SIGINT.
    """

    def __init__(self) -> None:
        self.requested = False
        self.exit_code = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Preemption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self.exit_code = 128 + number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}
