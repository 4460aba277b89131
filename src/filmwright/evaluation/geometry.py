"""How the camera of a clip moves, by geometry alone: no network, no training.

Corners of the picture are followed with Lucas-Kanade, both ways; a plane-to-plane map fitted by RANSAC throws out what
moves on its own; an affine fit of what is left gives four numbers a step: sideways and upward shift, growth, and how
much the shift changes from top to bottom (near ground against far, the sign of an orbit). Summed over the clip they
point in a direction, and the camera paths of the world, projected the same way, say which move that direction means.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from filmwright.world.cameras import camera_path

__all__ = ["GEOMETRY_CAMERAS", "UNKNOWN", "CameraMotion", "camera_motion", "geometric_name"]

GEOMETRY_CAMERAS = (
    "static", "pan-left", "pan-right", "tilt-up", "tilt-down", "push-in", "pull-back", "orbit-left", "orbit-right",
)  # fmt: skip
UNKNOWN = "unknown"  # too little texture to follow

STILL = 0.0015  # of the short side a frame: less is a static camera (true static clips read below 0.0002)
STEP = 2  # frames between the two ends of a track
MIN_TRACKS = 10
GRID = (10, 16)  # cells that corners are spread over
A_CELL = 3  # corners a cell
CORNER = 1e-4  # least quality of a corner, in the evened picture
FAINTEST = 1.6  # grey levels of texture that count as nothing
RANSAC_PIXELS = 1.0

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CameraMotion:
    """A camera move as read from the picture.

    `features` are sums over the clip, in half heights of the picture: right and down shift of the picture, its growth,
    and the change of the right shift from the centre to the bottom. `path` is the summed length of the picture's shift
    and growth in short sides; `certainty` the cosine to the named move (1 for a static camera).
    """

    name: str
    features: tuple[float, float, float, float]
    path: float
    certainty: float


def geometric_name(camera: str) -> str | None:
    """The name under which geometry knows a camera of the vocabulary; None for what it cannot name.

    An overhead camera stands still. A tracking camera moves with its subject, and a handheld one sways.
    """
    if camera == "overhead":
        return "static"
    return camera if camera in GEOMETRY_CAMERAS else None


def camera_motion(frames: NDArray[np.uint8]) -> CameraMotion:
    """Reads the camera of a clip uint8 [T,H,W,3]; `unknown` where less than half of the steps can be followed."""
    grey = [evened(f) for f in frames]
    height, width = grey[0].shape
    steps = []
    starts = range(0, len(grey) - STEP, STEP)
    for t in starts:
        start, end = follow(grey[t], grey[t + STEP])
        fit = background_fit(start, end, width, height)
        if fit is not None:
            steps.append(fit)
    if not steps or len(steps) * 2 < len(starts):
        return CameraMotion(name=UNKNOWN, features=(0.0, 0.0, 0.0, 0.0), path=0.0, certainty=0.0)
    each = np.array(steps)
    total = each.mean(0) * len(starts)
    path = float(np.linalg.norm(each[:, :3], axis=1).mean() * len(starts)) / 2.0
    name, certainty = nearest_move(total, num_frames=len(grey))
    return CameraMotion(
        name=name,
        features=(float(total[0]), float(total[1]), float(total[2]), float(total[3])),
        path=path,
        certainty=certainty,
    )


def evened(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame uint8 [H,W,3] as grey texture uint8 [H,W]: local mean taken out, local contrast made even.

    Sand at night differs by two grey levels from grain to grain; without this every corner would be on the subject.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY).astype(np.float32)
    sigma = frame.shape[0] / 20.0
    rest = cv2.GaussianBlur(grey, (0, 0), 0.8) - cv2.GaussianBlur(grey, (0, 0), sigma)
    spread = np.sqrt(cv2.GaussianBlur(rest * rest, (0, 0), sigma))
    return np.clip(128.0 + 40.0 * rest / (spread + FAINTEST), 0, 255).astype(np.uint8)


def spread_corners(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The best few corners of each cell of a grid, [n, 1, 2]: ground everywhere outvotes one subject."""
    height, width = grey.shape
    quality = cv2.cornerMinEigenVal(grey, 5)
    rows, columns = GRID
    found = []
    for i in range(rows):
        for j in range(columns):
            top, left = i * height // rows, j * width // columns
            cell = quality[top : (i + 1) * height // rows, left : (j + 1) * width // columns].copy()
            for _ in range(A_CELL):
                y, x = np.unravel_index(int(cell.argmax()), cell.shape)
                if cell[y, x] <= CORNER:
                    break
                found.append((left + x, top + y))
                cell[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = 0.0
    return np.array(found, np.float32).reshape(-1, 1, 2)


def follow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Corners [n, 2] of the first grey picture and where they are in the second; only those that also lead back."""
    none = np.zeros((0, 2))
    corners = spread_corners(first)
    if len(corners) < MIN_TRACKS:
        return none, none
    window, stop = (17, 17), (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.02)
    room, more_room = np.zeros_like(corners), np.zeros_like(corners)  # results are written here
    there, ok, _ = cv2.calcOpticalFlowPyrLK(
        first, second, corners, room, winSize=window, maxLevel=3, criteria=stop
    )
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(
        second, first, there, more_room, winSize=window, maxLevel=3, criteria=stop
    )
    error = np.linalg.norm((back - corners).reshape(-1, 2), axis=1)
    good = (ok.reshape(-1) == 1) & (ok_back.reshape(-1) == 1) & (error < 0.5)
    return corners.reshape(-1, 2)[good].astype(np.float64), there.reshape(-1, 2)[good].astype(np.float64)


def background_fit(start: Array, end: Array, width: int, height: int) -> Array | None:
    """Right and down shift, growth and shear of the background between two pictures, in half heights."""
    if len(start) < MIN_TRACKS:
        return None
    cv2.setRNGSeed(7)  # RANSAC draws from it
    _, inside = cv2.estimateAffine2D(
        start, end, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PIXELS, maxIters=1000
    )
    keep = np.asarray(inside).reshape(-1).astype(bool)
    if int(keep.sum()) < MIN_TRACKS:  # without a fit there is no mask at all
        return None
    scale = 2.0 / height
    centre = np.array([width / 2, height / 2])
    return affine((start[keep] - centre) * scale, (end[keep] - start[keep]) * scale)


def affine(points: Array, moved: Array) -> Array:
    """Least-squares fit of displacements `moved` [n,2] at `points` [n,2]: (shift x, shift y, growth, d shift-x / dy).

    Lightly ridged, so that a few points in one corner cannot claim a huge slope.
    """
    n = len(points)
    design = np.column_stack([np.ones(n), points])
    ridge = np.diag([1e-4, 1e-3, 1e-3]) * n
    solution = np.linalg.solve(design.T @ design + ridge, design.T @ moved)  # 3 x 2
    growth = 0.5 * (solution[1, 0] + solution[2, 1])
    return np.array([solution[0, 0], solution[0, 1], growth, solution[2, 0]])


def nearest_move(total: Array, *, num_frames: int) -> tuple[str, float]:
    """The move whose direction in feature space is nearest, and the cosine to it."""
    size = float(np.linalg.norm(total))
    if size < STILL * 2.0 * (num_frames - 1):  # half heights: twice the share of the short side
        return "static", 1.0
    cosines = {name: float(total @ v) / (size * float(np.linalg.norm(v))) for name, v in templates().items()}
    best = max(cosines, key=lambda name: cosines[name])
    return best, cosines[best]


@cache
def templates() -> dict[str, Array]:
    """Feature sums of each moving camera of the world over its ground, seen through a picture of aspect 1.6."""
    return {name: _template(name) for name in GEOMETRY_CAMERAS if name != "static"}


def _template(move: str, num_frames: int = 33, aspect: float = 1.6) -> Array:
    camera = camera_path(move, num_frames)
    gx, gy = np.meshgrid(np.linspace(-5, 5, 41), np.linspace(-2.2, 8, 52))
    ground = np.column_stack([gx.ravel(), gy.ravel(), np.zeros(gx.size)])
    total = np.zeros(4)

    def seen(t: int) -> tuple[Array, NDArray[np.bool_]]:
        local = (ground - camera.eye[t]) @ camera.rotation[t].astype(np.float64)
        depth = -local[:, 2]
        scale = np.maximum(depth, 1e-6) * np.tan(float(camera.fov[t]) / 2.0)
        xy = np.column_stack([local[:, 0] / scale, -local[:, 1] / scale])  # half heights, y down
        return xy, (depth > 0.3) & (np.abs(xy[:, 0]) < aspect) & (np.abs(xy[:, 1]) < 1.0)

    for t in range(0, num_frames - STEP, STEP):
        here, ok = seen(t)
        there, ok_there = seen(t + STEP)
        both = ok & ok_there
        cells = np.unique(np.floor(here[both] * 8).astype(int), axis=0, return_index=True)[
            1
        ]  # even over the picture
        total += affine(here[both][cells], (there - here)[both][cells])
    return total
