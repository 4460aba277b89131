"""What a rendered stage knows beyond its pictures: where every point goes next, in pixels.

Numpy only. Tracks of single points and the camera's rays have their own modules and are offered here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.errors import BadRequest
from filmwright.world.points import follow
from filmwright.world.rays import pluecker
from filmwright.world.scene import CameraPose, Stage

if TYPE_CHECKING:
    from filmwright.world.render import Rendered

__all__ = ["flow", "follow", "pluecker", "project"]

SKY = (
    999.0  # metres: from this depth on a pixel shows sky, which turns with the camera but never comes nearer
)
NEAR = 1e-3  # metres: points nearer to the camera's plane, or behind it, are projected as if they were here


def project(
    camera: CameraPose, points: NDArray[np.floating], width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """World points as each frame's camera sees them.

    `points` [N,3] the same in every frame, or [T,N,3]: -> positions in pixels float32 [T,N,2] (x right, y down, the
    first pixel's centre at 0.5) and depth along the camera's axis float32 [T,N], metres, negative behind the camera.
    """
    at = np.asarray(points, np.float64)
    at = np.broadcast_to(at, (len(camera.eye), *at.shape[-2:]))
    eye, rotation = camera.eye.astype(np.float64), camera.rotation.astype(np.float64)
    view = np.einsum("tij,tni->tnj", rotation, at - eye[:, None])
    depth = -view[..., 2]
    focal = height / 2.0 / np.tan(camera.fov.astype(np.float64) / 2.0)[:, None]  # pixels
    ahead = np.maximum(depth, NEAR)
    x = width / 2.0 + view[..., 0] / ahead * focal
    y = height / 2.0 - view[..., 1] / ahead * focal
    return np.stack([x, y], -1).astype(np.float32), depth.astype(np.float32)


def flow(stage: Stage, rendered: Rendered) -> NDArray[np.float32]:
    """Optical flow from each frame to the next: float32 [T-1,H,W,2], pixels (x right, y down).

    Each pixel's world point moves with the primitive it lies on; ground and water stand still in the world (waves move
    the water's surface, not its matter along it), and the sky turns with the camera. Where the point goes out of
    sight the flow still says where it is. `rendered` is that stage with truth.

    Raises:
        BadRequest: `rendered` was made without truth, or of another number of frames.
    """
    frames, height, width = rendered.depth.shape
    if frames != len(stage.seconds):
        raise BadRequest(
            f"flow needs the truth of all {len(stage.seconds)} frames, not {frames}: render with truth=True"
        )
    camera = stage.camera
    turn, eye = camera.rotation.astype(np.float64), camera.eye.astype(np.float64)
    focal = height / 2.0 / np.tan(camera.fov.astype(np.float64) / 2.0)  # [T] pixels
    back = turn[1:].transpose(0, 2, 1)  # [T-1,3,3] world to the next camera
    # everything is one affine map a frame from this camera's axes to the next one's: A x + b; for the ground ...
    ground_a = back @ turn[:-1]
    ground_b = np.einsum("tij,tj->ti", back, eye[:-1] - eye[1:])
    # ... and for what lies on a primitive, through its own axes
    pose, place = stage.rotation.astype(np.float64), stage.position.astype(np.float64)
    move = pose[1:] @ pose[:-1].transpose(0, 1, 3, 2)  # [T-1,K,3,3] world to world
    body_a = back[:, None] @ move @ turn[:-1, None]
    from_eye = np.einsum("tkij,tkj->tki", move, eye[:-1, None] - place[:-1]) + place[1:] - eye[1:, None]
    body_b = np.einsum("tij,tkj->tki", back, from_eye)

    column = (np.arange(width, dtype=np.float32) + 0.5 - width / 2.0)[None, :]
    row = (height / 2.0 - np.arange(height, dtype=np.float32) - 0.5)[:, None]
    out = np.empty((frames - 1, height, width, 2), np.float32)
    for t in range(frames - 1):
        depth = rendered.depth[t]
        near = (depth < SKY).astype(np.float32)
        u, v = column / np.float32(focal[t]), row / np.float32(focal[t])  # at depth 1
        a, b = ground_a[t].astype(np.float32), ground_b[t].astype(np.float32)
        inverse = near / depth  # nought for the sky: only the turn is left
        x, y, z = (a[i, 0] * u + a[i, 1] * v - a[i, 2] + b[i] * inverse for i in range(3))
        ys, xs = np.nonzero(rendered.primitive[t] >= 0)
        if len(ys):
            which = rendered.primitive[t, ys, xs]
            a, b = body_a[t, which].astype(np.float32), body_b[t, which].astype(np.float32)
            at = np.stack([u[0, xs], v[ys, 0], -np.ones(len(xs), np.float32)], -1)
            to = np.einsum("nij,nj->ni", a, at) + b * inverse[ys, xs, None]
            x[ys, xs], y[ys, xs], z[ys, xs] = to.T
        ahead = np.float32(focal[t + 1]) / np.maximum(
            -z, np.float32(NEAR) * np.maximum(inverse, np.float32(1e-3))
        )
        out[t, ..., 0] = x * ahead - column
        out[t, ..., 1] = row - y * ahead
    return out
