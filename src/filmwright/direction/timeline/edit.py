"""An edit as every exchange format sees it: events on one track of pictures, titles, sounds and markers, in frames.

All positions are whole frames at the edit's rate, so that a trip through a file is compared by equality. As in
`spec.cut`, an event includes the frames of its transitions: two events that dissolve overlap by as many frames. The
formats that put a cut point inside a transition (OpenTimelineIO, FCPXML) are helped by `Join.before`.

`Loss` is one thing that a file does not hold; its `feature` is one of `FEATURES`, which `compare` measures by.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate, timecode

__all__ = [
    "FEATURES",
    "MAX_EVENTS",
    "MAX_FRAMES",
    "Cdl",
    "Edit",
    "Event",
    "Join",
    "Loss",
    "Losses",
    "Marker",
    "Media",
    "Sound",
    "Title",
    "check_edit",
    "plain_text",
]

MAX_EVENTS = 100_000
MAX_FRAMES = 240 * 3600 * 48  # two days at the highest rate: beyond, a number is a mistake
MAX_SPEED = 100
MAX_NAME = 1000
MAX_TEXT = 10_000

FEATURES = {
    "name": "name of the timeline",
    "rate": "rate and drop frames",
    "start": "start timecode",
    "size": "size of the picture",
    "picture": "order, trims and positions of the pictures",
    "speed": "speed",
    "join": "dissolves and wipes",
    "join.cut": "cut point inside a transition",
    "wipe": "pattern of a wipe",
    "fade": "fades in and out",
    "fade.color": "colour of a fade",
    "clip.name": "names of clips",
    "identity": "shot, take and digest",
    "media.path": "paths of media",
    "media.range": "length of media (handles)",
    "marker": "markers",
    "marker.owner": "whether a marker belongs to a clip",
    "marker.color": "colours of markers",
    "marker.duration": "lengths of markers",
    "marker.note": "notes of markers",
    "title": "titles",
    "title.style": "place, size and colour of titles",
    "sound": "sounds, their trims and tracks",
    "sound.level": "levels",
    "sound.fade": "fades of sound",
    "sound.role": "roles of sound",
}


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One thing that a file does not hold, in a sentence; `count` is how many are concerned."""

    feature: str
    sentence: str
    count: int = 1


class Losses:
    """Collects losses; a count that is a bool is not shown."""

    def __init__(self) -> None:
        self.found: list[Loss] = []

    def add(self, feature: str, count: int, sentence: str) -> None:
        """Keeps a loss that concerns anything."""
        if count:
            shown = sentence if isinstance(count, bool) else f"{sentence}: {count}"
            self.found.append(Loss(feature=feature, sentence=shown, count=int(count)))


@dataclass(frozen=True, kw_only=True)
class Media:
    """A file that an editor plays: path or URL, and its frames from its own first timecode on, handles included."""

    path: str
    start: int = 0
    duration: int = 0  # 0: not known

    @property
    def file_name(self) -> str:
        """The last part of the path, whatever system wrote it."""
        path = unquote(urlsplit(self.path).path) if "://" in self.path[:12] else self.path
        return PurePosixPath(path.replace("\\", "/")).name


@dataclass(frozen=True, kw_only=True)
class Join:
    """How an event takes over from the one before it while both play, for `frames`."""

    kind: Literal["dissolve", "wipe"] = "dissolve"
    frames: int
    before: int  # frames of it before the cut point
    wipe: int = 1  # SMPTE wipe code: 1 moves right, 2 down; 101 and 102 the other way


@dataclass(frozen=True, kw_only=True)
class Marker:
    """A note at a frame: from the start of the edit, or of the event that owns it."""

    at: int
    duration: int = 0
    name: str = ""
    color: str = ""  # an OpenTimelineIO colour, such as RED
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Cdl:
    """A colour decision of the ASC: slope, offset and power a channel, then saturation."""

    slope: tuple[float, float, float]
    offset: tuple[float, float, float]
    power: tuple[float, float, float]
    saturation: float


