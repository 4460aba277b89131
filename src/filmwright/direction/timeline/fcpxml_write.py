"""FCPXML 1.10, written: what Final Cut Pro and Resolve open.

Every time is a fraction of a second that is a whole number of frames. Pictures lie in the spine without overlap: the
cut point is inside the transition, and what the transition shows beyond it is the clips' own media. A clip of another
speed counts its own time from where its time map says; sounds and titles hang on the clip under which they begin, at
that clip's own time. The document type of version 1.10 is Apple's; `tests/direction/timeline` holds its rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from filmwright.direction.timeline.edit import (
    Edit,
    Event,
    Loss,
    Losses,
    Marker,
    Media,
    Sound,
    Title,
    plain_text,
)
from filmwright.direction.timeline.fcp7_write import MAX_DECIBELS, MIN_DECIBELS
from filmwright.direction.timeline.marks import note_of, url_of
from filmwright.direction.timeline.xml_tree import Node, xml_text
from filmwright.spec.errors import TimelineError

__all__ = ["EFFECTS", "write_fcpxml"]

EFFECTS = {  # the names and numbers by which Final Cut Pro knows its own
    "dissolve": ("Cross Dissolve", "FxPlug:4731E73A-8DAC-4113-9A30-AE85B1761265"),
    "wipe": ("Wipe", "FxPlug:857E2FBA-98DB-411B-A88C-CE6ABC1F65D8"),
    "fade": ("Fade To Color", "FxPlug:F779C565-486D-4633-8035-0374B4DB8F5C"),
    "title": (
        "Basic Title",
        ".../Titles.localized/Bumper:Opener.localized/Basic Title.localized/Basic Title.moti",
    ),
}


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A clip or gap of the spine, from cut point to cut point; `local` is its own time at its first frame."""

    start: int
    end: int
    event: Event | None
    local: int


def write_fcpxml(edit: Edit) -> tuple[str, tuple[Loss, ...]]:
    """The text of a file, and what it does not hold."""
    return _Writer(edit).document(), _losses(edit)


