"""Follows the main subject of a clip by its colours, and fits the law of free fall to its path.

The colours come from the truth of the same prompt, whose masks are known: every pixel's odds of being subject rather
than background are a ratio of two colour histograms. No network; a subject of the wrong colour is lost, and a lost
subject is charged by whoever scores, never skipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from filmwright.world.scene import CameraPose

__all__ = ["GRAVITY", "ColourModel", "FreeFall", "Track", "fall_height", "free_fall", "jumps"]

GRAVITY = 9.81  # m/s^2
BINS = 32  # a channel of Lab
MIN_PIXELS = 12
JUMP = 0.08  # of the picture's height: a step of this size that is not a change of speed

Array = NDArray[np.float64]
Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Track:
    """A subject's `centre` [T,2] (x, y), `box` [T,4] (x0, y0, x1, y1), `area` [T], in pixels; NaN and 0 if lost."""

    centre: Array
    box: Array
    area: Array

    @property
    def lost(self) -> float:
        """Share of the frames without a subject."""
        return float(np.isnan(self.centre[:, 0]).mean())

    @property
    def path(self) -> float:
        """Length of the path in pixels; gaps count nothing."""
        steps = np.linalg.norm(np.diff(self.centre, axis=0), axis=1)
        return float(np.nansum(steps))


class ColourModel:
    """Tells subject from background by colour: log odds over a histogram of Lab, [BINS, BINS, BINS]."""

    def __init__(self, odds: NDArray[np.float32]) -> None:
        self.odds = odds

    @classmethod
    def from_truth(cls, frames: Frames, mask: NDArray[np.bool_]) -> ColourModel:
        """Learns from a true clip uint8 [T,H,W,3] and the mask [T,H,W] of its subject."""
        cells = _cells(frames[::2])
        inside = mask[::2].ravel()
        smooth = []
        for chosen in (cells[inside], cells[~inside]):
            counts = np.bincount(chosen, minlength=BINS**3).astype(np.float64).reshape(BINS, BINS, BINS)
            for axis in range(3):  # a decoder's colours are near the truth's, not equal
                counts = _blurred(counts, axis)
            smooth.append(counts / max(counts.sum(), 1.0))
        subject, background = smooth
        odds = np.log((subject + 1e-5) / (background + 1e-5))  # unseen colours: even
        return cls(odds.astype(np.float32))

    def mask(self, frame: Frames) -> NDArray[np.bool_]:
        """The subject's pixels in one frame uint8 [H,W,3]: the weightiest connected region of its colours."""
        odds = self.odds.ravel()[_cells(frame[None])].reshape(frame.shape[:2])
        score = cv2.GaussianBlur(odds, (0, 0), 0.8)
        raw = (score > 0.5).astype(np.uint8)
        count, labels = cv2.connectedComponents(raw, connectivity=8)
        if count < 2:
            return np.zeros(frame.shape[:2], bool)
        weight = np.bincount(labels.ravel(), weights=np.clip(score, 0, 4).ravel(), minlength=count)
        weight[0] = 0.0
        best = int(weight.argmax())
        chosen: NDArray[np.bool_] = labels == best
        return chosen

    def track(self, frames: Frames) -> Track:
        """Follows the subject through a clip uint8 [T,H,W,3]."""
        centre, box = np.full((len(frames), 2), np.nan), np.full((len(frames), 4), np.nan)
        area = np.zeros(len(frames))
        for t, frame in enumerate(frames):
            ys, xs = np.nonzero(self.mask(np.ascontiguousarray(frame)))
            if len(xs) < MIN_PIXELS:
                continue
            centre[t] = xs.mean(), ys.mean()
            box[t] = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
            area[t] = len(xs)
        return Track(centre=centre, box=box, area=area)


