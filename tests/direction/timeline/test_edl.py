"""What stands in an EDL, read by a reader of the test's own; and EDLs as editors write them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from direction.timeline.edits import full, hour, media, simple
from filmwright.direction.timeline.edit import Edit, Event, Join, check_edit
from filmwright.direction.timeline.edl_read import read_edl
from filmwright.direction.timeline.edl_write import write_edl
from filmwright.direction.timeline.marks import reel_names
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import parse_rate


def frames(stamp: str, base: int) -> int:
    """Non-drop timecode, counted here and not by the code under test."""
    hours, minutes, seconds, rest = (int(part) for part in stamp.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * base + rest


def rows(text: str, base: int) -> list[tuple[str, str, str, str, int, list[int]]]:
    """Number, reel, channel, kind, length of a transition, four frames."""
    found = []
    for line in text.splitlines():
        if line[:3].isdigit():
            assert line[3:5] == "  ", "the number and the reel are two columns apart"
            words = line.split()
            length = int(words[4]) if len(words) == 9 else 0
            found.append(
                (
                    words[0],
                    words[1],
                    words[2],
                    words[3],
                    length,
                    [frames(stamp, base) for stamp in words[-4:]],
                )
            )
    return found


def test_rows_of_pictures_follow_each_other() -> None:
    edit = simple(40)
    text, _ = write_edl(edit)
    found = rows(text, 24)
    at = frames("01:00:00:00", 24)
    numbers: list[str] = []
    for number, reel, channel, _kind, _length, (source_in, _, record_in, record_out) in found:
        assert len(reel) <= 8
        assert reel.isalnum()
        assert reel.isupper()
        assert channel == "V"
        assert record_in == at, f"event {number} does not begin where the one before it ends"
        assert source_in == 12 or record_out == record_in, "the handle before is not in the list"
        at = record_out
        numbers += [number] if not numbers or numbers[-1] != number else []
    assert numbers == [f"{i:03d}" for i in range(1, 41)]
    assert at - frames("01:00:00:00", 24) == edit.duration
    assert sum(kind == "D" for _, _, _, kind, _, _ in found) == 8


def test_a_dissolve_is_two_lines() -> None:
    events = simple(5).events
    text, _ = write_edl(simple(5))
    first, second = [row for row in rows(text, 24) if row[0] == "005"]
    assert first[3] == "C"
    assert first[5] == [12 + 40, 12 + 40, 86400 + events[4].start, 86400 + events[4].start]
    assert second[3:5] == ("D", 8)
    assert second[5][:2] == [12, 60]


def test_speed_is_said_in_frames_a_second() -> None:
    text, _ = write_edl(full("24"))
    lines = [line.split() for line in text.splitlines() if line.startswith("M2")]
    assert [line[2] for line in lines] == ["012.0", "048.0", "-024.0", "-012.0"]
    fast = next(row for row in rows(text, 24) if row[5][0] == 31)
    source_in, source_out, record_in, record_out = fast[5]
    assert source_out - source_in == 2 * (record_out - record_in) == 48


def test_fades_are_dissolves_with_black() -> None:
    text, _ = write_edl(full("24"))
    found = rows(text, 24)
    black = [i for i, row in enumerate(found) if row[1] == "BL"]
    assert len(black) == 4
    assert found[0][1:4] == ("BL", "V", "C")
    assert found[1][3:5] == ("D", 12)
    outs = [found[i] for i in black if found[i][3] == "D"]
    assert [row[4] for row in outs] == [10, 6]
    assert all(row[5][1] - row[5][0] == row[4] for row in outs)


def test_drop_frames_are_said() -> None:
    text, _ = write_edl(full("29.97df"))
    assert text.splitlines()[1] == "FCM: DROP FRAME"
    assert "01:00:00;00" in text
    assert "FCM: NON-DROP FRAME" in write_edl(full("30000/1001"))[0]


def test_a_thousand_events_do_not_fit() -> None:
    write_edl(simple(999))
    with pytest.raises(TimelineError, match="999"):
        write_edl(simple(1000))


def test_reels_are_unique_and_the_same_every_time() -> None:
    names = [f"film_seq010_sh{i:04d}_v001.mp4" for i in range(300)] + [
        "a.mp4",
        "A.mov",
        "日本.mp4",
        "BL.mp4",
        "short.mp4",
    ]
    reels = reel_names(names)
    assert len(set(reels.values())) == len(names)
    assert reels == reel_names(names[::-1])
    assert reels["short.mp4"] == "SHORT"
    assert all(1 <= len(reel) <= 8 and reel.isascii() and reel.isalnum() for reel in reels.values())
    assert not set(reels.values()) & {"BL", "AX"}
    assert all(reel.startswith("FIL") for name, reel in reels.items() if name.startswith("film"))


def test_a_speed_of_thirds_is_rounded_and_said() -> None:
    event = Event(name="a", start=0, duration=30, source_start=0, media=media("a"), speed=Fraction(5, 7))
    edit = check_edit(Edit(name="e", rate=parse_rate("25"), start=90000, events=(event,)))
    text, losses = write_edl(edit)
    assert "speed" in {loss.feature for loss in losses}
    assert "017.9" in text


RESOLVE = """TITLE: Timeline 1
FCM: NON-DROP FRAME

