"""What an editor changed: two timelines as a list of trims, moves, additions, removals, transitions, speeds, markers.

Trims are told by cut points, so that a longer dissolve is a change of the transition and not two trims; the new values
have the frames that transitions show as well, as `spec.cut` counts them. A shot that shows more than its file holds is
marked for re-render with the length that it now needs; nothing else has to be rendered. What a format cannot tell
(`exchange.CANNOT`) is no change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Hashable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from filmwright.direction.timeline.edit import Edit, Event, Marker, plain_text
from filmwright.direction.timeline.match import Matched, match
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import timecode

if TYPE_CHECKING:
    import opentimelineio as otio

__all__ = ["Change", "Difference", "changes", "difference"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change. `before` and `after` are plain values in frames; `index` counts events from 0, in the new order.

    Kinds: trim, moved, removed, added, unknown (a clip of none of our shots), transition, fade, gap, speed, marker,
    title, sound, rerender.
    """

    kind: str
    shot: str
    sentence: str
    index: int | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """All changes, and `merged`: the new edit with what its format could not tell taken from the old one."""

    changes: tuple[Change, ...]
    merged: Edit

    @property
    def rerender(self) -> tuple[str, ...]:
        """Shots that need more frames than they have, once each."""
        return tuple(dict.fromkeys(change.shot for change in self.changes if change.kind == "rerender"))


def changes(before: otio.schema.Timeline, after: otio.schema.Timeline) -> tuple[Change, ...]:
    """What differs between two OpenTimelineIO timelines.

    Raises:
        TimelineError: one of them cannot be played, or their rates differ.
    """
    from filmwright.direction.timeline.otio_read import edit_of

    return difference(edit_of(before)[0], edit_of(after)[0]).changes


def difference(before: Edit, after: Edit, *, cannot: Collection[str] = ()) -> Difference:
    """What differs between two edits.

    Args:
        before: the one we gave away.
        after: the one that came back.
        cannot: features that the format of `after` does not tell.

    Raises:
        TimelineError: their rates differ, so that no frame of one is a frame of the other.
    """
    before = before.sorted()
    if before.rate.fps != after.rate.fps:
        raise TimelineError(
            f"the timeline that came back has {after.rate.said} frames a second, ours {before.rate.said}; "
            "export it at that rate"
        )
    found = match(before, after)
    after = found.after
    told = [*_gone(before, found), *_moves(found), *_new(found)]
    for i, j in found.pairs:
        told += _of_event(before, after, i, j, cannot)
    told += _markers(before, after, cannot)
    if "title" not in cannot:
        told += _parts("title", _counts(before, "title"), _counts(after, "title"), before)
    if "sound" not in cannot:
        told += _parts("sound", _counts(before, "sound"), _counts(after, "sound"), before)
    return Difference(changes=tuple(told), merged=_merged(before, found, cannot))


def _gone(before: Edit, found: Matched) -> Iterable[Change]:
    kept = {i for i, _ in found.pairs}
    for i, event in enumerate(before.events):
        if i not in kept:
            yield Change(kind="removed", shot=event.shot, before=_values(before, i),
                         sentence=f"{_label(event)}: removed (was at {before.at(event.start)})")  # fmt: skip


def _new(found: Matched) -> Iterable[Change]:
    paired = {j for _, j in found.pairs}
    for j, event in enumerate(found.after.events):
        if j in paired:
            continue
        at = found.after.at(event.start)
        if j in found.strangers:
            yield Change(kind="unknown", shot="", index=j, after=_values(found.after, j),
                         sentence=f"{_label(event)} at {at} is no shot of ours: it is left alone")  # fmt: skip
        else:
            yield Change(kind="added", shot=event.shot, index=j, after=_values(found.after, j),
                         sentence=f"{_label(event)}: used once more, at {at}")  # fmt: skip
            yield from _rerender(event, j)


def _moves(found: Matched) -> Iterable[Change]:
    """Events that are not in the longest run that kept its order."""
    order = [i for i, _ in found.pairs]  # pairs are in the order of `after`
    stays = _longest_rising(order)
    for i, j in found.pairs:
        if i not in stays:
            event = found.after.events[j]
            behind = f"after {_label(found.after.events[j - 1])}" if j else "to the start"
            yield Change(kind="moved", shot=event.shot, index=j, before={"index": i}, after={"index": j},
                         sentence=f"{_label(event)}: moved {behind}")  # fmt: skip


def _longest_rising(values: list[int]) -> set[int]:
    tails: list[int] = []
    places: list[int] = []
    back: list[int] = []
    for k, value in enumerate(values):
        at = bisect_left(tails, value)
        tails[at : at + 1] = [value]
        places[at : at + 1] = [k]
        back.append(places[at - 1] if at else -1)
    kept: set[int] = set()
    k = places[-1] if places else -1
    while k >= 0:
        kept.add(values[k])
        k = back[k]
    return kept


