"""A cut: the resolved edit of a film, which the conform plays and the timeline writes.

Everything is counted in frames at the film's rate, on the record side, except what belongs to a source, which is in
that file's own frames. The first frame of the film is record frame 0, and its timecode is `start_timecode`.

Transitions overlap: an event with a dissolve or wipe of n frames starts n frames before the one before it ends, and
both play in them. So a film lasts as long as its events less its transitions. OpenTimelineIO, which has no overlap,
puts the cut in the middle: n // 2 frames before it, the rest after it.

Plain frozen dataclasses: nothing here reads a file, and `path`s may not exist yet where a shot is not rendered.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["START_TIMECODE", "Cut", "CutEvent", "Grade", "Join", "Sound", "Source", "Title"]

START_TIMECODE = "01:00:00:00"
Direction = Literal["left", "right", "up", "down"]
Place = Literal["upper", "center", "lower"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A rendered take. `num_frames`, `fps`, `width` and `height` are the file's own and known before it is rendered."""

    shot: str
    take: int  # the first is 1
    num_frames: int
    fps: int
    width: int
    height: int
    sequence: str = ""
    prompt: str = ""
    digest: str | None = None  # of the request, hex; None while it waits for another shot's frame
    path: Path | None = None  # the frames without loss: FFV1 in Matroska; None while not rendered
    clip: Path | None = None  # the same as H.264 in MP4, for players and editors
    blob: str | None = None  # BLAKE3 (hex) of the file at `path`
    rendered_fps: int | None = None  # the rate before post; None: `fps`
    post: str | None = None  # what its post is known by, hex; None where it has none, or that is not made


@dataclass(frozen=True, kw_only=True)
class Join:
    """How an event takes over from the one before it, while both play for `num_frames`."""

    kind: Literal["dissolve", "wipe"]
    num_frames: int
    direction: Direction = "right"  # where a wipe's edge moves to


@dataclass(frozen=True, kw_only=True)
class Grade:
    """A colour decision: ASC CDL (slope, offset, power a channel, then saturation), then a cube file."""

    slope: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    power: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    lut: Path | None = None  # an Adobe/Resolve .cube file
    lut_digest: str | None = None  # BLAKE3 (hex) of it

    @property
    def is_plain(self) -> bool:
        """It changes nothing."""
        return self == Grade()


@dataclass(frozen=True, kw_only=True)
class CutEvent:
    """A stretch of one source on the track.

    Plays source frames `source_start` ... `source_start + num_source_frames - 1` as record frames `record_start` ...
    `record_start + num_frames - 1`; both stretches include the frames of the transitions at their ends.
    """

    source: Source
    source_start: int
    num_source_frames: int
    record_start: int
    num_frames: int
    speed: float = 1.0  # 2 is twice as fast: frames are left out; 0.5 half: frames are repeated
    join: Join | None = None  # with the event before; None is a cut
    fade_in: int = 0  # frames from the fade's colour, at the start
    fade_out: int = 0  # frames to the fade's colour, at the end
    fade_color: str = "#000000"
    grade: Grade = Grade()

    @property
    def record_end(self) -> int:
        """The record frame after the last one."""
        return self.record_start + self.num_frames

    def source_frame(self, index: int, fps: int) -> int:
        """The source frame that plays as the event's record frame `index` (0 is its first) in a film of rate `fps`."""
        at = math.floor(index * self.speed * self.source.fps / fps + 1e-9)
        return self.source_start + min(at, self.num_source_frames - 1)


@dataclass(frozen=True, kw_only=True)
class Title:
    """Words over the picture, from record frame `record_start` on, for `num_frames`."""

    text: str  # may have several lines
    record_start: int
    num_frames: int
    place: Place = "center"
    size: float = 0.1  # height of a letter line as a share of the picture's height
    color: str = "#ffffff"
    fade: int = 0  # frames to come and to go
    font: Path | None = None  # a TrueType or OpenType file; the built-in one if None
    font_digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A sound file on an audio track of its own. All times in seconds, since sound knows no frames."""

    path: Path
    digest: str  # BLAKE3 (hex) of the file
    at: float = 0.0  # on the record side
    start: float = 0.0  # in the file
    seconds: float | None = None  # of the file that are played; None: to its end, or the film's
    level: float = 0.0  # decibels
    fade_in: float = 0.0
    fade_out: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The whole edit: events in order on one video track, titles on a second one, a track for each sound."""

    title: str
    fps: int
    width: int
    height: int
    events: tuple[CutEvent, ...]
    titles: tuple[Title, ...] = ()
    sounds: tuple[Sound, ...] = ()
    start_timecode: str = START_TIMECODE

    @property
    def num_frames(self) -> int:
        """How long the film is."""
        return max((event.record_end for event in self.events), default=0)

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self.num_frames / self.fps

    def decides(self) -> dict[str, Any]:
        """All that the pictures and the sound depend on, for a key: files by their digests, not by their places."""
        plain = asdict(self)
        for event in plain["events"]:
            source = event["source"]
            event["source"] = {k: source[k] for k in ("blob", "num_frames", "fps", "width", "height")}
            del event["grade"]["lut"]
        for item in plain["titles"]:
            del item["font"]
        for item in plain["sounds"]:
            del item["path"]
        del plain["title"], plain["start_timecode"]
        return plain