001  film_sh010_v001.mp4 V     C        00:00:00:12 00:00:02:12 01:00:00:00 01:00:02:00
* FROM CLIP NAME: film_sh010_v001.mp4

002  AX       V     D    012 00:00:00:06 00:00:03:06 01:00:02:00 01:00:05:00
* FROM CLIP NAME: film_sh010_v001.mp4
* TO CLIP NAME: film_sh020_v001.mp4
M2   AX             048.0                00:00:00:06
003  AX       AA/V  C        00:00:00:00 00:00:01:00 01:00:05:00 01:00:06:00
* FROM CLIP NAME: film_sh030_v001.mp4
* LOC: 01:00:05:10 RED     fix flash
>>> SOMETHING NEW
FINAL CUT PRO REEL: FOO REPLACED BY: FOO
"""


def test_an_edl_as_resolve_writes_it() -> None:
    edit, notes = read_edl(RESOLVE, rate=parse_rate("24"))
    first, second, third = edit.events
    assert (first.start, first.duration, first.source_start) == (0, 60, 12), (
        "the dissolve shows 12 frames more"
    )
    assert second.join == Join(frames=12, before=6)
    assert (second.start, second.duration, second.speed) == (48, 72, 2)
    assert second.name == "film_sh020_v001.mp4"
    assert [(m.at, m.color, m.name) for m in third.markers] == [(10, "RED", "fix flash")]
    assert edit.start == 86400
    assert notes == ["2 lines are not understood, the first is line 14"]


def test_an_edl_needs_a_rate() -> None:
    with pytest.raises(TimelineError, match="--fps"):
        read_edl(RESOLVE)
    ours, _ = write_edl(full("24000/1001"))
    assert read_edl(ours)[0].rate == parse_rate("23.976"), "ours says it in a comment"


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        ("hello\nworld", 1, 1, "is it a CMX3600"),
        ("TITLE: x\n001 A V C 00:00:00:00 00:00:01:00 01:00:00:00", 2, 9, "the form"),
        ("TITLE: x\n001  A V C 00:00:00:00 00:00:01:99 01:00:00:00 01:00:01:00", 2, 24, "does not exist"),
        ("TITLE: x\n001  A V C 00:00:02:00 00:00:01:00 01:00:00:00 01:00:01:00", 2, 24, "before it begins"),
        ("TITLE: x\n001  A V D 00:00:00:00 00:00:01:00 01:00:00:00 01:00:01:00", 2, 10, "length"),
        ("TITLE: x\n001  A V C 00:00:00:00 00:00:01:00 01:00:00:00 01:00:01:00\nM2 A fast 00:00:00:00", 3, 1, "a speed has"),
        ("TITLE: x\n\n", 1, 1, "no event"),
        ("TITLE: x\0y", 1, 9, "no text"),
        ("TITLE: x\nFCM: DROP FRAME\n", 2, 1, "drop frames"),
    ],
)  # fmt: skip
def test_broken_edls_say_where(text: str, line: int, column: int, why: str) -> None:
    with pytest.raises(TimelineError, match=why) as caught:
        read_edl(text, rate=parse_rate("24"), place="cut.edl")
    assert str(caught.value).startswith(f"cut.edl:{line}:{column}: ")


def test_a_marker_beyond_its_clip_is_the_timelines() -> None:
    text = RESOLVE.replace("01:00:05:10 RED", "01:00:01:10 RED")
    edit, _ = read_edl(text, rate=parse_rate("24"))
    assert [(m.at, m.name) for m in edit.markers] == [(34, "fix flash")]
    assert not any(event.markers for event in edit.events)


def test_the_start_is_kept_when_the_film_begins_with_nothing() -> None:
    edit = simple(2)
    late = replace(edit, events=tuple(replace(event, start=event.start + 24) for event in edit.events))
    back, _ = read_edl(write_edl(late)[0])
    assert back.start == hour(edit.rate)
    assert back.events[0].start == 24


def test_other_tracks_of_pictures_are_counted() -> None:
    upper = "004  AX       V2    C        00:00:00:00 00:00:01:00 01:00:00:00 01:00:01:00\n"
    edit, notes = read_edl(RESOLVE + upper, rate=parse_rate("24"))
    assert len(edit.events) == 3
    assert "1 events of other tracks than V, A and A2 are left out" in notes


def test_drop_frames_may_be_said_by_the_separator_alone() -> None:
    row = "001  A        V     C        00:00:00;00 00:00:10;00 01:00:00;00 01:00:10;00"
    edit, _ = read_edl(f"TITLE: x\n{row}\n", rate=parse_rate("29.97"))
    assert edit.start == 107892
    assert edit.rate.drop
    edit, _ = read_edl(f"TITLE: x\nFCM: NON-DROP FRAME\n{row}\n", rate=parse_rate("29.97"))
    assert edit.start == 108000
