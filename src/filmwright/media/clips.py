"""A clip that saves itself and shows itself in a notebook; this is the `filmwright.Clip` that users hold."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filmwright.media.files import check_output, write_atomic
from filmwright.media.video import VideoWriter
from filmwright.spec import clip as spec_clip

__all__ = ["Clip", "html_video", "save_clip"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip(spec_clip.Clip):
    """Frames uint8 [T,H,W,3] sRGB, rate, the request that made them, and the text of the sidecar, if it has one."""

    sidecar: str | None = None

    def save(self, path: Path | str) -> Path:
        """Write H.264 in MP4, and the sidecar beside it as `.json`; give the path.

        Raises:
            MediaError: the path cannot be written.
        """
        return save_clip(self, path, sidecar=self.sidecar)

    def _repr_html_(self) -> str:
        return html_video(self)


def save_clip(clip: spec_clip.Clip, path: Path | str, *, sidecar: str | None = None) -> Path:
    """Write a clip as H.264 in MP4, and `sidecar` (JSON text) beside it under the same name; give the path.

    Raises:
        MediaError: the path cannot be written, or the frames cannot be coded.
    """
    path = check_output(path, suffixes=(".mp4",))
    _, height, width, _ = clip.frames.shape
    with VideoWriter(path, width, height, clip.fps) as video:
        video.write(clip.frames)
    if sidecar is not None:
        write_atomic(path.with_suffix(".json"), sidecar)
    return path


def html_video(clip: spec_clip.Clip) -> str:
    """A `<video>` element with the clip inside it, looping, for a notebook or a report."""
    if clip.path is not None and clip.path.is_file():
        content = clip.path.read_bytes()
    else:
        with tempfile.TemporaryDirectory() as folder:
            content = save_clip(clip, Path(folder) / "clip.mp4").read_bytes()
    _, height, width, _ = clip.frames.shape
    source = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    return f'<video src="{source}" width="{width}" height="{height}" controls loop muted autoplay></video>'
