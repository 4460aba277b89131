"""The camera as the denoiser is told it: one ray a latent cell, in Pluecker coordinates (direction, moment).

Relative to the first frame's camera, so that a move looks the same wherever in the world it happens. Numpy only:
the engine asks for the rays of a named move without a simulator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filmwright.world.scene import CameraPose

__all__ = ["pluecker"]

UNIT = 3.0  # metres: about how far the camera stands from what it shows


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
