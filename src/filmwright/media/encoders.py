"""What turns pictures and sound into files: a film file, a folder of pictures, a sound file.

Each holds one picture at a time and some packets. All of them write under a hidden name; `media.deliver` renames.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    VideoReformatter,
)
from av.video.stream import VideoStream
from numpy.typing import NDArray

from filmwright.media.boxes import add_to_sample_entry, box
from filmwright.media.colour import BT709, BT2020, hdr10, linear, to_unit, to_ycbcr10
from filmwright.media.formats import Delivery, Hdr
from filmwright.media.video import EXACT
from filmwright.spec.errors import BadRequest, MediaError

__all__ = ["Encoder", "FilmEncoder", "PictureEncoder", "SoundEncoder"]

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
SOUND_RATE = 48_000  # what film and broadcast deliver; other rates are converted
AAC_BITS = 160_000  # a second and channel: transparent for two channels (320 kbit/s)
BT2020_NCL, SMPTE2084 = 9, 16  # H.273 codes


class Encoder(Protocol):
    """Takes pictures and sound one after the other."""

    def picture(self, frame: NDArray[Any]) -> None:
        """One frame [H,W,3] sRGB, uint8 or uint16."""

    def sound(self, samples: NDArray[np.float32]) -> None:
        """The next piece, float32 [channels, samples]."""

    def close(self) -> None:
        """Finish."""

    def discard(self) -> None:
        """Let go of what is open; harmless after `close`."""


class FilmEncoder:
    """Picture and sound into one MP4 or MOV: tags set, index first, exact frame times."""

    def __init__(
        self,
        path: Path,
        form: Delivery,
        width: int,
        height: int,
        fps: Fraction,
        *,
        hdr: Hdr | None,
        sound: tuple[int, int] | None,
        comment: str | None,
        timecode: str,
    ) -> None:
        """`sound` is samples a second and channels of what comes; None is a silent film. `timecode` is the first
        frame's, where the form has a place for it.
        """
        self.path, self.form, self.hdr, self.fps = path, form, hdr, fps
        self.num_frames = 0
        self._reformatter = VideoReformatter()
        os.environ.setdefault(
            "SVT_LOG", "1"
        )  # the AV1 encoder would print its settings; errors it may still say
        self._container = av.open(str(path), "w", options={"movflags": "+faststart"})
        if comment:
            self._container.metadata["comment"] = comment
        if form.timed:
            self._container.metadata["timecode"] = timecode  # a track of its own, as editors look for
        stream = cast(
            "VideoStream", self._container.add_stream(form.codec, rate=fps, options=_options(form, hdr))
        )
        stream.width, stream.height, stream.pix_fmt = width, height, form.pixels
        context = stream.codec_context
        context.time_base = 1 / fps
        context.codec_tag = form.tag
        wide = hdr is not None
        context.colorspace = BT2020_NCL if wide else Colorspace.ITU709.value
        context.color_primaries = ColorPrimaries.BT2020.value if wide else ColorPrimaries.BT709.value
        context.color_trc = SMPTE2084 if wide else ColorTrc.BT709.value
        context.color_range = ColorRange.MPEG.value
        self._video = stream
        self._sound = None if sound is None else _SoundStream(self._container, form.sound, *sound)

    def picture(self, frame: NDArray[Any]) -> None:
        """Encode one frame [H,W,3] sRGB, uint8 or uint16."""
        picture = self._eight_bit(frame) if self.form.bits == 8 else self._ten_bit(frame)
        picture.pts, picture.time_base = self.num_frames, 1 / self.fps
        picture.colorspace = self._video.codec_context.colorspace
        picture.color_range = ColorRange.MPEG
        self._container.mux(self._video.encode(picture))
        self.num_frames += 1

    def sound(self, samples: NDArray[np.float32]) -> None:
        """Encode the next piece, float32 [channels, samples]."""
        assert self._sound is not None
        self._sound.add(samples)

    def close(self) -> None:
        """Finish the file, and put the HDR10 boxes into it."""
        self._container.mux(self._video.encode(None))
        if self._sound is not None:
            self._sound.end()
        self._container.close()
        if self.hdr is not None:
            add_to_sample_entry(self.path, self.form.tag.encode(), _hdr_boxes(self.hdr))

    def discard(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # a full disk refuses the trailer too
            self._container.close()

    def _eight_bit(self, frame: NDArray[Any]) -> VideoFrame:
        if frame.dtype == np.uint16:
            frame = ((frame.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        return self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
            format=self.form.pixels,
            interpolation=EXACT,
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            dst_color_trc=ColorTrc.BT709,
            dst_color_primaries=ColorPrimaries.BT709,
        )

    def _ten_bit(self, frame: NDArray[Any]) -> VideoFrame:
        signal = to_unit(frame) if self.hdr is None else hdr10(frame, self.hdr.white)
        weights = BT709 if self.hdr is None else BT2020
        planes = to_ycbcr10(signal, weights, halve_rows="420" in self.form.pixels)
        height, width = frame.shape[:2]
        picture = VideoFrame(width, height, self.form.pixels)
        for plane, values in zip(picture.planes, planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, plane.line_size // 2)
            rows[:, : plane.width] = values
        return picture


class PictureEncoder:
    """Frames into a folder, one numbered file each, counted from 1: `name.000001.png`.

    PNG keeps sRGB in 8 bit, or in 16 bit where the frames have it. EXR holds the light that the finished picture sends
    out: BT.709 primaries, 1.0 is its white, linear, half float. It is not the light of the scene.
    """

    def __init__(self, folder: Path, name: str, form: Delivery, comment: str | None) -> None:
        self.folder, self.name, self.form, self.comment = folder, name, form, comment
        self.num_frames = 0
        self.files: list[str] = []
        folder.mkdir()

    def picture(self, frame: NDArray[Any]) -> None:
        """Write one frame [H,W,3] sRGB, uint8 or uint16."""
        self.num_frames += 1
        if self.form.codec == "exr":
            made = VideoFrame.from_ndarray(linear(frame), format="gbrpf32le")
        elif frame.dtype == np.uint16:
            made = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb48be")
        else:
            made = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self.form.codec == "png":
            made.color_trc, made.color_primaries = ColorTrc.IEC61966_2_1, ColorPrimaries.BT709
        context = cast("VideoCodecContext", VideoCodecContext.create(self.form.codec, "w"))
        context.width, context.height, context.pix_fmt = made.width, made.height, made.format.name
        context.time_base, context.options = Fraction(1, 25), dict(self.form.options)
        made.pts = 0
        content = b"".join(bytes(packet) for packet in [*context.encode(made), *context.encode(None)])
        if self.comment and self.form.codec == "png":
            content = _with_text(content, self.comment)
        name = f"{self.name}.{self.num_frames:06d}{self.form.suffix}"
        (self.folder / name).write_bytes(content)

    def sound(self, samples: NDArray[np.float32]) -> None:
        """Pictures carry none."""

    def close(self) -> None:
        """Each file is finished already."""

    def discard(self) -> None:
        """Nothing is open."""


class SoundEncoder:
    """Sound alone, 24-bit PCM in WAVE at 48 kHz; beyond 4 GB as RF64."""

    def __init__(self, path: Path, form: Delivery, sound: tuple[int, int], comment: str | None) -> None:
        self.num_frames = 0
        self._container = av.open(str(path), "w", options={"rf64": "auto"})
        if comment:
            self._container.metadata["comment"] = comment
        self._sound = _SoundStream(self._container, form.sound, *sound)

    def picture(self, frame: NDArray[Any]) -> None:
        """Sound has none."""

    def sound(self, samples: NDArray[np.float32]) -> None:
        """Encode the next piece, float32 [channels, samples]."""
        self._sound.add(samples)

    def close(self) -> None:
        """Finish the file."""
        self._sound.end()
        self._container.close()

    def discard(self) -> None:
        """Let go of the file."""
        with suppress(OSError):
            self._container.close()


class _SoundStream:
    """A track of sound in a container; FFmpeg's resampler brings the rate to 48 kHz."""

    def __init__(self, container: av.container.OutputContainer, codec: str, rate: int, channels: int) -> None:
        if channels not in LAYOUTS:
            raise BadRequest(f"sound of {channels} channels cannot be delivered: give 1, 2 or 6")
        self._container, self._rate, self._layout = container, rate, LAYOUTS[channels]
        self._stream = cast("AudioStream", container.add_stream(codec, rate=SOUND_RATE, layout=self._layout))
        context: AudioCodecContext = self._stream.codec_context
        if codec == "aac":
            context.bit_rate = AAC_BITS * channels
        self._samples = 0

    def add(self, samples: NDArray[np.float32]) -> None:
        if not samples.shape[1]:
            return
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(np.clip(samples, -1.0, 1.0), dtype=np.float32),
            format="fltp",
            layout=self._layout,
        )
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._samples, Fraction(1, self._rate)
        self._samples += samples.shape[1]
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        self._container.mux(self._stream.encode(None))


