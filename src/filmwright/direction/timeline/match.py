"""Which clip of an editor's timeline is which event of ours.

Told by our note first; where an editor dropped it, by the media's file name, then the reel, then the clip's name. A
shot may be used several times: its uses are paired by how much of the same media they show. Paths are only compared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from filmwright.direction.timeline.edit import Edit, Event
from filmwright.direction.timeline.marks import reel_names

__all__ = ["Matched", "match"]

SUFFIX = re.compile(
    r"(\.(mp4|mov|mkv|mxf|avi|m4v)|\.copy(\.\d+)?| copy( \d+)?| \(\d+\))$", re.IGNORECASE | re.ASCII
)
MAX_PAIRS = 250_000
MAX_NAME = 1000


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The second edit with our shots, media and take for every clip that is known; `pairs` are (before, after) indices.

    `strangers` are the indices of clips that are none of ours.
    """

    after: Edit
    pairs: tuple[tuple[int, int], ...]
    strangers: tuple[int, ...]


def match(before: Edit, after: Edit) -> Matched:
    """Finds the events of `before` in `after`."""
    before, after = before.sorted(), after.sorted()
    files = [event.media.file_name if event.media else event.name for event in before.events]
    reels = reel_names(files)
    known = {_key(event) for event in before.events}
    by_file = _one_of(before, lambda i: files[i].lower())
    by_reel = _one_of(before, lambda i: reels[files[i]])
    by_name = _one_of(before, lambda i: _stem(before.events[i].name))
    by_shot = _one_of(before, lambda i: before.events[i].shot)
    events = []
    for event in after.events:
        found = event.shot if event.shot and event.shot in known else ""
        names = [event.name, event.media.file_name if event.media else ""]
        found = found or next((by_file[n.lower()] for n in names[::-1] if by_file.get(n.lower())), "")
        found = found or by_reel.get(event.reel.upper(), "")
        found = found or next(
            (t[k] for n in names for t, k in ((by_name, _stem(n)), (by_shot, _stem(n))) if t.get(k)), ""
        )
        events.append(replace(event, shot=found or event.shot))
    pairs = _pairs(before, replace(after, events=tuple(events)))
    strangers = tuple(j for j, event in enumerate(events) if _key(event) not in known)
    ours = {_key(event): event for event in before.events[::-1]}
    ours_of = {j: before.events[i] for i, j in pairs}
    for j, event in enumerate(events):
        same = ours_of.get(j, ours.get(_key(event)))
        events[j] = event if same is None else _as_ours(same, event)
    return Matched(after=replace(after, events=tuple(events)), pairs=pairs, strangers=strangers)


def _key(event: Event) -> str:
    """What says that two events show the same shot: its name, or the file's where a timeline is none of ours."""
    return event.shot or (event.media.file_name if event.media else event.name)


def _stem(name: str) -> str:
    """A clip's name without what editors append to it."""
    name = name.strip().lower()[:MAX_NAME]
    while (shorter := SUFFIX.sub("", name)) != name:
        name = shorter
    return name


def _one_of(edit: Edit, name: Callable[[int], str]) -> dict[str, str]:
    """From a name to the one shot that has it; a name of several shots tells nothing."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for i, event in enumerate(edit.events):
        found[name(i)].add(_key(event))
    return {key: next(iter(shots)) for key, shots in found.items() if key and len(shots) == 1}


def _pairs(before: Edit, after: Edit) -> tuple[tuple[int, int], ...]:
    uses: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, edit in enumerate((before, after)):
        for i, event in enumerate(edit.events):
            uses[_key(event)][side].append(i)
    pairs: list[tuple[int, int]] = []
    for ours, theirs in uses.values():
        if len(ours) * len(theirs) > MAX_PAIRS:
            pairs += zip(ours, theirs, strict=False)
            continue
        ranked = sorted(
            ((-_shared(before.events[i], after.events[j]), abs(a - b), a, b)
             for a, i in enumerate(ours) for b, j in enumerate(theirs))
        )  # fmt: skip
        used: set[tuple[str, int]] = set()
        for _, _, a, b in ranked:
            if ("before", a) not in used and ("after", b) not in used:
                used |= {("before", a), ("after", b)}
                pairs.append((ours[a], theirs[b]))
    return tuple(sorted(pairs, key=lambda pair: pair[1]))


def _shared(first: Event, second: Event) -> int:
    """Media frames that both show, once the second counts as the first does."""
    second = _as_ours(first, second)
    return max(min(first.source_end, second.source_end) - max(first.source_start, second.source_start), 0)


def _as_ours(ours: Event, theirs: Event) -> Event:
    """Their event with our identity and medium; media times count from ours.

    An editor that passes over the timecode in a file counts from zero: then what it says of the file begins elsewhere.
    """
    source = theirs.source_start
    if ours.media is not None and theirs.media is not None and theirs.media.duration and ours.media.duration:
        begins = ours.media.start <= theirs.media.start < ours.media.start + ours.media.duration
        source += 0 if begins else ours.media.start - theirs.media.start
    return replace(
        theirs, shot=ours.shot, take=ours.take, digest=ours.digest, name=ours.name, media=ours.media,
        source_start=source, fade_color=ours.fade_color,
    )  # fmt: skip
