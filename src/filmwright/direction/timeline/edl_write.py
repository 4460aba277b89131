"""CMX3600 edit decision lists, written: one track of pictures, two of sound, 999 events.

A dissolve is one event of two lines: the outgoing clip with no length, then the incoming one whose `D 012` says that
it takes over during its first 12 frames. A fade is a dissolve with the reel BL. Speeds are M2 lines in frames a second
at the whole rate. An EDL says no rate; a comment does, which editors pass over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

from filmwright.direction.timeline.edit import Edit, Event, Loss, Losses, Marker, Sound, plain_text
from filmwright.direction.timeline.marks import NOTE, note_of, reel_names
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import timecode

__all__ = ["LOCATOR_COLORS", "MAX_EDL_EVENTS", "under", "write_edl"]

MAX_EDL_EVENTS = 999
LOCATOR_COLORS = ("RED", "GREEN", "BLUE", "CYAN", "MAGENTA", "YELLOW", "BLACK", "WHITE")
MAX_TRANSITION = 999
CHANNELS = {1: "A", 2: "A2"}


@dataclass
class _List:
    """The lines so far; `count` is the number of the event that is being written."""

    edit: Edit
    reels: dict[str, str]
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def next(self) -> None:
        self.count += 1
        if self.count > MAX_EDL_EVENTS:
            raise TimelineError(
                f"this edit has more than {MAX_EDL_EVENTS} events, as many as a CMX3600 EDL can number; "
                "split it, or write .fcpxml, .xml or .otio"
            )

    def row(
        self, reel: str, channel: str, what: str, source: tuple[int, int], record: tuple[int, int]
    ) -> None:
        rate = self.edit.rate
        stamps = [*(timecode(frame, rate) for frame in source), *(self.edit.at(frame) for frame in record)]
        self.lines.append(f"{self.count:03d}  {reel:<8} {channel:<5} {what:<8} {' '.join(stamps)}")

    def black(self, record: tuple[int, int], what: str = "C") -> None:
        self.row("BL", "V", what, (0, record[1] - record[0]), record)

    def reel(self, part: Event | Sound) -> str:
        return self.reels[_file(part)]

    def speed(self, event: Event, reel: str) -> None:
        if event.speed != 1:
            shown = float(event.speed * self.edit.rate.timebase)
            at = event.source_start if event.speed > 0 else event.source_end - 1
            sign = "-" if shown < 0 else " "
            self.lines.append(
                f"M2   {reel:<8}      {sign}{abs(shown):05.1f}        {timecode(at, self.edit.rate)}"
            )


def write_edl(edit: Edit) -> tuple[str, tuple[Loss, ...]]:
    """The text of an EDL, and what it does not hold.

    Raises:
        TimelineError: more than 999 events, or a timecode beyond 24 hours.
    """
    parts: list[Event | Sound] = [*edit.events, *edit.sounds]
    files = [_file(part) for part in parts]
    out = _List(edit, reel_names(files))
    drop = "DROP FRAME" if edit.rate.drop else "NON-DROP FRAME"
    out.lines += [f"TITLE: {plain_text(edit.name) or 'UNTITLED'}", f"FCM: {drop}"]
    out.lines.append(f"* {NOTE} rate={edit.rate.fps} start={edit.start}")
    for before, event, after in zip(
        (None, *edit.events), edit.events, (*edit.events[1:], None), strict=False
    ):
        _event(out, before, event, after)
    for sound in edit.sounds:
        if sound.track in CHANNELS:
            out.next()
            source = (sound.source_start, sound.source_start + sound.duration)
            record = (sound.start, sound.start + sound.duration)
            out.row(out.reel(sound), CHANNELS[sound.track], "C", source, record)
            out.lines += [f"* FROM CLIP NAME: {plain_text(sound.name)}", f"* SOURCE FILE: {_file(sound)}"]
    loose = [marker for marker in edit.markers if under(edit, marker) is None]
    out.lines += [_locator(edit, marker.at, marker) for marker in loose]
    return "\n".join(out.lines) + "\n", _losses(edit)


def _event(out: _List, before: Event | None, event: Event, after: Event | None) -> None:
    """One event's picture up to where the next takes over, with its fades as dissolves from and to black."""
    end = event.end - (after.join.frames if after is not None and after.join is not None else event.fade_out)
    reel, name = out.reel(event), plain_text(event.name)
    near, far = sorted((_edge(event, 0), _edge(event, end - event.start)))
    source, record = (math.floor(near), math.ceil(far)), (event.start, end)
    out.next()
    if event.join is not None and before is not None:
        at = math.floor(_edge(before, event.start - before.start))
        out.row(out.reel(before), "V", "C", (at, at), (event.start, event.start))
        kind = "D   " if event.join.kind == "dissolve" else f"W{event.join.wipe:03d}"
        out.row(reel, "V", f"{kind} {_length(event.join.frames)}", source, record)
    elif event.fade_in:
        out.black((event.start, event.start))
        out.row(reel, "V", f"D    {_length(event.fade_in)}", source, record)
    else:
        out.row(reel, "V", "C", source, record)
    out.speed(event, reel)
    if event.join is not None and before is not None:
        out.lines.append(f"* FROM CLIP NAME: {plain_text(before.name)}")
    out.lines.append(f"* {'TO' if event.join or event.fade_in else 'FROM'} CLIP NAME: {name}")
    out.lines += [f"* SOURCE FILE: {_file(event)}", f"* {note_of(event)}", *_colours(event)]
    for marker in event.markers:
        out.lines.append(_locator(out.edit, event.start + marker.at, marker))
    for marker in out.edit.markers:
        if under(out.edit, marker) == event:
            out.lines.append(_locator(out.edit, marker.at, marker))
    if event.fade_out:
        out.next()
        at = math.floor(_edge(event, event.duration - event.fade_out))
        out.row(reel, "V", "C", (at, at), (end, end))
        out.black((end, event.end), f"D    {_length(event.fade_out)}")
        out.lines.append(f"* FROM CLIP NAME: {name}")


