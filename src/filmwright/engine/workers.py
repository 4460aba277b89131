"""Several processes for one clip: who is the first of them, and starting them. Nothing here loads a tensor library.

A process does not say what went wrong, it reports it in a file: all of them may have found the same, and those that
did not have lost the company of the one that did. What is said in the end is the cause, once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filmwright.engine.sidecar import make_sidecar, write_sidecar
from filmwright.spec.errors import Cancelled, FilmwrightError
from filmwright.spec.request import Request

__all__ = ["STOPPING", "TEAM", "WorkerDied", "is_first", "report", "run_workers"]

TEAM = "FILMWRIGHT_TEAM"  # of a process that `run_workers` started: the folder where all meet and report
STOPPING = (signal.SIGINT, signal.SIGTERM)
EXIT_CANCELLED = 130
ALONE = 5.0  # seconds that processes have to end by themselves when one of them has failed
PATIENCE = 20.0  # seconds that they have when they were told to stop
LOOK = 0.05  # seconds between two looks at them

Process = subprocess.Popen[bytes]


class WorkerDied(Exception):
    """A process ended by something that is not for the user to mend; the message is all that it left."""


def is_first() -> bool:
    """Whether this process is the one that writes files and speaks; true where there is only one."""
    return os.environ.get("RANK", "0") == "0"


def report(error: BaseException) -> int:
    """Leaves what one of `run_workers`' processes ends with, for the one that started it; gives its exit code."""
    told: dict[str, Any] = {"crash": "".join(traceback.format_exception(error))}
    code = 1
    if isinstance(error, KeyboardInterrupt):
        told, code = {}, EXIT_CANCELLED
    elif isinstance(error, FilmwrightError):
        code = error.exit_code
        told = {"code": error.code, "message": str(error), "exit_code": code}
    path = Path(os.environ[TEAM]) / f"{os.environ['RANK']}.json"
    path.with_suffix(".part").write_text(json.dumps(told))
    path.with_suffix(".part").replace(path)
    return code


def run_workers(request: Request, path: Path, count: int, device: str, options: Sequence[str]) -> None:
    """Makes a clip with `count` processes of `filmwright generate`, a device each. The first of them speaks.

    `options` are further ones of the command. The processes share the cores.

    Raises:
        Cancelled: it was stopped by the user; the first process has said what is kept.
        FilmwrightError: what one of them could not do, with that error's code and exit code.
        KeyboardInterrupt: it was stopped before there was anything to keep.
        WorkerDied: one of them crashed or was killed.
    """
    environment = {**os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns of exchanges that end with a process
    with tempfile.TemporaryDirectory(prefix="filmwright-") as name:
        folder = Path(name)
        write_sidecar(folder / "request.json", make_sidecar(request, weights={}, timings={}))
        words = ["generate", "--from", str(folder / "request.json"), "-o", str(path), "--device", device]
        command = [sys.executable, "-m", "filmwright.cli.worker", *words, *options]
        team: list[Process] = []
        stopped = False
        try:
            for rank in range(count):
                own = {TEAM: name, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                _start(team, command, environment | own, folder / f"{rank}.txt" if rank else None)
            first = _first_failed(team)
        except KeyboardInterrupt:
            stopped = True
        finally:
            _stop(team)
        if stopped:
            raise _cancelled(_told(folder, 0))
        if first is not None:
            raise _cause(folder, [process.returncode for process in team], first)


def _start(
    team: list[Process], command: Sequence[str], environment: dict[str, str], said: Path | None
) -> None:
    """One more process, which hears signals as soon as it can answer them; what it says goes into a file, or to us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # nor do we, until it is one of the team
    try:
        if said is None:
            team.append(subprocess.Popen(command, env=environment))  # noqa: S603 (this interpreter, checked words)
            return
        with said.open("wb") as file:
            team.append(
                subprocess.Popen(  # noqa: S603
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
                )
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _first_failed(team: Sequence[Process]) -> int | None:
    """Which process failed first, None if none did, when all have ended or those that stay were given their time."""
    first, until = None, float("inf")
    while any(process.poll() is None for process in team) and time.monotonic() < until:
        if first is None:
            first = next((i for i, process in enumerate(team) if process.poll()), None)
            until = time.monotonic() + ALONE if first is not None else until
        time.sleep(LOOK)
    return first if first is not None else next((i for i, p in enumerate(team) if p.poll()), None)


def _stop(team: Sequence[Process]) -> None:
    """Those that still run are told to stop, and killed when they do not, or when the user cannot wait."""
    try:
        for process in team:
            process.send_signal(signal.SIGINT)
        until = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in team) and time.monotonic() < until:
            time.sleep(LOOK)
    finally:
        for process in team:
            process.kill()
            process.wait()


def _told(folder: Path, rank: int) -> dict[str, Any] | None:
    """A process's report, if it left one."""
    path = folder / f"{rank}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _cancelled(told: dict[str, Any] | None) -> BaseException:
    if told and told.get("code") == Cancelled.code:
        return Cancelled(told["message"])
    return KeyboardInterrupt()


def _cause(folder: Path, codes: Sequence[int], first: int) -> BaseException:
    """Of all that processes ended with, what the others followed from."""
    reports = [_told(folder, rank) for rank in range(len(codes))]
    for told in reports:
        if told and "code" in told and told["code"] != Cancelled.code:
            error = FilmwrightError(told["message"])
            error.code, error.exit_code = told["code"], told["exit_code"]
            return error
    if codes[first] == EXIT_CANCELLED:
        return _cancelled(reports[0])
    silent = [i for i, told in enumerate(reports) if codes[i] and told is None]
    if silent:
        cause = first if first in silent else silent[0]
        said = folder / f"{cause}.txt"
        text = said.read_text(errors="replace") if said.exists() else ""
        return WorkerDied(f"{text}error: process {cause + 1} of {len(codes)} {_ended(codes[cause])}")
    crashed = [i for i, told in enumerate(reports) if told and "crash" in told]
    cause = min(crashed, key=lambda i: (folder / f"{i}.json").stat().st_mtime_ns)
    crash = reports[cause] or {}
    return WorkerDied(f"{crash['crash']}error: process {cause + 1} of {len(codes)} crashed, as told above")


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    hint = ": there may be too little memory for all of them" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
