"""Timelines for the tests, with every feature that an edit has."""

from __future__ import annotations

from fractions import Fraction

from filmwright.direction.timeline.edit import Edit, Event, Join, Marker, Media, Sound, Title
from filmwright.spec.timecode import Rate, parse_rate, timecode

RATES = ("24000/1001", "24", "25", "29.97df", "30000/1001", "30", "59.94df", "60")


def media(name: str, *, start: int = 0, duration: int = 120) -> Media:
    return Media(path=f"/renders/{name}.mp4", start=start, duration=duration)


def hour(rate: Rate) -> int:
    """The frame of 01:00:00:00."""
    return next(f for f in (3600 * rate.timebase, 107892, 215784) if timecode(f, rate)[:8] == "01:00:00")


def full(fps: str = "24") -> Edit:
    """Cuts, a dissolve, a wipe, fades, a dip to black, a gap, speeds, titles, sounds and markers."""
    rate = parse_rate(fps)
    events = (
        Event(name="sh010", shot="sh010", take=1, digest="aa11", start=0, duration=60, source_start=12,
              media=media("film_sh010_v001"), fade_in=12,
              markers=(Marker(at=20, name="Auge öffnet", color="RED", note="two\nlines", duration=5),)),
        Event(name="sh020", shot="sh020", take=2, digest="bb22", start=48, duration=60, source_start=86410,
              media=media("film_sh020_v002", start=86400), join=Join(frames=12, before=5)),
        Event(name="sh010", shot="sh010", take=1, digest="aa11", start=108, duration=30, source_start=70,
              media=media("film_sh010_v001")),  # the same shot again
        Event(name="half speed", shot="sh030", take=1, digest="cc33", start=126, duration=50, source_start=17,
              media=media("film_sh030_v001"), speed=Fraction(1, 2),
              join=Join(kind="wipe", frames=12, before=6, wipe=102), fade_out=10),
        Event(name=("café 東京 " + "long " * 30).strip(), shot="sh040", take=1, digest="dd44", start=176, duration=24,
              source_start=31, media=media("film_sh040_v001"), speed=Fraction(2), fade_in=8,
              markers=(Marker(at=3, name="late", color="ORANGE"),)),
        Event(name="backwards", shot="sh050", take=3, digest="ee55", start=224, duration=40, source_start=120,
              media=media("film_sh050_v003", start=100), speed=Fraction(-1)),
        Event(name="slowly back", shot="sh060", take=1, digest="ff66", start=252, duration=41, source_start=11,
              media=media("film_sh060_v001"), speed=Fraction(-1, 2), join=Join(frames=12, before=12), fade_out=6,
              fade_color="#ffffff"),
    )  # fmt: skip
    titles = (
        Title(text="Die Brücke\nTeil 1 & <zwei>", start=10, duration=40, style=(("color", "#ffcc00"), ("place", "lower"))),
        Title(text="under", start=30, duration=30),
        Title(text="in the gap", start=204, duration=12),
    )  # fmt: skip
    sounds = (
        Sound(name="music", start=0, duration=290, source_start=48, track=1, gain=-6.0, fade_in=24, fade_out=48,
              media=Media(path="/sound/music one.wav", duration=2000), role="music"),
        Sound(name="steps", start=60, duration=30, source_start=0, track=2, gain=3.5,
              media=Media(path="/sound/steps.wav", duration=400), role="effects"),
        Sound(name="steps", start=150, duration=30, source_start=100, track=2,
              media=Media(path="/sound/steps.wav", duration=400)),
    )  # fmt: skip
    markers = (
        Marker(at=70, name="check colour", color="GREEN"),
        Marker(at=210, name="gap", note="here", duration=4),
    )
    return Edit(
        name="Die Brücke", rate=rate, start=hour(rate), events=events, titles=titles, sounds=sounds, markers=markers,
        width=1920, height=1080,
    ).sorted()  # fmt: skip


def simple(shots: int, fps: str = "24") -> Edit:
    """As many shots of 48 frames with handles of 12, every fifth with a dissolve, every seventh at double speed."""
    rate = parse_rate(fps)
    events: list[Event] = []
    at = 0
    for i in range(shots):
        join = Join(frames=8, before=4) if i % 5 == 4 else None
        start = at - (join.frames if join else 0)
        fast = i % 7 == 6
        events.append(Event(
            name=f"sh{i:04d}", shot=f"sh{i:04d}", take=1, digest=f"{i:08x}", start=start, duration=48, source_start=12,
            media=media(f"film_sh{i:04d}_v001", duration=12 + 48 * (2 if fast else 1) + 12), join=join,
            speed=Fraction(2 if fast else 1),
        ))  # fmt: skip
        at = start + 48
    return Edit(name="many", rate=rate, start=hour(rate), events=tuple(events), width=1280, height=720)