def _options(form: Delivery, hdr: Hdr | None) -> dict[str, str]:
    """The encoder's options, with what HDR10 adds to the stream itself."""
    if hdr is None:
        return dict(form.options)
    red, green, blue, white = hdr.display
    if form.codec == "libx265":

        def whole(pair: tuple[float, float]) -> str:
            return ",".join(str(round(value * 50_000)) for value in pair)

        light = f"{round(hdr.brightest * 10_000)},{round(hdr.darkest * 10_000)}"
        display = f"G({whole(green)})B({whole(blue)})R({whole(red)})WP({whole(white)})L({light})"
        more = f":hdr10=1:master-display={display}:max-cll={hdr.max_cll},{hdr.max_fall}"
        return {**form.options, "x265-params": form.options["x265-params"] + more}

    def exact(pair: tuple[float, float]) -> str:
        return ",".join(f"{value:.4f}" for value in pair)

    light = f"{hdr.brightest:.4f},{hdr.darkest:.4f}"
    display = f"G({exact(green)})B({exact(blue)})R({exact(red)})WP({exact(white)})L({light})"
    return {
        **form.options,
        "svtav1-params": f"mastering-display={display}:content-light={hdr.max_cll},{hdr.max_fall}",
    }


def _hdr_boxes(hdr: Hdr) -> bytes:
    """`mdcv` and `clli` (ISO/IEC 14496-12, sections 12.1.6 and 12.1.7): green, blue, red, white; 0.00002 and 0.0001."""
    red, green, blue, white = hdr.display
    places = [round(value * 50_000) for pair in (green, blue, red, white) for value in pair]
    display = struct.pack(">8H2I", *places, round(hdr.brightest * 10_000), round(hdr.darkest * 10_000))
    return box(b"mdcv", display) + box(b"clli", struct.pack(">2H", hdr.max_cll, hdr.max_fall))


def _with_text(png: bytes, comment: str) -> bytes:
    """A PNG with a text chunk after its header (PNG specification, section 11.3.3.2)."""
    import zlib

    end = 8 + 25  # signature and IHDR
    if png[12:16] != b"IHDR":
        raise MediaError("the PNG encoder gave no PNG")
    content = b"tEXt" + b"Comment\0" + comment.encode("latin-1", "replace")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png[:end] + chunk + png[end:]
