"""A video file as a stream: pictures and sound piece by piece, at another size or rate if asked, never held whole.

8-bit pictures come out as uint8 sRGB, deeper ones as uint16, by the matrix that the file names. A picture that has
another shape than asked is fitted inside with black around it; a rate is changed by showing frames again or not at
all, so that the film keeps its length.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from filmwright.media.colour import BT709, BT2020, from_ycbcr10
from filmwright.media.deliver import Audio
from filmwright.media.encoders import LAYOUTS
from filmwright.media.video import EXACT, TRANSFER_NAMES, matrix_of
from filmwright.spec.errors import BadRequest, MediaError

__all__ = ["Source", "fitted", "open_source"]

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
TEN_BIT = {"yuv420p10le", "yuv422p10le"}
PIECE = 4  # frames a piece


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a file holds; `frames` and `audio` read it anew each time."""

    path: Path
    width: int
    height: int
    fps: Fraction
    num_frames: int  # as the file says; 0 where it is silent
    rate: int = 0  # samples a second; 0 is no sound
    channels: int = 0
    timecode: str | None = None  # of the first frame, where the file says one

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return float(self.num_frames / self.fps)

    def frames(
        self, *, size: tuple[int, int] | None = None, fps: Fraction | None = None
    ) -> Iterator[NDArray[Any]]:
        """Pieces [n,H,W,3], uint8 or uint16 sRGB.

        Raises:
            MediaError: the file is broken.
        """
        piece: list[NDArray[Any]] = []
        for frame in _retimed(self._decoded(), self.fps, fps or self.fps):
            piece.append(frame if size is None else fitted(frame, size))
            if len(piece) == PIECE:
                yield np.stack(piece)
                piece = []
        if piece:
            yield np.stack(piece)

    def audio(self) -> Audio | None:
        """The sound, or None where there is none."""
        if not self.rate:
            return None
        return Audio(samples=self._heard(), rate=self.rate)

    def picked(self, numbers: Collection[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The frames of these numbers with their number, in order; numbers beyond the end give none.

        Raises:
            MediaError: the file is broken.
        """
        yield from self._numbered(set(numbers))

    def _decoded(self) -> Iterator[NDArray[Any]]:
        for _, frame in self._numbered(None):
            yield frame

    def _numbered(self, wanted: set[int] | None) -> Iterator[tuple[int, NDArray[Any]]]:
        reformatter = VideoReformatter()
        last = None if wanted is None else max(wanted, default=-1)
        try:
            with av.open(str(self.path)) as container:
                for number, frame in enumerate(container.decode(container.streams.video[0])):
                    if last is not None and number > last:
                        return
                    if wanted is None or number in wanted:
                        yield number, _picture(frame, reformatter)
        except (OSError, ValueError, av.FFmpegError) as error:
            raise MediaError(f"cannot read {self.path}: it is broken; encode it anew") from error

    def _heard(self) -> Iterator[NDArray[np.float32]]:
        resampler = AudioResampler(format="fltp", layout=LAYOUTS[self.channels], rate=self.rate)
        try:
            with av.open(str(self.path)) as container:
                for frame in container.decode(container.streams.audio[0]):
                    for made in resampler.resample(frame):
                        yield np.asarray(made.to_ndarray(), np.float32)
        except (OSError, ValueError, av.FFmpegError) as error:
            raise MediaError(f"cannot read the sound of {self.path}: it is broken; encode it anew") from error


def open_source(path: Path | str) -> Source:
    """What the file at `path` holds, without decoding it.

    Raises:
        BadRequest: its pictures are HDR already, which cannot be delivered from.
        MediaError: missing, not a video, or broken.
    """
    path = Path(path)
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "there is no such file"
        raise MediaError(f"cannot read {path}: {what}; give a clip or film file")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MediaError(f"cannot read {path}: it holds no video")
            stream = container.streams.video[0]
            context = stream.codec_context
            transfer = int(context.color_trc)
            rate = stream.average_rate or stream.base_rate
            sound = container.streams.audio[0] if container.streams.audio else None
            heard = 0 if sound is None else int(sound.codec_context.sample_rate)
            channels = 0 if sound is None else int(sound.codec_context.channels)
            found = (context.width, context.height, stream.frames)
            timecode = stream.metadata.get("timecode")
            guessed = 0
            if not stream.frames and container.duration and rate:
                guessed = round(container.duration / 1_000_000 * rate)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror or error}; encode it anew") from error
    except (ValueError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is broken or not a video; encode it anew") from error
    if transfer in HDR_TRANSFERS:
        raise BadRequest(
            f"{path} is HDR already ({HDR_TRANSFERS[transfer]}, {TRANSFER_NAMES.get(transfer, transfer)}): "
            "give the BT.709 file that it was made from"
        )
    if not rate or not all(found[:2]):
        raise MediaError(f"cannot read {path}: it says no size or rate; encode it anew")
    if heard and channels not in LAYOUTS:
        channels = 2  # mixed down
    return Source(
        path=path,
        width=found[0],
        height=found[1],
        fps=Fraction(rate),
        num_frames=found[2] or guessed,
        rate=heard,
        channels=channels,
        timecode=timecode,
    )


def fitted(frame: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A frame [H,W,3] scaled to fit inside `size` (width, height), centred, with black around it."""
    height, width = frame.shape[:2]
    if (width, height) == size:
        return frame
    import cv2

    scale = min(Fraction(size[0], width), Fraction(size[1], height))
    inner = (min(round(width * scale), size[0]), min(round(height * scale), size[1]))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(frame, inner, interpolation=way)
    page = np.zeros((size[1], size[0], 3), frame.dtype)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    page[top : top + inner[1], left : left + inner[0]] = scaled
    return page


def _retimed(frames: Iterator[NDArray[Any]], have: Fraction, want: Fraction) -> Iterator[NDArray[Any]]:
    """The frames as they are seen at another rate: at each new time, the one that is on the screen."""
    given = 0
    for index, frame in enumerate(frames):
        until = Fraction(index + 1) / have  # this one shows until then
        while given / want < until:
            yield frame
            given += 1


def _picture(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[Any]:
    """A decoded frame as R'G'B' [H,W,3]: 10-bit Y'CbCr as uint16 by our own arithmetic, all else as uint8."""
    if frame.format.name in TEN_BIT and frame.color_range != ColorRange.JPEG:
        planes = []
        for plane in frame.planes:
            rows = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, plane.line_size // 2)
            planes.append(rows[:, : plane.width])
        weights = BT2020 if int(frame.colorspace) == 9 else BT709
        if int(matrix_of(frame)) in (9, 1):
            return from_ycbcr10(planes[0], planes[1], planes[2], weights)
    made = reformatter.reformat(
        frame,
        format="rgb24",
        interpolation=EXACT,
        src_colorspace=matrix_of(frame),
        dst_color_range=ColorRange.JPEG,
    )
    return np.asarray(made.to_ndarray(), dtype=np.uint8)
