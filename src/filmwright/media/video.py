"""Video files: H.264 in MP4 out, with AAC sound if there is any; anything that FFmpeg decodes in.

sRGB frames become Y'CbCr by the matrix that the file names: BT.709, limited range (ITU-R BT.709-6, section 3).
FFmpeg's default for RGB input is BT.601, which turns a saturated green by up to 20 levels, so the matrix is set here
and the four tags (matrix, primaries, transfer, range) say what was done. The index comes first (faststart).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from filmwright.media.files import check_output, hidden_beside, say_os_error
from filmwright.spec.errors import MediaError

__all__ = ["AUDIO_BITS", "VideoInfo", "VideoWriter", "audio_frame", "matrix_of", "probe", "read_video"]

CRF = 16  # visually lossless at these sizes; 18 is the usual line
AUDIO_BITS = 192_000  # a second, both channels
QUALITY = {"crf": str(CRF), "preset": "medium"}
# swscale's shortcuts cost up to two levels; with these flags it is exact to one
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
UNSPECIFIED = 2  # the H.273 code for "not said", the same in matrix, primaries and transfer
MATRIX_NAMES = {0: "rgb", 1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
PRIMARIES_NAMES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 12: "smpte432"}
TRANSFER_NAMES = {1: "bt709", 6: "smpte170m", 13: "iec61966-2-1", 14: "bt2020-10", 16: "smpte2084", 18: "hlg"}
RANGE_NAMES = {1: "limited", 2: "full"}


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a file says of itself; colour tags in FFmpeg's names, "unspecified" where the file is silent."""

    codec: str
    pixel_format: str
    width: int
    height: int
    fps: float
    num_frames: int
    matrix: str
    primaries: str
    transfer: str
    value_range: str


