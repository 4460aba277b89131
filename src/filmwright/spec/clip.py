"""A clip in memory: frames, rate, sound if it has any, and the request that made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.request import Request

__all__ = ["Clip", "Sound"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """`samples` float32 [channels, n] from -1 to 1, `rate` of them a second."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return float(self.samples.shape[1] / self.rate)


@dataclass(frozen=True, kw_only=True, eq=False)
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