def _colours(event: Event) -> list[str]:
    """A colour decision in the two comments that graders read."""
    if event.cdl is None:
        return []
    parts = (event.cdl.slope, event.cdl.offset, event.cdl.power)
    said = "".join("(" + " ".join(f"{value:.6g}" for value in part) + ")" for part in parts)
    return [f"* ASC_SOP {said}", f"* ASC_SAT {event.cdl.saturation:.6g}"]


def _edge(event: Event, offset: int) -> Fraction:
    """Where in the media the event is before its record frame `offset`; backwards, that is counted from the end."""
    way = offset * abs(event.speed)
    return event.source_start + way if event.speed > 0 else event.source_end - way


def under(edit: Edit, marker: Marker) -> Event | None:
    """The event that plays at a marker of the timeline; in a transition, the incoming one."""
    playing = [event for event in edit.events if event.start <= marker.at < event.end]
    return playing[-1] if playing else None


def _length(frames: int) -> str:
    if frames > MAX_TRANSITION:
        raise TimelineError(
            f"an EDL cannot hold a transition of {frames} frames, {MAX_TRANSITION} at most; shorten it"
        )
    return f"{frames:03d}"


def _file(part: Event | Sound) -> str:
    """What the reel stands for: the media's file, or where there is none the clip's name."""
    return plain_text(part.media.file_name if part.media is not None else part.name) or "NONE"


def _locator(edit: Edit, frame: int, marker: Marker) -> str:
    color = marker.color if marker.color in LOCATOR_COLORS else "WHITE"
    return f"* LOC: {edit.at(frame)} {color:<8} {plain_text(marker.name)}"


def tenths(speed: Fraction, timebase: int) -> bool:
    """Whether an M2 line's one decimal says the speed exactly."""
    return (speed * timebase * 10).denominator == 1


def _losses(edit: Edit) -> tuple[Loss, ...]:
    """What an EDL has no words for."""
    losses = Losses()
    lose = losses.add
    owned = [marker for event in edit.events for marker in event.markers]
    markers = [*owned, *edit.markers]
    events = edit.events
    lose(
        "name", edit.name != (plain_text(edit.name) or "UNTITLED"), "the timeline's name loses its line ends"
    )
    lose("size", bool(edit.width), "the size of the picture is not in an EDL")
    lose("clip.name", sum(e.name != plain_text(e.name) for e in events), "clip names lose their line ends")
    lose("media.path", sum(e.media is not None and e.media.path != _file(e) for e in events),
         "clips name their file without its folder")  # fmt: skip
    lose("media.range", sum(e.media is not None for e in events), "clips do not say how long their media are")
    lose("speed", sum(not tenths(e.speed, edit.rate.timebase) for e in events),
         "speeds are rounded to a tenth of a frame a second")  # fmt: skip
    lose(
        "fade.color", sum(e.fade_color != "#000000" for e in events), "fades go to black, not to their colour"
    )
    lose("marker.owner", sum(under(edit, m) is not None for m in edit.markers),
         "markers of the timeline belong to the clip under them")  # fmt: skip
    lose("marker.color", sum(m.color not in LOCATOR_COLORS for m in markers),
         "markers turn white, as an EDL has eight colours")  # fmt: skip
    lose("marker.duration", sum(m.duration > 0 for m in markers), "markers lose their length")
    lose("marker.note", sum(bool(m.note) for m in markers), "markers lose their note")
    lose("marker", sum(m.name != plain_text(m.name) for m in markers), "marker names lose their line ends")
    lose("title", len(edit.titles), "titles are left out")
    lose(
        "title.style", sum(bool(t.style) for t in edit.titles) or len(edit.titles), "titles lose their style"
    )
    far = sum(s.track not in CHANNELS for s in edit.sounds)
    lose("sound", far or sum(s.name != plain_text(s.name) for s in edit.sounds),
         "sounds are left out: an EDL has two tracks" if far else "sound names lose their line ends")  # fmt: skip
    lose("sound.level", far or sum(s.gain != 0 for s in edit.sounds), "sounds lose their level")
    lose(
        "sound.fade",
        far or sum(bool(s.fade_in or s.fade_out) for s in edit.sounds),
        "sounds lose their fades",
    )
    lose("sound.role", far or sum(bool(s.role) for s in edit.sounds), "sounds lose their role")
    return tuple(losses.found)
