"""Final Cut Pro 7 XML (xmeml version 5), written: what Premiere and Resolve open.

Facts of the format that matter here: times are whole frames at a rate of `timebase` and `ntsc`. `in` and `out` count
from the medium's first frame and, in a clip of another speed, in frames of the slowed or hastened clip, so that
`out - in` is always what the clip plays; a graph of key frames says which media frame shows when. A clip that a
transition touches has -1 for that edge, and its `in` or `out` includes the transition. A fade is a dissolve at the edge
of black. Levels are factors of 0 to 3.98107 (+12 dB).
"""

from __future__ import annotations

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
from filmwright.direction.timeline.marks import note_of, reel_names, url_of
from filmwright.direction.timeline.xml_tree import Node, xml_text
from filmwright.spec.timecode import timecode

__all__ = ["COLORS", "MAX_DECIBELS", "MIN_DECIBELS", "write_fcp7"]

MAX_LEVEL = 3.98107
MAX_DECIBELS = 12.0
MIN_DECIBELS = -96.0  # below, it is silence
COLORS = {
    "RED": (255, 0, 0), "GREEN": (0, 255, 0), "BLUE": (0, 0, 255), "CYAN": (0, 255, 255), "MAGENTA": (255, 0, 255),
    "YELLOW": (255, 255, 0), "ORANGE": (255, 127, 0), "PINK": (255, 127, 200), "PURPLE": (127, 0, 255),
    "WHITE": (255, 255, 255), "BLACK": (0, 0, 0),
}  # fmt: skip


def write_fcp7(edit: Edit) -> tuple[str, tuple[Loss, ...]]:
    """The text of a file, and what it does not hold."""
    root = Node("xmeml", {"version": "5"})
    sequence = root.add("sequence", id="sequence-1")
    sequence.add("name", edit.name)
    sequence.add("duration", edit.duration)
    _rate(sequence, edit)
    _timecode(sequence, edit, edit.start)
    media = sequence.add("media")
    files = _Files(edit)
    video = media.add("video")
    characteristics = video.add("format").add("samplecharacteristics")
    _rate(characteristics, edit)
    if edit.width:
        characteristics.add("width", edit.width)
        characteristics.add("height", edit.height)
    characteristics.add("pixelaspectratio", "square")
    characteristics.add("fielddominance", "none")
    track = video.add("track")
    for i, event in enumerate(edit.events):
        before = edit.events[i - 1] if i else None
        after = edit.events[i + 1] if i + 1 < len(edit.events) else None
        _transitions_before(track, edit, before, event)
        _clip(track, edit, files, i + 1, event, after)
        if event.fade_out:
            _transition(track, edit, (event.end - event.fade_out, event.end), "end-black")
    for titles in _lanes(edit):
        track = video.add("track")
        for title in titles:
            _title(track, edit, title.text, title.start, title.duration)
    audio = media.add("audio")
    for number in range(1, max((sound.track for sound in edit.sounds), default=0) + 1):
        track = audio.add("track")
        for i, sound in enumerate(edit.sounds):
            if sound.track == number:
                _sound(track, edit, files, i + 1, sound)
    for marker in edit.markers:
        _marker(sequence, marker, marker.at)
    return xml_text(root, "xmeml"), _losses(edit)


class _Files:
    """Each medium is described once, with an id; later clips only name it."""

    def __init__(self, edit: Edit) -> None:
        self.edit = edit
        self.ids: dict[Media, str] = {}
        parts: list[Event | Sound] = [*edit.events, *edit.sounds]
        self.reels = reel_names(part.media.file_name for part in parts if part.media)

    def put(self, clip: Node, media: Media, kind: str) -> None:
        known = self.ids.get(media)
        if known is not None:
            clip.add("file", id=known)
            return
        self.ids[media] = f"file-{len(self.ids) + 1}"
        file = clip.add("file", id=self.ids[media])
        file.add("name", media.file_name)
        file.add("pathurl", url_of(media.path))
        _rate(file, self.edit)
        if media.duration:
            file.add("duration", media.duration)
        code = _timecode(file, self.edit, media.start)
        code.add("reel").add("name", self.reels[media.file_name])
        held = file.add("media")
        characteristics = held.add(kind).add("samplecharacteristics")
        if kind == "video":
            _rate(characteristics, self.edit)
            if self.edit.width:
                characteristics.add("width", self.edit.width)
                characteristics.add("height", self.edit.height)
        else:
            characteristics.add("samplerate", 48000)


def _rate(parent: Node, edit: Edit) -> None:
    rate = parent.add("rate")
    rate.add("timebase", edit.rate.timebase)
    rate.add("ntsc", "TRUE" if edit.rate.ntsc else "FALSE")


