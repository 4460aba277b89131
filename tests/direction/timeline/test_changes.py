"""What an editor did, found in every format: the frames, the sentences, what has to be rendered again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest

from direction.timeline.edits import full, media, simple
from filmwright.direction.timeline.changes import Difference, changes, difference
from filmwright.direction.timeline.compare import differences
from filmwright.direction.timeline.edit import Edit, Event, Join, Marker, Title
from filmwright.direction.timeline.exchange import CANNOT, SUFFIXES, read_timeline, write_timeline
from filmwright.direction.timeline.otio_write import timeline_of_edit
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import parse_rate


def laid(edit: Edit, events: list[Event]) -> Edit:
    """The events one after the other, as an editor's ripple leaves them."""
    at, found = 0, []
    for event in events:
        start = at - (event.join.frames if event.join and found else 0)
        found.append(replace(event, start=start, join=event.join if found else None))
        at = start + event.duration
    return replace(edit, events=tuple(found))


def back(before: Edit, after: Edit, suffix: str, folder: Path) -> Difference:
    """What we find when `after` comes back through a file."""
    path = folder / f"cut{suffix}"
    write_timeline(after, path)
    found = read_timeline(path, rate=before.rate, start=before.start)
    return difference(before, found.edit, cannot=CANNOT[found.form])


def told(found: Difference) -> list[tuple[str, str]]:
    return [(change.kind, change.shot) for change in found.changes]


EVERYWHERE = pytest.mark.parametrize("suffix", SUFFIXES)


@EVERYWHERE
@pytest.mark.parametrize("fps", ["23.976", "29.97df", "25"])
def test_nothing_changed(suffix: str, fps: str, tmp_path: Path) -> None:
    edit = full(fps)
    found = back(edit, edit, suffix, tmp_path)
    assert told(found) == []
    assert not differences(edit, found.merged), "what the format cannot tell comes from the old cut"


@EVERYWHERE
def test_trims(suffix: str, tmp_path: Path) -> None:
    edit = simple(8)
    events = list(edit.events)
    events[1] = replace(events[1], source_start=17, duration=43)
    events[6] = replace(events[6], duration=40)  # at double speed
    found = back(edit, laid(edit, events), suffix, tmp_path)
    assert told(found) == [("trim", "sh0001"), ("trim", "sh0006")]
    first, second = found.changes
    assert first.sentence == "sh0001: starts 5 frames later: frames 17 to 60 of its file, were 12 to 60"
    assert (first.after["source_start"], first.after["num_frames"]) == (17, 43)
    assert second.sentence == "sh0006: ends 8 frames earlier: frames 12 to 92 of its file, were 12 to 108"
    assert found.rerender == ()


@EVERYWHERE
def test_order(suffix: str, tmp_path: Path) -> None:
    edit = simple(4)
    events = [edit.events[i] for i in (0, 3, 1, 2)]
    found = back(edit, laid(edit, events), suffix, tmp_path)
    assert told(found) == [("moved", "sh0003")], "one clip was moved, not three"
    assert found.changes[0].sentence == "sh0003: moved after sh0000"


@EVERYWHERE
def test_removed_added_and_unknown(suffix: str, tmp_path: Path) -> None:
    edit = simple(4)
    stranger = Event(name="stock", start=0, duration=20, source_start=5, media=media("stock footage"))
    again = replace(edit.events[0], source_start=20, duration=10)
    events = [edit.events[0], edit.events[2], stranger, edit.events[3], again]
    found = back(edit, laid(edit, events), suffix, tmp_path)
    assert told(found) == [("removed", "sh0001"), ("unknown", ""), ("added", "sh0000")]
    assert found.changes[2].after["source_start"] == 20
    assert found.merged.events[4].media == edit.events[0].media