class VideoWriter:
    """Encodes chunks of frames as they come; the file appears under its name when the block ends well.

    with VideoWriter("film.mp4", width=256, height=160, fps=16) as video:
        video.write(frames)  # uint8 [T,H,W,3] sRGB, any T, as often as needed

    With `audio_rate`, `write_audio` takes stereo sound; write it about as fast as frames.
    """

    def __init__(
        self, path: Path | str, width: int, height: int, fps: int, *, audio_rate: int | None = None
    ) -> None:
        """Open the file.

        Raises:
            MediaError: the path cannot be written, or the size cannot be coded in 4:2:0.
        """
        if width <= 0 or height <= 0 or width % 2 or height % 2:
            raise MediaError(
                f"cannot encode {width}x{height}: both sides must be even and positive for 4:2:0"
            )
        if fps <= 0:
            raise MediaError(f"cannot encode {fps} frames a second: the rate must be positive")
        self.path = check_output(path, suffixes=(".mp4",))
        self.num_frames = 0
        self._shape = (height, width, 3)
        self._part = hidden_beside(self.path)
        try:
            self._container = av.open(str(self._part), "w", options={"movflags": "+faststart"})
        except OSError as error:
            self._part.unlink(missing_ok=True)
            raise say_os_error(self.path, error) from error
        self._stream: VideoStream = self._container.add_stream("libx264", rate=fps, options=QUALITY)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, fps)
        context.colorspace = Colorspace.ITU709.value
        context.color_primaries = ColorPrimaries.BT709.value
        context.color_trc = ColorTrc.BT709.value
        context.color_range = ColorRange.MPEG.value
        self._sound: AudioStream | None = None
        self._samples = 0
        if audio_rate is not None:
            self._sound = self._container.add_stream("aac", rate=audio_rate, layout="stereo")
            self._sound.codec_context.bit_rate = AUDIO_BITS

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Encode frames, uint8 [T,H,W,3] sRGB, after those already written.

        Raises:
            MediaError: frames of another shape or type, or a full disk.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != self._shape:
            raise MediaError(
                f"cannot encode frames {frames.dtype} {list(frames.shape)}: expected uint8 [T, {self._shape[0]}, "
                f"{self._shape[1]}, 3]"
            )
        try:
            for picture in frames:
                frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame = frame.reformat(
                    format="yuv420p",
                    interpolation=EXACT,
                    src_color_range=ColorRange.JPEG,
                    dst_colorspace=Colorspace.ITU709,
                    dst_color_range=ColorRange.MPEG,
                    dst_color_trc=ColorTrc.BT709,
                    dst_color_primaries=ColorPrimaries.BT709,
                )
                frame.pts, frame.time_base = self.num_frames, Fraction(1, self._fps)
                self._container.mux(self._stream.encode(frame))
                self.num_frames += 1
        except OSError as error:
            raise say_os_error(self.path, error) from error

    def write_audio(self, samples: NDArray[np.float32]) -> None:
        """Encode sound, float32 [2, n] from -1 to 1 at the writer's rate, after what was already written.

        Raises:
            MediaError: the writer has no sound, samples of another shape or type, or a full disk.
        """
        if self._sound is None or samples.dtype != np.float32 or samples.ndim != 2 or samples.shape[0] != 2:
            raise MediaError(
                f"cannot encode sound {samples.dtype} {list(samples.shape)}: open the file with audio_rate and give "
                "float32 [2, n]"
            )
        if not samples.shape[1]:
            return
        frame = audio_frame(samples, self._samples, self._sound.codec_context.sample_rate)
        self._samples += samples.shape[1]
        try:
            self._container.mux(self._sound.encode(frame))
        except OSError as error:
            raise say_os_error(self.path, error) from error

    @property
    def _fps(self) -> int:
        return int(self._stream.codec_context.framerate)

    def close(self) -> Path:
        """Finish the file and give it its name.

        Raises:
            MediaError: nothing was written, or the disk is full; no file is left then.
        """
        try:
            if not self.num_frames:
                raise MediaError(f"cannot write {self.path}: no frame was given")
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._container.mux(self._sound.encode(None))
            self._container.close()
            self._part.replace(self.path)
        except OSError as error:
            raise say_os_error(self.path, error) from error
        finally:
            self.discard()
        return self.path

    def discard(self) -> None:
        """Drop the unfinished file; after `close` there is none and nothing happens."""
        try:
            self._container.close()
        except OSError:
            pass  # a full disk refuses the trailer too, and the file goes anyway
        finally:
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def audio_frame(samples: NDArray[np.float32], start: int, rate: int) -> AudioFrame:
    """Sound, float32 [2, n], as a frame for an encoder, from sample `start` on."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
    frame.sample_rate = rate
    frame.pts, frame.time_base = start, Fraction(1, rate)
    return frame


def read_video(path: Path | str, *, max_frames: int | None = None) -> tuple[NDArray[np.uint8], float]:
    """Decode a file into uint8 [T,H,W,3] sRGB and frames a second, by the matrix that the file names.

    Raises:
        MediaError: missing, not a video, or broken.
    """
    pictures: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            fps = float(stream.average_rate or stream.base_rate or 0)
            for frame in container.decode(stream):
                picture = frame.reformat(
                    format="rgb24",
                    interpolation=EXACT,
                    src_colorspace=matrix_of(frame),
                    dst_color_range=ColorRange.JPEG,
                )
                pictures.append(np.asarray(picture.to_ndarray(), dtype=np.uint8))
                if len(pictures) == max_frames:
                    break
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is broken or not a video; encode it anew") from error
    if not pictures or not fps:
        raise MediaError(f"cannot read {path}: it holds no frame")
    return np.stack(pictures), fps


def probe(path: Path | str) -> VideoInfo:
    """What the file at `path` holds, without decoding more than it must.

    Raises:
        MediaError: missing, not a video, or broken.
    """
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            context = stream.codec_context
            count = stream.frames or sum(1 for packet in container.demux(stream) if packet.size)
            return VideoInfo(
                codec=context.name,
                pixel_format=context.pix_fmt or "unspecified",
                width=context.width,
                height=context.height,
                fps=float(stream.average_rate or 0),
                num_frames=count,
                matrix=MATRIX_NAMES.get(int(context.colorspace), "unspecified"),
                primaries=PRIMARIES_NAMES.get(int(context.color_primaries), "unspecified"),
                transfer=TRANSFER_NAMES.get(int(context.color_trc), "unspecified"),
                value_range=RANGE_NAMES.get(int(context.color_range), "unspecified"),
            )
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is broken or not a video; encode it anew") from error


def _video_stream(container: av.container.InputContainer, path: Path | str) -> VideoStream:
    if not container.streams.video:
        raise MediaError(f"cannot read {path}: it holds no video")
    return container.streams.video[0]


def matrix_of(frame: VideoFrame) -> Colorspace | int:
    """The matrix of a frame; where the file is silent, what players assume: 709 from 720 lines on, 601 below."""
    if int(frame.colorspace) != UNSPECIFIED:
        return int(frame.colorspace)
    return Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601


def _unreadable(path: Path | str, error: OSError) -> MediaError:
    if isinstance(error, FileNotFoundError):
        return MediaError(f"cannot read {path}: there is no such file; check the path")
    return MediaError(f"cannot read {path}: {error.strerror or error}; encode it anew")
