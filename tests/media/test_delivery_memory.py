"""Memory of delivery does not grow with the film: one minute against ten, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
from fractions import Fraction
import numpy as np
from filmwright.media.deliver import Audio, deliver
from filmwright.media.source import open_source

minutes, what, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
rate = 16_000

def sound():
    wave = (0.1 * np.sin(np.arange(rate) / 9)).astype(np.float32)
    for _ in range(60 * minutes):
        yield np.stack([wave, wave])

def pictures():
    for i in range(60 * minutes):
        yield np.full((5, 64, 96, 3), i % 200, np.uint8)

if what == "sound":
    deliver((), folder + "/a.wav", format="wav", width=0, height=0, fps=Fraction(5),
            audio=Audio(samples=sound(), rate=rate), loudness=-20)
else:
    deliver(pictures(), folder + "/a.mov", format="prores-422-hq", width=96, height=64, fps=Fraction(5),
            audio=Audio(samples=sound(), rate=rate))
    again = open_source(folder + "/a.mov")
    deliver(again.frames(size=(64, 64)), folder + "/b.mp4", format="h264", width=64, height=64, fps=Fraction(5))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.parametrize("what", ["sound", "film"])
def test_ten_minutes_need_no_more_than_one(tmp_path: Path, what: str) -> None:
    peaks = []
    for minutes in (1, 10):
        (tmp_path / str(minutes)).mkdir()
        words = [sys.executable, "-c", PROGRAM, str(minutes), what, str(tmp_path / str(minutes))]
        peaks.append(float(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
    # nine minutes of this sound are 69 MB, of these pictures 50 MB
    assert peaks[1] - peaks[0] < 16, f"{peaks[0]:.0f} MB for one minute, {peaks[1]:.0f} MB for ten"
