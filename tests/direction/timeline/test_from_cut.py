"""A film's cut as a timeline: frame for frame what the conform plays."""

from __future__ import annotations

from pathlib import Path

import opentimelineio as otio
import pytest

from filmwright.direction.timeline.from_cut import edit_of_cut
from filmwright.direction.timeline.otio_write import timeline_of_edit
from filmwright.spec.cut import Cut, CutEvent, Grade, Join, Sound, Source, Title
from filmwright.spec.errors import TimelineError


def source(shot: str, fps: int = 24, frames: int = 97) -> Source:
    return Source(shot=shot, take=2, num_frames=frames, fps=fps, width=256, height=160, digest=f"{shot}-d",
                  path=Path(f"/films/store/{shot}.mkv"), clip=Path(f"/films/store/{shot}.mp4"))  # fmt: skip


def a_cut(fps: int = 24) -> Cut:
    return Cut(
        title="Harbour", fps=fps, width=256, height=160,
        events=(
            CutEvent(source=source("sh010"), source_start=10, num_source_frames=60, record_start=0, num_frames=60, fade_in=12),
            CutEvent(source=source("sh020"), source_start=0, num_source_frames=48, record_start=50, num_frames=48,
                     join=Join(kind="dissolve", num_frames=10)),
            CutEvent(source=source("sh030"), source_start=4, num_source_frames=80, record_start=90, num_frames=40, speed=2.0,
                     join=Join(kind="wipe", num_frames=8, direction="up"), fade_out=6, grade=Grade(saturation=0.5)),
        ),
        titles=(Title(text="Harbour", record_start=6, num_frames=30, place="lower"),),
        sounds=(Sound(path=Path("/films/waves.wav"), digest="00", at=0.5, start=1.0, seconds=2.0, level=-6.0, fade_in=0.25),
                Sound(path=Path("/films/rain.wav"), digest="01")),
    )  # fmt: skip


def test_frames_are_those_of_the_cut() -> None:
    cut = a_cut()
    edit, losses = edit_of_cut(cut)
    assert [(e.start, e.duration, e.source_start) for e in edit.events] == [
        (0, 60, 10),
        (50, 48, 0),
        (90, 40, 4),
    ]
    assert [(e.shot, e.take, e.digest) for e in edit.events] == [
        (s, 2, f"{s}-d") for s in ("sh010", "sh020", "sh030")
    ]
    assert edit.events[2].join is not None
    assert (edit.events[2].join.wipe, edit.events[2].speed) == (102, 2)
    assert edit.duration == cut.num_frames == 130
    assert edit.at(0) == "01:00:00:00"
    assert [(s.track, s.start, s.duration, s.source_start, s.gain, s.fade_in) for s in edit.sounds] == [
        (1, 12, 48, 24, -6.0, 6), (2, 0, 130, 0, 0.0, 0),
    ]  # fmt: skip
    assert losses == ()
    assert [event.cdl is not None for event in edit.events].count(True) == 1


def test_the_timeline_is_the_convention() -> None:
    timeline = timeline_of_edit(edit_of_cut(a_cut())[0])
    assert timeline.global_start_time == otio.opentime.RationalTime(86400, 24)
    assert [track.name for track in timeline.tracks] == ["V1", "TITLES", "A1", "A2"]
    clips = list(timeline.tracks[0].find_clips())
    assert [clip.name for clip in clips] == ["sh010", "sh020", "sh030"]
    assert clips[0].metadata["filmwright"]["take"] == 2
    assert clips[0].media_reference.target_url == "file:///films/store/sh010.mp4"
    assert clips[0].media_reference.available_range.duration.value == 97
    assert clips[2].effects[0].time_scalar == 2.0
    assert timeline.tracks[0].trimmed_range().duration.value == 130, "the cut points leave no hole"
    assert [clip.trimmed_range_in_parent().start_time.value for clip in clips] == [0, 55, 94]
    joins = [item for item in timeline.tracks[0] if isinstance(item, otio.schema.Transition)]
    assert [j.transition_type for j in joins] == [
        "Custom_Transition",
        "SMPTE_Dissolve",
        "Custom_Transition",
        "Custom_Transition",
    ]
    assert [j.metadata["filmwright"]["kind"] for j in joins] == ["fade", "dissolve", "wipe", "fade"]


def test_a_source_of_another_rate_counts_in_the_films_frames() -> None:
    cut = a_cut()
    slow = CutEvent(
        source=source("sh040", fps=16, frames=33),
        source_start=3,
        num_source_frames=30,
        record_start=0,
        num_frames=44,
    )
    edit, losses = edit_of_cut(
        Cut(title="x", fps=24, width=256, height=160, events=(slow,), sounds=cut.sounds[:1])
    )
    event = edit.events[0]
    assert event.media is not None
    assert (event.source_start, event.media.duration) == (4, 49), "4.5 frames are no frame"
    assert [loss.feature for loss in losses] == ["picture"]


def test_a_cut_that_cannot_be_played_is_refused() -> None:
    events = a_cut().events
    with pytest.raises(TimelineError, match="overlaps"):
        edit_of_cut(Cut(title="x", fps=24, width=1, height=1, events=(events[0], CutEvent(
            source=source("sh020"), source_start=0, num_source_frames=9, record_start=50, num_frames=9))))  # fmt: skip
