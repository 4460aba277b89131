"""What a film's build costs beside its shots: a build in which nothing changed, and one in which a word did.

A film of 12 shots is built once. Then, over and over, each in a process of its own: a build with no change; a build
after one shot got another word, which renders that shot and conforms the film anew; and that shot's own render,
`filmwright generate` of the same request. Each round has other words, so that nothing is in the store, and the ratio of
the two is taken within it; also of their processor time, which other work on the machine disturbs less.

    python -m benchmarks.film [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import Spread, machine, save, table

CLI = (sys.executable, "-m", "filmwright.cli")
SHOTS = 12
PLACES = ("wooden floor", "marble floor", "checkered floor", "sand")
COLOURS = ("red", "blue", "green", "yellow", "white")
SUBJECTS = ("cube", "cone", "cylinder")
WORDS = ("rolls to the right", "drops and bounces", "slides to the left")


def film(changed: str) -> str:
    """The film file; the words of shot s5 are `changed`."""
    lines = ["title: twelve shots", "sequences:", "  - id: all", "    shots:"]
    for n in range(SHOTS):
        words = f"a red ball {WORDS[n % 3]} on a {PLACES[n % 4]}" if n != 5 else changed
        lines.append(f"      - {{id: s{n}, seed: {n}, prompt: {words}}}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A command from the shell's point of view: seconds on the wall and of the processor, and what it printed."""

    seconds: float
    processor: float
    told: dict[str, Any]


def timed(*arguments: str) -> Ran:
    """Runs a command with --json to its end."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        child = subprocess.Popen([*CLI, *arguments, "--json"], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if child.returncode:
        raise SystemExit(said)
    return Ran(seconds=seconds, processor=usage.ru_utime + usage.ru_stime, told=json.loads(said))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    told = machine()
    runs: dict[str, list[Ran]] = {"no change": [], "one word": [], "the shot's own render": []}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FILMWRIGHT_HOME"] = str(Path(folder) / "home")
        path, clip = Path(folder) / "film.yaml", Path(folder) / "clip.mp4"
        path.write_text(film("a red ball spins on sand"))
        first = timed("film", "build", str(path))
        assert len(first.told["made"]) == SHOTS + 1
        for n in range(asked.rounds):
            runs["no change"].append(timed("film", "build", str(path)))
            assert not runs["no change"][-1].told["made"]
            prompt = (
                f"a {COLOURS[n % len(COLOURS)]} {SUBJECTS[n // len(COLOURS) % len(SUBJECTS)]} spins on grass"
            )
            path.write_text(film(prompt))
            runs["one word"].append(timed("film", "build", str(path)))
            assert runs["one word"][-1].told["made"] == ["s5#1", "-> film.mp4"]
            runs["the shot's own render"].append(timed("generate", prompt, "--seed", "5", "-o", str(clip)))
    rows = [["build", "seconds", "processor seconds"]]
    figures: dict[str, Any] = {"first": {"seconds": first.seconds, "processor": first.processor}}
    for name, made in runs.items():
        wall, busy = Spread.of([ran.seconds for ran in made]), Spread.of([ran.processor for ran in made])
        rows.append([name, wall.text(), busy.text()])
        figures[name] = {"seconds": wall, "processor": busy}
    pairs = list(zip(runs["one word"], runs["the shot's own render"], strict=True))
    wall = Spread.of([changed.seconds / own.seconds for changed, own in pairs])
    busy = Spread.of([changed.processor / own.processor for changed, own in pairs])
    rows.append(["one word, against the shot's own render", wall.text(""), busy.text("")])
    figures["ratio"] = {"seconds": wall, "processor": busy}
    rows.append([f"the first build, {SHOTS} shots", f"{first.seconds:.1f} s", f"{first.processor:.1f} s"])
    table(f"a film of {SHOTS} shots: median (quartiles)", rows)
    print(f"\n{save('film', told, figures)}")


if __name__ == "__main__":
    main()
