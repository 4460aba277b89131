"""A list of camera poses as one pose a frame: what `cameras.camera_path` does for a named move."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.controls import Easing, Pose
from filmwright.world.cameras import eased, look_at
from filmwright.world.scene import CameraPose

__all__ = ["pose_path"]

Array = NDArray[np.float64]


def pose_path(poses: Sequence[Pose], num_frames: int, *, easing: Easing = "natural") -> CameraPose:
    """The poses of `num_frames` frames; before the first pose and after the last one the camera stands still.

    Between two poses places go straight and the camera turns about one axis; between two that look at places, the place
    that it looks at goes straight. `natural` and `linear` are at every pose when it says so; another easing is spent
    over the whole list, and is so at the first and the last.
    """
    times = np.array([p.at for p in poses], float)
    frames = np.clip(np.arange(num_frames, dtype=float), times[0], times[-1])
    span = times[-1] - times[0]
    if span and easing != "natural":
        frames = times[0] + span * eased((frames - times[0]) / span, easing)
    eyes = _between(frames, times, np.array([p.eye for p in poses], float))
    fov = _between(frames, times, np.radians([[p.fov] for p in poses]))[:, 0]
    rotation = _turns(poses, frames, times, eyes)
    return CameraPose(
        eye=eyes.astype(np.float32), rotation=rotation.astype(np.float32), fov=fov.astype(np.float32)
    )


def _between(frames: Array, times: Array, values: Array) -> Array:
    """Values [n, k] at `times` [n], at `frames` [t]: [t, k]."""
    return np.stack([np.interp(frames, times, column) for column in values.T], axis=1)


def _turns(poses: Sequence[Pose], frames: Array, times: Array, eyes: Array) -> Array:
    """Rotations [t, 3, 3], columns right, up, back."""
    fixed = np.stack([_rotation(p) for p in poses])
    result = np.empty((len(frames), 3, 3))
    for i, frame in enumerate(frames):
        n = int(np.clip(np.searchsorted(times, frame, side="right") - 1, 0, max(len(poses) - 2, 0)))
        a, b = poses[n], poses[min(n + 1, len(poses) - 1)]
        share = (frame - times[n]) / (b.at - a.at) if b.at > a.at else 0.0
        if a.look_at is not None and b.look_at is not None:
            place = (1 - share) * np.array(a.look_at) + share * np.array(b.look_at)
            level = look_at(eyes[i : i + 1], place[None])[0]
            result[i] = _rolled(level, math.radians((1 - share) * a.roll + share * b.roll))
        else:
            result[i] = fixed[n] @ _power(fixed[n].T @ fixed[min(n + 1, len(poses) - 1)], share)
    return result


def _rotation(pose: Pose) -> Array:
    """Of one pose [3, 3]."""
    pan, tilt = (math.radians(angle) for angle in pose.aim)
    ahead = np.array([math.sin(pan) * math.cos(tilt), math.cos(pan) * math.cos(tilt), math.sin(tilt)])
    eye = np.array([pose.eye], float)
    return _rolled(look_at(eye, eye + ahead)[0], math.radians(pose.roll))


def _rolled(rotation: Array, angle: float) -> Array:
    """The camera turned clockwise, as its operator sees it, about where it looks."""
    cos, sin = math.cos(angle), math.sin(angle)
    right, up, back = rotation.T
    return np.stack([cos * right - sin * up, sin * right + cos * up, back], axis=-1)


def _power(rotation: Array, share: float) -> Array:
    """A share of a rotation [3, 3], about its own axis (Rodrigues)."""
    angle = math.acos(float(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    if angle < 1e-9:
        return np.eye(3)
    skew = (rotation - rotation.T) / (2 * math.sin(angle)) if angle < math.pi - 1e-6 else _half_turn(rotation)
    part = share * angle
    return np.eye(3) + math.sin(part) * skew + (1 - math.cos(part)) * skew @ skew


def _half_turn(rotation: Array) -> Array:
    """The axis of a turn by 180 degrees, as a skew matrix: its sign is free."""
    axis = np.sqrt(np.clip((np.diag(rotation) + 1) / 2, 0, 1))
    first = int(np.argmax(axis))
    axis = np.array([a if i == first else math.copysign(a, rotation[first, i]) for i, a in enumerate(axis)])
    x, y, z = axis / np.linalg.norm(axis)
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
