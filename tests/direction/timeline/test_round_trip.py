"""A timeline through every format and back: what differs is exactly what the exporter said."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from direction.timeline.edits import RATES, full, hour, media, simple
from filmwright.direction.timeline.compare import differences
from filmwright.direction.timeline.edit import (
    FEATURES,
    Edit,
    Event,
    Join,
    Loss,
    Marker,
    Sound,
    Title,
    check_edit,
)
from filmwright.direction.timeline.exchange import CANNOT, SUFFIXES, read_timeline, write_timeline
from filmwright.direction.timeline.fcp7_write import COLORS
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import parse_rate


def trip(edit: Edit, path: Path, **how: object) -> tuple[set[str], set[str], tuple[Loss, ...]]:
    """What differs after a round trip, what the exporter said would, and its sentences."""
    losses = write_timeline(edit, path, **how)  # type: ignore[arg-type]
    back = read_timeline(path).edit
    return differences(edit, back), {loss.feature for loss in losses} - {"media"}, losses


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fps", RATES)
def test_what_is_lost_is_what_was_said(fps: str, suffix: str, tmp_path: Path) -> None:
    lost, said, losses = trip(full(fps), tmp_path / f"film{suffix}")
    assert lost == said
    assert all(loss.sentence and loss.count > 0 for loss in losses)


def test_the_picture_survives_everywhere(tmp_path: Path) -> None:
    """The promise of the issue: handles, start, 23.976, dissolves, speed; whatever the format."""
    edit = full("23.976")
    kept = {
        "rate",
        "start",
        "picture",
        "speed",
        "join",
        "join.cut",
        "wipe",
        "fade",
        "clip.name",
        "identity",
        "marker",
    }
    kept_by_format = {".otio": set(FEATURES), ".otioz": set(FEATURES), ".edl": kept,
                      ".xml": kept | {"media.range", "media.path", "title", "sound", "sound.level", "sound.fade",
                                      "marker.color", "marker.owner"},
                      ".fcpxml": kept - {"wipe"} | {"media.range", "title", "sound", "sound.role"}}  # fmt: skip
    for suffix in SUFFIXES:
        lost, _, _ = trip(edit, tmp_path / f"film{suffix}")
        assert not lost & kept_by_format[suffix], suffix
        form = ".otio" if suffix == ".otioz" else suffix
        assert CANNOT[form] >= lost & {"title", "sound", "fade.color"}, (
            "a diff would take this loss for a change"
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_plain_edit_of_cuts_has_no_loss_but_the_reels(suffix: str, tmp_path: Path) -> None:
    lost, said, _ = trip(simple(9), tmp_path / f"film{suffix}")
    assert lost == said
    assert lost == ({"size", "media.path", "media.range"} if suffix == ".edl" else set())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_is_reproducible(suffix: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_timeline(full(), tmp_path / f"{name}{suffix}")
    if suffix != ".otioz":  # an archive holds the time of its making
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert read_timeline(tmp_path / f"a{suffix}") == read_timeline(tmp_path / f"b{suffix}")


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
SPEEDS = st.sampled_from(
    [Fraction(1)] * 4
    + [Fraction(1, 2), Fraction(2), Fraction(-1), Fraction(3, 4), Fraction(-5, 2), Fraction(1, 3)]
)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Any edit that can be played: the parts that a format may fail at are all drawn."""
    rate = parse_rate(draw(st.sampled_from([*RATES, "16"])))
    events: list[Event] = []
    at = draw(st.sampled_from([0, 0, 7]))
    whole = st.integers(0, 200)
    for i in range(draw(st.integers(1, 5))):
        joined = bool(events) and not events[-1].fade_out and draw(st.booleans()) and events[-1].end == at
        room = events[-1].duration - 2 if joined else 0
        if events and events[-1].join:
            room -= events[-1].join.frames
        elif events:
            room -= events[-1].fade_in
        join = None
        if joined and room > 0:
            frames = draw(st.integers(1, min(room, 30)))
            wipe = draw(st.integers(1, 120)) if draw(st.booleans()) else None
            join = Join(kind="dissolve" if wipe is None else "wipe", frames=frames, wipe=wipe or 1,
                        before=draw(st.integers(0, frames)))  # fmt: skip
        start = at - (join.frames if join else 0)
        duration = (join.frames if join else 0) + draw(st.integers(4, 60))
        fades = draw(st.tuples(st.sampled_from([0, 0, 2]), st.sampled_from([0, 0, 2])))
        source, speed, handle = draw(whole), draw(SPEEDS), draw(whole)
        begin = draw(st.sampled_from([0, 86400]))
        event = Event(
            name=draw(NAMES), shot=f"sh{i}", take=draw(st.integers(0, 9)), start=start, duration=duration, speed=speed,
            source_start=begin + source, join=join, fade_in=0 if join else fades[0], fade_out=fades[1],
            digest=draw(st.sampled_from(["", "0f"])),
        )  # fmt: skip
        event = replace(
            event, media=media(draw(NAMES), start=begin, duration=event.source_end - begin + handle)
        )
        marks = draw(st.lists(st.integers(0, duration - 1), max_size=2, unique=True))
        event = replace(event, markers=tuple(
            Marker(at=mark, name=f"m{mark}", color=draw(st.sampled_from(sorted(COLORS)))) for mark in sorted(marks)
        ))  # fmt: skip
        events.append(event)
        at = event.end + draw(st.sampled_from([0, 0, 0, 9]))
    titles = [
        Title(text=draw(NAMES), start=draw(whole), duration=draw(st.integers(1, 50)))
        for _ in range(draw(st.integers(0, 2)))
    ]
    sounds = [
        Sound(name=draw(NAMES), start=draw(whole), duration=50, source_start=draw(whole), track=track,
              media=media("sound", duration=1000), gain=draw(st.sampled_from([0.0, -6.0, 3.25, -40.0])),
              fade_in=draw(st.sampled_from([0, 5])), fade_out=draw(st.sampled_from([0, 9])))
        for track in range(1, draw(st.integers(1, 3)))
    ]  # fmt: skip
    loose = draw(st.lists(st.integers(0, at), max_size=2, unique=True))
    return check_edit(Edit(
        name=draw(NAMES), rate=rate, start=hour(rate), events=tuple(events), titles=tuple(titles), sounds=tuple(sounds),
        markers=tuple(Marker(at=mark, name=f"t{mark}", duration=draw(st.sampled_from([0, 3]))) for mark in loose),
        width=640, height=360,
    ))  # fmt: skip


@pytest.mark.parametrize("suffix", [".otio", ".edl", ".xml", ".fcpxml"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(edit=edits())
def test_any_edit_comes_back_but_for_what_was_said(suffix: str, tmp_path: Path, edit: Edit) -> None:
    try:
        lost, said, _ = trip(edit, tmp_path / f"film{suffix}")
    except TimelineError as error:
        if suffix == ".fcpxml" and "no frame between the cut points" in str(error):
            return
        raise
    assert lost == said
