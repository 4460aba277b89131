"""Where the time of `filmwright generate` goes, from the shell's point of view, and its peak memory.

The command runs in a child process, over and over, the first time only to warm the file cache. Its sidecar says how
long each stage took; start-up is the rest of the wall clock: Python, imports, writing the sidecar, leaving. It holds
what importing torch costs, which is timed beside it, and so are `--help` and an error about a bad size. Video is
encoded while it decodes, so its own cost is measured apart, on the frames that came out.

    python -m benchmarks.pipeline [--rounds 5] [-- more options of generate]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import Spread, machine, save, table

PROMPT = "a red ball drops onto a wooden floor and bounces, warm sunset light, the camera pushes in"
CLI = (sys.executable, "-m", "filmwright.cli")
KIB_A_UNIT = 1 if sys.platform != "darwin" else 1 / 1024  # what ru_maxrss counts in

WRITE_ALONE = """
import sys, time
from filmwright.media.video import VideoWriter, read_video
frames, rate = read_video(sys.argv[1])
began = time.perf_counter()
with VideoWriter(sys.argv[2], frames.shape[2], frames.shape[1], round(rate)) as video:
    video.write(frames)
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A child process that has ended: wall-clock seconds, its greatest resident memory, what it said."""

    seconds: float
    peak_gb: float
    code: int
    out: str
    err: str


def run(command: Sequence[str]) -> Ran:
    """Runs a command to its end. This process stays small: a child's peak starts at its parent's size."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Ran(
            seconds=seconds,
            peak_gb=usage.ru_maxrss * KIB_A_UNIT * 1024 / 1e9,
            code=child.returncode,
            out=out.read(),
            err=err.read(),
        )


def main() -> None:
    """Prints the table and writes benchmarks/results/pipeline.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("options", nargs="*", help="of generate, after --")
    asked = parser.parse_args()
    told = machine()
    with tempfile.TemporaryDirectory(prefix="filmwright-benchmark-") as folder:
        film = Path(folder) / "film.mp4"
        generate = [*CLI, "generate", asked.prompt, "-o", str(film), "--seed", "1", "--json", *asked.options]
        first = run(generate)
        if first.code:
            message = (first.out or first.err).strip().splitlines()
            raise SystemExit(f"generate ended with {first.code}: {message[-1] if message else 'no message'}")
        parts = {
            "import torch": [sys.executable, "-c", "import torch"],
            "--help": [*CLI, "--help"],
            "bad size": [*CLI, "generate", "a red ball rolls", "--size", "100x100"],
            "video encoding alone": [
                sys.executable,
                "-c",
                WRITE_ALONE,
                str(film),
                str(Path(folder) / "again.mp4"),
            ],
        }
        seconds: dict[str, list[float]] = {}
        peaks: list[float] = []
        for _ in range(asked.rounds):
            ran = run(generate)
            sidecar = json.loads(film.with_suffix(".json").read_text())
            stages: dict[str, float] = sidecar["timings"]
            peaks.append(ran.peak_gb)
            row = {"whole": ran.seconds, "start-up": ran.seconds - sum(stages.values()), **stages}
            for name, command in parts.items():
                part = run(command)
                expected = 2 if name == "bad size" else 0
                if part.code != expected:
                    raise SystemExit(
                        f"{name} ended with {part.code}, not {expected}: {part.err.strip()[-200:]}"
                    )
                row[name] = float(part.out) if name == "video encoding alone" else part.seconds
            for name, value in row.items():
                seconds.setdefault(name, []).append(value)
    spreads = {name: Spread.of(values) for name, values in seconds.items()}
    peak = Spread.of(peaks)
    _report(sidecar["request"], spreads, peak)
    if not asked.dry:
        figures = {
            "request": sidecar["request"],
            "weights": sidecar["weights"],
            "seconds": spreads,
            "peak_gb": peak,
        }
        print(f"\n{save('pipeline', told, figures)}")


def _report(request: dict[str, Any], spreads: dict[str, Spread], peak: Spread) -> None:
    whole = spreads["whole"].median
    rows = [["part", "seconds", "share"]]
    apart = ("import torch", "--help", "bad size", "video encoding alone")
    for name, spread in spreads.items():
        share = "" if name in apart else f"{100 * spread.median / whole:.0f} %"
        rows.append([name, spread.text(), share])
    rows.append(["peak memory", peak.text("GB", 2), ""])
    what = f"{request['width']}x{request['height']}, {request['num_frames']} frames, {request['steps']} steps"
    table(f"filmwright generate, {what}: median (quartiles)", rows)


if __name__ == "__main__":
    main()
