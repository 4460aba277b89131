"""Stills of a video file: the poster, and a contact sheet of it. Only the frames that are shown are held.

The poster is the sharpest of up to 24 frames spread over the middle third, where a film has begun and not yet ended.
Sharp is the variance of the Laplacian at 256 pixels width; frames that are nearly black or white do not stand, if any
other does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from filmwright.media.files import check_output, replacing
from filmwright.media.sheet import contact_sheet
from filmwright.media.source import Source, fitted
from filmwright.spec.errors import BadRequest, MediaError

__all__ = ["Picked", "poster", "save_still", "sheet"]

CANDIDATES = 24
SEEN_WIDTH = 256
DARK, BRIGHT = 16.0, 239.0  # mean levels of 8 bit
MAX_SHOWN = 200
MAX_PAGE = 16_384  # pixels a side


class Picked(Protocol):
    """What a poster is picked from: a file, or a film that is still frames."""

    @property
    def path(self) -> Path:
        """Its file, for a message."""

    @property
    def num_frames(self) -> int:
        """How many frames it has."""

    def picked(self, numbers: Collection[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The frames of these numbers [H,W,3] with their number, in order."""


def poster(source: Picked) -> tuple[NDArray[np.uint8], int]:
    """The frame that stands for the film, uint8 [H,W,3] sRGB, and its number.

    Raises:
        MediaError: the file is broken or holds no frame.
    """
    count = max(source.num_frames, 1)
    first, last = count // 3, max(count // 3, (2 * count - 1) // 3)
    wanted = sorted({round(at) for at in np.linspace(first, last, CANDIDATES)})
    best: tuple[tuple[bool, float], NDArray[np.uint8], int] | None = None
    for number, frame in source.picked(wanted):
        picture = _eight_bit(frame)
        score = _score(picture)
        if best is None or score > best[0]:
            best = score, picture, number
    if best is None:
        raise MediaError(f"cannot read {source.path}: it holds no frame")
    return best[1], best[2]


def sheet(source: Source, *, count: int = 12, columns: int = 4, width: int = 320) -> Image.Image:
    """`count` frames evenly spread from first to last, `columns` a row, each `width` wide with its time below.

    Raises:
        BadRequest: more than fits on a page.
        MediaError: the file is broken or holds no frame.
    """
    if not (1 <= count <= MAX_SHOWN and 1 <= columns <= count):
        raise BadRequest(
            f"a sheet of {count} frames in {columns} columns cannot be: take 1 to {MAX_SHOWN} frames, and no more "
            "columns than frames"
        )
    height = max(round(width * source.height / source.width), 1)
    if (
        not 16 <= width <= 4096
        or columns * width > MAX_PAGE
        or -(-count // columns) * (height + 40) > MAX_PAGE
    ):
        raise BadRequest(
            f"a sheet with {columns} columns of {width} pixels does not fit a page of {MAX_PAGE}: take less"
        )
    total = max(source.num_frames, 1)
    wanted = sorted({round(at) for at in np.linspace(0, total - 1, count)})
    frames, labels = [], []
    for number, frame in source.picked(wanted):
        frames.append(fitted(_eight_bit(frame), (width, height))[None])
        labels.append(_time(float(number / source.fps)))
    if not frames:
        raise MediaError(f"cannot read {source.path}: it holds no frame")
    return contact_sheet(frames, labels, columns, frames_per_clip=1)


def save_still(
    image: Image.Image,
    path: Path | str,
    *,
    comment: str | None = None,
    seal: Callable[[Path], object] | None = None,
) -> Path:
    """Write a PNG, or a JPEG where the name says so; `seal` is called with it before it gets its name.

    Raises:
        MediaError: it cannot be written.
    """
    path = check_output(path, suffixes=(".png", ".jpg", ".jpeg"))
    with replacing(path) as part:
        if path.suffix.lower() == ".png":
            said = PngInfo()
            if comment:
                said.add_text("Comment", comment)
            image.save(part, format="PNG", pnginfo=said)
        else:
            image.save(part, format="JPEG", quality=95, subsampling=0, comment=comment or "")
        if seal is not None:
            seal(part)
    return path


def _eight_bit(frame: NDArray[Any]) -> NDArray[np.uint8]:
    if frame.dtype == np.uint8:
        return frame
    return ((frame.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _score(picture: NDArray[np.uint8]) -> tuple[bool, float]:
    import cv2  # a film without a poster needs none of it, and it takes its time

    height = max(round(picture.shape[0] * SEEN_WIDTH / picture.shape[1]), 1)
    small = cv2.resize(picture, (SEEN_WIDTH, height), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    shows = DARK < float(grey.mean()) < BRIGHT
    return shows, float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _time(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"
