"""Rates and timecode, held to OpenTimelineIO's and to the facts of SMPTE ST 12-1."""

from __future__ import annotations

from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate, frame_of, parse_rate, rate_near, rate_of, timecode

RATES = ["24000/1001", "24", "25", "29.97", "29.97df", "30", "50", "59.94", "59.94df", "60"]
DAY = {"29.97df": 2_589_408, "59.94df": 5_178_816}  # frames of 24 hours by the clock
DAY |= {"29.97": DAY["29.97df"], "59.94": DAY["59.94df"]}  # where theirs begins anew even without drop frames


@given(name=st.sampled_from(RATES), data=st.data())
def test_as_opentimelineio_counts(name: str, data: st.DataObject) -> None:
    rate = parse_rate(name)
    frame = data.draw(st.integers(0, DAY.get(name, 86400 * rate.timebase) - 1))
    time = otio.opentime.RationalTime(frame, float(rate.fps))
    theirs = otio.opentime.to_timecode(time, float(rate.fps), rate.drop)
    assert timecode(frame, rate) == theirs
    assert frame_of(theirs, rate) == frame


def test_dropped_labels() -> None:
    rate = parse_rate("29.97df")
    assert timecode(1799, rate) == "00:00:59;29"
    assert timecode(1800, rate) == "00:01:00;02"
    assert timecode(17982, rate) == "00:10:00;00"
    assert timecode(107892, rate) == "01:00:00;00"
    with pytest.raises(TimelineError, match="dropped"):
        frame_of("00:01:00;01", rate)
    assert frame_of("00:10:00;01", rate) == 17983


def test_an_hour_of_23_976_is_longer_than_an_hour() -> None:
    rate = parse_rate("23.976")
    assert rate.fps == Fraction(24000, 1001)
    assert frame_of("01:00:00:00", rate) / rate.fps == Fraction(36036, 10)


@pytest.mark.parametrize(
    ("text", "fps"),
    [("24", 24), ("23.98", Fraction(24000, 1001)), ("23.976", Fraction(24000, 1001)), ("29.97", Fraction(30000, 1001)),
     ("30000/1001", Fraction(30000, 1001)), ("59.94 NDF", Fraction(60000, 1001)), ("16", 16), ("119.88", Fraction(120000, 1001))],
)  # fmt: skip
def test_rates_as_people_write_them(text: str, fps: Fraction) -> None:
    assert parse_rate(text) == Rate(fps=Fraction(fps))
    assert rate_near(float(fps)).fps == fps, "what a floating point number keeps of it is enough"


@pytest.mark.parametrize(
    "text", ["", "0", "fast", "24.5", "1e9", "24/0", "-24", "nan", "25000/1001", "24df", "23.976df", "1/3"]
)
def test_no_rates(text: str) -> None:
    with pytest.raises(TimelineError):
        parse_rate(text)


@pytest.mark.parametrize(
    "text", ["", "1:00:00:00", "01:00:00", "01:00:00:24", "01:60:00:00", "24:00:00:00", "٠1:00:00:00"]
)
def test_no_timecodes(text: str) -> None:
    with pytest.raises(TimelineError):
        frame_of(text, parse_rate("24"))


@pytest.mark.parametrize("frame", [-1, 24 * 86400])
def test_frames_without_a_label(frame: int) -> None:
    with pytest.raises(TimelineError, match="24 hours"):
        timecode(frame, rate_of(24))


@given(name=st.sampled_from(RATES), frame=st.integers(0, 2_000_000))
def test_frames_and_seconds_are_exact(name: str, frame: int) -> None:
    rate = parse_rate(name)
    seconds = frame / rate.fps
    assert seconds * rate.fps == frame
    assert (seconds * rate.fps).denominator == 1
