"""An OpenTimelineIO timeline as an edit, from us or from others, and the safe reading of its JSON.

The library reads what it is given to any depth and dies of it, so a file's depth is looked at before. Of others'
timelines one track of pictures is taken over; nested timelines, freezes and other effects are listed.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import opentimelineio as otio

from filmwright.direction.timeline.edit import (
    MAX_EVENTS,
    MAX_FRAMES,
    Edit,
    Event,
    Join,
    Marker,
    Media,
    Sound,
    Title,
    check_edit,
    plain_text,
)  # fmt: skip
from filmwright.direction.timeline.marks import path_of
from filmwright.direction.timeline.otio_write import KEY, TITLES
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate, parse_rate, rate_near

__all__ = ["MAX_OTIO_BYTES", "edit_of", "parse_otio"]

MAX_OTIO_BYTES = 64_000_000
MAX_DEPTH = 100
MAX_DENOMINATOR = 1000
AUDIO = "Audio"
PARTS = re.compile(
    r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL
)  # an open string runs to the end: one pass, always
BROKEN = (ValueError, LookupError, TypeError, OverflowError, otio.exceptions.OTIOError)


def parse_otio(data: bytes, place: str) -> otio.schema.Timeline:
    """The timeline of a file's JSON.

    Raises:
        TimelineError: with line and column: no JSON, too large or too deep, or no timeline.
    """
    if len(data) > MAX_OTIO_BYTES:
        raise TimelineError(
            f"{place} has {len(data)} bytes, the limit for OpenTimelineIO is {MAX_OTIO_BYTES}"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise TimelineError(f"{place}:{line}:{column}: no JSON: it is not UTF-8; export it again") from error
    _check_depth(text, place)
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise TimelineError(
            f"{place}:{error.lineno}:{error.colno}: no JSON: {error.msg}; export it again"
        ) from error
    except ValueError as error:  # a number of more digits than Python turns into one
        raise TimelineError(f"{place}:1:1: no JSON: {error}") from error
    try:
        found = otio.core.deserialize_json_from_string(text)
    except BROKEN as error:
        reason = plain_text(
            re.sub(r" \(of type '\S*'\)", "", str(error.args[0] if error.args else error)), 200
        )
        found_line = re.search(r"line (\d+)", reason)
        line = int(found_line[1]) if found_line else 1
        raise TimelineError(f"{place}:{line}:1: no OpenTimelineIO: {reason}; export it again") from error
    if isinstance(found, otio.schema.SerializableCollection):
        found = next((child for child in found if isinstance(child, otio.schema.Timeline)), found)
    if not isinstance(found, otio.schema.Timeline):
        raise TimelineError(
            f"{place}:1:1: there is no timeline in it but {type(found).__name__}; export a timeline"
        )
    return found


def _check_depth(text: str, place: str) -> None:
    """Brackets outside of strings, counted: the library recurses for each."""
    depth = 0
    for found in PARTS.finditer(text):
        sign = found[0]
        if sign in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                line = text.count("\n", 0, found.start()) + 1
                column = found.start() - text.rfind("\n", 0, found.start())
                raise TimelineError(
                    f"{place}:{line}:{column}: nested more than {MAX_DEPTH} deep, the limit; that is no timeline"
                )
        elif sign in "]}":
            depth -= 1


def edit_of(timeline: otio.schema.Timeline) -> tuple[Edit, list[str]]:
    """The edit of a timeline, and sentences about what was passed over.

    Raises:
        TimelineError: its numbers make no timeline, see `check_edit`.
    """
    try:
        reader = _Reader(timeline)
        return check_edit(reader.edit()), reader.notes
    except BROKEN as error:
        raise TimelineError(f"the timeline {plain_text(timeline.name, 60)!r} is broken: {error}") from error


class _Reader:
    def __init__(self, timeline: otio.schema.Timeline) -> None:
        self.timeline = timeline
        self.notes: list[str] = []
        self.rounded = 0
        self.own = _own(timeline)
        self.rate = self.find_rate()

    def find_rate(self) -> Rate:
        """Our own word; else the rate of the start time, else of the first clip."""
        drop = self.own.get("drop_frame") is True
        if isinstance(self.own.get("fps"), str):
            rate = parse_rate(self.own["fps"])
            return parse_rate(f"{rate.fps}df") if drop else rate
        if self.timeline.global_start_time is not None:
            return rate_near(self.timeline.global_start_time.rate, drop=drop)
        for track in self.timeline.tracks:
            for item in track if isinstance(track, otio.schema.Track) else ():
                if isinstance(item, otio.core.Item):
                    return rate_near(item.trimmed_range().duration.rate, drop=drop)
        raise TimelineError("the timeline is empty: it has no rate; add a clip")

    def frames(self, time: otio.opentime.RationalTime) -> Fraction:
        """A time at the timeline's rate, exact but for the noise of floating point numbers."""
        if not (math.isfinite(time.value) and 0 < time.rate < 1e7 and abs(time.value) <= MAX_FRAMES):
            raise TimelineError(
                f"a time of {time.value:g} frames at {time.rate:g} a second; it cannot be used"
            )
        exact = Fraction(time.value).limit_denominator(MAX_DENOMINATOR)
        same = abs(time.rate - float(self.rate.fps)) < 1e-3
        return (
            exact
            if same
            else (exact * self.rate.fps / Fraction(time.rate)).limit_denominator(MAX_DENOMINATOR)
        )

    def whole(self, frames: Fraction) -> int:
        if frames.denominator != 1:
            self.rounded += 1
        return round(frames)

    def edit(self) -> Edit:
        timeline = self.timeline
        start = (
            self.whole(self.frames(timeline.global_start_time))
            if timeline.global_start_time is not None
            else 0
        )
        events: list[Event] = []
        titles: list[Title] = []
        sounds: list[Sound] = []
        pictures = number = 0
        for track in timeline.tracks:
            if not isinstance(track, otio.schema.Track):
                self.notes.append(f"{type(track).__name__} {track.name[:60]!r} is left out: it is no track")
            elif track.kind == AUDIO:
                number += 1
                sounds += self.sounds(track, number)
            elif track.name.startswith(TITLES) or self.only_titles(track):
                titles += self.titles(track)
            else:
                pictures += 1
                if pictures == 1:
                    events = self.events(track)
                elif clips := sum(isinstance(item, otio.schema.Clip) for item in track):
                    self.notes.append(
                        f"{clips} clips of track {track.name[:60]!r} are left out: pictures have one track"
                    )
        if self.rounded:
            self.notes.append(f"{self.rounded} times lie between two frames and were rounded")
        size = [self.own.get(name) for name in ("width", "height")]
        width, height = (
            int(side) if isinstance(side, int | float) and 0 < side < 1e5 else 0 for side in size
        )
        markers = (self.marker(marker, Fraction(0), Fraction(1)) for marker in timeline.tracks.markers)
        return Edit(
            name=plain_text(timeline.name), rate=self.rate, start=start, events=tuple(events), titles=tuple(titles),
            sounds=tuple(sounds), markers=tuple(markers), width=width, height=height,
        )  # fmt: skip

    def only_titles(self, track: otio.schema.Track) -> bool:
        clips = [item for item in track if isinstance(item, otio.schema.Clip)]
        return bool(clips) and all(
            isinstance(c.media_reference, otio.schema.GeneratorReference) for c in clips
        )

    def laid(self, track: otio.schema.Track) -> list[tuple[int, int, Any]]:
        """Record frames of all items of a track; a transition has none."""
        if len(track) > MAX_EVENTS:
            raise TimelineError(
                f"track {track.name[:60]!r} has {len(track)} items, the limit is {MAX_EVENTS}"
            )
        found: list[tuple[int, int, Any]] = []
        at = Fraction(0)
        for item in track:
            length = Fraction(0)
            if isinstance(item, otio.core.Item):
                length = self.frames(item.trimmed_range().duration)
            found.append((self.whole(at), self.whole(at + length), item))
            at += length
        return found

    def events(self, track: otio.schema.Track) -> list[Event]:
        laid = self.laid(track)
        events: list[Event] = []
        for i, (start, end, item) in enumerate(laid):
            if isinstance(item, otio.schema.Clip):
                if not item.enabled:
                    self.notes.append(f"the disabled clip {item.name[:60]!r} is left out")
                elif end > start:
                    head = laid[i - 1][2] if i else None
                    tail = laid[i + 1][2] if i + 1 < len(laid) else None
                    left = laid[i - 2][2] if i > 1 else None
                    right = laid[i + 2][2] if i + 2 < len(laid) else None
                    events.append(self.event(item, (start, end), (left, head), (tail, right)))
            elif not isinstance(item, otio.schema.Gap | otio.schema.Transition):
                self.notes.append(
                    f"{type(item).__name__} {item.name[:60]!r} is left out: only clips are taken over"
                )
        return events

    def event(
        self, clip: otio.schema.Clip, cut: tuple[int, int], before: tuple[Any, Any], after: tuple[Any, Any]
    ) -> Event:
        """The event of a clip, longer than from cut to cut by what its transitions show of it."""
        start, end = cut
        join, fade_in, fade_out = None, 0, 0
        left, head = before
        tail, right = after
        if isinstance(head, otio.schema.Transition):
            first, last = self.offsets(head)
            if self.fades(head, left):
                fade_in = last + (0 if _kind(head) == "fade" else first)
                start -= 0 if _kind(head) == "fade" else first
            elif first + last:
                join, start = self.join(head, first, first + last), start - first
        if isinstance(tail, otio.schema.Transition):
            first, last = self.offsets(tail)
            if self.fades(tail, right):
                fade_out = first + (0 if _kind(tail) == "fade" else last)
                end += 0 if _kind(tail) == "fade" else last
            else:
                end += last
        media, origin = self.media(clip)
        own = _own(clip)
        speed = self.speed(clip, own)
        ahead = (cut[0] - start if speed > 0 else end - cut[1]) * abs(speed)
        lowest = (
            self.frames(clip.trimmed_range().start_time) if clip.source_range is not None else origin
        ) - ahead
        duration = end - start
        event = Event(
            name=plain_text(clip.name), start=start, duration=duration, media=media, speed=speed, join=join,
            source_start=self.lowest(lowest, duration, speed), fade_in=fade_in, fade_out=fade_out,
            shot=str(own.get("shot", ""))[:200], digest=str(own.get("digest", ""))[:200],
            take=own["take"] if isinstance(own.get("take"), int) and own["take"] >= 0 else 0,
            fade_color=str(own.get("fade_color", "#000000"))[:20],
        )  # fmt: skip
        edge = Fraction(event.source_start if speed > 0 else event.source_end)
        return replace(event, markers=tuple(self.marker(marker, edge, speed) for marker in clip.markers))

    def lowest(self, lowest: Fraction, duration: int, speed: Fraction) -> int:
        """Backwards a part of the lowest frame may be left over, which is not a rounding."""
        extra = math.ceil(duration * abs(speed)) - duration * abs(speed) if speed < 0 else Fraction(0)
        return self.whole(lowest - extra)

    def offsets(self, transition: otio.schema.Transition) -> tuple[int, int]:
        first, last = (
            self.whole(self.frames(transition.in_offset)),
            self.whole(self.frames(transition.out_offset)),
        )
        if min(first, last) < 0:
            raise TimelineError(f"a transition of {first} and {last} frames; they must be 0 or more")
        return first, last

    def fades(self, transition: otio.schema.Transition, other: Any) -> bool:
        return _kind(transition) == "fade" or not isinstance(other, otio.schema.Clip)

    def join(self, transition: otio.schema.Transition, before: int, frames: int) -> Join:
        kind = _kind(transition)
        wipe = _own(transition).get("wipe", 1)
        if kind not in ("dissolve", "wipe"):
            self.notes.append(f"the transition {transition.name[:60]!r} is taken for a dissolve")
        if kind == "wipe":
            return Join(kind="wipe", frames=frames, before=before, wipe=wipe if isinstance(wipe, int) else 1)
        return Join(frames=frames, before=before)

    def media(self, clip: otio.schema.Clip) -> tuple[Media | None, Fraction]:
        reference = clip.media_reference
        known = reference.available_range if reference is not None else None
        start = self.frames(known.start_time) if known is not None else Fraction(0)
        length = self.frames(known.duration) if known is not None else Fraction(0)
        url = getattr(reference, "target_url", None) or getattr(reference, "target_url_base", None)
        if url is None:
            return None, start
        return Media(
            path=path_of(url)[:4000], start=self.whole(start), duration=max(math.floor(length), 0)
        ), start

    def speed(self, clip: otio.schema.Clip, own: dict[str, Any]) -> Fraction:
        speed = Fraction(1)
        for effect in clip.effects:
            if isinstance(effect, otio.schema.LinearTimeWarp) and not isinstance(
                effect, otio.schema.FreezeFrame
            ):
                if not (math.isfinite(effect.time_scalar) and effect.time_scalar != 0):
                    raise TimelineError(
                        f"clip {clip.name[:60]!r} plays at {effect.time_scalar:g} times the speed"
                    )
                speed *= Fraction(effect.time_scalar).limit_denominator(MAX_DENOMINATOR)
            else:
                name = effect.effect_name or effect.name or type(effect).__name__
                self.notes.append(f"the effect {name[:60]!r} of clip {clip.name[:60]!r} is left out")
        said = own.get("speed")
        if isinstance(said, str) and re.fullmatch(r"-?\d{1,9}(/[1-9]\d{0,8})?", said, re.ASCII):
            exact = Fraction(said)  # a third is more than its decimals
            if abs(exact - speed) < Fraction(1, MAX_DENOMINATOR):
                speed = exact
        return speed

    def marker(self, marker: otio.schema.Marker, origin: Fraction, speed: Fraction) -> Marker:
        at = (self.frames(marker.marked_range.start_time) - origin) / speed
        return Marker(
            at=self.whole(at), duration=self.whole(self.frames(marker.marked_range.duration)),
            name=plain_text(marker.name), color=plain_text(marker.color or "", 20), note=marker.comment[:4000],
        )  # fmt: skip

    def titles(self, track: otio.schema.Track) -> list[Title]:
        found = []
        for start, end, item in self.laid(track):
            if not isinstance(item, otio.schema.Clip):
                continue
            own = _own(item)
            parameters = getattr(item.media_reference, "parameters", {})
            style = own.get("style")
            pairs = [(str(k), str(v)) for k, v in style.items()] if style else []
            text = own.get("title") or parameters.get("text") or item.name
            found.append(
                Title(text=str(text)[:4000], start=start, duration=end - start, style=tuple(sorted(pairs)))
            )
        return found

    def sounds(self, track: otio.schema.Track, number: int) -> list[Sound]:
        found = []
        for start, end, item in self.laid(track):
            if not isinstance(item, otio.schema.Clip) or not item.enabled or end <= start:
                continue
            own = _own(item)
            media, origin = self.media(item)
            first = self.frames(item.source_range.start_time) if item.source_range is not None else origin
            level = own.get("level", 0.0)
            fades = [own.get(name, 0) for name in ("fade_in", "fade_out")]
            fade_in, fade_out = (
                fade if isinstance(fade, int) and 0 <= fade <= end - start else 0 for fade in fades
            )
            found.append(Sound(
                name=plain_text(item.name), start=start, duration=end - start, source_start=self.whole(first),
                media=media, track=number, fade_in=fade_in, fade_out=fade_out, role=str(own.get("role", ""))[:100],
                gain=float(level) if isinstance(level, int | float) and abs(level) < 1000 else 0.0,
            ))  # fmt: skip
        return found


def _own(part: Any) -> dict[str, Any]:
    """What we wrote into something's metadata; whatever others put there is no mapping of ours."""
    own = part.metadata.get(KEY)
    return dict(own) if own is not None and hasattr(own, "items") else {}


def _kind(transition: otio.schema.Transition) -> str:
    kind = _own(transition).get("kind")
    if kind in ("dissolve", "wipe", "fade"):
        return str(kind)
    return "dissolve" if transition.transition_type == otio.schema.TransitionTypes.SMPTE_Dissolve else "other"
