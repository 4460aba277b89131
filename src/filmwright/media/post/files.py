"""Post on a video file: decoded, filtered and encoded as a stream, its sound carried along.

Pictures go into a file of their own first, since a sound that is copied is not known in time with them; the two are
then put together packet by packet. Sound that MP4 holds is copied as it is, other sound is coded as AAC.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.packet import Packet
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from filmwright.media.files import check_output, replacing
from filmwright.media.joining import join_videos
from filmwright.media.post.chain import applied
from filmwright.media.sound import stream_sound
from filmwright.media.video import EXACT, VideoWriter, matrix_of
from filmwright.spec.errors import BadRequest, MediaError
from filmwright.spec.events import Finished, OnEvent, Progress, Started
from filmwright.spec.post import PostShape, PostStage

__all__ = ["Posted", "clip_shape", "post_file", "stream_video"]

COPIED = {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"}
"""What MP4 holds and players know."""
HDR = {16: "PQ", 18: "HLG"}  # transfer functions, by their H.273 codes


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What was written."""

    shape: PostShape
    sound: Literal["none", "copied", "coded"]


def clip_shape(path: Path) -> PostShape:
    """A file's frames (about as many as it says), exact rate and size.

    Raises:
        BadRequest: its pictures are HDR.
        MediaError: missing, broken, or without pictures.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MediaError(f"cannot read {path}: it holds no video; give one")
            stream = container.streams.video[0]
            fps = stream.average_rate or stream.base_rate
            if not fps:
                raise MediaError(f"cannot read {path}: it has no frame rate; encode it anew")
            seconds = Fraction(container.duration or 0, 1_000_000)
            size = stream.codec_context
            if int(size.color_trc) in HDR:
                raise BadRequest(
                    f"{path} is HDR ({HDR[int(size.color_trc)]}), which post would flatten: give it in SDR"
                )
            return PostShape(
                num_frames=stream.frames or round(seconds * fps),
                fps=Fraction(fps),
                width=size.width,
                height=size.height,
            )
    except BadRequest:
        raise  # it is a ValueError too
    except (OSError, ValueError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is missing, broken or no video; check the path") from error


def stream_video(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The frames of a file, uint8 [1,H,W,3] sRGB each, by the matrix that it names, in constant memory.

    Raises:
        MediaError: missing, broken, or not a video.
    """
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(container.streams.video[0]):
                picture = frame.reformat(
                    format="rgb24",
                    interpolation=EXACT,
                    src_colorspace=matrix_of(frame),
                    dst_color_range=ColorRange.JPEG,
                )
                yield np.asarray(picture.to_ndarray(), dtype=np.uint8)[None]
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is missing, broken or no video; encode it anew") from error


def post_file(
    source: Path,
    target: Path,
    stages: Sequence[PostStage],
    *,
    comment: str | None = None,
    seal: Callable[[Path], object] | None = None,
    on_event: OnEvent,
) -> Posted:
    """Writes `source` through `stages` to `target` (.mp4, H.264), whole or not at all.

    `comment` is written into it, and `seal` is called with it before it gets its name, such as to sign it.

    Raises:
        BadRequest: a rate that is no whole number stays one, both are one file, or the clip is HDR.
        MediaError: the source cannot be read, or the target cannot be written.
    """
    check_output(target, suffixes=(".mp4",))
    if target.exists() and target.samefile(source):
        raise BadRequest(f"{target} is the clip itself: write to another file")
    had = shape = clip_shape(source)
    for stage in stages:
        shape = stage.shaped(shape)
    if shape.fps.denominator != 1:
        raise BadRequest(
            f"{source} has {shape.fps} frames a second and clips are written at whole rates: "
            f"add --fps {max(round(shape.fps), 1)}"
        )
    codec = _sound_codec(source)
    pictures = target if codec is None else target.with_name(f".{target.stem}.{os.getpid()}.pictures.mp4")
    own: dict[str, Any] = {"comment": comment, "seal": seal} if codec is None else {}
    total, began = max(shape.num_frames, 1), time.monotonic()
    on_event(Started(stage="write", total=total))
    try:
        with VideoWriter(pictures, shape.width, shape.height, int(shape.fps), **own) as video:
            for chunk in applied(stages, stream_video(source), had.fps):
                video.write(chunk)
                done = min(video.num_frames, total)
                left = (time.monotonic() - began) / done * (total - done)
                on_event(Progress(stage="write", done=done, total=total, seconds_left=left))
            written = video.num_frames
        if codec is not None:
            with replacing(target) as part:
                if codec in COPIED:
                    _put_together(pictures, source, part, comment)
                else:
                    sound = stream_sound(source)
                    join_videos([(pictures, 0)], part, fps=int(shape.fps), audio=sound, comment=comment)
                if seal is not None:
                    seal(part)
    finally:
        if pictures != target:
            pictures.unlink(missing_ok=True)
    on_event(Finished(stage="write", seconds=time.monotonic() - began))
    made = PostShape(num_frames=written, fps=shape.fps, width=shape.width, height=shape.height)
    return Posted(shape=made, sound="none" if codec is None else "copied" if codec in COPIED else "coded")


def _sound_codec(path: Path) -> str | None:
    try:
        with av.open(str(path)) as container:
            return container.streams.audio[0].codec_context.name if container.streams.audio else None
    except (OSError, ValueError, av.FFmpegError) as error:
        raise MediaError(f"cannot read the sound of {path}: it is broken; encode it anew") from error


def _put_together(pictures: Path, sound: Path, target: Path, comment: str | None) -> None:
    """The pictures of one file and the first sound of another, packets copied, in the order of their times."""
    with (
        av.open(str(pictures)) as seen,
        av.open(str(sound)) as heard,
        av.open(str(target), "w", options={"movflags": "+faststart"}) as out,
    ):
        if comment:
            out.metadata["comment"] = comment
        video, audio = seen.streams.video[0], heard.streams.audio[0]
        streams = out.add_stream_from_template(video), out.add_stream_from_template(audio)
        first = heard.streams.video[0]
        begins = Fraction(0)
        if first.start_time and first.time_base:
            begins = first.start_time * first.time_base  # where its pictures begin, ours begin at 0
        waiting = _packets(heard.demux(audio), begins)
        sounding = next(waiting, None)
        for showing in _packets(seen.demux(video), Fraction(0)):
            while sounding is not None and _time(sounding) <= _time(showing):
                sounding.stream = streams[1]
                out.mux(sounding)
                sounding = next(waiting, None)
            showing.stream = streams[0]
            out.mux(showing)
        while sounding is not None:
            sounding.stream = streams[1]
            out.mux(sounding)
            sounding = next(waiting, None)


def _packets(found: Iterator[Packet[Any]], begins: Fraction) -> Iterator[Packet[Any]]:
    """Packets with their times counted from `begins` seconds; the empty one at the end is left out."""
    for packet in found:
        if packet.dts is None or packet.pts is None:
            continue
        assert packet.time_base is not None
        ticks = round(begins / packet.time_base)
        packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
        yield packet


def _time(packet: Packet[Any]) -> Fraction:
    assert packet.dts is not None
    assert packet.time_base is not None
    return packet.dts * packet.time_base
