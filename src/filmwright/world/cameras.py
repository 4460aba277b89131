"""Camera moves as paths: a name from `spec.vocabulary.CAMERAS` becomes one pose a frame.

Every move is laid symmetrically around the plain view (eye, target), so that a subject that fills the plain
view well stays in the picture while the camera moves. Nothing here knows a take: the engine asks for the same
paths when a user names a move.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.controls import Easing
from filmwright.spec.errors import BadRequest
from filmwright.spec.vocabulary import CAMERAS, LENSES
from filmwright.world.scene import CameraPose

__all__ = [
    "FOV",
    "VIEW_HEIGHT",
    "camera_path",
    "canonical_eye",
    "eased",
    "look_at",
    "project",
    "viewed_direction",
]

Array = NDArray[np.float64]

FOV: dict[str, float] = {"normal": math.radians(40.0), "wide": math.radians(60.0), "long": math.radians(24.0)}
"""Vertical field of view of each lens, radians."""

VIEW_HEIGHT: dict[str, float] = {"normal": 2.2, "wide": 2.3, "long": 2.0}
"""Metres of the scene that the picture's height holds at the target, by lens."""

PAN = math.radians(22.0)
TILT = math.radians(12.0)
ORBIT = math.radians(32.0)
PUSH = (1.25, 0.75)  # of the plain distance, first and last frame: the last is 60 % of the first
OVERHEAD = math.radians(66.0)  # elevation
TRACK = 1.3  # metres sideways when there is nothing to follow
TARGET = (0.0, 0.0, 0.5)


def canonical_eye(
    lens: str = "normal",
    *,
    target: tuple[float, float, float] = TARGET,
    elevation: float = 0.23,
    zoom: float = 1.0,
) -> tuple[float, float, float]:
    """Where the plain camera of a lens stands to hold `VIEW_HEIGHT / zoom` metres at `target`; metres.

    `elevation` is the angle in radians by which it looks down.
    """
    distance = VIEW_HEIGHT[lens] / zoom / (2.0 * math.tan(FOV[lens] / 2.0))
    return (
        target[0],
        target[1] - distance * math.cos(elevation),
        target[2] + distance * math.sin(elevation),
    )


def look_at(eye: Array, target: Array) -> Array:
    """Rotations [T,3,3] (columns right, up, back) of cameras at `eye` [T,3] that look at `target` [T,3]."""
    back = eye - target
    back = back / np.linalg.norm(back, axis=-1, keepdims=True)
    right = np.stack([-back[:, 1], back[:, 0], np.zeros(len(back))], axis=-1)  # world up x back
    right = right / np.linalg.norm(right, axis=-1, keepdims=True)
    up = np.cross(back, right)
    return np.stack([right, up, back], axis=-1)


