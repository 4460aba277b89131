"""Final Cut Pro 7 XML, read as Premiere, Resolve and Final Cut Pro 7 write it.

What they do that ours does not: a project around the sequence, a file described in one clip and only named in the
others, forward references to it, clip rates that are not the sequence's, comments gone, extra tracks. The graph of a
time remap is believed at its first frame only: Premiere has been seen to write nonsense at the last.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from filmwright.direction.timeline.edit import MAX_FRAMES, Edit, Event, Join, Marker, Media, Sound, Title
from filmwright.direction.timeline.fcp7_write import COLORS
from filmwright.direction.timeline.marks import path_of, read_note, with_note
from filmwright.direction.timeline.xml_tree import Node
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import Rate, rate_of

__all__ = ["read_fcp7"]

MAX_DENOMINATOR = 1000
SILENT = 1e-4  # a level below is a key frame of silence
LOUDEST = 8.0


def read_fcp7(root: Node, place: str) -> tuple[Edit, list[str]]:
    """The edit of the first sequence in the file, and sentences about what was passed over.

    Raises:
        TimelineError: with the line, where something is missing or is no number.
    """
    found = [node for node in root.walk() if node.tag == "sequence" and node.find("media") is not None]
    if not found:
        raise TimelineError(
            f"{place}:{root.line}:{root.column}: there is no sequence in it; export a timeline"
        )
    reader = _Reader(found[0], root, place)
    return reader.edit(), reader.notes


class _Reader:
    """One sequence; `files` has every file that is described anywhere, by its id."""

    def __init__(self, sequence: Node, root: Node, place: str) -> None:
        self.sequence, self.place = sequence, place
        self.notes: list[str] = []
        self.rounded = 0
        self.files: dict[str, Node] = {}
        for node in root.walk():
            if node.tag == "file" and node.children:
                self.files.setdefault(node.attributes.get("id", ""), node)
        self.drop = sequence.get("timecode/displayformat") == "DF"
        self.rate = self.rate_of(sequence)

    def fail(self, node: Node, why: str) -> TimelineError:
        return TimelineError(f"{self.place}:{node.line}:{node.column}: {why}")

    def rate_of(self, node: Node) -> Rate:
        rate = node.find("rate")
        if rate is None:
            raise self.fail(node, f"<{node.tag}> has no rate; export it again")
        base = self.number(rate, "timebase")
        fps = Fraction(base * 1000, 1001) if rate.get("ntsc").upper() == "TRUE" else Fraction(base)
        try:
            return rate_of(fps, drop=self.drop and fps.denominator == 1001 and base in (30, 60))
        except TimelineError as error:
            raise self.fail(rate, str(error)) from error

    def number(self, node: Node, tag: str, default: int | None = None) -> int:
        """A whole number in a child."""
        child = node.find(tag)
        if child is None or not child.text.strip():
            if default is None:
                raise self.fail(node, f"<{node.tag}> has no <{tag}>; export it again")
            return default
        value = self.decimal(child)
        if value != int(value):
            self.rounded += 1
        return round(value)

    def decimal(self, node: Node) -> float:
        try:
            value = float(node.text)
        except ValueError:
            value = math.nan
        if not abs(value) <= MAX_FRAMES:  # also for NaN
            raise self.fail(
                node, f"<{node.tag}> holds {node.text.strip()[:40]!r}, not a number of a timeline"
            )
        return value

    def edit(self) -> Edit:
        sequence = self.sequence
        code = sequence.find("timecode")
        start = self.number(code, "frame", 0) if code is not None else 0
        events: list[Event] = []
        titles: list[Title] = []
        above = 0
        for index, track in enumerate(node for part in sequence.all("media") for video in part.all("video")
                                      for node in video.all("track")):  # fmt: skip
            for i, item in enumerate(track.children):
                if item.get("enabled").upper() == "FALSE":
                    self.notes.append(f"the disabled clip {item.get('name')[:60]!r} is left out")
                elif item.tag == "generatoritem":
                    title = self.title(track, i, item)
                    titles += [title] if title is not None else []
                elif item.tag == "clipitem" and index == 0:
                    events.append(self.event(track, i, item))
                elif item.tag == "clipitem":
                    above += 1
        if above:
            self.notes.append(
                f"{above} clips on tracks above the first are left out: pictures have one track"
            )
        sounds = tuple(self.sounds())
        size = sequence.find("media/video/format/samplecharacteristics") or Node("none")
        edit = Edit(
            name=_name(sequence), rate=self.rate, start=start, events=tuple(events), titles=tuple(titles),
            sounds=sounds, markers=tuple(self.marker(node, 0) for node in sequence.all("marker")),
            width=self.number(size, "width", 0), height=self.number(size, "height", 0),
        )  # fmt: skip
        if self.rounded:
            self.notes.append(f"{self.rounded} times lie between two frames and were rounded")
        return edit

    def span(self, track: Node, index: int) -> tuple[int, int, Node | None, Node | None]:
        """Record frames of a clip, transitions included, and the transitions before and after it."""
        item = track.children[index]
        start, end = self.number(item, "start"), self.number(item, "end")
        around = [track.children[i] if 0 <= i < len(track.children) else None for i in (index - 1, index + 1)]
        head, tail = (node if node is not None and node.tag == "transitionitem" else None for node in around)
        if start == -1:
            if head is None:
                raise self.fail(item, "a clip starts in a transition that is not there; export it again")
            start = self.number(head, "start")
        else:  # an editor may write the edge and the transition as well
            head = head if head is not None and self.number(head, "end") > start else None
        if end == -1:
            if tail is None:
                raise self.fail(item, "a clip ends in a transition that is not there; export it again")
            end = self.number(tail, "end")
        else:
            tail = tail if tail is not None and self.number(tail, "start") < end else None
        if end <= start:
            raise self.fail(item, f"a clip from frame {start} to {end}: it must end after it starts")
        return start, end, head, tail

    def event(self, track: Node, index: int, item: Node) -> Event:
        start, end, head, tail = self.span(track, index)
        media, ratio = self.media(item)
        clip_in = self.scaled(self.number(item, "in", 0), ratio)
        duration = end - start
        speed, source = self.speed(item, media, clip_in, duration, ratio)
        event = Event(
            name=_name(item), start=start, duration=duration, source_start=source, media=media, speed=speed,
            reel=(self.file(item) or item).get("timecode/reel/name"),
        )  # fmt: skip
        event = replace(event, markers=tuple(self.marker(node, clip_in) for node in item.all("marker")))
        if head is not None:
            length = self.number(head, "end") - self.number(head, "start")
            first = next((child for child in track.children[:index][::-1] if child.tag == "clipitem"), None)
            if head.get("alignment") == "start-black" or first is None:
                event = replace(event, fade_in=length)
            else:
                event = replace(event, join=self.join(head, length))
        if tail is not None:
            last = next((child for child in track.children[index + 1 :] if child.tag == "clipitem"), None)
            if tail.get("alignment") == "end-black" or last is None:
                event = replace(event, fade_out=self.number(tail, "end") - self.number(tail, "start"))
        texts = [node.text for comments in item.all("comments") for node in comments.children]
        note = next((note for text in texts if (note := read_note(text)) is not None), None)
        return with_note(event, note)

    def join(self, node: Node, length: int) -> Join:
        before = {"start": 0, "end": length}.get(node.get("alignment"), length // 2)
        effect = node.find("effect") or Node("effect")
        if "wipe" not in effect.get("effectcategory").lower():
            if "dissolve" not in (effect.get("effectid") + effect.get("name")).lower():
                self.notes.append(f"the transition {effect.get('name')[:60]!r} is taken for a dissolve")
            return Join(frames=length, before=before)
        code = self.number(effect, "wipecode", 1) + (100 if effect.get("reverse").upper() == "TRUE" else 0)
        return Join(kind="wipe", frames=length, before=before, wipe=code)

    def file(self, item: Node) -> Node | None:
        node = item.find("file")
        return self.files.get(node.attributes.get("id", ""), node) if node is not None else None

    def media(self, item: Node) -> tuple[Media, Fraction]:
        """The medium of a clip at the sequence's rate, and sequence frames for a frame of the clip's own rate."""
        ratio = self.rate.fps / self.rate_of(item).fps if item.find("rate") is not None else Fraction(1)
        file = self.file(item)
        if file is None:
            return Media(path=_name(item)), ratio
        own = self.rate.fps / self.rate_of(file).fps if file.find("rate") is not None else ratio
        code = file.find("timecode")
        start = self.scaled(self.number(code, "frame", 0), own) if code is not None else 0
        duration = self.scaled(self.number(file, "duration", 0), own)
        return Media(
            path=path_of(file.get("pathurl")) or file.get("name"), start=start, duration=duration
        ), ratio

    def scaled(self, frames: int, ratio: Fraction) -> int:
        exact = frames * ratio
        if exact.denominator != 1:
            self.rounded += 1
        return round(exact)

    def speed(
        self, item: Node, media: Media, clip_in: int, duration: int, ratio: Fraction
    ) -> tuple[Fraction, int]:
        """The speed of a clip, and the lowest media frame it plays."""
        effect = _effect(item, "timeremap")
        if effect is None:
            return Fraction(1), media.start + clip_in
        parameters = {node.get("parameterid"): node for node in effect.all("parameter")}
        given = parameters.get("speed", Node("none")).find("value")
        percent = (
            Fraction(self.decimal(given)).limit_denominator(10**6) if given is not None else Fraction(100)
        )
        speed = (percent / 100).limit_denominator(MAX_DENOMINATOR)
        if speed == 0:
            self.notes.append(
                f"the still of {_name(item)[:60]!r} plays at full speed: a clip cannot stand still"
            )
            speed = Fraction(1)
        if parameters.get("variablespeed", Node("none")).get("value") not in ("", "0"):
            self.notes.append(
                f"the changing speed of {_name(item)[:60]!r} is taken for {float(speed):g} throughout"
            )
        if parameters.get("reverse", Node("none")).get("value").upper() == "TRUE":
            speed = -abs(speed)
        keys = parameters.get("graphdict", Node("none")).all("keyframe")
        shown = next((key.find("value") for key in keys if key.find("speedkfin") is not None), None)
        used = math.ceil(duration * abs(speed))
        if shown is not None:
            first = round(self.decimal(shown) * ratio)
        elif speed > 0 or not media.duration:
            first = round(clip_in * abs(speed)) + (used if speed < 0 else 0)
        else:
            first = media.duration - round(clip_in * abs(speed))
        return speed, media.start + (first if speed > 0 else first - used)

    def marker(self, node: Node, origin: int) -> Marker:
        at, end = self.number(node, "in", 0), self.number(node, "out", -1)
        color = node.find("color")
        name = ""
        if color is not None:
            seen = tuple(self.number(color, tag, 0) for tag in ("red", "green", "blue"))
            name = min(
                COLORS, key=lambda known: sum((a - b) ** 2 for a, b in zip(COLORS[known], seen, strict=True))
            )
        note = node.find("comment")
        return Marker(
            at=at - origin, duration=max(end - at, 0), name=_name(node), color=name, note=note.text if note else ""
        )  # fmt: skip

    def title(self, track: Node, index: int, item: Node) -> Title | None:
        start, end, _, _ = self.span(track, index)
        effect = item.find("effect") or Node("effect")
        values = {node.get("parameterid"): node.find("value") for node in effect.all("parameter")}
        words = values.get("str")
        if words is None:
            self.notes.append(f"the generator {_name(item)[:60]!r} is left out: it has no words")
            return None
        return Title(text=words.text, start=start, duration=end - start)

    def sounds(self) -> list[Sound]:
        found = []
        tracks = [node for part in self.sequence.all("media") for audio in part.all("audio")
                  for node in audio.all("track")]  # fmt: skip
        for number, track in enumerate(tracks, 1):
            for i, item in enumerate(track.children):
                if item.tag == "clipitem" and item.get("enabled").upper() != "FALSE":
                    found.append(self.sound(track, i, item, number))
        return found

    def sound(self, track: Node, index: int, item: Node, number: int) -> Sound:
        start, end, head, tail = self.span(track, index)
        media, ratio = self.media(item)
        first = self.scaled(self.number(item, "in", 0), ratio)
        sound = Sound(
            name=_name(item), start=start, duration=end - start, source_start=media.start + first, media=media,
            track=number,
        )  # fmt: skip
        if head is not None:
            sound = replace(sound, fade_in=self.number(head, "end") - start)
        if tail is not None:
            sound = replace(sound, fade_out=end - self.number(tail, "start"))
        effect = _effect(item, "audiolevels")
        parameter = (
            next((p for p in effect.all("parameter") if p.get("parameterid") == "level"), None)
            if effect
            else None
        )
        if parameter is None:
            return sound
        value = parameter.find("value")
        level = self.decimal(value) if value is not None else 1.0
        keys = [
            (self.number(key, "when"), self.decimal(key.find("value") or key))
            for key in parameter.all("keyframe")
        ]
        zeros = [abs(value) < SILENT for _, value in keys]
        last = len(keys) - 1
        if keys and zeros[0] and last > 0:
            sound = replace(sound, fade_in=self.scaled(keys[1][0] - keys[0][0], ratio))
        if keys and zeros[last] and last > 0:
            sound = replace(sound, fade_out=self.scaled(keys[last][0] - keys[last - 1][0], ratio))
        if len(keys) - (2 * zeros[0] + 2 * zeros[last] if keys else 0) > 0:
            self.notes.append(f"the changing level of {_name(item)[:60]!r} is taken for one level")
        gain = 20 * math.log10(min(level, LOUDEST)) if level > 1e-6 else -math.inf
        return replace(sound, gain=round(max(gain, -120.0), 4))


def _name(node: Node) -> str:
    name = node.find("name")
    return name.text if name is not None else ""


def _effect(item: Node, identity: str) -> Node | None:
    for part in item.all("filter"):
        effect = part.find("effect")
        if effect is not None and effect.get("effectid").lower() == identity:
            return effect
    return None
