"""An edit as an OpenTimelineIO timeline, which is the truth that others see.

The convention: one video track `V1` (titles on `TITLES`, sound on `A1`, `A2` ...), each clip named after its shot with
`metadata["filmwright"] = {"shot", "take", "digest"}` and an external reference whose `available_range` has the handles.
Dissolves are `SMPTE_Dissolve`; wipes and fades are custom transitions whose metadata says which; a fade has black, so
nothing, on one side. Speed is a `LinearTimeWarp`: a clip lasts as long as its `source_range` says and plays as many
media frames as that times the speed, from the range's start; backwards, that is the lowest of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import opentimelineio as otio

from filmwright.direction.timeline.edit import (
    Edit,
    Event,
    Marker,
    Media,
    Sound,
    Title,
    check_edit,
    plain_text,
)  # fmt: skip
from filmwright.direction.timeline.marks import url_of
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate

__all__ = ["KEY", "TITLES", "timeline_of_edit"]

KEY = "filmwright"
TITLES = "TITLES"
Part = TypeVar("Part", Title, Sound)


def timeline_of_edit(edit: Edit) -> otio.schema.Timeline:
    """The timeline of an edit; loses nothing.

    Raises:
        TimelineError: the edit cannot be played, see `check_edit`.
    """
    edit = check_edit(edit)
    form = _Form(edit.rate)
    timeline = otio.schema.Timeline(name=edit.name, global_start_time=form.time(edit.start))
    own = {"fps": str(edit.rate.fps), "drop_frame": edit.rate.drop}
    timeline.metadata[KEY] = own | ({"width": edit.width, "height": edit.height} if edit.width else {})
    timeline.tracks.markers.extend(form.marker(marker, Fraction(marker.at)) for marker in edit.markers)
    timeline.tracks.append(form.pictures(edit))
    for number, titles in enumerate(_lanes(edit.titles)):
        track = otio.schema.Track(
            name=TITLES + (str(number + 1) if number else ""), kind=otio.schema.TrackKind.Video
        )
        for title, gap in _with_gaps(titles):
            form.put_gap(track, gap)
            generator = otio.schema.GeneratorReference(
                generator_kind="Title", parameters={"text": title.text}
            )
            clip = otio.schema.Clip(name=plain_text(title.text, 80), media_reference=generator,
                                    source_range=form.range(0, title.duration))  # fmt: skip
            clip.metadata[KEY] = {"title": title.text, "style": dict(title.style)}
            track.append(clip)
        timeline.tracks.append(track)
    for number in range(1, max((sound.track for sound in edit.sounds), default=0) + 1):
        track = otio.schema.Track(name=f"A{number}", kind=otio.schema.TrackKind.Audio)
        for sound, gap in _with_gaps([sound for sound in edit.sounds if sound.track == number]):
            form.put_gap(track, gap)
            clip = otio.schema.Clip(name=sound.name, media_reference=form.reference(sound.media),
                                    source_range=form.range(sound.source_start, sound.duration))  # fmt: skip
            clip.metadata[KEY] = {
                "level": sound.gain, "fade_in": sound.fade_in, "fade_out": sound.fade_out, "role": sound.role,
            }  # fmt: skip
            track.append(clip)
        timeline.tracks.append(track)
    return timeline


class _Form:
    """Makes OpenTimelineIO objects at one rate."""

    def __init__(self, rate: Rate) -> None:
        self.fps = float(rate.fps)

    def time(self, frames: Fraction | int) -> otio.opentime.RationalTime:
        return otio.opentime.RationalTime(float(frames), self.fps)

    def range(self, start: Fraction | int, duration: Fraction | int) -> otio.opentime.TimeRange:
        return otio.opentime.TimeRange(self.time(start), self.time(duration))

    def put_gap(self, track: otio.schema.Track, frames: int) -> None:
        if frames:
            track.append(otio.schema.Gap(source_range=self.range(0, frames)))

    def reference(self, media: Media | None) -> otio.core.MediaReference:
        if media is None:
            return otio.schema.MissingReference()
        known = self.range(media.start, media.duration) if media.duration else None
        return otio.schema.ExternalReference(target_url=url_of(media.path, host=""), available_range=known)

    def marker(self, marker: Marker, at: Fraction) -> otio.schema.Marker:
        found = otio.schema.Marker(
            name=marker.name, marked_range=self.range(at, marker.duration), comment=marker.note
        )
        found.color = marker.color
        return found

    def pictures(self, edit: Edit) -> otio.schema.Track:
        """The track V1: clips from cut point to cut point, with transitions between them."""
        track = otio.schema.Track(name="V1", kind=otio.schema.TrackKind.Video)
        at = 0
        for i, event in enumerate(edit.events):
            before = edit.events[i - 1] if i else None
            after = edit.events[i + 1] if i + 1 < len(edit.events) else None
            start = event.start + (event.join.before if event.join is not None else 0)
            end = event.end
            if after is not None and after.join is not None:
                end = after.start + after.join.before
            meets = before is not None and start == at
            self.put_gap(track, start - at)
            if event.join is not None:
                track.append(self.transition(event.join.kind, event.join.before,
                                             event.join.frames - event.join.before, wipe=event.join.wipe))  # fmt: skip
            else:
                out = before.fade_out if before is not None and meets else 0
                if out or event.fade_in:
                    track.append(self.transition("fade", out, event.fade_in))
            track.append(self.clip(event, start, end))
            at = end
            if event.fade_out and (after is None or after.start > event.end):
                track.append(self.transition("fade", event.fade_out, 0))
        return track

    def transition(self, kind: str, before: int, after: int, wipe: int = 1) -> otio.schema.Transition:
        dissolve = kind == "dissolve"
        types = otio.schema.TransitionTypes
        found = otio.schema.Transition(
            name=kind, transition_type=types.SMPTE_Dissolve if dissolve else types.Custom,
            in_offset=self.time(before), out_offset=self.time(after),
        )  # fmt: skip
        found.metadata[KEY] = {"kind": kind} | ({"wipe": wipe} if kind == "wipe" else {})
        return found

    def clip(self, event: Event, start: int, end: int) -> otio.schema.Clip:
        speed = abs(event.speed)
        ahead = start - event.start if event.speed > 0 else event.end - end
        extra = (
            event.source_duration - event.duration * speed if event.speed < 0 else 0
        )  # of the last media frame
        source = event.source_start + ahead * speed + extra
        clip = otio.schema.Clip(
            name=event.name,
            media_reference=self.reference(event.media),
            source_range=self.range(source, end - start),
        )
        if event.speed != 1:
            clip.effects.append(otio.schema.LinearTimeWarp(name="speed", time_scalar=float(event.speed)))
        own: dict[str, Any] = {"shot": event.shot, "take": event.take, "digest": event.digest}
        if event.speed != 1:
            own["speed"] = str(event.speed)
        if event.fade_color != "#000000":
            own["fade_color"] = event.fade_color
        clip.metadata[KEY] = own
        first = event.source_start if event.speed > 0 else event.source_end
        clip.markers.extend(self.marker(marker, first + marker.at * event.speed) for marker in event.markers)
        return clip


def _lanes(titles: tuple[Title, ...]) -> list[list[Title]]:
    lanes: list[list[Title]] = []
    for title in titles:
        free = next((lane for lane in lanes if lane[-1].start + lane[-1].duration <= title.start), None)
        if free is None:
            lanes.append([title])
        else:
            free.append(title)
    return lanes or [[]]


def _with_gaps(parts: Sequence[Part]) -> Iterator[tuple[Part, int]]:
    """Each part with the frames of nothing before it."""
    at = 0
    for part in parts:
        if part.start < at:
            name = plain_text(getattr(part, "name", "") or getattr(part, "text", ""), 60)
            raise TimelineError(
                f"{name!r} begins before the part before it on its track ends; put it on another"
            )
        yield part, part.start - at
        at = part.start + part.duration