def _of_event(before: Edit, after: Edit, i: int, j: int, cannot: Collection[str]) -> Iterable[Change]:
    old, new = before.events[i], after.events[j]
    label, was, now = _label(new), _values(before, i), _values(after, j)

    def change(kind: str, sentence: str) -> Change:
        return Change(
            kind=kind, shot=new.shot, index=j, before=was, after=now, sentence=f"{label}: {sentence}"
        )

    same_speed = old.speed == new.speed
    if not same_speed:
        yield change("speed", f"speed {_percent(new)}, was {_percent(old)}")
    if _extent(old) != _extent(new) and _cut_extent(before, i) != _cut_extent(after, j):
        yield change("trim", _trim(before, i, after, j) if same_speed else _range(old, new))
    if _joined(old, cannot) != _joined(new, cannot):
        yield change("transition", f"{_say_join(new)}, was {_say_join(old)}")
    if (old.fade_in, old.fade_out) != (new.fade_in, new.fade_out):
        yield change(
            "fade", f"fades of {new.fade_in} and {new.fade_out} frames, were {old.fade_in} and {old.fade_out}"
        )
    if _gap(before, i) != _gap(after, j):
        yield change("gap", f"{_gap(after, j)} frames of nothing before it, were {_gap(before, i)}")
    held = _missing(old)
    if _missing(new) != held and any(a > b for a, b in zip(_missing(new), held, strict=True)):
        yield from _rerender(new, j)


def _rerender(event: Event, index: int) -> Iterable[Change]:
    head, tail = _missing(event)
    if event.media is None or not (head or tail):
        return
    length = event.media.duration + head + tail
    ends = [
        f"{frames} frames more at its {where}" for frames, where in ((head, "start"), (tail, "end")) if frames
    ]
    yield Change(
        kind="rerender", shot=event.shot, index=index, before={"num_frames": event.media.duration},
        after={"num_frames": length, "more_before": head, "more_after": tail},
        sentence=f"{_label(event)}: needs {' and '.join(ends)} than it has: render it again with {length} frames",
    )  # fmt: skip


def _missing(event: Event) -> tuple[int, int]:
    """Media frames that an event shows before and after what its file holds."""
    media = event.media
    if media is None or not media.duration:
        return 0, 0
    end = media.start + media.duration
    return max(media.start - event.source_start, 0), max(event.source_end - end, 0)


def _extent(event: Event) -> tuple[int, int]:
    return event.source_start, event.duration


def _cuts(edit: Edit, index: int) -> tuple[int, int]:
    """Record frames of an event from cut point to cut point, counted from its own start."""
    event = edit.events[index]
    after = edit.events[index + 1].join if index + 1 < len(edit.events) else None
    head = event.join.before if event.join is not None else 0
    return head, event.duration - (after.frames - after.before if after is not None else 0)


def _cut_extent(edit: Edit, index: int) -> tuple[object, object]:
    """Media positions of the cut points."""
    event = edit.events[index]
    edges = [
        event.source_start + at * event.speed if event.speed > 0 else event.source_end + at * event.speed
        for at in _cuts(edit, index)
    ]
    return edges[0], edges[1]


def _trim(before: Edit, i: int, after: Edit, j: int) -> str:
    old, new = before.events[i], after.events[j]
    (old_in, old_out), (new_in, new_out) = _cut_extent(before, i), _cut_extent(after, j)
    way = 1 if new.speed > 0 else -1
    head = round((new_in - old_in) * way / abs(new.speed))  # type: ignore[operator]
    tail = round((new_out - old_out) * way / abs(new.speed))  # type: ignore[operator]
    words = [f"starts {abs(head)} frames {'later' if head > 0 else 'earlier'}"] if head else []
    words += [f"ends {abs(tail)} frames {'later' if tail > 0 else 'earlier'}"] if tail else []
    return f"{' and '.join(words) or 'trimmed'}: {_range(old, new)}"


def _range(old: Event, new: Event) -> str:
    return f"frames {new.source_start} to {new.source_end} of its file, were {old.source_start} to {old.source_end}"


def _joined(event: Event, cannot: Collection[str]) -> tuple[object, ...] | None:
    """A transition without its cut point, which not every format tells."""
    join = event.join
    if join is None:
        return None
    return join.kind, join.frames, join.wipe if join.kind == "wipe" and "wipe" not in cannot else 0


def _gap(edit: Edit, index: int) -> int:
    """Frames of nothing before an event."""
    return max(edit.events[index].start - (edit.events[index - 1].end if index else 0), 0)


def _say_join(event: Event) -> str:
    join = event.join
    return f"{join.kind} of {join.frames} frames" if join is not None else "a cut"


def _percent(event: Event) -> str:
    return f"{float(event.speed) * 100:g} %"


def _label(event: Event) -> str:
    return event.shot or repr(plain_text(event.name, 60))


def _values(edit: Edit, index: int) -> dict[str, Any]:
    """An event in plain numbers, for who applies a change: frames of transitions are in it."""
    event = edit.events[index]
    join = event.join
    return {
        "index": index, "start": event.start, "num_frames": event.duration, "source_start": event.source_start,
        "source_end": event.source_end, "speed": float(event.speed),
        "fade_in": event.fade_in, "fade_out": event.fade_out,
        "transition": {"kind": join.kind, "num_frames": join.frames, "wipe": join.wipe} if join is not None else None,
    }  # fmt: skip