def _timecode(parent: Node, edit: Edit, frame: int) -> Node:
    code = parent.add("timecode")
    _rate(code, edit)
    code.add("string", timecode(frame, edit.rate))
    code.add("frame", frame)
    code.add("displayformat", "DF" if edit.rate.drop else "NDF")
    return code


def _clip(track: Node, edit: Edit, files: _Files, number: int, event: Event, after: Event | None) -> None:
    media = event.media or Media(path=event.name)
    clip = track.add("clipitem", id=f"clipitem-{number}")
    clip.add("name", event.name)
    clip.add("enabled", "TRUE")
    speed = abs(event.speed)
    total = -(-media.duration * speed.denominator // speed.numerator) if media.duration else event.duration
    first = event.source_start - media.start  # from the medium's first frame
    if event.speed < 0 and media.duration:  # the clip runs from the medium's end
        first = media.duration - (first + event.source_duration)
    start = round(first / speed)
    clip.add("duration", total)
    _rate(clip, edit)
    touched = event.join is not None or event.fade_in
    clip.add("start", -1 if touched else event.start)
    clip.add("end", -1 if event.fade_out or (after is not None and after.join is not None) else event.end)
    clip.add("in", start)
    clip.add("out", start + event.duration)
    files.put(clip, media, "video")
    if event.speed != 1:
        _remap(clip, event, media, start, total)
    for marker in event.markers:
        _marker(clip, marker, start + marker.at)
    clip.add("comments").add("mastercomment1", note_of(event))


def _remap(clip: Node, event: Event, media: Media, start: int, total: int) -> None:
    """The time remap filter: a percentage, and the graph of which media frame shows at which frame of the clip."""
    effect = clip.add("filter").add("effect")
    for tag, text in (("name", "Time Remap"), ("effectid", "timeremap"), ("effectcategory", "motion"),
                      ("effecttype", "motion"), ("mediatype", "video")):  # fmt: skip
        effect.add(tag, text)
    percent = abs(event.speed) * 100
    _parameter(effect, "variablespeed", 0, (0, 1))
    _parameter(effect, "speed", _number(percent), (-100000, 100000))
    _parameter(effect, "reverse", "TRUE" if event.speed < 0 else "FALSE")
    _parameter(effect, "frameblending", "FALSE")
    graph = _parameter(effect, "graphdict", None, (0, media.duration or event.source_duration))
    first = event.source_start - media.start if event.speed > 0 else event.source_end - media.start
    last = first + event.duration * event.speed
    for when, value, flag in (
        (0, first - start * event.speed, "speedkfstart"),
        (start, Fraction(first), "speedkfin"),
        (start + event.duration, last, "speedkfout"),
        (total, first + (total - start) * event.speed, "speedkfend"),
    ):
        key = graph.add("keyframe")
        key.add("when", when)
        key.add("value", _number(value))
        key.add("speedvirtualkf", "TRUE")
        key.add(flag, "TRUE")
    graph.add("interpolation").add("name", "FCPCurve")


def _number(value: Fraction) -> str:
    """Decimals, as many as a fraction of the denominators that editors use needs to be known again."""
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.9f}".rstrip("0")


def _parameter(effect: Node, name: str, value: object, limits: tuple[int, int] | None = None) -> Node:
    parameter = effect.add("parameter")
    parameter.add("parameterid", name)
    parameter.add("name", name)
    if limits is not None:
        parameter.add("valuemin", limits[0])
        parameter.add("valuemax", limits[1])
    if value is not None:
        parameter.add("value", value)
    return parameter


def _transitions_before(track: Node, edit: Edit, before: Event | None, event: Event) -> None:
    join = event.join
    if event.fade_in:
        _transition(track, edit, (event.start, event.start + event.fade_in), "start-black")
    elif join is not None and before is not None:
        alignment = {0: "start", join.frames: "end"}.get(join.before, "center")
        span = (event.start, before.end)
        _transition(track, edit, span, alignment, wipe=join.wipe if join.kind == "wipe" else None)


def _transition(
    track: Node, edit: Edit, span: tuple[int, int], alignment: str, wipe: int | None = None
) -> None:
    item = track.add("transitionitem")
    item.add("start", span[0])
    item.add("end", span[1])
    item.add("alignment", alignment)
    _rate(item, edit)
    name, category = ("Cross Dissolve", "Dissolve") if wipe is None else ("Edge Wipe", "Wipe")
    effect = item.add("effect")
    for tag, text in (("name", name), ("effectid", name), ("effectcategory", category), ("effecttype", "transition"),
                      ("mediatype", "video"), ("wipecode", (wipe or 0) % 100), ("wipeaccuracy", 100),
                      ("startratio", 0), ("endratio", 1)):  # fmt: skip
        effect.add(tag, text)
    effect.add("reverse", "TRUE" if wipe is not None and wipe >= 100 else "FALSE")


