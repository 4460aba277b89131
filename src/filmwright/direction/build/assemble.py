"""A cut becomes a file. H.264 at the film's rate is coded in parts that are kept, so that a change codes one part anew.

Any other output is written as one stream of frames and sound by `edit.deliver`, in constant memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filmwright.direction.build.store import Node, Store, key_of
from filmwright.direction.edit.conform import conformed, fitted, mixed, resized
from filmwright.direction.edit.deliver import deliver, deliver_poster
from filmwright.direction.edit.parts import Part, parts_of
from filmwright.direction.film.outputs import Output
from filmwright.media.joining import join_videos
from filmwright.media.sound import RATE
from filmwright.media.video import VideoWriter
from filmwright.spec.cut import Cut

__all__ = ["Assembled", "assemble"]

PART_VERSION = 1  # raised when the same part becomes other frames
PAUSE = 0.1  # seconds between looks at a part that another build codes


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """How a file was made: the parts that it was joined from, what its user should know, and a poster's frame."""

    parts: tuple[Node, ...] = ()
    notes: tuple[str, ...] = ()
    frame: int | None = None


def assemble(
    cut: Cut,
    output: Output,
    target: Path,
    store: Store,
    on_frame: Callable[[int], None],
    comment: str | None = None,
) -> Assembled:
    """Writes an output to `target`, with `comment` in it where its form has a place for one.

    Raises:
        DamagedBlob: a source in the store is not what it was.
        MediaError: a source is missing or damaged, or a file cannot be written.
    """
    in_parts = output.format == "h264" and output.fps == cut.fps and output.loudness is None
    if output.kind == "poster" or (not in_parts and output.kind != "sound"):
        _prove(cut, store)
    if output.kind == "poster":
        frame = deliver_poster(
            cut, target, width=output.width, height=output.height, comment=comment, on_frame=on_frame
        )
        return Assembled(frame=frame)
    audio = mixed(cut) if cut.sounds and output.kind != "pictures" else None
    if not in_parts:
        frames = fitted(conformed(cut), cut, output.width, output.height, output.fps)
        made = deliver(
            frames,
            target,
            format=output.format,
            width=output.width,
            height=output.height,
            fps=output.fps,
            audio=audio,
            hdr=output.hdr,
            loudness=output.loudness,
            comment=comment,
            timecode=cut.start_timecode,
            on_frame=on_frame,
        )
        return Assembled(notes=made.notes)
    nodes: list[Node] = []
    parts = parts_of(cut)
    for part in parts:
        nodes.append(_coded(part, output, store))
        on_frame(part.start + part.num_frames)
    places = [
        (store.blob_path(node.outputs["file"]), part.start) for part, node in zip(parts, nodes, strict=True)
    ]
    join_videos(places, target, fps=cut.fps, audio=audio, audio_rate=RATE, comment=comment)
    return Assembled(parts=tuple(nodes))


def _coded(part: Part, output: Output, store: Store) -> Node:
    """A part as a video in the store."""
    inputs = {
        "stage": "part",
        "version": PART_VERSION,
        "cut": part.cut.decides(),
        "num_frames": part.num_frames,
        "width": output.width,
        "height": output.height,
    }
    key = key_of(inputs)
    while (node := store.find(key, thorough=True)) is None:
        with store.making(key) as work:
            if work is None:
                time.sleep(PAUSE)
            elif store.find(key, thorough=True) is None:
                _prove(part.cut, store)
                began = time.monotonic()
                path = work / "part.mp4"
                with VideoWriter(path, output.width, output.height, part.cut.fps) as video:
                    for frame in conformed(part.cut, part.num_frames):
                        video.write(resized(frame, output.width, output.height)[None])
                store.put(key, "part", inputs, {"file": path}, time.monotonic() - began)
    return node


def _prove(cut: Cut, store: Store) -> None:
    """Reads the frames that a cut plays, before they are shown."""
    for path in dict.fromkeys(event.source.path for event in cut.events):
        if path is not None:
            store.proved(path)
