"""A clip in memory: frames, rate, sound if it has any, and the request that made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.request import Request

__all__ = ["Clip", "Sound"]

SHOWN = 48  # letters of a prompt


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """`samples` float32 [channels, n] from -1 to 1, `rate` of them a second."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return float(self.samples.shape[1] / self.rate)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Clip:
    """`frames` uint8 [T,H,W,3] sRGB, `fps`; the request that made it, the file it was written to, its sound, if any."""

    frames: NDArray[np.uint8]
    fps: int
    request: Request | None = None
    path: Path | None = None
    sound: Sound | None = None

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.frames) / self.fps

    def __repr__(self) -> str:
        """One line: what the clip is, where it lies and how its prompt begins."""
        num_frames, height, width, _ = self.frames.shape
        said = [f"{width}x{height}, {num_frames} frames, {self.fps} fps, {self.seconds:.2f} s"]
        if self.sound is not None:
            said.append("with sound")
        if self.path is not None:
            said.append(str(self.path))
        if self.request is not None:
            prompt = self.request.prompt
            said.append(repr(prompt if len(prompt) <= SHOWN else f"{prompt[:SHOWN].rstrip()}..."))
        return f"<Clip {', '.join(said)}>"
