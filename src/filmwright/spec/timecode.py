"""Rates as exact fractions, and timecode as SMPTE ST 12-1 counts it, with and without drop frames.

A rate is a fraction, so that 23.976 is 24000/1001 and no hour drifts. Timecode only labels frames: at 29.97 with drop
frames two labels are left out each minute but the tenth (four at 59.94), so that the labels keep up with the clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from filmwright.spec.errors import TimelineError

__all__ = ["MAX_RATE", "Rate", "frame_of", "parse_rate", "rate_near", "rate_of", "timecode"]

MAX_RATE = 240
NTSC = (24, 30, 48, 60, 120, 240)  # the whole rates that have a sister 1000/1001 as fast
DROP = {30: 2, 60: 4}  # labels left out each minute
TIMECODE = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Frames a second, and whether the timecode drops labels; make one with `rate_of` or `parse_rate`."""

    fps: Fraction
    drop: bool = False

    @property
    def timebase(self) -> int:
        """Frames that one second of timecode counts: 24 for 23.976."""
        return -(-self.fps.numerator // self.fps.denominator)

    @property
    def ntsc(self) -> bool:
        """Whether it is 1000/1001 of a whole rate."""
        return self.fps.denominator == 1001

    @property
    def said(self) -> str:
        """Such as "23.976", "25" or "29.97 drop frame"."""
        text = f"{float(self.fps):.3f}".rstrip("0").rstrip(".")
        return f"{text} drop frame" if self.drop else text


def rate_of(fps: Fraction | int, *, drop: bool = False) -> Rate:
    """The rate of an exact number of frames a second.

    Raises:
        TimelineError: no rate of film or video, or drop frames at a rate that has none.
    """
    fps = Fraction(fps)
    whole = fps.denominator == 1
    sister = fps.denominator == 1001 and fps.numerator in {1000 * base for base in NTSC}
    if not (whole or sister) or not 1 <= fps <= MAX_RATE:
        raise TimelineError(
            f"{fps} frames a second is no rate of a timeline: a whole number of 1 to {MAX_RATE}, "
            "or 24000/1001, 30000/1001, 60000/1001"
        )
    rate = Rate(fps=fps, drop=drop)
    if drop and not (rate.ntsc and rate.timebase in DROP):
        raise TimelineError(
            f"drop frames exist at 29.97 and 59.94 only, not at {float(fps):.3f}; leave drop away"
        )
    return rate


def rate_near(number: float, *, drop: bool = False) -> Rate:
    """The rate that a rounded number means: 23.976 and 23.98 are 24000/1001.

    Raises:
        TimelineError: it is near none.
    """
    if number == number and abs(number) < 1e6:  # not NaN
        if abs(number - round(number)) < 1e-4:
            return rate_of(round(number), drop=drop)
        for base in NTSC:
            if abs(number - base * 1000 / 1001) < base * 2e-4:
                return rate_of(Fraction(base * 1000, 1001), drop=drop)
    raise TimelineError(
        f"{number:g} frames a second is no rate of a timeline; such as 23.976, 24, 25, 29.97, 30, 60"
    )


def parse_rate(text: str) -> Rate:
    """The rate of a text: "24", "23.976", "24000/1001", "29.97df" with drop frames.

    Raises:
        TimelineError: it is none.
    """
    words = text.strip().lower()
    drop = words.endswith("df") and not words.endswith("ndf")
    words = words.removesuffix("ndf").removesuffix("df").strip()
    if re.fullmatch(r"\d{1,7}/\d{1,5}", words, re.ASCII) and int(words.split("/")[1]):
        return rate_of(Fraction(words), drop=drop)
    if re.fullmatch(r"\d{1,4}(\.\d{1,6})?", words, re.ASCII):
        return rate_near(float(words), drop=drop)
    raise TimelineError(f"{text[:40]!r} is no frame rate; such as 24, 23.976, 24000/1001 or 29.97df")


def timecode(frame: int, rate: Rate) -> str:
    """The label of a frame, such as 01:00:00:00; the last separator is `;` with drop frames.

    Raises:
        TimelineError: the frame is before zero or after 24 hours, where labels begin again.
    """
    base = rate.timebase
    skipped = DROP[base] if rate.drop else 0
    minute = base * 60 - skipped  # frames of a minute that drops labels; the tenth minute has them all
    ten = minute * 10 + skipped
    if not 0 <= frame < ten * 6 * 24:
        raise TimelineError(
            f"frame {frame} at {rate.said} has no timecode: it is not within 24 hours; start earlier"
        )
    if skipped:
        tens, rest = divmod(frame, ten)
        minutes = max(0, (rest - skipped) // minute)  # the first minute is longer by what is skipped
        frame += skipped * (9 * tens + minutes)
    seconds, frames = divmod(frame, base)
    separator = ";" if rate.drop else ":"
    digits = 3 if base > 100 else 2
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{separator}{frames:0{digits}d}"


def frame_of(text: str, rate: Rate) -> int:
    """The frame that a label names; the separator before the frames does not matter, the rate's `drop` does.

    Raises:
        TimelineError: no timecode, or one that does not exist at this rate.
    """
    found = TIMECODE.fullmatch(text)
    if found is None:
        raise TimelineError(f"{text[:40]!r} is no timecode; it has the form 01:00:00:00")
    hours, minutes, seconds, frames = (int(found[i]) for i in (1, 2, 3, 5))
    base = rate.timebase
    if hours > 23 or minutes > 59 or seconds > 59 or frames >= base:
        raise TimelineError(f"timecode {text} does not exist at {rate.said} frames a second; check the rate")
    total = (hours * 3600 + minutes * 60 + seconds) * base + frames
    if not rate.drop:
        return total
    skipped = DROP[base]
    if frames < skipped and seconds == 0 and minutes % 10:
        raise TimelineError(f"timecode {text} is dropped at {rate.said}; the next label is ...;{skipped:02d}")
    total_minutes = hours * 60 + minutes
    return total - skipped * (total_minutes - total_minutes // 10)