@EVERYWHERE
def test_a_shot_longer_than_its_handles_is_rendered_again_and_no_other(suffix: str, tmp_path: Path) -> None:
    edit = simple(6)
    events = list(edit.events)
    events[2] = replace(events[2], duration=48 + 12)  # all of its handle
    events[3] = replace(events[3], duration=48 + 12 + 7)
    events[4] = replace(events[4], duration=48 + 3)
    after = laid(edit, events)
    found = back(edit, after, suffix, tmp_path)
    assert found.rerender == ("sh0003",)
    change = next(change for change in found.changes if change.kind == "rerender")
    assert change.after == {"num_frames": 72 + 7, "more_before": 0, "more_after": 7}
    assert (
        change.sentence
        == "sh0003: needs 7 frames more at its end than it has: render it again with 79 frames"
    )


def test_a_head_before_the_handle_too(tmp_path: Path) -> None:
    edit = simple(3)
    shifted = [
        replace(e, source_start=100 + e.source_start, media=replace(e.media, start=100))
        for e in edit.events
        if e.media
    ]
    edit = laid(edit, shifted)
    events = list(edit.events)
    events[1] = replace(events[1], source_start=95, duration=70, speed=Fraction(-1))
    found = back(edit, laid(edit, events), ".fcpxml", tmp_path)
    change = next(change for change in found.changes if change.kind == "rerender")
    assert change.after == {"num_frames": 77, "more_before": 5, "more_after": 0}


@EVERYWHERE
def test_transitions_fades_speeds_and_gaps(suffix: str, tmp_path: Path) -> None:
    edit = simple(7)
    events = list(edit.events)
    events[1] = replace(events[1], join=Join(frames=6, before=3), source_start=9, duration=51)
    events[0] = replace(events[0], duration=51)  # as a dissolve put on a cut leaves it
    events[3] = replace(events[3], duration=44)
    events[4] = replace(events[4], join=None, source_start=16, duration=44)  # the dissolve was taken out
    events[5] = replace(events[5], fade_out=10)
    events[6] = replace(events[6], speed=Fraction(1))
    after = laid(edit, events)
    after = replace(
        after, events=(*after.events[:6], replace(after.events[6], start=after.events[6].start + 24))
    )
    found = back(edit, after, suffix, tmp_path)
    assert told(found) == [("transition", "sh0001"), ("transition", "sh0004"), ("fade", "sh0005"), ("speed", "sh0006"),
                           ("gap", "sh0006")]  # fmt: skip
    assert found.changes[0].sentence == "sh0001: dissolve of 6 frames, was a cut"
    assert found.changes[0].after["transition"] == {"kind": "dissolve", "num_frames": 6, "wipe": 1}
    assert "speed 100 %, was 200 %" in found.changes[3].sentence
    assert found.merged.events[1].join == Join(frames=6, before=3)


@EVERYWHERE
def test_markers(suffix: str, tmp_path: Path) -> None:
    edit = full()
    events = list(edit.events)
    events[0] = replace(events[0], markers=())
    events[1] = replace(events[1], markers=(Marker(at=30, name="longer please"),))
    found = back(edit, replace(edit, events=tuple(events)), suffix, tmp_path)
    assert sorted(change.sentence for change in found.changes) == [
        "marker 'Auge öffnet' removed at frame 32 of sh010",
        "marker 'longer please' added at frame 86440 of sh020",
    ]


def test_titles_and_sounds_where_the_format_tells_them(tmp_path: Path) -> None:
    edit = full()
    after = replace(
        edit, titles=(*edit.titles[:2], Title(text="new", start=5, duration=9)), sounds=edit.sounds[1:]
    )
    kinds = {
        suffix: sorted(kind for kind, _ in told(back(edit, after, suffix, tmp_path))) for suffix in SUFFIXES
    }
    assert kinds == {suffix: [] if suffix == ".edl" else ["sound", "title", "title"] for suffix in SUFFIXES}


def forget(event: Event) -> Event:
    return replace(event, shot="", take=0, digest="")


