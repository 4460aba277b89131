"""Points that stick to bodies, followed through a clip: what a motion brush is trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filmwright.world.scene import Stage

__all__ = ["follow"]

NEAR = 0.05  # metres: a point this close to the drawn surface is seen


def follow(
    stage: Stage,
    primitive: NDArray[np.int16],
    depth: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    count: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`count` points drawn from the bodies' visible pixels in frame 0, and where they go.

    Args:
        stage: the scene; `primitive` int16 and `depth` float32 [T, H, W] as `render` gives them for it.
        rng: chooses the pixels.
        count: how many points.

    Returns:
        Positions in pixels float32 [count, T, 2] (x, y) and whether each is seen, bool [count, T]. If no body shows in
        frame 0, nothing is seen.
    """
    frames, height, width = primitive.shape
    ys, xs = np.nonzero(primitive[0] >= 0)
    if not len(ys):
        return np.zeros((count, frames, 2), np.float32), np.zeros((count, frames), np.bool_)
    chosen = rng.integers(len(ys), size=count)
    ys, xs = ys[chosen], xs[chosen]
    camera = stage.camera
    on = primitive[0, ys, xs].astype(np.int64)  # [count]
    scale = np.tan(camera.fov.astype(np.float64) / 2) / (height / 2)  # [T] metres a pixel, a metre away
    far = depth[0, ys, xs].astype(np.float64)
    local = np.stack(
        [(xs + 0.5 - width / 2) * scale[0], (height / 2 - ys - 0.5) * scale[0], -np.ones(count)], -1
    )
    world = camera.eye[0] + (local * far[:, None]) @ camera.rotation[0].T.astype(np.float64)
    body = np.einsum(
        "nij,ni->nj", stage.rotation[0, on], world - stage.position[0, on]
    )  # in the primitive's axes
    world = np.einsum("tnij,nj->tni", stage.rotation[:, on], body) + stage.position[:, on]  # [T, count, 3]
    view = np.einsum("tij,tni->tnj", camera.rotation, world - camera.eye[:, None])  # x right, y up, -z ahead
    ahead = -view[..., 2]
    safe = np.maximum(ahead, 1e-6)
    x = view[..., 0] / safe / scale[:, None] + width / 2
    y = height / 2 - view[..., 1] / safe / scale[:, None]
    column = np.clip(x.astype(np.int64), 0, width - 1)
    row = np.clip(y.astype(np.int64), 0, height - 1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (ahead > 0)
    drawn = depth[np.arange(frames)[:, None], row, column]
    seen = inside & (np.abs(drawn - ahead) < NEAR) & stage.visible[:, on]
    return np.stack([x, y], -1).transpose(1, 0, 2).astype(np.float32), np.ascontiguousarray(seen.T)
