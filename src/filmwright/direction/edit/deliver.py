"""The seam to delivery: frames and sound of a film go into a file of a format, or a frame of it onto a poster.

`direction.film.outputs.FORMATS` says which formats there are; `media.deliver` writes them, in constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filmwright.direction.edit.conform import conformed, resized
from filmwright.media.deliver import Audio, Delivered, Hdr
from filmwright.media.deliver import deliver as deliver_media
from filmwright.media.sound import RATE
from filmwright.media.stills import poster, save_still
from filmwright.spec.cut import START_TIMECODE, Cut

__all__ = ["deliver", "deliver_poster"]


def deliver(
    frames: Iterator[NDArray[np.uint8]],
    path: Path,
    *,
    format: str,  # noqa: A002 (the film file's own word)
    width: int,
    height: int,
    fps: Fraction,
    audio: Iterator[NDArray[np.float32]] | None = None,
    hdr: bool = False,
    loudness: float | None = None,
    comment: str | None = None,
    timecode: str = START_TIMECODE,
    on_frame: Callable[[int], None] | None = None,
) -> Delivered:
    """Writes frames, uint8 [H,W,3] sRGB each, and sound, float32 [2, n] at 48 kHz, to `path`, whole or not at all.

    `on_frame` is told how many frames are written; the rest is as in `media.deliver.deliver`.

    Raises:
        BadRequest: an unknown format, or one that cannot hold this.
        MediaError: the file cannot be written.
    """
    return deliver_media(
        (frame[None] for frame in frames),
        path,
        format=format,
        width=width,
        height=height,
        fps=fps,
        audio=None if audio is None else Audio(samples=audio, rate=RATE),
        hdr=Hdr() if hdr else None,
        loudness=loudness,
        comment=comment,
        timecode=timecode,
        on_frame=on_frame,
    )


def deliver_poster(
    cut: Cut,
    path: Path,
    *,
    width: int,
    height: int,
    comment: str | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> int:
    """Writes the frame that stands for a film to `path`, a PNG or JPEG; gives its number.

    Raises:
        MediaError: a source is missing or damaged, or the file cannot be written.
    """
    frame, number = poster(_Playing(cut=cut, path=path, on_frame=on_frame))
    save_still(Image.fromarray(resized(frame, width, height)), path, comment=comment)
    return number


@dataclass(frozen=True, kw_only=True)
class _Playing:
    """A cut as it plays, for those who pick frames of it."""

    cut: Cut
    path: Path
    on_frame: Callable[[int], None] | None = None

    @property
    def num_frames(self) -> int:
        """How long it is."""
        return self.cut.num_frames

    def picked(self, numbers: Collection[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The frames of these numbers, in order."""
        wanted = set(numbers)
        for index, frame in enumerate(conformed(self.cut, max(wanted) + 1)):
            if self.on_frame is not None:
                self.on_frame(index + 1)
            if index in wanted:
                yield index, frame
