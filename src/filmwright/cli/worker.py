"""One of the processes that make a clip together: it reports what went wrong to `engine.workers`, which says it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from filmwright.engine.workers import STOPPING, report

__all__ = ["main"]


def main() -> NoReturn:
    """The command of this process, to its exit."""
    code: object = 0
    try:
        for kind in STOPPING:
            signal.signal(kind, _stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # it was started without hearing them

        from filmwright.cli.main import app, hasten

        hasten()
        code = app(sys.argv[1:], prog_name="filmwright", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 (each is reported)
        code = report(error)
    sys.stdout.flush()
    if code:  # what has to be put away is; exchanges with processes that are gone would hold up the rest
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    sys.exit(0)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Once: a second one would come while things are put away."""
    for kind in STOPPING:
        signal.signal(kind, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
