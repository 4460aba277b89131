"""A clip that saves itself and shows itself in a notebook; this is the `filmwright.Clip` that users hold."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filmwright.media.beside import check_beside, sidecar_path
from filmwright.media.files import check_output, write_atomic
from filmwright.media.sound import fit_sound, stereo
from filmwright.media.video import VideoWriter
from filmwright.spec import clip as spec_clip

__all__ = ["Clip", "Seal", "html_video", "save_clip"]


class Seal(Protocol):
    """Does the last thing to a finished file, such as signing it."""

    @property
    def comment(self) -> str:
        """What is written into the file before."""

    def __call__(self, path: Path, title: str) -> str:
        """Seal the file at `path`, which will be called `title`; the text of its sidecar."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Clip(spec_clip.Clip):
    """Frames uint8 [T,H,W,3] sRGB, rate, sound, the request that made them, the text of the sidecar and what signs the
    file, if it has them.
    """

    sidecar: str | None = None
    seal: Seal | None = None

    def save(self, path: Path | str) -> Path:
        """Write H.264 and AAC in MP4, signed as the run was asked to, and the sidecar beside it; give the path.

        Raises:
            CredentialsError: it cannot be signed.
            MediaError: the path cannot be written.
        """
        return save_clip(self, path, sidecar=self.sidecar, seal=self.seal)

    def _repr_html_(self) -> str:
        return html_video(self)


def save_clip(
    clip: spec_clip.Clip, path: Path | str, *, sidecar: str | None = None, seal: Seal | None = None
) -> Path:
    """Write a clip as H.264 and AAC in MP4, and `sidecar` (JSON text) beside it under the same name; give the path.

    A `seal` is put on the file before it gets its name, and says what the sidecar is.

    Raises:
        MediaError: the path cannot be written, a file that is no sidecar lies beside it, or the frames cannot be coded.
    """
    path = check_output(path, suffixes=(".mp4",))
    if sidecar is not None or seal is not None:
        check_beside(path)
    _, height, width, _ = clip.frames.shape
    said: list[str] = []

    def put(part: Path) -> None:
        if seal is not None:
            said.append(seal(part, path.name))

    comment = None if seal is None else seal.comment
    sound = None if clip.sound is None else fit_sound(clip.sound, clip.seconds)
    rate = None if sound is None else sound.rate
    with VideoWriter(path, width, height, clip.fps, audio_rate=rate, comment=comment, seal=put) as video:
        for second, start in enumerate(range(0, len(clip.frames), clip.fps)):
            video.write(clip.frames[start : start + clip.fps])
            if sound is not None:
                video.write_audio(stereo(sound.samples[:, second * sound.rate : (second + 1) * sound.rate]))
    sidecar = said[0] if said else sidecar
    if sidecar is not None:
        write_atomic(sidecar_path(path), sidecar)
    return path


def html_video(clip: spec_clip.Clip) -> str:
    """A `<video>` element with the frames that the clip holds, looping, for a notebook or a report.

    What lies at its path is not looked at: a later clip may have taken its place.
    """
    with tempfile.TemporaryDirectory() as folder:
        content = save_clip(clip, Path(folder) / "clip.mp4").read_bytes()
    _, height, width, _ = clip.frames.shape
    source = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    return f'<video src="{source}" width="{width}" height="{height}" controls loop muted autoplay></video>'
