"""Which features of an edit differ in another: the measure of a round trip, by equality of frames and words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from filmwright.direction.timeline.edit import FEATURES, Edit, Event, Marker

__all__ = ["differences"]

GAIN_STEP = 0.005  # decibels; editors keep levels as numbers of a few digits


def differences(first: Edit, second: Edit) -> set[str]:
    """The keys of `FEATURES` that are not the same in both."""
    first, second = first.sorted(), second.sorted()
    return {feature for feature in FEATURES if LOOKS[feature](first) != LOOKS[feature](second)}


def _of_events(look: Callable[[Event], object]) -> Callable[[Edit], object]:
    return lambda edit: [look(event) for event in edit.events]


def _markers(edit: Edit) -> list[tuple[int, bool, Marker]]:
    """Record frame, whether a clip owns it, and the marker."""
    loose = [(marker.at, False, marker) for marker in edit.markers]
    owned = [(event.start + marker.at, True, marker) for event in edit.events for marker in event.markers]
    return sorted(loose + owned, key=lambda found: (found[0], found[2].name))


def _of_markers(look: Callable[[int, bool, Marker], object]) -> Callable[[Edit], object]:
    return lambda edit: [look(*found) for found in _markers(edit)]


LOOKS: Mapping[str, Callable[[Edit], Any]] = {
    "name": lambda edit: edit.name,
    "rate": lambda edit: edit.rate,
    "start": lambda edit: edit.start,
    "size": lambda edit: (edit.width, edit.height),
    "picture": _of_events(lambda e: (e.start, e.duration, e.source_start)),
    "speed": _of_events(lambda e: e.speed),
    "join": _of_events(lambda e: (e.join.kind, e.join.frames) if e.join else None),
    "join.cut": _of_events(lambda e: e.join.before if e.join else None),
    "wipe": _of_events(lambda e: e.join.wipe if e.join and e.join.kind == "wipe" else None),
    "fade": _of_events(lambda e: (e.fade_in, e.fade_out)),
    "fade.color": _of_events(lambda e: e.fade_color),
    "clip.name": _of_events(lambda e: e.name),
    "identity": _of_events(lambda e: (e.shot, e.take, e.digest)),
    "media.path": _of_events(lambda e: e.media.path if e.media else None),
    "media.range": _of_events(lambda e: (e.media.start, e.media.duration) if e.media else None),
    "marker": _of_markers(lambda at, _owned, marker: (at, marker.name)),
    "marker.owner": _of_markers(lambda _at, owned, _marker: owned),
    "marker.color": _of_markers(lambda _at, _owned, marker: marker.color),
    "marker.duration": _of_markers(lambda _at, _owned, marker: marker.duration),
    "marker.note": _of_markers(lambda _at, _owned, marker: marker.note),
    "title": lambda edit: [(t.text, t.start, t.duration) for t in edit.titles],
    "title.style": lambda edit: [t.style for t in edit.titles],
    "sound": lambda edit: [(s.name, s.track, s.start, s.duration, s.source_start) for s in edit.sounds],
    "sound.level": lambda edit: [round(s.gain / GAIN_STEP / 2) for s in edit.sounds],
    "sound.fade": lambda edit: [(s.fade_in, s.fade_out) for s in edit.sounds],
    "sound.role": lambda edit: [s.role for s in edit.sounds],
}
