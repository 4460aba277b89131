"""The camera as the denoiser is told it: what each latent cell looks along, and where on the floor it looks.

Rays are in Pluecker coordinates (direction, moment). They say all about a camera, but a move is a small change of
them; so the same camera is also told as the motion of the picture that it causes on the floor, and as where on the
floor a cell looks, in waves, so that cells of different frames that see one place of the floor are alike.

Relative to the first frame's camera, so that a move looks the same wherever in the world it happens. Numpy only:
the engine asks for the camera of a named move without a simulator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filmwright.world.scene import CameraPose

__all__ = ["CAMERA_CHANNELS", "camera_channels", "pluecker"]

UNIT = 3.0  # metres: about how far the camera stands from what it shows
FAR = 30.0  # metres: what looks above the horizon, or past this, looks this far
PERIODS = (1.0, 2.0, 4.0, 8.0)  # metres, of the waves on the floor
FADE = 6.0  # metres from which on the waves grow weaker: a far cell covers many periods
SINCE_FIRST, SINCE_LAST = 2.0, 16.0  # gains that bring the moves of a slow camera to about 1

CAMERA_CHANNELS = 6 + 4 + 4 * len(PERIODS)


def pluecker(
    camera: CameraPose, rows: int, columns: int, *, aspect: float | None = None
) -> NDArray[np.float32]:
    """Rays through the centres of a grid of cells.

    Args:
        camera: T poses.
        rows, columns: of the grid, top to bottom and left to right.
        aspect: width / height of the picture, columns / rows if not given.

    Returns:
        float32 [T, 6, rows, columns]: unit direction, and moment `origin x direction`, both in the axes of the first
        camera, with the first eye as the origin; lengths are in units of 3 m.
    """
    aspect = columns / rows if aspect is None else aspect
    tangent = np.tan(np.asarray(camera.fov, np.float64) / 2)[:, None, None]  # [T, 1, 1]
    u = ((np.arange(columns) + 0.5) * 2 / columns - 1)[None, None, :] * aspect * tangent
    v = (1 - (np.arange(rows) + 0.5) * 2 / rows)[None, :, None] * tangent
    u, v = np.broadcast_arrays(u, v)  # [T, rows, columns]
    local = np.stack([u, v, -np.ones_like(u)], axis=-1)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    first = np.asarray(camera.rotation[0], np.float64)
    turn = first.T @ np.asarray(camera.rotation, np.float64)  # [T, 3, 3], columns in the first camera's axes
    direction = np.einsum("tij,trcj->trci", turn, local)
    origin = (np.asarray(camera.eye, np.float64) - camera.eye[0]) @ first / UNIT  # [T, 3]
    moment = np.cross(origin[:, None, None], direction)
    rays = np.concatenate([direction, moment], axis=-1)  # [T, rows, columns, 6]
    return np.ascontiguousarray(rays.transpose(0, 3, 1, 2), dtype=np.float32)


def camera_channels(
    camera: CameraPose, rows: int, columns: int, *, stride: int = 4, aspect: float | None = None
) -> NDArray[np.float32]:
    """All that the denoiser is told of a camera, at every `stride`-th frame: 0, stride, 2 stride, ...

    Args:
        camera: T poses over the floor z = 0.
        rows, columns, aspect: see `pluecker`.
        stride: frames a latent frame.

    Returns:
        float32 [t, 26, rows, columns] with t = (T - 1) // stride + 1: rays (6); how far the place on the floor that a
        cell sees has moved in the picture since the first frame and since the last latent frame, in half pictures
        times a gain (2 + 2); sines and cosines of where on the floor that is, to the right of the first camera and
        ahead of it (16), weaker from 6 m on and 0 above the horizon.
    """
    aspect = columns / rows if aspect is None else aspect
    picked = slice(None, None, stride)
    poses = CameraPose(
        eye=camera.eye[picked], rotation=camera.rotation[picked], fov=np.asarray(camera.fov)[picked]
    )
    rays = pluecker(poses, rows, columns, aspect=aspect)
    eye, turn = np.asarray(poses.eye, np.float64), np.asarray(poses.rotation, np.float64)
    local = np.moveaxis(
        rays[:, :3].astype(np.float64), 1, -1
    )  # [t, rows, columns, 3], the first camera's axes
    direction = local @ turn[0].T
    fall = np.maximum(-direction[..., 2], 1e-6)
    reach = np.minimum(eye[:, 2, None, None] / fall, FAR)[..., None]
    place = eye[:, None, None] + reach * direction  # [t, rows, columns, 3], metres
    here = _picture(place, poses, np.arange(len(eye)), aspect)
    first = _picture(place, poses, np.zeros(len(eye), int), aspect)
    before = _picture(place, poses, np.maximum(np.arange(len(eye)) - 1, 0), aspect)
    right = turn[0][:, 0]
    ahead = np.cross((0.0, 0.0, 1.0), right)
    ground = np.stack([(place - eye[0]) @ right, (place - eye[0]) @ ahead], axis=-1)
    angle = (ground[..., None] * (2 * np.pi / np.array(PERIODS))).reshape(*ground.shape[:-1], -1)
    strength = np.where(reach < FAR, np.minimum(FADE / reach, 1.0), 0.0)
    parts: list[NDArray[np.floating]] = [
        np.moveaxis(rays, 1, -1),
        SINCE_FIRST * (here - first).clip(-2, 2),
        SINCE_LAST * (here - before).clip(-0.25, 0.25),
        strength * np.sin(angle),
        strength * np.cos(angle),
    ]
    return np.ascontiguousarray(np.moveaxis(np.concatenate(parts, axis=-1), -1, 1), dtype=np.float32)


def _picture(
    place: NDArray[np.float64], camera: CameraPose, frames: NDArray[np.int_], aspect: float
) -> NDArray[np.float64]:
    """Where the pose `frames[i]` sees the places [t, rows, columns, 3]: [t, rows, columns, 2], -1..1, y up."""
    offset = place - np.asarray(camera.eye, np.float64)[frames][:, None, None]
    local = np.einsum("tij,trci->trcj", np.asarray(camera.rotation, np.float64)[frames], offset)
    tangent = np.tan(np.asarray(camera.fov, np.float64)[frames] / 2)[:, None, None]
    depth = np.maximum(-local[..., 2], 0.1) * tangent
    return np.stack([local[..., 0] / (depth * aspect), local[..., 1] / depth], axis=-1)
