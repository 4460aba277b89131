"""What a film's build costs beside its shots: a build in which nothing changed, and one in which a word did.

A film of 12 shots is built once. Then, over and over, each in a process of its own: a build with no change; a build
after one shot got another word, which renders that shot and conforms the film anew; and that shot's own render,
`filmwright generate` of the same request. Each round has other words, so that nothing is in the store, and the ratio of
the two is taken within it; also of their processor time, which other work on the machine disturbs less.

Then the sample film, examples/minute (21 shots, 12 deliverables), in a copy: a build with no change; a build after the
subject of one shot, its first from which no other starts and which starts from none, got another colour. That has to
render this one take, and makes all pictures of the film anew. Its own step, as the build tells it, is set against
`filmwright generate --from` of that take's sidecar, in which starting up, loading and signing are counted too.

    python -m benchmarks.film [--rounds 5] [--sample-rounds 2]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import Spread, machine, save, table

from filmwright.direction.build.graph import name_of, takes_of
from filmwright.direction.build.store import Store
from filmwright.direction.film.opened import OpenFilm, open_film
from filmwright.spec.film import Shot

CLI = (sys.executable, "-m", "filmwright.cli")
SHOTS = 12
PLACES = ("wooden floor", "marble floor", "checkered floor", "sand")
COLOURS = ("red", "blue", "green", "yellow", "white")
SUBJECTS = ("cube", "cone", "cylinder")
SAMPLE = Path(__file__).parent.parent / "examples" / "minute"
BAR = 1.0  # seconds of a build with no change
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
    parser.add_argument(
        "--sample-rounds",
        type=int,
        default=2,
        choices=range(1, len(COLOURS)),
        help="of the sample film, about 70 s each; a colour each",
    )
    asked = parser.parse_args()
    told = machine()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FILMWRIGHT_HOME"] = str(Path(folder) / "home")
        figures = small_film(Path(folder), asked.rounds)
        shutil.copytree(SAMPLE, Path(folder) / "sample")
        figures["sample film"] = sample_film(Path(folder) / "sample" / "film.yaml", asked.sample_rounds)
    print(f"\n{save('film', told, figures)}")


def small_film(folder: Path, rounds: int) -> dict[str, Any]:
    """The made-up film: prints its table, gives its figures."""
    runs: dict[str, list[Ran]] = {"no change": [], "one word": [], "the shot's own render": []}
    path, clip = folder / "film.yaml", folder / "clip.mp4"
    path.write_text(film("a red ball spins on sand"))
    first = timed("film", "build", str(path))
    assert len(first.told["made"]) == SHOTS + 1
    for n in range(rounds):
        runs["no change"].append(timed("film", "build", str(path)))
        assert not runs["no change"][-1].told["made"]
        prompt = f"a {COLOURS[n % len(COLOURS)]} {SUBJECTS[n // len(COLOURS) % len(SUBJECTS)]} spins on grass"
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
    return figures


# ------------------------------------------------------------------------------------------------ the sample film


def sample_film(path: Path, rounds: int) -> dict[str, Any]:
    """The film of a minute: prints its table, gives its figures."""
    shot = shot_alone(open_film(path))
    name = name_of(open_film(path).selected()[shot.id])
    first = timed("film", "build", str(path))
    runs: dict[str, list[float]] = {}

    def note(what: str, seconds: float) -> None:
        runs.setdefault(what, []).append(seconds)

    rendered = takes_in(first)
    anew = [made for made in first.told["made"] if made.startswith("->")]
    for colour in COLOURS[1 : rounds + 1]:
        same = timed("film", "build", str(path))
        assert not same.told["made"], same.told["made"]
        note("no change", same.seconds)
        recolour(path, shot, colour)
        changed = timed("film", "build", str(path))
        assert takes_in(changed) == [name], changed.told["made"]
        took = changed.told["took"]
        anew = [made for made in took if made.startswith("->")]
        note("one word", changed.seconds)
        note(f"one word: the step of {name}", took[name])
        note("one word: deliverables", sum(took[made] for made in anew))
        own = timed("generate", "--from", str(sidecar_of(path, name)), "-o", str(path.with_name("own.mp4")))
        note("generate, same request", own.seconds)
        note("step against generate", took[name] / own.seconds)
    spreads = {what: Spread.of(seconds) for what, seconds in runs.items()}
    rows = [["build", "seconds"]]
    for what, spread in spreads.items():
        rows.append([what, spread.text("" if what == "step against generate" else "s")])
    rows.append([f"the first build, {len(rendered)} takes", f"{first.seconds:.1f} s"])
    outputs = sum(made.startswith("->") for made in first.told["made"])
    table(f"{SAMPLE.name}, {len(rendered)} takes, {outputs} deliverables: median (quartiles)", rows)
    worst = spreads["no change"].most
    print(f"  no change: {worst:.2f} s at most, bar {BAR:g} s: {'held' if worst <= BAR else 'MISSED'}")
    print(f"  one word of shot {shot.id}: rendered {name} and nothing else, {len(anew)} deliverables anew")
    return {
        "shot": shot.id,
        "rendered": [name],
        "deliverables anew": anew,
        "bar, no change": BAR,
        "first": {"seconds": first.seconds, "takes": len(rendered), "deliverables": outputs},
        **spreads,
    }


def shot_alone(film: OpenFilm) -> Shot:
    """The film's first shot from which no other starts, which starts from none, and whose brief names a subject."""
    selected = film.selected()
    starts = {need.shot for draft in selected.values() for need in draft.needs}
    for shot in film.film.shots:
        subject = shot.brief.subject if shot.brief else None
        if shot.id not in starts and not selected[shot.id].needs and subject:
            return shot
    raise SystemExit(f"{film.path}: every shot starts from another, or is one that others start from")


def recolour(path: Path, shot: Shot, colour: str) -> None:
    """Gives the subject of a shot another colour, in that shot alone; nothing else of the file changes."""
    film = open_film(path)
    at = next(
        ("sequences", s, "shots", i)
        for s, sequence in enumerate(film.film.sequences)
        for i, other in enumerate(sequence.shots)
        if other.id == shot.id
    )
    now = film.film.shots[[other.id for other in film.film.shots].index(shot.id)]
    assert now.brief is not None
    assert now.brief.subject is not None
    words = now.brief.subject.format(**film.film.subjects)
    other, count = re.subn(rf"\b({'|'.join(COLOURS)})\b", colour, words)
    assert count == 1, words
    assert other != words
    line, column = film.written.place((*at, "brief", "subject"))
    lines = path.read_text().splitlines(keepends=True)
    before, after = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    assert now.brief.subject in after
    lines[line - 1] = before + after.replace(now.brief.subject, other, 1)
    path.write_text("".join(lines))


def takes_in(ran: Ran) -> list[str]:
    """The takes that a build rendered."""
    return [made for made in ran.told["made"] if not made.startswith("->") and " " not in made]


def sidecar_of(path: Path, name: str) -> Path:
    """Where a rendered take's sidecar lies in the store."""
    store = Store()
    node = takes_of(open_film(path), store)[name].node
    assert node is not None
    return store.blob_path(node.outputs["sidecar"])


if __name__ == "__main__":
    main()
