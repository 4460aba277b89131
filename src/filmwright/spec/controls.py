"""Controls: what a request knows of its clip beside the words. One schema for Python, film file, API and sidecar.

Places in the picture are from 0 to 1, x to the right and y down from the top left. Times are frames of the clip, 0 the
first. The world's axes are x to the right of the plain view, y away from it, z up from the floor, in metres; angles are
degrees and have a film crew's names and signs: pan to the right, tilt up and roll clockwise are positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "AXES", "EASINGS", "STILL_CAMERAS", "CameraPath", "Control", "Easing", "Frozen", "ImageRef", "Keyframe",
    "MotionBrush", "Point", "Pose", "Prefix", "Region", "Stroke", "Track", "is_motion", "moved_axes",
    "without_defaults",
]  # fmt: skip

Easing = Literal["natural", "linear", "in", "out", "in-out"]
EASINGS: tuple[Easing, ...] = ("natural", "linear", "in", "out", "in-out")
"""How a move spends its time: `natural` starts and ends gently but moves in every frame, as trained; `in` starts
slowly, `out` ends slowly, `in-out` does both and stands still at either end. A list of poses is
by nature where it says."""

AXES = ("position", "pan", "tilt", "roll", "zoom")
"""What a list of poses may change."""

STILL_CAMERAS = ("static", "overhead")
"""Named camera moves that stay where they are."""

Point = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]
Metres = Annotated[float, Field(ge=-100, le=100)]
MAX_POSES = 1000
MAX_POINTS = 1000
MAX_REGIONS = 32


class Frozen(BaseModel):
    """Base of all data types that come from files, HTTP or the command line: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageRef(Frozen):
    """A picture or clip on disk: where it was, and the BLAKE3 digest (hex) of its bytes, which is what counts."""

    path: str
    digest: str


class Keyframe(Frozen):
    """The clip shows this picture at this frame (0 is the first)."""

    kind: Literal["keyframe"] = "keyframe"
    at: int = Field(ge=0)
    image: ImageRef


class Pose(Frozen):
    """Where the camera is at a frame, and where it looks: to a place (`look_at`, metres) or by pan, tilt and roll.

    All angles at 0 look along y, level. `fov` is the picture's height as seen, in degrees.
    """

    at: int = Field(ge=0)
    eye: tuple[Metres, Metres, Metres]
    look_at: tuple[Metres, Metres, Metres] | None = None
    pan: float = Field(default=0.0, ge=-360, le=360)
    tilt: float = Field(default=0.0, ge=-89, le=89)
    roll: float = Field(default=0.0, ge=-180, le=180)
    fov: float = Field(default=40.0, ge=5, le=120)

    @model_validator(mode="after")
    def _one_aim(self) -> Pose:
        if self.look_at is not None:
            if self.pan or self.tilt:
                raise ValueError("a pose has look_at, or pan and tilt, not both")
            if math.dist(self.look_at[:2], self.eye[:2]) < 1e-3:
                raise ValueError("a pose cannot look straight up or down, or at its own place")
        return self

    @property
    def aim(self) -> tuple[float, float]:
        """Pan and tilt in degrees, of what it looks at if that is a place."""
        if self.look_at is None:
            return self.pan, self.tilt
        x, y, z = (to - at for to, at in zip(self.look_at, self.eye, strict=True))
        return math.degrees(math.atan2(x, y)), math.degrees(math.atan2(z, math.hypot(x, y)))


class CameraPath(Frozen):
    """A named camera move, `amount` 1 being the move as trained; or a list of poses, passed through in their order."""

    kind: Literal["camera"] = "camera"
    move: str | None = None
    amount: float = Field(default=1.0, ge=0.0, le=2.0)
    easing: Easing = "natural"
    poses: tuple[Pose, ...] = Field(default=(), max_length=MAX_POSES)

    @model_validator(mode="after")
    def _one_way(self) -> CameraPath:
        if (self.move is None) == (not self.poses):
            raise ValueError("a camera path has a named move, or a list of poses, and not both")
        if self.poses and self.amount != 1.0:
            raise ValueError("an amount belongs to a named move: poses say where they are")
        if any(b.at <= a.at for a, b in pairwise(self.poses)):
            raise ValueError("poses follow each other in time")
        return self