def _cells(frames: Frames) -> NDArray[np.int64]:
    """Frames uint8 [T,H,W,3] -> index of each pixel's Lab cell, flat."""
    t, h, w, _ = frames.shape
    lab = cv2.cvtColor(np.ascontiguousarray(frames).reshape(t * h, w, 3), cv2.COLOR_RGB2LAB)
    cell = (lab.reshape(-1, 3).astype(np.int64) * BINS) >> 8
    index: NDArray[np.int64] = (cell[:, 0] * BINS + cell[:, 1]) * BINS + cell[:, 2]
    return index


def _blurred(x: Array, axis: int) -> Array:
    """Smoothed by (1, 2, 1) / 4 along an axis."""
    pad = [(1, 1) if i == axis else (0, 0) for i in range(3)]
    p = np.pad(x, pad, mode="edge")
    n = x.shape[axis]
    take = [np.take(p, range(i, i + n), axis=axis) for i in range(3)]
    return 0.25 * take[0] + 0.5 * take[1] + 0.25 * take[2]


def jumps(track: Track, height: int) -> float:
    """Share of the steps at which the subject jumps: displaced, and not because its speed changed.

    A bounce changes the speed once: one large second difference. A teleport makes two, of opposite sign, in a row; the
    geometric mean of such a pair against 8 % of the picture's `height` tells them apart. Steps next to
    a loss are left out.
    """
    second = np.diff(track.centre, n=2, axis=0) / height
    pair = -(second[1:] * second[:-1]).sum(1)
    size = np.sqrt(np.clip(np.nan_to_num(pair), 0.0, None))
    return float((size > JUMP).mean()) if len(size) else 0.0


@dataclass(frozen=True, kw_only=True)
class FreeFall:
    """A fit of z(t) = a + b t - g t^2 / 2: `gravity` m/s^2, its relative error, and the fit's residual in metres."""

    gravity: float
    error: float
    residual: float
    frames: int


def fall_height(track: Track, camera: CameraPose, width: int, height: int, depth_y: float = 0.0) -> Array:
    """Heights [T] in metres of a centre seen by a known camera, if it moves in the vertical plane y = `depth_y`."""
    x, y = track.centre[:, 0], track.centre[:, 1]
    tangent = np.tan(camera.fov.astype(np.float64) / 2.0)
    u = ((x + 0.5) * 2.0 / height - width / height) * tangent
    v = (1.0 - (y + 0.5) * 2.0 / height) * tangent
    local = np.stack([u, v, -np.ones_like(u)], axis=-1)
    ray = np.einsum("tij,tj->ti", camera.rotation.astype(np.float64), local)
    eye = camera.eye.astype(np.float64)
    distance = (depth_y - eye[:, 1]) / ray[:, 1]
    result: Array = eye[:, 2] + distance * ray[:, 2]
    return result


def free_fall(heights: Array, fps: int, *, min_frames: int = 4) -> FreeFall | None:
    """Gravity from heights [T] in metres: fits the first fall, from the start to just before the first rise.

    None if it cannot be seen to fall: fewer than `min_frames` frames before the lowest point, or a fall of under 0.2 m.
    """
    known = np.isfinite(heights)
    if not known[:min_frames].all():
        return None
    end = len(heights)
    for t in range(1, len(heights)):
        slack = (
            0.02 if t <= 2 else -0.01
        )  # slow at first: noise may hide the fall; later every step goes down
        if not known[t] or heights[t] > heights[t - 1] + slack:
            end = t
            break
    end -= 1  # the last step may hold the impact
    if end < min_frames or heights[0] - heights[end - 1] < 0.2:
        return None
    seconds = np.arange(end) / fps
    fit = np.polyfit(seconds, heights[:end], 2)
    gravity = -2.0 * float(fit[0])
    residual = float(np.sqrt(np.mean((np.polyval(fit, seconds) - heights[:end]) ** 2)))
    return FreeFall(gravity=gravity, error=abs(gravity - GRAVITY) / GRAVITY, residual=residual, frames=end)