def _markers(before: Edit, after: Edit, cannot: Collection[str]) -> Iterable[Change]:
    owners = "marker.owner" not in cannot
    old, new = (Counter(_places(edit, owners=owners)) for edit in (before, after))
    for kind, counts in (("removed", old - new), ("added", new - old)):
        for (shot, at, name), count in counts.items():
            where = f"frame {at} of {shot}" if shot else timecode(before.start + max(at, 0), before.rate)
            values, gone = {"name": name, "at": at}, kind == "removed"
            sentence = f"marker {plain_text(name, 60)!r} {kind} at {where}"
            change = Change(kind="marker", shot=shot, sentence=sentence)
            yield from [replace(change, before=values) if gone else replace(change, after=values)] * count


def _places(edit: Edit, *, owners: bool) -> list[tuple[str, int, str]]:
    """Markers by shot, media frame and name; where the format forgets owners, by the clip under them."""
    found = []
    for event in edit.events:
        found += [(_label(event), _media_frame(event, marker.at), marker.name) for marker in event.markers]
    for marker in edit.markers:
        under = next((e for e in edit.events[::-1] if e.start <= marker.at < e.end), None)
        if owners or under is None:
            found.append(("", marker.at, marker.name))
        else:
            found.append((_label(under), _media_frame(under, marker.at - under.start), marker.name))
    return found


def _media_frame(event: Event, at: int) -> int:
    return round(
        event.source_start + at * event.speed if event.speed > 0 else event.source_end + at * event.speed
    )


def _counts(edit: Edit, kind: str) -> Counter[Hashable]:
    if kind == "title":
        return Counter((title.text, title.start, title.duration) for title in edit.titles)
    return Counter(
        (s.name, s.start, s.duration, s.source_start, round(s.gain, 1), s.fade_in, s.fade_out)
        for s in edit.sounds
    )


def _parts(kind: str, old: Counter[Hashable], new: Counter[Hashable], edit: Edit) -> Iterable[Change]:
    """Titles and sounds that are only in one of the two."""
    for word, counts in (("removed or changed", old - new), ("added or changed", new - old)):
        for key, count in counts.items():
            name, at, length = key[:3]  # type: ignore[index]
            values = {"name": name, "start": at, "num_frames": length}
            sentence = f"{kind} {plain_text(name, 60)!r} {word}: {length} frames at {edit.at(at)}"
            change = Change(kind=kind, shot="", sentence=sentence)
            gone = word.startswith("removed")
            yield from [replace(change, before=values) if gone else replace(change, after=values)] * count


def _merged(before: Edit, found: Matched, cannot: Collection[str]) -> Edit:
    """The new edit, with what its format could not tell as it was before."""
    after = found.after
    ours = {j: before.events[i] for i, j in found.pairs}
    known = {(_label(e), _media_frame(e, m.at), m.name): m for e in before.events for m in e.markers}
    known |= {("", marker.at, marker.name): marker for marker in before.markers}
    loose = set(
        _places(replace(before, events=tuple(replace(e, markers=()) for e in before.events)), owners=False)
    )
    styles = {title.text: title.style for title in before.titles}
    roles = {(sound.name, sound.source_start): sound.role for sound in before.sounds}

    def marked(event: Event | None, marker: Marker) -> Marker:
        place = (_label(event), _media_frame(event, marker.at)) if event is not None else ("", marker.at)
        old = known.get((*place, marker.name))
        return replace(old, at=marker.at) if old is not None and "marker.color" in cannot else marker

    def was_loose(event: Event, marker: Marker) -> bool:
        place = (_label(event), _media_frame(event, marker.at), marker.name)
        return "marker.owner" in cannot and place in loose

    def whole(j: int, event: Event) -> Event:
        old = ours[j].join if j in ours else None
        join = event.join
        if join is not None and old is not None and old.kind == join.kind and "wipe" in cannot:
            join = replace(join, wipe=old.wipe)
        markers = (marked(event, marker) for marker in event.markers if not was_loose(event, marker))
        return replace(event, join=join, markers=tuple(markers))

    freed = [
        replace(m, at=m.at + e.start) for e in after.events for m in e.markers if was_loose(e, m)
    ]  # fmt: skip
    titles = tuple(
        replace(t, style=styles.get(t.text, ())) if "title.style" in cannot else t for t in after.titles
    )
    sounds = tuple(
        replace(s, role=roles.get((s.name, s.source_start), "")) if "sound.role" in cannot else s
        for s in after.sounds
    )
    return replace(
        after, name=before.name, width=before.width, height=before.height, start=before.start, rate=before.rate,
        events=tuple(whole(j, event) for j, event in enumerate(after.events)),
        markers=tuple(sorted(
            (marked(None, marker) for marker in [*after.markers, *freed]), key=lambda marker: (marker.at, marker.name)
        )),
        titles=before.titles if "title" in cannot else titles,
        sounds=before.sounds if "sound" in cannot else sounds,
    )  # fmt: skip