class _Writer:
    def __init__(self, edit: Edit) -> None:
        self.edit = edit
        self.frame = 1 / edit.rate.fps
        self.root = Node("fcpxml", {"version": "1.10"})
        self.resources = self.root.add("resources")
        self.ids: dict[object, str] = {}
        self.pieces = _pieces(edit)
        self.styles = 0

    def time(self, frames: Fraction | int) -> str:
        """Seconds as a fraction; a whole number of frames keeps the rate's own denominator."""
        seconds = frames * self.frame
        if seconds.denominator == 1:
            return f"{seconds.numerator}s"
        if Fraction(frames).denominator == 1:
            return f"{int(frames) * self.frame.numerator}/{self.frame.denominator}s"
        return f"{seconds.numerator}/{seconds.denominator}s"

    def document(self) -> str:
        edit = self.edit
        size = {"width": edit.width, "height": edit.height} if edit.width else {}
        self.resources.add("format", id="r1", frameDuration=self.time(1), **size)
        event = self.root.add("library").add("event", name=edit.name or "Untitled")
        project = event.add("project", name=edit.name)
        form = "DF" if edit.rate.drop else "NDF"
        sequence = project.add(
            "sequence", format="r1", duration=self.time(edit.duration), tcStart=self.time(edit.start), tcFormat=form,
            audioLayout="stereo", audioRate="48k",
        )  # fmt: skip
        spine = sequence.add("spine")
        for i, piece in enumerate(self.pieces):
            before = self.pieces[i - 1].event if i else None
            if piece.event is not None:
                self.transition(spine, before, piece)
            node = self.piece(spine, piece)
            self.hang(node, piece, last=i + 1 == len(self.pieces))
            event_ = piece.event
            following = self.pieces[i + 1].event if i + 1 < len(self.pieces) else None
            if event_ is not None and event_.fade_out and not (following is not None and following.fade_in):
                self.join(spine, "fade", event_.end - event_.fade_out, event_.fade_out)
        return xml_text(self.root, "fcpxml")

    def resource(self, key: object, tag: str, **attributes: object) -> str:
        """The id of a resource, made when it is first used."""
        if key not in self.ids:
            self.ids[key] = f"r{len(self.resources.children) + 1}"
            self.resources.add(tag, id=self.ids[key], **attributes)
        return self.ids[key]

    def effect(self, kind: str) -> str:
        name, uid = EFFECTS[kind]
        return self.resource(kind, "effect", name=name, uid=uid)

    def asset(self, media: Media, part: Event | Sound) -> str:
        picture = isinstance(part, Event)
        end = part.source_end if isinstance(part, Event) else part.source_start + part.duration
        key = (media, picture)
        known = key in self.ids
        duration = media.duration or end - media.start
        kinds = {"hasVideo": "1", "format": "r1"} if picture else {"hasAudio": "1", "audioSources": "1"}
        identity = self.resource(
            key, "asset", name=media.file_name or part.name, start=self.time(media.start),
            duration=self.time(duration), **kinds,
        )  # fmt: skip
        if not known:
            self.resources.children[-1].add(
                "media-rep", kind="original-media", src=url_of(media.path, host="")
            )
        return identity

    def piece(self, spine: Node, piece: _Piece) -> Node:
        """The element of a piece, with what must come first in it: note, time map."""
        length = self.time(piece.end - piece.start)
        offset = self.time(self.edit.start + piece.start)
        event = piece.event
        if event is None:
            return spine.add("gap", name="Gap", offset=offset, start=self.time(piece.local), duration=length)
        media = event.media or Media(
            path=event.name, start=event.source_start, duration=event.source_duration
        )
        node = spine.add(
            "asset-clip", ref=self.asset(media, event), offset=offset, name=event.name, start=self.time(piece.local),
            duration=length, format="r1", tcFormat="DF" if self.edit.rate.drop else "NDF",
        )  # fmt: skip
        node.add("note", note_of(event))
        if event.speed != 1:
            begin = piece.local - (piece.start - event.start)  # own time at the first frame of the event
            first = event.source_start if event.speed > 0 else event.source_end
            low, high = media.start, media.start + media.duration
            if not media.duration:
                low, high = event.source_start, event.source_end
            ends = sorted(begin + (Fraction(value) - first) / event.speed for value in (low, high))
            graph = node.add("timeMap")
            for when in ends:
                graph.add(
                    "timept", time=self.time(when), value=self.time(first + (when - begin) * event.speed),
                    interp="linear",
                )  # fmt: skip
        return node

    def transition(self, spine: Node, before: Event | None, piece: _Piece) -> None:
        event = piece.event
        assert event is not None
        if event.join is not None:
            self.join(spine, event.join.kind, event.start, event.join.frames)
        elif event.fade_in:
            out = before.fade_out if before is not None and before.end == event.start else 0
            self.join(spine, "fade", event.start - out, out + event.fade_in)

    def join(self, spine: Node, kind: str, start: int, frames: int) -> None:
        node = spine.add(
            "transition",
            name=EFFECTS[kind][0],
            offset=self.time(self.edit.start + start),
            duration=self.time(frames),
        )
        node.add("filter-video", ref=self.effect(kind), name=EFFECTS[kind][0])

    def hang(self, node: Node, piece: _Piece, *, last: bool) -> None:
        """Titles and sounds that begin in a piece, then the markers there: the order the document type asks for."""

        def own(frame: int) -> int:
            return piece.local + frame - piece.start

        def here(frame: int) -> bool:
            return piece.start <= frame and (frame < piece.end or last)

        for lane, titles in enumerate(_lanes(self.edit.titles), 1):
            for title in titles:
                if here(title.start):
                    self.title(node, title, lane, own(title.start))
        for sound in self.edit.sounds:
            if here(sound.start):
                self.sound(node, sound, own(sound.start))
        markers = (
            [(piece.event.start + marker.at, marker) for marker in piece.event.markers] if piece.event else []
        )
        markers += [(marker.at, marker) for marker in self.edit.markers if here(marker.at)]
        for at, marker in markers:
            self.marker(node, marker, own(at))

    def title(self, node: Node, title: Title, lane: int, at: int) -> None:
        item = node.add(
            "title", ref=self.effect("title"), lane=lane, offset=self.time(at), name=plain_text(title.text, 80),
            start=self.time(0), duration=self.time(title.duration),
        )  # fmt: skip
        self.styles += 1
        item.add("text").add("text-style", title.text, ref=f"ts{self.styles}")
        item.add("text-style-def", id=f"ts{self.styles}").add(
            "text-style", font="Helvetica", fontSize="60", fontColor="1 1 1 1", alignment="center"
        )

    def sound(self, node: Node, sound: Sound, at: int) -> None:
        media = sound.media or Media(path=sound.name, start=sound.source_start, duration=sound.duration)
        item = node.add(
            "asset-clip", ref=self.asset(media, sound), lane=-sound.track, offset=self.time(at), name=sound.name,
            start=self.time(sound.source_start), duration=self.time(sound.duration), audioRole=sound.role or None,
        )  # fmt: skip
        if sound.gain or sound.fade_in or sound.fade_out:
            level = min(max(sound.gain, MIN_DECIBELS), MAX_DECIBELS)
            volume = item.add("adjust-volume", amount=f"{level:.4f}".rstrip("0").rstrip(".") + "dB")
            if sound.fade_in or sound.fade_out:
                parameter = volume.add("param", name="amount")
                for tag, frames in (("fadeIn", sound.fade_in), ("fadeOut", sound.fade_out)):
                    if frames:
                        parameter.add(tag, type="linear", duration=self.time(frames))

    def marker(self, node: Node, marker: Marker, at: int) -> None:
        node.add(
            "marker", start=self.time(at), duration=self.time(marker.duration or 1), value=marker.name,
            note=marker.note or None,
        )  # fmt: skip


