"""The seam to delivery: frames and sound of a film go into a file of a format.

`direction.film.opened.FORMATS` says which formats there are; a new one is a case here and a name there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.media.sound import RATE
from filmwright.media.video import VideoWriter
from filmwright.spec.errors import BadRequest

__all__ = ["deliver"]


def deliver(
    frames: Iterator[NDArray[np.uint8]],
    path: Path,
    *,
    format: str,  # noqa: A002 (the film file's own word)
    width: int,
    height: int,
    fps: int,
    audio: Iterator[NDArray[np.float32]] | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> None:
    """Writes frames, uint8 [H,W,3] sRGB each, and sound, float32 [2, n] at 48 kHz, to `path`, whole or not at all.

    Sound is taken as frames go on, so that neither waits in memory. `on_frame` is told how many frames are written.

    Raises:
        BadRequest: an unknown format.
        MediaError: the file cannot be written.
    """
    if format != "h264":
        raise BadRequest(f"unknown format {format!r}: there is h264")
    heard = 0.0
    with VideoWriter(path, width, height, fps, audio_rate=RATE if audio is not None else None) as video:
        for index, frame in enumerate(frames, start=1):
            video.write(frame[None])
            while audio is not None and heard < index / fps and (piece := next(audio, None)) is not None:
                video.write_audio(piece)
                heard += piece.shape[1] / RATE
            if on_frame is not None:
                on_frame(index)
