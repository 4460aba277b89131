"""Child processes that leave Ctrl-C, which a terminal sends to all of them, to the process that ends them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

__all__ = ["deaf_children"]


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started within never hear SIGINT: else each would end with a traceback of its own."""
    resource_tracker.ensure_running()  # as multiprocessing does, but here: it unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a child inherits that
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
