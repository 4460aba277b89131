"""Files as the C2PA library reads them, through calls back into Python, and what Ctrl-C means there.

A KeyboardInterrupt that is raised inside such a call is dropped by ctypes and taken for the end of the file: a film
would be signed cut short, or called tampered. So signals wait while the library works. Reading fails from then on,
which ends the work at once, and the interrupt is raised when the library has let go.
"""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["Watched", "interruptible"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Watched(io.FileIO):
    """A file for reading, which fails once a signal has come."""

    def __init__(self, path: Path, came: list[int]) -> None:
        """`came` is what `interruptible` gives."""
        super().__init__(path, "rb")
        self._came = came

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        if self._came:
            raise OSError(f"interrupted by signal {self._came[0]}")
        return super().read(-1 if size is None else size) or b""


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Within, signals are kept in the list that is given; at the end the first is raised as it would have been."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # where no signal is ever raised
        yield came
        return

    def keep(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, keep) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])
