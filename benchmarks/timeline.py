"""Timelines of 200 shots to every format and back: seconds, and what of a timeline with every feature survives.

The time is that of the whole trip, files written and read; the table of features is measured by comparing the edit that
was written with the one that was read, in frames.

    python -m benchmarks.timeline
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.common import Spread, interleaved, machine, save, table

from filmwright.direction.timeline.compare import differences
from filmwright.direction.timeline.edit import FEATURES
from filmwright.direction.timeline.exchange import SUFFIXES, read_timeline, write_timeline

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from direction.timeline.edits import RATES, full, simple

SHOTS = 200
ROUNDS = 5
LIMIT = 2.0  # seconds


def main() -> None:
    """Measures, prints and keeps the figures."""
    told = machine()
    edit = simple(SHOTS, "23.976")
    with tempfile.TemporaryDirectory() as folder:
        paths = {suffix: Path(folder) / f"film{suffix}" for suffix in SUFFIXES}

        def trip(suffix: str) -> None:
            write_timeline(edit, paths[suffix])
            back = read_timeline(paths[suffix]).edit
            assert [e.start for e in back.events] == [e.start for e in edit.events]

        seconds = interleaved({suffix: lambda s=suffix: trip(s) for suffix in SUFFIXES}, rounds=ROUNDS)
        spreads = {suffix: Spread.of(values) for suffix, values in seconds.items()}
        rows = [["format", "export and import", "file"]]
        rows += [[s, spreads[s].text(), f"{paths[s].stat().st_size / 1e3:.0f} kB"] for s in SUFFIXES]
        table(f"{SHOTS} shots at 23.976, under {LIMIT:g} s", rows)
        lost = survey(Path(folder))
    names = [["what", *SUFFIXES]]
    names += [
        [what, *("lost" if feature in lost[s] else "kept" for s in SUFFIXES)]
        for feature, what in FEATURES.items()
    ]
    table(f"a timeline with every feature, at {len(RATES)} rates", names)
    save("timeline", told, {"seconds": spreads, "lost": {s: sorted(lost[s]) for s in SUFFIXES}})
    if max(spread.median for spread in spreads.values()) > LIMIT:
        sys.exit(f"a trip takes more than {LIMIT:g} s")


def survey(folder: Path) -> dict[str, set[str]]:
    """What each format loses at any rate; a loss that the exporter does not say ends the benchmark."""
    lost: dict[str, set[str]] = {suffix: set() for suffix in SUFFIXES}
    for fps in RATES:
        edit = full(fps)
        media = folder / "media"
        media.mkdir(exist_ok=True)
        for event in edit.events if fps == RATES[0] else ():
            assert event.media is not None
            (media / event.media.file_name).write_bytes(b"frames")
        for suffix in SUFFIXES:
            packed = edit
            if suffix == ".otioz":
                packed = replace(edit, events=tuple(
                    replace(e, media=replace(e.media, path=str(media / e.media.file_name)) if e.media else None)
                    for e in edit.events
                ))  # fmt: skip
            losses = write_timeline(
                packed, folder / f"full{suffix}", media=media if suffix == ".otioz" else None
            )
            found = differences(packed, read_timeline(folder / f"full{suffix}").edit)
            said = {loss.feature for loss in losses} - {"media"}
            assert found == said, f"{suffix} at {fps}: lost {sorted(found)}, said {sorted(said)}"
            lost[suffix] |= found
    return lost


if __name__ == "__main__":
    main()
