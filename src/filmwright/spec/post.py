"""The stages of post as frozen types: what each does, what decides its result, and what shape it makes of a clip.

A stage knows no frame and no file but a table of colours; `media.post` does the work. Its `version` is raised when
the same stage makes other frames of the same input.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal

from filmwright.spec.cut import Grade

__all__ = [
    "ORDER",
    "Deflicker",
    "Denoise",
    "GradeStage",
    "PostShape",
    "PostStage",
    "Resize",
    "Retime",
    "Stabilise",
    "retimed_count",
]

ORDER = ("deflicker", "denoise", "stabilise", "retime", "resize", "grade")
"""Light first, since tracks and motion are found by equal light; motion before new frames; colour last."""


@dataclass(frozen=True, kw_only=True)
class PostShape:
    """Frames, their rate and their size."""

    num_frames: int
    fps: Fraction
    width: int
    height: int


class _Stage:
    name: ClassVar[str]
    version: ClassVar[int] = 1

    def decides(self) -> dict[str, Any]:
        """Its parameters, for a key; files by their digests."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]

    def shaped(self, shape: PostShape) -> PostShape:
        """What it makes of a clip of this shape."""
        return shape


@dataclass(frozen=True, kw_only=True)
class Deflicker(_Stage):
    """Evens out light that jumps from frame to frame, against `seconds` before and after; at most by `limit`."""

    name: ClassVar[str] = "deflicker"
    seconds: float = 0.5
    limit: float = 0.3  # a gain from 1 / (1 + limit) to 1 + limit


@dataclass(frozen=True, kw_only=True)
class Denoise(_Stage):
    """Averages each frame with its neighbours along the motion; `strength` 0 leaves it as it is, 1 is all of it."""

    name: ClassVar[str] = "denoise"
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Stabilise(_Stage):
    """Takes shake out of a camera's way, against `seconds` before and after, at the cost of a share `crop` of width
    and of height.
    """

    name: ClassVar[str] = "stabilise"
    seconds: float = 0.5
    crop: float = 0.08


@dataclass(frozen=True, kw_only=True)
class Retime(_Stage):
    """Another frame rate at the same speed: the nearest frame, a blend of two, or one made along the motion."""

    name: ClassVar[str] = "retime"
    fps: int
    method: Literal["flow", "blend", "nearest"] = "flow"

    def shaped(self, shape: PostShape) -> PostShape:
        """The new rate, and the frames whose time lies in the clip."""
        return replace(
            shape, num_frames=retimed_count(shape.num_frames, shape.fps, self.fps), fps=Fraction(self.fps)
        )


@dataclass(frozen=True, kw_only=True)
class Resize(_Stage):
    """Another size by Lanczos: cropped to fill it, padded with black, or stretched; `linear` in linear light."""

    name: ClassVar[str] = "resize"
    width: int
    height: int
    fit: Literal["fill", "pad", "stretch"] = "fill"
    linear: bool = False

    def shaped(self, shape: PostShape) -> PostShape:
        """The new size."""
        return replace(shape, width=self.width, height=self.height)


@dataclass(frozen=True, kw_only=True)
class GradeStage(_Stage):
    """A grade."""

    name: ClassVar[str] = "grade"
    grade: Grade

    def decides(self) -> dict[str, Any]:
        """The grade's numbers, its table by its digest."""
        plain = asdict(self.grade)
        del plain["lut"]
        return plain


PostStage = Deflicker | Denoise | Stabilise | Retime | Resize | GradeStage


def retimed_count(num_frames: int, source: Fraction, target: Fraction | int) -> int:
    """Frames at the rate `target` whose time lies in `num_frames` at the rate `source`; the length differs by less
    than one frame.
    """
    return math.ceil(num_frames * Fraction(target) / source)
