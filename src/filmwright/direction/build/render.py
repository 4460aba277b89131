"""The stage that renders a take: the clip as the engine writes it, its frames without loss, and its last frame."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmwright.engine.sidecar import sidecar_path
from filmwright.media.lossless import LosslessWriter
from filmwright.spec.events import OnEvent
from filmwright.spec.request import Request

__all__ = ["Rendered", "render"]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """Files of a take in its work folder, seconds in all, and those of denoising and decoding alone."""

    files: dict[str, Path]
    seconds: float
    working: float
    facts: dict[str, Any]


def render(
    request: Request,
    work: Path,
    *,
    device: str,
    memory: int | None,
    on_event: OnEvent,
    clips: Mapping[str, tuple[Path, str]],
) -> Rendered:
    """Renders a take into `work`; one that died there goes on. `clips` are those that its pictures are of.

    Raises:
        FilmwrightError: as `engine.generate.generate_file`.
    """
    from PIL import Image

    from filmwright.engine.generate import generate_file
    from filmwright.media.sheet import save_png_atomic

    clip, frames, last = work / "clip.mp4", work / "frames.mkv", work / "last.png"
    began = time.monotonic()
    latest: list[NDArray[np.uint8]] = []
    with LosslessWriter(frames, request.width, request.height, request.fps) as lossless:

        def keep(piece: NDArray[np.uint8]) -> None:
            lossless.write(piece)
            latest[:] = [piece[-1].copy()]

        sidecar = generate_file(
            request, clip, on_event=on_event, device=device, memory=memory, on_frames=keep, clips=clips
        )
    save_png_atomic(Image.fromarray(latest[0]), last)
    return Rendered(
        files={"clip": clip, "frames": frames, "last": last, "sidecar": sidecar_path(clip)},
        seconds=time.monotonic() - began,
        working=sum(sidecar.timings.get(stage, 0.0) for stage in ("encode", "denoise", "decode")),
        facts={"request": request.digest(), "filmwright": sidecar.filmwright},
    )