@dataclass(frozen=True, kw_only=True)
class Event:
    """A stretch of one file on the track of pictures, the frames of its transitions included.

    Record frames `start` ... `start + duration - 1` play media from `source_start` on, `speed` media frames for each.
    Backwards (a negative speed) `source_start` is still the lowest media frame that plays.
    """

    name: str
    start: int
    duration: int
    source_start: int
    media: Media | None = None
    shot: str = ""  # "" where an editor's clip is none of ours
    take: int = 0
    digest: str = ""
    speed: Fraction = Fraction(1)
    join: Join | None = None
    fade_in: int = 0
    fade_out: int = 0
    fade_color: str = "#000000"
    markers: tuple[Marker, ...] = ()
    reel: str = field(default="", compare=False)  # as an EDL named it
    cdl: Cdl | None = field(default=None, compare=False)  # goes out and does not come back: it is the film's

    @property
    def end(self) -> int:
        """The record frame after the last one."""
        return self.start + self.duration

    @property
    def source_duration(self) -> int:
        """Media frames that play, the last one in full."""
        return -(-self.duration * abs(self.speed).numerator // abs(self.speed).denominator)

    @property
    def source_end(self) -> int:
        """The media frame after the last one that plays."""
        return self.source_start + self.source_duration


@dataclass(frozen=True, kw_only=True)
class Title:
    """Words over the picture. `style` holds what only we know (place, size, colour, fade), as sorted pairs."""

    text: str
    start: int
    duration: int
    style: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A stretch of a sound file; `track` 1 is A1. `gain` in decibels, fades in frames."""

    name: str
    start: int
    duration: int
    source_start: int
    media: Media | None = None
    track: int = 1
    gain: float = 0.0
    fade_in: int = 0
    fade_out: int = 0
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A whole timeline; `start` is the frame of its first timecode. Width and height are 0 where not known."""

    name: str
    rate: Rate
    start: int
    events: tuple[Event, ...] = ()
    titles: tuple[Title, ...] = ()
    sounds: tuple[Sound, ...] = ()
    markers: tuple[Marker, ...] = ()
    width: int = 0
    height: int = 0

    @property
    def duration(self) -> int:
        """Frames until the last picture, title or sound has ended."""
        parts: list[Event | Title | Sound] = [*self.events, *self.titles, *self.sounds]
        return max((part.start + part.duration for part in parts), default=0)

    def at(self, frame: int) -> str:
        """Timecode of a record frame."""
        return timecode(self.start + frame, self.rate)

    def sorted(self) -> Edit:
        """The same in the one order that comparisons need."""
        return replace(
            self,
            events=tuple(sorted(self.events, key=lambda e: e.start)),
            titles=tuple(sorted(self.titles, key=lambda t: (t.start, t.text))),
            sounds=tuple(sorted(self.sounds, key=lambda s: (s.track, s.start, s.name))),
            markers=tuple(sorted(self.markers, key=lambda m: (m.at, m.name))),
        )


def plain_text(text: str, limit: int = 1000) -> str:
    """A text without control signs or line ends, for formats of one line; `limit` signs at most."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(shown.split())[:limit]


def check_edit(edit: Edit) -> Edit:
    """The edit in order, after a look that it can be played.

    Raises:
        TimelineError: events overlap without a transition, a transition is longer than what it joins, a number is
            beyond all use.
    """
    edit = edit.sorted()
    parts: list[Event | Title | Sound] = [*edit.events, *edit.titles, *edit.sounds]
    if len(parts) > MAX_EVENTS:
        raise TimelineError(f"the timeline has {len(parts)} events, the limit is {MAX_EVENTS}; split it")
    _check_texts(edit)
    for part in parts:
        name = plain_text(part.text if isinstance(part, Title) else part.name, 60)
        if part.duration < 1 or part.start < 0 or part.start + part.duration > MAX_FRAMES:
            raise TimelineError(
                f"{name!r} plays {part.duration} frames from frame {part.start}: it must play at least one, "
                f"from 0 on, and end before frame {MAX_FRAMES}"
            )
    timecode(edit.start, edit.rate)
    timecode(edit.start + max(edit.duration - 1, 0), edit.rate)
    for before, event in zip((None, *edit.events), edit.events, strict=False):
        _check_event(before, event, edit)
    return edit


def _check_texts(edit: Edit) -> None:
    """Names that fill a screen are no names."""
    markers = [*edit.markers, *(marker for event in edit.events for marker in event.markers)]
    if len(markers) > MAX_EVENTS:
        raise TimelineError(
            f"the timeline has {len(markers)} markers, the limit is {MAX_EVENTS}; take some out"
        )
    clips = [*(event.name for event in edit.events), *(sound.name for sound in edit.sounds)]
    names = [edit.name, *clips, *(marker.name for marker in markers)]
    texts = [*(title.text for title in edit.titles), *(marker.note for marker in markers)]
    for limit, found in ((MAX_NAME, names), (MAX_TEXT, texts)):
        longest = max(found, key=len, default="")
        if len(longest) > limit:
            raise TimelineError(
                f"{plain_text(longest, 40)!r}... has {len(longest)} letters, the limit is {limit}; shorten it"
            )


def _check_event(before: Event | None, event: Event, edit: Edit) -> None:
    name = plain_text(event.name, 60)
    where = f"{name!r} at {edit.at(event.start)}"
    if not 0 < abs(event.speed) <= MAX_SPEED or abs(event.source_start) > MAX_FRAMES:
        raise TimelineError(
            f"{where} plays at {float(event.speed):g} times the speed; it must be within {MAX_SPEED}"
        )
    overlap = before.end - event.start if before is not None else 0
    joined = event.join.frames if event.join is not None else 0
    if joined and overlap != joined:
        raise TimelineError(
            f"{where} has a transition of {joined} frames but overlaps the clip before by {overlap}"
        )
    if event.join is not None and not (joined > 0 and 0 <= event.join.before <= joined):
        raise TimelineError(
            f"{where} has a transition of {joined} frames with its cut at {event.join.before}"
        )
    if not joined and overlap > 0:
        raise TimelineError(
            f"{where} overlaps the clip before it by {overlap} frames without a transition; trim one"
        )
    if event.fade_in + event.fade_out > event.duration or min(event.fade_in, event.fade_out) < 0:
        raise TimelineError(
            f"{where} is {event.duration} frames long, too short for its fades; make them shorter"
        )
    if event.join is not None and (event.fade_in or (before is not None and before.fade_out)):
        raise TimelineError(f"{where} has a transition and a fade at one edge; take one of them out")
    if event.join is not None and not 0 <= event.join.wipe <= 999:
        raise TimelineError(f"{where} has the wipe {event.join.wipe}; SMPTE wipe codes are 0 to 999")
    if joined > event.duration:
        raise TimelineError(f"{where} is shorter than its transition of {joined} frames; make that shorter")
    if event.join is not None and before is not None:
        head = before.join.frames if before.join is not None else before.fade_in
        if joined + head > before.duration:
            raise TimelineError(f"{where}: the transitions of the clip before it overlap; make one shorter")