def _pieces(edit: Edit) -> list[_Piece]:
    """The spine: clips from cut point to cut point, and gaps that reach as far as anything hangs on them."""
    pieces: list[_Piece] = []
    at = 0
    for i, event in enumerate(edit.events):
        following = edit.events[i + 1] if i + 1 < len(edit.events) else None
        cut = event.start + (event.join.before if event.join is not None else 0)
        end = event.end
        if following is not None and following.join is not None:
            end = following.start + following.join.before
        if end <= cut:
            raise TimelineError(
                f"{plain_text(event.name, 60)!r} at {edit.at(event.start)} has no frame between the cut points of its "
                "transitions, which FCPXML needs; make it longer or a transition shorter"
            )
        if cut > at:
            pieces.append(_Piece(start=at, end=cut, event=None, local=_gap_start(edit)))
        pieces.append(_Piece(start=cut, end=end, event=event, local=_local(event, cut)))
        at = end
    if edit.duration > at or not pieces:
        pieces.append(_Piece(start=at, end=max(edit.duration, at + 1), event=None, local=_gap_start(edit)))
    return pieces


def _gap_start(edit: Edit) -> int:
    """Gaps count from one hour, as Final Cut Pro's do, so that what hangs on them never has a negative time."""
    return 3600 * edit.rate.timebase


def _local(event: Event, cut: int) -> int:
    """A clip's own time at its cut point: its media time, or on a time map a whole frame that fits before all else."""
    offset = cut - event.start
    if event.speed == 1:
        return event.source_start + offset
    media = event.media
    start = media.start if media is not None else event.source_start
    ahead = abs(event.source_start - start) / abs(event.speed)
    return start + math.ceil(ahead) + offset


def _lanes(titles: Sequence[Title]) -> list[list[Title]]:
    lanes: list[list[Title]] = []
    for title in titles:
        free = next((lane for lane in lanes if lane[-1].start + lane[-1].duration <= title.start), None)
        if free is None:
            lanes.append([title])
        else:
            free.append(title)
    return lanes


def _losses(edit: Edit) -> tuple[Loss, ...]:
    losses = Losses()
    lose = losses.add
    markers = [*edit.markers, *(marker for event in edit.events for marker in event.markers)]
    lose("wipe", sum(e.join is not None and e.join.kind == "wipe" and e.join.wipe != 1 for e in edit.events),
         "wipes move right, as their pattern is not told")  # fmt: skip
    lose("fade.color", sum(e.fade_color != "#000000" for e in edit.events),
         "fades go to black, not to their colour")  # fmt: skip
    pieces = _pieces(edit)
    ends = [*(piece.end for piece in pieces[:-1]), math.inf]  # what comes after the end hangs on the last one
    clips = [(p.start, end) for p, end in zip(pieces, ends, strict=True) if p.event is not None]
    lose("marker.owner", sum(any(start <= m.at < end for start, end in clips) for m in edit.markers),
         "markers of the timeline belong to the clip under them")  # fmt: skip
    lose("marker.color", sum(bool(marker.color) for marker in markers), "markers lose their colour")
    lose("marker.duration", sum(marker.duration == 1 for marker in markers),
         "markers of one frame come back without a length")  # fmt: skip
    lose("title.style", sum(bool(title.style) for title in edit.titles), "titles lose place, size and colour")
    lose("sound.level", sum(s.gain > MAX_DECIBELS or s.gain < MIN_DECIBELS for s in edit.sounds),
         f"levels are cut to {MIN_DECIBELS:g} ... +{MAX_DECIBELS:g} dB")  # fmt: skip
    return tuple(losses.found)