class Track(Frozen):
    """A point that moves: (frame, x, y) with x and y from 0 to 1, origin top left."""

    points: tuple[tuple[int, float, float], ...]


class Region(Frozen):
    """A part of the picture: a polygon, or what is brighter than half in a mask of the picture's aspect."""

    polygon: tuple[Point, ...] = Field(default=(), max_length=MAX_POINTS)
    mask: ImageRef | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> Region:
        if (self.mask is None) == (not self.polygon):
            raise ValueError("a region has a polygon or a mask, and not both")
        if self.polygon and len(self.polygon) < 3:
            raise ValueError(f"a polygon has three corners or more, not {len(self.polygon)}")
        return self


class Stroke(Frozen):
    """A region that moves as a whole: by as much as its trajectory, (frame, x, y), moves from its first point on."""

    region: Region
    trajectory: tuple[tuple[int, float, float], ...] = Field(min_length=2, max_length=MAX_POINTS)

    @model_validator(mode="after")
    def _in_time(self) -> Stroke:
        frames = [point[0] for point in self.trajectory]
        if frames[0] < 0 or any(b <= a for a, b in pairwise(frames)):
            raise ValueError("the points of a trajectory follow each other in time")
        return self


class MotionBrush(Frozen):
    """What starts at a track's first point follows the track; regions move by strokes or are frozen, which comes first.

    Needs a keyframe at 0.
    """

    kind: Literal["brush"] = "brush"
    tracks: tuple[Track, ...] = ()
    strokes: tuple[Stroke, ...] = Field(default=(), max_length=MAX_REGIONS)
    freeze: tuple[Region, ...] = Field(default=(), max_length=MAX_REGIONS)

    def regions(self) -> Iterator[Region]:
        """Those that move, then those that do not."""
        yield from (stroke.region for stroke in self.strokes)
        yield from self.freeze


class Prefix(Frozen):
    """The clip goes on from the last frames of this one."""

    kind: Literal["prefix"] = "prefix"
    clip: ImageRef
    num_frames: int = Field(ge=1)


Control = Annotated[Keyframe | CameraPath | MotionBrush | Prefix, Field(discriminator="kind")]


def is_motion(control: Keyframe | CameraPath | MotionBrush | Prefix) -> bool:
    """Whether a control says that something moves, so that the words need not."""
    match control:
        case CameraPath(move=None, poses=poses):
            return bool(moved_axes(poses))
        case CameraPath(move=move):
            return move not in STILL_CAMERAS
        case Keyframe(at=at):
            return at > 0
        case _:
            return True


_LATER: dict[str, dict[str, Any]] = {
    "camera": {"easing": "natural", "poses": []},
    "brush": {"strokes": [], "freeze": []},
}


def without_defaults(control: Mapping[str, Any]) -> dict[str, Any]:
    """A control's JSON without the places of its files, and without what controls did not have when first hashed."""
    later = _LATER.get(control["kind"], {})
    return {k: _placeless(v) for k, v in control.items() if k not in later or v != later[k]}


def _placeless(value: Any) -> Any:
    if isinstance(value, dict):
        is_file = value.keys() == {"path", "digest"}
        return {k: _placeless(v) for k, v in value.items() if not (is_file and k == "path")}
    return [_placeless(v) for v in value] if isinstance(value, list) else value


def moved_axes(poses: tuple[Pose, ...], tolerance: float = 1e-6) -> tuple[str, ...]:
    """Which of `AXES` a list of poses changes, or, of roll, sets.

    A camera that moves and keeps looking at a place changes its position only: turning is how it does that.
    """
    if not poses:
        return ()
    first = poses[0]
    held = all(p.look_at is not None and p.look_at == first.look_at for p in poses)
    found = {
        "position": any(math.dist(p.eye, first.eye) > tolerance for p in poses),
        "pan": not held and any(abs(p.aim[0] - first.aim[0]) > tolerance for p in poses),
        "tilt": not held and any(abs(p.aim[1] - first.aim[1]) > tolerance for p in poses),
        "roll": any(abs(p.roll) > tolerance for p in poses),
        "zoom": any(abs(p.fov - first.fov) > tolerance for p in poses),
    }
    return tuple(axis for axis in AXES if found[axis])
