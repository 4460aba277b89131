"""The console script: it can be stopped before anything else is loaded, and hands over to `cli.main`."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

__all__ = ["EXIT_CANCELLED", "SAID", "STOPPING", "main"]

EXIT_CANCELLED = 130  # 128 + SIGINT, as shells count
SAID = "cancelled; nothing half written is left"
STOPPING = (signal.SIGINT, signal.SIGTERM)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """While the command is being loaded nothing has begun, and an exception might be swallowed by an import."""
    if "--json" in sys.argv:
        os.write(1, b'{"error": {"code": "cancelled", "message": "%s"}}\n' % SAID.encode())
    else:
        os.write(2, f"error: {SAID}\n".encode())
    os._exit(EXIT_CANCELLED)


def main() -> NoReturn:
    """The console script."""
    for kind in STOPPING:
        if signal.getsignal(kind) is not signal.SIG_IGN:  # as a shell asks for its background jobs
            signal.signal(kind, _leave)

    from filmwright.cli.main import main as command

    command()
