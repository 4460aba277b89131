"""Frames kept to the bit: FFV1 version 3 (RFC 9043) in Matroska, in RGB, each frame by itself.

A file in the middle of a film's making must cost nothing of the picture, however often it is cut, graded and coded
again. Every slice carries a checksum, and the same frames give the same file.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from filmwright.media.files import check_output, hidden_beside, say_os_error
from filmwright.spec.errors import MediaError

__all__ = ["LosslessWriter", "stream_frames"]

OPTIONS = {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"}


class LosslessWriter:
    """Takes frames as they come; the file appears under its name when the block ends well."""

    def __init__(self, path: Path | str, width: int, height: int, fps: int) -> None:
        """Open the file, an .mkv.

        Raises:
            MediaError: the path cannot be written.
        """
        self.path = check_output(path, suffixes=(".mkv",))
        self.num_frames, self._fps = 0, fps
        self._shape = (height, width, 3)
        self._part = hidden_beside(self.path)
        try:
            self._container = av.open(str(self._part), "w", options={"fflags": "+bitexact"})
        except OSError as error:
            self._part.unlink(missing_ok=True)
            raise say_os_error(self.path, error) from error
        self._stream: VideoStream = self._container.add_stream("ffv1", rate=fps, options=OPTIONS)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "bgr0"  # 8 bits a channel; the fourth byte is not coded
        self._stream.codec_context.time_base = Fraction(1, fps)

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Keep frames, uint8 [T,H,W,3] sRGB, after those already written.

        Raises:
            MediaError: frames of another shape or type, or a full disk.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != self._shape:
            raise MediaError(
                f"cannot keep frames {frames.dtype} {list(frames.shape)}: expected {list(self._shape)}"
            )
        try:
            for picture in frames:
                frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
                    format="bgr0"
                )
                frame.pts, frame.time_base = self.num_frames, Fraction(1, self._fps)
                self._container.mux(self._stream.encode(frame))
                self.num_frames += 1
        except OSError as error:
            raise say_os_error(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None:
                self._part.replace(self.path)
        except OSError as refused:
            if kind is None:
                raise say_os_error(self.path, refused) from refused
        finally:
            self._part.unlink(missing_ok=True)


def stream_frames(path: Path | str) -> Iterator[NDArray[np.uint8]]:
    """The frames of such a file, one uint8 [H,W,3] after the other, in constant memory.

    Raises:
        MediaError: missing, or damaged.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"
            for frame in container.decode(stream):
                yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is missing or damaged; build again") from error