def _lanes(edit: Edit) -> list[list[Title]]:
    """Tracks of titles: those that overlap need several."""
    lanes: list[list[Title]] = []
    ends: list[int] = []
    for title in edit.titles:
        free = next((i for i, end in enumerate(ends) if end <= title.start), None)
        if free is None:
            lanes.append([])
            ends.append(0)
            free = len(lanes) - 1
        lanes[free].append(title)
        ends[free] = title.start + title.duration
    return lanes


def _title(track: Node, edit: Edit, text: str, start: int, duration: int) -> None:
    item = track.add("generatoritem")
    item.add("name", plain_text(text, 80) or "Text")
    item.add("duration", duration)
    _rate(item, edit)
    for tag, value in (("start", start), ("end", start + duration), ("in", 0), ("out", duration)):
        item.add(tag, value)
    item.add("enabled", "TRUE")
    item.add("alphatype", "black")
    effect = item.add("effect")
    for tag, word in (("name", "Text"), ("effectid", "Text"), ("effectcategory", "Text"), ("effecttype", "generator"),
                      ("mediatype", "video")):  # fmt: skip
        effect.add(tag, word)
    parameter = effect.add("parameter")
    parameter.add("parameterid", "str")
    parameter.add("name", "Text")
    parameter.add("value", text)


def _sound(track: Node, edit: Edit, files: _Files, number: int, sound: Sound) -> None:
    media = sound.media or Media(path=sound.name)
    clip = track.add("clipitem", id=f"audio-{number}")
    clip.add("name", sound.name)
    clip.add("enabled", "TRUE")
    clip.add("duration", media.duration or sound.duration)
    _rate(clip, edit)
    first = sound.source_start - media.start
    for tag, value in (("start", sound.start), ("end", sound.start + sound.duration), ("in", first),
                       ("out", first + sound.duration)):  # fmt: skip
        clip.add(tag, value)
    files.put(clip, media, "audio")
    source = clip.add("sourcetrack")
    source.add("mediatype", "audio")
    source.add("trackindex", 1)
    if sound.gain or sound.fade_in or sound.fade_out:
        effect = clip.add("filter").add("effect")
        for tag, text in (("name", "Audio Levels"), ("effectid", "audiolevels"), ("effectcategory", "audiolevels"),
                          ("effecttype", "audiolevels"), ("mediatype", "audio")):  # fmt: skip
            effect.add(tag, text)
        level = 0.0 if sound.gain < MIN_DECIBELS else min(10 ** (sound.gain / 20), MAX_LEVEL)
        parameter = _parameter(effect, "level", f"{level:.9f}", (0, 4))
        end = first + sound.duration
        keys: list[tuple[int, float]] = (
            [(first, 0.0), (first + sound.fade_in, level)] if sound.fade_in else []
        )
        keys += [(end - sound.fade_out, level), (end, 0.0)] if sound.fade_out else []
        for when, reached in keys:
            key = parameter.add("keyframe")
            key.add("when", when)
            key.add("value", f"{reached:.9f}")


def _marker(parent: Node, marker: Marker, at: int) -> None:
    node = parent.add("marker")
    node.add("comment", marker.note)
    node.add("name", marker.name)
    node.add("in", at)
    node.add("out", at + marker.duration if marker.duration else -1)
    if marker.color in COLORS:
        color = node.add("color")
        for tag, value in zip(("alpha", "red", "green", "blue"), (0, *COLORS[marker.color]), strict=True):
            color.add(tag, value)


def _losses(edit: Edit) -> tuple[Loss, ...]:
    losses = Losses()
    lose = losses.add
    lose("fade.color", sum(e.fade_color != "#000000" for e in edit.events),
         "fades go to black, not to their colour")  # fmt: skip
    lose("wipe", sum(e.join is not None and e.join.kind == "wipe" and e.join.wipe >= 200 for e in edit.events),
         "wipes lose their pattern, which is not one of 0 to 199")  # fmt: skip
    lose("title.style", sum(bool(title.style) for title in edit.titles), "titles lose place, size and colour")
    lose("sound.level", sum(s.gain > MAX_DECIBELS or s.gain < MIN_DECIBELS for s in edit.sounds),
         f"levels are cut to {MIN_DECIBELS:g} ... +{MAX_DECIBELS:g} dB")  # fmt: skip
    lose("sound.role", sum(bool(sound.role) for sound in edit.sounds), "sounds lose their role")
    markers = [*edit.markers, *(marker for event in edit.events for marker in event.markers)]
    lose("marker.color", sum(bool(m.color) and m.color not in COLORS for m in markers),
         "markers lose their colour")  # fmt: skip
    return tuple(losses.found)
