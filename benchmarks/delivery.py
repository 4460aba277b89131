"""Peak memory of post and of every kind of delivery, of one minute of film against ten: it must not grow.

Frames are small and made up, 5 a second, 96x64 pixels, or as large as a form needs; sound is stereo at 16 kHz. Each run
is a process of its own, and tells the most memory that it ever held; memory that all frames of the longer film would
need is told beside. A form with sound is given sound, a WAVE file is also brought to a loudness, which reads it twice.

    python -m benchmarks.delivery [--minutes 1 10] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.common import machine, save, table
from numpy.typing import NDArray

from filmwright.media.formats import DELIVERIES

RATE = 16_000  # samples of sound a second
FPS = 5
SIZE = (96, 64)
POST = "post, all six stages"
CASES = (POST, *DELIVERIES, "wav, loudness")
BAR = 1.1  # times the memory of the shorter film, and SLACK on top
SLACK = 16  # MB: an encoder's buffers fill up over more than a minute


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs=2, default=(1, 10), metavar=("SHORT", "LONG"))
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--case", help=argparse.SUPPRESS)  # the child: one case, the first length
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        run(asked.case, round(60 * asked.minutes[0]), asked.folder)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    told, (short, long) = machine(), asked.minutes
    rows = [["case", f"{short:g} min", f"{long:g} min", "ratio", "more", "what the rest would hold"]]
    figures: dict[str, Any] = {"minutes": [short, long], "bar": f"{BAR} times and {SLACK} MB"}
    grown = []
    for case in asked.only:
        less, more = (peak_of(case, minutes) for minutes in (short, long))
        rest = (long - short) * 60 * bytes_a_second(case) / 1e6
        if more > BAR * less + SLACK:
            grown.append(case)
        figures[case] = {
            "peak, MB": [round(less, 1), round(more, 1)], "ratio": round(more / less, 4), "rest, MB": round(rest, 1)
        }  # fmt: skip
        rows.append(
            [
                case,
                f"{less:.1f} MB",
                f"{more:.1f} MB",
                f"{more / less:.3f}",
                f"{more - less:+.1f} MB",
                f"{rest:.0f} MB",
            ]
        )
        print(f"{case}: {less:.1f} MB, {more:.1f} MB", file=sys.stderr)
    table("peak memory of a process, by the length of the film", rows)
    print(f"  bar: {figures['bar']}: {'missed by ' + ', '.join(grown) if grown else 'held by all'}")
    print(f"\n{save('delivery', told, figures)}")


def peak_of(case: str, minutes: float) -> float:
    """The most memory that a process held which made so many minutes, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.delivery", "--case", case, "--folder", folder]
        command += ["--minutes", str(minutes), str(minutes)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def size_of(case: str) -> tuple[int, int]:
    """Width and height of a case's frames; of forms that take no small ones the least that they take."""
    if case not in DELIVERIES:
        return SIZE
    form = DELIVERIES[case]
    width, height = (max(side, least) for side, least in zip(SIZE, form.least, strict=True))
    return width, height


def bytes_a_second(case: str) -> int:
    """What a second of frames and sound takes uncompressed."""
    form = DELIVERIES.get(case.partition(",")[0])
    width, height = size_of(case)
    pictures = 0 if form and form.kind == "sound" else FPS * width * height * 3
    return pictures + (2 * 4 * RATE if form and form.sound else 0)


def run(case: str, seconds: int, folder: Path) -> None:
    """One case of `CASES`, into a folder."""
    from filmwright.media.deliver import Audio, deliver

    if case == POST:
        post(seconds, folder)
        return
    form = DELIVERIES[case.partition(",")[0]]
    width, height = size_of(case)
    deliver(
        pictures(seconds, width, height),
        folder / f"film{form.suffix}" if form.kind != "pictures" else folder / "film",
        format=form.name,
        width=width,
        height=height,
        fps=Fraction(FPS),
        audio=Audio(samples=sound(seconds), rate=RATE) if form.sound else None,
        loudness=-20.0 if case != form.name else None,
    )


def post(seconds: int, folder: Path) -> None:
    """All six stages over frames, as `filmwright post` runs them, into an H.264 file."""
    from filmwright.media.post.chain import applied
    from filmwright.media.video import VideoWriter
    from filmwright.spec.cut import Grade
    from filmwright.spec.post import Deflicker, Denoise, GradeStage, Resize, Retime, Stabilise

    stages = (
        Deflicker(),
        Denoise(),
        Stabilise(),
        Retime(fps=2 * FPS, method="blend"),
        Resize(width=64, height=64),
        GradeStage(grade=Grade(saturation=0.9)),
    )
    with VideoWriter(folder / "film.mp4", 64, 64, 2 * FPS) as video:
        for chunk in applied(stages, pictures(seconds, *SIZE), Fraction(FPS)):
            video.write(chunk)


def pictures(seconds: int, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """A rough wall that moves one pixel a frame, a second at a time."""
    wall = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for second in range(seconds):
        yield np.stack([np.roll(wall, second * FPS + k, axis=1) for k in range(FPS)])


def sound(seconds: int) -> Iterator[NDArray[np.float32]]:
    """A tone on two channels, a second at a time."""
    wave = (0.1 * np.sin(np.arange(RATE) / 9)).astype(np.float32)
    for _ in range(seconds):
        yield np.stack([wave, wave])


if __name__ == "__main__":
    main()