@pytest.mark.parametrize(
    "known_by",
    [
        lambda event: replace(forget(event), name="clip"),  # by the file
        lambda event: replace(forget(event), media=None),  # by the name
        lambda event: replace(forget(event), media=None, name=f"{event.name}.mp4"),
        lambda event: replace(forget(event), media=None, name=f"{event.name} copy 2"),
        lambda event: replace(forget(event), name="x", media=replace(event.media, path=f"C:\\tmp\\{event.media.file_name.upper()}")),
    ],
)  # fmt: skip
def test_clips_are_known_without_our_note(known_by: Callable[[Event], Event]) -> None:
    edit = simple(5)
    after = replace(edit, events=tuple(known_by(event) for event in edit.events))
    found = difference(edit, after)
    assert told(found) == []
    assert found.merged == edit


def test_clips_are_known_by_their_reel() -> None:
    edit = simple(3)
    text = "TITLE: x\nFCM: NON-DROP FRAME\n"
    from filmwright.direction.timeline.edl_read import read_edl
    from filmwright.direction.timeline.edl_write import write_edl

    rows = [line for line in write_edl(edit)[0].splitlines() if line[0].isdigit()]
    after, _ = read_edl(text + "\n".join(rows), rate=edit.rate)
    assert told(difference(edit, after, cannot=CANNOT[".edl"])) == []


def test_a_file_whose_timecode_was_passed_over_counts_from_zero() -> None:
    edit = simple(2)
    event = replace(
        edit.events[0], source_start=90012, media=media("film_sh0000_v001", start=90000, duration=72)
    )
    edit = replace(edit, events=(event, edit.events[1]))
    theirs = replace(event, source_start=15, media=replace(event.media, start=0))
    found = difference(edit, replace(edit, events=(theirs, edit.events[1])))
    assert [change.sentence for change in found.changes] == [
        "sh0000: starts 3 frames later and ends 3 frames later: frames 90015 to 90063 of its file, were 90012 to 90060"
    ]


def test_uses_of_one_shot_are_paired_by_what_they_show() -> None:
    one = simple(1).events[0]
    parts = [
        replace(one, source_start=start, duration=20, start=0, media=media("a", duration=200))
        for start in (0, 60, 120)
    ]
    edit = laid(simple(1), parts)
    after = laid(edit, [parts[2], parts[0], replace(parts[1], source_start=62)])
    found = difference(edit, after)
    assert told(found) == [("moved", "sh0000"), ("trim", "sh0000")]
    assert found.changes[0].before == {"index": 2}


def test_a_shift_of_the_cut_point_in_a_dissolve_is_no_change() -> None:
    edit = simple(6)
    events = [replace(e, join=replace(e.join, before=0)) if e.join else e for e in edit.events]
    assert told(difference(edit, replace(edit, events=tuple(events)))) == []


def test_other_rates_are_refused() -> None:
    with pytest.raises(TimelineError, match=r"23\.976"):
        difference(full("24"), full("23.976"))
    assert told(difference(full("29.97df"), replace(full("29.97df"), rate=parse_rate("29.97")))) == []


def test_on_opentimelineio_alone() -> None:
    edit = simple(6)
    before = timeline_of_edit(edit)
    after = before.deepcopy()
    clip = after.tracks[0][0]
    clip.source_range = otio.opentime.TimeRange(
        clip.source_range.start_time, otio.opentime.RationalTime(80, 24)
    )
    found = changes(before, after)
    assert [(change.kind, change.shot) for change in found] == [("trim", "sh0000"), ("rerender", "sh0000")]
    assert found[1].after["num_frames"] == 12 + 80
    assert changes(before, before) == ()


def test_merging_is_what_the_differences_say() -> None:
    """Taken over once, nothing is left to be taken over."""
    edit = simple(9)
    events = [replace(e, duration=e.duration - i % 3) for i, e in enumerate(edit.events)]
    after = laid(edit, events[::-1])
    merged = difference(edit, after).merged
    assert told(difference(merged, after)) == []
    assert told(difference(edit, merged)) == told(difference(edit, after))
