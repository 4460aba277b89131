"""The stage of a build that runs one stage of post: lossless frames in, lossless frames and a clip to look at out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.media.lossless import LosslessWriter, stream_frames
from filmwright.media.post.chain import applied
from filmwright.media.video import VideoWriter
from filmwright.provenance.signing import MARK
from filmwright.spec.post import PostShape, PostStage

__all__ = ["finish"]


def finish(
    stage: PostStage,
    frames: Path,
    shape: PostShape,
    work: Path,
    on_frame: Callable[[int], None],
    seal: Callable[[Path], object] | None = None,
) -> dict[str, Path]:
    """Runs `stage` on the frames in a file, of `shape`, in constant memory; gives its files in `work` by name.

    `seal` signs the clip.

    Raises:
        CredentialsError: the clip cannot be signed.
        MediaError: the frames or a table of colours are damaged, or the disk is full.
    """
    made = stage.shaped(shape)
    kept, clip = work / "frames.mkv", work / "clip.mp4"
    size, fps = (made.width, made.height), int(made.fps)
    comment = MARK if seal is not None else None
    with (
        LosslessWriter(kept, *size, fps) as lossless,
        VideoWriter(clip, *size, fps, comment=comment, seal=seal) as video,
    ):
        for chunk in applied([stage], _chunks(frames), Fraction(shape.fps)):
            lossless.write(chunk)
            video.write(chunk)
            on_frame(lossless.num_frames)
    return {"frames": kept, "clip": clip}


def _chunks(path: Path) -> Iterator[NDArray[np.uint8]]:
    for frame in stream_frames(path):
        yield frame[None]