def _turn_z(vectors: Array, angles: Array) -> Array:
    """`vectors` [T,3] turned about the vertical by `angles` [T], counter-clockwise seen from above."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y, vectors[:, 2]], axis=-1)


def eased(u: Array, easing: Easing) -> Array:
    """Time 0..1 to the share of a move that is done by then; see `spec.controls.EASINGS`."""
    smooth = u * u * (3.0 - 2.0 * u)
    match easing:
        case "natural":
            return 0.5 * u + 0.5 * smooth
        case "linear":
            return u
        case "in":
            return u * u
        case "out":
            return u * (2.0 - u)
        case "in-out":
            return smooth


def _pitched(rotation: Array, angles: Array) -> Array:
    """Cameras turned up by `angles` [T] about their own right axis."""
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    right, up, back = rotation[:, :, 0], rotation[:, :, 1], rotation[:, :, 2]
    return np.stack([right, cos * up + sin * back, cos * back - sin * up], axis=-1)


def camera_path(
    move: str,
    num_frames: int,
    *,
    lens: str = "normal",
    amount: float = 1.0,
    eye: tuple[float, float, float] | None = None,
    target: tuple[float, float, float] = TARGET,
    path: NDArray[np.floating] | None = None,
    seed: int = 0,
    easing: Easing = "natural",
) -> CameraPose:
    """The poses of `num_frames` frames of one camera move.

    `eye` (default: `canonical_eye(lens)`) and `target` are the plain view in metres; `amount` scales the move
    (1: about 22 degrees of pan, 12 of tilt, 32 of orbit, an approach to 60 % of the distance). `path` [T,3] is
    what a tracking camera follows sideways; without it the camera travels to the right. `seed` shapes the noise
    of a handheld camera; `easing` is how the move spends its time. Raises `BadRequest` for a move or lens that is not
    in the vocabulary.
    """
    if move not in CAMERAS:
        raise BadRequest(f"unknown camera move {move!r}: choose one of {', '.join(CAMERAS)}")
    if lens not in LENSES:
        raise BadRequest(f"unknown lens {lens!r}: choose one of {', '.join(LENSES)}")
    if num_frames < 1:
        raise BadRequest(f"a camera path needs at least 1 frame, not {num_frames}")
    fov = FOV[lens]
    zoom = fov / FOV["normal"]  # turning by the same share of the picture, whatever the lens
    at = np.repeat(np.asarray(target, np.float64)[None], num_frames, 0)
    eyes = np.repeat(
        np.asarray(canonical_eye(lens, target=target) if eye is None else eye, np.float64)[None],
        num_frames,
        0,
    )
    ease = eased(np.linspace(0.0, 1.0, num_frames) if num_frames > 1 else np.zeros(1), easing)
    sweep = (ease - 0.5) * amount  # -1/2 .. 1/2
    pitch = np.zeros(num_frames)
    if move in ("pan-left", "pan-right"):
        sign = 1.0 if move == "pan-left" else -1.0
        at = eyes + _turn_z(at - eyes, sign * PAN * zoom * sweep)
    elif move in ("tilt-up", "tilt-down"):
        pitch = (1.0 if move == "tilt-up" else -1.0) * TILT * zoom * sweep
    elif move in ("push-in", "pull-back"):
        near = 1.0 + (PUSH[0] - 1.0) * amount, 1.0 + (PUSH[1] - 1.0) * amount
        first, last = near if move == "push-in" else near[::-1]
        eyes = at + (eyes - at) * (first * (last / first) ** ease)[:, None]
    elif move in ("orbit-left", "orbit-right"):
        sign = -1.0 if move == "orbit-left" else 1.0  # the eye itself moves to its left or right
        eyes = at + _turn_z(eyes - at, sign * ORBIT * sweep)
    elif move == "overhead":
        away = eyes - at
        distance = np.linalg.norm(away, axis=-1)
        flat = away[:, :2] / np.linalg.norm(away[:, :2], axis=-1, keepdims=True)
        height = np.sin(OVERHEAD) * distance
        eyes = at + np.concatenate([flat * (np.cos(OVERHEAD) * distance)[:, None], height[:, None]], axis=-1)
    elif move == "tracking":
        side = look_at(eyes, at)[:, :, 0]
        if path is None:
            shift = TRACK * sweep
        else:
            along = np.einsum("tc,tc->t", np.asarray(path, np.float64) - at, side)
            shift = _smooth(along) * amount
        eyes, at = eyes + side * shift[:, None], at + side * shift[:, None]
    rotation = look_at(eyes, at)
    if move == "handheld":
        eyes, at, pitch = _handheld(eyes, at, rotation, num_frames, amount * zoom, seed)
        rotation = look_at(eyes, at)
    rotation = _pitched(rotation, pitch)
    return CameraPose(
        eye=eyes.astype(np.float32),
        rotation=rotation.astype(np.float32),
        fov=np.full(num_frames, fov, np.float32),
    )


def _smooth(values: Array) -> Array:
    """A moving mean over seven frames that keeps a straight line straight at both ends."""
    half = min(3, len(values) - 1)
    if half < 1:
        return values
    head = 2.0 * values[0] - values[half:0:-1]
    tail = 2.0 * values[-1] - values[-2 : -half - 2 : -1]
    kernel = np.full(2 * half + 1, 1.0 / (2 * half + 1))
    return np.convolve(np.concatenate([head, values, tail]), kernel, mode="valid")


def _handheld(
    eyes: Array, at: Array, rotation: Array, num_frames: int, amount: float, seed: int
) -> tuple[Array, Array, Array]:
    """A held camera's sway: a few slow sines in place and aim; `(eyes, targets, pitch)`."""
    rng = np.random.default_rng([0x4A1D, seed])
    u = np.arange(num_frames) / 16.0
    frequency = np.array([0.6, 1.1, 1.9])
    phase = rng.uniform(0.0, 2.0 * np.pi, (4, 3))
    weight = np.array([1.0, 0.7, 0.3])
    noise = (weight * np.sin(2.0 * np.pi * frequency * u[:, None, None] + phase)).sum(-1) * amount  # [T,4]
    right, up = rotation[:, :, 0], rotation[:, :, 1]
    distance = np.linalg.norm(at - eyes, axis=-1, keepdims=True)
    moved = eyes + 0.02 * noise[:, :1] * right + 0.015 * noise[:, 1:2] * up
    aimed = at + distance * np.radians(0.9) * noise[:, 2:3] * right
    return moved, aimed, np.radians(0.7) * noise[:, 3]


def project(points: NDArray[np.floating], camera: CameraPose, aspect: float) -> Array:
    """Where world `points` [T,3] appear: [T,3] of (x, y, depth); x and y run from -1 to 1, y up, depth in metres."""
    offset = np.asarray(points, np.float64) - camera.eye
    local = np.einsum("tij,ti->tj", camera.rotation.astype(np.float64), offset)
    depth = -local[:, 2]
    scale = np.maximum(depth, 1e-6) * np.tan(camera.fov.astype(np.float64) / 2.0)
    return np.stack([local[:, 0] / (scale * aspect), local[:, 1] / scale, depth], axis=-1)


def viewed_direction(displacement: NDArray[np.floating], camera: CameraPose) -> str:
    """`left` or `right`: how the viewer of the first frame sees a world displacement [3]."""
    return (
        "right" if float(np.asarray(displacement, np.float64) @ camera.rotation[0, :, 0]) >= 0.0 else "left"
    )
