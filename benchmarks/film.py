"""What a film's build costs beside its shots: a build in which nothing changed, and one in which a word did.

A film of 12 shots is built once. Then, over and over, each in a process of its own: a build with no change; a build
after one shot got another word, which renders that shot and conforms the film anew; and that shot's own render,
`filmwright generate` of the same request. The last two differ by a seed a round, so that nothing is in the store.

    python -m benchmarks.film [--rounds 5] [--steps 12]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import Spread, machine, save, table

CLI = (sys.executable, "-m", "filmwright.cli")
SHOTS = 12
PLACES = ("wooden floor", "marble floor", "checkered floor", "sand")
WORDS = ("rolls to the right", "drops and bounces", "slides to the left")


def film(changed: str, steps: int) -> str:
    """The film file; the words of shot s5 are `changed`."""
    lines = ["title: twelve shots", f"steps: {steps}", "sequences:", "  - id: all", "    shots:"]
    for n in range(SHOTS):
        words = f"a red ball {WORDS[n % 3]} on a {PLACES[n % 4]}" if n != 5 else changed
        lines.append(f"      - {{id: s{n}, seed: {n}, prompt: {words}}}")
    return "\n".join(lines) + "\n"


def timed(*arguments: str) -> tuple[float, dict[str, Any]]:
    """Seconds of the command from the shell's point of view, and what it printed as JSON."""
    began = time.perf_counter()
    done = subprocess.run([*CLI, *arguments, "--json"], capture_output=True, text=True, check=True)
    return time.perf_counter() - began, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    unchanged, changed, own, ratios = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FILMWRIGHT_HOME"] = str(Path(folder) / "home")
        path, clip = Path(folder) / "film.yaml", Path(folder) / "clip.mp4"
        path.write_text(film("a red ball spins on sand", options.steps))
        first, built = timed("film", "build", str(path))
        assert len(built["made"]) == SHOTS + 1
        for n in range(options.rounds):
            seconds, built = timed("film", "build", str(path))
            assert not built["made"]
            unchanged.append(seconds)
            prompt = f"a red ball spins {n + 2} times on sand"
            path.write_text(film(prompt, options.steps))
            seconds, built = timed("film", "build", str(path))
            assert built["made"] == ["s5#1", "-> film.mp4"], built["made"]
            changed.append(seconds)
            arguments = ("--seed", "5", "--steps", str(options.steps), "-o", str(clip))
            seconds, _ = timed("generate", prompt, *arguments)
            own.append(seconds)
            ratios.append(changed[-1] / own[-1])
    rows = [
        ["a build with no change", f"{Spread.of(unchanged)} s", "1 s"],
        ["a build with one word changed, of 12 shots", f"{Spread.of(changed)} s", ""],
        ["that shot's own render", f"{Spread.of(own)} s", ""],
        ["ratio of the two", f"{Spread.of(ratios)}", "1.15"],
        ["the first build", f"{first:.1f} s", ""],
    ]
    print(table(["what", "measured", "bar"], rows))
    print(machine())
    save("film", {"unchanged": unchanged, "changed": changed, "own": own, "ratios": ratios, "first": first})


if __name__ == "__main__":
    main()
