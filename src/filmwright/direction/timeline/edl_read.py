"""CMX3600 edit decision lists, read: strict about events, patient with comments.

What editors write differently: separators of the fields, `;` or `.` in timecode, long reels, a dissolve as one line
without the outgoing clip's, clip names in `FROM CLIP NAME` or `TO CLIP NAME`. A line that begins with a number must be
an event; any other that we do not know is passed over and counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction

from filmwright.direction.timeline.edit import Edit, Event, Join, Marker, Media, Sound
from filmwright.direction.timeline.marks import read_note, with_note
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate, frame_of, parse_rate

__all__ = ["MAX_EDL_BYTES", "read_edl"]

MAX_EDL_BYTES = 16_000_000
MAX_LINES = 200_000
STAMP = r"(\d{2}:\d{2}:\d{2}[:;.,]\d{2,3})"
ROW = re.compile(
    rf"(\d{{1,6}})\s+(\S+)\s+(\S+)\s+([CD]|W\d{{1,3}}|K\s?[BO]?)\s+(?:(\d{{1,4}})\s+)?{STAMP}\s+{STAMP}\s+{STAMP}\s+{STAMP}\s*",
    re.ASCII,
)
SPEED = re.compile(rf"M2\s+(\S+)\s+([-+]?\s*\d{{1,5}}(?:\.\d{{1,6}})?)\s+{STAMP}\s*", re.ASCII)
LOCATOR = re.compile(rf"LOC:\s+{STAMP}\s+(\S+)\s*(.*)", re.ASCII)
MAX_DENOMINATOR = 1000
PICTURES = {"V", "V1", "B", "AV", "VA", "A/V", "AA/V", "VA1", "VA2", "VA12", "A12V", "A1V", "A2V"}
SIDES = {"A": 1, "A1": 1, "AA": 1, "A2": 2}


@dataclass
class _Row:
    """One line of an event, and what the lines after it say of it."""

    line: int
    number: str
    reel: str
    channel: str
    what: str
    length: int
    source: tuple[int, int]
    record: tuple[int, int]  # absolute frames
    pair: bool = False  # the second line of an event
    speed: Fraction = Fraction(1)
    name: str = ""
    file: str = ""
    note: dict[str, object] | None = None
    markers: list[tuple[int, str, str]] = field(default_factory=list)


def read_edl(
    text: str, *, rate: Rate | None = None, start: int | None = None, place: str = "the EDL"
) -> tuple[Edit, list[str]]:
    """The edit of an EDL, and sentences about what was passed over.

    Args:
        text: the whole file.
        rate: frames a second, where the EDL does not say it; ours do, in a comment.
        start: the frame of the timeline's first timecode; the first event's if not given.
        place: the file's name, for errors.

    Raises:
        TimelineError: with the line, for anything that is no EDL.
    """
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise TimelineError(f"{place} has {len(lines)} lines, the limit for an EDL is {MAX_LINES}")
    said = next((note for line in lines[:50] if (note := _rate_note(line))), None)
    if said is not None:
        rate, start = parse_rate(said[0]), said[1]
    if rate is None:
        raise TimelineError(f"{place}: an EDL does not say its rate; give it, such as --fps 23.976")
    reader = _Reader(place, replace(rate, drop=False))
    for number, line in enumerate(lines, 1):
        reader.take(number, line.strip())
    if not reader.rows:
        raise TimelineError(f"{place}:1:1: there is no event in it; is it a CMX3600 EDL?")
    return reader.edit(start)


def _rate_note(line: str) -> tuple[str, int] | None:
    found = re.search(r"FILMWRIGHT rate=(\d{1,7}(?:/\d{1,5})?) start=(\d{1,9})\b", line[:200], re.ASCII)
    return (found[1], int(found[2])) if found else None


class _Reader:
    """Collects rows line by line."""

    def __init__(self, place: str, rate: Rate) -> None:
        self.place, self.rate = place, rate
        self.title = ""
        self.rows: list[_Row] = []
        self.loose: list[tuple[int, str, str]] = []
        self.unknown: list[int] = []
        self.keys: list[int] = []
        self.mode = ""  # what FCM says

    def fail(self, line: int, column: int, why: str) -> TimelineError:
        return TimelineError(f"{self.place}:{line}:{column}: {why}")

    def frame(self, stamp: str, line: int, column: int) -> int:
        try:
            return frame_of(stamp, self.rate)
        except TimelineError as error:
            raise self.fail(line, column, str(error)) from error

    def take(self, number: int, line: str) -> None:
        """One line of the file."""
        bad = next((i for i, sign in enumerate(line) if not sign.isprintable() and sign != "\t"), None)
        if bad is not None:
            raise self.fail(number, bad + 1, "a sign that no text holds; is it a CMX3600 EDL?")
        if not line:
            return
        if line[0].isdigit() and line[0].isascii():
            self.row(number, line)
        elif line.startswith("*"):
            self.comment(number, line[1:].strip())
        elif line.upper().startswith("TITLE:"):
            self.title = line[6:].strip()
        elif line.upper().startswith("FCM:"):
            self.drop(number, line[4:].strip().upper())
        elif line.startswith("M2"):
            self.speed(number, line)
        else:
            if not self.rows and not self.title:
                raise self.fail(number, 1, "neither a title, a comment nor an event; is it a CMX3600 EDL?")
            self.unknown.append(number)

    def drop(self, number: int, mode: str) -> None:
        drops, self.mode = mode == "DROP FRAME", mode
        if drops and not self.can_drop:
            raise self.fail(
                number, 1, f"drop frames at {self.rate.said} frames a second; give the rate with --fps"
            )
        if not self.rows:  # a list may change its mode between reels; records keep that of the beginning
            self.rate = replace(self.rate, drop=drops)

    @property
    def can_drop(self) -> bool:
        """Whether there are drop frames at this rate."""
        return self.rate.ntsc and self.rate.timebase in (30, 60)

    def row(self, number: int, line: str) -> None:
        found = ROW.fullmatch(line)
        if found is None:
            words = line.split()
            column = line.find(words[3]) + 1 if len(words) > 3 else len(line)
            raise self.fail(
                number, max(column, 1),
                "an event has the form 001 REEL V C 00:00:00:00 00:00:01:00 01:00:00:00 01:00:01:00",
            )  # fmt: skip
        if not self.rows and not self.mode and ";" in found[8] and self.can_drop:
            self.rate = replace(self.rate, drop=True)  # some editors only write the other separator
        stamps = [self.frame(found[i], number, found.start(i) + 1) for i in (6, 7, 8, 9)]
        source, record = (stamps[0], stamps[1]), (stamps[2], stamps[3])
        for low, high, i in ((*source, 7), (*record, 9)):
            if high < low:
                raise self.fail(
                    number, found.start(i) + 1, "an event ends before it begins; swap its timecodes"
                )
        if found[4][0] in "DW" and not found[5]:
            raise self.fail(
                number, found.start(4) + 1, "a transition without its length in frames, such as D 012"
            )
        if found[4][0] == "K":
            self.keys.append(number)
            return
        last = self.rows[-1] if self.rows else None
        row = _Row(number, found[1], found[2], found[3].upper(), found[4], int(found[5] or 0), source, record)
        row.pair = (
            last is not None and (last.number, last.channel) == (row.number, row.channel) and row.what != "C"
        )
        self.rows.append(row)

    def speed(self, number: int, line: str) -> None:
        found = SPEED.fullmatch(line)
        if found is None:
            raise self.fail(number, 1, "a speed has the form M2 REEL 048.0 01:00:00:00")
        if (
            self.rows and self.rows[-1].reel[:8] == found[1][:8]
        ):  # that of an outgoing clip is said with its own event
            speed = Fraction(found[2].replace(" ", "")) / self.rate.timebase
            self.rows[-1].speed = speed.limit_denominator(MAX_DENOMINATOR)

    def comment(self, number: int, words: str) -> None:
        row = self.rows[-1] if self.rows else None
        locator = LOCATOR.fullmatch(words)
        if locator is not None:
            marker = (self.frame(locator[1], number, 1), locator[2].upper(), locator[3].strip())
            (row.markers if row is not None else self.loose).append(marker)
        elif row is not None:
            upper = words.upper()
            if upper.startswith("FROM CLIP NAME:") and not row.pair:
                row.name = words[15:].strip()
            elif upper.startswith("TO CLIP NAME:"):
                row.name = words[13:].strip()
            elif upper.startswith("SOURCE FILE:"):
                row.file = words[12:].strip()
            elif (note := read_note(words)) is not None:
                row.note = note

    def edit(self, start: int | None) -> tuple[Edit, list[str]]:
        """All rows as an edit."""
        first = min(row.record[0] for row in self.rows)
        start = first if start is None or start > first else start
        events: list[Event] = []
        sounds: list[Sound] = []
        loose = list(self.loose)
        other = 0
        for i, row in enumerate(self.rows):
            outgoing = i + 1 < len(self.rows) and self.rows[i + 1].pair and row.record[0] == row.record[1]
            if row.channel in SIDES:
                sounds.append(self.sound(row, start))
                loose += row.markers
            elif row.channel not in PICTURES:
                other += 1
            elif outgoing:
                loose += row.markers
            elif row.reel.upper() in ("BL", "BLACK"):
                loose += row.markers
                if row.what != "C" and events:
                    faded = events[-1]
                    events[-1] = replace(faded, duration=faded.duration + row.length, fade_out=row.length)
            else:
                self.event(events, row, start, self.rows[i - 1] if row.pair else None)
        notes = []
        if self.unknown:
            notes.append(f"{len(self.unknown)} lines are not understood, the first is line {self.unknown[0]}")
        if self.keys:
            notes.append(f"{len(self.keys)} key events are left out, the first is line {self.keys[0]}")
        if other:
            notes.append(f"{other} events of other tracks than V, A and A2 are left out")
        markers = [Marker(at=at - start, color=color, name=name) for at, color, name in loose]
        for i, event in enumerate(events):  # only now are the lengths known that transitions give
            inside = [marker for marker in event.markers if 0 <= marker.at < event.duration]
            markers += [replace(m, at=m.at + event.start) for m in event.markers if m not in inside]
            events[i] = _settled(replace(event, markers=tuple(inside)))
        edit = Edit(
            name=self.title, rate=self.rate, start=start, events=tuple(events), sounds=tuple(sounds),
            markers=tuple(markers),
        )  # fmt: skip
        return edit, notes

    def event(self, events: list[Event], row: _Row, start: int, outgoing: _Row | None) -> None:
        """Adds the event of a row; a transition makes the one before it longer."""
        name = row.name or row.file or row.reel
        event = Event(
            name=name, reel=row.reel, start=row.record[0] - start, duration=row.record[1] - row.record[0],
            source_start=row.source[0], speed=row.speed, media=Media(path=row.file or name),
        )  # fmt: skip
        if event.speed < 0:  # until its length is known, the end of what plays stands in for its start
            event = replace(event, source_start=row.source[1])
        if row.what != "C":
            dark = outgoing is not None and outgoing.reel.upper() in ("BL", "BLACK")
            previous = events[-1] if events else None
            if dark or previous is None or previous.end != event.start:
                event = replace(event, fade_in=row.length)
            else:
                kind, wipe = ("dissolve", 1) if row.what == "D" else ("wipe", int(row.what[1:]))
                events[-1] = replace(previous, duration=previous.duration + row.length)
                join = Join(kind=kind, frames=row.length, before=row.length // 2, wipe=wipe)  # type: ignore[arg-type]
                event = replace(event, join=join)
        markers = tuple(
            Marker(at=at - start - event.start, color=color, name=text) for at, color, text in row.markers
        )
        events.append(replace(with_note(event, row.note), markers=markers))

    def sound(self, row: _Row, start: int) -> Sound:
        name = row.name or row.file or row.reel
        return Sound(
            name=name, start=row.record[0] - start, duration=row.record[1] - row.record[0],
            source_start=row.source[0], track=SIDES[row.channel], media=Media(path=row.file or name),
        )  # fmt: skip


def _settled(event: Event) -> Event:
    """The event once all transitions have given it its length: backwards, its first media frame follows from it."""
    if event.speed < 0:
        return replace(event, source_start=event.source_start - event.source_duration)
    return event
