"""A clip in memory: frames, rate, and the request that made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.request import Request

__all__ = ["Clip"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """`frames` uint8 [T,H,W,3] sRGB, `fps`, the request that made it, and the file it was written to, if any."""

    frames: NDArray[np.uint8]
    fps: int
    request: Request | None = None
    path: Path | None = None

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.frames) / self.fps
