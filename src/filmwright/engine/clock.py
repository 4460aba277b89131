"""Times the stages of a run, measures their memory, and tells of them as events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filmwright.engine.memory import peak, start_peak
from filmwright.spec.events import Finished, OnEvent, Progress, Stage, Started

__all__ = ["Clock"]


class Clock:
    """Times stages and tells of them; the time left comes from the pace of the longest stage."""

    def __init__(self, on_event: OnEvent | None, device: str) -> None:
        """`device` is the one whose memory counts."""
        self.device = device
        self.tell: OnEvent = on_event or (lambda _: None)
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {}  # bytes in use at most, a stage

    @contextmanager
    def stage(self, name: Stage, total: int, before: int = 0) -> Iterator[Callable[[int, int], None]]:
        """Within, call the given function with (done, total); `before` steps are done already and take no time."""
        began = time.monotonic()
        start_peak(self.device)
        self.tell(Started(stage=name, total=total))

        def step(done: int, total: int) -> None:
            pace = (time.monotonic() - began) / max(done - before, 1)
            self.tell(Progress(stage=name, done=done, total=total, seconds_left=pace * (total - done)))

        yield step
        self.seconds[name] = time.monotonic() - began
        self.peaks[name] = peak(self.device)
        self.tell(Finished(stage=name, seconds=self.seconds[name]))
