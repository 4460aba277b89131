"""FCPXML 1.6 to 1.13, read as Final Cut Pro and Resolve write it.

What they do that ours does not: clips as `clip` around `video`, times in any fraction, connected clips and storylines,
compound and multicam clips, a time map that covers more or less than the clip, notes gone, `fcpxml` without a library.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from filmwright.direction.timeline.edit import MAX_FRAMES, Edit, Event, Join, Marker, Media, Sound, Title
from filmwright.direction.timeline.marks import path_of, read_note, with_note
from filmwright.direction.timeline.xml_tree import Node
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate, rate_of

__all__ = ["read_fcpxml"]

TIME = re.compile(r"(-?\d{1,18})(?:\.(\d{1,9}))?(?:/(\d{1,12}))?s", re.ASCII)
CLIPS = {"asset-clip", "clip", "video", "ref-clip", "sync-clip", "mc-clip", "audition"}
FOREIGN = {"ref-clip", "mc-clip", "sync-clip"}
MAX_DENOMINATOR = 1000
LEVEL = re.compile(r"(-?(?:\d+(?:\.\d*)?|\.\d+))dB", re.ASCII)


def read_fcpxml(root: Node, place: str) -> tuple[Edit, list[str]]:
    """The edit of the first project in the file, and sentences about what was passed over.

    Raises:
        TimelineError: with the line, where something is missing or is no time.
    """
    projects = [
        node for node in root.walk() if node.tag == "project" and node.find("sequence/spine") is not None
    ]
    if not projects:
        raise TimelineError(f"{place}:{root.line}:{root.column}: there is no project in it; export a project")
    reader = _Reader(projects[0], root, place)
    return reader.edit(), reader.notes


@dataclass(kw_only=True)
class _Piece:
    """A clip of the spine from cut point to cut point, in record frames; `clip` is False in a gap."""

    node: Node
    start: int
    end: int
    local: Fraction  # own time at `start`, in frames
    clip: bool


class _Reader:
    def __init__(self, project: Node, root: Node, place: str) -> None:
        self.place, self.project = place, project
        found = project.find("sequence")
        assert found is not None
        self.sequence = found
        self.notes: list[str] = []
        self.rounded = 0
        self.left: dict[str, int] = {}
        self.resources = {node.attributes["id"]: node for node in root.walk() if "id" in node.attributes}
        form = self.resources.get(found.attributes.get("format", ""))
        if form is None or "frameDuration" not in form.attributes:
            raise self.fail(found, "the sequence has no format with a frame duration; export it again")
        self.form = form
        self.rate = self.rate_of(form)
        self.start = self.frames(found, "tcStart", 0)

    def fail(self, node: Node, why: str) -> TimelineError:
        return TimelineError(f"{self.place}:{node.line}:{node.column}: {why}")

    def rate_of(self, form: Node) -> Rate:
        duration = self.seconds(form, "frameDuration")
        drop = self.sequence.attributes.get("tcFormat") == "DF"
        try:
            fps = 1 / duration if duration > 0 else Fraction(0)
            return rate_of(fps, drop=drop and fps.denominator == 1001)
        except TimelineError as error:
            raise self.fail(form, str(error)) from error

    def seconds(self, node: Node, name: str, default: Fraction | None = None) -> Fraction:
        text = node.attributes.get(name)
        if text is None:
            if default is None:
                raise self.fail(node, f"<{node.tag}> has no {name}; export it again")
            return default
        found = TIME.fullmatch(text.strip())
        if found is None or (found[3] is not None and int(found[3]) == 0):
            raise self.fail(node, f"{name} is {text[:40]!r}, not a time such as 1001/24000s")
        value = Fraction(f"{found[1]}.{found[2]}" if found[2] else found[1]) / int(found[3] or 1)
        if abs(value) > MAX_FRAMES:
            raise self.fail(node, f"{name} is {text[:40]!r}, beyond the time of any timeline")
        return value

    def exact(self, node: Node, name: str, default: Fraction | int | None = None) -> Fraction:
        """A time in frames, which need not be whole."""
        if name not in node.attributes and default is not None:
            return Fraction(default)
        return self.seconds(node, name) * self.rate.fps

    def whole(self, frames: Fraction) -> int:
        if frames.denominator != 1:
            self.rounded += 1
        return round(frames)

    def frames(self, node: Node, name: str, default: int | None = None) -> int:
        return self.whole(self.exact(node, name, default))

    def leave(self, what: str) -> None:
        self.left[what] = self.left.get(what, 0) + 1

    def edit(self) -> Edit:
        spine = self.sequence.find("spine")
        assert spine is not None
        pieces: list[_Piece] = []
        transitions: dict[int, tuple[int, int, Node]] = {}  # by the index of the piece they lead to
        at = self.start
        for node in spine.children:
            offset = self.frames(node, "offset", at)
            length = self.frames(node, "duration", self.duration_of(node))
            if node.tag == "transition":
                if len(pieces) in transitions:
                    raise self.fail(node, "two transitions at one cut; export it again")
                transitions[len(pieces)] = (offset - self.start, offset - self.start + length, node)
                continue
            if length < 1:
                raise self.fail(node, f"<{node.tag}> has no length; export it again")
            local = self.exact(node, "start", self.first_of(node))
            start = offset - self.start
            clip = node.tag in CLIPS
            pieces.append(_Piece(node=node, start=start, end=start + length, local=local, clip=clip))
            at = offset + length
        events, markers = self.events(pieces, transitions)
        titles: list[Title] = []
        sounds: list[Sound] = []
        for piece in pieces:
            self.hanging(piece, titles, sounds)
        for what, count in sorted(self.left.items()):
            self.notes.append(f"{count} x {what}: left out")
        if self.rounded:
            self.notes.append(f"{self.rounded} times lie between two frames and were rounded")
        size = [self.form.attributes.get(name, "0") for name in ("width", "height")]
        width, height = (int(text) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 0 for text in size)
        return Edit(
            name=self.project.attributes.get("name", ""), rate=self.rate, start=self.start, events=tuple(events),
            titles=tuple(titles), sounds=tuple(sounds), markers=tuple(markers), width=width, height=height,
        )  # fmt: skip

    def asset(self, node: Node) -> Node | None:
        """The asset that a clip plays; that of a `clip` is inside it."""
        for inner in node.walk():
            if inner is node or inner.tag in ("video", "audio", "asset-clip", "spine", "clip"):
                found = self.resources.get(inner.attributes.get("ref", ""))
                if found is not None and found.tag == "asset":
                    return found
        return None

    def first_of(self, node: Node) -> Fraction:
        asset = self.asset(node)
        return self.exact(asset, "start", 0) if asset is not None and node.tag in CLIPS else Fraction(0)

    def duration_of(self, node: Node) -> int | None:
        asset = self.asset(node)
        return self.frames(asset, "duration", 0) if asset is not None else None

    def media(self, node: Node) -> Media:
        asset = self.asset(node)
        if asset is None:
            return Media(path=node.attributes.get("name", ""))
        reps = [rep.attributes.get("src", "") for rep in asset.all("media-rep")]
        source = next(iter(reps), asset.attributes.get("src", ""))  # before 1.9 the asset itself had it
        return Media(
            path=path_of(source) or asset.attributes.get("name", ""), start=self.frames(asset, "start", 0),
            duration=self.frames(asset, "duration", 0),
        )  # fmt: skip

    def events(
        self, pieces: list[_Piece], transitions: dict[int, tuple[int, int, Node]]
    ) -> tuple[list[Event], list[Marker]]:
        events: list[Event] = []
        markers: list[Marker] = []
        for i, piece in enumerate(pieces):
            if not piece.clip:
                markers += [self.marker(node, piece, 0) for node in self.marker_nodes(piece.node)]
                continue
            if piece.node.attributes.get("enabled") == "0":
                self.leave(f"disabled clip {piece.node.attributes.get('name', '')[:60]!r}")
                continue
            before = pieces[i - 1] if i else None
            after = pieces[i + 1] if i + 1 < len(pieces) else None
            event = self.event(
                piece, transitions.get(i), transitions.get(i + 1),
                joins=before is not None and before.clip and before.end == piece.start,
                joined=after is not None and after.clip and after.start == piece.end,
            )  # fmt: skip
            events.append(event)
        return events, markers

    def event(
        self, piece: _Piece, head: tuple[int, int, Node] | None, tail: tuple[int, int, Node] | None, *,
        joins: bool, joined: bool,
    ) -> Event:  # fmt: skip
        """The event of a clip, longer than from cut to cut by what its transitions show of it."""
        start, end = piece.start, piece.end
        event = Event(
            name=piece.node.attributes.get("name", ""), start=start, duration=end - start, source_start=0
        )
        if head is not None:
            kind = self.kind(head[2])
            if kind == "fade" or not joins:
                event = replace(event, fade_in=head[1] - (start if joins and kind == "fade" else head[0]))
                start = start if joins and kind == "fade" else min(start, head[0])
            else:
                frames, before = head[1] - head[0], start - head[0]
                event = replace(
                    event,
                    join=Join(kind="wipe" if kind == "wipe" else "dissolve", frames=frames, before=before),
                )
                start = head[0]
        if tail is not None:
            kind = self.kind(tail[2])
            if kind == "fade" or not joined:
                event = replace(event, fade_out=(end if joined and kind == "fade" else tail[1]) - tail[0])
                end = end if joined and kind == "fade" else max(end, tail[1])
            else:
                end = tail[1]
        duration = end - start
        speed, value = self.time_map(piece.node)
        first = value(piece.local - (piece.start - start))
        used = -(-duration * abs(speed).numerator // abs(speed).denominator)
        source = self.whole(first) if speed > 0 else self.whole(first) - used
        event = replace(
            event,
            start=start,
            duration=duration,
            speed=speed,
            source_start=source,
            media=self.media(piece.node),
        )
        texts = [node.text for node in piece.node.all("note")]
        event = with_note(
            event, next((note for text in texts if (note := read_note(text)) is not None), None)
        )
        if piece.node.tag in FOREIGN:
            self.notes.append(f"{event.name[:60]!r} is a {piece.node.tag}: its inside is not looked at")
        markers = tuple(self.marker(node, piece, start) for node in self.marker_nodes(piece.node))
        return replace(event, markers=markers)

    def kind(self, node: Node) -> str:
        video = node.find("filter-video")
        effect = self.resources.get(video.attributes.get("ref", "")) if video is not None else None
        words = " ".join(
            part.attributes.get("name", "") for part in (node, video, effect) if part is not None
        ).lower()
        if "fade to color" in words or "dip to" in words:
            return "fade"
        if "wipe" in words:
            return "wipe"
        if words.strip() and "dissolve" not in words:
            self.notes.append(
                f"the transition {node.attributes.get('name', '')[:60]!r} is taken for a dissolve"
            )
        return "dissolve"

    def time_map(self, node: Node) -> tuple[Fraction, Callable[[Fraction], Fraction]]:
        """The speed of a clip, and its media frame at a frame of its own time."""
        graph = node.find("timeMap")
        points = (
            [(self.exact(p, "time"), self.exact(p, "value")) for p in graph.all("timept")] if graph else []
        )
        points.sort()
        if len(points) < 2 or points[0][0] == points[-1][0]:
            return Fraction(1), lambda at: at
        (left, low), (right, high) = points[0], points[-1]
        speed = (high - low) / (right - left)
        if any(abs(low + (at - left) * speed - value) > 1 for at, value in points):
            name = node.attributes.get("name", "")[:60]
            self.notes.append(f"the changing speed of {name!r} is taken for {float(speed):g} throughout")
        near = speed.limit_denominator(MAX_DENOMINATOR)
        if near == 0:
            self.notes.append(f"the still of {node.attributes.get('name', '')[:60]!r} plays at full speed")
            return Fraction(1), lambda at: low + at - left
        return near, lambda at: low + (at - left) * speed

    def marker_nodes(self, node: Node) -> list[Node]:
        return [child for child in node.children if child.tag in ("marker", "chapter-marker")]

    def marker(self, node: Node, piece: _Piece, origin: int) -> Marker:
        at = piece.start + self.whole(self.exact(node, "start") - piece.local)
        duration = self.frames(node, "duration", 0)
        return Marker(
            at=at - origin, duration=duration if duration > 1 else 0, name=node.attributes.get("value", ""),
            note=node.attributes.get("note", ""),
        )  # fmt: skip

    def hanging(self, piece: _Piece, titles: list[Title], sounds: list[Sound]) -> None:
        """Titles and sounds that hang on a piece of the spine, or are one."""
        if piece.node.tag == "title":
            titles.append(Title(text=_words(piece.node), start=piece.start, duration=piece.end - piece.start))
        for node in piece.node.children:
            lane = node.attributes.get("lane", "")
            if not re.fullmatch(r"-?\d{1,4}", lane, re.ASCII):
                continue
            at = piece.start + self.whole(self.exact(node, "offset", 0) - piece.local)
            if node.tag == "title":
                titles.append(Title(text=_words(node), start=at, duration=self.frames(node, "duration")))
            elif node.tag == "audio" or (node.tag in ("asset-clip", "clip") and self.silent(node)):
                sounds.append(self.sound(node, at, max(abs(int(lane)), 1)))
            else:
                self.leave(f"connected {node.tag} {node.attributes.get('name', '')[:60]!r}")

    def silent(self, node: Node) -> bool:
        """Whether a clip has no pictures."""
        asset = self.asset(node)
        return node.attributes.get("srcEnable") == "audio" or (
            asset is not None
            and asset.attributes.get("hasVideo") != "1"
            and asset.attributes.get("hasAudio") == "1"
        )

    def sound(self, node: Node, at: int, track: int) -> Sound:
        sound = Sound(
            name=node.attributes.get("name", ""), start=at,
            duration=self.frames(node, "duration", self.duration_of(node)), track=track,
            source_start=self.whole(self.exact(node, "start", self.first_of(node))), media=self.media(node),
            role=node.attributes.get("audioRole", node.attributes.get("role", "")),
        )  # fmt: skip
        volume = node.find("adjust-volume")
        if volume is None:
            return sound
        level = LEVEL.fullmatch(volume.attributes.get("amount", "0dB").strip())
        fades = {name: volume.find(f"param/{name}") for name in ("fadeIn", "fadeOut")}
        fade_in, fade_out = (
            self.frames(fade, "duration") if fade is not None else 0
            for fade in (fades["fadeIn"], fades["fadeOut"])
        )
        if volume.find("param/keyframeAnimation") is not None:
            self.notes.append(f"the changing level of {sound.name[:60]!r} is taken for one level")
        gain = max(min(float(level[1]), 60.0), -120.0) if level is not None else 0.0
        return replace(sound, gain=gain, fade_in=fade_in, fade_out=fade_out)


def _words(node: Node) -> str:
    """All words of a title, style by style."""
    texts = node.all("text")
    return "".join(
        text.text.strip() + "".join(style.text for style in text.all("text-style")) for text in texts
    )
