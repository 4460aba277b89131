"""A cut in parts: each from where an event begins to where the next one does, complete in itself.

A part is a cut of its own, whose frames count from 0, so it is the same wherever it stands in a film: when a shot
before it becomes longer, it is not coded again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from filmwright.spec.cut import Cut

__all__ = ["Part", "parts_of"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The first `num_frames` of `cut` are the film's from record frame `start` on. It has no sound."""

    cut: Cut
    start: int
    num_frames: int


def parts_of(cut: Cut) -> tuple[Part, ...]:
    """The parts of a cut, in order."""
    edges = [*(event.record_start for event in cut.events), cut.num_frames]
    return tuple(_part(cut, start, stop) for start, stop in pairwise(edges) if stop > start)


def _part(cut: Cut, start: int, stop: int) -> Part:
    events = tuple(
        replace(event, record_start=event.record_start - start)
        for event in cut.events
        if event.record_start < stop and event.record_end > start
    )
    titles = tuple(
        replace(title, record_start=title.record_start - start)
        for title in cut.titles
        if title.record_start < stop and title.record_start + title.num_frames > start
    )
    return Part(
        cut=replace(cut, events=events, titles=titles, sounds=()), start=start, num_frames=stop - start
    )
